"""Facts about processors: dot products, lanes, cores, and the shipped parts."""

from __future__ import annotations

import numpy as np
import pytest

from hw_models.catalog import resolve_part
from hw_models.compute.cpu import Cpu, CpuSpec
from hw_models.registry import device_class
from workloads.graph import OpKind
from workloads.optable import COLUMNS, OpTable

PARTS = ("cortex_a55_quad_22nm", "cortex_m7_280mhz", "host_x86_server")


def table(*rows):
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), len(COLUMNS))
    named = {name: np.ascontiguousarray(columns[:, i]) for i, name in enumerate(COLUMNS)}
    return OpTable(**named, row_of_op=np.arange(len(rows)), n_repeats=np.ones(len(rows), dtype=np.int64))


def gemm(m, k, n, groups=1, bits=8, vector=0):
    return (int(OpKind.MATMUL), groups, m, k, n, 0, vector, 0, groups * k * n, groups * m * k, groups * m * n, bits, bits)


def stream(kind, vector, size, special=0, bits=8):
    return (int(kind), 0, 0, 0, 0, 0, vector, special, 0, size, size, bits, bits)


def part(name):
    return CpuSpec.model_validate({key: value for key, value in resolve_part(f"cpu/{name}").data.items() if key not in {"kind", "name"}})


def ideal(spec, **changes):
    """The same processor with nothing but its instructions to wait for."""
    free = {"launch_s": 0.0, "efficiency": 1.0, "l1_bytes_per_cycle": 10**6, "llc_bytes_per_cycle": 10**6}
    return spec.model_copy(update=free | changes)


def cycles(spec, row):
    return Cpu.costs([spec], table(row)).latency_s[0, 0] * spec.clock_hz


A55 = ideal(part("cortex_a55_quad_22nm"))
M7 = ideal(part("cortex_m7_280mhz"))


def test_one_core_starts_sixteen_8_bit_products_a_cycle():
    """SDOT: four lanes of four products."""
    one = A55.model_copy(update={"n_cores": 1})
    assert cycles(one, gemm(64, 64, 64)) == pytest.approx(64**3 / 16)


def test_four_cores_share_the_tiles_of_a_product():
    assert cycles(A55, gemm(256, 64, 64)) == pytest.approx(256 * 64 * 64 / (4 * 16))


def test_a_fifth_tile_costs_a_second_wave():
    """Five tiles of one size on four cores take as long as eight; halving tiles would spread them."""
    fixed = A55.model_copy(update={"tile": (4, 4)})
    rigid = {"mac": {"int8": A55.mac["int8"].model_copy(update={"block": (4, 4, 4)})}}
    fixed = fixed.model_copy(update=rigid | {"simd_bits": 16})
    assert cycles(fixed, gemm(20, 64, 4)) == pytest.approx(cycles(fixed, gemm(32, 64, 4)))


def test_depth_is_padded_to_the_dot_product():
    """k = 9 fills three 4-way dot products; the vector path in 16-bit lanes (8 a cycle) would take longer."""
    assert cycles(A55, gemm(64, 9, 64)) == pytest.approx(cycles(A55, gemm(64, 12, 64)))


def test_depthwise_layers_run_in_lanes_along_channels():
    """64 groups with one output column: dot products would idle three of four lanes; 16-bit lanes take 8 groups at once."""
    assert cycles(A55, gemm(100, 9, 1, groups=64)) == pytest.approx(100 * 9 * 64 / (4 * 8))


def test_a_product_with_one_row_is_bound_by_loads():
    """One row: each weight is loaded once for one product; 8 bytes a cycle and core (64-bit path)."""
    spec = A55.model_copy(update={"l1_bytes_per_cycle": 8})
    costs = Cpu.costs([spec], table(gemm(1, 1024, 1024)))
    assert costs.limits[costs.limit[0, 0]] == "cache"
    assert costs.latency_s[0, 0] * spec.clock_hz == pytest.approx(1024**2 / (4 * 8), rel=0.15)


def test_element_wise_work_on_8_bit_data_takes_16_bit_lanes():
    """Eight results a cycle and core, as for 16-bit data; 32-bit data makes four."""
    n = 32_000
    assert cycles(A55, stream(OpKind.ELEMENTWISE, n, n)) == n / 32
    assert cycles(A55, stream(OpKind.ELEMENTWISE, n, n, bits=16)) == n / 32
    assert cycles(A55, stream(OpKind.ELEMENTWISE, n, n, bits=32)) == n / 16


def test_moving_costs_a_load_and_a_store_an_element():
    n = 32_000
    assert cycles(A55, stream(OpKind.MOVE, 0, n)) == pytest.approx(2 * n / 32)


def test_special_functions_are_slower():
    n = 32_000
    assert cycles(A55, stream(OpKind.SOFTMAX, n, n, special=1)) == pytest.approx(A55.special_slowdown * n / 32)


def test_a_folded_activation_follows_its_product():
    alone, folded = (cycles(A55, gemm(64, 64, 64, vector=v)) for v in (0, 64 * 64))
    assert folded - alone == pytest.approx(64 * 64 / 32)


def test_a_microcontroller_multiplies_8_bit_operands_at_16_bits():
    """Armv7E-M has SMLAD (two 16-bit products) and no 8-bit product."""
    costs = Cpu.costs([M7], table(gemm(16, 64, 16)))
    assert costs.compute_weight_bits[0, 0] == costs.compute_activation_bits[0, 0] == 16
    assert costs.latency_s[0, 0] * M7.clock_hz == pytest.approx(16 * 64 * 16 / 2)


def test_without_a_last_level_operands_must_fit_the_first():
    """16 KiB data cache, half of it usable: a 32 KiB weight matrix and 16 KiB of inputs cannot both be read once."""
    n_bytes = Cpu.costs([M7], table(gemm(64, 256, 128))).n_bytes[0, 0]
    assert n_bytes.sum() > 256 * 128 + 64 * 256 + 64 * 128


def test_the_launch_is_the_fixed_part():
    spec = A55.model_copy(update={"launch_s": 3e-6})
    costs = Cpu.costs([spec], table(gemm(8, 8, 8)))
    assert costs.fixed_s[0, 0] == 3e-6
    assert costs.latency_s[0, 0] - 3e-6 == pytest.approx(Cpu.costs([A55], table(gemm(8, 8, 8))).latency_s[0, 0])


@pytest.mark.parametrize("name", PARTS)
def test_a_shipped_processor_runs_every_kind_of_op(name):
    rows = [gemm(8, 8, 8), *(stream(kind, 100, 100, special=1) for kind in OpKind if kind is not OpKind.MATMUL)]
    costs = Cpu.costs([part(name)], table(*rows))
    assert costs.supported.all()
    assert Cpu("cpu", part(name)).idle_w > 0


def test_peaks_of_the_shipped_processors():
    """Quad A55 at 1.4 GHz: 89.6 G 8-bit MAC/s. Xeon 8480+ at 2.0 GHz base: 56 x 2048 x 2.0 GHz = 229 T int8 MAC/s."""
    a55, xeon = part("cortex_a55_quad_22nm"), part("host_x86_server")
    assert a55.n_cores * a55.mac["int8"].per_cycle * a55.clock_hz == pytest.approx(89.6e9)
    assert xeon.n_cores * xeon.mac["int8"].per_cycle * xeon.clock_hz == pytest.approx(229.4e12, rel=1e-3)


def test_an_in_order_cluster_draws_a_fraction_of_a_watt():
    """Phone-class A53/A55 clusters are quoted at 0.1-0.2 W a core at full load (order of magnitude)."""
    costs = Cpu.costs([part("cortex_a55_quad_22nm")], table(gemm(1024, 512, 512)))
    assert 0.05 < costs.energy_j[0, 0].sum() / costs.latency_s[0, 0] < 1.0


def test_cpu_is_registered_under_its_name():
    assert device_class("cpu") is Cpu
    assert not Cpu.holds_weights

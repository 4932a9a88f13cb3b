"""Facts about graphics processors: waves, matrix instructions, control energy, and the shipped parts."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from hw_models.catalog import resolve_part
from hw_models.compute.gpu import Gpu, GpuSpec
from hw_models.registry import device_class
from workloads.graph import OpKind
from workloads.optable import COLUMNS, OpTable


def table(*rows):
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), len(COLUMNS))
    named = {name: np.ascontiguousarray(columns[:, i]) for i, name in enumerate(COLUMNS)}
    return OpTable(**named, row_of_op=np.arange(len(rows)), n_repeats=np.ones(len(rows), dtype=np.int64))


def gemm(m, k, n, groups=1, bits=16):
    return (int(OpKind.MATMUL), groups, m, k, n, 0, 0, 0, groups * k * n, groups * m * k, groups * m * n, bits, bits)


def stream(kind, vector, size, special=0, bits=16):
    return (int(kind), 0, 0, 0, 0, 0, vector, special, 0, size, size, bits, bits)


def fields(name):
    return {key: value for key, value in resolve_part(f"gpu/{name}").data.items() if key not in {"kind", "name"}}


A100 = GpuSpec.model_validate(fields("a100_sxm"))
MALI = GpuSpec.model_validate(fields("mali_g52_mc2_22nm"))
FREE = {"launch_s": 0.0, "efficiency": 1.0, "shared_memory_bytes_per_cycle": 10**6, "l2_bytes_per_cycle": 10**9}
IDEAL = A100.model_copy(update=FREE)


def seconds(spec, row):
    return Gpu.costs([spec], table(row)).latency_s[0, 0]


@pytest.mark.parametrize(("name", "published"), [("fp16", 312e12), ("int8", 624e12), ("fp32", 19.5e12)])
def test_a100_peaks_are_those_of_its_data_sheet(name, published):
    assert 2 * A100.n_sms * A100.mac[name].per_cycle * A100.clock_hz == pytest.approx(published, rel=2e-3)
    assert 2 * A100.n_sms * A100.lanes_16 * A100.clock_hz == pytest.approx(78e12, rel=2e-3)


def test_a_large_product_runs_at_the_peak_of_an_ideal_machine():
    """216 x 256 tiles of 128 x 128: 512 full waves on 108 multiprocessors."""
    m, k, n = 216 * 128, 256, 256 * 128
    assert seconds(IDEAL, gemm(m, k, n)) == pytest.approx(2 * m * k * n / 312e12, rel=2e-3)


def test_one_tile_more_than_there_are_multiprocessors_starts_a_second_wave():
    """Tiles that cannot shrink: 108 take one wave, 109 two."""
    rigid = IDEAL.model_copy(update={"tile": (16, 8)})
    one, two = (seconds(rigid, gemm(16, 1024, 8 * tiles)) for tiles in (108, 109))
    assert two == pytest.approx(2 * one)


def test_tiles_shrink_when_there_are_too_few_of_them():
    """512 x 512 is 16 tiles of 128 x 128, or 64 of 64 x 64, which keep 64 of 108 multiprocessors busy: four times faster."""
    rigid = seconds(IDEAL.model_copy(update={"tile": (512, 512)}), gemm(512, 4096, 512))
    assert seconds(IDEAL, gemm(512, 4096, 512)) < rigid / 3


def test_a_product_with_few_rows_fills_one_block_of_a_matrix_instruction():
    """mma.m16n8k16 computes 16 rows for one: 16 rows cost what 9 do."""
    assert seconds(IDEAL, gemm(9, 4096, 4096)) == pytest.approx(seconds(IDEAL, gemm(16, 4096, 4096)))


def test_depthwise_layers_leave_the_matrix_units():
    """One column of eight and 9 of 16 in depth: the lanes win, 256 halves a cycle and multiprocessor."""
    row = gemm(12544, 9, 1, groups=256)
    assert seconds(IDEAL, row) == pytest.approx(12544 * 9 * 256 / (108 * 256 * 1.41e9), rel=1e-3)


def test_fp32_has_no_matrix_unit_here():
    slow, fast = (seconds(IDEAL, gemm(4096, 4096, 4096, bits=bits)) for bits in (32, 16))
    assert slow / fast == pytest.approx(16, rel=0.1)


def test_a_large_product_is_bound_by_the_matrix_units_and_a_copy_by_the_cache():
    product, copy = (Gpu.costs([A100], table(row)) for row in (gemm(8192, 8192, 8192), stream(OpKind.MOVE, 0, 10**8)))
    assert product.limits[product.limit[0, 0]] == "compute"
    assert copy.limits[copy.limit[0, 0]] == "cache"


def test_l2_time_follows_its_5120_bytes_a_clock():
    """An addition of 10^8 halves: 2 x 200 MB through L2."""
    row = stream(OpKind.ELEMENTWISE, 10**8, 10**8)
    assert seconds(A100, row) - A100.launch_s == pytest.approx(4e8 / (5120 * 1.41e9))


def test_energy_of_a_large_fp16_product_stays_below_the_power_limit():
    """All-in data-sheet figure: 400 W / 312 TFLOPS = 1.28 pJ/flop, which includes HBM and idle power."""
    costs = Gpu.costs([A100], table(gemm(8192, 8192, 8192)))
    per_flop_j = costs.energy_j[0, 0].sum() / (2 * 8192**3)
    assert 0.25e-12 < per_flop_j < 1.28e-12
    assert costs.energy_j[0, 0].sum() / costs.latency_s[0, 0] + A100.idle_w < 400


def test_a_multiply_add_of_halves_costs_what_jouppi_gives_at_7_nm():
    """0.34 pJ multiply and, accumulated at 32 bits, 0.38 pJ add (ISCA 2021, table 2)."""
    mac_j = Gpu.costs([A100], table(gemm(64, 64, 64))).energy_j[0, 0, 0] / 64**3
    assert mac_j == pytest.approx(0.72e-12, rel=0.02)


def test_the_control_factor_has_to_be_given():
    without = {key: value for key, value in fields("a100_sxm").items() if key != "control_factor"}
    with pytest.raises(ValidationError, match="control_factor"):
        GpuSpec.model_validate(without)


def test_the_control_surcharge_is_flagged_as_assumed_on_shipped_parts():
    for spec in (A100, MALI):
        control = Gpu.costs([spec], table(gemm(8, 8, 8))).components[0][-1]
        assert control.name == "control"
        assert control.assumed
        assert any(spread.name.endswith("control_factor") and spread.factor == 2 for spread in control.spreads)


def test_the_small_gpu_does_four_8_bit_products_a_lane():
    """Mali-G52: three engines of eight lanes, four products each: 96 a core and cycle, 154 G MAC/s for two at 800 MHz."""
    assert MALI.n_sms * MALI.mac["int8"].per_cycle * MALI.clock_hz == pytest.approx(153.6e9)
    assert MALI.machine().length == (16, 16, 8)


def test_gpu_is_registered_and_runs_every_kind_of_op():
    assert device_class("gpu") is Gpu
    rows = [gemm(8, 8, 8), *(stream(kind, 100, 100, special=1) for kind in OpKind if kind is not OpKind.MATMUL)]
    assert Gpu.costs([A100, MALI], table(*rows)).supported.all()
    assert Gpu("gpu", A100).area_m2 == pytest.approx(826e-6)
    assert Gpu("gpu", A100).idle_w == 50

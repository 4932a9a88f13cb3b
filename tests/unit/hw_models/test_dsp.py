"""Facts about vector signal processors of the Hexagon HVX kind."""

from __future__ import annotations

import numpy as np
import pytest

from hw_models.catalog import resolve_part
from hw_models.compute.dsp import Dsp, DspSpec
from hw_models.registry import device_class
from workloads.graph import OpKind
from workloads.optable import COLUMNS, OpTable


def table(*rows):
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), len(COLUMNS))
    named = {name: np.ascontiguousarray(columns[:, i]) for i, name in enumerate(COLUMNS)}
    return OpTable(**named, row_of_op=np.arange(len(rows)), n_repeats=np.ones(len(rows), dtype=np.int64))


def gemm(m, k, n, groups=1, bits=8):
    return (int(OpKind.MATMUL), groups, m, k, n, 0, 0, 0, groups * k * n, groups * m * k, groups * m * n, bits, bits)


def stream(kind, vector, size, special=0, bits=8):
    return (int(kind), 0, 0, 0, 0, 0, vector, special, 0, size, size, bits, bits)


BODY = {key: value for key, value in resolve_part("dsp/hexagon_hvx_2x_22nm").data.items() if key not in {"kind", "name"}}
HVX = DspSpec.model_validate(BODY)
IDEAL = HVX.model_copy(update={"launch_s": 0.0, "efficiency": 1.0, "local_bytes_per_cycle": 10**6})


def cycles(spec, row):
    return Dsp.costs([spec], table(row)).latency_s[0, 0] * spec.clock_hz


def test_a_packet_holds_two_dot_products_of_128():
    """vrmpy: 128 8-bit MACs in 32 lanes, two a packet, two contexts: 512 a cycle, 410 G MAC/s at 800 MHz."""
    assert cycles(IDEAL, gemm(64, 512, 128)) == pytest.approx(64 * 512 * 128 / 512)
    assert HVX.n_contexts * HVX.mac["int8"].per_cycle * HVX.clock_hz == pytest.approx(409.6e9)


def test_16_bit_products_run_at_a_quarter():
    """They take both multiply resources and half of the lanes."""
    assert cycles(IDEAL, gemm(64, 512, 128, bits=16)) == pytest.approx(4 * cycles(IDEAL, gemm(64, 512, 128)))


def test_results_are_padded_to_32_lanes():
    assert cycles(IDEAL, gemm(64, 512, 33)) == pytest.approx(cycles(IDEAL, gemm(64, 512, 64)))


def test_32_bit_products_are_left_to_other_devices():
    costs = Dsp.costs([HVX], table(gemm(8, 8, 8, bits=32), stream(OpKind.ELEMENTWISE, 64, 64, bits=32)))
    assert costs.supported.tolist() == [[False, True]]


def test_depthwise_layers_fill_the_lanes_with_channels():
    """64 16-bit lanes, two instructions a packet, two contexts."""
    assert cycles(IDEAL, gemm(49, 9, 1, groups=512)) == pytest.approx(49 * 9 * 512 / (2 * 2 * 64))


def test_element_wise_work_runs_in_16_bit_lanes():
    assert cycles(IDEAL, stream(OpKind.ELEMENTWISE, 256_000, 256_000)) == pytest.approx(256_000 / (2 * 2 * 64))


def test_one_vector_load_a_packet_bounds_copies():
    """A copy loads and stores: 2 bytes an element through 128 bytes a cycle and context."""
    spec = HVX.model_copy(update={"launch_s": 0.0})
    costs = Dsp.costs([spec], table(stream(OpKind.ELEMENTWISE, 10, 10**6)))
    assert costs.limits[costs.limit[0, 0]] == "cache"
    assert costs.latency_s[0, 0] * spec.clock_hz == pytest.approx(2e6 / (2 * 128))


def test_a_wide_instruction_spends_little_on_control():
    """One instruction for 128 MACs: below 5 times the arithmetic, where a scalar machine pays over 50 times."""
    mac, _, instruction, *_ = Dsp.costs([HVX], table(gemm(256, 512, 256))).energy_j[0, 0]
    scalar = HVX.model_copy(
        update={"vector_bits": 32, "mac": {"int8": HVX.mac["int8"].model_copy(update={"per_cycle": 1, "block": (1, 1, 1)})}}
    )
    scalar_mac, _, scalar_instruction, *_ = Dsp.costs([scalar], table(gemm(256, 512, 256))).energy_j[0, 0]
    assert instruction < 6 * mac
    assert scalar_instruction > 50 * scalar_mac


def test_local_memory_decides_what_is_read_again():
    """512 KiB shared by both contexts, half usable: 200 KiB of inputs stay while 2 MiB of weights stream once."""
    assert Dsp.costs([HVX], table(gemm(200, 1024, 2048))).n_bytes[0, 0].tolist() == [1024 * 2048, 200 * 1024, 200 * 2048]


def test_dsp_is_registered_and_runs_every_kind_of_op():
    assert device_class("dsp") is Dsp
    rows = [gemm(8, 8, 8), *(stream(kind, 100, 100, special=1) for kind in OpKind if kind is not OpKind.MATMUL)]
    costs = Dsp.costs([HVX], table(*rows))
    assert costs.supported.all()
    assert [part.name for part in costs.components[0]] == ["mac", "vector", "instruction", "cache", "control"]
    device = Dsp("dsp", HVX)
    assert device.area_m2 == pytest.approx(4e-6)
    assert device.idle_assumed

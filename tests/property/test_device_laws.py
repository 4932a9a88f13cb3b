"""Laws that hold for every size of a digital device and of an op."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hw_models.catalog import resolve_part
from hw_models.compute.roofline import RooflineSpec
from hw_models.kernels import systolic
from hw_models.registry import device_class
from workloads.graph import OpKind
from workloads.optable import COLUMNS, OpTable

ROOFLINE = (
    "cpu/cortex_a55_quad_22nm",
    "cpu/cortex_m7_280mhz",
    "cpu/host_x86_server",
    "gpu/a100_sxm",
    "gpu/mali_g52_mc2_22nm",
    "dsp/hexagon_hvx_2x_22nm",
)
ARRAYS = ("spatial_array/edge_npu_64x64_22nm", "spatial_array/tpu_v1", "spatial_array/eyeriss_v1")
FLOWS = ("os", "ws", "is")
laws = settings(max_examples=50, deadline=None)


def load(name):
    data = dict(resolve_part(name).data)
    cls = device_class(data.pop("kind"))
    return cls, cls.spec_class.model_validate(data)


DEVICES = {name: load(name) for name in ROOFLINE + ARRAYS}


def table(*rows):
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), len(COLUMNS))
    named = {name: np.ascontiguousarray(columns[:, i]) for i, name in enumerate(COLUMNS)}
    return OpTable(**named, row_of_op=np.arange(len(rows)), n_repeats=np.ones(len(rows), dtype=np.int64))


def gemm(m, k, n, groups=1, vector=0, bits=8):
    return (int(OpKind.MATMUL), groups, m, k, n, 0, vector, 0, groups * k * n, groups * m * k, groups * m * n, bits, bits)


def stream(kind, vector, size):
    return (int(kind), 0, 0, 0, 0, 0, vector, 0, 0, size, size, 8, 8)


sizes = st.integers(0, 9).flatmap(lambda power: st.integers(1, 2**power))
gemms = st.builds(gemm, sizes, sizes, sizes, sizes, st.integers(0, 10**5), st.sampled_from([4, 8, 16]))
streams = st.builds(stream, st.sampled_from([OpKind.POOL, OpKind.ELEMENTWISE, OpKind.MOVE]), st.integers(0, 10**6), st.integers(0, 10**6))
names = st.sampled_from(ROOFLINE + ARRAYS)


def peak(spec, bits):
    """MACs per second with every unit busy."""
    if isinstance(spec, RooflineSpec):
        width = min(int(name.strip("intfp")) for name in spec.mac if int(name.strip("intfp")) >= bits)
        best = max(mac.per_cycle for name, mac in spec.mac.items() if int(name.strip("intfp")) == width)
        return spec.machine().n_units * best * spec.clock_hz
    return spec.rows * spec.cols * spec.clock_hz


def costs(name, row, **changes):
    cls, spec = DEVICES[name]
    return cls.costs([spec.model_copy(update=changes)], table(row))


@laws
@given(names, gemms)
def test_never_faster_than_the_peak(name, row):
    _, groups, m, k, n, *_, bits = row
    result = costs(name, row)
    assert result.latency_s[0, 0] >= groups * m * k * n / peak(DEVICES[name][1], bits) * (1 - 1e-12)


@laws
@given(names, st.one_of(gemms, streams))
def test_bytes_at_the_port_are_never_below_compulsory(name, row):
    result, ops = costs(name, row), table(row)
    assume(result.supported[0, 0])
    compulsory = [ops.weight_bytes[0], ops.input_bytes[0], ops.output_bytes[0]]
    assert (result.n_bytes[0, 0] >= np.array(compulsory) * (1 - 1e-12)).all()


@laws
@given(names, st.one_of(gemms, streams), st.floats(1, 8))
def test_a_faster_clock_never_costs_time(name, row, factor):
    spec = DEVICES[name][1]
    slow, fast = costs(name, row), costs(name, row, clock_hz=factor * spec.clock_hz)
    assert fast.latency_s[0, 0] <= slow.latency_s[0, 0] * (1 + 1e-12)


@laws
@given(st.sampled_from(ROOFLINE), st.one_of(gemms, streams), st.integers(1, 64), st.integers(1, 64))
def test_more_units_never_cost_time(name, row, few, more):
    unit = {"cpu": "n_cores", "gpu": "n_sms", "dsp": "n_contexts"}[name.split("/")[0]]
    small, large = (costs(name, row, **{unit: count}) for count in (few, few + more))
    assert large.latency_s[0, 0] <= small.latency_s[0, 0] * (1 + 1e-12)


@laws
@given(st.sampled_from(ROOFLINE), st.one_of(gemms, streams), st.integers(1, 256), st.integers(1, 256))
def test_more_cache_bandwidth_never_costs_time(name, row, little, more):
    near, far = {
        "cpu": ("l1_bytes_per_cycle", "llc_bytes_per_cycle"),
        "gpu": ("shared_memory_bytes_per_cycle", "l2_bytes_per_cycle"),
        "dsp": ("local_bytes_per_cycle", "local_bytes_per_cycle"),
    }[name.split("/")[0]]
    for field in {near, far}:
        narrow, wide = (costs(name, row, **{field: rate}) for rate in (little, little + more))
        assert wide.latency_s[0, 0] <= narrow.latency_s[0, 0] * (1 + 1e-12)


@laws
@given(st.sampled_from(ROOFLINE), gemms, st.floats(14, 26), st.floats(0, 4))
def test_a_larger_cache_never_adds_traffic(name, row, log_bytes, more):
    field = {"cpu": "llc_bytes", "gpu": "l2_bytes", "dsp": "local_bytes"}[name.split("/")[0]]
    small, large = (costs(name, row, **{field: 2.0**power}) for power in (log_bytes, log_bytes + more))
    assert large.n_bytes[0, 0].sum() <= small.n_bytes[0, 0].sum() * (1 + 1e-12)


@laws
@given(st.sampled_from(ARRAYS), gemms, st.floats(8, 40), st.floats(0, 8))
def test_more_port_bandwidth_never_costs_an_array_time(name, row, log_rate, more):
    narrow, wide = (costs(name, row, port_bandwidth_bytes_per_s=2.0**power) for power in (log_rate, log_rate + more))
    assert wide.latency_s[0, 0] <= narrow.latency_s[0, 0] * (1 + 1e-12)


@laws
@given(st.sampled_from(ARRAYS), gemms, st.sampled_from(["weight", "input", "output"]), st.floats(8, 24), st.floats(0, 8))
def test_a_larger_buffer_never_slows_an_array_and_its_port_down(name, row, buffer, log_bytes, more):
    """The objective of the choice: max(array time, port time)."""
    rate = DEVICES[name][1].port_bandwidth_bytes_per_s
    times = []
    for power in (log_bytes, log_bytes + more):
        result = costs(name, row, **{f"{buffer}_buffer_bytes": 2.0**power, "launch_s": 0.0, "vector_lanes": 10**9})
        times.append(max(result.latency_s[0, 0], result.n_bytes[0, 0].sum() / rate))
    assert times[1] <= times[0] * (1 + 1e-9)


@laws
@given(gemms, st.sampled_from(FLOWS), st.integers(0, 1), st.integers(0, 2), st.floats(6, 24), st.floats(0, 8))
def test_a_larger_buffer_never_adds_traffic_to_a_mapping(row, flow, order, buffer, log_bytes, more):
    spec = np.zeros(systolic.N_COLUMNS)
    spec[[systolic.ROWS, systolic.COLS, systolic.ACCUMULATOR_BITS]] = 16, 16, 32
    halves = [systolic.WEIGHT_HALF_BYTES, systolic.INPUT_HALF_BYTES, systolic.OUTPUT_HALF_BYTES]
    totals = []
    for power in (log_bytes, log_bytes + more):
        spec[halves] = 512.0
        spec[halves[buffer]] = 2.0**power
        totals.append(sum(systolic.port_bytes(spec, np.array(row), FLOWS.index(flow), order, 1, 1, 1)))
    assert totals[1] <= totals[0]


@laws
@given(gemms, st.sampled_from(FLOWS))
def test_infinite_buffers_leave_the_compulsory_bytes(row, flow):
    huge = {f"{name}_buffer_bytes": 2.0**40 for name in ("weight", "input", "output")}
    result, ops = costs(ARRAYS[0], row, dataflows=(flow,), **huge), table(row)
    assert result.n_bytes[0, 0].tolist() == [ops.weight_bytes[0], ops.input_bytes[0], ops.output_bytes[0]]


@laws
@given(names, st.sampled_from([(1, 1, 1), (1, 2, 1), (2, 1, 2)]))
def test_doubling_every_dimension_of_a_large_product_costs_eight_times(name, aspect):
    """Within 10 %: padding, waves, fill and the launch vanish."""
    huge = 16384 // 2 if name.startswith("spatial") else 16384
    m, k, n = (huge * factor for factor in aspect)
    free = {} if name in ARRAYS else {"launch_s": 0.0}
    changes = {"port_bandwidth_bytes_per_s": 1e18} if name in ARRAYS else free
    one, eight = (costs(name, gemm(s * m, s * k, s * n), **changes).latency_s[0, 0] for s in (1, 2))
    assert eight / one == pytest.approx(8, rel=0.1)


@laws
@given(names, st.sampled_from(list(OpKind)))
def test_zero_work_takes_no_dynamic_energy(name, kind):
    result = costs(name, (int(kind), *[0] * 10, 8, 8))
    assert result.energy_j[0, 0].sum() == 0
    assert result.n_bytes[0, 0].sum() == 0
    if result.supported[0, 0]:
        assert result.latency_s[0, 0] == result.fixed_s[0, 0]


@laws
@given(names, gemms)
def test_products_of_wider_operands_never_cost_less_energy(name, row):
    """Multipliers alone: fewer bits may make another, faster mapping the best, with more accesses."""
    results = [costs(name, (*row[:-2], bits, bits)) for bits in (4, 8, 16)]
    mac_j = [result.energy_j[0, 0, 0] if result.supported[0, 0] else np.inf for result in results]
    assert mac_j == sorted(mac_j)


@laws
@given(st.sampled_from(ROOFLINE), gemms)
def test_fewer_bits_move_fewer_bytes(name, row):
    four, eight = (costs(name, (*row[:-2], bits, bits)) for bits in (4, 8))
    assert four.n_bytes[0, 0].sum() <= eight.n_bytes[0, 0].sum()


@laws
@given(st.sampled_from(ARRAYS), sizes, sizes, sizes, sizes)
def test_packed_groups_take_no_longer_than_groups_one_by_one(name, m, k, n, groups):
    fields = {"port_bandwidth_bytes_per_s": 1e18, "launch_s": 0.0}
    together, alone = (costs(name, gemm(m, k, n, count), **fields).latency_s[0, 0] for count in (groups, 1))
    assert together <= groups * alone * (1 + 1e-12)
    assert together * peak(DEVICES[name][1], 8) >= groups * m * k * n * (1 - 1e-12)


@laws
@given(st.sampled_from(ROOFLINE), gemms, st.floats(1, 10))
def test_the_launch_adds_to_every_op(name, row, launch_us):
    free, launched = costs(name, row, launch_s=0.0), costs(name, row, launch_s=launch_us * 1e-6)
    assert launched.latency_s[0, 0] - free.latency_s[0, 0] == pytest.approx(launch_us * 1e-6, rel=1e-6)
    assert (launched.energy_j == free.energy_j).all()

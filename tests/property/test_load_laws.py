"""Laws that hold for every load: nothing starts early, work is conserved, bounds hold, and units do not matter."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cosim
from cosim.simulation.arrivals import Stream
from cosim.simulation.load import ORDERS, Load
from cosim.simulation.load_bed import Bed
from cosim.simulation.load_result import LoadResult

NAMES = ("lenet5", "mlp")


@cache
def chip():
    return cosim.load_chip("edge_npu_soc")


@cache
def network(name):
    return cosim.load_workload(name)


@cache
def bed_of(names: tuple[str, ...]) -> Bed:
    return Load(chip(), [Stream(network(name)) for name in names], policy="heft", saturated=True).bed()


@st.composite
def loads(draw: st.DrawFn) -> Load:
    """One or two networks at up to 90 % of what their bottleneck carries."""
    names = tuple(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True)))
    bed, share = bed_of(names), draw(st.floats(0.05, 0.9))
    streams = []
    for name, demand_s in zip(names, bed.demand_s, strict=True):
        rate = share / len(names) / float(demand_s.max())
        how = {"rate_per_s": rate} if draw(st.booleans()) else {"period_s": 1 / rate}
        deadline_s = draw(st.floats(1e-6, 1e-3))
        streams.append(Stream(network(name), **how, deadline_s=deadline_s, priority=draw(st.integers(0, 2))))
    return Load(
        chip(),
        streams,
        policy="heft",
        seed=draw(st.integers(0, 1000)),
        n_inferences=draw(st.integers(2, 40)),
        order=draw(st.sampled_from(ORDERS)),
        in_flight=draw(st.one_of(st.none(), st.integers(1, 4))),
        fidelity=draw(st.sampled_from(["event", "mapped"])),
    )


def unloaded_s(result: LoadResult) -> np.ndarray:
    return np.array([stream.unloaded_s for stream in result.streams])[result.records.stream]


@settings(max_examples=40, deadline=None)
@given(load=loads())
def test_nothing_starts_before_it_arrives_and_everything_ends(load):
    result = load.run()
    records = result.records
    assert (records.start_s >= records.arrival_s).all()
    assert np.isfinite(records.end_s).all()
    assert records.stream.size == load.n_inferences
    if load.in_flight is not None:
        assert result.most_in_flight <= load.in_flight * len(load.streams)


@settings(max_examples=40, deadline=None)
@given(load=loads())
def test_utilization_and_throughput_keep_to_their_bounds(load):
    result = load.run()
    assert all(0.0 <= use.utilization <= 1.0 + 1e-9 for use in result.uses if use.kind == "device")
    assert all(use.offered < 1.0 for use in result.uses if use.kind == "device")
    length_s = result.window_s[1] - result.window_s[0]
    ends = result.throughput_per_s * length_s
    assert ends == pytest.approx(round(ends), abs=1e-6)
    assert result.energy.dynamic_j >= 0.0


@settings(max_examples=25, deadline=None)
@given(load=loads())
def test_without_contention_and_with_one_stream_nobody_is_faster_than_alone(load):
    alone = Load(chip(), load.streams[:1], policy="heft", n_inferences=load.n_inferences, fidelity="mapped", seed=load.seed).run()
    latency_s = alone.records.end_s - alone.records.start_s
    assert (latency_s >= unloaded_s(alone) * (1 - 1e-9)).all()


@settings(max_examples=25, deadline=None)
@given(load=loads(), extra=st.integers(1, 20))
def test_under_fifo_without_contention_later_arrivals_change_nothing_on_one_device(load, extra):
    """What arrives later has a lower priority and finds the device taken: the first inferences end as before."""
    n = load.n_inferences or 2
    times = [Load(chip(), load.streams, policy="single:npu", n_inferences=k, fidelity="mapped").run().records.end_s for k in (n, n + extra)]
    bed = Load(chip(), load.streams, policy="single:npu", fidelity="mapped").bed()
    if len(set(bed.plan.assignment.tolist())) == 1:
        assert times[1][:n] == pytest.approx(times[0], rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(load=loads())
def test_saturated_throughput_does_not_beat_the_bottleneck(load):
    result = Load(chip(), load.streams, policy="heft", saturated=True, n_inferences=40, in_flight=load.in_flight or 3).run()
    slack = result.most_in_flight / result.records.counted.sum()
    assert result.throughput_per_s <= result.bound_per_s * (1 + slack + 1e-6)
    assert result.throughput_per_s > 0

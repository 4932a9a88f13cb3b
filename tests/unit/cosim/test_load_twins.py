"""Whole loads beside queues played by hand: one server in every order, two in a row, windows, Little's law, units, energy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.plan import Schedule, save_schedule
from cosim.simulation import load_measure as measure
from cosim.simulation.arrivals import Stream
from cosim.simulation.load import DEFAULT_INFERENCES, ORDERS, Load
from cosim.simulation.load_result import Energy, Little
from cosim.simulation.power import Gating
from workloads.errors import SimulationError

TRACES = st.lists(st.integers(0, 120), min_size=1, max_size=9).map(lambda halves: tuple(half / 2 for half in sorted(halves)))


def server(hand, mac_s=1.0, **more):
    return hand.chip({"cpu": {"mac_s": mac_s, **more}})


def load(chip, *streams, **options):
    return Load(chip, streams, **{"policy": "single:cpu", "fidelity": "mapped", "warmup": 0.0} | options)


def queue_by_hand(jobs, order, limit):
    """Jobs (arrival, stream, service, deadline, priority) on one server: whenever it is free, the first by the order that may start."""
    keys = {"fifo": lambda i: i, "priority": lambda i: (-jobs[i][4], i), "edf": lambda i: (jobs[i][0] + jobs[i][3], i)}
    before = {}
    for stream in {job[1] for job in jobs}:
        own = [i for i, job in enumerate(jobs) if job[1] == stream]
        before.update({i: own[at - limit] for at, i in enumerate(own) if limit is not None and at >= limit})
    end_s, now_s = {}, 0.0
    while len(end_s) < len(jobs):
        may = [i for i, job in enumerate(jobs) if i not in end_s and job[0] <= now_s and before.get(i, -1) in {-1, *end_s}]
        if not may:
            now_s = min(job[0] for i, job in enumerate(jobs) if i not in end_s and job[0] > now_s)
            continue
        first = min(may, key=keys[order])
        now_s = end_s[first] = now_s + jobs[first][2]
    return [end_s[i] for i in range(len(jobs))]


@settings(max_examples=60, deadline=None)
@given(
    traces=st.lists(TRACES, min_size=1, max_size=3),
    order=st.sampled_from(ORDERS),
    limit=st.one_of(st.none(), st.integers(1, 2)),
    data=st.data(),
)
def test_one_server_serves_as_a_queue_by_hand(hand, traces, order, limit, data):
    """A layer of 2 to 3, 4, 5 takes 6, 8, 10 s; ties go to the stream that is named first."""
    due = [data.draw(st.sampled_from([7.0, 12.25, 40.0])) for _ in traces]
    first = [float(data.draw(st.integers(0, 2))) for _ in traces]
    streams = [Stream(hand.line(2, 3 + k), arrivals_s=t, deadline_s=due[k], priority=first[k], name=f"s{k}") for k, t in enumerate(traces)]
    result = load(server(hand), *streams, order=order, in_flight=limit).run()
    jobs = sorted((t, k, 6.0 + 2 * k, due[k], first[k]) for k, trace in enumerate(traces) for t in trace)
    expected = queue_by_hand(jobs, order, limit)
    assert result.records.end_s == pytest.approx(np.array(expected), rel=1e-9)
    for k, stream in enumerate(result.streams):
        late = [end - job[0] > due[k] * (1 + 1e-9) for job, end in zip(jobs, expected, strict=True) if job[1] == k]
        assert (stream.n, stream.misses) == (len(late), sum(late))


@settings(max_examples=40, deadline=None)
@given(trace=TRACES, seed=st.integers(0, 99))
def test_little_holds_exactly_over_a_trace_that_has_finished(hand, trace, seed):
    """The integral of N from the first arrival to the last end is the sum of latencies, here by a sweep over all events."""
    records = load(server(hand), Stream(hand.line(2, 3), arrivals_s=trace), seed=seed).run().records
    events = sorted([(t, 1) for t in records.arrival_s.tolist()] + [(t, -1) for t in records.end_s.tolist()])
    area, number, most, before = 0.0, 0, 0, events[0][0]
    for time_s, change in events:
        area += number * (time_s - before)
        number, before = number + change, time_s
        most = max(most, number)
    assert number == 0
    assert area == pytest.approx(float((records.end_s - records.arrival_s).sum()))
    window = (float(records.arrival_s[0]), float(records.end_s.max()))
    in_system = measure.mean_number(records.arrival_s, records.end_s, window)
    rate = len(trace) / (window[1] - window[0])
    assert in_system == pytest.approx(rate * float((records.end_s - records.arrival_s).mean()))
    assert most == measure.most_open(records.arrival_s, records.end_s)


@settings(max_examples=40, deadline=None)
@given(trace=TRACES, warmup=st.floats(0.0, 0.9))
def test_the_window_is_counted_by_hand(hand, trace, warmup):
    """From the arrival of the first that counts to that of the last: ends and busy seconds in between, by plain loops."""
    result = load(server(hand), Stream(hand.line(2, 3), arrivals_s=trace), warmup=warmup).run()
    n, r = len(trace), result.records
    skip = min(int(warmup * n), max(n - 2, 0))
    a, b = trace[skip], trace[-1] if trace[-1] > trace[skip] else float(r.end_s.max())
    assert result.window_s == (a, b)
    assert r.counted.tolist() == [i >= skip for i in range(n)]
    assert result.throughput_per_s == pytest.approx(sum(a < end <= b for end in r.end_s.tolist()) / (b - a))
    busy_s = sum(max(0.0, min(end, b) - max(start, a)) for start, end in zip(r.start_s.tolist(), r.end_s.tolist(), strict=True))
    assert result.uses[0].utilization == pytest.approx(busy_s / (b - a))
    waiting_s = sum(max(0.0, min(end, b) - max(t, a)) for t, end in zip(trace, r.end_s.tolist(), strict=True))
    assert result.little.in_system == pytest.approx(waiting_s / (b - a))
    assert result.little.mean_latency_s == pytest.approx(sum(r.end_s[i] - trace[i] for i in range(skip, n)) / (n - skip))


@settings(max_examples=25, deadline=None)
@given(power=st.integers(-6, 6), rate=st.floats(0.01, 0.15), seed=st.integers(0, 99))
def test_a_chip_k_times_as_fast_under_k_times_the_rates_does_the_same_sooner(hand, power, rate, seed):
    """Time has no scale of its own: every latency becomes 1/k, every utilization stays."""
    k = 2.0**power
    slow, fast = (
        load(server(hand, 1.0 / f), Stream(hand.line(2, 3), rate_per_s=rate * f), n_inferences=50, seed=seed, warmup=0.1).run()
        for f in (1.0, k)
    )
    assert fast.records.end_s * k == pytest.approx(slow.records.end_s, rel=1e-9)
    assert fast.throughput_per_s == pytest.approx(k * slow.throughput_per_s, rel=1e-9)
    assert fast.bound_per_s == pytest.approx(k / 6.0, rel=1e-9)
    assert fast.growth_per_s == pytest.approx(k * slow.growth_per_s, rel=1e-6, abs=1e-9 * k)
    assert fast.uses[0].utilization == pytest.approx(slow.uses[0].utilization, rel=1e-9)
    for name, one in slow.streams[0].latency.items():
        assert fast.streams[0].latency[name].value * k == pytest.approx(one.value, rel=1e-9)


@pytest.mark.parametrize("limit", [None, 1, 2, 3])
def test_two_stations_in_a_row_follow_the_tandem_recursion(hand, tmp_path, limit):
    """D1(i) = max(A(i), D1(i-1), D2(i-L)) + 6, D2(i) = max(D1(i), D2(i-1)) + 12: Lindley for a tandem with L in flight."""
    save_schedule(Schedule.of("line", "hand", [("fc0", "cpu", 2.0), ("fc1", "b", 1.0)]), tmp_path / "row.json")
    chip = hand.chip({"cpu": {}, "b": {}})
    arrivals_s = np.cumsum(np.random.default_rng(11).exponential(13.0, 60)).tolist()
    made = load(chip, Stream(hand.line(2, 3, 4), arrivals_s=arrivals_s), policy=f"fixed:{tmp_path / 'row.json'}", in_flight=limit)
    records = made.run().records
    first, last = [], []
    for i, arrival_s in enumerate(arrivals_s):
        freed_s = last[i - limit] if limit is not None and i >= limit else 0.0
        begin_s = max(arrival_s, first[-1] if first else 0.0, freed_s)
        assert records.start_s[i] == pytest.approx(begin_s, rel=1e-6)
        first.append(begin_s + 6.0)
        last.append(max(first[-1], last[-1] if last else 0.0) + 12.0)
    assert records.end_s == pytest.approx(np.array(last), rel=1e-6)


def test_a_saturated_window_leaves_out_both_ends(hand):
    """20 of 6 s end at 6, 12...: a tenth off each end leaves those after the third end up to the eighteenth, 15 in 90 s."""
    result = load(server(hand), Stream(hand.line(2, 3)), saturated=True, n_inferences=20, warmup=0.1).run()
    assert result.window_s == pytest.approx((18.0, 108.0))
    assert result.records.counted.sum() == 15
    assert result.throughput_per_s == pytest.approx(1 / 6)
    assert result.uses[0].utilization == pytest.approx(1.0)
    assert result.streams[0].latency["mean"].value == pytest.approx(6.0)  # from the first start, not from time 0
    assert result.keeps_up


def test_a_load_plays_2000_unless_it_is_told_otherwise_or_a_trace_ends(hand):
    net = hand.line(1, 1)
    assert load(server(hand), Stream(net, period_s=2.0)).run().records.stream.size == DEFAULT_INFERENCES == 2000
    traces = (Stream(net, arrivals_s=(0.0, 1.0)), Stream(net, arrivals_s=(0.5, 3.0, 4.0)))
    assert load(server(hand), *traces).run().records.stream.tolist() == [0, 1, 0, 1, 1]
    assert load(server(hand), *traces, n_inferences=3).run().records.arrival_s.tolist() == [0.0, 0.5, 1.0]


def test_offered_load_is_the_sum_of_rate_times_demand(hand):
    """0.05 of 6 s a second and one of 2 s every 10 s: 0.3 + 0.2. At 0.25 it is 1.7, so 0.35 fit only 1 / 1.7 times. A burst has no rate."""
    made = load(server(hand), Stream(hand.line(2, 3), rate_per_s=0.05), Stream(hand.line(1, 2), period_s=10.0))
    bed = made.bed()
    assert bed.demand_s[:, 0].tolist() == [6.0, 2.0]
    assert made.offered(bed)[0] == pytest.approx(0.5)
    crowded = replace(made, streams=(Stream(hand.line(2, 3), rate_per_s=0.25, name="big"), made.streams[1]))
    with pytest.raises(SimulationError, match=r"big at 0\.25/s \+ line at 0\.1/s .* busy 170\.0% .* below 0\.2059 .*\(0\.588 times"):
        crowded.run()
    burst = load(server(hand), Stream(hand.line(2, 3), arrivals_s=(1.0, 1.0, 1.0)))
    assert burst.offered(burst.bed())[0] == 0.0
    assert burst.run().records.end_s.tolist() == [7.0, 13.0, 19.0]


def test_gated_energy_of_two_devices_by_hand(hand):
    """One arrives every 10 s up to 90: from 10 to 90 s (warm-up 1 of 10) `cpu` idles 4 s eight times, `b` all 80 s.

    Gated after 1 s at a tenth: cpu saves 8 * 3 s * 0.9 * 2 W = 43.2 J, b (idle since 0, so off from 1 s) 80 s * 0.9 * 0.5 W = 36 J.
    """
    chip = hand.chip({"cpu": {"idle_w": 2.0, "mac_j": 3.0}, "b": {"idle_w": 0.5}}, hand.store("dram", leakage=0.25))
    made = load(chip, Stream(hand.line(2, 3), period_s=10.0), n_inferences=10, warmup=0.1, gating=Gating(1.0, 0.1))
    energy = made.run().energy
    assert energy.dynamic_j == pytest.approx(18.0)
    assert energy.saved_j * 8 == pytest.approx(43.2 + 36.0)
    assert energy.standby_j * 8 == pytest.approx(80 * 2.75 - 79.2)
    assert energy.power_w == pytest.approx((8 * 18.0 + 80 * 2.75 - 79.2) / 80)
    assert energy.total_j == pytest.approx(energy.power_w * 10)


# --- what is measured -------------------------------------------------------------------------------------------------


def quantile_by_hand(values, share):
    """Linear between order statistics: at place share * (n - 1), counted from 0."""
    ordered, place = sorted(values), share * (len(values) - 1)
    low = math.floor(place)
    return ordered[low] + (place - low) * (ordered[min(low + 1, len(values) - 1)] - ordered[low])


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(1e-6, 10.0), min_size=1, max_size=39))
def test_percentiles_of_a_few_are_those_between_neighbors(values):
    found = measure.latency_estimates(np.array(values), np.random.default_rng(0))
    assert found["mean"].value == pytest.approx(math.fsum(values) / len(values))
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        assert found[name].value == pytest.approx(quantile_by_hand(values, share))
        assert (found[name].low, found[name].high) == (None, None)
    assert found["max"].value == max(values)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(40, 200), scale=st.integers(-10, 10))
def test_intervals_hold_their_value_lie_within_the_sample_and_scale_with_it(seed, n, scale):
    values = np.random.default_rng(seed).exponential(1.0, n)
    found, scaled = (measure.latency_estimates(values * f, np.random.default_rng(1)) for f in (1.0, 2.0**scale))
    for name in ("mean", "p50", "p90", "p99"):
        one = found[name]
        assert values.min() <= one.low <= one.value <= one.high <= values.max()
        assert scaled[name].low == pytest.approx(one.low * 2.0**scale)
        assert scaled[name].high == pytest.approx(one.high * 2.0**scale)
    assert found["max"].low is None


@pytest.mark.parametrize("per_block", [2, 7])
def test_the_interval_of_a_mean_is_as_wide_as_twenty_blocks_make_it(per_block):
    """Block i holds i: 20 draws of 0..19 have a mean of 9.5 and deviation sqrt(399 / 12 / 20) = 1.29, 90 % of it within 1.645 * 1.29."""
    mean = measure.latency_estimates(np.repeat(np.arange(20.0), per_block), np.random.default_rng(5))["mean"]
    reach = 1.645 * math.sqrt(399 / 12 / 20)
    assert mean.value == 9.5
    assert (mean.high - mean.low) / 2 == pytest.approx(reach, rel=0.2)
    assert mean.high - 9.5 == pytest.approx(9.5 - mean.low, rel=0.4)


def test_latencies_that_are_all_alike_have_an_interval_of_no_width():
    found = measure.latency_estimates(np.full(100, 0.25), np.random.default_rng(0))
    assert {(one.low, one.value, one.high) for name, one in found.items() if name != "max"} == {(0.25, 0.25, 0.25)}


@settings(max_examples=40, deadline=None)
@given(data=st.data(), n=st.integers(1, 10), n_bins=st.integers(1, 12))
def test_parts_of_a_window_average_to_the_whole(data, n, n_bins):
    start_s = np.array(data.draw(st.lists(st.floats(0, 30), min_size=n, max_size=n)))
    end_s = start_s + np.array(data.draw(st.lists(st.floats(0, 9), min_size=n, max_size=n)))
    parts = measure.number_by_bin(start_s, end_s, (3.0, 21.0), n_bins)
    assert parts.mean() == pytest.approx(measure.mean_number(start_s, end_s, (3.0, 21.0)), abs=1e-9)
    assert (parts >= -1e-9).all()
    assert (parts <= measure.most_open(start_s, end_s) + 1e-9).all()


def test_the_slope_of_a_ramp_is_its_rate():
    """One arrives each second and none ends within 100 s: N grows by 1/s, whatever part of the time is looked at."""
    arrival_s = np.arange(0.0, 100.0)
    for window in ((0.0, 100.0), (20.0, 80.0)):
        slope, keeps_up = measure.growth(arrival_s, np.full(100, 500.0), window, 100)
        assert slope == pytest.approx(1.0, rel=1e-3)
        assert not keeps_up
    assert measure.growth(arrival_s, arrival_s + 2.0, (5.0, 5.0), 10) == (0.0, True)  # no time, no growth


def test_both_sides_of_littles_law_and_sums_of_energy():
    assert Little(6.0, 2.0, 2.5).difference == pytest.approx(0.2)
    assert Little(6.0, 0.0, 2.5).difference is None
    assert Energy(1.5, 0.25, 0.1, 9.0).total_j == 1.75


def test_summary_of_a_hand_made_load_has_its_numbers_under_their_units(hand):
    """10 periodic of 6 s every 8 s, all counted: window 0 to 72 s, nine ends within, 54 s busy."""
    chip = server(hand, idle_w=2.0)
    data = load(chip, Stream(hand.line(2, 3), period_s=8.0, deadline_s=5.0), n_inferences=10, in_flight=4).run().summary()
    assert data["window_s"] == [0.0, 72.0]
    assert data["throughput_per_s"] == pytest.approx(9 / 72)
    assert data["interval_s"] == pytest.approx(8.0)
    assert (data["bound_per_s"], data["bottleneck"]) == (pytest.approx(1 / 6), "cpu")
    assert data["in_flight"] == {"limit": 4, "most": 1}
    assert data["utilization"]["cpu"] == {"kind": "device", "offered": pytest.approx(0.75), "utilization": pytest.approx(0.75)}
    assert data["energy"]["standby_j"] == pytest.approx(72 * 2.0 / 9)
    assert data["little"] == {key: pytest.approx(v) for key, v in zip(data["little"], (0.75, 9 / 72, 6.0, 0.0), strict=True)}
    (stream,) = data["streams"]
    assert (stream["n"], stream["deadline_misses"], stream["rate_per_s"]) == (10, 10, 0.125)
    assert stream["latency_s"]["p99"] == {"value": pytest.approx(6.0), "low": None, "high": None}
    assert all(not isinstance(v, np.generic) for v in (*data.values(), *stream.values()))

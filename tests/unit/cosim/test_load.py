"""A chip under load, on chips made by hand: queueing laws, orders, stability, and both engines alike."""

from __future__ import annotations

import dataclasses
import math
import os

import numpy as np
import pytest

from cosim.engine import compiled, simpy_engine
from cosim.plan import Schedule, save_schedule
from cosim.simulation.arrivals import Stream
from cosim.simulation.load import ORDERS, Load
from cosim.simulation.power import Gating
from cosim.simulation.replicate import replicate
from cosim.simulation.run import Simulation
from workloads.errors import CosimError, ScheduleError, SimulationError, WorkloadError

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"
MANY = 20_000 if COMPILED else 600  # inferences of a law that holds in the long run


@pytest.fixture
def one(hand):
    """One device on which the one op of a network takes 6 s, and nothing else takes time."""
    return hand.chip({"cpu": {"idle_w": 2.0}}), hand.line(2, 3)


@pytest.fixture
def pipeline(hand, tmp_path):
    """Two devices, each with one of two layers: 6 s, then 12 s, and nothing else takes time; and the policy that says so."""
    schedule = Schedule.of("line", "hand", [("fc0", "a", 2.0), ("fc1", "b", 1.0)])
    save_schedule(schedule, tmp_path / "apart.json")
    return hand.chip({"a": {}, "b": {}}), hand.line(2, 3, 4), f"fixed:{tmp_path / 'apart.json'}"


def load(chip, *streams, policy="heft", **options):
    return Load(chip, streams, policy=policy, **options)


def latencies(result):
    return result.records.end_s - result.records.arrival_s


# --- one server, on paper -------------------------------------------------------------------------------------------


def test_arrivals_far_apart_take_exactly_as_long_as_one_alone(one):
    chip, net = one
    result = load(chip, Stream(net, period_s=10.0), n_inferences=50).run()
    alone_s = Simulation(chip, net, "heft").run().latency_s
    assert latencies(result) == pytest.approx(np.full(50, alone_s), rel=1e-9)
    assert result.streams[0].unloaded_s == pytest.approx(alone_s, rel=1e-12)
    assert result.little.in_system == pytest.approx(0.6, rel=1e-9)  # 6 of 10 s


def test_a_trace_is_played_as_lindley_says(one):
    """On one server of service D: wait of the next = max(0, wait + D - gap), Lindley 1952."""
    chip, net = one
    arrivals_s = np.cumsum(np.random.default_rng(1).exponential(9.0, 200))
    result = load(chip, Stream(net, arrivals_s=tuple(arrivals_s))).run()
    wait_s, expected = 0.0, [6.0]
    for gap_s in np.diff(arrivals_s):
        wait_s = max(0.0, wait_s + 6.0 - gap_s)
        expected.append(wait_s + 6.0)
    assert latencies(result) == pytest.approx(np.array(expected), rel=1e-6)
    assert result.records.counted.sum() == 180  # all but a tenth


def test_random_arrivals_wait_as_pollaczek_and_khinchine_say(one):
    """M/D/1: W = D + rho D / (2 (1 - rho))."""
    chip, net = one
    for rho in (0.3, 0.7):
        result = load(chip, Stream(net, rate_per_s=rho / 6.0), n_inferences=MANY).run()
        mean = result.streams[0].latency["mean"]
        expected = 6.0 + rho * 6.0 / (2 * (1 - rho))
        spread = 2.5 * (mean.high - mean.low) / 2  # the 90 % interval, widened to about four standard errors
        assert abs(mean.value - expected) < spread
        assert mean.low <= mean.value <= mean.high


def test_little_holds_and_utilization_is_the_offered_load(one):
    chip, net = one
    result = load(chip, Stream(net, rate_per_s=0.1), n_inferences=MANY, seed=3).run()
    device = result.uses[0]
    assert device.offered == pytest.approx(0.6)
    assert device.utilization == pytest.approx(0.6, abs=4 * 0.6 / math.sqrt(MANY))
    assert abs(result.little.difference) < (0.01 if COMPILED else 0.1)
    assert result.throughput_per_s == pytest.approx(0.1, rel=4 / math.sqrt(MANY))
    assert result.keeps_up


def test_percentiles_are_those_of_the_counted_inferences(one):
    chip, net = one
    result = load(chip, Stream(net, rate_per_s=0.1), n_inferences=500, warmup=0.2).run()
    counted = latencies(result)[100:]
    latency = result.streams[0].latency
    assert latency["p90"].value == pytest.approx(np.quantile(counted, 0.9))
    assert latency["max"].value == counted.max()
    assert latency["p50"].value <= latency["p90"].value <= latency["p99"].value <= latency["max"].value
    assert all(latency[name].low <= latency[name].value <= latency[name].high for name in ("mean", "p50", "p90", "p99"))


def test_the_same_seed_gives_the_same_and_another_seed_another_result(one):
    chip, net = one
    runs = [load(chip, Stream(net, rate_per_s=0.1), n_inferences=60, seed=seed).run() for seed in (0, 0, 1)]
    assert runs[0].summary() == runs[1].summary()
    assert runs[0].throughput_per_s != runs[2].throughput_per_s


# --- pipelining and saturation ----------------------------------------------------------------------------------------


def test_an_inference_starts_while_the_one_before_still_runs(pipeline):
    """One every 12 s, though each takes 18 s: the second starts on the first device when the first has gone on to the second."""
    chip, net, policy = pipeline
    result = load(chip, Stream(net, period_s=12.5), n_inferences=40, policy=policy).run()
    assert latencies(result) == pytest.approx(np.full(40, 18.0), rel=1e-6)
    assert result.most_in_flight == 2
    assert result.little.in_system == pytest.approx(18.0 / 12.5, rel=1e-6)


def test_saturated_throughput_is_that_of_the_bottleneck(pipeline):
    chip, net, policy = pipeline
    result = load(chip, Stream(net), saturated=True, n_inferences=40, policy=policy).run()
    assert result.interval_s == pytest.approx(12.0, rel=1e-6)
    assert result.bound_per_s == pytest.approx(1 / 12, rel=1e-6)
    assert result.bottleneck == "b"
    assert np.sort(result.records.end_s) == pytest.approx(18.0 + 12.0 * np.arange(40), rel=1e-6)
    assert result.uses[1].utilization == pytest.approx(1.0, rel=1e-6)
    assert result.most_in_flight > 10  # the first device runs ahead


def test_two_in_flight_are_enough_to_keep_the_bottleneck_of_two_stages_busy(pipeline):
    chip, net, policy = pipeline
    intervals_s = [
        load(chip, Stream(net), saturated=True, n_inferences=40, policy=policy, in_flight=limit).run().interval_s for limit in (1, 2, 3)
    ]
    assert intervals_s == pytest.approx([18.0, 12.0, 12.0], rel=1e-6)


def test_no_saturated_load_beats_the_bound(hand):
    chip = hand.chip({"a": {}, "b": {"mac_s": 2.0}}, hand.store("dram", bandwidth=20.0))
    for widths in ((2, 3), (3, 5, 2), (4, 4, 4, 4)):
        result = load(chip, Stream(hand.line(*widths)), saturated=True, n_inferences=60, policy="portfolio").run()
        slack = result.most_in_flight / result.records.counted.sum()  # ends come in bunches as large as what is in flight
        assert result.throughput_per_s <= result.bound_per_s * (1 + slack + 1e-6)
        assert result.interval_s == pytest.approx(1 / result.throughput_per_s)
        assert max(use.utilization for use in result.uses) <= 1 + 1e-6


def test_a_limit_in_flight_bounds_what_is_on_the_chip(hand):
    chip, net = hand.chip({"a": {}, "b": {}}), hand.line(2, 3, 4, 2)
    for limit in (1, 2, 3):
        result = load(chip, Stream(net), saturated=True, n_inferences=30, in_flight=limit).run()
        assert result.most_in_flight <= limit
        assert result.little.in_system <= limit + 1e-9
    alone = load(chip, Stream(net), saturated=True, n_inferences=30, in_flight=1).run()
    assert alone.interval_s == pytest.approx(alone.streams[0].unloaded_s, rel=1e-6)


def test_a_backlog_mixes_streams_in_the_ratio_of_their_rates(one, hand):
    chip, net = one
    other = hand.line(1, 2)
    result = load(chip, Stream(net, rate_per_s=3.0), Stream(other, rate_per_s=1.0), saturated=True, n_inferences=80).run()
    assert np.bincount(result.records.stream).tolist() == [60, 20]
    assert result.throughput_per_s == pytest.approx(1 / (0.75 * 6 + 0.25 * 2), rel=0.05)
    assert [use.offered for use in result.uses] == [None] * len(result.uses)


# --- several networks, orders, deadlines ------------------------------------------------------------------------------


def test_networks_share_arrays(hand):
    """Six arrays hold one layer of six weights: with a second network beside it only one of both is resident."""
    chip = hand.chip({"array": {"n_arrays": 6, "mac_j": 0.1}, "cpu": {}})
    alone = load(chip, Stream(hand.line(2, 3), rate_per_s=0.01), n_inferences=10).bed()
    both = load(chip, Stream(hand.line(2, 3), rate_per_s=0.01), Stream(hand.line(3, 2), rate_per_s=0.01), n_inferences=10).bed()
    assert alone.placed.workload.name == "line"
    assert [op.name for op in both.placed.workload.ops] == ["line/fc0", "line#2/fc0"]
    assert sum(both.plan.assignment.tolist()) >= 1  # one of them has to run on the cpu
    assert alone.plan.assignment.tolist() == [0]


def test_streams_of_one_network_share_its_weights(one):
    chip, net = one
    bed = load(chip, Stream(net, rate_per_s=0.01), Stream(net, period_s=50.0)).bed()
    assert len(bed.placed.workload.ops) == 1
    assert bed.tenants.network_of == (0, 0)
    result = load(chip, Stream(net, rate_per_s=0.01), Stream(net, period_s=50.0), n_inferences=30).run()
    assert [stream.name for stream in result.streams] == ["line", "line#2"]


def by_hand(one, order, **more):
    """Three arrive at once, one of them urgent: it comes last."""
    chip, net = one
    patient = Stream(net, arrivals_s=(0.0, 0.0), deadline_s=100.0, priority=0.0)
    urgent = Stream(net, arrivals_s=(1.0,), deadline_s=12.0, priority=5.0)
    return load(chip, patient, urgent, order=order, warmup=0.0, **more).run()


def test_the_earliest_deadline_is_met_where_arrival_order_misses_it(one):
    fifo, edf = by_hand(one, "fifo"), by_hand(one, "edf")
    assert fifo.records.end_s == pytest.approx([6.0, 12.0, 18.0], rel=1e-6)
    assert edf.records.end_s == pytest.approx([6.0, 18.0, 12.0], rel=1e-6)
    assert [stream.misses for stream in fifo.streams] == [0, 1]
    assert [stream.misses for stream in edf.streams] == [0, 0]


def test_a_higher_priority_goes_first_and_nothing_is_preempted(one):
    assert by_hand(one, "priority").records.end_s == pytest.approx([6.0, 18.0, 12.0], rel=1e-6)


def test_deadlines_are_missed_no_more_by_edf_than_by_fifo_where_all_can_be_met(one, hand):
    """One machine, jobs of one length known on arrival: EDF meets every set of deadlines that can be met (Jackson 1955)."""
    chip, net = one
    rng = np.random.default_rng(7)
    for _ in range(5):
        times = [tuple(np.sort(rng.uniform(0, 100, 5)).tolist()) for _ in range(3)]
        streams = [Stream(net, arrivals_s=own, deadline_s=d) for own, d in zip(times, (15.0, 30.0, 60.0), strict=True)]
        missed = [sum(one.misses for one in load(chip, *streams, order=order, warmup=0.0).run().streams) for order in ("fifo", "edf")]
        assert missed[1] <= missed[0]


# --- both engines, energy, power states -------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("in_flight", [None, 2])
def test_both_engines_agree_bit_for_bit(hand, order, in_flight):
    chip = hand.chip({"a": {}, "b": {"mac_s": 0.5}}, hand.store("dram", bandwidth=30.0), links={"b": hand.link(20.0, 0.25)})
    streams = (
        Stream(hand.line(2, 3, 4), rate_per_s=0.02, deadline_s=40.0, priority=1.0),
        Stream(hand.line(3, 3), period_s=45.0, deadline_s=30.0),
    )
    results = [
        load(chip, *streams, order=order, n_inferences=60, in_flight=in_flight, fidelity=fidelity).run() for fidelity in ("event", "simpy")
    ]
    for name in ("start_s", "end_s"):
        assert getattr(results[0].records, name).tobytes() == getattr(results[1].records, name).tobytes()
    a, b = ({k: v for k, v in result.summary().items() if k not in {"fidelity", "provenance"}} for result in results)
    assert a == b


def test_the_replicated_problem_is_one_that_both_engines_play(hand):
    chip = hand.chip({"a": {}, "b": {}}, hand.store("dram", bandwidth=5.0))
    bed = load(chip, Stream(hand.line(3, 4, 2), rate_per_s=0.01)).bed()
    copy = replicate(bed.placed.problem, bed.tenants.first_op, np.zeros(12, np.int64), np.arange(12) * 7.0, np.arange(12))
    one, other = compiled.play(copy.problem), simpy_engine.play(copy.problem)
    assert one.end_s.tobytes() == other.end_s.tobytes()
    assert one.moved_bytes == pytest.approx(12 * compiled.play(bed.placed.problem).moved_bytes)


def test_energy_of_an_inference_is_that_of_a_run_and_its_share_of_standby(hand):
    """At one inference every 10 s the chip's 2 W cost each 20 J, whatever it does itself."""
    chip, net = hand.chip({"cpu": {"idle_w": 2.0, "mac_j": 3.0}}, hand.store("dram", read=0.5, write=0.25)), hand.line(2, 3)
    alone = Simulation(chip, net, "heft").run()
    itself_j = sum(row.energy_j for row in alone.rows if row.op)
    result = load(chip, Stream(net, period_s=10.0), n_inferences=50).run()
    assert result.energy.dynamic_j == pytest.approx(itself_j)
    assert result.energy.standby_j == pytest.approx(20.0, rel=1e-6)
    assert result.energy.power_w == pytest.approx((itself_j + 20.0) / 10.0, rel=1e-6)


def test_gating_saves_idle_power_after_its_time(one):
    """6 of 10 s busy, 4 idle: gated after 1 s at a quarter of 2 W, each gap saves 3 s * 1.5 W."""
    chip, net = one
    plain, gated = (load(chip, Stream(net, period_s=10.0), n_inferences=50, gating=g).run() for g in (None, Gating(1.0, 0.25)))
    assert plain.energy.saved_j == 0.0
    assert gated.energy.saved_j == pytest.approx(4.5, rel=1e-6)
    assert gated.energy.total_j == pytest.approx(plain.energy.total_j - 4.5, rel=1e-6)
    assert (gated.records.end_s == plain.records.end_s).all()


# --- stability and bad input ------------------------------------------------------------------------------------------


def test_a_device_with_more_to_do_than_time_is_refused_by_name_and_largest_rate(one):
    chip, net = one
    with pytest.raises(
        SimulationError, match=r"unstable: line at 0\.2/s .* device 'cpu' of hand busy 120\.0% .* below 0\.1667 inferences/s"
    ):
        load(chip, Stream(net, rate_per_s=0.2)).run()
    with pytest.raises(SimulationError, match="unstable"):
        load(chip, Stream(net, period_s=6.0)).run()  # exactly 1
    assert load(chip, Stream(net, rate_per_s=0.16), n_inferences=40).run().uses[0].offered == pytest.approx(0.96)


@pytest.mark.parametrize(("backing", "link", "word"), [(4.0, 1e9, "memory 'dram'"), (1e9, 4.0, "link 'cpu'")])
def test_a_memory_or_link_that_is_overloaded_is_named(hand, backing, link, word):
    """The op takes 1 s inside, and moves 11 bytes in 2.75 s: at one every 2 s that is too much for 4 B/s."""
    chip = hand.chip({"cpu": {"mac_s": 1 / 6}, "b": {"mac_s": 9.0}}, hand.store("dram", bandwidth=backing), links={"cpu": hand.link(link)})
    made = load(chip, Stream(hand.line(2, 3), period_s=2.0), policy="single:cpu")
    bed = made.bed()
    rho = dict(zip(bed.resources, made.offered(bed), strict=True))
    name = word.split("'")[1]
    assert rho[name if name == "dram" else f"link {name}"] == pytest.approx(11 / 4 / 2)
    with pytest.raises(SimulationError, match="unstable"):
        made.run()


def test_without_contention_only_devices_bind(hand):
    chip = hand.chip({"a": {}, "b": {}}, hand.store("dram", bandwidth=3.0))
    bed = load(chip, Stream(hand.line(2, 3)), saturated=True, fidelity="mapped").bed()
    assert [kind for kind, binds in zip(bed.kinds, bed.binds, strict=True) if binds] == ["device", "device"]


def test_a_trace_beyond_capacity_ends_and_says_so(one):
    chip, net = one
    result = load(chip, Stream(net, arrivals_s=tuple(float(t) for t in range(400)))).run()
    assert not result.keeps_up
    assert result.growth_per_s == pytest.approx(5 / 6, rel=0.02)  # one arrives a second, one ends every six
    assert any("offers cpu a load of 6.00" in text for text in result.notes)
    assert load(chip, Stream(net, arrivals_s=(3.0,))).run().little.in_system == pytest.approx(1.0)


BAD = {
    "order": ({"order": "lifo"}, "order 'lifo' is not known; .*fifo"),
    "fidelity": ({"fidelity": "evnt"}, "fidelity 'evnt' is not known; did you mean 'event'"),
    "bound": ({"fidelity": "bound"}, "is a ceiling without a placement"),
    "seed": ({"seed": -1}, "seed -1 is negative"),
    "few": ({"n_inferences": 1}, "1 inferences are too few"),
    "warmup": ({"warmup": 1.0}, "warm-up share 1.0 is out of range"),
    "warmup_saturated": ({"warmup": 0.5, "saturated": True}, "warm-up share 0.5 is out of range"),
    "in_flight": ({"in_flight": 0}, "0 inferences in flight are too few"),
    "edf": ({"order": "edf"}, "order edf needs the deadline of at least one stream"),
    "dvfs": ({"dvfs": {"cpux": 0.5}}, "dvfs cpux: no such device on hand; did you mean 'cpu'"),
    "policy": ({"policy": "hfet"}, "policy 'hfet' is not known"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_out_of_range_is_refused(one, name):
    chip, net = one
    options, message = BAD[name]
    with pytest.raises(CosimError, match=message):
        load(chip, Stream(net, rate_per_s=0.01), **options).run()


def test_a_load_without_streams_rates_or_ops_is_refused(one):
    chip, net = one
    with pytest.raises(SimulationError, match="no stream is given"):
        load(chip).run()
    with pytest.raises(SimulationError, match=r"stream line has no rate; give one \(line@100\)"):
        load(chip, Stream(net)).run()
    with pytest.raises(WorkloadError, match="nothing to simulate"):
        load(chip, Stream(dataclasses.replace(net, ops=()), rate_per_s=1.0)).run()
    with pytest.raises(SimulationError, match="would run one stream after the other"):
        load(chip, Stream(net), Stream(net), saturated=True, order="priority").run()


def test_a_saved_placement_is_played(one, tmp_path):
    chip, net = one
    first = load(chip, Stream(net, period_s=10.0), n_inferences=20).run()
    save_schedule(first.schedule, tmp_path / "plan.json")
    again = load(chip, Stream(net, period_s=10.0), n_inferences=20, policy=f"fixed:{tmp_path / 'plan.json'}").run()
    assert (again.records.end_s == first.records.end_s).all()
    grown = dataclasses.replace(net, ops=(*net.ops, dataclasses.replace(net.ops[0], name="more", outputs=())))
    with pytest.raises(ScheduleError, match="not scheduled"):
        load(chip, Stream(grown, period_s=20.0), policy=f"fixed:{tmp_path / 'plan.json'}").run()


def test_a_long_run_says_how_much_it_plays(one, monkeypatch):
    chip, net = one
    monkeypatch.setattr("cosim.simulation.load.SAY_FROM_FLOWS", 50)
    told = []
    load(chip, Stream(net, period_s=10.0), n_inferences=50).run(told.append)
    assert told == ["playing 50 inferences: 50 ops and 0 edges ..."]

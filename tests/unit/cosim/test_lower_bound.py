"""Bounds by hand, and against every placement and every order of small networks: none is beaten, and simple cases are met."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cosim
from cosim.engine.simpy_engine import play
from cosim.scheduling.base import Plan
from cosim.simulation.accounting import account
from cosim.simulation.costs import cost_ops
from cosim.simulation.lower_bound import ROUNDING, floor_of
from cosim.simulation.placed import instance_of, place, tables_of
from cosim.simulation.residency import plan_residency
from cosim.simulation.traffic import plan_traffic
from workloads.builder import GraphBuilder
from workloads.graph import OpKind


def floor(made, network, mode="fair", tight=False):
    costs = cost_ops(made, network)
    residency = plan_residency(made, network, costs)
    traffic = plan_traffic(made, network, costs, residency)
    instance = instance_of(made, network, traffic, residency)
    return floor_of(made, costs, traffic, residency, instance, shared=mode == "fair", tight=tight)


def best(made, network, mode):
    """Least makespan and least energy over all placements and all orders of the ops."""
    costs = cost_ops(made, network)
    residency = plan_residency(made, network, costs)
    traffic = plan_traffic(made, network, costs, residency)
    n = len(network.ops)
    makespan_s, energy_j = [], []
    for assignment in product(*[np.flatnonzero(row).tolist() for row in costs.supported]):
        orders = permutations(range(n)) if n < 4 else [range(n), reversed(range(n))]
        for order in orders:
            plan = Plan(np.array(assignment), np.array(list(order), float), np.zeros(n), np.zeros(n), 0.0)
            placed = place(costs, traffic, tables_of(made, network, traffic, residency, mode), plan)
            playback = play(placed.problem)
            book = account(made, costs, traffic, residency, placed, playback, mode)
            makespan_s.append(playback.makespan_s)
            energy_j.append(sum(row.energy_j for row in book.rows))
    return min(makespan_s), min(energy_j)


def diamond():
    """One op that two others read, and a last one that reads both."""
    build = GraphBuilder("diamond")
    y = build.linear(build.input("x", 1, 4), 3, bias=False, name="fc")
    a, b = build.elementwise("Relu", y, name="a"), build.elementwise("Sigmoid", y, name="b")
    return build.build(build.add(a, b, name="sum"))


def fork():
    """Two products that read one input and have nothing to do with each other."""
    build = GraphBuilder("fork")
    x = build.input("x", 1, 4)
    return build.build(build.linear(x, 3, bias=False, name="left"), build.linear(x, 5, bias=False, name="right"))


device = st.fixed_dictionaries(
    {
        "mac_s": st.sampled_from([0.1, 1.0, 3.0]),
        "vector_s": st.sampled_from([0.1, 1.0, 3.0]),
        "mac_j": st.sampled_from([1.0, 4.0]),
        "reads": st.sampled_from([0.5, 1.0, 2.0]),
        "launch_s": st.sampled_from([0.0, 0.5]),
        "idle_w": st.sampled_from([0.0, 0.2]),
    }
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    devices=st.lists(device, min_size=1, max_size=2),
    bandwidth=st.sampled_from([0.5, 2.0, 1e9]),
    links=st.lists(st.tuples(st.sampled_from([0.5, 4.0, 1e9]), st.sampled_from([0.0, 1.0])), min_size=2, max_size=2),
    with_shared=st.booleans(),
    shape=st.sampled_from(["line", "diamond", "fork"]),
    mode=st.sampled_from(["fair", "none"]),
)
def test_no_placement_in_any_order_beats_the_bound(hand, devices, bandwidth, links, with_shared, shape, mode):
    names = [f"d{i}" for i in range(len(devices))]
    made = hand.chip(
        dict(zip(names, devices, strict=True)),
        hand.store("dram", bandwidth=bandwidth, read=1.0, write=2.0, leakage=0.1),
        shared=hand.store("shared", capacity=6, bandwidth=3 * bandwidth, read=0.1) if with_shared else None,
        links={name: hand.link(*links[i], energy=0.5) for i, name in enumerate(names)},
    )
    network = {"line": lambda: hand.line(4, 3, 2, 2), "diamond": diamond, "fork": fork}[shape]()
    found, tight = floor(made, network, mode), floor(made, network, mode, tight=True)
    makespan_s, energy_j = best(made, network, mode)
    assert 0 < found.makespan_s <= tight.makespan_s * (1 + 1e-12) <= makespan_s
    assert 0 < found.energy_j <= tight.energy_j * (1 + 1e-12) <= energy_j


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n_arrays=st.integers(1, 12),
    n_scratch=st.sampled_from([0, 0, 1]),
    per_array=st.sampled_from([3, 6, 12]),
    cpu=st.sampled_from([0.5, 4.0]),
    bandwidth=st.sampled_from([1.0, 1e9]),
    shared_bytes=st.sampled_from([0, 12, 40]),
    batch=st.sampled_from([1, 6]),
    fidelity=st.sampled_from(["event", "mapped"]),
)
def test_no_placement_beats_it_when_arrays_and_pinned_weights_change_hands(
    hand, n_arrays, n_scratch, per_array, cpu, bandwidth, shared_bytes, batch, fidelity
):
    """What runs elsewhere leaves its arrays to copies of others, and looks for a place among the pinned weights."""
    cim = {"kinds": (OpKind.MATMUL,), "n_arrays": n_arrays, "n_scratch": n_scratch, "per_array": per_array, "write_s": 0.3, "mac_s": 1.0}
    made = hand.chip(
        {"cim": cim, "cpu": {"mac_s": cpu, "mac_j": 3.0}},
        hand.store("dram", bandwidth=bandwidth, read=1.0, write=2.0, leakage=0.1),
        shared=hand.store("shared", capacity=shared_bytes, bandwidth=4 * bandwidth, read=0.1) if shared_bytes else None,
    )
    simulation = cosim.Simulation(made, hand.line(4, 3, 4, 2, batch=batch), fidelity=fidelity)
    supported, n = simulation.instance().supported, 3
    runs = []
    for assignment in product(*[np.flatnonzero(row).tolist() for row in supported]):
        plan = Plan(np.array(assignment), np.arange(n, 0, -1, dtype=float), np.zeros(n), np.zeros(n), 0.0)
        runs.append(simulation.run(plan=plan, tight=len(runs) == 0))
    for result in runs:
        assert 0 < result.floor.makespan_s <= min(other.latency_s for other in runs)
        assert 0 < result.floor.energy_j <= min(other.energy_j for other in runs)
    assert runs[0].floor.makespan_s >= max(result.floor.makespan_s for result in runs) * (1 - 1e-12)


def test_all_arrays_for_one_op_is_not_promised_to_every_op(hand):
    """Two ops of 12 s on one array each, 4 arrays: two copies each halve both, 12 s in all; four copies for both would be 6 s."""
    made = hand.chip({"cim": {"n_arrays": 4, "per_array": 12, "kinds": (OpKind.MATMUL,)}, "cpu": {"mac_s": 100.0, "mac_j": 9.0}})
    simulation = cosim.Simulation(made, hand.line(3, 1, 3, batch=4))
    result = simulation.run(tight=True)
    assert result.latency_s == pytest.approx(12)
    assert 11 <= result.floor.makespan_s <= 12


def test_a_chain_on_one_device_is_at_its_bound(hand):
    """4 x 3 and 3 x 2 MACs of 1 s: 18 s, and nothing else to wait for."""
    made = hand.chip({"cpu": {}})
    assert floor(made, hand.line(4, 3, 2)).makespan_s == pytest.approx(18)
    assert floor(made, hand.line(4, 3, 2)).argument == "the longest chain of ops and transfers"


def test_what_must_cross_counts_with_its_latencies_and_its_bytes(hand):
    """12 s on the npu, then 3 bytes over links of 1 byte/s and 2 s each, then 3 vector operations of 1 s on the dsp."""
    build = GraphBuilder("pair")
    y = build.linear(build.input("x", 1, 4), 3, bias=False, name="fc")
    network = build.build(build.softmax(y))
    devices = {"npu": {"kinds": (OpKind.MATMUL,)}, "dsp": {"kinds": (OpKind.SOFTMAX,), "vector_s": 0.0, "launch_s": 5.0}}
    made = hand.chip(devices, links={name: hand.link(1.0, 2.0) for name in devices})
    fc_s = 12 + 4 + 3  # weights, input and output cross the link of the npu at 1 byte/s: more than its MACs take
    found = floor(made, network)
    assert found.makespan_s <= fc_s + 2 + 2 + 3 + 5 + 3
    assert found.makespan_s == pytest.approx(best(made, network, "fair")[0])


def test_what_nothing_reads_together_is_spread_over_the_devices(hand):
    """Ten products of 12 s on two equal devices: 60 s."""
    build = GraphBuilder("wide")
    x = build.input("x", 1, 4)
    network = build.build(*(build.linear(x, 3, bias=False, name=f"fc{i}") for i in range(10)))
    found = floor(hand.chip({"a": {}, "b": {}}), network)
    assert found.makespan_s == pytest.approx(60)
    assert found.argument == "the work of all ops on all devices"


def test_bytes_of_a_shared_memory_count_where_devices_would_have_time(hand):
    """Two products side by side read 4 + 12 and 4 + 20 bytes and write 3 + 5: 48 bytes at 1 byte/s, though the MACs take 2 s."""
    devices = {name: {"mac_s": 0.1} for name in ("a", "b")}
    made = hand.chip(devices, hand.store("dram", bandwidth=1.0))
    assert floor(made, fork()).makespan_s == pytest.approx(48)
    assert floor(made, fork()).argument == "the bytes that go through dram"
    assert best(made, fork(), "fair")[0] == pytest.approx(48)
    assert floor(made, fork(), "none").makespan_s < 48  # where nothing is shared, they do not wait for each other


def test_the_least_energy_takes_each_op_where_it_costs_least(hand):
    """18 MACs of 1 J; 4 + 12 and 3 + 6 bytes read at 1 J, 3 + 2 written at 2 J; 0.5 W over the bound of 18 s."""
    devices = {"cpu": {"mac_s": 10.0, "mac_j": 1.0}, "npu": {"mac_s": 1.0, "mac_j": 5.0}}
    made = hand.chip(devices, hand.store("dram", read=1.0, write=2.0, leakage=0.5))
    assert floor(made, hand.line(4, 3, 2)).energy_j == pytest.approx(18 + 25 + 10 + 9)


@pytest.mark.parametrize("policy", ["heft", "greedy", "single"])
@pytest.mark.parametrize("fidelity", ["mapped", "event"])
def test_real_runs_do_not_beat_it(policy, fidelity):
    result = cosim.Simulation(cosim.load_chip("edge_cim_soc"), cosim.load_workload("resnet18"), policy, fidelity).run(tight=True)
    assert 0 < result.floor.makespan_s <= result.latency_s
    assert 0 < result.floor.energy_j <= result.energy_j
    assert result.gap == result.latency_s / result.floor.makespan_s - 1


def test_the_bound_rung_is_its_own_bound():
    result = cosim.Simulation(cosim.load_chip("edge_npu_soc"), cosim.load_workload("lenet5"), fidelity="bound").run()
    assert result.gap == 0
    assert result.floor.energy_j == result.energy_j


def test_it_gives_way_to_what_an_engine_rounds():
    assert 1e-9 < ROUNDING < 1e-6

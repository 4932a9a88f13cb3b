"""Placements, fronts and optima of chips and graphs that can be worked out on paper, against all placements there are."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosim.scheduling.base import Instance, Plan, make_policy
from cosim.scheduling.bounds import lower_bound_s
from cosim.scheduling.checker import check_plan
from cosim.scheduling.fixed import instance_tables
from cosim.scheduling.generate import random_instance
from cosim.scheduling.instance import Goal
from cosim.scheduling.objective import loss_of
from cosim.scheduling.search import front
from cosim.simulation.front import Front, _Candidates, unbeaten
from cosim.simulation.placement import OBJECTIVES, Placement, check_loss, energy_weight_of, loads
from cosim.simulation.result import Floor
from cosim.simulation.run import Simulation
from cosim.simulation.uncertainty import Exposure
from workloads.errors import ScheduleError

MOVES = 900  # for nine weights of energy
RNG = np.random.default_rng(0)


@pytest.fixture
def simulation(hand):
    """A slow cpu of 1 J a MAC and a fast npu of 5 J; 12 MACs in fc0, 6 in fc1; memories and links take and spend nothing."""
    made = hand.chip({"cpu": {"mac_s": 10.0, "mac_j": 1.0}, "npu": {"mac_s": 1.0, "mac_j": 5.0}})
    return Simulation(made, hand.line(4, 3, 2), "single:cpu")


@pytest.fixture
def result(simulation):
    return on(simulation, 0, 0)


def on(simulation, *devices):
    """The run of a placement, ops in order."""
    nothing = np.zeros(len(devices))
    plan = Plan(np.array(devices, np.int64), np.arange(len(devices), 0, -1).astype(float), nothing, nothing, 0.0)
    return simulation.run(plan=plan)


def like(result, latency_s, energy_j):
    """A run of other numbers."""
    rows = (result.rows[0]._replace(energy_j=energy_j),)
    return replace(result, latency=Exposure(latency_s), rows=rows)


# --- one placement ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("devices", "latency_s", "energy_j", "busy_s"),
    [
        ((0, 0), 180.0, 18.0, (180.0, 0.0)),
        ((0, 1), 126.0, 42.0, (120.0, 6.0)),
        ((1, 0), 72.0, 66.0, (60.0, 12.0)),
        ((1, 1), 18.0, 90.0, (0.0, 18.0)),
    ],
)
def test_every_placement_of_two_ops(simulation, devices, latency_s, energy_j, busy_s):
    """A chain: one device works at a time, so that busy times add up to the makespan, and what both spend to the energy."""
    result = on(simulation, *devices)
    assert (result.latency_s, result.energy_j) == (pytest.approx(latency_s), pytest.approx(energy_j))
    cpu, npu = loads(result)
    assert (cpu.busy_s, npu.busy_s) == (pytest.approx(busy_s[0]), pytest.approx(busy_s[1]))
    assert cpu.share + npu.share == pytest.approx(1)
    assert (cpu.n_ops, npu.n_ops) == (devices.count(0), devices.count(1))
    assert cpu.energy_j + npu.energy_j == pytest.approx(energy_j)
    assert cpu.energy_j == pytest.approx(1.0 * (12 * (devices[0] == 0) + 6 * (devices[1] == 0)))
    data = Placement(Goal(), result).summary()
    crossing = devices[0] != devices[1]
    assert data["transfers"] == {"n": int(crossing), "bytes": 3.0 * crossing}  # three outputs of fc0, a byte each
    assert data["devices"]["cpu"]["busy_s"] == cpu.busy_s


def test_a_device_waits_for_a_transfer_and_is_not_busy_meanwhile(hand):
    """3 bytes from the cpu to the npu: a second of latency on either link, then 3 s at 1 byte/s."""
    links = {name: hand.link(bandwidth=1.0, latency=1.0) for name in ("cpu", "npu")}
    made = hand.chip({"cpu": {"mac_s": 1.0, "reads": 0.0}, "npu": {"mac_s": 1.0, "reads": 0.0}}, links=links)
    result = on(Simulation(made, hand.line(4, 3, 2), fidelity="mapped"), 0, 1)
    (crossing,) = result.transfers
    rows = loads(result)
    assert sum(row.busy_s for row in rows) + crossing.end_s - crossing.start_s == pytest.approx(result.latency_s)
    assert sum(row.share for row in rows) < 1
    assert crossing.n_bytes == 3
    assert crossing.end_s - crossing.start_s == pytest.approx(1 + 1 + 3)


def test_a_ratio_is_of_what_was_minimized(simulation):
    """Twice as fast for four times the energy: half, as much again, the square root between, and twice the product."""
    result = on(simulation, 0, 0)
    mine, other = like(result, 5.0, 40.0), like(result, 10.0, 10.0)
    for weight, expected in ((0.0, 0.5), (1.0, 4.0), (0.25, 0.5**0.75 * 4**0.25), (0.5, 2.0)):
        assert Placement(Goal(weight), mine, other).ratio == pytest.approx(expected)
    assert Placement(Goal(), mine, like(result, 0.0, 1.0)).ratio is None
    assert Placement(Goal(), mine).ratio is None


def test_a_gap_is_that_of_the_objective_over_both_bounds(simulation):
    """At 1.5 times the least time and 1.2 times the least energy."""
    result = replace(like(on(simulation, 0, 0), 15.0, 24.0), floor=Floor(10.0, 20.0, "by hand"))
    for weight, expected in ((0.0, 0.5), (1.0, 0.2), (0.5, 1.5 * 1.2 - 1), (0.2, 1.5**0.8 * 1.2**0.2 - 1)):
        assert Placement(Goal(weight), result).gap == pytest.approx(expected)
    assert Placement(Goal(1.0), replace(result, floor=Floor(10.0, 0.0, ""))).gap is None
    assert Placement(Goal(0.0), replace(result, floor=Floor(10.0, 0.0, ""))).gap == pytest.approx(0.5)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1), st.floats(1e-9, 1e3), st.floats(1e-12, 1e3), st.floats(1.0, 10.0))
def test_an_objective_never_falls_with_time_or_energy(weight, makespan_s, energy_j, factor):
    placement = Placement(Goal(weight), result=None)
    value = placement.value(makespan_s, energy_j)
    assert placement.value(makespan_s * factor, energy_j) >= value * (1 - 1e-12)
    assert placement.value(makespan_s, energy_j * factor) >= value * (1 - 1e-12)
    both = placement.value(makespan_s * factor, energy_j * factor) / value
    assert both == pytest.approx(factor**2 if weight == OBJECTIVES["edp"] else factor)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1))
def test_an_objective_is_read_as_it_is_written(weight):
    assert energy_weight_of(repr(weight)) == weight
    name = Placement(Goal(weight), result=None).objective
    assert (name in OBJECTIVES) == (weight in OBJECTIVES.values())


def test_baseline_and_moved_ops_stand_in_the_summary(simulation):
    placement = Placement(Goal(0.5), on(simulation, 1, 0), replace(on(simulation, 1, 1), policy="heft"))
    assert placement.moved == {"fc1"}
    told = placement.summary()["baseline"]
    assert (told["policy"], told["ops_moved"]) == ("heft", 1)
    assert told["objective_value"] == pytest.approx(18 * 90)
    assert told["objective_ratio"] == pytest.approx(72 * 66 / (18 * 90))


@pytest.mark.parametrize(("lost", "limit", "is_kept"), [(None, 0.0, True), (0.0, 0.0, True), (1e-3, 0.0, False), (0.01, 0.01, True)])
def test_a_loss_is_kept_up_to_its_limit(simulation, lost, limit, is_kept):
    """A loss that is not known counts as none."""
    result = replace(on(simulation, 0, 0), accuracy_loss=lost)
    if is_kept:
        check_loss(result, Goal(max_loss=limit))
    else:
        with pytest.raises(ScheduleError, match="single:cpu"):
            check_loss(result, Goal(max_loss=limit))


# --- fronts -----------------------------------------------------------------------------------------------------------


def chain(seed, n=3, mode=None, **changes):
    """A chain on two devices, where time, energy and loss have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    values = {
        "task_names": tuple(f"t{i}" for i in range(n)),
        "device_names": ("d0", "d1"),
        "cost_s": rng.uniform(1, 9, (n, 2)),
        "edge_src": np.arange(n - 1),
        "edge_dst": np.arange(1, n),
        "edge_bytes": rng.uniform(0, 3, n - 1),
        "bandwidth_bytes_per_s": np.ones((2, 2)),
        "latency_s": np.zeros((2, 2)),
        "task_energy_j": rng.uniform(1, 9, (n, 2)),
        "power_w": 0.2,
        "task_loss": rng.uniform(0, 0.02, (n, 2)),
    }
    made = Instance(**(values | changes))
    return replace(made, tables=instance_tables(made, mode)) if mode else made


def all_points(instance):
    """(makespan, energy) of every placement of a chain that keeps to the goal's loss: sums, as one task runs at a time."""
    points, n = [], instance.n_tasks
    limit = np.inf if instance.goal.max_loss is None else instance.goal.max_loss
    for device in itertools.product(range(2), repeat=n):
        crossing_s = sum(instance.edge_bytes[e] for e in range(n - 1) if device[e] != device[e + 1])
        makespan_s = crossing_s + sum(instance.cost_s[t, device[t]] for t in range(n))
        energy_j = sum(instance.task_energy_j[t, device[t]] for t in range(n)) + instance.power_w * makespan_s
        if sum(instance.task_loss[t, device[t]] for t in range(n)) <= limit:
            points.append((makespan_s, energy_j))
    return sorted(points)


def pareto(points):
    """Those that no other is at most as slow and at most as hungry as."""
    return [p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mode", [None, "none"])
def test_a_front_of_a_chain_is_on_the_pareto_front_of_all_placements(seed, mode):
    """Both ends are reached, and 8 placements are few enough to find no beaten one; with and without the engine."""
    instance = chain(seed, mode=mode)
    found = front(instance, np.random.default_rng(0), n_moves=MOVES)
    points, best = list(zip(found.makespan_s.tolist(), found.energy_j.tolist(), strict=True)), pareto(all_points(instance))
    assert points[0] == pytest.approx(best[0])
    assert points[-1] == pytest.approx(best[-1])
    for point in points:
        assert any(point == pytest.approx(one) for one in best)


@pytest.mark.parametrize("seed", range(4))
def test_a_front_keeps_to_the_loss_that_is_allowed(seed):
    free = chain(seed)
    least = float(free.task_loss.min(axis=1).sum())
    strict = replace(free, goal=Goal(max_loss=least * 1.2))
    found = front(strict, np.random.default_rng(0), n_moves=MOVES)
    assert all(loss_of(strict, device) <= least * 1.2 * (1 + 1e-9) for device in found.assignment)
    best = pareto(all_points(strict))
    assert (found.makespan_s[0], found.energy_j[-1]) == (pytest.approx(best[0][0]), pytest.approx(best[-1][1]))
    with pytest.raises(ScheduleError, match="allow more"):
        front(replace(free, goal=Goal(max_loss=least * 0.9)), np.random.default_rng(0), n_moves=MOVES)


def test_a_front_needs_energies():
    with pytest.raises(ScheduleError, match="task_energy_j"):
        front(chain(0, task_energy_j=None), np.random.default_rng(0), n_moves=MOVES)


@pytest.mark.parametrize("seed", range(6))
def test_walking_between_both_ends_finds_all_that_three_tasks_have(seed):
    """From all on d0 one task goes over at a time, and back: that tries all 8 placements."""
    cost_s = np.random.default_rng(seed).uniform(1, 9, (3, 2))
    instance = chain(seed, mode="none", cost_s=cost_s, task_energy_j=10 - cost_s)  # the faster end is the hungrier one
    candidates = _Candidates(instance, np.array([[0, 0, 0], [1, 1, 1]]), np.array([[3.0, 2.0, 1.0]] * 2))
    assert len(candidates.value) == 2
    candidates.relink(np.random.default_rng(0), time.thread_time() + 60)
    expected = pareto(all_points(instance))
    assert candidates.value == pytest.approx(np.array(expected))
    assert [plan.makespan_s for plan in candidates.plans(16)] == pytest.approx([makespan_s for makespan_s, _ in expected])


def test_candidates_above_the_limit_of_loss_are_valued_but_not_kept():
    loss = np.array([[0.0, 0.03], [0.0, 0.0], [0.0, 0.0]])
    instance = chain(1, mode="none", task_loss=loss, goal=Goal(max_loss=0.02))
    candidates = _Candidates(instance, np.array([[0, 0, 0]]), np.ones((1, 3)))
    values = candidates.add(np.array([[1, 0, 0], [1, 1, 1]]), np.ones((2, 3)))
    assert values.shape == (2, 2)
    assert candidates.assignment.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(("most", "kept"), [(2, [0, 9]), (3, [0, 4, 9]), (4, [0, 3, 6, 9]), (10, list(range(10))), (16, list(range(10)))])
def test_plans_are_both_ends_and_some_evenly_between(most, kept):
    instance = chain(0, mode="none")
    candidates = _Candidates(instance, np.array([[0, 0, 0]]), np.ones((1, 3)))
    candidates.assignment, candidates.priority = np.zeros((10, 3), np.int64), np.ones((10, 3))
    candidates.value = np.stack([np.arange(10.0), np.arange(10.0, 0.0, -1)], axis=1)
    assert [plan.makespan_s for plan in candidates.plans(most)] == kept


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(points=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12))
def test_unbeaten_runs_are_the_pareto_front_of_all(result, points):
    kept = unbeaten([like(result, float(makespan_s), float(energy_j)) for makespan_s, energy_j in points])
    assert [(one.latency_s, one.energy_j) for one in kept] == sorted(set(pareto(points)))
    knee = Front(tuple(kept), ()).knee
    assert kept[knee].latency_s * kept[knee].energy_j == min(makespan_s * energy_j for makespan_s, energy_j in points)


# --- optima -----------------------------------------------------------------------------------------------------------


def solved(instance):
    """The plan of the exact policy."""
    pytest.importorskip("ortools")
    plan = make_policy("exact").plan(instance, RNG)
    check_plan(instance, plan)
    return plan


def independent(lengths, m):
    """Tasks that wait for nothing, as long on any of m devices."""
    return Instance(
        task_names=tuple(f"t{i}" for i in range(len(lengths))),
        device_names=tuple(f"d{i}" for i in range(m)),
        cost_s=np.repeat(np.array(lengths, float)[:, np.newaxis], m, axis=1),
        edge_src=[],
        edge_dst=[],
        edge_bytes=[],
        bandwidth_bytes_per_s=np.ones((m, m)),
        latency_s=np.zeros((m, m)),
    )


@pytest.mark.parametrize(("lengths", "m", "optimum", "longest_first"), [([3, 3, 2, 2, 2], 2, 6, 7), ([5, 5, 4, 4, 3, 3, 3], 3, 9, 11)])
def test_longest_first_is_as_far_off_as_graham_says_and_the_optimum_is_proven(lengths, m, optimum, longest_first):
    """3+3 and 2+2+2; 5+4, 5+4 and 3+3+3. Graham, SIAM J. Appl. Math. 17(2), 1969: 4/3 - 1/(3m) at worst, 7/6 and 11/9."""
    instance = independent(lengths, m)
    assert make_policy("heft").plan(instance, RNG).makespan_s == longest_first
    plan = solved(instance)
    assert (plan.makespan_s, plan.lower_bound_s) == (optimum, optimum)
    assert lower_bound_s(instance) == pytest.approx(sum(lengths) / m)


@pytest.mark.parametrize("transfer_s", [0, 1, 3, 4, 5])
def test_a_fork_is_split_while_a_transfer_takes_less_than_the_other_branch(transfer_s):
    """1 s, then 4 s twice, then 1 s: 10 s on one device; on two, one transfer to the second branch, where the last task stays.

    The other branch has its own transfer meanwhile: it ends as much earlier as the second began later.
    """
    instance = Instance(
        task_names=("a", "b", "c", "d"),
        device_names=("d0", "d1"),
        cost_s=[[1, 1], [4, 4], [4, 4], [1, 1]],
        edge_src=[0, 0, 1, 2],
        edge_dst=[1, 2, 3, 3],
        edge_bytes=np.full(4, float(transfer_s)),
        bandwidth_bytes_per_s=np.ones((2, 2)),
        latency_s=np.zeros((2, 2)),
    )
    plan = solved(instance)
    assert plan.makespan_s == plan.lower_bound_s == min(10, 6 + transfer_s)
    assert lower_bound_s(instance) <= plan.makespan_s


@pytest.mark.parametrize("seed", range(3))
def test_what_is_proven_lies_between_the_bound_and_the_best_heuristic(seed):
    instance = random_instance(np.random.default_rng(seed), (4, 8), (2, 3))
    limited = replace(instance, goal=Goal(budget_s=1.0))
    plan = solved(limited)
    assert lower_bound_s(instance) * (1 - 1e-9) <= plan.lower_bound_s <= plan.makespan_s * (1 + 1e-12)
    assert plan.makespan_s <= make_policy("portfolio").plan(instance, RNG).makespan_s * (1 + 1e-9)

"""Search: what its kernels keep up to date against plain Python, and what its policies promise."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cosim
from cosim.scheduling.annealer import Annealer, Budget, decode
from cosim.scheduling.base import Instance, Plan, make_policy
from cosim.scheduling.checker import check_plan
from cosim.scheduling.fixed import instance_tables
from cosim.scheduling.instance import Goal
from cosim.scheduling.instance_file import read_instance
from cosim.scheduling.kernels import decode as layout
from cosim.scheduling.kernels import search as kernels
from cosim.scheduling.objective import energies_j, loss_of, values_of
from cosim.scheduling.search import classics, front
from cosim.testing.policies import check_policy
from workloads.errors import ScheduleError

GOLDEN = Path(cosim.__file__).parent / "validation" / "data" / "scheduling_golden" / "instances"
NAMES = ("anneal", "search", "learned_search")
COMPILED = not numba.config.DISABLE_JIT
MOVES = 3000 if COMPILED else 60


def random_instance(seed, n=25, m=3, **changes):
    """A random graph; an op in five cannot run on the last device."""
    rng = np.random.default_rng(seed)
    cost = rng.uniform(1, 9, (n, m))
    if m > 1:
        cost[rng.random(n) < 0.2, m - 1] = np.inf
    edges = [(int(u), v, rng.uniform(0, 9)) for v in range(1, n) for u in np.unique(rng.integers(0, v, 2))]
    values = {
        "task_names": tuple(f"t{i}" for i in range(n)),
        "device_names": ("cpu", "gpu", "npu", "cim")[:m],
        "cost_s": cost,
        "edge_src": [edge[0] for edge in edges],
        "edge_dst": [edge[1] for edge in edges],
        "edge_bytes": [edge[2] for edge in edges],
        "bandwidth_bytes_per_s": np.full((m, m), 2.0),
        "latency_s": np.full((m, m), 0.3),
    }
    return Instance(**(values | changes))


def with_energy(instance, weight, max_loss=None):
    """Slow devices take less energy; the last one loses accuracy."""
    energy_j = np.where(instance.supported, 20.0 / np.where(instance.supported, instance.cost_s, 1.0), np.inf)
    loss = np.zeros(instance.cost_s.shape)
    loss[:, -1] = 0.01
    return replace(instance, task_energy_j=energy_j, power_w=0.1, task_loss=loss, goal=Goal(weight, max_loss))


def run(name, instance, seed=0):
    """The plan of a policy."""
    return make_policy(name).plan(instance, np.random.default_rng(seed))


def played(instance, order, device):
    """End of each task, worked out in plain Python."""
    end_s, free_s = {}, [0.0] * instance.n_devices
    for task in order:
        d, start_s = device[task], free_s[device[task]]
        for edge in instance.in_edges[task]:
            u = int(instance.edge_src[edge])
            transfer_s = (
                0.0
                if device[u] == d
                else instance.latency_s[device[u], d] + instance.edge_bytes[edge] / instance.bandwidth_bytes_per_s[device[u], d]
            )
            start_s = max(start_s, end_s[u] + transfer_s)
        end_s[task] = free_s[d] = start_s + instance.cost_s[task, d]
    return np.array([end_s[task] for task in range(instance.n_tasks)])


def random_schedule(instance, seed):
    """A topological order and a device for each task, drawn at random."""
    rng = np.random.default_rng(seed)
    waiting, order = [len(edges) for edges in instance.in_edges], []
    ready = [task for task, count in enumerate(waiting) if count == 0]
    while ready:
        task = ready.pop(int(rng.integers(len(ready))))
        order.append(task)
        for successor in instance.successors[task]:
            waiting[successor] -= 1
            if waiting[successor] == 0:
                ready.append(successor)
    device = np.array([rng.choice(np.flatnonzero(row)) for row in instance.supported], np.int64)
    return np.array(order, np.int64), device


def annealer_of(instance, seed=0):
    """An annealer that starts from HEFT."""
    annealer = Annealer(instance, seed)
    annealer.start_from(run("heft", instance))
    return annealer


def settled(annealer):
    """What ends, rests and rows are when worked out from nothing."""
    other = Annealer(annealer.instance, 0)
    for row in (layout.ORDER, layout.DEVICE):
        other.tasks[row] = annealer.tasks[row]
    kernels.settle(*other._schedule, other._price, other._goal, other.now)
    return other


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_decode_is_the_plain_loop(seed):
    instance = random_instance(seed, n=2 + seed % 30, m=1 + seed % 4)
    order, device = random_schedule(instance, seed)
    start_s, end_s = decode(instance, order, device)
    assert np.array_equal(end_s, played(instance, order.tolist(), device.tolist()))
    assert end_s == pytest.approx(start_s + instance.cost_s[np.arange(instance.n_tasks), device])


def test_a_task_waits_for_its_device_and_for_the_last_of_its_inputs():
    # 0 (3 s) and 1 (1 s) on device 0 one after the other; 2 on device 1 gets 4 bytes of 1 at 4 + 0.3 + 4/2 = 6.3 s
    given = random_instance(0, n=3, m=2, cost_s=[[3, 9], [1, 9], [9, 2]], edge_src=[1], edge_dst=[2], edge_bytes=[4.0])
    start_s, end_s = decode(given, np.array([0, 1, 2]), np.array([0, 0, 1]))
    assert start_s == pytest.approx([0, 3, 6.3])
    assert end_s == pytest.approx([3, 4, 8.3])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15 if COMPILED else 4, deadline=None)
def test_what_moves_keep_up_to_date_is_what_comes_out_from_nothing(seed):
    annealer = annealer_of(random_instance(seed, n=3 + seed % 40, m=2 + seed % 3), seed)
    kernels.anneal(*annealer._schedule, *annealer._rules, MOVES // 10, 0.05)
    fresh = settled(annealer)
    assert np.array_equal(np.sort(annealer.tasks[layout.ORDER]), np.arange(annealer.instance.n_tasks))
    assert np.array_equal(annealer.tasks[layout.PLACE], fresh.tasks[layout.PLACE])
    for row in (layout.END, layout.REST):
        assert np.array_equal(annealer._times[row], fresh._times[row])
    assert np.array_equal(annealer._rows[:, 1:], fresh._rows[:, 1:])
    assert annealer.now[kernels.MAKESPAN] == fresh.now[kernels.MAKESPAN]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15 if COMPILED else 4, deadline=None)
def test_the_way_through_a_move_is_the_makespan_unless_another_way_is_longer(seed):
    annealer = annealer_of(random_instance(seed, n=20), seed)
    instance, tasks, move, now = annealer.instance, annealer.tasks, annealer._move, annealer.now
    graph, cost_s, transfer_s, _, times, rows = annealer._schedule
    for _ in range(20):
        before = tasks.copy()
        if not kernels.propose(graph, cost_s, tasks, times, annealer._rules[0], annealer._rules[3], move, now):
            continue
        tasks[layout.DEVICE, move[kernels.TASK]] = move[kernels.TO]
        end_s = times[layout.END].copy()
        way_s = kernels.through(graph, cost_s, transfer_s, tasks, times, rows, move, 1e9)
        kernels.restore(tasks, times, move, move[kernels.HI])
        assert np.array_equal(times[layout.END], end_s)
        order = np.insert(np.delete(before[layout.ORDER], move[kernels.OLD]), move[kernels.NEW], move[kernels.TASK])
        makespan_s = played(instance, order.tolist(), tasks[layout.DEVICE].tolist()).max()
        if way_s >= now[kernels.MAKESPAN]:
            assert makespan_s == pytest.approx(way_s, rel=1e-12)
        else:
            assert makespan_s <= now[kernels.MAKESPAN] * (1 + 1e-12)
        kernels.put_back(tasks, move)
        assert np.array_equal(tasks[layout.DEVICE], before[layout.DEVICE])


def test_moves_keep_to_precedence_and_support():
    annealer = annealer_of(random_instance(5, n=40))
    for _ in range(20):
        kernels.anneal(*annealer._schedule, *annealer._rules, MOVES // 20, 0.2)
        place, device = annealer.tasks[layout.PLACE], annealer.tasks[layout.DEVICE]
        assert (place[annealer.instance.edge_src] < place[annealer.instance.edge_dst]).all()
        assert annealer.instance.supported[np.arange(40), device].all()


def test_numbers_below_n_are_equally_frequent():
    move = np.zeros(9, np.int64)
    move[layout.RANDOM] = (1 << 40) + 7
    counts = np.bincount([layout.below(move, 5) for _ in range(5000)], minlength=5)
    assert counts.sum() == 5000
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)


@pytest.mark.parametrize("name", NAMES)
def test_laws_of_policies(name):
    check_policy(make_policy(f"{name}:{MOVES // 10}"))


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10 if COMPILED else 2, deadline=None)
def test_no_plan_is_worse_than_the_classics(name, seed):
    given = random_instance(seed, n=1 + seed % 30, m=1 + seed % 4)
    plan = run(f"{name}:{MOVES // 10}", given)
    check_plan(given, plan)
    assert plan.makespan_s <= min(classic.makespan_s for classic in classics(given, np.random.default_rng(0)))


@pytest.mark.parametrize("name", NAMES)
def test_a_number_of_moves_gives_one_plan_a_seed(name):
    given = random_instance(3)
    plans = [run(f"{name}:{MOVES}", given, seed) for seed in (1, 1)]
    assert np.array_equal(plans[0].assignment, plans[1].assignment)
    assert np.array_equal(plans[0].start_s, plans[1].start_s)


def test_more_moves_find_the_optimum_of_the_first_heft_example():
    given = read_instance(GOLDEN / "topcuoglu10.json")
    assert run("heft", given).makespan_s == 80.0
    assert run("search:100000" if COMPILED else "search:4000", given).makespan_s == pytest.approx(73.0, abs=0.0 if COMPILED else 3.0)


@pytest.mark.skipif(not COMPILED, reason="a time is worth nothing without compiled loops")
@pytest.mark.parametrize(("name", "budget_s"), [("anneal", 0.02), ("learned_search", 0.02), ("search", 0.1)])
def test_a_budget_is_kept(name, budget_s):
    given = replace(random_instance(1, n=60), goal=Goal(budget_s=budget_s))
    run(name, given)
    times_s = []
    for seed in range(5):
        start_s = time.thread_time()
        run(name, given, seed)
        times_s.append(time.thread_time() - start_s)
    assert budget_s <= np.median(times_s) <= 1.15 * budget_s + 0.002


@pytest.mark.parametrize("argument", ["0", "-5", "fast", "1e4"])
def test_a_number_of_moves_is_a_number(argument):
    with pytest.raises(ScheduleError, match="no number of moves"):
        make_policy(f"anneal:{argument}")


def test_energy_falls_with_its_weight():
    energies = []
    for weight in (0.0, 0.5, 1.0):
        given = with_energy(random_instance(2), weight)
        plan = run(f"anneal:{MOVES}", given)
        check_plan(given, plan)
        energies.append(float(energies_j(given, plan.assignment[np.newaxis], np.array([plan.makespan_s]))[0]))
        assert values_of(given, [plan])[0] <= values_of(given, classics(given, np.random.default_rng(0))).min()
    assert energies[2] <= energies[1] < energies[0]


def test_all_weight_on_energy_without_standby_takes_the_device_of_least_energy():
    given = replace(with_energy(random_instance(2), 1.0), power_w=0.0)
    plan = run(f"search:{20 * MOVES}", given)
    least_j = np.where(given.supported, given.task_energy_j, np.inf).min(axis=1).sum()
    found_j = float(energies_j(given, plan.assignment[np.newaxis], np.zeros(1))[0])
    assert found_j == pytest.approx(least_j, rel=1e-9 if COMPILED else 0.2)


@pytest.mark.parametrize("max_loss", [0.0, 0.03, 0.05])
def test_no_more_accuracy_is_lost_than_allowed(max_loss):
    # in one task of five the last device is the only one that there is no choice about: all others may avoid it
    given = with_energy(random_instance(4), 0.0, max_loss)
    plan = run(f"search:{MOVES}", given)
    check_plan(given, plan)
    assert loss_of(given, plan.assignment) <= max_loss + 1e-12
    free = run(f"search:{MOVES}", with_energy(random_instance(4), 0.0))
    assert loss_of(given, free.assignment) > 0.05


def test_a_loss_that_no_placement_keeps_to_is_refused():
    given = with_energy(random_instance(4), 0.0, 0.05)
    given = replace(given, task_loss=np.full(given.cost_s.shape, 0.01))
    with pytest.raises(ScheduleError, match="no placement loses"):
        run("anneal:100", given)


def test_energy_that_is_not_known_is_refused():
    with pytest.raises(ScheduleError, match="task_energy_j"):
        run("anneal:100", replace(random_instance(0), goal=Goal(energy_weight=0.5)))


def contended(seed):
    """An instance whose tasks all go to one memory that holds few of them at a time."""
    alone = random_instance(seed, n=30)
    return replace(alone, tables=instance_tables(alone, "fair", np.full(30, 5.0), 2.0))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_under_contention_no_plan_plays_longer_than_the_best_classic(name, seed):
    given = contended(seed)
    plan = run(f"{name}:{MOVES // 3}", given)
    check_plan(given, plan)
    best_s = values_of(given, classics(given, np.random.default_rng(0))).min()
    assert values_of(given, [plan])[0] <= best_s
    if COMPILED:
        assert values_of(given, [run(f"{name}:20000", given)])[0] < best_s


def test_what_a_played_search_calls_its_best_plays_as_long_as_it_says():
    given = contended(1)
    annealer = Annealer(given, 0)
    annealer.play_from(run("heft", given))
    annealer.anneal_played(Budget(1.0, MOVES // 3), 1.0, 0.01, 0.001, 0.02)
    assert annealer.value == values_of(given, [annealer.plan()])[0]


def test_a_played_search_needs_tables():
    with pytest.raises(ScheduleError, match="no tables"):
        Annealer(random_instance(0), 0).play_from(run("heft", random_instance(0)))


def test_a_front_has_no_plan_that_another_beats_and_reaches_both_ends():
    given = with_energy(random_instance(2), 0.0)
    found = front(given, np.random.default_rng(0), n_moves=9 * MOVES)
    assert len(found.makespan_s) >= 3
    assert (np.diff(found.makespan_s) > 0).all()
    assert (np.diff(found.energy_j) < 0).all()
    assert found.energy_j == pytest.approx(energies_j(given, found.assignment, found.makespan_s))
    assert found.makespan_s[0] <= run("portfolio", given).makespan_s
    assert found.priority.shape == found.assignment.shape == (len(found.makespan_s), 25)


def test_a_front_under_contention_is_of_played_makespans():
    given = with_energy(contended(0), 0.0)
    found = front(given, np.random.default_rng(0), n_moves=900 if COMPILED else 90)
    plans = [Plan(a, p, np.zeros(30), np.zeros(30), 0.0) for a, p in zip(found.assignment, found.priority, strict=True)]
    assert np.array_equal(values_of(given, plans), found.makespan_s)


@pytest.mark.skipif(not COMPILED, reason="takes as long as compiled loops save")
def test_a_second_of_search_comes_close_to_the_best_known_schedule():
    given = read_instance(GOLDEN / "layered_unr_30x3_ccr2.json")
    assert run("search:400000", given).makespan_s <= 1.02 * 373.0

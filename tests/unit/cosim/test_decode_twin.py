"""Schedules from orders: laws of time (longer tasks end no earlier, backwards is forwards turned around); engine and search agree."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.engine.compiled import play, play_tables
from cosim.scheduling.annealer import Annealer, decode
from cosim.scheduling.base import Instance
from cosim.scheduling.bounds import lower_bound_s
from cosim.scheduling.checker import check_plan
from cosim.scheduling.fixed import instance_tables, placed_problem
from cosim.scheduling.generate import random_instance
from cosim.scheduling.instance import Goal, plan_from_times
from cosim.scheduling.kernels import contended, segments
from cosim.scheduling.kernels import decode as layout
from cosim.scheduling.kernels import search as kernels

SLOW = numba.config.DISABLE_JIT
SEEDS = st.integers(0, 10_000)


def drawn(seed, n_tasks=(3, 14)):
    """An instance with a topological order and a device for each task, all at random."""
    rng = np.random.default_rng(seed)
    instance = random_instance(rng, n_tasks, (1, 4))
    waiting, order = [len(edges) for edges in instance.in_edges], []
    ready = [task for task, count in enumerate(waiting) if not count]
    while ready:
        order.append(ready.pop(int(rng.integers(len(ready)))))
        for task in instance.successors[order[-1]]:
            waiting[task] -= 1
            if not waiting[task]:
                ready.append(task)
    device = np.array([rng.choice(np.flatnonzero(able)) for able in instance.supported], np.int64)
    return instance, np.array(order, np.int64), device


def chain(costs, n_bytes):
    """`costs[task][device]`, each task reading so many bytes of the one before, 1 byte/s."""
    n, m = np.array(costs).shape
    return Instance(
        task_names=tuple(f"t{i}" for i in range(n)),
        device_names=tuple(f"d{i}" for i in range(m)),
        cost_s=costs,
        edge_src=np.arange(n - 1),
        edge_dst=np.arange(1, n),
        edge_bytes=np.full(n - 1, n_bytes),
        bandwidth_bytes_per_s=np.ones((m, m)),
        latency_s=np.zeros((m, m)),
    )


def settled(instance, order, device, seed=0):
    """An annealer in a state that is given."""
    annealer = Annealer(instance, seed)
    annealer.tasks[layout.ORDER], annealer.tasks[layout.DEVICE] = order, device
    kernels.settle(*annealer._schedule, annealer._price, annealer._goal, annealer.now)
    return annealer


def with_memory(instance, seed):
    """Every task reads from one memory, which is too slow for all of them at once."""
    n_bytes = np.random.default_rng(seed).uniform(0, 5, instance.n_tasks)
    slow = 2.0 / float(np.mean(instance.cost_s[instance.supported]))
    return replace(instance, tables=instance_tables(instance, "fair", n_bytes, slow))


def taken_up(instance, order, device, seed=0):
    """As `settled`, with the engine at hand."""
    annealer = settled(instance, order, device, seed)
    ints, floats, n_out = annealer._tables.packed
    annealer._engine = (ints, floats, np.empty(instance.n_tasks), np.empty(n_out))
    return annealer


@settings(max_examples=20 if SLOW else 50, deadline=None)
@given(SEEDS)
def test_every_start_is_forced_by_the_device_or_by_an_input(seed):
    """No start can be earlier: it is 0, the end of the task before on the device, or the arrival of an input."""
    instance, order, device = drawn(seed)
    start_s, end_s = decode(instance, order, device)
    a, before = instance.arrays, {}
    for task in order.tolist():
        d = device[task]
        free_s = end_s[before[d]] if d in before else 0.0
        inputs = range(a.pred_first[task], a.pred_first[task + 1])
        arrivals_s = [end_s[a.pred[e]] + a.transfer_s[e, device[a.pred[e]], d] for e in inputs]
        assert start_s[task] == max([free_s, *arrivals_s])
        before[d] = task


@settings(max_examples=10 if SLOW else 40, deadline=None)
@given(SEEDS)
def test_a_decoded_schedule_is_a_plan_that_keeps_all_rules_and_the_bound(seed):
    instance, order, device = drawn(seed)
    plan = plan_from_times(instance, device, *decode(instance, order, device))
    check_plan(instance, plan)
    assert plan.makespan_s >= lower_bound_s(instance) * (1 - 1e-9)


@settings(max_examples=20 if SLOW else 50, deadline=None)
@given(SEEDS, st.floats(0, 3))
def test_longer_tasks_and_slower_links_end_nothing_earlier(seed, more):
    """With order and devices as given there are no anomalies of list scheduling: every end is a maximum of sums."""
    instance, order, device = drawn(seed)
    _, end_s = decode(instance, order, device)
    extra = np.random.default_rng(seed).uniform(0, more, instance.cost_s.shape)
    for slower in (
        replace(instance, cost_s=instance.cost_s * (1 + extra)),
        replace(instance, latency_s=instance.latency_s + more),
        replace(instance, bandwidth_bytes_per_s=instance.bandwidth_bytes_per_s / (1 + more)),
    ):
        assert (decode(slower, order, device)[1] >= end_s * (1 - 1e-12)).all()


@settings(max_examples=20 if SLOW else 50, deadline=None)
@given(SEEDS)
def test_all_on_one_device_is_one_after_the_other_in_order(seed):
    instance, order, _ = drawn(seed)
    alone = replace(instance, cost_s=np.where(instance.supported, instance.cost_s, 1.0))
    start_s, end_s = decode(alone, order, np.zeros(alone.n_tasks, np.int64))
    assert end_s[order] == pytest.approx(np.cumsum(alone.cost_s[order, 0]))
    assert np.array_equal(start_s[order][1:], end_s[order][:-1])


@settings(max_examples=10 if SLOW else 40, deadline=None)
@given(SEEDS)
def test_what_is_left_after_a_task_is_its_end_in_the_schedule_turned_around(seed):
    """REST of a task is when it ends if time runs backwards: last task first, edges and links the other way."""
    instance, order, device = drawn(seed)
    rest_s = settled(instance, order, device)._times[layout.REST]
    backwards = replace(
        instance,
        edge_src=instance.edge_dst,
        edge_dst=instance.edge_src,
        bandwidth_bytes_per_s=instance.bandwidth_bytes_per_s.T.copy(),
        latency_s=instance.latency_s.T.copy(),
    )
    assert rest_s == pytest.approx(decode(backwards, order[::-1].copy(), device)[1], rel=1e-9)


@settings(max_examples=10 if SLOW else 40, deadline=None)
@given(SEEDS, st.data())
def test_a_change_at_a_place_needs_nothing_before_it_again(seed, data):
    """Devices change from a place on; forward from there gives what decode gives from nothing."""
    instance, order, device = drawn(seed, (10, 24))
    annealer = settled(instance, order, device)
    first = data.draw(st.integers(0, instance.n_tasks - 1))
    rng = np.random.default_rng(seed + 1)
    for task in order[first:].tolist():
        device[task] = annealer.tasks[layout.DEVICE, task] = rng.choice(np.flatnonzero(instance.supported[task]))
    makespan_s = layout.forward(*annealer._schedule, first)
    _, end_s = decode(instance, order, device)
    assert np.array_equal(annealer._times[layout.END], end_s)
    assert makespan_s == end_s.max()


def test_a_chain_that_changes_sides_pays_for_every_crossing():
    """Tasks of 2 s on d0 and 3 s on d1, 5 bytes each time: 2 + 5 + 3 + 5 + 2, in the search and in the engine."""
    instance = chain([[2.0, 3.0]] * 3, 5.0)
    order, device = np.arange(3), np.array([0, 1, 0])
    start_s, end_s = decode(instance, order, device)
    assert start_s.tolist() == [0, 7, 15]
    assert end_s.tolist() == [2, 10, 17]
    played = play(placed_problem(instance, device, np.array([3.0, 2.0, 1.0])))
    assert np.array_equal(played.end_s, end_s)


@settings(max_examples=6 if SLOW else 40, deadline=None)
@given(SEEDS)
def test_a_search_under_contention_sees_what_the_engine_plays(seed):
    """The place in the order is the priority, first place first."""
    instance, order, device = drawn(seed)
    instance = with_memory(instance, seed)
    annealer = taken_up(instance, order, device)
    priority = np.empty(instance.n_tasks)
    priority[order] = np.arange(instance.n_tasks, 0, -1)
    expected_s, out = play_tables(instance.tables, device, priority)
    assert contended.play(annealer.tasks, *annealer._engine) == expected_s
    assert np.array_equal(annealer._engine[2], priority)
    n = instance.n_tasks
    assert np.array_equal(annealer._engine[3][: 2 * n], out[: 2 * n])
    assert expected_s == out[n : 2 * n].max()


@settings(max_examples=5 if SLOW else 30, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_a_played_schedule_is_valued_by_what_is_played_and_becomes_the_best(seed, weight):
    instance, order, device = drawn(seed)
    energy_j = np.random.default_rng(seed).uniform(1, 9, instance.cost_s.shape)
    instance = replace(with_memory(instance, seed), task_energy_j=energy_j, power_w=0.5, goal=Goal(weight))
    annealer = taken_up(instance, order, device)
    contended.settle_played(annealer.tasks, annealer._price, annealer._goal, annealer.now, *annealer._engine)
    played_s = annealer.now[kernels.PLAYED]
    total_j = energy_j[np.arange(instance.n_tasks), device].sum() + 0.5 * played_s
    value = np.exp(annealer.value) if weight else annealer.value
    assert value == pytest.approx(played_s ** (1 - weight) * total_j**weight)
    assert annealer.now[kernels.BEST] == annealer.now[kernels.VALUE]


@settings(max_examples=15 if SLOW else 50, deadline=None)
@given(SEEDS, st.floats(0, 0.2))
def test_a_move_at_its_limit_is_worse_by_the_slack(seed, slack):
    """Without standby: at the limit of the makespan, the logarithm of C^(1 - w) E^w has risen by the slack, for any change of energy."""
    instance, order, device = drawn(seed)
    energy_j = np.random.default_rng(seed).uniform(1, 9, instance.cost_s.shape)
    annealer = settled(replace(instance, task_energy_j=energy_j, goal=Goal(0.3)), order, device)
    tasks, move, now = annealer.tasks, annealer._move, annealer.now
    now[kernels.PLAYED] = now[kernels.MAKESPAN]
    before = kernels.value_of(annealer._goal, now[kernels.MAKESPAN], now[kernels.ENERGY])
    move[kernels.TASK], move[kernels.FROM], move[kernels.N_BLOCK] = 0, device[0], 0
    tasks[layout.DEVICE, 0] = np.flatnonzero(instance.supported[0])[-1]
    limit_s = contended.promising_s(tasks, annealer._price, annealer._goal, move, now, slack)
    kernels.count(tasks, annealer._price, now)
    assert kernels.value_of(annealer._goal, limit_s, now[kernels.ENERGY]) == pytest.approx(before + slack, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 40), st.integers(1, 1 << 20))
def test_the_generator_is_multiply_with_carry_in_whole_numbers(seed, n):
    move = np.zeros(9, np.int64)
    move[layout.RANDOM] = x = (1 << 40) + seed
    for _ in range(5):
        x = 698769069 * (x % 2**32) + x // 2**32
        drawn_number = layout.below(move, n)
        assert drawn_number == (x % 2**31) * n // 2**31
        assert 0 <= drawn_number < n
        assert move[layout.RANDOM] == x < 2**62


@settings(max_examples=15 if SLOW else 40, deadline=None)
@given(SEEDS, st.data())
def test_a_new_place_keeps_the_order_topological(seed, data):
    """It is behind the last input and before the first reader, and both ends of that stretch are drawn at times."""
    instance, order, device = drawn(seed)
    annealer = settled(instance, order, device)
    place = {task: i for i, task in enumerate(order.tolist())}
    old = data.draw(st.integers(0, instance.n_tasks - 1))
    task = int(order[old])
    first = max((place[int(instance.edge_src[e])] + 1 for e in instance.in_edges[task]), default=0)
    last = min((place[c] - 1 for c in instance.successors[task]), default=instance.n_tasks - 1)
    found = {segments.new_place(annealer.graph[0], annealer.tasks, annealer._move, old) for _ in range(40)}
    assert min(found) >= first
    assert max(found) <= last
    assert last - first > 2 or {first, last} <= found  # three places, 40 draws: one is missed once in 10^7


def test_a_task_goes_only_where_it_can_run_and_is_noted_only_when_it_goes():
    instance = chain([[1.0, 2.0, np.inf], [1.0, 1.0, 1.0]], 0.0)
    annealer = settled(instance, np.arange(2), np.array([0, 2]))
    tasks = annealer.tasks
    assert segments.to_device(instance.cost_s, tasks, 0, 2, 0) == 0  # not supported
    assert segments.to_device(instance.cost_s, tasks, 0, 0, 0) == 0  # there already
    assert segments.to_device(instance.cost_s, tasks, 1, 1, 0) == 1
    assert segments.to_device(instance.cost_s, tasks, 0, 1, 1) == 2
    assert tasks[layout.DEVICE].tolist() == [1, 1]
    assert list(zip(tasks[layout.BLOCK].tolist(), tasks[layout.ORIGIN].tolist(), strict=True)) == [(1, 2), (0, 0)]

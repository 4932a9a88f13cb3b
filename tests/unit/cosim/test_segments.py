"""Moves of stretches and walks in the engine's own numbers: the state stays a schedule, and the best is what it plays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.scheduling.annealer import Annealer, Budget
from cosim.scheduling.base import Instance, make_policy
from cosim.scheduling.checker import check_plan
from cosim.scheduling.fixed import instance_tables
from cosim.scheduling.instance import Goal
from cosim.scheduling.kernels import decode as layout
from cosim.scheduling.kernels import search as kernels
from cosim.scheduling.kernels import segments
from cosim.scheduling.objective import loss_of, values_of

NO = np.inf


def chain(n, cost_s, n_bytes=1.0, **changes):
    """A chain of `n` tasks of the same cost [m], and n_bytes at 1 byte/s between devices."""
    m = len(cost_s)
    alone = Instance(
        task_names=tuple(f"t{i}" for i in range(n)),
        device_names=tuple(f"d{i}" for i in range(m)),
        cost_s=np.tile(np.array(cost_s, float), (n, 1)),
        edge_src=np.arange(n - 1),
        edge_dst=np.arange(1, n),
        edge_bytes=np.full(n - 1, n_bytes),
        bandwidth_bytes_per_s=np.ones((m, m)),
        latency_s=np.zeros((m, m)),
        **changes,
    )
    return replace(alone, tables=instance_tables(alone, "fair", np.zeros(n), 1.0))


def random_instance(seed, n=20, m=3, **changes):
    """A random graph with a shared memory; an op in five cannot run on the last device."""
    rng = np.random.default_rng(seed)
    cost = rng.uniform(1, 9, (n, m))
    cost[rng.random(n) < 0.2, m - 1] = NO
    edges = [(int(u), v) for v in range(1, n) for u in np.unique(rng.integers(0, v, 2))]
    alone = Instance(
        task_names=tuple(f"t{i}" for i in range(n)),
        device_names=tuple(f"d{i}" for i in range(m)),
        cost_s=cost,
        edge_src=[edge[0] for edge in edges],
        edge_dst=[edge[1] for edge in edges],
        edge_bytes=rng.uniform(0, 9, len(edges)),
        bandwidth_bytes_per_s=np.full((m, m), 2.0),
        latency_s=np.full((m, m), 0.3),
        **changes,
    )
    return replace(alone, tables=instance_tables(alone, "fair", rng.uniform(0, 5, n), 2.0))


def played(given, policy="heft", seed=0):
    """An annealer that starts from a policy's plan."""
    annealer = Annealer(given, seed)
    annealer.play_from(make_policy(policy).plan(given, np.random.default_rng(0)))
    return annealer


def is_schedule(given, tasks):
    """Whether the order is topological, places are its inverse, and every device supports its tasks."""
    order, place, device = tasks[layout.ORDER], tasks[layout.PLACE], tasks[layout.DEVICE]
    return (
        sorted(order.tolist()) == list(range(given.n_tasks))
        and np.array_equal(place[order], np.arange(given.n_tasks))
        and bool((place[given.edge_src] < place[given.edge_dst]).all())
        and bool(given.supported[np.arange(given.n_tasks), device].all())
    )


def run(annealer, n_moves, temperature):
    """Moves of the kernel, without what the annealer does after them."""
    graph, cost_s, _ = annealer.graph
    return segments.anneal_segments(
        graph,
        cost_s,
        annealer.tasks,
        annealer._price,
        annealer._goal,
        annealer._move,
        annealer.now,
        *annealer._engine,
        n_moves,
        temperature,
    )


def test_a_whole_chain_moves_at_once():
    given = chain(12, [1.0, 0.9], n_bytes=5.0)  # one task alone would pay two transfers of 5 s for 0.1 s
    annealer = played(given, "single:d0")
    assert annealer.value == pytest.approx(12.0)
    annealer.anneal_segments(Budget(1.0, 4000), 1.0, 1e-6, 1e-6)
    assert annealer.plan().assignment.tolist() == [1] * 12
    assert annealer.value == pytest.approx(12 * 0.9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), weight=st.sampled_from([0.0, 0.5, 1.0]))
def test_the_state_stays_a_schedule_and_its_value_is_what_the_engine_plays(seed, weight):
    rng = np.random.default_rng(seed)
    given = random_instance(seed, goal=Goal(energy_weight=weight), task_energy_j=rng.uniform(1, 9, (20, 3)), power_w=1.0)
    annealer = played(given, seed=seed)
    run(annealer, 60, 0.05)
    assert is_schedule(given, annealer.tasks)
    best = values_of(given, [annealer.plan()])[0]
    assert (np.exp(annealer.value) if weight else annealer.value) == pytest.approx(best, rel=1e-12)


def test_the_best_is_never_worse_than_the_start():
    given = random_instance(3)
    annealer = played(given)
    start = annealer.value
    run(annealer, 200, 10.0)  # so hot that everything is accepted
    assert annealer.value <= start
    assert annealer.now[kernels.VALUE] > annealer.value


def test_a_refused_move_leaves_everything_as_it_was():
    given = random_instance(4)
    annealer = played(given)
    annealer.now[kernels.VALUE] = annealer.now[kernels.BEST] = 1e-9  # nothing is as good
    tasks, now = annealer.tasks.copy(), annealer.now.copy()
    assert run(annealer, 200, 1e-9) > 0
    rows = [layout.ORDER, layout.PLACE, layout.DEVICE, layout.BEST_ORDER, layout.BEST_DEVICE]
    assert np.array_equal(annealer.tasks[rows], tasks[rows])
    assert np.array_equal(annealer.now, now)


def test_afterwards_the_best_is_taken_up_with_times_that_fit():
    given = random_instance(5)
    annealer = played(given)
    annealer.anneal_segments(Budget(1.0, 300), 1.0, 0.5, 0.5)
    assert np.array_equal(annealer.tasks[layout.DEVICE], annealer.tasks[layout.BEST_DEVICE])
    assert np.array_equal(annealer.tasks[layout.ORDER], annealer.tasks[layout.BEST_ORDER])
    assert annealer.now[kernels.PLAYED] == annealer.value == values_of(given, [annealer.plan()])[0]
    assert annealer.now[kernels.MAKESPAN] == annealer.plan().makespan_s


def test_no_placement_above_the_limit_of_loss_is_accepted():
    rng = np.random.default_rng(0)
    loss = rng.uniform(0, 0.1, (20, 3))
    given = random_instance(6, task_loss=loss, goal=Goal(max_loss=float(loss.min(axis=1).sum()) * 1.5))
    plan = make_policy("portfolio").plan(given, rng)
    annealer = Annealer(given, 0)
    annealer.play_from(plan)
    annealer.anneal_segments(Budget(1.0, 500), 1.0, 0.1, 0.001)
    found = annealer.plan()
    check_plan(given, found)
    assert loss_of(given, found.assignment) <= given.goal.max_loss * (1 + 1e-9)


def test_the_same_seed_gives_the_same_schedule():
    given = random_instance(7)
    found = []
    for _ in range(2):
        annealer = played(given, seed=5)
        annealer.anneal_segments(Budget(1.0, 300), 1.0, 0.1, 0.001)
        found.append(annealer.plan())
    assert np.array_equal(found[0].assignment, found[1].assignment)
    assert np.array_equal(found[0].priority, found[1].priority)


@pytest.mark.parametrize("n", [1, 2])
def test_tiny_graphs_work(n):
    given = chain(n, [2.0, 1.0])
    annealer = played(given, "single:d0")
    annealer.anneal_segments(Budget(1.0, 100), 1.0, 0.01, 0.001)
    assert annealer.value == pytest.approx(n * 1.0)


def test_stretches_are_of_all_lengths():
    given = chain(64, [1.0, 1.0])
    annealer = played(given, "single:d0")
    lengths = set()
    for _ in range(400):
        lengths.add(segments.move_stretch(given.cost_s, annealer.tasks, annealer._move, 1))
        annealer.tasks[layout.DEVICE] = 0
    assert {1, 2} <= lengths
    assert max(lengths) > 32
    assert min(lengths) >= 1


def test_a_walk_follows_edges():
    given = chain(30, [1.0, 1.0])
    annealer = played(given, "single:d0")
    for _ in range(50):
        n_moved = segments.move_walk(*annealer.graph[:2], annealer.tasks, annealer._move, 1, 5)
        (where,) = np.nonzero(annealer.tasks[layout.DEVICE] == 1)
        assert 1 <= where.size == n_moved <= 6
        assert where.max() - where.min() == where.size - 1  # a chain leaves no holes
        annealer.tasks[layout.DEVICE] = 0

"""Compiled residency and traffic against naive twins in plain Python, on random costs."""

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.engine.kernels.simulate import unpack
from cosim.scheduling.fixed import instance_tables
from cosim.scheduling.generate import random_instances
from cosim.simulation.kernels import residency as k
from cosim.simulation.kernels.traffic import Weights, body_s, uncontended_s, weight_shares
from cosim.simulation.residency import _copy_saves_s
from cosim.study.kernels.point_tables import pairwise_sum


def random_costs(rng, n, m):
    costs = np.zeros((n, m, k.N_COSTS))
    costs[..., k.SUPPORTED] = rng.random((n, m)) < 0.8
    costs[..., k.FIXED_S] = rng.integers(0, 3, (n, m))
    costs[..., k.LATENCY_S] = costs[..., k.FIXED_S] + rng.integers(1, 50, (n, m))
    costs[..., k.SERIAL_S] = rng.integers(0, 4, (n, m))
    costs[..., k.DEVICE_J] = rng.integers(1, 9, (n, m))
    costs[..., k.PROGRAM_J] = rng.integers(1, 9, (n, m))
    costs[..., k.N_ARRAYS] = rng.integers(0, 4, (n, m))
    costs[..., k.WEIGHT_BYTES] = rng.integers(0, 9, (n, m))
    return costs


def naive_fill(costs, held, fetch, assignment):
    """As `_fill_arrays`: the ops of one device after the other, most joules saved an array first, ties by index."""
    n, m, _ = costs.shape
    placed = [-1] * n
    for d in range(m):
        free, gains = held[d], {}
        for i in range(n):
            row = costs[i]
            if not row[d, k.SUPPORTED] or not row[d, k.N_ARRAYS]:
                continue
            others = [
                row[o, k.DEVICE_J] + row[o, k.WEIGHT_BYTES] * fetch for o in range(m) if o != d and held[o] == 0 and row[o, k.SUPPORTED]
            ]
            reload_j = row[d, k.DEVICE_J] + row[d, k.PROGRAM_J] + row[d, k.WEIGHT_BYTES] * fetch
            gains[i] = min(others, default=reload_j) - row[d, k.DEVICE_J]
        for i in sorted(gains, key=lambda i: (-gains[i] / max(costs[i, d, k.N_ARRAYS], 1), i)):
            need = costs[i, d, k.N_ARRAYS]
            if gains[i] > 0 and placed[i] < 0 and need <= free and assignment[i] in {-1, d}:
                placed[i], free = d, free - need
    return placed


def naive_copies(costs, held, vectors, placed):
    """As `_duplicate`: the copy that saves most time an array next, ties by index."""
    copies = [1] * len(placed)
    for d in range(costs.shape[1]):
        mine = [i for i, on in enumerate(placed) if on == d]
        free = held[d] - sum(int(costs[i, d, k.N_ARRAYS]) for i in mine)

        def key(i, d=d):
            row = costs[i, d]
            return -_copy_saves_s(row[k.LATENCY_S] - row[k.FIXED_S], row[k.SERIAL_S], copies[i]) / row[k.N_ARRAYS], i

        queue = [key(i) for i in mine]
        heapq.heapify(queue)
        while queue:
            saved, i = heapq.heappop(queue)
            if saved == 0 or costs[i, d, k.N_ARRAYS] > free or copies[i] >= vectors[i]:
                continue
            copies[i] += 1
            free -= int(costs[i, d, k.N_ARRAYS])
            heapq.heappush(queue, key(i))
    return copies


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_arrays_and_copies_are_those_of_the_twins(seed):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 9)), int(rng.integers(1, 4))
    costs, held = random_costs(rng, n, m), rng.integers(0, 12, m) * (rng.random(m) < 0.7)
    assignment = rng.integers(0, m, n) if rng.random() < 0.5 else np.full(n, -1)
    vectors = rng.integers(1, 6, n)
    placed, saved_j, copies = np.zeros(n, np.int64), np.zeros(n), np.zeros(n, np.int64)
    k.fill_arrays(costs, held, 0.5, assignment, placed, saved_j)
    assert placed.tolist() == naive_fill(costs, held, 0.5, assignment)
    assert ((saved_j > 0) == (placed >= 0)).all()
    k.duplicate(costs, held, vectors, placed, copies)
    assert copies.tolist() == naive_copies(costs, held, vectors, placed.tolist())


@pytest.mark.parametrize(
    ("before", "free", "after"),
    [
        ([False] * 4, 10, [True, True, False, True]),  # 4 and 3 fit, 5 is on arrays, 2 fits what is left
        ([False, True, False, False], 6, [False, True, False, True]),  # 3 stays, then 4 does not fit and 2 does
        ([True] * 4, 3, [False, True, False, False]),
    ],
)
def test_weights_that_were_pinned_stay_so_before_others(before, free, after):
    pinned = np.array(before)
    k.pin_weights(np.array([4.0, 3.0, 5.0, 2.0]), np.array([False, False, True, False]), free, pinned)
    assert pinned.tolist() == after


def test_a_tensor_is_on_arrays_when_some_op_holds_it_there():
    on = np.ones(3, np.bool_)
    k.mark_arrays(np.array([-1, 0]), np.array([0, 2, 3]), np.array([0, 1, 1]), on)
    assert on.tolist() == [False, True, False]


def test_stored_operands_are_shared_by_bytes_and_equally_without():
    weights = Weights(np.array([0, 2, 3]), np.array([0, 1, 2]), np.array([3.0, 1.0, 0.0]), np.zeros(2, np.bool_))
    assert weight_shares(0, weights, np.array([False, True, False])) == (0.75, 0.25)
    assert weight_shares(0, weights, np.array([True, True, False])) == (0.0, 1.0)
    assert weight_shares(1, weights, np.array([False, False, True])) == (0.0, 1.0)


def test_copies_share_vectors_but_not_what_is_serial_and_reloads_go_in_rounds():
    costs = np.zeros((1, 1, k.N_COSTS))
    costs[0, 0, k.LATENCY_S], costs[0, 0, k.FIXED_S], costs[0, 0, k.SERIAL_S], costs[0, 0, k.N_ARRAYS] = 13.0, 1.0, 5.0, 5.0
    assert body_s(costs, 0, 0, False, 9, 0, 2) == 6.0
    assert body_s(costs, 0, 0, False, 9, 0, 4) == 5.0
    assert body_s(costs, 0, 0, True, 9, 2, 1) == 36.0  # 5 arrays, 2 at a time: 3 rounds of 12 s


def test_an_op_waits_for_the_slowest_of_body_memories_and_link():
    instance = random_instances(3, 1, (3, 3), (2, 2))[0]
    n_bytes = np.arange(instance.n_tasks) % 3 * 4.0
    ints, floats, _ = instance_tables(instance, "fair", n_bytes, 2.0).packed
    found, cost_s = unpack(ints, floats), np.zeros(instance.cost_s.shape)
    found.memory_bytes_per_s[:] = 2.0
    found.link_bytes_per_s[:] = 1.0
    uncontended_s(found, cost_s)
    np.testing.assert_allclose(cost_s, np.maximum(instance.cost_s, n_bytes[:, np.newaxis]))


@pytest.mark.parametrize("n", [0, 1, 7, 8, 12, 31, 128])
def test_means_add_up_in_the_order_of_numpy(n):
    values = np.random.default_rng(n).random(n) * 10.0 ** np.random.default_rng(n + 1).integers(-9, 9, n)
    assert pairwise_sum(values) == values.sum()

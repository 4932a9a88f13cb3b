"""Features of the learned policy against plain recursions, and what must not change them: units of time, the direction of the graph."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.scheduling.base import Instance, make_policy
from cosim.scheduling.generate import random_instance
from cosim.scheduling.kernels.policy_features import N_PRICE_ROUNDS, heads, known, priced_shares, tails
from cosim.scheduling.kernels.ranks import downward_rank, heads_and_tails, ready_order, upward_rank

SLOW = numba.config.DISABLE_JIT
SEEDS = st.integers(0, 10_000)
NO = np.inf


def small(seed, n_devices=(1, 4)):
    return random_instance(np.random.default_rng(seed), (3, 12), n_devices)


def made(cost, edges=(), bandwidth=1.0, latency=0.0):
    """`cost[task][device]`; `edges` are (src, dst, bytes)."""
    n, m = np.array(cost).shape
    return Instance(
        task_names=tuple(f"t{i}" for i in range(n)),
        device_names=tuple(f"d{i}" for i in range(m)),
        cost_s=cost,
        edge_src=[edge[0] for edge in edges],
        edge_dst=[edge[1] for edge in edges],
        edge_bytes=[edge[2] for edge in edges],
        bandwidth_bytes_per_s=np.full((m, m), bandwidth),
        latency_s=np.full((m, m), latency),
    )


def turned(instance):
    """The same work backwards: edges point the other way, and so do links."""
    return replace(
        instance,
        edge_src=instance.edge_dst,
        edge_dst=instance.edge_src,
        bandwidth_bytes_per_s=instance.bandwidth_bytes_per_s.T.copy(),
        latency_s=instance.latency_s.T.copy(),
    )


def way_s(instance, edge, p, q):
    """Transfer of an edge from device p to q."""
    return 0.0 if p == q else instance.latency_s[p, q] + instance.edge_bytes[edge] / instance.bandwidth_bytes_per_s[p, q]


def tails_of(instance, cost_s):
    """By the definition, from the last task to the first."""
    n, m = cost_s.shape
    tail_s = np.zeros((n, m))
    for t in reversed(instance.topological_order.tolist()):
        for p in range(m):
            for e in instance.out_edges[t]:
                c = int(instance.edge_dst[e])
                tail_s[t, p] = max(tail_s[t, p], min(way_s(instance, e, p, q) + cost_s[c, q] + tail_s[c, q] for q in range(m)))
    return tail_s


def heads_of(instance, cost_s):
    """What is behind a task is what is before it when everything runs backwards."""
    return tails_of(turned(instance), cost_s)


def kernel_tables(instance, cost_s):
    head_s, tail_s = np.full(cost_s.shape, np.nan), np.full(cost_s.shape, np.nan)
    heads(cost_s, instance.arrays, head_s)
    tails(cost_s, instance.arrays, tail_s)
    return head_s, tail_s


def priced_of(instance, scale_s, bound_s):
    """Shares of devices in tasks, with their prices, rounds of arrays at once."""
    cost_s, price, share = instance.cost_s, np.ones(instance.n_devices), None
    for _ in range(N_PRICE_ROUNDS):
        priced = cost_s * price
        path_s = heads_of(instance, priced) + priced + tails_of(instance, priced)
        fresh = np.exp(-4 * (path_s - path_s.min(axis=1, keepdims=True)) / scale_s)
        share = fresh if share is None else (share + fresh) / 2
        share = share / share.sum(axis=1, keepdims=True)
        load_s = (share * np.where(instance.supported, cost_s, 0)).sum(axis=0)
        price = np.clip(price * np.exp((load_s / bound_s - 0.7) / 2), 1, 4)
    return share, priced


def above_least(values):
    return values - values.min(axis=1, keepdims=True)


@settings(max_examples=10 if SLOW else 40, deadline=None)
@given(SEEDS)
def test_tables_are_those_of_the_definition_in_both_directions(seed):
    instance = small(seed)
    head_s, tail_s = kernel_tables(instance, instance.cost_s)
    assert head_s == pytest.approx(heads_of(instance, instance.cost_s), rel=1e-12)
    assert tail_s == pytest.approx(tails_of(instance, instance.cost_s), rel=1e-12)


@settings(max_examples=10 if SLOW else 40, deadline=None)
@given(SEEDS)
def test_the_tables_of_bounds_and_of_the_policy_are_the_same(seed):
    instance = small(seed)
    for mine, other in zip(kernel_tables(instance, instance.cost_s), heads_and_tails(instance.arrays, instance.cost_s), strict=True):
        assert np.array_equal(mine, other)


def test_heads_of_a_join_by_hand():
    """t2 waits for t0 (2 s or 7 s) with 4 bytes and for t1 (3 s, device 1 only) with 1 byte; links of 2 bytes/s and 1 s."""
    instance = made([[2, 7], [NO, 3], [1, 1]], [(0, 2, 4), (1, 2, 1)], bandwidth=2.0, latency=1.0)
    head_s, tail_s = kernel_tables(instance, instance.cost_s)
    assert head_s[2].tolist() == [3 + 1 + 0.5, 2 + 1 + 2]  # on d0 the byte of t1 is last, on d1 the four of t0 are
    assert head_s[:2].tolist() == [[0, 0], [0, 0]]
    assert tail_s.tolist() == [[1, 1], [1, 1], [0, 0]]


def test_a_tail_takes_the_longest_successor_each_where_it_is_shortest():
    """t0 feeds t1 (5 s on d0, 1 s on d1) with 2 bytes and t2 (4 s on d0 alone) with 3."""
    instance = made([[1, 1], [5, 1], [4, NO]], [(0, 1, 2), (0, 2, 3)])
    tail_s = kernel_tables(instance, instance.cost_s)[1]
    assert tail_s[0].tolist() == [max(min(5, 2 + 1), 4), max(min(2 + 5, 1), 3 + 4)]


@settings(max_examples=8 if SLOW else 40, deadline=None)
@given(SEEDS)
def test_no_schedule_is_below_the_bound_that_features_are_relative_to(seed):
    instance = small(seed)
    bound_s = known(instance.arrays).bound_s
    assert bound_s > 0
    for name in ("heft", "minmin", "met"):
        plan = make_policy(name).plan(instance, np.random.default_rng(0))
        assert plan.makespan_s >= bound_s * (1 - 1e-12), name


@settings(max_examples=6 if SLOW else 25, deadline=None)
@given(SEEDS)
def test_shares_and_prices_are_those_of_the_definition(seed):
    instance = small(seed)
    k, shape = known(instance.arrays), instance.cost_s.shape
    share, priced = np.zeros(shape), np.zeros(shape)
    priced_shares(instance.arrays, k.scale_s, k.bound_s, share, priced, np.zeros(shape), np.zeros(shape))
    expected_share, expected_priced = priced_of(instance, k.scale_s, k.bound_s)
    assert share == pytest.approx(expected_share, rel=1e-9, abs=1e-12)
    assert priced == pytest.approx(expected_priced, rel=1e-9)
    assert np.array_equal(k.prefer, share)


@settings(max_examples=8 if SLOW else 40, deadline=None)
@given(SEEDS)
def test_shares_of_a_task_add_up_to_one_and_leave_out_what_cannot_run_it(seed):
    instance = small(seed)
    prefer = known(instance.arrays).prefer
    assert prefer.sum(axis=1) == pytest.approx(np.ones(instance.n_tasks))
    assert (prefer[~instance.supported] == 0).all()
    assert (prefer >= 0).all()


def test_only_a_device_that_is_busy_most_of_the_bound_gets_dearer():
    """A chain of four tasks, 1 s each on d0 and 100 s on d1: d0 is busy all of the bound, so its price grows by exp((1 - 0.7)/2)
    a round, and 1.16^12 is more than the ceiling of 4; d1 has next to nothing and stays at 1."""
    instance = made([[1.0, 100.0]] * 4, [(0, 1, 0), (1, 2, 0), (2, 3, 0)])
    k, shape = known(instance.arrays), instance.cost_s.shape
    assert (k.scale_s, k.bound_s) == (50.5, 4.0)
    priced = np.zeros(shape)
    priced_shares(instance.arrays, k.scale_s, k.bound_s, np.zeros(shape), priced, np.zeros(shape), np.zeros(shape))
    assert priced.tolist() == [[4.0, 100.0]] * 4


@settings(max_examples=6 if SLOW else 30, deadline=None)
@given(SEEDS)
def test_features_of_pairs_are_those_of_their_names(seed):
    instance = small(seed)
    cost_s, able, k = instance.cost_s, instance.supported, known(instance.arrays)
    head_s, tail_s = heads_of(instance, cost_s), tails_of(instance, cost_s)
    share, priced = priced_of(instance, k.scale_s, k.bound_s)
    priced_end_s = priced + tails_of(instance, priced)
    work_s = np.where(able, cost_s, 0.0)
    least_s = cost_s.min(axis=1, keepdims=True)
    count = able.sum(axis=0)
    expected = {
        0: (cost_s - least_s) / k.scale_s,
        1: (cost_s - least_s) / (instance.mean_cost_s[:, np.newaxis] + 1e-3 * k.scale_s),
        2: above_least(np.where(able, tail_s, NO)) / k.scale_s,
        3: above_least(cost_s + tail_s) / k.scale_s,
        4: above_least(head_s + cost_s + tail_s) / k.scale_s,
        5: np.broadcast_to(count / instance.n_tasks, cost_s.shape),
        6: np.broadcast_to(np.where(cost_s == least_s, work_s, 0).sum(axis=0) / k.bound_s, cost_s.shape),
        7: np.broadcast_to(work_s.sum(axis=0) / np.maximum(count, 1) / k.scale_s, cost_s.shape),
        8: np.array([able[list(c)].mean(axis=0) if c else np.zeros(instance.n_devices) for c in instance.successors]),
        9: np.array([able[instance.edge_src[list(e)]].mean(axis=0) if e else np.zeros(instance.n_devices) for e in instance.in_edges]),
        10: above_least(heads_of(instance, priced) + priced_end_s) / k.scale_s,
        11: above_least(priced_end_s) / k.scale_s,
        12: share,
    }
    assert len(expected) == k.pair.shape[2]
    for column, values in expected.items():
        assert k.pair[:, :, column][able] == pytest.approx(values[able], rel=1e-9, abs=1e-9), column
    assert (k.pair[~able] == 0).all()


@settings(max_examples=6 if SLOW else 30, deadline=None)
@given(SEEDS)
def test_features_of_tasks_are_those_of_their_names(seed):
    instance = small(seed)
    cost_s, able, k, a = instance.cost_s, instance.supported, known(instance.arrays), instance.arrays
    up_s, down_s, mean_s = upward_rank(a), downward_rank(a), instance.mean_cost_s
    least_s, longest_s = cost_s.min(axis=1), float((up_s + down_s).max())
    path_s = (heads_of(instance, cost_s) + cost_s + tails_of(instance, cost_s)).min(axis=1)
    n, m = cost_s.shape
    moved = instance.mean_transfer_s / k.scale_s
    assert k.scale_s == pytest.approx(mean_s.mean())
    assert k.bound_s == pytest.approx(max(path_s.max(), least_s.sum() / m))
    for t, x in enumerate(k.task):
        ins, outs = instance.in_edges[t], instance.out_edges[t]
        expected = [
            up_s[t] / k.scale_s,
            up_s[t] / longest_s,
            down_s[t] / longest_s,
            (longest_s - up_s[t] - down_s[t]) / k.scale_s,
            (k.bound_s - path_s[t]) / k.scale_s,
            mean_s[t] / k.scale_s,
            least_s[t] / k.scale_s,
            (cost_s[t][able[t]].max() - least_s[t]) / k.scale_s,
            able[t].mean(),
            len(outs),
            len(ins),
            sum(len(instance.in_edges[c]) == 1 for c in instance.successors[t]),
            max((moved[e] for e in outs), default=0.0),
            max((moved[e] for e in ins), default=0.0),
            np.log(1 + n) / 4,
            m / 4,
            least_s.sum() / m / k.bound_s,
            moved.mean() if moved.size else 0.0,
        ]
        assert x == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(max_examples=6 if SLOW else 30, deadline=None)
@given(SEEDS, st.sampled_from([-30, -3, 1, 20]))
def test_the_unit_of_time_is_in_no_feature(seed, power):
    """All times by a power of two, which rounds nothing: tables scale, features stay to the last bit."""
    instance, factor = small(seed), 2.0**power
    scaled = replace(
        instance,
        cost_s=instance.cost_s * factor,
        latency_s=instance.latency_s * factor,
        bandwidth_bytes_per_s=instance.bandwidth_bytes_per_s / factor,
    )
    k, other = known(instance.arrays), known(scaled.arrays)
    assert np.array_equal(k.task, other.task)
    assert np.array_equal(k.pair, other.pair)
    assert np.array_equal(k.rank_s * factor, other.rank_s)
    assert np.array_equal(k.tail_s * factor, other.tail_s)


@settings(max_examples=8 if SLOW else 40, deadline=None)
@given(SEEDS)
def test_the_rank_upwards_is_the_rank_downwards_of_the_graph_turned_around(seed):
    instance = small(seed)
    assert upward_rank(instance.arrays) == pytest.approx(downward_rank(turned(instance).arrays) + instance.mean_cost_s, rel=1e-9)


@settings(max_examples=8 if SLOW else 40, deadline=None)
@given(SEEDS)
def test_along_every_edge_ranks_fall_by_the_cost_and_the_transfer_at_least(seed):
    instance = small(seed)
    rank_s = upward_rank(instance.arrays)
    for e, (u, v) in enumerate(zip(instance.edge_src.tolist(), instance.edge_dst.tolist(), strict=True)):
        least_s = rank_s[v] + instance.mean_transfer_s[e] + instance.mean_cost_s[u]
        assert rank_s[u] >= least_s * (1 - 1e-12)


@settings(max_examples=8 if SLOW else 40, deadline=None)
@given(SEEDS)
def test_a_ready_queue_gives_the_largest_priority_of_all_that_wait_for_nothing(seed):
    instance = small(seed)
    priority = np.random.default_rng(seed).permutation(instance.n_tasks).astype(np.float64)
    left, out = set(range(instance.n_tasks)), ready_order(instance.arrays, priority).tolist()
    for task in out:
        ready = [t for t in left if not any(int(instance.edge_src[e]) in left for e in instance.in_edges[t])]
        assert task == max(ready, key=lambda t: priority[t])
        left.remove(task)
    assert not left

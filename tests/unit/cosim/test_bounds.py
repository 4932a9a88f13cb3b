"""Lower bounds: below every schedule, and as high as the argument they rest on."""

from __future__ import annotations

import itertools
import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.scheduling.base import make_policy
from cosim.scheduling.bounds import chain_bound_s, lower_bound_s
from cosim.scheduling.instance_file import read_instance
from cosim.testing import small_instance as instance
from cosim.validation.contention import DATA

NO = np.inf
EXPECTED = json.loads((DATA / "expected.json").read_text())


def drawn(seed, n, m):
    rng = np.random.default_rng(seed)
    cost = rng.integers(0, 6, (n, m)).astype(float)
    cost[rng.random((n, m)) < 0.25] = NO
    cost[np.arange(n), rng.integers(0, m, n)] = rng.integers(1, 6, n)
    edges = [(u, v, int(rng.integers(0, 6))) for v in range(n) for u in range(v) if rng.random() < 1.5 / n]
    return instance(cost, edges, bandwidth=2.0, latency=float(rng.integers(0, 2)))


@cache
def shipped_bound_s(name):
    return lower_bound_s(read_instance(DATA / "instances" / f"{name}.json"))


def optimum(g):
    """Least makespan over all placements and orders, by trying them all."""
    best = NO
    orders = [
        order
        for order in itertools.permutations(range(g.n_tasks))
        if all(order.index(u) < order.index(v) for u, v in zip(g.edge_src, g.edge_dst, strict=True))
    ]
    for assignment in itertools.product(*(np.flatnonzero(row).tolist() for row in g.supported)):
        device = np.array(assignment)
        for order in orders:
            free_s, end_s = np.zeros(g.n_devices), np.zeros(g.n_tasks)
            for task in order:
                p = device[task]
                end_s[task] = free_s[p] = max(free_s[p], g.ready_s(task, device, end_s)[p]) + g.cost_s[task, p]
            best = min(best, end_s.max(initial=0.0))
    return best


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 3))
def test_no_schedule_at_all_is_below_the_bound(seed, n, m):
    g = drawn(seed, n, m)
    assert chain_bound_s(g) * (1 - 1e-9) <= lower_bound_s(g) <= optimum(g) * (1 + 1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 20), st.integers(1, 4))
def test_no_policy_is_below_the_bound(seed, n, m):
    g = drawn(seed, n, m)
    assert lower_bound_s(g) <= make_policy("portfolio").plan(g, np.random.default_rng(0)).makespan_s * (1 + 1e-9)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_bound_is_below_the_proven_optimum_or_the_best_that_is_known(name):
    # best_known_makespan is the proven optimum of 16 of them; of the others, what CP-SAT proves is lower than this bound.
    bound_s, known = shipped_bound_s(name), EXPECTED[name]
    assert bound_s <= known["best_known_makespan"] * (1 + 1e-9)
    assert known["optimal"] or bound_s > known["cpsat"]["lower_bound"]


def test_the_bound_is_near_what_is_known():
    ratios = [
        lower_bound_s(read_instance(DATA / "instances" / f"{name}.json")) / EXPECTED[name]["best_known_makespan"] for name in EXPECTED
    ]
    assert np.exp(np.mean(np.log(ratios))) > 0.90
    assert min(ratios) > 0.7


def test_a_chain_is_bound_by_its_best_way_through_the_devices():
    # On one device 1 + 4 or 9 + 2; apart 1 + 3 + 2, with a transfer of 6 bytes at 2 bytes/s.
    assert chain_bound_s(instance([[1, 9], [4, 2]], [(0, 1, 6)], bandwidth=2.0)) == 5.0
    assert chain_bound_s(instance([[1, 9], [9, 2]], [(0, 1, 6)], bandwidth=2.0)) == 6.0


def test_a_transfer_counts_where_no_device_can_run_both_ends():
    assert chain_bound_s(instance([[1, NO], [NO, 2]], [(0, 1, 6)], bandwidth=2.0, latency=0.5)) == 1 + 0.5 + 3 + 2


def test_independent_ops_are_bound_by_the_work_that_the_devices_share():
    # Nine ops of 2 s on two equal devices: 9 s of work each.
    assert lower_bound_s(instance([[2, 2]] * 9)) == pytest.approx(9.0)
    # Speeds 1 and 2: x on the slow one, 12 - x on the fast one, full at x = (12 - x) / 2.
    assert lower_bound_s(instance([[1, 0.5]] * 12)) == pytest.approx(4.0)


def test_what_must_come_before_and_after_adds_to_the_work_between():
    # A fork of 1 s, six ops of 2 s for two devices, a join of 1 s.
    edges = [(0, i, 0) for i in range(1, 7)] + [(i, 7, 0) for i in range(1, 7)]
    assert lower_bound_s(instance([[1, 1], *[[2, 2]] * 6, [1, 1]], edges)) == pytest.approx(1 + 6 + 1)


def test_a_makespan_that_leaves_a_task_no_place_is_refuted():
    # A is 4 s on the fast device and 10 s elsewhere, so are B and C: within 10 s, two of them must share a device.
    assert lower_bound_s(instance([[4, 10]] * 3)) >= 7.0


def test_nothing_to_do_takes_no_time():
    assert lower_bound_s(instance(np.zeros((0, 2)))) == 0.0
    assert lower_bound_s(instance([[0.0, 1.0]] * 3, [(0, 1, 0)])) == 0.0
    assert lower_bound_s(instance([[0.0, NO], [NO, 0.0]], [(0, 1, 4)])) == pytest.approx(4.0)


def test_scaling_time_scales_the_bound():
    g = drawn(7, 15, 3)
    slow = instance(
        1e-6 * g.cost_s,
        list(zip(g.edge_src, g.edge_dst, g.edge_bytes, strict=True)),
        bandwidth=2e6,
        latency=1e-6 * g.latency_s[0, 1],
    )
    assert lower_bound_s(slow) == pytest.approx(1e-6 * lower_bound_s(g), rel=1e-6)

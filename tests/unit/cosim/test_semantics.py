"""Water-filling, tie keys and completion, by hand and against a definition written another way."""

from __future__ import annotations

import math
from fractions import Fraction

import numba
import numpy as np
import pytest

from cosim.engine import semantics


def fill(caps, capacity, member):
    """Rates by flow id from `water_fill`, on lists as the process engine hands them in."""
    order = semantics.flow_order(np.array(caps, float)).tolist()
    first, resource = sparse(member)
    rate = [math.nan] * len(caps)
    semantics.water_fill(order, len(caps), list(caps), first, resource, list(capacity), [0.0] * len(capacity), [0] * len(capacity), rate)
    return rate


def sparse(member):
    """Rows of a membership matrix as (first, resource)."""
    first, resource = [0], []
    for row in member:
        resource += [r for r, loads in enumerate(row) if loads]
        first.append(len(resource))
    return first, resource


def rates_by_raising_the_level(caps, capacity, member):
    """Max-min by its definition: all rates rise together until a cap or a full resource stops some of them."""
    rate = [Fraction(0)] * len(caps)
    rising = set(range(len(caps)))
    while rising:
        steps = [Fraction(caps[f]) - rate[f] for f in rising]
        for r, limit in enumerate(capacity):
            users = [f for f in rising if member[f][r]]
            used = sum(rate[f] for f in range(len(caps)) if member[f][r])
            steps += [(Fraction(limit) - used) / len(users)] if users else []
        step = min(steps)
        for f in rising:
            rate[f] += step
        full = {r for r, limit in enumerate(capacity) if sum(rate[f] for f in range(len(caps)) if member[f][r]) == Fraction(limit)}
        rising -= {f for f in rising if rate[f] == Fraction(caps[f]) or any(member[f][r] for r in full)}
    return rate


def test_three_equal_flows_get_a_third_of_the_memory_each():
    assert fill([9.0, 9.0, 9.0], [6.0], [[1]] * 3) == [2.0, 2.0, 2.0]


def test_what_a_slow_link_leaves_goes_to_the_others():
    # 10 bytes/s shared by a flow that can take 1: the others split the 9 that are left.
    assert fill([20.0, 1.0, 20.0], [10.0], [[1]] * 3) == [4.5, 1.0, 4.5]


def test_a_memory_that_is_not_full_slows_nobody():
    assert fill([1.0, 2.0, 3.0], [6.0], [[1]] * 3) == [1.0, 2.0, 3.0]


def test_parking_lot_the_long_flow_gets_the_share_of_its_tightest_link():
    # Textbook case: flow 0 crosses links of 2 and 6; flow 1 uses the first, flows 2 and 3 the second.
    member = [[1, 1], [1, 0], [0, 1], [0, 1]]
    assert fill([99.0] * 4, [2.0, 6.0], member) == [1.0, 1.0, 2.5, 2.5]


def test_a_flow_without_a_resource_gets_its_cap():
    assert fill([7.0, 8.0], [4.0], [[0], [1]]) == [7.0, 4.0]


def test_an_uncapped_flow_takes_all_of_an_otherwise_idle_memory():
    assert fill([math.inf], [12.8e9], [[1]]) == [12.8e9]


def test_equal_shares_go_by_the_lowest_resource_index():
    # Both resources offer 1.0 to two flows; the flow on both is fixed through resource 0, the rest follows.
    assert fill([5.0, 5.0, 5.0], [2.0, 2.0], [[1, 1], [1, 0], [0, 1]]) == [1.0, 1.0, 1.0]


def test_no_flows_no_rates():
    semantics.water_fill([], 0, [], [0], [], [5.0], [0.0], [0], [])


@pytest.mark.parametrize("seed", range(40))
def test_rates_equal_the_definition_in_exact_arithmetic(seed):
    rng = np.random.default_rng(seed)
    n_flows, n_resources = int(rng.integers(1, 9)), int(rng.integers(1, 5))
    caps = rng.uniform(0.1, 4, n_flows).tolist()
    capacity = rng.uniform(0.5, 8, n_resources).tolist()
    member = rng.random((n_flows, n_resources)) < 0.6
    exact = rates_by_raising_the_level(caps, capacity, member)
    assert fill(caps, capacity, member) == pytest.approx([float(rate) for rate in exact], rel=1e-12)


def test_compiled_and_interpreted_water_filling_give_the_same_bits():
    compiled = numba.njit(semantics.water_fill)
    rng = np.random.default_rng(7)
    for _ in range(300):
        n_flows, n_resources = int(rng.integers(1, 12)), int(rng.integers(1, 5))
        caps = rng.choice([0.3, 1.0, 2.0, math.inf], n_flows) * rng.choice([1.0, 1.0, rng.random()], n_flows)
        capacity = rng.uniform(0.5, 8, n_resources)
        member = rng.random((n_flows, n_resources)) < 0.7
        member[np.isinf(caps), 0] = True
        first, resource = (np.array(part, np.int64) for part in sparse(member))
        rate = np.zeros(n_flows)
        order = semantics.flow_order(caps)
        compiled(order, n_flows, caps, first, resource, capacity, np.zeros(n_resources), np.zeros(n_resources, np.int64), rate)
        assert rate.tolist() == fill(caps.tolist(), capacity.tolist(), member)


def test_every_rule_compiles_as_it_stands():
    order, remaining, rate = np.array([1, 0]), np.array([4.0, 6.0]), np.array([2.0, 1.0])
    numba.njit(semantics.advance)(order, 2, remaining, rate, 2.0)
    assert remaining.tolist() == [0.0, 4.0]
    assert numba.njit(semantics.next_finish_s)(order, 2, remaining, rate) == 0.0
    done = np.zeros(2, np.int64)
    assert numba.njit(semantics.take_done)(order, 2, remaining, np.array([4.0, 6.0]), rate, 2.0, done) == 1
    assert (order[0], done[0]) == (1, 0)
    assert numba.njit(semantics.dispatch_rank)(np.array([1.0, 3.0, 3.0])).tolist() == [2, 0, 1]
    assert numba.njit(semantics.flow_order)(np.array([2.0, math.inf, 1.0, 2.0])).tolist() == [2, 0, 3, 1]
    assert numba.njit(semantics.bus_key)(2.0, 5) == (2.0, 5)
    assert numba.njit(semantics.receive)(0, np.array([1]), np.array([semantics.WAITING]))


def test_larger_priority_runs_first_and_ties_go_to_the_lower_id():
    assert semantics.dispatch_rank(np.array([5.0, 7.0, 5.0, -1.0])).tolist() == [1, 0, 2, 3]


def test_flows_are_served_from_the_smallest_cap_and_ties_go_to_the_lower_id():
    assert semantics.flow_order(np.array([3.0, 1.0, 3.0, math.inf, 1.0])).tolist() == [1, 4, 0, 2, 3]


def test_the_bus_serves_the_earliest_request_then_the_lowest_edge():
    keys = [semantics.bus_key(2.0, 0), semantics.bus_key(1.0, 9), semantics.bus_key(1.0, 3)]
    assert sorted(keys) == [(1.0, 3), (1.0, 9), (2.0, 0)]


def test_a_task_is_ready_with_its_last_input():
    n_missing, state = [2], [semantics.WAITING]
    assert not semantics.receive(0, n_missing, state)
    assert state == [semantics.WAITING]
    assert semantics.receive(0, n_missing, state)
    assert state == [semantics.READY]


def test_the_next_wake_is_that_of_the_flow_with_least_time_left():
    assert semantics.next_finish_s([0, 1, 2], 3, [8.0, 3.0, 9.0], [4.0, 2.0, 1.0]) == 1.5
    assert semantics.next_finish_s([0], 1, [-1e-12], [1.0]) == 0.0
    assert semantics.next_finish_s([], 0, [], []) == math.inf


@pytest.mark.parametrize(
    ("remaining", "done"),
    [(0.0, True), (-1e-3, True), (1e-9 * 1000.0, True), (1.01e-9 * 1000.0, False), (1000.0, False)],
)
def test_a_flow_is_done_when_a_billionth_of_it_is_left(remaining, done):
    order, taken = [0], [-1]
    assert semantics.take_done(order, 1, [remaining], [1000.0], [1.0], 0.0, taken) == (0 if done else 1)
    assert (taken == [0]) is done


def test_a_flow_is_done_when_its_last_bytes_take_no_time_that_a_float_can_tell():
    # At 1e6 s the next float is 1.2e-10 s away; 1e-11 s more would be no later.
    order, taken = [0], [-1]
    assert semantics.take_done(order, 1, [1e-11], [1e-10], [1.0], 1e6, taken) == 0
    assert semantics.take_done(order, 1, [1e-11], [1e-10], [1.0], 1.0, taken) == 1


def test_flows_that_stay_keep_their_order():
    order, taken = [4, 2, 0, 3, 1], [-1] * 5
    remaining = [1.0, 0.0, 1.0, 1.0, 0.0]
    assert semantics.take_done(order, 5, remaining, [1.0] * 5, [1.0] * 5, 0.0, taken) == 3
    assert order[:3] == [2, 0, 3]
    assert sorted(taken[:2]) == [1, 4]

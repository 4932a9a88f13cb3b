"""Flows that share one resource: by hand, in exact fractions, and bit for bit as the rules for many resources say."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.engine import semantics
from cosim.engine.kernels.fair import finish, insert, share_one

CAPS = st.lists(st.sampled_from([0.125, 1.0, 1.0, 3.0, 10.0, 1 / 3, np.inf]), min_size=1, max_size=12)
CAPACITY = st.sampled_from([0.1, 1.0, 7.0, 12.0, 1e9, 4 / 3])


def in_order(caps):
    return semantics.flow_order(np.array(caps, float)).astype(np.int64)


def shared(caps, capacity, remaining=None):
    """Rates by flow, and seconds until the first is done."""
    rate = np.full(len(caps), np.nan)
    left = np.array(remaining if remaining is not None else [1.0] * len(caps), float)
    wait_s = share_one(in_order(caps), len(caps), np.array(caps, float), float(capacity), rate, left)
    return rate.tolist(), wait_s


def exact_rates(caps, capacity):
    """Water level: the smallest caps are met one after another while they are at most an equal share of what is left."""
    left, rates = Fraction(capacity), [Fraction(0)] * len(caps)
    order = sorted(range(len(caps)), key=lambda flow: (caps[flow], flow))
    for place, flow in enumerate(order):
        share = left / (len(order) - place)
        rates[flow] = share if caps[flow] == np.inf else min(Fraction(caps[flow]), share)
        left -= rates[flow]
    return rates


class TestShares:
    def test_three_flows_that_could_take_more_get_a_third_each(self):
        assert shared([5, 9, 7], 6)[0] == [2, 2, 2]

    def test_what_a_slow_flow_leaves_goes_to_the_others(self):
        # 1 of 7 is taken; the two others share 6
        assert shared([9, 1, 9], 7)[0] == [3, 1, 3]

    def test_caps_are_met_in_turn(self):
        # 1, then 3 (below 11/3), then the two last share 12 - 1 - 3
        assert shared([1, 3, 10, np.inf], 12)[0] == [1, 3, 4, 4]

    def test_a_resource_that_is_not_full_slows_nobody(self):
        assert shared([1, 2, 3], 100)[0] == [1, 2, 3]

    def test_a_cap_of_exactly_an_equal_share_is_met(self):
        assert shared([2, 2, 8], 6)[0] == [2, 2, 2]

    def test_one_uncapped_flow_takes_all(self):
        assert shared([np.inf], 5, [20]) == ([5], 4)

    @settings(max_examples=80, deadline=None)
    @given(CAPS, CAPACITY)
    def test_rates_are_those_of_exact_fractions(self, caps, capacity):
        assert shared(caps, capacity)[0] == pytest.approx([float(rate) for rate in exact_rates(caps, capacity)], rel=1e-12)

    @settings(max_examples=80, deadline=None)
    @given(CAPS, CAPACITY)
    def test_no_flow_exceeds_its_cap_and_the_resource_is_full_unless_all_have_theirs(self, caps, capacity):
        rates = shared(caps, capacity)[0]
        assert all(0 < rate <= cap for rate, cap in zip(rates, caps, strict=True))
        assert sum(rates) == pytest.approx(min(capacity, sum(caps)), rel=1e-12)

    @settings(max_examples=60, deadline=None)
    @given(CAPS, CAPACITY)
    def test_another_flow_speeds_nobody_up(self, caps, capacity):
        alone, crowded = shared(caps, capacity)[0], shared([*caps, 2.0], capacity)[0]
        assert all(after <= before * (1 + 1e-12) for before, after in zip(alone, crowded, strict=False))

    @settings(max_examples=60, deadline=None)
    @given(CAPS, CAPACITY)
    def test_equal_caps_get_equal_rates_and_a_larger_cap_no_less(self, caps, capacity):
        pairs = sorted(zip(caps, shared(caps, capacity)[0], strict=True))
        assert all(low <= high * (1 + 1e-12) for (_, low), (_, high) in pairwise(pairs))

    @settings(max_examples=80, deadline=None)
    @given(CAPS, CAPACITY, st.randoms(use_true_random=False))
    def test_the_short_cut_has_the_bits_of_the_rules_for_any_resources(self, caps, capacity, random):
        n = len(caps)
        remaining = [random.choice([0.0, 1e-9, 1 / 7, 3.0, 1e12]) for _ in caps]
        order, rate = in_order(caps).tolist(), [0.0] * n
        semantics.water_fill(order, n, caps, list(range(n + 1)), [0] * n, [capacity], [0.0], [0], rate)
        assert shared(caps, capacity, remaining) == (rate, semantics.next_finish_s(order, n, remaining, rate))

    @pytest.mark.parametrize("ulps", [-2, -1, 0, 1, 2])
    def test_a_cap_next_to_an_equal_share_takes_the_side_that_the_rules_take(self, ulps):
        """At 1/3 of 1 the estimate that saves a division cannot tell; there the division is done."""
        cap = 1 / 3
        for _ in range(abs(ulps)):
            cap = float(np.nextafter(cap, np.sign(ulps)))
        caps, rate = [cap, 0.5, 0.5], [0.0] * 3
        semantics.water_fill([0, 1, 2], 3, caps, [0, 1, 2, 3], [0, 0, 0], [1.0], [0.0], [0], rate)
        assert shared(caps, 1.0)[0] == rate


class TestNextFinish:
    def test_it_is_that_of_the_first_to_be_done_among_slow_and_shared_flows(self):
        # rates 1, 3, 3: 8/1, 9/3 and 30/3 s
        assert shared([1, 9, 9], 7, [8, 9, 30])[1] == 3
        assert shared([1, 9, 9], 7, [2, 9, 30])[1] == 2

    def test_it_is_never_in_the_past(self):
        assert shared([1, 9], 10, [-1e-12, 5])[1] == 0

    def test_without_flows_it_never_comes(self):
        none = np.empty(0)
        assert share_one(np.empty(0, np.int64), 0, none, 1.0, none.copy(), none.copy()) == np.inf

    def test_flows_beyond_the_active_ones_are_left_alone(self):
        rate = np.array([-5.0, -5.0, -5.0])
        active = np.array([2, 0, 1])
        assert share_one(active, 1, np.array([9.0, 9.0, 4.0]), 8.0, rate, np.array([1.0, 1.0, 12.0])) == 3
        assert rate.tolist() == [-5, -5, 4]


class TestInsert:
    def inserted(self, caps, before, arrived):
        active = np.full(len(caps), -1, np.int64)
        active[: len(before)] = before
        n = insert(active, len(before), np.array(caps, float), np.array(arrived, np.int64), len(arrived))
        return active[:n].tolist()

    def test_smaller_caps_stand_before_larger_ones(self):
        assert self.inserted([5, 1, 3], [], [0, 1, 2]) == [1, 2, 0]

    def test_of_equal_caps_the_lower_id_stands_first_whoever_was_there(self):
        assert self.inserted([2, 2, 2, 2], [1, 3], [2, 0]) == [0, 1, 2, 3]

    def test_none_arrived_changes_nothing(self):
        assert self.inserted([4, 2], [1, 0], []) == [1, 0]

    @settings(max_examples=60, deadline=None)
    @given(CAPS, st.randoms(use_true_random=False))
    def test_the_order_is_that_of_sorting_whatever_comes_first(self, caps, random):
        flows = list(range(len(caps)))
        random.shuffle(flows)
        cut = random.randint(0, len(flows))
        before = sorted(flows[:cut], key=lambda flow: (caps[flow], flow))
        assert self.inserted(caps, before, flows[cut:]) == in_order(caps).tolist()


class TestFinish:
    def finished(self, remaining, size, rate, now_s, elapsed_s):
        """Active ones, done ones and what is left of all, after one pass over flows 0, 1, 2..."""
        n = len(remaining)
        active, done, left = np.arange(n), np.full(n, -1, np.int64), np.array(remaining, float)
        kept = finish(active, n, left, np.array(size, float), np.array(rate, float), float(now_s), float(elapsed_s), done)
        return active[:kept].tolist(), done[: n - kept].tolist(), left.tolist()

    def test_bytes_flow_and_those_without_any_left_are_done(self):
        # 10 - 2*5 = 0 and 12 - 1*5 = 7
        assert self.finished([10, 12], [10, 12], [2, 1], 5, 5) == ([1], [0], [0, 7])

    def test_without_time_nothing_flows(self):
        assert self.finished([10, 12], [10, 12], [2, 1], 5, 0) == ([0, 1], [], [10, 12])

    @pytest.mark.parametrize(("left", "is_done"), [(1e-6, True), (1.001e-6, False)])
    def test_a_billionth_of_a_flow_is_nothing(self, left, is_done):
        assert self.finished([left], [1000], [1], 0, 0)[1] == ([0] if is_done else [])

    def test_bytes_that_take_less_than_a_float_can_tell_are_done(self):
        """At 1e6 s the next float is 1.2e-10 s later: 1e-4 bytes at 1e7 bytes/s take 1e-11 s."""
        assert self.finished([1e-4], [1], [1e7], 1e6, 0)[1] == [0]
        assert self.finished([1e-4], [1], [1e7], 1.0, 0)[1] == []

    def test_those_that_stay_keep_their_order(self):
        assert self.finished([5, 0, 6, 0, 7], [9] * 5, [1] * 5, 0, 0)[:2] == ([0, 2, 4], [1, 3])

    @settings(max_examples=80, deadline=None)
    @given(st.integers(1, 10), st.sampled_from([0.0, 1e-6, 1.0, 1e9]), st.sampled_from([0.0, 1e-7, 0.5]), st.randoms(use_true_random=False))
    def test_one_pass_does_what_the_two_rules_do(self, n, now_s, elapsed_s, random):
        size = [random.choice([1e-3, 1.0, 4096.0]) for _ in range(n)]
        rate = [random.choice([1.0, 1e9, 1 / 3]) for _ in range(n)]
        rest = [random.choice([0.0, -1e-12, 1e-16, 1e-10, 1e-9, 1e-8, 0.5]) for _ in range(n)]
        remaining = [r * s + v * elapsed_s for r, s, v in zip(rest, size, rate, strict=True)]
        order, left, done = list(range(n)), list(remaining), [-1] * n
        semantics.advance(order, n, left, rate, elapsed_s)
        kept = semantics.take_done(order, n, left, size, rate, now_s, done)
        assert self.finished(remaining, size, rate, now_s, elapsed_s) == (order[:kept], done[: n - kept], left)

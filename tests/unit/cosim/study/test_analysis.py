"""Numbers behind the report of a study: means by level, knees, intervals that meet, hypervolume over time, where points go wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.study.analysis import (
    best_so_far,
    bias,
    effect,
    is_logarithmic,
    knee,
    not_worse_for_sure,
    pair_means,
    settled,
    volumes_so_far,
    worst_where,
)
from cosim.study.hypervolume import hypervolume

NAN = math.nan


def codes_of(*columns):
    return np.array(columns, dtype=np.int64).T


class TestWhetherRatiosMeanSomething:
    @pytest.mark.parametrize("unit", ["J", "s", "m2", "J s"])
    def test_positive_values_with_a_unit_are_compared_by_ratio(self, unit):
        assert is_logarithmic(np.array([1e-6, NAN, 2e-3]), unit)

    @pytest.mark.parametrize("unit", ["%", "dB", ""])
    def test_percent_decibels_and_plain_numbers_are_not(self, unit):
        assert not is_logarithmic(np.array([1.0, 2.0]), unit)

    @pytest.mark.parametrize("values", [[0.0, 1.0], [-1.0, 1.0], [NAN], []])
    def test_nor_are_values_that_have_no_logarithm_or_none_at_all(self, values):
        assert not is_logarithmic(np.array(values), "J")


class TestEffectOfAnAxis:
    def test_by_hand(self):
        found = effect(np.array([0, 0, 0, 2, 2, 0]), np.array([1.0, 2.0, 6.0, 5.0, NAN, math.inf]), 3)
        assert found.n.tolist() == [3, 0, 1]
        assert found.mean == pytest.approx([3.0, NAN, 5.0], nan_ok=True)
        assert found.least == pytest.approx([1.0, NAN, 5.0], nan_ok=True)
        assert found.greatest == pytest.approx([6.0, NAN, 5.0], nan_ok=True)
        # quantile q of 1, 2, 6 stands at place 2 q: 1 + 0.2 · 1 and 2 + 0.8 · 4
        assert found.low == pytest.approx([1.2, NAN, 5.0], nan_ok=True)
        assert found.high == pytest.approx([5.2, NAN, 5.0], nan_ok=True)

    def test_the_mean_of_ratios_is_geometric(self):
        found = effect(np.array([0, 0]), np.array([1.0, 100.0]), 1, logarithmic=True)
        assert found.mean[0] == pytest.approx(10.0)
        assert (found.least[0], found.greatest[0]) == (1.0, 100.0)

    @given(st.lists(st.tuples(st.integers(0, 3), st.floats(0.1, 10.0)), min_size=1, max_size=30))
    @settings(deadline=None, max_examples=40)
    def test_means_weighted_by_points_make_the_mean_of_all(self, rows):
        codes, values = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
        found = effect(codes, values, 4)
        assert found.n.sum() == len(rows)
        assert np.nansum(found.n * found.mean) == pytest.approx(values.sum())
        there = found.n > 0
        assert (found.least[there] <= found.low[there] + 1e-12).all()
        assert (found.high[there] <= found.greatest[there] + 1e-12).all()


class TestMeansByTwoAxes:
    FIRST, SECOND = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 0, 2])

    def test_by_hand(self):
        found = pair_means(self.FIRST, self.SECOND, np.array([1.0, 2.0, 4.0, 16.0, NAN]), (2, 3), logarithmic=False)
        assert found == pytest.approx(np.array([[1.0, 2.0, NAN], [10.0, NAN, NAN]]), nan_ok=True)

    def test_geometric_where_ratios_count(self):
        found = pair_means(self.FIRST, self.SECOND, np.array([1.0, 2.0, 4.0, 16.0, 3.0]), (2, 3), logarithmic=True)
        assert found == pytest.approx(np.array([[1.0, 2.0, NAN], [8.0, NAN, 3.0]]), nan_ok=True)

    def test_turns_over_with_its_axes(self):
        values = np.array([1.0, 2.0, 4.0, 16.0, 3.0])
        one = pair_means(self.FIRST, self.SECOND, values, (2, 3), logarithmic=False)
        other = pair_means(self.SECOND, self.FIRST, values, (3, 2), logarithmic=False)
        assert pytest.approx(other, nan_ok=True) == one.T


class TestKnee:
    def test_is_nearest_to_the_ideal_corner(self):
        # scaled: (0, 1), (0.2, 0.3), (1, 0); squared distances 1, 0.13, 1
        assert knee(np.array([[0.0, 100.0], [2.0, 30.0], [10.0, 0.0]])) == 1

    def test_does_not_depend_on_units(self):
        front = np.array([[0.0, 9.0], [1.0, 4.0], [3.0, 2.0], [7.0, 0.0]])
        assert knee(front) == knee(front * [1e-9, 1e6] + [5.0, -3.0])

    def test_an_objective_without_spread_counts_nothing(self):
        assert knee(np.array([[2.0, 5.0], [1.0, 5.0]])) == 1

    def test_the_first_of_equal_ones(self):
        assert knee(np.array([[0.0, 1.0], [1.0, 0.0]])) == 0
        assert knee(np.array([[4.0]])) == 0


class TestIntervalsThatMeet:
    LOW, HIGH = np.array([1.0, 2.0, 3.1, 2.5, 3.0]), np.array([3.0, 4.0, 5.0, 6.0, 9.0])

    def test_less_is_better(self):
        feasible = np.array([True, True, True, False, True])
        assert not_worse_for_sure(self.LOW, self.HIGH, 0, feasible).tolist() == [True, True, False, False, True]

    def test_more_is_better(self):
        low, high = np.array([90.0, 80.0, 70.0]), np.array([95.0, 90.0, 89.9])
        assert not_worse_for_sure(low, high, 0, np.ones(3, dtype=bool), more_is_better=True).tolist() == [True, True, False]

    def test_what_has_no_interval_does_not_meet_but_the_best_is_always_among_them(self):
        low, high = np.array([NAN, NAN]), np.array([NAN, NAN])
        assert not_worse_for_sure(low, high, 1, np.ones(2, dtype=bool)).tolist() == [False, True]


class TestSettledChoices:
    CODES = codes_of([0, 0, 0, 1], [2, 2, 1, 1], [3, 3, 3, 3])

    def test_a_code_where_all_chosen_agree(self):
        assert settled(self.CODES, np.array([True, True, False, False])) == [0, 2, 3]
        assert settled(self.CODES, np.array([True, True, True, False])) == [0, None, 3]

    def test_nothing_is_settled_by_no_point(self):
        assert settled(self.CODES, np.zeros(4, dtype=bool)) == [None, None, None]


class TestBias:
    def test_ratios_by_hand(self):
        found = bias(np.array([1.0, 4.0, 7.0, NAN]), np.array([2.0, 2.0, NAN, 1.0]), logarithmic=True)
        assert found.deviation == pytest.approx([-math.log(2), math.log(2), NAN, NAN], nan_ok=True)
        assert (found.n, found.mean, found.logarithmic) == (2, pytest.approx(0.0), True)
        assert found.std == pytest.approx(math.log(2) * math.sqrt(2))  # n - 1 = 1

    def test_differences_by_hand(self):
        found = bias(np.array([88.0, 90.0]), np.array([90.0, 91.0]), logarithmic=False)
        assert (found.mean, found.std) == (-1.5, pytest.approx(math.sqrt(0.5)))

    def test_values_without_a_ratio_are_left_out(self):
        found = bias(np.array([0.0, 2.0, 1.0]), np.array([1.0, 0.0, 1.0]), logarithmic=True)
        assert np.isfinite(found.deviation).tolist() == [False, False, True]
        assert (found.n, found.mean, found.std) == (1, 0.0, 0.0)

    def test_of_nothing_is_not_known(self):
        found = bias(np.array([NAN]), np.array([1.0]), logarithmic=False)
        assert found.n == 0
        assert math.isnan(found.mean)

    @given(st.lists(st.floats(0.5, 2.0), min_size=2, max_size=20), st.floats(0.1, 10.0))
    @settings(deadline=None, max_examples=40)
    def test_a_constant_factor_is_all_mean_and_no_spread(self, truth, factor):
        found = bias(factor * np.array(truth), np.array(truth), logarithmic=True)
        assert found.mean == pytest.approx(math.log(factor), abs=1e-9)
        assert found.std == pytest.approx(0.0, abs=1e-9)


class TestBestSoFar:
    def test_by_hand(self):
        assert best_so_far(np.array([NAN, 3.0, 5.0, NAN, 1.0, 2.0])) == pytest.approx([NAN, 3.0, 3.0, 3.0, 1.0, 1.0], nan_ok=True)

    @given(st.lists(st.floats(-5, 5) | st.just(NAN), min_size=1, max_size=20))
    @settings(deadline=None, max_examples=40)
    def test_never_rises_and_ends_at_the_least(self, values):
        found = best_so_far(np.array(values))
        known = found[np.isfinite(found)]
        assert (np.diff(known) <= 0).all()
        if known.size:
            assert known[-1] == np.nanmin(values)


class TestVolumesSoFar:
    IDEAL, REFERENCE = np.array([0.0, 0.0]), np.array([10.0, 4.0])

    def test_by_hand(self):
        rows = np.array([[5.0, 2.0], [NAN, NAN], [6.0, 3.0], [10.0, 0.0], [2.0, 3.0], [0.0, 0.0]])
        # half by half; nothing; dominated; on the edge; 0.3 wide and a quarter high beyond the first; the whole box
        assert volumes_so_far(rows, self.IDEAL, self.REFERENCE) == pytest.approx([0.25, 0.25, 0.25, 0.25, 0.325, 1.0])

    def test_an_objective_without_spread_is_left_out(self):
        rows = np.array([[5.0, 1.0], [2.5, 1.0]])
        assert volumes_so_far(rows, np.array([0.0, 1.0]), np.array([10.0, 1.0])) == pytest.approx([0.5, 0.75])

    def test_without_any_spread_there_is_no_volume(self):
        assert volumes_so_far(np.array([[1.0, 1.0]]), np.ones(2), np.ones(2)).tolist() == [0.0]

    @given(st.lists(st.lists(st.integers(0, 10), min_size=3, max_size=3), min_size=1, max_size=12))
    @settings(deadline=None, max_examples=30)
    def test_each_is_the_hypervolume_of_the_points_up_to_it(self, rows):
        values, ideal, reference = np.array(rows, dtype=np.float64), np.zeros(3), np.full(3, 10.0)
        found = volumes_so_far(values, ideal, reference)
        expected = [hypervolume(values[: i + 1], reference) / 1000.0 for i in range(len(values))]
        assert found == pytest.approx(expected, abs=1e-12)
        assert (np.diff(found) >= -1e-12).all()


class TestWherePointsGoWrong:
    def test_by_hand(self):
        codes = codes_of([0, 0, 1, 1, 1, 1], [0, 1, 0, 1, 2, 2])
        wrong = np.array([False, False, True, False, True, True])
        # axis 0: 0 of 2, 3 of 4; axis 1: 1 of 2, 0 of 2, 2 of 2
        assert worst_where(codes, wrong, [2, 3]) == (1, 2, 1.0)

    def test_of_equal_shares_the_level_with_most_points(self):
        codes = codes_of([0, 0, 1, 1], [0, 1, 1, 1])
        assert worst_where(codes, np.array([False, False, True, True]), [2, 2]) == (0, 1, 1.0)
        assert worst_where(codes, np.array([True, False, False, False]), [2, 2]) == (1, 0, 1.0)

    def test_of_equal_levels_the_first(self):
        codes = codes_of([0, 1], [0, 1])
        assert worst_where(codes, np.array([True, False]), [2, 2]) == (0, 0, 1.0)

    def test_nothing_wrong_stands_nowhere(self):
        assert worst_where(codes_of([0, 1]), np.zeros(2, dtype=bool), [2]) is None

    def test_what_is_wrong_everywhere_or_evenly_stands_nowhere_more_than_elsewhere(self):
        assert worst_where(codes_of([0, 1]), np.ones(2, dtype=bool), [2]) is None
        codes = codes_of([0, 0, 1, 1], [0, 1, 0, 1])
        assert worst_where(codes, np.array([True, False, False, True]), [2, 2]) is None

    def test_a_level_has_to_stand_out_by_a_tenth_of_the_rest(self):
        """50 % of all are wrong: a level needs more than 55 %."""
        first = np.repeat([0, 1], 100)
        for n, expected in ((54, None), (56, (0, 0, 0.56))):
            wrong = np.concatenate([np.arange(100) < n, np.arange(100) < 100 - n])
            assert worst_where(codes_of(first), wrong, [2]) == expected

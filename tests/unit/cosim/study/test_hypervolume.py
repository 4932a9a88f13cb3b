"""Hypervolume and free boxes, against inclusion-exclusion, a grid, and drawings by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.study.hypervolume import free_boxes, hypervolume, non_dominated

REFERENCE = np.array([1.0, 1.0, 1.0])


def inclusion_exclusion(values, reference):
    """Volume of a union of boxes [y, reference] as an alternating sum over all subsets."""
    rows = [row for row in values if (row < reference).all()]
    subsets = [some for k in range(1, len(rows) + 1) for some in combinations(rows, k)]
    return sum((-1) ** (len(some) + 1) * np.prod(reference - np.max(some, axis=0)) for some in subsets)


def fronts(m):
    return st.lists(st.lists(st.integers(0, 12).map(lambda n: n / 10), min_size=m, max_size=m), max_size=6).map(
        lambda rows: np.array(rows, dtype=np.float64).reshape(-1, m)
    )


class TestHypervolume:
    def test_two_steps_of_a_stair(self):
        assert hypervolume(np.array([[0.25, 0.5], [0.5, 0.25]]), np.array([1.0, 1.0])) == pytest.approx(0.75 * 0.5 + 0.5 * 0.25)

    def test_nothing_below_the_reference_is_nothing(self):
        assert hypervolume(np.array([[0.0, 1.0], [2.0, 0.0]]), np.array([1.0, 1.0])) == 0.0
        assert hypervolume(np.zeros((0, 2)), np.array([1.0, 1.0])) == 0.0

    def test_of_one_objective_is_a_length(self):
        assert hypervolume(np.array([[0.7], [0.2]]), np.array([1.0])) == pytest.approx(0.8)

    @pytest.mark.parametrize("m", [1, 2, 3])
    @given(data=st.data())
    @settings(max_examples=40, deadline=None)
    def test_equals_inclusion_and_exclusion(self, m, data):
        values = data.draw(fronts(m))
        assert hypervolume(values, REFERENCE[:m]) == pytest.approx(inclusion_exclusion(values, REFERENCE[:m]), abs=1e-12)

    def test_of_four_objectives_too(self):
        values = np.random.default_rng(0).random((5, 4))
        assert hypervolume(values, np.ones(4)) == pytest.approx(inclusion_exclusion(values, np.ones(4)))


class TestNonDominated:
    def test_equal_rows_count_once_and_dominated_ones_not(self):
        values = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 2.0]])
        assert non_dominated(values).tolist() == [[1.0, 2.0], [2.0, 1.0]]


class TestFreeBoxes:
    def test_an_empty_front_leaves_all_that_is_below_the_reference(self):
        lower, upper = free_boxes(np.zeros((0, 2)), np.array([1.0, 2.0]))
        assert (lower.tolist(), upper.tolist()) == ([[-np.inf, -np.inf]], [[1.0, 2.0]])

    @pytest.mark.parametrize("m", [1, 2, 3])
    @given(data=st.data())
    @settings(max_examples=25, deadline=None)
    def test_each_free_cell_of_a_grid_is_in_exactly_one_box_and_no_other_cell_in_any(self, m, data):
        values = data.draw(fronts(m))
        lower, upper = free_boxes(values, REFERENCE[:m])
        cells = np.stack(np.meshgrid(*[np.arange(-0.05, 1.0, 0.1)] * m, indexing="ij"), axis=-1).reshape(-1, m)
        dominated = (cells[:, None, :] >= values[None]).all(axis=2).any(axis=1)
        inside = ((cells[:, None, :] > lower) & (cells[:, None, :] < upper)).all(axis=2).sum(axis=1)
        assert inside.tolist() == (~dominated).astype(int).tolist()

    @given(values=fronts(3), point=st.lists(st.integers(0, 10).map(lambda n: n / 10), min_size=3, max_size=3))
    @settings(max_examples=40, deadline=None)
    def test_overlap_with_the_boxes_is_what_a_point_adds(self, values, point):
        lower, upper = free_boxes(values, REFERENCE)
        y = np.array(point)
        overlap = np.prod(np.maximum(upper - np.maximum(lower, y), 0.0), axis=1).sum()
        added = hypervolume(np.vstack([values, y]), REFERENCE) - hypervolume(values, REFERENCE)
        assert overlap == pytest.approx(added, abs=1e-12)

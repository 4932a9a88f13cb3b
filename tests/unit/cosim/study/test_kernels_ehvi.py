"""Expected hypervolume improvement, against Monte Carlo, a closed form, and its limits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cosim.study.hypervolume import free_boxes, hypervolume
from cosim.study.kernels.acquisition import log_h
from cosim.study.kernels.ehvi import log_ehvi, log_overlap

REFERENCE = np.array([1.0, 1.0, 1.0])


def front(m):
    return np.random.default_rng(3).random((3, m)) * 0.8


def added(values, points, reference):
    """Hypervolume that each point [s, m] adds."""
    had = hypervolume(values, reference)
    return np.array([hypervolume(np.vstack([values, point]), reference) - had for point in points])


class TestLogOverlap:
    @pytest.mark.parametrize(("low", "high"), [(-math.inf, 0.3), (0.1, 0.3), (-2.0, 2.0)])
    def test_is_the_mean_overlap_on_a_fine_grid_of_the_normal(self, low, high):
        z = np.linspace(-8.0, 8.0, 20_001)
        y = 0.2 + 0.5 * z
        overlap = np.maximum(high - np.maximum(y, low), 0.0)
        expected = float((overlap * np.exp(-z * z / 2)).sum() / np.exp(-z * z / 2).sum())
        assert math.exp(log_overlap(low, high, 0.2, 0.5)) == pytest.approx(expected, rel=1e-6)

    def test_far_above_the_box_it_is_still_a_number_that_falls(self):
        values = [log_overlap(0.0, 1.0, mean, 0.01) for mean in (2.0, 3.0, 4.0)]
        assert np.isfinite(values).all()
        assert values == sorted(values, reverse=True)

    def test_an_empty_box_is_nothing(self):
        assert log_overlap(0.5, 0.5, 0.0, 1.0) <= -1e300


class TestLogEhvi:
    @pytest.mark.parametrize("m", [2, 3])
    def test_equals_monte_carlo(self, m):
        rng = np.random.default_rng(m)
        values, mean, sd = front(m), np.array([0.2, 0.4, 0.1])[:m], np.array([0.2, 0.1, 0.3])[:m]
        lower, upper = free_boxes(values, REFERENCE[:m])
        found = math.exp(log_ehvi(mean[:, None], sd[:, None] ** 2, lower, upper)[0])
        drawn = added(values, mean + sd * rng.standard_normal((1500, m)), REFERENCE[:m])
        assert found == pytest.approx(drawn.mean(), abs=4 * drawn.std() / math.sqrt(len(drawn)))

    def test_without_a_front_it_is_a_product_of_expected_improvements(self):
        lower, upper = free_boxes(np.zeros((0, 2)), REFERENCE[:2])
        found = log_ehvi(np.array([[0.5], [2.0]]), np.array([[0.04], [0.25]]), lower, upper)[0]
        assert found == pytest.approx(math.log(0.2) + log_h(0.5 / 0.2) + math.log(0.5) + log_h(-1.0 / 0.5))

    def test_of_a_point_that_is_certain_it_is_what_the_point_adds(self):
        values = front(2)
        lower, upper = free_boxes(values, REFERENCE[:2])
        mean = np.array([0.05, 0.06])
        found = math.exp(log_ehvi(mean[:, None], np.full((2, 1), 1e-14), lower, upper)[0])
        assert found == pytest.approx(added(values, mean[None], REFERENCE[:2])[0], rel=1e-5)

    def test_far_behind_the_front_it_still_tells_better_from_worse(self):
        lower, upper = free_boxes(np.zeros((1, 2)), REFERENCE[:2])
        found = log_ehvi(np.array([[0.5, 0.6, 0.7], [0.5, 0.6, 0.7]]), np.full((2, 3), 1e-4), lower, upper)
        assert np.isfinite(found).all()
        assert (np.diff(found) < 0.0).all()

    def test_a_bound_multiplies_by_the_chance_that_it_holds(self):
        lower, upper = free_boxes(front(2), REFERENCE[:2])
        mean, var = np.array([[0.2], [0.3]]), np.full((2, 1), 0.01)
        free = log_ehvi(mean, var, lower, upper)[0]
        bound = log_ehvi(np.vstack([mean, [[0.0]]]), np.vstack([var, [[1.0]]]), lower, upper)[0]
        assert bound == pytest.approx(free + math.log(0.5))

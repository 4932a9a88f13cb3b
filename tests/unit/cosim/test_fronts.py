"""Fronts and areas of a handful of points, by hand and by counting squares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.training.fronts import front_of_two, hypervolume_of_two

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=8)


def test_two_steps_and_a_beaten_point():
    points = [(3.0, 1.0), (1.0, 2.0), (3.0, 3.0)]
    assert front_of_two(points) == [1, 0]
    assert hypervolume_of_two(points, (4.0, 4.0)) == pytest.approx(2 * 2 + 1 * 3)


def test_nothing_dominates_nothing():
    assert hypervolume_of_two([], (1.0, 1.0)) == 0
    assert hypervolume_of_two([(1.0, 0.0), (0.0, 2.0)], (1.0, 1.0)) == 0


@given(POINTS)
def test_the_area_is_the_number_of_squares_that_some_point_dominates(points):
    squares = sum(any(x <= i and y <= j for x, y in points) for i in range(5) for j in range(5))
    assert hypervolume_of_two([(float(x), float(y)) for x, y in points], (5.0, 5.0)) == pytest.approx(squares)


@given(POINTS)
def test_a_front_is_all_that_is_not_beaten(points):
    front = {points[i] for i in front_of_two(points)}
    assert front == {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}

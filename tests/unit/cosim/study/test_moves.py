"""Moves of samplers without a model: what they change, and that they keep to declared constraints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from cosim.study.samplers.moves import bred, changed, crossed, fresh
from cosim.study.space import Axis, Space

AXES = (Axis("a", "categorical", ("x", "y", "z")), Axis("b", "ordinal", (1, 2, 3, 4)), Axis("c", "categorical", ("only",)))
FREE = Space(AXES)


@dataclass(frozen=True)
class Even:
    """The sum of codes is even."""

    text: str = "even"

    def keeps(self, codes):
        return codes.sum(axis=1) % 2 == 0


RULED = Space(AXES, (Even(),))


def rng(seed=0):
    return np.random.default_rng(seed)


def row(*codes):
    return np.array(codes, dtype=np.int64)


class TestChanged:
    @pytest.mark.parametrize("n", [1, 2])
    def test_so_many_axes_differ_and_never_one_of_a_single_level(self, n):
        for seed in range(20):
            other = changed(FREE, row(0, 1, 0), rng(seed), n)
            assert (other != row(0, 1, 0)).sum() == n
            assert other[2] == 0

    def test_an_ordinal_axis_moves_to_its_neighbor_more_often_than_far(self):
        moved = [int(changed(FREE, row(0, 0, 0), rng(seed))[1]) for seed in range(400)]
        counts = np.bincount(moved, minlength=4)
        assert counts[1] > 1.5 * counts[2]
        assert counts[3] > 0

    def test_more_axes_change_where_one_would_break_a_rule(self):
        space = Space((Axis("a", "categorical", ("x", "y")), Axis("b", "categorical", ("x", "y"))), (Even(),))
        assert changed(space, row(0, 0), rng()).tolist() == [1, 1]

    def test_where_no_other_point_is_feasible_it_is_drawn_again(self):
        space = Space((Axis("a", "categorical", ("x", "y")),), (Even(),))
        assert changed(space, row(0), rng()).tolist() == [0]


class TestBred:
    def test_a_child_has_each_axis_from_a_parent(self):
        for seed in range(10):
            child = crossed(FREE, row(0, 0, 0), row(2, 3, 0), rng(seed))
            assert child[0] in {0, 2}
            assert child[1] in {0, 3}

    def test_children_keep_to_the_rules(self):
        for seed in range(20):
            child = bred(RULED, row(0, 0, 0), row(1, 1, 0), rng(seed), set())
            assert child.sum() % 2 == 0

    def test_known_points_are_avoided_while_others_are_found(self):
        known = {row(0, 0, 0).tobytes(), row(1, 1, 0).tobytes()}
        assert all(bred(FREE, row(0, 0, 0), row(1, 1, 0), rng(seed), known).tobytes() not in known for seed in range(20))


class TestFresh:
    def test_the_last_unknown_point_is_found(self):
        every = FREE.listed
        known = {one.tobytes() for one in every[1:]}
        assert fresh(FREE, rng(), known).tolist() == every[0].tolist()

    def test_where_all_are_known_one_is_repeated(self):
        known = {one.tobytes() for one in FREE.listed}
        assert fresh(FREE, rng(), known).tobytes() in known

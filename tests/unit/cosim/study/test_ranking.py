"""Order among told points: energies, ranks of fronts, crowding."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.study import make_sampler
from cosim.study.samplers.ranking import crowding, energies, order_of, ranks

SPACE = {"a": [0, 1, 2, 3, 4, 5]}


def told(objectives, values, **options):
    sampler = make_sampler("random", SPACE, objectives, **options)
    for level, value in enumerate(values):
        sampler.tell({"a": level}, value)
    return sampler


class TestEnergies:
    def test_of_one_objective_are_its_values_and_a_failed_point_is_infinite(self):
        assert energies(told(["f"], [2.0, float("nan"), 1.0])).tolist() == [2.0, np.inf, 1.0]

    def test_of_several_are_means_over_their_ranges(self):
        found = energies(told({"f": "minimize", "g": "maximize"}, [(0.0, 10.0), (2.0, 20.0), (1.0, 10.0)]))
        assert found == pytest.approx([0.5, 0.5, 0.75])

    def test_points_that_break_a_bound_are_above_all_others_by_how_much(self):
        sampler = told(["f"], [(1.0, 0.0), (3.0, 0.0), (0.0, 9.0), (0.0, 7.0)], constraints=[("g", "<=", 5.0)])
        found = energies(sampler)
        assert found[:2].tolist() == [1.0, 3.0]
        assert 3.0 < found[3] < found[2] < np.inf

    def test_without_a_valid_point_the_least_broken_is_best(self):
        sampler = told(["f"], [(0.0, 9.0), (0.0, 7.0)], constraints=[("g", "<=", 5.0)])
        assert np.argmin(energies(sampler)) == 1

    def test_points_of_a_lower_fidelity_do_not_count(self):
        sampler = make_sampler("random", SPACE, ["f"], fidelities={"low": 0.1, "high": 1.0})
        sampler.tell({"a": 0}, 1.0, fidelity="low")
        sampler.tell({"a": 1}, 2.0, fidelity="high")
        assert energies(sampler).tolist() == [np.inf, 2.0]


def naive_ranks(y):
    left, rank, found = set(range(len(y))), 0, np.zeros(len(y), dtype=int)
    while left:
        front = {i for i in left if not any((y[j] <= y[i]).all() and (y[j] < y[i]).any() for j in left)}
        for i in front:
            found[i] = rank
        left, rank = left - front, rank + 1
    return found


class TestFronts:
    @pytest.mark.parametrize("seed", range(5))
    def test_ranks_are_those_of_peeling_front_by_front(self, seed):
        y = np.random.default_rng(seed).integers(0, 5, size=(15, 2)).astype(float)
        assert ranks(y).tolist() == naive_ranks(y).tolist()

    def test_ranks_stop_when_enough_points_have_one(self):
        y = np.arange(6.0)[:, None]
        assert ranks(y, 2).tolist() == [0, 1, 2, 2, 2, 2]

    def test_crowding_is_the_gap_between_neighbors_over_the_range_and_infinite_at_the_ends(self):
        y = np.array([[0.0, 4.0], [1.0, 2.0], [4.0, 0.0]])
        assert crowding(y).tolist() == [np.inf, 1.0 + 1.0, np.inf]

    def test_order_goes_by_rank_then_by_crowding_then_by_bounds(self):
        values = [(0.0, 3.0, 0.0), (1.0, 2.0, 0.0), (1.2, 1.9, 0.0), (3.0, 0.0, 0.0), (3.0, 3.0, 0.0), (0.0, 0.0, 8.0)]
        sampler = told(["f", "g"], values, constraints=[("h", "<=", 5.0)])
        order = order_of(sampler, 6).tolist()
        assert set(order[:2]) == {0, 3}
        assert order[2:] == [2, 1, 4, 5]

"""The sampler for several objectives: fronts are found and filled, with bounds, noise, failures and points under way."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from cosim.study.hypervolume import hypervolume, non_dominated
from cosim.study.samplers.base import make_sampler
from cosim.study.samplers.gp_pareto import ParetoSampler, _depth

LEVELS = {f"a{i}": [0, 1, 2, 3] for i in range(5)}
REFERENCE = np.array([16.0, 16.0])


def both(point):
    """Two bowls with minima at opposite corners, and one axis that matters to the second alone."""
    x = np.array([point[f"a{i}"] for i in range(5)])
    return [float((x[:4] ** 2).sum() / 3), float(((3 - x[:4]) ** 2).sum() / 3 + x[4])]


def exact():
    return np.array([both({f"a{i}": v for i, v in enumerate(x)}) for x in product(range(4), repeat=5)])


def told(sampler, function, n, values=()):
    values = list(values)
    for _ in range(n):
        point = sampler.ask(1)[0]
        values.append(function(point))
        sampler.tell(point, values[-1])
    return values


def share(values):
    kept = np.array([v for v in values if np.isfinite(v).all()])
    return hypervolume(kept, REFERENCE) / hypervolume(exact(), REFERENCE)


def test_the_default_with_two_objectives_is_this_one():
    assert isinstance(make_sampler("gp", LEVELS, ["f", "g"]), ParetoSampler)


def test_finds_nearly_the_whole_front_of_a_thousand_points():
    sampler = make_sampler("gp", LEVELS, ["f", "g"], seed=0)
    assert share(told(sampler, both, 40)) > 0.97


def test_beats_random_search():
    ours, random = (share(told(make_sampler(name, LEVELS, ["f", "g"], seed=1), both, 32)) for name in ("gp", "random"))
    assert ours > random


def test_what_is_maximized_is_made_large():
    sampler = make_sampler("gp", LEVELS, {"f": "maximize", "g": "maximize"}, seed=0)
    values = told(sampler, lambda point: [-v for v in both(point)], 34)
    assert share([[-v for v in pair] for pair in values]) > 0.94


def test_the_front_is_that_of_what_was_told():
    sampler = make_sampler("gp", LEVELS, ["f", "g"], seed=2)
    values = np.array(told(sampler, both, 30))
    found = np.array(sorted(both(point) for point in sampler.front()))
    assert found == pytest.approx(non_dominated(values))


def test_equal_seeds_and_answers_give_equal_suggestions():
    first, second = (make_sampler("gp", LEVELS, ["f", "g"], seed=7) for _ in range(2))
    assert told(first, both, 26) == told(second, both, 26)


def test_points_under_way_are_not_asked_again_and_spread():
    sampler = make_sampler("gp", LEVELS, ["f", "g"], seed=0)
    told(sampler, both, 22)
    points = sampler.ask(6)
    assert len({tuple(point.items()) for point in points}) == 6


def test_a_bound_on_a_told_value_is_kept_to():
    sampler = make_sampler("gp", LEVELS, ["f", "g"], seed=0, constraints=[("sum", ">=", 6)])

    def answer(point):
        return {**dict(zip("fg", both(point), strict=True)), "sum": float(sum(point.values()))}

    told_values = []
    for _ in range(36):
        point = sampler.ask(1)[0]
        told_values.append(answer(point))
        sampler.tell(point, told_values[-1])
    late = [one["sum"] >= 6 for one in told_values[26:]]
    assert sum(late) >= 7
    assert all(sum(point.values()) >= 6 for point in sampler.front())


def test_while_nothing_is_feasible_the_bound_is_sought():
    sampler = make_sampler("gp", LEVELS, ["f", "g"], seed=0, constraints=[("sum", ">=", 14)])
    sums = []
    for _ in range(32):
        point = sampler.ask(1)[0]
        sums.append(sum(point.values()))
        sampler.tell(point, [*both(point), float(sums[-1])])
    assert max(sums[20:]) >= 14


def test_failed_points_are_no_part_of_the_front_and_do_not_stop_the_search():
    sampler = make_sampler("gp", LEVELS, ["f", "g"], seed=0)
    values = told(sampler, lambda point: [np.nan, np.nan] if point["a0"] == 1 else both(point), 32)
    assert share(values) > 0.9
    assert all(point["a0"] != 1 for point in sampler.front())


def test_noise_is_averaged_over_fronts_that_may_be():
    rng = np.random.default_rng(0)
    sampler = make_sampler("gp", LEVELS, ["f", "g"], seed=0)
    points = []

    def noisy(point):
        points.append(both(point))
        return [v + 0.5 * rng.normal() for v in both(point)]

    told(sampler, noisy, 34)
    assert share(points) > 0.93


def test_three_objectives():
    sampler = make_sampler("gp", LEVELS, ["f", "g", "h"], seed=0)
    values = np.array(told(sampler, lambda point: [*both(point), float(point["a4"] != 2)], 34))
    reference = np.array([16.0, 16.0, 2.0])
    whole = np.array([[*both({f"a{i}": v for i, v in enumerate(x)}), float(x[4] != 2)] for x in product(range(4), repeat=5)])
    assert hypervolume(values, reference) / hypervolume(non_dominated(whole), reference) > 0.93


def test_an_objective_that_never_changes_is_borne():
    sampler = make_sampler("gp", LEVELS, ["f", "g"], seed=0)
    values = told(sampler, lambda point: [both(point)[0], 1.0], 30)
    assert min(value[0] for value in values) <= 1.0


def test_a_point_is_as_deep_as_many_as_dominate_it():
    values = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [2.0, -1.0], [0.0, 0.0]])
    assert _depth(values).tolist() == [0, 2, 4, 0, 0]

"""Ask, tell and best: what every sampler owes its user, held on a sampler that only draws."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.study import make_sampler
from cosim.study.samplers.base import SAMPLERS, Sampler
from cosim.study.samplers.problem import make_problem
from workloads.errors import SpecError

SPACE = {"a": [0, 1, 2, 3], "b": ["x", "y"]}


class Draws(Sampler):
    """Uniform points at the truth."""

    def _suggest(self, rng):
        return self.space.random(rng, 1)[0], self.problem.top


def sampler(objectives="f", seed=0, **given):
    return Draws(make_problem(SPACE, objectives, **given), seed)


def point(a, b="x"):
    return {"a": a, "b": b}


def test_an_unknown_sampler_is_refused_and_the_nearest_named():
    with pytest.raises(SpecError, match="did you mean 'nsga2'"):
        make_sampler("nsga", SPACE, "f")


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_registered_sampler_asks_feasible_points_and_names_the_best_told(name):
    made = make_sampler(name, SPACE, "f", seed=3, constraints=[lambda p: p["a"] != 1])
    for _ in range(4):
        for asked in made.ask(2):
            assert asked["a"] != 1
            made.tell(asked, asked["a"])
    assert made.best()["a"] == min(p["a"] for p in made.space.decode(made.codes))


def test_asked_points_are_pending_until_they_are_told():
    made = sampler()
    one, two = made.ask(2)
    assert len(made.pending) == 2
    made.tell(two, 1.0)
    made.tell(point(3, "y"), 2.0) if point(3, "y") != one else None
    assert made.space.decode(made.pending) == [one]


def test_suggestion_i_draws_from_seed_and_i():
    first, second = sampler(seed=7), sampler(seed=7)
    assert first.ask(5) == [second.ask(1)[0] for _ in range(5)]
    assert sampler(seed=8).ask(5) != sampler(seed=7).ask(5)


def test_the_best_of_one_objective_is_its_smallest_or_largest_value():
    for way, a in (("minimize", 0), ("maximize", 3)):
        made = sampler({"f": way})
        for value in (2, 0, 3):
            made.tell(point(value), value)
        assert made.best() == point(a)


def test_best_leaves_out_points_that_failed_or_break_a_bound():
    made = sampler(constraints=("area", "<=", 1.0))
    made.tell(point(0), (0.0, 2.0))
    made.tell(point(1), (np.nan, 0.0))
    assert made.best() == point(0)  # none is feasible: the nearest to it
    made.tell(point(2), (5.0, 0.5))
    assert made.best() == point(2)
    assert made.valid.tolist() == [False, False, True]


def test_best_is_a_point_of_the_top_fidelity():
    made = sampler(fidelities={"low": 0.1, "high": 1.0})
    made.tell({**point(0), "fidelity": "low"}, 0.0)
    made.tell(point(1), 1.0, fidelity="high")
    made.tell(point(2), 2.0)
    assert made.best() == point(1)
    assert made.fidelity.tolist() == [0, 1, 1]
    assert made.ask(1)[0]["fidelity"] == "high"


def test_the_front_holds_what_nothing_beats_and_each_equal_value_once():
    made = sampler(["e", "t"])
    for a, values in enumerate([(0.0, 4.0), (4.0, 0.0), (1.0, 1.0), (1.0, 1.0)]):
        made.tell(point(a), values)
    made.tell(point(0, "y"), (2.0, 2.0))
    assert made.front() == [point(0), point(1), point(2)]
    assert made.best() == point(2)


def test_nothing_told_has_no_best():
    with pytest.raises(SpecError, match="nothing has been told"):
        sampler().best()


@pytest.mark.parametrize(
    ("told", "message"),
    [({"a": 9, "b": "x"}, "no level 9"), ({"a": 0}, "no level of axis 'b'"), ({"a": 0, "b": "x", "c": 1}, "no axis 'c'")],
)
def test_a_point_outside_of_the_space_is_refused(told, message):
    with pytest.raises(SpecError, match=message):
        sampler().tell(told, 1.0)

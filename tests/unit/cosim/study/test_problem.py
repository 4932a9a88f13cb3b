"""A problem is read in every form that `make_sampler` takes, and refused with the way out."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.study.samplers.problem import make_problem
from cosim.study.space import Axis, Space
from workloads.errors import SpecError

SPACE = {"a": [0, 1, 2], "b": ["x", "y"]}


def test_numbers_are_ordinal_and_words_are_not():
    problem = make_problem(SPACE, ["cost"])
    assert problem.space.is_ordinal.tolist() == [True, False]
    assert problem.costs == (1.0,)
    assert problem.fidelities == ()


def test_a_kind_that_is_given_wins():
    assert make_problem({"a": {"levels": [1, 2, 3], "kind": "categorical"}}, "cost").space.is_ordinal.tolist() == [False]


def test_a_space_is_taken_as_it_is():
    space = Space((Axis("a", "ordinal", (1, 2)),))
    assert make_problem(space, ["cost"]).space is space


@pytest.mark.parametrize("objectives", [["e", "t"], {"e": "minimize", "t": "minimise"}, ("e", "t")])
def test_objectives_are_minimized_unless_said_otherwise(objectives):
    y, violation = make_problem(SPACE, objectives).row([1.0, 2.0])
    assert y.tolist() == [1.0, 2.0]
    assert violation.shape == (0,)


@pytest.mark.parametrize("values", [3.0, [3.0], np.float64(3.0), np.array(3.0), {"gain": 3.0, "other": 1.0}])
def test_a_maximized_objective_is_negated_in_any_form_of_its_value(values):
    assert make_problem(SPACE, {"gain": "maximize"}).row(values)[0].tolist() == [-3.0]


@pytest.mark.parametrize("constraints", [("area", "<=", 2.0), [("area", "<=", 2.0)], {"area": ("<=", 2.0)}])
def test_a_bound_is_broken_by_what_is_above_it(constraints):
    problem = make_problem(SPACE, "cost", constraints=constraints)
    assert problem.row({"cost": 1.0, "area": 5.0})[1].tolist() == [3.0]
    assert problem.row([1.0, 1.5])[1].tolist() == [-0.5]


def test_a_lower_bound_is_broken_by_what_is_below_it():
    assert make_problem(SPACE, "cost", constraints=("accuracy", ">=", 0.9)).row([1.0, 0.8])[1] == pytest.approx([0.1])


def test_a_function_becomes_a_rule_of_the_space():
    problem = make_problem(SPACE, "cost", constraints=[lambda point: point["b"] == "x" or point["a"] == 0, ("area", "<=", 1.0)])
    assert problem.space.feasible(np.array([[0, 0], [0, 1], [1, 1]])).tolist() == [True, True, False]
    assert len(problem.bounds) == 1
    assert problem.space.feasible(np.zeros((0, 2), dtype=np.int64)).shape == (0,)


@pytest.mark.parametrize("ladder", [{"high": 1.0, "low": 0.1}, [("low", 0.1), ("high", 1.0)]])
def test_fidelities_go_from_cheap_to_dear_and_the_dearest_is_the_truth(ladder):
    problem = make_problem(SPACE, "cost", ladder)
    assert problem.fidelities == ("low", "high")
    assert problem.top == problem.fidelity_index(None) == problem.fidelity_index("high") == 1
    assert problem.fidelity_index("low") == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_problem(SPACE, []), "no objective"),
        (lambda: make_problem(SPACE, {"e": "lower"}), "minimize or maximize"),
        (lambda: make_problem(SPACE, "e", {"low": 0.0}), "positive number"),
        (lambda: make_problem({"fidelity": [0, 1]}, "e", {"low": 1.0}), "rename the axis"),
        (lambda: make_problem(SPACE, "e", constraints=[("area", "<", 1.0)]), "'<=' or '>='"),
        (lambda: make_problem(SPACE, "e").row([1.0, 2.0]), "2 values told where 1 are due"),
        (lambda: make_problem(SPACE, ["e", "t"]).row({"e": 1.0}), "have no 't'"),
        (lambda: make_problem(SPACE, "e").fidelity_index("low"), "without fidelities"),
        (lambda: make_problem(SPACE, "e", {"low": 1.0}).fidelity_index("lo"), "did you mean 'low'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_way_out(make, message):
    with pytest.raises(SpecError, match=message):
        make()

"""The classic policies on the shipped instances, whose makespans are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cosim.engine.check import check_playback
from cosim.engine.simpy_engine import play
from cosim.scheduling.base import make_policy
from cosim.scheduling.checker import check_plan
from cosim.scheduling.fixed import placed_problem
from cosim.scheduling.instance_file import read_instance
from cosim.validation.contention import DATA
from cosim.validation.scheduling import CLASSIC

EXPECTED = json.loads((DATA / "expected.json").read_text())
CASES = json.loads((DATA / "contention.json").read_text())


def plan_and_instance(name, policy):
    """The plan of a policy on a shipped instance."""
    given = read_instance(DATA / "instances" / f"{name}.json")
    return make_policy(policy).plan(given, np.random.default_rng(0)), given


def test_all_instances_have_an_expectation():
    assert {path.stem for path in (DATA / "instances").glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize("policy", CLASSIC)
@pytest.mark.parametrize("name", EXPECTED)
def test_a_classic_policy_equals_the_reference_exactly(name, policy):
    plan, given = plan_and_instance(name, policy)
    assert plan.makespan_s == EXPECTED[name]["reference_classic"][policy]
    check_plan(given, plan)


@pytest.mark.parametrize(
    ("name", "policy", "makespan"),
    [
        ("topcuoglu10", "heft", 80.0),
        ("topcuoglu10", "cpop", 86.0),
        ("arabnejad10", "heft", 133.0),
        ("arabnejad10", "peft", 122.0),
        ("arabnejad10", "lookahead", 127.0),
    ],
)
def test_policies_equal_the_papers(name, policy, makespan):
    # The ten-task examples of Topcuoglu et al., 2002, and of Arabnejad and Barbosa, 2014.
    plan, _ = plan_and_instance(name, policy)
    assert plan.makespan_s == makespan


def test_the_portfolio_is_the_best_of_all_classics():
    ratios = []
    for name, known in EXPECTED.items():
        plan, _ = plan_and_instance(name, "portfolio")
        assert plan.makespan_s <= min(known["reference_classic"].values())
        ratios.append(plan.makespan_s / known["best_known_makespan"])
    assert np.exp(np.mean(np.log(ratios))) < 1.06  # the best of eight classics is 5.9 % above the best known


@pytest.mark.parametrize("name", EXPECTED)
def test_heft_places_every_task_where_the_contention_cases_have_it(name):
    plan, _ = plan_and_instance(name, "heft")
    assert plan.assignment.tolist() == CASES[f"{name}_none"]["assignment"]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_best_single_device_equals_the_reference(name):
    plan, given = plan_and_instance(name, "single")
    assert EXPECTED[name]["best_single_device"] == (plan.makespan_s if given.supported.all(axis=0).any() else None)


@pytest.mark.parametrize("policy", [*CLASSIC, "greedy", "single"])
@pytest.mark.parametrize("name", EXPECTED)
def test_no_policy_beats_the_proven_bound_and_every_plan_can_be_played(name, policy):
    plan, given = plan_and_instance(name, policy)
    bound = EXPECTED[name]["cpsat"]["lower_bound"]
    problem = placed_problem(given, plan.assignment, plan.priority)
    played = play(problem)
    check_playback(problem, played)
    assert min(plan.makespan_s, played.makespan_s) >= bound

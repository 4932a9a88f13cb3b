"""HEFT and the best single device on the shipped instances, whose makespans are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cosim.engine.check import check_playback
from cosim.engine.simpy_engine import play
from cosim.scheduling.base import make_policy
from cosim.scheduling.fixed import placed_problem
from cosim.scheduling.instance_file import read_instance
from cosim.validation.contention import DATA

EXPECTED = json.loads((DATA / "expected.json").read_text())
CASES = json.loads((DATA / "contention.json").read_text())


def plan_and_instance(name, policy):
    """The plan of a policy on a shipped instance."""
    given = read_instance(DATA / "instances" / f"{name}.json")
    return make_policy(policy).plan(given, np.random.default_rng(0)), given


def test_all_instances_have_an_expectation():
    assert {path.stem for path in (DATA / "instances").glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_heft_equals_the_reference_exactly(name):
    plan, _ = plan_and_instance(name, "heft")
    assert plan.makespan_s == EXPECTED[name]["reference_classic"]["heft"]


@pytest.mark.parametrize(("name", "makespan"), [("topcuoglu10", 80.0), ("arabnejad10", 133.0)])
def test_heft_equals_the_papers(name, makespan):
    # The ten-task examples of Topcuoglu et al., 2002, and of Arabnejad and Barbosa, 2014.
    plan, _ = plan_and_instance(name, "heft")
    assert plan.makespan_s == makespan


@pytest.mark.parametrize("name", EXPECTED)
def test_heft_places_every_task_where_the_contention_cases_have_it(name):
    plan, _ = plan_and_instance(name, "heft")
    assert plan.assignment.tolist() == CASES[f"{name}_none"]["assignment"]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_best_single_device_equals_the_reference(name):
    plan, given = plan_and_instance(name, "single")
    assert EXPECTED[name]["best_single_device"] == (plan.makespan_s if given.supported.all(axis=0).any() else None)


@pytest.mark.parametrize("policy", ["heft", "greedy", "single"])
@pytest.mark.parametrize("name", EXPECTED)
def test_no_policy_beats_the_proven_bound_and_every_plan_can_be_played(name, policy):
    plan, given = plan_and_instance(name, policy)
    bound = EXPECTED[name]["cpsat"]["lower_bound"]
    problem = placed_problem(given, plan.assignment, plan.priority)
    played = play(problem)
    check_playback(problem, played)
    assert min(plan.makespan_s, played.makespan_s) >= bound

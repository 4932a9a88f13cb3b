"""What must hold for every policy, present and future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosim.scheduling.base import make_policy, policy_classes
from cosim.scheduling.checker import check_plan
from cosim.scheduling.generate import random_instances
from cosim.scheduling.instance import Goal
from cosim.testing import check_policy

NAMES = ("cpu", "gpu", "npu")
ARGUMENTS = {"single": "npu"}  # what follows the colon; a number of roll-outs or moves where nothing is said
# A budget of time may give another plan on another day, so for the law of one seed these are given moves; exact has time to prove its plan.
BY_TIME = ("anneal", "search", "learned_search")
ALONE = [name for name in policy_classes() if name not in BY_TIME]
TEXTS = [*ALONE, *(f"{name}:{ARGUMENTS.get(name, '8')}" for name, cls in policy_classes().items() if cls.takes_argument)]
ON_ONE_DEVICE = [*ALONE, *(f"{name}:8" for name in BY_TIME)]


def needs(text):
    """Skip a policy whose extra is not installed."""
    if text.partition(":")[0] == "exact":
        pytest.importorskip("ortools")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("n_devices", [2, 3])
def test_a_policy_obeys_the_laws(text, n_devices):
    needs(text)
    check_policy(make_policy(text), NAMES[-n_devices:])


@pytest.mark.parametrize("text", BY_TIME)
def test_a_policy_that_goes_by_time_makes_plans_that_can_run(text):
    for instance in random_instances(5, 6, (4, 20)):
        given = replace(instance, goal=Goal(budget_s=0.01))
        check_plan(given, make_policy(text).plan(given, np.random.default_rng(0)), text)


@pytest.mark.parametrize("text", ON_ONE_DEVICE)
def test_a_policy_obeys_the_laws_on_one_device(text):
    needs(text)
    check_policy(make_policy(text), ("cpu",))


@pytest.mark.parametrize("text", policy_classes())
def test_a_policy_says_what_it_does(text):
    assert policy_classes()[text].__doc__

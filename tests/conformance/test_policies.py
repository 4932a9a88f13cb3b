"""What must hold for every policy, present and future."""

from __future__ import annotations

import pytest

from cosim.scheduling.base import make_policy, policy_classes
from cosim.testing import check_policy

NAMES = ("cpu", "gpu", "npu")
ARGUMENTS = {"single": "npu"}  # what follows the colon; a number of roll-outs or moves where nothing is said
# A budget of time gives another plan on another day, so those that have one are given moves here; exact goes by the clock, to an optimum.
BY_TIME = ("anneal", "search", "learned_search")
ALONE = [name for name in policy_classes() if name not in BY_TIME]
TEXTS = [*ALONE, *(f"{name}:{ARGUMENTS.get(name, '8')}" for name, cls in policy_classes().items() if cls.takes_argument)]


def needs(text):
    """Skip a policy whose extra is not installed."""
    if text.partition(":")[0] == "exact":
        pytest.importorskip("ortools")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("n_devices", [2, 3])
def test_a_policy_obeys_the_laws(text, n_devices):
    needs(text)
    check_policy(make_policy(text), NAMES[-n_devices:])


@pytest.mark.parametrize("text", ALONE)
def test_a_policy_obeys_the_laws_on_one_device(text):
    needs(text)
    check_policy(make_policy(text), ("cpu",))


@pytest.mark.parametrize("text", policy_classes())
def test_a_policy_says_what_it_does(text):
    assert policy_classes()[text].__doc__

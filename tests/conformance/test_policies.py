"""What must hold for every policy, present and future."""

from __future__ import annotations

import pytest

from cosim.scheduling.base import make_policy, policy_classes
from cosim.testing import check_policy

NAMES = ("cpu", "gpu", "npu")
ARGUMENTS = {"single": "npu"}  # what follows the colon; a number of roll-outs or moves where nothing is said
TEXTS = [*policy_classes(), *(f"{name}:{ARGUMENTS.get(name, '8')}" for name, cls in policy_classes().items() if cls.takes_argument)]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("n_devices", [2, 3])
def test_a_policy_obeys_the_laws(text, n_devices):
    check_policy(make_policy(text), NAMES[-n_devices:])


@pytest.mark.parametrize("text", policy_classes())
def test_a_policy_obeys_the_laws_on_one_device(text):
    check_policy(make_policy(text), ("cpu",))


@pytest.mark.parametrize("text", policy_classes())
def test_a_policy_says_what_it_does(text):
    assert policy_classes()[text].__doc__

from __future__ import annotations

import pytest

from workloads import errors
from workloads.errors import CosimError, suggest


def test_every_error_a_user_can_cause_is_caught_by_one_name():
    family = [value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__]
    assert len(family) == 7
    assert all(issubclass(kind, CosimError) for kind in family)


@pytest.mark.parametrize(
    ("given", "known", "hint"),
    [
        ("resnet5O", ["resnet50", "vgg8"], "did you mean 'resnet50'?"),
        ("zzz", ["b", "a"], "choose one of: a, b"),
        ("zzz", [], "nothing is known here"),
    ],
)
def test_suggestion_is_the_nearest_name_or_the_whole_list(given, known, hint):
    assert suggest(given, known) == hint


def test_a_list_of_hundreds_is_cut_short():
    hint = suggest("zzz", [f"network_{i}" for i in range(500)])
    assert hint.startswith("choose one of: network_0, ")
    assert hint.endswith("...")
    assert len(hint) < 210

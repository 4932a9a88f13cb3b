"""Phases and recipes as plain numbers: what is refused, how noise rises, and what a control leaves out."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.training.recipe import Phase, Recipe
from workloads.errors import SimulationError

SHARE = st.floats(0, 1)


def test_a_phase_rounds_clips_and_disturbs_nothing_unless_told():
    phase = Phase(epochs=1, learning_rate=0.1)
    assert {key: value for key, value in asdict(phase).items() if value not in (None, 0.0)} == {
        "epochs": 1,
        "learning_rate": 0.1,
        "batch": 64,
        "temperature": 1.0,
    }


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": -1}, "epochs -1, batch 64: choose 0 or more epochs and batches of 1 or more"),
        ({"batch": 0}, "epochs 1, batch 0: choose 0 or more epochs and batches of 1 or more"),
        ({"learning_rate": 0.0}, r"learning_rate 0\.0: choose a number above 0"),
        ({"learning_rate": math.nan}, "learning_rate nan: choose a number above 0"),
        ({"learning_rate": math.inf}, "learning_rate inf: choose a number above 0"),
        ({"ramp": -0.1}, r"ramp -0\.1, distill 0\.0: shares lie in 0 \.\.\. 1"),
        ({"ramp": math.nan}, "ramp nan"),
        ({"distill": 1.1}, r"distill 1\.1: shares lie in 0 \.\.\. 1"),
    ],
)
def test_what_cannot_be_trained_with_says_what_would_do(wrong, said):
    with pytest.raises(SimulationError, match=said):
        Phase(**{"epochs": 1, "learning_rate": 0.1, **wrong})


def test_no_epochs_are_a_phase_that_does_nothing():
    assert Phase(epochs=0, learning_rate=0.1).epochs == 0


@pytest.mark.parametrize(("sigma", "least", "trained_with"), [(0.0, 0.5, 0.0), (0.1, 0.5, 0.5), (0.7, 0.5, 0.7), (0.1, 0.0, 0.1)])
def test_there_is_at_least_so_much_noise_where_there_is_any(sigma, least, trained_with):
    assert Phase(1, 0.1, sigma=sigma, least_sigma=least).training_sigma == trained_with


@given(SHARE, SHARE, SHARE)
def test_the_share_of_errors_rises_from_nothing_to_all_and_stays(ramp, one, two):
    phase = Phase(1, 0.1, ramp=ramp)
    early, late = sorted((one, two))
    assert 0 <= phase.share_at(early) <= phase.share_at(late) <= 1
    assert phase.share_at(1.0) == 1.0
    assert phase.share_at(ramp) == 1.0
    assert phase.share_at(0.0) == (0.0 if ramp > 0 else 1.0)


def test_half_way_up_the_ramp_is_half_of_the_error():
    phase = Phase(1, 0.1, ramp=0.5)
    assert [phase.share_at(progress) for progress in (0.125, 0.25, 0.4, 0.6)] == [0.25, 0.5, 0.8, 1.0]


def test_a_control_has_all_but_the_noise():
    then = Phase(7, 0.1, 16, 0.3, 0.5, 0.25, 1.5, 2.0, 4, 8, 0.5, 2.0, 1e-4)
    recipe = Recipe("r", Phase(3, 0.2, sigma=0.1), then, "a paper")
    control = recipe.control
    assert (control.name, control.first, control.sources) == ("r, control", recipe.first, "a paper")
    assert control.then.training_sigma == 0.0  # least_sigma does not bring it back
    assert replace(control.then, sigma=0.3) == then
    assert control.control.then == control.then


def test_plain_data_makes_the_same_recipe_again():
    recipe = Recipe("r", Phase(3, 0.2), Phase(7, 0.1, sigma=0.3, weight_bits=2), "a paper")
    data = json.loads(json.dumps(recipe.as_dict()))
    assert Recipe(data["name"], Phase(**data["first"]), Phase(**data["then"]), data["sources"]) == recipe

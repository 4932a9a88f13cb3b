"""Goals by name: what each compares, with trainings that are made up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from cosim.training.accuracy import Score
from cosim.validation import accuracy_goals as goals
from cosim.validation.accuracy_goals import GOALS, Found, Goal
from workloads.errors import WorkloadError


@pytest.fixture
def trained(monkeypatch):
    """Trainings whose accuracies are given by kind; returns what was asked for."""
    asked = []

    def noisy(network, sigma, weight_bits=None):
        asked.append((network, sigma, weight_bits))
        scores = {"aware": (97.0, 98.0), "control": (90.0, 95.0)}
        return SimpleNamespace(score=lambda kind: Score(scores[kind]), runs=(0, 1))

    monkeypatch.setattr(goals, "noisy", noisy)
    monkeypatch.setattr(
        goals, "low_bit", lambda network, bits: SimpleNamespace(score=lambda _: Score((97.0, 97.7) if bits else (97.2, 97.9)))
    )
    return asked


def test_a_goal_says_mean_spread_control_and_whether_it_is_reached():
    found = Goal("title", 2.0, lambda: Found((1.0, 3.0), (0.0, 1.0))).reach()
    assert found == {
        "title": "title",
        "value": 2.0,
        "std": pytest.approx(np.sqrt(2.0)),
        "n_seeds": 2,
        "control": 0.5,
        "target": 2.0,
        "passed": True,
    }


@pytest.mark.parametrize(("value", "at_most", "passed"), [(1.9, False, False), (1.9, True, True), (2.1, False, True), (2.1, True, False)])
def test_some_goals_are_floors_and_some_ceilings(value, at_most, passed):
    found = Goal("", 2.0, lambda: Found((value,)), at_most).reach()
    assert (found["passed"], found["control"], found["std"]) == (passed, None, 0.0)


def test_noise_is_judged_by_itself_and_against_the_clipped_control(trained):
    found = goals.reach(["cnn_small_noise_0.3", "cnn_small_gain_0.3"])
    assert found["cnn_small_noise_0.3"] | {"title": ""} == {
        "title": "",
        "value": 97.5,
        "std": pytest.approx(np.sqrt(0.5)),
        "n_seeds": 2,
        "control": 92.5,
        "target": 96.5,
        "passed": True,
    }
    assert (found["cnn_small_gain_0.3"]["value"], found["cnn_small_gain_0.3"]["passed"]) == (5.0, True)
    assert set(trained) == {("cnn_small", 0.3, None)}


def test_ternary_weights_may_lose_so_many_points(trained):
    found = goals.reach(["mlp_digits_ternary"])["mlp_digits_ternary"]
    assert (found["value"], found["passed"]) == (pytest.approx(0.2), True)
    assert found["control"] == pytest.approx(97.55)


def test_two_bits_are_trained_as_two_bits(trained):
    goals.reach(["cnn_small_2bit_noise_0.2"])
    assert trained == [("cnn_small", 0.2, 2)]


def test_converters_are_judged_against_digital_and_calibrated(monkeypatch):
    table = {"128x2": {"aware": 91.0, "control": 93.0, "calibrated": 86.0}}
    monkeypatch.setattr(goals, "adc_table", lambda seed: table)
    found = goals.reach(["adc_aware_128x2", "adc_aware_gain_128x2"])
    assert [(one["value"], one["control"], one["passed"]) for one in found.values()] == [(91.0, 93.0, True), (5.0, 86.0, True)]


def test_names_and_targets_are_those_of_the_project():
    targets = {name: goal.target for name, goal in GOALS.items()}
    assert targets["cnn_small_noise_0.5"] == 90.0
    assert targets["mlp_digits_gain_0.3"] == 4.0
    assert targets["adc_aware_128x1"] == 77.0
    assert targets["ensemble_ece_0.2"] == 0.03
    assert {name for name, goal in GOALS.items() if goal.at_most} == {
        "cnn_small_ternary",
        "mlp_digits_ternary",
        "ensemble_ece_0.2",
        "ensemble_ece_0.3",
        "exact_integer",
        "compress_bits",
        "compress_drop",
    }
    assert set(goals.CHEAP) <= set(GOALS)


def test_arrays_whose_converters_lose_nothing_are_the_integer_network(monkeypatch):
    monkeypatch.setattr(goals, "N_SAMPLES", 4)
    found = goals.reach(["exact_integer"])["exact_integer"]
    assert (found["value"], found["n_seeds"], found["passed"]) == (0.0, 3, True)


def test_an_unknown_goal_is_refused_with_the_nearest():
    with pytest.raises(WorkloadError, match="did you mean 'adaround'"):
        goals.reach(["adarund"])
    assert goals.reach([]) == {}

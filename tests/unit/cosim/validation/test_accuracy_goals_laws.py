"""Goals for any numbers: what each reads off a training, with trainings and tables that are made up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.training.accuracy import Score
from cosim.training.hardware import Hardware
from cosim.training.recipe import Phase, Recipe
from cosim.validation import accuracy_goals as goals
from cosim.validation.accuracy_goals import GOALS, Found, Goal
from workloads.errors import WorkloadError

NUMBERS = st.lists(st.integers(-50, 100).map(float), min_size=1, max_size=5)


def training(**scores):
    """A result whose accuracies are given by kind."""
    seeds = next(iter(scores.values()))
    return SimpleNamespace(score=lambda kind: Score(tuple(scores[kind])), runs=tuple(range(len(seeds))))


@given(NUMBERS, st.integers(-50, 100).map(float))
def test_a_floor_and_a_ceiling_agree_only_on_the_target_itself(values, target):
    floor, ceiling = (Goal("", target, lambda: Found(tuple(values)), at_most).reach() for at_most in (False, True))
    assert floor["value"] == ceiling["value"] == pytest.approx(sum(values) / len(values))
    assert floor["passed"] or ceiling["passed"]
    assert (floor["passed"] and ceiling["passed"]) == (floor["value"] == target)
    assert floor["n_seeds"] == len(values)


@given(NUMBERS, st.integers(-9, 9).map(float))
def test_a_gain_is_paired_seed_by_seed(control, points):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(goals, "noisy", lambda *_: training(aware=[one + points for one in control], control=control))
        found = Goal("", points, lambda: goals._gain("cnn_small", 0.3)).reach()
    assert (found["value"], found["std"]) == (pytest.approx(points), pytest.approx(0))
    assert found["control"] == pytest.approx(np.mean(control))


def test_seeds_that_do_not_pair_are_not_subtracted(monkeypatch):
    monkeypatch.setattr(goals, "noisy", lambda *_: training(aware=[1.0, 2.0], control=[1.0]))
    with pytest.raises(ValueError, match="zip"):
        goals._gain("cnn_small", 0.3)


def test_points_lost_to_ternary_weights_are_positive_where_few_bits_are_worse(monkeypatch):
    asked = []

    def low_bit(network, bits):
        asked.append((network, bits))
        return training(aware=[90.0, 91.0] if bits == 2 else [92.0, 94.0])

    monkeypatch.setattr(goals, "low_bit", low_bit)
    assert goals._ternary("mlp_digits") == Found((2.0, 3.0), (92.0, 94.0))
    assert asked == [("mlp_digits", 2), ("mlp_digits", None)]


@pytest.fixture
def year(monkeypatch):
    """Percent after a year by kind and by how it is read."""
    table = {
        ("aware", "compensated"): (96.0, 97.0),
        ("control", "compensated"): (90.0, 91.0),
        ("float", "compensated"): (95.0, 94.0),
        ("float", "uncompensated"): (93.0, 90.0),
    }
    monkeypatch.setattr(goals, "_pcm", lambda result, kind, how: table[kind, how])
    asked = []
    monkeypatch.setattr(goals, "noisy", lambda *how: asked.append(how))
    return asked


def test_a_year_of_few_bits_is_read_with_compensation(year):
    found = GOALS["cnn_small_2bit_year"].reach()
    assert (found["value"], found["control"], found["passed"]) == (96.5, 90.5, False)
    assert year == [("cnn_small", 0.2, 2)]


def test_compensation_is_what_the_same_networks_gain_by_it(year):
    found = GOALS["compensation"].reach()
    assert (found["value"], found["control"], found["passed"]) == (3.0, 91.5, True)
    assert year == [("cnn_small", 0.2)]


def test_a_year_is_read_once_for_each_seed(monkeypatch):
    asked = []

    def trial(result, kind, place, hardware):
        asked.append((kind, place, hardware.t_s))
        return place

    monkeypatch.setattr(goals, "_trial", trial)
    monkeypatch.setattr(goals, "over_time", lambda place, times: [{"compensated": {"mean": 90.0 + place}, "times": times}])
    assert goals._pcm(training(aware=[0.0, 0.0, 0.0]), "aware", "compensated") == (90.0, 91.0, 92.0)
    assert asked == [("aware", place, 365 * 24 * 3600.0) for place in range(3)]


@pytest.mark.parametrize(("quantity", "aware", "control"), [("accuracy", (97.0, 98.0), (90.0, 91.0)), ("ece", (0.02, 0.03), (0.08, 0.09))])
def test_an_ensemble_is_read_in_one_quantity_for_both(monkeypatch, quantity, aware, control):
    table = {"aware": {"accuracy": (97.0, 98.0), "ece": (0.02, 0.03)}, "control": {"accuracy": (90.0, 91.0), "ece": (0.08, 0.09)}}
    monkeypatch.setattr(goals, "noisy", lambda *_: training(aware=[0.0, 0.0]))
    monkeypatch.setattr(goals, "_of_ensemble", lambda _, kind, sigma, place: {key: pair[place] for key, pair in table[kind].items()})
    assert goals._ensemble(0.2, quantity) == Found(aware, control)


def test_an_ensemble_by_hand(monkeypatch):
    """One chip, softmax of 4 rows: two are right, the surest row is right; confidences 0.9, 0.8, 0.7 and 0.6 mean 0.75."""
    chances = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    trial = SimpleNamespace(labels=np.array([0, 1, 0, 1]))
    monkeypatch.setattr(goals, "_trial", lambda *_: trial)
    monkeypatch.setattr(goals, "measure", lambda _: SimpleNamespace(redrawn=[[chances[None]]]))
    found = goals._of_ensemble(None, "aware", 0.2, 0)
    assert found["accuracy"] == 50
    assert found["coverage"] == 50  # of 90 % of 4 rows, all 4
    assert found["ece"] == pytest.approx((0.1 + 0.2 + 0.7 + 0.6) / 4)


@pytest.mark.parametrize(("beside", "control"), [("control", (93.0, 94.0, 95.0)), ("calibrated", (80.0, 81.0, 82.0))])
def test_converters_are_read_seed_by_seed(monkeypatch, beside, control):
    def table(seed):
        return {"128x2": {"aware": 90.0 + seed, "control": 93.0 + seed, "calibrated": 80.0 + seed}}

    monkeypatch.setattr(goals, "adc_table", table)
    assert goals._aware(128, 2, beside) == Found((90.0, 91.0, 92.0), control)
    assert goals._aware_gain(128, 2) == Found((10.0, 10.0, 10.0), (80.0, 81.0, 82.0))


@pytest.mark.parametrize(("network", "seeds", "given_seeds"), [("mlp_digits", 5, ()), ("cnn_small", 3, ()), ("cnn_small", 2, (7, 8))])
def test_frozen_recipes_train_on_validation_images_too(monkeypatch, network, seeds, given_seeds):
    monkeypatch.setattr(goals, "train", lambda job: job)
    monkeypatch.setattr(goals, "load_data", lambda name: name)
    how = Recipe("r", Phase(1, 1e-3), Phase(1, 1e-3))
    job = goals._train(network, Hardware("digital"), how, given_seeds, control=False)
    assert (len(job.seeds), job.validate, job.control, job.recipe) == (seeds, False, False, how)


def test_all_names_every_goal_and_runs_each_once(monkeypatch):
    run = []
    made = {name: Goal(name, 0.0, lambda name=name: run.append(name) or Found((1.0,))) for name in ("a", "b")}
    monkeypatch.setattr(goals, "GOALS", made)
    assert list(goals.reach(["all"])) == ["a", "b"]
    assert run == ["a", "b"]
    assert list(goals.reach(["b", "b"])) == ["b"]


def test_a_wrong_name_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(goals, "GOALS", {"a": Goal("a", 0.0, pytest.fail)})
    with pytest.raises(WorkloadError, match="--goals b: is not known"):
        goals.reach(["a", "b"])


@pytest.mark.parametrize("name", list(GOALS))
def test_titles_name_what_is_judged(name):
    goal = GOALS[name]
    network = next((one for one in ("cnn_small", "mlp_digits") if name.startswith(one)), None)
    assert network is None or goal.title.startswith(network)
    assert [one.title for one in GOALS.values()].count(goal.title) == 1
    assert ("points lost" in goal.title) == name.endswith("ternary")

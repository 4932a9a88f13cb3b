"""Runs of training on a handful of inputs: what is counted, told, kept and compared, and what decides a recipe."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from cosim.training import train as module
from cosim.training.data import Dataset, Scale
from cosim.training.hardware import Hardware
from cosim.training.network import Network
from cosim.training.networks import Trainable
from cosim.training.recipe import Phase, Recipe
from cosim.training.train import CURVE, Job, SeedRun, TrainResult, hardware_dict, recipe_for, train
from hw_models.catalog import build_part_device
from hw_models.cim.noise import load_noise
from workloads.errors import StoreError, WorkloadError
from workloads.program import Program

N = 30
LABELS = np.repeat(np.arange(2), N)
INPUTS = np.stack([LABELS, 1 - LABELS], axis=1).astype(np.float32) + np.linspace(0, 0.3, 2 * N, dtype=np.float32)[:, None]
DATA = Dataset("two", INPUTS, LABELS, 2, np.tile(np.arange(N) >= N - 5, 2), Scale(1.0, 0.0, 1.0), 7)
ENTRY = Trainable("tiny", "t", "p", "two", (1.0, 0.0, 1.0), (2,), lambda b: b.linear(b.relu(b.linear(b.input, 3)), 2))
RECIPE = Recipe("r", Phase(1, 0.05, batch=8), Phase(2, 0.05, batch=8, sigma=0.2))
NOISE = Hardware("noise 0.2", sigma=0.2)
MACRO = build_part_device("cim_macro/ref_bitserial").spec
EMPTY = Network(Program("empty", "x", (1,), "x", (), {}))


def job(**changes):
    return replace(Job(ENTRY, DATA, NOISE, RECIPE, "a chip", seeds=(0, 1), n_draws=2), **changes)


def made(job_=None, **scores):
    """A result whose seeds reached the percentages that are written down."""
    runs = []
    for i, seed in enumerate((0, 1)):
        test = {kind: values[i] for kind, values in scores.items()}
        digital = {kind: value + 1 for kind, value in test.items()}
        validation = {kind: value + 2 for kind, value in test.items()}
        runs.append(
            SeedRun(seed, dict.fromkeys(scores, EMPTY), validation, test, digital, {kind: (50.0,) * len(CURVE) for kind in scores}, 3)
        )
    return TrainResult(job_ or job(), tuple(runs), (46, 4, 10), 1.234)


HAND = {"aware": (90.0, 94.0), "control": (80.0, 81.0), "float": (70.0, 70.0)}


@pytest.fixture(scope="module")
def told_and_result():
    told = []
    return told, train(job(), lambda label, n: told.append((label, n)))


def test_epochs_are_those_of_all_runs_together():
    """Two seeds, each twice: one epoch for the float network and two for each of two kinds."""
    assert job().n_epochs == 2 * 2 * (1 + 2 * 2)
    assert job(control=False).n_epochs == 2 * 2 * (1 + 2)
    assert job(validate=False, seeds=(5,)).n_epochs == 1 + 2 * 2
    assert (job().kinds, job(control=False).kinds) == (("aware", "control"), ("aware",))


def test_as_many_epochs_are_told_as_were_announced(told_and_result):
    told, _ = told_and_result
    assert sum(n for _, n in told) == job().n_epochs
    labels = list(dict.fromkeys(label for label, _ in told))
    assert labels[:3] == ["seed 0, tried float", "seed 0, tried aware", "seed 0, tried control"]
    assert labels[-1] == "seed 1, final control"


def test_every_kind_of_every_seed_is_judged_on_both_sets(told_and_result):
    _, result = told_and_result
    assert [run.seed for run in result.runs] == [0, 1]
    for run in result.runs:
        kinds = {"aware", "control", "float"}
        assert set(run.networks) == set(run.validation) == set(run.test) == set(run.digital) == set(run.curve) == kinds
        assert all(len(points) == len(CURVE) for points in run.curve.values())
        assert all(value * 4 / 100 == pytest.approx(round(value * 4 / 100)) for points in run.curve.values() for value in points[:1])
        assert run.n_test_reads == 3 * (1 + 2)  # three networks, each real and on two chips
    assert result.sizes == (46, 4, 10)


def test_seeds_train_networks_of_their_own(told_and_result):
    one, two = (run.networks["float"].program.weights for run in told_and_result[1].runs)
    assert any(not np.array_equal(one[name], two[name]) for name in one)


def test_without_validation_images_nothing_is_tried():
    run = train(job(validate=False, control=False, seeds=(0,))).runs[0]
    assert (run.validation, run.curve) == ({}, {})
    assert set(run.test) == {"aware", "float"}


def test_a_frozen_recipe_gives_the_network_that_was_judged_before(told_and_result):
    again = train(job(validate=False, control=False, seeds=(0,))).runs[0].networks["aware"].program.weights
    first = told_and_result[1].runs[0].networks["aware"].program.weights
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_a_run_that_was_finished_is_not_trained_again(tmp_path):
    asked = job(folder=tmp_path / "deep" / "kept", seeds=(0,), control=False, validate=False)
    told = []
    one, two = train(asked), train(replace(asked, resume=True), lambda label, n: told.append((label, n)))
    assert told == [("seed 0, final float", 1), ("seed 0, final aware", 2)]
    for name, array in one.runs[0].networks["aware"].program.weights.items():
        np.testing.assert_array_equal(two.runs[0].networks["aware"].program.weights[name], array)
    assert {path.name for path in (tmp_path / "deep" / "kept").glob("*.pt")} == {"seed0_final_float.pt", "seed0_final_aware.pt"}


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_trained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file.kept: cannot be made: Not a directory"):
        train(job(folder=tmp_path / "file" / "kept"))


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(WorkloadError, match=r"tiny takes inputs of shape \[5\]; two has \[2\]"):
        train(job(entry=replace(ENTRY, input_shape=(5,))))


def test_a_gain_is_the_difference_of_means_on_the_hardware():
    result = made(**HAND)
    assert result.score("aware").per_seed == (90.0, 94.0)
    assert result.score("control", "digital").mean == 81.5
    assert result.score("float", "validation").mean == 72.0
    assert result.gain == 92.0 - 80.5
    assert made(job(control=False), aware=(90.0, 94.0), float=(70.0, 70.0)).gain is None


def test_a_summary_says_what_was_reached_and_on_what():
    found = made(**HAND).summary()
    assert found["split"] == {"seed": 7, "n_train": 46, "n_val": 4, "n_test": 10}
    assert (found["accuracy"]["mean"], found["control"]["mean"], found["float"]["mean"]) == (92.0, 80.5, 71.0)
    assert (found["val_accuracy"]["mean"], found["gain_over_control"]) == (94.0, 11.5)
    assert {kind: score["mean"] for kind, score in found["digital"].items()} == {"aware": 93.0, "control": 81.5}
    assert (found["seeds"], found["epochs"], found["cpu_s"]) == ([0, 1], {"first": 1, "then": 2}, 1.23)
    assert (found["provenance"]["seed"], found["provenance"]["test_set_reads"]) == ([0, 1], 6)
    alone = made(job(control=False, validate=False), aware=(90.0, 94.0), float=(70.0, 70.0)).summary()
    assert (alone["control"], alone["val_accuracy"], alone["gain_over_control"]) == (None, None, None)


@pytest.mark.parametrize(
    ("hardware", "asked", "n_draws", "path"),
    [
        (NOISE, None, 8, "exact"),
        (NOISE, 3, 3, "exact"),
        (Hardware("m", MACRO), None, 1, "surrogate"),
        (Hardware("digital"), None, 1, "exact"),  # all chips are the same
        (Hardware("digital"), 5, 1, "exact"),
    ],
)
def test_a_summary_counts_the_chips_that_were_drawn(hardware, asked, n_draws, path):
    found = made(job(hardware=hardware, n_draws=asked), **HAND).summary()
    assert (found["n_draws"], found["path"]) == (n_draws, path)


def test_all_that_decides_the_numbers_of_a_stage_is_in_its_configuration():
    plain = job().config(0, "final_aware", 50)
    json.dumps(plain)
    changed = [
        job().config(1, "final_aware", 50),
        job().config(0, "final_control", 50),
        job().config(0, "final_aware", 46),
        job(path="exact").config(0, "final_aware", 50),
        job(dataset=replace(DATA, split_seed=8)).config(0, "final_aware", 50),
        job(dataset=replace(DATA, name="other")).config(0, "final_aware", 50),
        job(hardware=replace(NOISE, sigma=0.3)).config(0, "final_aware", 50),
        job(recipe=replace(RECIPE, then=replace(RECIPE.then, ramp=0.5))).config(0, "final_aware", 50),
        job(recipe=replace(RECIPE, first=replace(RECIPE.first, epochs=3))).config(0, "final_aware", 50),
    ]
    assert [sum(plain[key] != one[key] for key in plain) for one in changed] == [1] * len(changed)
    others = job(seeds=(0,), control=False, validate=False, n_draws=5, resume=True, chip="b")  # decide nothing of a stage
    assert others.config(0, "final_aware", 50) == plain


def test_hardware_as_plain_data_holds_its_parts():
    found = hardware_dict(Hardware("m", MACRO, load_noise("pcm_like"), t_s=5.0, off=frozenset({"read", "dac"})))
    assert json.loads(json.dumps(found)) == found
    assert (found["off"], found["t_s"], found["sigma"]) == (["dac", "read"], 5.0, 0.0)
    assert found["macro"]["adc"]["n_bits"] == MACRO.adc.n_bits
    assert hardware_dict(NOISE)["macro"] is None


@pytest.mark.parametrize(
    ("hardware", "bits", "purpose", "found"),
    [
        (Hardware("m", MACRO), (None, None), "chip", (8, 8)),
        (Hardware("m", MACRO), (4, None), "chip", (4, 8)),
        (Hardware("m", MACRO, load_noise("pcm_like")), (2, 3), "chip", (2, 3)),
        (NOISE, (None, None), "noisy", (None, None)),
        (Hardware("c", noise=load_noise("pcm_like")), (4, None), "noisy", (4, None)),
        (Hardware("digital"), (2, 4), "low_bit", (2, 4)),
    ],
)
def test_hardware_decides_the_purpose_of_a_recipe_and_its_bits(hardware, bits, purpose, found):
    made_ = recipe_for("cnn_small", hardware, *bits)
    assert made_.name.endswith(f", {purpose}")
    assert (made_.then.weight_bits, made_.then.activation_bits, made_.then.sigma) == (*found, hardware.sigma)
    shorter = recipe_for("cnn_small", hardware, *bits, epochs=0)
    assert shorter == replace(made_, then=replace(made_.then, epochs=0))


def test_only_chips_bring_errors_of_their_own_and_only_the_exact_path_learns_ranges():
    assert module._errors(job()) is None
    assert module._errors(job(hardware=Hardware("c", noise=load_noise("pcm_like")))) is not None
    assert module._ranges(job(hardware=Hardware("m", MACRO)), INPUTS)(EMPTY) is EMPTY
    assert module._ranges(job(path="exact"), INPUTS)(EMPTY) is EMPTY

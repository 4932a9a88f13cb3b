"""Runs of `cosim train`: the protocol of splits, the control, what a stop leaves, and errors that say what would do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from cosim.cli import cli
from cosim.training import torch_needed
from cosim.training.data import load_data, split
from cosim.training.hardware import Hardware
from cosim.training.hardware_choice import chosen
from cosim.training.network_file import load_network
from cosim.training.networks import trainable
from cosim.training.recipe_file import PURPOSES, recipe
from cosim.training.train import Job, recipe_for, train
from workloads.errors import CosimError, SpecError, StoreError


def job(tmp_path=None, **changes):
    found = recipe("mlp_digits", "noisy", sigma=0.3, epochs=2)
    found = replace(found, first=replace(found.first, epochs=2))
    base = Job(trainable("mlp_digits"), load_data("digits8x8"), Hardware("noise 0.3", sigma=0.3), found, seeds=(0,), folder=tmp_path)
    return replace(base, **changes)


@pytest.fixture(scope="module")
def result():
    return train(job())


def test_sizes_are_those_of_the_protocol(result):
    assert sum(result.sizes) == 1797
    assert result.sizes[2] == 450
    assert result.sizes[1] == pytest.approx(0.1 * (1797 - 450), abs=3)


def test_validation_images_are_neither_trained_on_nor_test_images():
    rows = split(load_data("digits8x8"), 0)
    assert not set(rows.validation) & (set(rows.train) | set(rows.test))


def test_test_images_are_read_once_a_number_and_counted(result):
    """Three networks, each: real, and 8 chips; the rounded one is the real one here."""
    assert result.summary()["provenance"]["test_set_reads"] == 3 * (1 + 8)


def test_summary_has_the_keys_of_the_contract(result):
    summary = result.summary()
    wanted = "network data split chip weight_bits activation_bits path seeds n_draws accuracy control float provenance gain_over_control"
    assert set(f"{wanted} val_accuracy epochs cpu_s".split()) <= set(summary)
    json.dumps(summary)
    assert summary["gain_over_control"] == pytest.approx(summary["accuracy"]["mean"] - summary["control"]["mean"])


def test_control_sees_the_same_batches_so_that_without_noise_it_is_the_same_network():
    quiet = job(hardware=Hardware("digital"))
    quiet = replace(quiet, recipe=replace(quiet.recipe, then=replace(quiet.recipe.then, sigma=0.0)))
    run = train(quiet).runs[0]
    one, two = run.networks["aware"].program.weights, run.networks["control"].program.weights
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_a_killed_run_goes_on_to_the_same_networks(tmp_path):
    """SIGKILL in the middle of the epochs; --resume equals a run that never stopped, bit for bit."""
    args = ["train", "mlp_digits", "--noise", "0.3", "--seeds", "0", "--epochs", "12", "--no-control"]
    code = "import sys; from cosim.cli import main; sys.argv = ['cosim', *sys.argv[1:]]; main()"
    victim = subprocess.Popen([sys.executable, "-c", code, *args, "--out", str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
    aim = tmp_path / "killed" / "checkpoints" / "seed0_tried_aware.pt"
    deadline = time.monotonic() + 100
    while not aim.exists() and time.monotonic() < deadline and victim.poll() is None:
        time.sleep(0.02)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert aim.exists()
    for folder, more in (("killed", ["--resume"]), ("whole", [])):
        done = CliRunner().invoke(cli, [*args, "--out", str(tmp_path / folder), *more], catch_exceptions=False, standalone_mode=False)
        assert done.exception is None
    one, two = (load_network(tmp_path / folder / "mlp_digits_seed0.npz").program.weights for folder in ("killed", "whole"))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_resuming_with_other_options_is_refused(tmp_path):
    train(job(tmp_path))
    other = job(tmp_path, resume=True)
    changed = replace(other, recipe=replace(other.recipe, then=replace(other.recipe.then, epochs=3)))
    with pytest.raises(StoreError, match="was trained with then"):
        train(changed)


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(torch_needed, "find_spec", lambda name: None)
    with pytest.raises(CosimError, match=r'pip install "cosim\[train\]"'):
        train(job())


def test_command_writes_networks_page_and_json(tmp_path):
    args = ["train", "mlp_digits", "--noise", "0.2", "--seeds", "1", "--epochs", "1", "--out", str(tmp_path), "--json"]
    done = CliRunner().invoke(cli, args, catch_exceptions=False, standalone_mode=False)
    summary = json.loads(done.stdout)
    assert summary["noise"] == "noise 0.2"
    assert load_network(tmp_path / "mlp_digits_seed1.npz").program.name == "mlp_digits"
    assert "<svg" in (tmp_path / "train.html").read_text()
    assert summary["checkpoint"].endswith("mlp_digits_seed1.npz")


@pytest.mark.parametrize(("args", "said"), [
    (["train", "mlp_digit"], "mlp_digits"),
    (["train", "mlp_digits", "--chip", "edge_cim_sok"], "edge_cim_soc"),
    (["train", "mlp_digits", "--noise", "pcm_lik"], "pcm_like"),
    (["train", "mlp_digits", "--noise", "-0.1"], "0 or more"),
    (["train", "mlp_digits", "--data", "digits9x9"], "digits8x8"),
    (["train", "mlp_digits", "--data", "mnist5k"], "64"),
])  # fmt: skip
def test_bad_input_says_what_would_do(args, said, tmp_path):
    done = CliRunner().invoke(cli, [*args, "--out", str(tmp_path / "o")], standalone_mode=False)
    assert isinstance(done.exception, CosimError)
    assert said in str(done.exception)


def test_every_network_has_a_recipe_for_every_purpose():
    for name in ("cnn_small", "mlp_digits", "lenet5", "no_such_network"):
        for purpose in PURPOSES:
            assert recipe(name, purpose).then.epochs > 0
    with pytest.raises(SpecError, match="sigma"):
        recipe("cnn_small", "noisy", sigmaa=0.1)


def test_arrays_get_eight_bits_unless_told_otherwise():
    on_chip = chosen("edge_cim_soc").hardware
    assert (
        recipe_for("mlp_digits", on_chip, None, None).then.weight_bits,
        recipe_for("mlp_digits", on_chip, 2, None).then.weight_bits,
    ) == (8, 2)
    assert recipe_for("mlp_digits", Hardware("noise", sigma=0.1), None, None).then.weight_bits is None


def test_hardware_by_words():
    place = chosen("edge_cim_soc")
    assert (place.device, place.hardware.macro is not None, place.chip is not None) == ("cim", True, True)
    assert chosen("reram_22nm_256x256").chip is None
    assert chosen("edge_npu_soc").hardware.macro is None
    assert chosen("edge_cim_soc", "0.25").hardware.sigma == 0.25
    assert chosen("edge_cim_soc", "pcm_like", t_s=60.0).hardware.noise is not None

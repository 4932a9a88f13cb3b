"""Networks that ship: that they are there, fit their entries, and how they are made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosim.training import shipped
from cosim.training.data import fitted, load_data, split
from cosim.training.network_file import WEIGHTS, load_saved
from cosim.training.networks import trainable


@pytest.mark.parametrize("name", shipped.NAMES)
def test_a_shipped_network_is_its_entry_with_trained_weights(name):
    entry, saved = trainable(name), load_saved(WEIGHTS / f"{name}.npz")
    start = entry.build(np.random.default_rng(0))
    assert saved.network.program.nodes == start.nodes
    assert saved.network.scaling == entry.scaling
    assert (saved.network.weight_bits, saved.network.activation_bits, dict(saved.network.steps)) == (None, None, {})
    for key, array in start.weights.items():
        assert saved.network.program.weights[key].shape == array.shape
        assert not np.array_equal(saved.network.program.weights[key], array)
    assert (saved.provenance["data"], saved.provenance["seed"]) == (entry.data, shipped.SEED)
    assert saved.provenance["recipe"]["then"]["sigma"] == shipped.SIGMA


def test_no_other_weights_ship():
    assert {path.stem for path in WEIGHTS.glob("*.npz")} == set(shipped.NAMES)


def test_one_is_made_of_all_images_that_are_not_test_images(monkeypatch, tmp_path):
    seen = {}

    def networks_of(job, dataset, rows, seed, name, tell):
        seen.update(job=job, rows=rows, seed=seed)
        return {"aware": job.entry.start(np.random.default_rng(3))}

    monkeypatch.setattr(shipped, "networks_of", networks_of)
    path = shipped.make("mlp_digits", tmp_path)
    data = fitted(load_data("digits8x8"), (64,), "mlp_digits")
    np.testing.assert_array_equal(seen["rows"], np.flatnonzero(~data.is_test))
    assert not set(seen["rows"]) & set(split(data, 0).test)
    assert (seen["seed"], seen["job"].control, seen["job"].hardware.sigma) == (0, False, 0.1)
    saved = load_saved(path)
    want = trainable("mlp_digits").build(np.random.default_rng(3)).weights
    for key, array in saved.network.program.weights.items():
        np.testing.assert_array_equal(array, want[key].astype(np.float16).astype(np.float32))
    assert saved.provenance["recipe"] == seen["job"].recipe.as_dict()
    assert saved.provenance["hardware"] == "noise 0.1"
    assert path.name == "mlp_digits.npz"


def test_the_same_command_makes_the_same_bytes(monkeypatch, tmp_path):
    plain = shipped.recipe_for

    def quick(*args):
        found = plain(*args)
        return replace(found, first=replace(found.first, epochs=1), then=replace(found.then, epochs=1))

    monkeypatch.setattr(shipped, "recipe_for", quick)
    one, two = (shipped.make("mlp_digits", tmp_path / folder) for folder in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()

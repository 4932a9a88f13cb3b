"""The shipped recipes: every number is one of a phase, networks take what is their own first, and changes are checked."""

from __future__ import annotations

from dataclasses import fields

import pytest
from ruamel.yaml import YAML

from cosim.training import recipe_file
from cosim.training.networks import TRAINABLE
from cosim.training.recipe import Phase
from cosim.training.recipe_file import PURPOSES, RECIPES, recipe
from workloads.errors import SimulationError, SpecError

FILE = YAML(typ="safe").load(RECIPES.read_text())
NETWORKS = sorted(set(FILE) - {"default", "sources"})
KEYS = {field.name for field in fields(Phase)}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Recipes of a file written by a test; the shipped ones are read again afterwards."""

    def write(text):
        path = tmp_path / "recipes.yaml"
        path.write_text(text)
        monkeypatch.setattr(recipe_file, "RECIPES", path)
        recipe_file._table.cache_clear()

    yield write
    recipe_file._table.cache_clear()


SOURCES = "sources: {first: A, noisy: B, low_bit: C, chip: D}\n"


def test_the_file_names_networks_that_can_be_trained_and_sources_of_every_step():
    assert set(NETWORKS) <= set(TRAINABLE)
    assert set(FILE["sources"]) == {"first", *PURPOSES}
    assert all(set(FILE[name]) <= {"first", *PURPOSES} for name in NETWORKS)
    assert set(FILE["default"]) == {"first", *PURPOSES}


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_recipe_holds_the_numbers_of_the_file(name, purpose):
    found = recipe(name, purpose)
    own = FILE[name].get(purpose)
    for key, value in (own or FILE["default"][purpose]).items():
        assert getattr(found.then, key) == value
    for key, value in {**FILE["default"]["first"], **FILE[name].get("first", {})}.items():
        assert getattr(found.first, key) == value
    assert found.name == f"{name if own else 'default'}, {purpose}"
    assert found.sources == f"{FILE['sources']['first']}; {FILE['sources'][purpose]}"


def test_no_shipped_recipe_has_noise_or_bits_of_its_own():
    """They are those of the hardware that a network is trained for."""
    for name in ("default", *NETWORKS):
        for phase in FILE[name].values():
            assert not {"sigma", "weight_bits", "activation_bits"} & set(phase)


def test_changes_go_into_the_second_phase_alone():
    plain, changed = recipe("mlp_digits", "noisy"), recipe("mlp_digits", "noisy", sigma=0.2, epochs=3, weight_bits=4)
    assert changed.first == plain.first
    assert (changed.then.sigma, changed.then.epochs, changed.then.weight_bits) == (0.2, 3, 4)
    assert changed.then.clip_row == plain.then.clip_row


@pytest.mark.parametrize(("wrong", "near"), [("sigmaa", "sigma"), ("epoch", "epochs"), ("weightbits", "weight_bits")])
def test_a_number_that_no_phase_has_gets_the_nearest_name(wrong, near):
    with pytest.raises(SpecError, match=rf"recipe: '{wrong}' is no number of a phase; did you mean '{near}'\?"):
        recipe("cnn_small", "noisy", **{wrong: 1})


def test_numbers_out_of_range_are_refused_as_in_a_phase():
    with pytest.raises(SimulationError, match="epochs -3"):
        recipe("cnn_small", "noisy", epochs=-3)


def test_parts_of_the_first_phase_may_be_left_to_the_default(written):
    text = "default: {first: {epochs: 5, learning_rate: 0.1}, noisy: {epochs: 6, learning_rate: 0.2}}\n"
    written(text + "mine: {first: {epochs: 9}}\n" + SOURCES)
    found = recipe("mine", "noisy")
    assert (found.first, found.then) == (Phase(9, 0.1), Phase(6, 0.2))
    assert (found.name, found.sources) == ("default, noisy", "A; B")


def test_a_purpose_of_a_network_takes_nothing_from_the_default(written):
    text = "default: {first: {epochs: 5, learning_rate: 0.1}, chip: {epochs: 6, learning_rate: 0.2, distill: 0.5}}\n"
    written(text + "mine: {chip: {epochs: 1, learning_rate: 0.3}}\n" + SOURCES)
    assert recipe("mine", "chip").then == Phase(1, 0.3)
    assert recipe("other", "chip").then == Phase(6, 0.2, distill=0.5)


def test_a_wrong_key_of_the_file_is_named_with_its_place(written):
    written("default: {first: {epochs: 5, learning_rate: 0.1}, noisy: {epochs: 6, learning_rat: 0.2}}\n" + SOURCES)
    with pytest.raises(SpecError, match=r"recipes\.yaml: noisy\.learning_rat: is not known; did you mean 'learning_rate'\?"):
        recipe("any", "noisy")

"""Recipes of the tables as phases: numbers from training_baselines.README.md."""

from __future__ import annotations

from collections import Counter

import pytest

from cosim.training.recipe import Phase
from cosim.validation.accuracy_cases import Case, Reading, read_cases
from cosim.validation.accuracy_recipes import Made, changed, made_of
from workloads.errors import WorkloadError

DIGITAL = Reading("digital")


def made(recipe, net="mlp", file="training_baselines", reading=DIGITAL):
    return made_of(Case(file, net, recipe, 0, reading, 90.0))


def test_float_networks_have_epochs_and_rates_of_the_readme():
    assert made("float") == Made("mlp", Phase(40, 5e-3))
    assert made("float", "cnn") == Made("cnn", Phase(12, 1e-3))
    assert made("float", "cnn", "training_stress") == Made("cnn", Phase(10, 1e-3))


@pytest.mark.parametrize(
    ("recipe", "more"),
    [
        ("noise-aware std=0.06 clip=2.5sigma", Phase(30, 2e-3, sigma=0.06, clip_layer=2.5)),
        ("noise-aware 0.25", Phase(30, 2e-3, sigma=0.25, clip_layer=2.5)),
        ("control: same extra epochs, no noise, clip=2.5", Phase(30, 2e-3, clip_layer=2.5)),
        ("control: same extra epochs, no noise, clip=0.0", Phase(30, 2e-3)),
        ("control", Phase(30, 2e-3)),
        ("quantization-aware (learned step), 3 bits", Phase(30, 2e-3, weight_bits=3)),
        ("quantization- and noise-aware std=0.12, 2 bits", Phase(30, 2e-3, weight_bits=2, sigma=0.12)),
    ],
)
def test_all_others_add_epochs_to_the_same_float_network(recipe, more):
    assert made(recipe) == Made("mlp", Phase(40, 5e-3), more)
    assert made(recipe, "cnn").more == Phase(**{**more.__dict__, "epochs": 6, "learning_rate": 5e-4})


def test_rounding_trains_nothing():
    assert made("post-training, nearest, MSE step, 2 bits") == Made("mlp", Phase(40, 5e-3), round_bits=2)


def test_a_network_with_an_adc_knows_which():
    adc = Reading("adc", rows=128, bits=2)
    aware = made("4 epochs with this ADC", "adc", "adc_aware", adc)
    assert (aware.aware_epochs, aware.adc) == (4, adc)
    before = made("4-bit", "adc", "adc_aware", adc)
    assert (before.aware_epochs, before.adc) == (0, None)
    assert (aware.first, aware.more) == (before.first, before.more)
    assert aware.cost_s > before.cost_s > made("float", "adc").cost_s == 0


def test_the_other_tool_descends_with_momentum():
    sgd = made("aihwkit's own: add_normal=0.12, clip=2.5sigma, SGD")
    assert sgd == Made("mlp", Phase(40, 5e-3), Phase(30, 0.05, sigma=0.12, clip_layer=2.5), momentum=0.9)


def test_every_recipe_that_ships_is_known():
    """Float; 2 controls, 3 noises, 3 roundings, 2 x 3 low bits; cnn under stress starts from another float network, twice; mlp has SGD."""
    found = Counter(made.net for made in {made_of(case) for case in read_cases()[0]})
    assert found == {"cnn": 1 + 2 + 2 + 3 + 6 + (1 + 2), "mlp": 1 + 2 + 3 + 3 + 6 + 1, "adc": 1 + 1 + 4}


def test_any_other_is_refused():
    with pytest.raises(WorkloadError, match="did you mean 'noise-aware'"):
        made("noise-awere")


def test_numbers_are_decided_by_what_is_not_as_usual():
    assert changed(Phase(3, 1e-3, batch=64)) == "epochs 3, learning_rate 0.001"
    assert changed(Phase(3, 1e-3, sigma=0.2)) == "epochs 3, learning_rate 0.001, sigma 0.2"
    assert made("float").words == "mlp; epochs 40, learning_rate 0.005; ; round None; aware 0 ; momentum None"
    assert (
        len({made(recipe).words for recipe in ("float", "control", "control, clip=2.5", "noise-aware 0.25", "post-training, 2 bits")}) == 5
    )

"""Networks of the tables, trained for an epoch or not at all, and read in every way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosim.training.engines import Digital, NoisyWeights
from cosim.training.network import Network
from cosim.training.recipe import Phase
from cosim.validation import accuracy_networks as nets
from cosim.validation.accuracy_cases import Reading
from cosim.validation.accuracy_recipes import Made
from hw_models.cim.noise import load_noise

EPOCH = Phase(1, 5e-3)


@pytest.fixture
def fresh() -> Network:
    """A digits network as training starts from it."""
    return nets.sets("mlp").entry.start(np.random.default_rng(0))


def first_layer(network):
    return network.matrix(network.program.layers[0])


def test_sets_are_those_of_the_readme():
    digits = nets.sets("mlp")
    assert (len(digits.train_labels), len(digits.test_labels)) == (1347, 450)
    assert np.bincount(digits.test_labels).tolist() == [45] * 10
    assert digits.test_inputs.min() == pytest.approx((0 - 0.305) / 0.376)


def test_a_network_comes_from_its_seed_and_its_phase():
    pytest.importorskip("torch")
    one, same, other = (nets.float_network("mlp", EPOCH, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first_layer(one), first_layer(same))
    assert not np.array_equal(first_layer(one), first_layer(other))


def test_rounding_keeps_weights_and_chooses_steps(fresh):
    made = nets.prepared(Made("mlp", EPOCH, round_bits=2), fresh, 0)
    assert made.program.weights is fresh.program.weights
    for row in first_layer(made)[0]:
        assert len(set(np.abs(row[row != 0]).tolist())) == 1  # ternary: one step an output channel


def test_momentum_is_gradient_descent_and_not_adam(fresh):
    """The first step of Adam moves a weight by the learning rate, that of gradient descent by rate times gradient."""
    pytest.importorskip("torch")
    one_step = Phase(1, 1e-3, batch=1347)
    adam, descent = (first_layer(nets.trained("mlp", fresh, one_step, 0, momentum)) for momentum in (None, 0.9))
    moved = np.abs(adam - first_layer(fresh))
    assert np.median(moved) == pytest.approx(1e-3, rel=0.05)
    assert 0 < np.abs(descent - first_layer(fresh)).max() < 0.5e-3


def test_clip_and_bits_of_a_phase_act():
    pytest.importorskip("torch")
    start = nets.float_network("mlp", EPOCH, 0)
    clipped = nets.prepared(Made("mlp", EPOCH, replace(EPOCH, sigma=0.1, clip_layer=2.5)), start, 0)
    weights = first_layer(clipped)
    assert np.abs(weights).max() <= 2.5 * weights.std() * 1.05  # clipping narrows what it is measured by
    low = nets.prepared(Made("mlp", EPOCH, replace(EPOCH, weight_bits=3)), start, 0)
    assert np.abs(low.whole_matrix(low.program.layers[0])).max() <= 3


def test_digital_reading_is_the_share_of_right_answers(fresh):
    mine = nets.sets("mlp")
    right = Digital(fresh).outputs(mine.test_inputs, np.random.default_rng(0)).argmax(axis=1) == mine.test_labels
    assert nets.readings("mlp", fresh, Reading("digital"), 0) == {"acc": pytest.approx(100 * right.mean())}


def test_draws_are_those_of_seed_and_reading(fresh):
    noisy = Reading("gaussian", 2, sigma=0.2)
    found = nets.readings("mlp", fresh, noisy, 0)
    assert nets.readings("mlp", fresh, noisy, 0) == found
    each = [nets.held(fresh, noisy, nets.chance(0, noisy.label, draw)) for draw in range(2)]
    mine = nets.sets("mlp")
    right = [(one.outputs(mine.test_inputs, np.random.default_rng(0)).argmax(axis=1) == mine.test_labels).mean() for one in each]
    assert found["acc"] == pytest.approx(100 * np.mean(right))


def test_noise_of_nothing_is_digital(fresh):
    assert isinstance(nets.held(fresh, Reading("gaussian", sigma=0.0), 1), Digital)


def test_by_column_each_row_fills_its_cells_and_by_layer_only_the_largest():
    """Programming noise of PCM-like cells is set by how full they are, so rows of small weights err more where the layer is the scale."""
    start = nets.sets("mlp").entry.start(np.random.default_rng(0))
    layer = start.program.layers[0]
    small = start.program.weights[layer.weight].copy()
    small[1:] *= 0.01
    network = start.with_program(start.program.with_weights({layer.weight: small}))
    errors = {}
    for mapping in ("column", "layer"):
        held = nets.held(network, Reading("cells", mapping=mapping), 3)
        weights = held._held[layer.name] if isinstance(held, NoisyWeights) else held.network.matrix(layer)
        errors[mapping] = np.abs(weights[0] - small)[1:].std() / np.abs(small[1:]).std()
    assert errors["layer"] > 10 * errors["column"]


def test_layers_are_compensated_by_the_ratio_of_mean_magnitudes(fresh):
    a_year = Reading("cells", mapping="layer", compensated=True, t_s=31_536_000.0)
    layer = fresh.program.layers[0]
    put_right = nets.held(fresh, a_year, 1).network.matrix(layer)
    left = nets.held(fresh, replace(a_year, compensated=False), 1).network.matrix(layer)
    assert np.abs(put_right).mean() == pytest.approx(np.abs(fresh.matrix(layer)).mean(), rel=1e-5)
    assert np.abs(left).mean() < 0.7 * np.abs(put_right).mean()
    np.testing.assert_allclose(put_right, left * (np.abs(put_right).mean() / np.abs(left).mean()), rtol=1e-4, atol=1e-7)


def test_cells_without_noise_model_are_what_they_should_be(fresh):
    assert nets.by_layer(fresh, replace(nets.arrays(Reading("adc", rows=64, bits=2)), macro=None), 0) is fresh
    assert load_noise(nets.CELLS).g_max_siemens == pytest.approx(25e-6)


def test_passes_are_averaged_in_groups(fresh):
    reading = Reading("passes", 2, sigma=0.2, passes=2)
    found = nets.readings("mlp", fresh, reading, 0)
    assert set(found) == {"acc", "acc_at_90pct_coverage", "ece"}
    assert all(0 <= value <= 100 for value in found.values())
    assert found["acc"] * 450 * 2 / 100 == pytest.approx(round(found["acc"] * 450 * 2 / 100))  # two averages of 450 images


@pytest.mark.parametrize(
    ("rows", "bits", "full", "step"), [(128, 2, False, 1.0), (128, 4, True, 128 / 15), (64, 6, True, 64 / 63), (64, 8, True, 1.0)]
)
def test_converters_have_the_steps_of_the_readme(fresh, rows, bits, full, step):
    adc = Reading("adc", rows=rows, bits=bits, full=full)
    stepped = nets.with_steps(nets.rounded(fresh, 4), adc)
    assert [steps.adc for steps in stepped.steps.values()] == [pytest.approx(step)] * 2
    macro = nets.arrays(adc).macro
    assert (macro.rows, macro.adc.n_bits) == (rows, bits)


def test_spread_of_cells_is_proportional_to_what_they_hold():
    assert nets.arrays(Reading("adc", rows=128, bits=5)).noise is None
    spread = nets.arrays(Reading("adc", rows=128, bits=5, cell_std=0.4)).noise
    assert spread.programming_sigma(np.array([0.0, 1.0])).tolist() == [0.0, pytest.approx(0.4)]

"""Networks of whole numbers: levels, steps, splits and calibration, by hand and against plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training.adc_net import LEAST_STEP, AdcAwareConfig, WholeLayer, WholeNet, best_step, full_step
from hw_models.catalog import build_part_device
from hw_models.cim.functional import ProgrammedArray
from workloads.errors import SimulationError

PART = build_part_device("cim_macro/ref_bitserial").spec


def macro(rows, n_bits, **change):
    return PART.model_copy(update={"rows": rows, "adc": PART.adc.model_copy(update={"n_bits": n_bits}), **change})


def layer(weights, *, weight_step=1.0, input_step=1.0, bias=0.0, adc_step=1.0):
    w = np.asarray(weights)
    return WholeLayer(w, np.full(w.shape[1], weight_step), input_step, np.full(w.shape[1], bias), adc_step)


def network(seed=0, sizes=(12, 5, 3)):
    rng = np.random.default_rng(seed)
    layers = []
    for k, n in itertools.pairwise(sizes):
        layers.append(WholeLayer(rng.integers(-7, 8, (k, n)), rng.uniform(0.01, 0.1, n), 0.5, rng.normal(size=n), 1.0))
    return WholeNet(tuple(layers), 4, 4)


def error_of(step, sums, n_bits):
    """Squared error of reading whole sums of no sign at a step, halves up."""
    codes = np.clip(np.floor(sums / step + 0.5), 0, 2**n_bits - 1)
    return float(((step * codes - sums) ** 2).sum())


def test_hidden_values_are_clipped_to_their_levels():
    """40 at step 1 is level 15 of 4 bits; -40 is level 0, so that a ReLU stands between layers."""
    net = WholeNet((layer([[8, -8]]), layer([[1], [1]])), 5, 4)
    assert net.logits(np.array([[5]]), None).tolist() == [[15]]
    assert net.logits(np.array([[0]]), None).tolist() == [[0]]


def test_halves_of_a_level_go_to_the_even_one():
    """Products 1, 3, 5 at an input step of 2 are levels 0, 2 and 2."""
    net = WholeNet((layer([[1]]), layer([[1]], input_step=2.0)), 4, 8)
    assert net.logits(np.array([[1], [3], [5]]), None)[:, 0].tolist() == [0, 4, 4]


def test_outputs_count_weight_and_input_steps_and_the_bias_does_not():
    net = WholeNet((layer([[3]], weight_step=0.5, input_step=0.25, bias=7.0),), 4, 8)
    assert net.logits(np.array([[8]]), None).tolist() == [[3 * 8 * 0.125 + 7]]


def test_accuracy_is_a_percentage_and_ties_go_to_the_first_class():
    net = WholeNet((layer([[1, 1, -1]]),), 4, 8)
    images = np.array([[1], [2], [3], [4]])
    assert net.accuracy(images, np.array([0, 0, 0, 1]), None) == 75
    assert net.accuracy(images, np.array([2, 2, 2, 2]), None) == 0


@given(st.integers(0, 200))
@settings(max_examples=10, deadline=None)
def test_converters_that_lose_nothing_give_the_exact_network(seed):
    """16 rows of one bit sum to at most 16, below the largest code of 5 bits."""
    net = network(seed)
    images = np.random.default_rng(seed).integers(0, 16, (3, 12))
    np.testing.assert_allclose(net.logits(images, macro(16, 5)), net.logits(images, None), atol=1e-9)


def test_steps_are_given_layer_by_layer_and_the_rest_stays():
    net = network()
    other = net.with_steps([2.0, 3.0])
    assert [one.adc_step for one in other.layers] == [2.0, 3.0]
    assert all(a.weights is b.weights and a.bias is b.bias for a, b in zip(net.layers, other.layers, strict=True))
    assert [one.adc_step for one in net.layers] == [1.0, 1.0]
    with pytest.raises(ValueError, match="zip"):
        net.with_steps([1.0])


@given(st.lists(st.integers(0, 16), min_size=1, max_size=12), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_no_other_step_of_the_grid_reads_sums_with_less_error(sums, n_bits):
    values = np.array(sums, dtype=float)
    spec = macro(16, n_bits)
    best = best_step(spec, [values])
    grid = np.geomspace(LEAST_STEP, max(1.0, 1.2 * 16 / (2**n_bits - 1)), 200)
    assert best == pytest.approx(grid[np.abs(grid - best).argmin()])
    assert error_of(best, values, n_bits) <= min(error_of(step, values, n_bits) for step in grid[::7]) + 1e-9


def test_sums_may_come_in_parts():
    sums = np.random.default_rng(0).integers(0, 17, 60).astype(float)
    assert best_step(macro(16, 2), [sums]) == best_step(macro(16, 2), [sums[:7], sums[7:40].reshape(3, 11), sums[40:]])


def test_sums_of_either_sign_have_a_step_too():
    """-6, -3, 0 and 3 are the four codes of 2 bits from -2 on at a step of 3."""
    step = best_step(macro(16, 2, subtraction="analog"), [np.array([-6.0, -3.0, 0.0, 3.0])])
    assert step == pytest.approx(3, rel=0.02)


def test_calibration_takes_the_best_step_of_what_each_layer_is_given():
    net, spec = network(3), macro(16, 2)
    images = np.random.default_rng(3).integers(0, 16, (20, 12))
    found = net.calibrated(images, spec)
    first = ProgrammedArray.program(spec, net.layers[0].weights, 4).column_sums(images, 4)
    assert found.layers[0].adc_step == best_step(spec, [first])
    y = WholeNet(found.layers[:1], 4, 4).logits(images, spec)
    hidden = np.clip(np.rint(y / 0.5), 0, 15).astype(int)
    assert found.layers[1].adc_step == best_step(spec, [ProgrammedArray.program(spec, net.layers[1].weights, 4).column_sums(hidden, 4)])


@pytest.mark.parametrize(("rows", "n_bits", "step"), [(128, 1, 128.0), (256, 3, 256 / 7), (7, 3, 1.0), (4, 3, 1.0)])
def test_a_full_step_spreads_the_codes_over_all_rows_but_not_below_a_cell(rows, n_bits, step):
    assert full_step(macro(rows, n_bits)) == pytest.approx(step)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": -1}, "epochs are 0 or more"),
        ({"float_epochs": -1}, "epochs are 0 or more"),
        ({"n_calibration": 0}, "n_calibration and hidden layers 1 or more"),
        ({"hidden": (8, 0)}, "hidden layers 1 or more"),
        ({"distill": -0.1}, "distill -0.1: a share lies in 0"),
    ],
)
def test_configurations_that_cannot_be_trained_are_refused(change, message):
    with pytest.raises(SimulationError, match=message):
        AdcAwareConfig(**change)


def test_a_network_may_have_no_hidden_layer_and_train_no_epoch():
    assert AdcAwareConfig(hidden=(), epochs=0, round_epochs=0, float_epochs=0, distill=1.0).hidden == ()

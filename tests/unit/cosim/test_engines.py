"""Digital products, and products of weights that are off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosim.training.deploy import quantized
from cosim.training.engines import Digital, NoisyWeights, digital_causes, weight_causes
from cosim.training.hardware import Hardware
from cosim.training.network import Network, Steps
from cosim.training.networks import trainable
from cosim.training.operands import Operands
from hw_models.cim.noise import load_noise
from workloads.program import Node, Program

X = np.random.default_rng(0).random((40, 64), dtype=np.float32)
FLOAT = Network(trainable("mlp_digits").build(np.random.default_rng(1)))
WHOLE = quantized(FLOAT, 4, 8, X)
YEAR_S = 365.25 * 86400


def one_layer(weights, steps, **bits):
    program = Program("p", "x", (weights.shape[1],), "y", (Node("fc", "Gemm", ("x", "w"), ("y",), {"transB": 1}),), {"w": weights})
    return Network(program, steps={"fc": steps}, **bits)


def spread(hardware, seed=0, network=FLOAT):
    return NoisyWeights(network, hardware, seed).outputs(X, np.random.default_rng(0))


def test_a_product_of_whole_numbers_by_hand():
    """W = (0.9, -0.4) on steps of 0.5 is (2, -1); x = (0.26, 0.5) on steps of 0.25 is (1, 2): 0.5 * 0.25 * (2 - 2) = 0; two bits hold 1."""
    network = one_layer(np.array([[0.9, -0.4]], np.float32), Steps(np.array([0.5]), 0.25), weight_bits=3, activation_bits=2)
    x = np.array([[0.26, 0.5], [0.25, 9.0]], np.float32)
    np.testing.assert_array_equal(Digital(network).outputs(x, np.random.default_rng(0)), [[0.0], [0.125 * (2 - 3)]])
    no_dac = Digital(network, frozenset({"dac"})).outputs(x, np.random.default_rng(0))
    np.testing.assert_allclose(no_dac, [[1.0 * 0.26 - 0.5 * 0.5], [0.25 - 4.5]], rtol=1e-6)
    no_weight = Digital(network, frozenset({"weight_bits"})).outputs(x, np.random.default_rng(0))
    np.testing.assert_allclose(no_weight, [[0.9 * 0.25 - 0.4 * 0.5], [0.9 * 0.25 - 0.4 * 0.75]], rtol=1e-6)


def test_signed_inputs_are_rounded_to_both_sides():
    network = one_layer(np.array([[1.0]], np.float32), Steps(np.array([1.0]), 0.5, signed=True), weight_bits=2, activation_bits=3)
    found = Digital(network).outputs(np.array([[-9.0], [-0.6], [0.6]], np.float32), np.random.default_rng(0))
    np.testing.assert_array_equal(found, [[-1.5], [-0.5], [0.5]])


def test_all_causes_off_equals_the_float_network_and_none_the_rounded():
    off = Digital(WHOLE, frozenset({"weight_bits", "dac"})).outputs(X, np.random.default_rng(0))
    np.testing.assert_array_equal(off, Digital(FLOAT).outputs(X, np.random.default_rng(0)))
    assert not np.array_equal(off, Digital(WHOLE).outputs(X, np.random.default_rng(0)))
    assert digital_causes(WHOLE) == ("weight_bits", "dac")
    assert digital_causes(FLOAT) == ()


def test_gaussian_noise_has_the_deviation_of_each_row():
    """W + sigma max|W_row| N(0, 1), on the rounded weights: the noise of 2,048 weights in units of its row has deviation sigma."""
    chip = NoisyWeights(WHOLE, Hardware("h", sigma=0.3), 3)
    layer = WHOLE.program.layers[0]
    aimed = WHOLE.matrix(layer)
    noise = (chip._held[layer.name] - aimed) / np.abs(aimed).max(axis=-1, keepdims=True)
    assert noise.std() == pytest.approx(0.3, rel=0.05)
    assert noise.mean() == pytest.approx(0.0, abs=0.02)


def test_a_chip_stays_what_it_is_and_another_is_another():
    for hardware in (Hardware("g", sigma=0.2), Hardware("pcm", noise=load_noise("pcm_like"))):
        np.testing.assert_array_equal(spread(hardware, 1), spread(hardware, 1))
        assert not np.array_equal(spread(hardware, 1), spread(hardware, 2))
        assert not NoisyWeights(FLOAT, hardware, 1).is_fresh
    assert NoisyWeights(FLOAT, Hardware("pcm", noise=load_noise("pcm_like"), t_s=1.0), 1).is_fresh


def test_two_passes_over_one_chip_differ_by_read_noise_alone():
    chip = NoisyWeights(FLOAT, Hardware("pcm", noise=load_noise("pcm_like"), t_s=YEAR_S), 1)
    one, two = (chip.outputs(X, np.random.default_rng(k)) for k in (0, 1))
    assert not np.array_equal(one, two)
    silent = NoisyWeights(FLOAT, replace(chip.hardware, off=frozenset({"read"})), 1)
    np.testing.assert_array_equal(silent.outputs(X, np.random.default_rng(0)), silent.outputs(X, np.random.default_rng(1)))


def test_compensation_puts_the_mean_weight_right():
    """A year takes about half the conductance; the factor is what was lost, and without compensation it is 1."""
    hardware = Hardware("pcm", noise=load_noise("pcm_like"), t_s=YEAR_S)
    chip = NoisyWeights(FLOAT, hardware, 1)
    for layer in FLOAT.program.layers:
        aimed = np.abs(FLOAT.matrix(layer)).mean()
        left = np.abs(chip._cells(layer.name, np.random.default_rng(5))).mean()
        assert 1.5 < chip.factors[layer.name] < 2.5
        assert left * chip.factors[layer.name] == pytest.approx(aimed, rel=0.02)
    assert set(NoisyWeights(FLOAT, replace(hardware, compensation=False), 1).factors.values()) == {1.0}
    assert set(NoisyWeights(FLOAT, replace(hardware, off=frozenset({"drift"})), 1).factors.values()) == {1.0}


def test_causes_of_weights_are_those_that_can_act():
    pcm = Hardware("pcm", noise=load_noise("pcm_like"))
    assert weight_causes(pcm) == ("programming",)
    assert weight_causes(replace(pcm, t_s=1.0)) == ("programming", "read", "drift")
    assert weight_causes(replace(pcm, t_s=1.0, off=frozenset({"read"}))) == ("programming", "drift")
    assert weight_causes(Hardware("g", sigma=0.1)) == ("programming",)
    assert weight_causes(Hardware("ideal")) == ()


def test_noise_that_is_off_leaves_the_weights():
    hardware = Hardware("g", sigma=0.2, off=frozenset({"programming"}))
    np.testing.assert_allclose(spread(hardware), Digital(FLOAT).outputs(X, np.random.default_rng(0)), rtol=1e-5, atol=1e-6)


def test_operands_of_a_real_network_have_no_steps():
    operands = Operands.of(FLOAT, FLOAT.program.layers[0])
    assert (operands.whole, operands.weight_step, operands.input_step, operands.is_whole) == (None, None, None, False)
    np.testing.assert_array_equal(operands.scale(), np.ones((1, 1, 32)))

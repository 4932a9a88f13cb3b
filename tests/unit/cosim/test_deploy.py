"""From networks and hardware to something that computes: steps by hand, and which path is taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training.arrays import OnArrays
from cosim.training.deploy import causes_of, deploy, quantized
from cosim.training.engines import Digital, NoisyWeights
from cosim.training.hardware import CAUSES, Hardware
from cosim.training.network import Network, Steps
from cosim.training.surrogate import Surrogate
from hw_models.catalog import build_part_device
from workloads.errors import SimulationError
from workloads.program import Node, Program

W = np.array([[1.0, -0.5], [0.25, 0.25]], dtype=np.float32)
V = np.array([[2.0, -2.0]], dtype=np.float32)
NODES = (
    Node("first", "Gemm", ("x", "w"), ("h",), {"transB": 1}),
    Node("relu", "Relu", ("h",), ("r",)),
    Node("last", "Gemm", ("r", "v"), ("y",), {"transB": 1}),
)
REAL = Network(Program("two", "x", (2,), "y", NODES, {"w": W, "v": V}))
FIRST, LAST = REAL.program.layers
SAMPLES = np.array([[1.0, 0.0], [0.5, 3.0], [-2.0, 1.0]], dtype=np.float32)
RNG = np.random.default_rng(0)
MACRO = build_part_device("cim_macro/ref_bitserial").spec


def behind_relu():
    """What the last layer is given, by hand: relu(W x)."""
    return np.array([[1.0, 0.25], [0.0, 0.875], [0.0, 0.0]])


def reach(x):
    """0.9995 of the magnitudes that are not 0 lie below it."""
    return np.quantile(np.abs(x[x != 0]), 0.9995)


def test_steps_of_inputs_reach_to_the_quantile_of_what_each_layer_is_given():
    found = quantized(REAL, None, 4, SAMPLES)
    assert found.steps_of(FIRST).input == pytest.approx(reach(SAMPLES) / 7)
    assert found.steps_of(FIRST).signed  # -2 is among them
    assert found.steps_of(LAST).input == pytest.approx(reach(behind_relu()) / 15)
    assert not found.steps_of(LAST).signed
    assert found.steps_of(FIRST).weight is None
    assert (found.weight_bits, found.activation_bits) == (None, 4)


def test_steps_of_weights_hold_rows_that_lie_on_levels():
    found = quantized(REAL, 3, None, SAMPLES)
    np.testing.assert_allclose(found.matrix(FIRST)[0][1], [0.25, 0.25], rtol=1e-12)
    np.testing.assert_allclose(found.matrix(LAST)[0], V, rtol=1e-12)
    assert found.steps_of(FIRST).weight.shape == (2,)
    assert found.steps_of(FIRST).input is None


def test_one_bit_of_inputs_has_no_sign():
    found = quantized(REAL, None, 1, SAMPLES)
    assert not found.steps_of(FIRST).signed
    assert found.steps_of(FIRST).input == pytest.approx(reach(SAMPLES))


def test_inputs_that_are_all_zero_get_a_step_all_the_same():
    found = quantized(REAL, None, 8, np.zeros((2, 2), dtype=np.float32))
    assert found.steps_of(FIRST).input == 1.0 / 255


def test_a_rare_input_counts_where_all_others_are_zero():
    """Zeros do not count, so the quantile of 2 among 9,999 of them is 2."""
    samples = np.zeros((5000, 2), dtype=np.float32)
    samples[7, 1] = 2.0
    assert quantized(REAL, None, 8, samples).steps_of(FIRST).input == pytest.approx(2.0 / 255)


def test_bits_and_steps_that_are_there_stay_and_missing_ones_are_found():
    own = Network(REAL.program, weight_bits=2, steps={"first": Steps(weight=np.array([0.5, 0.5]), adc=3.0)})
    found = quantized(own, 8, 8, SAMPLES)
    assert (found.weight_bits, found.activation_bits) == (2, 8)
    assert found.steps_of(FIRST).weight.tolist() == [0.5, 0.5]
    assert found.steps_of(FIRST).adc == 3.0
    assert found.steps_of(FIRST).input is not None
    assert found.steps_of(LAST).weight == pytest.approx([2.0])


def test_layers_with_bits_of_their_own_get_steps_for_them():
    found = quantized(replace(REAL, layer_bits={"last": 3}, layer_activation_bits={"first": 2}), None, None, SAMPLES)
    assert found.steps_of(FIRST).weight is None
    assert found.steps_of(FIRST).input == pytest.approx(reach(SAMPLES))  # top of 2 signed bits is 1
    assert found.steps_of(LAST).weight is not None
    assert found.steps_of(LAST).input is None


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 8), st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_more_bits_never_round_worse_than_the_step_allows(bits, activation_bits, seed):
    """Weights that lie in range are off by half a step of their row; the network computes with whole numbers exactly."""
    rng = np.random.default_rng(seed)
    network = REAL.with_program(REAL.program.with_weights({"w": rng.standard_normal((2, 2)).astype(np.float32)}))
    found = quantized(network, bits, activation_bits, SAMPLES)
    step = found.steps_of(FIRST).weight[:, None]
    real = network.matrix(FIRST)[0]
    held = np.abs(real) <= (2 ** (bits - 1) - 1) * step
    assert np.all(np.abs(found.matrix(FIRST)[0] - real)[held] <= np.broadcast_to(step / 2 + 1e-12, real.shape)[held])


def test_causes_are_those_of_the_network_and_of_the_hardware_in_one_order():
    whole = quantized(REAL, 4, 4, SAMPLES)
    assert causes_of(REAL, Hardware("h")) == ()
    assert causes_of(whole, Hardware("h")) == ("weight_bits", "dac")
    assert causes_of(whole, Hardware("g", sigma=0.1)) == ("weight_bits", "programming", "dac")
    on_arrays = causes_of(whole, Hardware("m", MACRO))
    assert {"weight_bits", "dac"} <= set(on_arrays)
    assert list(on_arrays) == [cause for cause in CAUSES if cause in on_arrays]
    assert causes_of(whole, Hardware("m", MACRO).without(CAUSES)) == ()


def test_where_nothing_of_the_hardware_acts_the_network_is_computed_digitally():
    whole = quantized(REAL, 4, 4, SAMPLES)
    for hardware in (Hardware("h"), Hardware("g", sigma=0.1).only("dac"), Hardware("m", MACRO).only("weight_bits")):
        found = deploy(whole, hardware, 0)
        assert isinstance(found, Digital)
        assert found.off == hardware.off


def test_noise_without_arrays_and_arrays_take_their_own_path():
    whole = quantized(REAL, 4, 4, SAMPLES)
    assert isinstance(deploy(REAL, Hardware("g", sigma=0.1), 0), NoisyWeights)
    assert isinstance(deploy(whole, Hardware("m", MACRO), 0, SAMPLES), OnArrays)
    assert isinstance(deploy(whole, Hardware("m", MACRO), 0, SAMPLES, "surrogate"), Surrogate)
    with pytest.raises(SimulationError, match="surrogate: it is measured on training inputs; give samples"):
        deploy(whole, Hardware("m", MACRO), 0, path="surrogate")


def test_a_seed_is_a_chip():
    hardware = Hardware("g", sigma=0.3)
    one, same, other = (deploy(REAL, hardware, seed).outputs(SAMPLES, RNG) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_digital_network_by_hand():
    """relu(W x) V^T of three inputs: 2 (1 - 0.25), -2 * 0.875, 0."""
    assert deploy(REAL, Hardware("h"), 0).outputs(SAMPLES, RNG).tolist() == [[1.5], [-1.75], [0.0]]

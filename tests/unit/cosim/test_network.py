"""A network with its steps: whose bits count, what weights become, and how raw inputs are scaled, all by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.training.network import Network, Steps
from workloads.errors import SimulationError
from workloads.program import Node, Program

WEIGHTS = {
    "w": np.array([[0.5, -1.0], [3.0, 0.26]], dtype=np.float32),
    "b": np.array([0.25, -2.0], dtype=np.float32),
    "v": np.array([[1.0, 2.0]], dtype=np.float32),
}
NODES = (
    Node("first", "Gemm", ("x", "w", "b"), ("h",), {"transB": 1}),
    Node("last", "Gemm", ("h", "v"), ("y",), {"transB": 1}),
)
PROGRAM = Program("tiny", "x", (2,), "y", NODES, WEIGHTS)
FIRST, LAST = PROGRAM.layers
STEP = Steps(weight=np.array([0.5, 1.0]), input=0.25)


def grouped():
    """Two groups of one channel each by 1x2 filters."""
    weights = {"k": np.array([[[[1.0, 2.0]]], [[[3.0, -4.0]]]], dtype=np.float32)}
    node = Node("dw", "Conv", ("x", "k"), ("y",), {"kernel_shape": (1, 2), "group": 2})
    return Program("maps", "x", (2, 1, 2), "y", (node,), weights)


def test_a_network_without_bits_is_its_program():
    network = Network(PROGRAM)
    assert (network.bits_of(FIRST), network.activation_bits_of(FIRST)) == (None, None)
    assert network.steps_of(FIRST) == Steps(None, None, False, None)
    np.testing.assert_array_equal(network.matrix(FIRST), [WEIGHTS["w"]])
    assert network.matrix(FIRST).dtype == np.float64


def test_bits_of_a_layer_go_before_those_of_the_network():
    network = Network(PROGRAM, weight_bits=4, activation_bits=8, layer_bits={"last": 2}, layer_activation_bits={"first": 3})
    assert [network.bits_of(layer) for layer in PROGRAM.layers] == [4, 2]
    assert [network.activation_bits_of(layer) for layer in PROGRAM.layers] == [3, 8]


def test_weights_on_their_steps_by_hand():
    """Row 0 by 0.5: 1, -2; row 1 by 1 in 3 bits: 3, 0.26 -> 0."""
    network = Network(PROGRAM, weight_bits=3, steps={"first": STEP})
    assert network.whole_matrix(FIRST).tolist() == [[[1, -2], [3, 0]]]
    assert network.matrix(FIRST).tolist() == [[[0.5, -1.0], [3.0, 0.0]]]


def test_two_bits_cut_what_four_bits_hold():
    steps = {"first": STEP}
    assert Network(PROGRAM, weight_bits=2, steps=steps).whole_matrix(FIRST).tolist() == [[[1, -1], [1, 0]]]
    assert Network(PROGRAM, weight_bits=4, steps=steps).whole_matrix(FIRST).tolist() == [[[1, -2], [3, 0]]]
    assert Network(PROGRAM, weight_bits=4, steps=steps, layer_bits={"first": 2}).whole_matrix(FIRST).tolist() == [[[1, -1], [1, 0]]]


def test_each_channel_of_each_group_has_its_own_step():
    program = grouped()
    (layer,) = program.layers
    network = Network(program, weight_bits=4, steps={"dw": Steps(weight=np.array([1.0, 2.0]))})
    assert network.whole_matrix(layer).tolist() == [[[1, 2]], [[2, -2]]]  # 1.5 to even 2
    assert network.matrix(layer).tolist() == [[[1.0, 2.0]], [[4.0, -4.0]]]


@pytest.mark.parametrize("network", [Network(PROGRAM), Network(PROGRAM, weight_bits=4), Network(PROGRAM, steps={"first": STEP})])
def test_whole_weights_need_bits_and_steps_and_say_so(network):
    with pytest.raises(SimulationError, match="tiny: layer first has real weights; give weight_bits"):
        network.whole_matrix(FIRST)
    np.testing.assert_array_equal(network.matrix(FIRST), [WEIGHTS["w"]])


def test_a_bias_is_one_number_a_channel_or_none():
    network = Network(PROGRAM)
    assert network.bias(FIRST).tolist() == [0.25, -2.0]
    assert network.bias(LAST) is None


def test_raw_inputs_are_scaled_by_hand_in_float32():
    network = Network(PROGRAM, scaling=(4.0, 0.5, 0.25))
    found = network.scaled(np.array([0, 2, 4], dtype=np.uint8))
    assert found.tolist() == [-2.0, 0.0, 2.0]
    assert found.dtype == np.float32
    assert Network(PROGRAM).scaled(np.array([7.0])).tolist() == [7.0]


@given(st.floats(1, 255), st.floats(-1, 1), st.floats(0.1, 2), st.lists(st.floats(0, 255), min_size=1, max_size=5))
def test_scaling_can_be_undone(full, mean, std, raw):
    scaled = Network(PROGRAM, scaling=(full, mean, std)).scaled(np.array(raw)).astype(np.float64)
    np.testing.assert_allclose((scaled * std + mean) * full, raw, atol=1e-4 * 255)


def test_other_weights_keep_steps_bits_and_scaling():
    network = Network(PROGRAM, (2.0, 0.0, 1.0), 3, 4, {"first": STEP})
    other = network.with_program(PROGRAM.with_weights({"w": 2 * WEIGHTS["w"]}))
    assert other.whole_matrix(FIRST).tolist() == [[[2, -3], [3, 1]]]  # -4 and 6 are cut at 3, 0.52 rounds up
    assert (other.scaling, other.weight_bits, other.activation_bits) == ((2.0, 0.0, 1.0), 3, 4)
    assert other.steps is network.steps

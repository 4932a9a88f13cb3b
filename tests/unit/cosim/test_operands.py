"""Operands of a layer: whole numbers with steps where there are bits, real ones where there are none, and exact products of both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training.network import Network, Steps
from cosim.training.operands import Operands
from workloads.program import Node, Program

W = np.array([[0.5, -1.0, 0.2], [3.0, 0.26, -0.8]], dtype=np.float32)
PROGRAM = Program("tiny", "x", (3,), "y", (Node("fc", "Gemm", ("x", "w"), ("y",), {"transB": 1}),), {"w": W})
(LAYER,) = PROGRAM.layers
STEPS = Steps(weight=np.array([0.5, 1.0]), input=0.25)
WHOLE = Network(PROGRAM, weight_bits=3, activation_bits=4, steps={"fc": STEPS})
X = np.array([[[0.25, 0.6, 9.0], [-1.0, 0.0, 0.13]]])


def test_whole_operands_by_hand():
    found = Operands.of(WHOLE, LAYER)
    assert found.is_whole
    assert found.whole.tolist() == [[[1, -2, 0], [3, 0, -1]]]
    assert found.weight_step.tolist() == [[0.5, 1.0]]
    assert (found.weight_bits, found.activation_bits, found.input_step, found.signed) == (3, 4, 0.25, False)
    assert found.whole_inputs(X).tolist() == [[[1, 2, 15], [0, 0, 1]]]
    assert found.scale().tolist() == [[[0.125, 0.25]]]


def test_a_product_of_whole_operands_by_hand():
    """[1, 2, 15] . [1, -2, 0] = -3 and . [3, 0, -1] = -12, each counted by its steps."""
    found = Operands.of(WHOLE, LAYER).product(X)
    assert found.tolist() == [[[-3 * 0.125, -12 * 0.25], [0.0, -1 * 0.25]]]


def test_inputs_come_back_in_units_of_the_network_as_they_enter():
    found = Operands.of(WHOLE, LAYER)
    assert found.inputs(X).tolist() == [[[0.25, 0.5, 3.75], [0.0, 0.0, 0.25]]]
    assert found.inputs(X, {"dac"}) is X
    assert found.inputs(X, {"weight_bits", "read"}).tolist() == found.inputs(X).tolist()


def test_signed_inputs_keep_what_is_below_zero():
    network = replace(WHOLE, steps={"fc": replace(STEPS, signed=True)})
    assert Operands.of(network, LAYER).whole_inputs(X).tolist() == [[[1, 2, 7], [-4, 0, 1]]]


def test_weights_that_a_digital_unit_would_take():
    found = Operands.of(WHOLE, LAYER)
    assert found.weights().tolist() == [[[0.5, -1.0, 0.0], [3.0, 0.0, -1.0]]]
    np.testing.assert_array_equal(found.weights({"weight_bits"}), [W])


def test_a_cause_that_is_off_takes_its_rounding_away_and_no_other():
    found = Operands.of(WHOLE, LAYER)
    rounded_w, rounded_x = found.weights()[0], found.inputs(X)[0]
    np.testing.assert_allclose(found.product(X, {"dac"})[0], X[0] @ rounded_w.T, rtol=1e-6)
    np.testing.assert_allclose(found.product(X, {"weight_bits"})[0], rounded_x @ W.T, rtol=1e-6)
    np.testing.assert_allclose(found.product(X, {"dac", "weight_bits"})[0], X[0] @ W.T, rtol=1e-6)
    np.testing.assert_array_equal(found.product(X, {"ir_drop"}), found.product(X))


@pytest.mark.parametrize(
    ("network", "weights", "inputs"),
    [
        (replace(WHOLE, weight_bits=None), False, True),
        (replace(WHOLE, activation_bits=None), True, False),
        (replace(WHOLE, steps={"fc": replace(STEPS, weight=None)}), False, True),
        (replace(WHOLE, steps={"fc": replace(STEPS, input=None)}), True, False),
        (replace(WHOLE, layer_bits={"fc": 5}), True, True),
        (Network(PROGRAM), False, False),
    ],
)
def test_a_side_is_whole_where_it_has_bits_and_a_step(network, weights, inputs):
    found = Operands.of(network, LAYER)
    assert (found.whole is not None, found.weight_bits is not None, found.weight_step is not None) == (weights,) * 3
    assert (found.input_step is not None, found.activation_bits is not None) == (inputs,) * 2
    assert found.is_whole == (weights and inputs)


def test_real_operands_multiply_as_they_are():
    found = Operands.of(Network(PROGRAM), LAYER)
    np.testing.assert_allclose(found.product(X)[0], X[0] @ W.T, rtol=1e-6)
    assert found.scale().tolist() == [[[1.0, 1.0]]]


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 8), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_whole_products_are_those_of_python_integers(bits, activation_bits, seed):
    rng = np.random.default_rng(seed)
    program = PROGRAM.with_weights({"w": rng.standard_normal((2, 3)).astype(np.float32)})
    steps = Steps(weight=rng.uniform(0.05, 1, 2), input=0.25)
    found = Operands.of(Network(program, weight_bits=bits, activation_bits=activation_bits, steps={"fc": steps}), program.layers[0])
    x = rng.uniform(-1, 5, (1, 2, 3))
    whole_x, whole_w = found.whole_inputs(x)[0].tolist(), found.whole[0].tolist()
    for v, row in enumerate(whole_x):
        for n, column in enumerate(whole_w):
            exact = sum(a * b for a, b in zip(row, column, strict=True))
            assert found.product(x)[0, v, n] == exact * (0.25 * steps.weight[n])

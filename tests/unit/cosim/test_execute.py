"""A network in numpy gives what onnx gives, whatever the chunk."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from cosim.training.execute import Executor, plain_product
from cosim.training.network import Network
from cosim.training.networks import trainable
from workloads.errors import WorkloadError
from workloads.program import Node, Program
from workloads.program_onnx import to_onnx


def executor(program, chunk=None):
    network = Network(program)
    return Executor(network, lambda layer, vectors: plain_product(network, layer, vectors), chunk)


@pytest.mark.parametrize("name", ["cnn_small", "mlp_digits", "resnet_small", "ds_cnn"])
def test_outputs_equal_those_of_onnx(name):
    rng = np.random.default_rng(1)
    program = trainable(name).build(rng)
    x = rng.standard_normal((2, *program.input_shape)).astype(np.float32)
    expected = ReferenceEvaluator(to_onnx(program)).run(None, {program.input: x})[0]
    np.testing.assert_allclose(executor(program)(x), expected, rtol=1e-4, atol=1e-5)


def test_chunks_change_nothing():
    rng = np.random.default_rng(2)
    program = trainable("mlp_digits").build(rng)
    x = rng.standard_normal((7, 64)).astype(np.float32)
    np.testing.assert_allclose(executor(program, 2)(x), executor(program, 7)(x), rtol=1e-5)
    assert executor(program)(x).dtype == np.float32


def test_a_chunk_holds_as_many_inputs_as_64_mebibytes():
    """784 windows of 25 numbers and 196 of 200 are the largest sets of cnn_small: 39,200 numbers of 8 bytes an input."""
    program = trainable("cnn_small").build(np.random.default_rng(0))
    assert executor(program)._chunk == 64 * 2**20 // (8 * 39_200)


def test_inputs_of_layers_are_those_that_they_multiply():
    """W1 = [[1, 2], [3, 4]], no bias: x = (1, -1) gives (-1, -1), which ReLU takes to 0; the second layer sees (0, 0)."""
    weights = {"w1": np.array([[1, 2], [3, 4]], np.float32), "w2": np.array([[1, 1]], np.float32)}
    nodes = (
        Node("one", "Gemm", ("x", "w1"), ("a",), {"transB": 1}),
        Node("relu", "Relu", ("a",), ("b",)),
        Node("two", "Gemm", ("b", "w2"), ("y",), {"transB": 1}),
    )
    program = Program("p", "x", (2,), "y", nodes, weights)
    found = executor(program, chunk=1).layer_inputs(np.array([[1, -1], [1, 1]], np.float32))
    np.testing.assert_array_equal(found["one"], [[[1, -1], [1, 1]]])
    np.testing.assert_array_equal(found["two"], [[[0, 0], [3, 7]]])


def test_a_shape_that_does_not_fit_is_refused_with_both_shapes():
    program = trainable("mlp_digits").build(np.random.default_rng(0))
    for x in (np.zeros((3, 8, 8)), np.zeros((0, 64)), np.zeros(64)):
        with pytest.raises(WorkloadError, match=r"mlp_digits: takes inputs \[batch, 64\]; given"):
            executor(program)(x)


def test_a_value_that_nothing_makes_is_named():
    program = Program("p", "x", (2,), "y", (Node("add", "Add", ("x", "ghost"), ("y",)),), {"w": np.ones(1, np.float32)})
    with pytest.raises(WorkloadError, match="add: its input 'ghost' is made by no node before it"):
        executor(program, chunk=1)(np.zeros((1, 2), np.float32))


def test_an_input_that_is_read_again_later_is_kept():
    nodes = (Node("a", "Relu", ("x",), ("r",)), Node("b", "Add", ("r", "r"), ("s",)), Node("c", "Add", ("s", "x"), ("y",)))
    program = Program("p", "x", (2,), "y", nodes, {"w": np.ones(1, np.float32)})
    np.testing.assert_array_equal(executor(program, chunk=1)(np.array([[1, -2]], np.float32)), [[3, -2]])

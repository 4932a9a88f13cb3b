"""Operators in numpy give what onnx's reference gives."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.training import operators
from cosim.training.operators import run_node
from workloads.errors import WorkloadError
from workloads.program import Node

OPSET = 18
X = np.random.default_rng(0).standard_normal((2, 3, 7, 6)).astype(np.float32)


def reference(op_type, inputs, **attributes):
    return operators._evaluate(Node("n", op_type, tuple("abc"[: len(inputs)]), ("y",), attributes), inputs, OPSET)[0]


@pytest.mark.parametrize(
    ("op_type", "more", "attributes"),
    [
        ("Relu", [], {}),
        ("Add", [X[:1]], {}),
        ("Identity", [], {}),
        ("Flatten", [], {}),
        ("Flatten", [], {"axis": 2}),
        ("Flatten", [], {"axis": -1}),
        ("Flatten", [], {"axis": 0}),
        ("Reshape", [np.array([0, -1])], {}),
        ("Reshape", [np.array([2, 3, 42])], {}),
        ("GlobalAveragePool", [], {}),
        ("MaxPool", [], {"kernel_shape": (2, 2), "strides": (2, 2)}),
        ("MaxPool", [], {"kernel_shape": (3, 2)}),
        ("MaxPool", [], {"kernel_shape": (2, 2), "strides": (2, 1), "pads": (0, 0, 0, 0)}),
        ("AveragePool", [], {"kernel_shape": (2, 3), "strides": (1, 2)}),
    ],
)
def test_a_route_of_numpy_equals_the_reference(op_type, more, attributes):
    node = Node("n", op_type, ("a", "b")[: 1 + len(more)], ("y",), attributes)
    assert operators._route(node) is not None
    (found,) = run_node(node, [X, *more], OPSET)
    expected = reference(op_type, [X, *more], **attributes)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": (2, 2), "pads": (1, 1, 1, 1)},
        {"kernel_shape": (2, 2), "ceil_mode": 1},
        {"kernel_shape": (2, 2), "dilations": (2, 2)},
        {"kernel_shape": (2, 2), "auto_pad": "SAME_UPPER"},
    ],
)
def test_a_pool_with_something_around_it_is_left_to_the_reference(attributes):
    node = Node("n", "MaxPool", ("a",), ("y",), attributes)
    assert operators._route(node) is None
    np.testing.assert_array_equal(run_node(node, [X], OPSET)[0], reference("MaxPool", [X], **attributes))


def test_a_node_of_two_outputs_and_one_with_an_input_left_out_go_to_the_reference():
    values, places = run_node(Node("n", "MaxPool", ("a",), ("y", "i"), {"kernel_shape": (7, 6)}), [X], OPSET)
    assert values.shape == places.shape == (2, 3, 1, 1)
    (clipped,) = run_node(Node("n", "Clip", ("a", "", "c"), ("y",)), [X, None, np.float32(0.5)], OPSET)
    np.testing.assert_array_equal(clipped, np.minimum(X, np.float32(0.5)))


def test_a_node_without_a_path_is_named():
    with pytest.raises(WorkloadError, match=r"head: operator Wobble has no path.*fold it before export or replace it"):
        run_node(Node("head", "Wobble", ("a",), ("y",)), [X], OPSET)


def test_what_goes_wrong_inside_an_operator_names_the_node():
    with pytest.raises(WorkloadError, match="bad: operator Concat has no path"):
        run_node(Node("bad", "Concat", ("a", "b"), ("y",), {"axis": 0}), [X, X[0]], OPSET)

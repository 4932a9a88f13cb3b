"""Folded batch norms, biases and activations: what hardware does in one step is one op."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from workloads.graph import OpKind
from workloads.onnx_import import load_onnx
from workloads.ops import VECTOR_OPS_PER_ELEMENT

FLOAT = TensorProto.FLOAT
Node = helper.make_node


def info(name, *shape):
    return helper.make_tensor_value_info(name, FLOAT, list(shape))


def stored(name, *shape):
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def load(tmp_path, nodes, inputs, weights=(), outputs="y"):
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_empty_tensor_value_info(name) for name in outputs], list(weights))
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    workload = load_onnx(path, {})
    assert workload.coverage.n_nodes == len(nodes)
    return workload


IMAGE = info("x", 1, 3, 8, 8)
WEIGHTS = [stored("w", 4, 3, 3, 3), stored("bias", 4), *(stored(name, 4) for name in ("g", "b", "mean", "var"))]
CONV = Node("Conv", ["x", "w"], ["a"])
CONV_BIAS = Node("Conv", ["x", "w", "bias"], ["a"])
N_OUT = 4 * 36


def norm(source, target):
    return Node("BatchNormalization", [source, "g", "b", "mean", "var"], [target])


# -- batch norm -----------------------------------------------------------------------------------


def test_a_batch_norm_folds_into_the_layer_before_it_and_leaves_a_bias(tmp_path):
    workload = load(tmp_path, [CONV, norm("a", "y")], [IMAGE], WEIGHTS)
    (op,) = workload.ops
    assert (op.weights, op.n_weight_elements, op.outputs) == (("w", "b"), 108 + 4, ("y",))
    assert op.n_vector_ops == 0
    assert workload.coverage.free == {"BatchNormalization": 1}
    assert workload.coverage.costed == {"Conv": 1}
    assert workload.weight_bytes == 112
    assert workload.n_params == 108 + 5 * 4, "all that the file stores"


def test_a_layer_with_a_bias_needs_no_second_one(tmp_path):
    (op,) = load(tmp_path, [CONV_BIAS, norm("a", "y")], [IMAGE], WEIGHTS).ops
    assert op.weights == ("w", "bias")


@pytest.mark.parametrize("op_type", ["ConvTranspose", "Gemm"])
def test_other_layers_take_a_batch_norm_too(tmp_path, op_type):
    shape = (1, 4, 5, 5) if op_type == "ConvTranspose" else (6, 4)
    weight = stored("v", 4, 4, 2, 2) if op_type == "ConvTranspose" else stored("v", 4, 4)
    nodes = [Node(op_type, ["x", "v"], ["a"]), norm("a", "y")]
    (op,) = load(tmp_path, nodes, [info("x", *shape)], [weight, *WEIGHTS[1:]]).ops
    assert op.weights == ("v", "b")


def test_a_batch_norm_on_its_own_is_an_element_wise_op(tmp_path):
    workload = load(tmp_path, [norm("x", "y")], [info("x", 1, 4, 6, 6)], WEIGHTS)
    (op,) = workload.ops
    assert (op.kind, op.n_vector_ops) == (OpKind.ELEMENTWISE, 2 * N_OUT)
    assert workload.coverage.costed == {"BatchNormalization": 1}


def test_a_layer_whose_result_others_read_keeps_its_batch_norm_apart(tmp_path):
    workload = load(tmp_path, [CONV, norm("a", "b1"), Node("Add", ["a", "b1"], ["y"])], [IMAGE], WEIGHTS)
    assert [op.op_type for op in workload] == ["Conv", "BatchNormalization", "Add"]


def test_a_layer_whose_result_is_asked_for_keeps_its_batch_norm_apart(tmp_path):
    workload = load(tmp_path, [CONV, norm("a", "y")], [IMAGE], WEIGHTS, outputs="ya")
    assert [op.op_type for op in workload] == ["Conv", "BatchNormalization"]


def test_a_batch_norm_after_an_activation_stays(tmp_path):
    workload = load(tmp_path, [CONV, Node("Relu", ["a"], ["r"]), norm("r", "y")], [IMAGE], WEIGHTS)
    assert [op.op_type for op in workload] == ["Conv", "BatchNormalization"]
    assert workload.ops[0].fused == ("Relu",)


# -- activations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Elu", "Selu", "Softplus"])
def test_an_activation_rides_on_the_layer_before_it(tmp_path, activation):
    workload = load(tmp_path, [CONV, Node(activation, ["a"], ["y"])], [IMAGE], WEIGHTS)
    (op,) = workload.ops
    assert (op.op_type, op.fused, op.outputs) == ("Conv", (activation,), ("y",))
    assert op.n_vector_ops == VECTOR_OPS_PER_ELEMENT.get(activation, 1) * N_OUT
    assert workload.coverage.costed == {"Conv": 1, activation: 1}


def test_layer_norm_and_activation_become_one_op(tmp_path):
    (op,) = load(tmp_path, [CONV, norm("a", "b1"), Node("Relu", ["b1"], ["y"])], [IMAGE], WEIGHTS).ops
    assert (op.weights, op.fused) == (("w", "b"), ("Relu",))


def test_a_clip_needs_no_weights_and_a_slope_per_channel_does(tmp_path):
    bounds = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("low", 0.0), ("high", 6.0))]
    (clip,) = load(tmp_path, [CONV, Node("Clip", ["a", "low", "high"], ["y"])], [IMAGE], [*WEIGHTS, *bounds]).ops
    (prelu,) = load(tmp_path, [CONV, Node("PRelu", ["a", "slope"], ["y"])], [IMAGE], [*WEIGHTS, stored("slope", 4, 1, 1)]).ops
    assert (clip.weights, clip.fused) == (("w",), ("Clip",))
    assert (prelu.weights, prelu.n_weight_elements) == (("w", "slope"), 112)


@pytest.mark.parametrize("op_type", ["Add", "Sum"])
def test_an_activation_rides_on_a_residual_sum(tmp_path, op_type):
    nodes = [Node(op_type, ["p", "q"], ["a"]), Node("Relu", ["a"], ["y"])]
    (op,) = load(tmp_path, nodes, [info("p", 2, 8), info("q", 2, 8)]).ops
    assert (op.op_type, op.fused, op.n_vector_ops) == (op_type, ("Relu",), 32)


@pytest.mark.parametrize("op_type", ["MaxPool", "Softmax", "Transpose"])
def test_other_ops_carry_no_activation(tmp_path, op_type):
    attributes = {"kernel_shape": [2, 2]} if op_type == "MaxPool" else {}
    nodes = [Node(op_type, ["x"], ["a"], **attributes), Node("Relu", ["a"], ["y"])]
    assert len(load(tmp_path, nodes, [IMAGE]).ops) == 2


def test_an_activation_of_a_result_that_others_read_stays_its_own_op(tmp_path):
    nodes = [CONV, Node("Relu", ["a"], ["r"]), Node("Add", ["a", "r"], ["y"])]
    assert [op.op_type for op in load(tmp_path, nodes, [IMAGE], WEIGHTS)] == ["Conv", "Relu", "Add"]


def test_a_view_between_layer_and_activation_does_not_part_them(tmp_path):
    """And the layer still counts the pixels of its own result, not those of the view."""
    nodes = [CONV, Node("Flatten", ["a"], ["f"]), Node("Relu", ["f"], ["y"])]
    workload = load(tmp_path, nodes, [IMAGE], WEIGHTS)
    (op,) = workload.ops
    assert (op.fused, op.gemm.m, workload.n_macs) == (("Relu",), 36, 36 * 27 * 4)
    assert workload.tensors["y"].shape == (1, 144)


def test_a_recurrent_layer_with_several_results_carries_no_activation(tmp_path):
    weights = [stored("w", 1, 64, 10), stored("r", 1, 64, 16)]
    nodes = [Node("LSTM", ["x", "w", "r"], ["a", "h"], hidden_size=16), Node("Relu", ["a"], ["y"])]
    assert len(load(tmp_path, nodes, [info("x", 6, 1, 10)], weights, outputs="yh").ops) == 2


# -- biases and scales ----------------------------------------------------------------------------


def test_a_bias_added_to_a_product_is_the_start_of_its_accumulator(tmp_path):
    """As in Gemm: no extra scalar operation, one stored number for each column."""
    nodes = [Node("MatMul", ["x", "w"], ["a"]), Node("Add", ["bias", "a"], ["y"])]
    workload = load(tmp_path, nodes, [info("x", 2, 5, 3)], [stored("w", 3, 4), stored("bias", 4)])
    (op,) = workload.ops
    assert (op.weights, op.fused, op.n_vector_ops) == (("w", "bias"), ("Add",), 0)
    assert workload.coverage.costed == {"MatMul": 1, "Add": 1}


def test_a_bias_added_to_a_convolution_is_too(tmp_path):
    (op,) = load(tmp_path, [CONV, Node("Add", ["a", "c"], ["y"])], [IMAGE], [*WEIGHTS, stored("c", 1, 4, 1, 1)]).ops
    assert (op.weights, op.n_vector_ops) == (("w", "c"), 0)


def test_positions_added_to_a_product_are_not_a_bias(tmp_path):
    nodes = [Node("MatMul", ["x", "w"], ["a"]), Node("Add", ["a", "p"], ["y"])]
    workload = load(tmp_path, nodes, [info("x", 2, 5, 3)], [stored("w", 3, 4), stored("p", 5, 4)])
    assert [op.op_type for op in workload] == ["MatMul", "Add"]


def test_scale_and_shift_of_each_channel_ride_on_the_layer(tmp_path):
    """Caffe's Scale after a folded batch norm: a product and a sum for each result, no trip through memory."""
    nodes = [CONV, norm("a", "n"), Node("Mul", ["n", "s"], ["m"]), Node("Add", ["m", "t"], ["p"]), Node("Relu", ["p"], ["y"])]
    workload = load(tmp_path, nodes, [IMAGE], [*WEIGHTS, stored("s", 4, 1, 1), stored("t", 4, 1, 1)])
    (op,) = workload.ops
    assert op.fused == ("Mul", "Add", "Relu")
    assert op.n_vector_ops == 3 * N_OUT
    assert op.weights == ("w", "b", "s", "t")


def test_a_scale_of_each_pixel_does_not(tmp_path):
    workload = load(tmp_path, [CONV, Node("Mul", ["a", "s"], ["y"])], [IMAGE], [*WEIGHTS, stored("s", 6, 6)])
    assert [op.op_type for op in workload] == ["Conv", "Mul"]


def test_a_bias_of_a_product_of_two_activations_is_an_op(tmp_path):
    nodes = [Node("MatMul", ["p", "q"], ["a"]), Node("Add", ["a", "r"], ["y"])]
    workload = load(tmp_path, nodes, [info("p", 2, 3), info("q", 3, 4), info("r", 2, 4)])
    assert [op.op_type for op in workload] == ["MatMul", "Add"]

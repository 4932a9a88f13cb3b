"""Shapes and costs of ops that ONNX Runtime adds to the standard."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from workloads.errors import WorkloadError
from workloads.graph import OpKind
from workloads.onnx_contrib import CANONICAL, SURROGATES, contrib_outputs, surrogate
from workloads.onnx_facts import Fact
from workloads.onnx_import import load_onnx
from workloads.ops import NORM_OPS_PER_ELEMENT, VECTOR_OPS_PER_ELEMENT, is_known

FLOAT, UINT8, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64


def info(name, *shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, list(shape))


def stored(name, *shape, dtype=np.float32):
    return numpy_helper.from_array(np.ones(shape, dtype), name)


def contrib(op_type, inputs, outputs=("y",), **attributes):
    return helper.make_node(op_type, inputs, list(outputs), "n", domain="com.microsoft", **attributes)


def load(tmp_path, node, inputs, weights=()):
    results = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = helper.make_graph([node], "g", inputs, results, list(weights))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
    workload = load_onnx(path, {})
    assert not workload.notes
    return workload


@pytest.mark.parametrize(
    ("op_type", "like"),
    [("FastGelu", "Gelu"), ("BiasGelu", "Gelu"), ("QuickGelu", "Gelu"), ("QLinearSigmoid", "Sigmoid"), ("QLinearLeakyRelu", "LeakyRelu")],
)
def test_activations_cost_like_the_standard_ones(tmp_path, op_type, like):
    (op,) = load(tmp_path, contrib(op_type, ["x"]), [info("x", 2, 3)]).ops
    assert (op.kind, op.n_vector_ops) == (OpKind.ELEMENTWISE, 6 * VECTOR_OPS_PER_ELEMENT[like])
    assert op.special is (like != "LeakyRelu")


@pytest.mark.parametrize(
    ("node", "shapes", "out"),
    [
        (contrib("QLinearAdd", ["a", "s", "z", "b", "s", "z", "s", "z"]), {"a": (2, 3), "b": (1, 3)}, (2, 3)),
        (contrib("QLinearMul", ["a", "s", "z", "b", "s", "z", "s", "z"]), {"a": (2, 1), "b": (1, 3)}, (2, 3)),
        (contrib("QLinearConcat", ["s", "z", "a", "s", "z", "b", "s", "z"], axis=1), {"a": (2, 3), "b": (2, 4)}, (2, 7)),
        (contrib("QLinearGlobalAveragePool", ["a", "s", "z", "s", "z"]), {"a": (1, 8, 4, 4)}, (1, 8, 1, 1)),
        (contrib("QLinearAveragePool", ["a", "s", "z", "s", "z"], kernel_shape=[2, 2], strides=[2, 2]), {"a": (1, 8, 4, 4)}, (1, 8, 2, 2)),
        (contrib("QLinearSoftmax", ["a", "s", "z", "s", "z"], axis=-1, opset=13), {"a": (2, 10)}, (2, 10)),
    ],
    ids=lambda value: value.op_type if hasattr(value, "op_type") else None,
)
def test_quantized_ops_have_the_shapes_of_their_models(tmp_path, node, shapes, out):
    inputs = [info(name, *shape, dtype=UINT8) for name, shape in shapes.items()]
    workload = load(tmp_path, node, inputs, [stored("s"), stored("z", dtype=np.uint8)])
    assert workload.tensors["y"].shape == out
    assert workload.ops[0].inputs == tuple(shapes)
    assert not workload.ops[0].weights, "scales and zero points are immediate"


def test_norms_that_add_a_shortcut(tmp_path):
    for op_type in ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"):
        node = contrib(op_type, ["x", "skip", "g"])
        (op,) = load(tmp_path, node, [info("x", 2, 5, 8), info("skip", 2, 5, 8)], [stored("g", 8)]).ops
        assert (op.kind, op.inputs, op.weights) == (OpKind.NORM, ("x", "skip"), ("g",))
        assert op.n_vector_ops == NORM_OPS_PER_ELEMENT * 80


def test_an_embedding_with_its_norm_reads_one_row_of_each_table_a_token(tmp_path):
    node = contrib("EmbedLayerNormalization", ["ids", "", "words", "places", "", "g", "b"], ["y", "mask"])
    weights = [stored("words", 1000, 16), stored("places", 512, 16), stored("g", 16), stored("b", 16)]
    workload = load(tmp_path, node, [info("ids", 2, 5, dtype=INT64)], weights)
    (op,) = workload.ops
    assert workload.tensors["y"].shape == (2, 5, 16)
    assert op.n_weight_elements == 2 * (2 * 5 * 16) + 2 * 16


def test_every_contrib_op_costs_like_an_op_that_is_known():
    assert {name: like for name, like in CANONICAL.items() if not is_known(like)} == {}
    assert set(SURROGATES) <= set(CANONICAL)


def test_a_surrogate_keeps_what_shapes_depend_on():
    node = contrib("FusedConv", ["x", "w", "b"], activation="Relu", strides=[2, 2])
    twin, places = surrogate(node)
    assert (twin.op_type, list(twin.input), places) == ("Conv", ["x", "w"], (0, 1))
    assert [attribute.name for attribute in twin.attribute] == ["strides"]
    assert surrogate(contrib("Unheard", ["x"])) is None


def test_what_has_no_rule_has_no_shape():
    assert contrib_outputs(contrib("Unheard", ["x"]), [Fact("x", (2, 3))]) is None
    assert contrib_outputs(contrib("QuickGelu", []), []) is None
    assert contrib_outputs(contrib("MatMulNBits", [""]), [None, Fact("w", (2,))]) is None


def test_a_definition_that_is_not_met_is_refused_by_name(tmp_path):
    with pytest.raises(WorkloadError, match=r"'n' \(MatMulNBits\) lacks an input or attribute"):
        load(tmp_path, contrib("MatMulNBits", ["x", "w"]), [info("x", 2, 8)], [stored("w", 4, 1, 4)])

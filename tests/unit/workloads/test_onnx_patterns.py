"""Norms and activations written out as arithmetic become one op again, and every node of them is still counted."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from workloads.graph import OpKind
from workloads.onnx_import import load_onnx
from workloads.ops import NORM_OPS_PER_ELEMENT, SOFTMAX_OPS_PER_ELEMENT, VECTOR_OPS_PER_ELEMENT

FLOAT = TensorProto.FLOAT
Node = helper.make_node
SHAPE = (2, 5, 8)
N = 80


def info(name, *shape):
    return helper.make_tensor_value_info(name, FLOAT, list(shape))


def number(name, value):
    return numpy_helper.from_array(np.array(value, np.float32), name)


NUMBERS = [
    number(name, value)
    for name, value in {
        "half": 0.5, "one": 1.0, "two": 2.0, "three": 3.0, "six": 6.0, "zero": 0.0, "eps": 1e-5, "root2": 2**0.5, "a": 0.044715,
        "c": 0.7978846, "quick": 1.702, "minus_half": -0.5, "sixth": 1 / 6,
    }.items()
]  # fmt: skip


def written(text):
    """Nodes from lines such as `y = Mul a b`; attributes follow as key=value."""
    nodes = []
    for line in filter(None, (part.strip() for part in text.split(";"))):
        target, _, call = line.partition(" = ")
        op_type, *words = call.split()
        attributes = {key: int(value) for key, _, value in (word.partition("=") for word in words if "=" in word)}
        if op_type == "ReduceMean":
            attributes["axes"] = [-1]
        nodes.append(Node(op_type, [word for word in words if "=" not in word], [target], **attributes))
    return nodes


def load(tmp_path, text, weights=(), outputs=("y",), inputs=(("x", SHAPE),)):
    nodes = written(text) if isinstance(text, str) else text
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph(nodes, "g", [info(name, *shape) for name, shape in inputs], results, [*NUMBERS, *weights])
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    workload = load_onnx(path, {})
    assert workload.coverage.n_nodes == len(nodes)
    assert Counter(workload.coverage.costed) + Counter(workload.coverage.free) == Counter(node.op_type for node in nodes)
    return workload


LAYER_NORMS = {
    "torch": "m = ReduceMean x; d = Sub x m; p = Pow d two; v = ReduceMean p; e = Add v eps; s = Sqrt e; y = Div d s",
    "squared by product": "m = ReduceMean x; d = Sub x m; p = Mul d d; v = ReduceMean p; e = Add eps v; s = Sqrt e; y = Div d s",
    "subtracted twice": "m = ReduceMean x; d = Sub x m; f = Sub x m; p = Pow f two; "
    "v = ReduceMean p; e = Add v eps; s = Sqrt e; y = Div d s",
    "reciprocal": "m = ReduceMean x; d = Sub x m; p = Mul d d; v = ReduceMean p; e = Add v eps; s = Sqrt e; r = Reciprocal s; y = Mul d r",
    "one over": "m = ReduceMean x; d = Sub x m; p = Pow d two; v = ReduceMean p; e = Add v eps; s = Sqrt e; r = Div one s; y = Mul r d",
    "power": "m = ReduceMean x; d = Sub x m; p = Pow d two; v = ReduceMean p; e = Add v eps; r = Pow e minus_half; y = Mul d r",
}
RMS_NORMS = {
    "divided": "p = Pow x two; v = ReduceMean p; e = Add v eps; s = Sqrt e; y = Div x s",
    "llama": "p = Pow x two; v = ReduceMean p; e = Add v eps; s = Sqrt e; r = Div one s; y = Mul x r",
    "reciprocal": "p = Mul x x; v = ReduceMean p; e = Add v eps; s = Sqrt e; r = Reciprocal s; y = Mul r x",
}
GELUS = {
    "torch erf": "d = Div x root2; e = Erf d; p = Add e one; q = Mul x p; y = Mul q half",
    "half first": "h = Mul x half; d = Div x root2; e = Erf d; p = Add one e; y = Mul h p",
    "half on the gate": "d = Mul x c; e = Erf d; p = Add e one; h = Mul half p; y = Mul x h",
    "gate halved before the sum": "d = Mul x c; e = Erf d; h = Mul e half; p = Add h half; y = Mul p x",
    "divided by two": "d = Div x root2; e = Erf d; p = Add e one; q = Mul x p; y = Div q two",
    "tanh with power": "k = Pow x three; a1 = Mul a k; s = Add x a1; t = Mul c s; g = Tanh t; p = Add one g; h = Mul half x; y = Mul h p",
    "tanh with products": "q = Mul x x; k = Mul x q; a1 = Mul k a; s = Add a1 x; "
    "t = Mul s c; g = Tanh t; p = Add g one; h = Mul x half; y = Mul p h",
    "tanh factored": "q = Mul x x; a1 = Mul q a; f = Add a1 one; b = Mul x c; "
    "t = Mul b f; g = Tanh t; p = Add g one; h = Mul x half; y = Mul h p",
    "sigmoid": "b = Mul x quick; g = Sigmoid b; y = Mul x g",
}
GATED = {
    "Silu": ["g = Sigmoid x; y = Mul x g", "g = Sigmoid x; y = Mul g x"],
    "Mish": ["s = Softplus x; t = Tanh s; y = Mul x t"],
    "HardSwish": [
        "g = HardSigmoid x; y = Mul x g",
        "a1 = Add x three; k = Clip a1 zero six; q = Mul x k; y = Div q six",
        "a1 = Add x three; k = Clip a1 zero six; q = Div k six; y = Mul q x",
        "a1 = Add three x; k = Clip a1 zero six; q = Mul k sixth; y = Mul x q",
    ],
    "HardSigmoid": ["a1 = Add x three; k = Clip a1 zero six; y = Div k six"],
}


def only(workload, op_type):
    (op,) = workload.ops
    assert (op.op_type, op.inputs) == (op_type, ("x",))
    return op


@pytest.mark.parametrize("text", LAYER_NORMS.values(), ids=LAYER_NORMS)
def test_layer_norm(tmp_path, text):
    op = only(load(tmp_path, text), "LayerNormalization")
    assert (op.kind, op.n_vector_ops, op.special) == (OpKind.NORM, NORM_OPS_PER_ELEMENT * N, True)


@pytest.mark.parametrize("text", RMS_NORMS.values(), ids=RMS_NORMS)
def test_root_mean_square_norm(tmp_path, text):
    op = only(load(tmp_path, text), "RMSNormalization")
    assert (op.kind, op.n_vector_ops) == (OpKind.NORM, NORM_OPS_PER_ELEMENT * N)


def test_a_norm_takes_its_scale_and_shift(tmp_path):
    text = LAYER_NORMS["torch"].replace("y = Div", "n = Div") + "; g = Mul n scale; y = Add g shift"
    weights = [numpy_helper.from_array(np.ones(8, np.float32), name) for name in ("scale", "shift")]
    workload = load(tmp_path, text, weights)
    op = only(workload, "LayerNormalization")
    assert (op.weights, op.n_weight_elements, op.outputs) == (("scale", "shift"), 16, ("y",))
    assert workload.coverage.costed == {"ReduceMean": 2, "Sub": 1, "Pow": 1, "Add": 2, "Sqrt": 1, "Div": 1, "Mul": 1}


def test_a_scale_that_is_computed_stays_its_own_op(tmp_path):
    text = LAYER_NORMS["torch"].replace("y = Div", "n = Div") + "; y = Mul n z"
    workload = load(tmp_path, text, inputs=(("x", SHAPE), ("z", SHAPE)))
    assert [op.op_type for op in workload] == ["LayerNormalization", "Mul"]


@pytest.mark.parametrize("text", GELUS.values(), ids=GELUS)
def test_gelu(tmp_path, text):
    op = only(load(tmp_path, text), "Gelu")
    assert (op.kind, op.n_vector_ops) == (OpKind.ELEMENTWISE, VECTOR_OPS_PER_ELEMENT["Gelu"] * N)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in GATED.items() for text in texts])
def test_gated_activation(tmp_path, name, text):
    assert only(load(tmp_path, text), name).n_vector_ops == VECTOR_OPS_PER_ELEMENT[name] * N


def test_softmax(tmp_path):
    nodes = [
        Node("ReduceMax", ["x"], ["m"], axes=[-1]),
        Node("Sub", ["x", "m"], ["d"]),
        Node("Exp", ["d"], ["e"]),
        Node("ReduceSum", ["e", "axis"], ["s"]),
        Node("Div", ["e", "s"], ["y"]),
    ]
    op = only(load(tmp_path, nodes, [numpy_helper.from_array(np.array([-1], np.int64), "axis")]), "Softmax")
    assert (op.kind, op.n_vector_ops) == (OpKind.SOFTMAX, SOFTMAX_OPS_PER_ELEMENT * N)


# -- what looks alike but is not ------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        LAYER_NORMS["torch"].replace("Pow d two", "Pow d three"),
        LAYER_NORMS["torch"].replace("p = Pow d two", "p = Pow x two"),
        "d = Div x root2; e = Erf d; p = Add e one; q = Mul z p; y = Mul q half",
        "g = Sigmoid x; y = Mul z g",
        "g = Sigmoid x; y = Add x g",
    ],
)
def test_arithmetic_of_another_meaning_is_left_alone(tmp_path, text):
    workload = load(tmp_path, text, inputs=(("x", SHAPE), ("z", SHAPE)))
    assert not {"LayerNormalization", "Gelu", "Silu"} & set(workload.op_types())
    assert len(workload.ops) == len(written(text))


def test_a_step_that_others_read_keeps_the_pattern_apart(tmp_path):
    workload = load(tmp_path, "g = Sigmoid x; y = Mul x g; z = Abs g", outputs=("y", "z"))
    assert sorted(workload.op_types()) == ["Abs", "Mul", "Sigmoid"]


def test_a_step_that_is_a_result_keeps_the_pattern_apart(tmp_path):
    workload = load(tmp_path, "g = Sigmoid x; y = Mul x g", outputs=("y", "g"))
    assert sorted(workload.op_types()) == ["Mul", "Sigmoid"]


def test_a_recognized_activation_rides_on_the_product_that_feeds_it(tmp_path):
    weights = [numpy_helper.from_array(np.zeros((8, 8), np.float32), "w"), numpy_helper.from_array(np.zeros(8, np.float32), "b")]
    workload = load(tmp_path, "t = MatMul z w; x = Add t b; " + GELUS["torch erf"], weights, inputs=(("z", SHAPE),))
    (op,) = workload.ops
    assert (op.op_type, op.fused, op.weights, op.special) == ("MatMul", ("Add", "Gelu"), ("w", "b"), True)
    assert op.n_vector_ops == VECTOR_OPS_PER_ELEMENT["Gelu"] * N


def test_two_norms_in_a_row_stay_two(tmp_path):
    second = LAYER_NORMS["torch"].replace("x", "y")
    for name in "mdpves":
        second = second.replace(f"{name} =", f"{name}2 =").replace(f" {name} ", f" {name}2 ").replace(f" {name};", f" {name}2;")
    second = second.replace("y = Div d2 s", "z = Div d2 s2").replace("Sub y m2", "Sub y m2")
    workload = load(tmp_path, LAYER_NORMS["torch"] + "; " + second, outputs=("z",))
    assert [op.op_type for op in workload] == ["LayerNormalization", "LayerNormalization"]

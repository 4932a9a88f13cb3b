"""MACs and operands of every op that multiplies and accumulates, counted by hand."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from workloads.errors import WorkloadError
from workloads.graph import Gemm, OpKind
from workloads.onnx_import import load_onnx

FLOAT = TensorProto.FLOAT
Node = helper.make_node


def info(name, *shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, list(shape))


def stored(name, *shape, dtype=np.float32):
    return numpy_helper.from_array(np.ones(shape, dtype), name)


def load(tmp_path, nodes, inputs, weights=(), outputs="y", opset=17):
    nodes = [nodes] if not isinstance(nodes, list) else nodes
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_empty_tensor_value_info(name) for name in outputs], list(weights))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
    return load_onnx(path, {})


def only(workload):
    (op,) = workload.ops
    assert op.kind is OpKind.MATMUL
    assert not workload.notes
    return op


# -- convolutions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "w", "attributes", "expected"),
    [
        ((1, 3, 224, 224), (64, 3, 7, 7), {"strides": [2, 2], "pads": [3, 3, 3, 3]}, Gemm(1, 112 * 112, 147, 64)),
        ((2, 8, 10, 10), (16, 8, 3, 3), {"auto_pad": "SAME_UPPER"}, Gemm(1, 2 * 100, 72, 16)),
        ((1, 8, 10, 10), (16, 8, 3, 3), {"auto_pad": "VALID"}, Gemm(1, 64, 72, 16)),
        ((1, 32, 14, 14), (32, 1, 3, 3), {"group": 32, "pads": [1, 1, 1, 1]}, Gemm(32, 196, 9, 1)),
        ((1, 8, 9, 9), (12, 4, 3, 3), {"group": 2, "dilations": [2, 2]}, Gemm(2, 25, 36, 6)),
        ((1, 4, 100), (8, 4, 5), {}, Gemm(1, 96, 20, 8)),
        ((1, 2, 8, 8, 8), (3, 2, 2, 2, 2), {"strides": [2, 2, 2]}, Gemm(1, 64, 16, 3)),
        ((1, 3, 5, 7), (4, 3, 1, 3), {"pads": [0, 1, 0, 1]}, Gemm(1, 35, 9, 4)),
    ],
)
def test_convolution(tmp_path, x, w, attributes, expected):
    op = only(load(tmp_path, Node("Conv", ["x", "w", "b"], ["y"], **attributes), [info("x", *x)], [stored("w", *w), stored("b", w[0])]))
    assert op.gemm == expected
    assert op.weights == ("w", "b")
    assert op.n_weight_elements == prod(w) + w[0]
    assert op.n_vector_ops == 0


def test_a_convolution_with_a_computed_kernel_is_dynamic(tmp_path):
    op = only(load(tmp_path, Node("Conv", ["x", "k"], ["y"]), [info("x", 1, 2, 6, 6), info("k", 4, 2, 3, 3)]))
    assert (op.inputs, op.gemm) == (("x", "k"), Gemm(1, 16, 18, 4, dynamic=True))


def test_transposed_convolution_counts_input_pixels(tmp_path):
    """Hin Win Cin Cout/groups KH KW = 5 * 5 * 8 * 3 * 16, whatever the stride."""
    node = Node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], group=2)
    workload = load(tmp_path, node, [info("x", 1, 8, 5, 5)], [stored("w", 8, 3, 4, 4)])
    assert only(workload).gemm == Gemm(2, 25, 4, 3 * 16)
    assert workload.n_macs == 25 * 8 * 3 * 16
    assert workload.tensors["y"].shape == (1, 6, 12, 12)


def test_integer_convolutions_read_weights_of_their_place(tmp_path):
    uint8 = TensorProto.UINT8
    weights = [stored("w", 8, 3, 3, 3, dtype=np.uint8), stored("s"), stored("z", dtype=np.uint8), stored("b", 8, dtype=np.int32)]
    workload = load(tmp_path, Node("ConvInteger", ["x", "w", "z", "z"], ["y"]), [info("x", 1, 3, 8, 8, dtype=uint8)], weights)
    assert (only(workload).gemm, only(workload).weights) == (Gemm(1, 36, 27, 8), ("w",))
    node = Node("QLinearConv", ["x", "s", "z", "w", "s", "z", "s", "z", "b"], ["y"])
    workload = load(tmp_path, node, [info("x", 1, 3, 8, 8, dtype=uint8)], weights)
    assert (only(workload).gemm, only(workload).weights) == (Gemm(1, 36, 27, 8), ("w", "b"))


def test_a_zero_point_computed_at_run_time_is_read(tmp_path):
    nodes = [Node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]), Node("ConvInteger", ["q", "w", "z"], ["y"])]
    workload = load(tmp_path, nodes, [info("x", 1, 3, 8, 8)], [stored("w", 8, 3, 3, 3, dtype=np.uint8)])
    assert workload.ops[1].inputs == ("q", "z")


def test_deformable_convolution_is_a_convolution_of_samples(tmp_path):
    node = Node("DeformConv", ["x", "w", "offset"], ["y"])
    workload = load(tmp_path, node, [info("x", 1, 2, 6, 6), info("offset", 1, 18, 4, 4)], [stored("w", 4, 2, 3, 3)], opset=19)
    op = only(workload)
    assert op.gemm == Gemm(1, 16, 18, 4)
    assert op.inputs == ("x", "offset")
    assert op.n_vector_ops == 8 * 16 * 18


def test_a_weight_that_is_no_kernel_is_refused(tmp_path):
    with pytest.raises(WorkloadError, match=r"net\.onnx: node 'c' \(Conv\)"):
        load(tmp_path, Node("Conv", ["x", "w"], ["y"], "c"), [info("x", 1, 2)], [stored("w", 4, 2)])


# -- fully connected layers and products ----------------------------------------------------------


@pytest.mark.parametrize(("trans_a", "trans_b"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_fully_connected_layer(tmp_path, trans_a, trans_b):
    a, b = (5, 7)[:: -1 if trans_a else 1], (7, 3)[:: -1 if trans_b else 1]
    node = Node("Gemm", ["x", "w", "b"], ["y"], transA=trans_a, transB=trans_b)
    op = only(load(tmp_path, node, [info("x", *a)], [stored("w", *b), stored("b", 3)]))
    assert (op.gemm, op.weights, op.n_weight_elements) == (Gemm(1, 5, 7, 3), ("w", "b"), 24)


def test_a_running_summand_of_a_layer_is_read_and_added(tmp_path):
    op = only(load(tmp_path, Node("Gemm", ["x", "w", "c"], ["y"]), [info("x", 5, 7), info("c", 5, 3)], [stored("w", 7, 3)]))
    assert (op.inputs, op.n_vector_ops) == (("x", "c"), 15)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((5, 7), (7, 3), Gemm(1, 5, 7, 3)),
        ((2, 4, 5, 7), (7, 3), Gemm(1, 2 * 4 * 5, 7, 3)),
        ((7,), (7, 3), Gemm(1, 1, 7, 3)),
        ((5, 7), (7,), Gemm(1, 5, 7, 1)),
        ((6, 5, 7), (6, 7, 3), Gemm(6, 5, 7, 3)),
        ((2, 6, 5, 7), (6, 7, 3), Gemm(6, 10, 7, 3)),
        ((1, 5, 7), (6, 7, 3), Gemm(6, 5, 7, 3)),
    ],
)
def test_product_with_a_stored_matrix_reads_it_once_for_all_rows(tmp_path, a, b, expected):
    op = only(load(tmp_path, Node("MatMul", ["x", "w"], ["y"]), [info("x", *a)], [stored("w", *b)]))
    assert (op.gemm, op.weights, op.inputs) == (expected, ("w",), ("x",))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((12, 64, 32), (12, 32, 64), Gemm(12, 64, 32, 64, dynamic=True)),
        ((2, 12, 64, 32), (2, 12, 32, 64), Gemm(24, 64, 32, 64, dynamic=True)),
        ((2, 5, 7), (7, 3), Gemm(1, 10, 7, 3, dynamic=True)),
        ((5, 7), (4, 7, 3), Gemm(4, 5, 7, 3, dynamic=True)),
        ((1, 8, 16, 4), (1, 1, 4, 16), Gemm(1, 128, 4, 16, dynamic=True)),
    ],
)
def test_product_of_two_activations_has_a_group_for_each_matrix_of_the_second(tmp_path, a, b, expected):
    op = only(load(tmp_path, Node("MatMul", ["p", "q"], ["y"]), [info("p", *a), info("q", *b)]))
    assert (op.gemm, op.weights, op.inputs) == (expected, (), ("p", "q"))


@pytest.mark.parametrize("op_type", ["MatMul", "Gemm"])
def test_a_stored_matrix_on_the_left_is_still_the_weight(tmp_path, op_type):
    """W[3, 7] x[7, 5] is x^T W^T transposed: 5 rows of 7 by 7 x 3."""
    op = only(load(tmp_path, Node(op_type, ["w", "x"], ["y"]), [info("x", 7, 5)], [stored("w", 3, 7)]))
    assert (op.gemm, op.weights, op.inputs) == (Gemm(1, 5, 7, 3), ("w",), ("x",))


def test_a_product_of_a_matrix_with_itself_has_two_operands(tmp_path):
    op = only(load(tmp_path, Node("MatMul", ["p", "p"], ["y"]), [info("p", 6, 6)]))
    assert (op.inputs, op.gemm.dynamic) == (("p", "p"), True)


def test_integer_products(tmp_path):
    int8 = TensorProto.INT8
    weights = [stored("w", 7, 3, dtype=np.int8), stored("s"), stored("z", dtype=np.int8)]
    assert only(load(tmp_path, Node("MatMulInteger", ["x", "w"], ["y"]), [info("x", 5, 7, dtype=int8)], weights)).gemm == Gemm(1, 5, 7, 3)
    node = Node("QLinearMatMul", ["x", "s", "z", "w", "s", "z", "s", "z"], ["y"])
    op = only(load(tmp_path, node, [info("x", 5, 7, dtype=int8)], weights))
    assert (op.gemm, op.weights) == (Gemm(1, 5, 7, 3), ("w",))


# -- einsum ---------------------------------------------------------------------------------------


def extents_product(equation, *shapes):
    """MACs by definition: one for each combination of all indices."""
    extents = {}
    for term, shape in zip(equation.split("->")[0].split(","), shapes, strict=True):
        extents.update(zip(term.strip(), shape, strict=True))
    return prod(extents.values())


@pytest.mark.parametrize(
    ("equation", "a", "b", "expected"),
    [
        ("ij,jk->ik", (5, 7), (7, 3), Gemm(1, 5, 7, 3, dynamic=True)),
        ("bhid,bhjd->bhij", (2, 4, 5, 8), (2, 4, 6, 8), Gemm(8, 5, 8, 6, dynamic=True)),
        ("bid, bjd -> bij", (2, 5, 8), (2, 6, 8), Gemm(2, 5, 8, 6, dynamic=True)),
        ("i,i->", (9,), (9,), Gemm(1, 1, 9, 1, dynamic=True)),
        ("i,j->ij", (4,), (5,), Gemm(1, 4, 1, 5, dynamic=True)),
    ],
)
def test_einsum_of_two_activations(tmp_path, equation, a, b, expected):
    workload = load(tmp_path, Node("Einsum", ["p", "q"], ["y"], equation=equation), [info("p", *a), info("q", *b)])
    assert only(workload).gemm == expected
    assert workload.n_macs == extents_product(equation, a, b)


def test_einsum_with_a_stored_operand_on_either_side(tmp_path):
    for operands in (["x", "w"], ["w", "x"]):
        equation = "btd,dhe->bthe" if operands[0] == "x" else "dhe,btd->bthe"
        workload = load(tmp_path, Node("Einsum", operands, ["y"], equation=equation), [info("x", 2, 3, 8)], [stored("w", 8, 4, 5)])
        assert only(workload).gemm == Gemm(1, 6, 8, 20)
        assert only(workload).weights == ("w",)


def test_einsum_with_an_ellipsis_and_without_a_result_term(tmp_path):
    workload = load(
        tmp_path, Node("Einsum", ["p", "q"], ["y"], equation="...ij,...jk->...ik"), [info("p", 2, 3, 4, 5), info("q", 2, 3, 5, 6)]
    )
    assert only(workload).gemm == Gemm(6, 4, 5, 6, dynamic=True)
    workload = load(tmp_path, Node("Einsum", ["p", "q"], ["y"], equation="ij,jk"), [info("p", 4, 5), info("q", 5, 6)])
    assert only(workload).gemm == Gemm(1, 4, 5, 6, dynamic=True)


def test_einsum_of_one_operand_moves_or_sums(tmp_path):
    moved = load(tmp_path, Node("Einsum", ["x"], ["y"], equation="ij->ji"), [info("x", 4, 5)]).ops[0]
    summed = load(tmp_path, Node("Einsum", ["x"], ["y"], equation="ij->i"), [info("x", 4, 5)]).ops[0]
    assert (moved.kind, moved.n_vector_ops) == (OpKind.MOVE, 0)
    assert (summed.kind, summed.n_vector_ops) == (OpKind.REDUCE, 20)


def test_einsum_of_three_operands_counts_all_indices(tmp_path):
    workload = load(
        tmp_path, Node("Einsum", ["p", "q", "r"], ["y"], equation="ij,jk,kl->il"), [info("p", 2, 3), info("q", 3, 4), info("r", 4, 5)]
    )
    assert workload.n_macs == 2 * 3 * 4 * 5


# -- recurrent layers -----------------------------------------------------------------------------


@pytest.mark.parametrize(("op_type", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize(("direction", "dirs"), [("forward", 1), ("bidirectional", 2)])
def test_recurrent_layer(tmp_path, op_type, gates, direction, dirs):
    """Seq * batch * dirs * gates * hidden * (input + hidden), for 6 steps of 2 rows of 10, hidden 16."""
    weights = [stored("w", dirs, gates * 16, 10), stored("r", dirs, gates * 16, 16), stored("b", dirs, 2 * gates * 16)]
    node = Node(op_type, ["x", "w", "r", "b"], ["y"], hidden_size=16, direction=direction)
    workload = load(tmp_path, node, [info("x", 6, 2, 10)], weights)
    (op,) = workload.ops
    assert workload.n_macs == 6 * 2 * dirs * gates * 16 * (10 + 16)
    assert op.weights == ("w", "r", "b")
    assert op.special
    assert workload.tensors["y"].shape == (6, dirs, 2, 16)
    assert op.n_vector_ops % (6 * 2 * dirs * 16) == 0
    assert op.n_vector_ops >= 6 * 2 * dirs * 16 * gates * 5, "a sigmoid or tanh of each gate"
    assert "6 steps are priced as one product" in workload.notes[-1]
    assert "lower bound" in workload.notes[-1]


def test_a_recurrent_state_given_from_outside_is_read(tmp_path):
    weights = [stored("w", 1, 64, 10), stored("r", 1, 64, 16)]
    node = Node("LSTM", ["x", "w", "r", "", "", "h", "c"], ["y", "hn"], hidden_size=16)
    workload = load(tmp_path, node, [info("x", 6, 1, 10), info("h", 1, 1, 16), info("c", 1, 1, 16)], weights, outputs=["y", "hn"])
    assert workload.ops[0].inputs == ("x", "h", "c")
    assert workload.ops[0].outputs == ("y", "hn")


# -- ONNX Runtime's own -----------------------------------------------------------------------------


def contrib(op_type, inputs, outputs=("y",), **attributes):
    return Node(op_type, inputs, list(outputs), domain="com.microsoft", **attributes)


def test_a_fused_convolution_carries_its_activation_and_summand(tmp_path):
    node = contrib("FusedConv", ["x", "w", "b", "z"], activation="Sigmoid")
    op = only(load(tmp_path, node, [info("x", 1, 3, 8, 8), info("z", 1, 4, 6, 6)], [stored("w", 4, 3, 3, 3), stored("b", 4)]))
    assert op.gemm == Gemm(1, 36, 27, 4)
    assert op.n_vector_ops == 4 * 36 * (1 + 5), "one add and a sigmoid"
    assert op.inputs == ("x", "z")


def test_fused_products_transpose_either_side(tmp_path):
    node = contrib("FusedMatMul", ["p", "q"], transB=1, alpha=0.125)
    workload = load(tmp_path, node, [info("p", 4, 5, 8), info("q", 4, 6, 8)])
    assert only(workload).gemm == Gemm(4, 5, 8, 6, dynamic=True)
    assert workload.tensors["y"].shape == (4, 5, 6)


def test_quantized_products_of_onnx_runtime(tmp_path):
    uint8 = TensorProto.UINT8
    weights = [stored("w", 7, 3, dtype=np.uint8), stored("s"), stored("z", dtype=np.uint8), stored("b", 3), stored("c", 3, dtype=np.int32)]
    x8, x = [info("x", 5, 7, dtype=uint8)], [info("x", 5, 7)]
    for node, inputs, names in (
        (contrib("DynamicQuantizeMatMul", ["x", "w", "s", "z", "b"]), x, ("w",)),
        (contrib("MatMulIntegerToFloat", ["x", "w", "s", "s", "z", "z", "b"]), x8, ("w", "b")),
        (contrib("QGemm", ["x", "s", "z", "w", "s", "z", "c"]), x8, ("w", "c")),
    ):
        workload = load(tmp_path, node, inputs, weights)
        assert (only(workload).gemm, only(workload).weights) == (Gemm(1, 5, 7, 3), names)
        assert workload.tensors["y"].shape == (5, 3)


def test_products_with_packed_weights_count_all_of_them(tmp_path):
    """Four-bit weights: 64 x 32 values lie in 32 x 2 x 16 bytes."""
    node = contrib("MatMulNBits", ["x", "w", "s"], K=64, N=32, bits=4, block_size=32)
    workload = load(tmp_path, node, [info("x", 2, 5, 64)], [stored("w", 32, 2, 16, dtype=np.uint8), stored("s", 64)])
    op = only(workload)
    assert (op.gemm, op.n_weight_elements) == (Gemm(1, 10, 64, 32), 32 * 2 * 16 + 64)
    assert workload.tensors["y"].shape == (2, 5, 32)


def test_the_quantized_lstm_of_onnx_runtime(tmp_path):
    """Its weights lie transposed: W[dirs, input, 4 hidden]."""
    weights = [stored("w", 2, 10, 64, dtype=np.int8), stored("r", 2, 16, 64, dtype=np.int8), stored("b", 2, 128)]
    node = contrib("DynamicQuantizeLSTM", ["x", "w", "r", "b"], hidden_size=16, direction="bidirectional")
    workload = load(tmp_path, node, [info("x", 6, 1, 10)], weights)
    assert workload.n_macs == 6 * 2 * 64 * 26
    assert workload.tensors["y"].shape == (6, 2, 1, 16)


def test_causal_convolution_with_state(tmp_path):
    """Operator set 27: each of 8 channels meets its 4 taps at each of 10 steps."""
    node = Node("CausalConvWithState", ["x", "w"], ["y", "state"])
    try:
        workload = load(tmp_path, node, [info("x", 2, 8, 10)], [stored("w", 8, 1, 4)], opset=27)
    except WorkloadError:
        pytest.skip("this onnx has no operator set 27")
    assert workload.n_macs == 2 * 8 * 10 * 4

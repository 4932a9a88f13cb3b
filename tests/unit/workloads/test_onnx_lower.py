"""What ops cost beside MACs, and where each node of the source is counted."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from workloads.graph import OpKind, TensorKind
from workloads.onnx_import import load_onnx
from workloads.ops import NORM_OPS_PER_ELEMENT, SOFTMAX_OPS_PER_ELEMENT
from workloads.optable import OpTable

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Node = helper.make_node
X = (1, 8, 6, 6)  # 288 elements
N = 288


def info(name, *shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, list(shape))


def stored(name, *shape, dtype=np.float32):
    return numpy_helper.from_array(np.ones(shape, dtype), name)


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def load(tmp_path, nodes, inputs, weights=(), outputs="y", opset=17):
    nodes = nodes if isinstance(nodes, list) else [nodes]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_empty_tensor_value_info(name) for name in outputs], list(weights))
    domains = {node.domain for node in nodes} - {""}
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
    return load_onnx(path, {})


SIMPLE = [
    ("Relu", {}, OpKind.ELEMENTWISE, N),
    ("Sigmoid", {}, OpKind.ELEMENTWISE, 5 * N),
    ("Exp", {}, OpKind.ELEMENTWISE, 4 * N),
    ("HardSwish", {}, OpKind.ELEMENTWISE, 5 * N),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [3, 3]}, OpKind.POOL, 8 * 2 * 2 * 9),
    ("AveragePool", {"kernel_shape": [2, 2]}, OpKind.POOL, 8 * 5 * 5 * 4),
    ("GlobalAveragePool", {}, OpKind.POOL, N),
    ("Softmax", {"axis": 1}, OpKind.SOFTMAX, SOFTMAX_OPS_PER_ELEMENT * N),
    ("LogSoftmax", {"axis": -1}, OpKind.SOFTMAX, SOFTMAX_OPS_PER_ELEMENT * N),
    ("LRN", {"size": 5}, OpKind.NORM, NORM_OPS_PER_ELEMENT * N),
    ("MeanVarianceNormalization", {}, OpKind.NORM, NORM_OPS_PER_ELEMENT * N),
    ("ReduceMean", {"axes": [2, 3]}, OpKind.REDUCE, N),
    ("ArgMax", {"axis": 1}, OpKind.REDUCE, N),
    ("Transpose", {"perm": [0, 2, 3, 1]}, OpKind.MOVE, 0),
    ("DepthToSpace", {"blocksize": 2}, OpKind.MOVE, 0),
    ("Cast", {"to": TensorProto.FLOAT16}, OpKind.MOVE, 0),
]


@pytest.mark.parametrize(("op_type", "attributes", "kind", "n_vector"), SIMPLE, ids=[case[0] for case in SIMPLE])
def test_scalar_operations_of_an_op(tmp_path, op_type, attributes, kind, n_vector):
    workload = load(tmp_path, Node(op_type, ["x"], ["y"], **attributes), [info("x", *X)])
    (op,) = workload.ops
    assert (op.kind, op.n_vector_ops, op.n_macs, op.inputs) == (kind, n_vector, 0, ("x",))
    counted = workload.coverage.data_movement if kind is OpKind.MOVE else workload.coverage.costed
    assert counted == {op_type: 1}
    assert not workload.notes


@pytest.mark.parametrize(("op_type", "n_each"), [("Sum", 2), ("Max", 2), ("Min", 2), ("Mean", 2)])
def test_an_op_over_three_arrays_takes_two_operations_an_element(tmp_path, op_type, n_each):
    workload = load(tmp_path, Node(op_type, ["a", "b", "c"], ["y"]), [info(name, 4, 5) for name in "abc"])
    assert workload.ops[0].n_vector_ops == n_each * 20


def test_an_element_wise_op_counts_its_broadcast_result(tmp_path):
    workload = load(tmp_path, Node("Add", ["a", "b"], ["y"]), [info("a", 4, 1), info("b", 1, 5)])
    assert workload.ops[0].n_vector_ops == 20
    assert workload.tensors["y"].shape == (4, 5)


def test_roots_and_exponentials_are_special(tmp_path):
    kinds = {op: load(tmp_path, Node(op, ["x"], ["y"]), [info("x", *X)]).ops[0].special for op in ("Sqrt", "Softmax", "Relu", "Abs")}
    assert kinds == {"Sqrt": True, "Softmax": True, "Relu": False, "Abs": False}


def test_norms_read_their_scale_and_shift(tmp_path):
    weights = [stored("g", 8), stored("b", 8)]
    workload = load(tmp_path, Node("LayerNormalization", ["x", "g", "b"], ["y"]), [info("x", 2, 5, 8)], weights)
    (op,) = workload.ops
    assert (op.weights, op.n_weight_elements, op.n_vector_ops) == (("g", "b"), 16, NORM_OPS_PER_ELEMENT * 80)


def test_single_numbers_are_part_of_the_instruction_and_no_weights(tmp_path):
    workload = load(tmp_path, Node("Mul", ["x", "half"], ["y"]), [info("x", *X)], [stored("half")])
    assert workload.ops[0].weights == ()


def test_bounds_and_sizes_are_part_of_the_instruction_and_no_weights(tmp_path):
    weights = [ints("from", 0, 0), ints("to", 4, 4), ints("axes", 2, 3), ints("pads", 0, 0, 1, 1, 0, 0, 1, 1), ints("sizes", 1, 8, 12, 12)]
    for node in (
        Node("Slice", ["x", "from", "to", "axes"], ["y"]),
        Node("Pad", ["x", "pads"], ["y"]),
        Node("Resize", ["x", "", "", "sizes"], ["y"], mode="nearest"),
    ):
        (op,) = load(tmp_path, node, [info("x", *X)], weights).ops
        assert (op.weights, op.n_weight_elements, op.inputs) == ((), 0, ("x",))


@pytest.mark.parametrize(("mode", "n_each"), [("nearest", 0), ("linear", 2 * 4), ("cubic", 2 * 16)])
def test_interpolation_mixes_neighbors_of_both_axes(tmp_path, mode, n_each):
    workload = load(
        tmp_path, Node("Resize", ["x", "", "scales"], ["y"], mode=mode), [info("x", 1, 2, 4, 4)], [scales := stored("scales", 4)]
    )
    assert scales.dims == [4]
    assert workload.ops[0].n_vector_ops == 0, "a scale of one copies"
    doubled = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    workload = load(tmp_path, Node("Resize", ["x", "", "scales"], ["y"], mode=mode), [info("x", 1, 2, 4, 4)], [doubled])
    assert workload.ops[0].n_vector_ops == n_each * 2 * 8 * 8


@pytest.mark.parametrize(
    ("node", "ids", "n_read"),
    [
        (Node("Gather", ["table", "ids"], ["y"]), (1, 5), 5 * 16),
        (Node("GatherND", ["table", "ids"], ["y"]), (3, 1), 3 * 16),
        (Node("GatherElements", ["table", "ids"], ["y"]), (2, 16), 2 * 16),
    ],
)
def test_a_look_up_reads_what_it_returns_and_not_the_table(tmp_path, node, ids, n_read):
    workload = load(tmp_path, node, [info("ids", *ids, dtype=INT64)], [stored("table", 1000, 16)])
    (op,) = workload.ops
    assert (op.weights, op.inputs, op.n_weight_elements) == (("table",), ("ids",), n_read)
    assert workload.weight_bytes == 16000
    assert op.kind is OpKind.MOVE


def test_a_look_up_in_an_activation_reads_it(tmp_path):
    workload = load(tmp_path, Node("Gather", ["x", "i"], ["y"], axis=1), [info("x", 1, 197, 768)], [ints("i", 0)])
    (op,) = workload.ops
    assert (op.inputs, op.weights) == (("x",), ())


def test_a_concat_with_a_learned_token_reads_it(tmp_path):
    workload = load(tmp_path, Node("Concat", ["token", "x"], ["y"], axis=1), [info("x", 1, 4, 8)], [stored("token", 1, 1, 8)])
    (op,) = workload.ops
    assert (op.weights, op.inputs, op.n_weight_elements) == (("token",), ("x",), 8)


def test_a_spectrum_costs_a_fast_fourier_transform(tmp_path):
    """9 bins of 16 samples: 5 n log2 n with the results that are kept."""
    weights = [ints("step", 8), ints("length", 16)]
    for tensor in weights:
        tensor.ClearField("dims")
    workload = load(tmp_path, Node("STFT", ["x", "step", "", "length"], ["y"]), [info("x", 1, 128, 1)], weights)
    assert workload.tensors["y"].shape == (1, 15, 9, 2), "one-sided unless told otherwise"
    assert workload.ops[0].n_vector_ops == 5 * 15 * 9 * 2 * 4


# -- what is not known ----------------------------------------------------------------------------


def test_an_unknown_op_is_moved_data_with_a_warning_that_names_it(tmp_path):
    workload = load(tmp_path, Node("Mystery", ["x"], ["y"], "odd", domain="acme"), [info("x", 2, 3)])
    (op,) = workload.ops
    assert (op.kind, op.op_type, op.inputs) == (OpKind.MOVE, "Mystery", ("x",))
    assert workload.tensors["y"].shape == (2, 3), "like its first input"
    assert "warning: node 'odd' of type 'Mystery' is not known; priced as data movement" in workload.notes
    assert workload.coverage.data_movement == {"Mystery": 1}


def test_an_unknown_op_has_the_shape_the_file_states(tmp_path):
    nodes = [Node("Mystery", ["x"], ["m"], domain="acme"), Node("Relu", ["m"], ["y"])]
    graph = helper.make_graph(nodes, "g", [info("x", "batch", 3)], [info("y", "batch", 7)], value_info=[info("m", "batch", 7)])
    path = tmp_path / "net.onnx"
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
    assert load_onnx(path, {"batch": 5}).tensors["y"].shape == (5, 7)


def test_trees_have_no_macs(tmp_path):
    node = Node("Normalizer", ["x"], ["y"], "trees", domain="ai.onnx.ml", norm="L2")
    workload = load(tmp_path, node, [info("x", 2, 3)])
    assert workload.n_macs == 0
    assert len(workload.notes) == 1


@pytest.mark.parametrize("op_type", ["Range", "RandomNormal", "EyeLike", "GridSample", "ConstantOfShape"])
def test_ops_that_only_make_or_move_data_are_no_surprise(tmp_path, op_type):
    inputs = {
        "Range": [info(name, dtype=INT64) for name in "abc"],
        "RandomNormal": [],
        "EyeLike": [info("a", 3, 3)],
        "GridSample": [info("a", 1, 2, 4, 4), info("b", 1, 3, 3, 2)],
        "ConstantOfShape": [info("a", 2, dtype=INT64)],
    }[op_type]
    attributes = {"shape": [2, 3]} if op_type == "RandomNormal" else {}
    workload = load(tmp_path, Node(op_type, [value.name for value in inputs], ["y"], **attributes), inputs)
    assert workload.coverage.data_movement == {op_type: 1}
    assert not any("not known" in note for note in workload.notes)


# -- the whole ------------------------------------------------------------------------------------


def test_every_node_is_counted_once(tmp_path):
    nodes = [
        Node("Conv", ["x", "w"], ["a"]),
        Node("BatchNormalization", ["a", "c", "c", "c", "c"], ["b"]),
        Node("Relu", ["b"], ["d"]),
        Node("Shape", ["d"], ["s"]),
        Node("Gather", ["s", "i"], ["n"]),
        Node("Flatten", ["d"], ["e"]),
        Node("Cast", ["e"], ["f"], to=TensorProto.FLOAT16),
        Node("Mystery", ["f"], ["g"], domain="acme"),
        Node("Softmax", ["g"], ["y"]),
    ]
    weights = [stored("w", 4, 3, 3, 3), stored("c", 4), ints("i", 0)]
    coverage = load(tmp_path, nodes, [info("x", 1, 3, 8, 8)], weights).coverage
    assert coverage.costed == {"Conv": 1, "Relu": 1, "Softmax": 1}
    assert coverage.data_movement == {"Cast": 1, "Mystery": 1}
    assert coverage.free == {"Shape": 1, "Gather": 1, "Flatten": 1, "BatchNormalization": 1}
    assert coverage.n_nodes == len(nodes)


def test_the_workload_becomes_a_table_of_ops(tmp_path):
    nodes = [Node("Conv", ["x", "w"], ["a"]), Node("Conv", ["x", "w"], ["b"]), Node("Add", ["a", "b"], ["y"])]
    workload = load(tmp_path, nodes, [info("x", 1, 3, 8, 8)], [stored("w", 4, 3, 3, 3)])
    table = OpTable.from_workload(workload)
    assert (len(table), table.n_repeats.tolist()) == (2, [2, 1]), "equal ops are one row"
    assert int((table.n_macs * table.n_repeats).sum()) == workload.n_macs == 2 * 36 * 27 * 4


def test_precision_is_set_for_weights_and_activations_and_not_for_indices(tmp_path):
    workload = load(tmp_path, Node("Gather", ["table", "ids"], ["y"]), [info("ids", 1, 5, dtype=INT64)], [stored("table", 10, 4)])
    coarse = workload.with_bits(4, 6)
    assert [coarse.tensors[name].bits for name in ("table", "y", "ids")] == [4, 6, 32]
    assert coarse.tensors["ids"].kind is TensorKind.INDEX

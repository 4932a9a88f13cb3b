"""The walk through a graph: what is known before the run costs nothing, views alias, the rest runs."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from workloads.errors import WorkloadError
from workloads.graph import OpKind, TensorKind
from workloads.onnx_import import load_onnx

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Node = helper.make_node


def info(name, *shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, list(shape))


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def floats(name, *shape):
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def load(tmp_path, nodes, inputs, weights=(), outputs="y", opset=17, dims=None, value_info=()):
    results = [name if not isinstance(name, str) else helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph(nodes, "g", inputs, results, list(weights), value_info=list(value_info))
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString())
    return load_onnx(path, dims or {})


# -- weights --------------------------------------------------------------------------------------


def stored_as_initializer():
    return [], [floats("w", 4, 3)]


def stored_as_constant():
    return [Node("Constant", [], ["w"], value=floats("", 4, 3))], []


def stored_as_generated():
    return [Node("ConstantOfShape", ["s"], ["w"])], [ints("s", 4, 3)]


def stored_as_sparse():
    values = numpy_helper.from_array(np.ones(2, np.float32), "w")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([0, 5], np.int64), "i"), [4, 3])
    return [Node("Constant", [], ["w"], sparse_value=sparse)], []


@pytest.mark.parametrize("stored", [stored_as_initializer, stored_as_constant, stored_as_generated, stored_as_sparse])
def test_a_weight_is_a_weight_however_it_is_stored(tmp_path, stored):
    nodes, weights = stored()
    workload = load(tmp_path, [*nodes, Node("MatMul", ["x", "w"], ["y"])], [info("x", 2, 4)], weights)
    (op,) = workload.ops
    assert (op.n_macs, op.weights, op.gemm.dynamic) == (2 * 4 * 3, ("w",), False)
    assert workload.tensors["w"].kind is TensorKind.WEIGHT
    assert workload.tensors["w"].shape == (4, 3)
    assert workload.coverage.free == {node.op_type: 1 for node in nodes}


def test_a_huge_generated_weight_is_never_made(tmp_path):
    """10^12 elements would not fit in memory; a shape does."""
    nodes = [Node("ConstantOfShape", ["s"], ["w"]), Node("MatMul", ["x", "w"], ["y"])]
    workload = load(tmp_path, nodes, [info("x", 1, 10**6)], [ints("s", 10**6, 10**6)])
    assert workload.n_macs == workload.n_params - 2 == 10**12


@pytest.mark.parametrize(
    "recode",
    [
        [Node("Transpose", ["t"], ["w"], perm=[1, 0])],
        [Node("Identity", ["t"], ["a"]), Node("Transpose", ["a"], ["w"])],
        [Node("Reshape", ["t", "s"], ["w"])],
        [Node("Cast", ["t"], ["half"], to=TensorProto.FLOAT16), Node("Cast", ["half"], ["a"], to=FLOAT), Node("Transpose", ["a"], ["w"])],
    ],
)
def test_a_rearranged_weight_takes_the_place_of_the_stored_one(tmp_path, recode):
    workload = load(tmp_path, [*recode, Node("MatMul", ["x", "w"], ["y"])], [info("x", 2, 64)], [floats("t", 100, 64), ints("s", 64, 100)])
    (op,) = workload.ops
    assert (op.weights, op.n_macs) == (("t",), 2 * 64 * 100)
    assert workload.weight_bytes == 6400


def test_a_tied_table_is_stored_once(tmp_path):
    """Embedding and output layer share a table of 100 rows of 64."""
    nodes = [Node("Gather", ["table", "ids"], ["e"]), Node("Transpose", ["table"], ["t"]), Node("MatMul", ["e", "t"], ["y"])]
    workload = load(tmp_path, nodes, [info("ids", 1, 5, dtype=INT64)], [floats("table", 100, 64)])
    assert [op.weights for op in workload] == [("table",), ("table",)]
    assert workload.weight_bytes == 6400


def test_a_quantized_weight_is_stored_as_it_lies_in_the_file(tmp_path):
    quantized = numpy_helper.from_array(np.zeros((8, 4), np.int8), "q")
    nodes = [Node("DequantizeLinear", ["q", "scale"], ["w"]), Node("MatMul", ["x", "w"], ["y"])]
    workload = load(tmp_path, nodes, [info("x", 2, 8)], [quantized, floats("scale")])
    (op,) = workload.ops
    assert op.weights == ("q",)
    assert workload.coverage.free == {"DequantizeLinear": 1}


def test_a_part_of_a_weight_is_a_smaller_weight(tmp_path):
    """Of 512 learned positions only 3 are read."""
    weights = [floats("positions", 512, 16), ints("from", 0), ints("to", 3), ints("axis", 0)]
    nodes = [Node("Slice", ["positions", "from", "to", "axis"], ["p"]), Node("Add", ["x", "p"], ["y"])]
    workload = load(tmp_path, nodes, [info("x", 1, 3, 16)], weights)
    (op,) = workload.ops
    assert workload.tensors[op.weights[0]].shape == (3, 16)
    assert op.n_weight_elements == 48


def test_random_numbers_are_drawn_at_each_run(tmp_path):
    nodes = [Node("RandomNormalLike", ["w"], ["r"]), Node("Add", ["x", "r"], ["y"])]
    workload = load(tmp_path, nodes, [info("x", 2, 3)], [floats("w", 2, 3)])
    assert [op.op_type for op in workload] == ["RandomNormalLike", "Add"]


# -- shape arithmetic -----------------------------------------------------------------------------


def test_the_usual_flatten_of_an_exporter_costs_nothing(tmp_path):
    """x.view(x.size(0), -1): Shape, Gather, Unsqueeze, Concat, Reshape."""
    nodes = [
        Node("Shape", ["x"], ["shape"]),
        Node("Gather", ["shape", "zero"], ["n"]),
        Node("Unsqueeze", ["n", "axis"], ["n1"]),
        Node("Concat", ["n1", "rest"], ["target"], axis=0),
        Node("Reshape", ["x", "target"], ["flat"]),
        Node("Relu", ["flat"], ["y"]),
    ]
    weights = [numpy_helper.from_array(np.array(0, np.int64), "zero"), ints("axis", 0), ints("rest", -1)]
    workload = load(tmp_path, nodes, [info("x", "n", 3, 4, 4)], weights, dims={"batch": 5})
    assert [op.op_type for op in workload] == ["Relu"]
    assert workload.tensors["y"].shape == (5, 48)
    assert workload.coverage.free == {"Shape": 1, "Gather": 1, "Unsqueeze": 1, "Concat": 1, "Reshape": 1}


def test_half_the_channels_by_shape_arithmetic(tmp_path):
    """Slice to size(1) // 2, computed in floats as old exporters do."""
    nodes = [
        Node("Shape", ["x"], ["s"], start=1, end=2),
        Node("Cast", ["s"], ["f"], to=FLOAT),
        Node("Div", ["f", "two"], ["h"]),
        Node("Floor", ["h"], ["hf"]),
        Node("Cast", ["hf"], ["half"], to=INT64),
        Node("Slice", ["x", "zero", "half", "one"], ["y"]),
    ]
    weights = [numpy_helper.from_array(np.array(2.0, np.float32), "two"), ints("zero", 0), ints("one", 1)]
    workload = load(tmp_path, nodes, [info("x", 1, 7, 5)], weights)
    assert workload.tensors["y"].shape == (1, 3, 5)
    assert workload.coverage.data_movement == {"Slice": 1}
    assert workload.coverage.n_nodes == 6


def test_a_mask_computed_from_lengths_of_axes_is_known_before_the_run(tmp_path):
    nodes = [
        Node("Size", ["x"], ["n"]),
        Node("Range", ["zero", "n", "one"], ["r"]),
        Node("Equal", ["r", "zero"], ["m"]),
        Node("Where", ["m", "x", "low"], ["y"]),
    ]
    scalars = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in (("zero", 0), ("one", 1))]
    workload = load(tmp_path, nodes, [info("x", 6)], [*scalars, numpy_helper.from_array(np.array(-1e9, np.float32), "low")])
    (op,) = workload.ops
    assert (op.op_type, op.weights) == ("Where", ("m",))


def test_expand_of_a_learned_token_is_known_before_the_run(tmp_path):
    nodes = [Node("Expand", ["token", "target"], ["t"]), Node("Concat", ["t", "x"], ["y"], axis=1)]
    workload = load(tmp_path, nodes, [info("x", 2, 4, 8)], [floats("token", 1, 1, 8), ints("target", 2, 1, 8)])
    assert workload.tensors["y"].shape == (2, 5, 8)
    assert workload.coverage.free == {"Expand": 1}


# -- views ----------------------------------------------------------------------------------------

VIEWS = [
    (Node("Identity", ["x"], ["v"]), (2, 1, 6)),
    (Node("Dropout", ["x"], ["v"]), (2, 1, 6)),
    (Node("Reshape", ["x", "s"], ["v"]), (3, 4)),
    (Node("Flatten", ["x"], ["v"], axis=2), (2, 6)),
    (Node("Flatten", ["x"], ["v"], axis=-1), (2, 6)),
    (Node("Flatten", ["x"], ["v"], axis=0), (1, 12)),
    (Node("Squeeze", ["x", "a"], ["v"]), (2, 6)),
    (Node("Squeeze", ["x"], ["v"]), (2, 6)),
    (Node("Unsqueeze", ["x", "a"], ["v"]), (2, 1, 1, 6)),
    (Node("Cast", ["x"], ["v"], to=FLOAT), (2, 1, 6)),
]


@pytest.mark.parametrize(("node", "shape"), VIEWS, ids=[f"{i}-{node.op_type}" for i, (node, _) in enumerate(VIEWS)])
def test_a_view_costs_nothing_and_aliases_its_tensor(tmp_path, node, shape):
    workload = load(tmp_path, [node, Node("Relu", ["v"], ["y"])], [info("x", 2, 1, 6)], [ints("s", 3, -1), ints("a", 1)])
    (op,) = workload.ops
    assert op.inputs == ("x",)
    assert workload.tensors["y"].shape == shape
    assert workload.coverage.free == {node.op_type: 1}


def test_older_operator_sets_keep_axes_and_shapes_in_attributes(tmp_path):
    nodes = [
        Node("Reshape", ["x"], ["a"], shape=[0, -1]),
        Node("Unsqueeze", ["a"], ["b"], axes=[0]),
        Node("Squeeze", ["b"], ["c"], axes=[0]),
        Node("Relu", ["c"], ["y"]),
    ]
    workload = load(tmp_path, nodes, [info("x", 2, 3, 4)], opset=4)
    assert workload.tensors["y"].shape == (2, 12)


def test_a_change_of_type_moves_data(tmp_path):
    workload = load(tmp_path, [Node("Cast", ["x"], ["y"], to=TensorProto.FLOAT16)], [info("x", 2, 3)])
    assert workload.coverage.data_movement == {"Cast": 1}


def test_a_result_that_is_a_view_of_an_input_is_that_input(tmp_path):
    workload = load(tmp_path, [Node("Identity", ["x"], ["y"])], [info("x", 2)])
    assert (workload.outputs, workload.ops) == (("x",), ())


def test_a_reshape_of_other_size_is_refused_by_name(tmp_path):
    with pytest.raises(
        WorkloadError, match=r"node 'bad' \(Reshape\) is fixed to shape \[5, 5\], which does not hold the elements of \(2, 3\)"
    ):
        load(tmp_path, [Node("Reshape", ["x", "s"], ["y"], "bad")], [info("x", 2, 3)], [ints("s", 5, 5)])


def test_a_squeeze_of_a_long_axis_is_refused(tmp_path):
    with pytest.raises(WorkloadError, match="axis 1 of shape"):
        load(tmp_path, [Node("Squeeze", ["x", "a"], ["y"])], [info("x", 2, 3)], [ints("a", 1)])


# -- what only the run would tell -----------------------------------------------------------------


def test_a_selection_is_taken_at_its_upper_bound_with_a_note(tmp_path):
    workload = load(tmp_path, [Node("NonZero", ["x"], ["y"], "where")], [info("x", 3, 4)])
    assert workload.tensors["y"].shape == (2, 12)
    assert workload.notes == ("node 'where' (NonZero): the shape of 'y' depends on run-time values; taken as (2, 12)",)


def test_boxes_kept_are_at_most_the_limit(tmp_path):
    nodes = [Node("NonMaxSuppression", ["boxes", "scores", "most"], ["y"])]
    workload = load(tmp_path, nodes, [info("boxes", 2, 50, 4), info("scores", 2, 3, 50)], [ints("most", 10)])
    assert workload.tensors["y"].shape == (2 * 3 * 10, 3)
    assert workload.ops[0].kind is OpKind.REDUCE


def test_a_slice_to_a_run_time_bound_keeps_its_extent(tmp_path):
    nodes = [Node("Slice", ["x", "from", "to"], ["a"]), Node("Relu", ["a"], ["y"])]
    workload = load(tmp_path, nodes, [info("x", 8, 4), info("to", 1, dtype=INT64)], [ints("from", 0)])
    assert workload.tensors["y"].shape == (8, 4)
    assert len(workload.notes) == 1, "what follows from an assumption is not noted again"


def test_a_reshape_to_a_run_time_shape_takes_what_the_file_states(tmp_path):
    nodes = [Node("Reshape", ["x", "s"], ["a"]), Node("Relu", ["a"], ["y"])]
    workload = load(tmp_path, nodes, [info("x", 8, 4), info("s", 2, dtype=INT64)], value_info=[info("a", 16, 2)])
    assert workload.tensors["y"].shape == (16, 2)


def test_shapes_that_clash_only_by_assumption_do_not_stop_the_reading(tmp_path):
    """The length of the range is known at run time only; 64 stands for it and meets an axis of 10."""
    nodes = [
        Node("Range", ["zero", "n", "one"], ["r"]),
        Node("Cast", ["r"], ["f"], to=FLOAT),
        Node("Add", ["x", "f"], ["a"]),
        Node("Relu", ["a"], ["y"]),
    ]
    scalars = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in (("zero", 0), ("one", 1))]
    workload = load(tmp_path, nodes, [info("x", 10), info("n", dtype=INT64)], scalars)
    assert workload.coverage.n_nodes == 4
    assert any("Range" in note for note in workload.notes)


def test_shapes_that_clash_for_sure_are_refused_with_the_node(tmp_path):
    with pytest.raises(WorkloadError, match=r"node 'sum' \(Add\) cannot take inputs of shape \(2, 3\), \(2, 4\)"):
        load(tmp_path, [Node("Add", ["a", "b"], ["y"], "sum")], [info("a", 2, 3), info("b", 2, 4)])


def test_a_window_larger_than_its_image_is_refused(tmp_path):
    with pytest.raises(
        WorkloadError, match=r"node 'pool' \(MaxPool\) has no result for inputs of shape \(1, 3, 4, 4\): they are too small"
    ):
        load(tmp_path, [Node("MaxPool", ["x"], ["y"], "pool", kernel_shape=[7, 7])], [info("x", 1, 3, 4, 4)])


def test_a_node_without_its_inputs_is_refused_with_its_name(tmp_path):
    with pytest.raises(WorkloadError, match="node 'fc'"):
        load(tmp_path, [Node("MatMul", ["x"], ["y"], "fc")], [info("x", 2, 3)])


# -- names ----------------------------------------------------------------------------------------


def test_ops_without_or_with_equal_names_are_told_apart(tmp_path):
    nodes = [Node("Relu", ["x"], ["a"], "n"), Node("Relu", ["x"], ["b"], "n"), Node("Sin", ["x"], ["c"]), Node("Cos", ["x"], ["d"])]
    workload = load(tmp_path, nodes, [info("x", 2)], outputs="abcd")
    assert len({op.name for op in workload}) == 4
    assert all(op.name for op in workload)


def test_results_that_nobody_names_or_reads_are_not_written(tmp_path):
    nodes = [Node("MaxPool", ["x"], ["y", "indices"], kernel_shape=[2, 2], strides=[2, 2]), Node("TopK", ["x", "k"], ["", "i"])]
    workload = load(tmp_path, nodes, [info("x", 1, 1, 4, 4)], [ints("k", 2)], outputs="yi")
    assert [op.outputs for op in workload] == [("y",), ("i",)]
    assert workload.tensors["i"].kind is TensorKind.INDEX


def test_integer_results_of_products_are_data_and_not_indices(tmp_path):
    weights = [numpy_helper.from_array(np.zeros((4, 3), np.int8), "w")]
    workload = load(tmp_path, [Node("MatMulInteger", ["x", "w"], ["y"])], [info("x", 2, 4, dtype=TensorProto.INT8)], weights)
    assert workload.tensors["y"].kind is TensorKind.ACTIVATION

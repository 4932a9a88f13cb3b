"""Branches, loops and sequences are inlined; every inlined node is counted once."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from workloads.onnx_import import load_onnx

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Node = helper.make_node


def info(name, *shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, list(shape))


def anything(*names):
    return [helper.make_empty_tensor_value_info(name) for name in names]


def stored(name, *shape):
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def number(name, value):
    return numpy_helper.from_array(np.array(value), name)


def load(tmp_path, nodes, inputs, weights=(), outputs="y", dims=None, opset=17):
    graph = helper.make_graph(nodes, "g", inputs, anything(*outputs), list(weights))
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString())
    return load_onnx(path, dims or {})


def branch(name, *nodes, output="r", weights=()):
    return helper.make_graph(list(nodes), name, [], anything(output), list(weights))


WIDE = branch("wide", Node("MatMul", ["x", "w"], ["t"], "fc"), Node("Relu", ["t"], ["r"], "act"))
THIN = branch("thin", Node("Sigmoid", ["x"], ["r"], "act"))
W = stored("w", 4, 4)


# -- If -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("condition", "n_macs", "types"), [(True, 32, ["MatMul"]), (False, 0, ["Sigmoid"])])
def test_a_known_condition_takes_its_branch(tmp_path, condition, n_macs, types):
    node = Node("If", ["c"], ["y"], "choice", then_branch=WIDE, else_branch=THIN)
    workload = load(tmp_path, [node], [info("x", 2, 4)], [W, number("c", condition)])
    assert workload.n_macs == n_macs
    assert [op.op_type for op in workload] == types
    assert workload.coverage.n_nodes == (2 if condition else 1)
    assert not workload.notes


def test_a_condition_on_a_shape_is_known(tmp_path):
    nodes = [
        Node("Shape", ["x"], ["s"]),
        Node("Gather", ["s", "zero"], ["n"]),
        Node("Equal", ["n", "one"], ["c"]),
        Node("If", ["c"], ["y"], then_branch=THIN, else_branch=WIDE),
    ]
    weights = [W, number("zero", 0), number("one", 1)]
    assert load(tmp_path, nodes, [info("x", "n", 4)], weights, dims={"batch": 1}).n_macs == 0
    assert load(tmp_path, nodes, [info("x", "n", 4)], weights, dims={"batch": 3}).n_macs == 3 * 16


def test_an_unknown_condition_takes_the_first_branch_with_a_note(tmp_path):
    node = Node("If", ["c"], ["y"], "choice", then_branch=WIDE, else_branch=THIN)
    workload = load(tmp_path, [node], [info("x", 2, 4), info("c", dtype=BOOL)], [W])
    assert workload.n_macs == 32
    assert workload.notes == ("node 'choice' (If): its condition depends on run-time values; the then-branch is priced",)


def test_branches_nest_and_equal_names_inside_do_not_clash(tmp_path):
    inner = Node("If", ["yes"], ["r"], "inner", then_branch=branch("a", Node("Relu", ["x"], ["q"], "act"), output="q"), else_branch=THIN)
    nodes = [
        Node("If", ["yes"], ["p"], "first", then_branch=branch("outer", inner), else_branch=THIN),
        Node("If", ["yes"], ["q"], "second", then_branch=branch("outer", inner), else_branch=THIN),
        Node("Add", ["p", "q"], ["y"]),
    ]
    workload = load(tmp_path, nodes, [info("x", 2, 4)], [number("yes", True)])
    assert [op.op_type for op in workload] == ["Relu", "Relu", "Add"]
    assert len({op.name for op in workload}) == 3
    assert workload.coverage.n_nodes == 3


def test_a_branch_has_its_own_weights(tmp_path):
    own = branch("own", Node("MatMul", ["x", "v"], ["r"]), weights=[stored("v", 4, 7)])
    workload = load(tmp_path, [Node("If", ["c"], ["y"], then_branch=own, else_branch=THIN)], [info("x", 2, 4)], [number("c", True)])
    assert (workload.n_macs, workload.n_params) == (2 * 4 * 7, 28 + 1)


# -- Loop -----------------------------------------------------------------------------------------


def loop_body(*nodes, carried=("h",), scans=()):
    """A body whose carried variable is h_in[2, 4] and comes back as h_out."""
    inputs = [info("i", dtype=INT64), info("go", dtype=BOOL), *(info(f"{name}_in", 2, 4) for name in carried)]
    nodes = [Node("Identity", ["go"], ["go_out"]), *nodes]
    return helper.make_graph(nodes, "body", inputs, anything("go_out", *(f"{name}_out" for name in carried), *scans))


STEP = [Node("MatMul", ["h_in", "w"], ["t"], "fc"), Node("Tanh", ["t"], ["h_out"], "act")]


def test_a_loop_of_known_length_counts_its_body_that_often(tmp_path):
    """10 turns of [2, 4] x [4, 4]: 320 MACs; the weights are stored once."""
    node = Node("Loop", ["n", "", "x"], ["y"], "loop", body=loop_body(*STEP))
    workload = load(tmp_path, [node], [info("x", 2, 4)], [W, number("n", 10)])
    (op,) = workload.ops
    assert (workload.n_macs, op.gemm.m, op.n_weight_elements) == (320, 20, 16)
    assert op.fused == ("Tanh",)
    assert op.n_vector_ops == 10 * 8 * 5
    assert workload.coverage.n_nodes == 3, "identity, product, activation: the loop itself is no work"
    assert workload.tensors[op.outputs[0]].n_elements == 10 * 8
    assert not workload.notes


def test_a_loop_of_unknown_length_is_priced_as_one_turn_with_a_note(tmp_path):
    node = Node("Loop", ["n", "", "x"], ["y"], "loop", body=loop_body(*STEP))
    workload = load(tmp_path, [node], [info("x", 2, 4), info("n", 1, dtype=INT64)], [W])
    assert workload.n_macs == 32
    assert "node 'loop' (Loop): its number of turns depends on run-time values; priced as one turn" in workload.notes


def test_a_loop_without_limit_is_priced_as_one_turn(tmp_path):
    for first in ("", "n"):
        node = Node("Loop", [first, "c", "x"], ["y"], body=loop_body(*STEP))
        workload = load(tmp_path, [node], [info("x", 2, 4)], [W, number("c", True), number("n", np.iinfo(np.int64).max)])
        assert workload.n_macs == 32
        assert len(workload.notes) == 1


def test_what_a_loop_collects_has_an_entry_for_each_turn(tmp_path):
    body = loop_body(*STEP, Node("ReduceSum", ["h_out"], ["s"], keepdims=0), scans=["s"])
    nodes = [Node("Loop", ["n", "", "x"], ["", "sums"], body=body), Node("Relu", ["sums"], ["y"])]
    workload = load(tmp_path, nodes, [info("x", 2, 4)], [W, number("n", 5)])
    assert workload.tensors["y"].shape == (5,)


def test_products_of_two_activations_in_a_loop_are_more_groups(tmp_path):
    body = loop_body(Node("MatMul", ["h_in", "k"], ["h_out"]))
    workload = load(tmp_path, [Node("Loop", ["n", "", "x"], ["y"], body=body)], [info("x", 2, 4), info("k", 4, 4)], [number("n", 3)])
    assert (workload.ops[0].gemm.groups, workload.n_macs) == (3, 3 * 32)


def test_loops_nest(tmp_path):
    inner = Node("Loop", ["m", "", "h_in"], ["h_out"], "inner", body=loop_body(*STEP))
    workload = load(
        tmp_path, [Node("Loop", ["n", "", "x"], ["y"], body=loop_body(inner))], [info("x", 2, 4)], [W, number("n", 3), number("m", 4)]
    )
    assert workload.n_macs == 3 * 4 * 32


def test_a_counter_carried_through_a_loop_is_not_its_first_value(tmp_path):
    """A stored zero that grows at each turn must not choose a branch as if it stayed zero."""
    choice = Node(
        "If",
        ["big"],
        ["h_out"],
        "choice",
        then_branch=branch("t", Node("Relu", ["h_in"], ["r"])),
        else_branch=branch("e", *STEP[:1], output="t"),
    )
    graph = helper.make_graph(
        [Node("Identity", ["go"], ["go_out"]), Node("Add", ["c_in", "one"], ["c_out"]), Node("Greater", ["c_in", "one"], ["big"]), choice],
        "body",
        [info("i", dtype=INT64), info("go", dtype=BOOL), info("h_in", 2, 4), info("c_in", dtype=INT64)],
        anything("go_out", "h_out", "c_out"),
    )
    node = Node("Loop", ["n", "", "x", "zero"], ["y", ""], body=graph)
    workload = load(tmp_path, [node], [info("x", 2, 4)], [W, number("n", 3), number("zero", 0), number("one", 1)])
    assert any("'choice'" in note or "choice" in note for note in workload.notes)


# -- Scan -----------------------------------------------------------------------------------------


def test_a_scan_turns_once_for_each_entry(tmp_path):
    """7 rows of [2, 4] go through [4, 4]: 7 * 32 MACs; results are stacked."""
    body = helper.make_graph(
        [Node("MatMul", ["row", "w"], ["t"]), Node("Add", ["state", "t"], ["next"]), Node("Identity", ["next"], ["kept"])],
        "body",
        [info("state", 2, 4), info("row", 2, 4)],
        anything("next", "kept"),
    )
    nodes = [Node("Scan", ["x", "rows"], ["last", "all"], body=body, num_scan_inputs=1), Node("Relu", ["all"], ["y"])]
    workload = load(tmp_path, nodes, [info("x", 2, 4), info("rows", 7, 2, 4)], [W])
    assert workload.n_macs == 7 * 32
    assert workload.tensors["y"].shape == (7, 2, 4)
    assert workload.coverage.n_nodes == 4


# -- sequences ------------------------------------------------------------------------------------


def test_tensors_in_a_sequence_do_not_move_until_they_are_joined(tmp_path):
    nodes = [
        Node("SequenceConstruct", ["a", "b"], ["s"]),
        Node("SequenceInsert", ["s", "c"], ["t"]),
        Node("ConcatFromSequence", ["t"], ["y"], axis=1),
    ]
    workload = load(tmp_path, nodes, [info("a", 2, 3), info("b", 2, 4), info("c", 2, 5)])
    (op,) = workload.ops
    assert op.inputs == ("a", "b", "c")
    assert workload.tensors["y"].shape == (2, 12)
    assert workload.coverage.free == {"SequenceConstruct": 1, "SequenceInsert": 1}
    assert workload.coverage.data_movement == {"ConcatFromSequence": 1}


def test_stacking_a_sequence_adds_an_axis(tmp_path):
    nodes = [Node("SequenceConstruct", ["a", "b"], ["s"]), Node("ConcatFromSequence", ["s"], ["y"], axis=-1, new_axis=1)]
    assert load(tmp_path, nodes, [info("a", 2, 3), info("b", 2, 3)]).tensors["y"].shape == (2, 3, 2)


@pytest.mark.parametrize(("index", "source"), [(0, "a"), (1, "b"), (-1, "b"), (9, "a")])
def test_an_entry_of_a_sequence_is_the_tensor_itself(tmp_path, index, source):
    nodes = [Node("SequenceConstruct", ["a", "b"], ["s"]), Node("SequenceAt", ["s", "i"], ["e"]), Node("Relu", ["e"], ["y"])]
    assert load(tmp_path, nodes, [info("a", 2), info("b", 3)], [number("i", index)]).ops[0].inputs == (source,)


def test_the_length_of_a_sequence_is_known(tmp_path):
    nodes = [
        Node("SequenceEmpty", [], ["none"]),
        Node("SequenceInsert", ["none", "a"], ["one"]),
        Node("SequenceInsert", ["one", "a"], ["two"]),
        Node("SequenceErase", ["two", "first"], ["left"]),
        Node("SequenceLength", ["left"], ["n"]),
        Node("Equal", ["n", "unit"], ["c"]),
        Node("If", ["c"], ["y"], then_branch=branch("t", Node("Relu", ["a"], ["r"])), else_branch=branch("e", Node("Abs", ["a"], ["r"]))),
    ]
    workload = load(tmp_path, nodes, [info("a", 2)], [number("first", 0), number("unit", 1)])
    assert [op.op_type for op in workload] == ["Relu"]


@pytest.mark.parametrize(("split", "keep", "shape"), [(None, 1, (1, 4)), (None, 0, (4,)), ([2, 4], 1, (2, 4)), (4, 1, (4, 4))])
def test_parts_of_a_split_are_views(tmp_path, split, keep, shape):
    names = ["x"] if split is None else ["x", "split"]
    nodes = [Node("SplitToSequence", names, ["s"], keepdims=keep), Node("SequenceAt", ["s", "i"], ["e"]), Node("Relu", ["e"], ["y"])]
    weights = [number("i", 0), *([] if split is None else [number("split", np.array(split))])]
    workload = load(tmp_path, nodes, [info("x", 6, 4)], weights)
    assert workload.tensors["y"].shape == shape
    assert workload.ops[0].inputs == ("x",)


def test_a_map_over_a_sequence_counts_its_body_for_each_tensor(tmp_path):
    body = helper.make_graph([Node("MatMul", ["e", "w"], ["r"])], "body", [info("e", 2, 4)], anything("r"))
    nodes = [
        Node("SequenceConstruct", ["a", "b", "c"], ["s"]),
        Node("SequenceMap", ["s"], ["t"], body=body),
        Node("ConcatFromSequence", ["t"], ["y"], axis=0),
    ]
    workload = load(tmp_path, nodes, [info(name, 2, 4) for name in "abc"], [W])
    assert workload.n_macs == 3 * 32
    assert workload.tensors["y"].shape == (6, 4)


def test_an_optional_that_is_there_is_there(tmp_path):
    nodes = [
        Node("Optional", ["x"], ["o"]),
        Node("OptionalHasElement", ["o"], ["c"]),
        Node("If", ["c"], ["y"], then_branch=branch("t", Node("Relu", ["x"], ["r"])), else_branch=branch("e", Node("Abs", ["x"], ["r"]))),
    ]
    assert [op.op_type for op in load(tmp_path, nodes, [info("x", 2)], opset=18)] == ["Relu"]

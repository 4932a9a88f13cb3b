"""Evaluation of nodes on small known values, against ONNX's own reference evaluator."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from workloads.onnx_facts import N_SMALL
from workloads.onnx_fold import attribute_value, axes_of, evaluate, small_value

OPSET = 18
INT = np.int64
A = np.arange(12, dtype=INT).reshape(3, 4)
F = np.linspace(-2.5, 3.0, 12, dtype=np.float32).reshape(3, 4)
YES = np.array([[True, False, True, False]])


def reference(node, values):
    """The same node as ONNX defines it."""
    feeds = {name: x for name, x in zip(node.input, values, strict=True) if name}
    inputs = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for name, x in feeds.items()]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
    graph = helper.make_graph([node], "g", inputs, outputs)
    return ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])).run(None, feeds)


def node_of(op_type, values, n_outputs=1, **attributes):
    names = [f"i{k}" if x is not None else "" for k, x in enumerate(values)]
    return helper.make_node(op_type, names, [f"o{k}" for k in range(n_outputs)], **attributes)


def ints(*values):
    return np.array(values, dtype=INT)


CASES = [
    ("Add", [A, ints(1, 2, 3, 4)], {}),
    ("Sub", [F, F[:1]], {}),
    ("Mul", [A, A], {}),
    ("Div", [F, np.float32(2.0)], {}),
    ("Div", [ints(7, -7, 7, -7), ints(2, 2, -2, -2)], {}),
    ("Mod", [ints(7, -7), ints(3, 3)], {}),
    ("Mod", [ints(7, -7), ints(3, 3)], {"fmod": 1}),
    ("Pow", [ints(2, 3), ints(3, 2)], {}),
    ("Equal", [A, ints(0, 5, 2, 7)], {}),
    ("Greater", [A, ints(5)], {}),
    ("GreaterOrEqual", [A, ints(5)], {}),
    ("Less", [A, ints(5)], {}),
    ("LessOrEqual", [A, ints(5)], {}),
    ("And", [YES, ~YES], {}),
    ("Or", [YES, ~YES], {}),
    ("Xor", [YES, YES], {}),
    ("Not", [YES], {}),
    ("Abs", [F], {}),
    ("Neg", [A], {}),
    ("Sign", [F], {}),
    ("Ceil", [F], {}),
    ("Floor", [F], {}),
    ("Round", [F], {}),
    ("Sqrt", [np.abs(F)], {}),
    ("Exp", [F], {}),
    ("Log", [np.abs(F) + 1], {}),
    ("Reciprocal", [F], {}),
    ("Identity", [A], {}),
    ("Max", [A, A[::-1].copy(), ints(6)], {}),
    ("Min", [A, ints(6)], {}),
    ("Sum", [F, F, F], {}),
    ("Cast", [F], {"to": TensorProto.INT64}),
    ("Cast", [A], {"to": TensorProto.FLOAT}),
    ("Concat", [A, A], {"axis": 1}),
    ("Concat", [A, A], {"axis": -2}),
    ("Gather", [A, ints(0, 2)], {}),
    ("Gather", [A, np.array(-1, INT)], {"axis": 1}),
    ("Unsqueeze", [A, ints(0, -1)], {}),
    ("Squeeze", [A.reshape(1, 3, 4, 1), ints(0)], {}),
    ("Squeeze", [A.reshape(1, 3, 4, 1)], {}),
    ("Slice", [A, ints(1), ints(3), ints(1)], {}),
    ("Slice", [A, ints(0, 1), ints(9, -1)], {}),
    ("Slice", [A, ints(-1), ints(-100), ints(1), ints(-1)], {}),
    ("Slice", [A, ints(0), ints(4), ints(-1), ints(2)], {}),
    ("Reshape", [A, ints(2, -1)], {}),
    ("Reshape", [A, ints(0, 2, 2)], {}),
    ("Transpose", [A], {}),
    ("Transpose", [A.reshape(1, 3, 4)], {"perm": [2, 0, 1]}),
    ("Range", [np.array(2, INT), np.array(11, INT), np.array(3, INT)], {}),
    ("Range", [np.float32(0), np.float32(1), np.float32(0.25)], {}),
    ("ConstantOfShape", [ints(2, 3)], {}),
    ("ConstantOfShape", [ints(2)], {"value": numpy_helper.from_array(ints(7))}),
    ("Expand", [A[:1], ints(3, 1)], {}),
    ("Tile", [A, ints(2, 1)], {}),
    ("Where", [YES, A, ints(9)], {}),
    ("NonZero", [YES], {}),
    ("ReduceSum", [A, ints(0)], {"keepdims": 0}),
    ("ReduceSum", [A], {}),
    ("ReduceSum", [A], {"noop_with_empty_axes": 1}),
    ("ReduceMax", [A, ints(1)], {}),
    ("ReduceMin", [A, ints(1)], {"keepdims": 0}),
    ("ReduceProd", [A], {"keepdims": 0}),
    ("ReduceMean", [F, ints(-1)], {}),
    ("BitShift", [np.array([1, 2], np.uint8), np.array([2, 1], np.uint8)], {"direction": "LEFT"}),
]


@pytest.mark.parametrize(("op_type", "values", "attributes"), CASES, ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)])
def test_folding_agrees_with_the_definition(op_type, values, attributes):
    node = node_of(op_type, values, **attributes)
    got, expected = evaluate(node, values, OPSET), reference(node, values)
    assert got is not None
    assert len(got) == len(expected)
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("sizes", "attributes"), [(ints(1, 3), {"axis": 1}), (None, {"axis": 1, "num_outputs": 2})])
def test_a_split_gives_every_part(sizes, attributes):
    values = [A] if sizes is None else [A, sizes]
    node = node_of("Split", values, 2, **attributes)
    for ours, theirs in zip(evaluate(node, values, OPSET), reference(node, values), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_size_of_an_array_is_the_product_of_its_axes():
    assert evaluate(node_of("Size", [A]), [A], OPSET)[0] == 12


def test_older_operator_sets_have_axes_and_bounds_as_attributes():
    np.testing.assert_array_equal(evaluate(node_of("Unsqueeze", [A], axes=[0]), [A], 11)[0], A[None])
    np.testing.assert_array_equal(evaluate(node_of("Squeeze", [A[None]], axes=[0]), [A[None]], 11)[0], A)
    np.testing.assert_array_equal(evaluate(node_of("Slice", [A], starts=[1], ends=[3], axes=[1]), [A], 9)[0], A[:, 1:3])
    np.testing.assert_array_equal(evaluate(node_of("Reshape", [A], shape=[4, 3]), [A], 4)[0], A.reshape(4, 3))
    np.testing.assert_array_equal(evaluate(node_of("ReduceSum", [A], axes=[0], keepdims=0), [A], 11)[0], A.sum(0))
    assert axes_of(node_of("Squeeze", [A], axes=[1, 2]), None) == [1, 2]
    assert axes_of(node_of("Squeeze", [A]), ints(3)) == [3]
    assert axes_of(node_of("Squeeze", [A]), None) is None


def test_division_by_zero_is_no_warning():
    assert np.isinf(evaluate(node_of("Div", [F, np.float32(0)]), [F, np.float32(0)], OPSET)[0]).any()


def test_what_cannot_be_evaluated_stays_unknown():
    assert evaluate(node_of("Add", [A, ints(1, 2, 3)]), [A, ints(1, 2, 3)], OPSET) is None, "shapes do not broadcast"
    assert evaluate(node_of("Gather", [A, ints(99)]), [A, ints(99)], OPSET) is None, "index out of range"
    assert evaluate(node_of("Erf", [F]), [F], OPSET) is None, "not worth the reference evaluator"
    assert evaluate(node_of("NoSuchOp", [ints(1)]), [ints(1)], OPSET) is None
    assert evaluate(node_of("Add", [A]), [A], OPSET) is None, "an input is missing"


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [({"value_int": 3}, 3), ({"value_ints": [1, 2]}, [1, 2]), ({"value_float": 0.5}, 0.5), ({"value_floats": [0.5, 1.5]}, [0.5, 1.5])],
)
def test_constants_as_attributes(attribute, expected):
    np.testing.assert_array_equal(attribute_value(helper.make_node("Constant", [], ["c"], **attribute)), expected)


def test_strings_have_no_value_to_compute_with():
    assert attribute_value(helper.make_node("Constant", [], ["c"], value_string="a")) is None
    assert small_value(helper.make_tensor("s", TensorProto.STRING, [1], [b"a"])).shape == (1,)


def test_only_small_tensors_are_read():
    assert small_value(numpy_helper.from_array(np.zeros(N_SMALL, np.float32))) is not None
    assert small_value(numpy_helper.from_array(np.zeros(N_SMALL + 1, np.float32))) is None


def test_a_tensor_whose_data_are_missing_has_no_value():
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="nowhere.bin")
    assert small_value(tensor, "/nonexistent") is None

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from workloads.errors import WorkloadError
from workloads.program import Node
from workloads.program_builder import ProgramBuilder
from workloads.program_onnx import evaluate_node, from_onnx, to_onnx, workload_of

RNG = np.random.default_rng(3)


def answer(model, x):
    return ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x})[0]


def model_of(nodes, arrays, shape, *, opset=18, kind=TensorProto.FLOAT, outputs=("y",)):
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", kind, shape)], infos, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def same(model, x, *, rel=1e-6):
    """The program of a model gives what the model gives; returns the program."""
    program = from_onnx(model)
    np.testing.assert_allclose(answer(to_onnx(program), x), answer(model, x), rtol=rel, atol=rel)
    return program


def real(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def branched():
    """Everything that the builder can write."""
    b = ProgramBuilder("branched", (2, 8, 8), np.random.default_rng(0))
    x = b.relu(b.batch_norm(b.conv(b.input, 4, 3, pads=1, bias=False)))
    x = b.relu(b.add(b.conv(x, 4, (3, 1), pads=(1, 0, 1, 0), groups=4), x))
    x = b.reduce_max(b.reshape(b.max_pool(x, 2), 2, 2, 4, 4), 1)
    return b.build(b.linear(b.flatten(b.global_pool(x)), 3))


def test_a_program_survives_the_way_to_onnx_and_back():
    program, x = branched(), real(3, 2, 8, 8)
    back = from_onnx(to_onnx(program))
    assert (back.name, back.input, back.input_shape, back.output, back.opset) == ("branched", "input", (2, 8, 8), program.output, 18)
    assert [(n.name, n.op_type, n.inputs, n.outputs) for n in back.nodes] == [
        (n.name, n.op_type, n.inputs, n.outputs) for n in program.nodes
    ]
    assert [n.attributes for n in back.nodes if n.op_type == "Conv"] == [n.attributes for n in program.nodes if n.op_type == "Conv"]
    for name, array in program.weights.items():
        np.testing.assert_array_equal(back.weights[name], array)
    np.testing.assert_array_equal(answer(to_onnx(back), x), answer(to_onnx(program), x))


def test_a_model_is_valid_onnx_with_open_or_fixed_batch():
    for batch in (None, 4):
        model = to_onnx(branched(), batch)
        onnx.checker.check_model(model, full_check=True)
        leading = model.graph.input[0].type.tensor_type.shape.dim[0]
        assert (leading.dim_param, leading.dim_value) == (("batch", 0) if batch is None else ("", 4))


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_is_brought_to_rows_of_outputs(transposed):
    w = real(5, 3)
    node = helper.make_node("Gemm", ["x", "w", "c"], ["y"], transB=transposed, alpha=2.0, beta=0.5)
    program = same(model_of([node], {"w": w if transposed else w.T, "c": real(1, 5)}, ["n", 3]), real(4, 3))
    (layer,) = program.layers
    np.testing.assert_array_equal(program.weights[layer.weight], 2 * w)
    assert program.weights[layer.bias].shape == (5,)


def test_one_number_added_by_gemm_is_the_bias_of_every_output():
    program = same(
        model_of([helper.make_node("Gemm", ["x", "w", "c"], ["y"])], {"w": real(3, 5), "c": np.float32(2)}, ["n", 3]), real(4, 3)
    )
    np.testing.assert_array_equal(program.weights[program.layers[0].bias], np.full(5, 2, dtype=np.float32))


def test_what_gemm_adds_at_run_time_is_added_after_it():
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Gemm", ["x", "w", "r"], ["y"], name="g")]
    program = same(model_of(nodes, {"w": real(3, 3)}, ["n", 3]), real(4, 3))
    assert [node.op_type for node in program.nodes] == ["Relu", "Gemm", "Add"]
    assert program.layers[0].bias is None
    nodes[1].attribute.append(helper.make_attribute("beta", 2.0))
    with pytest.raises(WorkloadError, match=r"net\.onnx: node 'g' \(Gemm\) adds 2 times what is no bias"):
        from_onnx(model_of(nodes, {"w": real(3, 3)}, ["n", 3]))


def test_a_product_with_a_stored_matrix_is_a_layer_and_what_is_added_its_bias():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"], name="p"), helper.make_node("Add", ["c", "p"], ["y"])]
    program = same(model_of(nodes, {"w": real(3, 5), "c": real(5)}, ["n", 3]), real(4, 3))
    assert [node.op_type for node in program.nodes] == ["Gemm"]
    assert (program.layers[0].name, program.layers[0].bias) == ("p", "p.bias")


def test_a_product_over_three_axes_is_a_layer_over_all_places():
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"], name="p")], {"w": real(3, 5)}, ["n", 7, 3])
    program = same(model, real(2, 7, 3))
    assert [node.op_type for node in program.nodes] == ["Reshape", "Gemm", "Reshape"]
    assert [layer.name for layer in program.layers] == ["p"]


def test_a_product_of_unknown_places_or_of_a_stack_is_no_layer():
    pooled = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Expand", ["x", "s"], ["e"]),
        helper.make_node("MatMul", ["e", "w"], ["y"], name="p"),
    ]
    assert same(model_of(pooled, {"w": real(3, 5)}, ["n", 7, 3]), real(2, 7, 3)).nodes
    stack = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": real(7, 3, 5)}, ["n", 7, 4, 3])
    assert same(stack, real(2, 7, 4, 3)).layers == ()


# The evaluator of onnx 1.23 pads a MaxPool of SAME_LOWER as SAME_UPPER, so that one is left to the convolution.
@pytest.mark.parametrize(
    ("op_type", "auto"),
    [("Conv", "SAME_UPPER"), ("Conv", "SAME_LOWER"), ("Conv", "VALID"), ("MaxPool", "SAME_UPPER"), ("MaxPool", "VALID")],
)
def test_automatic_padding_becomes_numbers(op_type, auto):
    extra = {} if op_type == "Conv" else {"kernel_shape": (3, 2)}
    inputs, arrays = (["x", "w"], {"w": real(2, 2, 3, 2)}) if op_type == "Conv" else (["x"], {"w": real(2, 72)})
    nodes = [helper.make_node(op_type, inputs, ["p"], auto_pad=auto, strides=(2, 1), **extra), helper.make_node("Flatten", ["p"], ["y"])]
    if op_type == "MaxPool":
        nodes[-1].output[0] = "f"
        rows = {"SAME_UPPER": 4 * 9, "VALID": 3 * 8}[auto] * 2
        arrays = {"w": real(2, rows)}
        nodes.append(helper.make_node("Gemm", ["f", "w"], ["y"], transB=1))
    program = same(model_of(nodes, arrays, ["n", 2, 8, 9]), real(2, 2, 8, 9), rel=1e-5)
    pads = {"SAME_UPPER": (0, 0, 1, 1), "SAME_LOWER": (1, 1, 0, 0), "VALID": (0, 0, 0, 0)}[auto]
    assert program.nodes[0].attributes["pads"] == pads
    assert "auto_pad" not in program.nodes[0].attributes


def test_a_fixed_batch_in_a_reshape_makes_way_for_any():
    nodes = [helper.make_node("Reshape", ["x", "s"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["y"], transB=1)]
    program = from_onnx(model_of(nodes, {"s": np.array([1, 6]), "w": real(2, 6)}, [1, 2, 3]))
    x = real(5, 2, 3)
    np.testing.assert_allclose(answer(to_onnx(program), x), x.reshape(5, 6) @ program.weights["w"].T, rtol=1e-5)


def test_a_shape_worked_out_at_run_time_from_the_batch_is_worked_out_once():
    """What PyTorch writes for x.view(x.size(0), -1)."""
    nodes = [
        helper.make_node("Shape", ["x"], ["all"]),
        helper.make_node("Gather", ["all", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "first"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["s"], axis=0),
        helper.make_node("Reshape", ["x", "s"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["y"], transB=1),
    ]
    arrays = {"zero": np.array(0), "first": np.array([0]), "rest": np.array([-1]), "w": real(2, 6)}
    program = same(model_of(nodes, arrays, ["n", 2, 3]), real(5, 2, 3))
    assert [node.op_type for node in program.nodes] == ["Reshape", "Gemm"]
    unnamed = same(model_of(nodes, arrays, [None, 2, 3]), real(5, 2, 3))  # numbers without axes stay so
    assert unnamed.nodes


def test_constants_are_computed_once_and_kept_as_float32():
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(real(5, 3).astype(np.float64))),
        helper.make_node("Transpose", ["c"], ["t"]),
        helper.make_node("Cast", ["h"], ["b"], to=TensorProto.FLOAT),
        helper.make_node("Identity", ["x"], ["i"]),
        helper.make_node("Gemm", ["i", "t", "b"], ["p"]),
        helper.make_node("Dropout", ["p"], ["d", "mask"]),
        helper.make_node("Relu", ["d"], ["y"]),
    ]
    program = from_onnx(model_of(nodes, {"h": real(5).astype(np.float16), "unused": real(9)}, ["n", 3]))
    assert [node.op_type for node in program.nodes] == ["Gemm", "Relu"]
    assert {array.dtype for array in program.weights.values()} == {np.dtype(np.float32)}
    assert len(program.weights) == 2


def test_nodes_without_a_name_or_with_one_given_twice_get_their_own():
    nodes = [helper.make_node("Gemm", ["x", "w"], ["a"], transB=1)]
    nodes += [helper.make_node("Gemm", [a, "w"], [b], transB=1, name="same") for a, b in (("a", "b"), ("b", "y"))]
    program = same(model_of(nodes, {"w": real(3, 3)}, ["n", 3]), real(2, 3), rel=1e-5)
    assert len({node.name for node in program.nodes}) == 3
    assert list(program.weights) == ["w"]


def test_operators_keep_the_version_of_the_file():
    nodes = [helper.make_node("ReduceMax", ["x"], ["r"], axes=[2], keepdims=0), helper.make_node("Gemm", ["r", "w"], ["y"], transB=1)]
    assert same(model_of(nodes, {"w": real(2, 4)}, ["n", 4, 3], opset=13), real(2, 4, 3)).opset == 13


def test_weights_beside_the_file_are_read(tmp_path):
    program = branched()
    onnx.save_model(to_onnx(program), tmp_path / "net.onnx", save_as_external_data=True, size_threshold=0, location="net.data")
    back = from_onnx(tmp_path / "net.onnx")
    assert back.name == "net"
    np.testing.assert_array_equal(back.weights["fc1.weight"], program.weights["fc1.weight"])
    (tmp_path / "net.data").unlink()
    with pytest.raises(WorkloadError, match=r"net\.onnx: its data file cannot be read"):
        from_onnx(str(tmp_path / "net.onnx"))


GEMM = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1, name="g")
W = {"w": np.ones((2, 3), dtype=np.float32)}


def two_inputs():
    model = model_of([GEMM], W, ["n", 3])
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]))
    return model


def foreign():
    model = model_of(
        [helper.make_node("Fancy", ["x"], ["f"], domain="com.example", name="f"), helper.make_node("Gemm", ["f", "w"], ["y"])], W, ["n", 2]
    )
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    return model


def branch():
    def side(name):
        return helper.make_graph(
            [helper.make_node("Relu", ["x"], [name])], name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)]
        )

    node = helper.make_node("If", ["yes"], ["y"], then_branch=side("a"), else_branch=side("b"))
    return model_of([node], {"yes": np.array(True), **W}, ["n", 3])


REFUSED = {
    "two inputs": (two_inputs, r"net\.onnx: has 2 inputs \(x, z\); export it with one"),
    "two outputs": (
        lambda: model_of([GEMM, helper.make_node("Relu", ["y"], ["z"])], W, ["n", 3], outputs=("y", "z")),
        r"2 outputs \(y, z\)",
    ),
    "whole numbers": (lambda: model_of([GEMM], W, ["n", 3], kind=TensorProto.INT64), "input 'x' is INT64; only inputs of real numbers"),
    "open size": (lambda: model_of([GEMM], W, ["n", "k"]), r"input 'x' has sizes \('n', 'k'\); fix all but that of the batch"),
    "one axis": (lambda: model_of([GEMM], W, [3]), r"input 'x' has sizes \(3,\)"),
    "no weights": (lambda: model_of([helper.make_node("Relu", ["x"], ["y"])], {}, ["n", 3]), "holds no weights; export the model with its"),
    "size unknown": (
        lambda: model_of(
            [
                helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", name="c"),
            ],
            {"w": real(1, 1, 3, 3)},
            ["n", 1],
        ),
        r"SAME_UPPER needs the size of its input",
    ),
    "foreign domain": (foreign, r"node 'f' \(Fancy\) belongs to 'com.example': it cannot be computed here"),
    "a branch": (branch, r"\(If\) holds a graph of its own: it cannot be computed here"),
    "bad constant": (
        lambda: model_of([helper.make_node("MatMul", ["a", "a"], ["w"], name="bad"), GEMM], {"a": real(2, 3)}, ["n", 3]),
        r"node 'bad' \(MatMul\) cannot be evaluated",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_computed_is_refused_with_a_reason(case):
    make, message = REFUSED[case]
    with pytest.raises(WorkloadError, match=message):
        from_onnx(make())


def test_a_file_that_is_missing_or_broken_is_named(tmp_path):
    with pytest.raises(WorkloadError, match=r"nowhere\.onnx: no such file"):
        from_onnx("nowhere.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"\x00\x01nothing")
    with pytest.raises(WorkloadError, match=r"bad\.onnx: "):
        from_onnx(tmp_path / "bad.onnx")


def test_ops_of_the_workload_have_the_names_of_the_layers():
    program = branched()
    workload = workload_of(program, batch=3)
    products = [op for op in workload.ops if op.gemm is not None]
    assert [op.name for op in products] == [layer.name for layer in program.layers]
    assert (workload.name, workload.batch) == ("branched", 3)
    # conv 2-4 3x3 on 8x8, depthwise 3x1 of 4 channels on 8x8, fc 2-3
    assert [op.n_macs for op in products] == [3 * n for n in (4 * 18 * 64, 4 * 3 * 64, 2 * 3)]


def test_attributes_of_every_kind_come_back():
    value = np.array([2.0], dtype=np.float32)
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("ConstantOfShape", ["s"], ["two"], value=numpy_helper.from_array(value)),
        helper.make_node("Mul", ["x", "two"], ["m"]),
        helper.make_node("Gemm", ["m", "w"], ["y"], transB=1),
    ]
    program = same(model_of(nodes, W, ["n", 3]), real(2, 3))
    node = next(node for node in program.nodes if node.op_type == "ConstantOfShape")
    assert isinstance(node, Node)
    np.testing.assert_array_equal(node.attributes["value"], value)


def test_one_node_is_evaluated_with_an_input_left_out():
    node = Node("c", "Clip", ("x", "", "high"), ("y",))
    (y,) = evaluate_node(node, [np.array([-5, 1, 9], dtype=np.float32), None, np.float32(3)], 18)
    np.testing.assert_array_equal(y, [-5, 1, 3])
    with pytest.raises(WorkloadError, match="node 'f': operator Fancy has no path: it is no product with stored weights"):
        evaluate_node(Node("f", "Fancy", ("x",), ("y",)), [np.ones(1)], 18)

"""Whole networks through the importer: small ones counted by hand, and the ways a load can end."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from workloads.errors import WorkloadError
from workloads.graph import OpKind, TensorKind
from workloads.onnx_import import load_onnx
from workloads.registry import load_workload

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Node = helper.make_node


def info(name, *shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, list(shape))


def stored(name, *shape):
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def number(name, value):
    return numpy_helper.from_array(np.array(value, np.float32), name)


def save(tmp_path, nodes, inputs, outputs, weights=(), opset=17):
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_empty_tensor_value_info(name) for name in outputs], list(weights))
    path = tmp_path / "small_net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString())
    return path


@pytest.fixture
def residual_net(tmp_path):
    """Stem, residual block of two 3 x 3 layers, head: what a ResNet is made of."""
    nodes = [
        Node("Conv", ["x", "w0"], ["c0"], "stem", strides=[2, 2], pads=[1, 1, 1, 1]),
        Node("BatchNormalization", ["c0", "s8", "s8", "s8", "s8"], ["n0"]),
        Node("Relu", ["n0"], ["r0"]),
        Node("Conv", ["r0", "w1"], ["c1"], "first", pads=[1, 1, 1, 1]),
        Node("BatchNormalization", ["c1", "s8", "s8", "s8", "s8"], ["n1"]),
        Node("Relu", ["n1"], ["r1"]),
        Node("Conv", ["r1", "w2"], ["c2"], "second", pads=[1, 1, 1, 1]),
        Node("BatchNormalization", ["c2", "s8", "s8", "s8", "s8"], ["n2"]),
        Node("Add", ["n2", "r0"], ["a"], "shortcut"),
        Node("Relu", ["a"], ["r2"]),
        Node("GlobalAveragePool", ["r2"], ["g"], "pool"),
        Node("Flatten", ["g"], ["f"]),
        Node("Gemm", ["f", "wf", "bf"], ["y"], "head", transB=1),
    ]
    weights = [
        stored("w0", 8, 3, 3, 3),
        stored("w1", 8, 8, 3, 3),
        stored("w2", 8, 8, 3, 3),
        stored("s8", 8),
        stored("wf", 10, 8),
        stored("bf", 10),
    ]
    return save(tmp_path, nodes, [info("x", "batch", 3, 16, 16)], ["y"], weights)


def test_a_residual_network(residual_net):
    workload = load_onnx(residual_net, {"batch": 2})
    assert [op.name for op in workload] == ["stem", "first", "second", "shortcut", "pool", "head"]
    assert workload.n_macs == 2 * (64 * 27 * 8 + 2 * 64 * 72 * 8 + 80)
    assert workload.n_params == 216 + 2 * 576 + 8 + 80 + 10
    assert workload.weight_bytes == 216 + 2 * 576 + 8 + 80 + 10, "the folded shift, the same for all three, is the bias"
    assert [(edge.src, edge.dst) for edge in workload.edges] == [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4), (4, 5)]
    assert (workload.name, workload.batch, workload.inputs, workload.outputs) == ("small_net", 2, ("x",), ("y",))
    assert workload.coverage.costed == {"Conv": 3, "Relu": 3, "Add": 1, "GlobalAveragePool": 1, "Gemm": 1}
    assert workload.coverage.free == {"BatchNormalization": 3, "Flatten": 1}
    assert workload.coverage.data_movement == {}
    assert not workload.notes


def test_work_grows_with_the_batch_and_weights_do_not(residual_net):
    one, many = load_onnx(residual_net, {"batch": 1}), load_onnx(residual_net, {"batch": 7})
    assert many.n_macs == 7 * one.n_macs
    assert many.weight_bytes == one.weight_bytes
    assert sum(op.n_vector_ops for op in many) == 7 * sum(op.n_vector_ops for op in one)


@pytest.fixture
def encoder_layer(tmp_path):
    """One layer of a transformer as torch exports it: 16 wide, 4 heads, 32 in the middle."""
    nodes, weights = (
        [],
        [number("eps", 1e-5), number("two", 2), number("root2", 2**0.5), number("one", 1), number("half", 0.5), number("scale", 0.5)],
    )
    weights += [ints("split", 0, -1, 4, 4), ints("merge", 0, -1, 16), stored("g", 16), stored("b", 16)]

    def dense(source, target, rows, columns):
        weights.extend([stored(f"w_{target}", rows, columns), stored(f"b_{target}", columns)])
        nodes.extend([Node("MatMul", [source, f"w_{target}"], [f"mm_{target}"]), Node("Add", [f"b_{target}", f"mm_{target}"], [target])])

    def heads(source, target, perm):
        nodes.extend([Node("Reshape", [source, "split"], [f"s_{target}"]), Node("Transpose", [f"s_{target}"], [target], perm=perm)])

    for name in "qkv":
        dense("x", name, 16, 16)
        heads(name, f"{name}h", [0, 2, 3, 1] if name == "k" else [0, 2, 1, 3])
    nodes.extend([
        Node("MatMul", ["qh", "kh"], ["scores"], "scores"), Node("Mul", ["scores", "scale"], ["scaled"]),
        Node("Softmax", ["scaled"], ["p"], axis=-1), Node("MatMul", ["p", "vh"], ["mixed"], "mix"),
        Node("Transpose", ["mixed"], ["back"], perm=[0, 2, 1, 3]), Node("Reshape", ["back", "merge"], ["joined"]),
    ])  # fmt: skip
    dense("joined", "o", 16, 16)
    nodes.extend([
        Node("Add", ["x", "o"], ["sum"]), Node("ReduceMean", ["sum"], ["m"], axes=[-1]), Node("Sub", ["sum", "m"], ["d"]),
        Node("Pow", ["d", "two"], ["sq"]), Node("ReduceMean", ["sq"], ["var"], axes=[-1]), Node("Add", ["var", "eps"], ["ve"]),
        Node("Sqrt", ["ve"], ["sd"]), Node("Div", ["d", "sd"], ["n"]), Node("Mul", ["n", "g"], ["ng"]),
        Node("Add", ["ng", "b"], ["normed"]),
    ])  # fmt: skip
    dense("normed", "wide", 16, 32)
    nodes.extend([
        Node("Div", ["wide", "root2"], ["dr"]), Node("Erf", ["dr"], ["er"]), Node("Add", ["er", "one"], ["eo"]),
        Node("Mul", ["wide", "eo"], ["we"]), Node("Mul", ["we", "half"], ["act"]),
    ])  # fmt: skip
    dense("act", "narrow", 32, 16)
    nodes.append(Node("Add", ["normed", "narrow"], ["y"]))
    return save(tmp_path, nodes, [info("x", "batch", "seq", 16)], ["y"], weights), len(nodes)


def test_a_transformer_layer(encoder_layer):
    """S * (4 d^2 + 2 d f) + 2 d S^2 for S = 6, d = 16, f = 32: networks.README.md, encoders."""
    path, n_nodes = encoder_layer
    workload = load_onnx(path, {"batch": 1, "seq": 6})
    assert workload.n_macs == 6 * (4 * 16**2 + 2 * 16 * 32) + 2 * 16 * 6**2
    assert workload.coverage.n_nodes == n_nodes
    types = workload.op_types()
    assert types == {"MatMul": 8, "Transpose": 4, "Softmax": 1, "LayerNormalization": 1, "Add": 2}
    assert {op.gemm.groups for op in workload if op.gemm and op.gemm.dynamic} == {4}
    assert next(op for op in workload if "Gelu" in op.fused).gemm.n == 32
    assert workload.coverage.free == {"Reshape": 4}


def test_a_transformer_layer_at_another_length(encoder_layer):
    path, _ = encoder_layer
    workload = load_onnx(path, {"batch": 3, "seq": 10})
    assert workload.n_macs == 3 * (10 * (4 * 16**2 + 2 * 16 * 32) + 2 * 16 * 10**2)
    assert workload.tensors["y"].shape == (3, 10, 16)


def test_every_tensor_is_made_given_or_stored(encoder_layer):
    workload = load_onnx(encoder_layer[0], {"seq": 6})
    made = {name for op in workload for name in op.outputs}
    for op in workload:
        assert set(op.inputs) <= made | set(workload.inputs)
        assert all(workload.tensors[name].kind is TensorKind.WEIGHT for name in op.weights)
    assert set(workload.outputs) <= made


def test_products_fit_their_operands(encoder_layer):
    workload = load_onnx(encoder_layer[0], {"batch": 2, "seq": 6})
    for op in workload:
        if op.kind is OpKind.MATMUL:
            a = workload.tensors[op.inputs[0]]
            b = workload.tensors[op.inputs[1] if op.gemm.dynamic else op.weights[0]]
            out = workload.tensors[op.outputs[0]]
            g = op.gemm
            assert (a.n_elements, b.n_elements, out.n_elements) == (g.groups * g.m * g.k, g.groups * g.k * g.n, g.groups * g.m * g.n)


def test_the_registry_loads_files_by_path(residual_net):
    workload = load_workload(residual_net, batch=3)
    assert (workload.batch, workload.n_macs) == (3, 3 * (64 * 27 * 8 + 2 * 64 * 72 * 8 + 80))
    assert load_workload(str(residual_net)).batch == 1


def test_a_result_of_a_constant_graph_is_a_stored_tensor(tmp_path):
    path = save(tmp_path, [Node("Add", ["w", "w"], ["y"])], [info("x", 1)], ["y"], [stored("w", 3)])
    workload = load_onnx(path, {})
    assert workload.ops == ()
    assert workload.tensors[workload.outputs[0]].kind is TensorKind.WEIGHT
    assert workload.coverage.free == {"Add": 1}


def test_an_input_that_is_a_result_is_both(tmp_path):
    path = save(tmp_path, [Node("Relu", ["x"], ["y"])], [info("x", 2)], ["y", "x"])
    assert load_onnx(path, {}).outputs == ("y", "x")


def test_an_error_says_which_shapes_do_not_fit(residual_net):
    with pytest.raises(
        WorkloadError, match=r"small_net\.onnx: node 'stem' \(Conv\) cannot take inputs of shape \(1, 5, 16, 16\), .*: 5 channels meet 3"
    ):
        load_onnx(residual_net, {"batch": 1, "x.1": 5})


def test_loading_is_quick_and_deterministic(encoder_layer):
    start = time.process_time()
    first, second = (load_onnx(encoder_layer[0], {"seq": 6}) for _ in range(2))
    assert time.process_time() - start < 2.0
    assert first == second


def test_reading_a_network_imports_no_evaluator(residual_net):
    """ONNX's reference evaluator takes longer to import than a network to read."""
    code = (
        "import sys; from pathlib import Path; from workloads.onnx_import import load_onnx; "
        f"load_onnx(Path({str(residual_net)!r}), {{}}); "
        "sys.exit(any(name in sys.modules for name in ('onnx.reference', 'pandas', 'numba', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

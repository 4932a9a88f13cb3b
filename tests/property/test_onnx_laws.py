"""Laws of the importer that hold for every size."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from workloads.errors import WorkloadError
from workloads.onnx_import import load_onnx

laws = settings(max_examples=50, deadline=None)
small = st.integers(1, 6)


def info(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def stored(name, *shape):
    return numpy_helper.from_array(np.zeros(shape, np.float32), name)


def load(nodes, inputs, outputs, weights=(), dims=None, data=None):
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_empty_tensor_value_info(name) for name in outputs], list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(model.SerializeToString() if data is None else data)
        return load_onnx(path, dims or {})


def naive_conv_macs(image, kernel, stride, pad, out_channels, in_channels, batch):
    """Count every tap of every output pixel, one at a time."""
    macs = 0
    for _ in range(batch):
        for row in range(0, image + 2 * pad - kernel + 1, stride):
            for column in range(0, image + 2 * pad - kernel + 1, stride):
                macs += (row >= 0) * (column >= 0) * out_channels * in_channels * kernel * kernel
    return macs


@laws
@given(st.integers(3, 9), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), small, small, st.integers(1, 3))
def test_a_convolution_counts_every_tap_of_every_pixel(image, kernel, stride, pad, out_channels, in_channels, batch):
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[stride] * 2, pads=[pad] * 4)
    net = load([node], [info("x", batch, in_channels, image, image)], ["y"], [stored("w", out_channels, in_channels, kernel, kernel)])
    assert net.n_macs == naive_conv_macs(image, kernel, stride, pad, out_channels, in_channels, batch)


@laws
@given(st.lists(small, max_size=2), small, small, small, st.booleans())
def test_a_product_counts_rows_columns_and_depth(batch, m, k, n, dynamic):
    nodes = [helper.make_node("MatMul", ["a", "b"], ["y"])]
    inputs = [info("a", *batch, m, k), *([info("b", *batch, k, n)] if dynamic else [])]
    net = load(nodes, inputs, ["y"], [] if dynamic else [stored("b", k, n)])
    assert net.n_macs == prod(batch) * m * k * n
    assert net.tensors["y"].n_elements == prod(batch) * m * n


@laws
@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.integers(1, 9))
def test_a_chain_of_layers_is_linear_in_its_batch_and_stores_its_matrices(widths, batch):
    nodes, weights = [], []
    for i, (rows, columns) in enumerate(pairwise(widths)):
        weights.append(stored(f"w{i}", rows, columns))
        nodes += [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"a{i}"]), helper.make_node("Relu", [f"a{i}"], [f"x{i + 1}"])]
    net = load(nodes, [info("x0", "batch", widths[0])], [f"x{len(widths) - 1}"], weights, {"batch": batch})
    n_stored = sum(rows * columns for rows, columns in pairwise(widths))
    assert (net.n_macs, net.n_params, net.weight_bytes) == (batch * n_stored, n_stored, n_stored)
    assert len(net.ops) == len(widths) - 1
    assert net.coverage.n_nodes == len(nodes)


@laws
@given(st.lists(st.sampled_from(["Relu", "Sigmoid", "Identity", "Flatten", "Transpose", "Softmax", "Unsqueeze"]), min_size=1, max_size=8))
def test_every_node_of_any_chain_is_counted_once_and_no_element_is_lost(types):
    nodes = []
    for i, op_type in enumerate(types):
        names = [f"t{i}", "axis"] if op_type == "Unsqueeze" else [f"t{i}"]
        nodes.append(helper.make_node(op_type, names, [f"t{i + 1}"]))
    axis = numpy_helper.from_array(np.array([0], np.int64), "axis")
    net = load(nodes, [info("t0", 2, 3, 4)], [f"t{len(types)}"], [axis])
    assert net.coverage.n_nodes == len(types)
    assert net.tensors[net.outputs[0]].n_elements == 24
    assert net.n_macs == 0


@laws
@given(st.binary(max_size=200))
def test_no_bytes_make_a_traceback(data):
    with pytest.raises(WorkloadError, match=r"net\.onnx"):
        load([helper.make_node("Relu", ["x"], ["y"])], [info("x", 1)], ["y"], data=data)


@laws
@given(st.integers(1, 20), st.integers(1, 20))
def test_a_loop_of_n_turns_costs_n_bodies(turns, width):
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_out"]), helper.make_node("MatMul", ["h", "w"], ["h_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            info("h", 2, width),
        ],
        [helper.make_empty_tensor_value_info(name) for name in ("go_out", "h_out")],
    )
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)
    count = numpy_helper.from_array(np.array(turns, np.int64), "n")
    net = load([node], [info("x", 2, width)], ["y"], [stored("w", width, width), count])
    assert net.n_macs == turns * 2 * width * width
    assert net.weight_bytes == width * width

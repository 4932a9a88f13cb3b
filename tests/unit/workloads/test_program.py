from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.errors import WorkloadError
from workloads.program import Node, Program, layer_of


def conv_by_loops(x, w, strides, pads, dilations, groups):
    """Convolution as its definition says, one product after another."""
    batch, _, rows, columns = x.shape
    n, c, kh, kw = w.shape
    oh = (rows + pads[0] + pads[2] - dilations[0] * (kh - 1) - 1) // strides[0] + 1
    ow = (columns + pads[1] + pads[3] - dilations[1] * (kw - 1) - 1) // strides[1] + 1
    y = np.zeros((batch, n, oh, ow))
    for b, out, i, j in np.ndindex(y.shape):
        for channel, u, v in np.ndindex(c, kh, kw):
            row, column = i * strides[0] - pads[0] + u * dilations[0], j * strides[1] - pads[1] + v * dilations[1]
            if 0 <= row < rows and 0 <= column < columns:
                y[b, out, i, j] += w[out, channel, u, v] * x[b, out // (n // groups) * c + channel, row, column]
    return y


def conv_node(**attributes):
    return Node("c", "Conv", ("x", "w", "b"), ("y",), attributes)


def gemm_node(**attributes):
    return Node("g", "Gemm", ("x", "w", "b"), ("y",), attributes)


@settings(max_examples=25, deadline=None)
@given(
    groups=st.sampled_from([1, 2]),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    seed=st.integers(0, 99),
)
def test_a_convolution_is_a_product_of_rows_and_vectors(groups, kernel, strides, pads, dilations, seed):
    rng = np.random.default_rng(seed)
    x, w, b = rng.normal(size=(2, 4, 6, 7)), rng.normal(size=(6, 4 // groups, *kernel)), rng.normal(size=6)
    layer = layer_of(conv_node(strides=strides, pads=pads, dilations=dilations, group=groups), {"w": w, "b": b})
    y = np.einsum("gvk,gnk->gvn", layer.vectors(x), layer.matrix(w))
    wanted = conv_by_loops(x, w, strides, pads, dilations, groups)
    assert layer.out_size(x.shape) == wanted.shape[2:]
    np.testing.assert_allclose(layer.outputs(y, x.shape), wanted, atol=1e-12)
    np.testing.assert_allclose(layer.with_bias(layer.outputs(y, x.shape), b), wanted + b[None, :, None, None], atol=1e-12)


def test_vectors_of_a_convolution_run_over_channel_then_row_then_column():
    x = np.arange(2 * 2 * 2).reshape(1, 2, 2, 2)
    layer = layer_of(conv_node(), {"w": np.zeros((3, 2, 2, 2)), "b": np.zeros(3)})
    np.testing.assert_array_equal(layer.vectors(x), np.arange(8).reshape(1, 1, 8))


def test_a_fully_connected_layer_is_one_product():
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(5, 3)), rng.normal(size=(4, 3)), rng.normal(size=4)
    layer = layer_of(gemm_node(transB=1), {"w": w, "b": b})
    assert (layer.name, layer.kind, layer.weight, layer.bias) == ("g", "linear", "w", "b")
    y = layer.vectors(x) @ layer.matrix(w).swapaxes(1, 2)
    np.testing.assert_allclose(layer.with_bias(layer.outputs(y, x.shape), b), x @ w.T + b)
    assert layer.with_bias(y, None) is y


def test_operands_made_at_run_time_make_no_layer():
    w = {"w": np.zeros((4, 3))}
    assert layer_of(gemm_node(transB=1), {"b": np.zeros(4)}) is None
    assert layer_of(gemm_node(transB=1), w) is None
    assert layer_of(Node("g", "Gemm", ("x", "w", ""), ("y",), {"transB": 1}), w).bias is None
    assert layer_of(Node("r", "Relu", ("x",), ("y",)), w) is None


def test_products_without_a_path_on_an_array_are_refused_by_name():
    arrays = {"w": np.zeros((4, 3)), "b": np.zeros(4)}
    for attributes in ({}, {"transA": 1, "transB": 1}):
        with pytest.raises(WorkloadError, match=r"g: Gemm of this form is no layer; store weights as \[n, k\] with transB=1"):
            layer_of(gemm_node(**attributes), arrays)
    with pytest.raises(WorkloadError, match="c: convolution over 1 axes has no path on an array; only two axes do"):
        layer_of(conv_node(), {"w": np.zeros((4, 3, 2)), "b": np.zeros(4)})


def small():
    nodes = (
        Node("n", "BatchNormalization", ("x", "scale", "shift", "mean", "variance"), ("a",)),
        Node("g", "Gemm", ("a", "w", "b"), ("y",), {"transB": 1}),
        Node("r", "Reshape", ("y", "shape"), ("z",)),
    )
    four = {name: np.zeros(3, dtype=np.float32) for name in ("scale", "shift", "mean", "variance")}
    weights = {**four, "w": np.zeros((4, 3), dtype=np.float32), "b": np.zeros(4, dtype=np.float32), "shape": np.array([0, 2, 2])}
    return Program("net", "x", (3,), "z", nodes, weights)


def test_parameters_are_what_training_changes():
    """Scale, shift, 12 weights and 4 biases: neither running statistics nor the shape."""
    assert small().n_parameters == 3 + 3 + 12 + 4
    assert [layer.name for layer in small().layers] == ["g"]


def test_weights_are_exchanged_under_their_name_and_shape_only():
    program = small()
    changed = program.with_weights({"b": np.ones(4, dtype=np.float32)})
    assert changed.weights["b"].sum() == 4
    assert program.weights["b"].sum() == 0
    assert changed.layers == program.layers
    with pytest.raises(WorkloadError, match="net: there are no weights 'c'; it has scale, shift"):
        program.with_weights({"c": np.ones(4)})
    with pytest.raises(WorkloadError, match=r"net: weights 'b' have shape \(5,\); give \(4,\)"):
        program.with_weights({"b": np.ones(5)})

"""Nodes of ONNX in the few forms of a program: each rule by hand, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.errors import WorkloadError
from workloads.program import Node
from workloads.program_normal import FLOAT, Scope, as_real, normalized

W = np.arange(6, dtype=np.float32).reshape(2, 3)  # [n, k] or [k, n]


def scope(arrays=None, shapes=None, batch=None):
    return Scope("net.onnx", dict(arrays or {}), shapes or {}, batch)


def gemm(*inputs, **attributes):
    return Node("g", "Gemm", inputs, ("y",), attributes)


def window(op_type="MaxPool", **attributes):
    inputs = ("x", "w") if op_type == "Conv" else ("x",)
    return Node("p", op_type, inputs, ("y",), attributes)


def product(node, arrays, x):
    """What a Gemm in the form of a program computes."""
    y = x @ arrays[node.inputs[1]].T
    return y + arrays[node.inputs[2]] if len(node.inputs) > 2 else y


def test_an_operator_without_a_rule_stays_the_same_object():
    node = Node("r", "Relu", ("x",), ("y",))
    assert normalized(node, scope()) == (node,)


class TestNames:
    def test_a_name_that_is_taken_is_counted_on(self):
        held = scope({"a": W})
        assert [held.fresh("a"), held.fresh("a"), held.fresh("b"), held.fresh("b")] == ["a#2", "a#3", "b", "b#2"]

    def test_the_same_array_is_kept_once_and_another_under_its_own_name(self):
        held = scope()
        assert [held.keep("a", W), held.keep("a", W.copy()), held.keep("a", W + 1)] == ["a", "a", "a#2"]
        assert held.keep("a", W.reshape(3, 2)) == "a#3"
        np.testing.assert_array_equal(held.arrays["a#2"], W + 1)


class TestGemm:
    def test_rows_of_outputs_are_what_is_stored(self):
        held = scope({"w": W})
        (node,) = normalized(gemm("x", "w"), held)
        assert (node.inputs, node.attributes) == (("x", "w.T"), {"transB": 1})
        np.testing.assert_array_equal(held.arrays["w.T"], W.T)
        assert held.arrays["w.T"].flags["C_CONTIGUOUS"]

    @given(st.sampled_from([1.0, 2.0, -0.5]), st.sampled_from([1.0, 0.0, 3.0]), st.booleans(), st.sampled_from([(), (1,), (2,), (1, 2)]))
    def test_factors_go_into_the_arrays(self, alpha, beta, stored, shape):
        x = np.arange(3, dtype=np.float32)[None]
        bias = np.full(shape, 0.25, dtype=np.float32)
        arrays = {"w": W if stored else np.ascontiguousarray(W.T), "b": bias}
        held = scope(arrays)
        (node,) = normalized(gemm("x", "w", "b", alpha=alpha, beta=beta, transB=int(stored)), held)
        np.testing.assert_allclose(product(node, held.arrays, x), alpha * x @ W.T + beta * bias)
        assert held.arrays[node.inputs[2]].shape == (2,)
        assert held.arrays["w"] is arrays["w"]  # others may read it as it was

    def test_a_bias_left_out_stays_out(self):
        (node,) = normalized(gemm("x", "w", "", transB=1), scope({"w": W}))
        assert node.inputs == ("x", "w")

    def test_what_is_no_bias_is_added_by_a_node_of_its_own(self):
        first, second = normalized(gemm("x", "w", "c", transB=1), scope({"w": W, "c": np.ones((5, 2), dtype=np.float32)}))
        assert (first.inputs, first.outputs) == (("x", "w"), ("y.product",))
        assert (second.op_type, second.inputs, second.outputs) == ("Add", ("y.product", "c"), ("y",))

    def test_a_factor_on_what_is_no_bias_is_refused_with_the_way_out(self):
        with pytest.raises(WorkloadError, match=r"net.onnx: node 'g' \(Gemm\) adds 2 times what is no bias; export it with beta 1"):
            normalized(gemm("x", "w", "c", beta=2.0, transB=1), scope({"w": W}))

    def test_operands_of_run_time_and_turned_inputs_stay(self):
        for node, arrays in ((gemm("x", "w"), {}), (gemm("x", "w", transA=1), {"w": W})):
            assert normalized(node, scope(arrays)) == (node,)


class TestMatmul:
    node = Node("m", "MatMul", ("x", "w"), ("y",))

    def test_two_axes_are_one_product(self):
        held = scope({"w": W}, {"x": ("n", 2)})
        (node,) = normalized(self.node, held)
        assert (node.op_type, node.inputs, node.outputs) == ("Gemm", ("x", "w.T"), ("y",))
        np.testing.assert_array_equal(held.arrays["w.T"], W.T)

    def test_all_places_become_rows_and_come_back(self):
        held = scope({"w": W}, {"x": ("n", 4, 5, 2)})
        flat, middle, full = normalized(self.node, held)
        assert held.arrays[flat.inputs[1]].tolist() == [-1, 2]
        assert held.arrays[full.inputs[1]].tolist() == [-1, 4, 5, 3]
        assert [node.op_type for node in (flat, middle, full)] == ["Reshape", "Gemm", "Reshape"]
        assert flat.outputs == middle.inputs[:1]
        assert middle.outputs == full.inputs[:1]
        assert full.outputs == ("y",)
        assert len({flat.name, middle.name, full.name}) == 3

    @pytest.mark.parametrize(
        ("arrays", "shapes"),
        [
            ({}, {"x": ("n", 2)}),
            ({"w": W[None]}, {"x": ("n", 2)}),
            ({"w": W}, {}),
            ({"w": W}, {"x": (2,)}),
            ({"w": W}, {"x": ("n", "m", 2)}),
            ({"w": W}, {"x": ("n", None, 2)}),
        ],
    )
    def test_sizes_that_are_not_known_and_stacks_stay(self, arrays, shapes):
        assert normalized(self.node, scope(arrays, shapes)) == (self.node,)


class TestWindow:
    def test_numbers_stay_and_the_word_goes(self):
        for auto in ("NOTSET", ""):
            (node,) = normalized(window(auto_pad=auto, pads=(1, 2, 3, 4), kernel_shape=(2, 2)), scope())
            assert node.attributes == {"pads": (1, 2, 3, 4), "kernel_shape": (2, 2)}

    def test_valid_is_no_padding_and_a_convolution_knows_its_kernel(self):
        (node,) = normalized(window("Conv", auto_pad="VALID"), scope({"w": np.zeros((4, 1, 3, 5))}))
        assert node.attributes == {"pads": (0, 0, 0, 0)}

    @pytest.mark.parametrize(("auto", "pads"), [("SAME_UPPER", (0, 1, 1, 1)), ("SAME_LOWER", (1, 1, 0, 1))])
    def test_the_odd_pixel_goes_after_or_before(self, auto, pads):
        """Rows: 5 by a kernel of 2 at stride 1 need 1. Columns: 7 by 3 at stride 2 give 4 and need 3 * 2 + 3 - 7 = 2."""
        node = window(auto_pad=auto, kernel_shape=(2, 3), strides=(1, 2))
        (found,) = normalized(node, scope(shapes={"x": ("n", 8, 5, 7)}))
        assert found.attributes["pads"] == pads

    @given(*[st.integers(1, n) for n in (20, 5, 4, 3)], st.sampled_from(["SAME_UPPER", "SAME_LOWER"]))
    def test_the_output_has_one_pixel_a_stride(self, size, k, stride, dilation, auto):
        node = window(auto_pad=auto, kernel_shape=(k, k), strides=(stride, stride), dilations=(dilation, dilation))
        (found,) = normalized(node, scope(shapes={"x": ("n", 1, size, size)}))
        top, left, bottom, right = found.attributes["pads"]
        assert (top, bottom) == (left, right)
        assert abs(top - bottom) == (bottom - top if auto == "SAME_UPPER" else top - bottom) <= 1
        if top + bottom:  # else the window is narrower than the stride, and all is covered anyway
            assert (size + top + bottom - dilation * (k - 1) - 1) // stride + 1 == -(-size // stride)

    @pytest.mark.parametrize("shapes", [{}, {"x": ("n", 1, "h", 4)}, {"x": ("n", 1, 4)}])
    def test_the_size_of_the_input_has_to_be_known(self, shapes):
        with pytest.raises(WorkloadError, match=r"net.onnx: node 'p' \(MaxPool\): SAME_UPPER needs the size .* export with fixed sizes"):
            normalized(window(auto_pad="SAME_UPPER", kernel_shape=(2, 2)), scope(shapes=shapes))


class TestReshape:
    node = Node("r", "Reshape", ("x", "s"), ("y",))

    def reshaped(self, target, shapes, batch, **attributes):
        held = scope({"s": np.array(target)} if target is not None else {}, shapes, batch)
        node = Node("r", "Reshape", ("x", "s"), ("y",), attributes)
        (found,) = normalized(node, held)
        return held.arrays[found.inputs[1]].tolist() if found.inputs[1] != "s" else None

    def test_a_fixed_batch_becomes_any(self):
        assert self.reshaped([4, 3, 2], {"x": (4, 6)}, 4) == [0, 3, 2]
        assert self.reshaped([4, -1], {"x": (4, 6)}, 4) == [0, -1]

    def test_a_target_of_run_time_is_taken_from_the_shape_it_makes(self):
        assert self.reshaped(None, {"x": ("n", 6), "y": ("n", 3, 2)}, "n") == [0, 3, 2]
        assert self.reshaped(None, {"x": ("n", 6), "y": ("n", "a", 2)}, "n") == [0, -1, 2]
        assert self.reshaped(None, {"x": ("n", 6), "y": ("n", "a", "b")}, "n") is None

    @pytest.mark.parametrize(
        ("target", "batch", "attributes"), [([2, 12], 4, {}), ([4, 6], None, {}), ([4, 6], 4, {"allowzero": 1}), ([4, 6], 5, {})]
    )
    def test_what_does_not_keep_the_batch_stays(self, target, batch, attributes):
        assert self.reshaped(target, {"x": (4, 6)}, batch, **attributes) is None


@pytest.mark.parametrize(("given_type", "to"), [(1, FLOAT), (10, FLOAT), (11, FLOAT), (16, FLOAT), (7, 7), (9, 9)])
def test_a_cast_to_a_real_number_is_one_to_float32(given_type, to):
    (node,) = normalized(Node("c", "Cast", ("x",), ("y",), {"to": given_type}), scope())
    assert node.attributes == {"to": to}


@pytest.mark.parametrize(("dtype", "becomes"), [("f2", "f4"), ("f8", "f4"), ("i8", "i8"), ("?", "?"), ("u1", "u1")])
def test_real_arrays_are_float32_and_others_what_they_were(dtype, becomes):
    assert as_real(np.ones(2, dtype=dtype)).dtype == np.dtype(becomes)


def test_an_array_of_float32_is_not_copied():
    assert as_real(W) is W

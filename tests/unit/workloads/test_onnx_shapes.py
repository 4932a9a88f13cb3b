"""Shape rules that do not need a whole graph."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from workloads.onnx_facts import INDEX_TYPES, Fact, ShapeError, Step, attribute_of, broadcast, loose_broadcast, view
from workloads.onnx_shapes import (
    Guess,
    flatten_shape,
    output_guesses,
    reshape_target,
    schema_of,
    squeeze_shape,
    unsqueeze_shape,
)

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
RESHAPE = helper.make_node("Reshape", ["x", "s"], ["y"], "r")


def nothing(_name):
    return None


def known(name, *values):
    array = np.array(values, np.int64)
    return Fact(name, array.shape, INT64, stored=True, value=array)


def guesses(op_type, *facts, opset=17, stated=nothing, outputs=("y",), **attributes):
    node = helper.make_node(op_type, [fact.name if fact else "" for fact in facts], list(outputs), "n", **attributes)
    return output_guesses(node, facts, opset, stated)


@pytest.mark.parametrize(
    ("target", "shape"), [([6, 4], (6, 4)), ([-1], (24,)), ([0, -1], (2, 12)), ([0, 0, 4], (2, 3, 4)), ([2, 1, -1], (2, 1, 12))]
)
def test_reshape_keeps_and_infers_extents(target, shape):
    assert reshape_target(RESHAPE, Fact("x", (2, 3, 4)), target) == (shape, False)


def test_a_zero_extent_is_meant_when_the_node_says_so():
    node = helper.make_node("Reshape", ["x", "s"], ["y"], allowzero=1)
    assert reshape_target(node, Fact("x", (0, 3)), [3, 0]) == ((3, 0), False)


@pytest.mark.parametrize("target", [[5, 5], [-1, 5], None, [0, 0, 0, 0]])
def test_a_reshape_that_cannot_hold_the_elements_is_refused(target):
    with pytest.raises(ShapeError):
        reshape_target(RESHAPE, Fact("x", (2, 3, 4)), target)


def test_only_a_leading_one_is_stretched_to_a_batch():
    assert reshape_target(RESHAPE, Fact("x", (4, 3, 2)), [1, 6], 4) == ((4, 6), True)
    for target in ([6], [2, 3], [1, 5]):
        with pytest.raises(ShapeError):
            reshape_target(RESHAPE, Fact("x", (4, 3, 2)), target, 4)


def test_flatten_squeeze_and_unsqueeze():
    assert flatten_shape((2, 3, 4), 1) == (2, 12)
    assert flatten_shape((2, 3, 4), 0) == (1, 24)
    assert flatten_shape((2, 3, 4), -1) == (6, 4)
    assert squeeze_shape((1, 3, 1), None, lenient=False) == (3,)
    assert squeeze_shape((1, 3, 1), [-1], lenient=False) == (1, 3)
    assert squeeze_shape((1, 3), [1], lenient=True) == (1,)
    with pytest.raises(ShapeError, match="axis 1"):
        squeeze_shape((1, 3), [1], lenient=False)
    assert unsqueeze_shape((3, 4), [0, -1]) == (1, 3, 4, 1)
    assert unsqueeze_shape((), [0]) == (1,)


def test_onnx_infers_what_it_can():
    assert guesses("Add", Fact("a", (2, 1)), Fact("b", (3,))) == [Guess((2, 3), FLOAT)]
    assert guesses("Equal", Fact("a", (2,)), Fact("b", (2,))) == [Guess((2,), BOOL)]
    assert guesses("Tile", Fact("x", (2, 3)), known("r", 1, 4)) == [Guess((2, 12), FLOAT)]


def test_an_op_that_got_inference_later_is_inferred_by_its_later_version():
    """GreaterOrEqual of operator set 12 is a function without inference; from 16 on it has one."""
    assert schema_of("GreaterOrEqual", 12, "").has_type_and_shape_inference_function is False
    assert guesses("GreaterOrEqual", Fact("a", (2, 1)), Fact("b", (3,)), opset=12) == [Guess((2, 3), BOOL)]


def test_unknown_ops_have_no_schema():
    assert schema_of("Mystery", 17, "") is None
    assert schema_of("Relu", 17, "ai.onnx") is not None


@pytest.mark.parametrize(
    ("op_type", "facts", "shape"),
    [
        ("NonZero", [Fact("x", (3, 4))], (2, 12)),
        ("Compress", [Fact("x", (3, 4)), Fact("c", (5,), BOOL)], (12,)),
        ("Expand", [Fact("x", (3, 1)), Fact("s", (2,), INT64)], (3, 1)),
        ("Tile", [Fact("x", (3, 4)), Fact("r", (2,), INT64)], (3, 4)),
        ("Resize", [Fact("x", (1, 3, 4, 4)), None, None, Fact("s", (4,), INT64)], (1, 3, 4, 4)),
        ("Range", [Fact("a", (), INT64), Fact("b", (), INT64), Fact("c", (), INT64)], (64,)),
    ],
)
def test_what_depends_on_values_gets_a_bound_and_says_so(op_type, facts, shape):
    (guess,) = guesses(op_type, *facts)
    assert (guess.shape, guess.assumed) == (shape, True)


def test_a_range_of_one_element_vectors_is_counted():
    """ONNX's inference wants scalars here, run times take vectors of one."""
    (guess,) = guesses("Range", known("a", 0), known("b", 10), known("c", 3))
    assert guess.shape == (4,)


def test_what_the_file_states_comes_before_a_bound():
    stated = {"y": Guess((2, 7), INT64)}.get
    (guess,) = guesses("NonZero", Fact("x", (3, 4)), stated=stated)
    assert (guess.shape, guess.assumed) == ((2, 7), False)


def test_what_follows_from_a_guess_is_a_guess():
    (guess,) = guesses("Relu", Fact("x", (3, 4), assumed=True))
    assert guess == Guess((3, 4), FLOAT, assumed=True)


def test_a_clash_is_an_error_unless_a_guess_is_to_blame():
    with pytest.raises(ShapeError, match=r"node 'n' \(Add\) cannot take inputs of shape \(2,\), \(3,\)"):
        guesses("Add", Fact("a", (2,)), Fact("b", (3,)))
    (guess,) = guesses("Add", Fact("a", (2,)), Fact("b", (3,), assumed=True))
    assert (guess.shape, guess.assumed) == ((3,), True)


def test_an_op_without_inputs_or_schema_makes_one_number():
    (guess,) = guesses("Mystery")
    assert (guess.shape, guess.assumed) == ((1,), True)


def test_a_spectrum_is_one_sided_by_default():
    facts = [Fact("x", (1, 128, 1)), Fact("step", (), INT64, stored=True, value=np.array(8)), None]
    facts.append(Fact("length", (), INT64, stored=True, value=np.array(16)))
    assert guesses("STFT", *facts)[0].shape == (1, 15, 9, 2)
    assert guesses("STFT", *facts, onesided=0)[0].shape == (1, 15, 16, 2)


def test_outputs_without_a_name_do_not_matter():
    values, indices = guesses("TopK", Fact("x", (3, 9)), known("k", 4), outputs=("", "i"))
    assert indices == Guess((3, 4), INT64)
    assert values.assumed


def test_broadcasting():
    assert broadcast((2, 1), (3,)) == (2, 3)
    with pytest.raises(ShapeError, match="do not broadcast"):
        broadcast((2,), (3,))
    assert loose_broadcast((2, 1), (3, 4), (5,)) == (3, 5)
    assert loose_broadcast() == ()


def test_views_share_their_base_and_small_value():
    x = Fact("x", (2, 3), INT64, stored=True, value=np.arange(6).reshape(2, 3))
    again = view(view(x, "v", (6,)), "w", (3, 2))
    assert again.base is x
    assert again.ints() == list(range(6))
    assert view(x, "cut", (4,)).value is None
    assert Fact("y", (2,)).ints() is None


def test_a_step_names_what_it_lacks():
    step = Step("s", "Gemm", helper.make_node("Gemm", [], [], alpha=2.0), [], [])
    with pytest.raises(ShapeError, match=r"node 's' \(Gemm\) lacks its input 0"):
        step.need(0)
    with pytest.raises(ShapeError, match="has no output"):
        _ = step.out
    assert (step.attr("alpha"), step.attr("beta", 1.0)) == (2.0, 1.0)


def test_text_attributes_come_as_text():
    assert attribute_of(helper.make_node("Conv", [], [], auto_pad="SAME_UPPER"), "auto_pad") == "SAME_UPPER"
    assert INT64 in INDEX_TYPES

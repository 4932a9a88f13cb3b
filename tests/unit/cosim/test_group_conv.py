from __future__ import annotations

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from cosim.training.group_conv import group_conv, lifting_conv, max_over_turns
from cosim.training.networks import trainable
from workloads.errors import WorkloadError
from workloads.program_builder import ProgramBuilder, shared_numbers
from workloads.program_onnx import to_onnx


def answer(program, x):
    return ReferenceEvaluator(to_onnx(program)).run(None, {program.input: x})[0]


def turned(x):
    return np.ascontiguousarray(np.rot90(x, axes=(-2, -1)))


def image(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_turned_input_turns_the_maps_and_shifts_the_turns():
    b = ProgramBuilder("net", (2, 6, 6), np.random.default_rng(0))
    program = b.build(group_conv(b, b.relu(lifting_conv(b, b.input, 3, 3)), 2, 5))
    x = image(2, 2, 6, 6)
    plain, other = (answer(program, each).reshape(2, 2, 4, 6, 6) for each in (x, turned(x)))
    np.testing.assert_allclose(other, np.roll(turned(plain), 1, axis=2), atol=1e-5)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_image_gives_the_same_answer(turns):
    program = trainable("p4_cnn").build(np.random.default_rng(0))
    x = image(2, 1, 28, 28)
    wanted = answer(program, x)
    np.testing.assert_allclose(answer(program, np.ascontiguousarray(np.rot90(x, turns, axes=(2, 3)))), wanted, atol=1e-5)
    assert np.ptp(wanted, axis=0).max() > 1e-3  # and another image another one


def test_the_plain_twin_sees_turns():
    program = trainable("p4_twin").build(np.random.default_rng(0))
    x = image(2, 1, 28, 28)
    assert abs(answer(program, turned(x)) - answer(program, x)).max() > 1e-3


def test_both_have_about_as_many_free_numbers():
    """8*25+8, 8*8*4*25+8, 16*8*4*9+16, 2*32, 170 against 16*25+16, 16*16*25+16, 30*16*9+30, 2*62, 310."""
    entry = trainable("p4_cnn")
    ties, program = entry.ties(), entry.build(np.random.default_rng(0))
    free = program.n_parameters - sum(index.size for index in ties.values())
    shared = free + sum(int(index.max()) + 1 for index in ties.values())
    assert shared == 208 + 6408 + 4624 + 64 + 170 == 11_474
    assert trainable("p4_twin").build(np.random.default_rng(0)).n_parameters == 416 + 6416 + 4350 + 124 + 310 == 11_616
    assert trainable("p4_twin").ties() == {}


def test_weights_are_gathered_from_what_is_shared():
    entry = trainable("p4_cnn")
    program = entry.build(np.random.default_rng(3))
    assert set(entry.ties()) == {f"conv{i}.{part}" for i in (1, 2, 3) for part in ("weight", "bias")}
    for name, index in entry.ties().items():
        array = program.weights[name]
        assert (index.shape, set(np.unique(index))) == (array.shape, set(range(index.max() + 1)))
        np.testing.assert_array_equal(shared_numbers(array, index)[index], array)


def test_filters_by_hand():
    """One 3x3 filter 0...8 and its quarter turns, counter-clockwise."""
    b = ProgramBuilder("net", (1, 3, 3), np.random.default_rng(0))
    lifting_conv(b, b.input, 1, 3)
    index = b.ties["conv1.weight"]
    assert index[0, 0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert index[1, 0].tolist() == [[2, 5, 8], [1, 4, 7], [0, 3, 6]]
    assert b.ties["conv1.bias"].tolist() == [0, 0, 0, 0]


def test_the_largest_over_turns_by_hand():
    b = ProgramBuilder("net", (8, 1, 1), np.random.default_rng(0))
    program = b.build(max_over_turns(b, b.input))
    x = np.array([1, 5, 2, 3, -4, -2, -3, -9], dtype=np.float32).reshape(1, 8, 1, 1)
    np.testing.assert_array_equal(answer(program, x), np.array([5, -2]).reshape(1, 2, 1, 1))


def test_an_index_of_another_shape_ties_nothing():
    b = ProgramBuilder("net", (4,), np.random.default_rng(0))
    b.linear(b.input, 2, name="f")
    with pytest.raises(WorkloadError, match=r"'f.weight' of shape \(2, 4\) cannot be tied by an index of shape \(2,\)"):
        b.tie("f.weight", np.zeros(2, dtype=np.int64))

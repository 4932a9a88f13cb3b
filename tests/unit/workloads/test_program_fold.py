from __future__ import annotations

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from workloads.program_builder import ProgramBuilder
from workloads.program_fold import fold_batch_norm, fold_bias
from workloads.program_onnx import to_onnx


def run(program, x):
    return ReferenceEvaluator(to_onnx(program)).run(None, {program.input: x})[0]


def trained(program, seed=1):
    """The program with batch norms that have seen data."""
    rng = np.random.default_rng(seed)
    norms = {name: a for name, a in program.weights.items() if name.startswith("bn")}
    return program.with_weights({name: rng.uniform(0.5, 2, a.shape).astype(np.float32) for name, a in norms.items()})


def ops(program):
    return [node.op_type for node in program.nodes]


@pytest.mark.parametrize("bias", [False, True])
def test_a_folded_norm_changes_no_answer(bias):
    b = ProgramBuilder("net", (2, 6, 6), np.random.default_rng(0))
    x = b.relu(b.batch_norm(b.conv(b.input, 4, 3, bias=bias, groups=2)))
    program = trained(b.build(b.batch_norm(b.linear(b.flatten(x), 5, bias=bias))))
    folded = fold_batch_norm(program)
    assert ops(folded) == ["Conv", "Relu", "Flatten", "Gemm"]
    assert not any(name.startswith("bn") for name in folded.weights)
    assert all(layer.bias in folded.weights for layer in folded.layers)
    x = np.random.default_rng(2).normal(size=(3, 2, 6, 6)).astype(np.float32)
    np.testing.assert_allclose(run(folded, x), run(program, x), rtol=1e-4, atol=1e-5)


def test_folding_by_hand():
    """w = 3, b = 1, mean 2, variance 4, scale 10, shift 5: (3 x + 1 - 2) / 2 * 10 + 5 = 15 x + 0."""
    b = ProgramBuilder("net", (1,), np.random.default_rng(0))
    program = b.build(b.batch_norm(b.linear(b.input, 1)))
    numbers = {"fc1.weight": [[3]], "fc1.bias": [1], "bn1.mean": [2], "bn1.variance": [4], "bn1.scale": [10], "bn1.shift": [5]}
    program = program.with_weights({name: np.array(value, dtype=np.float32) for name, value in numbers.items()})
    folded = fold_batch_norm(program)
    np.testing.assert_allclose(folded.weights["fc1.weight"], [[15]], rtol=1e-5)
    np.testing.assert_allclose(folded.weights[folded.layers[0].bias], [0], atol=1e-4)


def test_a_norm_stays_where_others_read_the_product_or_its_weights():
    b = ProgramBuilder("net", (2, 4, 4), np.random.default_rng(0))
    y = b.conv(b.input, 2, 1)
    program = trained(b.build(b.add(b.batch_norm(y), y)))
    assert fold_batch_norm(program) == program
    b = ProgramBuilder("net", (2, 4, 4), np.random.default_rng(0))
    first = b.batch_norm(b.relu(b.conv(b.input, 2, 1)))
    program = b.build(b.batch_norm(first))
    assert ops(fold_batch_norm(program)) == ["Conv", "Relu", "BatchNormalization", "BatchNormalization"]


def test_the_answer_itself_is_a_reader():
    b = ProgramBuilder("net", (2, 4, 4), np.random.default_rng(0))
    y = b.conv(b.input, 2, 1)
    b.batch_norm(y)
    assert "BatchNormalization" in ops(fold_batch_norm(b.build(y)))


@pytest.mark.parametrize(
    ("shape", "folds"), [((3, 1, 1), True), ((1, 3, 1, 1), True), ((3,), False), ((1, 3, 1), False), ((1, 1, 3), False)]
)
def test_a_constant_for_each_channel_is_a_bias_and_nothing_else_is(shape, folds):
    b = ProgramBuilder("net", (2, 5, 3), np.random.default_rng(0))
    y = b.conv(b.input, 3, 1, bias=False)
    c = b.constant("c", np.arange(3, dtype=np.float32).reshape(shape))
    b._shapes[c] = b.shape(y)
    program = b.build(b.add(y, c))
    folded = fold_bias(program)
    assert ops(folded) == (["Conv"] if folds else ["Conv", "Add"])
    x = np.random.default_rng(2).normal(size=(2, 2, 5, 3)).astype(np.float32)
    if shape != (1, 3, 1):  # 3 rows do not meet 5
        np.testing.assert_allclose(run(folded, x), run(program, x), rtol=1e-6)


def test_the_sum_of_two_products_is_no_bias():
    b = ProgramBuilder("net", (2, 4, 4), np.random.default_rng(0))
    program = b.build(b.add(b.conv(b.input, 2, 1, bias=False), b.conv(b.input, 2, 1, bias=False)))
    assert fold_bias(program) == program

"""One operator at a time, built once."""

from __future__ import annotations

import numpy as np

from workloads.program_evaluate import evaluator


def test_an_operator_with_an_input_left_out_and_attributes():
    clip = evaluator("Clip", (), ("x", "", "top"), ("<f4", "<f4"), 1, 18)
    np.testing.assert_array_equal(clip.run(None, {"x": np.array([-1, 2], np.float32), "top": np.float32(1)})[0], [-1, 1])
    softmax = evaluator("Softmax", (("axis", 0),), ("x",), ("<f4",), 1, 18)
    np.testing.assert_allclose(softmax.run(None, {"x": np.zeros((2, 3), np.float32)})[0], np.full((2, 3), 0.5))


def test_the_same_operator_is_built_once():
    assert evaluator("Relu", (), ("x",), ("<f4",), 1, 18) is evaluator("Relu", (), ("x",), ("<f4",), 1, 18)

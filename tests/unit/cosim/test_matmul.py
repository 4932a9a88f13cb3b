"""Products of stacks of matrices."""

from __future__ import annotations

import numpy as np

from cosim.training.matmul import times_transposed


def test_each_matrix_of_a_stack_is_multiplied_by_its_own_transposed_weights():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 4))
    found = times_transposed(x, w)
    assert found.shape == (2, 3, 5)
    for group in range(2):
        for row in range(3):
            for column in range(5):
                assert np.isclose(found[group, row, column], sum(x[group, row, i] * w[group, column, i] for i in range(4)))


def test_numbers_that_are_none_stay_visible():
    assert np.isnan(times_transposed(np.array([[np.nan, 1.0]]), np.array([[1.0, 1.0]]))).all()

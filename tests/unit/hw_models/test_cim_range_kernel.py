"""The best range of a converter among candidates, against all of them worked out in full."""

import numpy as np
import pytest

from hw_models.kernels.cim_range import best_range


@pytest.mark.parametrize("seed", range(5))
def test_the_candidate_of_least_mean_square_error_is_found_for_each_slice(seed):
    rng = np.random.default_rng(seed)
    n_slices, n, top = 3, 40, 15.0
    values = np.sort(rng.integers(-50, 50, (n_slices, n)), axis=1).astype(float)
    shares = rng.random((n_slices, n)) * (rng.random((n_slices, n)) < 0.8)
    zeros, steps = rng.uniform(-60, 0, (25, n_slices)), rng.uniform(1, 8, (25, n_slices))
    expected = []
    for s in range(n_slices):
        codes = np.floor(np.clip((values[s] - zeros[:, s, None]) / steps[:, s, None] + 0.5, 0, top))
        errors = zeros[:, s, None] + steps[:, s, None] * codes - values[s]
        expected.append(int((shares[s] * errors**2).sum(axis=1).argmin()))
    assert best_range(values, shares, zeros, steps, top).tolist() == expected


def test_of_equal_candidates_the_first_is_taken():
    values, shares = np.array([[0.0, 1.0, 2.0]]), np.array([[0.2, 0.6, 0.2]])
    assert best_range(values, shares, np.array([[5.0], [0.0], [0.0]]), np.ones((3, 1)), 3.0).tolist() == [1]

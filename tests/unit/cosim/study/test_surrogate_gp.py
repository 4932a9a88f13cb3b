"""The Gaussian process over level codes against dense algebra and its own laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from cosim.study.kernels import gp as kernels
from cosim.study.surrogate.factors import Factors, path_factor
from cosim.study.surrogate.gp import Likelihood, Prior, fit

N_LEVELS = np.array([2, 3, 5, 4])
ORDINAL = np.array([False, False, True, True])


def data(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, N_LEVELS, (n, 4))
    y = codes[:, 0] + 0.5 * (codes[:, 2] - 2) ** 2 + 0.3 * (codes[:, 1] == codes[:, 3]) + 0.05 * rng.normal(size=n)
    return codes, y


def plain_covariance(a, b, tables):
    """The kernel of the docstring, pair by pair."""
    out = np.empty((len(a), len(b)))
    for i, x in enumerate(a):
        for j, z in enumerate(b):
            f = [tables.factor[k, x[k], z[k]] for k in range(4)]
            g = [tables.centered[k, x[k], z[k]] for k in range(4)]
            pairs = sum(g[k] * g[m] for k in range(4) for m in range(k))
            out[i, j] = tables.shares @ [np.prod(f), sum(g), pairs]
    return out


@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_path_factor_is_the_heat_kernel_of_a_path_with_ones_on_its_diagonal(n):
    laplacian = np.diag([1.0, *[2.0] * (n - 2), 1.0]) - np.eye(n, k=1) - np.eye(n, k=-1)
    heat = expm(-0.7 * laplacian)
    scale = np.sqrt(np.diag(heat))
    assert path_factor(0.7, n) == pytest.approx(heat / np.outer(scale, scale))


def test_near_levels_of_an_ordinal_axis_are_more_alike_and_those_of_a_categorical_one_are_not():
    factor, _ = Factors(N_LEVELS, ORDINAL).tables(np.zeros(4))
    assert factor[2, 0, 1] > factor[2, 0, 2] > factor[2, 0, 4]
    assert factor[1, 0, 1] == factor[1, 0, 2] == pytest.approx(np.exp(-1.0))


def test_slopes_of_factors_are_those_of_differences():
    factors, at = Factors(N_LEVELS, ORDINAL), np.array([-0.5, 0.3, 0.1, -0.2])
    _, slope = factors.tables(at)
    for k in range(4):
        step = np.zeros(4)
        step[k] = 1e-5
        difference = (factors.tables(at + step)[0] - factors.tables(at - step)[0]) / 2e-5
        assert difference[k] == pytest.approx(slope[k], abs=2e-2 if ORDINAL[k] else 1e-6)


def test_centered_tables_have_no_mean_over_either_level():
    factors = Factors(N_LEVELS, ORDINAL)
    centered = factors.centered(factors.tables(np.zeros(4))[0])
    for k, n in enumerate(N_LEVELS):
        assert centered[k, :n, :n].sum(axis=0) == pytest.approx(np.zeros(n), abs=1e-12)
        assert (centered[k, n:] == 0).all()


def test_covariances_are_those_of_the_formula():
    codes, y = data(9)
    model = fit(codes, y, N_LEVELS, ORDINAL, steps=False)
    t = model.tables
    found = kernels.combine(*kernels.cross_parts(codes, codes[:4], t.factor, t.centered), t.shares)
    assert found == pytest.approx(plain_covariance(codes, codes[:4], t))


def test_factorizations_are_those_of_numpy():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(7, 7))
    matrix = a @ a.T + np.eye(7)
    upper = kernels.cholesky_rows(matrix)
    assert upper == pytest.approx(np.linalg.cholesky(matrix).T)
    assert kernels.inverse_from_rows(upper) == pytest.approx(np.linalg.inv(matrix))
    rhs = rng.normal(size=(7, 3))
    assert kernels.solve_upper(upper, kernels.solve_lower(upper, rhs)) == pytest.approx(np.linalg.solve(matrix, rhs))
    assert np.isnan(kernels.cholesky_rows(np.array([[1.0, 2.0], [2.0, 1.0]]))[-1, -1])


def test_the_gradient_is_that_of_differences():
    codes, y = data(14)
    likelihood = Likelihood(codes, (y - y.mean()) / y.std(), Factors(N_LEVELS, ORDINAL), Prior())
    theta = likelihood.start() + 0.3 * np.random.default_rng(1).normal(size=7)
    _, gradient = likelihood.value(theta)
    for k in range(7):
        step = np.zeros(7)
        step[k] = 1e-5
        difference = (likelihood.value(theta + step)[0] - likelihood.value(theta - step)[0]) / 2e-5
        assert difference == pytest.approx(gradient[k], rel=2e-2, abs=2e-3)


def test_a_fit_does_not_make_the_likelihood_worse():
    codes, y = data(25)
    likelihood = Likelihood(codes, (y - y.mean()) / y.std(), Factors(N_LEVELS, ORDINAL), Prior())
    assert likelihood.value(likelihood.best(likelihood.start()))[0] < likelihood.value(likelihood.start())[0]


def test_the_posterior_is_that_of_dense_algebra():
    codes, y = data(12)
    model = fit(codes, y, N_LEVELS, ORDINAL, steps=False)
    z, new = (y - y.mean()) / y.std(), np.random.default_rng(5).integers(0, N_LEVELS, (6, 4))
    k = plain_covariance(codes, codes, model.tables) + model.noise * np.eye(12)
    inverse = np.linalg.inv(k)
    mean = (inverse.sum(axis=0) @ z) / inverse.sum()
    scale2 = ((z - mean) @ inverse @ (z - mean) + 1) / 13
    cross = plain_covariance(new, codes, model.tables)
    covariance = scale2 * (plain_covariance(new, new, model.tables) - cross @ inverse @ cross.T)
    expected = y.mean() + y.std() * (mean + cross @ inverse @ (z - mean))
    found, var = model.mean_var(new)
    assert found == pytest.approx(expected)
    assert var == pytest.approx(y.std() ** 2 * np.diag(covariance))
    joint, together = model.joint(new)
    assert joint == pytest.approx(expected)
    assert together == pytest.approx(y.std() ** 2 * covariance, abs=1e-12)


def test_what_is_known_is_expected_and_far_from_it_nothing_is_sure():
    codes, y = data(30)
    model = fit(codes, y, N_LEVELS, ORDINAL)
    mean, var = model.mean_var(codes)
    assert np.abs(mean - y).max() < 0.4
    assert var.max() < y.var()


def test_fantasies_at_the_mean_change_no_mean_and_lower_variances():
    codes, y = data(20)
    model = fit(codes, y, N_LEVELS, ORDINAL)
    new = np.array([[1, 2, 4, 3], [0, 0, 0, 0]])
    more = model.with_fantasies(new, model.mean_var(new)[0])
    others = np.random.default_rng(2).integers(0, N_LEVELS, (8, 4))
    assert more.mean_var(others)[0] == pytest.approx(model.mean_var(others)[0], abs=1e-6)
    assert (more.mean_var(new)[1] <= model.mean_var(new)[1] * (1 + 1e-9)).all()


@pytest.mark.parametrize("d", [1, 2])
def test_spaces_of_one_or_two_axes_and_constant_values_can_be_fitted(d):
    codes = np.array([[i % 3] * d for i in range(6)])
    model = fit(codes, np.full(6, 2.5), np.full(d, 3), np.zeros(d, dtype=bool))
    mean, var = model.mean_var(codes)
    assert mean == pytest.approx(np.full(6, 2.5))
    assert np.isfinite(var).all()


def test_a_scale_and_a_shift_of_the_values_go_through():
    codes, y = data(20)
    one, two = fit(codes, y, N_LEVELS, ORDINAL), fit(codes, 1e6 * y - 7.0, N_LEVELS, ORDINAL)
    assert two.mean_var(codes)[0] == pytest.approx(1e6 * one.mean_var(codes)[0] - 7.0, rel=1e-4)

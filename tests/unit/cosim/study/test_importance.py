"""Shares of variance: of functions whose shares are known on paper, and what has to hold for any."""

from __future__ import annotations

import numpy as np
import pytest

import cosim.study.importance
from cosim.study.importance import Importance, importance


def grid(*sizes):
    return np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1).astype(np.int64)


def test_of_a_sum_each_axis_has_the_variance_of_its_own_term():
    """Variances of 3 a (a in 0..2) and 2 b (b in 0, 1): 9 · 2/3 and 4 · 1/4; the third axis does nothing."""
    codes = grid(3, 2, 4)
    found = importance(codes, 3.0 * codes[:, 0] + 2.0 * codes[:, 1])
    assert found.main == pytest.approx([6 / 7, 1 / 7, 0.0], abs=1e-3)
    assert found.pairs == pytest.approx(np.zeros((3, 3)), abs=1e-3)
    assert found.r2 > 0.999
    assert (found.n_fitted, found.n_known) == (24, 24)


def test_of_an_exclusive_or_all_is_in_the_pair():
    codes = grid(2, 2, 3)
    found = importance(codes, (codes[:, 0] ^ codes[:, 1]).astype(np.float64))
    assert found.main == pytest.approx([0.0, 0.0, 0.0], abs=0.02)
    assert found.pairs[0, 1] == pytest.approx(1.0, abs=0.02)
    assert found.strongest(3)[0] == (0, 1)


def test_of_a_product_the_shares_are_those_of_its_decomposition():
    """f = a b with a, b in 0..3: f = 2.25 + 1.5 (a' + b') + a' b'; variances 1.5² · 1.25 twice, and 1.25²."""
    codes = np.tile(grid(4, 4), (4, 1))
    found = importance(codes, (codes[:, 0] * codes[:, 1]).astype(np.float64))
    whole = 2 * 2.25 * 1.25 + 1.25**2
    assert found.main == pytest.approx([2.25 * 1.25 / whole] * 2, abs=0.01)
    assert found.pairs[0, 1] == pytest.approx(1.25**2 / whole, abs=0.01)
    assert found.total == pytest.approx(found.main + found.pairs[0, 1])


def test_a_product_of_factors_is_a_sum_of_logarithms():
    codes = grid(3, 3)
    values = 10.0 ** codes[:, 0] * 2.0 ** codes[:, 1]
    found = importance(codes, values, logarithmic=True)
    shares = np.array([np.log(10.0) ** 2, np.log(2.0) ** 2])
    assert found.main == pytest.approx(shares / shares.sum(), abs=2e-3)
    assert importance(codes, values).pairs[0, 1] > 0.01


def test_shares_add_up_to_one_and_pairs_are_symmetric():
    rng = np.random.default_rng(3)
    codes = rng.integers(0, [2, 3, 4, 5], size=(150, 4))
    values = codes[:, 0] * codes[:, 2] + 0.5 * codes[:, 1] + 0.1 * rng.normal(size=150)
    found = importance(codes, values)
    assert found.main.sum() + np.triu(found.pairs, 1).sum() == pytest.approx(1.0)
    assert found.pairs == pytest.approx(found.pairs.T)
    assert np.diag(found.pairs).tolist() == [0.0] * 4
    assert (found.main >= 0).all()
    assert found.total.sum() >= 1.0
    assert found.total.argmin() == 3


def test_the_scale_and_the_place_of_values_do_not_matter():
    codes = grid(3, 4)
    values = codes[:, 0] ** 2 + codes[:, 1].astype(np.float64)
    one, other = importance(codes, values), importance(codes, 1e-9 * values + 5e-8)
    assert one.main == pytest.approx(other.main, rel=1e-6)


def test_points_gathered_at_one_place_do_not_weigh_it_more():
    """Ten times as many points at a = 0: shares stay near those of the even grid."""
    codes = grid(2, 3, 2)
    gathered = np.concatenate([codes, *[codes[codes[:, 0] == 0]] * 9])
    found = importance(gathered, gathered[:, 0] + 1.0 * gathered[:, 1])
    assert found.main == pytest.approx([0.25 / (0.25 + 2 / 3), (2 / 3) / (0.25 + 2 / 3), 0.0], abs=0.02)


def test_unknown_values_and_levels_without_a_point_are_left_out():
    codes = grid(4, 3)
    values = codes[:, 1].astype(np.float64)
    values[codes[:, 0] == 2] = np.nan
    values[0] = np.inf
    found = importance(codes, values)
    assert found.n_known == 12 - 3 - 1
    assert found.main == pytest.approx([0.0, 1.0], abs=0.02)


def test_an_axis_of_one_level_has_no_share():
    codes = grid(1, 4, 2)
    found = importance(codes, codes[:, 1].astype(np.float64))
    assert found.main[0] == 0.0
    assert found.pairs[0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("codes", "values", "n"),
    [(grid(2, 2), np.full(4, 7.0), 4), (grid(2), np.array([1.0, 2.0]), 2), (grid(3), np.full(3, np.nan), 0), (grid(2)[:0], np.empty(0), 0)],
)
def test_where_nothing_varies_or_too_few_are_known_all_shares_are_zero(codes, values, n):
    found = importance(codes, values)
    assert found.main.tolist() == [0.0] * codes.shape[1]
    assert (found.pairs == 0).all()
    assert (found.r2, found.n_fitted) == (0.0, n)
    assert found.strongest(5) == []


def test_noise_is_not_foretold():
    codes = np.random.default_rng(0).integers(0, 3, size=(120, 3))
    assert importance(codes, np.random.default_rng(1).normal(size=120)).r2 < 0.2


def test_of_many_points_some_are_fitted_always_the_same(monkeypatch):
    monkeypatch.setattr(cosim.study.importance, "MOST_FITTED", 150)
    codes = np.random.default_rng(5).integers(0, 4, size=(200, 2))
    values = codes[:, 0] + 0.25 * codes[:, 1]
    one, again = importance(codes, values), importance(codes, values)
    assert (one.n_fitted, one.n_known) == (150, 200)
    assert one.main.tolist() == again.main.tolist()
    assert one.main == pytest.approx([16 / 17, 1 / 17], abs=2e-3)


def test_pairs_are_told_from_the_largest_without_those_below_a_thousandth():
    pairs = np.zeros((4, 4))
    for (i, j), share in {(0, 1): 0.1, (1, 3): 0.3, (2, 3): 9e-4, (0, 2): 0.2}.items():
        pairs[i, j] = pairs[j, i] = share
    found = Importance(np.full(4, 0.1), pairs, 1.0, 9, 9)
    assert found.strongest(9) == [(1, 3), (0, 2), (0, 1)]
    assert found.strongest(1) == [(1, 3)]
    assert found.total == pytest.approx([0.4, 0.5, 0.3009, 0.4009])

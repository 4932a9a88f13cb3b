"""Ladders of fidelities: what is known below tells of the truth, the slope is found, and variances add up."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from cosim.study.surrogate.gp import fit
from cosim.study.surrogate.ladder import fit_ladder

ALL = np.array(list(product(range(3), repeat=4)))
N_LEVELS = np.full(4, 3)


def fit_part(_, codes, y):
    return fit(codes, y, N_LEVELS, np.zeros(4, dtype=bool))


def low(codes):
    return 10.0 + (codes @ [1.0, -2.0, 3.0, 0.5]) * (1.0 + 0.3 * codes[:, 0])


def ladder_of(truth, n_low=60, n_top=14, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(ALL))
    below, top = ALL[rows[:n_low]], ALL[rows[:n_top]]
    slopes = {}
    return fit_ladder([(0, below, low(below)), (1, top, truth(top))], fit_part, slopes), slopes, ALL[rows[n_top:]]


class TestTwoLevels:
    @pytest.mark.parametrize("r", [0.5, 1.0, 1.7])
    def test_a_multiple_of_the_lower_level_has_its_slope_found(self, r):
        _, slopes, _ = ladder_of(lambda codes: r * low(codes) - 3.0)
        assert slopes[1] == pytest.approx(r, abs=0.05)

    def test_few_true_values_suffice_where_the_lower_level_tells_the_rest(self):
        def truth(codes):
            return 1.3 * low(codes) + 0.4 * codes[:, 1]

        ladder, _, others = ladder_of(truth)
        alone = fit_part(1, ladder.parts[-1].codes, truth(ladder.parts[-1].codes))

        def error(model):
            return np.abs(model.mean_var(others)[0] - truth(others)).mean()

        assert error(ladder) < 0.3 * error(alone)

    def test_known_true_values_are_kept(self):
        def truth(codes):
            return 1.3 * low(codes) + codes[:, 1]

        ladder, _, _ = ladder_of(truth)
        top = ladder.parts[-1].codes
        mean, var = ladder.mean_var(top)
        assert mean == pytest.approx(truth(top), abs=0.05)
        assert np.sqrt(var).max() < 0.3

    def test_a_lower_level_that_tells_nothing_has_little_weight(self):
        rng = np.random.default_rng(4)
        noise = dict(zip(map(bytes, ALL.astype(np.int8)), rng.normal(size=len(ALL)), strict=True))

        def truth(codes):
            return np.array([100.0 * noise[bytes(row.astype(np.int8))] for row in codes])

        ladder, _, others = ladder_of(truth, n_top=30)
        shares = ladder.variances(others)
        assert shares[0].mean() < 0.05 * shares.sum(axis=0).mean()

    def test_shares_of_the_levels_sum_to_the_variance(self):
        ladder, _, others = ladder_of(lambda codes: low(codes) + codes[:, 2])
        assert ladder.variances(others).sum(axis=0) == pytest.approx(ladder.standard(others)[1])

    def test_inflation_widens_and_moves_nothing(self):
        ladder, _, others = ladder_of(lambda codes: low(codes) + codes[:, 2])
        wide = replace(ladder, inflation=4.0)
        assert wide.standard(others)[0] == pytest.approx(ladder.standard(others)[0])
        assert wide.standard(others)[1] == pytest.approx(4.0 * ladder.standard(others)[1])
        assert wide.joint(others[:3])[1] == pytest.approx(4.0 * ladder.joint(others[:3])[1])

    def test_joint_has_the_means_and_variances_of_single_points(self):
        ladder, _, others = ladder_of(lambda codes: 0.8 * low(codes) + codes[:, 2])
        mean, covariance = ladder.joint(others[:6])
        expected = ladder.mean_var(others[:6])
        assert mean == pytest.approx(expected[0])
        assert np.diag(covariance) == pytest.approx(expected[1], rel=1e-6)
        assert covariance == pytest.approx(covariance.T)

    def test_the_bias_is_what_the_truth_is_above_the_lower_level(self):
        def truth(codes):
            return low(codes) + 2.0 + codes[:, 3]

        ladder, _, others = ladder_of(truth)
        mean, sd = ladder.bias(others)
        assert mean == pytest.approx(truth(others) - low(others), abs=0.5)
        assert (sd >= 0.0).all()

    def test_values_are_standardized_by_the_truths_own(self):
        ladder, _, _ = ladder_of(lambda codes: 5.0 * low(codes))
        y = 5.0 * low(ladder.parts[-1].codes)
        assert (ladder.center, ladder.spread) == pytest.approx((y.mean(), y.std()))


class TestThreeLevels:
    def test_weights_are_products_of_the_slopes_above(self):
        rows = np.random.default_rng(2).permutation(len(ALL))
        sets = [ALL[rows[:n]] for n in (60, 30, 12)]
        slopes = {}
        known = [(0, sets[0], low(sets[0])), (1, sets[1], 2.0 * low(sets[1])), (2, sets[2], 3.0 * low(sets[2]) + 1.0)]
        ladder = fit_ladder(known, fit_part, slopes)
        assert slopes == {1: pytest.approx(2.0, abs=0.05), 2: pytest.approx(1.5, abs=0.05)}
        own = np.array([part.spread for part in ladder.parts])
        w = ladder.scales * ladder.spread / own
        assert w == pytest.approx([slopes[1] * slopes[2], slopes[2], 1.0])
        assert ladder.levels == (0, 1, 2)
        mean, _ = ladder.mean_var(ALL)
        assert np.abs(mean - (3.0 * low(ALL) + 1.0)).mean() < 0.3

    def test_one_level_alone_is_a_process(self):
        codes = ALL[::3]
        ladder = fit_ladder([(1, codes, low(codes))], fit_part, {})
        alone = fit_part(1, codes, low(codes))
        assert ladder.mean_var(ALL)[0] == pytest.approx(alone.mean_var(ALL)[0])
        assert ladder.mean_var(ALL)[1] == pytest.approx(alone.mean_var(ALL)[1])
        assert ladder.noise == alone.noise
        assert ladder.noise_var == pytest.approx(alone.noise_var)

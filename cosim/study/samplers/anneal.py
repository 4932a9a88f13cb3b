"""Simulated annealing on one axis at a time."""

from __future__ import annotations

import math
from typing import final

import numpy as np

from cosim.study.samplers.base import N_STARTUP, Sampler
from cosim.study.samplers.moves import changed, fresh, taken
from cosim.study.samplers.problem import Problem
from cosim.study.samplers.ranking import energies
from cosim.study.space import Codes

HEAT, COOLING = 0.5, 0.95  # first temperature over the standard deviation of the start-up points; factor per evaluation after them


@final
class AnnealSampler(Sampler):
    """Metropolis' rule from the best start-up point on: a worse point is taken with probability exp(-(y' - y)/T), T falls geometrically.

    Each told point is one step, decided by default_rng([seed, row, 1]). Several objectives are one by their mean over ranges.
    """

    def __init__(self, problem: Problem, seed: int = 0) -> None:
        super().__init__(problem, seed)
        self._current, self._decided = -1, 0  # row of the history, and rows that have been decided

    def _suggest(self, rng: np.random.Generator) -> tuple[Codes, int]:
        if len(self.codes) + len(self.pending) < N_STARTUP or not len(self.codes):  # while all are pending there is none to go from
            return fresh(self.space, rng, taken(self)), self.problem.top
        self._decide(len(self.codes))
        return changed(self.space, self.codes[self._current], rng), self.problem.top

    def _decide(self, n: int) -> None:
        """Walk over the rows that were told since."""
        energy = energies(self)
        if self._decided < N_STARTUP:
            self._decided = min(N_STARTUP, n)
            self._current = int(np.argmin(energy[: self._decided]))
        start = energy[: min(N_STARTUP, n)]
        start = start[np.isfinite(start)]
        heat = HEAT * float(np.std(start)) if len(start) else 0.0
        for row in range(self._decided, n):
            rise = energy[row] - energy[self._current]
            temperature = heat * COOLING ** (row - N_STARTUP)
            if not rise > 0.0 or (temperature > 0.0 and _chance(self.seed, row) < math.exp(-min(rise / temperature, 700.0))):
                self._current = row
        self._decided = n


def _chance(seed: int, row: int) -> float:
    return float(np.random.default_rng([seed, row, 1]).random())

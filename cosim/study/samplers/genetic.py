"""Genetic algorithm in steady state: the best points told are parents of the next."""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import numpy as np
from numpy.typing import NDArray

from cosim.study.samplers.base import N_STARTUP, Sampler
from cosim.study.samplers.moves import bred, fresh, taken
from cosim.study.samplers.ranking import energies
from cosim.study.space import Codes

N_POPULATION = 20


class Breeder(Sampler):
    """The best 20 told points are the population; two tournaments of two choose the parents of a new point."""

    def _suggest(self, rng: np.random.Generator) -> tuple[Codes, int]:
        known = taken(self)
        best = self._order()[:N_POPULATION] if len(self.codes) + len(self.pending) >= N_STARTUP else np.zeros(0, dtype=np.int64)
        if len(best) < 2:
            return fresh(self.space, rng, known), self.problem.top
        one, other = rng.integers(0, len(best), size=(2, 2)).min(axis=1)
        return bred(self.space, self.codes[best[one]], self.codes[best[other]], rng, known), self.problem.top

    @abstractmethod
    def _order(self) -> NDArray[np.int64]:
        """Rows of the history, best first; those that cannot be parents left out."""


@final
class GeneticSampler(Breeder):
    """Parents by one number: the objective, or the mean of several over their ranges."""

    def _order(self) -> NDArray[np.int64]:
        energy = energies(self)
        order = np.argsort(energy, kind="stable")
        return order[np.isfinite(energy[order])]

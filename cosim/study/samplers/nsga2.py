"""NSGA-II in steady state: parents by Pareto rank, then by distance from their neighbors on the front (Deb et al. 2002)."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray

from cosim.study.samplers.genetic import N_POPULATION, Breeder
from cosim.study.samplers.ranking import order_of


@final
class Nsga2Sampler(Breeder):
    """Constrained domination: points that break bounds come after all that do not."""

    def _order(self) -> NDArray[np.int64]:
        return order_of(self, N_POPULATION)

"""Random sampler: feasible points, uniformly; new ones while they are easily found."""

from __future__ import annotations

from typing import final

import numpy as np

from cosim.study.samplers.base import Sampler
from cosim.study.samplers.moves import fresh, taken
from cosim.study.space import Codes


@final
class RandomSampler(Sampler):
    """Uniform over feasible points, without looking at values; at the top fidelity."""

    def _suggest(self, rng: np.random.Generator) -> tuple[Codes, int]:
        return fresh(self.space, rng, taken(self)), self.problem.top

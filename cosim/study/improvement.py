"""Expected improvement of one objective or of a front's hypervolume, as an acquisition with compiled climbs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cosim.study.acquisition import STEPS
from cosim.study.hypervolume import free_boxes
from cosim.study.kernels.ehvi import Parts, climb, log_ehvi
from cosim.study.space import Codes
from cosim.study.surrogate.gp import FittedGP

Floats = NDArray[np.float64]

_BEYOND = 0.1  # of a front's width that the reference point lies beyond its worst values


class Model(Protocol):
    """A posterior that is a weighted sum of Gaussian processes."""

    @property
    def parts(self) -> tuple[FittedGP, ...]:
        """The processes."""

    @property
    def weights(self) -> Floats:
        """[n_parts, 2] weights of their standardized means, and of their variances."""

    @property
    def offset(self) -> float:
        """What is added to the mean."""

    def standard(self, codes: Codes) -> tuple[Floats, Floats]:
        """Mean and variance [m] of standardized values without noise."""


@dataclass(frozen=True, eq=False)
class Improvement:
    """Log of the expected hypervolume improvement, plus the log probability that each further model is ≤ 0.

    lower, upper  [k, m] corners of boxes, those of several fronts one after the other: the sum over them is the mean over the fronts,
    but for a constant. Values are standardized; `zero` of a bound in its model's own units. One objective has one box.
    Sources: Jones, Schonlau, Welch, J. Global Optimization 13, 1998 (one objective); Emmerich, Deutz, Klinkenberg, CEC 2011 (a front);
    Daulton, Balandat, Bakshy, NeurIPS 2021 (fronts that noise allows, here without the candidate's correlation with them); Ament et
    al., NeurIPS 2023 (in logs).
    """

    models: Sequence[Model]
    lower: Floats
    upper: Floats
    zero: Floats

    @property
    def n_goals(self) -> int:
        """Models of objectives."""
        return int(self.lower.shape[1])

    def value(self, codes: Codes) -> Floats:
        """[n] acquisition of points."""
        found = [one.standard(codes) for one in self.models]
        return self.of(np.array([mean for mean, _ in found]), np.array([var for _, var in found]))

    def of(self, mean: Floats, var: Floats) -> Floats:
        """[n] acquisition where the models say mean and var [models, n], standardized."""
        shifted = mean.copy()
        shifted[self.n_goals :] -= self.zero[:, None]
        return np.asarray(log_ehvi(shifted, var, self.lower, self.upper))

    def climb(self, starts: Codes, values: Floats, seen: Codes) -> tuple[Codes, float]:
        """Best point, and its value, of climbs from points [s, d] over single changes of level that are not in `seen`; compiled."""
        row, reached = climb(starts, values, _parts(self.models, self.zero), self.lower, self.upper, seen, STEPS)
        return row, float(reached)


def best_box(best: float) -> tuple[Floats, Floats]:
    """Corners [1, 1] of the box of one objective: everything below the best value."""
    return np.array([[-np.inf]]), np.array([[best]])


def reference_of(front: Floats) -> Floats:
    """[m] reference point of standardized values [k, m] of a front: a tenth of its width beyond its worst; 1 where it has no width."""
    low, high = front.min(axis=0), front.max(axis=0)
    width = high - low
    return np.asarray(high + np.where(width > 1e-9, _BEYOND * width, 1.0))


def boxes_of(fronts: Sequence[Floats], reference: Floats) -> tuple[Floats, Floats]:
    """Corners [k, m] of the boxes of each front, one after the other."""
    found = [free_boxes(front, reference) for front in fronts]
    return np.concatenate([lower for lower, _ in found]), np.concatenate([upper for _, upper in found])


def _parts(models: Sequence[Model], zero: Floats) -> Parts:
    """Parts of all models on top of each other, padded to the most points."""
    parts = [part for one in models for part in one.parts]
    n = max(len(part.codes) for part in parts)
    offsets = np.array([one.offset for one in models])
    offsets[len(models) - len(zero) :] -= zero
    return Parts(
        np.array([len(part.codes) for part in parts], dtype=np.int64),
        np.stack([_padded(part.codes, n) for part in parts]),
        parts[0].factors.n_levels,
        np.stack([part.tables.factor for part in parts]),
        np.stack([part.tables.centered for part in parts]),
        np.stack([part.tables.shares for part in parts]),
        np.stack([np.pad(part.upper, (0, n - len(part.codes))) for part in parts]),
        np.stack([_padded(part.alpha, n) for part in parts]),
        np.array([part.moments for part in parts]),
        np.repeat(np.arange(len(models)), [len(one.parts) for one in models]).astype(np.int64),
        np.concatenate([one.weights for one in models]),
        offsets,
    )


def _padded(values: NDArray[Any], n: int) -> NDArray[Any]:
    return np.pad(values, [(0, n - len(values))] + [(0, 0)] * (values.ndim - 1))

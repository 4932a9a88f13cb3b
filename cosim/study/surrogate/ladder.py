"""Several fidelities of one value: each is a multiple of the one below and a discrepancy that is a Gaussian process of its own.

f_1 = d_1 and f_m = r_m f_{m-1} + d_m, so that the truth is f_M = Σ_l w_l d_l with w_l = r_{l+1} ... r_M. d_m is fitted to what the level
below, at its posterior mean, leaves of the values at level m, and r_m is the generalized least squares slope under d_m's covariance with
a normal prior. Sources: Kennedy and O'Hagan, Biometrika 87, 2000; fitted level by level, Le Gratiet, Int. J. Uncertainty
Quantification 4, 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosim.study.kernels import gp as kernels
from cosim.study.space import Codes
from cosim.study.surrogate.gp import FittedGP

Floats = NDArray[np.float64]
FitPart = Callable[[int, Codes, Floats], FittedGP]

_R_SD = 0.5  # prior of a slope: normal around 1; assumed
_N_ROUNDS = 2  # fits of discrepancy and slope in turn


@dataclass(frozen=True, eq=False)
class LadderGP:
    """Posterior of the truth: levels l from the lowest used to the truth, d_l and w_l of each; standardized by the truth's own values.

    levels  indices of the fidelities used; slopes  r of each level on the one below (the first has none: 1)
    """

    levels: tuple[int, ...]
    parts: tuple[FittedGP, ...]
    slopes: Floats
    center: float
    spread: float
    inflation: float = 1.0

    @property
    def scales(self) -> Floats:
        """[n_parts] w_l times the part's own spread, over the truth's."""
        w = np.append(np.cumprod(self.slopes[:0:-1])[::-1], 1.0)
        return np.asarray(w * np.array([part.spread for part in self.parts]) / self.spread)

    @property
    def weights(self) -> Floats:
        """[n_parts, 2] of the parts' standardized means and variances."""
        scales = self.scales
        return np.stack([scales, self.inflation * scales**2], axis=1)

    @property
    def offset(self) -> float:
        """What is added to the sum of the parts' standardized means."""
        centers = np.array([part.center / part.spread for part in self.parts])
        return float(self.scales @ centers - self.center / self.spread)

    @property
    def noise(self) -> float:
        """Noise over signal variance of the truth's own part."""
        return self.parts[-1].noise

    @property
    def noise_var(self) -> float:
        """Variance of the truth's noise in the units of y."""
        return self.parts[-1].noise_var

    def standard_mean(self, codes: Codes) -> Floats:
        """Mean [m] of standardized values."""
        return np.asarray(self.offset + self.scales @ np.stack([part.standard_mean(codes) for part in self.parts]))

    def variances(self, codes: Codes) -> Floats:
        """[n_parts, m] what each level adds to the variance of the standardized truth."""
        found = np.stack([part.standard(codes)[1] for part in self.parts])
        return np.asarray(self.weights[:, 1:] * found)

    def standard(self, codes: Codes) -> tuple[Floats, Floats]:
        """Mean and variance [m] of standardized values without noise."""
        return self.standard_mean(codes), self.variances(codes).sum(axis=0)

    def mean_var(self, codes: Codes) -> tuple[Floats, Floats]:
        """Mean and variance [m] in the units of y."""
        mean, var = self.standard(codes)
        return self.center + self.spread * mean, self.spread**2 * var

    def joint(self, codes: Codes) -> tuple[Floats, Floats]:
        """Mean [m] and covariance [m, m] in the units of y."""
        w = self.scales * self.spread / np.array([part.spread for part in self.parts])
        covariance = sum(factor**2 * part.joint(codes)[1] for factor, part in zip(w, self.parts, strict=True))
        return self.center + self.spread * self.standard_mean(codes), np.asarray(self.inflation * covariance)

    def believing(self, codes: Codes, level: Codes) -> LadderGP:
        """The posterior with pending points [m, d], each of which tells its own level's part [m] what that expects of it."""
        parts = [part.believing(codes[level == own], level[level == own]) for own, part in zip(self.levels, self.parts, strict=True)]
        return replace(self, parts=tuple(parts))

    def bias(self, codes: Codes) -> tuple[Floats, Floats]:
        """Mean and standard deviation [m] of the truth less the lowest level, in the units of y."""
        w = self.scales * self.spread / np.array([part.spread for part in self.parts])
        w[0] -= 1.0
        found = [part.mean_var(codes) for part in self.parts]
        mean = sum(factor * mean for factor, (mean, _) in zip(w, found, strict=True))
        var = sum(factor**2 * var for factor, (_, var) in zip(w, found, strict=True))
        return np.asarray(mean), np.asarray(np.sqrt(var))


def fit_ladder(known: Sequence[tuple[int, Codes, Floats]], fit_part: FitPart, slopes: dict[int, float]) -> LadderGP:
    """Fit to values y [n] at codes [n, d] of levels, lowest first, the truth last; `slopes` holds r by level and is brought up to date.

    fit_part(level, codes, y) returns a process for what is left at a level.
    """
    parts: list[FittedGP] = []
    used: list[float] = []
    below = _Chain(parts, used)
    for level, codes, y in known:
        if not parts:
            parts.append(fit_part(level, codes, y))
            used.append(1.0)
            continue
        base = below.mean(codes)
        r = slopes.get(level, 1.0)
        for _ in range(_N_ROUNDS):
            part = fit_part(level, codes, y - r * base)
            r = _slope(part, base, y, r)
        part = fit_part(level, codes, y - r * base)
        slopes[level] = r
        parts.append(part)
        used.append(r)
    y = known[-1][2]
    return LadderGP(tuple(one[0] for one in known), tuple(parts), np.array(used), float(y.mean()), float(y.std()) or 1.0)


@dataclass(frozen=True, eq=False)
class _Chain:
    """The levels fitted so far."""

    parts: list[FittedGP]
    slopes: list[float]

    def mean(self, codes: Codes) -> Floats:
        """Posterior mean [n] of the last level."""
        mean = np.zeros(len(codes))
        for part, r in zip(self.parts, self.slopes, strict=True):
            mean = r * mean + part.center + part.spread * part.standard_mean(codes)
        return mean


def _slope(part: FittedGP, base: Floats, y: Floats, before: float) -> float:
    """Slope of y on base [n] under the covariance of the part, which was fitted with slope `before`."""
    columns = np.stack([np.ones(len(y)), base - base.mean(), y], axis=1)
    z = kernels.solve_lower(part.upper, columns)
    z /= np.sqrt(part.scale2) * part.spread
    design, target = z[:, :2], z[:, 2]
    precision = design.T @ design
    precision[1, 1] += 1.0 / _R_SD**2
    right = design.T @ target
    right[1] += 1.0 / _R_SD**2
    try:
        return float(np.linalg.solve(precision, right)[1])
    except np.linalg.LinAlgError:
        return before

"""What the points of a study say: which axes matter and how, where the knee lies, what cannot be told apart, how rungs of a ladder differ.

All functions take level codes [n, d] and values [n] as plain arrays and leave out values that are not finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosim.study.hypervolume import hypervolume
from cosim.study.space import Codes

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def is_logarithmic(values: Floats, unit: str) -> bool:
    """Whether ratios of a quantity mean something: it has a unit other than percent and decibel, and all known values are positive."""
    known = values[np.isfinite(values)]
    return unit not in {"%", "dB", ""} and known.size > 0 and bool((known > 0).all())


@dataclass(frozen=True, eq=False)
class Effect:
    """An objective by the levels of one axis: [L] number of points, mean, 10 and 90 % quantile, least and greatest; NaN without points.

    The mean is geometric where `logarithmic` was asked for.
    """

    n: NDArray[np.int64]
    mean: Floats
    low: Floats
    high: Floats
    least: Floats
    greatest: Floats


def effect(codes: NDArray[np.int64], values: Floats, n_levels: int, *, logarithmic: bool = False) -> Effect:
    """Describe values [n] by the levels [n] of one axis."""
    n = np.zeros(n_levels, dtype=np.int64)
    found = np.full((5, n_levels), np.nan)
    for level in range(n_levels):
        here = values[(codes == level) & np.isfinite(values)]
        n[level] = here.size
        if here.size:
            found[:, level] = (_mean(here, logarithmic=logarithmic), *np.quantile(here, [0.1, 0.9]), here.min(), here.max())
    return Effect(n, *found)


def pair_means(first: NDArray[np.int64], second: NDArray[np.int64], values: Floats, shape: tuple[int, int], *, logarithmic: bool) -> Floats:
    """[L1, L2] mean of values (geometric where `logarithmic`) by the levels of two axes; NaN where there is no point."""
    kept = np.isfinite(values)
    place = first[kept] * shape[1] + second[kept]
    y = np.log(values[kept]) if logarithmic else values[kept]
    size = shape[0] * shape[1]
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, y, size) / np.bincount(place, minlength=size)
    return np.asarray(np.exp(mean) if logarithmic else mean).reshape(shape)


def _mean(values: Floats, *, logarithmic: bool) -> float:
    return float(np.exp(np.log(values).mean()) if logarithmic else values.mean())


def knee(minimized: Floats) -> int:
    """Row of a front [k, m] that is nearest to its ideal corner, each objective scaled to 0 at its best and 1 at its worst of the front.

    argmin_k Σ_m ((y_km - min_m) / (max_m - min_m))², the first of equal ones; an objective without spread counts nothing.
    """
    low, high = minimized.min(axis=0), minimized.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    return int((((minimized - low) / width) ** 2).sum(axis=1).argmin())


def not_worse_for_sure(low: Floats, high: Floats, best: int, feasible: Bools, *, more_is_better: bool = False) -> Bools:
    """[n] feasible points whose interval meets that of the best one: low_i ≤ high_best; the best itself is among them.

    What two points rest on alike widens both intervals and cancels in their ratio: points that meet may still be told apart by
    `cosim compare`, points that do not meet are apart.
    """
    meets = high >= low[best] if more_is_better else low <= high[best]
    meets = feasible & meets
    meets[best] = True
    return np.asarray(meets)


def settled(codes: Codes, chosen: Bools) -> list[int | None]:
    """Code that all chosen points have on each axis, None where they differ."""
    rows = codes[chosen]
    return [int(column[0]) if rows.size and (column == column[0]).all() else None for column in rows.T]


@dataclass(frozen=True, eq=False)
class Bias:
    """A lower rung against the truth: deviation [n] of each point (NaN without both), its mean and standard deviation (n - 1).

    The deviation is ln(lower / truth) where `logarithmic`, else lower - truth.
    """

    deviation: Floats
    mean: float
    std: float
    logarithmic: bool

    @property
    def n(self) -> int:
        """Points that have both."""
        return int(np.isfinite(self.deviation).sum())


def bias(lower: Floats, truth: Floats, *, logarithmic: bool) -> Bias:
    """Compare values [n] of a lower rung with those of the highest for the same points."""
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.log(lower / truth) if logarithmic else lower - truth
    deviation = np.where(np.isfinite(deviation), deviation, np.nan)
    known = deviation[np.isfinite(deviation)]
    std = float(known.std(ddof=1)) if known.size > 1 else 0.0
    return Bias(deviation, float(known.mean()) if known.size else float("nan"), std, logarithmic)


def best_so_far(minimized: Floats) -> Floats:
    """[n] least value up to each point, NaN until there is one; values that are not known are NaN."""
    best = np.fmin.accumulate(minimized)
    return np.asarray(best)


def volumes_so_far(minimized: Floats, ideal: Floats, reference: Floats) -> Floats:
    """[n] hypervolume of the points [n, m] up to each one, as a share of the box from `ideal` to `reference`; NaN rows add nothing.

    A share of 1 would be one point that is best in all. An objective without spread is left out.
    """
    kept = reference > ideal
    scaled = (minimized[:, kept] - ideal[kept]) / (reference - ideal)[kept]
    one = np.ones(int(kept.sum()))
    front = np.empty((0, one.size))
    volumes = np.zeros(len(scaled))
    volume = 0.0
    for i, y in enumerate(scaled):
        if one.size and (y < one).all() and not (front <= y).all(axis=1).any():
            front = np.vstack([front[~(y <= front).all(axis=1)], y])
            volume = hypervolume(front, one)
        volumes[i] = volume
    return volumes


def worst_where(codes: Codes, wrong: Bools, n_levels: Sequence[int] | NDArray[np.int64]) -> tuple[int, int, float] | None:
    """(axis, code, share) of the level at which the largest share of points is wrong, of equal ones that with most points.

    None where nothing is wrong or no level differs from all points by a tenth of the rest.
    """
    if not wrong.any():
        return None
    found: list[tuple[float, int, int, int]] = []
    for axis, size in enumerate(n_levels):
        n = np.bincount(codes[:, axis], minlength=int(size))
        n_wrong = np.bincount(codes[:, axis], wrong, minlength=int(size))
        found += [(n_wrong[code] / n[code], int(n[code]), -axis, -code) for code in np.flatnonzero(n).tolist()]
    share, _, axis, code = max(found)
    overall = wrong.mean()
    return (-axis, -code, float(share)) if share - overall > 0.1 * (1 - overall) else None

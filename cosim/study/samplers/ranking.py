"""Order among told points: one number a point, or ranks of Pareto fronts with crowding; broken bounds last."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosim.study.samplers.base import Sampler
from cosim.study.samplers.problem import Floats


def energies(sampler: Sampler) -> Floats:
    """[n] what to minimize: the objective, or the mean of several, each over its range among valid points.

    A point that breaks bounds stands above all valid ones by the bounds' sum in units of the largest told; a failed one, or one of a
    lower fidelity, is infinite.
    """
    valid = sampler.valid & (sampler.fidelity == sampler.problem.top)
    energy = np.full(len(valid), np.inf)
    if valid.any():
        y = sampler.y[valid]
        span = np.ptp(y, axis=0)
        energy[valid] = y[:, 0] if y.shape[1] == 1 else ((y - y.min(axis=0)) / np.where(span > 0.0, span, 1.0)).mean(axis=1)
    over = np.maximum(sampler.violation, 0.0).sum(axis=1)
    broken = ~valid & np.isfinite(over) & (over > 0.0) & (sampler.fidelity == sampler.problem.top)
    if broken.any():
        top, low = (energy[valid].max(), energy[valid].min()) if valid.any() else (0.0, 0.0)
        energy[broken] = top + (top - low or 1.0) * (1.0 + over[broken] / over[broken].max())
    return energy


def ranks(y: Floats, n_needed: int | None = None) -> NDArray[np.int64]:
    """[n] 0 for rows that no row dominates (all to be minimized), 1 for those that only rows of rank 0 do, and so on.

    Once `n_needed` rows have theirs, all others share the next.
    """
    beats = (y[:, None, :] <= y[None, :, :]).all(axis=2) & (y[:, None, :] < y[None, :, :]).any(axis=2)
    rank = np.zeros(len(y), dtype=np.int64)
    left = np.ones(len(y), dtype=np.bool_)
    for level in range(len(y)):
        if left.sum() <= max(len(y) - (n_needed or len(y)), 0):
            rank[left] = level
            break
        front = left & ~(beats & left[:, None]).any(axis=0)
        rank[front] = level
        left &= ~front
    return rank


def crowding(y: Floats) -> Floats:
    """[n] sum over objectives of the distance between both neighbors of a row over the range; infinite at the ends."""
    distance = np.zeros(len(y))
    for column in y.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if span > 0.0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distance


def order_of(sampler: Sampler, n_needed: int) -> NDArray[np.int64]:
    """Rows of the history at the top fidelity, best first: by rank, then crowding within it, then broken bounds; without failed ones.

    Only the first `n_needed` are sure to be in order.
    """
    energy = energies(sampler)
    valid = np.flatnonzero(sampler.valid & (sampler.fidelity == sampler.problem.top))
    y = sampler.y[valid]
    rank = ranks(y, n_needed)
    crowd = np.zeros(len(valid))
    for level in np.unique(rank):
        crowd[rank == level] = crowding(y[rank == level])
    broken = np.flatnonzero(np.isfinite(energy) & ~np.isin(np.arange(len(energy)), valid))
    return np.concatenate([valid[np.lexsort((-crowd, rank))], broken[np.argsort(energy[broken], kind="stable")]])

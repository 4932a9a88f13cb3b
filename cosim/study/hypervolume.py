"""Hypervolume of Pareto fronts, and the boxes of what no point of a front dominates; all objectives are minimized."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def hypervolume(values: Floats, reference: Floats) -> float:
    """Volume that points [n, m] dominate below a reference point [m], by slabs along the last objective; 0 without a point below it."""
    points = non_dominated(values[(values < reference).all(axis=1)])
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(reference[0] - points.min())
    if points.shape[1] == 2:
        order = np.argsort(points[:, 0])
        widths = np.diff(np.append(points[order, 0], reference[0]))
        return float(widths @ (reference[1] - points[order, 1]))
    order = np.argsort(points[:, -1], kind="stable")
    points = points[order]
    heights = np.diff(np.append(points[:, -1], reference[-1]))
    return float(sum(h * hypervolume(points[: i + 1, :-1], reference[:-1]) for i, h in enumerate(heights) if h > 0.0))


def non_dominated(values: Floats) -> Floats:
    """Rows [k, m] that no other row dominates, equal ones once, in lexicographic order."""
    points = np.unique(values, axis=0)
    no_worse = np.asarray((points[:, None, :] <= points[None, :, :]).all(axis=2))
    np.fill_diagonal(no_worse, val=False)
    return np.asarray(points[~no_worse.any(axis=0)])


def free_boxes(values: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Lower and upper corners [k, m] of disjoint boxes that cover what is below the reference point and no row of `values` dominates.

    A point y adds to the hypervolume the sum over boxes of Π_j (overlap of [y_j, ∞) with the box along j). Lower corners may be -∞.
    """
    points = non_dominated(values[(values < reference).all(axis=1)])
    m = reference.size
    if not len(points):
        return np.full((1, m), -np.inf), reference[None].copy()
    if m == 1:
        return np.full((1, 1), -np.inf), points.min(axis=0, keepdims=True)
    points = points[np.argsort(points[:, -1], kind="stable")]
    edges = np.concatenate([[-np.inf], points[:, -1], reference[-1:]])
    lowers, uppers = [], []
    for i, (low, high) in enumerate(pairwise(edges)):
        if high > low:
            lower, upper = free_boxes(points[:i, :-1], reference[:-1])
            lowers.append(np.column_stack([lower, np.full(len(lower), low)]))
            uppers.append(np.column_stack([upper, np.full(len(upper), high)]))
    return np.concatenate(lowers), np.concatenate(uppers)

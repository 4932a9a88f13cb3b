"""Expected hypervolume improvement of independent Gaussians over boxes, in log form, and its local search.

With one objective and one box, from -∞ to the best value, it is the expected improvement.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosim.study.kernels.acquisition import contains, log_cdf, log_h, neighbor_posterior, neighbors
from hw_models.kernels._jit import kernel

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


class Parts(NamedTuple):
    """Models made of Gaussian processes: part p of the arrays, padded to the most points n, knows the first n_known[p] of them.

    Model k has mean offsets[k] + Σ weights[p, 0] mean_p and variance Σ weights[p, 1] var_p over its parts, those with owner[p] = k.
    codes [p, n, d], n_levels [d], factor and centered [p, d, c, c], shares [p, 3], upper [p, n, n] Cholesky, alpha [p, n], moments [p, 2]
    """

    n_known: Codes
    codes: Codes
    n_levels: Codes
    factor: Floats
    centered: Floats
    shares: Floats
    upper: Floats
    alpha: Floats
    moments: Floats
    owner: Codes
    weights: Floats
    offsets: Floats


@kernel
def log_overlap(low: float, high: float, mean: float, sd: float) -> float:
    """Log of E|[Y, ∞) ∩ [low, high]| for Y ~ N(mean, sd²): of ψ(high) - ψ(low), ψ(a) = E max(a - Y, 0); low may be -∞."""
    above = log_h((high - mean) / sd)
    if low == -np.inf:
        return math.log(sd) + above
    below = log_h((low - mean) / sd)
    if not below < above:
        return -1e300
    return math.log(sd) + above + math.log(-math.expm1(below - above))


@kernel
def log_ehvi(mean: Floats, var: Floats, lower: Floats, upper: Floats) -> Floats:
    """[n] log expected hypervolume improvement; mean and var are [m + c, n], boxes of what no point dominates are [k, m].

    Σ_boxes Π_j (ψ_j(upper) - ψ_j(lower)) (Emmerich et al. 2011); rows of mean and var after the first m are of bounds, each of which
    adds log Φ(-mean/sd).
    """
    n_boxes, m = lower.shape
    n = mean.shape[1]
    out = np.empty(n)
    logs = np.empty(n_boxes)
    for i in range(n):
        top = -1e300
        for k in range(n_boxes):
            total = 0.0
            for j in range(m):
                total += log_overlap(lower[k, j], upper[k, j], mean[j, i], math.sqrt(var[j, i]))
            logs[k] = total
            if total > top:
                top = total
        share = 0.0
        for k in range(n_boxes):
            share += math.exp(logs[k] - top)
        out[i] = top + math.log(share)
        for j in range(m, mean.shape[0]):
            out[i] += log_cdf(-mean[j, i] / math.sqrt(var[j, i]))
    return out


@kernel
def climb(
    starts: Codes,
    values: Floats,
    of: Parts,
    lower: Floats,
    upper: Floats,
    seen: Codes,
    max_steps: int,
) -> tuple[Codes, float]:
    """Best row, and its value, of best-improvement climbs of `log_ehvi` from rows [s, d] over neighbors that are not in `seen`.

    A climb that comes where one before has been would go on as that one did, and ends there.
    """
    visited = np.empty((starts.shape[0] * (max_steps + 1), starts.shape[1]), dtype=np.int64)
    n_visited = 0
    best = starts[0].copy()
    most = values[0]
    for s in range(starts.shape[0]):
        row = starts[s].copy()
        value = values[s]
        for _ in range(max_steps):
            if contains(visited[:n_visited], row):
                break
            visited[n_visited] = row
            n_visited += 1
            around = neighbors(row, of.n_levels)
            mean, var = _combined(row, of, len(around))
            score = log_ehvi(mean, var, lower, upper)
            moved = False
            for j in np.argsort(-score):
                if not score[j] > value:
                    break
                if not contains(seen, around[j]):
                    row = around[j].copy()
                    value = score[j]
                    moved = True
                    break
            if not moved:
                break
        if value > most:
            best = row
            most = value
    return best, most


@kernel
def _combined(
    row: Codes,
    of: Parts,
    m: int,
) -> tuple[Floats, Floats]:
    """Means and variances [models, m] at the neighbors of a row."""
    mean = np.zeros((of.offsets.size, m))
    var = np.zeros((of.offsets.size, m))
    for k in range(of.offsets.size):
        mean[k] += of.offsets[k]
    for p in range(of.owner.size):
        n = of.n_known[p]
        known = of.codes[p, :n].copy()
        upper = of.upper[p, :n, :n].copy()
        at, spread = neighbor_posterior(
            row, known, of.n_levels, of.factor[p], of.centered[p], of.shares[p], upper, of.alpha[p, :n].copy(), of.moments[p]
        )
        mean[of.owner[p]] += of.weights[p, 0] * at
        var[of.owner[p]] += of.weights[p, 1] * spread
    return mean, var

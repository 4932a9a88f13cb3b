"""Which axes of a study make the difference: shares of variance of an additive fit with first-order interactions.

Fit: y(x) = f_0 + Σ_i f_i(x_i) + Σ_{i<j} f_ij(x_i, x_j), each part of mean zero over the levels of each of its axes, by ridge regression
in its dual form: K = c + Σ_i w_i k_i + ρ Σ_{i<j} w_i w_j k_i k_j with k_i(x, x') = (L_i δ(x_i, x'_i) - 1) / (L_i - 1), α = (K + λ)⁻¹ y.
ρ, λ and the weights w are those of the least error of points left out, which is exact and cheap: r_i = α_i / [(K + λ)⁻¹]_ii.

Shares: V_i = mean of f_i² over the levels, V_ij likewise over pairs of levels; their sum is the variance of the fit if all levels are
as likely as each other, so that a search that has gathered at one place does not weigh that place more.

Sources: Sobol', Math. Comput. Simul. 55 (2001), eqs. 3 to 8 (the decomposition and its indices); Hutter, Hoos and Leyton-Brown, ICML 2014
(the same of a fitted model, there of a forest); Duvenaud, Nickisch and Rasmussen, NeurIPS 2011, sec. 3 (additive kernels);
Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), eq. 5.12 (points left out).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosim.study.space import Codes

Floats = NDArray[np.float64]

MOST_FITTED = 1200  # points of a fit
_MOST_CHOSEN = 400  # points by which ρ, λ and weights are chosen
_RHO = (0.0, 0.05, 0.25, 1.0)
_LAMBDA = (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_CONSTANT = 10.0  # variance of f_0 before data; y has variance 1
_N_ROUNDS = 3  # times that the weights are set anew


@dataclass(frozen=True, eq=False)
class Importance:
    """Shares of the fit's variance: `main` [d] of each axis alone, `pairs` [d, d] (symmetric, diagonal 0) of two together.

    Σ main + Σ_{i<j} pairs = 1, or all are 0 where nothing varies.  r2  share of the variance of points left out that the fit foretells
    """

    main: Floats
    pairs: Floats
    r2: float
    n_fitted: int
    n_known: int

    @property
    def total(self) -> Floats:
        """[d] share of each axis with all its interactions; these sum to more than 1 where there are any."""
        return np.asarray(self.main + self.pairs.sum(axis=1))

    def strongest(self, n: int) -> list[tuple[int, int]]:
        """Return pairs of axes by their share, largest first, leaving out those below a thousandth."""
        i, j = np.triu_indices(len(self.main), 1)
        order = np.argsort(-self.pairs[i, j], kind="stable")[:n]
        return [(int(i[k]), int(j[k])) for k in order if self.pairs[i[k], j[k]] >= 1e-3]


@dataclass(frozen=True, eq=False)
class _Kernel:
    """Weights of the parts of K."""

    weights: Floats
    rho: float
    noise: float


def importance(codes: Codes, values: Floats, *, logarithmic: bool = False) -> Importance:
    """Share out the variance of values [n] (of their logarithms) among the axes of codes [n, d]; unknown values are left out.

    Levels without a point are left out; of more than MOST_FITTED points so many are taken, evenly from a fixed random order.
    """
    known = np.flatnonzero(np.isfinite(values))
    d = codes.shape[1]
    order = np.random.default_rng(0).permutation(known.size)[:MOST_FITTED]
    rows = known[np.sort(order)]
    y = np.log(values[rows]) if logarithmic else values[rows].astype(np.float64)
    x, n_levels = _seen_levels(codes[rows])
    spread = y.std() if y.size else 0.0
    if y.size < 3 or spread <= 1e-12 * max(1.0, float(np.abs(y).max())):
        return Importance(np.zeros(d), np.zeros((d, d)), 0.0, y.size, known.size)
    y = (y - y.mean()) / spread
    some = np.random.default_rng(1).permutation(y.size)[:_MOST_CHOSEN]
    kernel = _chosen(x[some], y[some], n_levels)
    inverse = np.linalg.inv(_gram(x, n_levels, kernel) + kernel.noise * np.eye(y.size))
    alpha = inverse @ y
    left_out = alpha / np.diag(inverse)
    main, pairs = _variances(x, alpha, n_levels, kernel)
    whole = main.sum() + pairs.sum() / 2
    r2 = 1.0 - float((left_out**2).mean() / y.var())
    if not whole > 0:
        return Importance(np.zeros(d), np.zeros((d, d)), r2, y.size, known.size)
    return Importance(main / whole, pairs / whole, r2, y.size, known.size)


def _seen_levels(codes: Codes) -> tuple[Codes, NDArray[np.int64]]:
    """Codes among the levels that occur, and how many those are."""
    x = np.empty_like(codes)
    n_levels = np.ones(codes.shape[1], dtype=np.int64)
    for axis in range(codes.shape[1]):
        seen, x[:, axis] = np.unique(codes[:, axis], return_inverse=True)
        n_levels[axis] = max(seen.size, 1)
    return x, n_levels


def _chosen(x: Codes, y: Floats, n_levels: NDArray[np.int64]) -> _Kernel:
    """Weights, ρ and λ of the least squared error of points left out; weights follow the total shares of the fit before."""
    varied = (n_levels > 1).astype(np.float64)
    weights = varied / varied.sum()
    best, least = _Kernel(weights, 0.0, 1.0), np.inf
    for _ in range(_N_ROUNDS):
        found, error, alpha = _tuned(x, y, n_levels, weights)
        if error >= least * (1 - 1e-3):
            break
        best, least = found, error
        main, pairs = _variances(x, alpha, n_levels, found)
        total = main + pairs.sum(axis=1)
        if not total.sum() > 0:
            break
        weights = varied * np.sqrt(total / total.sum() + 1e-4)
        weights /= weights.sum()
    return best


def _tuned(x: Codes, y: Floats, n_levels: NDArray[np.int64], weights: Floats) -> tuple[_Kernel, float, Floats]:
    """Best ρ and λ for given weights, with their error and α."""
    best, least, best_alpha = _Kernel(weights, 0.0, 1.0), np.inf, np.zeros_like(y)
    for rho in _RHO:
        sizes, vectors = np.linalg.eigh(_gram(x, n_levels, _Kernel(weights, rho, 0.0)))
        turned = vectors.T @ y
        for noise in _LAMBDA:
            shrunk = 1.0 / (np.maximum(sizes, 0.0) + noise)
            alpha = vectors @ (shrunk * turned)
            error = float(((alpha / (vectors**2 @ shrunk)) ** 2).mean())
            if error < least * (1 - 1e-9):
                best, least, best_alpha = _Kernel(weights, rho, noise), error, alpha
    return best, least, best_alpha


def _gram(x: Codes, n_levels: NDArray[np.int64], kernel: _Kernel) -> Floats:
    """K [n, n]; the sum over pairs is ((Σ w k)² - Σ (w k)²) / 2."""
    n = len(x)
    mains, squares = np.zeros((n, n)), np.zeros((n, n))
    for axis in np.flatnonzero(kernel.weights).tolist():
        size = n_levels[axis]
        same = x[:, None, axis] == x[None, :, axis]
        part = np.where(same, kernel.weights[axis], -kernel.weights[axis] / (size - 1))
        mains += part
        squares += part * part
    return np.asarray(_CONSTANT + mains + kernel.rho * 0.5 * (mains * mains - squares))


def _variances(x: Codes, alpha: Floats, n_levels: NDArray[np.int64], kernel: _Kernel) -> tuple[Floats, Floats]:
    """[d] mean of f_i² and [d, d] mean of f_ij²: the parts are sums of α by level, centered."""
    d = x.shape[1]
    main, pairs = np.zeros(d), np.zeros((d, d))
    scale = np.where(n_levels > 1, kernel.weights / np.maximum(n_levels - 1, 1), 0.0)
    varied = np.flatnonzero(scale).tolist()
    for place, i in enumerate(varied):
        part = n_levels[i] * np.bincount(x[:, i], alpha, n_levels[i]) - alpha.sum()
        main[i] = scale[i] ** 2 * (part**2).mean()
        for j in varied[place + 1 :] if kernel.rho else ():
            shape = (int(n_levels[i]), int(n_levels[j]))
            table = np.bincount(x[:, i] * shape[1] + x[:, j], alpha, shape[0] * shape[1]).reshape(shape)
            table = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
            both = kernel.rho * scale[i] * scale[j] * shape[0] * shape[1] * table
            pairs[i, j] = pairs[j, i] = (both**2).mean()
    return main, pairs

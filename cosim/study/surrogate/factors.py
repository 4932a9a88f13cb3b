"""Correlation factors of one axis: Hamming for categorical levels, diffusion on a path for ordinal ones.

Both have one sensitivity t > 0: minus the log of the mean correlation of two different levels, so that one prior serves all axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from cosim.study.space import Codes

Floats = NDArray[np.float64]

_LOG_TIMES = np.linspace(-5.0, 2.5, 201)  # diffusion times tabulated for the path, in units of its slowest decay


def path_factor(b: float, n: int) -> Floats:
    """Diffusion kernel of a path of n levels after time b, with its diagonal made 1.

    exp(-b L) = Σ_k exp(-b (2 - 2 cos(π k / n))) u_k u_k', u_k(j) ~ cos(π k (j + 1/2) / n) (Kondor and Lafferty, ICML 2002).
    """
    k = np.arange(n)
    u = np.cos(np.pi * np.outer(np.arange(n) + 0.5, k) / n)
    u /= np.sqrt((u * u).sum(axis=0))
    heat = (u * np.exp(-b * (2.0 - 2.0 * np.cos(np.pi * k / n)))) @ u.T
    scale = np.sqrt(np.diag(heat))
    return np.asarray(np.clip(heat / np.outer(scale, scale), np.finfo(np.float64).tiny, None))


@lru_cache(maxsize=64)
def _path_table(n: int) -> tuple[Floats, Floats]:
    """Ascending log t, and the factor at each: [g], [g, n, n]."""
    slowest = 2.0 - 2.0 * np.cos(np.pi / n)
    factors = np.stack([path_factor(b / slowest, n) for b in np.exp(_LOG_TIMES)])
    off = ~np.eye(n, dtype=np.bool_)
    log_t = np.log(-np.log(factors[:, off].mean(axis=1)))
    return log_t[::-1].copy(), factors[::-1].copy()


@dataclass(frozen=True, eq=False)
class Factors:
    """The factors of all axes as functions of their sensitivities, padded to tables [d, c, c] of ones."""

    n_levels: Codes
    is_ordinal: NDArray[np.bool_]

    @cached_property
    def n_codes(self) -> int:
        """Side of a table: the most levels of any axis."""
        return int(self.n_levels.max())

    @cached_property
    def _axes(self) -> list[tuple[int, int, bool]]:
        return [(i, n, bool(o) and n > 2) for i, (n, o) in enumerate(zip(self.n_levels.tolist(), self.is_ordinal, strict=True))]

    def tables(self, log_t: Floats) -> tuple[Floats, Floats]:
        """Return the factors and their derivatives with respect to log t, each [d, c, c]."""
        d, c = len(self.n_levels), self.n_codes
        eye = np.eye(c, dtype=np.bool_)
        t = np.exp(log_t)
        factor = np.where(eye, 1.0, np.exp(-t)[:, None, None] * np.ones((d, c, c)))
        slope = np.where(eye, 0.0, -t[:, None, None] * factor)
        for i, n, ordinal in self._axes:
            if ordinal:
                factor[i, :n, :n], slope[i, :n, :n] = _on_path(float(log_t[i]), n)
        return factor, slope

    def centered(self, tables: Floats) -> Floats:
        """Take out of tables [d, c, c] their means over either level: what is left has no share in the mean of a function."""
        counts = np.arange(self.n_codes) < self.n_levels[:, None]
        weight = counts / self.n_levels[:, None]
        rows = np.einsum("dij,dj->di", tables, weight)
        total = np.einsum("di,di->d", rows, weight)
        out = tables - rows[:, :, None] - np.einsum("dij,di->dj", tables, weight)[:, None, :] + total[:, None, None]
        return np.where(counts[:, :, None] & counts[:, None, :], out, 0.0)

    def mean_diagonal(self, tables: Floats) -> Floats:
        """[d] mean over the levels of each axis of a table's diagonal."""
        counts = np.arange(self.n_codes) < self.n_levels[:, None]
        return np.asarray(np.where(counts, np.einsum("dii->di", tables), 0.0).sum(axis=1) / self.n_levels)


def _on_path(log_t: float, n: int) -> tuple[Floats, Floats]:
    grid, factors = _path_table(n)
    k = int(np.clip(np.searchsorted(grid, log_t) - 1, 0, len(grid) - 2))
    width = grid[k + 1] - grid[k]
    w = (log_t - grid[k]) / width
    inside = 0.0 <= w <= 1.0
    w = min(max(w, 0.0), 1.0)
    return (1.0 - w) * factors[k] + w * factors[k + 1], (factors[k + 1] - factors[k]) / width if inside else np.zeros((n, n))

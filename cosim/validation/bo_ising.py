"""Sparse Ising models on a 4×4 grid: KL divergence to the full model, a loop-free stand-in, and the exact front of edges against KL."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SIDE, N_EDGES, N_ROW_EDGES = 4, 24, 3
N_STATES = 2**SIDE
SPINS = 1 - 2 * ((np.arange(N_STATES)[:, None] >> np.arange(SIDE)) & 1)  # [16 states of a row, 4]
BONDS = SPINS[:, :-1] * SPINS[:, 1:]  # [16, 3] products along a row
PAIRS = SPINS[:, None, :] * SPINS[None, :, :]  # [16, 16, 4] products between a row and the next
KL_CAP, REFERENCE = 10.0, (1.1, 1.1)


def draw_couplings(seed: int) -> Floats:
    """[24] couplings of an instance: horizontal edges row by row, then vertical ones row by row (PROBLEMS.md, section 2)."""
    state = np.random.RandomState(seed)
    sign = 2 * state.randint(0, 2, N_EDGES) - 1
    return np.asarray(sign * state.uniform(0.05, 5.0, N_EDGES))


@dataclass(frozen=True, eq=False)
class Ising:
    """An instance by its couplings J [24]: p_x(z) ∝ exp(2 Σ_e x_e J_e z_a z_b), z ∈ {-1, 1}^16, x ∈ {0, 1}^24 keeps edges."""

    couplings: Floats

    def log_z(self, x: NDArray[np.int64]) -> float:
        """Logarithm of the sum over all 2^16 spins, row by row by transfer matrices; exact."""
        return self._weights(2.0 * self.couplings * x)[0]

    def _weights(self, twice: Floats) -> tuple[float, list[Floats], list[Floats], list[Floats]]:
        """Return (log Z, weights of rows, weights between rows, sums over all rows above, scaled)."""
        rows = [np.exp(BONDS @ twice[3 * r : 3 * r + 3]) for r in range(SIDE)]
        gaps = [np.exp(PAIRS @ twice[12 + 4 * r : 16 + 4 * r]) for r in range(SIDE - 1)]
        above, log_scale = [rows[0] / rows[0].sum()], np.log(rows[0].sum())
        for row, gap in zip(rows[1:], gaps, strict=True):
            v = row * (above[-1] @ gap)
            log_scale += np.log(v.sum())
            above.append(v / v.sum())
        return float(log_scale), rows, gaps, above

    @cached_property
    def full_log_z(self) -> float:
        """Logarithm of Z with all edges."""
        return self.log_z(np.ones(N_EDGES, dtype=np.int64))

    @cached_property
    def correlations(self) -> Floats:
        """[24] mean of z_a z_b over the full model, edge by edge, by sums over rows above and below."""
        _, rows, gaps, above = self._weights(2.0 * self.couplings)
        below = [np.ones(N_STATES)]
        for row, gap in zip(rows[:0:-1], gaps[::-1], strict=True):
            v = gap @ (row * below[0])
            below.insert(0, v / v.sum())
        found = []
        for r in range(SIDE):
            p = above[r] * below[r]
            found.append(p @ BONDS / p.sum())
        for r, gap in enumerate(gaps):
            joint = above[r][:, None] * gap * (rows[r + 1] * below[r + 1])[None, :]
            found.append(np.einsum("ab,abj->j", joint, PAIRS) / joint.sum())
        return np.concatenate(found)

    def kl(self, x: NDArray[np.int64]) -> float:
        """KL(p_1 || p_x) = 2 Σ_e (1 - x_e) J_e E[z_a z_b] + log Z(x) - log Z(1)."""
        return self._removed(x) + self.log_z(x) - self.full_log_z

    def loop_free_kl(self, x: NDArray[np.int64]) -> float:
        """`kl` with 16 log 2 + Σ_e log cosh(2 x_e J_e) for log Z(x): exact for forests, far off and even negative with loops."""
        log_z = SIDE**2 * np.log(2.0) + np.log(np.cosh(2.0 * x * self.couplings)).sum()
        return float(self._removed(x) + log_z - self.full_log_z)

    def _removed(self, x: NDArray[np.int64]) -> float:
        return float(2.0 * np.sum((1 - x) * self.couplings * self.correlations))

    def least_kl(self) -> Floats:
        """[25] least KL with k = 0 ... 24 edges kept, over all 2^24 subsets, row by row.

        exp(KL) = Π_{e removed} exp(2 J_e E[z_a z_b]) · Z(x) / Z(1), and states of a row come in pairs that differ by sign only. Prefixes of
        the first three rows are kept in order of their edges, so that the least of each number is a minimum over a slice.
        """
        weight = np.exp(2.0 * self.couplings * self.correlations)  # factor of an edge that is removed
        half = np.arange(N_STATES // 2)
        sums, kept = _row_choices(self.couplings[:3], weight[:3], half)
        for r in range(1, SIDE - 1):
            sums, kept = _times(sums, kept, *_gap_choices(self.couplings[12 + 4 * (r - 1) :][:4], weight[12 + 4 * (r - 1) :][:4], half))
            below, n_below = _row_choices(self.couplings[3 * r :][:3], weight[3 * r :][:3], half)
            sums = (sums[:, None, :] * below[None]).reshape(-1, half.size)
            kept = (kept[:, None] + n_below[None]).ravel()
        order = np.argsort(kept, kind="stable")
        sums, kept = sums[order], kept[order]
        starts = np.searchsorted(kept, np.arange(kept[-1] + 1))
        gap, n_gap = _gap_choices(self.couplings[20:], weight[20:], half)
        last, n_last = _row_choices(self.couplings[9:12], weight[9:12], half)
        least = np.full(N_EDGES + 1, np.inf)
        for matrix, n_kept in zip(gap, n_gap, strict=True):
            found = np.minimum.reduceat(sums @ (matrix @ last.T), starts)  # [edges of prefix, 8 choices of the last row]
            for column, n_more in enumerate(n_last):
                at = slice(n_kept + n_more, n_kept + n_more + len(found))
                least[at] = np.minimum(least[at], found[:, column])
        return np.asarray(np.log(2.0 * least) - self.full_log_z)  # both states of a pair

    def front(self) -> Floats:
        """[n, 2] exact front of (edges kept / 24, min(KL, 10) / 10), to be minimized."""
        points = np.stack([np.arange(N_EDGES + 1) / N_EDGES, np.minimum(self.least_kl(), KL_CAP) / KL_CAP], axis=1)
        below = np.minimum.accumulate(np.append(np.inf, points[:-1, 1]))
        return points[points[:, 1] < below]


def _choices(n: int) -> NDArray[np.int64]:
    return (np.arange(2**n)[:, None] >> np.arange(n)) & 1


def _row_choices(couplings: Floats, weight: Floats, half: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    """Weights [8 choices, 8 states] of a row, and the number of edges that each choice keeps."""
    x = _choices(N_ROW_EDGES)
    return np.exp(2.0 * (x * couplings) @ BONDS[half].T) * np.prod(np.where(x, 1.0, weight), axis=1)[:, None], x.sum(axis=1)


def _gap_choices(couplings: Floats, weight: Floats, half: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    """Matrices [16 choices, 8 states above, 8 below] between two rows, pairs of states below summed, and edges kept."""
    x = _choices(SIDE)
    energy = np.einsum("cj,abj->cab", 2.0 * x * couplings, PAIRS[np.ix_(half, half)])
    return 2.0 * np.cosh(energy) * np.prod(np.where(x, 1.0, weight), axis=1)[:, None, None], x.sum(axis=1)


def _times(sums: Floats, kept: NDArray[np.int64], gap: Floats, n_gap: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    """Every prefix with every choice of the edges below it."""
    return np.einsum("pa,cab->pcb", sums, gap, optimize=True).reshape(-1, gap.shape[2]), (kept[:, None] + n_gap[None]).ravel()

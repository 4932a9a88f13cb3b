"""Where to look next: candidates from everywhere and from around the best, then climbs of the acquisition that skip what is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cosim.study.space import Codes, Space

Floats = NDArray[np.float64]

_N_RANDOM, _N_AROUND, _N_CLIMBS, STEPS = 400, 600, 20, 100
_MOST_CHANGED = 8  # axes of a candidate that differ from the point that it was made of
_AGAIN = 0.35  # of the geometric law of how many axes differ


class Acquisition(Protocol):
    """What a search for the next point maximizes."""

    def value(self, codes: Codes) -> Floats:
        """Return [n] values of points."""

    def climb(self, starts: Codes, values: Floats, seen: Codes) -> tuple[Codes, float]:
        """Return the best point of climbs from points of these values over single changes of level that are not in `seen`."""


def changed(rng: np.random.Generator, rows: Codes, n_levels: Codes) -> Codes:
    """Change some axes of each row to other levels: geometrically many, at most 8."""
    free = np.flatnonzero(n_levels > 1)
    n, size = len(rows), n_levels[free]
    k = np.minimum(rng.geometric(_AGAIN, n), min(_MOST_CHANGED, free.size))
    chosen = rng.random((n, free.size)).argsort(axis=1) < k[:, None]
    step = 1 + (rng.random((n, free.size)) * (size - 1)).astype(np.int64)
    out = rows.copy()
    out[:, free] = np.where(chosen, (out[:, free] + step) % size, out[:, free])
    return out


def swapped(row: Codes, n_levels: Codes) -> Codes:
    """Return all rows that one gives when two axes of equally many levels exchange theirs."""
    d = row.size
    pairs = [(i, j) for i in range(d) for j in range(i) if n_levels[i] == n_levels[j] and row[i] != row[j]]
    out = np.tile(row, (len(pairs), 1))
    for r, (i, j) in enumerate(pairs):
        out[r, i], out[r, j] = row[j], row[i]
    return out.reshape(-1, d)


def candidates(rng: np.random.Generator, space: Space, elite: Codes, seen: Codes) -> Codes:
    """Feasible points that are not known: uniform ones, changed and swapped ones of the elite; none where all are known."""
    parts = [space.random(rng, _N_RANDOM)]
    if len(elite):
        around = [
            changed(rng, elite[rng.integers(0, len(elite), _N_AROUND)], space.n_levels),
            *(swapped(e, space.n_levels) for e in elite[:3]),
        ]
        parts += [part[space.feasible(part)] for part in around]
    found = np.concatenate(parts)
    known = {row.tobytes() for row in np.ascontiguousarray(seen)}
    return found[[row.tobytes() not in known for row in found]]


def maximize(improvement: Acquisition, space: Space, pool: Codes, seen: Codes) -> tuple[Codes, float]:
    """Best point of climbs from the best of a pool."""
    value = improvement.value(pool)
    order = np.argsort(-value, kind="stable")[:_N_CLIMBS]
    if not space.rules:
        return improvement.climb(pool[order], value[order], seen)
    return climb_within(improvement.value, space, pool[order], value[order], seen)


def climb_within(function: Callable[[Codes], Floats], space: Space, starts: Codes, values: Floats, seen: Codes) -> tuple[Codes, float]:
    """Best point of climbs of a function over single changes that keep to the rules of a space and are not known.

    A climb that comes where one before has been would go on as that one did, and ends there.
    """
    known = {one.tobytes() for one in np.ascontiguousarray(seen)}
    visited: set[bytes] = set()
    best, most = starts[0], float(values[0])
    for start, value in zip(starts, values.tolist(), strict=True):
        row, reached = start, value
        while len(visited) < STEPS * len(starts) and row.tobytes() not in visited:
            visited.add(row.tobytes())
            around = space.neighbors(row)
            around = around[[one.tobytes() not in known for one in around]] if len(around) else around
            if not len(around):
                break
            found = function(around)
            i = int(np.argmax(found))
            if not found[i] > reached:
                break
            row, reached = around[i], float(found[i])
        if reached > most:
            best, most = row, reached
    return best, most

"""Where to look next: candidates from everywhere and from around the best, then climbs of the acquisition that skip what is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosim.study.kernels import acquisition as kernels
from cosim.study.space import Codes, Space
from cosim.study.surrogate.gp import FittedGP

Floats = NDArray[np.float64]

_N_RANDOM, _N_AROUND, _N_CLIMBS, _STEPS = 1000, 1000, 20, 100
_MOST_CHANGED = 8  # axes of a candidate that differ from the point that it was made of
_AGAIN = 0.35  # of the geometric law of how many axes differ


@dataclass(frozen=True, eq=False)
class Improvement:
    """Log of the mean expected improvement over `best` of the first models, plus the log probability that each further one is ≤ 0.

    All models share the points they know. Values are standardized: `best` [n_first] and zero of a bound in each model's own units.
    """

    models: Sequence[FittedGP]
    best: Floats
    zero: Floats

    @property
    def n_first(self) -> int:
        """Models of objectives."""
        return len(self.best)

    def value(self, codes: Codes) -> Floats:
        """[m] acquisition of points."""
        found = [one.standard(codes) for one in self.models]
        mean = np.array([mean for mean, _ in found])
        mean[self.n_first :] -= self.zero[:, None]
        return np.asarray(kernels.acquire(mean, np.array([var for _, var in found]), self.n_first, self.best))

    def climb(self, start: Codes, value: float, seen: Codes) -> tuple[Codes, float]:
        """Climb over single changes of level, compiled."""
        models = self.models
        moments = np.array([one.moments for one in models])
        moments[self.n_first :, 0] -= self.zero
        first = models[0]
        row, reached = kernels.climb(
            start,
            value,
            first.codes,
            first.factors.n_levels,
            np.stack([one.tables.factor for one in models]),
            np.stack([one.tables.centered for one in models]),
            np.stack([one.tables.shares for one in models]),
            np.stack([one.upper for one in models]),
            np.stack([one.alpha for one in models]),
            moments,
            self.n_first,
            self.best,
            seen,
            _STEPS,
        )
        return row, float(reached)


def changed(rng: np.random.Generator, rows: Codes, n_levels: Codes) -> Codes:
    """Change some axes of each row to other levels: geometrically many, at most 8."""
    out = rows.copy()
    free = np.flatnonzero(n_levels > 1)
    for row in out:
        k = min(int(rng.geometric(_AGAIN)), _MOST_CHANGED, free.size)
        at = rng.choice(free, k, replace=False)
        row[at] = (row[at] + 1 + rng.integers(0, n_levels[at] - 1)) % n_levels[at]
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


def maximize(improvement: Improvement, space: Space, pool: Codes, seen: Codes) -> tuple[Codes, float]:
    """Best point of climbs from the best of a pool."""
    value = improvement.value(pool)
    order = np.argsort(-value, kind="stable")[:_N_CLIMBS]
    free = not space.rules
    best, reached = pool[order[0]], float(value[order[0]])
    for i in order.tolist():
        if free:
            row, there = improvement.climb(pool[i], float(value[i]), seen)
        else:
            row, there = climb_within(improvement.value, space, pool[i], float(value[i]), seen)
        if there > reached:
            best, reached = row, there
    return best, reached


def climb_within(function: Callable[[Codes], Floats], space: Space, row: Codes, value: float, seen: Codes) -> tuple[Codes, float]:
    """Climb a function over single changes that keep to the rules of a space and are not known."""
    known = {one.tobytes() for one in np.ascontiguousarray(seen)}
    for _ in range(_STEPS):
        around = space.neighbors(row)
        around = around[[one.tobytes() not in known for one in around]] if len(around) else around
        if not len(around):
            break
        found = function(around)
        i = int(np.argmax(found))
        if not found[i] > value:
            break
        row, value = around[i], float(found[i])
    return row, value

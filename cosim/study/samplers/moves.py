"""Moves of the samplers that use no model: change a point on some axes, cross two points, keep to the declared constraints."""

from __future__ import annotations

import numpy as np

from cosim.study.samplers.base import Sampler
from cosim.study.space import Codes, Space

_TRIES = 64  # changes that break a constraint before one more axis is changed along


def taken(sampler: Sampler) -> set[bytes]:
    """Points that were told or are pending, as keys."""
    return {row.tobytes() for row in (*sampler.codes, *sampler.pending)}


def changed(space: Space, row: Codes, rng: np.random.Generator, n_axes: int = 1) -> Codes:
    """Return a feasible point that differs from `row` on n_axes axes, on more where none is found, a random one where none is at all."""
    free = np.flatnonzero(space.n_levels > 1)
    for n in range(n_axes, len(free) + 1):
        for _ in range(_TRIES):
            other = row.copy()
            for i in rng.choice(free, n, replace=False):
                other[i] = _other_level(row[i], int(space.n_levels[i]), bool(space.is_ordinal[i]), rng)
            if space.feasible(other[None])[0]:
                return other
    return np.asarray(space.random(rng, 1)[0])


def _other_level(code: int, n_levels: int, is_ordinal: bool, rng: np.random.Generator) -> int:
    """Any other level; of an ordinal axis every second time one next to it."""
    if is_ordinal and rng.random() < 0.5:
        step = 1 if code == 0 or (code < n_levels - 1 and rng.random() < 0.5) else -1
        return int(code) + step
    return int(code + rng.integers(1, n_levels)) % n_levels


def crossed(space: Space, one: Codes, other: Codes, rng: np.random.Generator) -> Codes:
    """Take each axis from either parent; the first parent where `_TRIES` children break a constraint."""
    for _ in range(_TRIES):
        child = np.where(rng.random(one.size) < 0.5, one, other)
        if space.feasible(child[None])[0]:
            return child
    return one.copy()


def bred(space: Space, one: Codes, other: Codes, rng: np.random.Generator, known: set[bytes]) -> Codes:
    """Return a child of two parents that is not known: crossed, then each axis changed with probability 1/d, more where it is."""
    for extra in range(_TRIES):
        child = crossed(space, one, other, rng)
        n = int(rng.binomial(one.size, 1.0 / one.size)) + extra // 8
        if n:
            child = changed(space, child, rng, min(n, int((space.n_levels > 1).sum())))
        if child.tobytes() not in known:
            break
    return child


def fresh(space: Space, rng: np.random.Generator, known: set[bytes]) -> Codes:
    """Draw a feasible point that is not known; any feasible one where `_TRIES` draws hold no other."""
    row = np.asarray(space.random(rng, 1)[0])
    if row.tobytes() in known:
        unknown = [one for one in space.random(rng, _TRIES) if one.tobytes() not in known]
        return np.asarray(unknown[0]) if unknown else row
    return row

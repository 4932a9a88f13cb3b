"""Whole history and fresh starts in turn: what a search does once it gains nothing more.

A model of all that is known can be sure of the wrong place: where the best lies many changes of level away from everything good that was
seen, no improvement is expected there. When a search has gained nothing for long, a fresh start forgets: points drawn anew, and a model
of these alone. When that gains nothing more either, all that is known is looked at together again.
Restarts are what trust regions do when they have shrunk (Eriksson et al., NeurIPS 2019; Wan et al., ICML 2021, over categories).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cosim.study.space import Codes

Floats = NDArray[np.float64]

N_FRESH = 10  # points drawn at the beginning of a fresh start
N_FAR = 200  # drawn, of which the first is the one farthest from the best of all eras before
_PATIENCE = 0.6  # evaluations without gain that end an era of the whole, over the number of single changes of a point; at least 15
_LEAST_PATIENCE, _OF_FRESH = 15, 0.8  # and what of that ends a fresh start
_GAIN = 2e-3  # least gain that counts, over the spread of the first values
# assumed, all of them: chosen on problems drawn with seeds that no benchmark has; docs/models/surrogate.md


class Eras:
    """Which points belong to which era: even ones look at everything, odd ones are fresh starts. Told but never asked: none, -1."""

    def __init__(self, n_levels: Codes) -> None:
        """Begin with the whole."""
        self.now = 0
        self.of_told: list[int] = []
        self._asked: dict[bytes, int] = {}
        whole = max(_LEAST_PATIENCE, round(_PATIENCE * float((n_levels - 1).sum())))
        self._patience = (whole, round(_OF_FRESH * whole))

    @property
    def is_fresh(self) -> bool:
        """Whether a fresh start is under way."""
        return self.now % 2 == 1

    def ask(self, row: Codes) -> None:
        """Take note of a point that is asked now."""
        self._asked[row.tobytes()] = self.now

    def tell(self, row: Codes, *, is_truth: bool = True) -> None:
        """Take note of a point that is told; one at a lower fidelity belongs to no era."""
        self.of_told.append(self._asked.pop(row.tobytes(), -1) if is_truth else -1)

    def members(self, rows: Codes) -> Codes:
        """Those of rows of the history that belong to the era."""
        eras = np.array(self.of_told, dtype=np.int64)
        return np.asarray(rows[eras[rows] == self.now])

    def n_here(self) -> int:
        """Points of the era, told or not."""
        return sum(era == self.now for era in (*self.of_told, *self._asked.values()))

    def turn(self, values: Floats) -> None:
        """Begin the next era if this one has gained nothing for long; values [n] of the history are infinite where they do not count."""
        mine = self.members(np.arange(len(values)))
        spread = np.std(values[np.isfinite(values)][:20]) if np.isfinite(values).any() else 0.0
        before = values[: mine[0]] if len(mine) and not self.is_fresh else values[:0]
        bar = float(before.min()) if len(before) else np.inf
        idle = since_gain(values[mine].tolist(), bar, _GAIN * float(spread))
        if self.is_fresh:
            idle = min(idle, len(mine) - N_FRESH)
        if idle >= self._patience[self.now % 2]:
            self.now += 1

    def far(self, drawn: Codes, codes: Codes, values: Floats) -> Codes:
        """The drawn point [n, d] that differs on most axes from the best one of every era so far, and of those told and never asked."""
        eras = np.array(self.of_told)
        best = [codes[rows[np.argmin(values[rows])]] for era in np.unique(eras) if len(rows := np.flatnonzero(eras == era))]
        distance = (drawn[:, None, :] != np.array(best)[None]).sum(axis=2).min(axis=1)
        return np.asarray(drawn[int(np.argmax(distance))])


def since_gain(values: Sequence[float], bar: float, least: float) -> int:
    """Values after the last one that was lower than all before, and than `bar`, by more than `least`."""
    idle = 0
    for value in values:
        if value < bar - least or (bar == np.inf and value < np.inf):
            bar, idle = value, 0
        else:
            idle += 1
    return idle

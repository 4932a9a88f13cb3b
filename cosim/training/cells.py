"""Cells of one chip through time: programmed once, drifting on their own, read anew in each pass, each of the three with its switch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hw_models.cim.noise_base import NoiseSpec

Array = NDArray[Any]
Floats = NDArray[np.float64]

PROGRAMMING, DRIFT, DEFECTS, CALIBRATION, PASSES = range(5)  # what a chip draws, each from its own generator


def generator(seed: int, role: int, *place: int) -> np.random.Generator:
    """The generator of one thing that a chip draws, at one place in it (layer, group)."""
    return np.random.default_rng([seed, role, *place])


@final
@dataclass(frozen=True)
class History:
    """What cells with the statistics `model` have been through `t_s` after programming (None: as programmed).

    `off` switches programming, drift and read; `seed` and `place` fix errors of programming and drift.
    """

    model: NoiseSpec
    t_s: float | None
    off: Collection[str]
    seed: int
    place: tuple[int, ...]

    def conductances(self, target: Floats, read_rng: np.random.Generator | None) -> Floats:
        """Conductances in S of cells meant to be at `target`, read once where there is a generator."""
        model, t_s = self.model, self.t_s
        programmed = target if "programming" in self.off else model.program(target, generator(self.seed, PROGRAMMING, *self.place))
        if t_s is None:
            return programmed
        found = programmed
        if "drift" not in self.off:
            found = model.drifted(programmed, target, t_s, generator(self.seed, DRIFT, *self.place))
        if read_rng is None or "read" in self.off:
            return found
        return model.read(found, t_s, read_rng, programmed)


@final
@dataclass
class Devices:
    """Devices of one array in the order in which they are programmed, for `hw_models.cim.functional`: (level, rng) -> level."""

    history: History
    read_rng: np.random.Generator | None
    n_programmed: int = 0

    def __call__(self, level: Floats, _: np.random.Generator) -> Floats:
        """Levels g / g_max that come out; those outside the range of the cell are taken as its ends."""
        model = self.history.model
        target = np.clip(np.asarray(level) * model.g_max_siemens, model.g_min_siemens, model.g_max_siemens)
        mine = History(model, self.history.t_s, self.history.off, self.history.seed, (*self.history.place, self.n_programmed))
        self.n_programmed += 1
        return np.asarray(mine.conductances(target, self.read_rng) / model.g_max_siemens, dtype=np.float64)


def pairs_at(history: History, weights: Array, read_rng: np.random.Generator | None) -> Floats:
    """Weights [g, n, k] that pairs of cells hold, each row filling its own to the full: (g+ - g-) / (g_max - g_min) max|w_row|.

    One cell of a pair is meant to hold max(0, w), the other max(0, -w). As `NoiseSpec.weights_at` row by row.
    """
    given = np.asarray(weights, dtype=np.float64)
    largest = np.abs(given).max(axis=-1, keepdims=True)
    share = given / np.where(largest > 0, largest, 1.0)
    model = history.model
    found = history.conductances(model.levels(np.maximum(np.stack([share, -share]), 0.0)), read_rng)
    return np.asarray((found[0] - found[1]) * (largest / (model.g_max_siemens - model.g_min_siemens)), dtype=np.float64)

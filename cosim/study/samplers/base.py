"""Samplers: ask for points, tell their values, name the best. Every optimizer of the study stands behind this one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cosim.study.samplers.problem import Floats, Problem, Values, make_problem
from cosim.study.space import Codes
from workloads.errors import SpecError, suggest

N_STARTUP = 20  # points drawn uniformly before a model is asked, less those told already

SAMPLERS: Mapping[str, str] = MappingProxyType(
    {
        "gp": "cosim.study.samplers.default:make_gp",
        "random": "cosim.study.samplers.random:RandomSampler",
        "sa": "cosim.study.samplers.anneal:AnnealSampler",
        "ga": "cosim.study.samplers.genetic:GeneticSampler",
        "nsga2": "cosim.study.samplers.nsga2:Nsga2Sampler",
    }
)


def make_sampler(name: str, space: Any, objectives: Any, seed: int = 0, fidelities: Any = None, constraints: Any = None) -> Sampler:
    """Return the sampler called `name`.

    `space`: a Space, or axis → levels, or axis → {"levels": [...], "kind": "ordinal"}. `objectives`: names (minimized), or name →
    "minimize" or "maximize". `fidelities`: name → cost, the dearest is the truth. `constraints`: functions of the point that only
    let feasible ones be asked, and bounds (name, "<=", limit) on values that come with `tell`. Raises SpecError for what it cannot read.
    """
    if name not in SAMPLERS:
        raise SpecError(f"sampler {name!r} is not known; {suggest(name, SAMPLERS)}")
    module, _, attribute = SAMPLERS[name].partition(":")
    make = cast("Callable[[Problem, int], Sampler]", getattr(import_module(module), attribute))
    return make(make_problem(space, objectives, fidelities, constraints), seed)


class Sampler(ABC):
    """Ask/tell over a problem. Suggestion i draws from default_rng([seed, i]): same seed and same tells, same suggestions.

    History, for subclasses, in the order told: `codes` [n, d]; `y` [n, m], to be minimized, NaN where a point failed; `violation`
    [n, c], positive where a bound is broken; `fidelity` [n]. `pending` [p, d] and `pending_fidelity` [p] are asked and not told.
    """

    def __init__(self, problem: Problem, seed: int = 0) -> None:
        """Begin with an empty history."""
        self.problem = problem
        self.space = problem.space
        self.seed = seed
        self.n_asked = 0
        d = len(problem.space.axes)
        self.codes: Codes = np.zeros((0, d), dtype=np.int64)
        self.y: Floats = np.zeros((0, len(problem.goals)))
        self.violation: Floats = np.zeros((0, len(problem.bounds)))
        self.fidelity: Codes = np.zeros(0, dtype=np.int64)
        self.pending: Codes = np.zeros((0, d), dtype=np.int64)
        self.pending_fidelity: Codes = np.zeros(0, dtype=np.int64)

    def ask(self, n: int = 1) -> list[dict[str, Any]]:
        """Return n points to evaluate, as axis → level, with key "fidelity" where fidelities were given; they are pending until told."""
        asked = []
        for _ in range(n):
            row, fidelity = self._suggest(np.random.default_rng([self.seed, self.n_asked]))
            self.n_asked += 1
            self.pending = np.concatenate([self.pending, row[None]])
            self.pending_fidelity = np.append(self.pending_fidelity, fidelity)
            asked.append(self._point(row, fidelity))
        return asked

    def tell(self, point: Mapping[str, Any], values: Values, fidelity: str | None = None) -> None:
        """Take the values of a point, asked or not: a number, a sequence in order (objectives, then bounds), or name → value.

        Values that are not finite say that the point failed. Raises SpecError for an unknown axis, level, fidelity or value.
        """
        levels = dict(point)
        if self.problem.fidelities:
            named = levels.pop("fidelity", None)
            fidelity = named if fidelity is None else fidelity
        row = self.space.encode([levels])[0]
        index = self.problem.fidelity_index(fidelity)
        y, violation = self.problem.row(values)
        if not (np.isfinite(y).all() and np.isfinite(violation).all()):
            y, violation = np.full_like(y, np.nan), np.full_like(violation, np.nan)
        self._forget_pending(row, index)
        self.codes = np.concatenate([self.codes, row[None]])
        self.y = np.concatenate([self.y, y[None]])
        self.violation = np.concatenate([self.violation, violation[None]])
        self.fidelity = np.append(self.fidelity, index)

    def best(self) -> dict[str, Any]:
        """Return the point that the sampler names best; with several objectives the one of the front nearest to its ideal corner.

        Raises SpecError while nothing has been told.
        """
        return self.space.decode(self.codes[self._best()])[0]

    def front(self) -> list[dict[str, Any]]:
        """Return the feasible points at the top fidelity that no other one beats in all objectives."""
        return self.space.decode(self.codes[self.front_index()])

    @property
    def valid(self) -> NDArray[np.bool_]:
        """[n] whether a told point neither failed nor breaks a bound."""
        return np.asarray(~np.isnan(self.y).any(axis=1) & (self.violation <= 0.0).all(axis=1))

    def front_index(self) -> Codes:
        """Return the history's rows that are feasible, at the top fidelity, and not dominated (the first of equal ones)."""
        rows = np.flatnonzero(self.valid & (self.fidelity == self.problem.top))
        y = self.y[rows]
        no_worse = (y[:, None, :] <= y[None, :, :]).all(axis=2)
        better = no_worse & ((y[:, None, :] < y[None, :, :]).any(axis=2) | (rows[:, None] < rows[None, :]))
        return rows[~better.any(axis=0)]

    @abstractmethod
    def _suggest(self, rng: np.random.Generator) -> tuple[Codes, int]:
        """Return the next point as a row of codes and the index of its fidelity."""

    def _best(self) -> int:
        """Row of the history that is best: feasible ones first, at the top fidelity if any is there."""
        if not len(self.codes):
            raise SpecError("nothing has been told yet; tell the value of a point first")
        front = self.front_index()
        if len(front):
            y = self.y[front]
            span = np.maximum(y.max(axis=0) - y.min(axis=0), np.finfo(np.float64).tiny)
            return int(front[np.argmin((((y - y.min(axis=0)) / span) ** 2).sum(axis=1))])
        return self._least_bad()

    def _least_bad(self) -> int:
        """Row that comes nearest to being valid: top fidelity first, then the smallest sum of broken bounds; failed ones last."""
        worst = np.where(np.isnan(self.violation), np.inf, np.maximum(self.violation, 0.0)).sum(axis=1)
        worst[np.isnan(self.y).any(axis=1)] = np.inf
        return int(np.lexsort((self.y[:, 0], worst, self.fidelity != self.problem.top))[0])

    def _point(self, row: Codes, fidelity: int) -> dict[str, Any]:
        named = {"fidelity": self.problem.fidelities[fidelity]} if self.problem.fidelities else {}
        return {**self.space.decode(row)[0], **named}

    def _forget_pending(self, row: Codes, fidelity: int) -> None:
        same = np.flatnonzero((self.pending == row).all(axis=1) & (self.pending_fidelity == fidelity))
        if len(same):
            self.pending = np.delete(self.pending, same[0], axis=0)
            self.pending_fidelity = np.delete(self.pending_fidelity, same[0])

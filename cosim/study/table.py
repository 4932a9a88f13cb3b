"""What is known of a study's points: result columns by point and workload, scores, reasons of failure, and the order of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.study.scores import Scores, Wanted
from cosim.study.space import Codes, Space
from cosim.study.spec import Study

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SearchTrace:
    """Trials of a search in order: which row of the table each is (-1: at a lower fidelity), its fidelity, and what all cost up to it."""

    sampler: str
    seed: int
    row: NDArray[np.int64]
    fidelity: Sequence[str]
    spent: Floats


@dataclass(frozen=True, eq=False)
class Given:
    """Points of a warm start, the last rows of a table: objectives [k, m] and limited values [k, c] as they were told."""

    objectives: Floats
    limited: Floats


@dataclass(frozen=True, eq=False)
class StudyTable:
    """Points of a study that are known at its fidelity.

    codes    [n, d] levels; columns  name -> [n, n_workloads], NaN where there is none (failed, or no such number)
    errors   [n] why a point failed, else an empty text
    trace    the order in which a search took them; None for a sweep
    given    points that the search did not evaluate, as they come from a warm start; their columns are NaN where only objectives were told
    others   columns at lower fidelities, by fidelity, for the same points (NaN where not evaluated); empty for a sweep
    """

    study: Study
    space: Space
    wanted: Wanted
    fidelity: str
    codes: Codes
    columns: Mapping[str, Floats]
    errors: Sequence[str]
    trace: SearchTrace | None = None
    others: Mapping[str, Mapping[str, Floats]] | None = None
    given: Given | None = None

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.codes)

    @cached_property
    def scores(self) -> Scores:
        """Objectives and limits of every point."""
        found = self.wanted.score(self.columns)
        if self.given is None:
            return found
        own = self.n - self.n_given
        objectives = np.concatenate([found.objectives[:own], self.given.objectives])
        return Scores(self.wanted, objectives, np.concatenate([found.limited[:own], self.given.limited]))

    @property
    def n_given(self) -> int:
        """Number of points of a warm start."""
        return 0 if self.given is None else len(self.given.objectives)

    def source(self, i: int) -> str:
        """Return where a point comes from: "warm start", "search" or "sweep"."""
        if i >= self.n - self.n_given:
            return "warm start"
        return "sweep" if self.trace is None else "search"

    def point(self, i: int) -> dict[str, Any]:
        """Levels of one point by axis; inactive ones are left out."""
        return {name: level for name, level in self.space.decode(self.codes[i])[0].items() if level is not None}

    def interval(self, metric: str) -> tuple[Floats, Floats] | None:
        """[n] low and high ends (90 %) of energy, latency or accuracy, workloads combined end by end; None for other metrics."""
        ends = {
            "energy": ("energy_low_j", "energy_high_j"),
            "latency": ("latency_low_s", "latency_high_s"),
            "accuracy": ("accuracy_low_pct", "accuracy_high_pct"),
        }.get(metric)
        if ends is None or not all(end in self.columns for end in ends):
            return None
        nominal = {"energy": "energy_j", "latency": "latency_s", "accuracy": "accuracy_pct"}[metric]
        found = [self.wanted.combine_one(metric, {**self.columns, nominal: self.columns[end]}) for end in ends]
        return found[0], found[1]

"""From result rows to what a study wants: one value an objective and a bound for every point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cosim.study.objectives import METRICS, Bound, Objective, combined, values_of
from cosim.study.spec import Study
from workloads.errors import SpecError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Limit:
    """A bound, and the workload whose value it holds for; None: the value of all together."""

    bound: Bound
    workload: int | None = None
    label: str = ""


@dataclass(frozen=True, eq=False)
class Wanted:
    """Objectives and limits of a study with the weights of its workloads: what scores are counted by."""

    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...]
    weights: tuple[float, ...]
    combine: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Result columns that scores need."""
        metrics = [one.metric for one in self.objectives] + [one.bound.metric for one in self.limits]
        return tuple(dict.fromkeys(name for metric in metrics for name in metric.columns))

    @property
    def needs_accuracy(self) -> bool:
        """Whether accuracy has to be measured."""
        return any(metric.lowest == "accuracy" for metric in (*(o.metric for o in self.objectives), *(x.bound.metric for x in self.limits)))

    def score(self, columns: Mapping[str, Floats]) -> Scores:
        """Score points from columns [n_points, n_workloads], NaN where a row has no value or failed."""
        values = [combined(one.metric, values_of(one.metric, columns), self.weights, self.combine) for one in self.objectives]
        n = len(next(iter(columns.values())))
        found = [self._limited(one, columns) for one in self.limits]
        return Scores(
            self,
            np.stack(values, axis=1),
            np.stack(found, axis=1) if found else np.empty((n, 0)),
        )

    def combine_one(self, name: str, columns: Mapping[str, Floats]) -> Floats:
        """[n_points] one metric, workloads combined as objectives are."""
        return combined(METRICS[name], values_of(METRICS[name], columns), self.weights, self.combine)

    def _limited(self, limit: Limit, columns: Mapping[str, Floats]) -> Floats:
        values = values_of(limit.bound.metric, columns)
        if limit.workload is not None:
            return np.asarray(values[:, limit.workload])
        return combined(limit.bound.metric, values, self.weights, self.combine)


@dataclass(frozen=True, eq=False)
class Scores:
    """objectives [n, m] in their own units and directions, limited [n, c] the values that limits hold for; NaN: failed."""

    wanted: Wanted
    objectives: Floats
    limited: Floats

    @cached_property
    def minimized(self) -> Floats:
        """[n, m] objectives with those that are maximized negated."""
        signs = [-1.0 if one.direction == "maximize" else 1.0 for one in self.wanted.objectives]
        return np.asarray(self.objectives * signs)

    @cached_property
    def failed(self) -> NDArray[np.bool_]:
        """[n] whether a point has no value of some objective or limit."""
        return np.asarray(np.isnan(self.objectives).any(axis=1) | np.isnan(self.limited).any(axis=1))

    @cached_property
    def broken(self) -> NDArray[np.bool_]:
        """[n, c] which limits a point breaks; a failed point breaks those it has no value of."""
        columns = [~one.bound.keeps(self.limited[:, i]) for i, one in enumerate(self.wanted.limits)]
        return np.stack(columns, axis=1) if columns else np.zeros((len(self.objectives), 0), dtype=np.bool_)

    @cached_property
    def feasible(self) -> NDArray[np.bool_]:
        """[n] whether a point has all values and keeps to all limits."""
        return np.asarray(~self.failed & ~self.broken.any(axis=1))

    def best(self, objective: int) -> int | None:
        """Index of the best feasible point, the first of equal ones; None without any."""
        if not self.feasible.any():
            return None
        return int(np.argmin(np.where(self.feasible, self.minimized[:, objective], np.inf)))

    @cached_property
    def front(self) -> NDArray[np.int64]:
        """Indices of feasible points that no other beats in all objectives, by the first objective; of equal points the first."""
        rows = np.flatnonzero(self.feasible)
        order = rows[np.lexsort((rows, *self.minimized[rows].T[::-1]))]
        kept: list[int] = []
        for i in order.tolist():
            y = self.minimized[i]
            if not kept or not (self.minimized[kept] <= y).all(axis=1).any():
                kept.append(i)
        return np.array(kept, dtype=np.int64)


def wanted_of(study: Study, objectives: Sequence[Objective] | None = None) -> Wanted:
    """What a study wants, or the same with other objectives; raises SpecError for an accuracy without a data set."""
    limits = [Limit(bound, None, bound.text) for bound in study.bounds]
    for i, one in enumerate(study.workloads):
        limits += [Limit(bound, i, f"{bound.text} ({one.name})") for bound in one.bounds]
    wanted = Wanted(tuple(objectives or study.objectives), tuple(limits), tuple(one.weight for one in study.workloads), study.combine)
    if wanted.needs_accuracy and study.accuracy is None:
        raise SpecError(f"study {study.name!r} wants accuracy and names no data; add accuracy: {{data: digits8x8}}")
    return wanted


def check_fidelity(wanted: Wanted, fidelity: str) -> None:
    """Raise SpecError where a rung of the ladder cannot give what is wanted."""
    for metric in (*(one.metric for one in wanted.objectives), *(one.bound.metric for one in wanted.limits)):
        if metric.lowest == "mapped" and fidelity == "bound":
            raise SpecError(f"fidelity 'bound' places nothing and cannot give {metric.name}; choose mapped or event, or another objective")

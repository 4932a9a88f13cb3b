"""One objective of a study as pages and texts read it: values, intervals, what matters, what is alike; and how all is worded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cosim.study.analysis import Bias, bias, is_logarithmic, not_worse_for_sure, settled
from cosim.study.importance import Importance, importance
from cosim.study.objectives import Metric, Objective
from cosim.study.space import Axis, Level
from cosim.study.table import StudyTable
from hw_models.units import show
from reports.figures import scale
from reports.wording import area, decibels, digits, quantity

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NONE = "–"  # what an inactive axis is called
_UNITS = {"m2": "mm²", "J s": "J·s"}
_WITHOUT_PREFIX = {"%", "dB", "", "mm²"}


def worded(metric: Metric, value: float) -> str:
    """Format a value of a metric with its unit and four digits, as differences between points are small."""
    if not np.isfinite(value):
        return NONE
    if metric.unit == "m2":
        return area(value)
    if metric.unit == "dB":
        return decibels(value)
    if metric.unit == "%":
        return f"{value:.2f} %"
    return digits(value) if not metric.unit else show(value, _UNITS.get(metric.unit, metric.unit), 4)


def ends_worded(metric: Metric, low: float, high: float) -> str:
    """Format an interval: "464 µJ – 935 µJ"; nothing where it is not known."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return ""
    unit = _UNITS.get(metric.unit, metric.unit)
    return (
        f"{worded(metric, low)} – {worded(metric, high)}" if unit in _WITHOUT_PREFIX else f"{quantity(low, unit)} – {quantity(high, unit)}"
    )


def shown_in(metric: Metric, largest: float) -> tuple[float, str]:
    """Return (factor, unit) in which values of a metric up to a largest one read well."""
    unit = _UNITS.get(metric.unit, metric.unit)
    if unit in _WITHOUT_PREFIX:
        return (1e6 if metric.unit == "m2" else 1.0), unit
    return scale(largest, unit)


def axis_words(axis: Axis) -> tuple[str, list[str]]:
    """Return (what an axis is called, its levels): a unit that all levels share goes with the name, a folder that all share is left out."""
    texts = [level_word(level) for level in axis.levels]
    given = [text for text, level in zip(texts, axis.levels, strict=True) if level is not None]
    parts = [text.split(" ") for text in given]
    if given and all(len(part) == 2 for part in parts) and len({part[1] for part in parts}) == 1:
        return f"{axis.name} ({parts[0][1]})", [text.partition(" ")[0] for text in texts]
    if given and all("/" in text for text in given):
        short = [text.rpartition("/")[2] for text in texts]
        return axis.name, short if len(set(short)) == len(set(texts)) else texts
    return axis.name, texts


def level_word(level: Level) -> str:
    """Word one level."""
    if level is None:
        return NONE
    return str(level).lower() if isinstance(level, bool) else f"{level:g}" if isinstance(level, float) else str(level)


def point_words(table: StudyTable, i: int, axes: Sequence[int] | None = None) -> str:
    """Word the levels of a point, inactive axes left out: "npu.rows 16, npu.clock 1000 MHz"; all of them with a warm start's mark."""
    chosen = range(len(table.space.axes)) if axes is None else axes
    axis_levels = [(table.space.axes[a], table.space.axes[a].levels[table.codes[i, a]]) for a in chosen]
    words = ", ".join(f"{axis.name} {level_word(level).rpartition('/')[2]}" for axis, level in axis_levels if level is not None)
    return f"{words} (warm start)" if axes is None and table.source(i) == "warm start" else words


@dataclass(frozen=True, eq=False)
class View:
    """An objective of a table, by its place."""

    table: StudyTable
    place: int

    @property
    def objective(self) -> Objective:
        """The objective itself."""
        return self.table.wanted.objectives[self.place]

    @property
    def metric(self) -> Metric:
        """What it measures."""
        return self.objective.metric

    @property
    def name(self) -> str:
        """Name of the metric."""
        return self.metric.name

    @cached_property
    def values(self) -> Floats:
        """[n] values in the metric's unit, NaN where a point failed."""
        return self.table.scores.objectives[:, self.place]

    @cached_property
    def logarithmic(self) -> bool:
        """Whether means are geometric and differences ratios."""
        return is_logarithmic(self.values, self.metric.unit)

    @cached_property
    def importance(self) -> Importance:
        """What share of the variance each axis makes."""
        return importance(self.table.codes, self.values, logarithmic=self.logarithmic)

    @cached_property
    def axes(self) -> list[int]:
        """Axes of which more than one level has a value, the most important first."""
        seen = self.table.codes[np.isfinite(self.values)]
        total = self.importance.total
        varied = [axis for axis, column in enumerate(seen.T) if column.size and (column != column[0]).any()]
        return sorted(varied, key=lambda axis: -total[axis])

    @cached_property
    def ranked(self) -> NDArray[np.int64]:
        """Feasible points, the best first; of equal ones the earlier."""
        feasible = np.flatnonzero(self.table.scores.feasible)
        return feasible[np.argsort(self.table.scores.minimized[feasible, self.place], kind="stable")]

    @property
    def best(self) -> int | None:
        """The best feasible point."""
        return int(self.ranked[0]) if self.ranked.size else None

    @cached_property
    def ends(self) -> tuple[Floats, Floats] | None:
        """[n] low and high ends of the 90 % interval, None without any that has a width; both are the value where it was told alone."""
        found = self.table.interval(self.name)
        if found is None or not (np.isfinite(found[0]) & (found[1] > found[0])).any():
            return None
        known = np.isfinite(found[0]) & np.isfinite(found[1])
        return np.where(known, found[0], self.values), np.where(known, found[1], self.values)

    @cached_property
    def alike(self) -> Bools | None:
        """[n] feasible points whose interval meets that of the best, it among them; None without intervals or a best."""
        if self.ends is None or self.best is None:
            return None
        more = self.objective.direction == "maximize"
        return not_worse_for_sure(*self.ends, self.best, self.table.scores.feasible, more_is_better=more)

    @property
    def settled(self) -> list[int | None]:
        """Code of each axis that all points alike to the best have, None where they differ."""
        return settled(self.table.codes, self.alike) if self.alike is not None else [None] * self.table.codes.shape[1]

    def interval_words(self, i: int) -> str:
        """Word the interval of a point; nothing without one."""
        if self.ends is None or self.ends[0][i] == self.ends[1][i]:
            return ""
        return ends_worded(self.metric, float(self.ends[0][i]), float(self.ends[1][i]))

    @cached_property
    def biases(self) -> dict[str, Bias]:
        """Lower fidelities against this one, for those that have points in common with it."""
        found = {}
        for fidelity, columns in (self.table.others or {}).items():
            lower = self.table.wanted.score(columns).objectives[:, self.place] if self.table.n else np.empty(0)
            one = bias(lower, self.values, logarithmic=self.logarithmic)
            if one.n:
                found[fidelity] = one
        return found


def views_of(table: StudyTable) -> list[View]:
    """One view an objective."""
    return [View(table, place) for place in range(len(table.wanted.objectives))]


def assumed_shares(table: StudyTable) -> Floats:
    """[n] share of a point's energy that rests on an assumed number, workloads weighted as in objectives; NaN where it is not known."""
    if "assumed_share" not in table.columns:
        return np.full(table.n, np.nan)
    weights = np.asarray(table.wanted.weights, dtype=np.float64)
    return np.asarray((table.columns["assumed_share"] * weights).sum(axis=1) / weights.sum())


def trial_objectives(table: StudyTable) -> Floats:
    """[n_trials, m] objectives, minimized, of a search's trials in order; NaN for a trial at a lower fidelity or that is not feasible."""
    trace = table.trace
    if trace is None:
        return np.empty((0, len(table.wanted.objectives)))
    values = np.where(table.scores.feasible[:, None], table.scores.minimized, np.nan)
    found = np.full((len(trace.row), values.shape[1]), np.nan)
    found[trace.row >= 0] = values[trace.row[trace.row >= 0]]
    return found

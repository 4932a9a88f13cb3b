"""Groups of numbers that differ in their seed only: does what we train reproduce what the tables hold.

A group reproduces when |mean - mean_table| <= max(2 sqrt(s^2 + s_table^2), floor), s the standard deviation over seeds (n - 1 in the
denominator) of each side, so that two groups of few seeds that come from the same recipe nearly always do. How many do by the stricter
2 sqrt(s^2 / n + s_table^2 / n_table), the standard error of the difference of means, is counted beside it.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from math import hypot, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from cosim.files import write_file
from cosim.validation.accuracy_cases import Case
from cosim.validation.tables import count_in, read_table
from workloads.errors import WorkloadError

FLOORS = {"cnn": 0.4, "mlp": 0.7, "adc": 1.0}  # points: target of the project
MIN_WITHIN = 0.95  # target of the project


@dataclass(frozen=True, slots=True)
class Group:
    """Means and standard deviations over seeds in percent or points: of the table, and found. One seed has the spread of the other side."""

    file: str
    net: str
    recipe: str
    reading: str
    n_table: int
    mean_table: float
    std_table: float
    n: int
    mean: float
    std: float

    @property
    def difference(self) -> float:
        """Points by which what was found lies above the table."""
        return self.mean - self.mean_table

    @property
    def tolerance(self) -> float:
        """max(2 sqrt(s^2 + s_table^2), floor)."""
        return max(2 * hypot(*self._spread), FLOORS[self.net])

    @property
    def error(self) -> float:
        """max(2 sqrt(s^2 / n + s_table^2 / n_table), floor)."""
        s, s_table = self._spread
        return max(2 * hypot(s / sqrt(self.n), s_table / sqrt(self.n_table)), FLOORS[self.net])

    @property
    def is_within(self) -> bool:
        """Whether it reproduces."""
        return abs(self.difference) <= self.tolerance

    @property
    def is_beyond_twice(self) -> bool:
        """Whether it is further off than twice the tolerance."""
        return abs(self.difference) > 2 * self.tolerance

    @property
    def _spread(self) -> tuple[float, float]:
        """Standard deviations of both sides; what one seed does not tell is taken from the other."""
        s = self.std_table if self.n == 1 else self.std
        return s, self.std if self.n_table == 1 else self.std_table


COLUMNS = tuple(field.name for field in fields(Group))
_TEXTS, _COUNTS = ("file", "net", "recipe", "reading"), ("n_table", "n")


def groups_of(cases: Iterable[Case], found: Mapping[tuple[str, str, str, str], Sequence[float]]) -> list[Group]:
    """Groups in the order of the tables; those of which nothing was found are left out."""
    expected: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for case in cases:
        expected[case.group].append(case.expected)
    groups = []
    for key, values in expected.items():
        if key in found:
            groups.append(Group(*key, len(values), *_mean_std(values), len(found[key]), *_mean_std(found[key])))
    return groups


def _mean_std(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def metrics_of(groups: Sequence[Group]) -> dict[str, Any]:
    """Counts of groups, overall and by table; fractions are None where there is no group."""
    files = dict.fromkeys(group.file for group in groups)
    return {**_counts(groups), "per_file": {file: _counts([group for group in groups if group.file == file]) for file in files}}


def _counts(groups: Sequence[Group]) -> dict[str, Any]:
    within = sum(group.is_within for group in groups)
    return {
        "n": len(groups),
        "n_within": within,
        "fraction_within": within / len(groups) if groups else None,
        "n_beyond_twice": sum(group.is_beyond_twice for group in groups),
        "n_within_standard_error": sum(abs(group.difference) <= group.error for group in groups),
    }


def passes(metrics: Mapping[str, Any]) -> bool:
    """At least 95 % of the groups within, none beyond twice the tolerance."""
    return bool(metrics["n"]) and metrics["fraction_within"] >= MIN_WITHIN and metrics["n_beyond_twice"] == 0


def write_groups(path: Path, groups: Iterable[Group]) -> None:
    """Write a table, whole or not at all; numbers of 4 digits after the point. StoreError where it cannot be written."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([f"{cell:.4f}" if isinstance(cell, float) else cell for cell in astuple(group)] for group in groups)
    write_file(path, text.getvalue().encode())


def read_groups(path: Path) -> list[Group]:
    """Return the groups of a table; WorkloadError with file, line and column where a cell is not understood."""
    _, table = read_table(path, COLUMNS)
    groups = []
    for line, row in enumerate(table, start=2):
        where = f"{path}: line {line}"
        if row["net"] not in FLOORS:
            raise WorkloadError(f"{where}: net: {row['net']!r} is not known; choose {', '.join(FLOORS)}")
        texts = {name: row[name] for name in _TEXTS}
        numbers = {name: _float(row[name], name, where) for name in COLUMNS if name not in {*_TEXTS, *_COUNTS}}
        counts = {name: count_in(row, name, where) or 1 for name in _COUNTS}
        groups.append(Group(**texts, **counts, **numbers))  # type: ignore[arg-type]  # three kinds of columns, each of one type
    return groups


def _float(text: str, column: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise WorkloadError(f"{where}: {column}: {text!r} is not a number") from None

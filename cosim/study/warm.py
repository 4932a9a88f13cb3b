"""What is known before a search: rows of stores that describe points of its space, and tables of measurements."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cosim.study.expression import value_of
from cosim.study.judge import ALL_COLUMNS, StudyJudge
from cosim.study.objectives import read_value
from cosim.study.optimise import Told, named_values
from cosim.study.scores import Wanted
from cosim.study.space import Axis, Level, Space
from cosim.study.spec import Study
from cosim.study.store import Store
from workloads.errors import SpecError, StoreError, suggest


def warm_start(path: Path, study: Study, space: Space, judge: StudyJudge) -> list[Told]:
    """Return (point, values, fidelity) of what a store or a .csv file says; raises SpecError or StoreError for one that cannot be read.

    From a store only rows count whose keys are those of this study's own points: the same chips and networks, whatever study made them.
    """
    if not path.is_file():
        raise StoreError(f"--warm-start {path}: there is no such file; give a store or a .csv file")
    ladder = tuple(study.ladder) or (study.fidelity,)
    if path.suffix.lower() == ".csv":
        return list(_measurements(path, space, judge.wanted, _Columns.of(study, judge.wanted, ladder)))
    return list(_stored(path, space, judge, ladder))


def _stored(path: Path, space: Space, judge: StudyJudge, ladder: tuple[str, ...]) -> Iterator[Told]:
    with Store(path, ALL_COLUMNS) as store:
        designs = {tuple(sorted(row.design.items(), key=str)): row.design for row in store.read() if row.fidelity in ladder}
        for design in designs.values():
            if set(design) != set(space.names) or any(design[axis.name] not in axis.levels for axis in space.axes):
                continue
            row = space.encode([design])[0]
            for fidelity in ladder:
                outcome = judge.from_store(store, row, fidelity)
                if outcome is not None:
                    yield design, named_values(judge.wanted, outcome.objectives, outcome.limited), fidelity


@dataclass(frozen=True)
class _Columns:
    """Which column holds each objective and limit, fidelities that a row may name, and all columns with values."""

    objectives: tuple[str, ...]
    limits: tuple[str, ...]
    ladder: tuple[str, ...]

    @classmethod
    def of(cls, study: Study, wanted: Wanted, ladder: tuple[str, ...]) -> Self:
        """A metric's column is called by its name; that of one workload of several `latency (name)`."""
        names = [one.name for one in study.workloads]
        several = len(names) > 1
        of_one = [f" ({names[one.workload]})" if several and one.workload is not None else "" for one in wanted.limits]
        limits = tuple(f"{one.bound.metric.name}{more}" for one, more in zip(wanted.limits, of_one, strict=True))
        return cls(tuple(one.name for one in wanted.objectives), limits, ladder)


def _measurements(path: Path, space: Space, wanted: Wanted, columns: _Columns) -> Iterator[Told]:
    """Rows of a table: a column an axis, one a metric with units in its cells, and perhaps `fidelity` (default: the highest)."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            given = reader.fieldnames or []
            for name in (*space.names, *columns.objectives, *columns.limits):
                if name not in given:
                    raise SpecError(f"{path}:1: column {name!r} is missing; {suggest(name, given)}")
            for row in reader:
                yield _measured(row, f"{path}:{reader.line_num}", space, wanted, columns)
    except (UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"{path}: is not a CSV file in UTF-8: {error}") from None


def _measured(row: Mapping[str, str], where: str, space: Space, wanted: Wanted, columns: _Columns) -> Told:
    """Return what one line says; raises SpecError that names it."""
    try:
        point = {axis.name: _level(axis, row[axis.name]) for axis in space.axes}
        values = {one.name: read_value(one.metric, row[name]) for one, name in zip(wanted.objectives, columns.objectives, strict=True)}
        values |= {one.label: read_value(one.bound.metric, row[name]) for one, name in zip(wanted.limits, columns.limits, strict=True)}
        return point, values, _fidelity(row.get("fidelity") or columns.ladder[-1], columns.ladder)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


def _fidelity(name: str, ladder: tuple[str, ...]) -> str:
    if name not in ladder:
        raise SpecError(f"fidelity {name!r} is not among the study's; {suggest(name, ladder)}")
    return name


def _level(axis: Axis, text: str) -> Level:
    """Return the level that a cell stands for: the same text, or the same value."""
    for level in axis.levels:
        if text == ("" if level is None else str(level)) or (level is not None and _meant(text) == _meant(level)):
            return level
    raise SpecError(f"axis {axis.name!r} has no level {text!r}; choose one of: {', '.join(map(str, axis.levels))}")


def _meant(given: Any) -> Any:
    """What a cell or a level means: a number, a quantity in SI, or else its text without regard to case (True is true)."""
    value = value_of(given)
    try:
        return float(value) if not isinstance(value, bool) else str(value).lower()
    except (TypeError, ValueError):
        return str(value).lower()

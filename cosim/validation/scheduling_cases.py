"""Reading a folder of scheduling instances with what is known of their makespans."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosim.scheduling.bounds import lower_bound_s
from cosim.scheduling.instance_file import read_instance, read_json
from workloads.errors import ScheduleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cosim.scheduling.instance import Instance

FILE = "expected.json"


@dataclass(frozen=True)
class Case:
    """An instance and what is known of it: makespans of the classic policies, the best makespan known, a proven bound."""

    name: str
    instance: Instance
    classic: Mapping[str, float]
    best_known: float | None
    proven: float | None

    @cached_property
    def lower_bound(self) -> float:
        """What no schedule can beat: the larger of the proven bound of the file and the bound of the model."""
        return max(self.proven or 0.0, lower_bound_s(self.instance))


def read_cases(folder: Path) -> tuple[list[Case], list[dict[str, Any]], list[str]]:
    """Return the cases of expected.json, a row for each whose instance is not there, and the names of missing files.

    An entry may lack any of its fields. Raises ScheduleError, with file and place, for what cannot be read.
    """
    if not folder.is_dir():
        raise ScheduleError(f"{folder}: there is no such folder; give one with {FILE} and instances/")
    file = folder / FILE
    if not file.is_file():
        return [], [], [FILE]
    entries = _object(str(file), read_json(file))
    cases, skipped = [], []
    for name, entry in entries.items():
        source = folder / "instances" / f"{name}.json"
        if source.is_file():
            cases.append(_case(f"{file}: {name}", name, read_instance(source), entry))
        else:
            skipped.append({"instance": name, "skipped": f"{source} is not there"})
    return cases, skipped, []


def _case(where: str, name: str, instance: Instance, given: Any) -> Case:
    entry = _object(where, given)
    classic = _object(f"{where}.reference_classic", entry.get("reference_classic") or {})
    exact = _object(f"{where}.cpsat", entry.get("cpsat") or {})
    return Case(
        name,
        instance,
        {policy: _number(f"{where}.reference_classic.{policy}", value) for policy, value in classic.items() if value is not None},
        _optional(f"{where}.best_known_makespan", entry.get("best_known_makespan")),
        _optional(f"{where}.cpsat.lower_bound", exact.get("lower_bound")),
    )


def _object(where: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ScheduleError(f"{where}: holds a {type(given).__name__}; it must be an object")
    return given


def _optional(where: str, given: Any) -> float | None:
    return None if given is None else _number(where, given)


def _number(where: str, given: Any) -> float:
    """Return a finite number of 0 or more."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= sys.float_info.max:
        raise ScheduleError(f"{where}: {given!r} is no makespan; give a finite number of 0 or more")
    return float(given)

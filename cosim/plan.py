"""A schedule: which op runs on which device, and what runs first. Saved, edited by hand, replayed."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workloads.errors import ScheduleError, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

FORMAT = "cosim-schedule-1"
_HEADER_KEYS = ("format", "workload", "chip", "policy", "ops")
_OP_KEYS = ("name", "device", "priority", "start_s", "end_s")


@dataclass(frozen=True, slots=True)
class PlannedOp:
    """One op of a schedule: its device by name, its priority (larger first), and when the policy expects it to run."""

    name: str
    device: str
    priority: float
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every op of a workload on a device of a chip; `policy` says who made it, `source` the file it was read from.

    Raises ScheduleError if an op comes twice or a priority is not finite.
    """

    workload: str
    chip: str
    ops: tuple[PlannedOp, ...]
    policy: str = ""
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Refuse two entries of one name, and priorities that give no order."""
        seen: dict[str, int] = {}
        for index, op in enumerate(self.ops):
            if op.name in seen:
                raise ScheduleError(f"{self.place(index)}.name: {op.name!r} is scheduled already by ops[{seen[op.name]}]; keep one of them")
            seen[op.name] = index
            if not math.isfinite(op.priority):
                raise ScheduleError(f"{self.place(index)}.priority: {op.priority} is not finite; larger priorities run first")

    @classmethod
    def of(cls, workload: str, chip: str, entries: Iterable[tuple[str, str, float]], policy: str = "") -> Schedule:
        """Return the schedule of entries (op name, device name, priority)."""
        return cls(workload, chip, tuple(PlannedOp(*entry) for entry in entries), policy)

    @property
    def assignment(self) -> Mapping[str, str]:
        """Op name → device name."""
        return {op.name: op.device for op in self.ops}

    @property
    def priority(self) -> Mapping[str, float]:
        """Op name → priority; larger first."""
        return {op.name: op.priority for op in self.ops}

    def place(self, index: int) -> str:
        """What messages call an entry: the file it was read from and its place there."""
        return f"{self.source or f'schedule of {self.workload!r}'}: ops[{index}]"

    def check(self, op_names: Sequence[str], device_names: Sequence[str]) -> None:
        """Raise ScheduleError, with file and place, for an op or device that does not exist and for an op left out."""
        kinds = (("name", frozenset(op_names), "op of the workload"), ("device", frozenset(device_names), "device of the chip"))
        for key, known, what in kinds:
            for index, op in enumerate(self.ops):
                given = str(getattr(op, key))
                if given not in known:
                    raise ScheduleError(f"{self.place(index)}.{key}: {given!r} is no {what}; {suggest(given, known)}")
        for name, count in Counter(op_names).most_common(1):
            if count > 1:
                raise ScheduleError(f"{count} ops of the workload are called {name!r}; a schedule needs a name of its own for each")
        scheduled = {op.name for op in self.ops}
        missing = [name for name in op_names if name not in scheduled]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            where = self.source or f"schedule of {self.workload!r}"
            raise ScheduleError(f"{where}: ops: op {missing[0]!r} of the workload{more} not scheduled; add an entry for each op")


def schedule_text(schedule: Schedule) -> str:
    """Return a schedule as JSON text, one line an op, easy to edit by hand."""
    ops = [{key: value for key in _OP_KEYS if (value := getattr(op, key)) is not None} for op in schedule.ops]
    head = {"format": FORMAT, "workload": schedule.workload, "chip": schedule.chip, "policy": schedule.policy}
    lines = ",\n".join(f"  {json.dumps(op, allow_nan=False)}" for op in ops)
    return json.dumps(head)[:-1] + f', "ops": [\n{lines}\n]}}\n'


def save_schedule(schedule: Schedule, path: Path) -> None:
    """Write a schedule as JSON, whole or not at all; raises ScheduleError when the file cannot be written."""
    text = schedule_text(schedule)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ScheduleError(f"{path}: the schedule cannot be written: {error.strerror}; choose another file") from error


def load_schedule(path: Path) -> Schedule:
    """Read a schedule; `Schedule.check` then says whether it fits a workload and a chip.

    Raises ScheduleError, with file and place, for a file that cannot be read or is no schedule, and for an op that comes twice.
    """
    data = _read(path)
    for key in ("workload", "chip"):
        if not isinstance(data.get(key), str):
            raise ScheduleError(f"{path}: {key}: {data.get(key)!r} is not a name; write the {key} it is for as a string")
    if not isinstance(data.get("policy", ""), str):
        raise ScheduleError(f"{path}: policy: {data['policy']!r} is not a name; write a string or leave it out")
    if not isinstance(data.get("ops"), list):
        raise ScheduleError(f"{path}: ops: {type(data.get('ops')).__name__} is not a list; write one entry an op")
    ops = tuple(_read_op(f"{path}: ops[{index}]", entry) for index, entry in enumerate(data["ops"]))
    return Schedule(data["workload"], data["chip"], ops, data.get("policy", ""), str(path))


def _read(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file after checking its format and keys."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScheduleError(f"{path}: the schedule cannot be read: {error.strerror}; give the path of a saved schedule") from error
    except json.JSONDecodeError as error:
        raise ScheduleError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise ScheduleError(f"{path}: not JSON text: {error}") from error
    if not isinstance(data, dict):
        raise ScheduleError(f"{path}: holds a {type(data).__name__}; a schedule is an object with the keys {', '.join(_HEADER_KEYS)}")
    if data.get("format") != FORMAT:
        raise ScheduleError(f"{path}: format: {data.get('format')!r} is not known; choose {FORMAT!r}")
    _refuse_unknown(str(path), data, _HEADER_KEYS)
    return data


def _refuse_unknown(where: str, data: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in data:
        if key not in known:
            raise ScheduleError(f"{where}: key {key!r} is not known; {suggest(key, known)}")


def _read_op(where: str, entry: Any) -> PlannedOp:
    """Read one entry of `ops`."""
    if not isinstance(entry, dict):
        raise ScheduleError(f"{where}: {entry!r} is not an object with name, device and priority")
    _refuse_unknown(where, entry, _OP_KEYS)
    for key in ("name", "device"):
        if not isinstance(entry.get(key), str):
            raise ScheduleError(f"{where}.{key}: {entry.get(key)!r} is not a name; write a string")
    start_s, end_s = (_number(where, entry, key) if entry.get(key) is not None else None for key in ("start_s", "end_s"))
    return PlannedOp(entry["name"], entry["device"], _number(where, entry, "priority"), start_s, end_s)


def _number(where: str, entry: Mapping[str, Any], key: str) -> float:
    """Return a finite number of an entry."""
    value = entry.get(key)
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ScheduleError(f"{where}.{key}: {value!r} is not a finite number; larger priorities run first, times are in seconds")
    return number

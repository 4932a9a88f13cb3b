"""The event engine against fixed placements whose times are known from exact arithmetic."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.engine.simpy_engine import play
from cosim.scheduling.fixed import placed_problem
from cosim.scheduling.instance_file import read_instance, read_json
from workloads.errors import CosimError, SimulationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.engine.problem import FloatArray, Playback, Problem
    from cosim.scheduling.instance import Instance

DATA = Path(__file__).parent / "data" / "scheduling_golden"
MAX_REL_ERROR = 1e-9
_KEYS = ("instance", "mode", "assignment", "priority", "makespan", "start", "end")


def validate_contention(path: Path | None = None, engine: Callable[[Problem], Playback] = play) -> dict[str, Any]:
    """Play every case of `contention.json` in a folder (default: the shipped one) in an engine and compare all times.

    rel_error of a case = max over starts, ends and makespan of |found - expected| / expected (where 0 is
    expected: / makespan). Passed: max_rel_error <= 1e-9 over at least one case. A case whose instance
    file is not in the folder is named and skipped; so is contention.json itself, and then nothing is compared. Raises
    SimulationError or ScheduleError, with file and place, when the folder is missing or a file cannot be read.
    """
    folder = DATA if path is None else path
    file = folder / "contention.json"
    if not folder.is_dir():
        raise SimulationError(f"{folder}: there is no such folder; give one with contention.json and instances/")
    cases = read_json(file) if file.is_file() else {}
    if not isinstance(cases, dict):
        raise SimulationError(f"{file}: holds a {type(cases).__name__}; it must be an object of cases by name")
    instances: dict[str, Instance | None] = {}
    rows = [_row(file, name, case, instances, engine) for name, case in cases.items()]
    errors = [row["rel_error"] for row in rows if "rel_error" in row]
    worst = max(errors, default=0.0)
    return {
        "area": "contention",
        "n": len(errors),
        "metrics": {"max_rel_error": worst, "n": len(errors)},
        "rows": rows,
        "passed": bool(errors) and worst <= MAX_REL_ERROR,
        "skipped_files": [] if file.is_file() else [file.name],
    }


def _row(file: Path, name: str, case: Any, instances: dict[str, Instance | None], engine: Callable[[Problem], Playback]) -> dict[str, Any]:
    """Play one case."""
    where = f"{file}: {name}"
    if not isinstance(case, dict):
        raise SimulationError(f"{where}: holds a {type(case).__name__}; a case is an object with the keys {', '.join(_KEYS)}")
    for key in _KEYS:
        if key not in case:
            raise SimulationError(f"{where}.{key}: is missing; a case has the keys {', '.join(_KEYS)}")
    key = str(case["instance"])
    source = file.parent / "instances" / f"{key}.json"
    if key not in instances:
        instances[key] = read_instance(source) if source.is_file() else None
    instance = instances[key]
    if instance is None:
        return {"name": name, "mode": case["mode"], "skipped": f"{source} is not there"}
    expected = {part: _numbers(f"{where}.{part}", case[part], instance.n_tasks) for part in ("start", "end")}
    makespan = float(_numbers(f"{where}.makespan", [case["makespan"]], 1)[0])
    try:
        played = engine(_problem(where, case, instance))
    except CosimError as error:
        raise error if str(error).startswith(str(file)) else type(error)(f"{where}: {error}") from error
    found = np.concatenate([played.start_s, played.end_s, [played.makespan_s]])
    rel_error = _rel_error(found, np.concatenate([expected["start"], expected["end"], [makespan]]), makespan)
    return {"name": name, "mode": case["mode"], "makespan": played.makespan_s, "expected": makespan, "rel_error": rel_error}


def _problem(where: str, case: dict[str, Any], instance: Instance) -> Problem:
    """Return the placed instance of a case; the file's unit of time is taken as one second."""
    n_tasks, op_bytes, memory = instance.n_tasks, case.get("op_bytes"), case.get("memory_bandwidth")
    if case["mode"] == "fair" and memory is None:
        raise SimulationError(f"{where}.memory_bandwidth: is missing; mode fair shares one memory, so give its bandwidth")
    assignment = _numbers(f"{where}.assignment", case["assignment"], n_tasks)
    for task in np.flatnonzero(assignment != np.rint(assignment))[:1]:
        raise SimulationError(f"{where}.assignment[{task}]: {assignment[task]} is no device index")
    return placed_problem(
        instance,
        assignment.astype(np.int64),
        _numbers(f"{where}.priority", case["priority"], n_tasks),
        case["mode"],
        None if op_bytes is None else _numbers(f"{where}.op_bytes", op_bytes, n_tasks),
        None if memory is None else float(_numbers(f"{where}.memory_bandwidth", [memory], 1)[0]),
    )


def _numbers(where: str, given: Any, n: int) -> FloatArray:
    """Return a list of n finite numbers as an array."""
    if not isinstance(given, list) or len(given) != n:
        raise SimulationError(f"{where}: must be a list of {n} numbers")
    for index, value in enumerate(given):
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise SimulationError(f"{where}[{index}]: {value!r} is not a finite number")
    return np.array(given, np.float64)


def _rel_error(found: FloatArray, expected: FloatArray, makespan: float) -> float:
    """Largest |found - expected| / |expected|, over the makespan where 0 is expected; infinite when all of it is 0."""
    difference = np.abs(found - expected)
    scale = np.where(expected != 0, np.abs(expected), abs(makespan))
    ratio = np.full(difference.shape, np.inf)
    np.divide(difference, scale, out=ratio, where=scale > 0)
    ratio[difference == 0] = 0.0
    return float(ratio.max(initial=0.0))

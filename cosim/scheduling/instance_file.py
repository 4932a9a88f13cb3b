"""Reader of scheduling instances, format sched-instance-1."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.scheduling.instance import Instance
from workloads.errors import ScheduleError

if TYPE_CHECKING:
    from pathlib import Path

    from cosim.engine.problem import FloatArray

FORMAT = "sched-instance-1"


def read_instance(path: Path) -> Instance:
    """Read tasks, devices, costs, edges and links; one time unit of the file is taken as one second.

    `cost[i][p]` null: device p does not support task i. Without `cost`, related machines:
    task_work[i] / speed[p]. Raises ScheduleError, with file and place, for what cannot be read.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise ScheduleError(f"{path}: holds a {type(data).__name__}; an instance is a JSON object")
    if data.get("format") != FORMAT:
        raise ScheduleError(f"{path}: format: {data.get('format')!r} is not known; choose {FORMAT!r}")
    tasks, devices, edges = (_entries(path, data, key) for key in ("tasks", "devices", "edges"))
    n_devices = len(devices)
    cost_s = _matrix(path, data, "cost", (len(tasks), n_devices), null=np.inf) if "cost" in data else _related(path, data, tasks, devices)
    columns = {key: [_number(f"{path}: edges[{i}].{key}", edge.get(key)) for i, edge in enumerate(edges)] for key in ("src", "dst", "size")}
    for key in ("src", "dst"):
        for i, value in enumerate(columns[key]):
            if value != int(value) or not 0 <= value < len(tasks):
                raise ScheduleError(f"{path}: edges[{i}].{key}: {value} is no task id; there are {len(tasks)}, counted from 0")
    try:
        return Instance(
            task_names=tuple(str(task.get("name", i)) for i, task in enumerate(tasks)),
            device_names=tuple(str(device.get("name", p)) for p, device in enumerate(devices)),
            cost_s=cost_s,
            edge_src=np.array(columns["src"], np.int64),
            edge_dst=np.array(columns["dst"], np.int64),
            edge_bytes=np.array(columns["size"], np.float64),
            bandwidth_bytes_per_s=_matrix(path, data, "bandwidth", (n_devices, n_devices)),
            latency_s=_matrix(path, data, "latency", (n_devices, n_devices)),
        )
    except ScheduleError as error:
        raise ScheduleError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from error


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; raises ScheduleError with file, line and column."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScheduleError(f"{path}: cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise ScheduleError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise ScheduleError(f"{path}: not JSON text: {error}") from error


def _entries(path: Path, data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return a list of objects; tasks and devices carry their position as id."""
    entries = data.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ScheduleError(f"{path}: {key}: must be a list of objects, but is {type(entries).__name__}")
    if key == "devices" and not entries:
        raise ScheduleError(f"{path}: devices: is empty; list one or more")
    for index, entry in enumerate(entries):
        if key != "edges" and entry.get("id", index) != index:
            raise ScheduleError(f"{path}: {key}[{index}].id: {entry['id']!r} is not its position {index}; ids count from 0 in order")
    return entries


def _related(path: Path, data: dict[str, Any], tasks: list[dict[str, Any]], devices: list[dict[str, Any]]) -> FloatArray:
    """Costs of related machines: task_work[i] / speed[p]."""
    work = data.get("task_work")
    if not isinstance(work, list) or len(work) != len(tasks):
        raise ScheduleError(f"{path}: cost: missing; give cost[task][device], or task_work[task] and the speed of each device")
    works = [_number(f"{path}: task_work[{i}]", value) for i, value in enumerate(work)]
    speeds = [_number(f"{path}: devices[{p}].speed", device.get("speed")) for p, device in enumerate(devices)]
    for p, speed in enumerate(speeds):
        if speed <= 0:
            raise ScheduleError(f"{path}: devices[{p}].speed: {speed} must be above 0")
    return np.array(works, np.float64)[:, np.newaxis] / np.array(speeds, np.float64)


def _matrix(path: Path, data: dict[str, Any], key: str, shape: tuple[int, int], null: float | None = None) -> FloatArray:
    """Return data[key][row][column] as numbers of a given shape; JSON's null stands for `null`, or is left out on a diagonal."""
    rows = data.get(key)
    if not isinstance(rows, list) or len(rows) != shape[0]:
        raise ScheduleError(f"{path}: {key}: must be a list of {shape[0]} rows")
    values = np.zeros(shape)
    for i, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != shape[1]:
            raise ScheduleError(f"{path}: {key}[{i}]: must be a list of {shape[1]} numbers")
        for j, value in enumerate(row):
            if value is not None or (null is None and i != j):
                values[i, j] = _number(f"{path}: {key}[{i}][{j}]", value)
            elif null is not None:
                values[i, j] = null
    return values


def _number(where: str, value: Any) -> float:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ScheduleError(f"{where}: {value!r} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise ScheduleError(f"{where}: {value!r} is not finite")
    return number

"""Fixed: a schedule made before, by hand or by another policy, replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.engine.compiled import play
from cosim.engine.problem import Mode, Problem
from cosim.engine.tables import Tables
from cosim.plan import Schedule
from cosim.scheduling.instance import Plan
from workloads.errors import ScheduleError

if TYPE_CHECKING:
    from cosim.engine.problem import FloatArray, IntArray
    from cosim.scheduling.instance import Instance


def placed_problem(
    instance: Instance,
    assignment: IntArray,
    priority: FloatArray,
    mode: Mode = "none",
    op_bytes: FloatArray | None = None,
    memory_bytes_per_s: float | None = None,
) -> Problem:
    """Return an instance with a placement as a problem for the engine, with one memory that every flow loads, or none."""
    within = (assignment >= 0) & (assignment < instance.n_devices)
    device = np.where(within, assignment, 0)  # the problem itself refuses the others
    src, dst = device[instance.edge_src], device[instance.edge_dst]
    capacity = np.array([] if memory_bytes_per_s is None else [memory_bytes_per_s], np.float64)
    return Problem(
        n_devices=instance.n_devices,
        cost_s=instance.cost_s[np.arange(instance.n_tasks), device],
        assignment=assignment,
        priority=priority,
        flow_bytes=np.zeros(instance.n_tasks) if op_bytes is None else op_bytes,
        edge_src=instance.edge_src,
        edge_dst=instance.edge_dst,
        edge_latency_s=instance.latency_s[src, dst],
        edge_bytes=instance.edge_bytes,
        edge_cap_bytes_per_s=instance.bandwidth_bytes_per_s[src, dst],
        capacity_bytes_per_s=capacity,
        membership=np.ones((instance.n_tasks + instance.n_edges, capacity.size), bool),
        mode=mode,
        task_names=instance.task_names,
    )


def instance_tables(
    instance: Instance, mode: Mode = "none", op_bytes: FloatArray | None = None, memory_bytes_per_s: float | None = None
) -> Tables:
    """Return an instance as tables for the compiled engine: any placement of them is what `placed_problem` makes of it."""
    n, m = instance.n_tasks, instance.n_devices
    n_bytes = np.zeros((n, m, 1))
    n_bytes[:, :, 0] = (np.zeros(n) if op_bytes is None else op_bytes)[:, np.newaxis]
    return Tables(
        fixed_s=np.zeros((n, m)),
        body_s=instance.cost_s,
        read_bytes=n_bytes,
        own_bytes=n_bytes,
        write_bytes=np.zeros((n, m, 1)),
        memory_bytes_per_s=np.array([np.inf]),
        capacity_bytes_per_s=np.array([np.inf if memory_bytes_per_s is None else memory_bytes_per_s], np.float64),
        link_bytes_per_s=np.full(m, np.inf),
        link_is_shared=False,
        edge_src=instance.edge_src,
        edge_dst=instance.edge_dst,
        edge_bytes=instance.edge_bytes,
        edge_memory=np.zeros(instance.n_edges, np.int64),
        latency_s=instance.latency_s,
        edge_bytes_per_s=instance.bandwidth_bytes_per_s,
        edges_are_input=False,
        mode=mode,
        task_names=instance.task_names,
    )


def plan_from_schedule(schedule: Schedule, instance: Instance) -> Plan:
    """Replay a schedule: its devices and its priorities, without contention and without gaps to insert into.

    Raises ScheduleError, with file and place, if it misses a task, names one or a device that does not
    exist, or places a task where it cannot run.
    """
    schedule.check(instance.task_names, instance.device_names)
    task_of = {name: task for task, name in enumerate(instance.task_names)}
    assignment, priority = np.zeros(instance.n_tasks, np.int64), np.zeros(instance.n_tasks)
    for index, op in enumerate(schedule.ops):
        task, device = task_of[op.name], instance.device_names.index(op.device)
        if not instance.supported[task, device]:
            able = [instance.device_names[other] for other in np.flatnonzero(instance.supported[task])]
            raise ScheduleError(f"{schedule.place(index)}.device: {op.device!r} cannot run op {op.name!r}; choose {' or '.join(able)}")
        assignment[task], priority[task] = device, op.priority
    played = play(placed_problem(instance, assignment, priority))
    return Plan(assignment, priority, played.start_s, played.end_s, played.makespan_s)

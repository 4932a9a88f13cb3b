"""What a policy sees and what it answers: a task graph on a chip without contention, and a plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cosim.engine.problem import as_array, topological_order
from cosim.scheduling.arrays import Arrays, arrays_of
from workloads.errors import ScheduleError

if TYPE_CHECKING:
    from cosim.engine.problem import BoolArray, FloatArray, IntArray
    from cosim.engine.tables import Tables


@dataclass(frozen=True)
class Goal:
    """What a policy minimizes, what it must keep to, and how long it may think.

    energy_weight  w of makespan^(1 - w) * energy^w: 0 makespan, 1 energy, 0.5 as the energy-delay product
    max_loss       most accuracy (as a fraction) that all placed tasks together may lose; None: any
    budget_s       CPU seconds of the calling thread that a search may take; None: its default

    Raises ScheduleError for numbers out of range.
    """

    energy_weight: float = 0.0
    max_loss: float | None = None
    budget_s: float | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0.0 <= self.energy_weight <= 1.0:
            raise ScheduleError(f"energy weight {self.energy_weight} is out of range; choose 0 (makespan) to 1 (energy)")
        if self.max_loss is not None and not self.max_loss >= 0.0:
            raise ScheduleError(f"loss limit {self.max_loss} is out of range; choose 0 or more, such as 0.01")
        if self.budget_s is not None and not 0.0 < self.budget_s < np.inf:
            raise ScheduleError(f"time budget {self.budget_s} s is out of range; choose more than 0 s")


@dataclass(frozen=True, eq=False)
class Instance:
    """A task graph and a chip without contention, the model of the list-scheduling literature.

    A task runs once, on one device, without preemption; a device runs one task at a time. An edge takes
    latency + bytes/bandwidth between devices and nothing within one; transfers run side by side.

    cost_s                 [n_tasks, n_devices] run time; infinite where the device does not support the task
    edge_src, edge_dst     [n_edges] task ids
    edge_bytes             [n_edges]
    bandwidth_bytes_per_s  [n_devices, n_devices] between distinct devices; the diagonal is not used
    latency_s              [n_devices, n_devices] the same
    goal                   what to minimize
    task_energy_j          [n_tasks, n_devices] what a task spends on a device, memories and links included; None: not known
    power_w                drawn while the schedule lasts, whatever runs
    task_loss              [n_tasks, n_devices] accuracy (as a fraction) that computing a task there loses; None: none
    tables                 what the engine plays, for policies that look at contention; None: contention-free

    Raises ScheduleError for a graph with a cycle, a task that no device supports, numbers out of range.
    """

    task_names: tuple[str, ...]
    device_names: tuple[str, ...]
    cost_s: FloatArray
    edge_src: IntArray
    edge_dst: IntArray
    edge_bytes: FloatArray
    bandwidth_bytes_per_s: FloatArray
    latency_s: FloatArray
    goal: Goal = Goal()
    task_energy_j: FloatArray | None = None
    power_w: float = 0.0
    task_loss: FloatArray | None = None
    tables: Tables | None = None

    def __post_init__(self) -> None:
        """Turn everything into arrays of one type and check it."""
        for name in ("cost_s", "edge_bytes", "bandwidth_bytes_per_s", "latency_s", "task_energy_j", "task_loss"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, as_array(name, getattr(self, name), np.float64, ScheduleError))
        for name in ("edge_src", "edge_dst"):
            object.__setattr__(self, name, as_array(name, getattr(self, name), np.int64, ScheduleError))
        self._check_shapes()
        self._check_numbers()
        if self.topological_order.size < self.n_tasks:
            task = int(np.setdiff1d(np.arange(self.n_tasks), self.topological_order)[0])
            raise ScheduleError(f"the edges form a cycle, so task {self.task_names[task]!r} could never start; remove one of them")

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return len(self.task_names)

    @property
    def n_devices(self) -> int:
        """Number of devices."""
        return len(self.device_names)

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return self.edge_src.size

    @cached_property
    def supported(self) -> BoolArray:
        """[n_tasks, n_devices] whether the device can run the task."""
        return np.isfinite(self.cost_s)

    @cached_property
    def topological_order(self) -> IntArray:
        """[n_tasks] Kahn's algorithm, smallest id first: what breaks ties in every classic policy."""
        return topological_order(self.n_tasks, self.edge_src, self.edge_dst)

    @cached_property
    def arrays(self) -> Arrays:
        """The instance as compiled policies read it."""
        return arrays_of(self)

    @cached_property
    def in_edges(self) -> tuple[tuple[int, ...], ...]:
        """Edge indices into each task."""
        return _edges_by_task(self.n_tasks, self.edge_dst)

    @cached_property
    def out_edges(self) -> tuple[tuple[int, ...], ...]:
        """Edge indices out of each task."""
        return _edges_by_task(self.n_tasks, self.edge_src)

    @cached_property
    def successors(self) -> tuple[tuple[int, ...], ...]:
        """Destination task of each edge out of a task, in edge order."""
        dst = self.edge_dst.tolist()
        return tuple(tuple(dst[edge] for edge in edges) for edges in self.out_edges)

    @cached_property
    def mean_cost_s(self) -> FloatArray:
        """[n_tasks] mean over the devices that support the task."""
        mean_s: FloatArray = np.where(self.supported, self.cost_s, 0.0).sum(axis=1) / self.supported.sum(axis=1)
        return mean_s

    @cached_property
    def mean_transfer_s(self) -> FloatArray:
        """[n_edges] mean latency + bytes * mean(1/bandwidth), both over ordered pairs of distinct devices; 0 with one device."""
        distinct = ~np.eye(self.n_devices, dtype=bool)
        if not distinct.any():
            return np.zeros(self.n_edges)
        mean_s = float(self.latency_s[distinct].mean()) + self.edge_bytes * float((1.0 / self.bandwidth_bytes_per_s[distinct]).mean())
        return np.asarray(mean_s, np.float64)

    def ready_s(self, task: int, assignment: IntArray, end_s: FloatArray) -> FloatArray:
        """[n_devices] when the last input of `task` arrives on each device, its predecessors being placed.

        max over in-edges of end + latency + bytes/bandwidth, without the transfer on the device of the source.
        """
        edges = self._in_edge_arrays[task]
        if not edges.size:
            return np.zeros(self.n_devices)
        src = self.edge_src[edges]
        device = assignment[src]
        arrival_s = end_s[src, np.newaxis] + (self._latency_s[device] + self.edge_bytes[edges, np.newaxis] / self._bandwidth[device])
        return np.asarray(arrival_s.max(axis=0), np.float64)

    @cached_property
    def _in_edge_arrays(self) -> tuple[IntArray, ...]:
        return tuple(np.array(edges, np.int64) for edges in self.in_edges)

    @cached_property
    def _latency_s(self) -> FloatArray:
        return np.where(np.eye(self.n_devices, dtype=bool), 0.0, self.latency_s)

    @cached_property
    def _bandwidth(self) -> FloatArray:
        return np.where(np.eye(self.n_devices, dtype=bool), np.inf, self.bandwidth_bytes_per_s)

    def _check_shapes(self) -> None:
        n, m, n_edges = self.n_tasks, self.n_devices, self.edge_src.size
        shapes = {
            "cost_s": (n, m),
            "edge_dst": (n_edges,),
            "edge_bytes": (n_edges,),
            "bandwidth_bytes_per_s": (m, m),
            "latency_s": (m, m),
            **{name: (n, m) for name in ("task_energy_j", "task_loss") if getattr(self, name) is not None},
        }
        for name, shape in shapes.items():
            given = getattr(self, name).shape
            if given != shape:
                raise ScheduleError(f"{name} has shape {given}; with {n} tasks, {m} devices and {n_edges} edges it must be {shape}")

    def _check_numbers(self) -> None:
        for task, device in np.argwhere(~(self.cost_s >= 0))[:1]:
            where = f"task {self.task_names[task]!r} on {self.device_names[device]!r}"
            raise ScheduleError(f"cost of {where} is {self.cost_s[task, device]}; it must be 0 or more (infinite: not supported)")
        for task in np.flatnonzero(~self.supported.any(axis=1))[:1]:
            raise ScheduleError(f"task {self.task_names[task]!r} is supported by no device; add one that can run it")
        for name in ("edge_src", "edge_dst"):
            ends = getattr(self, name)
            for edge in np.flatnonzero((ends < 0) | (ends >= self.n_tasks))[:1]:
                raise ScheduleError(f"{name}[{edge}] = {ends[edge]} is no task; there are {self.n_tasks}, counted from 0")
        for edge in np.flatnonzero(~((self.edge_bytes >= 0) & np.isfinite(self.edge_bytes)))[:1]:
            raise ScheduleError(f"edge_bytes[{edge}] = {self.edge_bytes[edge]}; it must be 0 or more, and finite")
        distinct = ~np.eye(self.n_devices, dtype=bool)
        for p, q in np.argwhere(distinct & ~(self.bandwidth_bytes_per_s > 0))[:1]:
            raise ScheduleError(f"bandwidth {self._pair(p, q)} is {self.bandwidth_bytes_per_s[p, q]}; it must be above 0")
        for p, q in np.argwhere(distinct & ~((self.latency_s >= 0) & np.isfinite(self.latency_s)))[:1]:
            raise ScheduleError(f"latency {self._pair(p, q)} is {self.latency_s[p, q]}; it must be 0 or more, and finite")

    def _pair(self, p: int, q: int) -> str:
        return f"from {self.device_names[p]!r} to {self.device_names[q]!r}"


def _edges_by_task(n_tasks: int, end: IntArray) -> tuple[tuple[int, ...], ...]:
    edges: list[list[int]] = [[] for _ in range(n_tasks)]
    for edge, task in enumerate(end.tolist()):
        edges[task].append(edge)
    return tuple(tuple(part) for part in edges)


@dataclass(frozen=True, eq=False)
class Plan:
    """What a policy answers: where each task runs, what runs first (larger), and when it would without contention.

    assignment, priority, start_s, end_s  [n_tasks];  makespan_s  the last end
    lower_bound_s  makespan that the policy has proven no plan can beat; 0: it proves nothing
    """

    assignment: IntArray
    priority: FloatArray
    start_s: FloatArray
    end_s: FloatArray
    makespan_s: float
    lower_bound_s: float = 0.0


def plan_from_times(instance: Instance, assignment: IntArray, start_s: FloatArray, end_s: FloatArray) -> Plan:
    """Return the plan whose priorities follow the planned starts: n_tasks for the first task, 1 for the last.

    Ties: earlier end (a task of no length first), then topological order. An engine does not insert into
    gaps, so a plan is replayed by its start order.
    """
    place = np.empty(instance.n_tasks, np.int64)
    place[instance.topological_order] = np.arange(instance.n_tasks)
    priority = np.empty(instance.n_tasks)
    priority[np.lexsort((place, end_s, start_s))] = np.arange(instance.n_tasks, 0, -1)
    return Plan(assignment, priority, start_s, end_s, float(end_s.max(initial=0.0)))

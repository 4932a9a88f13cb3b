"""A placed task graph as an engine plays it, and what comes out."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from workloads.errors import CosimError, ScheduleError, SimulationError

if TYPE_CHECKING:
    from collections.abc import Sequence

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Mode = Literal["none", "fifo", "fair"]


@dataclass(frozen=True, eq=False)
class Problem:
    """Tasks placed on devices, edges between them and the resources that both load.

    A flow is a task (flow id = task id) or an edge (flow id = n_tasks + edge index).

    n_devices             devices, each runs one task at a time without preemption
    cost_s                [n_tasks] uncontended time on the device the task is placed on
    assignment            [n_tasks] device index
    priority              [n_tasks] larger runs first; ties: lower id
    flow_bytes            [n_tasks] bytes the task moves while it runs, at most at flow_bytes/cost_s; 0: pure delay
    edge_src, edge_dst    [n_edges] task ids; an edge within one device is delivered at once
    edge_latency_s        [n_edges] delay before the first byte
    edge_bytes            [n_edges]
    edge_cap_bytes_per_s  [n_edges] bandwidth of the link it takes; may be infinite
    capacity_bytes_per_s  [n_resources] DRAM, shared SRAM, links; may be infinite
    membership            [n_tasks + n_edges, n_resources] which resources a flow loads
    mode                  none: transfers take latency + bytes/cap and share nothing; fifo: the same, one at a
                          time on one bus; fair: max-min shares of the resources
    task_names            [n_tasks] for messages; may be empty
    release_s             [n_tasks] before which a task is not ready, as if one more input arrived then; empty: 0

    Raises ScheduleError for a task on a device that does not exist or cannot run it, SimulationError
    for a graph with a cycle and for numbers out of range.
    """

    n_devices: int
    cost_s: FloatArray
    assignment: IntArray
    priority: FloatArray
    flow_bytes: FloatArray
    edge_src: IntArray
    edge_dst: IntArray
    edge_latency_s: FloatArray
    edge_bytes: FloatArray
    edge_cap_bytes_per_s: FloatArray
    capacity_bytes_per_s: FloatArray
    membership: BoolArray
    mode: Mode
    task_names: tuple[str, ...] = ()
    release_s: FloatArray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        """Turn the arrays into contiguous ones of one type, and refuse what cannot be played."""
        if self.mode not in get_args(Mode):
            raise SimulationError(f"mode {self.mode!r} is not known; choose one of: {', '.join(get_args(Mode))}")
        if not len(self.release_s):
            object.__setattr__(self, "release_s", np.zeros(len(self.cost_s)))
        kinds: dict[str, type[np.generic]] = {"FloatArray": np.float64, "IntArray": np.int64, "BoolArray": np.bool_}
        for item in fields(self):
            if str(item.type) in kinds:
                object.__setattr__(self, item.name, as_array(item.name, getattr(self, item.name), kinds[str(item.type)]))
        self._check_shapes()
        self._check_tasks()
        self._check_edges()
        self._check_resources()

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return self.cost_s.size

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return self.edge_src.size

    @property
    def n_resources(self) -> int:
        """Number of shared resources."""
        return self.capacity_bytes_per_s.size

    @cached_property
    def edge_is_local(self) -> BoolArray:
        """[n_edges] whether both ends are on one device, so that nothing moves."""
        local: BoolArray = self.assignment[self.edge_src] == self.assignment[self.edge_dst]
        return local

    @cached_property
    def moved_bytes(self) -> FloatArray:
        """[n_flows] bytes a flow moves in any mode: those of tasks, and of edges between devices."""
        return np.concatenate([self.flow_bytes, np.where(self.edge_is_local, 0.0, self.edge_bytes)])

    @cached_property
    def cap_bytes_per_s(self) -> FloatArray:
        """[n_flows] most that a flow can take: flow_bytes/cost of a task, the link of an edge; infinite without either."""
        cap = np.full(self.n_tasks, np.inf)
        np.divide(self.flow_bytes, self.cost_s, out=cap, where=(self.cost_s > 0) & (self.flow_bytes > 0))
        return np.concatenate([cap, self.edge_cap_bytes_per_s])

    @cached_property
    def shared_bytes(self) -> FloatArray:
        """[n_flows] bytes that compete: in mode fair, those of flows that load a finite resource; else 0."""
        if self.mode != "fair":
            return np.zeros(self.n_tasks + self.n_edges)
        loads = self.membership[:, np.isfinite(self.capacity_bytes_per_s)].any(axis=1)
        return np.where(loads, self.moved_bytes, 0.0)

    @cached_property
    def delay_s(self) -> FloatArray:
        """[n_flows] time before, or instead of, the shared part: cost or 0 of a task, latency (+ bytes/cap) of an edge."""
        shared = self.shared_bytes > 0
        task = np.where(shared[: self.n_tasks], 0.0, self.cost_s)
        transfer = np.zeros(self.n_edges)
        alone = ~shared[self.n_tasks :] & ~self.edge_is_local & (self.edge_bytes > 0)
        np.divide(self.edge_bytes, self.edge_cap_bytes_per_s, out=transfer, where=alone)
        return np.concatenate([task, np.where(self.edge_is_local, 0.0, self.edge_latency_s + transfer)])

    def task_label(self, task: int) -> str:
        """What messages call a task."""
        return f"task {task} ({self.task_names[task]!r})" if self.task_names else f"task {task}"

    def _check_shapes(self) -> None:
        n_tasks, n_edges, n_resources = self.cost_s.size, self.edge_src.size, self.capacity_bytes_per_s.size
        shapes: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(("cost_s", "assignment", "priority", "flow_bytes", "release_s"), (n_tasks,)),
            **dict.fromkeys(("edge_src", "edge_dst", "edge_latency_s", "edge_bytes", "edge_cap_bytes_per_s"), (n_edges,)),
            "capacity_bytes_per_s": (n_resources,),
            "membership": (n_tasks + n_edges, n_resources),
        }
        for name, shape in shapes.items():
            given = getattr(self, name).shape
            if given != shape:
                raise SimulationError(f"{name} has shape {given}; with {n_tasks} tasks and {n_edges} edges it must be {shape}")
        if self.task_names and len(self.task_names) != n_tasks:
            raise SimulationError(f"task_names has {len(self.task_names)} entries; give {n_tasks} or none")

    def _check_tasks(self) -> None:
        for task in np.flatnonzero((self.assignment < 0) | (self.assignment >= self.n_devices))[:1]:
            raise ScheduleError(
                f"{self.task_label(task)} is placed on device {self.assignment[task]}; there are {self.n_devices}, counted from 0"
            )
        for task in np.flatnonzero(~np.isfinite(self.cost_s))[:1]:
            raise ScheduleError(
                f"{self.task_label(task)} has no cost on device {self.assignment[task]}: it cannot run there; place it on another"
            )
        for task in np.flatnonzero(np.isnan(self.priority))[:1]:
            raise ScheduleError(f"{self.task_label(task)} has priority nan; give a number, larger runs first")
        for name in ("cost_s", "flow_bytes", "release_s"):
            values = getattr(self, name)
            for task in np.flatnonzero(~((values >= 0) & np.isfinite(values)))[:1]:
                raise SimulationError(f"{self.task_label(task)} has {name} = {values[task]}; it must be 0 or more, and finite")

    def _check_edges(self) -> None:
        for end in ("edge_src", "edge_dst"):
            values = getattr(self, end)
            for edge in np.flatnonzero((values < 0) | (values >= self.n_tasks))[:1]:
                raise SimulationError(f"{end}[{edge}] = {values[edge]} is no task; there are {self.n_tasks}, counted from 0")
        for name in ("edge_latency_s", "edge_bytes"):
            values = getattr(self, name)
            for edge in np.flatnonzero(~((values >= 0) & np.isfinite(values)))[:1]:
                raise SimulationError(f"{name}[{edge}] = {values[edge]} {self._between(edge)}; it must be 0 or more, and finite")
        needs_link = ~self.edge_is_local & (self.edge_bytes > 0)
        for edge in np.flatnonzero(needs_link & ~(self.edge_cap_bytes_per_s > 0))[:1]:
            raise SimulationError(
                f"edge_cap_bytes_per_s[{edge}] = {self.edge_cap_bytes_per_s[edge]} {self._between(edge)}, which has bytes to move; "
                "it must be above 0"
            )
        if (self.edge_src >= self.edge_dst).any():
            order = topological_order(self.n_tasks, self.edge_src, self.edge_dst)
            if order.size < self.n_tasks:
                task = int(np.setdiff1d(np.arange(self.n_tasks), order)[0])
                raise SimulationError(f"the edges form a cycle, so {self.task_label(task)} could never start; remove one of them")

    def _check_resources(self) -> None:
        least = self.capacity_bytes_per_s / max(1, self.n_tasks + self.n_edges)
        for resource in np.flatnonzero(~(least > 0))[:1]:
            raise SimulationError(f"capacity_bytes_per_s[{resource}] = {self.capacity_bytes_per_s[resource]}; it must be above 0")
        for flow in np.flatnonzero((self.shared_bytes > 0) & ~(self.cap_bytes_per_s > 0))[:1]:
            name = self.task_label(flow) if flow < self.n_tasks else f"edge {flow - self.n_tasks}"
            raise SimulationError(f"{name} moves {self.shared_bytes[flow]} bytes at a rate that rounds to 0; shorten its time")

    def _between(self, edge: int) -> str:
        return f"(edge from {self.task_label(self.edge_src[edge])} to {self.task_label(self.edge_dst[edge])})"


@dataclass(frozen=True, eq=False)
class Playback:
    """What happened when, as an engine found it.

    start_s, end_s            [n_tasks]
    edge_start_s, edge_end_s  [n_edges] from the end of the source (mode fifo: from the grant of the bus) to delivery
    makespan_s                end of the last task; 0 without tasks
    n_events                  completions: ends of tasks, of delays and of flows
    moved_bytes               [n_resources] rate of all flows that load it, integrated over time
    """

    start_s: FloatArray
    end_s: FloatArray
    edge_start_s: FloatArray
    edge_end_s: FloatArray
    makespan_s: float
    n_events: int
    moved_bytes: FloatArray


def bytes_by_resource(problem: Problem, remaining_bytes: FloatArray) -> FloatArray:
    """[n_resources] bytes moved over each resource when `remaining_bytes` [n_flows] of the shared bytes are left."""
    moved = np.where(problem.shared_bytes > 0, problem.shared_bytes - remaining_bytes, problem.moved_bytes)
    total: FloatArray = np.where(problem.membership, moved[:, np.newaxis], 0.0).sum(axis=0)
    return total


def topological_order(n_tasks: int, src: Sequence[int] | IntArray, dst: Sequence[int] | IntArray) -> IntArray:
    """Order of the tasks by Kahn's algorithm, smallest id first; shorter than n_tasks if there is a cycle."""
    successors: list[list[int]] = [[] for _ in range(n_tasks)]
    n_missing = [0] * n_tasks
    for u, v in zip(np.asarray(src).tolist(), np.asarray(dst).tolist(), strict=True):
        successors[u].append(v)
        n_missing[v] += 1
    ready = [task for task in range(n_tasks) if n_missing[task] == 0]
    order: list[int] = []
    while ready:
        task = heapq.heappop(ready)
        order.append(task)
        for v in successors[task]:
            n_missing[v] -= 1
            if n_missing[v] == 0:
                heapq.heappush(ready, v)
    return np.array(order, np.int64)


def as_array(name: str, given: Any, kind: type[np.generic], error: type[CosimError] = SimulationError) -> NDArray[Any]:
    """Return `given` as a contiguous array of one type; raises `error` rather than round numbers to indices or truth values."""
    try:
        array = np.asarray(given)
        if array.size and not np.can_cast(array.dtype, kind, casting="same_kind"):
            raise error(f"{name} holds {array.dtype}; it must hold {np.dtype(kind)}")
        return np.ascontiguousarray(array, dtype=kind)
    except (TypeError, ValueError) as cause:
        raise error(f"{name} is not an array of numbers: {cause}") from cause

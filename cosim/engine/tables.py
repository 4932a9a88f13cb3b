"""What an engine needs to know of a workload on a chip before it is placed: costs and bytes for every device."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, get_args

import numpy as np

from cosim.engine.problem import Mode, Problem, as_array
from workloads.errors import SimulationError

if TYPE_CHECKING:
    from cosim.engine.problem import FloatArray, IntArray

_MODES: tuple[str, ...] = get_args(Mode)


@dataclass(frozen=True, eq=False)
class Tables:
    """n tasks, m devices, k memories and e edges; a placement picks from these what a Problem holds.

    fixed_s, body_s       [n, m] time that overlaps with nothing, and time inside the device; infinite: not supported
    read_bytes            [n, m, k] read from each memory with all inputs local; own_bytes: the part that no placement avoids
    write_bytes           [n, m, k]
    memory_bytes_per_s    [k] of one task alone
    capacity_bytes_per_s  [k] that all flows share
    link_bytes_per_s      [m] bandwidth of each device's link; `link_is_shared`: whether its flows share it
    edge_src, edge_dst    [e] tasks;  edge_bytes [e];  edge_memory [e] the memory an edge goes through
    latency_s             [m, m] of a transfer between devices
    edge_bytes_per_s      [m, m] most that one transfer can take
    edges_are_input       whether the bytes of a crossing edge are taken off what its task reads itself
    mode                  none, fifo or fair; see Problem
    release_s             [n] before which no task is ready; empty: 0

    Raises SimulationError for arrays of other shapes.
    """

    fixed_s: FloatArray
    body_s: FloatArray
    read_bytes: FloatArray
    own_bytes: FloatArray
    write_bytes: FloatArray
    memory_bytes_per_s: FloatArray
    capacity_bytes_per_s: FloatArray
    link_bytes_per_s: FloatArray
    link_is_shared: bool
    edge_src: IntArray
    edge_dst: IntArray
    edge_bytes: FloatArray
    edge_memory: IntArray
    latency_s: FloatArray
    edge_bytes_per_s: FloatArray
    edges_are_input: bool
    mode: Mode
    release_s: FloatArray = field(default_factory=lambda: np.empty(0))
    task_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Turn everything into contiguous arrays of one type and check the shapes."""
        n, m, k, e = self.n_tasks, self.n_devices, self.n_memories, len(self.edge_src)
        shapes: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(("fixed_s", "body_s"), (n, m)),
            **dict.fromkeys(("read_bytes", "own_bytes", "write_bytes"), (n, m, k)),
            **dict.fromkeys(("memory_bytes_per_s", "capacity_bytes_per_s"), (k,)),
            **dict.fromkeys(("edge_src", "edge_dst", "edge_bytes", "edge_memory"), (e,)),
            **dict.fromkeys(("latency_s", "edge_bytes_per_s"), (m, m)),
            "link_bytes_per_s": (m,),
            "release_s": (n,),
        }
        if not len(self.release_s):
            object.__setattr__(self, "release_s", np.zeros(n))
        for name, shape in shapes.items():
            kind = np.int64 if name in {"edge_src", "edge_dst", "edge_memory"} else np.float64
            array = as_array(name, getattr(self, name), kind)
            if array.shape != shape:
                counts = f"{n} tasks, {m} devices, {k} memories and {e} edges"
                raise SimulationError(f"{name} has shape {array.shape}; with {counts} it must be {shape}")
            object.__setattr__(self, name, array)

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return len(self.fixed_s)

    @property
    def n_devices(self) -> int:
        """Number of devices."""
        return len(self.link_bytes_per_s)

    @property
    def n_memories(self) -> int:
        """Number of memories."""
        return len(self.memory_bytes_per_s)

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return len(self.edge_src)

    def placed(self, assignment: IntArray, priority: FloatArray) -> Problem:
        """Return the problem that a placement makes of the tables, for an engine that takes it step by step; raises as Problem does."""
        from cosim.engine.kernels.simulate import place_tasks, unpack  # noqa: PLC0415  (compiled code; loaded by those who play)

        n, m, k = self.n_tasks, self.n_devices, self.n_memories
        within = (assignment >= 0) & (assignment < m)  # the problem itself refuses the others
        device = np.where(within, assignment, 0).astype(np.int64)
        cost_s, flow_bytes, busiest = np.empty(n), np.empty(n), np.empty(n, np.int64)
        ints, floats, _ = self.packed
        place_tasks(ints, unpack(ints, floats), device, cost_s, flow_bytes, busiest)
        src, dst = device[self.edge_src], device[self.edge_dst]
        member = np.zeros((n + self.n_edges, k + m * self.link_is_shared), np.bool_)
        flows = np.arange(n + self.n_edges)
        member[flows, np.concatenate([busiest, self.edge_memory])] = True
        if self.link_is_shared:
            member[flows, k + np.concatenate([device, dst])] = True
        return Problem(
            n_devices=m,
            cost_s=cost_s,
            assignment=assignment,
            priority=priority,
            flow_bytes=flow_bytes,
            edge_src=self.edge_src,
            edge_dst=self.edge_dst,
            edge_latency_s=np.where(src == dst, 0.0, self.latency_s[src, dst]),
            edge_bytes=self.edge_bytes,
            edge_cap_bytes_per_s=np.minimum(self.edge_bytes_per_s[src, dst], self.memory_bytes_per_s[self.edge_memory]),
            capacity_bytes_per_s=np.concatenate([self.capacity_bytes_per_s, self.link_bytes_per_s if self.link_is_shared else []]),
            membership=member,
            mode=self.mode,
            task_names=self.task_names,
            release_s=self.release_s,
        )

    def placed_reads(self, assignment: IntArray) -> FloatArray:
        """[n, k] bytes that each task of a placement reads itself from each memory; inputs that cross between devices are left out."""
        from cosim.engine.kernels.simulate import place_reads, unpack  # noqa: PLC0415  (as above)

        device = np.ascontiguousarray(assignment, np.int64)
        if not self.edges_are_input:
            return self.read_bytes[np.arange(self.n_tasks), device]
        ints, floats, _ = self.packed
        return np.asarray(place_reads(ints, unpack(ints, floats), device)).reshape(self.n_tasks, self.n_memories)

    @cached_property
    def packed(self) -> tuple[IntArray, FloatArray, int]:
        """Every array of the tables in two, in the order that `kernels.simulate.unpack` knows, and the length of what `simulate` writes."""
        n, m, k, e = self.n_tasks, self.n_devices, self.n_memories, self.n_edges
        header = [n, m, k, e, _MODES.index(self.mode), self.edges_are_input, self.link_is_shared]
        first, edges = rows_of(n, self.edge_src)
        n_inputs = np.bincount(self.edge_dst, minlength=n)
        by_task = (first, edges, n_inputs, np.argsort(self.release_s, kind="stable"))
        ints = np.concatenate([header, self.edge_src, self.edge_dst, self.edge_memory, *by_task]).astype(np.int64)
        by_device = (self.fixed_s, self.body_s, self.read_bytes, self.own_bytes, self.write_bytes)
        links = (self.memory_bytes_per_s, self.capacity_bytes_per_s, self.link_bytes_per_s, self.latency_s, self.edge_bytes_per_s)
        floats = np.concatenate([part.ravel() for part in (*by_device, *links, self.edge_bytes, self.release_s)])
        return ints, floats, 3 * (n + e)


def rows_of(n_tasks: int, end: IntArray) -> tuple[IntArray, IntArray]:
    """Return edges by task in compressed rows: first [n + 1] and edges [e], in edge order within a task."""
    edges = np.argsort(end, kind="stable").astype(np.int64)
    return np.searchsorted(end[edges], np.arange(n_tasks + 1)).astype(np.int64), edges

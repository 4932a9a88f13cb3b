"""The event engine, compiled: the same semantics as the SimPy one, bit for bit, a few hundred times faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.engine.kernels.loop import play_none, play_shared
from cosim.engine.kernels.simulate import simulate, simulate_batch
from cosim.engine.problem import Playback, Problem, bytes_by_resource
from cosim.engine.tables import rows_of
from workloads.errors import SimulationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cosim.engine.problem import BoolArray, FloatArray, IntArray
    from cosim.engine.tables import Tables


def play(problem: Problem) -> Playback:
    """Play a problem through; raises SimulationError when times grow beyond what a float holds."""
    n, e = problem.n_tasks, problem.n_edges
    start_s, end_s, edge_start_s, edge_end_s = np.full(n, np.nan), np.full(n, np.nan), np.full(e, np.nan), np.full(e, np.nan)
    times = (start_s, end_s, edge_start_s, edge_end_s)
    first, edges = rows_of(n, problem.edge_src)
    n_inputs = np.bincount(problem.edge_dst, minlength=n).astype(np.int64)
    released = np.argsort(problem.release_s, kind="stable").astype(np.int64)
    graph = (first, edges, problem.edge_dst, n_inputs, problem.release_s, released)
    placement, remaining = (problem.assignment, problem.priority), problem.shared_bytes.copy()
    if problem.mode == "none":
        play_none(problem.n_devices, graph, placement, problem.delay_s, times)
        n_events = n + int((~problem.edge_is_local).sum())
    else:
        n_events = play_shared(problem.n_devices, problem.mode == "fifo", graph, placement, _flows(problem), times, remaining)
    for task in np.flatnonzero(~np.isfinite(end_s))[:1]:
        raise SimulationError(f"{problem.task_label(task)} never ends: its time is beyond what a float holds; check costs and bandwidths")
    return Playback(
        start_s=start_s,
        end_s=end_s,
        edge_start_s=edge_start_s,
        edge_end_s=edge_end_s,
        makespan_s=float(end_s.max(initial=0.0)),
        n_events=n_events,
        moved_bytes=bytes_by_resource(problem, remaining),
    )


def _flows(problem: Problem) -> tuple[BoolArray, FloatArray, FloatArray, FloatArray, IntArray, IntArray, FloatArray]:
    """Lay the flows out; resources that are infinite never bind, so the loop does not see them."""
    finite = np.flatnonzero(np.isfinite(problem.capacity_bytes_per_s))
    flow, resource = np.nonzero(problem.membership[:, finite])
    first = np.searchsorted(flow, np.arange(problem.n_tasks + problem.n_edges + 1)).astype(np.int64)
    sharing = (problem.edge_is_local, problem.delay_s, problem.shared_bytes, problem.cap_bytes_per_s)
    return *sharing, first, resource.astype(np.int64), problem.capacity_bytes_per_s[finite]


def play_tables(tables: Tables, assignment: IntArray, priority: FloatArray) -> tuple[float, FloatArray]:
    """Place and play in one compiled call: the makespan, and [3n + 3e] start_s, end_s, edge_start_s, edge_end_s, bytes left of each flow.

    assignment  int64 [n] devices that support their task, contiguous;  priority  float64 [n]
    Nothing is checked here, so that a call takes microseconds. The makespan is infinite when a task never ends, or was placed where it
    is not supported.
    """
    ints, floats, n_out = tables.packed
    out = np.empty(n_out)
    return simulate(ints, floats, assignment, priority, out), out


def makespans(tables: Tables, assignments: IntArray, priorities: FloatArray) -> FloatArray:
    """[B] makespan of each placement assignments[b], priorities[b] [B, n]; infinite where a task is not supported."""
    ints, floats, n_out = tables.packed
    makespan_s, out = np.empty(len(assignments)), np.empty(n_out)
    devices, priorities = np.ascontiguousarray(assignments, np.int64), np.ascontiguousarray(priorities, np.float64)
    simulate_batch(ints, floats, devices, priorities, out, makespan_s)
    return makespan_s


def makespans_of_chips(chips: Sequence[Tables], assignments: IntArray, priorities: FloatArray) -> FloatArray:
    """[C, B] makespan of each placement [B, n] of one network on each of several chips with the same devices by index."""
    return np.array([makespans(tables, assignments, priorities) for tables in chips]).reshape(len(chips), len(assignments))

"""An independent check of what an engine returned: the laws of the model, not the way of any engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workloads.errors import SimulationError

if TYPE_CHECKING:
    from cosim.engine.problem import BoolArray, FloatArray, IntArray, Playback, Problem

# An engine may end a flow when 1e-9 of it is left; twice that of the makespan bounds what it can shift.
TOLERANCE = 2e-9

# Starts from which the bytes of every later window are added up; more flows are sampled evenly.
N_WINDOW_STARTS = 256


def check_playback(problem: Problem, playback: Playback) -> None:
    """Raise SimulationError, naming task or edge, if a playback breaks a law of the model.

    Checked: no device (mode fifo: nor the bus) does two things at once; nothing starts before its inputs
    have arrived or ends sooner than its bytes and latency allow; a device does not idle beside a ready
    task nor pass over one of higher priority; no resource moves more than capacity * time in any window;
    each moves the bytes of its flows, neither more nor fewer.
    """
    slack_s = TOLERANCE * playback.makespan_s
    _check_times(problem, playback, slack_s)
    _check_durations(problem, playback, slack_s)
    _check_inputs(problem, playback, slack_s)
    for device in range(problem.n_devices):
        tasks = np.flatnonzero(problem.assignment == device)
        _check_exclusive(f"device {device}", problem, tasks, playback.start_s, playback.end_s, slack_s)
        _check_dispatch(problem, playback, tasks, slack_s)
    if problem.mode == "fifo":
        edges = np.flatnonzero(~problem.edge_is_local)
        _check_exclusive("the bus", problem, edges + problem.n_tasks, playback.edge_start_s, playback.edge_end_s, slack_s)
    if problem.mode == "fair":
        _check_capacity(problem, playback, slack_s)
    _check_bytes(problem, playback)


def _label(problem: Problem, flow: int) -> str:
    return problem.task_label(flow) if flow < problem.n_tasks else f"edge {flow - problem.n_tasks}"


def _check_times(problem: Problem, playback: Playback, slack_s: float) -> None:
    starts = np.concatenate([playback.start_s, playback.edge_start_s])
    ends = np.concatenate([playback.end_s, playback.edge_end_s])
    if starts.size != problem.n_tasks + problem.n_edges or ends.size != starts.size:
        raise SimulationError(f"{starts.size} starts and {ends.size} ends for {problem.n_tasks} tasks and {problem.n_edges} edges")
    for flow in np.flatnonzero(~((starts >= 0) & (ends >= starts) & np.isfinite(ends)))[:1]:
        raise SimulationError(f"{_label(problem, flow)} runs from {starts[flow]} s to {ends[flow]} s")
    if abs(playback.makespan_s - playback.end_s.max(initial=0.0)) > slack_s:
        raise SimulationError(f"the makespan is {playback.makespan_s} s, but the last task ends at {playback.end_s.max(initial=0.0)} s")


def _check_durations(problem: Problem, playback: Playback, slack_s: float) -> None:
    """A task takes its cost, longer only where its bytes compete; a transfer its latency + bytes/cap."""
    move_s = np.zeros(problem.n_edges)
    np.divide(problem.edge_bytes, problem.edge_cap_bytes_per_s, out=move_s, where=~problem.edge_is_local & (problem.edge_bytes > 0))
    least_s = np.concatenate([problem.cost_s, np.where(problem.edge_is_local, 0.0, problem.edge_latency_s + move_s)])
    took_s = np.concatenate([playback.end_s - playback.start_s, playback.edge_end_s - playback.edge_start_s])
    may_wait = problem.shared_bytes > 0
    for flow in np.flatnonzero((took_s < least_s - slack_s) | (~may_wait & (took_s > least_s + slack_s)))[:1]:
        raise SimulationError(f"{_label(problem, flow)} takes {took_s[flow]} s; alone it would take {least_s[flow]} s")


def _check_inputs(problem: Problem, playback: Playback, slack_s: float) -> None:
    early_edge = playback.edge_start_s < playback.end_s[problem.edge_src] - slack_s
    early_task = playback.start_s[problem.edge_dst] < playback.edge_end_s - slack_s
    for task in np.flatnonzero(playback.start_s < problem.release_s - slack_s)[:1]:
        raise SimulationError(f"{problem.task_label(task)} starts at {playback.start_s[task]} s, before its release")
    for edge in np.flatnonzero(early_edge)[:1]:
        raise SimulationError(f"edge {edge} starts before {problem.task_label(problem.edge_src[edge])} has ended")
    for edge in np.flatnonzero(early_task)[:1]:
        raise SimulationError(f"{problem.task_label(problem.edge_dst[edge])} starts before its input over edge {edge} has arrived")


def _check_exclusive(what: str, problem: Problem, flows: IntArray, start_s: FloatArray, end_s: FloatArray, slack_s: float) -> None:
    """No two of `flows` (all tasks, or all edges) overlap."""
    index = np.where(flows < problem.n_tasks, flows, flows - problem.n_tasks)
    order = np.lexsort((end_s[index], start_s[index]))
    starts, ends = start_s[index[order]], end_s[index[order]]
    for place in np.flatnonzero(ends[:-1] > starts[1:] + slack_s)[:1]:
        first, second = (_label(problem, flows[order[place + k]]) for k in (0, 1))
        raise SimulationError(f"{what} does two things at once at {starts[place + 1]} s: {first} and {second}")


def _check_dispatch(problem: Problem, playback: Playback, tasks: IntArray, slack_s: float) -> None:
    """Between getting ready and its start, a task sees its device busy with tasks that were first or rank higher."""
    ready_s, at_once = _ready(problem, playback)
    order = tasks[np.lexsort((playback.end_s[tasks], playback.start_s[tasks]))]
    start_s, end_s, priority = playback.start_s[order], playback.end_s[order], problem.priority[order]
    for place in np.flatnonzero(start_s > ready_s[order] + slack_s):
        task = order[place]
        before = start_s[:place]
        while_ready = (before > ready_s[task] + slack_s) | ((before == ready_s[task]) & at_once[task])
        while_ready &= before < start_s[place]  # of tasks of no length at one instant, any may have been first
        rank_lower = (priority[:place] < priority[place]) | ((priority[:place] == priority[place]) & (order[:place] > task))
        for other in np.flatnonzero(while_ready & rank_lower)[:1]:
            raise SimulationError(f"{problem.task_label(task)} is ready and of higher rank, but {problem.task_label(order[other])} starts")
        idle_from_s = np.maximum(np.concatenate([[0.0], end_s[:place]]), ready_s[task])
        idle_to_s = np.append(before, start_s[place])
        if (idle_to_s > idle_from_s + slack_s).any():
            raise SimulationError(f"device {problem.assignment[task]} idles while {problem.task_label(task)} is ready")


def _ready(problem: Problem, playback: Playback) -> tuple[FloatArray, BoolArray]:
    """[n_tasks] when the last input is there, and whether it surely is before the first dispatch of that instant.

    What comes over work of no length, or with a flow, may come later in the same instant.
    """
    ready_s = problem.release_s.copy()
    np.maximum.at(ready_s, problem.edge_dst, playback.edge_end_s)
    shared, src = problem.shared_bytes > 0, problem.edge_src
    by_source = (playback.start_s[src] == playback.end_s[src]) | shared[src]
    by_transfer = (playback.edge_start_s == playback.edge_end_s) | shared[problem.n_tasks :]
    late = (playback.edge_end_s == ready_s[problem.edge_dst]) & np.where(problem.edge_is_local, by_source, by_transfer)
    at_once = np.ones(problem.n_tasks, np.bool_)
    at_once[problem.edge_dst[late]] = False
    return ready_s, at_once


def _check_capacity(problem: Problem, playback: Playback, slack_s: float) -> None:
    """Flows that lie within a window [a, b] move at most capacity * (b - a), for each a = start, b = end of a flow."""
    starts = np.concatenate([playback.start_s, playback.edge_start_s])
    ends = np.concatenate([playback.end_s, playback.edge_end_s])
    for resource in np.flatnonzero(np.isfinite(problem.capacity_bytes_per_s)):
        capacity = problem.capacity_bytes_per_s[resource]
        flows = np.flatnonzero(problem.membership[:, resource] & (problem.shared_bytes > 0))
        flows = flows[np.argsort(ends[flows])]
        step = max(1, flows.size // N_WINDOW_STARTS)
        for first_s in np.sort(starts[flows])[::step]:
            moved = np.cumsum(np.where(starts[flows] >= first_s, problem.shared_bytes[flows], 0.0))
            over = (starts[flows] >= first_s) & (moved > capacity * (ends[flows] - first_s + slack_s) * (1 + TOLERANCE))
            if over.any():
                last_s = ends[flows[int(np.flatnonzero(over)[0])]]
                raise SimulationError(f"resource {resource} moves more than {capacity} bytes/s from {first_s} s to {last_s} s")


def _check_bytes(problem: Problem, playback: Playback) -> None:
    want = np.where(problem.membership, problem.moved_bytes[:, np.newaxis], 0.0).sum(axis=0)
    for resource in np.flatnonzero(~np.isclose(playback.moved_bytes, want, rtol=TOLERANCE, atol=0.0))[:1]:
        raise SimulationError(f"resource {resource} moved {playback.moved_bytes[resource]} bytes; its flows have {want[resource]}")

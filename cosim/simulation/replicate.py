"""One placed problem for many inferences: the same tasks again for every arrival, side by side on the same devices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cosim.engine.problem import Playback, Problem
from cosim.engine.semantics import dispatch_rank
from workloads.errors import SimulationError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_FLOWS = 4_000_000  # tasks and edges of one problem; about 250 bytes each while it is played


@dataclass(frozen=True, eq=False)
class Replica:
    """A problem of n inferences, and where each of its parts comes from.

    task, edge          [n_tasks], [n_edges] the task and edge of the template that it repeats
    first_task          [n + 1] where the tasks of each inference begin
    n_edges             edges that repeat one; those after them only keep an inference waiting
    """

    problem: Problem
    task: Ints
    edge: Ints
    first_task: Ints

    @cached_property
    def inference(self) -> Ints:
        """[n_tasks] which inference a task belongs to."""
        return np.repeat(np.arange(self.first_task.size - 1), np.diff(self.first_task))

    @property
    def n_edges(self) -> int:
        """Edges that repeat one of the template."""
        return self.edge.size

    def span_s(self, playback: Playback) -> tuple[Floats, Floats]:
        """[n], [n] first start and last end of each inference."""
        first = self.first_task[:-1]
        return np.minimum.reduceat(playback.start_s, first), np.maximum.reduceat(playback.end_s, first)


def replicate(
    template: Problem,
    first_op: Ints,
    network: Ints,
    release_s: Floats,
    place: Ints,
    *,
    waits_for: Ints | None = None,
) -> Replica:
    """Repeat the part of the template that is network[i] for every inference i.

    first_op   [n_networks + 1] where the tasks of each network begin; no edge leads from one to another
    release_s  [n] before which no task of an inference is ready
    place      [n] order of the inferences: a ready task of a lower place runs first, within an inference the template's priority decides
    waits_for  [n] inference, before it, that has to end first; -1: none

    priority(task) = -(place n_tasks + rank of the task in the template), whole numbers that a float holds exactly. Mode none becomes fair
    on resources without limit, which gives the same times, and whose loop does not slow down with arrivals far ahead.
    Raises SimulationError when there is too much to play at once.
    """
    first_edge = np.searchsorted(template.edge_dst, first_op)
    n_tasks, n_edges = np.diff(first_op)[network], np.diff(first_edge)[network]
    _check_size(n_tasks, n_edges)
    first_task = np.concatenate([[0], np.cumsum(n_tasks)])
    owner, edge_owner = np.repeat(np.arange(network.size), n_tasks), np.repeat(np.arange(network.size), n_edges)
    task = first_op[network[owner]] + np.arange(owner.size) - first_task[owner]
    edge = first_edge[network[edge_owner]] + np.arange(edge_owner.size) - (np.cumsum(n_edges) - n_edges)[edge_owner]
    shift = first_task[edge_owner] - first_op[network[edge_owner]]
    barrier = _barriers(template, first_op, network, first_task, waits_for)
    src, dst = (
        np.concatenate([getattr(template, f"edge_{end}")[edge] + shift, waits]) for end, waits in zip(("src", "dst"), barrier, strict=True)
    )
    n_waits, is_alone = barrier[0].size, template.mode == "none"
    is_source = np.bincount(template.edge_dst, minlength=template.n_tasks) == 0
    member = np.concatenate(
        [template.membership[task], template.membership[template.n_tasks + edge], np.zeros((n_waits, template.n_resources), np.bool_)]
    )
    problem = Problem(
        n_devices=template.n_devices,
        cost_s=template.cost_s[task],
        assignment=template.assignment[task],
        priority=-(place[owner] * float(template.n_tasks) + dispatch_rank(template.priority)[task]),
        flow_bytes=template.flow_bytes[task],
        edge_src=src,
        edge_dst=dst,
        edge_latency_s=np.concatenate([template.edge_latency_s[edge], np.zeros(n_waits)]),
        edge_bytes=np.concatenate([template.edge_bytes[edge], np.zeros(n_waits)]),
        edge_cap_bytes_per_s=np.concatenate([template.edge_cap_bytes_per_s[edge], np.full(n_waits, np.inf)]),
        capacity_bytes_per_s=np.full(template.n_resources, np.inf) if is_alone else template.capacity_bytes_per_s,
        membership=member,
        mode="fair" if is_alone else template.mode,
        release_s=np.where(is_source[task], release_s[owner], 0.0),
    )
    return Replica(problem, task, edge, first_task)


def _check_size(n_tasks: Ints, n_edges: Ints) -> None:
    total = np.cumsum(n_tasks + n_edges)
    if total.size and total[-1] > MAX_FLOWS:
        fits = int(np.searchsorted(total, MAX_FLOWS))
        raise SimulationError(
            f"{total.size:,} inferences are {total[-1]:,} ops and edges, too many at once; choose at most {fits:,} inferences"
        )


def _barriers(template: Problem, first_op: Ints, network: Ints, first_task: Ints, waits_for: Ints | None) -> tuple[Ints, Ints]:
    """Edges of no bytes and no latency from all last tasks of an inference to all first tasks of the one that waits for it."""
    if waits_for is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    ends = {name: np.bincount(getattr(template, f"edge_{name}"), minlength=template.n_tasks) == 0 for name in ("src", "dst")}
    sinks, sources = ([np.flatnonzero(ends[name][a:b]) for a, b in pairwise(first_op.tolist())] for name in ("src", "dst"))
    src, dst = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for later in np.flatnonzero(waits_for >= 0).tolist():
        before = int(waits_for[later])
        out, into = first_task[before] + sinks[network[before]], first_task[later] + sources[network[later]]
        src.append(np.repeat(out, into.size))
        dst.append(np.tile(into, out.size))
    return np.concatenate(src), np.concatenate(dst)

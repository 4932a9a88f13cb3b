"""HEFT: heterogeneous earliest finish time."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np

from cosim.scheduling.base import Policy, policy
from cosim.scheduling.instance import Plan, plan_from_times

if TYPE_CHECKING:
    from cosim.engine.problem import FloatArray, IntArray
    from cosim.scheduling.instance import Instance


def upward_rank_s(instance: Instance) -> FloatArray:
    """[n_tasks] mean cost + max over out-edges of (mean transfer + rank of the successor).

    Source: Topcuoglu, Hariri, Wu, IEEE TPDS 13(3), 2002, "upward rank".
    """
    cost_s, transfer_s = instance.mean_cost_s.tolist(), instance.mean_transfer_s.tolist()
    rank_s = [0.0] * instance.n_tasks
    for task in reversed(instance.topological_order.tolist()):
        edges = zip(instance.out_edges[task], instance.successors[task], strict=True)
        rank_s[task] = cost_s[task] + max((transfer_s[edge] + rank_s[successor] for edge, successor in edges), default=0.0)
    return np.array(rank_s, np.float64)


def descending_rank(instance: Instance, rank_s: FloatArray) -> IntArray:
    """[n_tasks] tasks by descending rank; ties: earlier in topological order, so that inputs come first."""
    order = instance.topological_order
    return order[np.argsort(-rank_s[order], kind="stable")]


class Timeline:
    """The busy intervals of one device, in order; a task may go into a gap."""

    def __init__(self) -> None:
        self._start_s: list[float] = []
        self._end_s: list[float] = []

    def earliest_start_s(self, ready_s: float, cost_s: float) -> float:
        """Start in the first gap that fits `cost_s` after `ready_s`, else after the last task."""
        starts, ends = self._start_s, self._end_s
        place = bisect_right(ends, ready_s)  # intervals that end by then leave no gap that matters
        start_s = ready_s
        while place < len(starts) and starts[place] < start_s + cost_s:
            start_s = max(ready_s, ends[place])
            place += 1
        return start_s

    def insert(self, start_s: float, end_s: float) -> None:
        """Occupy an interval."""
        place = bisect_right(self._end_s, start_s)
        self._start_s.insert(place, start_s)
        self._end_s.insert(place, end_s)


@policy("heft")
class Heft(Policy):
    """Tasks by descending upward rank, each on the device where it ends first (ties: lowest index), gaps included.

    Source: Topcuoglu, Hariri, Wu, "Performance-effective and low-complexity task scheduling for
    heterogeneous computing", IEEE TPDS 13(3), 2002.
    """

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; draws nothing."""
        timelines = [Timeline() for _ in instance.device_names]
        assignment = np.zeros(instance.n_tasks, np.int64)
        start_s, end_s = np.zeros(instance.n_tasks), np.zeros(instance.n_tasks)
        cost_s = instance.cost_s.tolist()
        for task in descending_rank(instance, upward_rank_s(instance)).tolist():
            ready_s = instance.ready_s(task, assignment, end_s).tolist()
            starts = [timeline.earliest_start_s(ready_s[device], cost_s[task][device]) for device, timeline in enumerate(timelines)]
            ends = [start + cost for start, cost in zip(starts, cost_s[task], strict=True)]
            device = ends.index(min(ends))
            assignment[task], start_s[task], end_s[task] = device, starts[device], ends[device]
            timelines[device].insert(starts[device], ends[device])
        return plan_from_times(instance, assignment, start_s, end_s)

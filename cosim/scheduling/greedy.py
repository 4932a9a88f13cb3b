"""Greedy: each op, as it comes, where it ends first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.scheduling.base import Policy, policy
from cosim.scheduling.instance import Plan, plan_from_times

if TYPE_CHECKING:
    from cosim.scheduling.instance import Instance


@policy("greedy")
class Greedy(Policy):
    """Tasks in topological order, each after the last task of the device where it ends first (ties: lowest index)."""

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; draws nothing."""
        assignment = np.zeros(instance.n_tasks, np.int64)
        start_s, end_s = np.zeros(instance.n_tasks), np.zeros(instance.n_tasks)
        free_s = np.zeros(instance.n_devices)
        for task in instance.topological_order.tolist():
            starts = np.maximum(free_s, instance.ready_s(task, assignment, end_s))
            ends = starts + instance.cost_s[task]
            device = int(np.argmin(ends))
            assignment[task], start_s[task], end_s[task] = device, starts[device], ends[device]
            free_s[device] = ends[device]
        return plan_from_times(instance, assignment, start_s, end_s)

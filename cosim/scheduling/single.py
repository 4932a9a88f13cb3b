"""Single: everything on one device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.scheduling.base import Policy, policy
from cosim.scheduling.instance import Plan, plan_from_times
from cosim.scheduling.kernels.classic import place_in_order
from workloads.errors import ScheduleError, suggest

if TYPE_CHECKING:
    from cosim.engine.problem import IntArray
    from cosim.scheduling.instance import Instance


@policy("single")
class Single(Policy):
    """All tasks on one device, in topological order; "single:NAME" names it, "single" takes the best.

    A task that the device does not support goes to the fastest device that does (ties: lowest index). The
    best device is the one of least makespan (ties: lowest index) among those that support every task, or
    among all devices if none does.
    """

    takes_argument = True

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; draws nothing. Raises ScheduleError if the named device does not exist."""
        names = instance.device_names
        if self.argument:
            if self.argument not in names:
                raise ScheduleError(f"policy single: no device is called {self.argument!r}; {suggest(self.argument, names)}")
            return _plan_on(instance, names.index(self.argument))
        complete = np.flatnonzero(instance.supported.all(axis=0)).tolist()
        plans = [_plan_on(instance, device) for device in complete or range(instance.n_devices)]
        return min(plans, key=lambda plan: plan.makespan_s)


def _plan_on(instance: Instance, device: int) -> Plan:
    fastest = np.argmin(instance.cost_s, axis=1)
    return append_in_order(instance, np.where(instance.supported[:, device], device, fastest))


def append_in_order(instance: Instance, assignment: IntArray) -> Plan:
    """Plan of a placement: tasks in topological order, each after the last task of its device; -1: the device where it ends first.

    Raises ScheduleError for a task on a device that cannot run it.
    """
    placed, pinned = np.flatnonzero(assignment >= 0), np.ascontiguousarray(assignment, np.int64)
    for task in placed[~instance.supported[placed, pinned[placed]]][:1]:
        task_name, device_name = instance.task_names[task], instance.device_names[pinned[task]]
        raise ScheduleError(f"task {task_name!r} is placed on {device_name!r}, which cannot run it; place it on another")
    a = instance.arrays
    return plan_from_times(instance, *place_in_order(a, a.order, pinned, np.zeros(a.cost_s.shape), gaps=False))

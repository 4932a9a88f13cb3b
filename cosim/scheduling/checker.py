"""An independent check of plans: the laws of the contention-free model, not the way of any policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workloads.errors import ScheduleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cosim.engine.problem import BoolArray
    from cosim.scheduling.instance import Instance, Plan

# Sums in another order may differ by so much of the makespan.
TOLERANCE = 1e-9


def check_plan(instance: Instance, plan: Plan, who: str = "plan") -> None:
    """Raise ScheduleError, naming `who`, law and task, if a plan breaks a law of the model.

    Checked: every task once, on a device that can run it, for as long as it costs; none starts before its
    inputs have arrived (end + latency + bytes/bandwidth, at once on one device); no device runs two tasks
    at once; the makespan is the last end.
    """
    for broken in _broken_laws(instance, plan):
        raise ScheduleError(f"{who}: {broken}")


def _broken_laws(instance: Instance, plan: Plan) -> Iterator[str]:
    """Laws that do not hold, each with the numbers of the first task; later ones are looked at only if those before hold."""
    n, names = instance.n_tasks, instance.task_names
    for name in ("assignment", "priority", "start_s", "end_s"):
        values = np.asarray(getattr(plan, name))
        if values.shape != (n,) or not np.isfinite(values).all():
            task = "" if values.shape != (n,) else f" at {names[int(np.flatnonzero(~np.isfinite(values))[0])]}"
            yield f"a plan has a finite number for each task; {name} is {values}{task}"
    device, start_s, end_s = plan.assignment, plan.start_s, plan.end_s
    within = (device >= 0) & (device < instance.n_devices)
    yield from _law("tasks are on devices of the chip", within, lambda i: f"{names[i]} is on {device[i]} of {instance.n_devices}")
    cost_s = instance.cost_s[np.arange(n), device]
    able = [np.flatnonzero(row).tolist() for row in instance.supported]
    yield from _law("tasks are where they can run", np.isfinite(cost_s), lambda i: f"{names[i]} is on {device[i]}, but runs on {able[i]}")
    last_s = float(np.max(end_s, initial=0.0))
    slack_s = TOLERANCE * last_s
    yield from _law(
        "a task takes its cost",
        (start_s >= 0) & (np.abs(end_s - start_s - cost_s) <= slack_s),
        lambda i: f"{names[i]} runs from {start_s[i]} s to {end_s[i]} s and costs {cost_s[i]} s",
    )
    yield from _early_tasks(instance, plan, slack_s)
    yield from _overlaps(instance, plan, slack_s)
    if not abs(plan.makespan_s - last_s) <= slack_s:
        last = f", where {names[int(np.argmax(end_s))]} ends" if n else ""
        yield f"the makespan is the last end; {plan.makespan_s} s against {last_s} s{last}"


def _early_tasks(instance: Instance, plan: Plan, slack_s: float) -> Iterator[str]:
    names, src, dst = instance.task_names, instance.edge_src, instance.edge_dst
    p, q = plan.assignment[src], plan.assignment[dst]
    apart = p != q
    transfer_s = np.zeros(instance.n_edges)
    link = p[apart], q[apart]
    transfer_s[apart] = instance.latency_s[link] + instance.edge_bytes[apart] / instance.bandwidth_bytes_per_s[link]
    arrival_s = plan.end_s[src] + transfer_s
    yield from _law(
        "no task starts before its inputs arrive",
        plan.start_s[dst] >= arrival_s - slack_s,
        lambda e: f"{names[dst[e]]} starts at {plan.start_s[dst[e]]} s, what {names[src[e]]} sends arrives at {arrival_s[e]} s",
    )


def _overlaps(instance: Instance, plan: Plan, slack_s: float) -> Iterator[str]:
    names = instance.task_names
    order = np.lexsort((plan.end_s, plan.start_s, plan.assignment))
    before, after = order[:-1], order[1:]
    apart = plan.assignment[before] != plan.assignment[after]
    yield from _law(
        "a device runs one task at a time",
        apart | (plan.start_s[after] >= plan.end_s[before] - slack_s),
        lambda i: f"{names[after[i]]} starts at {plan.start_s[after[i]]} s, {names[before[i]]} ends at {plan.end_s[before[i]]} s",
    )


def _law(law: str, holds: BoolArray, say: Callable[[int], str]) -> Iterator[str]:
    wrong = np.flatnonzero(~holds)
    if wrong.size:
        yield f"{law}; {say(int(wrong[0]))}" + (f" (and {wrong.size - 1} more)" if wrong.size > 1 else "")

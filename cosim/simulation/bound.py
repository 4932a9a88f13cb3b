"""The lowest rung: closed-form ceilings that no rung above can beat.

Every op takes at least the best of its devices' times with all inputs local and every memory to itself.
The makespan is at least the longest chain of those, and at least all the work spread evenly over the devices.
"""

from __future__ import annotations

import numpy as np

from cosim.engine.problem import Playback, Problem
from cosim.scheduling.base import Instance, Plan


def bound_plan(instance: Instance) -> Plan:
    """Place each op on its fastest device and start it as soon as its inputs are made, whatever else runs."""
    n = len(instance.task_names)
    device = instance.cost_s.argmin(axis=1)
    best_s = instance.cost_s.min(axis=1)
    start = np.zeros(n)
    for src, dst in zip(instance.edge_src.tolist(), instance.edge_dst.tolist(), strict=True):
        start[dst] = max(start[dst], start[src] + best_s[src])
    end = start + best_s
    return Plan(
        assignment=device.astype(np.int64),
        priority=np.arange(n, 0, -1, dtype=np.float64),
        start_s=start,
        end_s=end,
        makespan_s=float(max(end.max(initial=0.0), best_s.sum() / len(instance.device_names))),
    )


def bound_playback(plan: Plan, problem: Problem) -> Playback:
    """Return the bound's times in the form that the engine returns; what an op makes is everywhere at once."""
    made_s = plan.end_s[problem.edge_src]
    return Playback(
        start_s=plan.start_s,
        end_s=plan.end_s,
        edge_start_s=made_s,
        edge_end_s=made_s,
        makespan_s=plan.makespan_s,
        n_events=0,
        moved_bytes=np.zeros(problem.capacity_bytes_per_s.size),
    )

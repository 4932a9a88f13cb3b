"""Plans that are the same for all points: a schedule from a file, or one made on the chip as its file gives it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosim.plan import Schedule, load_schedule
from cosim.simulation.run import Simulation
from hw_models.catalog import load_chip
from workloads.graph import Workload

FIXED, REPLAY = "fixed:", "replay:"


@dataclass(frozen=True, eq=False)
class GivenPlan:
    """Device by index and priority of each op."""

    assignment: NDArray[np.int64]
    priority: NDArray[np.float64]

    @property
    def digest(self) -> str:
        """Hash of the plan."""
        ranked = np.argsort(np.argsort(self.priority, kind="stable"), kind="stable").astype(np.int64)
        ties = np.unique(self.priority, return_inverse=True)[1].astype(np.int64)
        return hashlib.sha256(self.assignment.tobytes() + ranked.tobytes() + ties.tobytes()).hexdigest()[:16]


def is_given(policy: str) -> bool:
    """Whether a policy names one plan for all points."""
    return policy.startswith((FIXED, REPLAY))


def given_plan(policy: str, chip: str, workload: Workload, bits: tuple[int, int], fidelity: str, seed: int) -> GivenPlan:
    """Return the plan that "fixed:FILE" or "replay:POLICY" stands for.

    A policy plans once, on the chip as its file gives it. Raises a CosimError where the file or that plan does not fit.
    """
    if policy.startswith(FIXED):
        return _from_schedule(load_schedule(Path(policy.removeprefix(FIXED))), workload, chip)
    built = load_chip(chip)
    simulation = Simulation(built, workload, policy.removeprefix(REPLAY), fidelity, seed, *bits)
    plan = simulation.plan()
    return GivenPlan(plan.assignment, plan.priority)


def _from_schedule(schedule: Schedule, workload: Workload, chip: str) -> GivenPlan:
    """Read devices and priorities; raises ScheduleError for a task or device that is not there."""
    names, devices = tuple(op.name for op in workload.ops), tuple(load_chip(chip).devices)
    schedule.check(names, devices)
    place = {name: i for i, name in enumerate(names)}
    assignment, priority = np.zeros(len(names), np.int64), np.zeros(len(names))
    for op in schedule.ops:
        assignment[place[op.name]], priority[place[op.name]] = devices.index(op.device), op.priority
    return GivenPlan(assignment, priority)

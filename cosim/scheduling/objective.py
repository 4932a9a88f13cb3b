"""What plans are worth to a goal: makespan^(1 - w) * energy^w, and the accuracy they lose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workloads.errors import ScheduleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cosim.engine.problem import FloatArray, IntArray
    from cosim.scheduling.instance import Instance, Plan

# Sums of the same losses in another order may differ by so much, relative.
ROUNDING = 1e-12


def values_of(instance: Instance, plans: Sequence[Plan]) -> FloatArray:
    """[n_plans] makespan^(1 - w) * energy^w, less is better.

    The makespan is what the engine plays where the instance has tables, else the planned one; the energy is
    sum of task_energy_j + power_w * makespan. Raises ScheduleError where energy counts and is not known.
    """
    makespan_s = np.array([plan.makespan_s for plan in plans], np.float64)
    assignments = np.array([plan.assignment for plan in plans], np.int64)
    if instance.tables is not None and plans:
        from cosim.engine.compiled import makespans  # noqa: PLC0415  (compiled; most instances have no tables)

        makespan_s = makespans(instance.tables, assignments, np.array([plan.priority for plan in plans], np.float64))
    weight = instance.goal.energy_weight
    if weight == 0.0:
        return makespan_s
    return makespan_s ** (1.0 - weight) * energies_j(instance, assignments, makespan_s) ** weight


def energies_j(instance: Instance, assignments: IntArray, makespan_s: FloatArray) -> FloatArray:
    """[n_plans] sum over tasks of task_energy_j + power_w * makespan; raises ScheduleError if it is not known."""
    if instance.task_energy_j is None:
        raise ScheduleError(f"energy weight {instance.goal.energy_weight} needs the energy of every task: give task_energy_j, or weight 0")
    energy_j: FloatArray = instance.task_energy_j[np.arange(instance.n_tasks), assignments].sum(axis=1) + instance.power_w * makespan_s
    return energy_j


def loss_of(instance: Instance, assignment: IntArray) -> float:
    """Accuracy (as a fraction) that a placement loses: the sum over tasks; 0 where losses are not known."""
    if instance.task_loss is None:
        return 0.0
    return float(instance.task_loss[np.arange(instance.n_tasks), assignment].sum())


def keeps_loss(instance: Instance, assignment: IntArray) -> bool:
    """Whether a placement loses no more than the goal allows."""
    limit = instance.goal.max_loss
    return limit is None or loss_of(instance, assignment) <= limit * (1.0 + ROUNDING)


def within_loss(instance: Instance, assignment: IntArray) -> IntArray:
    """Return a placement that loses no more than the goal allows: as given, with tasks moved to where they lose least.

    Tasks move in ascending (added run time) / (loss avoided), until the sum fits; ties: lower id. Raises
    ScheduleError, with the least loss that there is, when no placement fits.
    """
    limit = instance.goal.max_loss
    if limit is None or instance.task_loss is None or keeps_loss(instance, assignment):
        return assignment
    tasks = np.arange(instance.n_tasks)
    least = np.where(instance.supported, instance.task_loss, np.inf).min(axis=1)
    cost_s = np.where(instance.supported & (instance.task_loss == least[:, np.newaxis]), instance.cost_s, np.inf)
    safe = cost_s.argmin(axis=1)
    if not keeps_loss(instance, safe):
        raise ScheduleError(
            f"no placement loses {limit} or less: where every task loses least, the sum is {loss_of(instance, safe):.3g}; allow more"
        )
    avoided = instance.task_loss[tasks, assignment] - least
    added_s = np.maximum(0.0, cost_s[tasks, safe] - instance.cost_s[tasks, assignment])
    movable = np.flatnonzero(avoided > 0)
    movable = movable[np.argsort(added_s[movable] / avoided[movable], kind="stable")]
    moved = assignment.copy()
    for task in movable.tolist():
        moved[task] = safe[task]
        if keeps_loss(instance, moved):
            break
    return moved

"""Learned: a small network, trained on random graphs and chips, decides which ready task runs where next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.scheduling.base import Policy, policy
from cosim.scheduling.instance import Plan, plan_from_times
from cosim.scheduling.kernels.policy_roll import many
from cosim.scheduling.objective import keeps_loss, values_of, within_loss
from cosim.scheduling.policy_weights import Trained, shipped
from workloads.errors import ScheduleError

if TYPE_CHECKING:
    from cosim.engine.problem import FloatArray
    from cosim.scheduling.arrays import Arrays
    from cosim.scheduling.instance import Instance

MAX_ROLL_OUTS = 1_000_000

# Features of a step that rise by one when the end of a task is one mean cost later: end, end + rest, projected end, each above its least.
_ENDS = [0, 2, 3]


@policy("learned")
class Learned(Policy):
    """A trained network places one ready op after another; "learned:64" is the best of 64 plans, one greedy and 63 drawn.

    No heuristic's and no search's plan is among them. The goal's energy enters the score of every pair; a plan
    that loses more accuracy than the goal allows is made again with the tasks that must move where they lose least.
    """

    takes_argument = True

    def __init__(self, argument: str = "") -> None:
        """Read the number of roll-outs; raises ScheduleError if it is not a whole number of 1 or more."""
        super().__init__(argument)
        if argument and not (argument.isdecimal() and 1 <= int(argument) <= MAX_ROLL_OUTS):
            raise ScheduleError(
                f"policy 'learned:{argument}': {argument!r} is no number of roll-outs; choose 1 or more, such as learned:64"
            )
        self.n_roll_outs = int(argument or 1)

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; one roll-out draws nothing. Raises ScheduleError when no placement keeps to the goal's loss."""
        return seed_plans(instance, 1, rng, self.n_roll_outs)[0]


def seed_plans(
    instance: Instance, k: int, rng: np.random.Generator, n_roll_outs: int | None = None, trained: Trained | None = None
) -> list[Plan]:
    """Return up to `k` distinct plans, best first by the goal, out of `n_roll_outs` roll-outs (4 k if not given), the first greedy.

    `trained`: the shipped weights if not given. Raises ScheduleError when no placement keeps to the goal's loss.
    """
    trained = trained or shipped()
    count = 4 * k if n_roll_outs is None else n_roll_outs
    rolled = _roll(instance, instance.arrays, count, rng, trained)
    if instance.goal.max_loss is not None:
        rolled = _kept(instance, rolled, trained)
    device, start_s, end_s, makespan_s = rolled
    if instance.tables is None and instance.goal.energy_weight == 0.0:
        order = np.argsort(makespan_s, kind="stable")
        return _distinct(instance, rolled, order.tolist(), k)
    plans = [plan_from_times(instance, device[i], start_s[i], end_s[i]) for i in range(count)]
    order = np.argsort(values_of(instance, plans), kind="stable")
    return _distinct(instance, rolled, order.tolist(), k)


Rolled = tuple["np.ndarray", "np.ndarray", "np.ndarray", "np.ndarray"]


def _roll(instance: Instance, arrays: Arrays, count: int, rng: np.random.Generator, trained: Trained) -> Rolled:
    """Return device, start_s, end_s [count, n] and makespan_s [count] of roll-outs, the first greedy."""
    n = instance.n_tasks
    heats = np.full(count, trained.heat)
    heats[0] = 0.0
    draws = np.zeros((count, n))
    if count > 1:
        draws[1:] = rng.random((count - 1, n))
    device, start_s, end_s = np.zeros((count, n), np.int64), np.zeros((count, n)), np.zeros((count, n))
    makespan_s = np.zeros(count)
    many(arrays, trained.weights, _energy_bonus(instance, trained), heats, draws, device, start_s, end_s, makespan_s)
    return device, start_s, end_s, makespan_s


def _energy_bonus(instance: Instance, trained: Trained) -> FloatArray:
    """[n_tasks, n_devices] what the goal's energy takes off the score of a pair.

    log value = (1 - w) log makespan + w log energy, so an energy e above a task's least is worth about
    w/(1 - w) * e/energy makespans of time. The power 1.5 and the factor 2 were chosen on random instances: most of
    the score is about single tasks, of which few are on the critical path.
    """
    weight = instance.goal.energy_weight
    bonus = np.zeros(instance.cost_s.shape)
    if weight == 0.0 or instance.task_energy_j is None or not instance.n_tasks:
        return bonus
    energy_j = np.where(instance.supported, instance.task_energy_j, np.inf)
    least_j = energy_j.min(axis=1)
    time_s = float(np.where(instance.supported, instance.cost_s, np.inf).min(axis=1).sum())
    total_j = float(least_j.sum()) + instance.power_w * time_s
    if total_j <= 0.0:
        return bonus
    per_cost = time_s / max(float(instance.mean_cost_s.mean()), 1e-300) if time_s > 0.0 else float(instance.n_tasks)
    score_per_cost = max(1.0, -float(trained.weights.rule_step[_ENDS].sum()))
    worth = 2.0 * (weight / max(1.0 - weight, 1e-3)) ** 1.5 * per_cost * score_per_cost
    bonus[instance.supported] = -worth * (energy_j - least_j[:, np.newaxis])[instance.supported] / total_j
    return bonus


def _kept(instance: Instance, rolled: Rolled, trained: Trained) -> Rolled:
    """Make anew, greedily, every plan that loses more accuracy than the goal allows, on devices that keep to it."""
    device, _, _, makespan_s = rolled
    for i in range(makespan_s.size):
        if keeps_loss(instance, device[i]):
            continue
        cost_s = np.full(instance.cost_s.shape, np.inf)
        tasks, allowed = np.arange(instance.n_tasks), within_loss(instance, device[i])
        cost_s[tasks, allowed] = instance.cost_s[tasks, allowed]
        again = _roll(instance, instance.arrays._replace(cost_s=cost_s), 1, np.random.default_rng(0), trained)
        for array, new in zip(rolled, again, strict=True):
            array[i] = new[0]
    return rolled


def _distinct(instance: Instance, rolled: Rolled, order: list[int], k: int) -> list[Plan]:
    """Return the plans of the first `k` roll-outs in `order` that differ in device or time of some task."""
    device, start_s, end_s, _ = rolled
    plans: dict[bytes, Plan] = {}
    for i in order:
        key = device[i].tobytes() + start_s[i].tobytes()
        if key not in plans:
            plans[key] = plan_from_times(instance, device[i], start_s[i], end_s[i])
            if len(plans) == k:
                break
    return list(plans.values())

"""Search: simulated annealing over (order, device) from the best plans that others make."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from cosim.scheduling.annealer import Annealer, Budget, decode
from cosim.scheduling.base import Policy, make_policy, policy
from cosim.scheduling.classic import MEMBERS
from cosim.scheduling.instance import Plan, plan_from_times
from cosim.scheduling.objective import energies_j, keeps_loss, values_of, within_loss
from workloads.errors import ScheduleError

if TYPE_CHECKING:
    from cosim.engine.problem import FloatArray, IntArray
    from cosim.scheduling.instance import Instance

# Relative temperatures at the begin and the end of a run; chosen on random instances.
HOT, COLD = 0.03, 0.001

# Roll-outs of the learned policy, how many different ones are kept, and how much less hot a run from them begins.
N_ROLL_OUTS, N_LEARNED, LEARNED_HOT = 16, 4, 0.7

# A long search: so much of its budget in runs from the best seeds, the rest in runs from the best plan so far, less hot.
RUNS_SHARE, N_RUNS = 0.5, 4
N_REHEATS, REHEATED = 2, 0.01

# Under contention: so much of the budget goes into so many runs without it, then the engine plays the moves that are
# within a slack of the schedule without contention.
ALONE_SHARE, N_ALONE = 0.3, 3
PLAYED_HOT, PLAYED_COLD, SLACK = 0.005, 0.0005, 0.01

N_WEIGHTS = 9  # of energy, for a front


class _Search(Policy):
    """What the policies below share: the budget, and that no plan is worse than the best of its seeds."""

    takes_argument = True
    default_s: ClassVar[float]

    def __init__(self, argument: str = "") -> None:
        """Read the number of moves, if one is given; raises ScheduleError for anything else."""
        super().__init__(argument)
        if argument and not (argument.isdecimal() and int(argument) > 0):
            raise ScheduleError(
                f"policy {self.name!r}: {argument!r} is no number of moves; write {self.name}:20000, or {self.name!r} to go by time"
            )
        self._n_moves = int(argument or 0)

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks. Raises ScheduleError when no placement keeps to the goal's loss."""
        budget = Budget(instance.goal.budget_s or self.default_s, self._n_moves)
        seed = int(rng.integers(1 << 31))
        seeds = self._seeds(instance, rng, budget)
        values = values_of(instance, seeds)
        best = seeds[int(np.argmin(values))]
        if not instance.n_tasks:
            return best
        ranked = [seeds[i] for i in np.argsort(values, kind="stable").tolist()]
        annealer = Annealer(instance, seed)
        self._prepare(annealer, seeds)
        (self._improve if instance.tables is None else self._improve_played)(annealer, ranked, budget)
        found = annealer.plan()
        return found if values_of(instance, [found])[0] < values.min() else best

    def _seeds(self, instance: Instance, rng: np.random.Generator, budget: Budget) -> list[Plan]:
        """Return the plans to start from."""
        return classics(instance, rng)

    def _prepare(self, annealer: Annealer, seeds: list[Plan]) -> None:
        """Look at the plans to start from, in the order they were made."""

    @abstractmethod
    def _improve(self, annealer: Annealer, seeds: list[Plan], budget: Budget) -> None:
        """Search without contention, from seeds that are given best first; the annealer keeps the best."""

    def _improve_played(self, annealer: Annealer, seeds: list[Plan], budget: Budget) -> None:
        instance = annealer.instance
        pool = seeds[:1]
        for run in range(N_ALONE):
            annealer.start_from(seeds[run % len(seeds)])
            annealer.anneal(budget, ALONE_SHARE * (run + 1) / N_ALONE, HOT, COLD)
            pool.append(annealer.plan())
        annealer.play_from(pool[int(np.argmin(values_of(instance, pool)))])
        annealer.anneal_played(budget, 1.0, PLAYED_HOT, PLAYED_COLD, SLACK)


@policy("anneal")
class Anneal(_Search):
    """Simulated annealing from the best classic schedule: 20 ms, the goal's budget, or "anneal:MOVES"."""

    default_s = 0.02

    def _improve(self, annealer: Annealer, seeds: list[Plan], budget: Budget) -> None:
        annealer.start_from(seeds[0])
        annealer.anneal(budget, 1.0, short_hot(annealer.instance), COLD)


@policy("search")
class Search(_Search):
    """Annealing in several runs, the last ones from the best found: 1 s, the goal's budget, or "search:MOVES"; one run if that is short."""

    default_s = 1.0

    def _improve(self, annealer: Annealer, seeds: list[Plan], budget: Budget) -> None:
        improve(annealer, seeds, budget, short_hot(annealer.instance))


@policy("learned_search")
class LearnedSearch(_Search):
    """As search, from roll-outs of the learned policy and the classic schedules: 20 ms, the goal's budget, or "learned_search:MOVES"."""

    default_s = 0.02

    def _seeds(self, instance: Instance, rng: np.random.Generator, budget: Budget) -> list[Plan]:
        from cosim.scheduling.learned import seed_plans  # noqa: PLC0415  (loads weights that no other search needs)

        return seed_plans(instance, N_LEARNED, rng, N_ROLL_OUTS) + classics(instance, rng)

    def _prepare(self, annealer: Annealer, seeds: list[Plan]) -> None:
        learned = seeds[: len(seeds) - len(MEMBERS)]
        if learned:
            annealer.lean_to(np.array([plan.assignment for plan in learned], np.int64))

    def _improve(self, annealer: Annealer, seeds: list[Plan], budget: Budget) -> None:
        improve(annealer, seeds, budget, LEARNED_HOT * short_hot(annealer.instance))


def improve(annealer: Annealer, seeds: list[Plan], budget: Budget, hot: float) -> None:
    """Search without contention from seeds, best first: one run from `hot` if the budget is short, else several."""
    if budget.is_short:
        annealer.start_from(seeds[0])
        annealer.anneal(budget, 1.0, hot, COLD)
        return
    runs: list[tuple[float, Plan]] = []
    for run in range(N_RUNS):
        annealer.start_from(seeds[0])
        annealer.anneal(budget, RUNS_SHARE * (run + 1) / N_RUNS, HOT, COLD)
        runs.append((annealer.value, annealer.plan()))
    for run in range(N_REHEATS):
        annealer.start_from(min(runs, key=lambda one: one[0])[1])
        annealer.anneal(budget, RUNS_SHARE + (1.0 - RUNS_SHARE) * (run + 1) / N_REHEATS, REHEATED, COLD)
        runs.append((annealer.value, annealer.plan()))
    annealer.start_from(min(runs, key=lambda one: one[0])[1])


def short_hot(instance: Instance) -> float:
    """Temperature at the begin of a single run: lower for graphs that a short run has few moves a task for."""
    return min(HOT, max(0.4 * HOT, 1.0 / max(1, instance.n_tasks)))


def classics(instance: Instance, rng: np.random.Generator) -> list[Plan]:
    """Return the plans of all members of the portfolio; one that loses too much accuracy has tasks moved to where they lose least."""
    plans = [make_policy(name).plan(instance, rng) for name in MEMBERS]
    return [plan if keeps_loss(instance, plan.assignment) else _repaired(instance, plan) for plan in plans]


def order_of(instance: Instance, plan: Plan) -> IntArray:
    """Tasks in the order of their planned starts; ties: earlier end, then topological order."""
    place = np.empty(instance.n_tasks, np.int64)
    place[instance.topological_order] = np.arange(instance.n_tasks)
    return np.lexsort((place, plan.end_s, plan.start_s)).astype(np.int64)


def _repaired(instance: Instance, plan: Plan) -> Plan:
    order, device = order_of(instance, plan), within_loss(instance, plan.assignment)
    return plan_from_times(instance, device, *decode(instance, order, device))


class Front(NamedTuple):
    """Plans none of which is both faster and less energy than another, fastest first.

    makespan_s, energy_j  [k];  assignment  [k, n] devices;  priority  [k, n], larger first
    """

    makespan_s: FloatArray
    energy_j: FloatArray
    assignment: IntArray
    priority: FloatArray


def front(instance: Instance, rng: np.random.Generator, budget_s: float = 1.0, n_moves: int = 0) -> Front:
    """Return a time-energy front: the classics and what annealing finds for N_WEIGHTS weights of energy from 0 to 1.

    `budget_s` are CPU seconds for all of it, or `n_moves` moves if more than 0. Makespans are those that the engine plays
    where the instance has tables. Raises ScheduleError if the energy is not known or no placement keeps to the goal's loss.
    """
    plans = classics(instance, rng)
    energies_j(instance, plans[0].assignment[np.newaxis], np.zeros(1))  # raises before the search does
    for weight in np.linspace(0.0, 1.0, N_WEIGHTS).tolist():
        goal = replace(instance.goal, energy_weight=weight, budget_s=budget_s / N_WEIGHTS)
        search = Anneal(str(-(-n_moves // N_WEIGHTS)) if n_moves else "")
        plans.append(search.plan(replace(instance, goal=goal), rng))
    makespan_s = values_of(replace(instance, goal=replace(instance.goal, energy_weight=0.0)), plans)
    energy_j = energies_j(instance, np.array([plan.assignment for plan in plans]), makespan_s)
    order = np.lexsort((energy_j, makespan_s))
    least_j = np.minimum.accumulate(np.append(np.inf, energy_j[order]))[:-1]
    kept = order[energy_j[order] < least_j]
    return Front(
        makespan_s[kept],
        energy_j[kept],
        np.array([plans[i].assignment for i in kept.tolist()]),
        np.array([plans[i].priority for i in kept.tolist()]),
    )

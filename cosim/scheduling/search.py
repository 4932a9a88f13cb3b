"""Search: simulated annealing over (order, device) from the best plans that others make."""

from __future__ import annotations

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

# Relative temperatures at the begin and the end of a run; all numbers here are chosen on random instances.
HOT, COLD = 0.03, 0.002

# Roll-outs of the learned policy, how many different ones are kept, and how much less hot a run from them begins.
N_ROLL_OUTS, N_LEARNED, LEARNED_HOT = 16, 8, 0.7
# On graphs of many tasks, roll-outs take no more than about such a share of a budget; one is always made.
MANY_TASKS, ROLL_OUTS_SHARE = 150, 0.2

# How much less hot the second half of a short run from roll-outs begins, which no longer draws from them.
COOLER = 0.5

# A short search of a graph with few tasks (so many for 20 ms, and in proportion) is cut into so many runs.
FEW_TASKS, FEW_TASKS_S, N_SHORT_RUNS = 40, 0.02, 4

# A long search: so much of its budget in so many runs, the rest in runs from the best plan so far, less hot.
RUNS_SHARE, N_RUNS = 0.5, 4
N_REHEATS, REHEATED = 2, 0.01

# Under contention: so much of the budget goes into a run without it; up to so much, stretches of tasks move and the engine plays
# every move; then it plays the moves that are within a slack of the schedule without contention. Chosen on random instances with
# a shared medium and on a dozen networks.
ALONE_SHARE, SEGMENTS_SHARE = 0.1, 0.6
PLAYED_HOT, PLAYED_COLD, SLACK = 0.001, 0.0001, 0.01

N_WEIGHTS = 9  # of energy, for a front


class Start(NamedTuple):
    """A plan to start from, placements [k, n] to draw devices from too, and a factor on the temperature of a short run."""

    plan: Plan
    models: IntArray
    heat: float = 1.0


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
        learned, known = self._learned(instance, rng, budget), classics(instance, rng)
        seeds = learned + known
        values = values_of(instance, seeds)
        best = seeds[int(np.argmin(values))]
        if not instance.n_tasks:
            return best
        none = np.zeros((0, instance.n_tasks), np.int64)
        starts = [Start(known[int(np.argmin(values[len(learned) :]))], none)]
        if learned:
            starts.insert(0, Start(best, np.array([plan.assignment for plan in learned], np.int64), LEARNED_HOT))
        annealer = Annealer(instance, seed)
        found = (self._improve if instance.tables is None else improve_played)(annealer, starts, budget)
        return found if values_of(instance, [found])[0] < values.min() else best

    def _learned(self, instance: Instance, rng: np.random.Generator, budget: Budget) -> list[Plan]:
        """Return plans to start from beside the classic ones."""
        return []

    def _improve(self, annealer: Annealer, starts: list[Start], budget: Budget) -> Plan:
        """Search without contention, from the first of the starts above all."""
        return improve(annealer, starts, budget)


@policy("anneal")
class Anneal(_Search):
    """Simulated annealing, one run from the best classic schedule: 20 ms, the goal's budget, or "anneal:MOVES"."""

    default_s = 0.02

    def _improve(self, annealer: Annealer, starts: list[Start], budget: Budget) -> Plan:
        return _run(annealer, starts[0], budget, 1.0, short_hot(annealer.instance))[1]


@policy("search")
class Search(_Search):
    """Annealing in several runs, in a long search the last ones from the best found: 1 s, the goal's budget, or "search:MOVES"."""

    default_s = 1.0


@policy("learned_search")
class LearnedSearch(_Search):
    """As search, from roll-outs of the learned policy and the classic schedules: 20 ms, the goal's budget, or "learned_search:MOVES"."""

    default_s = 0.02

    def _learned(self, instance: Instance, rng: np.random.Generator, budget: Budget) -> list[Plan]:
        from cosim.scheduling.learned import seed_plans  # noqa: PLC0415  (loads weights that no other search needs)

        if budget.counts_moves or instance.n_tasks <= MANY_TASKS:
            return seed_plans(instance, N_LEARNED, rng, N_ROLL_OUTS)
        begin = budget.spent()
        greedy = seed_plans(instance, 1, rng, 1)
        n_roll_outs = min(N_ROLL_OUTS, int(ROLL_OUTS_SHARE / max(budget.spent() - begin, 1e-9)))
        return seed_plans(instance, N_LEARNED, rng, n_roll_outs) if n_roll_outs > 1 else greedy


def _run(annealer: Annealer, start: Start, budget: Budget, until: float, hot: float) -> tuple[float, Plan]:
    """Anneal from a start until a fraction of the budget is spent; return value and plan of the best."""
    annealer.lean_to(start.models)
    annealer.start_from(start.plan)
    annealer.anneal(budget, until, hot, COLD)
    return annealer.value, annealer.plan()


def improve(annealer: Annealer, starts: list[Start], budget: Budget) -> Plan:
    """Search without contention from some starts in turn, and return the best plan found."""
    runs: list[tuple[float, Plan]] = []
    hot = short_hot(annealer.instance)
    if budget.is_short and annealer.instance.n_tasks <= FEW_TASKS * budget.seconds / FEW_TASKS_S:
        for run in range(N_SHORT_RUNS):
            start = starts[run % len(starts)]
            runs.append(_run(annealer, start, budget, (run + 1) / N_SHORT_RUNS, start.heat * hot))
    elif budget.is_short:
        half = 1.0 / len(starts)
        runs.append(_run(annealer, starts[0], budget, half, starts[0].heat * hot))
        if half < 1.0:  # what the learned policy suggests has been tried; now all devices are alike
            runs.append(_run(annealer, starts[-1]._replace(plan=runs[0][1]), budget, 1.0, COOLER * hot))
    else:
        turns = [(starts[run % len(starts)], RUNS_SHARE * (run + 1) / N_RUNS) for run in range(N_RUNS)]
        runs += [_run(annealer, start, budget, until, HOT) for start, until in turns]
        for run in range(N_REHEATS):
            start = starts[-1]._replace(plan=min(runs, key=lambda one: one[0])[1])
            runs.append(_run(annealer, start, budget, RUNS_SHARE + (1.0 - RUNS_SHARE) * (run + 1) / N_REHEATS, REHEATED))
    return min(runs, key=lambda one: one[0])[1]


def improve_played(annealer: Annealer, starts: list[Start], budget: Budget) -> Plan:
    """Search without contention for a while, then from the better of what came out and the start, as played, with the engine."""
    start = starts[0]
    pool = [start.plan, _run(annealer, start, budget, ALONE_SHARE, start.heat * short_hot(annealer.instance))[1]]
    annealer.play_from(pool[int(np.argmin(values_of(annealer.instance, pool)))])
    annealer.anneal_segments(budget, SEGMENTS_SHARE, PLAYED_HOT, PLAYED_COLD)
    annealer.anneal_played(budget, 1.0, PLAYED_HOT, PLAYED_COLD, SLACK)
    return annealer.plan()


def short_hot(instance: Instance) -> float:
    """Temperature at the begin of a short run: lower for graphs that it has few moves a task for."""
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

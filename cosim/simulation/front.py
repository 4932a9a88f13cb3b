"""Placements none of which is both faster and less energy than another: what time costs in energy on one chip."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.scheduling.instance import Goal, Instance, Plan
from cosim.scheduling.objective import energies_j, keeps_loss, values_of
from cosim.scheduling.search import front
from cosim.simulation.result import Result
from cosim.simulation.run import Simulation
from workloads.errors import SimulationError

if TYPE_CHECKING:
    from cosim.engine.problem import FloatArray, IntArray

REFERENCES = ("heft", "portfolio")
DEFAULT_BUDGET_S = 2.0
RELINK_SHARE = 0.4  # of the budget, for what lies between the placements that the search finds
MAX_MOVES = 24  # tried at each step
MAX_POINTS = 16


@dataclass(frozen=True)
class Front:
    """Runs of a front, fastest first, and those of policies that know one answer each."""

    results: tuple[Result, ...]
    references: tuple[Result, ...]

    @property
    def knee(self) -> int:
        """Index of the run of least energy-delay product."""
        return min(range(len(self.results)), key=lambda i: self.results[i].latency_s * self.results[i].energy_j)

    def summary(self) -> dict[str, Any]:
        """Return plain JSON values; the contract of `cosim place front --json`."""
        first = self.results[0]
        return {
            "workload": first.workload.name,
            "chip": first.chip.name,
            "fidelity": first.fidelity,
            "lower_bound_s": first.floor.makespan_s,
            "lower_bound_j": first.floor.energy_j,
            "points": [_point(result) for result in self.results],
            "least_edp": self.knee,
            "references": {result.policy: _point(result) for result in self.references},
            "provenance": dict(first.provenance),
        }


def _point(result: Result) -> dict[str, Any]:
    counts = dict.fromkeys(result.chip.devices, 0)
    for op in result.ops:
        counts[op.device] += 1
    return {
        "makespan_s": result.latency_s,
        "energy_j": result.energy_j,
        "edp_js": result.latency_s * result.energy_j,
        "accuracy_loss": result.accuracy_loss,
        "ops": counts,
    }


def front_of(simulation: Simulation) -> Front:
    """Search a front, play all its placements, and keep those that are not beaten in what the engine plays.

    The search takes the CPU seconds of the goal's budget, and keeps to the goal's loss of accuracy. Raises SimulationError for
    fidelity "bound", which places nothing.
    """
    if simulation.fidelity == "bound":
        raise SimulationError("fidelity 'bound' is a ceiling without a placement; choose a rung that plays one, such as mapped")
    instance, rng = simulation.instance(), np.random.default_rng(simulation.seed)
    budget_s = simulation.goal.budget_s or DEFAULT_BUDGET_S
    found = front(instance, rng, budget_s * (1 - RELINK_SHARE))
    candidates = _Candidates(instance, found.assignment, found.priority)
    candidates.relink(rng, time.thread_time() + budget_s * RELINK_SHARE)
    plans = candidates.plans(MAX_POINTS)
    played = [replace(simulation, policy="front").run(plan=plan, tight=i == 0) for i, plan in enumerate(plans)]
    results = [replace(result, floor=played[0].floor) for result in unbeaten(played)]
    references = [replace(replace(simulation, policy=name).run(), floor=played[0].floor) for name in REFERENCES]
    return Front(tuple(results), tuple(references))


class _Candidates:
    """Placements with the makespan and energy that the engine gives them, of which only those that none beats are kept.

    assignment, priority  [k, n_tasks];  value  [k, 2] makespan in s and energy in J, fastest first
    """

    def __init__(self, instance: Instance, assignment: IntArray, priority: FloatArray) -> None:
        """Value the placements of a search."""
        self.instance = instance
        n = instance.n_tasks
        self.assignment, self.priority, self.value = np.empty((0, n), np.int64), np.empty((0, n)), np.empty((0, 2))
        self.add(assignment, priority)

    def add(self, assignment: IntArray, priority: FloatArray) -> FloatArray:
        """Value further placements, keep what is not beaten, and return all values [k, 2]."""
        none_s = np.zeros(self.instance.n_tasks)
        time_only = replace(self.instance, goal=Goal())
        makespan_s = values_of(time_only, [Plan(a, p, none_s, none_s, 0.0) for a, p in zip(assignment, priority, strict=True)])
        value = np.stack([makespan_s, energies_j(self.instance, assignment, makespan_s)], axis=1)
        kept = np.array([keeps_loss(self.instance, one) for one in assignment], np.bool_)
        value_of_all = np.concatenate([self.value, value[kept]])
        order = np.lexsort((value_of_all[:, 1], value_of_all[:, 0]))
        least_j = np.minimum.accumulate(np.append(np.inf, value_of_all[order, 1]))[:-1]
        order = order[value_of_all[order, 1] < least_j * (1 - 1e-9)]
        self.assignment = np.concatenate([self.assignment, assignment[kept]])[order]
        self.priority = np.concatenate([self.priority, priority[kept]])[order]
        self.value = value_of_all[order]
        return value

    def relink(self, rng: np.random.Generator, until_s: float) -> None:
        """Walk from each placement to the next and back, moving one op at a time, until the thread's CPU time is up.

        At each step the op is moved that leaves least time and energy, in parts of what is between the two ends; that finds
        placements that no weight of energy is best for. Source: Glover, Laguna, Marti, "Fundamentals of scatter search and
        path relinking", Control and Cybernetics 29(3), 2000.
        """
        ends = list(zip(self.assignment, self.priority, self.value, strict=True))
        for first, second in pairwise(ends):
            for (assignment, priority, value), (goal, _, goal_value) in ((first, second), (second, first)):
                span = np.maximum(np.abs(goal_value - value), 1e-300)
                at = assignment.copy()
                while time.thread_time() < until_s and (left := np.flatnonzero(at != goal)).size > 1:
                    tried = rng.permutation(left)[:MAX_MOVES]
                    moves = np.repeat(at[np.newaxis], tried.size, axis=0)
                    moves[np.arange(tried.size), tried] = goal[tried]
                    values = self.add(moves, np.repeat(priority[np.newaxis], tried.size, axis=0))
                    at = moves[int((values / span).sum(axis=1).argmin())]

    def plans(self, most: int) -> list[Plan]:
        """Return at most so many of the placements, both ends and some evenly between, as plans."""
        none_s = np.zeros(self.instance.n_tasks)
        chosen = (
            np.unique(np.linspace(0, len(self.value) - 1, most).round().astype(int)) if len(self.value) > most else range(len(self.value))
        )
        return [Plan(self.assignment[i], self.priority[i], none_s, none_s, float(self.value[i, 0])) for i in chosen]


def unbeaten(results: list[Result]) -> list[Result]:
    """Return the runs that no other beats in time and energy, fastest first."""
    kept: list[Result] = []
    for result in sorted(results, key=lambda one: (one.latency_s, one.energy_j)):
        if not kept or result.energy_j < kept[-1].energy_j:
            kept.append(result)
    return kept

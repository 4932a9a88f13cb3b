"""Placements none of which is both faster and less energy than another: what time costs in energy on one chip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cosim.scheduling.instance import Plan
from cosim.scheduling.search import front
from cosim.simulation.result import Result
from cosim.simulation.run import Simulation
from workloads.errors import SimulationError

REFERENCES = ("heft", "portfolio")
DEFAULT_BUDGET_S = 2.0


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
    instance = simulation.instance()
    found = front(instance, np.random.default_rng(simulation.seed), simulation.goal.budget_s or DEFAULT_BUDGET_S)
    none_s = np.zeros(instance.n_tasks)
    plans = [
        Plan(*placed, none_s, none_s, float(seconds))
        for *placed, seconds in zip(found.assignment, found.priority, found.makespan_s, strict=True)
    ]
    played = [replace(simulation, policy="front").run(plan=plan, tight=i == 0) for i, plan in enumerate(plans)]
    results = [replace(result, floor=played[0].floor) for result in unbeaten(played)]
    references = [replace(replace(simulation, policy=name).run(), floor=played[0].floor) for name in REFERENCES]
    return Front(tuple(results), tuple(references))


def unbeaten(results: list[Result]) -> list[Result]:
    """Return the runs that no other beats in time and energy, fastest first."""
    kept: list[Result] = []
    for result in sorted(results, key=lambda one: (one.latency_s, one.energy_j)):
        if not kept or result.energy_j < kept[-1].energy_j:
            kept.append(result)
    return kept

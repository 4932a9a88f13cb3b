"""A placement as an answer: what it was made for, how far from the best it can be, and what it improves on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from cosim.scheduling.base import policy_classes
from cosim.scheduling.instance import Goal
from cosim.simulation.result import Result
from cosim.simulation.run import Simulation
from workloads.errors import ScheduleError, SimulationError, suggest

# Name → weight of the energy in makespan^(1 - w) * energy^w.
OBJECTIVES = {"makespan": 0.0, "energy": 1.0, "edp": 0.5}


def energy_weight_of(objective: str) -> float:
    """Weight of the energy: "makespan" 0, "energy" 1, "edp" 0.5, or a number between; raises ScheduleError for anything else."""
    if objective in OBJECTIVES:
        return OBJECTIVES[objective]
    try:
        weight = float(objective)
    except ValueError:
        raise ScheduleError(
            f"objective {objective!r} is not known; {suggest(objective, OBJECTIVES)}, or give the weight of the energy, 0 to 1"
        ) from None
    if not 0.0 <= weight <= 1.0:
        raise ScheduleError(f"objective {objective}: the weight of the energy is out of range; choose 0 (makespan) to 1 (energy)")
    return weight


@dataclass(frozen=True, slots=True)
class Load:
    """What one device does in a run: ops, seconds busy and their part of the makespan, joules.

    `energy_j` holds what its ops spend, memories and links included, and its own leakage and idle power; what is left to the
    total is memory standby.
    """

    device: str
    kind: str
    n_ops: int
    busy_s: float
    share: float
    energy_j: float


@dataclass(frozen=True)
class Placement:
    """A run and the goal that it was placed for; `baseline` is the same workload placed by another policy, None where there is none."""

    goal: Goal
    result: Result
    baseline: Result | None = None

    @property
    def objective(self) -> str:
        """Name of what was minimized."""
        names = {weight: name for name, weight in OBJECTIVES.items()}
        weight = self.goal.energy_weight
        return names.get(weight, f"makespan^{1 - weight:g} energy^{weight:g}")

    def value(self, makespan_s: float, energy_j: float) -> float:
        """Return what was minimized: s, J, J s for the energy-delay product, s^(1-w) J^w between."""
        weight = self.goal.energy_weight
        return makespan_s * energy_j if weight == OBJECTIVES["edp"] else makespan_s ** (1 - weight) * energy_j**weight

    @property
    def objective_value(self) -> float:
        """What was minimized, as it came out."""
        return self.value(self.result.latency_s, self.result.energy_j)

    @property
    def objective_bound(self) -> float:
        """What was minimized, at its lower bound."""
        return self.value(self.result.floor.makespan_s, self.result.floor.energy_j)

    @property
    def gap(self) -> float | None:
        """How far the objective is above its lower bound, as a fraction; None where the bound is 0."""
        return self.objective_value / self.objective_bound - 1 if self.objective_bound > 0 else None

    @property
    def ratio(self) -> float | None:
        """Objective over that of the baseline, below 1 where this placement is better; None without a baseline."""
        if self.baseline is None:
            return None
        other = self.value(self.baseline.latency_s, self.baseline.energy_j)
        return self.objective_value / other if other > 0 else None

    @property
    def moved(self) -> frozenset[str]:
        """Names of the ops that the baseline runs elsewhere."""
        if self.baseline is None:
            return frozenset()
        return frozenset(a.name for a, b in zip(self.result.ops, self.baseline.ops, strict=True) if a.device != b.device)

    def summary(self) -> dict[str, Any]:
        """Return plain JSON values; the contract of `cosim place --json`."""
        result, floor = self.result, self.result.floor
        return {
            "workload": result.workload.name,
            "chip": result.chip.name,
            "policy": result.policy,
            "fidelity": result.fidelity,
            "objective": {
                "name": self.objective,
                "energy_weight": self.goal.energy_weight,
                "value": self.objective_value,
                "lower_bound": self.objective_bound,
                "gap": self.gap,
            },
            "makespan_s": result.latency_s,
            "lower_bound_s": floor.makespan_s,
            "gap": result.gap,
            "lower_bound_from": floor.argument,
            "energy_j": result.energy_j,
            "lower_bound_j": floor.energy_j,
            "planned": {"makespan_s": result.planned_s, "lower_bound_s": result.planned_bound_s or None},
            "accuracy_loss": result.accuracy_loss,
            "devices": {
                load.device: {"ops": load.n_ops, "busy_s": load.busy_s, "share": load.share, "energy_j": load.energy_j}
                for load in loads(result)
            },
            "transfers": {"n": len(result.transfers), "bytes": math.fsum(one.n_bytes for one in result.transfers)},
            "baseline": self._baseline_summary(),
            "provenance": dict(result.provenance),
        }

    def _baseline_summary(self) -> dict[str, Any] | None:
        if self.baseline is None:
            return None
        other = self.baseline
        value = self.value(other.latency_s, other.energy_j)
        return {
            "policy": other.policy,
            "makespan_s": other.latency_s,
            "energy_j": other.energy_j,
            "objective_value": value,
            "objective_ratio": self.ratio,
            "ops_moved": len(self.moved),
        }


def place_workload(simulation: Simulation) -> Placement:
    """Place, play, and place and play again with the policy to measure against: the portfolio, or HEFT for the portfolio itself.

    Raises SimulationError for fidelity "bound", which places nothing, ScheduleError where the placement loses more accuracy
    than the goal allows.
    """
    if simulation.fidelity == "bound":
        raise SimulationError("fidelity 'bound' is a ceiling without a placement; choose a rung that plays one, such as mapped")
    result = simulation.run(tight=True)
    check_loss(result, simulation.goal)
    policy = baseline_policy(simulation.policy)
    baseline = replace(replace(simulation, policy=policy).run(), floor=result.floor) if policy else None
    return Placement(simulation.goal, result, baseline)


def baseline_policy(policy: str) -> str:
    """Name of the policy that a placement is measured against; empty where there is no other."""
    choices = [name for name in ("portfolio", "heft") if name in policy_classes() and name != policy]
    return choices[0] if choices else ""


def check_loss(result: Result, goal: Goal) -> None:
    """Raise ScheduleError where a placement loses more accuracy than the goal allows, by the estimate of the chip's models."""
    lost, limit = result.accuracy_loss or 0.0, goal.max_loss
    if limit is not None and lost > limit * (1 + 1e-9):
        raise ScheduleError(
            f"policy {result.policy!r} loses {lost:.2%} of accuracy (estimate) where {limit:.2%} is allowed; "
            "choose a policy that keeps to the limit, such as search, or allow more"
        )


def loads(result: Result) -> list[Load]:
    """Return what every device of the chip does, in the order of its description."""
    device_of = {op.name: op.device for op in result.ops}
    energy = dict.fromkeys(result.chip.devices, 0.0)
    for row in result.rows:
        owner = device_of.get(row.op, row.device)
        if owner in energy:
            energy[owner] += row.energy_j
    n_ops = dict.fromkeys(result.chip.devices, 0)
    for op in result.ops:
        n_ops[op.device] += 1
    return [
        Load(
            device=name,
            kind=device.kind,
            n_ops=n_ops[name],
            busy_s=result.busy_s.get(name, 0.0),
            share=result.busy_s.get(name, 0.0) / result.latency_s if result.latency_s else 0.0,
            energy_j=energy[name],
        )
        for name, device in result.chip.devices.items()
    ]

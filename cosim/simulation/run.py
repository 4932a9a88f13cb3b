"""Chip + workload + policy + fidelity + seed: one simulation, from cost tables to result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cosim.engine import compiled, simpy_engine
from cosim.engine.problem import Mode, Playback
from cosim.plan import PlannedOp, Schedule, load_schedule
from cosim.provenance import provenance
from cosim.scheduling.base import Instance, Plan, make_policy
from cosim.scheduling.fixed import plan_from_schedule
from cosim.scheduling.instance import Goal
from cosim.simulation.accounting import account
from cosim.simulation.bound import bound_plan, bound_playback
from cosim.simulation.costs import OpCosts, cost_ops
from cosim.simulation.critical_path import critical_path
from cosim.simulation.joules import energy_of_ops_j
from cosim.simulation.lower_bound import floor_of
from cosim.simulation.placed import Placed, instance_of, place, tables_of
from cosim.simulation.programming import programming
from cosim.simulation.residency import Residency, plan_residency
from cosim.simulation.result import Floor, OpRun, Result, Transfer, busy_by_device, moved_by_memory
from cosim.simulation.traffic import Traffic, plan_traffic
from cosim.simulation.uncertainty import Exposure
from hw_models.chip import Chip
from workloads.errors import SimulationError, WorkloadError, suggest
from workloads.graph import Workload

# Rung of the fidelity ladder → how the engine shares memories and links.
FIDELITIES: dict[str, Mode] = {"bound": "none", "mapped": "none", "event": "fair", "simpy": "fair"}


@dataclass(frozen=True)
class Simulation:
    """One inference of a workload on a chip.

    policy    name of a policy ("heft", "greedy", "single", "single:NAME"), or "fixed:FILE"
    fidelity  "bound" (closed-form ceilings), "mapped" (no contention), "event" (shared memories and links), or "simpy" (as event, bit for
              bit, by the engine that users extend)
    goal      what a policy that can choose minimizes, and how long it may take
    Raises a CosimError where chip, workload, policy or fidelity do not fit together.
    """

    chip: Chip
    workload: Workload
    policy: str = "heft"
    fidelity: str = "event"
    seed: int = 0
    weight_bits: int = 8
    activation_bits: int = 8
    goal: Goal = field(default_factory=Goal)

    def run(self, *, tight: bool = False, plan: Plan | None = None) -> Result:
        """Cost, place, play and account; `plan`: what to play instead of asking the policy.

        `tight` spends some tenths of a second on a better lower bound of the makespan.
        """
        costs, first, unsettled, instance = self._prepared()
        plan = plan or self._plan(instance)
        residency, traffic = self._settled(costs, first, unsettled, plan)
        placed = place(costs, traffic, tables_of(self.chip, costs.workload, traffic, residency, FIDELITIES[self.fidelity]), plan)
        playback = self._play(plan, placed)
        result = self._result(costs, residency, traffic, plan, placed, playback)
        return replace(
            result,
            floor=self._floor(costs, first, unsettled, instance, result, tight=tight),
            accuracy_loss=_loss(instance, plan),
            planned_s=plan.makespan_s,
            planned_bound_s=plan.lower_bound_s,
        )

    def instance(self) -> Instance:
        """Return what a policy sees, with the tables that the engine plays."""
        return self._prepared()[3]

    def plan(self) -> Plan:
        """Return what the policy plans, without playing it."""
        return self._plan(self.instance())

    def _prepared(self) -> tuple[OpCosts, Residency, Traffic, Instance]:
        """Check, cost, and decide where weights reside."""
        if self.fidelity not in FIDELITIES:
            raise SimulationError(f"fidelity {self.fidelity!r} is not known; {suggest(self.fidelity, FIDELITIES)}")
        if self.seed < 0:
            raise SimulationError(f"seed {self.seed} is negative; choose 0 or more")
        if not self.workload.ops:
            raise WorkloadError(
                f"{self.workload.name}: no node does anything at run time, so there is nothing to simulate; choose a network with ops"
            )
        workload = self.workload.with_bits(self.weight_bits, self.activation_bits)
        costs = cost_ops(self.chip, workload)
        residency = plan_residency(self.chip, workload, costs)
        traffic = plan_traffic(self.chip, workload, costs, residency)
        if self.fidelity == "bound":
            traffic = replace(traffic, n_bytes=traffic.own_bytes)
        instance = instance_of(self.chip, workload, traffic, residency, costs, FIDELITIES[self.fidelity])
        return costs, residency, traffic, replace(instance, goal=self.goal)

    def _settled(self, costs: OpCosts, residency: Residency, traffic: Traffic, plan: Plan) -> tuple[Residency, Traffic]:
        """Give arrays whose ops the plan runs elsewhere to those that it runs on them, as copies, and pin what then is fetched."""
        assignment = plan.assignment.tolist()
        if self.fidelity == "bound" or residency.in_use(assignment).array_device == residency.array_device:
            return residency, traffic
        residency = plan_residency(self.chip, costs.workload, costs, assignment, residency.pinned)
        return residency, plan_traffic(self.chip, costs.workload, costs, residency)

    def _plan(self, instance: Instance) -> Plan:
        """Return the policy's plan; the bound takes none, but a policy that does not exist is refused at every rung."""
        if self.policy.startswith("fixed:"):
            plan = plan_from_schedule(load_schedule(Path(self.policy.removeprefix("fixed:"))), instance)
            return bound_plan(instance) if self.fidelity == "bound" else plan
        policy = make_policy(self.policy)
        return bound_plan(instance) if self.fidelity == "bound" else policy.plan(instance, np.random.default_rng(self.seed))

    def _play(self, plan: Plan, placed: Placed) -> Playback:
        if self.fidelity == "bound":
            return bound_playback(plan, placed.problem)
        return simpy_engine.play(placed.problem) if self.fidelity == "simpy" else compiled.play(placed.problem)

    def _floor(self, costs: OpCosts, residency: Residency, traffic: Traffic, instance: Instance, result: Result, *, tight: bool) -> Floor:
        if self.fidelity == "bound":
            return Floor(result.latency_s, result.energy_j, "closed-form ceilings")
        shared = FIDELITIES[self.fidelity] == "fair"
        return floor_of(self.chip, costs, traffic, residency, instance, shared=shared, tight=tight)

    def _result(self, costs: OpCosts, residency: Residency, traffic: Traffic, plan: Plan, placed: Placed, playback: Playback) -> Result:
        workload = costs.workload
        if self.fidelity == "bound":
            placed = _cheapest(self.chip, costs, traffic, placed)
        book = account(self.chip, costs, traffic, residency, placed, playback, self.fidelity)
        rows = tuple(book.rows)
        ops = _op_runs(costs, residency, placed, plan, playback)
        used = residency.in_use(plan.assignment.tolist())
        resident = used.resident_weights(workload)
        n_bytes = sum(workload.tensors[name].n_bytes for name in resident)
        return Result(
            workload=workload,
            chip=self.chip,
            policy=self.policy,
            fidelity=self.fidelity,
            seed=self.seed,
            weight_bits=self.weight_bits,
            activation_bits=self.activation_bits,
            rows=rows,
            ops=ops,
            latency=_latency(self.chip, costs, traffic, placed, playback),
            spreads=book.spreads,
            programming=programming(self.chip, costs, used),
            resident_weight_fraction=n_bytes / workload.weight_bytes if workload.weight_bytes else 0.0,
            busy_s=busy_by_device(tuple(self.chip.devices), ops),
            memory_bytes=moved_by_memory(self.chip, rows),
            provenance=provenance(workload, self.chip.digest, seed=self.seed, policy=self.policy, fidelity=self.fidelity),
            transfers=_transfers(traffic, placed, playback),
        )


def _cheapest(chip: Chip, costs: OpCosts, traffic: Traffic, placed: Placed) -> Placed:
    """Return the bound's placement for energy: each op where it costs least, nothing crossing between devices."""
    energy_j = energy_of_ops_j(chip, costs, traffic, traffic.own_bytes)
    device = energy_j.argmin(axis=1)
    n_bytes = traffic.own_bytes[np.arange(device.size), device]
    return replace(placed, assignment=device, n_bytes=n_bytes, crosses=np.zeros_like(placed.crosses))


def _op_runs(costs: OpCosts, residency: Residency, placed: Placed, plan: Plan, playback: Playback) -> tuple[OpRun, ...]:
    names = costs.device_names
    runs = []
    for i, op in enumerate(costs.workload.ops):
        d = int(plan.assignment[i])
        weight_bits, activation_bits = costs.compute_bits(i, d)
        runs.append(
            OpRun(
                name=op.name,
                op_type=op.op_type,
                device=names[d],
                start_s=float(playback.start_s[i]),
                end_s=float(playback.end_s[i]),
                limit=placed.limit[i],
                n_macs=op.n_macs,
                memory_bytes=float(placed.n_bytes[i].sum()),
                weight_bits=weight_bits,
                activation_bits=activation_bits,
                resident=residency.array_device[i] == d,
                output_snr_db=costs.output_snr_db(i, d),
            )
        )
    return tuple(runs)


def _transfers(traffic: Traffic, placed: Placed, playback: Playback) -> tuple[Transfer, ...]:
    """Every tensor that crosses between devices, in the order of the edges."""
    return tuple(
        Transfer(
            src=edge.src,
            dst=edge.dst,
            memory=traffic.memories[int(placed.edge_memory[e])].name,
            start_s=float(playback.edge_start_s[e]),
            end_s=float(playback.edge_end_s[e]),
            n_bytes=float(placed.problem.edge_bytes[e]),
        )
        for e, edge in enumerate(placed.edges)
        if placed.crosses[e]
    )


def _loss(instance: Instance, plan: Plan) -> float | None:
    """Sum what the placed ops are estimated to lose in accuracy; None where the instance does not know."""
    if instance.task_loss is None:
        return None
    return float(instance.task_loss[np.arange(instance.n_tasks), plan.assignment].sum())


def _latency(chip: Chip, costs: OpCosts, traffic: Traffic, placed: Placed, playback: Playback) -> Exposure:
    """Expose the makespan to what each step of the critical path waits for: a launch, the longest of its parts, and others' traffic."""
    exposure = Exposure(playback.makespan_s)
    devices, links = list(chip.devices.values()), list(chip.links.values())
    by_memory = {f"{memory.name}: {memory.bandwidth_limit}": memory.bandwidth_spreads for memory in chip.memories.values()}
    for step in critical_path(placed.problem, playback):
        d = int(placed.problem.assignment[step.op])
        limit = placed.limit[step.op]
        if step.edge is not None:
            exposure.expose(step.duration_s, links[d].time_spreads)
            continue
        alone_s = min(step.duration_s, float(placed.problem.cost_s[step.op]))
        launch_s = min(alone_s, float(traffic.fixed_s[step.op, d]))
        exposure.expose(step.duration_s - alone_s, traffic.memories[int(placed.busiest[step.op])].bandwidth_spreads)
        exposure.expose(launch_s, devices[d].spec.spread(devices[d].spec.title or devices[d].kind, "launch"))
        inside = by_memory.get(limit, costs.tables[d].latency_spreads[0])
        exposure.expose(alone_s - launch_s, links[d].time_spreads if limit == "link" else inside)
    return exposure


def schedule_of(result: Result) -> Schedule:
    """Return the placement of a result in the form that can be saved, edited by hand and replayed: by start, first runs first."""
    rank = {id(op): n for n, op in enumerate(sorted(result.ops, key=lambda op: op.start_s))}
    ops = tuple(PlannedOp(op.name, op.device, float(len(rank) - rank[id(op)]), op.start_s, op.end_s) for op in result.ops)
    return Schedule(result.workload.name, result.chip.name, ops, result.policy)

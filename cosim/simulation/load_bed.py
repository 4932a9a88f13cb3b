"""Networks placed on a chip together, before anything arrives: what one inference of each asks of every device, memory and link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosim.engine import compiled, simpy_engine
from cosim.engine.problem import Playback, Problem
from cosim.plan import PlannedOp, Schedule, load_schedule
from cosim.scheduling.base import Plan, make_policy
from cosim.scheduling.fixed import plan_from_schedule
from cosim.scheduling.instance import Goal, Instance
from cosim.simulation.accounting import account
from cosim.simulation.costs import OpCosts, cost_ops
from cosim.simulation.placed import Placed, instance_of, place, tables_of
from cosim.simulation.power import OperatingPoint, at_points, operating_points
from cosim.simulation.replicate import replicate
from cosim.simulation.residency import Residency, plan_residency
from cosim.simulation.run import FIDELITIES
from cosim.simulation.tenants import Tenants, merge
from cosim.simulation.traffic import Traffic, plan_traffic
from hw_models.chip import Chip
from workloads.errors import SimulationError, suggest
from workloads.graph import Workload

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bed:
    """A chip with all its networks placed.

    resources                devices, then memories, then `link NAME`; `kinds` says which is which
    demand_s                 [n_networks, n_resources] seconds that one inference occupies each: cost of its ops, bytes / bandwidth
    flow_demand_s            [n_ops + n_edges, n_memories + n_devices] the same for each op and edge, of memories and links
    energy_j                 [n_networks] what one inference spends, standby left out
    unloaded_s               [n_networks] makespan of one inference alone
    peak_shared_bytes        of the shared memory that activations of one inference at a time occupy
    """

    chip: Chip
    fidelity: str
    tenants: Tenants
    plan: Plan
    placed: Placed
    points: Mapping[str, OperatingPoint]
    resources: tuple[str, ...]
    kinds: tuple[str, ...]
    demand_s: Floats
    flow_demand_s: Floats
    energy_j: Floats
    unloaded_s: Floats
    peak_shared_bytes: int

    @property
    def binds(self) -> NDArray[np.bool_]:
        """[n_resources] what can hold the engine up at this fidelity: without contention, only devices."""
        return np.array([kind == "device" or FIDELITIES[self.fidelity] != "none" for kind in self.kinds])

    def play(self, problem: Problem) -> Playback:
        """Play a problem in the engine of this fidelity."""
        return simpy_engine.play(problem) if self.fidelity == "simpy" else compiled.play(problem)

    def schedule(self, policy: str) -> Schedule:
        """Return the placement in the form that can be saved, edited by hand and replayed."""
        names = tuple(self.chip.devices)
        columns = (self.placed.workload.ops, self.plan.assignment.tolist(), self.plan.priority.tolist())
        ops = tuple(PlannedOp(op.name, names[device], float(priority)) for op, device, priority in zip(*columns, strict=True))
        return Schedule(self.placed.workload.name, self.chip.name, ops, policy)


def prepare(
    chip: Chip,
    workloads: Sequence[Workload],
    policy: str,
    fidelity: str,
    *,
    bits: tuple[int, int],
    dvfs: Mapping[str, float],
    goal: Goal,
    rng: np.random.Generator,
) -> Bed:
    """Merge networks, cost them at their operating points, decide what resides where, and let the policy place all of them at once.

    `bits` are those of weights and of activations. Raises a CosimError where something does not fit.
    """
    if fidelity not in FIDELITIES or fidelity == "bound":
        known = [name for name in FIDELITIES if name != "bound"]
        reason = "is a ceiling without a placement" if fidelity == "bound" else "is not known"
        raise SimulationError(f"fidelity {fidelity!r} {reason}; {suggest(fidelity, known)}")
    points = operating_points(chip, dvfs)
    tenants = merge(workloads)
    workload = tenants.workload.with_bits(*bits)
    costs = at_points(cost_ops(chip, workload), points)
    residency = plan_residency(chip, workload, costs)
    traffic = plan_traffic(chip, workload, costs, residency)
    instance = instance_of(chip, workload, traffic, residency, costs, FIDELITIES[fidelity])
    plan = _plan(policy, replace(instance, goal=goal), rng)
    placed = place(costs, traffic, tables_of(chip, workload, traffic, residency, FIDELITIES[fidelity]), plan)
    flow_demand_s, demand_s = _demands(chip, tenants, traffic, placed)
    bed = Bed(
        chip=chip,
        fidelity=fidelity,
        tenants=tenants,
        plan=plan,
        placed=placed,
        points=points,
        resources=(*chip.devices, *(memory.name for memory in traffic.memories), *(f"link {name}" for name in chip.links)),
        kinds=(*["device"] * len(chip.devices), *["memory"] * len(traffic.memories), *["link"] * len(chip.links)),
        demand_s=demand_s,
        flow_demand_s=flow_demand_s,
        energy_j=_energy_j(chip, tenants, costs, traffic, residency, placed),
        unloaded_s=np.zeros(len(tenants.networks)),
        peak_shared_bytes=residency.peak_shared_bytes,
    )
    return replace(bed, unloaded_s=_unloaded_s(bed))


def _plan(policy: str, instance: Instance, rng: np.random.Generator) -> Plan:
    if policy.startswith("fixed:"):
        return plan_from_schedule(load_schedule(Path(policy.removeprefix("fixed:"))), instance)
    return make_policy(policy).plan(instance, rng)


def _demands(chip: Chip, tenants: Tenants, traffic: Traffic, placed: Placed) -> tuple[Floats, Floats]:
    """Return flow_demand_s and demand_s: all bytes count, also those of memories that do not limit an op."""
    problem, n, k = placed.problem, placed.problem.n_tasks, len(traffic.memories)
    n_bytes = np.zeros((n + problem.n_edges, k + len(chip.devices)))
    own = placed.n_bytes.sum(axis=2)
    n_bytes[:n, :k] = own
    n_bytes[np.arange(n), k + placed.assignment] = own.sum(axis=1)
    crossing = np.flatnonzero(placed.crosses)
    n_bytes[n + crossing, placed.edge_memory[crossing]] = problem.edge_bytes[crossing]
    n_bytes[n + crossing, k + placed.assignment[problem.edge_dst[crossing]]] = problem.edge_bytes[crossing]
    bandwidth = np.array([memory.bandwidth_bytes_per_s for memory in traffic.memories] + traffic.link_bytes_per_s.tolist())
    flow_demand_s = n_bytes / bandwidth
    network = np.searchsorted(tenants.first_op, np.arange(n), side="right") - 1
    demand_s = np.zeros((len(tenants.networks), len(chip.devices) + n_bytes.shape[1]))
    np.add.at(demand_s, (network, placed.assignment), problem.cost_s)
    np.add.at(demand_s[:, len(chip.devices) :], network, flow_demand_s[:n])
    np.add.at(demand_s[:, len(chip.devices) :], network[problem.edge_dst], flow_demand_s[n:])
    return flow_demand_s, demand_s


def _energy_j(chip: Chip, tenants: Tenants, costs: OpCosts, traffic: Traffic, residency: Residency, placed: Placed) -> Floats:
    """[n_networks] joules of the ledger's rows that belong to an op; when it ran does not matter."""
    n, e = placed.problem.n_tasks, placed.problem.n_edges
    at_once = Playback(np.zeros(n), np.zeros(n), np.zeros(e), np.zeros(e), 0.0, 0, np.zeros(placed.problem.n_resources))
    position = {op.name: i for i, op in enumerate(placed.workload.ops)}
    energy_j = np.zeros(len(tenants.networks))
    for row in account(chip, costs, traffic, residency, placed, at_once, "load").rows:
        energy_j[np.searchsorted(tenants.first_op, position[row.op], side="right") - 1] += row.energy_j
    return energy_j


def _unloaded_s(bed: Bed) -> Floats:
    """[n_networks] makespan of one inference of each network, alone on the chip."""
    alone, zero = np.zeros(1, np.int64), np.zeros(1)
    networks = range(len(bed.tenants.networks))
    copies = [replicate(bed.placed.problem, bed.tenants.first_op, alone + network, zero, alone) for network in networks]
    return np.array([bed.play(copy.problem).makespan_s for copy in copies])

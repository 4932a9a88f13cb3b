"""A workload placed on a chip: what the policies see of it, and what the engine plays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosim.engine.problem import Mode, Problem
from cosim.engine.tables import Tables
from cosim.scheduling.base import Instance, Plan
from cosim.simulation.costs import OpCosts
from cosim.simulation.joules import energy_of_ops_j, standby
from cosim.simulation.loss import loss_of
from cosim.simulation.residency import Residency
from cosim.simulation.traffic import READ, WRITE, Traffic
from hw_models.chip import Chip
from workloads.graph import Edge, Workload

Floats = NDArray[np.float64]


def instance_of(
    chip: Chip, workload: Workload, traffic: Traffic, residency: Residency, costs: OpCosts | None = None, mode: Mode = "none"
) -> Instance:
    """Return what policies see: costs [n_ops, n_devices] and link matrices without contention, and the tables that the engine plays.

    With `costs`, also the joules and the estimated loss of accuracy of each op on each device.
    """
    links = list(chip.links.values())
    latency = np.array([[a.latency_s + b.latency_s if a is not b else 0.0 for b in links] for a in links])
    used = {residency.home[edge.tensor].name: residency.home[edge.tensor] for edge in workload.edges}
    slowest = min((memory.bandwidth_bytes_per_s for memory in used.values()), default=chip.backing.bandwidth_bytes_per_s)
    bandwidth = np.array([[min(a.bandwidth_bytes_per_s, b.bandwidth_bytes_per_s, slowest) for b in links] for a in links])
    edges = workload.edges
    return Instance(
        task_names=tuple(op.name for op in workload.ops),
        device_names=tuple(chip.devices),
        cost_s=traffic.uncontended_s(),
        edge_src=np.array([edge.src for edge in edges], dtype=np.int64),
        edge_dst=np.array([edge.dst for edge in edges], dtype=np.int64),
        edge_bytes=np.array([workload.tensors[edge.tensor].n_bytes for edge in edges], dtype=np.float64),
        bandwidth_bytes_per_s=bandwidth,
        latency_s=latency,
        task_energy_j=None if costs is None else energy_of_ops_j(chip, costs, traffic, traffic.n_bytes),
        power_w=sum(power_w for _, power_w, *_ in standby(chip)),
        task_loss=None if costs is None else loss_of(costs),
        tables=tables_of(chip, workload, traffic, residency, mode),
    )


def tables_of(chip: Chip, workload: Workload, traffic: Traffic, residency: Residency, mode: Mode) -> Tables:
    """Lay out for the engine what each op costs and moves on each device; resources are the memories, then one link a device."""
    links, edges = list(chip.links.values()), workload.edges
    index = {memory.name: i for i, memory in enumerate(traffic.memories)}
    memory_bw = np.array([memory.bandwidth_bytes_per_s for memory in traffic.memories])
    link_bw, latency_s = np.array([link.bandwidth_bytes_per_s for link in links]), np.array([link.latency_s for link in links])
    return Tables(
        fixed_s=traffic.fixed_s + traffic.program_s,
        body_s=np.where(traffic.supported, traffic.body_s, np.inf),
        read_bytes=traffic.n_bytes[..., READ],
        own_bytes=traffic.own_bytes[..., READ],
        write_bytes=traffic.n_bytes[..., WRITE],
        memory_bytes_per_s=memory_bw,
        capacity_bytes_per_s=memory_bw,
        link_bytes_per_s=link_bw,
        link_is_shared=True,
        edge_src=np.array([edge.src for edge in edges], dtype=np.int64),
        edge_dst=np.array([edge.dst for edge in edges], dtype=np.int64),
        edge_bytes=np.array([workload.tensors[edge.tensor].n_bytes for edge in edges], dtype=np.float64),
        edge_memory=np.array([index[residency.home[edge.tensor].name] for edge in edges], dtype=np.int64),
        latency_s=latency_s[:, np.newaxis] + latency_s,
        edge_bytes_per_s=np.minimum(link_bw[:, np.newaxis], link_bw),
        edges_are_input=True,
        mode=mode,
        task_names=tuple(op.name for op in workload.ops),
    )


@dataclass(frozen=True)
class Placed:
    """A placed workload.

    n_bytes[n_ops, n_memories, 2]  what each op itself reads and writes, its crossing inputs left out
    crosses[n_edges]               whether an edge goes between devices; its bytes then are a transfer
    limit[n_ops]                   what bounds each op when nothing else runs
    busiest[n_ops]                 memory that each op loads most, on which it meets others
    """

    workload: Workload
    problem: Problem
    assignment: NDArray[np.int64]
    n_bytes: Floats
    edges: tuple[Edge, ...]
    crosses: NDArray[np.bool_]
    edge_memory: NDArray[np.int64]
    limit: tuple[str, ...]
    busiest: NDArray[np.int64]


def place(costs: OpCosts, traffic: Traffic, tables: Tables, plan: Plan) -> Placed:
    """Turn a plan into the engine's problem: one flow an op, on the memory that bounds it, one an edge that crosses."""
    workload, device = costs.workload, plan.assignment
    rows = np.arange(len(workload.ops))
    problem = tables.placed(device, plan.priority)
    n_bytes = np.stack([tables.placed_reads(device), traffic.n_bytes[rows, device][..., WRITE]], axis=-1)
    memory_s = traffic.memory_s(n_bytes)
    link_s = n_bytes.sum(axis=(1, 2)) / traffic.link_bytes_per_s[device]
    body = traffic.body_s[rows, device]
    fixed = traffic.fixed_s[rows, device] + traffic.program_s[rows, device]
    limits = tuple(
        _limit(costs, traffic, i, int(device[i]), float(fixed[i]), float(body[i]), memory_s[i], float(link_s[i])) for i in range(len(rows))
    )
    busiest = memory_s.argmax(axis=1)
    return Placed(workload, problem, device, n_bytes, workload.edges, ~problem.edge_is_local, tables.edge_memory, limits, busiest)


def _limit(costs: OpCosts, traffic: Traffic, op: int, device: int, fixed_s: float, body_s: float, memory_s: Floats, link_s: float) -> str:
    """Name the longest of what an op waits for."""
    memory = int(memory_s.argmax())
    kind = traffic.memories[memory]
    candidates = [
        (body_s, costs.limit(op, device)),
        (float(memory_s[memory]), f"{kind.name}: {kind.bandwidth_limit}"),
        (link_s, "link"),
    ]
    longest = max(candidates, key=lambda pair: pair[0])
    if fixed_s > longest[0]:
        return "programming" if traffic.program_s[op, device] > fixed_s / 2 else "launch"
    return longest[1]

"""A workload placed on a chip: what the policies see of it, and what the engine plays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosim.engine.problem import Problem
from cosim.scheduling.base import Instance, Plan
from cosim.simulation.costs import OpCosts
from cosim.simulation.residency import Residency
from cosim.simulation.traffic import READ, Traffic
from hw_models.chip import Chip
from workloads.graph import Edge, Workload

Floats = NDArray[np.float64]


def instance_of(chip: Chip, workload: Workload, traffic: Traffic, residency: Residency) -> Instance:
    """Return the contention-free view that policies plan on: costs [n_ops, n_devices] and link matrices."""
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


def place(chip: Chip, workload: Workload, costs: OpCosts, traffic: Traffic, residency: Residency, plan: Plan, mode: str) -> Placed:
    """Turn a plan into the engine's problem: one flow an op, on the memory that bounds it, one an edge that crosses."""
    device = plan.assignment
    rows = np.arange(len(workload.ops))
    n_bytes = traffic.n_bytes[rows, device].copy()
    edges = workload.edges
    memory_index = {memory.name: i for i, memory in enumerate(traffic.memories)}
    edge_memory = np.array([memory_index[residency.home[edge.tensor].name] for edge in edges], dtype=np.int64)
    crosses = np.array([device[edge.src] != device[edge.dst] for edge in edges], dtype=np.bool_)
    for edge, memory, crossing in zip(edges, edge_memory, crosses, strict=True):
        if crossing:
            left = n_bytes[edge.dst, memory, READ] - workload.tensors[edge.tensor].n_bytes
            n_bytes[edge.dst, memory, READ] = max(traffic.own_bytes[edge.dst, device[edge.dst], memory, READ], left)
    memory_s = traffic.memory_s(n_bytes)
    link_s = n_bytes.sum(axis=(1, 2)) / traffic.link_bytes_per_s[device]
    body = traffic.body_s[rows, device]
    fixed = traffic.fixed_s[rows, device] + traffic.program_s[rows, device]
    cost = fixed + np.maximum(body, np.maximum(memory_s.max(axis=1), link_s))
    busiest = memory_s.argmax(axis=1)
    limits = tuple(
        _limit(costs, traffic, i, int(device[i]), float(fixed[i]), float(body[i]), memory_s[i], float(link_s[i])) for i in range(len(rows))
    )
    problem = _problem(chip, workload, traffic, plan, cost, n_bytes[rows, busiest].sum(axis=1), busiest, edge_memory, mode)
    return Placed(workload, problem, device, n_bytes, edges, crosses, edge_memory, limits, busiest)


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


def _problem(
    chip: Chip,
    workload: Workload,
    traffic: Traffic,
    plan: Plan,
    cost_s: Floats,
    flow_bytes: Floats,
    busiest: NDArray[np.int64],
    edge_memory: NDArray[np.int64],
    mode: str,
) -> Problem:
    """Lay out resources as memories first, then one link a device."""
    links = list(chip.links.values())
    edges, n_memories = workload.edges, len(traffic.memories)
    capacity = [memory.bandwidth_bytes_per_s for memory in traffic.memories] + [link.bandwidth_bytes_per_s for link in links]
    n_ops = len(workload.ops)
    member = np.zeros((n_ops + len(edges), len(capacity)), dtype=np.bool_)
    member[np.arange(n_ops), busiest] = True
    member[np.arange(n_ops), n_memories + plan.assignment] = True
    src = np.array([edge.src for edge in edges], dtype=np.int64)
    dst = np.array([edge.dst for edge in edges], dtype=np.int64)
    rows = n_ops + np.arange(len(edges))
    member[rows, edge_memory] = True
    member[rows, n_memories + plan.assignment[dst]] = True
    link_bw = np.array([link.bandwidth_bytes_per_s for link in links])
    memory_bw = np.array([memory.bandwidth_bytes_per_s for memory in traffic.memories])
    latency = np.array([link.latency_s for link in links])
    on = plan.assignment
    return Problem(
        n_devices=len(links),
        cost_s=cost_s,
        assignment=on,
        priority=plan.priority,
        flow_bytes=flow_bytes,
        edge_src=src,
        edge_dst=dst,
        edge_latency_s=np.where(on[src] == on[dst], 0.0, latency[on[src]] + latency[on[dst]]),
        edge_bytes=np.array([workload.tensors[edge.tensor].n_bytes for edge in edges], dtype=np.float64),
        edge_cap_bytes_per_s=np.minimum(np.minimum(link_bw[on[src]], link_bw[on[dst]]), memory_bw[edge_memory]),
        capacity_bytes_per_s=np.array(capacity),
        membership=member,
        mode=mode,  # type: ignore[arg-type]  # checked by Problem
    )

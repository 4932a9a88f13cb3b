"""What no placement can beat in the engine: the time of the longest chain, of all the work, of every byte; and the least energy.

The engine does not play the costs that policies plan on: an op whose input crosses between devices does not read it
again, and shared memories slow others down. So each argument starts from the least that the engine can charge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosim.scheduling.bounds import lower_bound_s
from cosim.scheduling.instance import Instance
from cosim.simulation.bound import bound_plan
from cosim.simulation.costs import OpCosts
from cosim.simulation.joules import energy_of_ops_j, standby
from cosim.simulation.residency import Residency
from cosim.simulation.result import Floor
from cosim.simulation.traffic import READ, Traffic
from hw_models.chip import Chip

Floats = NDArray[np.float64]
ROUNDING = 1e-8  # engines take a flow for done when 1e-9 of it is left; a bound gives that way ten times over


@dataclass(frozen=True)
class _Edges:
    """Edges as arrays: ends, bytes and memory [n_edges]; seconds of a transfer between devices [n_edges, n_devices, n_devices]."""

    src: NDArray[np.int64]
    dst: NDArray[np.int64]
    n_bytes: Floats
    memory: NDArray[np.int64]
    transfer_s: Floats


def floor_of(
    chip: Chip, costs: OpCosts, traffic: Traffic, residency: Residency, instance: Instance, *, shared: bool, tight: bool = False
) -> Floor:
    """Return the best bounds for a residency of weights: the largest of all that hold.

    `shared`: flows share the memories; `tight`: spend some tenths of a second on linear programs over the devices.
    """
    if not costs.workload.ops:
        return Floor()
    edges = _edges_of(chip, costs, traffic, residency)
    least_bytes = _least_bytes(traffic, edges)
    least_s = replace(traffic, n_bytes=least_bytes).uncontended_s()
    found = {
        "the longest chain of ops and transfers": _path_s(traffic, edges, least_s),
        "the work of all ops on all devices": _load_s(chip, traffic, instance, least_s, tight=tight),
    }
    for m, memory in enumerate(traffic.memories if shared else ()):
        found[f"the bytes that go through {memory.name}"] = _memory_s(traffic, least_bytes, m)
    makespan_s = max(found.values()) * (1 - ROUNDING)
    argument = next(name for name, seconds in found.items() if seconds >= makespan_s)
    standby_w = sum(power_w for _, power_w, *_ in standby(chip))
    # an input that crosses is read by its transfer, from the same memory over the same link, so an op never spends less than with all local
    energy_j = float(energy_of_ops_j(chip, costs, traffic, traffic.n_bytes).min(axis=1).sum()) + standby_w * makespan_s
    return Floor(makespan_s, energy_j * (1 - ROUNDING), argument)


def _edges_of(chip: Chip, costs: OpCosts, traffic: Traffic, residency: Residency) -> _Edges:
    """Time of a transfer: both latencies + bytes / slowest of both links and the memory between."""
    workload, links = costs.workload, list(chip.links.values())
    index = {memory.name: i for i, memory in enumerate(traffic.memories)}
    memory = np.array([index[residency.home[edge.tensor].name] for edge in workload.edges], dtype=np.int64)
    n_bytes = np.array([workload.tensors[edge.tensor].n_bytes for edge in workload.edges], dtype=np.float64)
    latency_s = np.array([link.latency_s for link in links])
    link_bw = np.array([link.bandwidth_bytes_per_s for link in links])
    memory_bw = np.array([one.bandwidth_bytes_per_s for one in traffic.memories])
    rate = np.minimum(np.minimum(link_bw[:, None], link_bw[None, :])[None], memory_bw[memory][:, None, None])
    transfer_s = (latency_s[:, None] + latency_s[None, :])[None] + n_bytes[:, None, None] / rate
    transfer_s[:, np.arange(len(links)), np.arange(len(links))] = np.inf  # stays local instead
    src = np.array([edge.src for edge in workload.edges], dtype=np.int64)
    dst = np.array([edge.dst for edge in workload.edges], dtype=np.int64)
    return _Edges(src, dst, n_bytes, memory, transfer_s)


def _least_bytes(traffic: Traffic, edges: _Edges) -> Floats:
    """[n_ops, n_devices, n_memories, 2] what an op moves by itself when every input crosses, which is the least it can."""
    crossing = np.zeros((traffic.n_bytes.shape[0], len(traffic.memories)))
    np.add.at(crossing, (edges.dst, edges.memory), edges.n_bytes)
    least = traffic.n_bytes.copy()
    least[..., READ] = np.maximum(traffic.own_bytes[..., READ], least[..., READ] - crossing[:, None, :])
    return least


def _path_s(traffic: Traffic, edges: _Edges, least_s: Floats) -> float:
    """Earliest end of each op on each device when no device is ever taken: an input either crosses first, or is read by the op."""
    end_s = np.zeros_like(least_s)
    local_s = _local_s(traffic, edges)
    into: list[list[int]] = [[] for _ in range(least_s.shape[0])]
    for edge, dst in enumerate(edges.dst.tolist()):
        into[dst].append(edge)
    for op, own in enumerate(into):
        end_s[op] = least_s[op]
        for edge in own:
            made_s = end_s[edges.src[edge]]
            crossed_s = (made_s[:, None] + edges.transfer_s[edge]).min(axis=0) + least_s[op]
            end_s[op] = np.maximum(end_s[op], np.minimum(crossed_s, made_s + local_s[edge]))
    return float(end_s.min(axis=1).max())


def _local_s(traffic: Traffic, edges: _Edges) -> Floats:
    """[n_edges, n_devices] least time of the op that an edge leads to when that one input is local and all others cross."""
    crossing = np.zeros((traffic.n_bytes.shape[0], len(traffic.memories)))
    np.add.at(crossing, (edges.dst, edges.memory), edges.n_bytes)
    others = crossing[edges.dst]
    others[np.arange(edges.dst.size), edges.memory] -= edges.n_bytes
    n_bytes = traffic.n_bytes[edges.dst].copy()
    n_bytes[..., READ] = np.maximum(traffic.own_bytes[edges.dst][..., READ], n_bytes[..., READ] - others[:, None, :])
    rows = {name: getattr(traffic, name)[edges.dst] for name in ("own_bytes", "fixed_s", "body_s", "program_s", "supported")}
    return replace(traffic, n_bytes=n_bytes, **rows).uncontended_s()


def _load_s(chip: Chip, traffic: Traffic, instance: Instance, least_s: Floats, *, tight: bool) -> float:
    """Bound of the instance with the least time of every op and transfer: all that the engine can play are schedules of it."""
    link_bw = np.array([link.bandwidth_bytes_per_s for link in chip.links.values()])
    fastest = max(memory.bandwidth_bytes_per_s for memory in traffic.memories)
    bandwidth = np.minimum(np.minimum(link_bw[:, None], link_bw[None, :]), fastest)
    fastest_instance = replace(instance, cost_s=least_s, bandwidth_bytes_per_s=bandwidth, tables=None)
    if tight:
        return lower_bound_s(fastest_instance)
    return bound_plan(fastest_instance).makespan_s


def _memory_s(traffic: Traffic, least_bytes: Floats, memory: int) -> float:
    """Time that a shared memory needs for the bytes of ops that load it most wherever they run, however their inputs come."""
    least_s, most_s = traffic.memory_s(least_bytes), traffic.memory_s(traffic.n_bytes)
    others_s = np.delete(most_s, memory, axis=2).max(axis=2, initial=-1.0)
    loads = least_s[..., memory] > others_s
    n_bytes = np.where(loads, traffic.n_bytes[:, :, memory].sum(axis=2), 0.0)
    least = np.where(traffic.supported, n_bytes, np.inf).min(axis=1)
    return float(least.sum()) / traffic.memories[memory].bandwidth_bytes_per_s

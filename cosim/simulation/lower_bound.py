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
from cosim.simulation.lower_variants import Variant, variants_of
from cosim.simulation.residency import Residency
from cosim.simulation.result import Floor
from cosim.simulation.traffic import READ, Traffic
from hw_models.chip import Chip

Floats = NDArray[np.float64]
CHAIN, WORK = "the longest chain of ops and transfers", "the work of all ops on all devices"
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
    """Return the best bounds: the largest of all that hold for every placement, and for what it leaves of `residency`.

    `residency` and `traffic` are those that policies plan on. `shared`: flows share the memories; `tight`: spend some tenths of
    a second on more prices of an array, and on linear programs over the devices.
    """
    if not costs.workload.ops:
        return Floor()
    edges = _edges_of(chip, costs, traffic, residency)
    variants = variants_of(chip, costs, traffic, residency)
    found = dict(zip((CHAIN, WORK), _chain_and_work_s(chip, instance, edges, variants, tight=tight), strict=True))
    for m, memory in enumerate(traffic.memories if shared else ()):
        found[f"the bytes that go through {memory.name}"] = _memory_s(variants, edges, m)
    makespan_s = max(found.values()) * (1 - ROUNDING)
    argument = next(name for name, seconds in found.items() if seconds >= makespan_s)
    standby_w = sum(power_w for _, power_w, *_ in standby(chip))
    # an input that crosses is read by its transfer, from the same memory over the same link, so an op never spends less than with all local
    ops_j = _least([energy_of_ops_j(chip, costs, one.traffic, one.traffic.n_bytes) for one in variants])
    energy_j = float(ops_j.min(axis=1).sum()) + standby_w * makespan_s
    return Floor(makespan_s, energy_j * (1 - ROUNDING), argument)


def _chain_and_work_s(chip: Chip, instance: Instance, edges: _Edges, variants: list[Variant], *, tight: bool) -> tuple[float, float]:
    """Bounds by the longest chain and by the work of all devices, at the best price of an array.

    Copies of weights on arrays make ops faster, and all arrays together are n. Let every op pay a price for each array it takes,
    in seconds: of no schedule does that add more than price * n to any chain, or to the makespan. So the bound at a price, less
    price * n, holds at any price; 0 gives every op all arrays.
    """
    n_arrays = sum(device.n_arrays for device in chip.devices.values())
    if not any(one.copies is not None for one in variants):
        n_arrays = 0
    guess_s = _path_s(edges, variants, 0.0)
    unit_s = guess_s / n_arrays if n_arrays else 0.0
    powers: list[float] = np.arange(-6.0, 3.1, 0.25 if tight else 1.5).tolist() if n_arrays else []
    prices_s = [0.0, *(unit_s * 2.0**power for power in powers)]
    path_s, price_s = max((_path_s(edges, variants, price_s) - price_s * n_arrays, price_s) for price_s in prices_s)
    near_s = [price_s * share for share in ((1.0, 0.8, 0.6) if tight and price_s > 0 else (1.0,))]
    work_s = max(
        _load_s(chip, instance, variants[0].traffic, least_s(edges, variants, one_s), tight=tight) - one_s * n_arrays for one_s in near_s
    )
    return path_s, work_s


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


def _crossing(n_ops: int, n_memories: int, edges: _Edges) -> Floats:
    """[n_ops, n_memories] bytes that arrive over edges."""
    crossing = np.zeros((n_ops, n_memories))
    np.add.at(crossing, (edges.dst, edges.memory), edges.n_bytes)
    return crossing


def _without(traffic: Traffic, rows: NDArray[np.int64], crossing: Floats) -> Floats:
    """[n, n_devices, n_memories, 2] what ops `rows` move by themselves when `crossing` [n, n_memories] comes over edges."""
    n_bytes = traffic.n_bytes[rows].copy()
    n_bytes[..., READ] = np.maximum(traffic.own_bytes[rows][..., READ], n_bytes[..., READ] - crossing[:, None, :])
    return n_bytes


def least_s(edges: _Edges, variants: list[Variant], price_s: float) -> Floats:
    """[n_ops, n_devices] least time when every input crosses, and what the arrays cost at a price."""
    traffic = variants[0].traffic
    rows = np.arange(traffic.n_bytes.shape[0])
    crossing = _crossing(rows.size, len(traffic.memories), edges)
    return _least([one.seconds(rows, _without(one.traffic, rows, crossing), price_s) for one in variants])


def _local_s(edges: _Edges, variants: list[Variant], price_s: float) -> Floats:
    """[n_edges, n_devices] least time of the op that an edge leads to when that one input is local and all others cross."""
    traffic = variants[0].traffic
    others = _crossing(traffic.n_bytes.shape[0], len(traffic.memories), edges)[edges.dst]
    others[np.arange(edges.dst.size), edges.memory] -= edges.n_bytes
    return _least([one.seconds(edges.dst, _without(one.traffic, edges.dst, others), price_s) for one in variants])


def _path_s(edges: _Edges, variants: list[Variant], price_s: float) -> float:
    """Earliest end of each op on each device when no device is ever taken: an input either crosses first, or is read by the op."""
    own_s, local_s = least_s(edges, variants, price_s), _local_s(edges, variants, price_s)
    end_s = np.zeros_like(own_s)
    into: list[list[int]] = [[] for _ in range(own_s.shape[0])]
    for edge, dst in enumerate(edges.dst.tolist()):
        into[dst].append(edge)
    for op, own in enumerate(into):
        end_s[op] = own_s[op]
        for edge in own:
            made_s = end_s[edges.src[edge]]
            crossed_s = (made_s[:, None] + edges.transfer_s[edge]).min(axis=0) + own_s[op]
            end_s[op] = np.maximum(end_s[op], np.minimum(crossed_s, made_s + local_s[edge]))
    return float(end_s.min(axis=1).max())


def _load_s(chip: Chip, instance: Instance, traffic: Traffic, own_s: Floats, *, tight: bool) -> float:
    """Bound of the instance with the least time of every op and transfer: all that the engine can play are schedules of it."""
    link_bw = np.array([link.bandwidth_bytes_per_s for link in chip.links.values()])
    fastest = max(memory.bandwidth_bytes_per_s for memory in traffic.memories)
    bandwidth = np.minimum(np.minimum(link_bw[:, None], link_bw[None, :]), fastest)
    fastest_instance = replace(instance, cost_s=own_s, bandwidth_bytes_per_s=bandwidth, tables=None)
    if tight:
        return lower_bound_s(fastest_instance)
    return bound_plan(fastest_instance).makespan_s


def _memory_s(variants: list[Variant], edges: _Edges, memory: int) -> float:
    """Time that a shared memory needs for the bytes of ops that load it most wherever they run, however their inputs come."""
    n_bytes = _least([_loaded_bytes(one.traffic, edges, memory) for one in variants])
    return float(n_bytes.min(axis=1).sum()) / variants[0].traffic.memories[memory].bandwidth_bytes_per_s


def _least(tables: list[Floats]) -> Floats:
    """Element by element."""
    return np.asarray(np.min(np.stack(tables), axis=0))


def _loaded_bytes(traffic: Traffic, edges: _Edges, memory: int) -> Floats:
    """[n_ops, n_devices] bytes of an op and its inputs through a memory that it loads most however they come; infinite: not there."""
    rows = np.arange(traffic.n_bytes.shape[0])
    least_s = traffic.memory_s(_without(traffic, rows, _crossing(rows.size, len(traffic.memories), edges)))
    others_s = np.delete(traffic.memory_s(traffic.n_bytes), memory, axis=2).max(axis=2, initial=-1.0)
    n_bytes = np.where(least_s[..., memory] > others_s, traffic.n_bytes[:, :, memory].sum(axis=2), 0.0)
    return np.asarray(np.where(traffic.supported, n_bytes, np.inf))

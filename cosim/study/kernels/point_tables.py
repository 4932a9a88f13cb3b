"""One design point from the variants it takes to the engine's tables, and to what a policy sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.engine.kernels.simulate import Packed
from cosim.simulation.kernels.residency import N_COSTS, SUPPORTED, duplicate, fill_arrays, mark_arrays, pin_weights
from cosim.simulation.kernels.traffic import Stay, Weights, fill_tables, uncontended_s
from cosim.study.kernels.point_data import (
    ACTIVATIONS_TOO_LARGE,
    BOTH_TOO_LARGE,
    CAPACITY_BYTES,
    FINE,
    FIRST_ACCESS_S,
    HELD,
    HOMELESS,
    LAYOUT,
    LINK_BYTES_PER_S,
    LINK_LATENCY_S,
    MEMORY_BYTES_PER_S,
    PARTS_OF_POINT,
    READ_J_PER_BYTE,
    SCRATCH,
    TOP,
    UNSUPPORTED,
    WEIGHTS_TOO_LARGE,
    WORK,
    Chips,
    Floats,
    Ints,
    Network,
    Scratch,
)
from hw_models.kernels._jit import kernel

if TYPE_CHECKING:
    from cosim.scheduling.arrays import Arrays


@kernel
def pairwise_sum(values: Floats) -> float:
    """Sum in the order of numpy, for up to 128 values: eight running sums, then what is left over."""
    n = values.size
    if n < 8:
        few = 0.0
        for i in range(n):
            few += values[i]
        return few
    r = values[:8].copy()
    whole = n - n % 8
    for i in range(8, whole):
        r[i % 8] += values[i]
    total: float = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]))
    for i in range(whole, n):
        total += values[i]
    return total


@kernel
def gather(network: Network, chips: Chips, point: Ints, s: Scratch) -> None:
    """Copy the cost rows of a point op by op, and what its devices and memories are, and note ops that no device supports."""
    n, m, k = network.vectors.size, s.held.size, s.first_access_s.size
    block, row_of = network.op_block[point[WORK]], network.op_row
    s.lost[0], s.lost[1] = -1, 0
    for d in range(m):
        variant = point[PARTS_OF_POINT + d]
        s.held[d], s.rewritten[d] = chips.device_ints[variant, HELD], chips.device_ints[variant, SCRATCH]
        for op in range(n):
            source = chips.costs[chips.block_of[variant, block[op]], row_of[block[op], op]]
            for column in range(N_COSTS):
                s.costs[op, d, column] = source[column]
    for op in range(n):
        runs = False
        for d in range(m):
            runs = runs or s.costs[op, d, SUPPORTED] > 0.0
        if not runs:
            s.lost[0] = op if s.lost[1] == 0 else s.lost[0]
            s.lost[1] += 1
    for memory in range(k):
        s.first_access_s[memory] = chips.memory_floats[point[PARTS_OF_POINT + 2 * m + memory], FIRST_ACCESS_S]


@kernel
def fill_chip(network: Network, chips: Chips, point: Ints, s: Scratch, tables: Packed) -> None:
    """Write bandwidths, latencies and edges of a point into the engine's tables."""
    m, k = s.held.size, s.first_access_s.size
    for memory in range(k):
        tables.memory_bytes_per_s[memory] = chips.memory_floats[point[PARTS_OF_POINT + 2 * m + memory], MEMORY_BYTES_PER_S]
        tables.capacity[memory] = tables.memory_bytes_per_s[memory]
    links = point[PARTS_OF_POINT + m : PARTS_OF_POINT + 2 * m]
    for p in range(m):
        a = chips.link_floats[links[p]]
        tables.link_bytes_per_s[p] = a[LINK_BYTES_PER_S]
        for q in range(m):
            b = chips.link_floats[links[q]]
            tables.latency_s[p * m + q] = a[LINK_LATENCY_S] + b[LINK_LATENCY_S]
            tables.edge_cap[p * m + q] = min(a[LINK_BYTES_PER_S], b[LINK_BYTES_PER_S])
    layout = point[LAYOUT]
    for edge in range(tables.edge_bytes.size):
        tables.edge_bytes[edge] = network.edge_bytes[layout, edge]
        tables.edge_memory[edge] = chips.roles[1] if network.edge_shared[layout, edge] > 0 else 0


@kernel
def settle(
    network: Network, chips: Chips, point: Ints, s: Scratch, tables: Packed, assignment: Ints, own_only: bool, detail: Floats
) -> int:
    """Decide where weights stay, with arrays for ops of an assignment (-1: any) only, and fill the tables; returns what is wrong, or FINE.

    Tensors that are pinned when it is called stay so before others.
    `detail` [2]: an op and how many, or bytes and the memory that they do not fit.
    """
    memories, layout = PARTS_OF_POINT + 2 * s.held.size, point[LAYOUT]
    store, shared = chips.roles[0], chips.roles[1]
    backing = chips.memory_floats[point[memories]]
    holds = chips.memory_floats[point[memories + store]]
    weight_bytes = network.weight_bytes[point[WORK]]
    fill_arrays(s.costs, s.held, holds[READ_J_PER_BYTE], assignment, s.array_device, s.saved_j)
    duplicate(s.costs, s.held, network.vectors, s.array_device, s.copies)
    mark_arrays(s.array_device, network.weight_first, network.weight, s.on_arrays)
    if chips.top_ints[point[TOP]] > 0:
        free_bytes = chips.memory_floats[point[memories + shared], CAPACITY_BYTES] if shared != store else 0.0
        pin_weights(weight_bytes, s.on_arrays, free_bytes - network.room[layout, 0], s.pinned)
    stored = 0.0
    for tensor in range(weight_bytes.size):
        stored += 0.0 if s.on_arrays[tensor] else weight_bytes[tensor]
    spilled = network.room[layout, 1]
    detail[0], detail[1] = (stored + spilled if store == 0 else stored), store
    if detail[0] > holds[CAPACITY_BYTES]:
        return BOTH_TOO_LARGE if store == 0 else WEIGHTS_TOO_LARGE
    detail[0], detail[1] = spilled, 0
    if store != 0 and spilled > backing[CAPACITY_BYTES]:
        return ACTIVATIONS_TOO_LARGE
    weights = Weights(network.weight_first, network.weight, weight_bytes, network.dynamic)
    stay = Stay(s.array_device, s.copies, s.pinned, s.on_arrays)
    shares = network.shares[layout]
    fill_tables(s.costs, s.held, s.rewritten, s.first_access_s, chips.roles, shares, weights, stay, own_only, tables, s.launch_s, s.lost)
    if s.lost[1] > 0:
        detail[0], detail[1] = s.lost[0], s.lost[1]
        return HOMELESS
    return FINE


@kernel
def see(network: Network, tables: Packed, a: Arrays) -> None:
    """Write what a policy sees: times of ops and transfers without contention, and their means over devices."""
    n, m = a.cost_s.shape
    uncontended_s(tables, a.cost_s)
    row = np.empty(m)
    for op in range(n):
        able = 0
        for d in range(m):
            row[d] = 0.0
            if a.cost_s[op, d] < np.inf:
                row[d] = a.cost_s[op, d]
                able += 1
        a.mean_cost_s[op] = pairwise_sum(row) / able if able > 0 else np.inf
    slowest = np.inf if tables.edge_bytes.size > 0 else tables.memory_bytes_per_s[0]
    for edge in range(tables.edge_bytes.size):
        slowest = min(slowest, tables.memory_bytes_per_s[tables.edge_memory[edge]])
    latency_s, inverse, count = np.empty(m * (m - 1)), np.empty(m * (m - 1)), 0
    for p in range(m):
        for q in range(m):
            if p != q:
                latency_s[count] = tables.latency_s[p * m + q]
                inverse[count] = 1.0 / min(tables.edge_cap[p * m + q], slowest)
                count += 1
    mean_latency_s, mean_inverse = 0.0, 0.0
    if m > 1:
        mean_latency_s, mean_inverse = pairwise_sum(latency_s) / count, pairwise_sum(inverse) / count
    for e in range(network.in_edge.size):
        n_bytes = tables.edge_bytes[network.in_edge[e]]
        a.mean_transfer_s[e] = mean_latency_s + n_bytes * mean_inverse if m > 1 else 0.0
        for p in range(m):
            for q in range(m):
                bandwidth = min(tables.edge_cap[p * m + q], slowest)
                a.transfer_s[e, p, q] = tables.latency_s[p * m + q] + n_bytes / bandwidth if p != q else 0.0


@kernel
def first_look(network: Network, chips: Chips, point: Ints, s: Scratch, tables: Packed, a: Arrays, own_only: bool, detail: Floats) -> int:
    """Do all that comes before a policy plans; returns what is wrong, or FINE."""
    gather(network, chips, point, s)
    if s.lost[1] > 0:
        detail[0], detail[1] = s.lost[0], s.lost[1]
        return UNSUPPORTED
    fill_chip(network, chips, point, s, tables)
    s.pinned[:] = False
    wrong = settle(network, chips, point, s, tables, s.free, own_only, detail)
    if wrong == FINE and own_only:
        uncontended_s(tables, a.cost_s)
    elif wrong == FINE:
        see(network, tables, a)
    return wrong


@kernel
def second_look(network: Network, chips: Chips, point: Ints, s: Scratch, tables: Packed, own_only: bool, detail: Floats) -> int:
    """Give arrays whose ops are placed elsewhere to those that are placed on them; returns what is wrong, or FINE."""
    for op in range(s.assignment.size):
        if s.array_device[op] >= 0 and s.array_device[op] != s.assignment[op]:
            return settle(network, chips, point, s, tables, s.assignment, own_only, detail)
    return FINE

"""From a played point to one row of results: every joule by owner, and the 90 % intervals: `cosim.simulation.accounting`, compiled.

A spread of factor f moves all that rests on it together; an amount under a smaller factor counts by ln f / ln f_max
(`cosim.simulation.uncertainty`), so a name's part is sum(amount ln f) / ln f_max.
"""

from __future__ import annotations

import math

import numpy as np

from cosim.engine.kernels.simulate import Packed
from cosim.simulation.kernels.residency import DEVICE_J, PROGRAM_J
from cosim.study.kernels.point_data import (
    BLOCK_PARTS,
    CATEGORIES,
    IDLE_ASSUMED,
    IDLE_SET,
    IS_ANALOG,
    LINK_ASSUMED,
    LINK_ENERGY_SET,
    LINK_J_PER_BYTE,
    LOSS,
    MEMORY_AREA_M2,
    MEMORY_PARTS,
    MEMORY_SETS,
    N_DYNAMIC,
    N_STANDBY,
    N_TOTALS,
    PARTS,
    PARTS_OF_POINT,
    PROGRAM_ASSUMED,
    PROGRAM_SET,
    READ_J_PER_BYTE,
    SNR_DB,
    TOP,
    WORK,
    WRITE_J_PER_BYTE,
    Chips,
    Floats,
    Ints,
    Network,
    Scratch,
)
from cosim.study.kernels.point_path import expose
from hw_models.kernels._jit import kernel, part

AREA, LINK, MEMORY, IDLE = N_TOTALS - 1, CATEGORIES.index("link"), CATEGORIES.index("memory"), CATEGORIES.index("idle")
TOTAL_J, ASSUMED_J, STANDBY_W, BY_CATEGORY = range(4)  # of a book; then joules by category


@part
def charge(chips: Chips, which: int, category: int, assumed: int, energy_j: float, book: Floats, s: Scratch) -> None:
    """Add joules to the totals and to what they are exposed to."""
    book[TOTAL_J] += energy_j
    book[ASSUMED_J] += energy_j if assumed > 0 else 0.0
    book[BY_CATEGORY + category] += energy_j
    expose(chips, which, energy_j, s.spread[2], s.spread[3])


@kernel
def interval(sums: Floats, logs: Floats, total: float, out: Floats) -> None:
    """Write total -/+ root of the summed squares of the deviations p (f - 1) and p (1 - 1 / f) of all names."""
    up, down = 0.0, 0.0
    for name in range(sums.size):
        if sums[name] > 0.0:
            exposed, factor = sums[name] / logs[name], math.exp(logs[name])
            up += (exposed * (factor - 1.0)) ** 2
            down += (exposed * (1.0 - 1.0 / factor)) ** 2
    out[0], out[1], out[2] = total, max(0.0, total - math.sqrt(down)), total + math.sqrt(up)


@kernel
def move(network: Network, s: Scratch, tables: Packed, device: Ints, crossing: bool) -> None:
    """Sum bytes by memory (read, written) and by link over all ops on their devices, and over edges between devices."""
    n, m, k = device.size, s.held.size, s.first_access_s.size
    s.moved[:] = 0.0
    for op in range(n):
        d = device[op]
        for memory in range(k):
            at = (op * m + d) * k + memory
            read = s.reads[op * k + memory] if crossing else tables.own_bytes[at]
            s.moved[memory, 0] += read
            s.moved[memory, 1] += tables.write_bytes[at]
            s.moved[k + d, 0] += read + tables.write_bytes[at]
    for edge in range(s.edge_src.size if crossing else 0):
        q = device[tables.edge_dst[edge]]
        if device[s.edge_src[edge]] != q:
            s.moved[tables.edge_memory[edge], 0] += tables.edge_bytes[edge]
            s.moved[k + q, 0] += tables.edge_bytes[edge]


@kernel
def charge_devices(network: Network, chips: Chips, point: Ints, s: Scratch, device: Ints, book: Floats) -> None:
    """Charge what happens inside devices, and the writing of weights that do not stay; MACs stand on the first component."""
    n, m, n_parts = device.size, s.held.size, s.parts_j.shape[1] - 1
    block, row_of = network.op_block[point[WORK]], network.op_row
    s.parts_j[:] = 0.0
    counts = np.zeros(m, np.bool_)
    for op in range(n):
        d = device[op]
        row = chips.costs[chips.block_of[point[PARTS_OF_POINT + d], block[op]], row_of[block[op], op]]
        for part_of in range(n_parts):
            s.parts_j[d, part_of] += row[PARTS + part_of]
        counts[d] = counts[d] or network.has_macs[op]
        if s.held[d] > 0 and s.array_device[op] != d:
            s.parts_j[d, n_parts] += s.costs[op, d, PROGRAM_J]
    for d in range(m):
        variant = point[PARTS_OF_POINT + d]
        ints = chips.block_ints[chips.block_of[variant, block[0]], BLOCK_PARTS:]
        for part_of in range(n_parts):
            if s.parts_j[d, part_of] != 0.0 or (part_of == 0 and counts[d]):
                charge(chips, ints[3 * part_of], ints[3 * part_of + 1], ints[3 * part_of + 2], s.parts_j[d, part_of], book, s)
        if s.parts_j[d, n_parts] != 0.0:
            kinds = chips.device_ints[variant]
            charge(chips, kinds[PROGRAM_SET], MEMORY, kinds[PROGRAM_ASSUMED], s.parts_j[d, n_parts], book, s)


@kernel
def charge_rest(chips: Chips, point: Ints, s: Scratch, makespan_s: float, book: Floats) -> None:
    """Charge memories and links by the byte, and everything that draws power for as long as the point runs."""
    m, k = s.held.size, s.first_access_s.size
    for d in range(m):
        link = point[PARTS_OF_POINT + m + d]
        if s.moved[k + d, 0] != 0.0:
            energy_j = s.moved[k + d, 0] * chips.link_floats[link, LINK_J_PER_BYTE]
            charge(chips, chips.link_ints[link, LINK_ENERGY_SET], LINK, chips.link_ints[link, LINK_ASSUMED], energy_j, book, s)
        kinds, idle_w = chips.device_ints[point[PARTS_OF_POINT + d]], chips.device_floats[point[PARTS_OF_POINT + d], 1]
        book[STANDBY_W] += idle_w
        if idle_w * makespan_s != 0.0:
            charge(chips, kinds[IDLE_SET], IDLE, kinds[IDLE_ASSUMED], idle_w * makespan_s, book, s)
    for memory in range(k):
        variant = point[PARTS_OF_POINT + 2 * m + memory]
        floats, ints = chips.memory_floats[variant], chips.memory_ints[variant]
        read, written, n_dynamic = s.moved[memory, 0], s.moved[memory, 1], ints[N_DYNAMIC]
        for c in range(n_dynamic if read + written > 0.0 else 0):
            energy_j = read * floats[MEMORY_PARTS + 2 * c] + written * floats[MEMORY_PARTS + 2 * c + 1]
            if energy_j != 0.0 or c == 0:
                at = MEMORY_SETS + 3 * c
                charge(chips, ints[at], ints[at + 1], ints[at + 2], energy_j, book, s)
        for c in range(ints[N_STANDBY]):
            power_w, at = floats[MEMORY_PARTS + 2 * n_dynamic + c], MEMORY_SETS + 3 * (n_dynamic + c)
            book[STANDBY_W] += power_w
            if power_w * makespan_s != 0.0:
                charge(chips, ints[at], ints[at + 1], ints[at + 2], power_w * makespan_s, book, s)


@kernel
def cheapest(chips: Chips, point: Ints, s: Scratch, tables: Packed, device: Ints) -> None:
    """Put each op where it costs the least energy with nothing crossing between devices, as a bound has it."""
    n, m, k = device.size, s.held.size, s.first_access_s.size
    for op in range(n):
        least_j = np.inf
        device[op] = 0
        for d in range(m):
            at = op * m + d
            outside_j, total = 0.0, 0.0
            for memory in range(k):
                floats = chips.memory_floats[point[PARTS_OF_POINT + 2 * m + memory]]
                read, write = tables.own_bytes[at * k + memory], tables.write_bytes[at * k + memory]
                outside_j = outside_j + read * floats[READ_J_PER_BYTE] + write * floats[WRITE_J_PER_BYTE]
                total = total + read + write
            reloads = s.held[d] > 0 and s.array_device[op] != d
            rewritten_j = s.costs[op, d, PROGRAM_J] if reloads else 0.0
            link_j = chips.link_floats[point[PARTS_OF_POINT + m + d], LINK_J_PER_BYTE] * total
            energy_j = s.costs[op, d, DEVICE_J] + rewritten_j + outside_j + link_j
            if tables.body_s[at] < np.inf and energy_j < least_j:
                least_j, device[op] = energy_j, d


@kernel
def area_of(chips: Chips, point: Ints, m: int, k: int) -> float:
    """Silicon area of a point: devices, memories and other blocks."""
    area_m2 = 0.0
    for d in range(m):
        area_m2 += chips.device_floats[point[PARTS_OF_POINT + d], 0]
    for memory in range(k):
        area_m2 += chips.memory_floats[point[PARTS_OF_POINT + 2 * m + memory], MEMORY_AREA_M2]
    return area_m2 + float(chips.top_floats[point[TOP], 0])


@kernel
def write_signal(network: Network, chips: Chips, point: Ints, s: Scratch, out: Floats) -> None:
    """Write the least SNR, the summed loss of accuracy, and the share of weight bytes that stay; NaN where there is none."""
    n, m = s.assignment.size, s.held.size
    block, row_of = network.op_block[point[WORK]], network.op_row
    least_db, loss, analog = np.nan, 0.0, False
    for d in range(m):
        analog = analog or chips.device_ints[point[PARTS_OF_POINT + d], IS_ANALOG] > 0
    for tensor in range(s.pinned.size):
        s.on_arrays[tensor] = s.pinned[tensor]
    for op in range(n):
        d = s.assignment[op]
        row = chips.costs[chips.block_of[point[PARTS_OF_POINT + d], block[op]], row_of[block[op], op]]
        loss += row[LOSS]
        if not math.isnan(row[SNR_DB]) and not least_db <= row[SNR_DB]:
            least_db = row[SNR_DB]
        if s.array_device[op] == d:
            for place in range(network.weight_first[op], network.weight_first[op + 1]):
                s.on_arrays[network.weight[place]] = True
    stays = 0.0
    for tensor in range(s.on_arrays.size):
        stays += network.weight_bytes[point[WORK], tensor] if s.on_arrays[tensor] else 0.0
    total = network.weight_total[point[WORK]]
    out[0], out[1], out[2] = least_db, loss if analog else np.nan, stays / total if total > 0.0 else 0.0


@kernel
def account(
    network: Network, chips: Chips, point: Ints, s: Scratch, tables: Packed, device: Ints, makespan_s: float, bound: bool, out: Floats
) -> None:
    """Write the row of a point whose latency has been exposed: totals with intervals, area, joules by category, shares and signal."""
    n_kinds = len(CATEGORIES)
    book = np.zeros(BY_CATEGORY + n_kinds)
    s.spread[2] = 0.0
    s.spread[3] = 0.0
    move(network, s, tables, device, not bound)
    charge_devices(network, chips, point, s, device, book)
    charge_rest(chips, point, s, makespan_s, book)
    interval(s.spread[0], s.spread[1], makespan_s, out[0:3])
    for name in range(s.spread.shape[1]):
        if s.spread[1, name] > 0.0:
            s.spread[2, name] += book[STANDBY_W] * s.spread[0, name]
            s.spread[3, name] = max(s.spread[3, name], s.spread[1, name])
    interval(s.spread[2], s.spread[3], book[TOTAL_J], out[3:6])
    out[AREA] = area_of(chips, point, s.held.size, s.first_access_s.size)
    for kind in range(n_kinds):
        out[N_TOTALS + kind] = book[BY_CATEGORY + kind]
    out[N_TOTALS + n_kinds] = book[ASSUMED_J] / book[TOTAL_J] if book[TOTAL_J] > 0.0 else 0.0
    write_signal(network, chips, point, s, out[N_TOTALS + n_kinds + 1 :])

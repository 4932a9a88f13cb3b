"""The chain of ops and transfers that sets the makespan, and what it is exposed to: `cosim.simulation.critical_path`, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.engine.kernels.simulate import Packed
from cosim.study.kernels.point_data import (
    BANDWIDTH_SET,
    LATENCY_SET,
    LAUNCH_SET,
    LINK_TIME_SET,
    PARTS_OF_POINT,
    WORK,
    Chips,
    Floats,
    Ints,
    Network,
    Scratch,
)
from hw_models.kernels._jit import kernel, part

if TYPE_CHECKING:
    from cosim.scheduling.arrays import Arrays


@part
def expose(chips: Chips, which: int, amount: float, sums: Floats, logs: Floats) -> None:
    """Let an amount scale with all spreads of a set: by name, sum of amount * ln f, and the largest ln f."""
    for place in range(chips.spread_first[which], chips.spread_first[which + 1]):
        name, log = chips.spread_name[place], chips.spread_log[place]
        sums[name] += amount * log
        if log > logs[name]:
            logs[name] = log


@kernel
def walk(network: Network, s: Scratch, a: Arrays) -> int:
    """Write the steps from last to first: [op, edge or -1] and seconds; returns how many."""
    n, e = s.assignment.size, network.in_edge.size
    start_s, end_s, arrival_s = s.out[:n], s.out[n : 2 * n], s.out[2 * n + e : 2 * n + 2 * e]
    op, count = 0, 0
    for other in range(1, n):
        op = other if end_s[other] > end_s[op] else op
    seen = np.zeros(n, np.bool_)
    while not seen[op]:
        seen[op] = True
        s.steps[count, 0], s.steps[count, 1], s.steps_s[count] = op, -1, end_s[op] - start_s[op]
        count += 1
        latest_s, edge, freed_s, previous = -1.0, -1, -1.0, -1
        for place in range(a.pred_first[op], a.pred_first[op + 1]):
            if arrival_s[network.in_edge[place]] >= latest_s:
                latest_s, edge = arrival_s[network.in_edge[place]], network.in_edge[place]
        for other in range(n):
            if s.assignment[other] == s.assignment[op] and end_s[other] >= freed_s and end_s[other] <= start_s[op] and not seen[other]:
                freed_s, previous = end_s[other], other
        if edge < 0 and previous < 0:
            break
        if latest_s >= freed_s:
            source = s.edge_src[edge]
            s.steps[count, 0], s.steps[count, 1], s.steps_s[count] = op, edge, latest_s - end_s[source]
            count += 1
            op = source
        else:
            op = previous
    return count


@kernel
def expose_latency(network: Network, chips: Chips, point: Ints, s: Scratch, tables: Packed, a: Arrays) -> None:
    """Expose the makespan to what each step waits for: a launch, the longest of its parts, and others' traffic."""
    m, k = s.held.size, s.first_access_s.size
    sums, logs = s.spread[0], s.spread[1]
    sums[:], logs[:] = 0.0, 0.0
    links, memories = PARTS_OF_POINT + m, PARTS_OF_POINT + 2 * m
    for step in range(walk(network, s, a)):
        op, edge, duration_s = s.steps[step, 0], s.steps[step, 1], s.steps_s[step]
        d = s.assignment[op]
        link_set = chips.link_ints[point[links + d], LINK_TIME_SET]
        if edge >= 0:
            expose(chips, link_set, duration_s, sums, logs)
            continue
        variant, busiest = point[PARTS_OF_POINT + d], s.busiest[op]
        alone_s = min(duration_s, s.cost_s[op])
        launch_s = min(alone_s, s.launch_s[op * m + d])
        expose(chips, chips.memory_ints[point[memories + busiest], BANDWIDTH_SET], duration_s - alone_s, sums, logs)
        expose(chips, chips.device_ints[variant, LAUNCH_SET], launch_s, sums, logs)
        total, memory_s = 0.0, 0.0
        for memory in range(k):
            n_bytes = s.reads[op * k + memory] + tables.write_bytes[(op * m + d) * k + memory]
            total += n_bytes
            memory_s = n_bytes / tables.memory_bytes_per_s[memory] if memory == busiest else memory_s
        inside_s, link_s = tables.body_s[op * m + d], total / tables.link_bytes_per_s[d]
        inside = chips.block_ints[chips.block_of[variant, network.op_block[point[WORK], op]], LATENCY_SET]
        if tables.fixed_s[op * m + d] <= max(inside_s, memory_s, link_s):
            if link_s > inside_s and link_s > memory_s:
                inside = link_set
            elif memory_s > inside_s:
                inside = chips.memory_ints[point[memories + busiest], BANDWIDTH_SET]
        expose(chips, inside, alone_s - launch_s, sums, logs)

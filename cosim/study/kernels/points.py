"""A batch of design points, compiled: cost rows to tables, plan, play, joules and intervals, one point after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.engine.kernels.simulate import Packed, place_reads, place_tasks, simulate, unpack
from cosim.scheduling.kernels.classic import heft
from cosim.study.kernels.point_data import ENDLESS, FINE, MISPLACED, Chips, Floats, Ints, Network, Scratch
from cosim.study.kernels.point_energy import account, cheapest
from cosim.study.kernels.point_path import expose_latency
from cosim.study.kernels.point_tables import first_look, second_look
from hw_models.kernels._jit import kernel

if TYPE_CHECKING:
    from cosim.scheduling.arrays import Arrays

# How a plan is come by: HEFT for every point, one plan given for all, one given for each, or not at all: tables are filled in only.
BY_HEFT, ONE_FOR_ALL, ONE_EACH, NONE_YET = range(4)


@kernel
def plan_by_heft(network: Network, s: Scratch, a: Arrays) -> None:
    """Place by HEFT; priorities follow the planned starts: n for the first, ties by end, then by topological order."""
    n = s.assignment.size
    device, start_s, end_s = heft(a)
    order = a.order.copy()
    for i in range(1, n):
        op, place = order[i], i
        while place > 0:
            other = order[place - 1]
            if start_s[other] < start_s[op] or (start_s[other] == start_s[op] and end_s[other] <= end_s[op]):
                break
            order[place] = other
            place -= 1
        order[place] = op
    for i in range(n):
        s.priority[order[i]] = n - i
        s.assignment[i] = device[i]


@kernel
def play_bound(network: Network, s: Scratch, tables: Packed, a: Arrays) -> float:
    """Put each op on its fastest device as soon as its inputs are made, whatever else runs: `cosim.simulation.bound`."""
    n, m = a.cost_s.shape
    e = tables.edge_src.size
    start_s, end_s = s.out[:n], s.out[n : 2 * n]
    start_s[:] = 0.0
    total_s = np.empty(n)
    for op in range(n):
        s.assignment[op] = 0
        for d in range(1, m):
            if a.cost_s[op, d] < a.cost_s[op, s.assignment[op]]:
                s.assignment[op] = d
        total_s[op] = a.cost_s[op, s.assignment[op]]
    for edge in range(e):
        src, dst = tables.edge_src[edge], tables.edge_dst[edge]
        start_s[dst] = max(start_s[dst], start_s[src] + total_s[src])
    for op in range(n):
        end_s[op] = start_s[op] + total_s[op]
    for edge in range(e):
        s.out[2 * n + edge] = s.out[2 * n + e + edge] = end_s[tables.edge_src[edge]]
    makespan_s: float = max(end_s.max(), total_s.sum() / m)
    return makespan_s


@kernel
def finish_point(network: Network, chips: Chips, point: Ints, s: Scratch, a: Arrays, bound: bool, makespan_s: float, out: Floats) -> None:
    """Write the row of a point that has been played."""
    tables = unpack(s.ints, s.floats)
    place_tasks(s.ints, tables, s.assignment, s.cost_s, s.flow_bytes, s.busiest)
    reads = place_reads(s.ints, tables, s.assignment)
    for i in range(reads.size):
        s.reads[i] = reads[i]
    expose_latency(network, chips, point, s, tables, a)
    device = s.assignment
    if bound:
        device = np.empty(s.assignment.size, np.int64)
        cheapest(chips, point, s, tables, device)
    account(network, chips, point, s, tables, device, makespan_s, bound, out)


@kernel
def evaluate_points(
    network: Network, chips: Chips, points: Ints, planned: Ints, priorities: Floats, how: int, bound: bool, s: Scratch, a: Arrays,
    out: Floats, wrong: Ints, details: Floats,
) -> None:  # fmt: skip
    """Write out [B, N_RESULTS], what is wrong with each point [B] and the details of that [B, 2]; points [B, ...].

    planned, priorities [1 or B, n]: plans that are given. With NONE_YET the tables of the last point stay in the scratch.
    """
    for b in range(points.shape[0]):
        point, tables = points[b], unpack(s.ints, s.floats)
        out[b] = np.nan
        wrong[b] = first_look(network, chips, point, s, tables, a, bound, details[b])
        if wrong[b] != FINE or how == NONE_YET:
            continue
        if bound:
            finish_point(network, chips, point, s, a, bound, play_bound(network, s, tables, a), out[b])
            continue
        if how == BY_HEFT:
            plan_by_heft(network, s, a)
        else:
            given = b if how == ONE_EACH else 0
            for op in range(s.assignment.size - 1, -1, -1):
                s.assignment[op], s.priority[op] = planned[given, op], priorities[given, op]
                if a.cost_s[op, s.assignment[op]] == np.inf:
                    wrong[b], details[b, 0] = MISPLACED, op
        if wrong[b] == FINE:
            wrong[b] = second_look(network, chips, point, s, tables, bound, details[b])
        if wrong[b] != FINE:
            continue
        makespan_s = simulate(s.ints, s.floats, s.assignment, s.priority, s.out)
        if makespan_s == np.inf:
            wrong[b] = ENDLESS
            continue
        finish_point(network, chips, point, s, a, bound, makespan_s, out[b])

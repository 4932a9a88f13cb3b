"""From packed tables and a placement to times, in one compiled call.

`ints` and `floats` hold a `Tables`, packed by `cosim.engine.tables`: few arguments, because each array that
crosses from Python costs a tenth of a microsecond.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosim.engine.kernels.loop import play_none, play_shared
from hw_models.kernels._jit import inlined, kernel, part

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_HEADER = 7  # tasks, devices, memories, edges, mode (0 none, 1 fifo, 2 fair), edges are input, links are shared


class Packed(NamedTuple):
    """The arrays of a Tables, as views of its two packed ones."""

    edge_src: Ints
    edge_dst: Ints
    edge_memory: Ints
    succ_first: Ints
    succ_edge: Ints
    n_inputs: Ints
    released: Ints
    fixed_s: Floats
    body_s: Floats
    read_bytes: Floats
    own_bytes: Floats
    write_bytes: Floats
    memory_bytes_per_s: Floats
    capacity: Floats
    link_bytes_per_s: Floats
    latency_s: Floats
    edge_cap: Floats
    edge_bytes: Floats
    release_s: Floats


@inlined
def unpack(ints: Ints, floats: Floats) -> Packed:
    """Cut the packed arrays into their parts."""
    n, m, k, e = ints[0], ints[1], ints[2], ints[3]
    i = ints[N_HEADER:]
    f, g = floats[: 2 * n * m + 3 * n * m * k], floats[2 * n * m + 3 * n * m * k :]
    t, nm, nmk, mm = i[3 * e :], n * m, n * m * k, m * m
    return Packed(
        i[:e],
        i[e : 2 * e],
        i[2 * e : 3 * e],
        t[: n + 1],
        t[n + 1 : n + 1 + e],
        t[n + 1 + e : 2 * n + 1 + e],
        t[2 * n + 1 + e :],
        f[:nm],
        f[nm : 2 * nm],
        f[2 * nm : 2 * nm + nmk],
        f[2 * nm + nmk : 2 * nm + 2 * nmk],
        f[2 * nm + 2 * nmk :],
        g[:k],
        g[k : 2 * k],
        g[2 * k : 2 * k + m],
        g[2 * k + m : 2 * k + m + mm],
        g[2 * k + m + mm : 2 * k + m + 2 * mm],
        g[2 * k + m + 2 * mm : 2 * k + m + 2 * mm + e],
        g[2 * k + m + 2 * mm + e :],
    )


@inlined
def place_reads(ints: Ints, tables: Packed, device: Ints) -> Floats:
    """[n * k] bytes that each task reads itself: of an input that crosses between devices, only what no placement avoids."""
    n, m, k = ints[0], ints[1], ints[2]
    read = np.empty(n * k)
    for task in range(n):
        for memory in range(k):
            read[task * k + memory] = tables.read_bytes[(task * m + device[task]) * k + memory]
    for edge in range(ints[3]):
        dst, memory = tables.edge_dst[edge], tables.edge_memory[edge]
        if device[tables.edge_src[edge]] != device[dst]:
            own = tables.own_bytes[(dst * m + device[dst]) * k + memory]
            left = read[dst * k + memory] - tables.edge_bytes[edge]
            read[dst * k + memory] = own if own > left else left
    return read


@inlined
def place_tasks(ints: Ints, tables: Packed, device: Ints, cost_s: Floats, flow_bytes: Floats, busiest: Ints) -> None:
    """Cost of each task on its device, and the bytes that it moves through the memory that takes it longest.

    cost = fixed + max(body, bytes/bandwidth of the slowest memory, all bytes/link).
    """
    n, m, k, adjusts = ints[0], ints[1], ints[2], ints[5] > 0
    reads = place_reads(ints, tables, device) if adjusts else tables.read_bytes
    for task in range(n):
        d = device[task]
        row = (task * m + d) * k
        read_row = task * k if adjusts else row
        slowest_s, total, body_s = -1.0, 0.0, tables.body_s[task * m + d]
        for memory in range(k):
            n_bytes = reads[read_row + memory] + tables.write_bytes[row + memory]
            total += n_bytes
            memory_s = n_bytes / tables.memory_bytes_per_s[memory] if n_bytes > 0.0 else 0.0
            if memory_s > slowest_s:
                slowest_s, busiest[task], flow_bytes[task] = memory_s, memory, n_bytes
        longest_s = total / tables.link_bytes_per_s[d] if total > 0.0 else 0.0
        longest_s = slowest_s if slowest_s > longest_s else longest_s
        cost_s[task] = tables.fixed_s[task * m + d] + (body_s if body_s > longest_s else longest_s)


@part
def _edge_delays(ints: Ints, tables: Packed, device: Ints, is_local: NDArray[np.bool_], delay_s: Floats) -> None:
    """Let each edge between devices take latency + bytes/cap, all of it a delay."""
    n, m = ints[0], ints[1]
    for edge in range(ints[3]):
        p, q = device[tables.edge_src[edge]], device[tables.edge_dst[edge]]
        is_local[edge] = p == q
        delay_s[n + edge] = 0.0
        if p != q:
            n_bytes, cap, other = tables.edge_bytes[edge], tables.edge_cap[p * m + q], tables.memory_bytes_per_s[tables.edge_memory[edge]]
            cap = other if other < cap else cap
            delay_s[n + edge] = tables.latency_s[p * m + q] + (n_bytes / cap if n_bytes > 0.0 else 0.0)


@inlined
def _resources(ints: Ints, tables: Packed) -> tuple[Ints, Floats]:
    """[k + m] index of each memory and link among the finite resources, -1 where it is infinite or not shared; and their capacities."""
    m, k = ints[1], ints[2]
    index, capacity = np.full(k + m, -1, np.int64), np.empty(k + m)
    n_found = 0
    for r in range(k + m):
        given = tables.capacity[r] if r < k else tables.link_bytes_per_s[r - k]
        if given < np.inf and (r < k or ints[6] > 0):
            index[r], capacity[n_found] = n_found, given
            n_found += 1
    return index, capacity[:n_found]


@part
def _sharing(
    ints: Ints,
    tables: Packed,
    device: Ints,
    busiest: Ints,
    index: Ints,
    is_local: NDArray[np.bool_],
    delay_s: Floats,
    shared_bytes: Floats,
    cap: Floats,
    first: Ints,
    resource: Ints,
) -> None:
    """Split each flow into a delay and shared bytes, as Problem does, and list what it loads: its memory, then its device's link.

    `delay_s` and `shared_bytes` come with the cost and the bytes of each task. An edge loads the link of the device that it goes to.
    """
    n, m, k, count = ints[0], ints[1], ints[2], 0
    for flow in range(n + ints[3]):
        first[flow] = count
        edge = flow - n
        d = device[flow] if edge < 0 else device[tables.edge_dst[edge]]
        memory = busiest[flow] if edge < 0 else tables.edge_memory[edge]
        for r in (index[memory], index[k + d]):
            if r >= 0:
                resource[count] = r
                count += 1
        shares = count > first[flow]
        if edge < 0:
            n_bytes = shared_bytes[flow]
            cap[flow] = n_bytes / delay_s[flow] if n_bytes > 0.0 and delay_s[flow] > 0.0 else np.inf
            if shares and n_bytes > 0.0:
                delay_s[flow] = 0.0
            else:
                shared_bytes[flow] = 0.0
        else:
            p = device[tables.edge_src[edge]]
            is_local[edge] = p == d
            n_bytes, other = tables.edge_bytes[edge], tables.memory_bytes_per_s[memory]
            cap[flow] = other if other < tables.edge_cap[p * m + d] else tables.edge_cap[p * m + d]
            shared_bytes[flow] = n_bytes if shares and p != d else 0.0
            delay_s[flow] = 0.0 if p == d else tables.latency_s[p * m + d]
            if p != d and n_bytes > 0.0 and not shares:
                delay_s[flow] += n_bytes / cap[flow]
    first[n + ints[3]] = count


@kernel
def simulate(ints: Ints, floats: Floats, device: Ints, priority: Floats, out: Floats) -> float:
    """Play one placement; returns the makespan, infinite if a time is beyond a float.

    `out` [3n + 3e]: start_s, end_s, edge_start_s, edge_end_s, bytes left of each flow; without meaning if infinite.
    """
    n, m, e = ints[0], ints[1], ints[3]
    tables = unpack(ints, floats)
    start_s, end_s, edge_start_s, edge_end_s = out[:n], out[n : 2 * n], out[2 * n : 2 * n + e], out[2 * n + e : 2 * n + 2 * e]
    remaining, delay_s, is_local, busiest = out[2 * n + 2 * e :], np.empty(n + e), np.empty(e, np.bool_), np.empty(n, np.int64)
    place_tasks(ints, tables, device, delay_s, remaining, busiest)
    graph = (tables.succ_first, tables.succ_edge, tables.edge_dst, tables.n_inputs, tables.release_s, tables.released)
    placement, times = (device, priority), (start_s, end_s, edge_start_s, edge_end_s)
    if ints[4] == 0:
        _edge_delays(ints, tables, device, is_local, delay_s)
        return play_none(m, graph, placement, delay_s, times)
    end_s[:] = np.inf
    first, resource, cap = np.empty(n + e + 1, np.int64), np.empty(2 * (n + e), np.int64), np.empty(n + e)
    index, capacity = _resources(ints, tables)
    if ints[4] == 1:
        _edge_delays(ints, tables, device, is_local, delay_s)
        remaining[:] = 0.0
    else:
        _sharing(ints, tables, device, busiest, index, is_local, delay_s, remaining, cap, first, resource)
    flows = (is_local, delay_s, remaining.copy(), cap, first, resource, capacity)
    play_shared(m, bool(ints[4] == 1), graph, placement, flows, times, remaining)
    return end_s.max() if n > 0 else 0.0


@kernel
def simulate_batch(ints: Ints, floats: Floats, devices: Ints, priorities: Floats, out: Floats, makespan_s: Floats) -> None:
    """Play the placements devices[b], priorities[b] [B, n] one after the other; `out` [width] holds the times of the last."""
    for b in range(devices.shape[0]):
        makespan_s[b] = simulate(ints, floats, devices[b], priorities[b], out)

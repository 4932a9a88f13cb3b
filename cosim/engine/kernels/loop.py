"""The event loop, compiled: the instants and phases of `cosim.engine.semantics`, without and with sharing.

Flows are numbered as in Problem: task, or n + edge. Out-edges of task t are succ_edge[succ_first[t]:succ_first[t + 1]].
Times [n] and [e] come filled with NaN. A loop that meets an infinite time stops there, and leaves the rest as it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosim.engine.kernels.fair import advance, finish, insert, next_finish_s, share_one, water_fill
from cosim.engine.kernels.queues import pop_ready, push_ready, put_time, queue_edge, segments
from hw_models.kernels._jit import inlined, kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@kernel
def play_none(
    n_devices: int,
    succ_first: Ints,
    succ_edge: Ints,
    edge_dst: Ints,
    n_inputs: Ints,
    release_s: Floats,
    device: Ints,
    priority: Floats,
    delay_s: Floats,
    start_s: Floats,
    end_s: Floats,
    edge_start_s: Floats,
    edge_end_s: Floats,
) -> float:
    """Play without sharing: an input arrives at end + delay, so when the last source ends it is known when a task is ready.

    Returns the makespan; infinite if a time is beyond a float.
    """
    n = device.size
    arrival_s, pending_s, busy_s, running, n_ready = (
        np.empty(n),
        np.empty(n),
        np.full(n_devices, np.inf),
        np.full(n_devices, -1),
        np.zeros(n_devices, np.int64),
    )
    missing, heap, pending, first = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n_devices + 1, np.int64)
    segments(device, first)
    head = tail = 0
    for task in range(n):
        arrival_s[task], missing[task] = release_s[task], n_inputs[task]
        if missing[task] == 0:
            tail = put_time(pending_s, pending, head, tail, release_s[task], task)
    now_s, makespan_s, n_ended = 0.0, 0.0, 0
    next_end_s = np.inf  # of a running task
    while now_s < np.inf:
        idle_has_work = False
        while head < tail and pending_s[head] <= now_s:  # phase A: inputs that have arrived, tasks that end
            task = pending[head]
            d = device[task]
            head += 1
            n_ready[d] = push_ready(heap, first[d], n_ready[d], priority, task)
            idle_has_work |= running[d] < 0
        if next_end_s <= now_s:
            idle_has_work = True
            for d in range(n_devices):
                if busy_s[d] > now_s:
                    continue
                done, running[d], busy_s[d] = running[d], -1, np.inf
                end_s[done], makespan_s = now_s, now_s
                n_ended += 1
                for place in range(succ_first[done], succ_first[done + 1]):
                    edge = succ_edge[place]
                    task = edge_dst[edge]
                    arrives_s = now_s + delay_s[n + edge]
                    edge_start_s[edge], edge_end_s[edge] = now_s, arrives_s
                    if arrives_s > arrival_s[task]:
                        arrival_s[task] = arrives_s
                    missing[task] -= 1
                    if missing[task] == 0 and arrival_s[task] <= now_s:
                        n_ready[device[task]] = push_ready(heap, first[device[task]], n_ready[device[task]], priority, task)
                    elif missing[task] == 0:
                        tail = put_time(pending_s, pending, head, tail, arrival_s[task], task)
        if idle_has_work:  # phase B: every idle device takes a task
            next_end_s = np.inf
            for d in range(n_devices):
                if running[d] < 0 and n_ready[d] > 0:
                    task = heap[first[d]]
                    n_ready[d] = pop_ready(heap, first[d], n_ready[d], priority)
                    start_s[task], running[d], busy_s[d] = now_s, task, now_s + delay_s[task]
                if busy_s[d] < next_end_s:
                    next_end_s = busy_s[d]
        now_s = pending_s[head] if head < tail and pending_s[head] < next_end_s else next_end_s
    return makespan_s if n_ended == n else np.inf


@inlined
def _hand_on(
    task: int,
    now_s: float,
    is_fifo: bool,
    succ_first: Ints,
    succ_edge: Ints,
    edge_dst: Ints,
    is_local: Bools,
    delay_s: Floats,
    edge_start_s: Floats,
    edge_end_s: Floats,
    got: Ints,
    n_got: int,
    request_s: Floats,
    queue: Ints,
    bus_head: int,
    bus_tail: int,
    expiry_s: Floats,
    expiring: Ints,
    head: int,
    tail: int,
    n: int,
) -> tuple[int, int, int]:
    """Send what an ended task made: within a device at once, else by the bus or after a latency. Returns tail, bus_tail, n_got."""
    for place in range(succ_first[task], succ_first[task + 1]):
        edge = succ_edge[place]
        edge_start_s[edge] = now_s
        if is_local[edge]:
            edge_end_s[edge] = now_s
            got[n_got] = edge_dst[edge]
            n_got += 1
        elif is_fifo:
            bus_tail = queue_edge(request_s, queue, bus_head, bus_tail, now_s, edge)
        else:
            tail = put_time(expiry_s, expiring, head, tail, now_s + delay_s[n + edge], n + edge)
    return tail, bus_tail, n_got


@kernel
def play_shared(
    n_devices: int,
    is_fifo: bool,
    succ_first: Ints,
    succ_edge: Ints,
    edge_dst: Ints,
    n_inputs: Ints,
    release_s: Floats,
    released: Ints,
    device: Ints,
    priority: Floats,
    is_local: Bools,
    delay_s: Floats,
    shared_bytes: Floats,
    cap: Floats,
    first_resource: Ints,
    resource: Ints,
    capacity: Floats,
    start_s: Floats,
    end_s: Floats,
    edge_start_s: Floats,
    edge_end_s: Floats,
    remaining: Floats,
) -> int:
    """Play with a bus (fifo) or sharing finite resources (fair), `remaining` being shared_bytes at first; returns the completions.

    `released` [n]: tasks by release time.

    One long function, because handing a dozen arrays to each of its phases takes half as long again as the phases do.
    """
    n, n_flows = device.size, delay_s.size
    missing, heap, first = n_inputs + 1, np.empty(n, np.int64), np.empty(n_devices + 1, np.int64)
    running, n_ready = np.full(n_devices, -1), np.zeros(n_devices, np.int64)
    expiry_s, expiring = np.empty(n_flows), np.empty(n_flows, np.int64)  # delays, from head to tail
    request_s, queue = np.empty(n_flows), np.empty(n_flows, np.int64)  # of the bus, from bus_head to bus_tail
    active, rate = np.empty(n_flows, np.int64), np.empty(n_flows)
    arrived, done = np.empty(n_flows, np.int64), np.empty(n_flows, np.int64)
    ended, got = np.empty(n, np.int64), np.empty(n + n_flows, np.int64)  # tasks that end, inputs that arrive at this instant
    left, n_left = np.empty(capacity.size), np.empty(capacity.size, np.int64)
    segments(device, first)
    n_active = n_arrived = n_released = n_ended = n_got = n_events = 0
    head = tail = bus_head = bus_tail = 0
    bus_is_busy, changed, is_one = False, False, capacity.size == 1
    now_s, last_s, wake_s = 0.0, 0.0, np.inf
    while now_s < np.inf:
        # Phase A: flows that are done, releases, delays that expire, and what ended tasks send.
        if wake_s <= now_s:
            n_kept = finish(active, n_active, remaining, shared_bytes, rate, now_s, now_s - last_s, done)
            for place in range(n_active - n_kept):
                n_events += 1
                if done[place] < n:
                    ended[n_ended] = done[place]
                    n_ended += 1
                else:
                    edge_end_s[done[place] - n] = now_s
                    got[n_got] = edge_dst[done[place] - n]
                    n_got += 1
            n_active, changed, wake_s, last_s = n_kept, True, np.inf, now_s
        while n_released < n and release_s[released[n_released]] <= now_s:
            got[n_got] = released[n_released]
            n_got += 1
            n_released += 1
        while n_ended > 0 or (head < tail and expiry_s[head] <= now_s):
            if n_ended > 0:
                n_ended -= 1
                task = ended[n_ended]
                running[device[task]], end_s[task] = -1, now_s
                tail, bus_tail, n_got = _hand_on(
                    task,
                    now_s,
                    is_fifo,
                    succ_first,
                    succ_edge,
                    edge_dst,
                    is_local,
                    delay_s,
                    edge_start_s,
                    edge_end_s,
                    got,
                    n_got,
                    request_s,
                    queue,
                    bus_head,
                    bus_tail,
                    expiry_s,
                    expiring,
                    head,
                    tail,
                    n,
                )
                continue
            flow = expiring[head]
            head += 1
            n_events += 1
            if flow < n:
                ended[n_ended] = flow
                n_ended += 1
            elif shared_bytes[flow] > 0.0:
                arrived[n_arrived] = flow
                n_arrived += 1
            else:
                bus_is_busy = False
                edge_end_s[flow - n] = now_s
                got[n_got] = edge_dst[flow - n]
                n_got += 1
        while n_got > 0:
            n_got -= 1
            task = got[n_got]
            missing[task] -= 1
            if missing[task] == 0:
                n_ready[device[task]] = push_ready(heap, first[device[task]], n_ready[device[task]], priority, task)
        # Phase B: the bus, then every idle device in index order.
        if bus_head < bus_tail and not bus_is_busy:
            edge, bus_is_busy = queue[bus_head], True
            bus_head += 1
            edge_start_s[edge] = now_s
            tail = put_time(expiry_s, expiring, head, tail, now_s + delay_s[n + edge], n + edge)
        for d in range(n_devices):
            if running[d] < 0 and n_ready[d] > 0:
                task = heap[first[d]]
                n_ready[d] = pop_ready(heap, first[d], n_ready[d], priority)
                running[d], start_s[task] = task, now_s
                if shared_bytes[task] > 0.0:
                    arrived[n_arrived] = task
                    n_arrived += 1
                else:
                    tail = put_time(expiry_s, expiring, head, tail, now_s + delay_s[task], task)
        if head < tail and expiry_s[head] <= now_s:
            continue  # work of no length ends at this instant
        # Phase C: advance, insert what arrived, share again, set the next wake.
        if changed or n_arrived > 0:
            if now_s > last_s:
                advance(active, n_active, remaining, rate, now_s - last_s)
            n_active = insert(active, n_active, cap, arrived, n_arrived)
            n_arrived, changed, last_s = 0, False, now_s
            if is_one:
                wake_s = now_s + share_one(active, n_active, cap, capacity[0], rate, remaining)
            else:
                water_fill(active, n_active, cap, first_resource, resource, capacity, left, n_left, rate)
                wake_s = now_s + next_finish_s(active, n_active, remaining, rate)
        now_s = min(wake_s, expiry_s[head]) if head < tail else wake_s
        if n_released < n:
            now_s = min(now_s, release_s[released[n_released]])
    return n_events

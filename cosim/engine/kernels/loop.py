"""The event loop, compiled: the instants and phases of `cosim.engine.semantics`, without and with sharing.

Flows are numbered as in Problem: task, or n + edge. Out-edges of task t are succ_edge[succ_first[t]:succ_first[t + 1]].
Times [n] and [e] come filled with NaN. A loop that meets an infinite time stops there, and leaves the rest as it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosim.engine.kernels.fair import advance, finish, insert, next_finish_s, share_one, water_fill
from cosim.engine.kernels.queues import pop_ready, push_ready, put_time, queue_edge, segments
from hw_models.kernels._jit import kernel, part

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Arrays that go together through all of a play.
Graph = tuple[
    Ints, Ints, Ints, Ints, Floats, Ints
]  # succ_first, succ_edge, edge_dst, n_inputs, release_s, released (tasks by release time)
Placement = tuple[Ints, Floats]  # device, priority of each task
Flows = tuple[Bools, Floats, Floats, Floats, Ints, Ints, Floats]  # is_local, delay_s, shared_bytes, cap, first_resource, resource, capacity
Times = tuple[Floats, Floats, Floats, Floats]  # start_s, end_s, edge_start_s, edge_end_s
Queue = tuple[Floats, Ints]  # when, and what
Ready = tuple[Ints, Ints, Ints, Ints]  # heap, first, n_ready of each device; inputs that each task misses


@kernel
def _ready_lists(n_devices: int, device: Ints, n_inputs: Ints) -> Ready:
    """Return empty lists of ready tasks."""
    n = device.size
    first = np.empty(n_devices + 1, np.int64)
    segments(device, first)
    return np.empty(n, np.int64), first, np.zeros(n_devices, np.int64), n_inputs.copy()


@part
def _make_ready(task: int, placement: Placement, ready: Ready) -> None:
    """A task waits for its device only."""
    (device, priority), (heap, first, n_ready, _) = placement, ready
    d = device[task]
    n_ready[d] = push_ready(heap, first[d], n_ready[d], priority, task)


@part
def _next_ready(d: int, placement: Placement, ready: Ready) -> int:
    """Take the first ready task of a device."""
    (_, priority), (heap, first, n_ready, _) = placement, ready
    task = int(heap[first[d]])
    n_ready[d] = pop_ready(heap, first[d], n_ready[d], priority)
    return task


@part
def _send(
    task: int,
    now_s: float,
    graph: Graph,
    placement: Placement,
    delay_s: Floats,
    times: Times,
    ready: Ready,
    arrival_s: Floats,
    pending: Queue,
    head: int,
    tail: int,
) -> int:
    """Send what an ended task made; a task whose last source has ended is ready, or pending until its inputs arrive. Returns the tail."""
    succ_first, succ_edge, edge_dst, _, _, _ = graph
    _, _, edge_start_s, edge_end_s = times
    for place in range(succ_first[task], succ_first[task + 1]):
        edge = succ_edge[place]
        target = edge_dst[edge]
        arrives_s = now_s + delay_s[arrival_s.size + edge]
        edge_start_s[edge], edge_end_s[edge] = now_s, arrives_s
        if arrives_s > arrival_s[target]:
            arrival_s[target] = arrives_s
        ready[3][target] -= 1
        if ready[3][target] == 0 and arrival_s[target] <= now_s:
            _make_ready(target, placement, ready)
        elif ready[3][target] == 0:
            tail = put_time(pending[0], pending[1], head, tail, arrival_s[target], target)
    return tail


@kernel
def play_none(n_devices: int, graph: Graph, placement: Placement, delay_s: Floats, times: Times) -> float:
    """Play without sharing: an input arrives at end + delay, so when the last source ends it is known when a task is ready.

    Returns the makespan; infinite if a time is beyond a float.
    """
    (_, _, _, n_inputs, release_s, _), (device, _), (start_s, end_s, _, _) = graph, placement, times
    n = device.size
    ready, running, busy_s = _ready_lists(n_devices, device, n_inputs), np.full(n_devices, -1), np.full(n_devices, np.inf)
    arrival_s, pending, head, tail = release_s.copy(), (np.empty(n), np.empty(n, np.int64)), 0, 0
    for task in range(n):
        if n_inputs[task] == 0:
            tail = put_time(pending[0], pending[1], head, tail, release_s[task], task)
    now_s, makespan_s, n_ended, next_end_s = 0.0, 0.0, 0, np.inf
    while now_s < np.inf:
        idle_has_work = False
        while head < tail and pending[0][head] <= now_s:  # phase A: inputs that have arrived, tasks that end
            _make_ready(pending[1][head], placement, ready)
            idle_has_work |= running[device[pending[1][head]]] < 0
            head += 1
        if next_end_s <= now_s:
            idle_has_work = True
            for d in range(n_devices):
                if busy_s[d] <= now_s:
                    done, running[d], busy_s[d] = running[d], -1, np.inf
                    end_s[done], makespan_s, n_ended = now_s, now_s, n_ended + 1
                    tail = _send(done, now_s, graph, placement, delay_s, times, ready, arrival_s, pending, head, tail)
        if idle_has_work:  # phase B: every idle device takes a task
            next_end_s = np.inf
            for d in range(n_devices):
                if running[d] < 0 and ready[2][d] > 0:
                    task = _next_ready(d, placement, ready)
                    start_s[task], running[d], busy_s[d] = now_s, task, now_s + delay_s[task]
                if busy_s[d] < next_end_s:
                    next_end_s = busy_s[d]
        now_s = pending[0][head] if head < tail and pending[0][head] < next_end_s else next_end_s
    return makespan_s if n_ended == n else np.inf


@part
def _hand_on(
    task: int,
    now_s: float,
    is_fifo: bool,
    graph: Graph,
    flows: Flows,
    times: Times,
    got: Ints,
    n_got: int,
    bus: Queue,
    bus_head: int,
    bus_tail: int,
    delays: Queue,
    head: int,
    tail: int,
) -> tuple[int, int, int]:
    """Send what an ended task made: within a device at once, else by the bus or after a latency. Returns tail, bus_tail, n_got."""
    succ_first, succ_edge, edge_dst, n_inputs, _, _ = graph
    is_local, delay_s, _, _, _, _, _ = flows
    _, _, edge_start_s, edge_end_s = times
    for place in range(succ_first[task], succ_first[task + 1]):
        edge, flow = succ_edge[place], n_inputs.size + succ_edge[place]
        edge_start_s[edge] = now_s
        if is_local[edge]:
            edge_end_s[edge] = now_s
            got[n_got] = edge_dst[edge]
            n_got += 1
        elif is_fifo:
            bus_tail = queue_edge(bus[0], bus[1], bus_head, bus_tail, now_s, edge)
        else:
            tail = put_time(delays[0], delays[1], head, tail, now_s + delay_s[flow], flow)
    return tail, bus_tail, n_got


@part
def _complete(
    done: Ints, n_done: int, n: int, now_s: float, edge_dst: Ints, edge_end_s: Floats, ended: Ints, n_ended: int, got: Ints, n_got: int
) -> tuple[int, int]:
    """Flows that are done end their task or have arrived. Returns n_ended, n_got."""
    for place in range(n_done):
        flow = done[place]
        if flow < n:
            ended[n_ended] = flow
            n_ended += 1
        else:
            edge_end_s[flow - n] = now_s
            got[n_got] = edge_dst[flow - n]
            n_got += 1
    return n_ended, n_got


@part
def _receive(got: Ints, n_got: int, placement: Placement, ready: Ready) -> None:
    """Tasks that got their last input are ready."""
    for place in range(n_got):
        task = got[place]
        ready[3][task] -= 1
        if ready[3][task] == 0:
            _make_ready(task, placement, ready)


@part
def _dispatch(
    now_s: float,
    placement: Placement,
    flows: Flows,
    ready: Ready,
    running: Ints,
    start_s: Floats,
    arrived: Ints,
    n_arrived: int,
    delays: Queue,
    head: int,
    tail: int,
) -> tuple[int, int]:
    """Let every idle device, in index order, take its first ready task. Returns tail, n_arrived."""
    _, delay_s, shared_bytes, _, _, _, _ = flows
    for d in range(running.size):
        if running[d] < 0 and ready[2][d] > 0:
            task = _next_ready(d, placement, ready)
            running[d], start_s[task] = task, now_s
            if shared_bytes[task] > 0.0:
                arrived[n_arrived] = task
                n_arrived += 1
            else:
                tail = put_time(delays[0], delays[1], head, tail, now_s + delay_s[task], task)
    return tail, n_arrived


@part
def _share(active: Ints, n_active: int, flows: Flows, left: Floats, n_left: Ints, rate: Floats, remaining: Floats) -> float:
    """Do `water_fill`, and return what `next_finish_s` does; one resource is loaded by all flows."""
    _, _, _, cap, first_resource, resource, capacity = flows
    if capacity.size == 1:
        return share_one(active, n_active, cap, capacity[0], rate, remaining)
    water_fill(active, n_active, cap, first_resource, resource, capacity, left, n_left, rate)
    return next_finish_s(active, n_active, remaining, rate)


@kernel
def play_shared(n_devices: int, is_fifo: bool, graph: Graph, placement: Placement, flows: Flows, times: Times, remaining: Floats) -> int:
    """Play with a bus (fifo) or sharing finite resources (fair), `remaining` being shared_bytes at first; returns the completions."""
    (_, _, edge_dst, n_inputs, release_s, released), (device, _) = graph, placement
    (_, delay_s, shared_bytes, cap, _, _, capacity), (start_s, end_s, edge_start_s, edge_end_s) = flows, times
    n, n_flows = device.size, delay_s.size
    ready, running = _ready_lists(n_devices, device, n_inputs + 1), np.full(n_devices, -1)
    delays, head, tail = (np.empty(n_flows), np.empty(n_flows, np.int64)), 0, 0
    bus, bus_head, bus_tail, bus_is_busy = (np.empty(n_flows), np.empty(n_flows, np.int64)), 0, 0, False
    active, arrived, done, rate = np.empty(n_flows, np.int64), np.empty(n_flows, np.int64), np.empty(n_flows, np.int64), np.empty(n_flows)
    ended, got, left, n_left = (
        np.empty(n, np.int64),
        np.empty(n + n_flows, np.int64),
        np.empty(capacity.size),
        np.empty(capacity.size, np.int64),
    )
    n_active = n_arrived = n_released = n_flowed = n_ended = n_got = 0
    now_s, last_s, wake_s, changed = 0.0, 0.0, np.inf, False
    while now_s < np.inf:
        if wake_s <= now_s:  # phase A: flows that are done, releases, delays that expire, and what ended tasks send
            n_kept = finish(active, n_active, remaining, shared_bytes, rate, now_s, now_s - last_s, done)
            n_ended, n_got = _complete(done, n_active - n_kept, n, now_s, edge_dst, edge_end_s, ended, n_ended, got, n_got)
            n_flowed += n_active - n_kept
            n_active, changed, wake_s, last_s = n_kept, True, np.inf, now_s
        while n_released < n and release_s[released[n_released]] <= now_s:
            got[n_got] = released[n_released]
            n_got, n_released = n_got + 1, n_released + 1
        while n_ended > 0 or (head < tail and delays[0][head] <= now_s):
            if n_ended > 0:
                n_ended -= 1
                running[device[ended[n_ended]]], end_s[ended[n_ended]] = -1, now_s
                tail, bus_tail, n_got = _hand_on(
                    ended[n_ended], now_s, is_fifo, graph, flows, times, got, n_got, bus, bus_head, bus_tail, delays, head, tail
                )
                continue
            flow = delays[1][head]
            head += 1
            if flow >= n and shared_bytes[flow] > 0.0:
                arrived[n_arrived] = flow
                n_arrived += 1
            else:
                done[0], bus_is_busy = flow, bus_is_busy and flow < n
                n_ended, n_got = _complete(done, 1, n, now_s, edge_dst, edge_end_s, ended, n_ended, got, n_got)
        _receive(got, n_got, placement, ready)
        n_got = 0
        if bus_head < bus_tail and not bus_is_busy:  # phase B: the bus, then the devices
            edge, bus_head, bus_is_busy = bus[1][bus_head], bus_head + 1, True
            edge_start_s[edge] = now_s
            tail = put_time(delays[0], delays[1], head, tail, now_s + delay_s[n + edge], n + edge)
        tail, n_arrived = _dispatch(now_s, placement, flows, ready, running, start_s, arrived, n_arrived, delays, head, tail)
        if head < tail and delays[0][head] <= now_s:
            continue  # work of no length ends at this instant
        if changed or n_arrived > 0:  # phase C: advance, insert what arrived, share again, set the next wake
            if now_s > last_s:
                advance(active, n_active, remaining, rate, now_s - last_s)
            n_active = insert(active, n_active, cap, arrived, n_arrived)
            n_arrived, changed, last_s = 0, False, now_s
            wake_s = now_s + _share(active, n_active, flows, left, n_left, rate, remaining)
        now_s = min(wake_s, delays[0][head]) if head < tail else wake_s
        now_s = min(now_s, release_s[released[n_released]]) if n_released < n else now_s
    return head + n_flowed

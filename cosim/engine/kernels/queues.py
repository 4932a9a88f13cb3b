"""Queues in arrays: expiries by time, and the ready tasks of a device by priority."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels._jit import part


@part
def segments(device: NDArray[np.int64], first: NDArray[np.int64]) -> None:
    """Give each device d the part first[d]:first[d + 1] of one array, as long as its number of tasks."""
    first[:] = 0
    for task in range(device.size):
        first[device[task] + 1] += 1
    for d in range(first.size - 1):
        first[d + 1] += first[d]


@part
def put_time(time_s: NDArray[np.float64], what: NDArray[np.int64], head: int, tail: int, when_s: float, item: int) -> int:
    """Insert an expiry into the ascending list `time_s[head:tail]`; returns its new tail.

    Expiries come nearly in order (now + a latency), so this takes fewer steps than a heap.
    """
    place = tail
    while place > head and time_s[place - 1] > when_s:
        time_s[place], what[place] = time_s[place - 1], what[place - 1]
        place -= 1
    time_s[place], what[place] = when_s, item
    return tail + 1


@part
def queue_edge(request_s: NDArray[np.float64], queue: NDArray[np.int64], head: int, tail: int, now_s: float, edge: int) -> int:
    """Queue up for the bus by (request time, edge index); requests come in the order of time. Returns the new tail."""
    place = tail
    while place > head and request_s[place - 1] == now_s and queue[place - 1] > edge:
        queue[place], request_s[place] = queue[place - 1], now_s
        place -= 1
    queue[place], request_s[place] = edge, now_s
    return tail + 1


@part
def push_ready(heap: NDArray[np.int64], first: int, n: int, priority: NDArray[np.float64], task: int) -> int:
    """Add a task to the heap `heap[first:first + n]`, largest priority first, ties lowest id; returns its new size."""
    place = n
    while place > 0:
        parent = (place - 1) >> 1
        other = heap[first + parent]
        if priority[other] > priority[task] or (priority[other] == priority[task] and other < task):
            break
        heap[first + place] = other
        place = parent
    heap[first + place] = task
    return n + 1


@part
def pop_ready(heap: NDArray[np.int64], first: int, n: int, priority: NDArray[np.float64]) -> int:
    """Take the first task off the heap; returns its new size. The caller has read entry 0 before."""
    n -= 1
    task = heap[first + n]
    place = 0
    while True:
        child = 2 * place + 1
        if child >= n:
            break
        best = heap[first + child]
        if child + 1 < n:
            right = heap[first + child + 1]
            if priority[right] > priority[best] or (priority[right] == priority[best] and right < best):
                child += 1
                best = right
        if priority[task] > priority[best] or (priority[task] == priority[best] and task < best):
            break
        heap[first + place] = best
        place = child
    heap[first + place] = task
    return n

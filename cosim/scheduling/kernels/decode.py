"""List-schedule decode of (topological order, device per task), forward for ends and backward for rests, from any place on.

Indices are cast to unsigned ones (`U`): a signed index costs a test for a negative one, half the time of these loops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hw_models.kernels._jit import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

U = np.uint64
STRIDE = 8  # places from one row of `front_s` and `back_s` to the next; a power of two
SHIFT = 3  # its logarithm


# Rows of `graph` [5, max(n + 1, e)], as in Arrays.
PRED_FIRST, PRED, SUCC_FIRST, SUCC, SUCC_PLACE = range(5)

# Rows of `tasks` [7, n]. Each device runs its tasks in the topological order ORDER; PLACE is the inverse; BLOCK are tasks
# that a move takes along, and ORIGIN the devices they came from.
ORDER, PLACE, DEVICE, BLOCK, ORIGIN, BEST_ORDER, BEST_DEVICE = range(7)

# Rows of `times` [3, n]. END: when a task ends, all as early as order and devices allow; REST: the longest way from the
# start of a task to the end of the schedule, its own cost included; SAVED: scratch.
END, REST, SAVED = range(3)

# `rows` [2, 1 + n_rows, m]: FRONT, when each device is free, counting the tasks before place STRIDE * row; BACK, REST of the
# first task of each device at place STRIDE * row or later, 0 if there is none. Row r stands at r + 1; at 0 is scratch.
FRONT, BACK = range(2)

RANDOM = 8  # where the state of the generator stands in `move`, behind the numbers of a move


@inlined
def below(move: Ints, n: int) -> int:
    """Draw a whole number from 0 to n - 1 (n < 2^31): multiply with carry, of 62 bits, which int64 holds.

    Source: Marsaglia, "KISS99" (sci.stat.math, 1999), the multiplier 698769069.
    """
    x = int(move[RANDOM])
    x = 698769069 * (x & 0xFFFFFFFF) + (x >> 32)
    move[RANDOM] = x
    return ((x & 0x7FFFFFFF) * n) >> 31


@kernel
def decode(
    graph: Ints, cost_s: Floats, transfer_s: Floats, order: Ints, device: Ints, start_s: Floats, end_s: Floats, free_s: Floats
) -> float:
    """Fill [n] starts and ends of a schedule, and return its makespan; free_s [m] is scratch.

    start = max(end of the task before on the device, max over inputs of end + transfer).
    """
    free_s[:] = 0.0
    last_s = 0.0
    for place in range(order.size):
        task = U(order[U(place)])
        d = U(device[task])
        time_s = free_s[d]
        for e in range(U(graph[PRED_FIRST, task]), U(graph[PRED_FIRST, task + U(1)])):
            u = U(graph[PRED, e])
            arrival_s = end_s[u] + transfer_s[e, U(device[u]), d]
            if arrival_s > time_s:
                time_s = arrival_s
        start_s[task] = time_s
        time_s += cost_s[task, d]
        end_s[task] = time_s
        free_s[d] = time_s
        if time_s > last_s:
            last_s = time_s
    return last_s


@inlined
def free_before(tasks: Ints, times: Floats, rows: Floats, place: int) -> None:
    """Fill scratch with when each device is free, counting the tasks before a place."""
    row = place >> SHIFT
    for k in range(rows.shape[2]):
        rows[FRONT, 0, U(k)] = rows[FRONT, U(row + 1), U(k)]
    for at in range(row << SHIFT, place):
        task = U(tasks[ORDER, U(at)])
        rows[FRONT, 0, U(tasks[DEVICE, task])] = times[END, task]


@inlined
def rest_from(tasks: Ints, times: Floats, rows: Floats, place: int) -> None:
    """Fill scratch with rest_s of the first task of each device at a place or later."""
    row = (place + STRIDE - 1) >> SHIFT
    for k in range(rows.shape[2]):
        rows[BACK, 0, U(k)] = rows[BACK, U(row + 1), U(k)]
    for at in range(min(row << SHIFT, tasks.shape[1]) - 1, place - 1, -1):
        task = U(tasks[ORDER, U(at)])
        rows[BACK, 0, U(tasks[DEVICE, task])] = times[REST, task]


@inlined
def forward(graph: Ints, cost_s: Floats, transfer_s: Floats, tasks: Ints, times: Floats, rows: Floats, first: int) -> float:
    """Bring ends and front_s up to date from place `first` on, and return the makespan."""
    n, m = tasks.shape[1], rows.shape[2]
    free_before(tasks, times, rows, first)
    for place in range(first, n):
        if place & (STRIDE - 1) == 0:
            for k in range(m):
                rows[FRONT, U((place >> SHIFT) + 1), U(k)] = rows[FRONT, 0, U(k)]
        task = U(tasks[ORDER, U(place)])
        d = U(tasks[DEVICE, task])
        time_s = rows[FRONT, 0, d]
        for e in range(U(graph[PRED_FIRST, task]), U(graph[PRED_FIRST, task + U(1)])):
            u = U(graph[PRED, e])
            arrival_s = times[END, u] + transfer_s[e, U(tasks[DEVICE, u]), d]
            if arrival_s > time_s:
                time_s = arrival_s
        time_s += cost_s[task, d]
        times[END, task] = time_s
        rows[FRONT, 0, d] = time_s
    last_s = 0.0
    for k in range(m):
        last_s = max(last_s, rows[FRONT, 0, U(k)])
    return last_s


@inlined
def backward(graph: Ints, cost_s: Floats, transfer_s: Floats, tasks: Ints, times: Floats, rows: Floats, last: int) -> None:
    """Bring rests and back_s up to date from place `last` down to the first: the mirror image of `forward`."""
    m = rows.shape[2]
    rest_from(tasks, times, rows, last + 1)
    for place in range(last, -1, -1):
        task = U(tasks[ORDER, U(place)])
        d = U(tasks[DEVICE, task])
        way_s = rows[BACK, 0, d]
        for k in range(U(graph[SUCC_FIRST, task]), U(graph[SUCC_FIRST, task + U(1)])):
            w = U(graph[SUCC, k])
            beyond_s = times[REST, w] + transfer_s[U(graph[SUCC_PLACE, k]), d, U(tasks[DEVICE, w])]
            if beyond_s > way_s:
                way_s = beyond_s
        way_s += cost_s[task, d]
        times[REST, task] = way_s
        rows[BACK, 0, d] = way_s
        if place & (STRIDE - 1) == 0:
            for q in range(m):
                rows[BACK, U((place >> SHIFT) + 1), U(q)] = rows[BACK, 0, U(q)]

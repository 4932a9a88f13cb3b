"""Local search in the engine's own numbers: chains and stretches of tasks change device together, and every candidate is played.

Real networks are chains with side branches, and what a crossing input costs depends on both of its ends; so a
single task seldom gains by moving, a stretch of them does. The state is that of `cosim.scheduling.kernels.search`; its
times without contention are not kept up to date here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cosim.scheduling.kernels.contended import play
from cosim.scheduling.kernels.decode import BLOCK, DEVICE, ORDER, ORIGIN, PLACE, PRED, PRED_FIRST, SUCC, SUCC_FIRST, below
from cosim.scheduling.kernels.search import (
    ENERGY,
    LOSS,
    MAX_LOSS,
    PLAYED,
    VALUE,
    WEIGHT,
    count,
    drawn_rise,
    keep_best,
    shift,
    value_of,
)
from hw_models.kernels._jit import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

LONGEST_WALK = 8  # steps along edges
JUMP = 0  # kinds of move: a task to another place in the order; a task, a stretch of the order, or a walk to a device
STRETCH, WALK, N_KINDS = 1, 2, 4


@inlined
def to_device(cost_s: Floats, tasks: Ints, task: int, d: int, n_moved: int) -> int:
    """Put a task on a device that supports it, and note where it was; returns how many were moved by now."""
    if tasks[DEVICE, task] == d or not cost_s[task, d] < np.inf:
        return n_moved
    tasks[BLOCK, n_moved], tasks[ORIGIN, n_moved] = task, tasks[DEVICE, task]
    tasks[DEVICE, task] = d
    return n_moved + 1


@inlined
def move_stretch(cost_s: Floats, tasks: Ints, move: Ints, d: int) -> int:
    """Move a stretch of the order, short ones as often as long ones by the logarithm, every place as likely; returns how many moved."""
    n, n_moved = tasks.shape[1], 0
    length = int(math.exp(math.log(2.0 * n) * below(move, 1 << 16) / (1 << 16)))
    first = below(move, n + length - 1) - (length - 1)
    for place in range(max(0, first), min(n, first + length)):
        n_moved = to_device(cost_s, tasks, tasks[ORDER, place], d, n_moved)
    return n_moved


@inlined
def move_walk(graph: Ints, cost_s: Floats, tasks: Ints, move: Ints, d: int, n_steps: int) -> int:
    """Move a task, and what a random walk along edges meets; returns how many moved."""
    task = below(move, tasks.shape[1])
    n_moved = to_device(cost_s, tasks, task, d, 0)
    for _ in range(min(n_steps, tasks.shape[1] - 1)):
        n_in = graph[PRED_FIRST, task + 1] - graph[PRED_FIRST, task]
        n_out = graph[SUCC_FIRST, task + 1] - graph[SUCC_FIRST, task]
        if n_in + n_out == 0:
            break
        e = below(move, n_in + n_out)
        task = graph[PRED, graph[PRED_FIRST, task] + e] if e < n_in else graph[SUCC, graph[SUCC_FIRST, task] + e - n_in]
        n_moved = to_device(cost_s, tasks, task, d, n_moved)
    return n_moved


@inlined
def new_place(graph: Ints, tasks: Ints, move: Ints, old: int) -> int:
    """Draw a place for the task at place `old` between its last input and its first reader."""
    task, first, last = tasks[ORDER, old], 0, tasks.shape[1] - 1
    for e in range(graph[PRED_FIRST, task], graph[PRED_FIRST, task + 1]):
        first = max(first, tasks[PLACE, graph[PRED, e]] + 1)
    for k in range(graph[SUCC_FIRST, task], graph[SUCC_FIRST, task + 1]):
        last = min(last, tasks[PLACE, graph[SUCC, k]] - 1)
    return int(first + below(move, last - first + 1))


@kernel
def anneal_segments(
    graph: Ints,
    cost_s: Floats,
    tasks: Ints,
    price: Floats,
    goal: Floats,
    move: Ints,
    now: Floats,
    engine: Ints,
    engine_s: Floats,
    priority: Floats,
    out: Floats,
    n_moves: int,
    temperature: float,
) -> int:
    """Make so many moves at one temperature, and return how many were played; a task without effect on anything is drawn as any other."""
    n_played, n, m = 0, tasks.shape[1], cost_s.shape[1]
    for _ in range(n_moves):
        kind, d, old, new, n_moved = below(move, N_KINDS), below(move, m), 0, 0, 0
        if kind == JUMP:
            old = below(move, n)
            new = new_place(graph, tasks, move, old)
            if new == old:
                continue
            shift(tasks, old, new)
        elif kind == STRETCH:
            n_moved = move_stretch(cost_s, tasks, move, d)
        else:
            n_moved = move_walk(graph, cost_s, tasks, move, d, 1 + below(move, LONGEST_WALK) if kind == WALK else 0)
        if kind != JUMP and n_moved == 0:
            continue
        played_s, lost = now[PLAYED], now[LOSS]
        if n_moved > 0:
            count(tasks, price, now)
        value, is_taken = 0.0, now[LOSS] <= goal[MAX_LOSS] or now[LOSS] <= lost
        if is_taken:
            n_played += 1
            now[PLAYED] = play(tasks, engine, engine_s, priority, out)
            value = value_of(goal, now[PLAYED], now[ENERGY])
            rise = drawn_rise(move, temperature)
            is_taken = bool(value <= (now[VALUE] * (1.0 + rise) if goal[WEIGHT] == 0.0 else now[VALUE] + rise))
        if is_taken:
            now[VALUE] = value
            keep_best(tasks, now)
            continue
        if kind == JUMP:
            shift(tasks, new, old)
        for k in range(n_moved - 1, -1, -1):
            tasks[DEVICE, tasks[BLOCK, k]] = tasks[ORIGIN, k]
        now[PLAYED] = played_s
        if n_moved > 0:
            count(tasks, price, now)
    return n_played

"""Local search where the engine plays every candidate: moves that the contention-free schedule finds promising only.

The state is that of `cosim.scheduling.kernels.search`, and stays up to date without contention; what counts is the makespan
that `cosim.engine.kernels.simulate` plays, with the place in the order as priority.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cosim.engine.kernels.simulate import simulate
from cosim.scheduling.kernels.decode import DEVICE, ORDER, backward, forward
from cosim.scheduling.kernels.search import (
    BEST,
    ENERGY,
    HI,
    LO,
    LOSS,
    MAKESPAN,
    MAX_LOSS,
    NEW,
    OLD,
    PLAYED,
    POWER_W,
    TASK,
    TO,
    VALUE,
    WEIGHT,
    change_of,
    count,
    drawn_rise,
    keep_best,
    propose,
    put_back,
    shift,
    through,
    value_of,
)
from hw_models.kernels._jit import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

# `engine`, `engine_s`: the tables, packed. `priority` [n] and `out` [3n + 3e] are scratch.


@inlined
def play(tasks: Ints, engine: Ints, engine_s: Floats, priority: Floats, out: Floats) -> float:
    """Makespan in s of the schedule as the engine plays it."""
    n = tasks.shape[1]
    for place in range(n):
        priority[tasks[ORDER, place]] = n - place
    makespan_s: float = simulate(engine, engine_s, tasks[DEVICE], priority, out)
    return makespan_s


@kernel
def settle_played(
    tasks: Ints, price: Floats, goal: Floats, now: Floats, engine: Ints, engine_s: Floats, priority: Floats, out: Floats
) -> None:
    """Value the schedule as the engine plays it; it becomes the best."""
    now[PLAYED] = play(tasks, engine, engine_s, priority, out)
    now[VALUE] = now[BEST] = value_of(goal, now[PLAYED], now[ENERGY])


@inlined
def promising_s(tasks: Ints, price: Floats, goal: Floats, move: Ints, now: Floats, slack: float) -> float:
    """Contention-free makespan up to which a move is worth playing: as much value lost as `slack` says; -1: it loses too much accuracy."""
    energy_j, loss = change_of(tasks, price, move)
    if loss > 0.0 and now[LOSS] + loss > goal[MAX_LOSS]:
        return -1.0
    if goal[WEIGHT] == 0.0:
        return float(now[MAKESPAN] * (1.0 + slack))
    total_j = now[ENERGY] + goal[POWER_W] * now[PLAYED]
    if goal[WEIGHT] == 1.0 or total_j <= 0.0 or total_j + energy_j <= 0.0:
        return np.inf
    return float(now[MAKESPAN]) * math.exp((slack - goal[WEIGHT] * math.log(1.0 + energy_j / total_j)) / (1.0 - goal[WEIGHT]))


@kernel
def anneal_played(
    graph: Ints,
    cost_s: Floats,
    transfer_s: Floats,
    tasks: Ints,
    times: Floats,
    rows: Floats,
    able: Ints,
    price: Floats,
    goal: Floats,
    knobs: Ints,
    move: Ints,
    now: Floats,
    engine: Ints,
    engine_s: Floats,
    priority: Floats,
    out: Floats,
    n_moves: int,
    slack: float,
    temperature: float,
) -> int:
    """Make so many moves at one temperature, and return how many were played."""
    n_played = 0
    for _ in range(n_moves):
        if not propose(graph, cost_s, tasks, times, able, knobs, move, now):
            continue
        tasks[DEVICE, move[TASK]] = move[TO]
        limit_s = promising_s(tasks, price, goal, move, now, slack)
        if through(graph, cost_s, transfer_s, tasks, times, rows, move, limit_s) > limit_s:
            put_back(tasks, move)
            continue
        n_played += 1
        alone_s, played_s = now[MAKESPAN], now[PLAYED]
        shift(tasks, move[OLD], move[NEW])
        now[MAKESPAN] = forward(graph, cost_s, transfer_s, tasks, times, rows, move[LO])
        now[PLAYED] = play(tasks, engine, engine_s, priority, out)
        count(tasks, price, now)
        value = value_of(goal, now[PLAYED], now[ENERGY])
        rise = drawn_rise(move, temperature)
        if value <= (now[VALUE] * (1.0 + rise) if goal[WEIGHT] == 0.0 else now[VALUE] + rise):
            now[VALUE] = value
            backward(graph, cost_s, transfer_s, tasks, times, rows, move[HI])
            keep_best(tasks, now)
        else:
            shift(tasks, move[NEW], move[OLD])
            put_back(tasks, move)
            forward(graph, cost_s, transfer_s, tasks, times, rows, move[LO])
            now[MAKESPAN], now[PLAYED] = alone_s, played_s
            count(tasks, price, now)
    return n_played

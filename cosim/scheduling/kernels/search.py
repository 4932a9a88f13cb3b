"""Annealing over (order, device): what a move does to the makespan is read off ends and rests, without playing the schedule.

A move permutes the places lo..hi of the order and changes devices there only. When the tasks before lo end stays as
it is, and so does how long the schedule goes on from those after hi; so the longest way through the moved
window takes a few additions, and no way that passes it by is longer than the makespan before. Only a move that
is accepted brings ends and rests up to date.

The numbers of a search are laid out as the names below and those of `decode` say.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cosim.scheduling.kernels.decode import (
    BACK,
    BEST_DEVICE,
    BEST_ORDER,
    BLOCK,
    DEVICE,
    END,
    FRONT,
    ORDER,
    ORIGIN,
    PLACE,
    PRED,
    PRED_FIRST,
    REST,
    SAVED,
    SUCC,
    SUCC_FIRST,
    SUCC_PLACE,
    U,
    backward,
    below,
    forward,
    free_before,
    rest_from,
)
from hw_models.kernels._jit import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

# `move` [9]: which task goes from which place to which, from which device to which; the first and last place that change;
# how many tasks it takes along; and the state of the generator.
TASK, OLD, NEW, FROM, TO, LO, HI, N_BLOCK = range(8)

# `now` [6]: of the schedule as it is, the value of the best, and what the engine plays; values are logarithms if energy counts.
MAKESPAN, VALUE, ENERGY, LOSS, BEST, PLAYED = range(6)
TINY = 1e-300  # has a logarithm
ROUNDING = 1e-12  # a way of the same length may come out longer by so much of it


# What a search minimizes and keeps to: `goal` [3].
WEIGHT, POWER_W, MAX_LOSS = range(3)

# How it moves, `knobs` [7]: draws for a task on a longest way; most places that a task jumps; of 1024 moves, how many put a
# chain of tasks on one device and how many one task, in place (the rest jumps over another task, to its device);
# steps of a chain; how many model placements there are, and steps of a chain that follows one of them.
TRIES, REACH, SHARE_CHAIN, SHARE_STAY, LONGEST, N_MODELS, LONGEST_MODEL = range(7)

# `able` [n, 1 + m + models]: how many devices follow; those that support the task, then where each model placement has it.
# `price` [2, n, m]: energy in J and loss of a task on a device; [2, 0, 0] if neither counts.


@kernel
def settle(
    graph: Ints, cost_s: Floats, transfer_s: Floats, tasks: Ints, times: Floats, rows: Floats, price: Floats, goal: Floats, now: Floats
) -> None:
    """Work out everything of a state from its order and devices; the best becomes this one."""
    for place in range(tasks.shape[1]):
        tasks[PLACE, tasks[ORDER, place]] = place
    now[MAKESPAN] = forward(graph, cost_s, transfer_s, tasks, times, rows, 0)
    backward(graph, cost_s, transfer_s, tasks, times, rows, tasks.shape[1] - 1)
    count(tasks, price, now)
    now[VALUE] = value_of(goal, now[MAKESPAN], now[ENERGY])
    now[BEST] = now[VALUE]
    tasks[BEST_ORDER] = tasks[ORDER]
    tasks[BEST_DEVICE] = tasks[DEVICE]


@inlined
def count(tasks: Ints, price: Floats, now: Floats) -> None:
    """Add up energy and loss of the tasks."""
    energy_j, loss = 0.0, 0.0
    for task in range(price.shape[1]):
        energy_j += price[0, task, tasks[DEVICE, task]]
        loss += price[1, task, tasks[DEVICE, task]]
    now[ENERGY], now[LOSS] = energy_j, loss


@inlined
def value_of(goal: Floats, makespan_s: float, energy_j: float) -> float:
    """The makespan if only that counts, else the logarithm of makespan^(1 - w) * (energy + power * makespan)^w."""
    if goal[WEIGHT] == 0.0:
        return makespan_s
    total_j = max(energy_j + goal[POWER_W] * makespan_s, TINY)
    weight = float(goal[WEIGHT])
    return (1.0 - weight) * math.log(max(makespan_s, TINY)) + weight * math.log(total_j)


@inlined
def propose(graph: Ints, cost_s: Floats, tasks: Ints, times: Floats, able: Ints, knobs: Ints, move: Ints, now: Floats) -> bool:
    """Draw a move into `move`; the devices of a block that goes along are changed already. False: nothing would move."""
    n = tasks.shape[1]
    task = below(move, n)
    longest_s = now[MAKESPAN] * (1.0 - 1e-9)
    for _ in range(knobs[TRIES]):
        t = U(task)
        if times[END, t] - cost_s[t, U(tasks[DEVICE, t])] + times[REST, t] >= longest_s:
            break
        task = below(move, n)
    t = U(task)
    old, d = tasks[PLACE, t], tasks[DEVICE, t]
    move[TASK], move[OLD], move[NEW], move[FROM], move[LO], move[HI] = task, old, old, d, old, old
    move[N_BLOCK] = 0
    kind = below(move, 1024)
    if kind < knobs[SHARE_CHAIN] + knobs[SHARE_STAY]:
        drawn = below(move, able[t, 0])
        d_new = able[t, U(1 + drawn)]
        move[TO] = d_new
        if kind < knobs[SHARE_CHAIN]:
            take_along(graph, cost_s, tasks, able, knobs, move, drawn - able[t, 0] + knobs[N_MODELS])
        return bool(d_new != d or move[N_BLOCK] > 0)
    first, last = max(0, old - knobs[REACH]), min(n - 1, old + knobs[REACH])
    for e in range(U(graph[PRED_FIRST, t]), U(graph[PRED_FIRST, t + U(1)])):
        first = max(first, tasks[PLACE, U(graph[PRED, e])] + 1)
    for k in range(U(graph[SUCC_FIRST, t]), U(graph[SUCC_FIRST, t + U(1)])):
        last = min(last, tasks[PLACE, U(graph[SUCC, k])] - 1)
    new = first + below(move, last - first + 1)
    d_new = tasks[DEVICE, U(tasks[ORDER, U(new)])]
    move[NEW] = new
    move[TO] = d_new if cost_s[t, U(d_new)] < np.inf else d
    move[LO], move[HI] = min(old, new), max(old, new)
    return bool(new != old)


@inlined
def take_along(graph: Ints, cost_s: Floats, tasks: Ints, able: Ints, knobs: Ints, move: Ints, model: int) -> None:
    """Walk at random along edges from a task: what is met there goes to the same device, where it can run, or to where a model has it."""
    task, d_new = move[TASK], move[TO]
    one = task
    longest = knobs[LONGEST] if model < 0 else knobs[LONGEST_MODEL]
    for _ in range(min(1 + below(move, longest), tasks.shape[1])):
        n_in = graph[PRED_FIRST, one + 1] - graph[PRED_FIRST, one]
        n_out = graph[SUCC_FIRST, one + 1] - graph[SUCC_FIRST, one]
        if n_in + n_out == 0:
            break
        e = below(move, n_in + n_out)
        one = graph[PRED, graph[PRED_FIRST, one] + e] if e < n_in else graph[SUCC, graph[SUCC_FIRST, one] + e - n_in]
        if model >= 0:
            d_new = able[one, 1 + able[one, 0] - knobs[N_MODELS] + model]
        if one != task and tasks[DEVICE, one] != d_new and cost_s[one, d_new] < np.inf:
            tasks[BLOCK, move[N_BLOCK]], tasks[ORIGIN, move[N_BLOCK]] = one, tasks[DEVICE, one]
            move[N_BLOCK] += 1
            tasks[DEVICE, one] = d_new
            move[LO], move[HI] = min(move[LO], tasks[PLACE, one]), max(move[HI], tasks[PLACE, one])


@inlined
def through(graph: Ints, cost_s: Floats, transfer_s: Floats, tasks: Ints, times: Floats, rows: Floats, move: Ints, limit_s: float) -> float:
    """Longest way through the tasks of the window of a move, their devices being the new ones.

    Leaves the new ends of these tasks, with the old ones in SAVED, if no way is longer than the limit; else
    restores them and returns infinity.
    """
    old, new, lo, hi = move[OLD], move[NEW], move[LO], move[HI]
    step = 1 if new > old else (-1 if new < old else 0)
    free_before(tasks, times, rows, lo)
    rest_from(tasks, times, rows, hi + 1)
    longest_s = 0.0
    for place in range(lo, hi + 1):
        task = U(move[TASK] if place == new else tasks[ORDER, U(place + step)])
        d = U(tasks[DEVICE, task])
        time_s = rows[FRONT, 0, d]
        for e in range(U(graph[PRED_FIRST, task]), U(graph[PRED_FIRST, task + U(1)])):
            u = U(graph[PRED, e])
            arrival_s = times[END, u] + transfer_s[e, U(tasks[DEVICE, u]), d]
            if arrival_s > time_s:
                time_s = arrival_s
        time_s += cost_s[task, d]
        times[SAVED, U(place)] = times[END, task]
        times[END, task] = time_s
        rows[FRONT, 0, d] = time_s
        beyond_s = rows[BACK, 0, d]
        for k in range(U(graph[SUCC_FIRST, task]), U(graph[SUCC_FIRST, task + U(1)])):
            w = U(graph[SUCC, k])
            if tasks[PLACE, w] > hi:
                way_s = times[REST, w] + transfer_s[U(graph[SUCC_PLACE, k]), d, U(tasks[DEVICE, w])]
                if way_s > beyond_s:
                    beyond_s = way_s
        if time_s + beyond_s > longest_s:
            longest_s = time_s + beyond_s
            if longest_s > limit_s:
                restore(tasks, times, move, place)
                return np.inf
    return longest_s


@inlined
def restore(tasks: Ints, times: Floats, move: Ints, last: int) -> None:
    """Put the ends of the window back, up to a place of the new order."""
    old, new = move[OLD], move[NEW]
    step = 1 if new > old else (-1 if new < old else 0)
    for place in range(move[LO], last + 1):
        task = U(move[TASK] if place == new else tasks[ORDER, U(place + step)])
        times[END, task] = times[SAVED, U(place)]


@inlined
def put_back(tasks: Ints, move: Ints) -> None:
    """Give the moved tasks their old devices."""
    tasks[DEVICE, move[TASK]] = move[FROM]
    for k in range(move[N_BLOCK] - 1, -1, -1):
        tasks[DEVICE, tasks[BLOCK, k]] = tasks[ORIGIN, k]


@inlined
def change_of(tasks: Ints, price: Floats, move: Ints) -> tuple[float, float]:
    """What a move adds to the energy and the loss of the tasks, their devices being the new ones."""
    energy_j, loss = 0.0, 0.0
    for k in range(-1, move[N_BLOCK] if price.shape[1] else -1):
        task, d = (move[TASK], move[FROM]) if k < 0 else (tasks[BLOCK, k], tasks[ORIGIN, k])
        energy_j += price[0, task, tasks[DEVICE, task]] - price[0, task, d]
        loss += price[1, task, tasks[DEVICE, task]] - price[1, task, d]
    return energy_j, loss


@inlined
def limit_of(tasks: Ints, price: Floats, goal: Floats, move: Ints, now: Floats, rise: float) -> float:
    """Makespan beyond which a move cannot be accepted; -1: it loses too much accuracy.

    (1 - w) log C + w log(energy of tasks) is at most the value that it may have, as power is not below 0.
    """
    energy_j, loss = change_of(tasks, price, move)
    if loss > 0.0 and now[LOSS] + loss > goal[MAX_LOSS]:
        return -1.0
    if goal[WEIGHT] == 0.0:
        return float(now[MAKESPAN] * (1.0 + rise))
    energy_j += now[ENERGY]
    if goal[WEIGHT] == 1.0 or energy_j <= 0.0:
        return np.inf
    return math.exp((now[VALUE] + rise - goal[WEIGHT] * math.log(energy_j)) / (1.0 - goal[WEIGHT]))


@inlined
def weigh(
    graph: Ints,
    cost_s: Floats,
    transfer_s: Floats,
    tasks: Ints,
    times: Floats,
    rows: Floats,
    price: Floats,
    goal: Floats,
    move: Ints,
    now: Floats,
    rise: float,
) -> bool:
    """Value a schedule that was just moved; False, and all as before, if it is worth too little."""
    before, lost = now[VALUE], now[LOSS]
    count(tasks, price, now)
    now[VALUE] = value_of(goal, now[MAKESPAN], now[ENERGY])
    ceiling = before * (1.0 + rise) if goal[WEIGHT] == 0.0 else before + rise
    if now[VALUE] <= ceiling and (now[LOSS] <= goal[MAX_LOSS] or now[LOSS] <= lost):
        return True
    shift(tasks, move[NEW], move[OLD])
    put_back(tasks, move)
    now[MAKESPAN] = forward(graph, cost_s, transfer_s, tasks, times, rows, move[LO])
    count(tasks, price, now)
    now[VALUE] = before
    return False


@inlined
def shift(tasks: Ints, old: int, new: int) -> None:
    """Move the task at place `old` to `new`; those between step aside."""
    task = tasks[ORDER, U(old)]
    step = 1 if new > old else -1
    at = old
    while at != new:
        other = tasks[ORDER, U(at + step)]
        tasks[ORDER, U(at)] = other
        tasks[PLACE, U(other)] = at
        at += step
    tasks[ORDER, U(new)] = task
    tasks[PLACE, U(task)] = new


@inlined
def drawn_rise(move: Ints, temperature: float) -> float:
    """Draw how far the logarithm of the value may rise for a move to be accepted: -temperature ln(u), u uniform in (0, 1)."""
    return -temperature * math.log((below(move, 1 << 24) + 0.5) / (1 << 24)) + ROUNDING


@inlined
def keep_best(tasks: Ints, now: Floats) -> None:
    """Note the schedule as the best if it is."""
    if now[VALUE] < now[BEST]:
        now[BEST] = now[VALUE]
        tasks[BEST_ORDER] = tasks[ORDER]
        tasks[BEST_DEVICE] = tasks[DEVICE]


@kernel
def anneal(
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
    n_moves: int,
    temperature: float,
) -> int:
    """Make so many moves at one temperature, and return how many were accepted.

    A move from value v to v' (logarithms) is accepted with probability min(1, exp((v - v')/temperature)).
    Source: Kirkpatrick, Gelatt, Vecchi, "Optimization by simulated annealing", Science 220, 1983.
    """
    n_accepted = 0
    plain = goal[WEIGHT] == 0.0 and price.shape[1] == 0
    for _ in range(n_moves):
        if not propose(graph, cost_s, tasks, times, able, knobs, move, now):
            continue
        tasks[DEVICE, move[TASK]] = move[TO]
        rise = drawn_rise(move, temperature)
        limit_s = now[MAKESPAN] * (1.0 + rise) if plain else limit_of(tasks, price, goal, move, now, rise)
        if through(graph, cost_s, transfer_s, tasks, times, rows, move, limit_s) > limit_s:
            put_back(tasks, move)
            continue
        shift(tasks, move[OLD], move[NEW])
        now[MAKESPAN] = forward(graph, cost_s, transfer_s, tasks, times, rows, move[LO])
        if plain:
            now[VALUE] = now[MAKESPAN]
        elif not weigh(graph, cost_s, transfer_s, tasks, times, rows, price, goal, move, now, rise):
            continue
        backward(graph, cost_s, transfer_s, tasks, times, rows, move[HI])
        keep_best(tasks, now)
        n_accepted += 1
    return n_accepted

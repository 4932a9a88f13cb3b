"""Roll-outs of the learned policy: every step times the ready tasks on all devices, scores them and places one, gaps included."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosim.scheduling.kernels.policy_features import Known, known
from cosim.scheduling.kernels.policy_net import N_STEP_FEATURES, Weights, choose, embed, pair_base
from cosim.scheduling.kernels.timeline import earliest_start, occupy
from hw_models.kernels._jit import kernel

if TYPE_CHECKING:
    from cosim.scheduling.arrays import Arrays

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_READY = 8  # ready tasks that are looked at in one step, those of highest upward rank
MARGIN = 3.0  # below the best score by the rule, beyond which the network is not asked


class Scratch(NamedTuple):
    """Work arrays of a roll-out of n tasks, m devices.

    busy_start, busy_end [m, n], n_busy [m]   intervals of each device in order
    arrival_s [n, m]     when the last placed input of a task arrives on a device
    begin_s, finish_s [n, m]   of ready tasks
    n_waiting [n]        inputs not placed
    ready [n]            ready tasks by descending rank
    load_s [m]           expected work not placed
    free_s [m]           end of the last task of a device
    ahead [N_READY, m]   what `look_ahead` says of a pair
    over [5]             see `times_of_all`
    task, device, rule_score [N_READY * m], features [N_READY * m, N_STEP_FEATURES]   of each pair looked at
    kept, score [N_READY * m]   of those that the network looks at
    hidden [h], squashed [N_STEP_FEATURES]   of one pair, for gradients
    """

    busy_start: Floats
    busy_end: Floats
    n_busy: Ints
    arrival_s: Floats
    begin_s: Floats
    finish_s: Floats
    n_waiting: Ints
    ready: Ints
    load_s: Floats
    task: Ints
    device: Ints
    rule_score: Floats
    features: Floats
    kept: Ints
    score: Floats
    free_s: Floats
    ahead: Floats
    over: Floats
    hidden: Floats
    squashed: Floats


@kernel
def make_scratch(n: int, m: int, h: int) -> Scratch:
    """Return work arrays for roll-outs of n tasks on m devices, h hidden units of a pair."""
    return Scratch(
        np.zeros((m, n)),
        np.zeros((m, n)),
        np.zeros(m, np.int64),
        np.zeros((n, m)),
        np.zeros((n, m)),
        np.zeros((n, m)),
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
        np.zeros(m),
        np.zeros(N_READY * m, np.int64),
        np.zeros(N_READY * m, np.int64),
        np.zeros(N_READY * m),
        np.zeros((N_READY * m, N_STEP_FEATURES)),
        np.zeros(N_READY * m, np.int64),
        np.zeros(N_READY * m),
        np.zeros(m),
        np.zeros((N_READY, m)),
        np.zeros(5),
        np.zeros(h),
        np.zeros(N_STEP_FEATURES),
    )


@kernel
def become_ready(t: int, a: Arrays, rank_s: Floats, s: Scratch, count: int) -> None:
    """Put a task into the ready list by descending rank (ties: as they come) and time it on every device."""
    place = count
    while place > 0 and rank_s[s.ready[place - 1]] < rank_s[t]:
        s.ready[place] = s.ready[place - 1]
        place -= 1
    s.ready[place] = t
    for p in range(a.cost_s.shape[1]):
        time_on(t, p, a, s)


@kernel
def time_on(t: int, p: int, a: Arrays, s: Scratch) -> None:
    """Time a ready task on a device as it is now."""
    c = a.cost_s[t, p]
    if c < np.inf:
        s.begin_s[t, p] = earliest_start(s.busy_start, s.busy_end, s.n_busy, p, s.arrival_s[t, p], c)
        s.finish_s[t, p] = s.begin_s[t, p] + c
    else:
        s.finish_s[t, p] = np.inf


@kernel
def look_ahead(t: int, p: int, a: Arrays, tail_s: Floats, s: Scratch) -> float:
    """Projected end of everything after a ready task if it runs on a device.

    max over successors of min over devices of (start after all placed inputs and the last task there + cost + tail).
    """
    m = a.cost_s.shape[1]
    finish_s = s.finish_s[t, p]
    worst = finish_s
    for k in range(a.succ_first[t], a.succ_first[t + 1]):
        c, e = a.succ[k], a.succ_place[k]
        best = np.inf
        for q in range(m):
            if a.cost_s[c, q] == np.inf:
                continue
            start = max(s.arrival_s[c, q], finish_s + a.transfer_s[e, p, q])
            if s.n_busy[q] > 0:
                start = max(start, s.busy_end[q, s.n_busy[q] - 1])
            best = min(best, start + a.cost_s[c, q] + tail_s[c, q])
        worst = max(worst, best)
    return float(worst)


@kernel
def times_of_all(count: int, a: Arrays, seen: Known, s: Scratch) -> None:
    """Fill the look-ahead of the first `count` ready tasks, and `s.over`: what compares them with each other.

    s.over = (first end, first start, latest of the look-aheads at best, first free device, mean of free + expected work).
    """
    m = a.cost_s.shape[1]
    first_finish, first_begin, last_ahead, first_free, mean_due = np.inf, np.inf, 0.0, np.inf, 0.0
    for p in range(m):
        free = s.busy_end[p, s.n_busy[p] - 1] if s.n_busy[p] > 0 else 0.0
        s.free_s[p] = free
        first_free = min(first_free, free)
        mean_due += (free + s.load_s[p]) / m
    for i in range(count):
        t = s.ready[i]
        least = np.inf
        for p in range(m):
            if a.cost_s[t, p] < np.inf:
                s.ahead[i, p] = look_ahead(t, p, a, seen.tail_s, s)
                least = min(least, s.ahead[i, p])
                first_finish = min(first_finish, s.finish_s[t, p])
                first_begin = min(first_begin, s.begin_s[t, p])
        last_ahead = max(last_ahead, least)
    s.over[0], s.over[1], s.over[2], s.over[3], s.over[4] = first_finish, first_begin, last_ahead, first_free, mean_due


@kernel
def step_features(count: int, n_left: int, a: Arrays, seen: Known, s: Scratch) -> int:
    """Fill the features of the first `count` ready tasks on every device that can run them, all times over the mean cost.

    Returns the number of such pairs.
    """
    n, m = a.cost_s.shape
    times_of_all(count, a, seen, s)
    scale, left = 1.0 / seen.scale_s, n_left / n
    first_finish, first_begin, last_ahead, first_free, mean_due = s.over[0], s.over[1], s.over[2], s.over[3], s.over[4]
    k = 0
    for i in range(count):
        t = s.ready[i]
        least_finish, second, least_due, least_ahead, least_arrival = np.inf, np.inf, np.inf, np.inf, np.inf
        for p in range(m):
            if a.cost_s[t, p] < np.inf:
                finish = s.finish_s[t, p]
                second = min(second, max(finish, least_finish))
                least_finish = min(least_finish, finish)
                least_due = min(least_due, finish + seen.tail_s[t, p])
                least_ahead = min(least_ahead, s.ahead[i, p])
                least_arrival = min(least_arrival, s.arrival_s[t, p])
        suffers = (second - least_finish) * scale if second < np.inf else 0.0
        for p in range(m):
            if a.cost_s[t, p] == np.inf:
                continue
            x, s.task[k], s.device[k] = s.features[k], t, p
            k += 1
            free, begin, finish, arrival, ahead = s.free_s[p], s.begin_s[t, p], s.finish_s[t, p], s.arrival_s[t, p], s.ahead[i, p]
            x[0] = (finish - least_finish) * scale
            x[1] = (finish - first_finish) * scale
            x[2] = (finish + seen.tail_s[t, p] - least_due) * scale
            x[3] = (ahead - least_ahead) * scale
            x[4] = (ahead - last_ahead) * scale
            x[5] = (begin - arrival) * scale
            x[6] = max(0.0, begin - free) * scale
            x[7] = 1.0 if begin < free else 0.0
            x[8] = (arrival - least_arrival) * scale
            x[9] = (free - first_free) * scale
            x[10] = (begin - first_begin) * scale
            x[11] = (free + s.load_s[p] - mean_due) * scale
            x[12] = (free + s.load_s[p] - mean_due) / seen.bound_s
            x[13] = suffers
            x[14] = max(0.0, ahead - seen.bound_s) * scale
            x[15] = left
    return k


@kernel
def score_all(size: int, margin: float, w: Weights, base: Floats, rule: Floats, s: Scratch) -> int:
    """Keep those of the first `size` pairs whose score by the rule is within a margin of the best; score them by rule + network.

    Returns how many are kept, in s.kept.
    """
    top = -np.inf
    for k in range(size):
        score = rule[s.task[k], s.device[k]]
        for f in range(w.rule_step.size):
            score += s.features[k, f] * w.rule_step[f]
        s.rule_score[k] = score
        top = max(top, score)
    n_kept = 0
    for k in range(size):
        if s.rule_score[k] >= top - margin:
            s.kept[n_kept] = k
            s.score[n_kept] = s.rule_score[k] + network(k, s.task[k], s.device[k], w.pair_step, w.pair_out, base, s.features, s.hidden)
            n_kept += 1
    return n_kept


@kernel
def network(k: int, t: int, p: int, pair_step: Floats, pair_out: Floats, base: Floats, features: Floats, hidden: Floats) -> float:
    """Out . relu(base + weights x features squashed to (-1, 1)) of one pair, four features at a time."""
    h = pair_out.size
    for j in range(h):
        hidden[j] = base[t, p, j]
    for f in range(0, pair_step.shape[0], 4):
        x0, x1, x2, x3 = features[k, f], features[k, f + 1], features[k, f + 2], features[k, f + 3]
        x0, x1, x2, x3 = x0 / (1.0 + abs(x0)), x1 / (1.0 + abs(x1)), x2 / (1.0 + abs(x2)), x3 / (1.0 + abs(x3))
        for j in range(h):
            hidden[j] += x0 * pair_step[f, j] + x1 * pair_step[f + 1, j] + x2 * pair_step[f + 2, j] + x3 * pair_step[f + 3, j]
    out = 0.0
    for j in range(h):
        out += max(hidden[j], 0.0) * pair_out[j]
    return out


@kernel
def begin(a: Arrays, seen: Known, s: Scratch) -> int:
    """Empty all devices; return how many tasks are ready."""
    n, m = a.cost_s.shape
    s.arrival_s[:] = 0.0
    s.n_busy[:] = 0
    s.load_s[:] = 0.0
    n_ready = 0
    for t in range(n):
        s.n_waiting[t] = a.pred_first[t + 1] - a.pred_first[t]
        for p in range(m):
            if seen.prefer[t, p] > 0.0:
                s.load_s[p] += seen.prefer[t, p] * a.cost_s[t, p]
    for i in range(n):
        t = a.order[i]
        if s.n_waiting[t] == 0:
            become_ready(t, a, seen.rank_s, s, n_ready)
            n_ready += 1
    return n_ready


@kernel
def roll_out(
    a: Arrays,
    seen: Known,
    w: Weights,
    base: Floats,
    rule: Floats,
    heat: float,
    draws: Floats,
    guide: Ints,
    s: Scratch,
    device: Ints,
    start_s: Floats,
    end_s: Floats,
    record: Record,
) -> float:
    """Place every task; return the makespan.

    `draws` [n] in [0, 1) choose at heat > 0. `guide` [n], when it has any length, is the device on which the task of the best
    pair is put instead. `record` keeps each step, if it has room.
    """
    n = device.size
    n_ready = begin(a, seen, s)
    makespan_s = 0.0
    for step in range(n):
        count = min(n_ready, N_READY)
        size = step_features(count, n - step, a, seen, s)
        n_kept = score_all(size, np.inf if guide.size > 0 else MARGIN, w, base, rule, s)
        chosen = follow(n_kept, guide, s) if guide.size > 0 else choose(s.score, n_kept, heat, draws[step])
        if record.chosen.size > 0:
            keep(step, n_kept, chosen, s, record)
        t, p = s.task[s.kept[chosen]], s.device[s.kept[chosen]]
        withdraw(t, n_ready, s)
        device[t], start_s[t], end_s[t] = p, s.begin_s[t, p], s.finish_s[t, p]
        makespan_s = max(makespan_s, end_s[t])
        n_ready = settle(t, p, end_s[t], n_ready - 1, a, seen, s)
    return makespan_s


@kernel
def withdraw(t: int, n_ready: int, s: Scratch) -> None:
    """Take a task out of the ready list."""
    i = 0
    while s.ready[i] != t:
        i += 1
    for j in range(i, n_ready - 1):
        s.ready[j] = s.ready[j + 1]


@kernel
def follow(size: int, guide: Ints, s: Scratch) -> int:
    """Index of the pair that a guide chooses: the task that the policy would take, on the guide's device."""
    best = 0
    for k in range(size):
        if s.score[k] > s.score[best]:
            best = k
    for k in range(size):
        if s.task[k] == s.task[best] and s.device[k] == guide[s.task[best]]:
            return k
    return best


@kernel
def keep(step: int, size: int, chosen: int, s: Scratch, record: Record) -> None:
    """Write down what one step saw and chose."""
    record.size[step], record.chosen[step] = size, chosen
    for i in range(size):
        k = s.kept[i]
        record.task[step, i], record.device[step, i] = s.task[k], s.device[k]
        record.score[step, i] = s.score[i]
        for f in range(s.features.shape[1]):
            record.features[step, i, f] = s.features[k, f]


@kernel
def settle(t: int, p: int, end_s: float, n_ready: int, a: Arrays, seen: Known, s: Scratch) -> int:
    """Occupy a device with a task, retime what may still go there, release successors; return how many tasks are ready."""
    m = a.cost_s.shape[1]
    occupy(s.busy_start, s.busy_end, s.n_busy, p, s.begin_s[t, p], end_s)
    for q in range(m):
        if seen.prefer[t, q] > 0.0:
            s.load_s[q] -= seen.prefer[t, q] * a.cost_s[t, q]
    for i in range(n_ready):
        time_on(s.ready[i], p, a, s)
    for k in range(a.succ_first[t], a.succ_first[t + 1]):
        c, e = a.succ[k], a.succ_place[k]
        for q in range(m):
            s.arrival_s[c, q] = max(s.arrival_s[c, q], end_s + a.transfer_s[e, p, q])
        s.n_waiting[c] -= 1
        if s.n_waiting[c] == 0:
            become_ready(c, a, seen.rank_s, s, n_ready)
            n_ready += 1
    return n_ready


class Record(NamedTuple):
    """Steps of one roll-out, for training; arrays of no length keep nothing.

    size, chosen [n]; task, device, score [n, N_READY * m]; features [n, N_READY * m, N_STEP_FEATURES]
    """

    size: Ints
    chosen: Ints
    task: Ints
    device: Ints
    score: Floats
    features: Floats


@kernel
def make_record(n: int, m: int) -> Record:
    """Return room for n steps on m devices, not filled."""
    return Record(
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty((n, N_READY * m), np.int64),
        np.empty((n, N_READY * m), np.int64),
        np.empty((n, N_READY * m)),
        np.empty((n, N_READY * m, N_STEP_FEATURES)),
    )


@kernel
def many(
    a: Arrays, w: Weights, bonus: Floats, heats: Floats, draws: Floats, device: Ints, start_s: Floats, end_s: Floats, makespan_s: Floats
) -> None:
    """Fill k roll-outs of one instance: device, start_s, end_s [k, n] and makespan_s [k].

    heats [k], 0 for a greedy one; draws [k, n] in [0, 1); `bonus` [n, m] is added to the score of every pair.
    """
    k, n = device.shape
    m, h, d, rounds = a.cost_s.shape[1], w.pair_out.size, w.task_bias.size, w.message.shape[0]
    seen = known(a)
    states, pooled = np.zeros((rounds + 1, n, d)), np.zeros((rounds, 4, n, d))
    base, rule = np.zeros((n, m, h)), np.zeros((n, m))
    embed(a, seen.task, w, states, pooled, np.zeros((rounds, 2, n, d), np.int64))
    pair_base(seen.task, seen.pair, states[rounds], w, base, rule)
    rule += bonus
    scratch, nothing, nobody = make_scratch(n, m, h), make_record(0, 0), np.zeros(0, np.int64)
    for i in range(k):
        makespan_s[i] = roll_out(a, seen, w, base, rule, heats[i], draws[i], nobody, scratch, device[i], start_s[i], end_s[i], nothing)

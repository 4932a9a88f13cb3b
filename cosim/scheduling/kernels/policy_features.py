"""What the learned policy knows of an instance before it places anything: ranks, optimistic path tables, scale-free features."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosim.scheduling.kernels.ranks import downward_rank, upward_rank
from hw_models.kernels._jit import kernel

if TYPE_CHECKING:
    from cosim.scheduling.arrays import Arrays

Floats = NDArray[np.float64]

N_TASK_FEATURES = 18
N_PAIR_FEATURES = 13
N_PRICE_ROUNDS = 12


class Known(NamedTuple):
    """Tables of one instance of n tasks and m devices.

    scale_s      mean cost of a task, what all times are divided by
    bound_s      larger of the longest optimistic path and the least total work per device
    rank_s       [n] upward rank
    tail_s       [n, m] optimistic time from the end of a task on a device to the end of everything after it
    prefer       [n, m] share of a device in a task once devices are priced by their load
    task         [n, N_TASK_FEATURES]
    pair         [n, m, N_PAIR_FEATURES]
    """

    scale_s: float
    bound_s: float
    rank_s: Floats
    tail_s: Floats
    prefer: Floats
    task: Floats
    pair: Floats


@kernel
def tails(cost_s: Floats, a: Arrays, tail_s: Floats) -> None:
    """Fill [n, m]: max over successors of min over devices of (transfer + cost + tail), 0 at the end.

    Source: the optimistic cost table of Arabnejad and Barbosa, IEEE TPDS 25(3), 2014, equation 3, with the
    transfer of the pair of devices where they take the mean.
    """
    n, m = cost_s.shape
    for i in range(n - 1, -1, -1):
        t = a.order[i]
        for p in range(m):
            tail_s[t, p] = 0.0
        for k in range(a.succ_first[t], a.succ_first[t + 1]):
            c, e = a.succ[k], a.succ_place[k]
            for p in range(m):
                best = np.inf
                for q in range(m):
                    value = a.transfer_s[e, p, q] + cost_s[c, q] + tail_s[c, q]
                    best = min(best, value)
                tail_s[t, p] = max(tail_s[t, p], best)


@kernel
def heads(cost_s: Floats, a: Arrays, head_s: Floats) -> None:
    """Fill [n, m]: the same towards the beginning, what a task on a device must wait for at least."""
    n, m = cost_s.shape
    for i in range(n):
        t = a.order[i]
        for p in range(m):
            head_s[t, p] = 0.0
        for e in range(a.pred_first[t], a.pred_first[t + 1]):
            u = a.pred[e]
            for p in range(m):
                best = np.inf
                for q in range(m):
                    value = head_s[u, q] + cost_s[u, q] + a.transfer_s[e, q, p]
                    best = min(best, value)
                head_s[t, p] = max(head_s[t, p], best)


@kernel
def priced_shares(a: Arrays, scale_s: float, bound_s: float, share: Floats, priced: Floats, head_s: Floats, tail_s: Floats) -> None:
    """Fill [n, m] shares of devices in tasks: soft minima of optimistic paths, devices priced until loads even out.

    share ~ exp(-4 (head + price * cost + tail) / scale); a price rises with load / bound. Overwrites the other tables.
    """
    n, m = share.shape
    price = np.ones(m)
    for turn in range(N_PRICE_ROUNDS):
        for t in range(n):
            for p in range(m):
                priced[t, p] = a.cost_s[t, p] * price[p]
        heads(priced, a, head_s)
        tails(priced, a, tail_s)
        load = np.zeros(m)
        for t in range(n):
            least = np.inf
            for p in range(m):
                least = min(least, head_s[t, p] + priced[t, p] + tail_s[t, p])
            total = 0.0
            for p in range(m):
                over = (head_s[t, p] + priced[t, p] + tail_s[t, p] - least) / scale_s
                value = np.exp(-4.0 * over)
                share[t, p] = value if turn == 0 else 0.5 * share[t, p] + 0.5 * value
                total += share[t, p]
            for p in range(m):
                share[t, p] /= total
                if share[t, p] > 0.0:
                    load[p] += share[t, p] * a.cost_s[t, p]
        for p in range(m):
            price[p] = min(4.0, max(1.0, price[p] * np.exp(0.5 * (load[p] / bound_s - 0.7))))


@kernel
def known(a: Arrays) -> Known:
    """Analyze an instance once, before any roll-out. `a` is its Arrays."""
    n, m = a.cost_s.shape
    up_s, down_s = upward_rank(a), downward_rank(a)
    head_s, tail_s = np.zeros((n, m)), np.zeros((n, m))
    heads(a.cost_s, a, head_s)
    tails(a.cost_s, a, tail_s)
    least_s, most_s = np.zeros(n), np.zeros(n)
    path_s = np.zeros(n)
    for t in range(n):
        least_s[t], path_s[t] = np.inf, np.inf
        for p in range(m):
            c = a.cost_s[t, p]
            least_s[t] = min(least_s[t], c)
            path_s[t] = min(path_s[t], head_s[t, p] + c + tail_s[t, p])
            if c < np.inf:
                most_s[t] = max(most_s[t], c)
    scale_s = a.mean_cost_s.mean() if n else 0.0
    bound_s = max(path_s.max(), least_s.sum() / m) if n else 0.0
    if scale_s <= 0.0:
        scale_s = max(bound_s, a.mean_transfer_s.max() if a.mean_transfer_s.size else 0.0)
    if scale_s <= 0.0:
        scale_s = 1.0
    if bound_s <= 0.0:
        bound_s = scale_s
    task = np.zeros((n, N_TASK_FEATURES))
    pair = np.zeros((n, m, N_PAIR_FEATURES))
    prefer, priced = np.zeros((n, m)), np.zeros((n, m))
    _pair_features(a, scale_s, bound_s, least_s, path_s, head_s, tail_s, pair)
    priced_head_s, priced_tail_s = np.zeros((n, m)), np.zeros((n, m))
    priced_shares(a, scale_s, bound_s, prefer, priced, priced_head_s, priced_tail_s)
    _priced_features(scale_s, prefer, priced, priced_head_s, priced_tail_s, pair)
    _task_features(a, scale_s, bound_s, up_s, down_s, least_s, most_s, path_s, task)
    return Known(scale_s, bound_s, up_s, tail_s, prefer, task, pair)


@kernel
def _pair_features(
    a: Arrays, scale_s: float, bound_s: float, least_s: Floats, path_s: Floats, head_s: Floats, tail_s: Floats, pair: Floats
) -> None:
    """Fill what is known of a task on a device, whatever else is placed; 0 where the device cannot run it."""
    n, m = a.cost_s.shape
    load, share, slow = np.zeros(m), np.zeros(m), np.zeros(m)
    for t in range(n):
        for p in range(m):
            c = a.cost_s[t, p]
            if c < np.inf:
                share[p] += 1.0 / n
                slow[p] += c
            if c == least_s[t]:
                load[p] += c
    for t in range(n):
        least_tail, least_end = np.inf, np.inf
        for p in range(m):
            if a.cost_s[t, p] < np.inf:
                least_tail = min(least_tail, tail_s[t, p])
                least_end = min(least_end, a.cost_s[t, p] + tail_s[t, p])
        for p in range(m):
            c = a.cost_s[t, p]
            if c == np.inf:
                continue
            x = pair[t, p]
            x[0] = (c - least_s[t]) / scale_s
            x[1] = (c - least_s[t]) / (a.mean_cost_s[t] + 1e-3 * scale_s)
            x[2] = (tail_s[t, p] - least_tail) / scale_s
            x[3] = (c + tail_s[t, p] - least_end) / scale_s
            x[4] = (head_s[t, p] + c + tail_s[t, p] - path_s[t]) / scale_s
            x[5] = share[p]
            x[6] = load[p] / bound_s
            x[7] = slow[p] / (share[p] * n) / scale_s
            n_succ, n_pred = 0, 0
            for k in range(a.succ_first[t], a.succ_first[t + 1]):
                if a.cost_s[a.succ[k], p] < np.inf:
                    n_succ += 1
            for e in range(a.pred_first[t], a.pred_first[t + 1]):
                if a.cost_s[a.pred[e], p] < np.inf:
                    n_pred += 1
            x[8] = n_succ / max(1, a.succ_first[t + 1] - a.succ_first[t])
            x[9] = n_pred / max(1, a.pred_first[t + 1] - a.pred_first[t])


@kernel
def _priced_features(scale_s: float, prefer: Floats, priced: Floats, head_s: Floats, tail_s: Floats, pair: Floats) -> None:
    """Fill how a task on a device looks once devices are priced by their load."""
    n, m = prefer.shape
    for t in range(n):
        least_path, least_end = np.inf, np.inf
        for p in range(m):
            least_path = min(least_path, head_s[t, p] + priced[t, p] + tail_s[t, p])
            least_end = min(least_end, priced[t, p] + tail_s[t, p])
        for p in range(m):
            if priced[t, p] < np.inf:
                pair[t, p, 10] = (head_s[t, p] + priced[t, p] + tail_s[t, p] - least_path) / scale_s
                pair[t, p, 11] = (priced[t, p] + tail_s[t, p] - least_end) / scale_s
                pair[t, p, 12] = prefer[t, p]


@kernel
def _task_features(
    a: Arrays, scale_s: float, bound_s: float, up_s: Floats, down_s: Floats, least_s: Floats, most_s: Floats, path_s: Floats, task: Floats
) -> None:
    """Fill what is known of a task, whatever the device; the last four are of the whole instance."""
    n, m = a.cost_s.shape
    longest = 0.0
    for t in range(n):
        longest = max(longest, up_s[t] + down_s[t])
    mean_transfer = a.mean_transfer_s.mean() if a.mean_transfer_s.size else 0.0
    for t in range(n):
        x = task[t]
        x[0] = up_s[t] / scale_s
        x[1] = up_s[t] / max(longest, 1e-9 * scale_s)
        x[2] = down_s[t] / max(longest, 1e-9 * scale_s)
        x[3] = (longest - up_s[t] - down_s[t]) / scale_s
        x[4] = (bound_s - path_s[t]) / scale_s
        x[5] = a.mean_cost_s[t] / scale_s
        x[6] = least_s[t] / scale_s
        x[7] = (most_s[t] - least_s[t]) / scale_s
        x[8] = np.isfinite(a.cost_s[t]).sum() / m
        x[9] = a.succ_first[t + 1] - a.succ_first[t]
        x[10] = a.pred_first[t + 1] - a.pred_first[t]
        for k in range(a.succ_first[t], a.succ_first[t + 1]):
            c = a.succ[k]
            if a.pred_first[c + 1] - a.pred_first[c] == 1:
                x[11] += 1.0
            x[12] = max(x[12], a.mean_transfer_s[a.succ_place[k]] / scale_s)
        for e in range(a.pred_first[t], a.pred_first[t + 1]):
            x[13] = max(x[13], a.mean_transfer_s[e] / scale_s)
        x[14] = np.log(1.0 + n) / 4.0
        x[15] = m / 4.0
        x[16] = least_s.sum() / m / bound_s
        x[17] = mean_transfer / scale_s

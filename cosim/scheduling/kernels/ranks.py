"""Static priorities of tasks: ranks along the longest ways in and out, the optimistic cost table, the order of a ready queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hw_models.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cosim.scheduling.arrays import Arrays


@kernel
def upward_rank(a: Arrays) -> NDArray[np.float64]:
    """[n] s: mean cost + max over out-edges of (mean transfer + rank of the successor).

    Source: Topcuoglu, Hariri, Wu, IEEE TPDS 13(3), 2002, "upward rank".
    """
    n = a.order.size
    rank_s = np.empty(n)
    for i in range(n - 1, -1, -1):
        task = a.order[i]
        longest_s = 0.0
        for j in range(a.succ_first[task], a.succ_first[task + 1]):
            way_s = a.mean_transfer_s[a.succ_place[j]] + rank_s[a.succ[j]]
            longest_s = max(longest_s, way_s)
        rank_s[task] = a.mean_cost_s[task] + longest_s
    return rank_s


@kernel
def downward_rank(a: Arrays) -> NDArray[np.float64]:
    """[n] s: max over in-edges of (rank of the predecessor + its mean cost + mean transfer); 0 without one.

    Source: Topcuoglu, Hariri, Wu, IEEE TPDS 13(3), 2002, "downward rank".
    """
    n = a.order.size
    rank_s = np.empty(n)
    for i in range(n):
        task = a.order[i]
        longest_s = 0.0
        for e in range(a.pred_first[task], a.pred_first[task + 1]):
            u = a.pred[e]
            longest_s = max(longest_s, rank_s[u] + a.mean_cost_s[u] + a.mean_transfer_s[e])
        rank_s[task] = longest_s
    return rank_s


@kernel
def optimistic_cost(a: Arrays) -> NDArray[np.float64]:
    """[n, m] s that remain, at best, after a task has ended on device p.

    max over out-edges of min over q of (rest of the successor on q + its cost on q + mean transfer if q is not p).
    Source: Arabnejad, Barbosa, IEEE TPDS 25(3), 2014, "optimistic cost table".
    """
    n, m = a.cost_s.shape
    rest_s = np.zeros((n, m))
    for i in range(n - 1, -1, -1):
        task = a.order[i]
        for j in range(a.succ_first[task], a.succ_first[task + 1]):
            v, transfer_s = a.succ[j], a.mean_transfer_s[a.succ_place[j]]
            for p in range(m):
                least_s = np.inf
                for q in range(m):
                    way_s = rest_s[v, q] + a.cost_s[v, q]
                    if q != p:
                        way_s += transfer_s
                    least_s = min(least_s, way_s)
                rest_s[task, p] = max(rest_s[task, p], least_s)
    return rest_s


@kernel
def ready_order(a: Arrays, priority: NDArray[np.float64]) -> NDArray[np.int64]:
    """[n] tasks as a ready queue gives them: of those whose predecessors are out, the largest priority (ties: earlier in `a.order`)."""
    n = a.order.size
    place, missing = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        task = a.order[i]
        place[task] = i
        missing[task] = a.pred_first[task + 1] - a.pred_first[task]
    out, heap, n_heap = np.empty(n, np.int64), np.empty(n, np.int64), 0
    n_out, source = 0, -1
    while n_out < n:
        # New tasks: the sources of the graph at first, then the successors of the task that went out last.
        first, last = (0, n) if source < 0 else (a.succ_first[source], a.succ_first[source + 1])
        for j in range(first, last):
            task = a.order[j] if source < 0 else a.succ[j]
            if source >= 0:
                missing[task] -= 1
            if missing[task] == 0:
                hole = n_heap
                n_heap += 1
                while hole > 0:
                    up = heap[(hole - 1) // 2]
                    if priority[up] > priority[task] or (priority[up] == priority[task] and place[up] < place[task]):
                        break
                    heap[hole] = up
                    hole = (hole - 1) // 2
                heap[hole] = task
        source = heap[0]
        out[n_out] = source
        n_out += 1
        n_heap -= 1
        task, hole = heap[n_heap], 0
        while 2 * hole + 1 < n_heap:
            child = 2 * hole + 1
            if child + 1 < n_heap:
                x, y = heap[child], heap[child + 1]
                if priority[y] > priority[x] or (priority[y] == priority[x] and place[y] < place[x]):
                    child += 1
            down = heap[child]
            if priority[task] > priority[down] or (priority[task] == priority[down] and place[task] < place[down]):
                break
            heap[hole] = down
            hole = child
        heap[hole] = task
    return out


@kernel
def heads_and_tails(a: Arrays, cost_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[n, m] s before a task can start on a device, and s after it ends there, at least; cost_s [n, m] infinite where it may not run.

    head[v, q] = max over in-edges of min over p of (head + cost of u on p + transfer from p to q); tails the same, backwards.
    """
    n, m = cost_s.shape
    head_s, tail_s = np.zeros((n, m)), np.zeros((n, m))
    for i in range(n):
        v = a.order[i]
        for e in range(a.pred_first[v], a.pred_first[v + 1]):
            u = a.pred[e]
            for q in range(m):
                least_s = np.inf
                for p in range(m):
                    least_s = min(least_s, head_s[u, p] + cost_s[u, p] + a.transfer_s[e, p, q])
                head_s[v, q] = max(head_s[v, q], least_s)
    for i in range(n - 1, -1, -1):
        v = a.order[i]
        for e in range(a.pred_first[v], a.pred_first[v + 1]):
            u = a.pred[e]
            for p in range(m):
                least_s = np.inf
                for q in range(m):
                    least_s = min(least_s, a.transfer_s[e, p, q] + cost_s[v, q] + tail_s[v, q])
                tail_s[u, p] = max(tail_s[u, p], least_s)
    return head_s, tail_s

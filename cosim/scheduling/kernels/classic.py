"""List schedulers of the literature. All ties: earlier in topological order; on devices: lowest index.

Each takes the arrays of an instance and returns assignment [n], start_s [n], end_s [n].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.scheduling.kernels.ranks import downward_rank, optimistic_cost, ready_order, upward_rank
from cosim.scheduling.kernels.timeline import earliest_start, occupy, release
from hw_models.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cosim.scheduling.arrays import Arrays

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Times = tuple[Ints, Floats, Floats]


@kernel
def arrivals(a: Arrays, task: int, assignment: Ints, end_s: Floats, arrival_s: Floats) -> None:
    """Fill [m] with when the last input of a task arrives on each device, of the predecessors that are placed (assignment >= 0)."""
    arrival_s[:] = 0.0
    for e in range(a.pred_first[task], a.pred_first[task + 1]):
        u = a.pred[e]
        p = assignment[u]
        if p >= 0:
            for q in range(arrival_s.size):
                arrival_s[q] = max(arrival_s[q], end_s[u] + a.transfer_s[e, p, q])


@kernel
def place_in_order(a: Arrays, order: Ints, pinned: Ints, rest_s: Floats, gaps: bool) -> Times:
    """Place tasks in an order, each where its end + rest_s [n, m] is least, or on device pinned [n] where that is 0 or more.

    With gaps a task may go between two that are placed; else it comes after all that its device has.
    """
    n, m = a.cost_s.shape
    assignment, start_s, end_s, arrival_s, free_s = np.full(n, -1), np.zeros(n), np.zeros(n), np.empty(m), np.zeros(m)
    begins_s, stops_s, n_busy = np.empty((m, n)), np.empty((m, n)), np.zeros(m, np.int64)
    for task in order:
        arrivals(a, task, assignment, end_s, arrival_s)
        least_s, begin_s, device = np.inf, 0.0, -1
        for q in range(m):
            cost_s = a.cost_s[task, q]
            if cost_s < np.inf and (pinned[task] < 0 or pinned[task] == q):
                from_s = max(arrival_s[q], free_s[q])
                if gaps:
                    from_s = earliest_start(begins_s, stops_s, n_busy, q, arrival_s[q], cost_s)
                if from_s + cost_s + rest_s[task, q] < least_s or device < 0:
                    least_s, begin_s, device = from_s + cost_s + rest_s[task, q], from_s, q
        assignment[task], start_s[task], end_s[task] = device, begin_s, begin_s + a.cost_s[task, device]
        free_s[device] = end_s[task]
        if gaps:
            occupy(begins_s, stops_s, n_busy, device, begin_s, end_s[task])
    return assignment, start_s, end_s


@kernel
def heft(a: Arrays) -> Times:
    """Tasks by descending upward rank, each where it ends first.

    Source: Topcuoglu, Hariri, Wu, IEEE TPDS 13(3), 2002.
    """
    return place_in_order(a, ready_order(a, upward_rank(a)), np.full(a.order.size, -1), np.zeros(a.cost_s.shape), True)


@kernel
def fastest(a: Arrays) -> Times:
    """Minimum execution time: tasks by descending upward rank, each on its fastest device.

    Source: Braun et al., J. Parallel Distrib. Comput. 61(6), 2001, "MET".
    """
    n, m = a.cost_s.shape
    pinned = np.zeros(n, np.int64)
    for task in range(n):
        for q in range(1, m):
            if a.cost_s[task, q] < a.cost_s[task, pinned[task]]:
                pinned[task] = q
    return place_in_order(a, ready_order(a, upward_rank(a)), pinned, np.zeros(a.cost_s.shape), True)


@kernel
def peft(a: Arrays) -> Times:
    """Ready queue by the mean of the optimistic cost table over all devices, each task where end + table is least.

    Source: Arabnejad, Barbosa, IEEE TPDS 25(3), 2014.
    """
    n, m = a.cost_s.shape
    rest_s, priority = optimistic_cost(a), np.zeros(n)
    for task in range(n):
        for q in range(m):
            priority[task] += rest_s[task, q]
        priority[task] /= m
    return place_in_order(a, ready_order(a, priority), np.full(n, -1), rest_s, True)


@kernel
def cpop(a: Arrays) -> Times:
    """Ready queue by upward + downward rank; the critical path on the device of least total cost, if one supports all of it.

    The path starts at the best source and goes along priorities that equal its own (relative 1e-6).
    Source: Topcuoglu, Hariri, Wu, IEEE TPDS 13(3), 2002.
    """
    n, m = a.cost_s.shape
    priority = upward_rank(a) + downward_rank(a)
    pinned, place, total_s = np.full(n, -1), np.empty(n, np.int64), np.zeros(m)
    task = -1
    for i in range(n):
        place[a.order[i]] = i
        if a.pred_first[a.order[i]] == a.pred_first[a.order[i] + 1] and (task < 0 or priority[a.order[i]] > priority[task]):
            task = a.order[i]
    longest_s = priority[task] if task >= 0 else 0.0
    while task >= 0:
        pinned[task] = 0
        for q in range(m):
            total_s[q] += a.cost_s[task, q]
        along = -1
        for j in range(a.succ_first[task], a.succ_first[task + 1]):
            v = a.succ[j]
            if abs(priority[v] - longest_s) <= 1e-6 * longest_s and (along < 0 or place[v] < place[along]):
                along = v
        task = along
    device = 0
    for q in range(1, m):
        if total_s[q] < total_s[device]:
            device = q
    for task in range(n):
        if pinned[task] == 0:
            pinned[task] = device if total_s[device] < np.inf else -1
    return place_in_order(a, ready_order(a, priority), pinned, np.zeros(a.cost_s.shape), True)


@kernel
def children_in_order(a: Arrays, order: Ints) -> tuple[Ints, Ints]:
    """Successors of each task, once each and in an order: from succ_first[task] on in the first array, as many as the second says."""
    children, n_children = np.empty(a.succ.size, np.int64), np.zeros(a.order.size, np.int64)
    for v in order:
        for e in range(a.pred_first[v], a.pred_first[v + 1]):
            u = a.pred[e]
            last = a.succ_first[u] + n_children[u]
            if n_children[u] == 0 or children[last - 1] != v:
                children[last] = v
                n_children[u] += 1
    return children, n_children


@kernel
def lookahead(a: Arrays) -> Times:
    """HEFT's order; each device is tried with the successors placed after the task, each where it ends first, in the same order.

    The device with the least (last end of them all, own end) is taken; inputs of a successor that are not placed yet are ignored.
    Source: Bittencourt, Sakellariou, Madeira, Euromicro PDP 2010.
    """
    n, m = a.cost_s.shape
    order = ready_order(a, upward_rank(a))
    children, n_children = children_in_order(a, order)
    assignment, start_s, end_s = np.full(n, -1), np.zeros(n), np.zeros(n)
    begins_s, stops_s, n_busy = np.empty((m, n)), np.empty((m, n)), np.zeros(m, np.int64)
    own_s, arrival_s, undo = np.empty(m), np.empty(m), np.empty(n, np.int64)
    for task in order:
        arrivals(a, task, assignment, end_s, own_s)
        worst_s, least_s, begin_s, device = np.inf, np.inf, 0.0, -1
        first = a.succ_first[task]
        for p in range(m):
            if a.cost_s[task, p] == np.inf:
                continue
            from_s = earliest_start(begins_s, stops_s, n_busy, p, own_s[p], a.cost_s[task, p])
            assignment[task], end_s[task] = p, from_s + a.cost_s[task, p]
            mine = occupy(begins_s, stops_s, n_busy, p, from_s, end_s[task])
            last_s = end_s[task]
            for j in range(n_children[task]):
                v, soonest_s, best = children[first + j], np.inf, -1
                arrivals(a, v, assignment, end_s, arrival_s)
                for q in range(m):
                    cost_s = a.cost_s[v, q]
                    if cost_s < np.inf:
                        next_s = earliest_start(begins_s, stops_s, n_busy, q, arrival_s[q], cost_s)
                        if next_s + cost_s < soonest_s or best < 0:
                            soonest_s, start_s[v], best = next_s + cost_s, next_s, q
                assignment[v], end_s[v] = best, soonest_s
                undo[j] = occupy(begins_s, stops_s, n_busy, best, start_s[v], soonest_s)
                last_s = max(last_s, soonest_s)
            for j in range(n_children[task] - 1, -1, -1):
                v = children[first + j]
                release(begins_s, stops_s, n_busy, assignment[v], undo[j])
                assignment[v] = -1
            release(begins_s, stops_s, n_busy, p, mine)
            if last_s < worst_s or (last_s == worst_s and end_s[task] < least_s) or device < 0:
                worst_s, least_s, begin_s, device = last_s, end_s[task], from_s, p
        assignment[task], start_s[task], end_s[task] = device, begin_s, least_s
        occupy(begins_s, stops_s, n_busy, device, begin_s, least_s)
    return assignment, start_s, end_s


@kernel
def batch(a: Arrays, rule: int) -> Times:
    """Each ready task where it ends first after all that its device has; which of them goes next is up to the rule.

    0 (min-min): of least end; 1 (max-min): of largest end; 2 (sufferage): that would end latest, compared, on its second-best device.
    Source: Ibarra, Kim, J. ACM 24(2), 1977 (min-min, max-min); Maheswaran et al., HCW 1999 (sufferage).
    """
    n, m = a.cost_s.shape
    assignment, start_s, end_s = np.full(n, -1), np.zeros(n), np.zeros(n)
    free_s, arrival_s, place = np.zeros(m), np.empty((n, m)), np.empty(n, np.int64)
    missing, ready, n_ready = np.empty(n, np.int64), np.empty(n, np.int64), 0
    for i in range(n):
        task = a.order[i]
        place[task] = i
        missing[task] = a.pred_first[task + 1] - a.pred_first[task]
        if missing[task] == 0:
            arrival_s[task] = 0.0
            ready[n_ready] = task
            n_ready += 1
    while n_ready > 0:
        most_s, chosen, device, begin_s = -np.inf, -1, -1, 0.0
        for i in range(n_ready):
            task, least_s, second_s, best = ready[i], np.inf, np.inf, -1
            for q in range(m):
                finish_s = max(free_s[q], arrival_s[task, q]) + a.cost_s[task, q]
                if finish_s < least_s:
                    least_s, second_s, best = finish_s, least_s, q
                elif finish_s < second_s:
                    second_s = finish_s
            value_s = -least_s if rule == 0 else least_s if rule == 1 else second_s - least_s
            if value_s > most_s or chosen < 0 or (value_s == most_s and place[task] < place[ready[chosen]]):
                most_s, chosen, device, begin_s = value_s, i, best, max(free_s[best], arrival_s[task, best])
        task = ready[chosen]
        n_ready -= 1
        ready[chosen] = ready[n_ready]
        assignment[task], start_s[task], end_s[task] = device, begin_s, begin_s + a.cost_s[task, device]
        free_s[device] = end_s[task]
        for j in range(a.succ_first[task], a.succ_first[task + 1]):
            v = a.succ[j]
            missing[v] -= 1
            if missing[v] == 0:
                arrivals(a, v, assignment, end_s, arrival_s[v])
                ready[n_ready] = v
                n_ready += 1
    return assignment, start_s, end_s

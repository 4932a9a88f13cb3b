"""The rules that every engine follows: tie keys, states, water-filling and completion.

Plain loops over indexable sequences and scalars: an engine in Python hands in lists, a compiled one
arrays, and both get the same bits. No function calls another, so that each compiles on its own.

Time passes from instant to instant. At each one:
  A. completions: every delay that expires and, at a wake, every flow that is done. They flip state
     only, so their order does not matter;
  B. dispatch: the bus by (request time, edge), then idle devices in index order, each its ready task
     of the lowest `dispatch_rank`; A and B repeat while zero-length work completes at this instant;
  C. rebalance, once, if the set of flows changed: `advance`, insert, `water_fill`, and the next wake
     after `next_finish_s`. Flows advance here or at a wake, never at other events.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence

    from numpy.typing import NDArray

# States of a task.
WAITING = 0
READY = 1
RUNNING = 2
DONE = 3

# Order of the phases at one instant; smaller first.
PHASE_COMPLETE = 1
PHASE_DISPATCH = 2
PHASE_REBALANCE = 3

# A flow is done when this share of its bytes is left: far above the rounding of a float (1e-16) and
# far below what any model of a chip is true to.
DONE_SHARE = 1e-9


def dispatch_rank(priority: NDArray[np.float64]) -> NDArray[np.int64]:
    """Place of each task in the order (largest priority, lowest id): what a device takes first has the lowest rank."""
    order = np.argsort(-priority, kind="mergesort")
    rank = np.empty(order.size, np.int64)
    for place in range(order.size):
        rank[order[place]] = place
    return rank


def flow_order(cap_bytes_per_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """Flow ids in the order (smallest cap, lowest id), in which water-filling serves them."""
    return np.argsort(cap_bytes_per_s, kind="mergesort")


def bus_key(request_s: float, edge: int) -> tuple[float, int]:
    """What the bus grants first has the smallest key: earliest request, then lowest edge index."""
    return request_s, edge


def receive(task: int, n_missing: MutableSequence[int], state: MutableSequence[int]) -> bool:
    """One input of `task` has arrived; says whether it was the last one, which makes the task ready."""
    n_missing[task] -= 1
    if n_missing[task] > 0:
        return False
    state[task] = READY
    return True


def water_fill(
    order: Sequence[int],
    n_flows: int,
    cap_bytes_per_s: Sequence[float],
    first: Sequence[int],
    resource: Sequence[int],
    capacity_bytes_per_s: Sequence[float],
    left: MutableSequence[float],
    n_left: MutableSequence[int],
    rate: MutableSequence[float],
) -> None:
    """Max-min fair rates of the flows `order[:n_flows]`, which stand in (cap, id) order.

    Until every flow is fixed: r = the resource of least share left/n_left (lowest index on ties). If the
    first unfixed flow has cap <= share, it gets its cap; else all unfixed flows that load r get share.
    What a flow got is taken from every resource it loads.

    Flow f loads `resource[first[f]:first[f + 1]]`. Writes `rate` [bytes/s, by flow id]; `left` and
    `n_left` (one entry a resource) are scratch. A flow with no resource gets its cap.
    Source: progressive filling, Bertsekas and Gallager, Data Networks, 2nd ed., 6.5.2.
    """
    n_resources = len(capacity_bytes_per_s)
    for r in range(n_resources):
        left[r] = capacity_bytes_per_s[r]
        n_left[r] = 0
    for place in range(n_flows):
        rate[order[place]] = -1.0  # not fixed yet
        for k in range(first[order[place]], first[order[place] + 1]):
            n_left[resource[k]] += 1
    head = 0
    while head < n_flows:
        given = cap_bytes_per_s[order[head]]
        bottleneck = -1
        for r in range(n_resources):
            if n_left[r] > 0 and left[r] / n_left[r] < given:
                bottleneck = r
                given = left[r] / n_left[r]
        last = head + 1 if bottleneck < 0 else n_flows
        for place in range(head, last):
            flow = order[place]
            loads = bottleneck < 0
            for k in range(first[flow], first[flow + 1]):
                loads = loads or resource[k] == bottleneck
            if loads and rate[flow] < 0.0:
                rate[flow] = given
                for k in range(first[flow], first[flow + 1]):
                    left[resource[k]] -= given
                    n_left[resource[k]] -= 1
        while head < n_flows and rate[order[head]] >= 0.0:
            head += 1


def advance(order: Sequence[int], n_flows: int, remaining: MutableSequence[float], rate: Sequence[float], elapsed_s: float) -> None:
    """Let the flows `order[:n_flows]` run: remaining -= rate * elapsed [bytes]."""
    for place in range(n_flows):
        flow = order[place]
        remaining[flow] -= rate[flow] * elapsed_s


def next_finish_s(order: Sequence[int], n_flows: int, remaining: Sequence[float], rate: Sequence[float]) -> float:
    """Seconds until the first of the flows `order[:n_flows]` is done: max(0, min remaining/rate); infinite without flows."""
    least = math.inf
    for place in range(n_flows):
        flow = order[place]
        wait = remaining[flow] / rate[flow]
        least = wait if wait < least else least
    return max(least, 0.0)


def take_done(
    order: MutableSequence[int],
    n_flows: int,
    remaining: Sequence[float],
    size: Sequence[float],
    rate: Sequence[float],
    now_s: float,
    done: MutableSequence[int],
) -> int:
    """Move the flows that are done from `order[:n_flows]` to `done`; returns how many are left, in their order.

    A flow is done when remaining <= 1e-9 size, or when now + remaining/rate rounds to now: without the
    second test the wake of a very short flow could repeat for ever at one instant.
    """
    n_kept = 0
    for place in range(n_flows):
        flow = order[place]
        if remaining[flow] <= DONE_SHARE * size[flow] or now_s + remaining[flow] / rate[flow] <= now_s:
            done[place - n_kept] = flow
        else:
            order[n_kept] = flow
            n_kept += 1
    return n_kept

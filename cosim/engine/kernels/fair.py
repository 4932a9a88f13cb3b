"""Flows that share resources, compiled: `cosim.engine.semantics` for any resources, and a short cut for one, bit for bit the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cosim.engine import semantics
from hw_models.kernels._jit import kernel, part

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

advance: Callable[..., None] = part(semantics.advance)
water_fill: Callable[..., None] = kernel(semantics.water_fill)
next_finish_s: Callable[..., float] = kernel(semantics.next_finish_s)

# A cap that is below an equal share by more than this certainly is, so the share need not be divided out.
_CLEARLY = 1.0 + 1e-12

# Half a unit in the last place of a float is at most 1.2e-16 of it; what is beyond this surely moves a sum.
_ROUNDS_AWAY = 4e-16
_TINY_S = 1e-300


@part
def finish(active: Ints, n_active: int, remaining: Floats, size: Floats, rate: Floats, now_s: float, elapsed_s: float, done: Ints) -> int:
    """Do `advance` and `take_done` in one pass: move flows that are done to `done`; returns how many of `active` are left."""
    n_kept = 0
    instant_s = now_s * _ROUNDS_AWAY + _TINY_S
    for place in range(n_active):
        flow = active[place]
        left = remaining[flow]
        if elapsed_s > 0.0:
            left -= rate[flow] * elapsed_s
            remaining[flow] = left
        if left <= semantics.DONE_SHARE * size[flow] or (left <= instant_s * rate[flow] and now_s + left / rate[flow] <= now_s):
            done[place - n_kept] = flow
        else:
            active[n_kept] = flow
            n_kept += 1
    return n_kept


@part
def insert(active: Ints, n_active: int, cap: Floats, arrived: Ints, n_arrived: int) -> int:
    """Insert flows in (cap, id) order; returns how many are active now."""
    for k in range(n_arrived):
        flow = arrived[k]
        place = n_active
        while place > 0 and (cap[active[place - 1]] > cap[flow] or (cap[active[place - 1]] == cap[flow] and active[place - 1] > flow)):
            active[place] = active[place - 1]
            place -= 1
        active[place] = flow
        n_active += 1
    return n_active


@part
def share_one(active: Ints, n_active: int, cap: Floats, capacity: float, rate: Floats, remaining: Floats) -> float:
    """Fill one resource that all flows load: caps while they are below an equal share, then that share for all the rest.

    Returns the seconds until the first flow is done. Division by one positive share keeps the order, so min(remaining)/share is
    min(remaining/share), bit for bit.
    """
    left, place, least_s = capacity, 0, np.inf
    while place < n_active:
        flow = active[place]
        n_left = n_active - place
        if not cap[flow] * n_left * _CLEARLY < left and left / n_left < cap[flow]:
            break
        rate[flow] = cap[flow]
        left -= cap[flow]
        wait_s = remaining[flow] / cap[flow]
        if wait_s < least_s:
            least_s = wait_s
        place += 1
    if place < n_active:
        share = left / (n_active - place)
        fewest = np.inf
        for later in range(place, n_active):
            flow = active[later]
            rate[flow] = share
            if remaining[flow] < fewest:
                fewest = remaining[flow]
        least_s = min(least_s, fewest / share)
    return max(least_s, 0.0)

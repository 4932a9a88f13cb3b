"""Busy intervals of m devices, in order: begins_s [m, n], stops_s [m, n], of which n_busy [m] are in use. A task may go into a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hw_models.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


@kernel
def first_after(stops_s: Floats, n_busy: Ints, device: int, time_s: float) -> int:
    """Index of the first interval of a device that ends after a time; those before leave no gap that matters."""
    low, high = 0, n_busy[device]
    while low < high:
        middle = (low + high) // 2
        if stops_s[device, middle] <= time_s:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def earliest_start(begins_s: Floats, stops_s: Floats, n_busy: Ints, device: int, ready_s: float, cost_s: float) -> float:
    """Start in the first gap that fits `cost_s` after `ready_s`, else after the last task."""
    i = first_after(stops_s, n_busy, device, ready_s)
    start_s = ready_s
    while i < n_busy[device] and begins_s[device, i] < start_s + cost_s:
        start_s = max(ready_s, stops_s[device, i])
        i += 1
    return start_s


@kernel
def occupy(begins_s: Floats, stops_s: Floats, n_busy: Ints, device: int, begin_s: float, stop_s: float) -> int:
    """Add an interval; return its index, with which `release` takes back what was added last."""
    place = first_after(stops_s, n_busy, device, begin_s)
    for i in range(n_busy[device], place, -1):
        begins_s[device, i], stops_s[device, i] = begins_s[device, i - 1], stops_s[device, i - 1]
    begins_s[device, place], stops_s[device, place] = begin_s, stop_s
    n_busy[device] += 1
    return place


@kernel
def release(begins_s: Floats, stops_s: Floats, n_busy: Ints, device: int, place: int) -> None:
    """Take an interval out."""
    n_busy[device] -= 1
    for i in range(place, n_busy[device]):
        begins_s[device, i], stops_s[device, i] = begins_s[device, i + 1], stops_s[device, i + 1]

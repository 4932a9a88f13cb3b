"""Closed-form DRAM bounds: the share of peak bandwidth that a pattern can reach, and which timing keeps it there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels._jit import kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Columns of `timing`, in clocks unless it says n_.
BURST, CCD_S, CCD_L, CCD_L_WR, RRD, FAW, WINDOW_32, RC, READ_LATENCY, RTRS, WTR, RFC, REFI, RFC_BANK = range(14)
N_BANKS, N_BUSES, N_RANKS, N_ROW_REQUESTS, N_WINDOW, N_DRAIN = range(14, 20)
N_TIMINGS = 20

# Columns of `patterns`.
N_GROUPS, ACTS_PER_REQUEST, ACTS_PER_ROW, N_OPEN_BANKS, COLUMN_LOW, READ_FRACTION = range(6)

# Values of `limit`.
DATA_BUS, COLUMN_SPACING, BANK_GROUP, ACTIVATE_SPACING, FOUR_ACTIVATES, BANK_CYCLE, TURNAROUND = range(7)


@kernel
def dram_bounds(timing: Floats, patterns: Floats) -> tuple[Floats, Ints]:
    """Return utilization and limit, both [n_specs, n_patterns], of `timing` [n_specs, 20] and `patterns` [n_patterns, 6].

    With b the clocks of a burst, r the activates per request, W the requests that the scheduler sees:
    U = F * min(1, b/tCCD_S, k b/tCCD_L, b/(r tRRD) ranks, 4b/(r tFAW) ranks, 32b/(r t32AW) ranks,
    b N W/((N+W-1) r tRC) / buses, D b/(D b + idle)), F = 1 - tRFC/tREFI. N banks of random traffic are a closed
    queueing network (N = 1: b/(r tRC)). Column low in the map: one group, but W requests reach over the row's end.
    Idle of a read-write-read switch: (RL+b-WL+tRTRS) + (WL+b+tWTR) - 2b = RL+tRTRS+tWTR, once in D requests, the
    drain batch over the share of writes.
    """
    n_specs, n_patterns = timing.shape[0], patterns.shape[0]
    utilization = np.empty((n_specs, n_patterns))
    limit = np.empty((n_specs, n_patterns), dtype=np.int64)
    for s in range(n_specs):
        t = timing[s]
        b, window, row = t[BURST], t[N_WINDOW], t[N_ROW_REQUESTS]
        refresh = 1.0 - t[RFC] / t[REFI]
        for p in range(n_patterns):
            reads = patterns[p, READ_FRACTION]
            acts = patterns[p, ACTS_PER_REQUEST] + patterns[p, ACTS_PER_ROW] / row
            best, which = 1.0, DATA_BUS
            if t[CCD_S] > b and b / t[CCD_S] < best:
                best, which = b / t[CCD_S], COLUMN_SPACING
            groups = patterns[p, N_GROUPS]
            if patterns[p, COLUMN_LOW] > 0:
                groups = row / max(row - window, row / 2)
            spacing = reads * t[CCD_L] + (1.0 - reads) * t[CCD_L_WR]
            if groups * b / spacing < best:
                best, which = groups * b / spacing, BANK_GROUP
            if acts > 0:
                rate = t[N_RANKS] * b / acts
                if rate / t[RRD] < best:
                    best, which = rate / t[RRD], ACTIVATE_SPACING
                four = 4.0 * rate / t[FAW]
                if t[WINDOW_32] > 0:
                    four = min(four, 32.0 * rate / t[WINDOW_32])
                if four < best:
                    best, which = four, FOUR_ACTIVATES
                banks = min(patterns[p, N_OPEN_BANKS], t[N_BANKS])
                busy = banks * window / (banks + window - 1.0) / (acts * t[RC]) * b / t[N_BUSES]
                busy *= 1.0 - t[RFC_BANK] / t[REFI]
                if busy < best:
                    best, which = busy, BANK_CYCLE
            if 0 < reads < 1:
                idle = t[READ_LATENCY] + t[RTRS] + t[WTR]
                between = t[N_DRAIN] / t[N_BUSES] / (1.0 - reads) * b
                if between / (between + idle) < best:
                    best, which = between / (between + idle), TURNAROUND
            utilization[s, p] = best * refresh
            limit[s, p] = which
    return utilization, limit

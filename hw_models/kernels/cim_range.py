"""The range of a converter that fits its sums best, among candidates."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels._jit import kernel

Floats = NDArray[np.float64]


@kernel
def best_range(values: Floats, shares: Floats, zeros: Floats, steps: Floats, top: float) -> NDArray[np.int64]:
    """Candidate of least mean square error for each slice, the first on ties: codes floor((v - zero) / step + 1/2) held in [0, top].

    values, shares [slices, n] sums and how often they occur; zeros, steps [candidates, slices]. A candidate that is worse than the best
    so far is given up half-way.
    """
    best = np.zeros(values.shape[0], np.int64)
    for s in range(values.shape[0]):
        least = np.inf
        for c in range(zeros.shape[0]):
            zero, step, error = zeros[c, s], steps[c, s], 0.0
            for i in range(values.shape[1]):
                if shares[s, i] > 0.0:
                    code = math.floor(min(max((values[s, i] - zero) / step + 0.5, 0.0), top))
                    error += shares[s, i] * (zero + step * code - values[s, i]) ** 2
                    if error >= least:
                        break
            if error < least:
                least, best[s] = error, c
    return best

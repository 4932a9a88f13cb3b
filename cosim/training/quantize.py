"""Whole numbers instead of weights and activations: symmetric steps, and how to choose them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workloads.errors import SimulationError

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_BITS = 16
QUANTILE = 0.9995  # of input magnitudes is held by a range placed after training. Source: IBM aihwkit 1.1.0, post-training input range
N_GRID = 41  # steps tried for a row, as in the baselines: 0.2 to 1.0 of max|w| / n
GRID = (0.2, 1.0)


def weight_top(bits: int) -> int:
    """Largest whole weight of symmetric `bits`: n = 2^(b-1) - 1, so that 2 bits are ternary. SimulationError beyond 2 to 16 bits."""
    if not 2 <= bits <= MAX_BITS:
        raise SimulationError(f"weight_bits {bits}: symmetric weights take 2 to {MAX_BITS} bits")
    return int(2 ** (bits - 1) - 1)


def input_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """Least and largest whole input: 0 ... 2^b - 1, or +-(2^(b-1) - 1) where inputs have a sign. SimulationError beyond 1-16 bits."""
    if not (2 if signed else 1) <= bits <= MAX_BITS:
        raise SimulationError(f"activation_bits {bits}: choose {2 if signed else 1} to {MAX_BITS}")
    top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    return (-top, top) if signed else (0, top)


def mse_step(rows: Array, bits: int) -> Floats:
    """Step of each row [n, k] of least squared rounding error, of 41 between 0.2 and 1.0 of max|w| / n; [n], 1 where a row is all 0."""
    top = weight_top(bits)
    largest = np.abs(rows).max(axis=1).astype(np.float64)
    best, least = np.where(largest > 0, largest / top, 1.0), np.full(rows.shape[0], np.inf)
    for share in np.linspace(*GRID, N_GRID):
        step = np.where(largest > 0, largest * (share / top), 1.0)
        error = ((rows - step[:, None] * round_weights(rows, step, bits)) ** 2).sum(axis=1)
        better = error < least
        best, least = np.where(better, step, best), np.where(better, error, least)
    return best


def first_input_step(x: Array, bits: int) -> tuple[float, bool]:
    """First step of inputs that a layer has seen, and whether they have a sign: `QUANTILE` of what is not 0 lies inside the range.

    Zeros do not count, as padding and ReLU make any number of them. One bit has no sign: what is below 0 becomes 0.
    """
    signed = bool((x < 0).any()) and bits > 1
    magnitudes = np.abs(x[x != 0])
    reach = float(np.quantile(magnitudes, QUANTILE)) if magnitudes.size else 1.0
    return reach / input_range(bits, signed=signed)[1], signed


def round_weights(rows: Array, step: Floats, bits: int) -> Ints:
    """Whole weights [n, k]: nearest of -n ... n, halves to even; `step` [n]."""
    top = weight_top(bits)
    return np.clip(np.rint(rows / step[:, None]), -top, top).astype(np.int64)


def round_inputs(x: Array, step: float, bits: int, *, signed: bool) -> Ints:
    """Whole inputs of any shape: nearest level, halves to even, held in the range of `bits`."""
    low, high = input_range(bits, signed=signed)
    return np.clip(np.rint(x / step), low, high).astype(np.int64)

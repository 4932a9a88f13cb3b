"""What the codes of a converter stand for: value = zero + step * code, in units of one input step times one cell level.

Full range: unsigned sums 0 ... S by S / (2^n - 1); signed sums by S / (2^(n-1) - 1), so that 0 is a code. Granular: step 1
from 0, signed from -2^(n-1). A single bit tells signs: -S or S, -1 or 1. S = rows active (2^b_in - 1) (2^b_cell - 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw_models.cim.spec import CimMacroSpec

Floats = NDArray[np.float64]

N_VALUES = 2048  # distinct sums, or bins of them, that a calibrated range is judged on
N_LOW, N_HIGH = 17, 41  # candidates of a calibrated range: where it begins and where it ends


@dataclass(frozen=True, slots=True)
class AdcRange:
    """Codes 0 ... 2^n_bits - 1 of each slice stand for zero + step * code; zero and step [slices]."""

    n_bits: int
    zero: Floats
    step: Floats

    @property
    def top(self) -> float:
        """Largest code."""
        return float(2**self.n_bits - 1)

    @property
    def is_whole(self) -> bool:
        """Whether every code stands for an integer."""
        return bool(np.all(self.zero == np.rint(self.zero)) and np.all(self.step == np.rint(self.step)))

    def read(self, sums: Floats) -> Floats:
        """What sums [..., slices, n] are read as, by a converter without errors: zero + step min(max(floor(t), 0), top)."""
        return read(sums, self.zero[:, None], self.step[:, None], self.top)


def read(sums: Floats, zero: Floats | float, step: Floats | float, top: float) -> Floats:
    """Nearest code's value, ties upward: t = sum / step - zero / step + 0.5, held in 0 ... top, rounded down."""
    scale = 1 / np.asarray(step, dtype=np.float64)
    code = np.floor(np.clip(sums * scale + (0.5 - zero * scale), 0.0, top))
    return np.asarray(zero + step * code, dtype=np.float64)


def largest_sum(spec: CimMacroSpec) -> int:
    """S: sum of a column whose rows are all driven, and whose cells are all filled, to the full."""
    inputs = max(1, spec.n_rows_active // spec.row_devices)
    return int(inputs * (2**spec.input_bits_per_pass - 1) * (2**spec.bits_per_cell - 1))


def fixed_range(spec: CimMacroSpec, n_bits: int, kind: str, n_slices: int) -> AdcRange:
    """The `full` or `granular` range, the same for all slices."""
    most = float(largest_sum(spec)) if kind == "full" else 1.0
    if not spec.has_signed_sums:
        zero, step = 0.0, most / (2**n_bits - 1) if kind == "full" else 1.0
    elif n_bits == 1:
        zero, step = -most, 2 * most
    else:
        step = most / (2 ** (n_bits - 1) - 1) if kind == "full" else 1.0
        zero = -step * 2 ** (n_bits - 1)
    return AdcRange(n_bits, np.full(n_slices, zero), np.full(n_slices, step))


def fit_range(spec: CimMacroSpec, n_bits: int, sums: list[Floats]) -> AdcRange:
    """The range of each slice that reads its sample sums with the least squared error.

    Tried are begins between least sum and median, ends up to the largest, and the full and granular ranges, so that none of these is
    better on the samples.
    """
    fixed = [fixed_range(spec, n_bits, kind, 1) for kind in ("granular", "full")]
    best = [_fit(values, 2.0**n_bits - 1, [(float(r.zero[0]), float(r.step[0])) for r in fixed]) for values in sums]
    return AdcRange(n_bits, np.array([zero for zero, _ in best]), np.array([step for _, step in best]))


def _fit(sums: Floats, top: float, candidates: list[tuple[float, float]]) -> tuple[float, float]:
    """Zero and step of least squared error."""
    values, counts = np.unique(sums, return_counts=True)
    if values.size > N_VALUES:
        counts, edges = np.histogram(sums, bins=N_VALUES)
        values = (edges[:-1] + edges[1:]) / 2
    least, most = float(values[0]), float(values[-1])
    span = most - least
    if span > 0:
        shares = np.geomspace(1 / 64, 1.0, N_HIGH)
        median = float(values[np.searchsorted(np.cumsum(counts), counts.sum() / 2)])
        for low in np.linspace(least, median, N_LOW):
            candidates = candidates + [(float(low), float((most - low) * share / top)) for share in shares if most > low]
        candidates = candidates + [(np.floor(least), step) for step in (1.0, 2.0, 4.0, 8.0)]
    errors = [float(counts @ (read(values, zero, step, top) - values) ** 2) for zero, step in candidates]
    return candidates[int(np.argmin(errors))]

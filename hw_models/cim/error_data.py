"""What a closed form of output errors assumes of data: histograms of inputs and weights, and moments of the digits cut from them.

Default families, assumed: inputs are rectified Gaussians of sigma = full scale / 3 (the outputs of a ReLU, quantized to their largest),
with so many zeros that the mean drive of a row is `CimMacroSpec.input_density`; weights are Gaussians of sigma = full scale / 3. With few
bits sigma is at least 0.75 steps, so that not all values round to 0. Values are independent of each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from hw_models.cim.spec import CimMacroSpec
from hw_models.cim.statistics import Histogram
from workloads.errors import SpecError

Floats = NDArray[np.float64]

SIGMAS = 3.0  # assumed: full scale over sigma, at which 0.3 % of a Gaussian is clipped
LEAST_SIGMA = 0.75  # assumed, in steps: makes half of all 2-bit weights differ from 0
MAX_BITS = 32  # of a weight or an activation, as in `functional_map`
EXACT_BITS = 10  # up to here a histogram holds every value, beyond it N_QUANTILES of them
N_QUANTILES = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """Moments of the digits of a number: `units` [n] what 1 of each counts, `powers` [4, n] means of powers 1 to 4, `product` [n, n] of
    pairs, `top` the largest.

    A signed number has the sign of the number in every digit, or is cut into digits of its positive and of its negative part, these of
    units below 0. `total`, `total_square` are moments of the number that digits make up, `device_shares` [n, top + 1] how often one of its
    `n_devices` devices holds each level.
    """

    units: Floats
    powers: Floats
    product: Floats
    top: int
    is_signed: bool
    n_devices: int
    total: float
    total_square: float
    device_shares: Floats

    @property
    def device_mean(self) -> Floats:
        """Mean level of one device, [n]."""
        return np.asarray(self.device_shares @ np.arange(self.top + 1), dtype=np.float64)

    @property
    def device_square(self) -> Floats:
        """Mean square level of one device, [n]."""
        return np.asarray(self.device_shares @ np.arange(self.top + 1) ** 2, dtype=np.float64)

    @property
    def mean(self) -> Floats:
        """Mean of each digit."""
        return np.asarray(self.powers[0], dtype=np.float64)

    @property
    def square(self) -> Floats:
        """Mean square of each digit."""
        return np.asarray(self.powers[1], dtype=np.float64)


@lru_cache(maxsize=64)
def normal_histogram(low: int, high: int) -> Histogram:
    """A Gaussian around 0, rounded and clipped to low ... high, of the assumed sigma."""
    sigma = max(high / SIGMAS, LEAST_SIGMA)
    if high < 2**EXACT_BITS:
        steps = np.arange(low, high + 1)
        edges = [0.0, *(NormalDist().cdf((step + 0.5) / sigma) for step in steps[:-1].tolist()), 1.0]
        return Histogram.from_counts(steps, np.diff(edges))
    middles = [NormalDist().inv_cdf((i + 0.5) / N_QUANTILES) for i in range(N_QUANTILES)]
    return Histogram.from_array(np.clip(np.rint(sigma * np.array(middles)), low, high).astype(np.int64))


def input_histogram(spec: CimMacroSpec, activation_bits: int) -> Histogram:
    """Unsigned inputs of the default family: rectified Gaussian, zeros so many that rows are driven to `input_density` on average.

    Where more is asked for than the values other than 0 can give, there are no zeros.
    """
    full = normal_histogram(0, 2**activation_bits - 1)
    is_driven = full.values > 0
    values, shares = full.values[is_driven], full.probabilities[is_driven]
    shares = shares / shares.sum()
    n_passes = -(-activation_bits // spec.input_bits_per_pass)
    drive = _cut(values, n_passes, spec.input_bits_per_pass) @ shares / (2**spec.input_bits_per_pass - 1)
    driven = min(1.0, spec.input_density / float(drive.mean()))
    return Histogram.from_counts([0, *values], [1 - driven, *(driven * shares)])


def weight_histogram(spec: CimMacroSpec, weight_bits: int) -> Histogram:
    """Weights of the default family, in the range that the encoding holds."""
    top = 2 ** (weight_bits - 1) - 1
    if top == 0:
        return Histogram.uniform(-1, 1 if spec.sign_bits else 0)
    return normal_histogram(-top, top)


def input_digits(spec: CimMacroSpec, inputs: Histogram, activation_bits: int) -> Digits:
    """Drives of a row in the passes of unsigned inputs. Raises SpecError on values that the bits do not hold."""
    _check("inputs", inputs, 0, 2**activation_bits - 1)
    n_passes = -(-activation_bits // spec.input_bits_per_pass)
    levels = _cut(inputs.values, n_passes, spec.input_bits_per_pass)
    return _moments(levels, inputs.probabilities, inputs.values, spec.input_bits_per_pass, False, 1)


def weight_digits(spec: CimMacroSpec, weights: Histogram, weight_bits: int) -> Digits:
    """Levels of the slices of a stored weight, as `functional_map.map_weights` cuts them. Raises SpecError as `input_digits`."""
    half = 2 ** (weight_bits - 1)
    if not spec.sign_bits:
        _check("weights", weights, -half, half - 1)
        stored = weights.values + half
        levels = _cut(stored, -(-weight_bits // spec.bits_per_cell), spec.bits_per_cell)
        return _moments(levels, weights.probabilities, stored, spec.bits_per_cell, False, 1)
    bits = max(1, weight_bits - 1)
    _check("weights", weights, 1 - 2**bits, 2**bits - 1)
    levels = _cut(np.abs(weights.values), -(-bits // spec.bits_per_cell), spec.bits_per_cell)
    if spec.slice_reads > 1:
        pairs = np.stack([levels * (weights.values > 0), levels * (weights.values < 0)], axis=1).reshape(-1, weights.values.size)
        digits = _moments(pairs, weights.probabilities, weights.values, spec.bits_per_cell, False, 1)
        return replace(digits, units=np.multiply.outer(digits.units[: len(levels)], [1.0, -1.0]).ravel())
    n_devices = spec.row_devices * spec.col_devices
    return _moments(levels * np.sign(weights.values), weights.probabilities, weights.values, spec.bits_per_cell, True, n_devices)


def _check(name: str, given: Histogram, low: int, high: int) -> None:
    if given.values[0] < low or given.values[-1] > high:
        raise SpecError(f"{name}: values {given.values[0]} ... {given.values[-1]} leave {low} ... {high}; give more bits, or clip them")


def _cut(values: NDArray[np.int64], n_digits: int, bits: int) -> Floats:
    """Digits [n_digits, n] of values, least significant first."""
    shifts = bits * np.arange(n_digits, dtype=np.int64)
    return np.asarray((values >> shifts[:, None]) & (2**bits - 1), dtype=np.float64)


def _moments(levels: Floats, shares: Floats, numbers: NDArray[np.int64], bits: int, is_signed: bool, n_devices: int) -> Digits:
    n, top = numbers.astype(np.float64), 2**bits - 1
    held = np.stack([np.bincount(np.abs(row).astype(np.int64), weights=shares, minlength=top + 1) for row in levels]) / n_devices
    held[:, 0] += 1 - 1 / n_devices  # all but one device of a weight hold 0
    return Digits(
        units=2.0 ** (bits * np.arange(len(levels), dtype=np.float64)),
        powers=np.stack([levels**i @ shares for i in range(1, 5)]),
        product=(levels * shares) @ levels.T,
        top=top,
        is_signed=is_signed,
        n_devices=n_devices,
        total=float(n @ shares),
        total_square=float(n**2 @ shares),
        device_shares=held,
    )

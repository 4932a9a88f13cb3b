"""How a converter reads normally distributed whole sums: its mean error, how that goes with the sum, and its mean square.

The expectations are finite sums over the probabilities that a normal number, rounded, takes each whole value between the least and
the largest sum; wide distributions are sampled at whole values of irregular distance. Noise before the converter spreads each
value over the codes around it. That gives clipping, dead zones and quantization alike: (step^2 - 1) / 12 of whole steps where the sum
spreads over many codes, the sum itself where it does not reach half a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import erfc, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from hw_models.cim.functional_adc import AdcRange, fixed_range
from hw_models.cim.spec import CimMacroSpec
from hw_models.kernels.cim_range import best_range

Floats = NDArray[np.float64]

N_NODES = 97  # whole values at which a sum is looked at; every one within 6 sigma of its mean up to a sigma of 8
REACH = 6.0  # sigma
N_CODES = 6  # on either side of a value, over which noise spreads it
GOLDEN = (sqrt(5) - 1) / 2
N_LOW, N_STEPS = 17, 20  # candidates of a calibrated range: where it begins and how wide it is
N_FIT_NODES = 49
RARE = 3e-5  # share of sums that a calibration with some ten thousand of them does not see


@dataclass(frozen=True, slots=True)
class Sums:
    """Column sums: mean, standard deviation, skewness, excess kurtosis, least and largest value; arrays of one shape [..., slices]."""

    mean: Floats
    std: Floats
    skewness: Floats
    kurtosis: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Response:
    """Errors of readings: mean, regression on the sum, mean square without noise and of it the part clipped.

    `noisy_rest` is the variance with noise that neither mean nor regression explains, `gain` the regression of the reading on the noise.
    """

    mean: Floats
    slope: Floats
    square: Floats
    clipped: Floats
    noisy_rest: Floats
    gain: Floats


def normal_cdf(z: Floats) -> Floats:
    """Probability that a standard normal number is below z, from a table of spacing 1/256."""
    at, values = _cdf_table()
    return np.interp(z, at, values)


@lru_cache(maxsize=1)
def _cdf_table() -> tuple[Floats, Floats]:
    at = np.arange(-8 * 256, 8 * 256 + 1) / 256
    return at, np.array([erfc(-z / sqrt(2)) / 2 for z in at.tolist()])


def sum_cdf(sums: Sums, z: Floats) -> Floats:
    """Probability that a sum is less than z [..., n] standard deviations above its mean, by Edgeworth's series to the fourth moment."""
    g, k = sums.skewness[..., None], sums.kurtosis[..., None]
    y = z * z
    series = g / 6 * (y - 1) + z * (k / 24 * (y - 3) + g * g / 72 * ((y - 10) * y + 15))
    return np.asarray(normal_cdf(z) - np.exp(-y / 2) / sqrt(2 * pi) * series, dtype=np.float64)


def nodes(sums: Sums, n: int = N_NODES) -> tuple[Floats, Floats]:
    """Whole values [..., n] and their probabilities."""
    std = np.maximum(sums.std, 1e-9)[..., None]
    stride = np.maximum(1.0, 2 * REACH * std / (n - 1))
    places = np.arange(n) - n // 2
    edges = np.rint(sums.mean)[..., None] + stride * (np.arange(n + 1) - n // 2 - 0.5)
    jitter = np.where(stride > 1, (places * GOLDEN) % 1 - 0.5, 0.0)
    values = np.rint(np.rint(sums.mean)[..., None] + stride * (places + jitter))
    shares = np.maximum(np.diff(sum_cdf(sums, (edges - sums.mean[..., None]) / std), axis=-1), 0.0)
    possible = (values >= sums.low[..., None]) & (values <= sums.high[..., None])
    shares = np.where(possible, shares, 0.0)
    return values, shares / np.maximum(shares.sum(axis=-1, keepdims=True), 1e-300)


def read(values: Floats, zero: Floats, step: Floats, top: float) -> Floats:
    """What values are read as, as `functional_adc.read`."""
    return np.asarray(zero + step * np.floor(np.clip((values - zero) / step + 0.5, 0.0, top)), dtype=np.float64)


def respond(sums: Sums, used: AdcRange, noise_std: Floats) -> Response:
    """Errors of reading sums [..., slices] by a range [slices], with noise of a standard deviation before the converter."""
    values, shares = nodes(sums)
    zero, step = used.zero[:, None], used.step[:, None]
    errors = read(values, zero, step, used.top) - values
    squares = shares * errors**2
    code = (values - zero) / step
    clipped = (squares * ((code < -0.5) | (code > used.top + 0.5))).sum(axis=-1)
    if np.any(noise_std > 0):
        mean_errors, noisy, gains = _with_noise(values, code, used, noise_std[..., None])
    else:
        mean_errors, noisy, gains = errors, errors**2, np.zeros_like(errors)
    offsets = values - (shares * values).sum(axis=-1, keepdims=True)
    spread = (shares * offsets**2).sum(axis=-1)
    mean = (shares * mean_errors).sum(axis=-1)
    slope = np.divide((shares * mean_errors * offsets).sum(axis=-1), spread, out=np.zeros_like(spread), where=spread > 1e-12)
    rest = np.maximum((shares * noisy).sum(axis=-1) - mean**2 - slope**2 * spread, 0.0)
    return Response(mean, slope, squares.sum(axis=-1), clipped, rest, (shares * gains).sum(axis=-1))


def _with_noise(values: Floats, code: Floats, used: AdcRange, noise_std: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean and mean square error of each value, and gain for small noise, when noise spreads it over codes; wide noise over every so many.

    Mean squares are short of the (stride^2 - 1) step^2 / 12 that strides add. Gain: step times the density of noise at thresholds.
    """
    zero, step = used.zero[:, None], used.step[:, None]
    spread = np.maximum(noise_std / step, 1e-6)
    stride = np.maximum(1.0, np.ceil(4 * spread / N_CODES))
    center = np.floor(code + 0.5)
    mean, square, gain, below = (np.zeros_like(values) for _ in range(4))
    for i in range(-N_CODES, N_CODES + 1):
        place = center + i * stride
        edge = (place + stride / 2 - code) / spread
        upto = normal_cdf(edge) if i < N_CODES else np.ones_like(values)
        error = zero + step * np.clip(place, 0.0, used.top) - values
        mean += (upto - below) * error
        square += (upto - below) * error**2
        crossed = (place + stride / 2 > 0) & (place + stride / 2 < used.top) & (i < N_CODES)
        gain += stride * crossed * np.exp(-(edge**2) / 2) / (sqrt(2 * pi) * spread)
        below = upto
    return mean, np.maximum(square - (stride**2 - 1) * step**2 / 12, mean**2), gain


# --- ranges -------------------------------------------------------------------------------------------------------


def range_of(spec: CimMacroSpec, sums: Sums, counts: Floats) -> AdcRange:
    """The range of each slice as the spec has it; calibrated by sums [groups, passes, slices] that occur `counts` [groups] times."""
    kind, n_bits = (spec.adc.range, spec.adc.n_bits) if spec.adc else ("granular", spec.lossless_adc_bits)
    n_slices = sums.mean.shape[-1]
    if kind != "calibrated":
        return fixed_range(spec, n_bits, kind, n_slices)
    if n_bits >= spec.lossless_adc_bits:
        return fixed_range(spec, n_bits, "granular", n_slices)
    return _fit(spec, n_bits, sums, counts)


def _fit(spec: CimMacroSpec, n_bits: int, sums: Sums, counts: Floats) -> AdcRange:
    """Begin and step of least mean square error among candidates like those of `functional_adc.fit_range`, no step below 1."""
    values, shares = _pooled(sums, counts)
    n_slices, top = sums.mean.shape[-1], 2.0**n_bits - 1
    least, most = values.min(axis=1, initial=np.inf, where=shares > RARE), values.max(axis=1, initial=-np.inf, where=shares > RARE)
    middle = (shares * values).sum(axis=1) / shares.sum(axis=1)
    lows = least + (middle - least) * np.linspace(0, 1, N_LOW)[:, None]
    widest = np.maximum((most - lows) / top, 1.0)
    steps = widest ** np.linspace(0, 1, N_STEPS)[:, None, None]
    fixed = [fixed_range(spec, n_bits, kind, n_slices) for kind in ("granular", "full")]
    whole = np.array([1.0, 2.0, 4.0, 8.0])[:, None] * np.ones(n_slices)
    begins = (
        *(r.zero[None] for r in fixed),
        np.floor(least) * np.ones_like(whole),
        np.broadcast_to(lows, steps.shape).reshape(-1, n_slices),
    )
    zeros, all_steps = np.concatenate(begins), np.concatenate([*(r.step[None] for r in fixed), whole, steps.reshape(-1, n_slices)])
    best = best_range(np.ascontiguousarray(values), np.ascontiguousarray(shares), zeros, all_steps, top)
    slices = np.arange(n_slices)
    return AdcRange(n_bits, zeros[best, slices], all_steps[best, slices])


def _pooled(sums: Sums, counts: Floats) -> tuple[Floats, Floats]:
    """Values and shares [slices, n] of the sums of all groups and passes together; equal values are joined where they lie close."""
    values, shares = nodes(sums, N_FIT_NODES)
    shares = shares * (counts / counts.sum())[:, None, None, None] / sums.mean.shape[1]
    n_slices = sums.mean.shape[-1]
    values = np.moveaxis(values, 2, 0).reshape(n_slices, -1)
    shares = np.moveaxis(shares, 2, 0).reshape(n_slices, -1)
    least = values.min()
    span = int(values.max() - least) + 1
    if span >= values.shape[1]:
        return values, shares
    place = (values - least).astype(np.int64) + span * np.arange(n_slices)[:, None]
    counted = np.bincount(place.ravel(), weights=shares.ravel(), minlength=span * n_slices)
    joined = np.asarray(counted, dtype=np.float64).reshape(n_slices, span)
    return np.asarray(least + np.arange(span) * np.ones((n_slices, 1)), dtype=np.float64), joined

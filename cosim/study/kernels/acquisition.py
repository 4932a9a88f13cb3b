"""Parts of acquisitions over level codes: posteriors of a point's neighbors, and expected improvement in log form."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels._jit import kernel

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@kernel
def log_h(z: float) -> float:
    """Log of φ(z) + z Φ(z), the expected improvement in units of the standard deviation."""
    if z < -25.0:
        r = 1.0 / (z * z)
        return -0.5 * z * z - 0.9189385332046727 - 2.0 * math.log(-z) + math.log1p(r * (-3.0 + r * (15.0 - 105.0 * r)))
    phi = math.exp(-0.5 * z * z) * 0.3989422804014327
    return math.log(phi + z * 0.5 * math.erfc(-z * 0.7071067811865476))


@kernel
def log_cdf(z: float) -> float:
    """Log of Φ(z)."""
    if z < -25.0:
        r = 1.0 / (z * z)
        return -0.5 * z * z - 0.9189385332046727 - math.log(-z) + math.log1p(r * (-1.0 + r * (3.0 - 15.0 * r)))
    return math.log(0.5 * math.erfc(-z * 0.7071067811865476))


@kernel
def neighbors(row: Codes, n_levels: Codes) -> Codes:
    """All rows that differ from one row on one axis."""
    d = row.size
    m = 0
    for i in range(d):
        m += n_levels[i] - 1
    out = np.empty((m, d), dtype=np.int64)
    at = 0
    for i in range(d):
        for c in range(n_levels[i]):
            if c != row[i]:
                out[at] = row
                out[at, i] = c
                at += 1
    return out


@kernel
def neighbor_posterior(
    row: Codes,
    codes: Codes,
    n_levels: Codes,
    factor: Floats,
    centered: Floats,
    shares: Floats,
    upper: Floats,
    alpha: Floats,
    moments: Floats,
) -> tuple[Floats, Floats]:
    """Mean and variance of one model at the neighbors of a row, in the order of `neighbors`; moments are its mean and scale²."""
    n, d = codes.shape
    m = 0
    for i in range(d):
        m += n_levels[i] - 1
    cross = np.empty((n, m))
    for j in range(n):
        product = 1.0
        first = 0.0
        squares = 0.0
        for i in range(d):
            product *= factor[i, row[i], codes[j, i]]
            g = centered[i, row[i], codes[j, i]]
            first += g
            squares += g * g
        at = 0
        out = cross[j]
        for i in range(d):
            c = codes[j, i]
            p = product / factor[i, row[i], c]
            g = centered[i, row[i], c]
            f = first - g
            q = squares - g * g
            for level in range(n_levels[i]):
                if level != row[i]:
                    h = centered[i, level, c]
                    s = f + h
                    out[at] = shares[0] * p * factor[i, level, c] + shares[1] * s + shares[2] * 0.5 * (s * s - q - h * h)
                    at += 1
    return _posterior(cross, _own(row, n_levels, centered, shares, m), upper, alpha, moments)


@kernel
def _own(row: Codes, n_levels: Codes, centered: Floats, shares: Floats, m: int) -> Floats:
    """Prior variances of the neighbors of a row."""
    d = row.size
    first = 0.0
    squares = 0.0
    for i in range(d):
        g = centered[i, row[i], row[i]]
        first += g
        squares += g * g
    out = np.empty(m)
    at = 0
    for i in range(d):
        g = centered[i, row[i], row[i]]
        for level in range(n_levels[i]):
            if level != row[i]:
                h = centered[i, level, level]
                s = first - g + h
                out[at] = shares[0] + shares[1] * s + shares[2] * 0.5 * (s * s - squares + g * g - h * h)
                at += 1
    return out


@kernel
def _posterior(cross: Floats, own: Floats, upper: Floats, alpha: Floats, moments: Floats) -> tuple[Floats, Floats]:
    """Mean and variance from covariances with the data; `cross` is overwritten."""
    n, m = cross.shape
    mean = np.full(m, moments[0])
    var = own.copy()
    for k in range(n):
        row = cross[k]
        a = alpha[k]
        for j in range(m):
            mean[j] += a * row[j]
    for k in range(n):
        row = cross[k]
        pivot = upper[k, k]
        for j in range(m):
            row[j] /= pivot
            var[j] -= row[j] * row[j]
        for i in range(k + 1, n):
            c = upper[k, i]
            target = cross[i]
            for j in range(m):
                target[j] -= c * row[j]
    for j in range(m):
        var[j] = max(moments[1] * var[j], moments[1] * 1e-10)
    return mean, var


@kernel
def contains(codes: Codes, row: Codes) -> bool:
    """Whether a row is one of `codes`."""
    for j in range(codes.shape[0]):
        same = True
        for i in range(row.size):
            if codes[j, i] != row[i]:
                same = False
                break
        if same:
            return True
    return False

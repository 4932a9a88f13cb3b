"""Gaussian processes over level codes: covariances from tables, factors, and gradients collected back into tables.

A covariance of two points is shares[0] · Π_i factor_i + shares[1] · e1(centered) + shares[2] · e2(centered), where factor_i and
centered_i are looked up in tables [d, c, c] by the two codes of axis i, and e1, e2 are the elementary symmetric sums over the axes.
Loops run along rows so that they vectorize without reordering sums: equal bits on any number of threads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels._jit import kernel

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

BLOCK = 128  # points whose entries stay in a processor's second cache


@kernel
def cross_parts(a: Codes, b: Codes, factor: Floats, centered: Floats) -> tuple[Floats, Floats, Floats]:
    """Products of factors, sums and sums of squares of centered entries, each [len(a), len(b)], of points a and b."""
    n, d = a.shape
    m = b.shape[0]
    c = factor.shape[1]
    product = np.ones((n, m))
    first = np.zeros((n, m))
    squares = np.zeros((n, m))
    factors = np.empty((d, c, BLOCK))  # entries of a block of b by axis and code of a, so that the loops over points are plain products
    entries = np.empty((d, c, BLOCK))
    for start in range(0, m, BLOCK):
        width = min(BLOCK, m - start)
        for k in range(d):
            for r in range(c):
                for j in range(width):
                    factors[k, r, j] = factor[k, r, b[start + j, k]]
                    entries[k, r, j] = centered[k, r, b[start + j, k]]
        for i in range(n):
            p = product[i, start : start + width]
            s = first[i, start : start + width]
            q = squares[i, start : start + width]
            for k in range(d):
                f = factors[k, a[i, k]]
                g = entries[k, a[i, k]]
                for j in range(width):
                    p[j] *= f[j]
                    s[j] += g[j]
                    q[j] += g[j] * g[j]
    return product, first, squares


@kernel
def combine(product: Floats, first: Floats, squares: Floats, shares: Floats) -> Floats:
    """Covariance from its parts; shares are per unit of e1 and e2."""
    n, m = product.shape
    out = np.empty((n, m))
    for i in range(n):
        for j in range(m):
            s = first[i, j]
            out[i, j] = shares[0] * product[i, j] + shares[1] * s + shares[2] * 0.5 * (s * s - squares[i, j])
    return out


@kernel
def cholesky_rows(matrix: Floats) -> Floats:
    """Upper factor U of a symmetric matrix, U' U = matrix; a pivot that is not positive becomes NaN."""
    n = matrix.shape[0]
    u = matrix.copy()
    for k in range(n):
        pivot = np.sqrt(u[k, k]) if u[k, k] > 0.0 else np.nan
        row = u[k]
        for j in range(k):
            row[j] = 0.0
        for j in range(k, n):
            row[j] /= pivot
        for i in range(k + 1, n):
            c = row[i]
            target = u[i]
            for j in range(i, n):
                target[j] -= c * row[j]
    return u


@kernel
def inverse_from_rows(u: Floats) -> Floats:
    """Inverse of U' U, from its upper factor."""
    n = u.shape[0]
    v = np.zeros((n, n))  # V = U'^-1, lower; row i of it needs the rows before
    for i in range(n):
        row = v[i]
        row[i] = 1.0
        for k in range(i):
            c = u[k, i]
            other = v[k]
            for j in range(k + 1):
                row[j] -= c * other[j]
        for j in range(i + 1):
            row[j] /= u[i, i]
    out = np.zeros((n, n))  # V' V, upper triangle
    for k in range(n):
        row = v[k]
        for i in range(k + 1):
            c = row[i]
            target = out[i]
            for j in range(i, k + 1):
                target[j] += c * row[j]
    for i in range(n):
        for j in range(i):
            out[i, j] = out[j, i]
    return out


@kernel
def solve_lower(u: Floats, rhs: Floats) -> Floats:
    """U'^-1 rhs for rhs [n, m]."""
    n, m = rhs.shape
    out = rhs.copy()
    for k in range(n):
        row = out[k]
        for j in range(m):
            row[j] /= u[k, k]
        for i in range(k + 1, n):
            c = u[k, i]
            target = out[i]
            for j in range(m):
                target[j] -= c * row[j]
    return out


@kernel
def solve_upper(u: Floats, rhs: Floats) -> Floats:
    """U^-1 rhs for rhs [n, m]."""
    n, m = rhs.shape
    out = rhs.copy()
    for k in range(n - 1, -1, -1):
        row = out[k]
        for j in range(m):
            row[j] /= u[k, k]
        for i in range(k):
            c = u[i, k]
            target = out[i]
            for j in range(m):
                target[j] -= c * row[j]
    return out


@kernel
def table_gradient(codes: Codes, weight: Floats, product: Floats, first: Floats, n_codes: int) -> Floats:
    """Sums of weight · product, weight, and weight · first over all pairs of points, by axis and pair of codes: [3, d, c, c]."""
    n, d = codes.shape
    out = np.zeros((3, d, n_codes, n_codes))
    for i in range(n):
        for j in range(i + 1):
            w = weight[i, j] if i == j else 2.0 * weight[i, j]
            p = w * product[i, j]
            s = w * first[i, j]
            for k in range(d):
                a = codes[i, k]
                b = codes[j, k]
                out[0, k, a, b] += p
                out[1, k, a, b] += w
                out[2, k, a, b] += s
    return out

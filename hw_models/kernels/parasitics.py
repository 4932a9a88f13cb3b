"""Currents of a resistive crossbar whose wires have resistance: conjugate gradients on the currents of its cells."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels._jit import kernel

Floats = NDArray[np.float64]


@kernel
def apply_network(
    root: Floats, x: Floats, row_ohm: float, col_ohm: float, driver_ohm: float, sense_ohm: float, below: Floats, line: Floats, out: Floats
) -> float:
    """Fill out = (1 + S (L_row + L_col) S) x, S = root of the conductances, and return the product of x and out; all [rows, cols].

    L_row i is what currents i of the cells drop on the row wires, from the driver before the first cell: every segment
    carries the currents of the cells after it. L_col i is what they raise the column wires by, from the sense node
    behind the last row. `below` [rows, cols] and `line` [cols] are room to work in.
    """
    rows, cols = root.shape
    line[:] = 0.0
    for i in range(rows):
        total = 0.0
        for j in range(cols - 1, -1, -1):
            current = root[i, j] * x[i, j]
            total += current
            out[i, j] = total
            line[j] += current
            below[i, j] = line[j]
        drop = driver_ohm * total
        for j in range(cols):
            drop += row_ohm * out[i, j]
            out[i, j] = drop
    for j in range(cols):
        line[j] *= sense_ohm
    product = 0.0
    for i in range(rows - 1, -1, -1):
        for j in range(cols):
            line[j] += col_ohm * below[i, j]
            out[i, j] = x[i, j] + root[i, j] * (out[i, j] + line[j])
            product += x[i, j] * out[i, j]
    return product


@kernel
def crossbar_currents(
    root: Floats,
    volts: Floats,
    row_ohm: float,
    col_ohm: float,
    driver_ohm: float,
    sense_ohm: float,
    tolerance: float,
    max_iterations: int,
    currents: Floats,
) -> tuple[int, float, int]:
    """Fill the column currents [n, cols] in A of a crossbar driven by volts [n, rows]; its cells are root^2 [rows, cols] in S.

    With cell currents i = S y: (1 + S (L_row + L_col) S) y = S v, a symmetric system whose smallest eigenvalue is 1 and
    whose largest is near 1 + G (r_row (2 cols / pi)^2 + r_col (2 rows / pi)^2). Returns the vector with the largest
    residual over its right-hand side, that residual, and the most iterations that a vector took; stops a vector at
    `tolerance`, or unconverged after `max_iterations`.
    """
    rows, cols = root.shape
    y, residual, step = np.empty((rows, cols)), np.empty((rows, cols)), np.empty((rows, cols))
    image, below, line = np.empty((rows, cols)), np.empty((rows, cols)), np.empty(cols)
    worst, worst_residual, most = 0, 0.0, 0
    for v in range(volts.shape[0]):
        given = 0.0
        for i in range(rows):
            for j in range(cols):
                y[i, j] = root[i, j] * volts[v, i]
                given += y[i, j] ** 2
        apply_network(root, y, row_ohm, col_ohm, driver_ohm, sense_ohm, below, line, image)
        left = 0.0
        for i in range(rows):
            for j in range(cols):
                residual[i, j] = root[i, j] * volts[v, i] - image[i, j]
                step[i, j] = residual[i, j]
                left += residual[i, j] ** 2
        n = 0
        while left > tolerance**2 * given and n < max_iterations:
            length = left / apply_network(root, step, row_ohm, col_ohm, driver_ohm, sense_ohm, below, line, image)
            before, left = left, 0.0
            for i in range(rows):
                for j in range(cols):
                    y[i, j] += length * step[i, j]
                    residual[i, j] -= length * image[i, j]
                    left += residual[i, j] ** 2
            for i in range(rows):
                for j in range(cols):
                    step[i, j] = residual[i, j] + left / before * step[i, j]
            n += 1
        most = max(most, n)
        if given > 0 and not sqrt(left / given) <= worst_residual:
            worst, worst_residual = v, sqrt(left / given)
        for j in range(cols):
            currents[v, j] = 0.0
        for i in range(rows):
            for j in range(cols):
                currents[v, j] += root[i, j] * y[i, j]
    return worst, worst_residual, most

"""IR drop: what a resistive crossbar's wires take from its column currents, solved node by node or estimated in closed form.

A row is driven before its first cell through `driver_ohm`, a column sensed at 0 V behind its last row through
`sense_ohm`; every cell adds one segment of row wire and one of column wire. Cells are linear resistors. Where inputs
switch gates instead of carrying current (1T1R with word-line inputs), row and driver resistance are 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw_models.kernels.parasitics import crossbar_currents
from workloads.errors import SimulationError, SpecError

Floats = NDArray[np.float64]

TOLERANCE = 1e-10  # residual over right-hand side; the error of a current is at most this times the condition number
MAX_ITERATIONS = 2000  # a condition number of 4000 takes about 700


@dataclass(frozen=True, slots=True)
class Wires:
    """Resistances in ohm: of row and column wire for each cell, of a driver, and of a column's sense node."""

    row_ohm: float = 0.0
    col_ohm: float = 0.0
    driver_ohm: float = 0.0
    sense_ohm: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isfinite(value) and value >= 0):
                raise SpecError(f"wires: {field.name} is {value:g} ohm; a resistance is 0 or more")

    @property
    def are_ideal(self) -> bool:
        """Whether nothing drops on them."""
        return self.row_ohm == self.col_ohm == self.driver_ohm == self.sense_ohm == 0

    @property
    def reversed(self) -> Wires:
        """Wires of the crossbar whose columns are driven and whose rows are sensed."""
        return Wires(row_ohm=self.col_ohm, col_ohm=self.row_ohm, driver_ohm=self.sense_ohm, sense_ohm=self.driver_ohm)


def column_currents(
    conductance: ArrayLike, volts: ArrayLike, wires: Wires, tolerance: float = TOLERANCE, max_iterations: int = MAX_ITERATIONS
) -> Floats:
    """Column currents [n_vectors, cols] in A of cells [rows, cols] in S driven by row voltages [n_vectors, rows].

    Kirchhoff's laws in the cell currents i: i / G + L_row i + L_col i = V (see the kernel); exactly V @ G without wire
    resistance. For more vectors than rows or columns, `V @ effective_conductance(...)` costs less.
    Raises SpecError on shapes and values that no crossbar has, SimulationError where the solver does not converge.
    """
    cells, drive = _cells(conductance), np.ascontiguousarray(np.atleast_2d(volts), dtype=np.float64)
    if drive.ndim != 2 or drive.shape[1] != cells.shape[0] or not np.isfinite(drive).all():
        raise SpecError(f"crossbar: volts of shape {drive.shape}; give finite values [n_vectors, {cells.shape[0]}], one for each row")
    if wires.are_ideal:
        return np.asarray(drive @ cells, dtype=np.float64)
    currents = np.empty((drive.shape[0], cells.shape[1]))
    ohms = (float(wires.row_ohm), float(wires.col_ohm), float(wires.driver_ohm), float(wires.sense_ohm))
    worst, residual, _ = crossbar_currents(np.sqrt(cells), drive, *ohms, float(tolerance), int(max_iterations), currents)
    if not residual <= tolerance:
        drop = float(cells.mean() * (wires.row_ohm * cells.shape[1] ** 2 + wires.col_ohm * cells.shape[0] ** 2))
        raise SimulationError(
            f"IR drop of a {cells.shape[0]} x {cells.shape[1]} crossbar: vector {worst} is at a residual of {residual:.1e} after "
            f"{max_iterations} iterations, above {tolerance:.1e}; wires take most of the voltage (G r n^2 = {drop:.3g}): "
            "lower wire resistance, conductance or array size, or allow more with max_iterations"
        )
    return currents


def effective_conductance(
    conductance: ArrayLike, wires: Wires, tolerance: float = TOLERANCE, max_iterations: int = MAX_ITERATIONS
) -> Floats:
    """Conductances [rows, cols] in S that a crossbar shows from row drivers to sense nodes: column currents are V @ this.

    One solve for each row or, by reciprocity, for each column, whichever are fewer. Raises as `column_currents`.
    """
    cells = _cells(conductance)
    rows, cols = cells.shape
    if cols >= rows:
        return column_currents(cells, np.eye(rows), wires, tolerance, max_iterations)
    turned = column_currents(cells[::-1, ::-1].T, np.eye(cols), wires.reversed, tolerance, max_iterations)
    return np.ascontiguousarray(turned.T[::-1, ::-1])


def estimated_conductance(conductance: ArrayLike, wires: Wires) -> Floats:
    """`effective_conductance` in closed form, [rows, cols] in S: the size of the drop and its pattern, at the cost of two sums.

    a = n r_col sum of the column's conductances; the cell at distance d (1 ... n) from the sense node shrinks by
    c (1 - (1 - d / n)^2), c = 3/2 (1 - tanh(sqrt a) / sqrt a), its first-order drop where conductances are alike. Rows enter
    by the drop v that a whole row causes, as 1 / (1 + v), end resistances as dividers.
    Source of the shape: IBM analog hardware acceleration kit (Rasch et al., arXiv:2104.02184), whose polynomial
    c = a (0.05 a^2 - 0.2 a + 0.5) this c meets within 8 % for a <= 2. There only driven cells enter a; here all do, since rows
    at 0 V draw current from the column as well.
    """
    cells = _cells(conductance)
    rows = cells.shape[0]
    tails = np.cumsum(cells[:, ::-1], axis=1)[:, ::-1]
    seen = cells / (1 + wires.driver_ohm * tails[:, :1] + wires.row_ohm * np.cumsum(tails, axis=1))
    total = seen.sum(axis=0)
    c = 1.5 * (1 - _ladder(rows * wires.col_ohm * total))
    distance = (rows - np.arange(rows)) / rows
    kept = 1 - c * (1 - (1 - distance) ** 2)[:, None]
    return np.asarray(seen * np.maximum(kept, 0) / (1 + wires.sense_ohm * total), dtype=np.float64)


def mean_kept(n_rows: ArrayLike, n_cols: ArrayLike, mean_conductance: ArrayLike, wires: Wires) -> Floats:
    """Share of the ideal current that an average column keeps; arrays broadcast, for sweeps.

    k(r_row G cols^2) k(r_col G rows^2) / ((1 + r_driver G cols) (1 + r_sense G rows)), k(a) = tanh(sqrt a) / sqrt a: exact for
    one uniform line (a ladder of G and r with many cells), rows and columns taken as independent. How many rows are
    driven does not matter, as the others hold the column at 0 V through the same conductances.
    """
    rows, cols, g = (np.asarray(value, dtype=np.float64) for value in (n_rows, n_cols, mean_conductance))
    ends = (1 + wires.driver_ohm * g * cols) * (1 + wires.sense_ohm * g * rows)
    return np.asarray(_ladder(wires.row_ohm * g * cols**2) * _ladder(wires.col_ohm * g * rows**2) / ends, dtype=np.float64)


def _ladder(a: Floats) -> Floats:
    """Return tanh(sqrt a) / sqrt a, 1 at 0."""
    root = np.sqrt(np.maximum(a, 1e-16))
    return np.asarray(np.tanh(root) / root, dtype=np.float64)


def _cells(conductance: ArrayLike) -> Floats:
    """Conductances as a checked array [rows, cols]."""
    cells = np.ascontiguousarray(conductance, dtype=np.float64)
    if cells.ndim != 2 or cells.size == 0:
        raise SpecError(f"crossbar: conductances of shape {cells.shape}; give [rows, cols] with at least one of each")
    if not (np.isfinite(cells).all() and (cells >= 0).all()):
        raise SpecError(f"crossbar: conductances from {cells.min():g} to {cells.max():g} S; all must be finite and 0 or more")
    return cells

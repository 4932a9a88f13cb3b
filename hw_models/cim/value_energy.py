"""Energy of a matrix-vector product that depends on its values: from histograms, from a bit trace, or at fixed densities.

All three count the same events with the laws of `hw_models.cim.physics`; they differ in where levels come from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw_models.cim import physics
from hw_models.cim.spec import CimMacroSpec
from hw_models.cim.statistics import (
    Histogram,
    ValueEncoding,
    check_parts,
    encode_values,
    macro_statistics,
    pass_count,
    slice_codes,
    slice_count,
    weight_encoding_of,
)
from workloads.errors import WorkloadError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MvmEnergy:
    """Energy in J of one input vector times a matrix: row drivers, cells, column lines, converters (digital trees not included)."""

    driver_j: float
    cell_j: float
    column_j: float
    adc_j: float

    @property
    def total_j(self) -> float:
        """Sum of the four."""
        return self.driver_j + self.cell_j + self.column_j + self.adc_j

    @property
    def value_j(self) -> float:
        """What depends on values through rows, cells and lines: all but the converters."""
        return self.driver_j + self.cell_j + self.column_j


@dataclass(frozen=True, slots=True)
class _Units:
    """Energies in J of single events at full scale: a row's drive, a column's swing, a conversion and what pulses add to it."""

    row_j: float
    column_j: float
    adc_j: float
    adc_pulses_j: float
    squared: bool  # whether a cell spends by the square of its row's level

    @classmethod
    def of(cls, spec: CimMacroSpec) -> _Units:
        full, silent = _at(spec, 1.0), _at(spec, 0.0)
        scaled = physics.factors(spec)
        adc_j = physics.adc_j(silent, scaled)
        return cls(
            row_j=physics.row_j(full, scaled),
            column_j=physics.column_j(full) / physics.stored_density(full),
            adc_j=adc_j,
            adc_pulses_j=physics.adc_j(full, scaled) - adc_j,
            squared=spec.domain == "resistive" and spec.dac.type == "voltage",
        )


def _at(spec: CimMacroSpec, input_density: float) -> CimMacroSpec:
    return spec.model_copy(update={"input_density": input_density, "weight_density": 1.0})


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a matrix lies, as in `hw_models.kernels.cim.map_op`: rows, columns of devices, column tiles, activations, readouts."""

    rows: int
    cols: int
    col_tiles: int
    row_groups: int
    readouts: int

    @classmethod
    def of(cls, spec: CimMacroSpec, n_inputs: int, n_outputs: int, n_slices: int) -> _Layout:
        if n_inputs < 1 or n_outputs < 1:
            raise WorkloadError(f"a product of {n_inputs} inputs and {n_outputs} outputs is empty; give at least one of each")
        rows, cols = n_inputs * spec.row_devices, n_outputs * n_slices * spec.col_devices
        readouts = n_outputs * n_slices * spec.slice_reads // spec.tree_bits
        whole, rest = divmod(rows, spec.rows)
        per_tile = -(-spec.rows // spec.n_rows_active)
        return cls(rows, cols, -(-cols // spec.cols), whole * per_tile + -(-rest // spec.n_rows_active), readouts)


def energy_per_mvm_j(
    spec: CimMacroSpec,
    inputs: Histogram,
    weights: Histogram,
    n_inputs: int,
    n_outputs: int,
    weight_bits: int = 8,
    activation_bits: int = 8,
    input_encoding: ValueEncoding = "unsigned",
    weight_encoding: ValueEncoding | None = None,
) -> MvmEnergy:
    """Energy in J of one vector of `n_inputs` times a matrix, values drawn from two independent histograms.

    driver: passes K' CT x E_row; cell: passes K' N' <x or x^2> mean E_cell(w); column: passes groups N' x w E_line;
    adc: passes groups readouts (E_conv + x E_pulses), x and w mean levels. x^2 where a voltage DAC drives resistors: V^2 G t.
    """
    found = macro_statistics(spec, inputs, weights, weight_bits, activation_bits, input_encoding, weight_encoding)
    full = _at(spec, 1.0)
    cell_j = np.mean(
        [sum(p * physics.cell_j(full, level) for level, p in zip(s.levels, s.probabilities, strict=True)) for s in found.cell_slices]
    )
    units, lies = _Units.of(spec), _Layout.of(spec, n_inputs, n_outputs, found.n_slices)
    return _mean_energy(units, lies, found.n_passes, found.input_level, found.input_square, found.stored_level, float(cell_j))


def density_energy_j(
    spec: CimMacroSpec,
    n_inputs: int,
    n_outputs: int,
    weight_bits: int = 8,
    activation_bits: int = 8,
    input_density: float | None = None,
    weight_density: float | None = None,
) -> MvmEnergy:
    """The same at fixed densities, by default the macro's own: what a model that knows no values gives."""
    given = {"input_density": input_density, "weight_density": weight_density}
    fixed = spec.model_copy(update={name: value for name, value in given.items() if value is not None})
    stored = physics.stored_density(fixed)
    n_slices = slice_count(spec, max(1, weight_bits - spec.sign_bits))
    lies = _Layout.of(spec, n_inputs, n_outputs, n_slices)
    cell_j = physics.cell_j(_at(spec, 1.0), stored)
    n_passes = pass_count(spec, activation_bits, activation_bits)
    return _mean_energy(_Units.of(spec), lies, n_passes, fixed.input_density, fixed.input_density, stored, cell_j)


def _mean_energy(units: _Units, lies: _Layout, n_passes: int, level: float, square: float, stored: float, cell_j: float) -> MvmEnergy:
    return MvmEnergy(
        driver_j=n_passes * lies.rows * lies.col_tiles * level * units.row_j,
        cell_j=n_passes * lies.rows * lies.cols * (square if units.squared else level) * cell_j,
        column_j=n_passes * lies.row_groups * lies.cols * level * stored * units.column_j,
        adc_j=n_passes * lies.row_groups * lies.readouts * (units.adc_j + level * units.adc_pulses_j),
    )


# --- bit trace --------------------------------------------------------------------------------------------------


def trace_energy_j(
    spec: CimMacroSpec,
    inputs: ArrayLike,
    weights: ArrayLike,
    weight_bits: int = 8,
    activation_bits: int = 8,
    input_encoding: ValueEncoding = "unsigned",
    weight_encoding: ValueEncoding | None = None,
) -> MvmEnergy:
    """Mean energy in J of the vectors inputs [n_vectors, K] times weights [K, N]: every vector, bit pass, row and cell counted.

    A cell spends by its own level and that of its row in that pass, a line swings by the mean product over the rows of its
    activation. Both laws are linear in the row's level (or its square), so that the sum over vectors and passes is
    taken first, row by row: the same sum in another order, without approximation.
    """
    x, w = np.asarray(inputs), np.asarray(weights)
    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[0]:
        raise WorkloadError(f"trace: inputs of shape {x.shape} and weights of shape {w.shape}; give [n_vectors, K] and [K, N]")
    codes, input_bits = encode_values(x, input_encoding, activation_bits)
    stored, stored_bits = encode_values(w, weight_encoding or weight_encoding_of(spec), weight_bits)
    check_parts(spec, len(codes), len(stored))
    n_passes = pass_count(spec, input_bits, activation_bits)
    units, lies = _Units.of(spec), _Layout.of(spec, w.shape[0], w.shape[1], slice_count(spec, stored_bits))
    drive, square = _row_drive(codes, input_bits, spec.input_bits_per_pass)
    level, cell_j = _row_cells(spec, stored, stored_bits, lies.cols)
    drive, square = np.repeat(drive, spec.row_devices), np.repeat(square, spec.row_devices)
    per_line = float((drive / _rows_of_group(spec, lies.rows)) @ level)
    mean_level = float(np.sum(drive / _rows_of_group(spec, lies.rows)))
    return MvmEnergy(
        driver_j=float(drive.sum()) * lies.col_tiles * units.row_j,
        cell_j=float((square if units.squared else drive) @ cell_j),
        column_j=per_line * units.column_j,
        adc_j=lies.readouts * (n_passes * lies.row_groups * units.adc_j + mean_level * units.adc_pulses_j),
    )


def _row_drive(codes: NDArray[np.int64], n_bits: int, bits_per_pass: int) -> tuple[Floats, Floats]:
    """Levels and squared levels [K] of each row over full scale, summed over passes and phases, mean over vectors."""
    levels = slice_codes(codes, n_bits, bits_per_pass) / (2**bits_per_pass - 1)  # [passes, phases, vectors, K]
    return levels.sum(axis=(0, 1)).mean(axis=0), (levels**2).sum(axis=(0, 1)).mean(axis=0)


def _row_cells(spec: CimMacroSpec, codes: NDArray[np.int64], n_bits: int, n_cols: int) -> tuple[Floats, Floats]:
    """Stored levels and full-scale cell energies [K'], summed over the columns of a row; unused slices hold 0."""
    top, full = 2**spec.bits_per_cell - 1, _at(spec, 1.0)
    energy_j = np.array([physics.cell_j(full, level / top) for level in range(top + 1)])
    cells = slice_codes(codes, n_bits, spec.bits_per_cell)  # [slices, devices, K, N]
    count = np.stack([(cells == level).sum(axis=(0, 3)) for level in range(top + 1)], axis=-1)  # [devices, K, levels]
    if spec.row_devices == 1:
        count = count.sum(axis=0, keepdims=True)
    count = np.moveaxis(count, 0, 1).reshape(-1, top + 1)  # the rows of a pair lie side by side
    count[:, 0] += n_cols - count.sum(axis=-1)
    return count @ (np.arange(top + 1) / top), count @ energy_j


def _rows_of_group(spec: CimMacroSpec, n_rows: int) -> Floats:
    """Rows [n_rows] that work together with each row."""
    tile, place = np.divmod(np.arange(n_rows), spec.rows)
    group = tile * spec.rows + place // spec.n_rows_active
    _, which, size = np.unique(group, return_inverse=True, return_counts=True)
    return np.asarray(size[which], dtype=np.float64)

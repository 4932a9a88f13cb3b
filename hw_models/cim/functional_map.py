"""Where the numbers of a matrix product sit in a compute array: weights in cells, inputs in passes, rows in groups.

A weight w of B bits becomes levels l_s of its slices s, w = sum_s W_s l_s - offset, with W_s = 2^(s b_cell). Encodings:
`offset` l from w + 2^(B-1), offset 2^(B-1); `differential`, `differential_rows` l = l+ - l- from max(w, 0) and max(-w, 0) of
B - 1 bits, or l+ and l- as slices of their own, W_s and -W_s, where the columns of a pair are converted one by one; `magnitude` l in
one cell that has a sign; digital macros keep two's complement, the top slice counting -2^(B-1).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw_models.cim.spec import CimMacroSpec
from hw_models.kernels.mvm import BLOCK, TABLE_ROWS, WORD
from workloads.errors import SimulationError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

MAX_BITS = 32  # of a weight or an activation
EXACT_BITS = 52  # sums up to here are exact in float64
SUM_BITS = 23  # a bit less than float32 holds, for what rounding adds


@dataclass(frozen=True, slots=True)
class Layout:
    """How one weight matrix lies on the arrays: rows in groups, weights in slices, columns at converters.

    starts [g + 1]: first input of each group of rows that work at once; tile [g]: its row tile; slice_weights [s]; `signed` sums are
    those of devices of both signs; converter [s, n]: which converter of its row tile reads a column.
    """

    starts: Ints
    tile: Ints
    slice_weights: Ints
    offset: int
    signed: bool
    converter: Ints

    @property
    def n_slices(self) -> int:
        """Slices of a weight."""
        return int(self.slice_weights.size)

    @property
    def n_inputs(self) -> int:
        """Inputs of the product."""
        return int(self.starts[-1])

    @property
    def n_groups(self) -> int:
        """Groups of rows, one after another in a tile, tiles side by side."""
        return int(self.tile.size)

    @property
    def n_rows(self) -> int:
        """Inputs of the largest group."""
        return int(np.diff(self.starts).max())


@dataclass(frozen=True, slots=True)
class Passes:
    """Inputs as they enter: non-negative values [v, k] of each phase with its sign, and what was added to make them so."""

    phases: tuple[tuple[int, Ints], ...]
    shift: int
    n_bits: int
    bits_per_pass: int

    @property
    def weights(self) -> Floats:
        """What a unit of each pass counts: +-2^(first bit); [p]."""
        per_phase = 2.0 ** np.arange(0, self.n_bits, self.bits_per_pass)
        return np.concatenate([sign * per_phase for sign, _ in self.phases])

    def sums(self) -> Ints:
        """Sum over the inputs of each vector, with the signs of phases; [v]."""
        return sum((sign * values.sum(axis=1) for sign, values in self.phases), start=np.zeros(1, dtype=np.int64))

    def values(self) -> Ints:
        """What drives each row in each pass; [v, p, k]."""
        first = np.arange(0, self.n_bits, self.bits_per_pass)[:, None]
        mask = (1 << self.bits_per_pass) - 1
        return np.concatenate([(values[:, None, :] >> first) & mask for _, values in self.phases], axis=1)

    def part(self, first: int, last: int) -> Passes:
        """The passes of some of the vectors."""
        phases = tuple((sign, values[first:last]) for sign, values in self.phases)
        return Passes(phases, self.shift, self.n_bits, self.bits_per_pass)


def whole_numbers(name: str, given: ArrayLike) -> Ints:
    """The matrix as int64; SimulationError unless it has two dimensions, something in each, and whole numbers only."""
    values = np.asarray(given)
    if values.ndim != 2 or 0 in values.shape:
        raise SimulationError(f"{name}: shape {values.shape} is not a matrix; give two dimensions, neither of them 0")
    if values.dtype.kind not in "biu":
        if values.dtype.kind != "f":
            raise SimulationError(f"{name}: {values.dtype} values are no numbers of an array; give whole numbers")
        bad = ~np.isfinite(values) | (values != np.rint(np.where(np.isfinite(values), values, 0.0)))
        if bad.any():
            raise SimulationError(f"{name}: {values[bad][0]} is not a whole number; quantize first, cells and drivers hold levels")
    return np.ascontiguousarray(values, dtype=np.int64)


def check_bits(name: str, bits: int) -> None:
    """SimulationError unless 1 <= bits <= 32."""
    if not 1 <= bits <= MAX_BITS:
        raise SimulationError(f"{name} {bits} is out of range; choose 1 to {MAX_BITS}")


def check_range(name: str, values: Ints, low: int, high: int, way_out: str) -> None:
    """SimulationError where values leave low ... high."""
    least, most = int(values.min()), int(values.max())
    if least < low or most > high:
        raise SimulationError(f"{name}: {least if least < low else most} is outside {low} ... {high}; {way_out}")


def map_weights(spec: CimMacroSpec, weights: Ints, weight_bits: int) -> tuple[list[Ints], Layout]:
    """Levels [k, slices, n] of the devices, plus then minus where there are two, and where they lie."""
    check_bits("weight_bits", weight_bits)
    stored_bits = max(1, weight_bits - spec.sign_bits)
    if spec.sign_bits:
        most = 2**stored_bits - 1
        check_range("weights", weights, -most, most, f"{weight_bits} bits with a sign ({spec.encoding}) hold no more; give weight_bits")
        stored, offset = [np.maximum(weights, 0), np.maximum(-weights, 0)], 0
    else:
        half = 2 ** (weight_bits - 1)
        check_range("weights", weights, -half, half - 1, f"{weight_bits} bits hold no more; give weight_bits")
        stored = [weights & (2 * half - 1)] if spec.domain == "digital" else [weights + half]
        offset = 0 if spec.domain == "digital" else half
    n_slices = -(-stored_bits // spec.bits_per_cell)
    shifts = spec.bits_per_cell * np.arange(n_slices, dtype=np.int64)
    slice_weights = np.left_shift(1, shifts)
    if spec.domain == "digital":
        slice_weights[-1] *= -1
    mask = 2**spec.bits_per_cell - 1
    levels = [np.ascontiguousarray((values[:, None, :] >> shifts[:, None]) & mask) for values in stored]
    if spec.slice_reads > 1:  # the columns of a pair are neighbors
        levels = [np.ascontiguousarray(np.stack(levels, axis=2).reshape(weights.shape[0], -1, weights.shape[1]))]
        slice_weights = np.multiply.outer(slice_weights, [1, -1]).ravel()
    starts, tile = _row_groups(spec, weights.shape[0])
    converter = _converters(spec, slice_weights.size, weights.shape[1])
    return levels, Layout(starts, tile, slice_weights, offset, spec.has_signed_sums, converter)


def _row_groups(spec: CimMacroSpec, n_inputs: int) -> tuple[Ints, Ints]:
    """First input of each group and the end of the last, and the row tile of each group; a pair of rows is never parted."""
    per_tile = spec.rows // spec.row_devices
    active = max(1, spec.n_rows_active // spec.row_devices)
    starts = [row for first in range(0, n_inputs, per_tile) for row in range(first, min(first + per_tile, n_inputs), active)]
    return np.array([*starts, n_inputs], dtype=np.int64), np.array(starts, dtype=np.int64) // per_tile


def _converters(spec: CimMacroSpec, n_slices: int, n_outputs: int) -> Ints:
    """Which converter reads slice s of output n: slices of an output are neighbors, an array's converters take its columns in turn."""
    column = np.arange(n_outputs, dtype=np.int64) * n_slices + np.arange(n_slices, dtype=np.int64)[:, None]
    per_tile = max(1, spec.cols // spec.read_columns)
    n_adcs = max(1, spec.n_adcs)
    return np.asarray(column // per_tile * n_adcs + column % per_tile % n_adcs, dtype=np.int64)


def map_inputs(spec: CimMacroSpec, inputs: Ints, activation_bits: int, signed: bool) -> Passes:
    """Passes of the inputs; signed ones in two phases, plus and minus, where the macro has them, else shifted by 2^(B-1)."""
    check_bits("activation_bits", activation_bits)
    bits_per_pass = spec.input_bits_per_pass
    n_bits = -(-activation_bits // bits_per_pass) * bits_per_pass
    if not signed:
        way_out = "give signed=True" if int(inputs.min()) < 0 else f"{activation_bits} bits hold no more; give activation_bits"
        check_range("inputs", inputs, 0, 2**activation_bits - 1, way_out)
        return Passes(((1, inputs),), 0, n_bits, bits_per_pass)
    half = 2 ** (activation_bits - 1)
    check_range("inputs", inputs, -half, half - 1, f"{activation_bits} bits with a sign hold no more; give activation_bits")
    if spec.input_phases > 1:
        return Passes(((1, np.maximum(inputs, 0)), (-1, np.maximum(-inputs, 0))), 0, n_bits, bits_per_pass)
    return Passes(((1, inputs + half),), half, n_bits, bits_per_pass)


def check_exact(layout: Layout, n_bits: int, bits_per_cell: int) -> None:
    """SimulationError where a sum over passes would not be exact in float64."""
    needed = n_bits + bits_per_cell + layout.n_inputs.bit_length()
    if needed > EXACT_BITS:
        raise SimulationError(
            f"activation_bits: sums of {layout.n_inputs} inputs take {needed} bits, exact are {EXACT_BITS}; give fewer bits"
        )


# --- shapes that kernels take --------------------------------------------------------------------------------------------


def blocked(columns: NDArray[np.generic]) -> NDArray[np.generic]:
    """[..., columns] as [block, ..., BLOCK], filled up with zeros."""
    n_blocks = -(-columns.shape[-1] // BLOCK)
    full = np.zeros((*columns.shape[:-1], n_blocks * BLOCK), dtype=columns.dtype)
    full[..., : columns.shape[-1]] = columns
    return np.ascontiguousarray(np.moveaxis(full.reshape(*columns.shape[:-1], n_blocks, BLOCK), -2, 0))


def grouped(layout: Layout, rows: NDArray[np.generic], multiple: int) -> NDArray[np.generic]:
    """[k, columns] as [group, row, columns], rows of each group filled up to the same multiple."""
    n_rows = -(-layout.n_rows // multiple) * multiple
    out = np.zeros((layout.n_groups, n_rows, rows.shape[1]), dtype=rows.dtype)
    for g, (first, last) in enumerate(zip(layout.starts[:-1], layout.starts[1:], strict=True)):
        out[g, : last - first] = rows[first:last]
    return out


def packed_cells(layout: Layout, devices: list[Ints], bits_per_cell: int) -> tuple[Words, Ints]:
    """Bits of whole levels for `bit_mvm`: cells [b, g, q, h, c] and the coefficient of each plane q."""
    planes, coefficients = [], []
    for sign, levels in zip((1, -1), devices, strict=False):
        for bit in range(bits_per_cell):
            ones = grouped(layout, (levels >> bit) & 1, WORD)
            words = np.packbits(ones.astype(np.uint8).reshape(layout.n_groups, -1, WORD, ones.shape[-1]), axis=2, bitorder="little")
            planes.append(np.ascontiguousarray(np.moveaxis(words, 2, -1)).view("<u8")[..., 0].astype(np.uint64))
            coefficients.append(sign * (1 << bit))
    cells = blocked(np.stack(planes, axis=1))
    return np.asarray(cells, dtype=np.uint64), np.array(coefficients, dtype=np.int64)


def on_grid(layout: Layout, levels: Floats) -> Floats:
    """Levels [k, slices, n] rounded to a power of two so fine that float32 adds any subset of a group exactly, in any order.

    Step 2^(ceil(log2 L) - 23), L the largest sum of magnitudes of a column in a group: 1/32768 of a level for 128 rows of single bits.
    """
    largest = float(np.add.reduceat(np.abs(levels), layout.starts[:-1], axis=0).max())
    if largest == 0:
        return levels
    step = 2.0 ** (ceil(log2(largest)) - SUM_BITS)
    return np.asarray(np.rint(levels / step) * step, dtype=np.float64)


def table_levels(layout: Layout, levels: Floats) -> Floats:
    """Levels [k, columns] for `table_mvm`: [b, g, row, c]."""
    return np.asarray(blocked(grouped(layout, levels, TABLE_ROWS)), dtype=np.float64)

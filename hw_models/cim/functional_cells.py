"""Levels that cells come out with: programming errors, stuck cells, and what wires leave of them in resistive arrays.

Each array of a weight matrix is a crossbar with its real neighbors: a pair of devices side by side, then the slices of an output, then
the outputs, as far as an array reaches; inputs fill its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hw_models.cim.parasitics import Wires, effective_conductance, estimated_conductance
from hw_models.cim.spec import CimMacroSpec

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Levels = NDArray[np.int64] | NDArray[np.float64]
Perturb = Callable[[Floats, np.random.Generator], Floats]
IrDrop = Literal["solved", "estimated", "none"]


def program_cells(
    spec: CimMacroSpec, devices: list[Ints], rng: np.random.Generator | None, perturb: Perturb | None, ir_drop: IrDrop
) -> list[Levels]:
    """Levels [k, slices, n] that come out, plus then minus where there are two; whole where nothing moves them off their levels."""
    seen_by = ir_drop if has_wires(spec) else "none"
    if spec.encoding == "magnitude":  # one device holds the magnitude and errs once; its sign is kept
        minus = devices[1] > 0
        one = [_cell_levels(spec, devices[0] + devices[1], rng, perturb)]
        level = one[0] if seen_by == "none" else seen_levels(spec, one, seen_by)[0]
        return [level * ~minus, level * minus]
    cells = [_cell_levels(spec, levels, rng, perturb) for levels in devices]
    return cells if seen_by == "none" else [*seen_levels(spec, cells, seen_by)]


def _cell_levels(spec: CimMacroSpec, levels: Ints, rng: np.random.Generator | None, perturb: Perturb | None) -> Levels:
    """Levels of one device for each weight slice, in level steps above its off state."""
    if rng is None:
        return levels
    cell, full = spec.cell, 2**spec.bits_per_cell - 1
    out: Levels = levels
    if spec.domain != "digital":
        if perturb is not None:
            off = full / (cell.on_off_ratio - 1) if cell.on_off_ratio and cell.on_off_ratio > 1 else 0.0
            out = np.asarray(perturb((levels + off) / (full + off), rng) * (full + off) - off, dtype=np.float64)
        elif cell.programming_sigma > 0:
            out = levels + cell.programming_sigma * full * rng.standard_normal(levels.shape)
    if cell.stuck_on > 0 or cell.stuck_off > 0:
        chance = rng.random(levels.shape)
        out = np.where(chance < cell.stuck_on, full, np.where(chance < cell.stuck_on + cell.stuck_off, 0, out))
    return out


def has_wires(spec: CimMacroSpec) -> bool:
    """Whether current through cells of known resistance meets wire resistance."""
    return spec.domain == "resistive" and spec.cell.wire_ohm > 0 and spec.cell.on_off_ratio is not None and spec.cell.on_off_ratio > 1


def seen_levels(spec: CimMacroSpec, devices: list[Levels], how: IrDrop) -> list[Floats]:
    """Levels [k, slices, n] of each device as the column current shows them, `solved` node by node or `estimated` in closed form.

    G = G_off + l (G_on - G_off) / l_full, not below 0; currents of effective conductances G'. A pair is subtracted, so its levels are
    G' l_full / (G_on - G_off); a single device is read against a dummy column that loses the same share, so its level is l G' / G.
    Rows that are not driven are held at 0 V; every array is filled as far as the weights reach.
    """
    low, high = spec.cell.r_lrs_ohm, spec.cell.r_hrs_ohm
    if not low or not high:
        return [np.asarray(levels, dtype=np.float64) for levels in devices]
    full = 2**spec.bits_per_cell - 1
    off, unit = 1 / high, (1 / low - 1 / high) / full
    wires = Wires(row_ohm=spec.cell.wire_ohm, col_ohm=spec.cell.wire_ohm)
    seen = effective_conductance if how == "solved" else estimated_conductance
    n_inputs, n_slices, n_outputs = devices[0].shape
    stacked = np.stack([np.moveaxis(levels, 1, 2).reshape(n_inputs, -1) for levels in devices], axis=-1)  # k, column, device
    conductance = np.maximum(off + unit * stacked, 0.0)
    out = np.empty_like(conductance)
    for rows, columns in _arrays(spec, n_inputs, conductance.shape[1]):
        crossbar = _crossbar(spec, conductance[rows, columns])
        found = _devices(spec, seen(crossbar, wires), conductance[rows, columns].shape)
        out[rows, columns] = found
    kept = np.divide(out, conductance, out=np.ones_like(out), where=conductance > 0)
    levels = out / unit if len(devices) > 1 else stacked * kept
    shaped = levels.reshape(n_inputs, n_outputs, n_slices, len(devices))
    return [np.ascontiguousarray(np.moveaxis(shaped[..., d], 2, 1)) for d in range(len(devices))]


def _arrays(spec: CimMacroSpec, n_inputs: int, n_columns: int) -> Iterator[tuple[slice, slice]]:
    """Inputs and columns of each array."""
    rows, columns = spec.rows // spec.row_devices, max(1, spec.cols // spec.read_columns)
    for first in range(0, n_inputs, rows):
        for left in range(0, n_columns, columns):
            yield slice(first, min(first + rows, n_inputs)), slice(left, min(left + columns, n_columns))


def _crossbar(spec: CimMacroSpec, cells: Floats) -> Floats:
    """Devices [k, column, device] as they lie: a pair in two columns or in two rows."""
    k, columns, n_devices = cells.shape
    if spec.row_devices == 1:
        return np.ascontiguousarray(cells.reshape(k, columns * n_devices))
    return np.ascontiguousarray(np.moveaxis(cells, 2, 1).reshape(k * n_devices, columns))


def _devices(spec: CimMacroSpec, crossbar: Floats, shape: tuple[int, ...]) -> Floats:
    """The way back from `_crossbar`."""
    k, columns, n_devices = shape
    if spec.row_devices == 1:
        return crossbar.reshape(shape)
    return np.moveaxis(crossbar.reshape(k, n_devices, columns), 1, 2)

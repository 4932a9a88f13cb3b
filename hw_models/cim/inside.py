"""Laws inside one macro: what changes with output code, bit widths and data while the array stays the same.

Across macros the global constants speak (`hw_models.cim.calibrated`); inside one, what counts is which part of the array a datum or a
bit moves. These laws count switched parts; they hold no constant of a macro.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2, sqrt

import numpy as np
from numpy.typing import NDArray

from hw_models.cim.cell import CellSpec
from hw_models.cim.converter import AdcSpec
from hw_models.cim.logic import ADDER_CAP, FLIP_FLOP_CAP, LogicSpec
from hw_models.cim.physics import area_factor, energy_factor
from workloads.errors import SpecError

Floats = NDArray[np.float64]
PULSE_PARTS = ("fixed", "rows", "sums")


@dataclass(frozen=True, slots=True)
class PulseArray:
    """An array whose inputs are numbers of word-line pulses and whose sums discharge bit lines read by flash ADCs.

    `row_gates`, `col_gates`: NAND2 that switch at a row in each pulse slot and at a column once a pass, whatever the data.
    """

    node_m: float
    supply_v: float
    rows: int
    cols: int
    n_adcs: int
    input_bits: int
    cell: CellSpec
    adc: AdcSpec
    logic: LogicSpec
    row_gates: float = 10.0  # assumed: as in parts/cim_macro/sram_charge_22nm_256x256
    col_gates: float = 10.0  # assumed: as there

    @property
    def n_pulses(self) -> int:
        """Pulses of a full-scale input: 2^b - 1."""
        return int(2**self.input_bits) - 1

    @property
    def gate_j(self) -> float:
        """Energy of one NAND2 switching once at the array's node and supply, J."""
        return self.logic.gate_j * energy_factor(self.logic.node_m, self.logic.supply_v, self.node_m, self.supply_v).value

    @property
    def fixed_j(self) -> float:
        """J a pass whatever the data: n_adc E_flash + (n_row g_row n_pulse + n_col g_col + 3 (n_row b_in + n_adc b_adc)) E_gate.

        Dynamic comparators are clocked in each conversion; row logic compares its input with every pulse; registers take new bits.
        """
        comparators_j = self.adc.conversion_j * energy_factor(self.adc.node_m, self.adc.supply_v, self.node_m, self.supply_v).value
        registers = FLIP_FLOP_CAP * (self.rows * self.input_bits + self.n_adcs * self.adc.n_bits)
        gates = self.rows * self.row_gates * self.n_pulses + self.cols * self.col_gates + registers
        return float(self.n_adcs * comparators_j + gates * self.gate_j)

    @property
    def rows_j(self) -> float:
        """J of the word lines when all inputs are at full scale: n_row n_pulse n_col C_wl V^2."""
        wire = sqrt(area_factor(self.cell.node_m, self.node_m))
        return self.rows * self.n_pulses * self.cell.row_j(self.supply_v, self.cols) * wire

    @property
    def sums_j(self) -> float:
        """J of bit lines and thermometer codes at the largest sum: n_col n_row C_bl V^2 + n_adc (2^b - 1 - b) full adders."""
        wire = sqrt(area_factor(self.cell.node_m, self.node_m))
        lines_j = self.cols * self.cell.column_j("current", self.supply_v, self.rows, 1.0) * wire
        adders = self.n_adcs * (2**self.adc.n_bits - 1 - self.adc.n_bits)  # a ones counter of 2^b - 1 inputs
        return float(lines_j + adders * ADDER_CAP * self.gate_j)

    def parts_j(self, code: Floats) -> Floats:
        """J a pass by `PULSE_PARTS` [n, 3] at average output codes [n]: fixed, rows * sqrt(c), sums * c, c = code / full scale.

        A mean product c of independent operands whose means go together has mean operands of sqrt(c): word lines follow the operand, bit
        lines the product. Raises SpecError for a code outside 0 to full scale.
        """
        full = 2**self.adc.n_bits - 1
        if np.any((code < 0) | (code > full)):
            raise SpecError(f"output code {float(np.max(np.abs(code))):g}: must lie in 0 to {full} of a {self.adc.n_bits}-bit converter")
        share = np.asarray(code, dtype=np.float64) / full
        return np.stack([np.full_like(share, self.fixed_j), self.rows_j * np.sqrt(share), self.sums_j * share], axis=1)


def serial_outputs(cols: int, weight_bits: int, n: int) -> int:
    """Sums that a bit-serial digital array of `cols` columns makes at once: floor(cols / (b_w + log2 n)), carries and all.

    Raises SpecError for less than a bit, or when not even one fits.
    """
    if weight_bits < 1:
        raise SpecError(f"weight_bits {weight_bits}: must be at least 1")
    fits = cols // (weight_bits + ceil(log2(n)))
    if fits < 1:
        raise SpecError(f"weight_bits {weight_bits}: a sum of {n} takes {weight_bits + ceil(log2(n))} columns; the array has {cols}")
    return fits


def idle_factor(cols: int, weight_bits: int, n: int) -> float:
    """Energy of all columns over that of columns in use, >= 1: cols / (outputs (b_w + log2 n)); columns left over are clocked too."""
    return cols / (serial_outputs(cols, weight_bits, n) * (weight_bits + ceil(log2(n))))


def magnitude_planes(input_bits: int) -> int:
    """Ternary bit planes of a signed input: max(1, b - 1); each turns word lines, inputs and neurons on once.

    NeuRRAM (Wan et al., Nature 608 (2022) 504) puts -1, 0 or 1 on a line, so the sign costs no plane of its own.
    """
    if input_bits < 1:
        raise SpecError(f"input_bits {input_bits}: must be at least 1")
    return max(1, input_bits - 1)

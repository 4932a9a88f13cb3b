"""Converters at the edge of a compute array: ADCs behind its columns, DACs or drivers before its rows.

One law holds all types; a type is told by which coefficients it has. Every law is stated at the part's own node and
supply; the macro moves it to its own.
"""

from __future__ import annotations

from math import ceil, log2
from typing import Literal

from pydantic import Field, model_validator

from hw_models.specs import Spec
from hw_models.units import Joules, Meters, Seconds, SquareMeters, Volts

AdcType = Literal["sar", "flash", "ramp", "sense_amp"]
AdcRange = Literal["full", "granular", "calibrated"]
DacType = Literal["voltage", "pulse"]

ENERGY_KEYS = ("energy_fixed", "energy_per_bit", "energy_per_bit2", "energy_per_level", "energy_per_unit_cap", "energy_per_pulse")
TIME_KEYS = ("time_fixed", "time_per_bit", "time_per_bit_row", "time_per_level")


class AdcSpec(Spec):
    """An analog-to-digital converter of `n_bits`.

    Energy of a conversion, J: fixed + per_bit b + per_bit2 b^2 + per_level (2^b - 1) + per_unit_cap 4^b. SAR logic
    and comparator go with b (b^2 where power and time both do), the capacitor array of a SAR with 4^b (kT/C), the
    comparators of a flash and the steps of a ramp with 2^b - 1. `energy_per_pulse_j` is added for every input pulse
    that an integrating converter sums up.
    Time, s: fixed + per_bit b + per_bit_row b n_rows + per_level (2^b - 1); area, m2: base * growth^b.
    `range`: `full` spreads the codes over every possible column sum, `granular` gives one code to each smallest step of a
    cell and clips beyond, `calibrated` places the range by observed sums. Errors in steps of the converter:
    `noise_lsb` fresh in each conversion, `offset_lsb` fixed for each converter; `gain_sigma` is the relative spread of gain.
    """

    type: AdcType
    n_bits: int = Field(ge=1, le=16)
    node_m: Meters
    supply_v: Volts
    energy_fixed_j: Joules = 0.0
    energy_per_bit_j: Joules = 0.0
    energy_per_bit2_j: Joules = 0.0
    energy_per_level_j: Joules = 0.0
    energy_per_unit_cap_j: Joules = 0.0
    energy_per_pulse_j: Joules = 0.0
    time_fixed_s: Seconds = 0.0
    time_per_bit_s: Seconds = 0.0
    time_per_bit_row_s: Seconds = 0.0
    time_per_level_s: Seconds = 0.0
    area_base_m2: SquareMeters
    area_growth: float = Field(default=1.0, ge=1)
    range: AdcRange = "calibrated"
    noise_lsb: float = Field(default=0.0, ge=0)
    offset_lsb: float = Field(default=0.0, ge=0)
    gain_sigma: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> AdcSpec:
        """Refuse a sense amplifier of several bits and a converter that costs nothing."""
        if self.type == "sense_amp" and self.n_bits != 1:
            raise ValueError(f"a sense amplifier decides 1 bit; got n_bits {self.n_bits}: choose type flash, sar or ramp")
        if self.conversion_j <= 0:
            raise ValueError("a conversion costs no energy; give at least one of " + ", ".join(ENERGY_KEYS[:-1]))
        if self.conversion_s(1) <= 0:
            raise ValueError("a conversion takes no time; give at least one of " + ", ".join(TIME_KEYS))
        return self

    @property
    def conversion_j(self) -> float:
        """Energy of one conversion in J at the part's node and supply, without input pulses."""
        b = self.n_bits
        linear = self.energy_fixed_j + self.energy_per_bit_j * b + self.energy_per_bit2_j * b * b
        return linear + self.energy_per_level_j * ((1 << b) - 1) + self.energy_per_unit_cap_j * (1 << 2 * b)

    def conversion_s(self, n_rows: int) -> float:
        """Time of one conversion in s at the part's node and supply, on a column of `n_rows` cells."""
        b = self.n_bits
        return self.time_fixed_s + b * (self.time_per_bit_s + self.time_per_bit_row_s * n_rows) + self.time_per_level_s * ((1 << b) - 1)

    @property
    def area_m2(self) -> float:
        """Area in m2 at the part's node: base * growth^b."""
        return float(self.area_base_m2 * self.area_growth**self.n_bits)


class DacSpec(Spec):
    """What drives a row with up to `n_bits` of the input at once.

    `voltage` puts one level on the row; `pulse` gives 2^b - 1 pulses at full scale, so that row, cell and
    integrating converter spend in proportion to the value. Energy of a drive at full scale, J:
    per_bit b + doubling 2^(b-1); the charge of the row's own wire and gates is counted with the cells.
    Area, m2: base * growth^b; time, s: fixed + per_bit b.
    """

    type: DacType = "voltage"
    n_bits: int = Field(default=1, ge=1, le=12)
    node_m: Meters
    supply_v: Volts
    energy_per_bit_j: Joules = 0.0
    energy_doubling_j: Joules = 0.0
    time_fixed_s: Seconds = 0.0
    time_per_bit_s: Seconds = 0.0
    area_base_m2: SquareMeters
    area_growth: float = Field(default=1.0, ge=1)

    @property
    def drive_j(self) -> float:
        """Energy of driving one row at full scale, in J at the part's node and supply."""
        return float(self.energy_per_bit_j * self.n_bits + self.energy_doubling_j * 2 ** (self.n_bits - 1))

    @property
    def drive_s(self) -> float:
        """Time until a row stands, in s at the part's node and supply."""
        return self.time_fixed_s + self.time_per_bit_s * self.n_bits

    @property
    def area_m2(self) -> float:
        """Area in m2 at the part's node: base * growth^b."""
        return float(self.area_base_m2 * self.area_growth**self.n_bits)

    def n_pulses(self, bits: int) -> int:
        """Pulses of a full-scale input of `bits`: 2^bits - 1 when values are pulse counts, else 1."""
        return 2**bits - 1 if self.type == "pulse" else 1


def lossless_adc_bits(n_rows: int, input_bits: int, cell_bits: int) -> int:
    """Bits that tell every possible column sum apart: ceil(log2(rows (2^b_in - 1) (2^b_cell - 1) + 1))."""
    return ceil(log2(n_rows * (2**input_bits - 1) * (2**cell_bits - 1) + 1))

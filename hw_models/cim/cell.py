"""Memory cells of a compute array: what one cell, and one column of cells, spends when it is read or written."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from hw_models.specs import Spec
from hw_models.units import Farads, Joules, Meters, Ohms, Seconds, SquareMeters, Volts, Watts

CellKind = Literal["sram", "edram", "reram", "pcm", "mram", "fefet", "flash"]
Domain = Literal["charge", "current", "resistive", "digital"]

VOLATILE: frozenset[str] = frozenset({"sram", "edram"})


class CellSpec(Spec):
    """One cell, at the node it was designed in.

    `bitline_cap_f` and `wordline_cap_f` are what one cell adds to its column and to its row; `unit_cap_f` is
    switched by one multiplication: the coupling capacitor (charge domain) or the multiplying gate (digital).
    A resistive cell has its two extreme resistances, read voltage and read time, or `read_energy_j`: the energy
    of one driven cell as published, averaged over the data, in place of V^2 G t. `write_energy_j` and
    `write_time_s` are those of one pulse, of which programming takes `n_write_pulses` with verify reads in them.
    `v_min_v` is the lowest supply at which the cell works, `endurance` the number of writes it survives.
    `noise` names a part under `noise/` whose statistics the cell follows; without it `programming_sigma` (once for each cell) and
    `read_sigma` (fresh in each pass) are standard deviations over the full range of the cell's level, independent of the level.
    `stuck_on`, `stuck_off` are the shares of cells stuck at full and at zero level; `wire_ohm` is the resistance of row and
    of column wire from one cell to the next.
    """

    kind: CellKind
    node_m: Meters
    max_bits: int = Field(ge=1, le=8)
    area_m2: SquareMeters
    bitline_cap_f: Farads
    wordline_cap_f: Farads
    unit_cap_f: Farads = 0.0
    wordline_voltage_v: Volts | None = None
    r_lrs_ohm: Ohms | None = None
    r_hrs_ohm: Ohms | None = None
    read_voltage_v: Volts | None = None
    read_energy_j: Joules | None = None
    read_time_s: Seconds
    write_energy_j: Joules
    write_time_s: Seconds
    n_write_pulses: float = Field(default=1.0, ge=1)
    v_min_v: Volts | None = None
    endurance: float | None = Field(default=None, gt=0)
    leakage_w: Watts = 0.0
    noise: str | None = None
    programming_sigma: float = Field(default=0.0, ge=0)
    read_sigma: float = Field(default=0.0, ge=0)
    stuck_on: float = Field(default=0.0, ge=0, le=1)
    stuck_off: float = Field(default=0.0, ge=0, le=1)
    wire_ohm: Ohms = 0.0

    @model_validator(mode="after")
    def _check(self) -> CellSpec:
        """Refuse resistances of which one is missing, zero, or the wrong way round."""
        low, high = self.r_lrs_ohm, self.r_hrs_ohm
        if self.stuck_on + self.stuck_off > 1:
            shares = f"stuck_on {self.stuck_on:g} and stuck_off {self.stuck_off:g}"
            raise ValueError(f"{shares} are shares of all cells; their sum must be at most 1")
        if (low is None) != (high is None):
            raise ValueError("r_lrs and r_hrs belong together; give both or neither")
        if low is not None and high is not None and (low <= 0 or high < low):
            raise ValueError(f"on/off ratio r_hrs / r_lrs is {high:g} / {low:g} ohm; it must be at least 1, with r_lrs above 0")
        return self

    @property
    def is_non_volatile(self) -> bool:
        """Whether the cell keeps its weight without power."""
        return self.kind not in VOLATILE

    @property
    def on_off_ratio(self) -> float | None:
        """High over low resistance; None where the cell is not a resistor."""
        return self.r_hrs_ohm / self.r_lrs_ohm if self.r_hrs_ohm and self.r_lrs_ohm else None

    def conductance(self, density: float) -> float:
        """Mean conductance in S of a cell whose stored value averages `density` of full scale: G_hrs + d (G_lrs - G_hrs)."""
        if not self.r_hrs_ohm or not self.r_lrs_ohm:
            return 0.0
        return 1 / self.r_hrs_ohm + density * (1 / self.r_lrs_ohm - 1 / self.r_hrs_ohm)

    def driven_j(self, domain: Domain, supply_v: float, density: float) -> float:
        """Energy in J of one cell in one pass while its row is driven at full scale.

        resistive: V_read^2 G(density) t_read, or the published energy in proportion to the conductance above that of
        density 0.5; charge: C_unit V^2 density (capacitors of products that are 1, charged from the supply);
        digital: C_gate V^2 density; current: the discharge is counted by the column. Source: CiMLoop's component
        equations (Andrulis et al., ISPASS 2024).
        """
        if domain == "resistive":
            if self.read_energy_j is not None:
                average = self.conductance(0.5)
                return self.read_energy_j * (self.conductance(density) / average if average > 0 else 2 * density)
            return (self.read_voltage_v or 0.0) ** 2 * self.conductance(density) * self.read_time_s
        return self.unit_cap_f * supply_v**2 * density

    def column_j(self, domain: Domain, supply_v: float, n_rows: int, swing: float) -> float:
        """Energy in J of moving one column's line of `n_rows` cells by `swing`, a fraction of its full voltage.

        charge, current: C_line (swing V) V; resistive: C_line V_read^2 swing; digital: no analog line. Charge drawn
        from the supply, restored before the next pass.
        """
        line_f = n_rows * self.bitline_cap_f
        if domain == "digital":
            return 0.0
        if domain == "resistive":
            return line_f * (self.read_voltage_v or 0.0) ** 2 * swing
        return line_f * supply_v**2 * swing

    def row_j(self, supply_v: float, n_cols: int) -> float:
        """Energy in J of driving one row of `n_cols` cells once: C_wl n_cols V_wl^2."""
        return n_cols * self.wordline_cap_f * (self.wordline_voltage_v or supply_v) ** 2

    @property
    def write_j(self) -> float:
        """Energy in J of programming one cell: pulses * energy of a pulse."""
        return self.n_write_pulses * self.write_energy_j

    @property
    def write_s(self) -> float:
        """Time in s of programming one cell, or all cells programmed with it: pulses * time of a pulse."""
        return self.n_write_pulses * self.write_time_s

"""A set of equal compute-in-memory macros with the buffers, wires and lanes around them, as a part file gives it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from hw_models.cim.cell import CellSpec, Domain
from hw_models.cim.converter import AdcSpec, DacSpec, lossless_adc_bits
from hw_models.cim.logic import LogicSpec, VectorSpec
from hw_models.specs import Spec
from hw_models.technology import THRESHOLD_V, check_node
from hw_models.units import Bytes, Hertz, Meters, Seconds, Volts, Watts
from workloads.errors import SpecError

Encoding = Literal["offset", "differential", "differential_rows", "magnitude"]
Subtraction = Literal["analog", "digital"]


class CimMacroSpec(Spec):
    """`n_macros` arrays of `rows` x `cols` cells; a chip names it `kind: cim_macro`.

    Array. `rows_active` rows work at once (default: all). A weight of B bits is cut in slices of `bits_per_cell`.
    `encoding`: `offset` stores w + 2^(B-1) in one device a slice; `differential` stores |w| in one of two columns,
    `differential_rows` in one of two rows, the sign being which one, so that B - 1 bits are sliced; `magnitude` stores
    |w| in one device that has a sign. The two columns of a pair are subtracted before the ADC, or with `subtraction: digital`
    each is converted by itself and their codes are. Digital macros sum `tree_bits` wide groups of columns in adder trees.
    Input. `input_bits_per_pass` of an activation enter at a time; `input_phases` more passes when the encoding asks.
    Converters. `n_adcs` a macro share its columns. `settle` is the time a line takes to settle beyond the cell's own.
    `pipelined` overlaps driving, converting and adding.
    `vector_ops` lets the vector lanes also take pooling and element-wise ops that need no exponential.
    Digital. `clock` runs lanes, registers and the H-tree, which moves `link_bits` a cycle and, with `sums_in_tree`, adds the
    sums of row tiles where its branches meet instead of leaving that to the lanes. `accumulator_bits` is the
    width of a partial sum, of which a macro keeps `n_accumulators` between passes (default: one for each column sum);
    `input_register_bits` are held at each row.
    Weights. `cells_per_write` cells of a row (default: all) are programmed at once, in `macros_per_write` macros.
    `scratch_macros` are kept free for weights that do not stay; `max_duplication` copies of an op's weights may share
    its vectors.
    Mean values. `input_density` is the mean of a row's drive over full scale, the toggle rate of 1-bit inputs;
    `weight_density` that of a stored weight slice. Both are assumptions about data: give them ranges.
    Idle. Without `idle` the device idles at the leakage of all its parts; one whose cells keep their weights without
    power can gate the macros that do nothing, and says with `idle` what remains.
    Overheads. `control_energy_share`, `control_area_share`: part of the total that clock, control and the rest take;
    `row_gates`, `col_gates`: NAND2 areas of decoder and driver at a row, of multiplexer and write driver at a column.
    """

    n_macros: int = Field(ge=1)
    rows: int = Field(ge=1)
    cols: int = Field(ge=1)
    rows_active: int | None = Field(default=None, ge=1)
    node_m: Meters
    supply_v: Volts
    domain: Domain
    cell: CellSpec
    bits_per_cell: int = Field(default=1, ge=1)
    encoding: Encoding = "offset"
    subtraction: Subtraction = "analog"
    tree_bits: int = Field(default=1, ge=1)
    dac: DacSpec
    input_bits_per_pass: int = Field(default=1, ge=1)
    input_phases: int = Field(default=1, ge=1)
    adc: AdcSpec | None = None
    n_adcs: int = Field(default=0, ge=0)
    settle_s: Seconds = 0.0
    pipelined: bool = True
    logic: LogicSpec
    vector: VectorSpec
    vector_ops: bool = False
    clock_hz: Hertz
    link_bits: int = Field(ge=1)
    sums_in_tree: bool = False
    accumulator_bits: int = Field(ge=1, le=64)
    n_accumulators: int | None = Field(default=None, ge=1)
    input_register_bits: int = Field(default=8, ge=0)
    input_buffer_bytes: Bytes
    output_buffer_bytes: Bytes
    buffer_bits: int = Field(ge=1)
    buffer_cell: Literal["hp", "lstp"] = "lstp"
    cells_per_write: int | None = Field(default=None, ge=1)
    macros_per_write: int = Field(default=1, ge=1)
    scratch_macros: int = Field(default=0, ge=0)
    max_duplication: int = Field(default=1, ge=1)
    input_density: float = Field(ge=0, le=1)
    weight_density: float = Field(ge=0, le=1)
    row_gates: float = Field(ge=0)
    col_gates: float = Field(ge=0)
    control_energy_share: float = Field(ge=0, lt=1)
    control_area_share: float = Field(ge=0, lt=1)
    launch_s: Seconds = 0.0
    idle_w: Watts | None = None

    @model_validator(mode="after")
    def _check(self) -> CimMacroSpec:
        """Refuse what no array can be: see the messages."""
        self._check_array()
        self._check_converters()
        self._check_supply()
        return self

    def _check_array(self) -> None:
        if self.rows_active is not None and self.rows_active > self.rows:
            raise ValueError(f"rows_active {self.rows_active} is more than the {self.rows} rows there are")
        if self.bits_per_cell > self.cell.max_bits:
            held = f"the {self.cell.max_bits} that this {self.cell.kind} cell can hold (cell.max_bits)"
            raise ValueError(f"bits_per_cell {self.bits_per_cell} is more than {held}")
        if self.encoding == "differential_rows" and self.rows < 2:
            raise ValueError("encoding differential_rows needs at least 2 rows")
        if self.subtraction == "digital" and self.encoding != "differential":
            raise ValueError(f"subtraction digital needs pairs of columns; encoding is {self.encoding}, choose differential")
        if self.scratch_macros >= self.n_macros:
            raise ValueError(f"scratch_macros {self.scratch_macros} leaves none of {self.n_macros} macros for weights that stay")
        if self.domain == "resistive" and self.cell.read_energy_j is None and not (self.cell.on_off_ratio and self.cell.read_voltage_v):
            raise ValueError("a resistive macro needs cell.r_lrs, cell.r_hrs and cell.read_voltage, or cell.read_energy")
        if self.domain in {"charge", "digital"} and self.cell.unit_cap_f <= 0:
            raise ValueError(f"a {self.domain} macro needs cell.unit_cap: what one multiplication switches")

    def _check_converters(self) -> None:
        if self.input_bits_per_pass > self.dac.n_bits:
            raise ValueError(f"input_bits_per_pass {self.input_bits_per_pass} is more than the {self.dac.n_bits} bits of the dac")
        if self.domain == "digital":
            if self.adc is not None or self.n_adcs:
                raise ValueError("a digital macro has adder trees and no adc; leave adc and n_adcs out")
            if self.bits_per_cell != 1 or self.encoding != "offset":
                raise ValueError("a digital macro holds 1 bit in a cell, in two's complement; leave bits_per_cell and encoding out")
            if self.cols % self.tree_bits:
                raise ValueError(f"tree_bits {self.tree_bits} does not divide the {self.cols} columns")
            return
        if self.adc is None or not 1 <= self.n_adcs <= self.cols:
            raise ValueError(f"a {self.domain} macro needs an adc and n_adcs between 1 and its {self.cols} columns; got {self.n_adcs}")
        if self.tree_bits != 1:
            raise ValueError(f"tree_bits {self.tree_bits} belongs to digital macros; leave it out")

    def _check_supply(self) -> None:
        least_v = self.cell.v_min_v
        if least_v is not None and self.supply_v < least_v:
            raise ValueError(f"supply {self.supply_v:g} V is below the {least_v:g} V that this {self.cell.kind} cell needs (cell.v_min)")
        converters: list[AdcSpec | DacSpec] = [self.dac, *([self.adc] if self.adc else [])]
        lowest_v = min(self.supply_v, self.logic.supply_v, *(part.supply_v for part in converters))
        if lowest_v <= THRESHOLD_V:
            raise ValueError(f"supply {lowest_v:g} V is not above the threshold of {THRESHOLD_V:g} V; raise it")
        try:
            for node_m in (self.node_m, self.cell.node_m, self.logic.node_m, *(part.node_m for part in converters)):
                check_node(node_m)
        except SpecError as error:
            raise ValueError(str(error)) from None

    @property
    def n_rows_active(self) -> int:
        """Rows that work at once."""
        return self.rows_active or self.rows

    @property
    def n_sums(self) -> int:
        """Partial sums that a macro keeps between passes."""
        return self.n_accumulators or self.cols // (self.col_devices * self.tree_bits)

    @property
    def row_devices(self) -> int:
        """Rows that one input takes."""
        return 2 if self.encoding == "differential_rows" else 1

    @property
    def col_devices(self) -> int:
        """Columns that one weight slice takes."""
        return 2 if self.encoding == "differential" else 1

    @property
    def slice_reads(self) -> int:
        """Conversions that one weight slice takes: two where the columns of a pair are converted each by itself."""
        return 2 if self.subtraction == "digital" else 1

    @property
    def read_columns(self) -> int:
        """Columns whose sums, or whose difference, one conversion reads."""
        return self.col_devices // self.slice_reads

    @property
    def sign_bits(self) -> int:
        """Bits of a weight that are kept in the choice of a device instead of in its level."""
        return 0 if self.encoding == "offset" else 1

    @property
    def has_signed_sums(self) -> bool:
        """Whether a converter sees sums of both signs."""
        return self.sign_bits > 0 and self.slice_reads == 1

    @property
    def lossless_adc_bits(self) -> int:
        """ADC bits that would lose nothing, one of them a sign where sums have one.

        Rows of a differential pair count once, as only one of them holds a level.
        """
        n_rows = max(1, self.n_rows_active // self.row_devices)
        return lossless_adc_bits(n_rows, self.input_bits_per_pass, self.bits_per_cell) + int(self.has_signed_sums)

    @property
    def adc_deficit_bits(self) -> int:
        """Bits by which the ADC falls short of lossless; `hw_models.cim.error` says what that costs."""
        return max(0, self.lossless_adc_bits - self.adc.n_bits) if self.adc else 0

"""SRAM: CACTI 7 tables interpolated log-log in capacity, width and node, held against published access energies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from math import exp, log, sqrt
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from hw_models.cost import Spread
from hw_models.memory.base import Memory
from hw_models.memory.registry import memory
from hw_models.specs import Spec
from hw_models.technology import (
    LEAKAGE_FACTOR,
    Curve,
    check_node,
    logic_leakage,
    polynomial_energy,
    published_sram_ratio,
    read_table,
    scale_area,
    scale_delay,
    wire_energy,
)
from hw_models.units import Bytes, BytesPerSecond, Hertz, Joules, Meters, SquareMeters, Watts
from workloads.errors import SpecError, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable

Cell = Literal["hp", "lstp"]
TABLE_MIN_BYTES, TABLE_MAX_BYTES = 1024.0, 4.0 * 2**20
SMALLEST_BYTES = 64.0  # below this a buffer is a few registers; energy per access stays that of 64 B
TABLE_NODES = (22, 32, 45, 65)
# 90 % factor of access energy is never below this: half (in log) of Horowitz over CACTI at 45 nm, which is 1.9 at 8 KiB,
# 1.3 at 32 KiB and 1.5 at 1 MiB.
SRAM_FACTOR_MIN = 1.38
_UNITS = {"read_energy_pJ": 1e-12, "write_energy_pJ": 1e-12, "leakage_mW": 1e-3, "area_mm2": 1e-6, "access_ns": 1e-9, "cycle_ns": 1e-9}


@dataclass(frozen=True, slots=True)
class SramAccess:
    """One bank: energy per access, leakage, area, access and cycle time; `factor` is the 90 % factor of the energies."""

    read_j: float
    write_j: float
    leakage_w: float
    area_m2: float
    access_s: float
    factor: float
    cycle_s: float
    extrapolated: bool = False


@cache
def _curves() -> dict[tuple[str, int, int, str], Curve]:
    """CACTI columns against capacity, by (cell, width, node in nm, column)."""
    points: dict[tuple[str, int, int, str], dict[float, float]] = {}
    for row in read_table("sram_energy.csv"):
        if row["source"].startswith("CACTI"):
            for column, unit in _UNITS.items():
                key = (row["cell_type"].removeprefix("itrs-"), int(row["width_bits"]), int(row["node_nm"]), column)
                points.setdefault(key, {})[float(row["capacity_bytes"])] = float(row[column]) * unit
    return {key: Curve.through(values) for key, values in points.items()}


@cache
def _published() -> dict[float, float]:
    """Published 64-bit access energies at 45 nm (Horowitz, ISSCC 2014) by capacity."""
    rows = [row for row in read_table("sram_energy.csv") if row["source"].startswith("Horowitz")]
    return {float(row["capacity_bytes"]): float(row["read_energy_pJ"]) * 1e-12 for row in rows}


def _cacti(column: str, capacity_bytes: float, width_bits: int, node_nm: float, cell: str) -> float:
    """One CACTI column at a tabulated width, log-log in capacity and node (22 to 65 nm)."""
    curves = _curves()

    def at(node: int) -> float:
        if (cell, width_bits, node, column) in curves:
            return curves[cell, width_bits, node, column].at(capacity_bytes)
        # LSTP cells are tabulated at 64 bit only: they take the ratio of widths from HP cells.
        ratio = curves["hp", width_bits, node, column].at(capacity_bytes) / curves["hp", 64, node, column].at(capacity_bytes)
        return curves[cell, 64, node, column].at(capacity_bytes) * ratio

    return Curve.through({float(node): at(node) for node in TABLE_NODES}).at(node_nm)


def _energy_at_width(column: str, capacity_bytes: float, width_bits: float, node_nm: float, cell: str) -> float:
    """Access energy at a width: log-log through 64 and 256 bit; below 64 the slope is held between 0 and 1."""
    narrow, wide = (_cacti(column, capacity_bytes, width, node_nm, cell) for width in (64, 256))
    slope = log(wide / narrow) / log(4)
    if width_bits < 64:
        slope = min(max(slope, 0.0), 1.0)
    return narrow * exp(slope * log(width_bits / 64))


def _published_over_cacti(capacity_bytes: float, node_m: float) -> float:
    """Ratio of published to CACTI energy at 64 bit, HP: Horowitz at 45 nm moved by Jouppi's ratios; clamped to 8 KiB ... 1 MiB."""
    ratios = {}
    for size, energy_j in _published().items():
        law = published_sram_ratio(size)
        published_j = energy_j * exp(law.log_at(node_m) - law.log_at(45e-9))
        ratios[size] = published_j / (_cacti("read_energy_pJ", size, 64, _table_nm(node_m), "hp") * _beyond_table(node_m))
    return Curve.through(ratios).at(min(max(capacity_bytes, min(ratios)), max(ratios)))


def _table_nm(node_m: float) -> float:
    """Nearest node in nm that CACTI's tables span."""
    return min(max(node_m * 1e9, float(TABLE_NODES[0])), float(TABLE_NODES[-1]))


def _beyond_table(node_m: float) -> float:
    """Energy at a node over energy at the nearest node of the tables, by the HP polynomial."""
    law = polynomial_energy()
    return exp(law.log_at(node_m) - law.log_at(_table_nm(node_m) * 1e-9))


@lru_cache(maxsize=65536)
def sram_access(capacity_bytes: float, width_bits: float, node_m: float, cell: Cell = "hp") -> SramAccess:
    """Cost of one access of `width_bits` to one bank of SRAM, and what the bank leaks and covers.

    Energy is the geometric mean of CACTI 7 and of the published line (Horowitz 45 nm, Jouppi 7 nm), the factor the
    square root of their ratio. Wider than 256 bit: width / 256 banks side by side. Below 1 KiB: energy ~ sqrt(capacity)
    down to 64 B, area and leakage ~ capacity. Above 4 MiB: banks of 4 MiB, with half the extra edge of the block as wire.
    Outside 22-65 nm: polynomial energy, area and delay laws; leakage as the density of logic leakage.
    Raises SpecError for a node outside 5-180 nm, an unknown cell, or a size that is not positive.
    """
    check_node(node_m)
    if cell not in {"hp", "lstp"}:
        raise SpecError(f"SRAM cell {cell!r} is not known; {suggest(cell, ('hp', 'lstp'))}")
    if capacity_bytes <= 0 or width_bits <= 0:
        raise SpecError(f"SRAM of {capacity_bytes:g} B with a port of {width_bits:g} bit: both have to be positive")
    if width_bits > 256:
        n = width_bits / 256
        return _side_by_side(sram_access(capacity_bytes / n, 256, node_m, cell), n)
    if capacity_bytes > TABLE_MAX_BYTES:
        n = capacity_bytes / TABLE_MAX_BYTES
        bank = sram_access(TABLE_MAX_BYTES, width_bits, node_m, cell)
        wire_j = bank_wire_j(bank.area_m2, n, width_bits, node_m)
        bank = replace(bank, read_j=bank.read_j + wire_j, write_j=bank.write_j + wire_j, extrapolated=True)
        return replace(bank, leakage_w=bank.leakage_w * n, area_m2=bank.area_m2 * n)
    return _one_bank(capacity_bytes, width_bits, node_m, cell)


def _one_bank(capacity_bytes: float, width_bits: float, node_m: float, cell: Cell) -> SramAccess:
    """A bank of at most 4 MiB and 256 bit."""
    size, node_nm = max(capacity_bytes, TABLE_MIN_BYTES), _table_nm(node_m)
    ratio = _published_over_cacti(size, node_m)
    small = sqrt(max(capacity_bytes, SMALLEST_BYTES) / size)
    energy = small * _beyond_table(node_m) * sqrt(ratio)
    area = scale_area(node_nm * 1e-9, node_m).value * capacity_bytes / size
    delay = scale_delay(node_nm * 1e-9, node_m).value
    leakage = area * logic_leakage(node_m).value / logic_leakage(node_nm * 1e-9).value
    column_width = 64 if width_bits < 160 else 256  # area, leakage and time hardly depend on width

    def column(name: str) -> float:
        return _cacti(name, size, column_width, node_nm, cell)

    return SramAccess(
        read_j=_energy_at_width("read_energy_pJ", size, width_bits, node_nm, cell) * energy,
        write_j=_energy_at_width("write_energy_pJ", size, width_bits, node_nm, cell) * energy,
        leakage_w=column("leakage_mW") * leakage,
        area_m2=column("area_mm2") * area,
        access_s=column("access_ns") * delay,
        factor=max(sqrt(max(ratio, 1 / ratio)), SRAM_FACTOR_MIN),
        cycle_s=column("cycle_ns") * delay,
        extrapolated=capacity_bytes < TABLE_MIN_BYTES or abs(node_nm - node_m * 1e9) > 1e-6,
    )


def _side_by_side(bank: SramAccess, n: float) -> SramAccess:
    """Return n banks that are read together as one wide word."""
    sums = {name: getattr(bank, name) * n for name in ("read_j", "write_j", "leakage_w", "area_m2")}
    return replace(bank, **sums)


def bank_wire_j(bank_area_m2: float, n_banks: float, width_bits: float, node_m: float) -> float:
    """Energy of taking one word across a block of n banks: half the edge that the block has beyond its bank's, per bit."""
    length_m = 0.5 * (sqrt(bank_area_m2 * n_banks) - sqrt(bank_area_m2))
    return width_bits * length_m * wire_energy(node_m).value


class SramSpec(Spec):
    """An on-chip SRAM of equal banks, each with one port of `width_bits`; give `clock` or `bandwidth`.

    `read`, `write` (J per access of one bank), `leakage` and `area` (of the whole) replace what the tables say.
    """

    capacity_bytes: Bytes
    n_banks: PositiveInt = 1
    width_bits: PositiveInt
    node_m: Meters
    cell: Cell = "hp"
    clock_hz: Hertz | None = None
    bandwidth_bytes_per_s: BytesPerSecond | None = None
    read_j: Joules | None = Field(default=None)
    write_j: Joules | None = Field(default=None)
    leakage_w: Watts | None = Field(default=None)
    area_m2: SquareMeters | None = Field(default=None)

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if (self.clock_hz is None) == (self.bandwidth_bytes_per_s is None):
            raise ValueError("give either `clock` or `bandwidth`, not both and not none")
        try:
            check_node(self.node_m)
        except SpecError as error:
            raise ValueError(str(error)) from None
        return self


@memory("sram")
class Sram(Memory):
    """On-chip SRAM: energy per bank access plus the wires between banks, leakage of all banks."""

    spec_class = SramSpec
    spec: SramSpec

    def __init__(self, name: str, spec: SramSpec) -> None:
        """Evaluate one bank and the wires between banks once."""
        super().__init__(name, spec)
        self.bank = sram_access(spec.capacity_bytes / spec.n_banks, spec.width_bits, spec.node_m, spec.cell)
        bank_m2 = self.bank.area_m2 if spec.area_m2 is None else spec.area_m2 / spec.n_banks
        self.wire_j = bank_wire_j(bank_m2, spec.n_banks, spec.width_bits, spec.node_m)

    @property
    def capacity_bytes(self) -> float:
        """Bytes it holds."""
        return self.spec.capacity_bytes

    @property
    def peak_bytes_per_s(self) -> float:
        """Width of all banks times the clock, or the bandwidth given."""
        if self.spec.clock_hz is None:
            return self.spec.bandwidth_bytes_per_s or 0.0
        return self.spec.n_banks * self.spec.width_bits / 8 * self.spec.clock_hz

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Peak, or what the cycle time of the banks allows if that is less than the clock or the bandwidth given asks."""
        return min(self.peak_bytes_per_s, self._cycle_bytes_per_s())

    @property
    def bandwidth_limit(self) -> str:
        """Return "stated bandwidth", "bank cycle time" or "port width x clock"."""
        if self._cycle_bytes_per_s() < self.peak_bytes_per_s:
            return "bank cycle time"
        return "stated bandwidth" if self.spec.clock_hz is None else "port width x clock"

    def _cycle_bytes_per_s(self) -> float:
        return self.spec.n_banks * self.spec.width_bits / 8 / self.bank.cycle_s

    @property
    def first_access_s(self) -> float:
        """Access time of a bank, in whole clocks where there is a clock."""
        if self.spec.clock_hz is None:
            return self.bank.access_s
        return -(-self.bank.access_s * self.spec.clock_hz // 1) / self.spec.clock_hz

    def energy_parts_j(self, read_bytes: float, write_bytes: float) -> dict[str, float]:
        """Accesses times energy per access: bytes / (width / 8) each."""
        read_j = self.bank.read_j + self.wire_j if self.spec.read_j is None else self.spec.read_j
        write_j = self.bank.write_j + self.wire_j if self.spec.write_j is None else self.spec.write_j
        per_byte = 8 / self.spec.width_bits
        return {"read": read_bytes * per_byte * read_j, "write": write_bytes * per_byte * write_j}

    @property
    def standby_parts_w(self) -> dict[str, float]:
        """Leakage of all banks."""
        return {"leakage": self.bank.leakage_w * self.spec.n_banks if self.spec.leakage_w is None else self.spec.leakage_w}

    @property
    def area_m2(self) -> float:
        """Area of all banks."""
        return self.bank.area_m2 * self.spec.n_banks if self.spec.area_m2 is None else self.spec.area_m2

    @property
    def spreads(self) -> dict[str, tuple[Spread, ...]]:
        """What each energy rests on: the tables' disagreement, or what the file says of its own number."""
        from_table = {"read": Spread("technology.sram", self.bank.factor), "write": Spread("technology.sram", self.bank.factor)}
        from_table["leakage"] = Spread("technology.sram_leakage", LEAKAGE_FACTOR)
        given = {"read": self.spec.read_j, "write": self.spec.write_j, "leakage": self.spec.leakage_w}
        return {key: (spread,) if given[key] is None else self.spec.spread("sram", key) for key, spread in from_table.items()}

    @property
    def assumed(self) -> frozenset[str]:
        """Own numbers that are declared assumed; leakage also when the choice of cell is."""
        own = _assumed(self.spec, ("read", "write", "leakage"))
        return own | {"leakage"} if self.spec.leakage_w is None and self.spec.is_assumed("cell") else own


def _assumed(spec: Spec, keys: Iterable[str]) -> frozenset[str]:
    return frozenset(key for key in keys if spec.is_assumed(key))

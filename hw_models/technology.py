"""Technology: energy, delay, area and leakage at any node, with the disagreement between scaling laws kept as a factor.

A law is a curve of a quantity against node size, known up to a constant, log-log between its points. Where two
laws exist the nominal is their geometric mean and the 90 % factor the square root of their ratio, so both lie
on the edge of the interval. From 45 to 7 nm the polynomial fits say 18 times less energy, silicon vendors' own
figures 2.9 times less: pretending to know better would be the larger error.

Sources, in `parts/technology/`: Stillmaker & Baas, Integration 58 (2017) 74-81, HP fits at nominal supplies (fits of
LP and HP devices are never mixed); Jouppi et al., ISCA 2021, Table 2 (45 and 7 nm); Horowitz, ISSCC 2014.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from math import exp, hypot, log, sqrt
from pathlib import Path

from hw_models.cost import Spread
from workloads.errors import SpecError, suggest

TABLES = Path(__file__).parent / "parts" / "technology"
NODE_MIN_M, NODE_MAX_M = 5e-9, 180e-9
HOROWITZ_M, JOUPPI_M = 45e-9, 7e-9

# 90 % factor between energy tables of one op at one node: half (in log) of the distance from Horowitz to the Aladdin
# library, both near 45 nm (int add 0.1 and 0.21 pJ, int mult 3.1 and 12.7 pJ at 32 bit). Floats take the multiplier's:
# Aladdin's 35 pJ fp32 multiply would, scaled, exceed the 1.4 pJ/flop that a whole A100 draws. assumed
ADD_TABLE_FACTOR, MULTIPLY_TABLE_FACTOR = 1.45, 2.0
# 90 % factor of one-off figures. assumed: the size of the spread above; for wires, NVIDIA's 28 nm budget gives 0.05, 0.10 and
# 0.20 pJ/bit/mm for 64-bit moves over 1, 10 and 20 mm beside its 0.2 per wire.
SINGLE_FACTOR = 2.0
LEAKAGE_FACTOR = 3.0  # assumed: 90 % factor of leakage densities; temperature alone moves them 2x per 20-30 K
INSTRUCTION_45NM_J = 70e-12  # fetch, decode, control, registers of an in-order core: Horowitz, ISSCC 2014
# One bit of a register: Aladdin library as shipped with Accelergy (40-45 nm, 2 to 18 times above Horowitz for the same op), and a
# flip-flop of three NAND2 loads of 0.7 fF at 0.9 V, the unit gates that ZigZag-IMC fits to fabricated 28 nm macros.
REGISTER_BIT_45NM_J, REGISTER_BIT_28NM_J = 0.009e-12, 3 * 0.7e-15 * 0.9**2
ALPHA = 1.3  # assumed: exponent of the alpha-power law, 1.2-1.5 in short channels (Sakurai & Newton, JSSC 1990)
THRESHOLD_V = 0.35  # assumed: threshold voltage of standard-Vt logic

_OPS = {
    "int add": "int add", "int mult": "int mult", "fp add": "fp add", "fp mult": "fp mult",
    "bf16 add": "bfloat16 add", "bf16 mult": "bfloat16 mult",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scaled:
    """A value and the factor (>= 1) that holds the true one with 90 % probability either way.

    `extrapolated` says that a node, width or capacity lies outside what a law or table was fitted to.
    """

    value: float
    factor: float
    extrapolated: bool = False

    def times(self, other: Scaled | float) -> Scaled:
        """Product; independent factors combine as root of summed squared logarithms."""
        if not isinstance(other, Scaled):
            return Scaled(self.value * other, self.factor, self.extrapolated)
        factor = exp(hypot(log(self.factor), log(other.factor)))
        return Scaled(self.value * other.value, factor, self.extrapolated or other.extrapolated)

    def plus(self, other: Scaled) -> Scaled:
        """Sum; the factor is the value-weighted mean, as if both erred together (never too narrow)."""
        total = self.value + other.value
        factor = (self.value * self.factor + other.value * other.factor) / total if total > 0 else max(self.factor, other.factor)
        return Scaled(total, factor, self.extrapolated or other.extrapolated)

    def spreads(self, name: str) -> tuple[Spread, ...]:
        """Return the factor as a named spread, or nothing when it is 1."""
        return (Spread(name, self.factor),) if self.factor > 1 else ()


@dataclass(frozen=True)
class Curve:
    """A quantity against another, log-log: straight between points, the end slopes carried on outside."""

    log_x: tuple[float, ...]
    log_y: tuple[float, ...]

    @classmethod
    def through(cls, points: dict[float, float]) -> Curve:
        """Make the curve through points {x: y}, all positive."""
        return cls(tuple(log(x) for x in sorted(points)), tuple(log(points[x]) for x in sorted(points)))

    def log_at(self, x: float) -> float:
        """Natural logarithm of the quantity at x."""
        if len(self.log_x) == 1:
            return self.log_y[0]
        at = log(x)
        i = min(max(bisect_right(self.log_x, at), 1), len(self.log_x) - 1)
        slope = (self.log_y[i] - self.log_y[i - 1]) / (self.log_x[i] - self.log_x[i - 1])
        return self.log_y[i - 1] + slope * (at - self.log_x[i - 1])

    def at(self, x: float) -> float:
        """Return the quantity at x."""
        return exp(self.log_at(x))

    def covers(self, x: float) -> bool:
        """Whether x lies between the outermost points."""
        return self.log_x[0] - 1e-9 <= log(x) <= self.log_x[-1] + 1e-9


def read_table(name: str) -> list[dict[str, str]]:
    """Rows of a CSV in `parts/technology/`."""
    with (TABLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def check_node(node_m: float) -> None:
    """Raise SpecError unless 5 nm <= node <= 180 nm."""
    if not NODE_MIN_M * (1 - 1e-9) <= node_m <= NODE_MAX_M * (1 + 1e-9):
        raise SpecError(f"node {node_m * 1e9:g} nm: technology scaling covers 5 nm to 180 nm; choose a node in that range")


@cache
def _scaling_rows() -> list[dict[str, str]]:
    return read_table("tech_scaling.csv")


def _points(kind: str, quantity: str = "") -> dict[float, float]:
    """Rows of one kind as {node in m: value}."""
    rows = (row for row in _scaling_rows() if row["kind"] == kind and quantity in {"", row["quantity"]})
    return {float(row["from_node_nm"] + "e-9"): float(row["value"]) for row in rows}


@cache
def _supplies() -> Curve:
    return Curve.through(_points("nominal_supply"))


def supply_v(node_m: float) -> float:
    """Nominal supply of a node in V: PTM values, log-log between, that of 7 nm below."""
    check_node(node_m)
    return _supplies().at(max(node_m, JOUPPI_M))


def _polynomial(quantity: str) -> Curve:
    """Stillmaker & Baas: delay(V) = a3 V^3 + a2 V^2 + a1 V + a0, energy(V) = a2 V^2 + a1 V + a0, at each node's supply."""
    total: dict[float, float] = {}
    for power in range(4):
        for node_m, coefficient in _points("polynomial_coefficient", f"{quantity}_a{power}").items():
            total[node_m] = total.get(node_m, 0.0) + coefficient * supply_v(node_m) ** power
    return Curve.through(total)


@cache
def polynomial_energy() -> Curve:
    """Energy of a gate against node by the HP polynomial fits at nominal supply, 7 to 180 nm."""
    return _polynomial("energy")


@cache
def _logic_energy_laws() -> tuple[Curve, ...]:
    """Return the polynomial, and the geometric mean of the eight arithmetic ops that Jouppi gives at 45 and 7 nm."""
    rows = [row for row in _scaling_rows() if row["kind"] == "measured_style_ratio"]
    ratios = [float(row["value"]) for row in rows if " add " in row["quantity"] or " mult " in row["quantity"]]
    measured = Curve.through({HOROWITZ_M: 1.0, JOUPPI_M: exp(sum(map(log, ratios)) / len(ratios))})
    return polynomial_energy(), measured


@cache
def _delay_laws() -> tuple[Curve, ...]:
    """Return the polynomial, and one straight line through its ends: the fits rise from 32 to 20 nm, where devices change."""
    curve = _polynomial("delay")
    ends = {exp(curve.log_x[i]): exp(curve.log_y[i]) for i in (0, -1)}
    return curve, Curve.through(ends)


@cache
def _area_laws() -> tuple[Curve, ...]:
    """Least-squares positions in the Stillmaker-Baas matrix of area ratios, and the area of the densest 6T cells."""
    columns: dict[float, list[float]] = {}
    for row in _scaling_rows():
        if row["kind"] == "area_factor":
            columns.setdefault(float(row["to_node_nm"] + "e-9"), []).append(log(float(row["value"])))
    matrix = {node: exp(sum(logs) / len(logs)) for node, logs in columns.items()}
    return Curve.through(matrix), Curve.through(_points("sram_cell_area"))


@cache
def _wire_laws() -> tuple[Curve, ...]:
    """Published J/bit/m at 40, 28 and 10 nm, and constant capacitance: energy as the square of the supply."""
    rows = [row for row in _op_rows() if row["operation"].startswith("on-chip wire, per mm per bit")]
    measured = Curve.through({float(row["node_nm"] + "e-9"): float(row["energy_pJ"]) * 1e-9 for row in rows})
    squares = {exp(x): exp(2 * y) for x, y in zip(_supplies().log_x, _supplies().log_y, strict=True)}
    return measured, Curve.through(squares)


def _scale(laws: tuple[Curve, ...], from_node_m: float, to_node_m: float) -> Scaled:
    """Geometric mean of the laws' ratios; factor = sqrt(largest / smallest)."""
    check_node(from_node_m)
    check_node(to_node_m)
    logs = [law.log_at(to_node_m) - law.log_at(from_node_m) for law in laws]
    outside = from_node_m != to_node_m and not all(law.covers(n) for law in laws for n in (from_node_m, to_node_m))
    return Scaled(exp(sum(logs) / len(logs)), exp((max(logs) - min(logs)) / 2), outside)


def scale_logic_energy(from_node_m: float, to_node_m: float) -> Scaled:
    """Factor on the switching energy of logic; laws: HP polynomial, Jouppi's 45 to 7 nm ratios."""
    return _scale(_logic_energy_laws(), from_node_m, to_node_m)


def scale_delay(from_node_m: float, to_node_m: float) -> Scaled:
    """Factor on gate delay; laws: HP polynomial, the straight log-log line through its 180 and 7 nm ends."""
    return _scale(_delay_laws(), from_node_m, to_node_m)


def scale_area(from_node_m: float, to_node_m: float) -> Scaled:
    """Factor on area; laws: Stillmaker-Baas matrix, densest published 6T cells."""
    return _scale(_area_laws(), from_node_m, to_node_m)


def scale_wire_energy(from_node_m: float, to_node_m: float) -> Scaled:
    """Factor on wire energy per bit and length; laws: published J/bit/mm, supply squared."""
    return _scale(_wire_laws(), from_node_m, to_node_m)


def published_sram_ratio(capacity_bytes: float) -> Curve:
    """SRAM energy against node for one capacity from Jouppi's 45 and 7 nm columns (8 KiB, 32 KiB, 1 MiB; clamped outside)."""
    sizes = {"SRAM 8KB 64b": 8192.0, "SRAM 32KB 64b": 32768.0, "SRAM 1MB 64b": 1048576.0}
    rows = {row["quantity"].removesuffix(" energy factor"): float(row["value"]) for row in _scaling_rows() if row["quantity"][:4] == "SRAM"}
    curve = Curve.through({size: rows[name] for name, size in sizes.items()})
    capacity = min(max(capacity_bytes, min(sizes.values())), max(sizes.values()))
    return Curve.through({HOROWITZ_M: 1.0, JOUPPI_M: curve.at(capacity)})


def scale_sram_energy(capacity_bytes: float, from_node_m: float, to_node_m: float) -> Scaled:
    """Factor on the access energy of an SRAM of this capacity; laws: HP polynomial, Jouppi's SRAM ratios."""
    return _scale((polynomial_energy(), published_sram_ratio(capacity_bytes)), from_node_m, to_node_m)


@cache
def _op_rows() -> list[dict[str, str]]:
    return read_table("energy_per_op.csv")


@cache
def _op_curves(op: str, column: str) -> dict[float, Curve]:
    """Return an op's energy (J) or area (m2) against bits, at 45 and at 7 nm."""
    unit = {"energy_pJ": 1e-12, "area_um2": 1e-12}[column]
    rows = [row for row in _op_rows() if row["operation"] == _OPS[op] and row["node_nm"] in {"45", "7"} and row[column]]
    curves: dict[float, Curve] = {}
    for node_nm in ("45", "7"):
        points = {float(row["bits"]): float(row[column]) * unit for row in rows if row["node_nm"] == node_nm}
        if points:
            curves[float(node_nm + "e-9")] = Curve.through(points)
    return curves


def _op_name(op: str, bits: float) -> str:
    """Check the name ("int add", "int_mult", "fp mult", "bf16 add", ...) and the width of an op."""
    name = op.replace("_", " ").replace("bfloat16", "bf16")
    if name not in _OPS:
        raise SpecError(f"op {op!r} has no energy in the tables; {suggest(name, _OPS)}")
    if name[:2] == "fp" and bits not in {16, 32}:
        raise SpecError(f"{op} of {bits:g} bits: floating point is tabulated at 16 and 32 bits only")
    if name[:4] == "bf16" and bits != 16:
        raise SpecError(f"{op} of {bits:g} bits: bfloat16 has 16 bits")
    if not 0 < bits <= 128:
        raise SpecError(f"{op} of {bits:g} bits: choose 1 to 128 bits")
    return name


def op_energy(op: str, bits: float, node_m: float) -> Scaled:
    """Energy of one arithmetic op in J: Horowitz at 45 nm, Jouppi at 7 nm, log-log in node between and in width.

    The factor joins the disagreement of tables with that of the scaling laws: between the two nodes the
    polynomial from the nearer one, outside them the polynomial against the table's own slope (nominal: their
    geometric mean). bf16 is known at 7 nm only and keeps its ratio to fp16 there.
    Raises SpecError for an unknown op, width or node.
    """
    check_node(node_m)
    name = _op_name(op, bits)
    if name[:4] == "bf16":
        ratio = _op_curves(name, "energy_pJ")[JOUPPI_M].at(16) / _op_curves(name.replace("bf16", "fp"), "energy_pJ")[JOUPPI_M].at(16)
        return op_energy(name.replace("bf16", "fp"), 16, node_m).times(ratio)
    curves = _op_curves(name, "energy_pJ")
    anchors = {node: curve.at(bits) for node, curve in curves.items()}
    line = Curve.through(anchors)
    logs, shape = [line.log_at(node_m)], polynomial_energy()
    polynomials = [log(energy_j) + shape.log_at(node_m) - shape.log_at(start_m) for start_m, energy_j in anchors.items()]
    nearest = min(polynomials, key=lambda value: abs(value - logs[0]))
    if not line.covers(node_m):
        logs.append(nearest)
    table = ADD_TABLE_FACTOR if name == "int add" else MULTIPLY_TABLE_FACTOR
    factor = exp(hypot(log(table), abs(nearest - logs[0]) / 2))
    inside = line.covers(node_m) and all(curve.covers(bits) for curve in curves.values())
    return Scaled(exp(sum(logs) / len(logs)), factor, not inside)


def op_area(op: str, bits: float, node_m: float) -> Scaled:
    """Area of one arithmetic unit in m2: the figures printed beside Horowitz's 45 nm energies, scaled."""
    check_node(node_m)
    name = _op_name(op, bits)
    curve = _op_curves(name.replace("bf16", "fp"), "area_um2")[HOROWITZ_M]
    start = Scaled(curve.at(bits), MULTIPLY_TABLE_FACTOR, not curve.covers(bits))
    return start.times(scale_area(HOROWITZ_M, node_m))


def _multiplier_bits(weight_bits: float, activation_bits: float) -> float:
    """Width of the square multiplier with as many partial products: sqrt(weight * activation)."""
    return sqrt(weight_bits * activation_bits)


def mac_energy(weight_bits: float, activation_bits: float, accumulator_bits: float, node_m: float, *, floating: bool = False) -> Scaled:
    """Energy of a multiply-accumulate in J: multiplier as the product of the widths, adder as the accumulator's width.

    With `floating` the widths are of fp16 or fp32 operands (the multiplier takes the wider one).
    """
    kind = "fp" if floating else "int"
    width = max(weight_bits, activation_bits) if floating else _multiplier_bits(weight_bits, activation_bits)
    return op_energy(f"{kind} mult", width, node_m).plus(op_energy(f"{kind} add", accumulator_bits, node_m))


def mac_area(weight_bits: float, activation_bits: float, accumulator_bits: float, node_m: float, *, floating: bool = False) -> Scaled:
    """Area of a multiplier and its accumulating adder in m2, widths as in mac_energy."""
    kind = "fp" if floating else "int"
    width = max(weight_bits, activation_bits) if floating else _multiplier_bits(weight_bits, activation_bits)
    return op_area(f"{kind} mult", width, node_m).plus(op_area(f"{kind} add", accumulator_bits, node_m))


def node_note(node_m: float) -> str:
    """Say that energies at a node lie outside what the tables hold; empty between 7 and 45 nm."""
    if JOUPPI_M * (1 - 1e-9) <= node_m <= HOROWITZ_M * (1 + 1e-9):
        return ""
    return f"energies per operation at {node_m * 1e9:g} nm are extrapolated from tables of 45 and 7 nm"


def register_energy(bits: float, node_m: float) -> Scaled:
    """Energy of writing and holding `bits` in a register for one access, in J.

    Geometric mean of two libraries, each scaled as logic from its node; the factor is that of scaling and of half their distance.
    """
    first = Scaled(bits * REGISTER_BIT_45NM_J, 1.0).times(scale_logic_energy(HOROWITZ_M, node_m))
    second = Scaled(bits * REGISTER_BIT_28NM_J, 1.0).times(scale_logic_energy(28e-9, node_m))
    if bits == 0:
        return first
    apart = max(first.value / second.value, second.value / first.value)
    law = scale_logic_energy(28e-9, node_m)
    return Scaled(sqrt(first.value * second.value), sqrt(apart), first.extrapolated or second.extrapolated).times(Scaled(1.0, law.factor))


def instruction_energy(node_m: float) -> Scaled:
    """Overhead of one scalar instruction of an in-order core in J: 70 pJ at 45 nm, scaled as logic."""
    return Scaled(INSTRUCTION_45NM_J, SINGLE_FACTOR).times(scale_logic_energy(HOROWITZ_M, node_m))


def wire_energy(node_m: float) -> Scaled:
    """Energy of an on-chip wire in J/bit/m: 0.24, 0.20, 0.15 pJ/bit/mm at 40, 28, 10 nm (Keckler 2011; NVIDIA budget)."""
    check_node(node_m)
    start_m = min(max(node_m, 10e-9), 40e-9)
    return Scaled(_wire_laws()[0].at(start_m), SINGLE_FACTOR).times(scale_wire_energy(start_m, node_m))


@cache
def _leakage_curve() -> Curve:
    return Curve.through(_points("logic_leakage"))


def logic_leakage(node_m: float) -> Scaled:
    """Leakage density of powered logic in W/m2. assumed, factor 3: see the reasons in tech_scaling.csv."""
    check_node(node_m)
    return Scaled(_leakage_curve().at(node_m) * 1e3, LEAKAGE_FACTOR)


def energy_at_voltage(voltage_v: float, nominal_v: float) -> float:
    """Factor on dynamic energy at another supply: (V / V_nominal)^2."""
    return (voltage_v / nominal_v) ** 2


def delay_at_voltage(voltage_v: float, nominal_v: float, threshold_v: float = THRESHOLD_V) -> float:
    """Factor on gate delay at another supply: alpha-power law, delay ~ V / (V - Vt)^1.3.

    Raises SpecError when a supply does not exceed the threshold.
    """
    if min(voltage_v, nominal_v) <= threshold_v:
        raise SpecError(f"supply {min(voltage_v, nominal_v):g} V is not above the threshold of {threshold_v:g} V; raise the supply")

    overdrive: float = ((nominal_v - threshold_v) / (voltage_v - threshold_v)) ** ALPHA
    return voltage_v / nominal_v * overdrive

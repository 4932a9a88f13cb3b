"""Published curves of single macros: energy against output code, bits and supply, by structural laws and a counted number of knobs.

A scale or knob is a number that belongs to one macro; every metric says how many it used. Curves of an array's structure use the laws of
`hw_models.cim.inside`; where the error after one scale is asked for, the scale is the one that makes the largest error least.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.calibration.cim import energy_sample, fit, ln_energy, ln_pass_j, space
from cosim.calibration.cim_knobs import Points, fit_points, pass_points
from cosim.calibration.cim_table import Row, pass_input, read_rows, target
from cosim.validation.tables import read_table
from hw_models.catalog import resolve_part
from hw_models.cim.calibrated import Calibration, predict, read_calibration
from hw_models.cim.cell import CellSpec
from hw_models.cim.converter import AdcSpec
from hw_models.cim.inside import PULSE_PARTS, PulseArray, idle_factor, magnitude_planes
from hw_models.cim.logic import LogicSpec
from hw_models.cim.pass_inputs import PassInput
from workloads.errors import WorkloadError

Floats = NDArray[np.float64]
SHIPPED = Path(__file__).parent / "data" / "cim_macro_curves.csv"
NEEDED = ("macro", "curve", "condition", "x", "y_name", "y", "y_unit")
UNITS_J = {"pJ": 1e-12, "fJ": 1e-15, "fJ/op": 1e-15}
# Targets: shape after one scale (largest error), median of a curve, largest error of a component, mean error with at most 3 knobs.
SHAPE, MEDIAN, COMPONENT, KNOBBED = 0.10, 0.20, 0.15, 0.05
SINANGIL, COLONNADE, NEURRAM = "sinangil_jssc2021", "colonnade_jssc2021", "neurram_nature2022"
Groups = Mapping[str, tuple[str, ...]]
PULSE_GROUPS: Groups = {"fixed": ("fixed",), "data": ("rows", "sums")}
NEURRAM_PARTS = {"word-line switching": "word_lines", "neuron operations and control": "neurons", "input pulses": "inputs"}
VOLTS = re.compile(r"([\d.]+) V\b")
PICOJOULES = re.compile(r"ADC ([\d.]+) pJ; CIM array ([\d.]+) pJ")


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a curve: energies in J, supply in V where its condition names one."""

    macro: str
    curve: str
    condition: str
    name: str
    x: float
    energy_j: float

    @property
    def supply_v(self) -> float:
        """Supply in V by the condition, or x where the supply is swept."""
        if self.curve == "energy_vs_voltage":
            return self.x
        found = VOLTS.search(self.condition)
        if not found:
            raise WorkloadError(f"{self.macro} {self.curve}: condition {self.condition!r} names no supply, such as '0.8 V'")
        return float(found[1])


@dataclass(slots=True)
class Report:
    """Metrics by name, which of their errors is judged, and rows: one for each point and metric."""

    metrics: dict[str, Any] = field(default_factory=dict)
    judged_by: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, name: str, points: Sequence[Point], predicted_j: Floats, *, n_knobs: int, kind: str, limit: float | None = None, **more: Any
    ) -> None:
        """Score points: the `kind` max, median or mean of |predicted / measured - 1| is judged against `limit`, or only told."""
        measured_j = energies(points)
        errors = np.abs(predicted_j / measured_j - 1)
        found = {"max_error": float(errors.max()), "mean_error": float(errors.mean()), "median_error": float(np.median(errors))}
        error = found[f"{kind}_error"]
        judged = {} if limit is None else {"target": limit, "passed": error <= limit}
        self.metrics[name] = {"error": error} | judged | {"n": len(points), "n_knobs": n_knobs} | found | more
        self.judged_by[name] = kind
        for point, energy_j, off in zip(points, predicted_j, errors, strict=True):
            told = {"metric": name, "macro": point.macro, "condition": point.condition, "series": point.name, "x": point.x}
            self.rows.append(told | {"measured_j": point.energy_j, "predicted_j": float(energy_j), "rel_error": float(off)})


def validate_cim_curves(path: Path | None = None) -> dict[str, Any]:
    """Compare the energy curves of a CSV with the columns of cim_macro_curves.csv (default: the shipped one), and Jia's two supplies.

    Raises WorkloadError when the file cannot be read, holds a number that is none, or no curve that is known.
    """
    points = read_points(path or SHIPPED)
    report = Report()
    for macro, judge in JUDGES.items():
        mine = [point for point in points if point.macro == macro]
        if mine:
            judge(mine, report)
    if path is None:
        judge_jia(report)
    if not report.metrics:
        raise WorkloadError(f"{path}: holds no energy curve that is known; known are those of {', '.join(JUDGES)}")
    judged = [found["passed"] for found in report.metrics.values() if "passed" in found]
    return {
        "area": "cim_curves",
        "n": len(report.rows),
        "metrics": report.metrics,
        "judged_by": report.judged_by,
        "rows": report.rows,
        "passed": bool(judged) and all(judged),
    }


def read_points(path: Path) -> list[Point]:
    """Energy points of a CSV; other quantities are left out. Raises WorkloadError when it cannot be read."""
    points = []
    for place, row in enumerate(read_table(path, NEEDED)[1], start=2):
        if row["y_unit"] not in UNITS_J:
            continue
        try:
            x, y = float(row["x"]), float(row["y"])
        except ValueError:
            raise WorkloadError(f"{path}:{place}: x {row['x']!r} and y {row['y']!r} must be numbers") from None
        if not (np.isfinite([x, y]).all() and y > 0):
            raise WorkloadError(f"{path}:{place}: x {x:g} and y {y:g} must be finite, y above 0")
        points.append(Point(row["macro"], row["curve"], row["condition"], row["y_name"], x, y * UNITS_J[row["y_unit"]]))
    return points


def energies(points: Sequence[Point]) -> Floats:
    """Measured J [n]."""
    return np.array([point.energy_j for point in points])


def one_scale(predicted_j: Floats, measured_j: Floats) -> float:
    """Scale whose largest ratio either way is least: 1 / sqrt(min r max r), r = predicted / measured."""
    ratio = predicted_j / measured_j
    return float(1 / np.sqrt(ratio.min() * ratio.max()))


# --- Sinangil: pulses in, sums on bit lines, flash ADC ------------------------------------------------------------


def sinangil_array(supply_v: float) -> PulseArray:
    """64 x 64 cells, 4-bit pulses, 16 flash ADCs of 4 bits, 7 nm: Sinangil et al., JSSC 56(1) 2021; components are shipped parts."""
    return PulseArray(
        node_m=7e-9,
        supply_v=supply_v,
        rows=64,
        cols=64,
        n_adcs=16,
        input_bits=4,
        cell=CellSpec.model_validate(resolve_part("cell/sram_8t_22nm").data),
        adc=AdcSpec.model_validate(resolve_part("converter/flash_4b_28nm").data),
        logic=LogicSpec.model_validate(resolve_part("cell/nand2_28nm").data),
    )


def sinangil_points(points: Sequence[Point]) -> Points:
    """Parts at each point; the supply curve is at the largest code, its worst case."""
    parts = [
        sinangil_array(p.supply_v).parts_j(np.array([p.x if p.curve == "energy_vs_output_code" else 15.0]))[0]  # 15: code of 4 bits
        for p in points
    ]
    return Points(np.array(parts), PULSE_PARTS, np.array([p.supply_v for p in points]), energies(points))


def judge_sinangil(points: Sequence[Point], report: Report) -> None:
    """Shape against output code after one scale, and code and supply together with three knobs: fixed, data, supply."""
    codes = [point for point in points if point.curve == "energy_vs_output_code"]
    if codes:
        parts = sinangil_points(codes)
        total_j = parts.parts_j.sum(axis=1)
        report.add("sinangil_code_unscaled", codes, total_j, n_knobs=0, kind="max")
        scale = one_scale(total_j, parts.measured_j)
        report.add("sinangil_code", codes, total_j * scale, n_knobs=1, kind="max", limit=SHAPE, scale=scale)
        _knobbed(report, "sinangil_code_two_scales", codes, parts, ("fixed", "data"), PULSE_GROUPS, "max", None)
    used = [point for point in points if point.curve in {"energy_vs_output_code", "energy_vs_voltage"}]
    if used:
        _knobbed(report, "sinangil_knobs", used, sinangil_points(used), ("fixed", "data", "supply"), PULSE_GROUPS)


def _knobbed(
    report: Report,
    name: str,
    used: Sequence[Point],
    points: Points,
    knobs: Sequence[str],
    groups: Groups,
    kind: str = "mean",
    limit: float | None = KNOBBED,
) -> None:
    """Fit knobs to points and score the same points; nothing when there are too few to fit, or one supply only."""
    if len(used) <= len(knobs) or ("supply" in knobs and np.ptp(points.supply_v) <= 0):
        return
    done = fit_points(points, knobs, groups)
    predicted_j = np.exp(done.ln_residuals) * points.measured_j
    report.add(name, used, predicted_j, n_knobs=done.n_knobs, kind=kind, limit=limit, knobs=dict(done.values))


# --- Colonnade: bit-serial digital --------------------------------------------------------------------------------


def colonnade_pass(input_bits: float, weight_bits: float, supply_v: float) -> PassInput:
    """One sum of 128 products in a 128 x 128 array at 65 nm: Kim et al., JSSC 56(7) 2021."""
    return PassInput(
        kind="digital", node_m=65e-9, supply_v=supply_v, n=128, input_bits=input_bits, weight_bits=weight_bits, way="serial", rows=128
    )


def colonnade_points(points: Sequence[Point], calibration: Calibration) -> Points:
    """J of a MAC by part, idle columns included."""
    passes = [colonnade_pass(p.x if p.curve == "energy_vs_bits_both" else 1.0, p.x, p.supply_v) for p in points]
    base = pass_points(passes, [p.energy_j for p in points], calibration)
    per_mac = np.array([idle_factor(128, int(p.x), 128) / 128 for p in points])
    return replace(base, parts_j=base.parts_j * per_mac[:, None])


def without_paper(paper: str) -> Calibration:
    """Global constants of digital macros fitted without one paper."""
    base = read_calibration()
    where = space("digital", base.constants)
    return replace(base, constants=where.constants(fit(energy_sample(read_rows(), "digital").without(paper), where, ln_energy)))


def judge_colonnade(points: Sequence[Point], report: Report) -> None:
    """Both curves with constants that have not seen the paper, and with two knobs fitted to the 1-bit points, judged on the others."""
    calibration = without_paper("colonnade")
    for curve, name in (("energy_vs_bits_both", "colonnade_both_bits"), ("energy_vs_weight_bits", "colonnade_weight_bits")):
        mine = [point for point in points if point.curve == curve]
        known, rest = [point for point in mine if point.x == 1], [point for point in mine if point.x > 1]
        if not mine:
            continue
        parts_j = colonnade_points(mine, calibration).parts_j.sum(axis=1)
        report.add(f"{name}_no_knobs", mine, parts_j, n_knobs=0, kind="median")
        if len(known) < 2 or not rest:  # two knobs take two points
            continue
        done = fit_points(colonnade_points(known, calibration), ("all", "supply"))
        others = colonnade_points(rest, calibration)
        predicted_j = (others.parts_j * done.factors(others.names, others.supply_v)).sum(axis=1)
        report.add(name, rest, predicted_j, n_knobs=2, kind="median", limit=MEDIAN, knobs=dict(done.values), n_fitted=len(known))


# --- NeuRRAM: ternary bit planes ----------------------------------------------------------------------------------


def judge_neurram(points: Sequence[Point], report: Report) -> None:
    """Each component in proportion to the bit planes of its input after one scale; sums of the three with those three scales."""
    mine = [p for p in points if p.curve == "energy_breakdown_vs_bits" and p.name in NEURRAM_PARTS]
    for name, short in NEURRAM_PARTS.items():
        part = [point for point in mine if point.name == name]
        if part:
            planes = np.array([magnitude_planes(int(point.x)) for point in part], dtype=np.float64)
            scale = one_scale(planes, energies(part))
            report.add(f"neurram_{short}", part, planes * scale, n_knobs=1, kind="max", limit=COMPONENT, scale_j=scale)
    totals = _totals(mine)
    if len(totals) >= len(NEURRAM_PARTS):
        _neurram_totals(mine, totals, report)


def _totals(points: Sequence[Point]) -> list[Point]:
    """Sums of the three components, where all three are there."""
    found = []
    for x in dict.fromkeys(point.x for point in points):
        here = [point for point in points if point.x == x]
        if len({point.name for point in here}) == len(here) == len(NEURRAM_PARTS):
            found.append(replace(here[0], name="sum of components", energy_j=sum(point.energy_j for point in here)))
    return found


def _neurram_totals(components: Sequence[Point], totals: Sequence[Point], report: Report) -> None:
    """Three scales by least squares of ln E on the components; the sums and the published efficiencies are judged."""
    one = np.array([[name == point.name for name in NEURRAM_PARTS] for point in components], dtype=np.float64)
    planes = np.array([magnitude_planes(int(point.x)) for point in components], dtype=np.float64)
    unit_j = 1e-14  # J of a plane before the knobs; any will do, the knobs are the scales
    names = tuple(NEURRAM_PARTS.values())
    parts = Points(one * planes[:, None] * unit_j, names, np.ones(len(components)), energies(components))
    done = fit_points(parts, names, {name: (name,) for name in names})
    plane_j = unit_j * sum(done.values.values())
    judged = [*totals, *neurram_efficiencies()]
    predicted_j = np.array([magnitude_planes(int(point.x)) * plane_j for point in judged])
    knobs = {name: value * unit_j for name, value in done.values.items()}
    report.add("neurram_knobs", judged, predicted_j, n_knobs=3, kind="mean", limit=KNOBBED, knobs=knobs)


def neurram_efficiencies() -> list[Point]:
    """J per op of the shipped rows of NeuRRAM, one- and two-phase: 1 / efficiency."""
    found = []
    for row in _rows_of("neurram"):
        bits, per_w = row.number("efficiency_input_bits"), row.number("efficiency_TOPS_per_W")
        if bits and per_w:
            found.append(Point(NEURRAM, "efficiency", row.text("id"), "total", bits, 1e-12 / per_w))
    return found


def _rows_of(paper: str) -> list[Row]:
    return [row for row in read_rows() if row.text("paper") == paper]


# --- Jia: charge-domain SRAM at two supplies ----------------------------------------------------------------------


def judge_jia(report: Report) -> None:
    """ADC, array and their sum at 0.85 and 1.2 V with three knobs: adc, cell, supply; and without knobs, for comparison."""
    points: list[Point] = []
    parts: list[Points] = []
    for row in _rows_of("jia_65nm"):
        found, efficiency = PICOJOULES.search(row.text("energy_breakdown")), target(row)
        if not found or efficiency is None:
            continue
        one = pass_input(row)
        whole = pass_points([one], [1.0])
        measured_j = (float(found[1]) * 1e-12, float(found[2]) * 1e-12, exp(ln_pass_j(one, efficiency)))
        for name, kept, energy_j in zip(("ADC", "CIM array", "both"), ({"adc"}, {"cell"}, set(whole.names)), measured_j, strict=True):
            mask = np.array([part in kept for part in whole.names], dtype=np.float64)
            points.append(Point("jia_jssc2020", "energy_breakdown", f"{one.supply_v:g} V", name, one.supply_v, energy_j))
            parts.append(replace(whole, parts_j=whole.parts_j * mask, measured_j=np.array([energy_j])))
        shipped = predict([one]).total_j
        report.add(f"jia_{one.supply_v:g}v_no_knobs", points[-1:], shipped, n_knobs=0, kind="mean")
    joined = Points(
        np.concatenate([p.parts_j for p in parts]),
        parts[0].names,
        np.concatenate([p.supply_v for p in parts]),
        np.concatenate([p.measured_j for p in parts]),
    )
    groups = {"adc": ("adc",), "cell": ("cell",)}
    _knobbed(report, "jia_knobs", points, joined, ("adc", "cell", "supply"), groups)


JUDGES: Mapping[str, Callable[[Sequence[Point], Report], None]] = {
    SINANGIL: judge_sinangil,
    COLONNADE: judge_colonnade,
    NEURRAM: judge_neurram,
}

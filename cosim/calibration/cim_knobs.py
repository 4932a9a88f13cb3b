"""The second mode of calibration: at most three named knobs of one macro, fitted to what its user has measured.

The global constants stay as they are; a knob scales some components of their energy, or adds to the exponent of the supply:
E = sum_c k_c E_c (V / V_ref)^p. Fitted by least squares of ln E; what the measurements do not tell stays where the constants put it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosim.calibration.cim import ln_pass_j
from cosim.calibration.cim_table import pass_input, read_rows, target
from hw_models.cim.calibrated import COMPONENTS, Calibration, PassCosts, predict, read_calibration
from hw_models.cim.pass_inputs import PassInput
from workloads.errors import SpecError, suggest

Floats = NDArray[np.float64]
MAX_KNOBS = 3
SUPPLY = "supply"
PARTS = COMPONENTS[:-1]  # what the scope adds follows the others
KNOBS: Mapping[str, tuple[str, ...]] = {
    "all": PARTS,
    "driver": ("driver",),
    "cell": ("cell", "line"),
    "adc": ("adc",),
    "logic": ("logic",),
    "static": ("static",),
}
RIDGE = 1e-3  # pull toward 1 of a knob that no measurement moves; 1e-3 of a residual in ln
MEASURED_LN = 0.05  # assumed: 90 % half-width of a measurement or of a figure read by eye
MAX_LN = log(1e4)  # assumed: a knob further from 1 says that another component was measured


@dataclass(frozen=True, slots=True)
class Points:
    """Measured points of one macro: energy by part at the constants as they are [n, parts] in J, supplies in V, measured J [n]."""

    parts_j: Floats
    names: tuple[str, ...]
    supply_v: Floats
    measured_j: Floats


@dataclass(frozen=True, slots=True)
class KnobFit:
    """Knobs by name with their values (factors; `supply` an exponent), the supply they refer to, ln predicted over measured."""

    values: Mapping[str, float]
    groups: Mapping[str, tuple[str, ...]]
    supply_ref_v: float
    ln_residuals: Floats

    @property
    def n_knobs(self) -> int:
        """Numbers that belong to this macro alone."""
        return len(self.values)

    @property
    def mean_error(self) -> float:
        """Mean |predicted / measured - 1| of the points of the fit."""
        return float(np.mean(np.abs(np.expm1(self.ln_residuals))))

    def factors(self, names: Sequence[str], supply_v: Floats) -> Floats:
        """Factor on each part [n, parts] at supplies [n]: k (V / V_ref)^p."""
        scale = np.ones(len(names))
        for knob, value in self.values.items():
            if knob != SUPPLY:
                scale[[i for i, name in enumerate(names) if name in self.groups[knob]]] *= value
        return np.asarray(scale[None, :] * (supply_v[:, None] / self.supply_ref_v) ** self.values.get(SUPPLY, 0.0))

    def half_ln(self, otherwise: float) -> float:
        """90 % half-width in ln from the scatter of the points, 1.645 sqrt(sum r^2 / (n - k)), at least that of a measurement.

        With no point to spare nothing says how far off the next one is: `otherwise`, that of the global constants, stays.
        """
        spare = len(self.ln_residuals) - self.n_knobs
        if spare <= 0:
            return otherwise
        return max(MEASURED_LN, 1.645 * sqrt(float(np.sum(self.ln_residuals**2)) / spare))


def check_knobs(names: Sequence[str], groups: Mapping[str, tuple[str, ...]] = KNOBS) -> None:
    """Raise SpecError for no knob, more than `MAX_KNOBS`, one named twice, or an unknown one."""
    if not 1 <= len(names) <= MAX_KNOBS:
        raise SpecError(f"knobs {', '.join(names) or '(none)'}: give 1 to {MAX_KNOBS}; more would follow the noise of the measurement")
    for name in names:
        if name not in groups and name != SUPPLY:
            raise SpecError(f"knob {name!r} is not known; {suggest(name, [*groups, SUPPLY])}")
    if len(set(names)) < len(names):
        raise SpecError(f"knobs {', '.join(names)}: one is named twice")


def fit_points(points: Points, knobs: Sequence[str], groups: Mapping[str, tuple[str, ...]] = KNOBS) -> KnobFit:
    """Fit knobs to measured points by least squares of ln E.

    Raises SpecError for bad knobs, fewer points than knobs, a measured energy that is not above 0, `supply` with one supply only.
    """
    from scipy.optimize import least_squares  # noqa: PLC0415  a third of a second that only a fit should pay

    check_knobs(knobs, groups)
    _check_points(points, knobs)
    supply_ref_v = exp(float(np.mean(np.log(points.supply_v))))

    def knobbed(z: Floats, residuals: Floats) -> KnobFit:
        values = {name: float(step) if name == SUPPLY else exp(step) for name, step in zip(knobs, z, strict=True)}
        return KnobFit(values, groups, supply_ref_v, residuals)

    def errors(z: Floats) -> Floats:
        factors = knobbed(z, points.measured_j).factors(points.names, points.supply_v)
        return np.asarray(np.log((points.parts_j * factors).sum(axis=1) / points.measured_j))

    start = np.zeros(len(knobs))
    found = least_squares(lambda z: np.concatenate([errors(z), RIDGE * z]), start, bounds=(-MAX_LN, MAX_LN), xtol=1e-10, ftol=1e-10)
    return knobbed(found.x, errors(found.x))


def _check_points(points: Points, knobs: Sequence[str]) -> None:
    if len(points.measured_j) < len(knobs):
        raise SpecError(f"{len(points.measured_j)} measured points for {len(knobs)} knobs; measure more or turn fewer")
    if not np.all(np.isfinite(points.measured_j) & (points.measured_j > 0)):
        raise SpecError("a measured energy is not a finite number above 0 J")
    if not np.all(points.parts_j.sum(axis=1) > 0):
        raise SpecError("a measured point has no part that spends energy in the model")
    if SUPPLY in knobs and np.ptp(points.supply_v) <= 0:
        raise SpecError(f"knob {SUPPLY!r} needs measurements at two supplies; all are at {points.supply_v[0]:g} V")


@dataclass(frozen=True, slots=True)
class KnobbedCalibration:
    """The global constants with the knobs of one macro: predicts, gives intervals and flags as a `Calibration` does."""

    base: Calibration
    knobs: KnobFit
    half_ln: float

    @property
    def version(self) -> str:
        """Version of the constants and names of the knobs."""
        return f"{self.base.version} + {', '.join(self.knobs.values)}"

    def interval_ln(self, one: PassInput, target: str = "energy") -> float:
        """90 % half-width in ln: of energy as the measurements scatter, of all else as before."""
        return self.half_ln if target == "energy" else self.base.interval_ln(one, target)

    def flags(self, one: PassInput) -> tuple[str, ...]:
        """Inputs outside the range of the global fit, by name."""
        return self.base.flags(one)

    def predict(self, inputs: Sequence[PassInput]) -> PassCosts:
        """Cost column passes of the macro whose knobs these are."""
        raw = predict(inputs, self.base)
        factors = self.knobs.factors(PARTS, np.array([one.supply_v for one in inputs]))
        energy_j = raw.energy_j.copy()
        energy_j[:, : len(PARTS)] *= factors
        energy_j[:, -1] = energy_j[:, : len(PARTS)].sum(axis=1) * (_scope_factor(raw.energy_j) - 1)
        factor = np.array([exp(self.interval_ln(one)) for one in inputs])
        return PassCosts(energy_j, energy_j.sum(axis=1), raw.latency_s, factor, raw.flags)


def _scope_factor(energy_j: Floats) -> Floats:
    """Energy of the scope over that of the macro, [n]."""
    return np.asarray(energy_j.sum(axis=1) / energy_j[:, : len(PARTS)].sum(axis=1))


def pass_points(inputs: Sequence[PassInput], measured_j: Sequence[float], calibration: Calibration | None = None) -> Points:
    """Points of column passes: their energy by part at the global constants, scope included, and what was measured in J."""
    energy_j = predict(inputs, calibration).energy_j
    parts_j = energy_j[:, : len(PARTS)] * _scope_factor(energy_j)[:, None]
    return Points(parts_j, PARTS, np.array([one.supply_v for one in inputs]), np.asarray(measured_j, dtype=np.float64))


def fit_knobs(
    inputs: Sequence[PassInput], measured_j: Sequence[float], knobs: Sequence[str], calibration: Calibration | None = None
) -> KnobbedCalibration:
    """Fit knobs of one macro to measured energies of column passes, J. Raises SpecError as `fit_points` does, or without a point."""
    if not inputs or len(inputs) != len(measured_j):
        raise SpecError(f"{len(inputs)} passes with {len(measured_j)} measured energies; give one energy for each of at least one pass")
    base = calibration or read_calibration()
    fitted = fit_points(pass_points(inputs, measured_j, base), knobs)
    return KnobbedCalibration(base, fitted, fitted.half_ln(max(base.interval_ln(one) for one in inputs)))


def fit_table(path: Path, knobs: Sequence[str]) -> KnobbedCalibration:
    """Fit knobs to the rows of a CSV with the columns of cim_macros.csv that have an efficiency; all rows are of one macro.

    Raises SpecError when the table cannot be read, a number in it is none, or no row has an efficiency.
    """
    inputs: list[PassInput] = []
    measured_j: list[float] = []
    for row in read_rows(path):
        tops_per_w = target(row)
        if tops_per_w is not None:
            inputs.append(pass_input(row))
            measured_j.append(exp(ln_pass_j(inputs[-1], tops_per_w)))
    if not inputs:
        raise SpecError(f"{path}: no row has efficiency_1b_TOPS_per_W, or efficiency_TOPS_per_W with both bit widths; give one measurement")
    return fit_knobs(inputs, measured_j, knobs)


def knobs_text(done: KnobbedCalibration) -> str:
    """Part file of fitted knobs: version, knobs, reference supply, half-width, residuals, one line each."""
    lines = ["section,name,value,unit,source", f'version,version,"{done.version}",,fit of knobs by `cosim calibrate cim --knobs`']
    for name, value in done.knobs.values.items():
        scaled = "exponent of the supply" if name == SUPPLY else f"factor on {' '.join(done.knobs.groups[name])}"
        lines.append(f"knob,{name},{value:.9g},1,{scaled}")
    lines.append(f"supply_ref,supply_ref,{done.knobs.supply_ref_v:.9g},V,geometric mean of the measured supplies")
    lines.append(f"half_ln,energy,{done.half_ln:.6g},ln,90 % of what a next point of this macro may be off")
    lines += [f"residual,{i + 1},{value:.6g},ln,predicted over measured" for i, value in enumerate(done.knobs.ln_residuals)]
    return "\n".join(lines) + "\n"


def read_knobs(path: Path, calibration: Calibration | None = None) -> KnobbedCalibration:
    """Read a file that `knobs_text` made, on top of the shipped constants or others. Raises SpecError when it is none."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(row["section"], row["name"], row["value"]) for row in csv.DictReader(file)]
        values = {name: float(value) for section, name, value in rows if section == "knob"}
        single = {section: float(value) for section, _, value in rows if section in {"supply_ref", "half_ln"}}
        residuals = np.array([float(value) for section, _, value in rows if section == "residual"])
        check_knobs(list(values))
        fitted = KnobFit(values, KNOBS, single["supply_ref"], residuals)
        return KnobbedCalibration(calibration or read_calibration(), fitted, single["half_ln"])
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, SpecError) as error:
        raise SpecError(f"{path}: holds no knobs: {error}; write it anew with `cosim calibrate cim --knobs`") from None

"""What a study minimizes and what it must keep to: metrics with units, objectives, bounds, and how several workloads become one value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw_models.units import UNITS, parse_quantity, show
from workloads.errors import SpecError, suggest

Floats = NDArray[np.float64]

COMBINE = ("geomean", "sum", "worst")


@dataclass(frozen=True)
class Metric:
    """Something that a result row says: its column (a product of several), its unit, and whether more of it is better.

    per_chip  it is a property of the chip alone, the same for all workloads
    lowest    least fidelity that gives it: "" any, "mapped" where a bound knows none of it, "accuracy" where it is measured apart
    """

    name: str
    columns: tuple[str, ...]
    unit: str
    more_is_better: bool = False
    per_chip: bool = False
    lowest: str = ""

    def show(self, value: float) -> str:
        """Format a value with its unit."""
        if self.unit == "m2":
            return f"{value * 1e6:.3g} mm2"
        if self.unit in {"%", "dB", ""}:
            return f"{value:.4g} {self.unit}".strip()
        return show(value, self.unit, 4)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("energy", ("energy_j",), "J"),
        Metric("latency", ("latency_s",), "s"),
        Metric("edp", ("energy_j", "latency_s"), "J s"),
        Metric("area", ("area_m2",), "m2", per_chip=True),
        Metric("accuracy", ("accuracy_pct",), "%", more_is_better=True, lowest="accuracy"),
        Metric("snr", ("min_snr_db",), "dB", more_is_better=True),
        Metric("loss", ("loss",), "", lowest="mapped"),
        Metric("resident", ("resident_fraction",), "", more_is_better=True, lowest="mapped"),
    )
}


def metric(name: str) -> Metric:
    """Return a metric by name; raises SpecError with the nearest one."""
    if name not in METRICS:
        raise SpecError(f"{name!r} is nothing that a run measures; {suggest(name, METRICS)}")
    return METRICS[name]


@dataclass(frozen=True)
class Objective:
    """A metric to minimize or maximize."""

    metric: Metric
    direction: str

    @property
    def name(self) -> str:
        """Name of the metric."""
        return self.metric.name


@dataclass(frozen=True)
class Bound:
    """A metric with a limit in SI units, or percent."""

    metric: Metric
    sense: str
    limit: float

    @property
    def text(self) -> str:
        """What a message calls it."""
        return f"{self.metric.name} {self.sense} {self.metric.show(self.limit)}"

    def keeps(self, value: Floats) -> NDArray[np.bool_]:
        """Whether values keep to it; what is not known does not."""
        return np.asarray(value <= self.limit if self.sense == "<=" else value >= self.limit)


def read_objective(text: str) -> Objective:
    """Read "energy", "minimize energy" or "maximize accuracy"; raises SpecError."""
    *way, name = str(text).split()
    found = metric(name)
    usual = "maximize" if found.more_is_better else "minimize"
    if way and way != [usual]:
        asked = " ".join(way)
        known = {"minimize", "minimise", "maximize", "maximise"}
        if len(way) > 1 or asked not in known:
            raise SpecError(f"objective {text!r} cannot be read; write {usual} {name}")
        usual = asked.replace("ise", "ize")
    return Objective(found, usual)


_BOUND = re.compile(r"\s*([a-z_]+)\s*(<=|>=|≤|≥)\s*(\S.*?)\s*$")


def read_bound(text: str) -> Bound:
    """Read "latency <= 10 ms" or "accuracy ≥ 92 %"; raises SpecError with what would do."""
    match = _BOUND.match(str(text))
    if match is None:
        raise SpecError(f"bound {text!r} cannot be read; write a metric, <= or >=, and a value with its unit, such as latency <= 10 ms")
    name, sense, value = match.groups()
    found = metric(name)
    try:
        return Bound(found, {"≤": "<=", "≥": ">="}.get(sense, sense), read_value(found, value))
    except SpecError as error:
        raise SpecError(f"bound {text!r}: {error}") from None


def read_value(found: Metric, value: str) -> float:
    """Return a value with its unit, such as "10 ms" or "92 %", in SI or percent; raises SpecError that says what would do."""
    try:
        if found.unit in UNITS:
            return parse_quantity(value, found.unit)
        if found.unit == "J s":
            number, unit = value.split(maxsplit=1)
            return float(number) * _edp_unit(unit)
        return float(value.removesuffix(found.unit) if value.endswith(found.unit) else f"{value} without its unit")
    except ValueError as error:
        example = {"J s": "2 mJ ms", "%": "92 %", "dB": "20 dB"}.get(found.unit, "0.5")
        hint = str(error) if found.unit in UNITS else f"write {found.name} {example}"
        raise SpecError(hint) from None


def _edp_unit(unit: str) -> float:
    """Factor of a unit such as "mJ ms" or "uJ s"."""
    energy, _, time = unit.replace("*", " ").replace("·", " ").strip().partition(" ")
    return parse_quantity(f"1 {energy}", "J") * parse_quantity(f"1 {time.strip()}", "s")


def values_of(found: Metric, columns: Mapping[str, Floats]) -> Floats:
    """Value of a metric from result columns, all of one shape; NaN where a row has none."""
    value = np.ones(())
    for name in found.columns:
        value = value * columns[name]
    return np.asarray(value)


def combined(found: Metric, values: Floats, weights: Sequence[float], how: str) -> Floats:
    """One value a point from [n_points, n_workloads]: weighted sum, weighted geometric mean, or the worst; NaN where one is missing.

    sum: Σ w v;  geomean: exp(Σ w ln v / Σ w);  a percentage or a ratio is averaged, Σ w v / Σ w, in either case.
    """
    if found.per_chip or values.shape[1] == 1:
        return np.asarray(values[:, 0] if found.per_chip or how != "sum" else values[:, 0] * weights[0])
    if how == "worst":
        return np.asarray(values.min(axis=1) if found.more_is_better else values.max(axis=1))
    w = np.asarray(weights, dtype=np.float64)
    if found.unit in {"%", "dB", ""}:
        return np.asarray((values * w).sum(axis=1) / w.sum())
    if how == "sum":
        return np.asarray((values * w).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.exp((np.log(values) * w).sum(axis=1) / w.sum()))

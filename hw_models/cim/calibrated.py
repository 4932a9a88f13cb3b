"""Column passes at constants fitted once on published silicon, each prediction with its 90 % interval and flags.

The constants live in `parts/calibration/`: priors with their sources in `cim_priors.csv`, the fit in `cim_v1.csv`, which
`cosim calibrate cim` writes. There is no constant that belongs to one macro. Intervals are the residuals that papers left out
of the fit had, so they speak of silicon the fit has not seen.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw_models.cim.pass_inputs import PassInput, as_array
from hw_models.kernels.cim_pass import N_COMPONENTS, N_CONSTANTS, pass_costs
from workloads.errors import SpecError

CALIBRATION = Path(__file__).parents[1] / "parts" / "calibration"
PRIORS, FITTED = CALIBRATION / "cim_priors.csv", CALIBRATION / "cim_v1.csv"
COMPONENTS = ("driver", "cell", "line", "adc", "logic", "static", "scope")
# 90 % half-width in ln that each input filled in by a prior adds; assumed: 10 % each
PRIOR_LN = 0.1
RANGED = ("node_nm", "supply_v", "n", "input_bits", "weight_bits", "adc_bits")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prior:
    """A constant before the fit: `law` says whether it is fitted by its logarithm; `sd` in ln, or of the value when linear."""

    name: str
    law: str
    value: float
    sd: float
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """Fitted constants by name, 90 % half-widths in ln by target and kind, and the range of every input by kind."""

    version: str
    constants: Floats
    half_ln: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]

    def interval_ln(self, one: PassInput, target: str = "energy") -> float:
        """90 % half-width in ln of one prediction: the kind's, wider for each input that a prior filled in."""
        return self.half_ln[f"{target}.{one.kind}"] + PRIOR_LN * len(one.priors)

    def flags(self, one: PassInput) -> tuple[str, ...]:
        """Inputs outside the range the kind was fitted on, by name."""
        values = (one.node_m * 1e9, one.supply_v, one.n, one.input_bits, one.weight_bits, one.adc_bits)
        out = []
        for name, value in zip(RANGED, values, strict=True):
            if name == "adc_bits" and one.kind == "digital":
                continue
            low, high = self.ranges[f"{one.kind}.{name}"]
            if not low * (1 - 1e-9) <= value <= high * (1 + 1e-9):
                out.append(f"{name} {value:g} is outside the fitted {low:g} to {high:g} of {one.kind}")
        return tuple(out)


@dataclass(frozen=True, slots=True)
class PassCosts:
    """Energies in J of each pass by component [n, 7], their totals, times in s; factors of the 90 % interval of energy, and flags."""

    energy_j: Floats
    total_j: Floats
    latency_s: Floats
    factor: Floats
    flags: tuple[tuple[str, ...], ...]


@cache
def read_priors(path: Path = PRIORS) -> tuple[Prior, ...]:
    """Constants before the fit, in the order of the kernel. Raises SpecError when the file does not hold all of them."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if len(rows) != N_CONSTANTS:
        raise SpecError(f"{path}: holds {len(rows)} constants; the kernel takes {N_CONSTANTS}")
    return tuple(Prior(r["name"], r["law"], float(r["prior"]), float(r["sd"]), r["unit"], r["source"]) for r in rows)


@cache
def read_calibration(path: Path = FITTED) -> Calibration:
    """Read a fit as `cosim calibrate cim` writes it. Raises SpecError when constants are missing."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    values = {row["name"]: row["value"] for row in rows if row["section"] == "constant"}
    names = [prior.name for prior in read_priors()]
    missing = [name for name in names if name not in values]
    if missing:
        raise SpecError(f"{path}: constant {missing[0]} is missing; write the file anew with `cosim calibrate cim`")
    ranges: dict[str, list[float]] = {}
    for row in rows:
        if row["section"] == "range":
            ranges.setdefault(row["name"].rpartition(".")[0], []).append(float(row["value"]))
    return Calibration(
        version=next(row["value"] for row in rows if row["section"] == "version"),
        constants=np.array([float(values[name]) for name in names]),
        half_ln={row["name"]: float(row["value"]) for row in rows if row["section"] == "half_ln"},
        ranges={name: (min(pair), max(pair)) for name, pair in ranges.items()},
    )


def raw_costs(inputs: Floats, constants: Floats) -> tuple[Floats, Floats]:
    """Energy in J by component [n, 7] and time in s [n] of encoded passes [n, N_INPUTS]: the whole batch in one call."""
    energy_j, latency_s = np.zeros((len(inputs), N_COMPONENTS)), np.zeros(len(inputs))
    pass_costs(inputs, np.ascontiguousarray(constants), energy_j, latency_s)
    return energy_j, latency_s


def predict(inputs: Sequence[PassInput], calibration: Calibration | None = None) -> PassCosts:
    """Cost column passes with the shipped calibration, or another, each with its interval and flags."""
    used = calibration or read_calibration()
    energy_j, latency_s = raw_costs(as_array(inputs), used.constants)
    factor = np.array([exp(used.interval_ln(one)) for one in inputs])
    return PassCosts(energy_j, energy_j.sum(axis=1), latency_s, factor, tuple(used.flags(one) for one in inputs))

"""What one macro spends, takes, covers and loses, as a data sheet would say it, under every scope and rule of counting operations.

Two answers stand side by side: the part's own components (`own`), and the constants fitted on silicon (`silicon`) with the interval
that papers left out of that fit had. One MVM uses all active rows and all columns of one macro; a pass takes `input_bits_per_pass` of
its inputs through them. Intervals of `own` hold what its parts' ranges and the scaling laws say, not what the model leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, hypot, isfinite, log
from typing import Any

import numpy as np

from hw_models.cim import physics
from hw_models.cim.calibrated import COMPONENTS, predict, read_calibration
from hw_models.cim.error import CAUSES, output_error
from hw_models.cim.macro import CimMacro
from hw_models.cim.pass_inputs import Scope
from hw_models.cim.spec import CimMacroSpec
from hw_models.cim.spec_pass import limit_of, pass_input, pass_s, stages_s
from hw_models.cost import Spread
from hw_models.specs import Spec
from hw_models.technology import scale_area
from workloads.errors import SpecError
from workloads.graph import OpKind
from workloads.optable import OpTable

SCOPES = ("adc", "macro", "datapath", "chip")
RULES = ("ops", "ops_1b", "macs")
Bounds = dict[str, float | None]
# Components of energy and parts of area that each scope counts; what stands around a chip's macros is in none of a part's components.
_COUNTED = {
    "adc": ("driver", "cell", "adc"),
    "macro": ("driver", "cell", "adc", "digital", "control"),
    "datapath": ("driver", "cell", "adc", "digital", "control", "buffer", "interconnect", "vector"),
}
_COVERED = {
    "adc": ("cells", "driver", "adc"),
    "macro": ("cells", "driver", "adc", "digital", "control"),
    "datapath": ("cells", "driver", "adc", "digital", "control", "buffer", "interconnect", "vector"),
}
# What the fit tells apart: it knows no datapath of its own between a macro and a chip.
_FITTED: dict[str, Scope] = {"adc": "adc", "macro": "macro", "chip": "chip"}


@dataclass(frozen=True, slots=True)
class Mvm:
    """A product that fills the active rows and the columns of a macro.

    `k` inputs, `n` outputs; `slices` columns (of pairs, of trees) an output takes, `passes` its inputs.
    """

    k: int
    n: int
    slices: int
    passes: int
    weight_bits: int
    activation_bits: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.k * self.n

    def ops(self, rule: str) -> float:
        """Operations that a rule counts for the product."""
        return self.macs * {"ops": 2.0, "ops_1b": 2.0 * self.weight_bits * self.activation_bits, "macs": 1.0}[rule]

    def table(self) -> OpTable:
        """Return the product as a table of one op."""
        given = {
            "kind": OpKind.MATMUL, "groups": 1, "m": 1, "k": self.k, "n": self.n, "dynamic": 0, "n_vector_ops": 0, "special": 0,
            "weight_elements": self.macs, "input_elements": self.k, "output_elements": self.n, "weight_bits": self.weight_bits,
            "activation_bits": self.activation_bits, "row_of_op": 0, "n_repeats": 1,
        }  # fmt: skip
        return OpTable(**{name: np.array([value], dtype=np.int64) for name, value in given.items()})


def datasheet(device: CimMacro, *, weight_bits: int = 8, activation_bits: int = 8, data_density: float | None = None) -> dict[str, Any]:
    """Energy, time, area and errors of one macro of a part, units in the keys; energies in J, intervals of 90 %.

    efficiency_tops_per_w[scope][rule] = {own, own_low, own_high, silicon, low, high}, density_tops_per_mm2[scope][rule] = {own, own_low,
    own_high}; rules: `ops` (1 MAC = 2 operations at the bits asked), `ops_1b` (times both bit widths), `macs` (1 MAC = 1 operation). The
    scope `chip` has no `own` figure: a part knows nothing beyond itself. `data_density` replaces the part's mean input over full
    scale; the fit on silicon knows no such input. `output_snr_db` is None where nothing is lost. Raises SpecError on a density outside
    (0, 1].
    """
    spec = _one_macro(device.spec, data_density)
    mvm = mvm_of(spec, weight_bits, activation_bits)
    costs = CimMacro.costs([spec], mvm.table())
    components = costs.components[0]
    own_j = {part.name: float(value) for part, value in zip(components, costs.energy_j[0, 0], strict=True)}
    steady_s = float(costs.latency_s[0, 0] - costs.fixed_s[0, 0])
    silicon_j = _silicon_j(spec, mvm)
    areas = physics.areas_m2(spec)
    return {
        "title": spec.title,
        "weight_bits": weight_bits,
        "activation_bits": activation_bits,
        "data_density": spec.input_density,
        "mvm": {"k": mvm.k, "n": mvm.n, "macs": mvm.macs, "latency_s": float(costs.latency_s[0, 0]), "steady_s": steady_s},
        "pass_s": pass_s(spec),
        "pass": _pass(spec, mvm, own_j, silicon_j),
        "own_energy_j": own_j,
        "silicon_energy_j": silicon_j,
        "silicon_factor_90": float(predict([pass_input(spec, weight_bits=weight_bits)]).factor[0]),
        "flags": list(read_calibration().flags(pass_input(spec, weight_bits=weight_bits))),
        "calibration": read_calibration().version,
        "efficiency_tops_per_w": _efficiencies(spec, mvm, own_j, {part.name: part.spreads for part in components}),
        "density_tops_per_mm2": _densities(spec, mvm, steady_s, costs.latency_spreads[0]),
        "area_mm2": {name: areas[name] * 1e6 for name in _COVERED["macro"]},
        "area_around_mm2": {name: areas[name] * 1e6 for name in _COVERED["datapath"] if name not in _COVERED["macro"]},
        "adc_bits": spec.adc.n_bits if spec.adc else None,
        "lossless_adc_bits": spec.lossless_adc_bits if spec.adc else None,
        **_errors(spec, mvm),
        "write": _write(spec),
    }


def _one_macro(spec: CimMacroSpec, data_density: float | None) -> CimMacroSpec:
    """One macro of a part, with the mean input that a user vouches for in place of the part's. Raises SpecError when it is none."""
    update: dict[str, Any] = {"n_macros": 1, "scratch_macros": 0}
    if data_density is not None:
        if not 0 < data_density <= 1:
            raise SpecError(f"data_density {data_density:g}: the mean input must be above 0 and at most 1 of full scale")
        update["input_density"] = data_density
        for note in ("assumed", "ranges"):
            update[note] = {key: value for key, value in getattr(spec, note).items() if key != "input_density"}
    return spec.model_copy(update=update)


def mvm_of(spec: CimMacroSpec, weight_bits: int, activation_bits: int) -> Mvm:
    """Return the product of these bits that fills the active rows and the columns of a macro; slices and passes are whole ones."""
    readouts = -(-max(1, weight_bits - spec.sign_bits) // (spec.bits_per_cell * spec.tree_bits))
    columns = readouts * spec.tree_bits * spec.col_devices
    return Mvm(
        k=max(1, spec.n_rows_active // spec.row_devices),
        n=max(1, spec.cols // columns),
        slices=1 if spec.domain == "digital" else readouts * spec.slice_reads,
        passes=-(-activation_bits // spec.input_bits_per_pass) * spec.input_phases,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
    )


def _silicon_j(spec: CimMacroSpec, mvm: Mvm, scope: Scope = "macro") -> dict[str, float]:
    """Energy of one MVM by component as silicon has it: that of a column pass times outputs, slices and passes."""
    found = predict([pass_input(spec, scope, weight_bits=mvm.weight_bits)]).energy_j[0] * (mvm.n * mvm.slices * mvm.passes)
    return dict(zip(COMPONENTS, (float(value) for value in found), strict=True))


def _pass(spec: CimMacroSpec, mvm: Mvm, own_j: Mapping[str, float], silicon_j: Mapping[str, float]) -> dict[str, Any]:
    """One pass of all columns: its energies, what its time is made of, and its time as silicon has it."""
    one, fit = pass_input(spec, weight_bits=mvm.weight_bits), read_calibration()
    fitted_s, factor = float(predict([one]).latency_s[0]), exp(fit.interval_ln(one, "latency"))
    return {
        "n_per_mvm": mvm.passes,
        "input_bits": spec.input_bits_per_pass,
        "stages_s": stages_s(spec),
        "limit": limit_of(spec),
        "silicon_s": {"value": fitted_s, "low": fitted_s / factor, "high": fitted_s * factor},
        "own_energy_j": {name: value / mvm.passes for name, value in own_j.items()},
        "silicon_energy_j": {name: value / mvm.passes for name, value in silicon_j.items()},
    }


# --- under each scope and rule ------------------------------------------------------------------------------------


def _width(amounts: Mapping[str, float], spreads: Mapping[str, Iterable[Spread]]) -> float:
    """90 % factor of a sum: ln of it is the root of the summed squares of ln(1 + part (f - 1) / sum), part = all that rests on one name.

    First order (JCGM 100:2008 equation 10), the law of ratios in a comparison of chips.
    """
    total = sum(amounts.values())
    moved: dict[str, float] = {}
    for name, amount in amounts.items():
        for spread in spreads[name]:
            moved[spread.name] = moved.get(spread.name, 0.0) + amount * (spread.factor - 1)
    return exp(hypot(*(log(1 + part / total) for part in moved.values()))) if total > 0 else 1.0


def _efficiencies(
    spec: CimMacroSpec, mvm: Mvm, own_j: Mapping[str, float], spreads: Mapping[str, Sequence[Spread]]
) -> dict[str, dict[str, Bounds]]:
    """TOPS/W by scope and rule."""
    out: dict[str, dict[str, Bounds]] = {}
    factor = float(predict([pass_input(spec, weight_bits=mvm.weight_bits)]).factor[0])
    for scope in SCOPES:
        own: tuple[float, ...] = ()
        if scope in _COUNTED:
            spent = {name: own_j[name] for name in _counted(spec, scope)}
            total_j, width = sum(spent.values()), _width(spent, spreads)
            own = (total_j, total_j * width, total_j / width)
        fitted_j = sum(_silicon_j(spec, mvm, _FITTED[scope]).values()) if scope in _FITTED else None
        fit = (fitted_j, fitted_j * factor, fitted_j / factor) if fitted_j else ()
        names = ("own", "own_low", "own_high", "silicon", "low", "high")
        energies = (*(own or (None,) * 3), *(fit or (None,) * 3))
        out[scope] = {
            rule: {name: mvm.ops(rule) * 1e-12 / joule if joule else None for name, joule in zip(names, energies, strict=True)}
            for rule in RULES
        }
    return out


def _counted(spec: CimMacroSpec, scope: str) -> tuple[str, ...]:
    """Components that a scope counts; the adder trees of a digital array stand in the place of ADCs."""
    return (*_COUNTED["adc"], "digital") if scope == "adc" and spec.domain == "digital" else _COUNTED[scope]


def _densities(spec: CimMacroSpec, mvm: Mvm, steady_s: float, time_spreads: Iterable[Spread]) -> dict[str, dict[str, Bounds]]:
    """TOPS/mm2 by scope and rule: passes one after another over the area counted; a datapath also waits for buffers and lanes."""
    areas, factors = physics.areas_m2(spec), _area_factors(spec)
    time_ln = hypot(*(log(spread.factor) for spread in time_spreads))
    out: dict[str, dict[str, Bounds]] = {}
    for scope, names in _COVERED.items():
        counted = (*names, "digital") if scope == "adc" and spec.domain == "digital" else names
        area_m2 = sum(areas[name] for name in counted)
        spread = exp(hypot(time_ln, log(sum(areas[name] * factors[name] for name in counted) / area_m2)))
        seconds = steady_s if scope == "datapath" else mvm.passes * pass_s(spec)
        per_op = 1e-18 / (seconds * area_m2)
        out[scope] = {}
        for rule in RULES:
            own = mvm.ops(rule) * per_op
            out[scope][rule] = {"own": own, "own_low": own / spread, "own_high": own * spread}
    return out


def _area_factors(spec: CimMacroSpec) -> dict[str, float]:
    """90 % factor of each part's area: its own range, and the laws that move it to the node."""

    def factor(owner: Spec, node_m: float, *keys: str) -> float:
        known = max(owner.factor(key) for key in keys)
        law = scale_area(node_m, spec.node_m).factor if node_m != spec.node_m else 1.0
        return exp(hypot(log(known), log(law)))

    logic = factor(spec.logic, spec.logic.node_m, "gate_area")
    known = {
        "cells": factor(spec.cell, spec.cell.node_m, "area"),
        "driver": factor(spec.dac, spec.dac.node_m, "area_base", "area_growth"),
        "adc": factor(spec.adc, spec.adc.node_m, "area_base", "area_growth") if spec.adc else 1.0,
        "control": max(logic, factor(spec, spec.node_m, "control_area_share")),
    }
    return {name: known.get(name, logic) for name in _COVERED["datapath"]}


# --- what it loses, and what writing takes ------------------------------------------------------------------------


def _errors(spec: CimMacroSpec, mvm: Mvm) -> dict[str, Any]:
    """SNR of the outputs in dB, mean square error in units of whole-number products, and the share of each cause."""
    found = output_error(spec, mvm.k, mvm.weight_bits, mvm.activation_bits)
    snr_db, total = float(found.output_snr_db[0]), float(found.total[0])
    shares = {cause: float(getattr(found, cause)[0]) / total for cause in CAUSES} if total > 0 else {}
    return {
        "output_snr_db": snr_db if isfinite(snr_db) else None,
        "error_variance": total,
        "signal_variance": float(found.signal[0]),
        "error_shares": shares,
    }


def _write(spec: CimMacroSpec) -> dict[str, float | None]:
    """Time and energy of writing a whole macro once, and how often its cells survive it."""
    batches = spec.rows * int(np.ceil(spec.cols / (spec.cells_per_write or spec.cols)))
    return {"time_s": batches * spec.cell.write_s, "energy_j": spec.rows * spec.cols * spec.cell.write_j, "endurance": spec.cell.endurance}

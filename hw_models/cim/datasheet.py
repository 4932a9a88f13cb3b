"""What one macro spends, takes and covers, as a data sheet would say it, under every scope and rule of counting operations.

Two answers stand side by side: the part's own components (`own`), and the constants fitted on silicon (`silicon`) with the interval
that papers left out of that fit had. One MVM uses all active rows and all columns of one macro.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hw_models.cim import physics
from hw_models.cim.calibrated import COMPONENTS, predict, read_calibration
from hw_models.cim.macro import CimMacro
from hw_models.cim.spec import CimMacroSpec
from hw_models.cim.spec_pass import pass_input, pass_s
from workloads.graph import OpKind
from workloads.optable import OpTable

SCOPES = ("adc", "macro", "datapath", "chip")
RULES = ("ops", "ops_1b", "macs")
# Components of the device that each scope counts; what stands around a chip's macros is in none of a part's components.
_COUNTED = {
    "adc": ("driver", "cell", "adc"),
    "macro": ("driver", "cell", "adc", "digital", "control"),
    "datapath": ("driver", "cell", "adc", "digital", "control", "buffer", "interconnect", "vector"),
}


def datasheet(device: CimMacro, *, weight_bits: int = 8, activation_bits: int = 8) -> dict[str, Any]:
    """Energy, time, area and errors of one macro of a part, units in the keys; energies in J for one MVM, intervals of 90 %.

    efficiency[scope][rule] = {own, silicon, low, high} in TOPS/W; rules: `ops` (1 MAC = 2 operations at the bits asked), `ops_1b` (times
    both bit widths), `macs` (1 MAC = 1 operation). The scope `chip` has no `own` figure: a part knows nothing beyond itself.
    """
    spec = device.spec.model_copy(update={"n_macros": 1, "scratch_macros": 0})
    row, n_outputs = _mvm(spec, weight_bits, activation_bits)
    costs = CimMacro.costs([spec], row)
    names = [component.name for component in costs.components[0]]
    own_j = dict(zip(names, (float(value) for value in costs.energy_j[0, 0]), strict=True))
    macs = int(row.n_macs[0])
    one = pass_input(spec, weight_bits=weight_bits)
    passes = macs * weight_bits * activation_bits / one.one_bit_products
    silicon = predict([one])
    areas = physics.macro_areas_m2(spec)
    seconds = float(costs.latency_s[0, 0] - costs.fixed_s[0, 0])
    rate = macs / seconds
    return {
        "title": spec.title,
        "weight_bits": weight_bits,
        "activation_bits": activation_bits,
        "mvm": {"k": int(row.k[0]), "n": n_outputs, "macs": macs, "latency_s": float(costs.latency_s[0, 0]), "steady_s": seconds},
        "pass_s": pass_s(spec),
        "own_energy_j": own_j,
        "silicon_energy_j": {name: float(value) * passes for name, value in zip(COMPONENTS, silicon.energy_j[0], strict=True)},
        "silicon_factor_90": float(silicon.factor[0]),
        "flags": list(silicon.flags[0]),
        "calibration": read_calibration().version,
        "efficiency_tops_per_w": _efficiencies(spec, own_j, macs, passes, weight_bits, activation_bits),
        "density_tops_per_mm2": {rule: rate * _ops(rule, weight_bits, activation_bits) / sum(areas.values()) * 1e-18 for rule in RULES},
        "area_mm2": {name: area * 1e6 for name, area in areas.items()},
        "adc_bits": spec.adc.n_bits if spec.adc else None,
        "lossless_adc_bits": spec.lossless_adc_bits if spec.adc else None,
        "write": _write(spec),
    }


def _mvm(spec: CimMacroSpec, weight_bits: int, activation_bits: int) -> tuple[OpTable, int]:
    """Return one product that fills the active rows and the columns of a macro, as a table of one op, and its number of outputs."""
    digits = -(-max(1, weight_bits - spec.sign_bits) // (spec.bits_per_cell * spec.tree_bits)) * spec.tree_bits
    n = max(1, spec.cols // (digits * spec.col_devices))
    k = max(1, spec.n_rows_active // spec.row_devices)
    values = {
        "kind": OpKind.MATMUL,
        "groups": 1,
        "m": 1,
        "k": k,
        "n": n,
        "dynamic": 0,
        "n_vector_ops": 0,
        "special": 0,
        "weight_elements": k * n,
        "input_elements": k,
        "output_elements": n,
        "weight_bits": weight_bits,
        "activation_bits": activation_bits,
        "row_of_op": 0,
        "n_repeats": 1,
    }
    return OpTable(**{name: np.array([value], dtype=np.int64) for name, value in values.items()}), n


def _ops(rule: str, weight_bits: int, activation_bits: int) -> float:
    """Operations that a rule counts for one MAC."""
    return {"ops": 2.0, "ops_1b": 2.0 * weight_bits * activation_bits, "macs": 1.0}[rule]


def _efficiencies(
    spec: CimMacroSpec, own_j: dict[str, float], macs: int, passes: float, weight_bits: int, activation_bits: int
) -> dict[str, dict[str, dict[str, float | None]]]:
    """TOPS/W by scope and rule: own, and on silicon with its interval; the fit knows no datapath of its own apart from a macro."""
    out: dict[str, dict[str, dict[str, float | None]]] = {}
    for scope in SCOPES:
        found = predict([pass_input(spec, "macro" if scope == "datapath" else scope, weight_bits=weight_bits)])  # type: ignore[arg-type]
        total_j, factor = float(found.total_j[0]) * passes, float(found.factor[0])
        spent_j = sum(own_j[name] for name in _COUNTED[scope]) if scope in _COUNTED else None
        out[scope] = {}
        for rule in RULES:
            tera = macs * _ops(rule, weight_bits, activation_bits) * 1e-12
            silicon = None if scope == "datapath" else tera / total_j
            out[scope][rule] = {
                "own": tera / spent_j if spent_j else None,
                "silicon": silicon,
                "low": silicon / factor if silicon else None,
                "high": silicon * factor if silicon else None,
            }
    return out


def _write(spec: CimMacroSpec) -> dict[str, float | None]:
    """Time and energy of writing a whole macro once, and how often its cells survive it."""
    batches = spec.rows * int(np.ceil(spec.cols / (spec.cells_per_write or spec.cols)))
    return {"time_s": batches * spec.cell.write_s, "energy_j": spec.rows * spec.cols * spec.cell.write_j, "endurance": spec.cell.endurance}

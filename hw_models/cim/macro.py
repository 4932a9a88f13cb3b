"""Compute-in-memory macros as a device: matrix products with stored weights, counted component by component.

One activation of the array takes t_act = t_driver + max(t_cell, t_settle) (times the pulses of a full-scale input), then
ceil(columns / ADCs) conversions and one add; pipelined, the longest of the three counts. A vector needs
ceil(B_in / b_in) * phases bit passes of ceil(rows used / rows active) activations; a weight needs ceil(B_w / b_cell) slices
times its devices. Row and column tiles sit on different macros and work in parallel; more tiles than macros go in rounds.
An H-tree takes each vector from the buffer to its macros, and sums of row tiles back, to the lanes or added on the way.
Depthwise and grouped products share arrays along the diagonal, p = min(rows // K, cols // N') groups at a time.

Inputs cross the port once and are reused by the input buffer between overlapping windows; only when a weight matrix takes
more columns than there are macros, and its inputs exceed the buffer, are they fetched again. Products of two activations
(`dynamic`) are refused: their operand would have to be programmed for each inference. Accuracy is not modelled yet;
`CimMacroSpec.adc_deficit_bits` says how far the ADC is from lossless.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hw_models.cim import physics
from hw_models.cim.converter import ENERGY_KEYS, TIME_KEYS
from hw_models.cim.lanes import cost_lanes
from hw_models.cim.spec import CimMacroSpec
from hw_models.cost import Category, Component, CostTable, Spread, empty_costs
from hw_models.kernels.cim import N_FLOATS, N_INTS, cim_costs
from hw_models.registry import Device, device
from hw_models.specs import Spec
from hw_models.technology import LEAKAGE_FACTOR, scale_wire_energy
from workloads.optable import OpTable, is_matmul

__all__ = ["COMPONENTS", "LIMITS", "CimMacro", "CimMacroSpec"]

COMPONENTS: tuple[tuple[str, Category], ...] = (
    ("driver", "convert"),
    ("cell", "compute"),
    ("adc", "convert"),
    ("digital", "compute"),
    ("buffer", "memory"),
    ("interconnect", "link"),
    ("vector", "compute"),
    ("control", "compute"),
)
LIMITS = ("array", "adc", "interconnect", "vector")

_CELL_KEYS: dict[str, tuple[str, ...]] = {
    "charge": ("unit_cap", "bitline_cap"),
    "current": ("bitline_cap",),
    "resistive": ("bitline_cap", "r_lrs", "r_hrs", "read_voltage", "read_time"),
    "digital": ("unit_cap",),
}
_DAC_KEYS = ("energy_per_bit", "energy_doubling")


@device("cim_macro")
class CimMacro(Device):
    """Macros that keep weights in their cells and multiply inputs by them in place."""

    spec_class = CimMacroSpec
    holds_weights = True
    spec: CimMacroSpec

    @classmethod
    def costs(cls, specs: Sequence[Spec], ops: OpTable) -> CostTable:
        """Cost every op on every spec: matrix products with static weights, and what its lanes take."""
        macros = [cast("CimMacroSpec", spec) for spec in specs]
        scaled = [physics.factors(spec) for spec in macros]
        table = empty_costs(
            components=[_components(spec, factors) for spec, factors in zip(macros, scaled, strict=True)],
            limits=LIMITS,
            latency_spreads=[_latency_spreads(spec, factors) for spec, factors in zip(macros, scaled, strict=True)],
            weight_bits=ops.weight_bits,
            activation_bits=ops.activation_bits,
        )
        floats = np.array([physics.kernel_row(*pair) for pair in zip(macros, scaled, strict=True)], dtype=np.float64).reshape(-1, N_FLOATS)
        ints = np.array([physics.kernel_ints(spec) for spec in macros], dtype=np.int64)
        table.supported[:] = _runs(ops)
        compute_bits = np.stack([table.compute_weight_bits, table.compute_activation_bits], axis=-1)
        cim_costs(
            ints.reshape(-1, N_INTS),
            floats,
            _op_columns(ops),
            _runs(ops),
            table.latency_s,
            table.fixed_s,
            table.energy_j,
            table.n_bytes,
            table.limit,
            table.n_arrays,
            table.program_s,
            table.program_j,
            compute_bits,
        )
        cost_lanes(macros, floats, ops, table)
        table.compute_weight_bits[:] = compute_bits[:, :, 0]
        table.compute_activation_bits[:] = compute_bits[:, :, 1]
        return table

    @property
    def area_parts_m2(self) -> dict[str, float]:
        """Area by part: cells, driver, adc, digital, control, buffer, interconnect, vector."""
        return physics.areas_m2(self.spec)

    @property
    def area_m2(self) -> float:
        """Area of all macros with their buffers and lanes."""
        return sum(self.area_parts_m2.values())

    @property
    def idle_w(self) -> float:
        """Idle power as given, else leakage of cells that need power, buffers and logic; clocks are gated."""
        if self.spec.idle_w is not None:
            return self.spec.idle_w
        return sum(physics.leakages_w(self.spec).values())

    @property
    def idle_spreads(self) -> tuple[Spread, ...]:
        """Range of the idle power as given, else leakage densities and that of the cells."""
        if self.spec.idle_w is not None:
            return self.spec.spread(self.name, "idle")
        return (Spread("technology.leakage", LEAKAGE_FACTOR), *self.spec.cell.spread("cim.cell", "leakage"))

    @property
    def idle_assumed(self) -> bool:
        """Whether the idle power was assumed; a leakage density always is."""
        return self.spec.idle_w is None or self.spec.is_assumed("idle")

    @property
    def n_arrays(self) -> int:
        """Macros that can hold weights between inferences."""
        return self.spec.n_macros - self.spec.scratch_macros

    @property
    def scratch_arrays(self) -> int:
        """Macros kept free for weights that are rewritten during an inference."""
        return self.spec.scratch_macros

    def peak_macs_per_s(self, weight_bits: int, activation_bits: int) -> float:
        """MACs a second with every cell in use: macros * weights in one / (bit passes * activations * t_pass)."""
        spec = self.spec
        scaled = physics.factors(spec)
        readouts = -(-max(1, weight_bits - spec.sign_bits) // (spec.bits_per_cell * spec.tree_bits))
        weights = (spec.rows // spec.row_devices) * (spec.cols // (readouts * spec.tree_bits * spec.col_devices))
        conversions = -(-(spec.cols // spec.col_devices) // spec.n_adcs) if spec.n_adcs else 0
        stages_s = (physics.activation_s(spec, scaled), conversions * physics.adc_s(spec, scaled), 1 / spec.clock_hz)
        pass_s = max(stages_s) if spec.pipelined else sum(stages_s)
        passes = -(-activation_bits // spec.input_bits_per_pass) * spec.input_phases * -(-spec.rows // spec.n_rows_active)
        return spec.n_macros * weights / (passes * pass_s)


def _runs(ops: OpTable) -> NDArray[np.bool_]:
    """Rows that are matrix products with static weights."""
    return np.asarray(is_matmul(ops) & (ops.dynamic == 0) & (ops.n_macs > 0), dtype=np.bool_)


def _op_columns(ops: OpTable) -> NDArray[np.int64]:
    """Ops in the order of the columns in `hw_models.kernels.cim` (GROUPS ... OUTPUT_BYTES)."""
    names = ("groups", "m", "k", "n", "weight_bits", "activation_bits", "n_vector_ops", "weight_bytes", "input_bytes", "output_bytes")
    return np.ascontiguousarray(np.stack([getattr(ops, name) for name in names], axis=-1), dtype=np.int64)


def _largest(spec: Spec, keys: Sequence[str]) -> float:
    """Largest 90 % factor among the keys of a spec, which have no parents."""
    return max([spec.factor(key) for key in keys if key in spec.ranges or key in spec.assumed], default=1.0)


def _any_assumed(spec: Spec, keys: Sequence[str]) -> bool:
    return any(spec.is_assumed(key) for key in keys)


def _components(spec: CimMacroSpec, scaled: physics.Factors) -> tuple[Component, ...]:
    """Consumers of energy with what their numbers rest on."""
    adc = spec.adc
    cell_keys = ("read_energy",) if spec.domain == "resistive" and spec.cell.read_energy_j is not None else _CELL_KEYS[spec.domain]
    return _make_components(
        (
            _largest(spec, ("input_density",)),
            _largest(spec, ("weight_density",)),
            _largest(spec.cell, cell_keys),
            _largest(spec.cell, ("wordline_cap", "wordline_voltage")),
            _largest(spec.dac, _DAC_KEYS),
            _largest(adc, ENERGY_KEYS) if adc else 1.0,
            _largest(spec.logic, ("gate_cap",)),
            _largest(spec, ("control_energy_share",)),
        ),
        (scaled.dac_energy.factor, scaled.adc_energy.factor if adc else 1.0, scaled.logic_energy.factor),
        max(physics.input_buffer(spec).factor, physics.output_buffer(spec).factor),
        scale_wire_factor(spec.node_m),
        (
            spec.is_assumed("input_density") or _any_assumed(spec.dac, _DAC_KEYS) or spec.cell.is_assumed("wordline_cap"),
            spec.is_assumed("weight_density") or _any_assumed(spec.cell, cell_keys),
            bool(adc) and _any_assumed(cast("Spec", adc), ENERGY_KEYS),
            spec.logic.is_assumed("gate_cap"),
            spec.is_assumed("control_energy_share"),
        ),
    )


@lru_cache(maxsize=256)
def scale_wire_factor(node_m: float) -> float:
    """90 % factor of wire energy at a node, from its published 28 nm value."""
    return scale_wire_energy(28e-9, node_m).factor


@lru_cache(maxsize=4096)
def _make_components(
    known: tuple[float, ...],
    scaling: tuple[float, float, float],
    buffer: float,
    wire: float,
    assumed: tuple[bool, bool, bool, bool, bool],
) -> tuple[Component, ...]:
    """Spreads by component; a factor of 1 is none."""
    inputs, weights, cell, line, dac, adc, gate, control = known
    dac_law, adc_law, logic_law = scaling
    logic = (("cim.logic", gate), ("technology.logic", logic_law))
    spreads = (
        (("cim.input_density", inputs), ("cim.wordline", line), ("cim.dac", dac), ("technology.logic", dac_law)),
        (("cim.input_density", inputs), ("cim.weight_density", weights), ("cim.cell", cell)),
        (("cim.adc", adc), ("technology.logic", adc_law)),
        logic,
        (("technology.sram", buffer),),
        (("technology.wire", wire),),
        logic,
        (("cim.control", control),),
    )
    driver, cells, converter, gates, share = assumed
    flags = (driver, driver or cells, converter, gates, False, False, gates, share)
    return tuple(
        Component(name, category, tuple(Spread(*pair) for pair in pairs if pair[1] > 1), flag)
        for (name, category), pairs, flag in zip(COMPONENTS, spreads, flags, strict=True)
    )


def _latency_spreads(spec: CimMacroSpec, scaled: physics.Factors) -> tuple[Spread, ...]:
    """Spread of the slowest-known stage, and of the delay law where a part comes from another node."""
    stages = [_largest(spec.cell, ("read_time",)), _largest(spec, ("settle",)), _largest(spec.dac, ("time_fixed", "time_per_bit"))]
    laws = [scaled.dac_delay.factor]
    if spec.adc:
        stages.append(_largest(spec.adc, TIME_KEYS))
        laws.append(scaled.adc_delay.factor)
    else:
        stages.append(_largest(spec.logic, ("gate_delay",)))
        laws.append(scaled.logic_delay.factor)
    pairs = (("cim.latency", max(stages)), ("technology.delay", max(laws)))
    return tuple(Spread(name, factor) for name, factor in pairs if factor > 1)

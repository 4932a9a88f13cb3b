"""Compute-in-memory macros as a device: matrix products with stored weights, counted component by component.

One activation of the array takes t_act = t_driver + max(t_cell, t_settle) (times the pulses of a full-scale input), then
ceil(columns / ADCs) conversions and one add; pipelined, the longest of the three counts. A vector needs
ceil(B_in / b_in) * phases bit passes of ceil(rows used / rows active) activations; a weight needs ceil(B_w / b_cell) slices
times its devices. Row and column tiles sit on different macros and work in parallel; more tiles than macros go in rounds.
An H-tree takes each vector from the buffer to its macros, and sums of row tiles back, to the lanes or added on the way.
Depthwise and grouped products share arrays along the diagonal, p = min(rows // K, cols // N') groups at a time.

Inputs cross the port once and are reused by the input buffer between overlapping windows; only when a weight matrix takes
more columns than there are macros, and its inputs exceed the buffer, are they fetched again. Products of two activations
(`dynamic`) are refused: their operand would have to be programmed for each inference. What analog products lose is in the table's
`output_snr_db`, of `hw_models.cim.error`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from hw_models.cim import physics
from hw_models.cim.converter import ENERGY_KEYS, TIME_KEYS
from hw_models.cim.error import output_snr_db
from hw_models.cim.lanes import cost_lanes
from hw_models.cim.spec import CimMacroSpec
from hw_models.cost import Category, Component, CostTable, Spread, empty_costs
from hw_models.kernels.cim import N_FLOATS, N_INTS, cim_costs
from hw_models.registry import Device, device
from hw_models.specs import Spec
from hw_models.technology import LEAKAGE_FACTOR, wire_energy
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
        compute_bits = np.empty((len(macros), len(ops), 2), dtype=np.int64)
        compute_bits[:] = np.stack([ops.weight_bits, ops.activation_bits], axis=-1)
        table = empty_costs(
            components=[_components(spec, factors) for spec, factors in zip(macros, scaled, strict=True)],
            limits=LIMITS,
            latency_spreads=[_latency_spreads(spec, factors) for spec, factors in zip(macros, scaled, strict=True)],
            weight_bits=ops.weight_bits,
            activation_bits=ops.activation_bits,
            output_snr=partial(_output_snr, macros, ops, compute_bits),
        )
        floats = np.array([physics.kernel_row(*pair) for pair in zip(macros, scaled, strict=True)], dtype=np.float64).reshape(-1, N_FLOATS)
        ints = np.array([physics.kernel_ints(spec) for spec in macros], dtype=np.int64)
        table.supported[:] = _runs(ops)
        cim_costs(
            ints.reshape(-1, N_INTS),
            floats,
            _op_columns(ops),
            _runs(ops),
            table.latency_s,
            table.fixed_s,
            table.serial_s,
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
            return self.spec.spread(self.spec.title or self.kind, "idle")
        return (Spread("technology.leakage", LEAKAGE_FACTOR), *self.spec.cell.spread("cim.cell", "leakage"))

    @property
    def idle_assumed(self) -> bool:
        """Whether the idle power was assumed; a leakage density always is."""
        return self.spec.idle_w is None or self.spec.is_assumed("idle")

    @property
    def program_spreads(self) -> tuple[Spread, ...]:
        """Energy of a pulse, and how many a cell takes."""
        return self.spec.cell.spread("cim.cell", "write_energy", "n_write_pulses")

    @property
    def program_assumed(self) -> bool:
        """Whether the energy of a pulse or their number is assumed."""
        return _any_assumed(self.spec.cell, ("write_energy", "n_write_pulses"))

    @property
    def notes(self) -> tuple[str, ...]:
        """How far the ADC is from lossless, and where to see what that costs."""
        lost, spec = self.spec.adc_deficit_bits, self.spec
        if spec.adc is None or lost == 0:
            return ()
        return (
            f"{self.name}: {spec.adc.n_bits}-bit ADCs read sums of {spec.n_rows_active} rows that need {spec.lossless_adc_bits} bits "
            f"to be told apart; output_snr_db says what {lost} {'bit' if lost == 1 else 'bits'} less cost each op, for assumed data",
        )

    @property
    def n_arrays(self) -> int:
        """Macros that can hold weights between inferences."""
        return self.spec.n_macros - self.spec.scratch_macros

    @property
    def scratch_arrays(self) -> int:
        """Macros kept free for weights that are rewritten during an inference."""
        return self.spec.scratch_macros

    def peak_macs_per_s(self, weight_bits: int, activation_bits: int) -> float:
        """MACs a second with every cell of every macro in use: macros * rows active * columns / (columns a weight * bit passes * t_pass).

        Weights may lie across two arrays, so a fraction of one counts. Columns that fill the last turn of the ADCs in part may take
        longer than they are worth: the better of all columns and of whole turns.
        """
        spec = self.spec
        scaled = physics.factors(spec)
        readouts = -(-max(1, weight_bits - spec.sign_bits) // (spec.bits_per_cell * spec.tree_bits))
        turn = spec.n_adcs * spec.read_columns
        columns_per_s = 0.0
        for columns in {spec.cols, spec.cols // turn * turn} if turn else {spec.cols}:
            conversions = -(-columns // turn) if turn else 0
            stages_s = (physics.activation_s(spec, scaled), conversions * physics.adc_s(spec, scaled), 1 / spec.clock_hz)
            columns_per_s = max(columns_per_s, columns / (max(stages_s) if spec.pipelined else sum(stages_s)))
        rows = min(spec.n_rows_active, spec.rows) / spec.row_devices
        bit_passes = -(-activation_bits // spec.input_bits_per_pass) * spec.input_phases
        return spec.n_macros * rows * columns_per_s / (readouts * spec.tree_bits * spec.col_devices * bit_passes)


def _runs(ops: OpTable) -> NDArray[np.bool_]:
    """Rows that are matrix products with static weights."""
    return np.asarray(is_matmul(ops) & (ops.dynamic == 0) & (ops.n_macs > 0), dtype=np.bool_)


def _output_snr(specs: Sequence[CimMacroSpec], ops: OpTable, compute_bits: NDArray[np.int64]) -> NDArray[np.float64]:
    """SNR in dB [n_specs, n_ops] of what arrays compute; NaN for other ops, and on digital macros, which lose nothing."""
    snr_db = np.full((len(specs), len(ops)), np.nan)
    runs = _runs(ops)
    for s, spec in enumerate(specs):
        if spec.adc is not None:
            bits = compute_bits[s, runs]
            snr_db[s, runs] = output_snr_db(spec, ops.k[runs], bits[:, 0], bits[:, 1])
    return snr_db


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
        wire_factor(spec.node_m),
        (
            spec.is_assumed("input_density") or _any_assumed(spec.dac, _DAC_KEYS) or spec.cell.is_assumed("wordline_cap"),
            spec.is_assumed("weight_density") or _any_assumed(spec.cell, cell_keys),
            bool(adc) and _any_assumed(cast("Spec", adc), ENERGY_KEYS),
            spec.logic.is_assumed("gate_cap"),
            spec.is_assumed("control_energy_share"),
        ),
    )


@lru_cache(maxsize=256)
def wire_factor(node_m: float) -> float:
    """90 % factor of wire energy at a node: that of the published figures and of moving them there."""
    return wire_energy(node_m).factor


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
    """How far a pass of all columns may grow, by its parts' ranges and by the delay law; a stage that another hides does not count."""
    nominal, known, law = (_pass_s(spec, scaled, by) for by in ("nominal", "known", "law"))
    pairs = (("cim.latency", known / nominal), ("technology.delay", law / nominal))
    return tuple(Spread(name, factor) for name, factor in pairs if factor > 1)


def _pass_s(spec: CimMacroSpec, scaled: physics.Factors, by: Literal["nominal", "known", "law"]) -> float:
    """Time of one pass as it is, or with every part at the upper end of its own range or of the delay law."""

    def end(seconds: float, owner: Spec, keys: Sequence[str], law: float = 1.0) -> float:
        return seconds * {"nominal": 1.0, "known": _largest(owner, keys), "law": law}[by]

    cycle_s = 1 / spec.clock_hz
    driver_s = end(spec.dac.drive_s * scaled.dac_delay.value, spec.dac, ("time_fixed", "time_per_bit"), scaled.dac_delay.factor)
    convert_s = 0.0
    if spec.adc is None:
        tree_s = physics.tree_s(spec, scaled)
        active_s = max(cycle_s, driver_s + end(tree_s, spec.logic, ("gate_delay",), scaled.logic_delay.factor))
    else:
        line_s = max(end(spec.cell.read_time_s, spec.cell, ("read_time",)), end(spec.settle_s, spec, ("settle",)))
        active_s = driver_s + line_s * spec.dac.n_pulses(spec.input_bits_per_pass)
        turns = -(-spec.cols // (spec.n_adcs * spec.read_columns))
        convert_s = turns * end(physics.adc_s(spec, scaled), spec.adc, TIME_KEYS, scaled.adc_delay.factor)
    stages_s = (active_s, convert_s, cycle_s)
    return max(stages_s) if spec.pipelined else sum(stages_s)

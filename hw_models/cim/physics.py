"""What a macro's parts cost at its own node, supply and mean values: the numbers its kernel works with, and its area."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

from hw_models.cim.logic import (
    ADDER_AREA,
    ADDER_CAP,
    FLIP_FLOP_AREA,
    accumulator_area,
    accumulator_cap,
    place_value_adders,
    tree_adders,
    tree_delay_gates,
)
from hw_models.cim.spec import CimMacroSpec
from hw_models.memory.sram import SramAccess, sram_access
from hw_models.technology import (
    Scaled,
    delay_at_voltage,
    energy_at_voltage,
    logic_leakage,
    register_energy,
    scale_area,
    scale_delay,
    scale_logic_energy,
    supply_v,
    wire_energy,
)


@lru_cache(maxsize=4096)
def energy_factor(from_m: float, from_v: float, to_m: float, to_v: float) -> Scaled:
    """Factor on a switching energy from one node and supply to another: node law at nominal supplies, times V^2 beyond them."""
    voltage = energy_at_voltage(to_v, supply_v(to_m)) / energy_at_voltage(from_v, supply_v(from_m))
    return scale_logic_energy(from_m, to_m).times(voltage) if from_m != to_m else Scaled(energy_at_voltage(to_v, from_v), 1.0)


@lru_cache(maxsize=4096)
def delay_factor(from_m: float, from_v: float, to_m: float, to_v: float) -> Scaled:
    """Factor on a gate delay from one node and supply to another: node law at nominal supplies, alpha-power law beyond them."""
    voltage = delay_at_voltage(to_v, supply_v(to_m)) / delay_at_voltage(from_v, supply_v(from_m))
    return scale_delay(from_m, to_m).times(voltage) if from_m != to_m else Scaled(delay_at_voltage(to_v, from_v), 1.0)


@lru_cache(maxsize=4096)
def area_factor(from_m: float, to_m: float) -> float:
    """Factor on an area from one node to another."""
    return scale_area(from_m, to_m).value if from_m != to_m else 1.0


@dataclass(frozen=True, slots=True)
class Factors:
    """Scaling of each part to the macro's node and supply, with the uncertainty of the law."""

    adc_energy: Scaled
    dac_energy: Scaled
    logic_energy: Scaled
    adc_delay: Scaled
    dac_delay: Scaled
    logic_delay: Scaled


def factors(spec: CimMacroSpec) -> Factors:
    """Scale every part to the macro."""
    to = (spec.node_m, spec.supply_v)
    adc = spec.adc or spec.dac
    return Factors(
        adc_energy=energy_factor(adc.node_m, adc.supply_v, *to),
        dac_energy=energy_factor(spec.dac.node_m, spec.dac.supply_v, *to),
        logic_energy=energy_factor(spec.logic.node_m, spec.logic.supply_v, *to),
        adc_delay=delay_factor(adc.node_m, adc.supply_v, *to),
        dac_delay=delay_factor(spec.dac.node_m, spec.dac.supply_v, *to),
        logic_delay=delay_factor(spec.logic.node_m, spec.logic.supply_v, *to),
    )


def input_buffer(spec: CimMacroSpec) -> SramAccess:
    """Return the SRAM that keeps inputs for reuse between vectors."""
    return sram_access(spec.input_buffer_bytes, spec.buffer_bits, spec.node_m, spec.buffer_cell)


def output_buffer(spec: CimMacroSpec) -> SramAccess:
    """Return the SRAM that collects outputs before they leave."""
    return sram_access(spec.output_buffer_bytes, spec.buffer_bits, spec.node_m, spec.buffer_cell)


# --- energy -----------------------------------------------------------------------------------------------------


def stored_density(spec: CimMacroSpec) -> float:
    """Mean level of a device over full scale: the slice's, halved where one of two devices is empty."""
    return spec.weight_density / (spec.row_devices * spec.col_devices)


def row_j(spec: CimMacroSpec, scaled: Factors) -> float:
    """Mean energy of driving a row once: density * pulses * C_wl V^2, and density * E_dac."""
    pulses = spec.dac.n_pulses(spec.input_bits_per_pass)
    wire_j = spec.cell.row_j(spec.supply_v, spec.cols) * sqrt(area_factor(spec.cell.node_m, spec.node_m))
    return spec.input_density * (pulses * wire_j + spec.dac.drive_j * scaled.dac_energy.value)


def cell_j(spec: CimMacroSpec, density: float) -> float:
    """Mean energy of a cell of this stored density in one pass; pulses are counted, the mean square of a level taken as its mean."""
    pulses = spec.dac.n_pulses(spec.input_bits_per_pass)
    return spec.input_density * pulses * spec.cell.driven_j(spec.domain, spec.supply_v, density)


def column_j(spec: CimMacroSpec) -> float:
    """Mean energy of moving one column line in one pass: its mean swing is input density * stored density."""
    pulses = spec.dac.n_pulses(spec.input_bits_per_pass)
    length = sqrt(area_factor(spec.cell.node_m, spec.node_m))
    swing = spec.input_density * stored_density(spec)
    return pulses * length * spec.cell.column_j(spec.domain, spec.supply_v, spec.rows, swing)


def adc_j(spec: CimMacroSpec, scaled: Factors) -> float:
    """Energy of one conversion; 0 without ADC."""
    if spec.adc is None:
        return 0.0
    pulses = spec.dac.n_pulses(spec.input_bits_per_pass)
    return (spec.adc.conversion_j + spec.input_density * pulses * spec.adc.energy_per_pulse_j) * scaled.adc_energy.value


def gate_j(spec: CimMacroSpec, scaled: Factors) -> float:
    """Energy of one NAND2 switching once, at the macro."""
    return spec.logic.gate_j * scaled.logic_energy.value


def readout_gates(spec: CimMacroSpec) -> float:
    """NAND2 capacitances that one readout switches: the accumulator, and what joins the input bits of a digital pass."""
    joined = place_value_adders(spec.input_bits_per_pass, spec.tree_bits) if spec.domain == "digital" else 0.0
    return accumulator_cap(spec.accumulator_bits) + joined * ADDER_CAP


# --- time -------------------------------------------------------------------------------------------------------


def activation_s(spec: CimMacroSpec, scaled: Factors) -> float:
    """Time of one activation: t_driver + max(t_cell, t_settle) * pulses, or in digital macros t_driver + tree, at least a cycle."""
    driver_s = spec.dac.drive_s * scaled.dac_delay.value
    if spec.domain == "digital":
        return max(1 / spec.clock_hz, driver_s + tree_s(spec, scaled))
    return driver_s + max(spec.cell.read_time_s, spec.settle_s) * spec.dac.n_pulses(spec.input_bits_per_pass)


def tree_s(spec: CimMacroSpec, scaled: Factors) -> float:
    """Time through the multiplying gate and the adder tree of a digital macro."""
    gates = 1 + tree_delay_gates(spec.n_rows_active, spec.tree_bits)
    return gates * spec.logic.gate_delay_s * scaled.logic_delay.value


def adc_s(spec: CimMacroSpec, scaled: Factors) -> float:
    """Time of one conversion; 0 without ADC."""
    return spec.adc.conversion_s(spec.rows) * scaled.adc_delay.value if spec.adc else 0.0


# --- area and leakage -------------------------------------------------------------------------------------------


def gate_m2(spec: CimMacroSpec) -> float:
    """Area of one NAND2 at the macro's node."""
    return spec.logic.gate_area_m2 * area_factor(spec.logic.node_m, spec.node_m)


def digital_gates(spec: CimMacroSpec) -> float:
    """NAND2 areas of a macro's logic: registers of inputs and sums, an adder behind each ADC or adder tree, and the trees."""
    registers = (spec.rows * spec.input_register_bits + spec.n_sums * spec.accumulator_bits) * FLIP_FLOP_AREA
    if spec.domain != "digital":
        return registers + spec.n_adcs * spec.accumulator_bits * ADDER_AREA
    trees = spec.input_bits_per_pass * tree_adders(spec.n_rows_active, spec.tree_bits)
    joined = place_value_adders(spec.input_bits_per_pass, spec.tree_bits)
    return registers + spec.cols // spec.tree_bits * (trees + joined + spec.accumulator_bits) * ADDER_AREA


def macro_areas_m2(spec: CimMacroSpec) -> dict[str, float]:
    """Area of one macro by part, control included."""
    gate = gate_m2(spec)
    parts = {
        "cells": spec.rows * spec.cols * spec.cell.area_m2 * area_factor(spec.cell.node_m, spec.node_m),
        "driver": spec.rows * spec.dac.area_m2 * area_factor(spec.dac.node_m, spec.node_m)
        + (spec.rows * spec.row_gates + spec.cols * spec.col_gates) * gate,
        "adc": spec.n_adcs * spec.adc.area_m2 * area_factor(spec.adc.node_m, spec.node_m) if spec.adc else 0.0,
        "digital": digital_gates(spec) * gate,
    }
    share = spec.control_area_share
    return parts | {"control": sum(parts.values()) * share / (1 - share)}


def areas_m2(spec: CimMacroSpec) -> dict[str, float]:
    """Area by part of all macros with their buffers and lanes; wires run above them, adders of the H-tree at its nodes."""
    parts = {name: spec.n_macros * area for name, area in macro_areas_m2(spec).items()}
    parts["buffer"] = input_buffer(spec).area_m2 + output_buffer(spec).area_m2
    nodes = spec.n_macros - 1 if spec.sums_in_tree else 0
    parts["interconnect"] = nodes * accumulator_area(spec.link_bits) * gate_m2(spec)
    parts["vector"] = spec.vector.n_lanes * spec.vector.lane_gates * gate_m2(spec)
    return parts


def leakages_w(spec: CimMacroSpec) -> dict[str, float]:
    """Leakage by part: cells by their own figure (none in non-volatile ones), buffers by the SRAM tables, the rest as logic."""
    areas = areas_m2(spec)
    logic_m2 = sum(areas[name] for name in ("driver", "adc", "digital", "control", "interconnect", "vector"))
    return {
        "cells": 0.0 if spec.cell.is_non_volatile else spec.n_macros * spec.rows * spec.cols * spec.cell.leakage_w,
        "buffer": input_buffer(spec).leakage_w + output_buffer(spec).leakage_w,
        "logic": logic_m2 * logic_leakage(spec.node_m).value,
    }


# --- all of it, as the kernel takes it --------------------------------------------------------------------------


def kernel_row(spec: CimMacroSpec, scaled: Factors) -> tuple[float, ...]:
    """Floats of one spec, in the order of the columns in `hw_models.kernels.cim` (ROW_J ... BUFFER_BYTES)."""
    gate = gate_j(spec, scaled)
    stored = stored_density(spec)
    inputs, outputs = input_buffer(spec), output_buffer(spec)
    per_byte = 8 / spec.buffer_bits
    macro_m2 = sum(macro_areas_m2(spec).values())
    wire = wire_energy_j(spec.node_m) * energy_at_voltage(spec.supply_v, supply_v(spec.node_m))
    return (
        row_j(spec, scaled),
        cell_j(spec, stored),
        cell_j(spec, 0.0),
        column_j(spec),
        adc_j(spec, scaled),
        readout_gates(spec) * gate,
        spec.input_bits_per_pass * ADDER_CAP * gate if spec.domain == "digital" else 0.0,
        register_j(spec),
        inputs.write_j * per_byte,
        inputs.read_j * per_byte,
        outputs.write_j * per_byte,
        outputs.read_j * per_byte,
        wire,
        sqrt(macro_m2 * spec.n_macros),
        sqrt(macro_m2),
        spec.vector.op_gates * gate,
        spec.control_energy_share / (1 - spec.control_energy_share),
        activation_s(spec, scaled),
        adc_s(spec, scaled),
        1 / spec.clock_hz,
        spec.launch_s,
        spec.cell.write_j,
        spec.cell.write_s,
        spec.input_buffer_bytes,
    )


def register_j(spec: CimMacroSpec) -> float:
    """Energy of one bit of a register in J, as in every other device, at the macro's supply."""
    return _register_j(spec.node_m) * energy_at_voltage(spec.supply_v, supply_v(spec.node_m))


@lru_cache(maxsize=256)
def _register_j(node_m: float) -> float:
    return register_energy(1, node_m).value


@lru_cache(maxsize=256)
def wire_energy_j(node_m: float) -> float:
    """Energy of a wire in J/bit/m at nominal supply."""
    return wire_energy(node_m).value


def kernel_ints(spec: CimMacroSpec) -> tuple[int, ...]:
    """Integers of one spec, in the order of the columns in `hw_models.kernels.cim` (MACROS ... MAX_COPIES)."""
    return (
        spec.n_macros,
        spec.scratch_macros,
        spec.rows,
        spec.cols,
        spec.n_rows_active,
        spec.bits_per_cell,
        spec.sign_bits,
        spec.row_devices,
        spec.col_devices,
        spec.slice_reads,
        spec.tree_bits,
        spec.n_adcs,
        spec.input_bits_per_pass,
        spec.input_phases,
        int(spec.pipelined),
        spec.accumulator_bits,
        spec.link_bits,
        int(spec.sums_in_tree),
        spec.vector.n_lanes,
        spec.cells_per_write or spec.cols,
        spec.macros_per_write,
        spec.max_duplication,
    )

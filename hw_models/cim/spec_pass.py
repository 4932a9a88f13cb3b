"""A macro of a part file as a column pass: the facts that the calibrated model predicts from."""

from __future__ import annotations

from hw_models.cim import physics
from hw_models.cim.pass_inputs import AdcLaw, Family, Kind, PassInput, Scope, Way
from hw_models.cim.spec import CimMacroSpec

_FAMILIES: dict[str, Family] = {"pcm": "pcm", "mram": "mram", "flash": "flash"}
_LAWS: dict[str, AdcLaw] = {"sar": "sar", "flash": "flash", "ramp": "ramp", "sense_amp": "sense_amp"}


def kind_of(spec: CimMacroSpec) -> Kind:
    """`digital` by domain, else `envm` for cells that keep their weights; eDRAM counts as SRAM."""
    if spec.domain == "digital":
        return "digital"
    return "envm" if spec.cell.is_non_volatile else "sram"


def way_of(spec: CimMacroSpec) -> Way:
    """How a column sums: pulses are temporal, a discharged SRAM line is a bit line, resistive cells sum currents.

    Resistive columns whose cells conduct for a part of each pulse settle to a voltage instead (NeuRRAM).
    """
    if spec.domain == "digital":
        return "tree"
    if spec.dac.type == "pulse":
        settles = spec.settle_s > spec.cell.read_time_s
        return ("voltage" if settles else "current") if spec.domain == "resistive" else "temporal"
    if spec.domain == "charge":
        return "charge"
    return "current" if spec.cell.is_non_volatile else "bitline"


def stages_s(spec: CimMacroSpec) -> dict[str, float]:
    """Stages of a pass of all columns in s: rows and cells (or adder trees), conversions one after another, and a cycle to add."""
    scaled = physics.factors(spec)
    return {
        "array": physics.activation_s(spec, scaled),
        "adc": turns(spec) * physics.adc_s(spec, scaled) if spec.adc else 0.0,
        "clock": 1 / spec.clock_hz,
    }


def limit_of(spec: CimMacroSpec) -> str:
    """Name the longest stage of a pass; the array where it is as long as another."""
    stages = stages_s(spec)
    return max(stages, key=lambda name: stages[name])


def pass_s(spec: CimMacroSpec) -> float:
    """Time of a pass of all columns by the part's own stages: the longest when pipelined, else their sum."""
    stages = stages_s(spec).values()
    return max(stages) if spec.pipelined else sum(stages)


def column_s(spec: CimMacroSpec) -> float:
    """Time that one column is driven and converted: what its currents flow for."""
    scaled = physics.factors(spec)
    return physics.activation_s(spec, scaled) + physics.adc_s(spec, scaled)


def turns(spec: CimMacroSpec) -> int:
    """Conversions of an ADC one after another, or 1 without ADC."""
    return -(-spec.cols // (spec.n_adcs * spec.read_columns)) if spec.n_adcs else 1


def pass_input(spec: CimMacroSpec, scope: Scope = "macro", *, weight_bits: int = 8) -> PassInput:
    """Facts of one column pass of a macro; a digital column holds all `weight_bits`, an analog one a slice.

    The time of a pass is the part's own, but for voltage-mode sensing: its cells conduct only until the line has settled, and the
    silicon of the fit gives no time of that, so the fit takes its own.
    """
    digital, way = spec.domain == "digital", way_of(spec)
    return PassInput(
        kind=kind_of(spec),
        node_m=spec.node_m,
        supply_v=spec.supply_v,
        n=max(1, spec.n_rows_active // spec.row_devices),
        input_bits=spec.input_bits_per_pass,
        weight_bits=weight_bits if digital else spec.bits_per_cell,
        adc_bits=float(spec.adc.n_bits) if spec.adc else 0.0,
        adc=_LAWS[spec.adc.type] if spec.adc else "any",
        way=way,
        has_capacitor=spec.domain == "charge",
        family=_FAMILIES.get(spec.cell.kind, "reram") if spec.cell.is_non_volatile else "none",
        scope=scope,
        rows=spec.rows,
        turns=turns(spec),
        latency_s=None if way == "voltage" else column_s(spec),
    )

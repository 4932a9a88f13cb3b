"""Joules of one inference of a program: with its products on a chip's arrays, and on the digital device that spends least.

Dynamic energy only: what idles or leaks is spent whatever is computed. Source: `cosim.simulation`; a macro alone by its cost table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from cosim.simulation.run import Simulation
from cosim.training.hardware_choice import Chosen
from hw_models.chip import Chip
from hw_models.cim.macro import CimMacro
from hw_models.cim.spec import CimMacroSpec
from workloads.errors import CosimError
from workloads.graph import Workload
from workloads.optable import OpTable
from workloads.program import Program
from workloads.program_onnx import workload_of

NOT_DYNAMIC = frozenset({"static", "idle"})


@final
@dataclass(frozen=True)
class Joules:
    """Dynamic joules of one inference: `pass_j` where the network was asked to run, `digital_j` on the digital `unit` alone.

    None where there is no such device; `note` says why.
    """

    pass_j: float | None
    digital_j: float | None = None
    unit: str | None = None
    note: str = ""


def joules_of(program: Program, chosen: Chosen, weight_bits: int, activation_bits: int) -> Joules:
    """Of one input. A program that the simulator cannot price has none."""
    try:
        workload = workload_of(program)
        if chosen.chip is not None:
            return _on_chip(chosen.chip, chosen.device, workload, weight_bits, activation_bits)
    except CosimError as error:
        return Joules(None, note=f"no energy: {error}")
    if chosen.hardware.macro is None:
        return Joules(None, note="no energy: no chip was named")
    return Joules(
        _on_macro(chosen.hardware.macro, workload.with_bits(weight_bits, activation_bits)), note="energy: products only, by the macro"
    )


def _on_chip(chip: Chip, device: str | None, workload: Workload, weight_bits: int, activation_bits: int) -> Joules:
    """All that the arrays take on them, the rest on the other devices; and all on the digital device of least energy."""

    def spent_j(name: str) -> float:
        result = Simulation(chip, workload, f"single:{name}", weight_bits=weight_bits, activation_bits=activation_bits).run()
        return sum(row.energy_j for row in result.rows if row.category not in NOT_DYNAMIC)

    digital = {name: spent_j(name) for name, found in chip.devices.items() if not isinstance(found, CimMacro)}
    unit = min(digital, key=lambda name: digital[name], default=None)
    digital_j = digital[unit] if unit else None
    return Joules(spent_j(device) if device else digital_j, digital_j, unit)


def _on_macro(spec: CimMacroSpec, workload: Workload) -> float:
    """What a macro spends on the ops that it takes."""
    ops = OpTable.from_workload(workload)
    table = CimMacro.costs([spec], ops)
    return float((table.energy_j[0].sum(axis=1) * table.supported[0] * ops.n_repeats).sum())

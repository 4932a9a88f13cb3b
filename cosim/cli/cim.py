"""`cosim cim PART`: one compute-in-memory macro as a data sheet, from its own components and from constants fitted on silicon."""

from __future__ import annotations

from typing import Any

import click

from cosim.cli.common import echo_json

_SCOPES = {"adc": "ADC + array", "macro": "macro", "datapath": "macro + datapath", "chip": "chip"}
_RULES = {"ops": "1 MAC = 2 ops", "ops_1b": "2 ops x input bits x weight bits", "macs": "1 MAC = 1 op"}


@click.command("cim")
@click.argument("part")
@click.option("--weight-bits", type=click.IntRange(1, 16), default=8, show_default=True, metavar="N", help="Bits of weights.")
@click.option("--activation-bits", type=click.IntRange(1, 16), default=8, show_default=True, metavar="N", help="Bits of activations.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def command(part: str, weight_bits: int, activation_bits: int, as_json: bool) -> None:
    """Print energy, efficiency, time, area and ADC bits of one macro: PART is a name in the catalog (cim_macro/...) or a YAML file."""
    from hw_models.catalog import build_part_device, list_parts
    from hw_models.cim.datasheet import datasheet
    from hw_models.cim.macro import CimMacro
    from workloads.errors import SpecError, suggest

    name = part if part in list_parts() or f"cim_macro/{part}" not in list_parts() else f"cim_macro/{part}"
    device = build_part_device(name)
    if not isinstance(device, CimMacro):
        macros = [known for known in list_parts() if known.startswith("cim_macro/")]
        raise SpecError(f"part {part!r} is a {device.kind}, not a compute-in-memory macro; {suggest(part, macros)}")
    sheet = datasheet(device, weight_bits=weight_bits, activation_bits=activation_bits)
    if as_json:
        echo_json(sheet)
        return
    for line in lines(sheet):
        click.echo(line)


def lines(sheet: dict[str, Any]) -> list[str]:
    """Text of a data sheet."""
    mvm = sheet["mvm"]
    out = [
        sheet["title"],
        f"one MVM: {mvm['k']} inputs of {sheet['activation_bits']} bits x {mvm['n']} outputs of {sheet['weight_bits']}-bit weights, "
        f"{mvm['latency_s'] * 1e9:.4g} ns ({mvm['steady_s'] * 1e9:.4g} ns a vector in a row of them), pass {sheet['pass_s'] * 1e9:.4g} ns",
    ]
    if sheet["adc_bits"] is not None:
        out.append(f"ADC: {sheet['adc_bits']} bits; {sheet['lossless_adc_bits']} would tell all sums apart")
    out += ["", *_energies(sheet), "", *_efficiencies(sheet), ""]
    out += [f"density, {_RULES[rule]:<34} {value:10.4g} TOPS/mm2" for rule, value in sheet["density_tops_per_mm2"].items()]
    area = sheet["area_mm2"]
    out += ["", f"area {sum(area.values()):.4g} mm2: " + ", ".join(f"{name} {value:.3g}" for name, value in area.items())]
    write = sheet["write"]
    endurance = f", cells survive {write['endurance']:.3g} writes" if write["endurance"] else ""
    out.append(f"writing all cells: {write['time_s'] * 1e6:.4g} us, {write['energy_j'] * 1e9:.4g} nJ{endurance}")
    out += [f"note: outside the fit: {flag}" for flag in sheet["flags"]]
    return out


def _energies(sheet: dict[str, Any]) -> list[str]:
    """Two columns: the part's own components, and those of the fit."""
    own, silicon = sheet["own_energy_j"], sheet["silicon_energy_j"]
    total = sum(silicon.values())
    rows = [
        "energy of one MVM, pJ",
        "  from the part's components" + " " * 12 + f"from constants fitted on silicon ({sheet['calibration']})",
    ]
    left = [(name, value) for name, value in own.items() if value] + [("total", sum(own.values()))]
    right = [(name, value) for name, value in silicon.items() if value] + [("total", total)]
    for i in range(max(len(left), len(right))):
        a = f"  {left[i][0]:<14}{left[i][1] * 1e12:12.4g}" if i < len(left) else ""
        b = f"{right[i][0]:<14}{right[i][1] * 1e12:12.4g}" if i < len(right) else ""
        rows.append(f"{a:<40}{b}".rstrip())
    factor = sheet["silicon_factor_90"]
    return [*rows, f"{'':<40}90 %: {total / factor * 1e12:.4g} to {total * factor * 1e12:.4g}"]


def _efficiencies(sheet: dict[str, Any]) -> list[str]:
    """One line a scope and rule."""
    rows = [f"{'TOPS/W':<20}{'operations':<34}{'components':>12}{'silicon fit':>13}   90 %"]
    for scope, rules in sheet["efficiency_tops_per_w"].items():
        for rule, found in rules.items():
            own = f"{found['own']:12.4g}" if found["own"] else f"{'-':>12}"
            fit = f"{found['silicon']:13.4g}   {found['low']:.4g} to {found['high']:.4g}" if found["silicon"] else f"{'-':>13}"
            rows.append(f"{_SCOPES[scope]:<20}{_RULES[rule]:<34}{own}{fit}")
    return rows

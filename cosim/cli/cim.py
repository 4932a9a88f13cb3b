"""`cosim cim PART`: one compute-in-memory macro as a data sheet, from its own components and from constants fitted on silicon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cosim.cli.common import echo_json

_SCOPES = {"adc": "ADC + array", "macro": "macro", "datapath": "macro + datapath", "chip": "chip"}
_RULES = {"ops": "1 MAC = 2 ops", "ops_1b": "2 ops x input bits x weight bits", "macs": "1 MAC = 1 op"}
_CAUSES = {"converter": "converter noise and offset", "ir_drop": "IR drop", "read": "read noise"}
_FOLDER = "cim_macro/"


@click.command("cim")
@click.argument("part")
@click.option("--weight-bits", type=click.IntRange(1, 16), default=8, show_default=True, metavar="N", help="Bits of weights.")
@click.option("--activation-bits", type=click.IntRange(1, 16), default=8, show_default=True, metavar="N", help="Bits of activations.")
@click.option(
    "--data-density",
    type=click.FloatRange(0, 1, min_open=True),
    default=None,
    metavar="D",
    help="Mean input over full scale.  [default: the part's]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def command(part: str, weight_bits: int, activation_bits: int, data_density: float | None, as_json: bool) -> None:
    """Print energy, efficiency, time, area, ADC bits and signal of one macro: PART is a name in the catalog (cim_macro/...) or a file."""
    from hw_models.cim.datasheet import datasheet

    sheet = datasheet(_macro(part), weight_bits=weight_bits, activation_bits=activation_bits, data_density=data_density)
    if as_json:
        echo_json(sheet)
        return
    for line in lines(sheet):
        click.echo(line)


def _macro(part: str) -> Any:
    """Build a macro by name, with or without its folder, or by path. Raises SpecError with the nearest name when it is none."""
    from hw_models.catalog import build_part_device, list_parts, resolve_part
    from hw_models.cim.macro import CimMacro
    from workloads.errors import SpecError, suggest

    macros = [known.removeprefix(_FOLDER) for known in list_parts() if known.startswith(_FOLDER)]
    near = suggest(part.rpartition("/")[2], macros)
    name = f"{_FOLDER}{part}" if part in macros else part
    if name not in list_parts() and not Path(name).is_file():
        raise SpecError(f"part {part!r} is neither a macro of the catalog nor a file; {near}")
    kind = resolve_part(name).data.get("kind")
    device = build_part_device(name) if kind == CimMacro.kind else None
    if not isinstance(device, CimMacro):
        raise SpecError(f"part {part!r} is of kind {kind or 'none'}, not cim_macro; {near}")
    return device


def lines(sheet: dict[str, Any]) -> list[str]:
    """Text of a data sheet."""
    area, write = sheet["area_mm2"], sheet["write"]
    endurance = f", cells survive {write['endurance']:.3g} writes" if write["endurance"] else ""
    return [
        sheet["title"],
        *_times(sheet),
        *_signal(sheet),
        "",
        *_energies(sheet),
        "",
        *_efficiencies(sheet),
        "",
        *_densities(sheet),
        "",
        f"area {_sum(area)}; around it {_sum(sheet['area_around_mm2'])}",
        f"writing all cells: {write['time_s'] * 1e6:.4g} us, {write['energy_j'] * 1e9:.4g} nJ{endurance}",
        *(f"note: outside the fit: {flag}" for flag in sheet["flags"]),
    ]


def _times(sheet: dict[str, Any]) -> list[str]:
    """What one MVM and one pass of it are, how long they take and why."""
    mvm, one = sheet["mvm"], sheet["pass"]
    stages = ", ".join(f"{name} {seconds * 1e9:.4g} ns" for name, seconds in one["stages_s"].items() if seconds)
    fitted = one["silicon_s"]
    return [
        f"one MVM: {mvm['k']} inputs of {sheet['activation_bits']} bits x {mvm['n']} outputs of {sheet['weight_bits']}-bit weights, "
        f"{mvm['latency_s'] * 1e9:.4g} ns ({mvm['steady_s'] * 1e9:.4g} ns a vector in a row of them)",
        f"one pass: {one['input_bits']} bits of all inputs, {one['n_per_mvm']} an MVM, {sheet['pass_s'] * 1e9:.4g} ns; "
        f"limit: {one['limit']} ({stages})",
        f"          on silicon {fitted['value'] * 1e9:.3g} ns (90 %: {fitted['low'] * 1e9:.3g} to {fitted['high'] * 1e9:.3g})",
    ]


def _signal(sheet: dict[str, Any]) -> list[str]:
    """ADC bits, and what comes out of it."""
    out = []
    if sheet["adc_bits"] is not None:
        out.append(f"ADC: {sheet['adc_bits']} bits; {sheet['lossless_adc_bits']} would tell all sums apart")
    if sheet["output_snr_db"] is None:
        return [*out, "output: exact" + (" for the data assumed" if sheet["adc_bits"] else "")]
    causes = sorted(sheet["error_shares"].items(), key=lambda pair: -pair[1])
    shares = ", ".join(f"{_CAUSES.get(name, name)} {share:.0%}" for name, share in causes if share >= 0.005)
    return [*out, f"output SNR {sheet['output_snr_db']:.3g} dB; of its error: {shares}"]


def _energies(sheet: dict[str, Any]) -> list[str]:
    """Two tables side by side, of a pass and of an MVM: the part's own components, and those of the fit."""
    one = sheet["pass"]
    rows = [
        f"energy, pJ (mean input {sheet['data_density']:g} of full scale)",
        f"  {'from components of the part':<44}from constants fitted on silicon (version {sheet['calibration']})",
        f"  {'':<14}{'a pass':>12}{'an MVM':>12}{'':<6}{'':<14}{'a pass':>12}{'an MVM':>12}",
    ]
    left = _column(one["own_energy_j"], sheet["own_energy_j"])
    right = _column(one["silicon_energy_j"], sheet["silicon_energy_j"])
    for i in range(max(len(left), len(right))):
        own, fitted = (column[i] if i < len(column) else "" for column in (left, right))
        rows.append(f"  {own:<44}{fitted}".rstrip())
    total, factor = sum(sheet["silicon_energy_j"].values()), sheet["silicon_factor_90"]
    return [*rows, f"{'':<46}90 % of an MVM: {total / factor * 1e12:.4g} to {total * factor * 1e12:.4g}"]


def _column(a_pass: dict[str, float], an_mvm: dict[str, float]) -> list[str]:
    """One line a component that spends anything, and the total."""
    found = [(name, a_pass[name], value) for name, value in an_mvm.items() if value]
    found.append(("total", sum(a_pass.values()), sum(an_mvm.values())))
    return [f"{name:<14}{first * 1e12:12.4g}{second * 1e12:12.4g}" for name, first, second in found]


def _efficiencies(sheet: dict[str, Any]) -> list[str]:
    """One line a scope and rule."""
    rows = [f"{'TOPS/W':<18}{'operations':<33}{'components':>10} {'90 %':<22}{'silicon fit':>11} 90 %"]
    for scope, rules in sheet["efficiency_tops_per_w"].items():
        for rule, found in rules.items():
            own = _bounds(found["own"], found["own_low"], found["own_high"])
            rows.append(
                f"{_SCOPES[scope]:<18}{_RULES[rule]:<33}{own:<33}{_bounds(found['silicon'], found['low'], found['high'], 11)}".rstrip()
            )
    return rows


def _densities(sheet: dict[str, Any]) -> list[str]:
    """One line a scope and rule."""
    rows = [f"{'TOPS/mm2':<18}{'operations':<33}{'components':>10} 90 %"]
    for scope, rules in sheet["density_tops_per_mm2"].items():
        rows += [
            f"{_SCOPES[scope]:<18}{_RULES[rule]:<33}{_bounds(found['own'], found['own_low'], found['own_high'])}"
            for rule, found in rules.items()
        ]
    return rows


def _sum(area_mm2: dict[str, float]) -> str:
    """Return an area and what it is made of."""
    return f"{sum(area_mm2.values()):.4g} mm2 (" + ", ".join(f"{name} {value:.3g}" for name, value in area_mm2.items() if value) + ")"


def _bounds(value: float | None, low: float | None, high: float | None, width: int = 10) -> str:
    """A value and its interval, or a dash."""
    return f"{value:{width}.4g} {low:.4g} to {high:.4g}" if value is not None else f"{'-':>{width}}"

"""`cosim run WORKLOAD --chip CHIP`: simulate and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cosim.cli.common import accuracy_option, check_out_dir, echo_json, load_inputs, note, warm_up_if_cold, workload_options, write_files


@click.command("run")
@click.argument("workload")
@click.option("--chip", required=True, metavar="CHIP", help="A chip of the catalog, or a YAML file.")
@accuracy_option
@workload_options
def command(workload: str, chip: str, **options: Any) -> None:
    """Simulate WORKLOAD (a zoo name or an .onnx file) on a chip and write its energy report."""
    run_and_report(workload, chip, **options)


def run_and_report(
    workload: str,
    chip: str,
    *,
    batch: int | None,
    dims: tuple[tuple[str, int], ...],
    weight_bits: int,
    activation_bits: int,
    fidelity: str,
    policy: str,
    seed: int,
    out_dir: Path,
    as_json: bool,
    accuracy_data: str | None = None,
    next_command: str = "",
) -> None:
    """Run one simulation, write its report, and print JSON or a table."""
    from cosim.cli.accuracy_beside import accuracy_lines, judge_of
    from cosim.plan import schedule_text
    from cosim.simulation.run import Simulation, schedule_of
    from hw_models.catalog import load_chip
    from reports.html import run_files

    check_out_dir(out_dir)
    built = load_chip(chip)
    network = load_inputs(workload, batch, dims)
    judge = judge_of(workload, accuracy_data, weight_bits, activation_bits, seed)
    for text in network.notes:
        note(f"note: {text}")
    warm_up_if_cold(policy)
    result = Simulation(built, network, policy, fidelity, seed, weight_bits, activation_bits).run(tight=True)
    accuracy = judge(chip) if judge else None
    files = write_files(out_dir, {**run_files(result, accuracy), "placement.json": schedule_text(schedule_of(result))})
    if as_json:
        echo_json({**result.summary(), **({"accuracy": accuracy} if accuracy else {}), "files": files})
        return
    from reports.text import run_table

    click.echo(run_table(result))
    if accuracy:
        click.echo("\n" + "\n".join(accuracy_lines({chip: accuracy})))
    click.echo("\nWritten: " + ", ".join(files))
    if next_command:
        click.echo(f"Next: {next_command}")

"""`cosim compare WORKLOAD --chips A,B[,C]`: chips side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cosim.cli.common import accuracy_option, check_out_dir, echo_json, load_inputs, note, warm_up_if_cold, workload_options, write_files
from workloads.errors import CosimError


@click.command("compare")
@click.argument("workload")
@click.option("--chips", required=True, metavar="A,B[,C]", help="Chips to compare; the first is the baseline.")
@accuracy_option
@workload_options
def command(
    workload: str,
    chips: str,
    batch: int | None,
    dims: tuple[tuple[str, int], ...],
    weight_bits: int,
    activation_bits: int,
    fidelity: str,
    policy: str,
    seed: int,
    out_dir: Path,
    as_json: bool,
    accuracy_data: str | None,
) -> None:
    """Simulate WORKLOAD on each chip and show where the difference comes from."""
    from cosim.cli.accuracy_beside import accuracy_lines, judge_of
    from cosim.simulation.compare import Comparison
    from cosim.simulation.run import Simulation
    from hw_models.catalog import load_chip
    from reports.html import compare_files

    names = [name.strip() for name in chips.split(",") if name.strip()]
    if len(names) < 2:
        raise CosimError(f"--chips {chips!r}: name two chips or more, separated by commas")
    if policy.startswith("fixed:"):
        raise CosimError("--policy fixed:FILE holds for one chip; use `cosim run`, or a policy by name here")
    check_out_dir(out_dir)
    built = [load_chip(name) for name in names]
    network = load_inputs(workload, batch, dims)
    judge = judge_of(workload, accuracy_data, weight_bits, activation_bits, seed)
    for text in network.notes:
        note(f"note: {text}")
    warm_up_if_cold(policy)
    comparison = Comparison(tuple(Simulation(chip, network, policy, fidelity, seed, weight_bits, activation_bits).run() for chip in built))
    accuracies = {chip.name: judge(name) for chip, name in zip(built, names, strict=True)} if judge else {}
    files = write_files(out_dir, compare_files(comparison, accuracies))
    if as_json:
        summary = comparison.summary()
        rows = [{**row, **_own(accuracies, row["chip"]), "files": files} for row in summary["rows"]]
        echo_json({**summary, **({"accuracy": accuracies} if accuracies else {}), "rows": rows, "files": files})
        return
    from reports.text import compare_table

    click.echo(compare_table(comparison, is_measured=bool(accuracies)))
    if accuracies:
        click.echo("\n" + "\n".join(accuracy_lines(accuracies)))
    click.echo("\nWritten: " + ", ".join(files))


def _own(accuracies: Mapping[str, Any], chip: str) -> dict[str, Any]:
    """Accuracy of one chip as a part of its row."""
    return {"accuracy": accuracies[chip]} if chip in accuracies else {}

"""`cosim place front WORKLOAD --chip CHIP`: what time costs in energy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cosim.cli.common import check_out_dir, echo_json, load_inputs, note, placed_options, warm_up_if_cold, write_files


@click.command("front")
@click.argument("workload")
@click.option("--chip", required=True, metavar="CHIP", help="A chip of the catalog, or a YAML file.")
@click.option("--time-budget", type=float, default=None, metavar="S", help="CPU seconds of the search.  [default: 2]")
@click.option("--max-loss", type=float, default=None, metavar="PCT", help="Most accuracy, in percent, that analog ops may lose (estimate).")
@placed_options
def command(
    workload: str,
    chip: str,
    *,
    time_budget: float | None,
    max_loss: float | None,
    batch: int | None,
    dims: tuple[tuple[str, int], ...],
    weight_bits: int,
    activation_bits: int,
    fidelity: str,
    seed: int,
    out_dir: Path,
    as_json: bool,
) -> None:
    """Search placements of WORKLOAD none of which is both faster and less energy than another, and write each to replay."""
    from cosim.cli.place import goal_of
    from cosim.simulation.front import REFERENCES, front_of
    from cosim.simulation.run import Simulation
    from hw_models.catalog import load_chip

    check_out_dir(out_dir)
    goal = goal_of("makespan", time_budget, max_loss)
    built = load_chip(chip)
    network = load_inputs(workload, batch, dims)
    for text in network.notes:
        note(f"note: {text}")
    warm_up_if_cold(*REFERENCES, "anneal")
    front = front_of(Simulation(built, network, "front", fidelity, seed, weight_bits, activation_bits, goal))
    files = write_files(out_dir, _files(front))
    if as_json:
        echo_json({**front.summary(), "files": files})
        return
    from reports.front import front_table

    click.echo(front_table(front))
    click.echo("\nWritten: " + ", ".join(files))


def _files(front: Any) -> dict[str, str]:
    from cosim.plan import schedule_text
    from cosim.simulation.run import schedule_of
    from reports.front import front_csv, front_page, placement_file

    placements = {placement_file(i): schedule_text(schedule_of(result)) for i, result in enumerate(front.results)}
    return {"front.html": front_page(front), "front.csv": front_csv(front), **placements}

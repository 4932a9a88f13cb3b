"""`cosim place WORKLOAD --chip CHIP`: choose what runs where; `cosim place train`: train the policy that chooses."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from cosim.cli.common import check_out_dir, check_out_file, echo_json, load_inputs, note, simulation_options, warm_up_if_cold, write_files
from workloads.errors import CosimError

# First word → module whose command takes the rest; anything else is a workload.
SUBCOMMANDS = {"train": "place_train", "front": "place_front"}
DEFAULT_POLICY = "portfolio"
EPILOG = "Also: `cosim place front` (time against energy) and `cosim place train` (train the learned policy again), each with its --help."


class PlaceCommand(click.Command):
    """A command that hands over to another when the first word asks for it."""

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any) -> click.Context:
        """Return the context of the command that the first word names, or of this one."""
        if args and args[0] in SUBCOMMANDS:
            other: click.Command = import_module(f"cosim.cli.{SUBCOMMANDS[args[0]]}").command
            return other.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command("place", cls=PlaceCommand, epilog=EPILOG)
@click.argument("workload")
@click.option("--chip", required=True, metavar="CHIP", help="A chip of the catalog, or a YAML file.")
@click.option(
    "--objective", default="makespan", show_default=True, metavar="O", help="makespan, energy, edp, or the weight of energy, 0 to 1."
)
@click.option("--time-budget", type=float, default=None, metavar="S", help="CPU seconds that a search may take.  [default: the policy's]")
@click.option("--max-loss", type=float, default=None, metavar="PCT", help="Most accuracy, in percent, that analog ops may lose (estimate).")
@click.option("--trace", type=click.Path(path_type=Path), default=None, metavar="FILE", help="Write a Chrome trace for ui.perfetto.dev.")
@click.option("--export", type=click.Path(path_type=Path), default=None, metavar="FILE", help="Write the placement to edit and replay.")
@simulation_options(DEFAULT_POLICY)
def command(
    workload: str,
    chip: str,
    *,
    objective: str,
    time_budget: float | None,
    max_loss: float | None,
    trace: Path | None,
    export: Path | None,
    batch: int | None,
    dims: tuple[tuple[str, int], ...],
    weight_bits: int,
    activation_bits: int,
    fidelity: str,
    policy: str,
    seed: int,
    out_dir: Path,
    as_json: bool,
) -> None:
    """Place WORKLOAD (a zoo name or an .onnx file) on the devices of a chip; print makespan, energy, lower bound, gap and load."""
    from cosim.simulation.placement import baseline_policy, place_workload
    from cosim.simulation.run import Simulation
    from hw_models.catalog import load_chip

    check_out_dir(out_dir)
    check_out_file("--trace", trace)
    check_out_file("--export", export)
    if trace and export and trace.resolve() == export.resolve():
        raise CosimError(f"--trace and --export are both {trace}; name two files")
    goal = goal_of(objective, time_budget, max_loss)
    built = load_chip(chip)
    network = load_inputs(workload, batch, dims)
    for text in network.notes:
        note(f"note: {text}")
    warm_up_if_cold(policy, baseline_policy(policy))
    placement = place_workload(Simulation(built, network, policy, fidelity, seed, weight_bits, activation_bits, goal))
    files = _write(placement, out_dir, trace, export)
    if as_json:
        echo_json({**placement.summary(), "files": files})
        return
    from reports.text import place_table

    click.echo(place_table(placement))
    click.echo("\nWritten: " + ", ".join(files))


def goal_of(objective: str, time_budget_s: float | None, max_loss_percent: float | None) -> Any:
    """Return the goal that the options ask for; raises ScheduleError for one out of range."""
    from cosim.scheduling.instance import Goal
    from cosim.simulation.placement import energy_weight_of

    return Goal(energy_weight_of(objective), None if max_loss_percent is None else max_loss_percent / 100, time_budget_s)


def _write(placement: Any, out_dir: Path, trace: Path | None, export: Path | None) -> list[str]:
    """Write the report, the placement and what else is asked for, all or nothing; return the paths."""
    from cosim.plan import schedule_text
    from cosim.simulation.run import schedule_of
    from reports.html import place_files
    from reports.trace import trace_text

    text = schedule_text(schedule_of(placement.result))
    more = {export: text} if export else {}
    if trace:
        more[trace] = trace_text(placement.result)
    return write_files(out_dir, {**place_files(placement), "placement.json": text}, more)

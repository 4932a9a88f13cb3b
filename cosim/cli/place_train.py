"""`cosim place train`: train the learned policy again, with a progress bar and a learning curve."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from cosim.cli.common import check_out_dir, echo_json, note, write_files
from workloads.errors import CosimError

WEIGHTS, PAGE, CURVE = "policy.json", "training.html", "learning_curve.csv"


@click.command("train")
@click.option("--minutes", type=float, default=8.0, show_default=True, metavar="M", help="CPU minutes of one core.")
@click.option("--steps", type=int, default=None, metavar="N", help="Exactly so many steps instead: the same weights every time.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of everything random.")
@click.option(
    "--out", "out_dir", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder for weights and report."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def command(minutes: float, steps: int | None, seed: int, out_dir: Path, as_json: bool) -> None:
    """Train the policy that `--policy learned` uses on random graphs and chips; write its weights and the learning curve."""
    _check(minutes, steps, seed)
    check_out_dir(out_dir)
    training = _train(minutes, steps, seed)
    summary = summary_of(training)
    files = write_files(out_dir, _files(training))
    if as_json:
        echo_json({**summary, "files": files})
        return
    first, last = training.curve[0], training.curve[-1]
    click.echo(f"{summary['n_steps']:,} steps, {summary['cpu_minutes']:g} CPU minutes, seed {seed}, {summary['n_weights']:,} weights")
    click.echo("makespan over the classic portfolio's, geometric mean over instances that are not trained on:")
    click.echo(f"  one greedy roll-out  {first.greedy:.4f} -> {last.greedy:.4f}")
    click.echo(f"  best of 8            {first.best_of_8:.4f} -> {last.best_of_8:.4f}")
    click.echo("\nWritten: " + ", ".join(files))


def _check(minutes: float, steps: int | None, seed: int) -> None:
    if not 0.0 < minutes < 1e6:
        raise CosimError(f"--minutes {minutes}: choose more than 0, such as 5")
    if steps is not None and steps < 1:
        raise CosimError(f"--steps {steps}: choose 1 or more")
    if seed < 0:
        raise CosimError(f"--seed {seed}: choose 0 or more")


def _train(minutes: float, steps: int | None, seed: int) -> Any:
    """Train with a bar on stderr that shows how good the policy is by now."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from cosim.scheduling.train import train

    console = Console(stderr=True)
    if not sys.stderr.isatty():
        note(f"Training for {f'{steps} steps' if steps is not None else f'{minutes:g} CPU minutes'}.")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("compiling", total=1.0)

        def tell(share: float, judgement: Any) -> None:
            bar.update(task, completed=share, description=f"training (greedy {judgement.greedy:.3f}, best of 8 {judgement.best_of_8:.3f})")

        return train(minutes, seed, tell, steps)


def summary_of(training: Any) -> dict[str, Any]:
    """Return the contract of `cosim place train --json`."""
    provenance, last = training.trained.provenance, training.curve[-1]
    return {
        "n_steps": provenance["n_steps"],
        "seed": provenance["seed"],
        "cpu_minutes": provenance["cpu_minutes"],
        "n_weights": sum(array.size for array in training.trained.weights),
        "greedy": last.greedy,
        "best_of_8": last.best_of_8,
        "curve": [{"step": point.step, "greedy": point.greedy, "best_of_8": point.best_of_8} for point in training.curve],
    }


def _files(training: Any) -> dict[str, str]:
    from cosim.scheduling.policy_weights import save
    from reports.training import curve_csv, training_page

    with tempfile.TemporaryDirectory() as folder:
        save(training.trained, Path(folder) / WEIGHTS)
        weights = (Path(folder) / WEIGHTS).read_text(encoding="utf-8")
    return {WEIGHTS: weights, PAGE: training_page(training), CURVE: curve_csv(training)}

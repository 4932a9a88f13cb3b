"""Options and words that the commands which train or judge networks share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cosim.cli.common import Command, note


class Seeds(click.ParamType[tuple[int, ...]]):
    """Whole numbers with commas between them."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Split and check."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdecimal() for part in parts):
            self.fail(f"{value!r} is no list of seeds such as 0,1,2", param, ctx)
        seeds = tuple(int(part) for part in parts)
        if len(set(seeds)) < len(seeds):
            self.fail(f"{value!r} names a seed twice", param, ctx)
        return seeds


def job_options(command: Command) -> Command:
    """Add what every command that trains a network takes: data, chances, and where things go."""
    options = (
        click.option(
            "--data", default=None, metavar="D", help="A data set by name, an .npz file or a folder of images.  [default: the network's]"
        ),
        click.option(
            "--seeds", type=Seeds(), default="0,1,2", show_default=True, help="Seeds of weights, batches, validation images and chips."
        ),
        click.option(
            "--split-seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Which images are test images."
        ),
        click.option("--resume", is_flag=True, help="Go on where a run with the same options stopped."),
        click.option(
            "--out", "out_dir", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder for all files."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[str, int], None]]:
    """A bar on stderr with the time that is left; without a terminal one line says that it began."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    is_terminal = sys.stderr.isatty()
    if not is_terminal:
        note(what)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda text, steps: bar.update(task, advance=steps, description=text)


def percent(score: Any) -> str:
    """Mean and standard deviation of percentages, as text."""
    return f"{score.mean:6.2f} ± {score.std:.2f} %"

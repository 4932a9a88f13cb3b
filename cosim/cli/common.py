"""Options, printing and safe writing that the commands share."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from workloads.errors import CosimError, StoreError

Command = TypeVar("Command", bound=Callable[..., Any])


class Dimension(click.ParamType[tuple[str, int]]):
    """A `NAME=INT` pair."""

    name = "NAME=INT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Split and check one pair."""
        if isinstance(value, tuple):
            return value
        name, sign, number = str(value).partition("=")
        if not sign or not name or not re.fullmatch(r"-?[0-9]{1,18}", number):
            self.fail(f"{value!r} is not NAME=INT, such as seq=128", param, ctx)
        return name, int(number)


def workload_options(command: Command) -> Command:
    """Add the options that choose and shape a workload, and how it is run."""
    options = (
        click.option("--batch", type=int, default=None, metavar="N", help="Inferences run together.  [default: 1]"),
        click.option("--dim", "dims", type=Dimension(), multiple=True, help="Set a named dimension, such as seq=128."),
        click.option("--weight-bits", type=int, default=8, show_default=True, metavar="N", help="Bits of weights, the same on all chips."),
        click.option("--activation-bits", type=int, default=8, show_default=True, metavar="N", help="Bits of activations."),
        click.option("--fidelity", type=str, default="simpy", show_default=True, help="bound, mapped or simpy."),
        click.option(
            "--policy",
            type=str,
            default="heft",
            show_default=True,
            help="heft, greedy, single[:DEVICE] (all that it can run) or fixed:FILE.",
        ),
        click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of everything random."),
        click.option(
            "--out", "out_dir", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder for reports."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def load_inputs(workload: str, batch: int | None, dims: tuple[tuple[str, int], ...]) -> Any:
    """Load a workload by name or path with the dimensions asked for."""
    from workloads.registry import load_workload

    given: dict[str, int] = {}
    for name, size in (*dims, *([("batch", batch)] if batch is not None else [])):
        if given.setdefault(name, size) != size:
            raise CosimError(f"dimension {name!r} is given twice, as {given[name]} and as {size}; keep one of them")
    return load_workload(workload, **given)


def echo_json(data: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout."""
    click.echo(json.dumps(data, indent=1, allow_nan=False, default=str))


def note(message: str) -> None:
    """Say something to a person, on stderr."""
    click.echo(message, err=True)


def warm_up_if_cold() -> None:
    """On a machine's first run, say that kernels are being compiled, and compile them with progress."""
    from hw_models.kernels._jit import is_compiled

    if is_compiled() or os.environ.get("NUMBA_DISABLE_JIT") == "1":
        return
    from cosim.cli.warmup import compile_kernels

    note("First run on this machine: compiling the model kernels once (some seconds).")
    compile_kernels(show_progress=sys.stderr.isatty())


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> list[str]:
    """Write files into a folder so that each is whole or absent; return their paths.

    Raises StoreError when the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"--out {folder}: cannot be made: {error.strerror or error}") from None
    written = []
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        _write_whole(folder / name, data)
        written.append(str(folder / name))
    return written


def _write_whole(path: Path, data: bytes) -> None:
    """Write to a temporary file beside the target, then rename over it."""
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as handle:
            temporary = handle.name
            handle.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def check_out_dir(folder: Path) -> None:
    """Refuse an output folder that is a file, before any work is done."""
    if folder.exists() and not folder.is_dir():
        raise CosimError(f"--out {folder}: is a file; name a folder")

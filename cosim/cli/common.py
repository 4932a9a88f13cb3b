"""Options, printing and safe writing that the commands share."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from cosim.files import move_part, write_part
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
    """Add the options that choose and shape a workload, and how it is run, with HEFT as the policy."""
    return simulation_options("heft")(command)


def simulation_options(policy: str) -> Callable[[Command], Command]:
    """Return a decorator that adds the options of every simulation, with a policy as the default."""

    def add(command: Command) -> Command:
        text = "A name of `cosim list policies`, or fixed:FILE."
        return click.option("--policy", type=str, default=policy, show_default=True, help=text)(placed_options(command))

    return add


def placed_options(command: Command) -> Command:
    """Add the options of a simulation whose policy is given."""
    options = (
        click.option("--batch", type=int, default=None, metavar="N", help="Inferences run together.  [default: 1]"),
        click.option("--dim", "dims", type=Dimension(), multiple=True, help="Set a named dimension, such as seq=128."),
        click.option("--weight-bits", type=int, default=8, show_default=True, metavar="N", help="Bits of weights, the same on all chips."),
        click.option("--activation-bits", type=int, default=8, show_default=True, metavar="N", help="Bits of activations."),
        click.option("--fidelity", type=str, default="event", show_default=True, help="bound, mapped, event or simpy."),
        click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of everything random."),
        click.option(
            "--out", "out_dir", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder for reports."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def accuracy_option(command: Command) -> Command:
    """Add the option that puts accuracy beside energy."""
    text = "Also measure the accuracy on this data set (a name, an .npz file or a folder of images)."
    return click.option("--accuracy", "accuracy_data", default=None, metavar="DATA", help=text)(command)


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


def warm_up_if_cold(*policies: str, study: bool = False) -> None:
    """On a machine's first use of models and policies, or studies, say that kernels are being compiled, and compile them with progress."""
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        return
    from cosim.cli.warmup import built_in_policies, cold_steps, run_steps, study_step

    known = built_in_policies()
    todo = cold_steps(name for name in dict.fromkeys(text.partition(":")[0] for text in policies) if name in known)
    if study and not study_step().mark.exists():
        todo.append(study_step())
    if todo:
        note(f"First use on this machine: compiling {', '.join(step.label for step in todo)} once (some seconds).")
        run_steps(todo, show_progress=sys.stderr.isatty())


def write_files(folder: Path, files: Mapping[str, str | bytes], more: Mapping[Path, str] | None = None) -> list[str]:
    """Write files into a folder, and `more` elsewhere, so that all are whole or none is there; return their paths.

    Raises StoreError when a folder cannot be made or a file not written, or when two of them go to one file.
    """
    contents: dict[Path, str | bytes] = {folder / name: content for name, content in files.items()}
    places = {path.absolute().resolve(): content for path, content in contents.items()}
    for path, text in (more or {}).items():
        if places.setdefault(path.absolute().resolve(), text) != text:
            raise StoreError(f"{path}: something else is to be written there; name another file")
        contents[path] = text
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"--out {folder}: cannot be made: {error.strerror or error}") from None
    parts: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            parts[path] = write_part(path, content.encode() if isinstance(content, str) else content)
        for path, part in parts.items():
            move_part(part, path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return [str(path) for path in contents]


def check_out_dir(folder: Path) -> None:
    """Refuse an output folder that is a file, before any work is done."""
    if folder.exists() and not folder.is_dir():
        raise CosimError(f"--out {folder}: is a file; name a folder")


def check_out_file(option: str, path: Path | None) -> None:
    """Refuse a file that cannot be written (a folder, or below a file or a folder that is closed), before any work is done."""
    if path is None:
        return
    if path.is_dir():
        raise CosimError(f"{option} {path}: is a folder; name a file")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise CosimError(f"{option} {path}: {above} is a file; name a file in a folder")
    if not os.access(above, os.W_OK):
        raise CosimError(f"{option} {path}: the folder {above} cannot be written; name another")

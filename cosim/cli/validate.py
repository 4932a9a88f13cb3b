"""`cosim validate [AREA]`: run a model against reference data."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from cosim.cli.common import echo_json, note
from cosim.cli.training_options import Seeds

# Options that only some areas take.
_OPTIONS = MappingProxyType({"accuracy": ("nets", "seeds", "jobs", "goals", "folder"), "bo": ("seeds", "quick", "jobs", "folder")})


class Names(click.ParamType[tuple[str, ...]]):
    """Names with commas between them."""

    name = "NAME,NAME,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split."""
        return value if isinstance(value, tuple) else tuple(part.strip() for part in str(value).split(",") if part.strip())


@click.command("validate")
@click.argument("area", required=False)
@click.option("--data", type=click.Path(path_type=Path), default=None, help="Reference data in the shipped format.  [default: what ships]")
@click.option("--nets", type=Names(), default=None, help="accuracy: networks of its tables, of cnn, mlp, adc.  [default: all]")
@click.option("--seeds", type=Seeds(), default=None, help="accuracy, bo: seeds to run.  [default: those of the data]")
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="accuracy, bo: processes of one thread each.  [default: 1, 2]")
@click.option("--goals", type=Names(), default=None, help="accuracy: goals of the project, or `all`.  [default: those that train nothing]")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="accuracy, bo: folder to keep what is done, and to go on from.")
@click.option("--quick", is_flag=True, default=None, help="bo: one run of each problem, of 60 evaluations.")
@click.option("--strict", is_flag=True, help="Exit with code 1 when a target is missed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def command(area: str | None, data: Path | None, strict: bool, as_json: bool, out: Path | None, **given: Any) -> None:
    """Run a model against reference data; without AREA, all areas in turn that do not take minutes."""
    from cosim.validation.registry import AREAS, SLOW, validate
    from workloads.errors import CosimError

    options = {name: value for name, value in {**given, "folder": out}.items() if value is not None}
    if area is None and data is not None:
        raise CosimError(f"--data {data}: name the area it is for: {', '.join(AREAS)}")
    _check(area, options)
    results = {name: validate(name, data, **options) for name in ([area] if area else [name for name in AREAS if name not in SLOW])}
    if area is None:
        note(f"Not run, since they take minutes: {', '.join(SLOW)}; name one to run it.")
    if as_json:
        echo_json(results[area] if area else {"areas": results, "passed": all(r["passed"] for r in results.values())})
    else:
        for result in results.values():
            _print(result)
    if strict and not all(result["passed"] for result in results.values()):
        sys.exit(1)


def _check(area: str | None, options: Collection[str]) -> None:
    """CosimError on options that the area does not have."""
    from workloads.errors import CosimError

    unknown = [name for name in options if name not in _OPTIONS.get(area or "", ())]
    if unknown:
        names = ", ".join(f"--{'out' if name == 'folder' else name}" for name in unknown)
        areas = [one for one, known in _OPTIONS.items() if set(unknown) <= set(known)]
        raise CosimError(
            f"{names}: only the area {' or '.join(areas or _OPTIONS)} has such options; run cosim validate {(areas or [*_OPTIONS])[0]}"
        )


def _print(result: dict[str, Any]) -> None:
    click.echo(f"{result['area']}: {'passed' if result['passed'] else 'NOT passed'}, {result['n']} rows compared")
    for name, value in _flat(result["metrics"]):
        click.echo(f"  {name:<32} {value:.3g}" if isinstance(value, float) else f"  {name:<32} {value}")
    for file in result.get("skipped_files", []):
        click.echo(f"  skipped: {file}")


def _flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in tree.items():
        pairs += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return pairs

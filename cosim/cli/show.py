"""`cosim show NAME`: a chip, part or workload, resolved, with the source of every number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cosim.cli.common import echo_json
from workloads.errors import CosimError, suggest

if TYPE_CHECKING:
    from workloads.graph import Op

_NOTES = ("sources", "assumed", "ranges")


@click.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def command(name: str, as_json: bool) -> None:
    """Print a chip, part or workload as it is used, with the source of every number."""
    from hw_models.catalog import list_chips, list_parts, resolve_chip, resolve_part
    from workloads.registry import list_networks

    if name in list_chips() or Path(name).suffix in {".yaml", ".yml"}:
        _show_mapping(resolve_chip(name).data, as_json=as_json)
    elif name in list_parts():
        _show_mapping(resolve_part(name).data, as_json=as_json)
    elif name in list_networks() or name.endswith(".onnx"):
        _show_workload(name, as_json=as_json)
    else:
        known = [*list_chips(), *list_parts(), *list_networks()]
        raise CosimError(f"{name!r} is neither a chip, a part, a workload nor a file; {suggest(name, known)}")


def _show_mapping(data: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        echo_json(data)
        return
    for line in _lines(data, "", data):
        click.echo(line)


def _lines(node: dict[str, Any], indent: str, notes: dict[str, Any], prefix: str = "") -> list[str]:
    """One line a key; behind a number, where it comes from."""
    lines = []
    for key, value in node.items():
        if key in _NOTES:
            continue
        if isinstance(value, dict):
            lines.append(f"{indent}{key}:")
            own = any(name in value for name in _NOTES)
            lines += _lines(value, f"{indent}  ", value if own else notes, "" if own else f"{prefix}{key}.")
        else:
            lines.append(f"{indent}{key}: {value}{_origin(f'{prefix}{key}', notes)}")
    return lines


def _origin(key: str, notes: dict[str, Any]) -> str:
    """Return `  # source` or `  # assumed: reason` of a dotted key or its nearest noted parent."""
    while key:
        if key in notes.get("sources", {}):
            return f"  # {notes['sources'][key]}"
        if key in notes.get("assumed", {}):
            factor = notes.get("ranges", {}).get(key)
            return f"  # assumed: {notes['assumed'][key]}{f' (90 % within x{factor})' if factor else ''}"
        key = key.rpartition(".")[0]
    return ""


def _show_workload(name: str, *, as_json: bool) -> None:
    from workloads.registry import load_workload

    workload = load_workload(name)

    def shape(op: Op) -> tuple[int, ...]:
        return workload.tensors[op.outputs[0]].shape

    facts = {
        "name": workload.name,
        "source": workload.source,
        "dims": dict(workload.dims),
        "macs": workload.n_macs,
        "params": workload.n_params,
        "weight_bytes": workload.weight_bytes,
        "n_ops": len(workload.ops),
        "notes": list(workload.notes),
    }
    if as_json:
        ops = [{"op": op.name, "type": op.op_type, "macs": op.n_macs, "output": list(shape(op))} for op in workload.ops]
        echo_json({**facts, "ops": ops})
        return
    for key, value in facts.items():
        click.echo(f"{key}: {value:,}" if isinstance(value, int) else f"{key}: {value}")
    for op in workload.ops:
        click.echo(f"  {op.name:<40} {op.op_type:<20} {op.n_macs:>16,} MACs  -> {'x'.join(map(str, shape(op)))}")

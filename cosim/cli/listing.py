"""`cosim list chips|workloads|devices|parts|policies`."""

from __future__ import annotations

from collections.abc import Callable

import click

from cosim.cli.common import echo_json

Rows = list[dict[str, object]]


def _chips() -> Rows:
    from hw_models.catalog import list_chips
    from hw_models.yaml_file import read_yaml

    return [{"name": name, "title": read_yaml(path).data.get("title", "")} for name, path in list_chips().items()]


def _workloads() -> Rows:
    from workloads.registry import list_networks

    return [
        {"name": name, "title": entry.title, "dimensions": ", ".join(f"{k}={v}" for k, v in entry.dims.items()), "paper": entry.paper}
        for name, entry in list_networks().items()
    ]


def _devices() -> Rows:
    from hw_models.registry import device_kinds

    return [{"name": kind, "title": (cls.__doc__ or "").strip().splitlines()[0]} for kind, cls in device_kinds().items()]


def _parts() -> Rows:
    from hw_models.catalog import list_parts
    from hw_models.yaml_file import read_yaml

    return [{"name": name, "title": read_yaml(path).data.get("title", "")} for name, path in list_parts().items()]


def _policies() -> Rows:
    from cosim.scheduling.base import policy_classes

    return [{"name": name, "title": (cls.__doc__ or "").strip().splitlines()[0]} for name, cls in policy_classes().items()]


_LISTS: dict[str, Callable[[], Rows]] = {
    "chips": _chips,
    "workloads": _workloads,
    "devices": _devices,
    "parts": _parts,
    "policies": _policies,
}


@click.command("list")
@click.argument("what", type=click.Choice(list(_LISTS)))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def command(what: str, as_json: bool) -> None:
    """List chips, workloads, devices, parts or policies."""
    rows = _LISTS[what]()
    if as_json:
        echo_json({what: rows})
        return
    width = max((len(str(row["name"])) for row in rows), default=0)
    for row in rows:
        details = "  ".join(str(row[key]) for key in ("title", "dimensions") if row.get(key))
        click.echo(f"{row['name']!s:<{width}}  {details}".rstrip())

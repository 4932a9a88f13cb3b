"""Networks by name: built-in families, entry points of other packages, and ONNX files."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from workloads.errors import WorkloadError, suggest
from workloads.graph import Workload
from workloads.plugins import load_entry_points

Builder = Callable[..., Workload]


@dataclass(frozen=True, slots=True)
class Network:
    """One name of the zoo: how to build it, its paper, and the dimensions it takes with their defaults."""

    name: str
    build: Builder
    title: str
    paper: str
    dims: Mapping[str, int]
    alias_of: str = ""


_REGISTRY: dict[str, Network] = {}


def network(
    name: str,
    *,
    title: str,
    paper: str,
    aliases: tuple[str, ...] = (),
    dims: Mapping[str, int] | None = None,
    **fixed: object,
) -> Callable[[Builder], Builder]:
    """Register `builder(name=..., batch=1, **dims, **fixed)` under a name and its `aliases`.

    Integer parameters of the builder that have a default, stand before its `*` and are not `fixed`
    are dimensions that a user may set with `--dim`; `dims` gives some of them another default.
    Raises WorkloadError when a name is taken.
    """

    def register(builder: Builder) -> Builder:
        known = {**_dims_of(builder, fixed), **(dims or {})}
        for key in (name, *aliases):
            if key in _REGISTRY:
                raise WorkloadError(f"network {key!r} is registered twice, the second time by {builder.__module__}")
            bound = partial(builder, **known, **fixed, name=key)
            _REGISTRY[key] = Network(key, bound, title, paper, known, alias_of="" if key == name else name)
        return builder

    return register


def _dims_of(builder: Builder, fixed: Mapping[str, object]) -> dict[str, int]:
    """Return the dimensions of a builder with their defaults."""
    return {
        key: parameter.default
        for key, parameter in inspect.signature(builder).parameters.items()
        if key not in fixed
        and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
        and isinstance(parameter.default, int)
        and not isinstance(parameter.default, bool)
    }


@cache
def _load_all() -> None:
    """Import every zoo family and every entry point of group `cosim.workloads`, once."""
    package = import_module("workloads.zoo")
    for module in iter_modules(package.__path__):
        import_module(f"workloads.zoo.{module.name}")
    load_entry_points("cosim.workloads", WorkloadError)


def list_networks() -> dict[str, Network]:
    """Return all networks by name."""
    _load_all()
    return dict(sorted(_REGISTRY.items()))


def load_workload(source: str | Path, batch: int | None = None, **dims: int) -> Workload:
    """Load a network of the zoo by name, or an ONNX file by path.

    `dims` sets named dimensions (`seq`, `past`, or a file's own). Raises WorkloadError when the name
    or file does not exist, a dimension is unknown or not positive, or the graph cannot be read.
    """
    given = {key: value for key, value in (("batch", batch), *dims.items()) if value is not None}
    text = str(source)
    if text.endswith(".onnx") or (Path(text).suffix and Path(text).exists()):
        from workloads.onnx_import import load_onnx  # noqa: PLC0415  (onnx costs 0.2 s to import)

        return load_onnx(Path(text), given)
    networks = list_networks()
    if text not in networks:
        raise WorkloadError(f"workload {text!r} is neither a network of the zoo nor an .onnx file; {suggest(text, networks)}")
    return _build(networks[text], given)


def _build(entry: Network, given: Mapping[str, int]) -> Workload:
    """Call a builder after checking the dimensions it was given."""
    for key, value in given.items():
        if key not in entry.dims:
            raise WorkloadError(f"{entry.name}: dimension {key!r} is not known; {suggest(key, entry.dims)}")
        least = 0 if key == "past" else 1
        if not isinstance(value, int) or value < least:
            raise WorkloadError(f"{entry.name}: dimension {key} = {value} is out of range; choose a whole number of {least} or more")
    workload = entry.build(**given)
    return workload if workload.source else replace(workload, source=entry.paper)

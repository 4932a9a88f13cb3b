"""From what a study calls a field (`cim.adc.bits`, `dram.part`) to its dotted path in a chip's file, and whether there is such a field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cosim.study.space import Level
from cosim.study.spec import RUN_FIELDS
from hw_models.catalog import list_parts, resolve_chip
from hw_models.chip import ChipSpec, MemorySection, fields_at
from hw_models.links import LinkSpec
from hw_models.memory.registry import memory_class
from hw_models.registry import device_class
from hw_models.units import yaml_key
from workloads.errors import SpecError, suggest

_LAYER_FIELDS = ("weight_bits", "activation_bits")
_NOTES = frozenset({"sources", "assumed", "ranges"})


@dataclass(frozen=True)
class ChipFields:
    """What can be set on one chip: its whole description, parts merged in."""

    chip: str

    @cached_property
    def data(self) -> dict[str, Any]:
        """The resolved description."""
        return resolve_chip(self.chip).data

    def found(self, path: str) -> tuple[str, ...]:
        """Return the canonical paths that a path, perhaps with `*`, stands for on this chip; raises SpecError with the nearest one."""
        parts = self._rooted(path.split("."))
        paths = self._expanded(parts)
        if not paths:
            raise SpecError(f"{self.chip}: no field is called {path!r}; {suggest(path, self._near(parts))}")
        return tuple(paths)

    def _rooted(self, parts: list[str]) -> list[str]:
        """Put the section in front of a path that starts with a device, a role of a memory, or a kind of memory."""
        head, data = parts[0], self.data
        if head in data["devices"]:
            return ["devices", *parts]
        memory = data["memory"]
        if head in memory and head not in data:
            return ["memory", *parts]
        roles = [role for role, section in memory.items() if isinstance(section, dict) and section.get("kind") == head]
        return ["memory", roles[0], *parts[1:]] if roles and head not in data else parts

    def _expanded(self, parts: list[str]) -> list[str]:
        """Return every path that matches, `*` standing for any one key."""
        found: list[tuple[list[str], Any]] = [([], self.data)]
        for i, part in enumerate(parts):
            last = i == len(parts) - 1
            found = [
                ([*above, key], node.get(key) if isinstance(node, dict) else None)
                for above, node in found
                for key in self._keys(above, node, part, last=last)
            ]
        return [".".join(path) for path, _ in found]

    def _keys(self, above: list[str], node: Any, part: str, *, last: bool) -> list[str]:
        """Keys below a node that a part of a path stands for."""
        if not isinstance(node, dict) and node is not None:
            return []
        present = [key for key in (node or {}) if key not in _NOTES]
        if part == "*":
            return present
        known = [*present, *self._model_keys(above)]
        if last and part == "part" and above:
            return [part]
        return [name for name in (part, f"n_{part}") if name in known][:1]

    def _model_keys(self, above: list[str]) -> list[str]:
        """Keys that the description may have at a path, whether it gives them or not."""
        if not above:
            return [yaml_key(name) for name in ChipSpec.model_fields]
        model, rest = _model_at(self.data, above)
        names = [yaml_key(name) for name in fields_at(model, tuple(rest))] if model is not None else []
        return [name for name in names if name not in _NOTES]

    def _near(self, parts: list[str]) -> list[str]:
        """Paths that the user may have meant: those of the longest part of the path that exists."""
        for n in range(len(parts) - 1, 0, -1):
            for path in self._expanded(parts[:n]):
                keys = path.split(".")
                names = {*self._model_keys(keys), *(k for k in _lookup(self.data, keys) or {} if k not in _NOTES)}
                if names:
                    head = ".".join(parts[:n]).removeprefix("devices.").removeprefix("memory.")
                    return [f"{head}.{name}" for name in names]
        heads = [*self.data["devices"], *self.data["memory"], "links", *RUN_FIELDS]
        whole = [[head, *parts[1:]] for head in heads]
        return [".".join(one) for one in whole if len(one) > 1 and self._expanded(self._rooted(one))] or heads


def _model_at(data: Mapping[str, Any], above: list[str]) -> tuple[type[Any] | None, list[str]]:
    """Return the model that describes a section, and the path inside it; None where no model does."""
    if above[0] == "devices" and len(above) > 1:
        section = data["devices"].get(above[1])
        return (device_class(str(section["kind"])).spec_class, above[2:]) if section else (None, [])
    if above[0] == "memory":
        section = data["memory"].get(above[1]) if len(above) > 1 else None
        if len(above) == 1:
            return MemorySection, []
        return (memory_class(str(section["kind"])).spec_class, above[2:]) if isinstance(section, dict) else (None, [])
    return (LinkSpec, []) if above[0] == "links" and len(above) == 2 else (None, [])


def _lookup(data: Any, keys: list[str]) -> dict[str, Any] | None:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else None


def is_run_field(path: str) -> bool:
    """Whether a path says how a point is run, not what its chip is."""
    parts = path.split(".")
    return path in RUN_FIELDS or (parts[0] == "layers" and len(parts) > 2 and parts[-1] in _LAYER_FIELDS)


def part_names(levels: tuple[Level, ...], folder: str) -> tuple[Level, ...]:
    """Return the full names of parts, `dram/ddr4_3200_x64` for `ddr4_3200`; raises SpecError with the nearest one."""
    return tuple(None if level is None else _part_name(str(level), folder) for level in levels)


def _part_name(given: str, folder: str) -> str:
    parts = list_parts()
    if given in parts or given.endswith((".yaml", ".yml")):
        return given
    own = [name for name in parts if not folder or name.startswith(f"{folder}/")] or list(parts)
    short = {name: name.partition("/")[2] for name in own}
    for found in ([name for name in own if short[name] == given], [name for name in own if short[name].startswith(given)]):
        if len(found) == 1:
            return found[0]
        if found:
            raise SpecError(f"part {given!r} may be any of {', '.join(found)}; write one of them")
    raise SpecError(f"part {given!r} is not in the catalog; {suggest(given, own)}")


def folder_of(fields: ChipFields, path: str) -> str:
    """Return the folder of the catalog that a part at a path comes from, empty where it cannot be told."""
    section = _lookup(fields.data, path.split(".")[:-1]) or {}
    folders = {name.partition("/")[0] for name in list_parts()}
    kind = str(section.get("kind", ""))
    return kind if kind in folders else ""

"""YAML files as plain mappings that remember the file and line of every key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workloads.errors import SpecError


@dataclass(frozen=True, slots=True)
class Place:
    """File and line (from 1) of a key."""

    path: Path
    line: int

    def __str__(self) -> str:
        """Return `file:line`, the form that editors open."""
        return f"{self.path}:{self.line}"


@dataclass(slots=True)
class Document:
    """The content of one file, or of several merged ones, and where each dotted key was written."""

    data: dict[str, Any]
    places: dict[str, Place] = field(default_factory=dict)

    def place(self, key: str) -> Place | None:
        """Place of a dotted key, or of its nearest parent that was written."""
        while key:
            if key in self.places:
                return self.places[key]
            key = key.rpartition(".")[0]
        return self.places.get("")


def read_yaml(path: Path) -> Document:
    """Read a YAML 1.2 mapping; raises SpecError with file and line when it is missing or malformed."""
    from ruamel.yaml import YAML  # noqa: PLC0415  (only commands that read chips pay for it)
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    try:
        loaded = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise SpecError(f"{path}:{line}: not valid YAML: {' '.join(str(error.problem or error.context).split())}") from None
    except YAMLError as error:
        raise SpecError(f"{path}:1: not valid YAML: {error}") from None
    if not isinstance(loaded, Mapping):
        raise SpecError(f"{path}:1: a mapping of keys to values is expected at the top, not {type(loaded).__name__}")
    document = Document({}, {"": Place(path, 1)})
    document.data = _plain(loaded, "", path, document.places)
    return document


def _plain(node: Any, prefix: str, path: Path, places: dict[str, Place]) -> Any:
    """Turn ruamel's nodes into plain Python values, noting the line of each key."""
    if isinstance(node, Mapping):
        result = {}
        for key, value in node.items():
            name = f"{prefix}{key}"
            places[name] = Place(path, node.lc.key(key)[0] + 1)  # type: ignore[attr-defined]  # ruamel's CommentedMap
            result[str(key)] = _plain(value, f"{name}.", path, places)
        return result
    if isinstance(node, list):
        return [_plain(item, prefix, path, places) for item in node]
    if isinstance(node, bool) or node is None:
        return node
    for plain in (int, float, str):
        if isinstance(node, plain):
            return plain(node)
    return str(node)


def merge(base: Document, over: Document, prefix: str = "") -> Document:
    """Lay `over` on `base`: mappings merge key by key, anything else is replaced, with its place."""
    merged = Document(dict(base.data), dict(base.places))
    for key, value in over.data.items():
        name = f"{prefix}{key}"
        old = merged.data.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged.data[key] = merge(Document(old), Document(value)).data
        else:
            merged.data[key] = value
            for stale in [k for k in merged.places if k == name or k.startswith(f"{name}.")]:
                del merged.places[stale]
    merged.places.update({k: v for k, v in over.places.items() if k})
    if "" in over.places:
        merged.places[""] = over.places[""]
    return merged

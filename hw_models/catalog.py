"""Chips and parts by name or path: read, resolve `base:` and `part:`, validate, build."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from hw_models.chip import Chip, build_chip, build_device, build_memory
from hw_models.memory.base import Memory
from hw_models.registry import Device
from hw_models.specs import numbers_without_source
from hw_models.yaml_file import Document, Place, merge, read_yaml
from workloads.errors import SpecError, suggest

_ROOT = Path(__file__).parent
CHIPS_DIR = _ROOT / "chips"
PARTS_DIR = _ROOT / "parts"
_NOTES = ("sources", "assumed", "ranges")


@cache
def list_chips() -> Mapping[str, Path]:
    """Shipped chips, and those of entry points `cosim.chips` (each loads to a path or a folder of YAML files), by name."""
    found = {path.stem: path for path in sorted(CHIPS_DIR.glob("*.yaml"))}
    for point in entry_points(group="cosim.chips"):
        given = Path(point.load())
        found |= {path.stem: path for path in (sorted(given.glob("*.yaml")) if given.is_dir() else [given])}
    return found


@cache
def list_parts() -> Mapping[str, Path]:
    """Shipped parts by `kind/name`."""
    return {str(path.relative_to(PARTS_DIR).with_suffix("")): path for path in sorted(PARTS_DIR.glob("*/*.yaml"))}


def load_chip(source: str | Path) -> Chip:
    """Load a chip by catalog name or by path; raises SpecError with file, line, key and way out."""
    document = resolve_chip(source)
    digest = hashlib.sha256(json.dumps(document.data, sort_keys=True, default=str).encode()).hexdigest()[:16]
    return build_chip(document, digest)


def resolve_chip(source: str | Path) -> Document:
    """Return a chip's whole description: bases and parts merged in, notes moved to the part they speak of."""
    document = _with_base(_chip_path(source), ())
    document = _expand_parts(document)
    _push_notes_down(document.data)
    return document


def _chip_path(source: str | Path) -> Path:
    text = str(source)
    chips = list_chips()
    if text in chips:
        return chips[text]
    path = Path(text)
    if path.suffix in {".yaml", ".yml"}:
        if path.is_file():
            return path
        raise SpecError(f"{path}: no such file; chips of the catalog: {', '.join(chips)}")
    raise SpecError(f"chip {text!r} is neither in the catalog nor a YAML file; {suggest(text, chips)}")


def _with_base(path: Path, seen: tuple[Path, ...]) -> Document:
    """Read a chip file on top of the one its `base:` names (a catalog name or a path beside the file)."""
    if path in seen:
        raise SpecError(f"{path}: base: the chain of bases comes back to this file")
    document = read_yaml(path)
    base = document.data.pop("base", None)
    if base is None:
        document.data.setdefault("name", path.stem)
        return document
    beside = path.parent / str(base)
    base_path = beside if beside.is_file() else list_chips().get(str(base))
    if base_path is None:
        raise SpecError(
            f"{document.place('base')}: base: {base!r} is neither a file beside this one nor a chip; {suggest(str(base), list_chips())}"
        )
    document.data.setdefault("name", path.stem)
    return merge(_with_base(base_path, (*seen, path)), document)


def _expand_parts(document: Document, prefix: str = "") -> Document:
    """Replace every mapping that has `part: kind/name` by that part with the mapping's other keys laid on top."""
    for key in list(document.data):
        value = document.data[key]
        if isinstance(value, dict) and key not in _NOTES:
            document.data[key] = _expand_one(value, f"{prefix}{key}", document.places)
    return document


def _expand_one(value: dict[str, Any], path: str, places: dict[str, Place]) -> dict[str, Any]:
    """Expand one mapping at a dotted path, and the mappings inside it."""
    seen: list[str] = []
    while "part" in value:
        name = str(value.pop("part"))
        part = _read_part(name, places.get(f"{path}.part") or places.get(path))
        if name in seen:
            raise SpecError(f"{places.get(path)}: {path}: part {name!r} refers to itself")
        seen.append(name)
        kept = {key: value[key] for key in _NOTES if key in value}
        for note in _NOTES:  # what the part says of a key that is overridden here is no longer true
            part.data[note] = {k: v for k, v in part.data.get(note, {}).items() if not _overridden(k, value)}
        value = merge(part, Document({k: v for k, v in value.items() if k not in _NOTES})).data
        for note, entries in kept.items():
            value[note] = {**value.get(note, {}), **entries}
        places.update({f"{path}.{k}": v for k, v in part.places.items() if k and f"{path}.{k}" not in places})
    return _expand_parts(Document(value, places), f"{path}.").data


def _overridden(key: str, value: Mapping[str, Any]) -> bool:
    """Whether a mapping replaces the leaf that a dotted key names."""
    node: Any = value
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return not isinstance(node, Mapping)


def _read_part(name: str, place: Place | None) -> Document:
    parts = list_parts()
    if name in parts:
        return read_yaml(parts[name])
    beside = (place.path.parent if place else Path()) / name
    if beside.suffix in {".yaml", ".yml"} and beside.is_file():
        return read_yaml(beside)
    raise SpecError(f"{place}: part: {name!r} is neither in the catalog nor a file beside this one; {suggest(name, parts)}")


def _push_notes_down(data: dict[str, Any]) -> None:
    """Move notes such as `devices.npu.rows` into the section that they speak of."""
    for note in _NOTES:
        entries = data.get(note)
        if not isinstance(entries, dict):
            continue
        for key in list(entries):
            owner, rest = _owner(data, key.split("."))
            if owner is not data:
                if rest:
                    owner.setdefault(note, {}).setdefault(rest, entries.pop(key))
                else:
                    _cover_all(owner, note, entries.pop(key))


def _owner(data: dict[str, Any], parts: list[str]) -> tuple[dict[str, Any], str]:
    """Return the section two levels down (`devices.npu`, `memory.backing`, `links.npu`) and the key within it."""
    sections = {"devices", "memory", "links"}
    if len(parts) >= 2 and parts[0] in sections and isinstance(data.get(parts[0]), dict):
        owner = data[parts[0]].get(parts[1])
        if isinstance(owner, dict):
            return owner, ".".join(parts[2:])
    return data, ".".join(parts)


def _cover_all(owner: dict[str, Any], note: str, text: Any) -> None:
    """Let one note cover every key of a section that has none of its own."""
    noted = {key for n in _NOTES[:2] for key in owner.get(n, {})}
    for key in owner:
        if key not in _NOTES and key not in noted and key != "kind":
            owner.setdefault(note, {})[key] = text


def resolve_part(name: str) -> Document:
    """Return a part of the catalog, or a YAML file by path, with the parts it names merged in."""
    parts = list_parts()
    if name not in parts and not Path(name).is_file():
        raise SpecError(f"part {name!r} is neither in the catalog nor a file; {suggest(name, parts)}")
    return _expand_parts(read_yaml(parts.get(name, Path(name))))


def build_part_device(name: str) -> Device:
    """Build a device part on its own, under the part's name."""
    return build_device(name.rpartition("/")[2], resolve_part(name))


def build_part_memory(name: str) -> Memory:
    """Build a memory part on its own, under the part's name."""
    return build_memory(name.rpartition("/")[2], resolve_part(name))


def unsourced_numbers(data: Mapping[str, Any], prefix: str = "") -> list[str]:
    """List the dotted keys of numbers that have neither a source nor the word assumed, sections included."""
    covered = {key for note in ("sources", "assumed") for key in data.get(note, {})}
    missing: list[str] = []
    for key, value in data.items():
        path = f"{prefix}{key}"
        if key in _NOTES or key in covered:
            continue
        if isinstance(value, dict) and any(note in value for note in _NOTES):
            missing += unsourced_numbers(value, f"{path}.")
        elif isinstance(value, dict):
            inner = {k.removeprefix(f"{key}."): "" for k in covered if k.startswith(f"{key}.")}
            missing += unsourced_numbers({**value, "sources": inner} if inner else value, f"{path}.")
        elif numbers_without_source({key: value}, covered):
            missing.append(path)
    return missing


def chip_text(source: str | Path, name: str) -> str:
    """Return the text of a chip file under another name, comments kept."""
    lines = _chip_path(source).read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("name:")]
    return f"name: {name}\n{''.join(kept)}"

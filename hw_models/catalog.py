"""Chips and parts by name or path: read, resolve `base:` and `part:`, validate, build."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from hw_models.chip import Chip, build_chip, build_device, build_memory, validate_section
from hw_models.cim.cell import CellSpec
from hw_models.memory.base import Memory
from hw_models.memory.registry import memory_kinds
from hw_models.registry import Device, device_kinds
from hw_models.specs import numbers_without_source
from hw_models.units import same_value
from hw_models.yaml_file import Document, Place, merge, read_yaml
from workloads.errors import SpecError, suggest
from workloads.plugins import load_entry_points

_ROOT = Path(__file__).parent
CHIPS_DIR = _ROOT / "chips"
PARTS_DIR = _ROOT / "parts"
_NOTES = ("sources", "assumed", "ranges")
_SECTIONS = frozenset({"devices", "memory", "links"})


@cache
def list_chips() -> Mapping[str, Path]:
    """Shipped chips, and those of entry points `cosim.chips` (each loads to a path or a folder of YAML files), by name."""
    found = {path.stem: path for path in sorted(CHIPS_DIR.glob("*.yaml"))}
    for where, loaded in load_entry_points("cosim.chips", SpecError):
        if not isinstance(loaded, str | Path):
            raise SpecError(f"{where} is a {type(loaded).__name__}; let it be the path of a YAML file or of a folder of them")
        given = Path(loaded)
        for path in sorted(given.glob("*.yaml")) if given.is_dir() else [given]:
            if path.stem in found:
                raise SpecError(f"{where} brings chip {path.stem!r}, which is there already ({found[path.stem]}); rename the file")
            found[path.stem] = path
    return found


@cache
def list_parts() -> Mapping[str, Path]:
    """Shipped parts by `kind/name`."""
    return {str(path.relative_to(PARTS_DIR).with_suffix("")): path for path in sorted(PARTS_DIR.glob("*/*.yaml"))}


def load_chip(source: str | Path, fields: Mapping[str, Any] | None = None) -> Chip:
    """Load a chip by catalog name or by path, some fields set as if its file said so; raises SpecError with file, line, key and way out.

    `fields` maps dotted keys of the file (`devices.cim.adc.n_bits`, `memory.backing.part`) to values as a file would give them.
    """
    document = resolve_chip(source, fields)
    digest = hashlib.sha256(json.dumps(document.data, sort_keys=True, default=str).encode()).hexdigest()[:16]
    return build_chip(document, digest)


def resolve_chip(source: str | Path, fields: Mapping[str, Any] | None = None) -> Document:
    """Return a chip's whole description: bases and parts merged in, notes moved to the part they speak of, fields set."""
    return resolve_fields(read_chip(source), fields or {})


def read_chip(source: str | Path) -> Document:
    """Return a chip's file on top of its bases, its parts not merged in yet."""
    return _with_base(_chip_path(source), ())


def resolve_fields(document: Document, fields: Mapping[str, Any]) -> Document:
    """Set fields of a description that `read_chip` gave, or of a piece of one, and merge parts in; `document` stays as it is.

    A field that has its value already, by a part or by the file, is left alone, and so is what notes say of it.
    """
    parts = {path: value for path, value in fields.items() if path.rpartition(".")[2] in {"part", "kind"}}
    first = _resolved(document, parts)
    rest = {path: value for path, value in fields.items() if path not in parts and not same_value(_lookup(first.data, path), value)}
    return _resolved(document, {**parts, **rest}) if rest else first


def _resolved(document: Document, fields: Mapping[str, Any]) -> Document:
    copied = Document(deepcopy(document.data), dict(document.places))
    for path, value in fields.items():
        set_field(copied.data, path, value)
    copied = _expand_parts(copied)
    _push_notes_down(copied)
    _sink_notes(copied.data)
    return copied


def set_field(data: dict[str, Any], path: str, value: Any) -> None:
    """Set what stands at a dotted key; raises SpecError where a number or word stands on the way to it."""
    *above, last = path.split(".")
    node = data
    for part in above:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise SpecError(f"{path}: {part!r} holds {node!r}, which has no keys of its own; set {part!r} itself")
    node[last] = value


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
    below = _with_base(base_path, (*seen, path))
    _drop_stale_notes(below.data, document.data)
    return merge(below, document)


def _expand_parts(document: Document, prefix: str = "", above: tuple[str, ...] = ()) -> Document:
    """Replace every mapping that has `part: kind/name` by that part with the mapping's other keys laid on top."""
    for key in list(document.data):
        value = document.data[key]
        if isinstance(value, dict) and key not in _NOTES:
            document.data[key] = _expand_one(value, f"{prefix}{key}", document.places, above)
    return document


def _expand_one(value: dict[str, Any], path: str, places: dict[str, Place], above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Expand one mapping at a dotted path, and the mappings inside it; `above` are the parts that it is itself a piece of."""
    prefix = f"{path}." if path else ""
    seen = list(above)
    while "part" in value:
        name = str(value.pop("part"))
        part = _read_part(name, places.get(f"{prefix}part") or places.get(path))
        if name in seen:
            raise SpecError(f"{places.get(path)}: {path}: part {name!r} refers to itself")
        seen.append(name)
        kept = {key: value[key] for key in _NOTES if key in value}
        _drop_stale_notes(part.data, value)
        value = merge(part, Document({k: v for k, v in value.items() if k not in _NOTES})).data
        for note, entries in kept.items():
            value[note] = {**value.get(note, {}), **entries}
        places.update({f"{prefix}{k}": v for k, v in part.places.items() if k and f"{prefix}{k}" not in places})
    return _expand_parts(Document(value, places), prefix, tuple(seen)).data


def _drop_stale_notes(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Drop what a base or part says of the keys that are overridden: it is no longer true of them."""
    for note in _NOTES:
        if isinstance(base.get(note), dict):
            base[note] = {leaf: text for key, text in base[note].items() for leaf in _left(key, base, over)}
    for key, value in base.items():
        if key not in _NOTES and isinstance(value, dict) and isinstance(over.get(key), Mapping):
            _drop_stale_notes(value, over[key])


def _left(key: str, base: Mapping[str, Any], over: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys that a note on `key` still covers: itself, or its children that are not overridden."""
    new, old = _lookup(over, key), _lookup(base, key)
    if new is None:
        return [key]
    if not isinstance(new, Mapping) or not isinstance(old, Mapping):
        return []
    return [leaf for child in old for leaf in _left(f"{key}.{child}", base, over)]


def _lookup(data: Mapping[str, Any], key: str) -> Any:
    """Return what stands at a dotted key, or None."""
    node: Any = data
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node


def _read_part(name: str, place: Place | None) -> Document:
    parts = list_parts()
    if name in parts:
        return _shipped_part(name)
    beside = (place.path.parent if place else Path()) / name
    if beside.suffix in {".yaml", ".yml"} and beside.is_file():
        return read_yaml(beside)
    raise SpecError(f"{place}: part: {name!r} is neither in the catalog nor a file beside this one; {suggest(name, parts)}")


@cache
def _text_of_part(name: str) -> Document:
    return read_yaml(list_parts()[name])


def _shipped_part(name: str) -> Document:
    """Return a fresh copy of a shipped part, which is read once: studies ask for the same ones again and again."""
    document = _text_of_part(name)
    return Document(deepcopy(document.data), dict(document.places))


def _push_notes_down(document: Document) -> None:
    """Move notes such as `devices.npu.rows` into the section that they speak of, and where they were written along with them."""
    data = document.data
    for note in _NOTES:
        entries = data.get(note)
        if not isinstance(entries, dict):
            continue
        for key in list(entries):
            if key in _SECTIONS and isinstance(data.get(key), dict):
                for section in [part for part in data[key].values() if isinstance(part, dict)]:
                    _cover_all(section, note, entries[key])
                continue
            owner, rest = _owner(data, key.split("."))
            if owner is data:
                continue
            text = entries.pop(key)
            if rest:
                owner.setdefault(note, {}).setdefault(rest, text)
                head = key.removesuffix(f".{rest}")
                document.places[f"{head}.{note}.{rest}"] = document.places.get(f"{note}.{key}") or document.places[""]
            else:
                _cover_all(owner, note, text)


def _sink_notes(section: dict[str, Any]) -> None:
    """Move notes such as `adc.n_bits` into the part they speak of, where that has notes of its own; the outer one is the last word."""
    for note in [name for name in _NOTES if isinstance(section.get(name), dict)]:
        for key in list(section[note]):
            head, _, rest = key.partition(".")
            inner = section.get(head)
            if rest and isinstance(inner, dict) and any(name in inner for name in _NOTES):
                for other in {"sources", "assumed"} - {note} if note != "ranges" else set():
                    inner.get(other, {}).pop(rest, None)
                inner.setdefault(note, {})[rest] = section[note].pop(key)
    for name, inner in section.items():
        if name not in _NOTES and isinstance(inner, dict):
            _sink_notes(inner)


def _owner(data: dict[str, Any], parts: list[str]) -> tuple[dict[str, Any], str]:
    """Return the section two levels down (`devices.npu`, `memory.backing`, `links.npu`) and the key within it."""
    if len(parts) >= 2 and parts[0] in _SECTIONS and isinstance(data.get(parts[0]), dict):
        owner = data[parts[0]].get(parts[1])
        if isinstance(owner, dict):
            return owner, ".".join(parts[2:])
    return data, ".".join(parts)


def _cover_all(owner: dict[str, Any], note: str, text: Any) -> None:
    """Let one note cover every key of a section that has none of its own."""
    own = ("ranges",) if note == "ranges" else ("sources", "assumed")
    noted = {key for n in own for key in owner.get(n, {})}
    for key in list(owner):
        if key not in _NOTES and key not in noted and key != "kind":
            owner.setdefault(note, {})[key] = text


def resolve_part(name: str) -> Document:
    """Return a part of the catalog, or a YAML file by path, with the parts it names merged in."""
    parts = list_parts()
    if name not in parts and not Path(name).is_file():
        raise SpecError(f"part {name!r} is neither in the catalog nor a file; {suggest(name, parts)}")
    document = read_yaml(parts.get(name, Path(name)))
    resolved = Document(_expand_one(document.data, "", document.places), document.places)
    _sink_notes(resolved.data)
    return resolved


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


def check_part(name: str) -> list[str]:
    """Build a part where it is a device, cell or memory, and list its numbers without source; raises SpecError when it cannot be built."""
    document = resolve_part(name)
    kind = document.data.get("kind")
    if kind in device_kinds():
        build_device(name, document)
    elif "max_bits" in document.data:  # a cell: its kinds are those of memories, and only a cell says how many bits it holds
        validate_section(CellSpec, document.data, "", document)
    elif kind in memory_kinds():
        build_memory(name, document)
    return unsourced_numbers(document.data)


def chip_text(source: str | Path, target: Path) -> str:
    """Return the text of a chip file for another place: named after it, comments kept, files beside the old one still found."""
    path = _chip_path(source)

    def moved(match: re.Match[str]) -> str:
        beside = path.parent / match["file"]
        return f"{match['key']}: {os.path.relpath(beside, target.parent)}" if beside.is_file() else match[0]

    text = re.sub(r"(?P<key>base|part): (?P<file>[^\s,}#]+)", moved, path.read_text(encoding="utf-8"))
    kept = [line for line in text.splitlines(keepends=True) if not line.startswith("name:")]
    return f"name: {target.stem}\n{''.join(kept)}"

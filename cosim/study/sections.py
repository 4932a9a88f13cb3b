"""One piece of a chip's description and the axes that set something in it: each distinct variant is built once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from cosim.study.space import Axis
from hw_models.catalog import resolve_fields, set_field
from hw_models.units import same_value
from hw_models.yaml_file import Document
from workloads.errors import CosimError

Built = TypeVar("Built")
Ints = NDArray[np.int64]

_NOTES = ("sources", "assumed", "ranges")


@dataclass(eq=False)
class Section(Generic[Built]):
    """What stands under some dotted keys of a chip's file.

    roots    the keys whose values matter here; whole  it is built from all of the file
    build    makes it of a resolved description;  content  says what it is, whatever file it came from
    """

    document: Document
    roots: tuple[str, ...]
    axes: Sequence[Axis]
    build: Callable[[Document], Built]
    content: Callable[[Built], str]
    whole: bool = False
    built: dict[int, Built | CosimError] = field(default_factory=dict)
    digests: dict[int, bytes] = field(default_factory=dict)
    _skeletons: dict[Any, Document] = field(default_factory=dict)
    _same: dict[tuple[int, str, str], bool] = field(default_factory=dict)

    @cached_property
    def places(self) -> tuple[tuple[int, tuple[str, ...]], ...]:
        """Axes, by their place in the space, that set something here, and the dotted keys."""
        found = []
        for i, axis in enumerate(self.axes):
            paths = tuple(path for path in axis.paths or (axis.name,) if self._covers(path))
            if paths:
                found.append((i, paths))
        return tuple(found)

    def _covers(self, path: str) -> bool:
        return any(path == root or path.startswith(f"{root}.") for root in self.roots)

    def variants(self, codes: Ints) -> Ints:
        """Return [n] which variant each row of codes takes: its levels on the axes that matter here, counted through."""
        number = np.zeros(len(codes), dtype=np.int64)
        for i, _ in self.places:
            number = number * len(self.axes[i].levels) + codes[:, i]
        return number

    def fields(self, variant: int) -> dict[str, Any]:
        """Return what a variant sets, by dotted key."""
        levels: dict[str, Any] = {}
        for i, paths in reversed(self.places):
            variant, code = divmod(variant, len(self.axes[i].levels))
            level = self.axes[i].levels[code]
            levels = {**(dict.fromkeys(paths, level) if level is not None else {}), **levels}
        return levels

    def get(self, variant: int) -> Built | CosimError:
        """Return what a variant is, or why it is nothing."""
        if variant not in self.built:
            try:
                self.built[variant] = self.build(self._resolved(self.fields(variant)))
            except CosimError as error:
                self.built[variant] = error
        return self.built[variant]

    def digest(self, variant: int) -> bytes:
        """Return 16 bytes that stand for what a variant is; of one that cannot be built, for what it was given."""
        if variant not in self.digests:
            made = self.get(variant)
            text = repr((str(made), self.fields(variant))) if isinstance(made, CosimError) else self.content(made)
            self.digests[variant] = hashlib.sha256(text.encode()).digest()[:16]
        return self.digests[variant]

    def forget(self) -> None:
        """Let go of what has been built; digests stay."""
        self.built.clear()

    def _resolved(self, fields: Mapping[str, Any]) -> Document:
        """Return the description with fields set, as `resolve_fields` gives it, from one that differs in values only."""
        parts = {path: value for path, value in fields.items() if path.rpartition(".")[2] in {"part", "kind"}}
        first = self._skeleton(parts, {})
        rest = {path: value for path, value in fields.items() if path not in parts and not self._is_there(first, path, value)}
        if not rest:
            return first
        skeleton = self._skeleton(parts, rest)
        data = skeleton.data
        for path, value in rest.items():
            data = _with(data, path.split("."), value)
        return Document(data, skeleton.places)

    def _is_there(self, first: Document, path: str, value: Any) -> bool:
        """Whether a description has a value already."""
        key = (id(first), path, repr(value))
        if key not in self._same:
            self._same[key] = same_value(_lookup(first.data, path), value)
        return self._same[key]

    def _skeleton(self, parts: Mapping[str, Any], rest: Mapping[str, Any]) -> Document:
        key = (tuple(parts.items()), frozenset(rest))
        if key not in self._skeletons:
            self._skeletons[key] = resolve_fields(self._piece, {**parts, **rest})
        return self._skeletons[key]

    @cached_property
    def _piece(self) -> Document:
        """The description without what does not matter here, so that it is resolved in no time."""
        if self.whole:
            return self.document
        data: dict[str, Any] = {note: self.document.data[note] for note in _NOTES if note in self.document.data}
        for root in self.roots:
            value = _lookup(self.document.data, root)
            if value is not None:
                set_field(data, root, value)
        return Document(data, self.document.places)


def _lookup(data: Any, path: str) -> Any:
    for key in path.split("."):
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def _with(data: Mapping[str, Any], keys: Sequence[str], value: Any) -> dict[str, Any]:
    """Return a mapping with one value set, sharing all that stays as it is."""
    head, *rest = keys
    return {**data, head: _with(data.get(head) or {}, rest, value) if rest else value}

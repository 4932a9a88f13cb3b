"""What a chip's numbers rest on: its description walked into two tables, sourced and assumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cosim.simulation.result import Result
from cosim.simulation.uncertainty import Exposure
from hw_models.specs import DEFAULT_ASSUMED_FACTOR

NOTES = ("sources", "assumed", "ranges")


@dataclass(frozen=True, slots=True)
class Ground:
    """One dotted key of a description: its value as written, what it rests on, and its 90 % factor (1: none given)."""

    key: str
    value: str
    text: str
    factor: float


@dataclass(frozen=True, slots=True)
class Influence:
    """A spread of a run: its factor, the share of the total that scales with it, and how far it moves the total."""

    name: str
    factor: float
    share: float

    @property
    def up(self) -> float:
        """Relative increase of the total when the spread goes to its upper end."""
        return self.share * (self.factor - 1)

    @property
    def down(self) -> float:
        """Relative decrease of the total when the spread goes to its lower end."""
        return self.share * (1 - 1 / self.factor)


def sourced(description: Mapping[str, Any]) -> list[Ground]:
    """Return every key with a source, in the order of the file."""
    return list(_walk(description, "sources", ""))


def assumed(description: Mapping[str, Any]) -> list[Ground]:
    """Return every key declared assumed, with its range or the factor that stands for one."""
    return list(_walk(description, "assumed", ""))


def influences(exposure: Exposure, n: int) -> list[Influence]:
    """Return the n spreads that move a total most."""
    return [Influence(*row) for row in exposure.ranked()[:n] if row[1] > 1 and row[2] > 0]


def overridden_bits(result: Result) -> list[tuple[str, int, int, int]]:
    """Return (device, weight bits, activation bits, number of MAC ops) that were computed at other bits than asked."""
    counts: dict[tuple[str, int, int], int] = {}
    for op in result.ops:
        bits = (op.weight_bits, op.activation_bits)
        if op.n_macs and bits != (result.weight_bits, result.activation_bits):
            counts[(op.device, *bits)] = counts.get((op.device, *bits), 0) + 1
    return [(*key, n) for key, n in counts.items()]


def _walk(section: Mapping[str, Any], note: str, prefix: str) -> Iterator[Ground]:
    """Yield the notes of a section, then those of the sections inside it."""
    ranges = section.get("ranges") or {}
    for key, text in (section.get(note) or {}).items():
        factor = _factor(ranges, str(key), DEFAULT_ASSUMED_FACTOR if note == "assumed" else 1.0)
        yield Ground(f"{prefix}{key}", _value(section, str(key)), str(text), factor)
    for key, value in section.items():
        if isinstance(value, Mapping) and key not in NOTES:
            yield from _walk(value, note, f"{prefix}{key}.")


def _factor(ranges: Mapping[str, Any], key: str, default: float) -> float:
    """Range of a key or of its nearest parent."""
    while key:
        if key in ranges:
            return float(ranges[key])
        key = key.rpartition(".")[0]
    return default


def _value(section: Mapping[str, Any], key: str) -> str:
    """Value at a dotted key as the file writes it; the names of its keys for a section, nothing where there is none."""
    node: Any = section
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return ""
        node = node[part]
    if isinstance(node, Mapping):
        return ", ".join(str(name) for name in node if name not in NOTES)
    return ", ".join(map(str, node)) if isinstance(node, list) else str(node)

"""The root of all specs: frozen, strict, and every number sourced or declared assumed."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Self

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, model_validator

from hw_models.cost import Spread
from hw_models.units import yaml_key
from workloads.errors import suggest

# 90 % factor of an assumed number for which its file gives no range of its own.
# assumed: within a factor of 1.5 either way, the size of the disagreement between mid-range published values.
DEFAULT_ASSUMED_FACTOR = 1.5


# Keys whose values are words, even where they hold digits.
TEXT_KEYS = frozenset({"name", "title", "kind"})


class Spec(BaseModel):
    """A part or chip as its YAML file gives it, in SI units; `title` is its name for a reader, and of its unknowns.

    `sources` maps dotted keys to citations, `assumed` maps dotted keys to reasons (a parent key covers
    its children), `ranges` maps dotted keys to the factor that holds the true value with 90 %
    probability either way (value / factor ... value * factor).
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        alias_generator=AliasGenerator(validation_alias=yaml_key, serialization_alias=yaml_key),
    )

    title: str = ""
    sources: dict[str, str] = Field(default_factory=dict)
    assumed: dict[str, str] = Field(default_factory=dict)
    ranges: dict[str, Annotated[float, Field(ge=1, allow_inf_nan=False)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ranges_of_something(self) -> Self:
        """Refuse a range whose key is none of the spec's: it would be lost without a word."""
        for key in self.ranges:
            head, known = key.partition(".")[0], _keys_of(type(self))
            if head not in known:
                raise ValueError(f"ranges: {key}: there is no such key; {suggest(head, known)}")
        return self

    def is_assumed(self, key: str) -> bool:
        """Whether a YAML key, or a parent of it, is declared assumed and not sourced more closely."""
        for name in _parents(key):
            if name in self.sources:
                return False
            if name in self.assumed:
                return True
        return False

    def spread(self, owner: str, *keys: str) -> tuple[Spread, ...]:
        """Return one spread for each range or assumption that the keys rest on, named `owner.key`; a parent's is one for all children."""
        noted = dict(self._noted(key) for key in keys)
        return tuple(Spread(f"{owner}.{key}", factor) for key, factor in noted.items() if factor > 1)

    def factor(self, key: str) -> float:
        """Return the 90 % factor of a YAML key: its range, else 1 if sourced, else the default if assumed; nearest parent first."""
        return self._noted(key)[1]

    def _noted(self, key: str) -> tuple[str, float]:
        """Return the key, or its nearest parent, that says how far to trust the value, and the factor it gives."""
        for name in _parents(key):
            if name in self.ranges:
                return name, self.ranges[name]
            if name in self.sources:
                return name, 1.0
            if name in self.assumed:
                return name, DEFAULT_ASSUMED_FACTOR
        return key, 1.0


@cache
def _keys_of(spec_class: type[Spec]) -> frozenset[str]:
    """Return the YAML keys of a spec that hold values."""
    return frozenset(yaml_key(name) for name in spec_class.model_fields) - {"ranges", "sources", "assumed"}


@cache
def _parents(key: str) -> tuple[str, ...]:
    """Return a dotted key and its parents, nearest first."""
    parts = key.split(".")
    return tuple(".".join(parts[:n]) for n in range(len(parts), 0, -1))


def numbers_without_source(data: dict[str, Any], covered: set[str], prefix: str = "") -> list[str]:
    """List dotted keys of raw YAML whose value holds a number and that neither key nor parent covers."""
    missing: list[str] = []
    for key, value in data.items():
        path = f"{prefix}{key}"
        if path in covered or key in TEXT_KEYS or (not prefix and key in {"sources", "assumed", "ranges"}):
            continue
        if isinstance(value, dict):
            missing += numbers_without_source(value, covered, f"{path}.")
        elif _holds_number(value):
            missing.append(path)
    return missing


def _holds_number(value: object) -> bool:
    if isinstance(value, list):
        return any(_holds_number(item) for item in value)
    if isinstance(value, bool):
        return False
    return isinstance(value, (int, float)) or (isinstance(value, str) and value[:1].isdigit() and " " in value)

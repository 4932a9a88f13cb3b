"""Shipped recipes: `recipes.yaml`, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from cosim.training.recipe import Phase, Recipe
from workloads.errors import SpecError, suggest

Purpose = Literal["noisy", "low_bit", "chip"]
RECIPES = Path(__file__).with_name("recipes.yaml")


def recipe(network: str, purpose: Purpose, **changes: Any) -> Recipe:
    """How a network is trained for a purpose; `changes` go into its second phase (sigma, bits, epochs ...).

    Networks and purposes that the file does not name take those of `default`. Raises SpecError on numbers that no phase has.
    """
    table = _table()
    mine, general = table.get(network, {}), table["default"]
    name = f"{network}, {purpose}" if purpose in mine else f"default, {purpose}"
    first = _phase({**general["first"], **mine.get("first", {})}, "first")
    then = _phase(mine.get(purpose, general[purpose]), purpose)
    try:
        then = replace(then, **changes)
    except TypeError:
        wrong = next(key for key in changes if key not in _KEYS)
        raise SpecError(f"recipe: {wrong!r} is no number of a phase; {suggest(wrong, _KEYS)}") from None
    return Recipe(name, first, then, f"{table['sources']['first']}; {table['sources'][purpose]}")


@lru_cache(maxsize=1)
def _table() -> Mapping[str, Any]:
    """The file."""
    from ruamel.yaml import YAML  # noqa: PLC0415  (costs 60 ms to import)

    return dict(YAML(typ="safe").load(RECIPES.read_text()))


_KEYS = tuple(field.name for field in fields(Phase))
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


def _phase(data: Mapping[str, Any], where: str) -> Phase:
    """A phase of plain numbers; SpecError on a key that it does not have."""
    for key in data:
        if key not in _KEYS:
            raise SpecError(f"{RECIPES.name}: {where}.{key}: is not known; {suggest(key, _KEYS)}")
    return Phase(**data)

"""A space of discrete choices: axes with levels, declared constraints, and points as rows of level codes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from workloads.errors import SpecError, suggest

Codes = NDArray[np.int64]
Kind = Literal["categorical", "ordinal"]
Level = str | int | float | bool | None

_PROPOSALS = 4096  # drawn at a time by rejection
_LISTED = 4_000_000  # a space of at most so many points is listed where rejection finds too few
_TRIES = 50  # batches of proposals before rejection gives up


@dataclass(frozen=True)
class Axis:
    """One choice: its name, whether its levels have an order, the levels, and the dotted paths that it sets (none: its name).

    Level None stands for an axis that is inactive. Raises SpecError for an axis without levels or with one twice.
    """

    name: str
    kind: Kind
    levels: tuple[Level, ...]
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the levels."""
        if not self.levels:
            raise SpecError(f"axis {self.name!r} has no levels; give a list or a range that is not empty")
        seen = [_identity(level) for level in self.levels]
        twice = [level for level, mark in zip(self.levels, seen, strict=True) if seen.count(mark) > 1]
        if twice:
            raise SpecError(f"axis {self.name!r} has level {twice[0]!r} twice; give every level once")

    @cached_property
    def code_of(self) -> Mapping[tuple[str, Any], int]:
        """Code of each level, by a key that tells 1 from True."""
        return {_identity(level): code for code, level in enumerate(self.levels)}

    def code(self, level: Any) -> int:
        """Return the code of a level; raises SpecError that names the levels there are."""
        mark = _identity(level.item() if isinstance(level, np.generic) else level)
        if mark not in self.code_of:
            raise SpecError(f"axis {self.name!r} has no level {level!r}; choose one of: {', '.join(map(str, self.levels))}")
        return self.code_of[mark]


def _identity(level: Any) -> tuple[str, Any]:
    """Key of a level: numbers that are equal are one level, truth values and text are others."""
    if isinstance(level, bool) or level is None:
        return "word", level
    return ("number", float(level)) if isinstance(level, int | float) else ("text", str(level))


class Rule(Protocol):
    """A declared constraint: what it says, and whether points keep to it."""

    @property
    def text(self) -> str:
        """Return what a message calls it."""

    def keeps(self, codes: Codes) -> NDArray[np.bool_]:
        """Return [n] whether each row of `codes` [n, d] keeps to it."""


@dataclass(frozen=True, eq=False)
class Space:
    """Axes and rules. A point is a row of level codes; `decode` gives it names.

    Raises SpecError for two axes of one name and for a space without axes.
    """

    axes: tuple[Axis, ...]
    rules: tuple[Rule, ...] = field(default=())

    def __post_init__(self) -> None:
        """Check the names."""
        names = [axis.name for axis in self.axes]
        if not names:
            raise SpecError("the space has no axes; name at least one thing to vary")
        for name in names:
            if names.count(name) > 1:
                raise SpecError(f"two axes are called {name!r}; name every axis once")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.name for axis in self.axes)

    @cached_property
    def n_levels(self) -> Codes:
        """[d] number of levels of each axis."""
        return np.array([len(axis.levels) for axis in self.axes], dtype=np.int64)

    @cached_property
    def is_ordinal(self) -> NDArray[np.bool_]:
        """[d] whether the levels of an axis have an order."""
        return np.array([axis.kind == "ordinal" for axis in self.axes])

    @property
    def size(self) -> int:
        """Points with and without the rules."""
        return math.prod(int(n) for n in self.n_levels)

    def decode(self, codes: Codes) -> list[dict[str, Level]]:
        """Return each row of codes [n, d] as axis name → level."""
        return [{axis.name: axis.levels[c] for axis, c in zip(self.axes, row, strict=True)} for row in np.atleast_2d(codes).tolist()]

    def encode(self, points: Iterable[Mapping[str, Any]]) -> Codes:
        """Return points as codes [n, d]; raises SpecError for an axis or level that is not there, or an axis left out."""
        rows = []
        for point in points:
            for name in point:
                if name not in self.names:
                    raise SpecError(f"the space has no axis {name!r}; {suggest(name, self.names)}")
            for name in self.names:
                if name not in point:
                    raise SpecError(f"the point names no level of axis {name!r}; give one for every axis")
            rows.append([axis.code(point[axis.name]) for axis in self.axes])
        return np.array(rows, dtype=np.int64).reshape(-1, len(self.axes))

    def feasible(self, codes: Codes) -> NDArray[np.bool_]:
        """[n] whether each row of codes keeps to all rules."""
        good = np.ones(len(codes), dtype=np.bool_)
        for rule in self.rules:
            left = np.flatnonzero(good)
            good[left] = rule.keeps(codes[left])
        return good

    def at(self, index: NDArray[np.int64]) -> Codes:
        """Return the points that stand at these places of the full grid, the last axis fastest."""
        return np.stack(np.unravel_index(index, tuple(self.n_levels.tolist())), axis=1).astype(np.int64)

    @property
    def is_listable(self) -> bool:
        """Whether the grid is small enough to list."""
        return self.size <= _LISTED

    @cached_property
    def listed(self) -> Codes:
        """All feasible points in grid order; raises SpecError where the grid is too large to list."""
        if not self.is_listable:
            raise SpecError(f"the grid has {self.size:,} points, too many to list; sample it, or give fewer levels")
        parts = [self.at(np.arange(i, min(i + 2**18, self.size))) for i in range(0, self.size, 2**18)]
        return np.concatenate([part[self.feasible(part)] for part in parts])

    def random(self, rng: np.random.Generator, n: int) -> Codes:
        """Draw n feasible points uniformly, with repeats; raises SpecError where none is found."""
        found: list[Codes] = []
        missing = n
        for _ in range(_TRIES):
            size = _PROPOSALS if self.rules else missing
            drawn = rng.integers(0, self.n_levels, size=(size, len(self.axes)))
            found.append(drawn[self.feasible(drawn)][:missing])
            missing -= len(found[-1])
            if missing <= 0:
                return np.concatenate(found)
        if self.is_listable and len(self.listed):
            found.append(self.listed[rng.integers(0, len(self.listed), missing)])
            return np.concatenate(found)
        raise SpecError(_nothing_found(self))

    def neighbors(self, row: Codes) -> Codes:
        """Return all feasible points that differ from one point [d] on one axis: an ordinal one by any step, too."""
        rows = []
        for i, n in enumerate(self.n_levels.tolist()):
            for code in range(n):
                if code != row[i]:
                    other = row.copy()
                    other[i] = code
                    rows.append(other)
        codes = np.array(rows, dtype=np.int64).reshape(-1, len(self.axes))
        return codes[self.feasible(codes)]


def _nothing_found(space: Space) -> str:
    rules = "; ".join(rule.text for rule in space.rules)
    return f"no point of the space keeps to its constraints ({rules}); loosen one of them"


def axes_of(levels: Mapping[str, Sequence[Any] | Mapping[str, Any]]) -> tuple[Axis, ...]:
    """Make axes from name → levels, or name → {levels, kind}: more than two numbers are ordinal, all else is categorical."""
    axes = []
    for name, given in levels.items():
        choices = given["levels"] if isinstance(given, Mapping) else given
        kind = given.get("kind") if isinstance(given, Mapping) else None
        numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in choices)
        axes.append(Axis(str(name), kind or ("ordinal" if numbers and len(choices) > 2 else "categorical"), tuple(choices)))
    return tuple(axes)

"""Declared constraints of a space: conditions over levels, when an axis is active, and which constraints contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cosim.study.expression import Expression, read_expression, value_of
from cosim.study.space import Axis, Codes, Level, Rule, Space
from workloads.errors import SpecError

_LARGEST_TABLE = 500_000  # combinations of levels that a condition is worked out for ahead
_LARGEST_SEARCH = 200_000  # partial points that a search for a feasible one visits


@dataclass(frozen=True, eq=False)
class Table:
    """A rule over some axes: `axes` are their places in the space, `allowed` [levels of each] says which combinations keep to it."""

    text: str
    axes: tuple[int, ...]
    allowed: NDArray[np.bool_]

    def keeps(self, codes: Codes) -> NDArray[np.bool_]:
        """Return [n] whether each row of codes keeps to it."""
        return np.asarray(self.allowed[tuple(codes[:, axis] for axis in self.axes)])


@dataclass(frozen=True, eq=False)
class Measured:
    """A rule on something that is worked out of whole points without a run, such as the area of a chip."""

    text: str
    axes: tuple[int, ...]
    function: Callable[[Codes], NDArray[np.bool_]]

    def keeps(self, codes: Codes) -> NDArray[np.bool_]:
        """Return [n] whether each row of codes keeps to it."""
        return self.function(codes)


def condition(text: str, axes: Sequence[Axis], *, inactive: bool = True) -> Table:
    """Return the rule that a condition makes over axes; `inactive` says what it gives where one of its axes is inactive.

    Raises SpecError for one that cannot be read, or that spans too many combinations to be worked out ahead.
    """
    names = [axis.name for axis in axes]
    read = read_expression(text, names)
    places = tuple(names.index(name) for name in read.names)
    shape = tuple(len(axes[i].levels) for i in places)
    if np.prod(shape, dtype=float) > _LARGEST_TABLE:
        raise SpecError(f"condition {text!r} spans {np.prod(shape, dtype=float):.2g} combinations of levels; split it into smaller ones")
    levels = [[value_of(level) for level in axes[i].levels] for i in places]
    return Table(read.text, places, _worked_out(read, levels, shape, inactive=inactive))


def _worked_out(read: Expression, levels: Sequence[Sequence[object]], shape: tuple[int, ...], *, inactive: bool) -> NDArray[np.bool_]:
    allowed = np.empty(shape, dtype=np.bool_)
    for place in np.ndindex(shape):
        values = [one[i] for one, i in zip(levels, place, strict=True)]
        allowed[place] = inactive if None in values else read.holds(values)
    return allowed


@dataclass(frozen=True, eq=False)
class Active:
    """The rule that an axis has a level exactly where all of some conditions hold, and is inactive (None) elsewhere."""

    axis: int
    name: str
    levels: tuple[Level, ...]
    when: tuple[Table, ...]

    @property
    def text(self) -> str:
        """Return what a message calls it."""
        return f"{self.name} only when {' and '.join(one.text for one in self.when)}"

    @property
    def axes(self) -> tuple[int, ...]:
        """Places of all axes that it looks at."""
        return tuple(dict.fromkeys([*(axis for one in self.when for axis in one.axes), self.axis]))

    def keeps(self, codes: Codes) -> NDArray[np.bool_]:
        """Return [n] whether each row of codes keeps to it."""
        on = np.array([level is not None for level in self.levels])[codes[:, self.axis]]
        asked = np.ones(len(codes), dtype=np.bool_)
        for one in self.when:
            asked &= one.keeps(codes)
        return np.asarray(on == asked)


def one_point(space: Space, rules: Sequence[Rule], rng: np.random.Generator | None = None) -> Codes | None:
    """Return a point [d] that keeps to the rules, found axis by axis; None where there is none, or none within the search's limit.

    With `rng` the levels of every axis are tried in random order.
    """
    search = _Search(space, rules, rng)
    return search.below(0)


class _Search:
    """Depth first, rules checked as soon as all their axes are set."""

    def __init__(self, space: Space, rules: Sequence[Rule], rng: np.random.Generator | None) -> None:
        self.space, self.rng, self.left = space, rng, _LARGEST_SEARCH
        every = tuple(range(len(space.axes)))
        spans = [getattr(rule, "axes", every) for rule in rules]
        touched = [axis for span in sorted(spans, key=len) for axis in span]
        self.order = list(dict.fromkeys([*touched, *every]))
        self.due: list[list[Rule]] = [[] for _ in every]
        for rule, span in zip(rules, spans, strict=True):
            self.due[max((self.order.index(axis) for axis in span), default=0)].append(rule)
        self.row = np.zeros(len(every), dtype=np.int64)

    @cached_property
    def depth(self) -> int:
        return len(self.order)

    def below(self, level: int) -> Codes | None:
        """Return the first point that continues what is set up to here."""
        if level == self.depth:
            return self.row.copy()
        axis = self.order[level]
        n = int(self.space.n_levels[axis])
        codes = self.rng.permutation(n) if self.rng is not None else np.arange(n)
        for code in codes.tolist():
            self.left -= 1
            if self.left < 0:
                return None
            self.row[axis] = code
            if all(rule.keeps(self.row[None, :])[0] for rule in self.due[level]):
                found = self.below(level + 1)
                if found is not None:
                    return found
        return None


def contradiction(space: Space) -> tuple[str, ...]:
    """Return the texts of a smallest set of rules that no point keeps to: none of them can be left out; empty where points do."""
    if one_point(space, space.rules) is not None:
        return ()
    kept = list(space.rules)
    for rule in list(space.rules):
        fewer = [one for one in kept if one is not rule]
        if one_point(space, fewer) is None:
            kept = fewer
    return tuple(rule.text for rule in kept)


def checked(space: Space) -> Space:
    """Return the space; raises SpecError that names the constraints that leave no point."""
    found = contradiction(space)
    if found:
        what = " and ".join(repr(text) for text in found)
        loosen = " together; loosen one of them" if len(found) > 1 else "; loosen it"
        raise SpecError(f"no point was found that keeps to {what}{loosen}")
    return space

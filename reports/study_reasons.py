"""Why points of a study have no place in its ranking: failures by reason, limits broken, and constraints that keep points out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosim.study.analysis import worst_where
from cosim.study.failures import kind_of
from cosim.study.rules import Active
from cosim.study.space import Codes, Space
from cosim.study.table import StudyTable
from reports.study_view import axis_words
from reports.wording import percent

Bools = NDArray[np.bool_]

N_DRAWN = 2000  # points of a grid by which declared constraints are described


@dataclass(frozen=True)
class Reason:
    """Why points are out: kind (failed, bound, constraint), text, how many of how many, and the level where the share is largest.

    where  "npu.rows 128 (93.1 %)": a level and its share of points that are out; nothing where no level stands out
    """

    kind: str
    text: str
    n: int
    of: int
    where: str = ""

    @property
    def share(self) -> float:
        """Share of the points looked at."""
        return self.n / self.of if self.of else 0.0


def reasons(table: StudyTable) -> list[Reason]:
    """Return failures by reason, then bounds that are broken, each the most frequent first; points without either are not counted."""
    scores, errors = table.scores, np.array([kind_of(error) for error in table.errors], dtype=object)
    errors[scores.failed & (errors == "")] = "no value of an objective or bound"
    failed = [_reason("failed", _first(table, errors == kind, kind), errors == kind, table) for kind in sorted(set(errors[scores.failed]))]
    broken = [
        _reason("bound", limit.label or limit.bound.text, scores.broken[:, c] & ~scores.failed, table)
        for c, limit in enumerate(table.wanted.limits)
    ]
    return [*_by_number(failed), *(one for one in _by_number(broken) if one.n)]


def _first(table: StudyTable, wrong: Bools, kind: str) -> str:
    """Return the first error of a kind in full, or what the kind is called."""
    return table.errors[int(np.flatnonzero(wrong)[0])] or kind


def _by_number(found: Sequence[Reason]) -> list[Reason]:
    return sorted(found, key=lambda one: -one.n)


def _reason(kind: str, text: str, wrong: Bools, table: StudyTable) -> Reason:
    return Reason(kind, text, int(wrong.sum()), table.n, where(table.space, table.codes, wrong))


def where(space: Space, codes: Codes, wrong: Bools) -> str:
    """Word the level at which the largest share of points is wrong."""
    found = worst_where(codes, wrong, space.n_levels)
    if found is None:
        return ""
    axis, code, share = found
    name, levels = axis_words(space.axes[axis])
    return f"{name} = {levels[code]} ({percent(share)})"


def kept_out(space: Space, n: int = N_DRAWN) -> list[Reason]:
    """Return what share of the grid each declared constraint keeps out on its own, by all points of a small grid or `n` drawn evenly.

    Points with a level that an inactive axis cannot have are no designs and are not counted.
    """
    if not space.rules:
        return []
    if space.size <= n:
        codes = space.at(np.arange(space.size))
    else:
        codes = np.random.default_rng(0).integers(0, space.n_levels, size=(n, len(space.axes)))
    for rule in space.rules:
        if isinstance(rule, Active):
            codes = codes[rule.keeps(codes)]
    found = []
    for rule in space.rules:
        if not isinstance(rule, Active) and len(codes):
            wrong = ~rule.keeps(codes)
            found.append(Reason("constraint", rule.text, int(wrong.sum()), len(codes), where(space, codes, wrong)))
    return _by_number(found)

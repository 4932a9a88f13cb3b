"""Rows that an evaluator makes of points, one a point and workload, and what makes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cosim.study.space import Codes, Space

OK, FAILED = 0, 1


@dataclass(frozen=True, eq=False)
class Rows:
    """Results of n rows.

    keys      [n] 32 hexadecimal digits that stand for all that can change a number
    status    [n] OK or FAILED
    error     [n] why a row failed, else an empty text
    values    [n, n_columns] in the order of the columns; NaN: none
    workload  [n] which workload of the study
    designs   [n] the levels of the point as a JSON object
    """

    keys: Sequence[str]
    status: NDArray[np.int8]
    error: Sequence[str]
    values: NDArray[np.float64]
    workload: NDArray[np.int64]
    designs: Sequence[str]


class RowsLike(Protocol):
    """What is read of rows."""

    @property
    def keys(self) -> Sequence[str]:
        """Return [n] keys."""

    @property
    def status(self) -> NDArray[np.int8]:
        """Return [n] OK or FAILED."""

    @property
    def error(self) -> Sequence[str]:
        """Return [n] texts."""

    @property
    def values(self) -> NDArray[np.float64]:
        """Return [n, n_columns]."""

    @property
    def workload(self) -> NDArray[np.int64]:
        """Return [n] which workload."""

    @property
    def designs(self) -> Sequence[str]:
        """Return [n] JSON objects."""


class Evaluates(Protocol):
    """What computes points: the evaluator of a study, or one of a test."""

    def keys(self, codes: Codes) -> list[str]:
        """Return the keys of points [n, d]: those of the first point for every workload, then of the next."""

    def evaluate(self, codes: Codes) -> RowsLike:
        """Return the rows of points [n, d], in the order of the keys."""


# Makes an evaluator of some workloads of a study, by their index; sent to other processes.
Make = Callable[[tuple[int, ...]], Evaluates]


@dataclass(frozen=True, eq=False)
class Task:
    """What processes that compute need to know: it is sent to them once. `makes`: of each part of a sweep, its evaluators."""

    makes: tuple[Make, ...]
    space: Space
    columns: tuple[str, ...]

    def rows(self, evaluator: Evaluates, codes: Codes, workloads: tuple[int, ...]) -> Rows:
        """Return the rows of points [n, d] for some workloads of the study, which the evaluator was made of.

        Where a batch cannot be computed its points are tried alone; one that raises has rows that say so.
        """
        try:
            return _renamed(evaluator.evaluate(codes), workloads)
        except Exception as error:
            if len(codes) == 1:
                return self.failed(evaluator.keys(codes), codes, workloads, f"{type(error).__name__}: {error}")
        return joined([self.rows(evaluator, codes[i : i + 1], workloads) for i in range(len(codes))])

    def failed(self, keys: Sequence[str], codes: Codes, workloads: tuple[int, ...], error: str) -> Rows:
        """Return rows without results of points [n, d]; keys [n * n_workloads]."""
        designs = [json.dumps(levels) for levels in self.space.decode(codes) for _ in workloads]
        status = np.full(len(keys), FAILED, dtype=np.int8)
        values = np.full((len(keys), len(self.columns)), np.nan)
        return Rows(keys, status, [error] * len(keys), values, np.tile(np.array(workloads, dtype=np.int64), len(codes)), designs)


def _renamed(rows: RowsLike, workloads: tuple[int, ...]) -> Rows:
    """Return rows of an evaluator of some workloads with the study's own indices of them."""
    index = np.asarray(workloads, dtype=np.int64)[np.asarray(rows.workload, dtype=np.int64)]
    return Rows(rows.keys, rows.status, rows.error, rows.values, index, rows.designs)


def joined(parts: Iterable[RowsLike]) -> Rows:
    """Return one set of rows after another as one."""
    listed = list(parts)

    def chained(name: str) -> list[Any]:
        return [one for part in listed for one in getattr(part, name)]

    status, values, workload = (np.concatenate([getattr(part, name) for part in listed]) for name in ("status", "values", "workload"))
    return Rows(chained("keys"), status, chained("error"), values, workload, chained("designs"))

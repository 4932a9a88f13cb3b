"""Arrays that grow along their first axis, and tables of spreads by number."""

from __future__ import annotations

from collections.abc import Iterable
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw_models.cost import Spread


class Stack:
    """Rows of one shape [n, ...] in one array that doubles when it is full; a row that is wider than before widens all."""

    def __init__(self, kind: type[np.generic], fill: float = 0) -> None:
        """Start empty; places that no row has filled hold `fill`."""
        self.kind, self.fill, self.n = kind, fill, 0
        self.data: NDArray[Any] = np.empty((0,), kind)

    def add(self, row: Any) -> int:
        """Append a row; returns its place."""
        array = np.asarray(row, self.kind)
        if not self.data.size and self.n == 0:
            self.data = np.full((8, *array.shape), self.fill, self.kind)
        if self.n == len(self.data) or array.shape != self.data.shape[1:]:
            self._make_room(array.shape)
        if array.shape == self.data.shape[1:]:
            self.data[self.n] = array
        else:
            self.data[self.n][tuple(slice(size) for size in array.shape)] = array
        self.n += 1
        return self.n - 1

    def _make_room(self, shape: tuple[int, ...]) -> None:
        inner = tuple(max(a, b) for a, b in zip(self.data.shape[1:], shape, strict=True))
        rows = 2 * len(self.data) if self.n == len(self.data) else len(self.data)
        if (rows, *inner) != self.data.shape:
            grown = np.full((rows, *inner), self.fill, self.kind)
            grown[tuple(slice(size) for size in self.data.shape)] = self.data
            self.data = grown

    @property
    def n_bytes(self) -> int:
        """Bytes of the array."""
        return self.data.nbytes


class Spreads:
    """Sets of spreads by number, and their names by number: what a kernel needs to make intervals."""

    def __init__(self) -> None:
        """Set 0 is empty."""
        self.name_of: dict[str, int] = {}
        self.set_of: dict[tuple[tuple[int, float], ...], int] = {(): 0}
        self._arrays: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]] | None = None

    def number(self, spreads: Iterable[Spread]) -> int:
        """Return the number of a set."""
        key = tuple((self.name_of.setdefault(one.name, len(self.name_of)), one.factor) for one in spreads)
        if key not in self.set_of:
            self.set_of[key] = len(self.set_of)
            self._arrays = None
        return self.set_of[key]

    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """First [n_sets + 1], name and ln factor of the spreads of set s at first[s]:first[s + 1]."""
        if self._arrays is None:
            first = np.cumsum([0, *(len(key) for key in self.set_of)]).astype(np.int64)
            flat = [pair for key in self.set_of for pair in key]
            names = np.array([name for name, _ in flat], dtype=np.int64)
            self._arrays = first, names, np.array([log(factor) for _, factor in flat], dtype=np.float64)
        return self._arrays

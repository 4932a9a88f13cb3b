"""Points of one chip: which variant of each of its sections they take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosim.study.kernels.point_data import MEMORY_AREA_M2
from cosim.study.space import Codes
from cosim.study.variants import ChipVariants

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class ChipPoints:
    """Rows of the variants of one chip that points take, in the order top, memories (backing, weights, shared), devices, links."""

    def __init__(self, chip: ChipVariants) -> None:
        """Keep the chip."""
        self.chip = chip

    def rows(self, codes: Codes) -> tuple[Ints, dict[int, str]]:
        """Return [n, 4 + 2 m] rows of variants (-1: no such memory), and why points cannot be built, by their place."""
        found = np.empty((len(codes), len(self.chip.parts)), dtype=np.int64)
        failed: dict[int, str] = {}
        for column, part in enumerate(self.chip.parts):
            found[:, column], number = part.rows(codes)
            for place in np.flatnonzero(found[:, column] == -2).tolist():
                failed.setdefault(place, part.error(int(number[place])))
        return found, failed

    def digests(self, codes: Codes) -> NDArray[np.uint8]:
        """Return [n, 16 (5 + 2 m)] bytes for all that a chip is, whatever it is called and however it was described."""
        common = np.broadcast_to(np.frombuffer(self.chip.digest, np.uint8), (len(codes), 16))
        return np.concatenate([common, *(part.digests(codes) for part in self.chip.parts)], axis=1)

    def area_m2(self, codes: Codes) -> Floats:
        """Return [n] silicon area; NaN where a section cannot be built."""
        rows, failed = self.rows(codes)
        m = len(self.chip.device_names)
        area: Floats = self.chip.top_numbers.floats.data[np.maximum(rows[:, 0], 0), 0].copy()
        for column in range(1, 4):
            table = self.chip.memory_numbers.floats.data[:, MEMORY_AREA_M2]
            area += np.where(rows[:, column] >= 0, table[np.maximum(rows[:, column], 0)], 0.0)
        for column in range(4, 4 + m):
            area += self.chip.device_numbers.floats.data[np.maximum(rows[:, column], 0), 0]
        area[list(failed)] = np.nan
        return area

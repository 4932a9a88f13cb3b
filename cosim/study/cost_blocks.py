"""Costs of device variants on the columns of a network, in batched calls of the devices: only those that points ask for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cosim.simulation.costs import costs_of
from cosim.simulation.kernels import residency as k
from cosim.simulation.loss import loss_of_snr
from cosim.study.kernels.point_data import BLOCK_PARTS, CATEGORIES, IS_ANALOG, LOSS, PARTS, SNR_DB
from cosim.study.networks import NetworkVariants
from cosim.study.stacks import Stack
from cosim.study.variants import ChipVariants
from hw_models.cost import INPUT, OUTPUT, WEIGHT, CostTable
from hw_models.registry import Device
from workloads.errors import CosimError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_AT_A_TIME = 256  # variants costed in one call, so that memory stays bounded

# Columns of a cost row and the fields of a cost table that they hold.
_FIELDS = {
    k.SUPPORTED: "supported", k.LATENCY_S: "latency_s", k.FIXED_S: "fixed_s", k.SERIAL_S: "serial_s",
    k.PROGRAM_S: "program_s", k.PROGRAM_J: "program_j", k.N_ARRAYS: "n_arrays",
}  # fmt: skip


class CostBlocks:
    """Rows of costs of (device variant, column of a network): block b of `costs` [blocks, rows, PARTS + components]."""

    def __init__(self, chip: ChipVariants, network: NetworkVariants) -> None:
        """Start without any."""
        self.chip, self.network = chip, network
        self.costs, self.ints = Stack(np.float64), Stack(np.int64)
        self.block_of = np.full((1, 1), -1, dtype=np.int64)
        self.errors: dict[tuple[int, int], str] = {}

    def ensure(self, devices: Ints, columns: Ints) -> None:
        """Cost device variants [p] on columns [p] where that has not been done."""
        self._make_room()
        wanted = np.unique(np.stack([devices, columns], axis=1), axis=0)
        missing = wanted[self.block_of[wanted[:, 0], wanted[:, 1]] == -1]
        by_call: dict[tuple[type[Device], str, int], list[int]] = defaultdict(list)
        for row, column in missing.tolist():
            device = self.chip.device(row)
            by_call[(type(device), device.name, column)].append(row)
        for (_, _, column), rows in by_call.items():
            for i in range(0, len(rows), _AT_A_TIME):
                self._cost(rows[i : i + _AT_A_TIME], column)

    def error(self, device: int, column: int) -> str:
        """Why a device variant has no costs on a column."""
        return self.errors[(device, column)]

    @property
    def n_bytes(self) -> int:
        """Bytes of all costs."""
        return self.costs.n_bytes

    def _make_room(self) -> None:
        shape = (max(self.chip.device_numbers.ints.n, 1), max(len(self.network.tables), 1))
        old = self.block_of
        if shape[0] > old.shape[0] or shape[1] > old.shape[1]:
            self.block_of = np.full((max(2 * old.shape[0], shape[0]), max(shape[1], old.shape[1])), -1, dtype=np.int64)
            self.block_of[: old.shape[0], : old.shape[1]] = old

    def _cost(self, rows: list[int], column: int) -> None:
        """Cost some variants of one device together, or one by one where one of them fails."""
        devices = [self.chip.device(row) for row in rows]
        try:
            table = costs_of(devices[0], self.network.tables[column], [device.spec for device in devices])
            snr_db = table.output_snr_db
        except CosimError as error:
            if len(rows) == 1:
                self.errors[(rows[0], column)] = str(error)
                self.block_of[rows[0], column] = -2
                return
            for row in rows:
                self._cost([row], column)
            return
        for row, costs, ints in zip(rows, _rows_of(table, snr_db), self._ints_of(table), strict=True):
            self.block_of[row, column] = self.costs.add(costs)
            self.ints.add(ints)
            self.chip.device_numbers.ints.data[row, IS_ANALOG] |= table.output_snr is not None

    def _ints_of(self, table: CostTable) -> Iterable[list[int]]:
        number = self.chip.spreads.number
        for parts, spreads in zip(table.components, table.latency_spreads, strict=True):
            ints = [number(spreads)]
            for part in parts:
                ints += [number(part.spreads), CATEGORIES.index(part.category), part.assumed]
            yield ints


def _rows_of(table: CostTable, snr_db: Floats) -> Floats:
    """[n_specs, n_ops, PARTS + components] as `cosim.study.kernels.point_data` has the columns."""
    rows = np.empty((*table.supported.shape, PARTS + table.energy_j.shape[2]))
    for column, name in _FIELDS.items():
        rows[..., column] = getattr(table, name)
    for column, operand in ((k.WEIGHT_BYTES, WEIGHT), (k.INPUT_BYTES, INPUT), (k.OUTPUT_BYTES, OUTPUT)):
        rows[..., column] = table.n_bytes[..., operand]
    rows[..., k.DEVICE_J] = table.energy_j.sum(axis=2)
    rows[..., SNR_DB], rows[..., LOSS] = snr_db, loss_of_snr(snr_db)
    rows[..., PARTS:] = table.energy_j
    return rows


if BLOCK_PARTS != 1:
    raise ImportError("cosim.study.cost_blocks and its kernels do not agree on the integers of a block")

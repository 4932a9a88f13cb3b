"""What every device of a chip says of every op of a workload, op by op: arrays [n_ops, n_devices]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hw_models.chip import Chip
from hw_models.cost import CostTable
from hw_models.registry import Device
from hw_models.specs import Spec
from workloads.errors import MappingError
from workloads.graph import Workload
from workloads.optable import OpTable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OpCosts:
    """Cost tables of one chip for one workload.

    Distinct ops are costed once; `row_of_op[n_ops]` spreads them back over the workload.
    """

    workload: Workload
    device_names: tuple[str, ...]
    tables: tuple[CostTable, ...]
    row_of_op: NDArray[np.int64]

    def _gather(self, name: str) -> NDArray[np.float64]:
        """Stack one field of all tables to [n_ops, n_devices]."""
        return np.stack([getattr(table, name)[0][self.row_of_op] for table in self.tables], axis=1)

    @cached_property
    def supported(self) -> NDArray[np.bool_]:
        """Whether a device can run an op."""
        return self._gather("supported").astype(np.bool_)

    @cached_property
    def latency_s(self) -> Floats:
        """Time inside the device; inf where it cannot."""
        return self._gather("latency_s")

    @cached_property
    def fixed_s(self) -> Floats:
        """Part of the latency that overlaps with no transfer."""
        return self._gather("fixed_s")

    @cached_property
    def n_bytes(self) -> Floats:
        """[n_ops, n_devices, 3]: bytes of weight, input and output at the device's port."""
        return np.stack([table.n_bytes[0][self.row_of_op] for table in self.tables], axis=1)

    @cached_property
    def device_energy_j(self) -> Floats:
        """Dynamic energy inside the device, all components together."""
        return np.stack([table.energy_j[0].sum(axis=1)[self.row_of_op] for table in self.tables], axis=1)

    @cached_property
    def n_arrays(self) -> Floats:
        """Arrays that the op's weights occupy on a device that holds weights."""
        return self._gather("n_arrays")

    @cached_property
    def serial_s(self) -> Floats:
        """Time that further copies of the op's weights do not shorten."""
        return self._gather("serial_s")

    @cached_property
    def program_s(self) -> Floats:
        """Time to write the op's weights once."""
        return self._gather("program_s")

    @cached_property
    def program_j(self) -> Floats:
        """Energy to write the op's weights once."""
        return self._gather("program_j")

    def limit(self, op: int, device: int) -> str:
        """Name of what sets the time inside the device."""
        table = self.tables[device]
        return table.limits[int(table.limit[0, self.row_of_op[op]])]

    def compute_bits(self, op: int, device: int) -> tuple[int, int]:
        """Weight and activation bits that the device really computes with."""
        table, row = self.tables[device], self.row_of_op[op]
        return int(table.compute_weight_bits[0, row]), int(table.compute_activation_bits[0, row])

    def output_snr_db(self, op: int, device: int) -> float | None:
        """Signal over error of an op's outputs in dB, inf where nothing is lost; None where the device does not compute in analog."""
        return _snr_or_none(float(self.tables[device].output_snr_db[0, self.row_of_op[op]]))


def _snr_or_none(snr_db: float) -> float | None:
    return None if np.isnan(snr_db) else snr_db


def costs_of(device: Device, ops: OpTable, specs: Sequence[Spec] | None = None) -> CostTable:
    """Ask a device for its costs, or for those of its variants, and check them: a slip in a plug-in cannot become a number in a report."""
    who = f"device {device.name!r} of kind {device.kind!r}"
    try:
        table = type(device).costs([device.spec] if specs is None else specs, ops)
    except OverflowError:
        raise MappingError(f"{who}: a number of its description is too large to count with") from None
    try:
        table.check()
    except MappingError as error:
        raise MappingError(f"{who}: {error}") from None
    return table


def cost_ops(chip: Chip, workload: Workload) -> OpCosts:
    """Cost all ops on all devices of a chip.

    Raises MappingError when no device supports some op, naming the op and the devices.
    """
    table = OpTable.from_workload(workload)
    tables = tuple(costs_of(device, table) for device in chip.devices.values())
    costs = OpCosts(workload, tuple(chip.devices), tables, table.row_of_op)
    lost = np.flatnonzero(~costs.supported.any(axis=1))
    if lost.size:
        raise unsupported(chip.name, tuple(chip.devices), workload, int(lost[0]), lost.size)
    return costs


def unsupported(chip_name: str, device_names: tuple[str, ...], workload: Workload, first: int, n_lost: int) -> MappingError:
    """Return the error of a network with ops that no device of a chip runs: the first of them, and how many."""
    op = workload.ops[first]
    more = f" (and {n_lost - 1} more)" if n_lost > 1 else ""
    return MappingError(
        f"{workload.name}: op {op.name!r} ({op.op_type}){more} runs on no device of {chip_name}: "
        f"{', '.join(device_names)}; add a device that supports it, such as a cpu"
    )

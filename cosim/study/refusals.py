"""Why a point has no result, in the words of `Simulation.run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosim.simulation.costs import unsupported
from cosim.simulation.kernels.residency import N_ARRAYS, SUPPORTED
from cosim.simulation.residency import too_large
from cosim.simulation.traffic import homeless
from cosim.study.kernels import point_data as k
from workloads.errors import CosimError, ScheduleError, SimulationError

if TYPE_CHECKING:
    from cosim.study.cost_blocks import CostBlocks

Ints = NDArray[np.int64]

_TOO_LARGE = {
    k.WEIGHTS_TOO_LARGE: "weights",
    k.ACTIVATIONS_TOO_LARGE: "activations",
    k.BOTH_TOO_LARGE: "weights and activations",
}


def refusal(blocks: CostBlocks, point: Ints, wrong: int, first: float, second: float) -> CosimError:
    """Return the error that a code of the kernel stands for; `first` and `second` are its details."""
    chip, workload = blocks.chip, blocks.network.workload
    if wrong == k.UNSUPPORTED:
        return unsupported(chip.name, chip.device_names, workload, int(first), int(second))
    if wrong in _TOO_LARGE:
        variant = point[k.PARTS_OF_POINT + 2 * len(chip.device_names) + int(second)]
        capacity = float(chip.memory_numbers.floats.data[variant, k.CAPACITY_BYTES])
        return too_large(workload.name, chip.name, _TOO_LARGE[wrong], first, chip.memory_names[int(variant)], capacity)
    if wrong == k.HOMELESS:
        return _homeless(blocks, point, int(first), int(second))
    op = workload.ops[int(first)].name if wrong == k.MISPLACED else ""
    if wrong == k.MISPLACED:
        return ScheduleError(f"the plan places op {op!r} on a device that cannot run it at this point; choose another plan or policy")
    return SimulationError("a task never ends: its time is beyond what a float holds; check costs and bandwidths")


def _homeless(blocks: CostBlocks, point: Ints, op: int, n_lost: int) -> CosimError:
    chip, network = blocks.chip, blocks.network.arrays()
    column = int(network.op_block[point[k.WORK], op])
    for d, name in enumerate(chip.device_names):
        variant = int(point[k.PARTS_OF_POINT + d])
        row = blocks.costs.data[blocks.block_of[variant, column], network.op_row[column, op]]
        if row[SUPPORTED] > 0:
            held = int(chip.device_numbers.ints.data[variant, k.HELD])
            return homeless(chip.name, blocks.network.workload, op, n_lost, float(row[N_ARRAYS]), name, held)
    return SimulationError("an op has no device")

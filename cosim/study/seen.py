"""What a policy other than HEFT sees of one point: an instance from the tables that a kernel has filled in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosim.engine.kernels.simulate import unpack
from cosim.simulation.kernels.residency import DEVICE_J, N_ARRAYS, PROGRAM_J
from cosim.study.kernels.point_data import (
    IS_ANALOG,
    LINK_J_PER_BYTE,
    LOSS,
    MEMORY_PARTS,
    N_DYNAMIC,
    N_STANDBY,
    PARTS_OF_POINT,
    READ_J_PER_BYTE,
    WORK,
    Scratch,
)

if TYPE_CHECKING:
    from cosim.engine.tables import Tables
    from cosim.scheduling.arrays import Arrays
    from cosim.scheduling.instance import Instance
    from cosim.study.cost_blocks import CostBlocks

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def seen_instance(blank: Instance, blank_tables: Tables, s: Scratch, a: Arrays, blocks: CostBlocks, point: Ints) -> Instance:
    """Return the instance of a point: times and tables from the scratch, joules, power and losses from its variants."""
    tables = filled(blank_tables, s)
    m = tables.n_devices
    used = tables.memory_bytes_per_s[tables.edge_memory] if tables.n_edges else tables.memory_bytes_per_s[:1]
    return replace(
        blank,
        cost_s=a.cost_s.copy(),
        edge_bytes=tables.edge_bytes,
        bandwidth_bytes_per_s=np.minimum(tables.edge_bytes_per_s, used.min()),
        latency_s=np.where(np.eye(m, dtype=bool), 0.0, tables.latency_s),
        task_energy_j=energy_j(tables, s, blocks, point),
        power_w=power_w(blocks, point, m, tables.n_memories),
        task_loss=losses(blocks, point, tables.n_tasks, m),
        tables=tables,
    )


def filled(blank: Tables, s: Scratch) -> Tables:
    """Return tables with what a kernel has written into the packed ones of the scratch."""
    found = unpack(s.ints, s.floats)
    n, m, k = blank.n_tasks, blank.n_devices, blank.n_memories
    return replace(
        blank,
        fixed_s=found.fixed_s.reshape(n, m).copy(),
        body_s=found.body_s.reshape(n, m).copy(),
        read_bytes=found.read_bytes.reshape(n, m, k).copy(),
        own_bytes=found.own_bytes.reshape(n, m, k).copy(),
        write_bytes=found.write_bytes.reshape(n, m, k).copy(),
        memory_bytes_per_s=found.memory_bytes_per_s.copy(),
        capacity_bytes_per_s=found.capacity.copy(),
        link_bytes_per_s=found.link_bytes_per_s.copy(),
        edge_bytes=found.edge_bytes.copy(),
        edge_memory=found.edge_memory.copy(),
        latency_s=found.latency_s.reshape(m, m).copy(),
        edge_bytes_per_s=found.edge_cap.reshape(m, m).copy(),
    )


def energy_j(tables: Tables, s: Scratch, blocks: CostBlocks, point: Ints) -> Floats:
    """[n_ops, n_devices] what an op spends on a device, memories and link included; infinite where it cannot run."""
    m, k = tables.n_devices, tables.n_memories
    memories = point[PARTS_OF_POINT + 2 * m : PARTS_OF_POINT + 2 * m + k]
    per_byte = blocks.chip.memory_numbers.floats.data[memories, READ_J_PER_BYTE : READ_J_PER_BYTE + 2]
    links = blocks.chip.link_numbers.floats.data[point[PARTS_OF_POINT + m : PARTS_OF_POINT + 2 * m], LINK_J_PER_BYTE]
    n_bytes = np.stack([tables.read_bytes, tables.write_bytes], axis=-1)
    outside_j = (n_bytes * per_byte).sum(axis=(2, 3)) + links * n_bytes.sum(axis=(2, 3))
    rewrites = (s.held > 0) & (s.array_device[:, np.newaxis] != np.arange(m)) & (s.costs[..., N_ARRAYS] > 0)
    inside_j = s.costs[..., DEVICE_J] + np.where(rewrites, s.costs[..., PROGRAM_J], 0.0)
    return np.where(np.isfinite(tables.body_s), inside_j + outside_j, np.inf)


def power_w(blocks: CostBlocks, point: Ints, m: int, k: int) -> float:
    """Power of everything that is on, whatever runs."""
    chip = blocks.chip
    total_w = float(chip.device_numbers.floats.data[point[PARTS_OF_POINT : PARTS_OF_POINT + m], 1].sum())
    for variant in point[PARTS_OF_POINT + 2 * m : PARTS_OF_POINT + 2 * m + k].tolist():
        first = MEMORY_PARTS + 2 * chip.memory_numbers.ints.data[variant, N_DYNAMIC]
        total_w += float(chip.memory_numbers.floats.data[variant, first : first + chip.memory_numbers.ints.data[variant, N_STANDBY]].sum())
    return total_w


def losses(blocks: CostBlocks, point: Ints, n: int, m: int) -> Floats | None:
    """[n_ops, n_devices] accuracy that an op loses on a device; None on a chip without analog devices."""
    devices = point[PARTS_OF_POINT : PARTS_OF_POINT + m]
    if not blocks.chip.device_numbers.ints.data[devices, IS_ANALOG].any():
        return None
    network = blocks.network.arrays()
    columns = network.op_block[point[WORK]]
    rows = network.op_row[columns, np.arange(n)]
    return np.asarray(blocks.costs.data[blocks.block_of[devices[np.newaxis], columns[:, np.newaxis]], rows[:, np.newaxis], LOSS])

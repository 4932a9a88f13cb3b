"""Ops that need no array: pooling and element-wise work on the vector lanes that stand behind the macros."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hw_models.cim.spec import CimMacroSpec
from hw_models.cost import INPUT, OUTPUT, WEIGHT, CostTable, Floats
from hw_models.kernels import cim as columns
from workloads.graph import OpKind
from workloads.optable import OpTable

_KINDS = (OpKind.POOL, OpKind.ELEMENTWISE)


def lane_ops(ops: OpTable) -> NDArray[np.int64]:
    """Rows that lanes take: pooling and element-wise, without exponentials, roots or divisions."""
    return np.flatnonzero(np.isin(ops.kind, _KINDS) & (ops.special == 0))


def cost_lanes(specs: Sequence[CimMacroSpec], floats: Floats, ops: OpTable, table: CostTable) -> None:
    """Fill in the rows that run on lanes.

    latency = launch + max(operations / (lanes f), bytes / (port f)) for ports of `buffer_bits`; energy: every byte through the
    input or output buffer, every operation at the energy of an adder with its register, and the share of control.
    """
    able = np.array([s for s, spec in enumerate(specs) if spec.vector_ops], dtype=np.int64)
    mine = lane_ops(ops)
    if not able.size or not mine.size:
        return
    rows, x = able[:, np.newaxis], floats[able, :, np.newaxis]
    of_spec = [(specs[s].vector.n_lanes, specs[s].clock_hz, specs[s].buffer_bits, specs[s].launch_s) for s in able.tolist()]
    n_lanes, clock_hz, buffer_bits, launch_s = (np.array(column, dtype=np.float64)[:, np.newaxis] for column in zip(*of_spec, strict=True))
    read = (ops.input_bytes + ops.weight_bytes)[mine].astype(np.float64)
    written, work = ops.output_bytes[mine].astype(np.float64), ops.n_vector_ops[mine].astype(np.float64)
    lanes_s = work / n_lanes / clock_hz
    port_s = np.maximum(read, written) * 8 / buffer_bits / clock_hz
    table.supported[rows, mine] = True
    table.fixed_s[rows, mine] = launch_s
    table.latency_s[rows, mine] = launch_s + np.maximum(lanes_s, port_s)
    table.limit[rows, mine] = columns.BY_VECTOR
    buffer_j = read * (x[:, columns.IN_WRITE_J] + x[:, columns.IN_READ_J]) + written * (
        x[:, columns.OUT_WRITE_J] + x[:, columns.OUT_READ_J]
    )
    lanes_j = work * x[:, columns.VECTOR_J]
    table.energy_j[rows, mine, columns.BUFFER] = buffer_j
    table.energy_j[rows, mine, columns.VECTOR] = lanes_j
    table.energy_j[rows, mine, columns.CONTROL_E] = (buffer_j + lanes_j) * x[:, columns.CONTROL]
    for operand, n_bytes in ((WEIGHT, ops.weight_bytes), (INPUT, ops.input_bytes), (OUTPUT, ops.output_bytes)):
        table.n_bytes[rows, mine, operand] = n_bytes[mine]

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


def lane_ops(spec: CimMacroSpec, ops: OpTable) -> NDArray[np.bool_]:
    """Rows that the lanes of a spec take: pooling and element-wise, without exponentials, roots or divisions; [n_ops]."""
    return np.asarray(spec.vector_ops & np.isin(ops.kind, _KINDS) & (ops.special == 0), dtype=np.bool_)


def cost_lanes(specs: Sequence[CimMacroSpec], floats: Floats, ops: OpTable, table: CostTable) -> None:
    """Fill in the rows that run on lanes.

    latency = launch + max(operations / (lanes f), bytes / (port f)) for ports of `buffer_bits`; energy: every byte through the
    input or output buffer, every operation at the energy of an adder with its register, and the share of control.
    """
    for s, spec in enumerate(specs):
        mine = lane_ops(spec, ops)
        if not mine.any():
            continue
        x = floats[s]
        read = (ops.input_bytes + ops.weight_bytes)[mine].astype(np.float64)
        written, work = ops.output_bytes[mine].astype(np.float64), ops.n_vector_ops[mine].astype(np.float64)
        lanes_s = work / spec.vector.n_lanes / spec.clock_hz
        port_s = np.maximum(read, written) * 8 / spec.buffer_bits / spec.clock_hz
        table.supported[s, mine] = True
        table.fixed_s[s, mine] = spec.launch_s
        table.latency_s[s, mine] = spec.launch_s + np.maximum(lanes_s, port_s)
        table.limit[s, mine] = columns.BY_VECTOR
        buffer_j = read * (x[columns.IN_WRITE_J] + x[columns.IN_READ_J]) + written * (x[columns.OUT_WRITE_J] + x[columns.OUT_READ_J])
        table.energy_j[s, mine, columns.BUFFER] = buffer_j
        table.energy_j[s, mine, columns.VECTOR] = work * x[columns.VECTOR_J]
        table.energy_j[s, mine, columns.CONTROL_E] = (buffer_j + work * x[columns.VECTOR_J]) * x[columns.CONTROL]
        for operand, n_bytes in ((WEIGHT, ops.weight_bytes), (INPUT, ops.input_bytes), (OUTPUT, ops.output_bytes)):
            table.n_bytes[s, mine, operand] = n_bytes[mine]

"""Ops as columns of numbers: what a device kind costs in one call. Equal signatures appear once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workloads.errors import WorkloadError
from workloads.graph import Op, OpKind, Tensor, TensorKind, Workload

Ints = NDArray[np.int64]

# Largest count of one op: at 32 bits an element its bits still fit an int64.
_LIMIT = 2**58

COLUMNS = (
    "kind",
    "groups",
    "m",
    "k",
    "n",
    "dynamic",
    "n_vector_ops",
    "special",
    "weight_elements",
    "input_elements",
    "output_elements",
    "weight_bits",
    "activation_bits",
)


@dataclass(frozen=True)
class OpTable:
    """Distinct op signatures, one row each; every column is int64 of shape [n_rows].

    `kind` is an `OpKind`; groups, m, k, n describe the grouped GEMM (0 where there is none);
    `dynamic` is 1 when operand B is an activation, counted then in `weight_elements` with
    `weight_bits` equal to `activation_bits`; element counts are unique elements, read or written once.
    `output_bits` is the width of what is written, where it is not that of what is read (None: the same everywhere).
    `row_of_op[n_ops]` gives the row of each op of the workload, `n_repeats` how often a row occurs.
    """

    kind: Ints
    groups: Ints
    m: Ints
    k: Ints
    n: Ints
    dynamic: Ints
    n_vector_ops: Ints
    special: Ints
    weight_elements: Ints
    input_elements: Ints
    output_elements: Ints
    weight_bits: Ints
    activation_bits: Ints
    row_of_op: Ints
    n_repeats: Ints
    output_bits: Ints | None = None

    def __len__(self) -> int:
        """Return the number of distinct signatures."""
        return int(self.kind.size)

    @property
    def n_macs(self) -> Ints:
        """Multiply-accumulates of each row."""
        return np.asarray(self.groups * self.m * self.k * self.n, dtype=np.int64)

    @property
    def weight_bytes(self) -> Ints:
        """Bytes of operand B of each row, packed."""
        return -(-self.weight_elements * self.weight_bits // 8)

    @property
    def input_bytes(self) -> Ints:
        """Bytes of all other activations read by each row, packed."""
        return -(-self.input_elements * self.activation_bits // 8)

    @property
    def output_bytes(self) -> Ints:
        """Bytes written by each row, packed."""
        bits = self.activation_bits if self.output_bits is None else self.output_bits
        return -(-self.output_elements * bits // 8)

    @classmethod
    def from_workload(cls, workload: Workload) -> OpTable:
        """Collect the distinct signatures of a workload, in order of first appearance.

        Raises WorkloadError when a count of some op does not fit 64 bits.
        """
        rows: dict[tuple[int, ...], int] = {}
        row_of_op = [rows.setdefault(_signature(op, workload), len(rows)) for op in workload.ops]
        if any(max(*row, row[1] * row[2] * row[3] * row[4]) >= _LIMIT for row in rows):
            raise WorkloadError(f"{workload.name}: an op has more than {_LIMIT} elements or MACs; choose a smaller batch or size")
        table = np.array(list(rows), dtype=np.int64).reshape(len(rows), len(COLUMNS) + 1)
        columns = {name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(COLUMNS)}
        index = np.array(row_of_op, dtype=np.int64)
        n_repeats = np.bincount(index, minlength=len(rows)).astype(np.int64)
        return cls(**columns, row_of_op=index, n_repeats=n_repeats, output_bits=np.ascontiguousarray(table[:, -1]))


def _signature(op: Op, workload: Workload) -> tuple[int, ...]:
    """Return the numbers in the order of COLUMNS, and the width of what is written: all that a device may know of an op."""
    tensors = workload.tensors
    gemm = op.gemm
    dynamic = bool(gemm and gemm.dynamic)
    activation_bits = _activation_bits(op, workload)
    weight_bits = activation_bits
    inputs = [tensors[name] for name in op.inputs]
    weight_elements = op.n_weight_elements
    if op.weights and not dynamic:
        weight_bits = tensors[op.weights[0]].bits
    if dynamic and len(inputs) > 1:
        weight_elements = inputs.pop(1).n_elements
    return (
        int(op.kind),
        gemm.groups if gemm else 0,
        gemm.m if gemm else 0,
        gemm.k if gemm else 0,
        gemm.n if gemm else 0,
        int(dynamic),
        op.n_vector_ops,
        int(op.special),
        weight_elements,
        _elements_read(op, inputs, workload),
        sum(tensors[name].n_elements for name in op.outputs),
        weight_bits,
        activation_bits,
        _data_bits(op.outputs, workload) or activation_bits,
    )


def _elements_read(op: Op, inputs: list[Tensor], workload: Workload) -> int:
    """Elements of activations that an op reads: all of them, but a slice or look-up reads no more data than it returns."""
    total = sum(tensor.n_elements for tensor in inputs)
    if op.kind is not OpKind.MOVE:
        return total
    addresses = sum(tensor.n_elements for tensor in inputs if tensor.kind is TensorKind.INDEX)
    return min(total, addresses + sum(workload.tensors[name].n_elements for name in op.outputs))


def _activation_bits(op: Op, workload: Workload) -> int:
    """Return the width of what an op computes with: of a product its first operand, else its first output that is not an index."""
    names = (*op.inputs[:1], *op.outputs) if op.gemm is not None else (*op.outputs, *op.inputs)
    return _data_bits(names, workload) or workload.tensors[op.outputs[0]].bits


def _data_bits(names: Iterable[str], workload: Workload) -> int | None:
    """Return the width of the first tensor that is not an index, None where all are."""
    return next((tensor.bits for name in names if (tensor := workload.tensors[name]).kind is not TensorKind.INDEX), None)


def is_matmul(table: OpTable) -> NDArray[np.bool_]:
    """Rows that run on a MAC array."""
    return np.asarray(table.kind == int(OpKind.MATMUL))

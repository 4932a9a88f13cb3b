"""One network of a study and its variants: bits of tensors, and where activations lie on chips of some shared capacity."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.engine.problem import topological_order
from cosim.engine.tables import rows_of
from cosim.provenance import workload_digest
from cosim.simulation.residency import peak_outside_bytes, place_activations
from cosim.simulation.traffic import normalized, stream_inputs
from cosim.study.kernels.point_data import Network
from cosim.study.stacks import Stack
from workloads.errors import CosimError, WorkloadError
from workloads.graph import Op, TensorKind, Workload
from workloads.optable import OpTable

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Layers = tuple[tuple[str, int], ...]  # (op, bits) of ops whose bits are set one by one

_SHARES = 3


def with_layer_bits(
    workload: Workload, weight_bits: int, activation_bits: int, weights: Mapping[str, int], activations: Mapping[str, int]
) -> Workload:
    """Return a network at some bits, ops named in `weights` with stored tensors, in `activations` with a first input, of others.

    Names of ops that the network does not have change nothing. Raises WorkloadError for bits that are out of range.
    """
    base = workload.with_bits(weight_bits, activation_bits)
    tensors = dict(base.tensors)
    for op in base.ops:
        for bits, names in ((weights.get(op.name), op.weights), (activations.get(op.name), op.inputs[:1])):
            for name in names if bits is not None else ():
                if bits is not None and not 1 <= bits <= 32:
                    raise WorkloadError(f"bits of layer {op.name!r}: {bits} is out of range; choose 1 to 32")
                if bits is not None and tensors[name].kind is not TensorKind.INDEX:
                    tensors[name] = replace(tensors[name], bits=bits)
    return base if tensors == base.tensors else replace(base, tensors=tensors, own_bits=True)


class NetworkVariants:
    """A network at all the bits that points ask for.

    A column is the network with all weights at some bits and activations at some; a point takes each op from the column of its bits.
    """

    def __init__(self, workload: Workload) -> None:
        """Keep the network; raises WorkloadError for one without ops."""
        if not workload.ops:
            raise WorkloadError(f"{workload.name}: no node does anything at run time, so there is nothing to simulate")
        self.workload = workload
        self.tables: list[OpTable] = []
        self.columns: dict[tuple[int, int, Layers], int | str] = {}
        self.works: dict[tuple[int, int, Layers, Layers], int | str] = {}
        self.layouts: dict[tuple[int, Layers, float], int] = {}
        self.digests: dict[tuple[int, int, Layers, Layers], bytes] = {}
        self._op_row, self._op_block, self._bytes = Stack(np.int64), Stack(np.int64), Stack(np.float64)
        self._shares, self._edge_bytes, self._edge_shared = Stack(np.float64), Stack(np.float64), Stack(np.int64)
        self._room, self._column_bytes = Stack(np.float64), Stack(np.float64)

    def at(self, weight_bits: int, activation_bits: int, weights: Layers, activations: Layers) -> Workload:
        """Return the network at some bits."""
        return with_layer_bits(self.workload, weight_bits, activation_bits, dict(weights), dict(activations))

    def work(self, weight_bits: int, activation_bits: int, weights: Layers, activations: Layers) -> int | str:
        """Return the number of a variant of bits, or why there is none."""
        key = (weight_bits, activation_bits, weights, activations)
        if key not in self.works:
            self.works[key] = self._new_work(*key)
        return self.works[key]

    def digest(self, weight_bits: int, activation_bits: int, weights: Layers, activations: Layers) -> bytes:
        """Return 16 bytes for what a variant computes, however its bits were set."""
        key = (weight_bits, activation_bits, weights, activations)
        if key not in self.digests:
            try:
                text = self._stable_digest(*key)
            except CosimError as error:
                text = repr((str(error), key))
            self.digests[key] = hashlib.sha256(text.encode()).digest()[:16]
        return self.digests[key]

    def layout(self, activation_bits: int, activations: Layers, capacity_bytes: float) -> int:
        """Return the number of a way to place activations."""
        key = (activation_bits, activations, capacity_bytes)
        if key not in self.layouts:
            self.layouts[key] = self._new_layout(self.at(8, activation_bits, (), activations), capacity_bytes)
        return self.layouts[key]

    def arrays(self) -> Network:
        """Return everything as a kernel reads it."""
        fixed = self._fixed
        return Network(
            op_block=self._op_block.data,
            op_row=self._op_row.data,
            weight_bytes=self._bytes.data,
            weight_total=self._bytes.data.sum(axis=1),
            shares=self._shares.data,
            edge_bytes=self._edge_bytes.data,
            edge_shared=self._edge_shared.data,
            room=self._room.data,
            **fixed,
        )

    @cached_property
    def edge_src(self) -> Ints:
        """[e] op that makes what an edge carries."""
        return np.array([edge.src for edge in self.workload.edges], dtype=np.int64)

    @cached_property
    def edge_dst(self) -> Ints:
        """[e] op that reads it."""
        return np.array([edge.dst for edge in self.workload.edges], dtype=np.int64)

    @cached_property
    def order(self) -> Ints:
        """[n] ops in topological order, smallest first."""
        return topological_order(len(self.workload.ops), self.edge_src, self.edge_dst)

    @cached_property
    def _fixed(self) -> dict[str, Any]:
        """What is the same at all bits."""
        ops = self.workload.ops
        index = {tensor.name: i for i, tensor in enumerate(self.workload.weight_tensors)}
        return {
            "vectors": np.array([op.gemm.m if op.gemm else 1 for op in ops], dtype=np.int64),
            "has_macs": np.array([op.n_macs != 0 for op in ops]),
            "dynamic": np.array([_is_dynamic(op) for op in ops]),
            "weight_first": np.cumsum([0, *(len(op.weights) for op in ops)]).astype(np.int64),
            "weight": np.array([index[name] for op in ops for name in op.weights], dtype=np.int64),
            "in_edge": rows_of(len(ops), self.edge_dst)[1],
        }

    def _column(self, weight_bits: int, activation_bits: int, activations: Layers) -> int | str:
        key = (weight_bits, activation_bits, activations)
        if key not in self.columns:
            try:
                every = tuple((op.name, weight_bits) for op in self.workload.ops if op.weights)
                workload = self.at(weight_bits, activation_bits, every, activations)
                table = OpTable.from_workload(workload)
            except CosimError as error:
                self.columns[key] = str(error)
                return str(error)
            self.tables.append(table)
            self._op_row.add(table.row_of_op)
            self.columns[key] = self._column_bytes.add([float(tensor.n_bytes) for tensor in workload.weight_tensors])
        return self.columns[key]

    def _weight_bits(self, weight_bits: int, weights: Layers) -> dict[str, int]:
        """Bits of each stored tensor."""
        own = self.workload.own_bits
        bits = {tensor.name: tensor.bits if own else weight_bits for tensor in self.workload.weight_tensors}
        for name, given in weights:
            bits.update(dict.fromkeys(self._stored.get(name, ()), given))
        return bits

    @cached_property
    def _stored(self) -> dict[str, tuple[str, ...]]:
        return {op.name: op.weights for op in self.workload.ops}

    def _new_work(self, weight_bits: int, activation_bits: int, weights: Layers, activations: Layers) -> int | str:
        bits = self._weight_bits(weight_bits, weights)
        columns = {width: self._column(width, activation_bits, activations) for width in {weight_bits, *bits.values()}}
        for column in columns.values():
            if isinstance(column, str):
                return column
        of_op = [columns[bits[op.weights[0]] if op.weights else weight_bits] for op in self.workload.ops]
        of_tensor = np.array([columns[width] for width in bits.values()], dtype=np.int64)
        self._bytes.add(self._column_bytes.data[of_tensor, np.arange(of_tensor.size)])
        return self._op_block.add(of_op)

    def _stable_digest(self, weight_bits: int, activation_bits: int, weights: Layers, activations: Layers) -> str:
        """Text of the network with its weights at 8 bits, then the bits of each of them."""
        key = (activation_bits, activations)
        if key not in self._plain_digests:
            every = tuple((op.name, 8) for op in self.workload.ops if op.weights)
            self._plain_digests[key] = workload_digest(self.at(8, activation_bits, every, activations))
        return f"{self._plain_digests[key]} {list(self._weight_bits(weight_bits, weights).values())}"

    @cached_property
    def _plain_digests(self) -> dict[tuple[int, Layers], str]:
        return {}

    def _new_layout(self, workload: Workload, capacity_bytes: float) -> int:
        in_shared, peak = place_activations(workload, capacity_bytes)
        spilled = peak_outside_bytes(workload, in_shared)
        shares = np.zeros((len(workload.ops), _SHARES, 2))
        for i, op in enumerate(workload.ops):
            operand = (op.inputs[min(1, len(op.inputs) - 1)],) if _is_dynamic(op) else ()
            for which, names in enumerate((stream_inputs(op), op.outputs, operand)):
                shares[i, which] = _shares_of(names, workload, in_shared)
        self._shares.add(shares)
        self._edge_bytes.add([float(workload.tensors[edge.tensor].n_bytes) for edge in workload.edges])
        self._edge_shared.add([edge.tensor in in_shared for edge in workload.edges])
        return self._room.add([peak, spilled])


def _is_dynamic(op: Op) -> bool:
    return op.gemm is not None and op.gemm.dynamic


def _shares_of(names: tuple[str, ...], workload: Workload, in_shared: set[str]) -> tuple[float, float]:
    """Shares of some tensors' bytes in the backing store and in the shared memory; one operand alone is all in one."""
    sizes: dict[int, float] = {}
    for name in names:
        memory = int(name in in_shared)
        sizes[memory] = sizes.get(memory, 0.0) + workload.tensors[name].n_bytes
    found = normalized(sizes)
    return found.get(0, 0.0), found.get(1, 0.0)

"""What zeros save on arrays: rows that nobody reads, columns that read nothing, slices that no weight needs, and whole arrays.

A macro drives a row, converts a column and reads a slice for all of its cells at once, so that one zero among other weights saves
nothing; with `encoding: offset` it even stores half of full scale. What can be left out is a row (an input that no output reads), a
column (an output that reads nothing), the top slices that no weight of the layer needs, and, as rows and columns move together,
the arrays that become free. A layer y = x W^T with m vectors becomes the product (m, k', n') at its own bits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cosim.training.channels import shrunk
from cosim.training.network import Network
from cosim.training.quantize import Ints
from workloads.errors import SimulationError
from workloads.graph import Gemm, Workload
from workloads.program import Program

OUTPUT_BITS = 8  # of what leaves the network; assumed
DEFAULT_BITS = 8  # of activations of a network that gives none; assumed


@dataclass(frozen=True)
class Occupied:
    """What of the weights [groups, n, k] of one layer is in use: groups, rows and columns of the largest, bits, and non-zeros."""

    groups: int
    rows: int
    columns: int
    weight_bits: int
    n_weights: int

    @property
    def density(self) -> float:
        """Share of non-zeros among the cells that remain."""
        return self.n_weights / max(1, self.groups * self.rows * self.columns)


def occupied(whole: Ints) -> Occupied:
    """Count what whole weights [groups, n, k] leave in use; a layer of zeros keeps one row and one column."""
    used = whole != 0
    busy = used.any(axis=(1, 2))
    rows, columns = used.any(axis=1).sum(axis=1), used.any(axis=2).sum(axis=1)
    return Occupied(
        groups=max(1, int(busy.sum())),
        rows=max(1, int(rows.max())),
        columns=max(1, int(columns.max())),
        weight_bits=bits_for(int(np.abs(whole).max(initial=0))),
        n_weights=int(used.sum()),
    )


def bits_for(largest: int) -> int:
    """Fewest bits of symmetric weights -n ... n that hold `largest`: the least b >= 2 with 2^(b-1) - 1 >= largest."""
    return max(2, largest.bit_length() + 1)


@dataclass(frozen=True)
class Skipped:
    """A network without the channels that it can do without, what its layers occupy, and the workload that the simulator runs."""

    network: Network
    layers: dict[str, Occupied]
    workload: Workload

    @property
    def n_weights(self) -> int:
        """Weights that are not zero."""
        return sum(layer.n_weights for layer in self.layers.values())

    @property
    def mean_bits(self) -> float:
        """Mean bits of the weights that are not zero; those of an empty network are 0."""
        total = sum(layer.n_weights * layer.weight_bits for layer in self.layers.values())
        return total / self.n_weights if self.n_weights else 0.0


def skip(network: Network, *, dense: bool = False, batch: int = 1) -> Skipped:
    """What is left of a rounded network on arrays; `dense` counts every row, column and bit that it was given instead.

    Raises SimulationError where a layer has real weights.
    """
    small = network if dense else shrunk(network)
    layers = {layer.name: occupied(small.whole_matrix(layer)) for layer in small.program.layers}
    if dense:
        for layer in small.program.layers:
            whole, bits = small.whole_matrix(layer), small.bits_of(layer) or DEFAULT_BITS
            n_weights = int((whole != 0).sum())
            layers[layer.name] = Occupied(whole.shape[0], whole.shape[2], whole.shape[1], bits, n_weights)
    return Skipped(small, layers, workload_with(small, layers, batch))


def workload_with(network: Network, layers: dict[str, Occupied], batch: int = 1) -> Workload:
    """The network as the simulator runs it: products with the rows, columns and bits in use, tensors with the bits of their readers."""
    from workloads.program_onnx import workload_of  # noqa: PLC0415  # onnx is slow to import

    plain = workload_of(network.program, batch)
    tensors = dict(plain.tensors)
    for name, bits in _bits_of_tensors(network, plain).items():
        tensors[name] = replace(tensors[name], bits=bits)
    ops = []
    for op in plain.ops:
        held, gemm = layers.get(op.name), op.gemm
        if held is None or gemm is None:
            ops.append(op)
            continue
        for name in op.weights:
            tensors[name] = replace(tensors[name], bits=held.weight_bits)
        gone = gemm.groups * gemm.k * gemm.n - held.groups * held.rows * held.columns
        product = Gemm(held.groups, gemm.m, held.rows, held.columns)
        ops.append(replace(op, gemm=product, n_weight_elements=op.n_weight_elements - gone))
    return replace(plain, tensors=tensors, ops=tuple(ops), own_bits=True)


def _bits_of_tensors(network: Network, workload: Workload) -> dict[str, int]:
    """Bits of activations: the most that a layer behind rounds them to; what leaves the network has 8."""
    layers = {layer.name: layer for layer in network.program.layers}
    bits = dict.fromkeys(workload.outputs, OUTPUT_BITS)
    for op in reversed(workload.ops):
        needed = max((bits.get(name, 0) for name in op.outputs), default=0) or network.activation_bits or DEFAULT_BITS
        if op.name in layers:
            needed = network.activation_bits_of(layers[op.name]) or DEFAULT_BITS
        for name in op.inputs:
            bits[name] = max(bits.get(name, 0), needed)
    return bits


def pruned_share(original: Network, kept: Skipped) -> float:
    """Share of the weights of all products of the original network that are zero or gone; SimulationError where it has none."""
    total = sum(original.program.weights[layer.weight].size for layer in original.program.layers)
    if total == 0:
        raise SimulationError(f"{original.program.name}: has no products with stored weights, so that there is nothing to compress")
    return 1 - kept.n_weights / total


def rounded_program(network: Network) -> Program:
    """The program with its weights as the arrays hold them: whole numbers times their steps."""
    changed = {
        layer.weight: network.matrix(layer).reshape(network.program.weights[layer.weight].shape).astype(np.float32)
        for layer in network.program.layers
    }
    return network.program.with_weights(changed)

"""A network computed in numpy: products with stored weights by whatever is given to multiply with, the rest digitally.

y = multiply(W, x) + b at each layer, b exact; values between nodes are float32, as a digital unit would hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cosim.training.matmul import times_transposed
from cosim.training.network import Network
from cosim.training.operators import run_node
from workloads.errors import WorkloadError
from workloads.program import Layer, Node

Array = NDArray[Any]
Values = dict[str, Array]
Multiply = Callable[[Layer, Array], Array]
Run = Callable[[Node, Sequence[Array | None], int], list[Array]]

CHUNK_BYTES = 64 * 2**20  # of the largest set of vectors held at once


@final
@dataclass(frozen=True)
class Executor:
    """Runs `network` on inputs as its program takes them, [batch, ...].

    `multiply` returns the products [groups, v, n] of vectors [groups, v, k] with the weights of a layer. It is called once a layer and
    chunk of the batch; `chunk` is the number of inputs of one (default: as many as 64 MiB hold). `other` runs all other nodes.
    """

    network: Network
    multiply: Multiply
    chunk: int | None = None
    other: Run = run_node
    _layers: Mapping[str, Layer] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the layers by name."""
        object.__setattr__(self, "_layers", {layer.name: layer for layer in self.network.program.layers})

    def __call__(self, x: Array) -> Array:
        """Outputs [batch, ...] of inputs; WorkloadError where their shape does not fit or a node has no path."""
        parts = [self._values(part, self.multiply)[self.network.program.output] for part in self._parts(x)]
        return np.concatenate(parts)

    def layer_inputs(self, x: Array) -> dict[str, Array]:
        """What each layer is given when `x` runs: vectors [groups, v, k] by name of the layer."""
        kept: dict[str, list[Array]] = {}

        def multiply(layer: Layer, vectors: Array) -> Array:
            kept.setdefault(layer.name, []).append(vectors)
            return self.multiply(layer, vectors)

        for part in self._parts(x):
            self._values(part, multiply)
        return {name: np.concatenate(vectors, axis=1) for name, vectors in kept.items()}

    def _parts(self, x: Array) -> Iterator[Array]:
        """Chunks of the batch."""
        shape = self.network.program.input_shape
        if x.ndim != len(shape) + 1 or x.shape[1:] != shape or not len(x):
            raise WorkloadError(f"{self.network.program.name}: takes inputs [batch, {', '.join(map(str, shape))}]; given {list(x.shape)}")
        size = self.chunk or self._chunk
        for first in range(0, len(x), size):
            yield np.asarray(x[first : first + size], dtype=np.float32)

    @cached_property
    def _chunk(self) -> int:
        """Inputs whose vectors fit in `CHUNK_BYTES`, found by one input of zeros and plain products."""
        largest = 1

        def multiply(layer: Layer, vectors: Array) -> Array:
            nonlocal largest
            largest = max(largest, 8 * vectors.size)
            return plain_product(self.network, layer, vectors)

        self._values(np.zeros((1, *self.network.program.input_shape), dtype=np.float32), multiply)
        return max(1, CHUNK_BYTES // largest)

    def _values(self, x: Array, multiply: Multiply) -> Values:
        """The arrays that are left at the end: each is dropped after its last use."""
        program = self.network.program
        values: Values = {program.input: x}
        for i, node in enumerate(program.nodes):
            layer = self._layers.get(node.name)
            results = [self._layer(layer, values[node.inputs[0]], multiply)] if layer else self._other(node, values)
            values.update(zip(node.outputs, results, strict=False))
            for name in self._last_uses[i]:
                values.pop(name, None)
        return values

    def _layer(self, layer: Layer, x: Array, multiply: Multiply) -> Array:
        """One layer with its bias."""
        y = layer.outputs(multiply(layer, layer.vectors(x)), x.shape)
        return np.asarray(layer.with_bias(y, self.network.bias(layer)), dtype=np.float32)

    def _other(self, node: Node, values: Values) -> list[Array]:
        """Any other node."""
        return self.other(node, self._given(node, values), self.network.program.opset)

    def _given(self, node: Node, values: Values) -> list[Array | None]:
        """Inputs of a node, None where one is left out."""
        found: list[Array | None] = []
        for name in node.inputs:
            if name and name not in values and name not in self.network.program.weights:
                raise WorkloadError(f"{node.name}: its input {name!r} is made by no node before it and is no weight; order the nodes")
            found.append(values[name] if name in values else self.network.program.weights[name] if name else None)
        return found

    @cached_property
    def _last_uses(self) -> list[list[str]]:
        """Names that no node after each one reads."""
        last = {name: i for i, node in enumerate(self.network.program.nodes) for name in node.inputs if name}
        keep = self.network.program.output
        return [[name for name in node.inputs if name != keep and last.get(name) == i] for i, node in enumerate(self.network.program.nodes)]


def plain_product(network: Network, layer: Layer, vectors: Array) -> Array:
    """Return x W^T of real weights, nothing rounded: [groups, v, k] to [groups, v, n]."""
    weights = layer.matrix(network.program.weights[layer.weight])
    return times_transposed(vectors, weights)

"""A network that can be computed and not only priced: nodes with the names and attributes of ONNX, and weights.

Products with stored weights are its `layers`, written as y = x W^T + b over vectors x of k numbers: a convolution takes one vector
for each output pixel (im2col), in the order channel, kernel row, kernel column; W is [groups, n, k].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from workloads.errors import WorkloadError

Array = NDArray[Any]
Ints = NDArray[np.int64]

OPSET = 18  # operators of networks that are built here
EPSILON = 1e-5  # of batch norms, as ONNX's default


@dataclass(frozen=True, slots=True)
class Node:
    """One operator, as ONNX names it."""

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layer:
    """A product with stored weights: a `Conv`, or a `Gemm` whose weights are [n, k].

    kernel, strides, dilations: (rows, columns); pads: (top, left, bottom, right).
    """

    node: Node
    kind: Literal["conv", "linear"]
    weight: str
    bias: str | None
    groups: int = 1
    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.node.name

    def matrix(self, weights: Array) -> Array:
        """Weights as they are stored → [groups, n, k]; rows are output channels."""
        return weights.reshape(self.groups, weights.shape[0] // self.groups, -1)

    def vectors(self, x: Array) -> Array:
        """Inputs [batch, channels, rows, columns] or [batch, k] → [groups, vectors, k]; padding is 0."""
        if self.kind == "linear":
            return x[None]
        top, left, bottom, right = self.pads
        padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.strides, self.dilations
        windows = sliding_window_view(padded, ((kh - 1) * dh + 1, (kw - 1) * dw + 1), axis=(2, 3))[:, :, ::sh, ::sw, ::dh, ::dw]
        batch, channels, rows, columns = windows.shape[:4]
        taps = np.moveaxis(windows.reshape(batch, self.groups, channels // self.groups, rows, columns, kh, kw), (3, 4), (2, 3))
        by_group = np.moveaxis(taps, 1, 0)  # group, batch, row, column, channel, kernel row, kernel column
        return np.ascontiguousarray(by_group.reshape(self.groups, batch * rows * columns, -1))

    def outputs(self, y: Array, x_shape: tuple[int, ...]) -> Array:
        """Products [groups, vectors, n] → what the node returns for inputs of `x_shape`, bias not added."""
        if self.kind == "linear":
            return np.asarray(y[0])
        rows, columns = self.out_size(x_shape)
        by_pixel = y.reshape(self.groups, x_shape[0], rows, columns, -1)
        maps = np.moveaxis(by_pixel, (0, 4), (1, 2))  # batch, group, n, row, column
        return np.ascontiguousarray(maps.reshape(x_shape[0], -1, rows, columns))

    def out_size(self, x_shape: tuple[int, ...]) -> tuple[int, int]:
        """Rows and columns of the output maps: floor((size + pads - d (k - 1) - 1) / stride) + 1."""
        sizes = []
        for axis in (0, 1):
            span = x_shape[2 + axis] + self.pads[axis] + self.pads[axis + 2] - self.dilations[axis] * (self.kernel[axis] - 1) - 1
            sizes.append(span // self.strides[axis] + 1)
        return sizes[0], sizes[1]

    def with_bias(self, y: Array, bias: Array | None) -> Array:
        """Outputs of the node with one number added to each output channel."""
        if bias is None:
            return y
        return y + (bias if self.kind == "linear" else bias[:, None, None])


@dataclass(frozen=True)
class Program:
    """Nodes in an order in which they can run, and the arrays that they share.

    `input_shape` leaves out the batch; weights are those that training may change and constants of other nodes. `opset` is the
    version of the operators of ONNX that the nodes mean.
    """

    name: str
    input: str
    input_shape: tuple[int, ...]
    output: str
    nodes: tuple[Node, ...]
    weights: Mapping[str, Array]
    opset: int = OPSET

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The products with stored weights, in order."""
        return tuple(layer for node in self.nodes if (layer := layer_of(node, self.weights)) is not None)

    @property
    def n_parameters(self) -> int:
        """Numbers that are trained: all floating-point weights but running statistics of batch norms."""
        measured = {name for node in self.nodes if node.op_type == "BatchNormalization" for name in node.inputs[3:]}
        return sum(int(array.size) for name, array in self.weights.items() if array.dtype.kind == "f" and name not in measured)

    def with_weights(self, changed: Mapping[str, Array]) -> Program:
        """The same network with other numbers; WorkloadError where a name or a shape does not fit."""
        for name, array in changed.items():
            if name not in self.weights:
                raise WorkloadError(f"{self.name}: there are no weights {name!r}; it has {', '.join(self.weights)}")
            if array.shape != self.weights[name].shape:
                raise WorkloadError(f"{self.name}: weights {name!r} have shape {array.shape}; give {self.weights[name].shape}")
        return replace(self, weights={**self.weights, **changed})


def layer_of(node: Node, weights: Mapping[str, Array]) -> Layer | None:
    """The product that a node is, None where it is none or an operand is made at run time.

    Raises WorkloadError for a product that has no path on an array.
    """
    if node.op_type not in {"Conv", "Gemm"} or node.inputs[1] not in weights:
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2] else None
    if bias is not None and bias not in weights:
        return None
    if node.op_type == "Conv":
        return _convolution(node, weights[node.inputs[1]].shape[2:], bias)
    if node.attributes.get("transA", 0) or not node.attributes.get("transB", 0):
        raise WorkloadError(f"{node.name}: Gemm of this form is no layer; store weights as [n, k] with transB=1")
    return Layer(node, "linear", node.inputs[1], bias)


def _convolution(node: Node, kernel: tuple[int, ...], bias: str | None) -> Layer:
    """A convolution with its attributes filled in."""
    if len(kernel) != 2:
        raise WorkloadError(f"{node.name}: convolution over {len(kernel)} axes has no path on an array; only two axes do")
    top, left, bottom, right = (int(n) for n in node.attributes.get("pads", (0, 0, 0, 0)))
    return Layer(
        node,
        "conv",
        node.inputs[1],
        bias,
        groups=int(node.attributes.get("group", 1)),
        kernel=(kernel[0], kernel[1]),
        strides=_pair(node, "strides"),
        pads=(top, left, bottom, right),
        dilations=_pair(node, "dilations"),
    )


def _pair(node: Node, key: str) -> tuple[int, int]:
    """Attribute for rows and columns, 1 where it is not given."""
    first, second = node.attributes.get(key, (1, 1))
    return int(first), int(second)

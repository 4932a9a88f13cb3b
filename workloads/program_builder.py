"""Write a network that can be computed, layer by layer, with the initial weights that training starts from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from workloads.errors import WorkloadError
from workloads.ops import conv_out
from workloads.program import EPSILON, Array, Ints, Node, Program

BN_START: Mapping[str, float] = {"scale": 1.0, "shift": 0.0, "mean": 0.0, "variance": 1.0}


def shared_numbers(array: Array, index: Ints) -> Array:
    """The vector that a tied array is made of: array = shared[index]."""
    shared = np.zeros(int(index.max()) + 1, dtype=array.dtype)
    shared[index] = array
    return shared


class ProgramBuilder:
    """Collects nodes in the order of the calls; a call takes the name of a tensor and returns that of its result.

    Weights and biases start uniform in +-1/sqrt(k), k inputs of an output: PyTorch's rule for Conv2d and Linear (He et al.,
    arXiv:1502.01852, with a = sqrt 5). Nodes are named by `name`, or by what they are and a count (conv1, relu1).
    """

    def __init__(self, name: str, input_shape: tuple[int, ...], rng: np.random.Generator) -> None:
        """Start with an input of this shape, batch left out."""
        self.name, self.input_shape, self.rng = name, input_shape, rng
        self.input = "input"
        self.weights: dict[str, Array] = {}
        self.ties: dict[str, Ints] = {}
        self._nodes: list[Node] = []
        self._shapes: dict[str, tuple[int, ...]] = {self.input: input_shape}
        self._counts: Counter[str] = Counter()

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Shape of a tensor, batch left out."""
        return self._shapes[tensor]

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        pads: int | tuple[int, int, int, int] = 0,
        groups: int = 1,
        bias: bool = True,
        name: str = "",
    ) -> str:
        """Convolution of maps; pads: (top, left, bottom, right), or the same on all sides."""
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        top, left, bottom, right = (pads,) * 4 if isinstance(pads, int) else pads
        c, h, w = self.shape(x)
        if c % groups or channels % groups:
            raise WorkloadError(f"{self.name}: {groups} groups do not divide {c} and {channels} channels; choose a divisor of both")
        name = self._name("conv", name)
        inputs = self._product(name, (channels, c // groups, kh, kw), bias=bias)
        attributes = {
            "kernel_shape": (kh, kw),
            "strides": (stride, stride),
            "pads": (top, left, bottom, right),
            "dilations": (1, 1),
            "group": groups,
        }
        out = (channels, conv_out(h, kh, stride, top + bottom), conv_out(w, kw, stride, left + right))
        return self._add(name, "Conv", (x, *inputs), out, attributes)

    def linear(self, x: str, features: int, *, bias: bool = True, name: str = "") -> str:
        """Fully connected layer of a flat tensor."""
        (k,) = self.shape(x)
        name = self._name("fc", name)
        return self._add(name, "Gemm", (x, *self._product(name, (features, k), bias=bias)), (features,), {"transB": 1})

    def relu(self, x: str) -> str:
        """max(x, 0)."""
        return self._add(self._name("relu"), "Relu", (x,), self.shape(x))

    def max_pool(self, x: str, size: int) -> str:
        """Largest of each square of size x size pixels; what is left over at the edge is dropped."""
        c, h, w = self.shape(x)
        attributes = {"kernel_shape": (size, size), "strides": (size, size), "pads": (0, 0, 0, 0)}
        return self._add(self._name("pool"), "MaxPool", (x,), (c, h // size, w // size), attributes)

    def global_pool(self, x: str) -> str:
        """Mean of each map: [channels, 1, 1]."""
        return self._add(self._name("pool"), "GlobalAveragePool", (x,), (self.shape(x)[0], 1, 1))

    def flatten(self, x: str) -> str:
        """All numbers of a sample in a row."""
        return self._add(self._name("flatten"), "Flatten", (x,), (prod(self.shape(x)),), {"axis": 1})

    def add(self, a: str, b: str) -> str:
        """Sum of two tensors of one shape."""
        if self.shape(a) != self.shape(b):
            raise WorkloadError(f"{self.name}: {self.shape(a)} and {self.shape(b)} cannot be added; give both one shape")
        return self._add(self._name("add"), "Add", (a, b), self.shape(a))

    def batch_norm(self, x: str) -> str:
        """Scale and shift of each channel after its running mean and variance (Ioffe, Szegedy, arXiv:1502.03167): start at 1, 0, 0, 1."""
        name, n = self._name("bn"), self.shape(x)[0]
        inputs = [self.constant(f"{name}.{part}", np.full(n, value, dtype=np.float32)) for part, value in BN_START.items()]
        return self._add(name, "BatchNormalization", (x, *inputs), self.shape(x), {"epsilon": EPSILON})

    def constant(self, name: str, value: Array) -> str:
        """Keep an array among the weights and return its name."""
        if name in self.weights:
            raise WorkloadError(f"{self.name}: two arrays are named {name!r}; give each its own name")
        self.weights[name] = value
        return name

    def tie(self, name: str, index: Ints) -> None:
        """Let an array be made of fewer numbers: array = shared[index], shared a vector of max(index) + 1."""
        array = self.weights[name]
        if index.shape != array.shape:
            raise WorkloadError(f"{self.name}: {name!r} of shape {array.shape} cannot be tied by an index of shape {index.shape}")
        self.weights[name], self.ties[name] = shared_numbers(array, index)[index], index

    def reshape(self, x: str, *shape: int) -> str:
        """The same numbers of each sample under another shape."""
        if prod(shape) != prod(self.shape(x)):
            raise WorkloadError(f"{self.name}: {self.shape(x)} cannot be viewed as {shape}: numbers differ in count")
        name = self._name("reshape")
        return self._add(name, "Reshape", (x, self.constant(f"{name}.shape", np.array((0, *shape), dtype=np.int64))), shape)

    def reduce_max(self, x: str, axis: int) -> str:
        """Largest along one axis of a sample (0 is the one after the batch), which is dropped."""
        name, shape = self._name("max"), self.shape(x)
        axes = self.constant(f"{name}.axes", np.array((axis + 1,), dtype=np.int64))
        return self._add(name, "ReduceMax", (x, axes), shape[:axis] + shape[axis + 1 :], {"keepdims": 0})

    def build(self, output: str) -> Program:
        """Finish with the tensor that is the answer."""
        return Program(self.name, self.input, self.input_shape, output, tuple(self._nodes), dict(self.weights))

    def _product(self, name: str, shape: tuple[int, ...], *, bias: bool) -> list[str]:
        """Initial weights, and biases on request."""
        bound = prod(shape[1:]) ** -0.5
        parts = {"weight": shape, "bias": shape[:1]} if bias else {"weight": shape}
        drawn = {part: self.rng.uniform(-bound, bound, size).astype(np.float32) for part, size in parts.items()}
        return [self.constant(f"{name}.{part}", values) for part, values in drawn.items()]

    def _name(self, stem: str, name: str = "") -> str:
        """The name asked for, or a stem and a count."""
        self._counts[stem] += not name
        return name or f"{stem}{self._counts[stem]}"

    def _add(
        self, name: str, op_type: str, inputs: tuple[str, ...], shape: tuple[int, ...], attributes: Mapping[str, Any] | None = None
    ) -> str:
        """Append a node and return the name of its result."""
        out = f"{name}:0"
        if out in self._shapes:
            raise WorkloadError(f"{self.name}: two nodes are named {name!r}; give each its own name")
        self._nodes.append(Node(name, op_type, inputs, (out,), attributes or {}))
        self._shapes[out] = shape
        return out

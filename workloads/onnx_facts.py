"""What is known of a tensor and a node of an ONNX graph while it is being read."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from workloads.errors import WorkloadError
from workloads.graph import TensorKind

Shape = tuple[int, ...]
Array = NDArray[Any]

FLOAT = 1  # TensorProto.FLOAT
INT64 = 7  # TensorProto.INT64
BOOL = 9  # TensorProto.BOOL
INDEX_TYPES = frozenset((5, 6, 7, 12, 13))  # INT16, INT32, INT64, UINT32, UINT64
N_SMALL = 4096  # elements up to which values are kept, so that shape arithmetic can be folded


def words(text: str) -> frozenset[str]:
    """Op types written in one line, as a set."""
    return frozenset(text.split())


class ShapeError(WorkloadError):
    """The shapes of a graph do not fit together at the dimensions that were chosen."""


@dataclass(slots=True, eq=False)
class Fact:
    """A tensor: its shape, what holds its elements (`base`), and its value when that is small and known.

    `stored` says that it is known before the run: a weight, or computed from weights and shapes alone.
    `assumed` says that the shape depends on run-time values and was chosen by a rule.
    `repeat` is the number of times an enclosing loop body makes it; `items` are the parts of a sequence.
    """

    name: str
    shape: Shape
    dtype: int = FLOAT
    stored: bool = False
    value: Array | None = None
    view_of: Fact | None = None
    assumed: bool = False
    repeat: int = 1
    kind: TensorKind | None = None
    items: list[Fact] | None = None
    type_proto: Any = None
    data_proto: Any = None

    @property
    def base(self) -> Fact:
        """The tensor that holds the elements: itself, or what it is a view of."""
        return self.view_of or self

    @property
    def n_elements(self) -> int:
        """Elements of the view."""
        return prod(self.shape)

    def as_type(self) -> Any:
        """Type in the form that ONNX's shape inference reads."""
        if self.type_proto is None:
            self.type_proto = onnx.helper.make_tensor_type_proto(self.dtype, self.shape)
        return self.type_proto

    def as_data(self) -> Any:
        """Value in the form that ONNX's shape inference reads, or None where it is not known or not small."""
        if self.data_proto is None and self.value is not None and self.value.size <= 64:
            self.data_proto = onnx.numpy_helper.from_array(np.asarray(self.value, order="C"), self.name)
        return self.data_proto

    def ints(self) -> list[int] | None:
        """The value as a flat list of integers, None where it is not known."""
        return None if self.value is None else [int(x) for x in self.value.reshape(-1)]


@dataclass(slots=True, eq=False)
class Step:
    """One node that runs, or several that became one; `members` are the source types it stands for."""

    name: str
    op_type: str
    node: Any
    inputs: list[Fact | None]
    outputs: list[Fact | None]
    domain: str = ""
    repeat: int = 1
    members: list[str] = field(default_factory=list)
    fused: list[str] = field(default_factory=list)
    extra_weights: list[Fact] = field(default_factory=list)
    n_fused_vector_ops: int = 0
    own_result: Fact | None = None

    def attr(self, name: str, default: Any = None) -> Any:
        """Value of an attribute, or the default; text comes as str."""
        return attribute_of(self.node, name, default)

    def input(self, index: int) -> Fact | None:
        """Input by position, None where it is absent."""
        return self.inputs[index] if index < len(self.inputs) else None

    def need(self, index: int) -> Fact:
        """Input by position; raises ShapeError where the node lacks it."""
        fact = self.input(index)
        if fact is None:
            raise ShapeError(f"node {self.name!r} ({self.op_type}) lacks its input {index}; export the model again")
        return fact

    @property
    def out(self) -> Fact:
        """The first output that exists."""
        for fact in self.outputs:
            if fact is not None:
                return fact
        raise ShapeError(f"node {self.name!r} ({self.op_type}) has no output; export the model again")

    @property
    def result(self) -> Fact:
        """What the op itself computes: its first output before it took over those of the steps it absorbed."""
        return self.own_result or self.out

    @property
    def present(self) -> list[Fact]:
        """Inputs that exist."""
        return [fact for fact in self.inputs if fact is not None]


def attribute_of(node: Any, name: str, default: Any = None) -> Any:
    """Value of an attribute of a node, or the default; bytes are decoded."""
    for attribute in node.attribute:
        if attribute.name == name:
            value = onnx.helper.get_attribute_value(attribute)
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return default


def broadcast(*shapes: Shape) -> Shape:
    """Broadcast as numpy does; raises ShapeError when the shapes do not fit."""
    try:
        return tuple(int(extent) for extent in np.broadcast_shapes(*shapes))
    except ValueError:
        raise ShapeError(f"shapes {', '.join(map(str, shapes))} do not broadcast") from None


def loose_broadcast(*shapes: Shape) -> Shape:
    """Broadcast where extents may be guesses: the greatest extent of each axis, aligned at the last."""
    rank = max((len(shape) for shape in shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(max(extents) for extents in zip(*padded, strict=True))


def view(fact: Fact, name: str, shape: Shape, *, assumed: bool = False) -> Fact:
    """The same elements under another name and shape."""
    value = fact.value.reshape(shape) if fact.value is not None and fact.value.size == prod(shape) else None
    return Fact(
        name,
        shape,
        fact.dtype,
        stored=fact.stored,
        value=value,
        view_of=fact.base,
        assumed=fact.assumed or assumed,
        repeat=fact.repeat,
        items=fact.items,
    )

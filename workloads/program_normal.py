"""Nodes of ONNX in the few forms that a `Program` has: products with weights [n, k], pads as numbers, no batch in a shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from workloads.errors import WorkloadError
from workloads.program import Array, Node

Shape = tuple[int | str | None, ...]  # a number, a symbol, or unknown
FLOAT = 1  # TensorProto.FLOAT
_REAL_TYPES = frozenset((10, 11, 16))  # TensorProto.FLOAT16, DOUBLE, BFLOAT16


@dataclass
class Scope:
    """What is known while nodes are read in order: arrays and shapes by name, and the leading axis of the input."""

    where: str
    arrays: dict[str, Array]
    shapes: Mapping[str, Shape]
    batch: int | str | None
    taken: set[str] = field(default_factory=set)

    def fresh(self, name: str) -> str:
        """A name of a node or an array that no other has."""
        unique, i = name, 2
        while unique in self.taken or unique in self.arrays:
            unique, i = f"{name}#{i}", i + 1
        self.taken.add(unique)
        return unique

    def keep(self, name: str, array: Array) -> str:
        """Keep an array under this name, or find it there if it was made before."""
        known = self.arrays.get(name)
        if known is not None and known.shape == array.shape and np.array_equal(known, array):
            return name
        name = name if known is None else self.fresh(name)
        self.arrays[name] = array
        return name


def normalized(node: Node, scope: Scope) -> tuple[Node, ...]:
    """One node as one or more of the forms that a `Program` has. WorkloadError, naming the node, where it has none."""
    rule = _RULES.get(node.op_type)
    return (node,) if rule is None else rule(node, scope)


def _gemm(node: Node, scope: Scope) -> tuple[Node, ...]:
    """Stored B in alpha A B + beta C → A W^T + b."""
    given = node.attributes
    weight = scope.arrays.get(node.inputs[1])
    if weight is None or given.get("transA", 0):
        return (node,)
    alpha, beta = float(given.get("alpha", 1.0)), float(given.get("beta", 1.0))
    name = node.inputs[1]
    if not given.get("transB", 0):
        weight, name = np.ascontiguousarray(weight.T), f"{name}.T"
    if alpha != 1:
        weight, name = weight * np.float32(alpha), f"{name}*{alpha:g}"
    inputs = (node.inputs[0], scope.keep(name, weight))
    if len(node.inputs) < 3 or not node.inputs[2]:
        return (replace(node, inputs=inputs, attributes={"transB": 1}),)
    bias = scope.arrays.get(node.inputs[2])
    if bias is not None and bias.size in (1, len(weight)) and bias.size == (bias.shape[-1] if bias.ndim else 1):
        return (replace(node, inputs=(*inputs, _bias(node.inputs[2], bias, beta, len(weight), scope)), attributes={"transB": 1}),)
    if beta != 1:
        raise WorkloadError(f"{scope.where}: node {node.name!r} (Gemm) adds {beta:g} times what is no bias; export it with beta 1")
    product = f"{node.outputs[0]}.product"
    return (
        replace(node, inputs=inputs, outputs=(product,), attributes={"transB": 1}),
        Node(scope.fresh(f"{node.name}.add"), "Add", (product, node.inputs[2]), node.outputs),
    )


def _bias(name: str, bias: Array, beta: float, n: int, scope: Scope) -> str:
    """One number for each of n outputs."""
    vector = np.ascontiguousarray(np.broadcast_to(bias.reshape(-1), (n,)))
    if beta != 1:
        vector, name = vector * np.float32(beta), f"{name}*{beta:g}"
    if vector.shape != bias.shape and beta == 1:
        name = f"{name}.row"
    return scope.keep(name, vector)


def _matmul(node: Node, scope: Scope) -> tuple[Node, ...]:
    """A B with a stored matrix B → A W^T, over all leading axes of A at once; left as it is where their sizes are not known."""
    weight, shape = scope.arrays.get(node.inputs[1]), scope.shapes.get(node.inputs[0])
    if weight is None or weight.ndim != 2 or shape is None or len(shape) < 2:
        return (node,)
    x, y = node.inputs[0], node.outputs[0]
    rows = scope.keep(f"{node.inputs[1]}.T", np.ascontiguousarray(weight.T))
    if len(shape) == 2:
        return (replace(node, op_type="Gemm", inputs=(x, rows), attributes={"transB": 1}),)
    middle = [size for size in shape[1:-1] if isinstance(size, int)]
    if len(middle) != len(shape) - 2:
        return (node,)
    flat = scope.keep(f"{node.name}.flat", np.array((-1, weight.shape[0]), dtype=np.int64))
    full = scope.keep(f"{node.name}.full", np.array((-1, *middle, weight.shape[1]), dtype=np.int64))
    return (
        Node(scope.fresh(f"{node.name}.in"), "Reshape", (x, flat), (f"{y}.in",)),
        replace(node, op_type="Gemm", inputs=(f"{y}.in", rows), outputs=(f"{y}.out",), attributes={"transB": 1}),
        Node(scope.fresh(f"{node.name}.out"), "Reshape", (f"{y}.out", full), (y,)),
    )


def _window(node: Node, scope: Scope) -> tuple[Node, ...]:
    """auto_pad → pads, as ONNX defines them: SAME gives ceil(size / stride) pixels, the odd one after (UPPER) or before (LOWER)."""
    given = dict(node.attributes)
    auto = given.pop("auto_pad", "NOTSET")
    if auto in {"NOTSET", ""}:
        return (replace(node, attributes=given),)
    weight = scope.arrays.get(node.inputs[1]) if node.op_type == "Conv" else None
    kernel = given.get("kernel_shape") or (weight.shape[2:] if weight is not None else ())
    if auto == "VALID":
        return (replace(node, attributes={**given, "pads": (0,) * (2 * len(kernel))}),)
    shape = scope.shapes.get(node.inputs[0])
    sizes = [size for size in shape[2:] if isinstance(size, int)] if shape else []
    if not kernel or len(sizes) != len(kernel):
        raise WorkloadError(
            f"{scope.where}: node {node.name!r} ({node.op_type}): {auto} needs the size of its input; export with fixed sizes"
        )
    ones = (1,) * len(kernel)
    strides, dilations = given.get("strides", ones), given.get("dilations", ones)
    before, after = [], []
    for size, k, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        total = max((-(-size // stride) - 1) * stride + dilation * (k - 1) + 1 - size, 0)
        first = total // 2 if auto == "SAME_UPPER" else total - total // 2
        before.append(first)
        after.append(total - first)
    return (replace(node, attributes={**given, "pads": (*before, *after)}),)


def _reshape(node: Node, scope: Scope) -> tuple[Node, ...]:
    """A target that starts with the batch, fixed or worked out at run time, keeps whatever batch there is: 0 copies the axis."""
    if scope.batch is None or len(node.inputs) < 2 or node.attributes.get("allowzero", 0):
        return (node,)
    target, shape = scope.arrays.get(node.inputs[1]), scope.shapes.get(node.inputs[0], ())
    sizes = scope.shapes.get(node.outputs[0], ()) if target is None else tuple(target.tolist())
    rest = [size if isinstance(size, int) else -1 for size in sizes[1:]]
    if shape[:1] != (scope.batch,) or sizes[:1] != (scope.batch,) or rest.count(-1) > 1:
        return (node,)
    free = scope.keep(f"{node.name}.shape", np.array((0, *rest), dtype=np.int64))
    return (replace(node, inputs=(node.inputs[0], free)),)


def _cast(node: Node, scope: Scope) -> tuple[Node, ...]:
    """All real numbers are float32 here."""
    del scope
    return (replace(node, attributes={"to": FLOAT}) if node.attributes.get("to") in _REAL_TYPES else node,)


_RULES: Mapping[str, Callable[[Node, Scope], tuple[Node, ...]]] = {
    "AveragePool": _window,
    "Cast": _cast,
    "Conv": _window,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MaxPool": _window,
    "Reshape": _reshape,
}


def as_real(array: Any) -> Array:
    """float32 for real numbers of any length, everything else as it is."""
    values = np.asarray(array)
    is_real = values.dtype.kind == "f" or values.dtype.name == "bfloat16"
    return values.astype(np.float32) if is_real and values.dtype != np.float32 else values

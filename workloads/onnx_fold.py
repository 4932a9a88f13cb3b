"""Evaluate nodes on small known values, so that shape arithmetic is done before the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx

from workloads.onnx_facts import N_SMALL, Array, attribute_of

Rule = Callable[[Any, Sequence[Array | None]], list[Array]]

_BINARY: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Pow": np.power,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
}
_UNARY: dict[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Exp": np.exp,
    "Floor": np.floor,
    "Identity": np.asarray,
    "Log": np.log,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Reciprocal": np.reciprocal,
    "Round": np.round,
    "Sign": np.sign,
    "Sqrt": np.sqrt,
}
_VARIADIC: dict[str, Callable[..., Any]] = {"Max": np.maximum, "Min": np.minimum, "Sum": np.add}
_REDUCE: dict[str, Callable[..., Any]] = {
    "ReduceMax": np.max,
    "ReduceMean": np.mean,
    "ReduceMin": np.min,
    "ReduceProd": np.prod,
    "ReduceSum": np.sum,
}


def evaluate(node: Any, inputs: Sequence[Array | None], opset: int) -> list[Array] | None:
    """Outputs of a node whose inputs are all known; None where it cannot be evaluated here.

    Frequent ops have a rule here; of the others only those on tiny values are given to ONNX's reference
    evaluator, which takes longer to import than a network to read.
    """
    rule = _RULES.get(node.op_type)
    try:
        with np.errstate(all="ignore"):
            if rule is not None:
                results = rule(node, inputs)
            elif _is_tiny(inputs):
                results = run_node(node, inputs, opset)
            else:
                return None
    except Exception:
        return None  # the value stays unknown; its shape is still inferred
    return [np.asarray(result) for result in results]


def attribute_value(node: Any) -> Array | None:
    """Value of a Constant node with a number or list attribute; None for other kinds."""
    for attribute in node.attribute:
        if attribute.name in ("value_int", "value_ints"):
            return np.asarray(onnx.helper.get_attribute_value(attribute), dtype=np.int64)
        if attribute.name in ("value_float", "value_floats"):
            return np.asarray(onnx.helper.get_attribute_value(attribute), dtype=np.float32)
    return None


def small_value(tensor: Any, folder: str = "") -> Array | None:
    """Value of a stored tensor if it has at most `N_SMALL` elements and can be read."""
    n_elements = 1
    for extent in tensor.dims:
        n_elements *= extent
    if n_elements > N_SMALL:
        return None
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor, folder))
    except Exception:
        return None  # strings, missing external data: the shape is enough for costing


def _is_tiny(inputs: Sequence[Array | None]) -> bool:
    """Whether the values are worth the reference evaluator: scalars and shape vectors of whole numbers."""
    return all(x is None or (x.size <= 64 and x.dtype.kind in "iub") for x in inputs)


def run_node(node: Any, inputs: Sequence[Array | None], opset: int) -> list[Array]:
    """Run one node with ONNX's reference evaluator; None is an input that is left out."""
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415  (costs more than most networks take to read)

    feeds = {name: x for name, x in zip(node.input, inputs, strict=False) if x is not None}
    infos = [onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for name, x in feeds.items()]
    outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = onnx.helper.make_graph([node], "one_node", infos, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(node.domain, opset)])
    return list(ReferenceEvaluator(model).run(None, feeds))


def _value(x: Array | None) -> Array:
    """An input that has to be there."""
    if x is None:
        raise ValueError("input is absent")
    return x


def axes_of(node: Any, x: Array | None) -> list[int] | None:
    """Axes given as an input (newer operator sets) or as an attribute (older ones)."""
    if x is not None:
        return [int(axis) for axis in x.reshape(-1)]
    axes = attribute_of(node, "axes")
    return None if axes is None else [int(axis) for axis in axes]


def _div(_node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """Quotient; whole numbers are cut towards zero as ONNX does."""
    a, b = _value(inputs[0]), _value(inputs[1])
    if a.dtype.kind in "iu":
        return [np.asarray(np.abs(a) // np.abs(b) * np.sign(a) * np.sign(b), dtype=a.dtype)]
    return [np.asarray(a / b)]


def _mod(node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """Remainder with the sign of the divisor, or of the dividend when fmod is set."""
    function = np.fmod if attribute_of(node, "fmod", 0) else np.mod
    return [np.asarray(function(_value(inputs[0]), _value(inputs[1])))]


def _cast(node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """Change of type."""
    dtype = onnx.helper.tensor_dtype_to_np_dtype(attribute_of(node, "to"))
    return [_value(inputs[0]).astype(dtype)]


def _gather(node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """Rows by index; negative indices count from the end."""
    return [np.take(_value(inputs[0]), _value(inputs[1]).astype(np.int64), axis=attribute_of(node, "axis", 0))]


def _concat(node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """Join along an axis."""
    return [np.concatenate([_value(x) for x in inputs], axis=attribute_of(node, "axis", 0))]


def _unsqueeze(node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """Insert axes of extent one."""
    axes = axes_of(node, inputs[1] if len(inputs) > 1 else None)
    return [np.expand_dims(_value(inputs[0]), tuple(axes or ()))]


def _squeeze(node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """Drop axes of extent one."""
    axes = axes_of(node, inputs[1] if len(inputs) > 1 else None)
    return [np.squeeze(_value(inputs[0]), None if axes is None else tuple(axes))]


def _slice(node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """Strided part; bounds are inputs from operator set 10 on and attributes before."""
    data = _value(inputs[0])
    if len(inputs) > 1:
        starts, ends = (_value(x).reshape(-1).tolist() for x in inputs[1:3])
        axes, steps = ([int(v) for v in x.reshape(-1)] if x is not None else None for x in (*inputs[3:5], None, None)[:2])
    else:
        starts, ends, axes, steps = attribute_of(node, "starts"), attribute_of(node, "ends"), attribute_of(node, "axes"), None
    index = [slice(None)] * data.ndim
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        step = steps[i] if steps else 1
        stop = None if step < 0 and end < -data.shape[axes[i] if axes else i] else end
        index[axes[i] if axes else i] = slice(start, stop, step)
    return [data[tuple(index)]]


def _reshape(node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """Same elements under another shape; 0 keeps an extent."""
    data = _value(inputs[0])
    target = [int(v) for v in _value(inputs[1])] if len(inputs) > 1 else list(attribute_of(node, "shape"))
    if not attribute_of(node, "allowzero", 0):
        target = [data.shape[i] if extent == 0 else extent for i, extent in enumerate(target)]
    return [data.reshape(target)]


def _range(_node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """Numbers from start to limit by delta."""
    start, limit, delta = (_value(x).reshape(-1)[0] for x in inputs)
    return [np.arange(start, limit, delta, dtype=start.dtype)]


def _constant_of_shape(node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """One value in every place; float 0 when none is given."""
    tensor = attribute_of(node, "value")
    value = np.zeros(1, np.float32) if tensor is None else onnx.numpy_helper.to_array(tensor)
    return [np.full([int(v) for v in _value(inputs[0])], value.reshape(-1)[0], dtype=value.dtype)]


def _expand(_node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """Broadcast to a shape."""
    data, target = _value(inputs[0]), [int(v) for v in _value(inputs[1])]
    return [np.broadcast_to(data, np.broadcast_shapes(data.shape, tuple(target)))]


def _reduce(node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """Sum, product, mean or extremum along axes."""
    axes = axes_of(node, inputs[1] if len(inputs) > 1 else None)
    data = _value(inputs[0])
    keep = bool(attribute_of(node, "keepdims", 1))
    if axes is None and attribute_of(node, "noop_with_empty_axes", 0):
        return [data]
    result = _REDUCE[node.op_type](data, axis=None if axes is None else tuple(axes), keepdims=keep)
    return [np.asarray(result, dtype=data.dtype)]


def _split(node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """Parts along an axis, of given or equal extents."""
    data, axis = _value(inputs[0]), attribute_of(node, "axis", 0)
    sizes = inputs[1].tolist() if len(inputs) > 1 and inputs[1] is not None else attribute_of(node, "split")
    if sizes is None:
        part = -(-data.shape[axis] // len(node.output))
        return np.split(data, range(part, data.shape[axis], part), axis)
    return np.split(data, np.cumsum(sizes)[:-1], axis)


def _variadic(node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """Sum or extremum of any number of arrays."""
    result = _value(inputs[0])
    for x in inputs[1:]:
        result = _VARIADIC[node.op_type](result, _value(x))
    return [result]


def _elementwise(node: Any, inputs: Sequence[Array | None]) -> list[Array]:
    """One or two arrays, element by element."""
    a = _value(inputs[0])
    if node.op_type in _UNARY:
        return [np.asarray(_UNARY[node.op_type](a))]
    result = np.asarray(_BINARY[node.op_type](a, _value(inputs[1])))
    return [result.astype(a.dtype) if node.op_type == "Pow" else result]


_RULES: dict[str, Rule] = {
    **dict.fromkeys((*_BINARY, *_UNARY), _elementwise),
    **dict.fromkeys(_VARIADIC, _variadic),
    **dict.fromkeys(_REDUCE, _reduce),
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Div": _div,
    "Expand": _expand,
    "Gather": _gather,
    "Mod": _mod,
    "NonZero": lambda _node, inputs: [np.array(np.nonzero(_value(inputs[0])), dtype=np.int64)],
    "Range": _range,
    "Reshape": _reshape,
    "Size": lambda _node, inputs: [np.asarray(_value(inputs[0]).size, dtype=np.int64)],
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": lambda _node, inputs: [np.tile(_value(inputs[0]), [int(v) for v in _value(inputs[1])])],
    "Transpose": lambda node, inputs: [np.transpose(_value(inputs[0]), attribute_of(node, "perm"))],
    "Unsqueeze": _unsqueeze,
    "Where": lambda _node, inputs: [np.where(_value(inputs[0]), _value(inputs[1]), _value(inputs[2]))],
}

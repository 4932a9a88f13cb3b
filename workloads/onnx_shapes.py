"""Shapes of what a node makes: ONNX's own inference first, then rules for what depends on run-time values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, prod
from typing import Any

import onnx
from onnx import shape_inference

from workloads.onnx_contrib import contrib_outputs, surrogate
from workloads.onnx_facts import FLOAT, Fact, Shape, ShapeError, attribute_of, loose_broadcast, words
from workloads.onnx_read import ONNX_DOMAINS, label

Dims = tuple[int | None, ...]  # None: not known before the run


@dataclass(frozen=True, slots=True)
class Guess:
    """Shape and type of one output; `assumed` where a rule chose what only the run would tell."""

    shape: Shape
    dtype: int
    assumed: bool = False


Stated = Callable[[str], Guess | None]  # what the file says of a tensor


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands: name prefix of its scope, runs of it, and the shapes its graph states."""

    prefix: str
    repeat: int
    stated: Stated


@cache
def schema_of(op_type: str, opset: int, domain: str) -> Any:
    """ONNX's definition of an op at a version, None where it has none."""
    try:
        return onnx.defs.get_schema(op_type, opset, "" if domain == "ai.onnx" else domain)
    except onnx.defs.SchemaError:
        return None


def output_guesses(node: Any, inputs: Sequence[Fact | None], opset: int, stated: Stated) -> list[Guess]:
    """Shape and type of every output of a node, in order; absent outputs get a scalar.

    Raises ShapeError when the inputs do not fit the op. `stated` gives the shape that the file states for a tensor.
    """
    present = [fact for fact in inputs if fact is not None]
    tainted = any(fact.assumed for fact in present)
    try:
        partial = _infer(node, inputs, opset)
    except ShapeError:
        if not tainted and node.op_type not in _LENIENT:
            raise
        partial = {}
    fallback = _fallback(node, present)
    return [_complete(node, inputs, name, partial.get(name), stated, fallback, tainted) for name in node.output]


def _infer(node: Any, inputs: Sequence[Fact | None], opset: int) -> dict[str, tuple[Dims, int]]:
    """What ONNX's inference or a contrib rule says, by output name; partial shapes where it is not sure."""
    schema = schema_of(node.op_type, opset, node.domain)
    if schema is not None and not schema.has_type_and_shape_inference_function and node.domain in ONNX_DOMAINS:
        opset = int(onnx.defs.onnx_opset_version())  # some ops got inference with a later version of the same meaning
        schema = schema_of(node.op_type, opset, node.domain)
    if schema is None or not schema.has_type_and_shape_inference_function:
        return _infer_contrib(node, inputs)
    return _infer_standard(schema, node, inputs, opset)


def _infer_contrib(node: Any, inputs: Sequence[Fact | None]) -> dict[str, tuple[Dims, int]]:
    """Infer an op that ONNX does not define."""
    twin = surrogate(node)
    if twin is not None:
        proxy, positions = twin
        opset = int(onnx.defs.onnx_opset_version())
        schema = schema_of(proxy.op_type, opset, "")
        chosen = [inputs[i] if i < len(inputs) else None for i in positions]
        floats = [None if fact is None else Fact(fact.name, fact.shape) for fact in chosen]
        dtype = chosen[0].dtype if chosen[0] is not None and node.op_type.startswith("QLinear") else FLOAT
        return {name: (dims, dtype) for name, (dims, _) in _infer_standard(schema, proxy, floats, opset).items()}
    results = contrib_outputs(node, inputs) or []
    return {name: (shape, dtype) for name, (shape, dtype) in zip(node.output, results, strict=False) if name}


def _infer_standard(schema: Any, node: Any, inputs: Sequence[Fact | None], opset: int) -> dict[str, tuple[Dims, int]]:
    """Ask ONNX for one node, with the small values of its inputs."""
    facts = {name: fact for name, fact in zip(node.input, inputs, strict=False) if name and fact is not None}
    if any(fact.items is not None for fact in facts.values()):
        return {}
    types = {name: fact.as_type() for name, fact in facts.items()}
    data = {name: proto for name, fact in facts.items() if (proto := fact.as_data()) is not None}
    imports = [onnx.helper.make_opsetid(node.domain, opset)]
    node = _spelled_out(node)
    try:
        found = shape_inference.infer_node_outputs(schema, node, types, data, opset_imports=imports)
    except Exception as error:
        shapes = ", ".join(str(fact.shape) for fact in facts.values())
        text = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ShapeError(f"{label(node)} cannot take inputs of shape {shapes}: {text}") from None
    results = {name: parsed for name, proto in found.items() if (parsed := _parse_type(proto)) is not None}
    _check_extents(node, facts, results)
    return results


def _spelled_out(node: Any) -> Any:
    """A node with what ONNX's inference wants written: a name for every output, and the default of STFT's `onesided`."""
    two_sided = node.op_type == "STFT" and attribute_of(node, "onesided") is None
    if not two_sided and "" not in node.output:
        return node
    node = onnx.NodeProto.FromString(node.SerializeToString())
    for i, name in enumerate(node.output):
        node.output[i] = name or f"unnamed {i}"
    if two_sided:
        node.attribute.append(onnx.helper.make_attribute("onesided", 1))
    return node


def _check_extents(node: Any, facts: Mapping[str, Fact], results: Mapping[str, tuple[Dims, int]]) -> None:
    """Refuse windows that do not fit into what they slide over."""
    for dims, _ in results.values():
        least = 1 if node.op_type in _WINDOWED and all(fact.n_elements for fact in facts.values()) else 0
        if any(extent is not None and extent < least for extent in dims):
            shapes = ", ".join(str(fact.shape) for fact in facts.values())
            raise ShapeError(f"{label(node)} has no result for inputs of shape {shapes}: they are too small")


def _parse_type(proto: Any) -> tuple[Dims, int] | None:
    """Shape with None for what is not known; None for anything but a tensor of known rank."""
    if not proto.HasField("tensor_type") or not proto.tensor_type.HasField("shape"):
        return None
    dims = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in proto.tensor_type.shape.dim)
    return dims, proto.tensor_type.elem_type or FLOAT


def _fallback(node: Any, present: Sequence[Fact]) -> Guess:
    """What an output is taken to be when nothing else is known: like the first input."""
    if not present:
        return Guess((1,), FLOAT, assumed=True)
    shape = present[0].shape
    if node.op_type in _BROADCASTING:
        shape = loose_broadcast(*(fact.shape for fact in present))
    return Guess(shape, present[0].dtype, assumed=True)


def _complete(
    node: Any,
    inputs: Sequence[Fact | None],
    name: str,
    found: tuple[Dims, int] | None,
    stated: Stated,
    fallback: Guess,
    tainted: bool,
) -> Guess:
    """Fill in what inference left open: by what the file states, by a rule of the op, by the first input."""
    if found is not None and None not in found[0]:
        return Guess(tuple(int(extent or 0) for extent in found[0]), found[1], tainted)
    rule = _DATA_DEPENDENT.get(node.op_type)
    written = stated(name)
    dims, dtype = found if found is not None else (None, (written or fallback).dtype)
    if written is not None and (dims is None or len(dims) == len(written.shape)):
        shape = tuple(w if d is None else d for d, w in zip(dims or (None,) * len(written.shape), written.shape, strict=True))
        return Guess(shape, dtype, written.assumed or tainted)
    ruled = rule(node, inputs) if rule is not None and inputs and inputs[0] is not None else None
    if ruled is not None and (dims is None or len(dims) == len(ruled)):
        shape = tuple(r if d is None else d for d, r in zip(dims or (None,) * len(ruled), ruled, strict=True))
        return Guess(shape, dtype, assumed=True)
    if dims is None:
        return Guess(fallback.shape, dtype, assumed=True)
    like = fallback.shape if len(fallback.shape) == len(dims) else (1,) * len(dims)
    return Guess(tuple(extent if d is None else d for d, extent in zip(dims, like, strict=True)), dtype, assumed=True)


def reshape_target(node: Any, data: Fact, target: list[int] | None, batch_factor: int = 1) -> tuple[Shape, bool]:
    """Shape after a Reshape, and whether its fixed batch of one had to be read as `batch_factor`.

    0 keeps an extent, -1 takes what is left. Raises ShapeError when the elements do not fit.
    """
    if target is None:
        raise ShapeError("target is not known")
    shape = list(target)
    if not attribute_of(node, "allowzero", 0):
        shape = [data.shape[i] if extent == 0 and i < len(data.shape) else extent for i, extent in enumerate(shape)]
    n_rest = prod(extent for extent in shape if extent != -1)
    if -1 in shape and n_rest and data.n_elements % n_rest == 0:
        shape[shape.index(-1)] = data.n_elements // n_rest
    if -1 not in shape and prod(shape) == data.n_elements:
        return tuple(shape), False
    if batch_factor > 1 and -1 not in shape and shape[:1] == [1] and prod(shape) * batch_factor == data.n_elements:
        return (batch_factor, *shape[1:]), True
    raise ShapeError(f"{label(node)} is fixed to shape {target}, which does not hold the elements of {data.shape}")


def flatten_shape(shape: Shape, axis: int) -> Shape:
    """Two axes: the product of those before `axis`, and of the rest."""
    axis = axis + len(shape) if axis < 0 else axis
    return prod(shape[:axis]), prod(shape[axis:])


def squeeze_shape(shape: Shape, axes: Sequence[int] | None, *, lenient: bool) -> Shape:
    """Drop the named axes, or all of extent one; raises ShapeError when a named one is longer."""
    if axes is None:
        return tuple(extent for extent in shape if extent != 1)
    drop = {axis % max(len(shape), 1) for axis in axes}
    for axis in drop:
        if not lenient and (axis >= len(shape) or shape[axis] != 1):
            raise ShapeError(f"axis {axis} of shape {shape} cannot be squeezed: its extent is not 1")
    return tuple(extent for i, extent in enumerate(shape) if i not in drop)


def unsqueeze_shape(shape: Shape, axes: Sequence[int]) -> Shape:
    """Insert axes of extent one at these places of the result."""
    rank = len(shape) + len(axes)
    ones = {axis % rank for axis in axes}
    rest = iter(shape)
    return tuple(1 if i in ones else next(rest) for i in range(rank))


def _n(inputs: Sequence[Fact | None], index: int, default: int) -> int:
    """First integer of an input whose value is known, else the default."""
    fact = inputs[index] if index < len(inputs) else None
    values = fact.ints() if fact is not None else None
    return values[0] if values else default


def _non_zero(_node: Any, inputs: Sequence[Fact | None]) -> Shape | None:
    """Every element could be non-zero: [rank, elements]."""
    x = inputs[0]
    return None if x is None else (max(len(x.shape), 1), x.n_elements)


def _non_max_suppression(_node: Any, inputs: Sequence[Fact | None]) -> Shape | None:
    """Boxes kept: at most the limit for each class of each image, [n, 3]."""
    boxes, scores = inputs[0], inputs[1]
    if boxes is None or scores is None:
        return None
    batch, classes, n_boxes = scores.shape
    return batch * classes * min(_n(inputs, 2, n_boxes), n_boxes), 3


def _like_first(_node: Any, inputs: Sequence[Fact | None]) -> Shape | None:
    """As large as the first input: the upper bound of a selection."""
    return None if inputs[0] is None else inputs[0].shape


def _flat(_node: Any, inputs: Sequence[Fact | None]) -> Shape | None:
    """All elements in one axis: the upper bound of a selection."""
    return None if inputs[0] is None else (inputs[0].n_elements,)


def _expand(_node: Any, inputs: Sequence[Fact | None]) -> Shape | None:
    """As large as what is expanded."""
    return None if inputs[0] is None else inputs[0].shape


def _range(_node: Any, inputs: Sequence[Fact | None]) -> Shape | None:
    """From start to limit by delta; the default number of tokens stands for a limit known at run time only."""
    values = [fact.value if fact is not None else None for fact in inputs]
    if len(values) != 3 or any(value is None for value in values):
        return (64,)
    start, limit, delta = (float(value.reshape(-1)[0]) for value in values if value is not None)
    return (max(0, ceil((limit - start) / delta)),)


_DATA_DEPENDENT: Mapping[str, Callable[[Any, Sequence[Fact | None]], Shape | None]] = {
    "Compress": _flat,
    "Expand": _expand,
    "NonMaxSuppression": _non_max_suppression,
    "NonZero": _non_zero,
    "Pad": _like_first,
    "Range": _range,
    "Resize": _like_first,
    "Slice": _like_first,
    "Tile": _like_first,
    "TopK": _like_first,
    "Unique": _flat,
    "Upsample": _like_first,
}

_WINDOWED = words("Conv ConvInteger QLinearConv ConvTranspose MaxPool AveragePool LpPool")

# Ops whose rule also serves where ONNX's inference refuses what run times accept (a Range of one-element vectors).
_LENIENT = frozenset(("Range",))

_BROADCASTING = words("Add Sub Mul Div Pow Max Min Sum Mean Mod And Or Xor Equal Greater GreaterOrEqual Less LessOrEqual Where PRelu")

"""Nodes that do nothing at run time: constants, views, and shapes as numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from workloads.onnx_facts import BOOL, FLOAT, Fact, Shape, ShapeError, attribute_of, view
from workloads.onnx_fold import attribute_value, axes_of, small_value
from workloads.onnx_read import label
from workloads.onnx_shapes import Place, flatten_shape, output_guesses, reshape_target, squeeze_shape, unsqueeze_shape

if TYPE_CHECKING:
    from workloads.onnx_walk import Walk

Inputs = Sequence[Fact | None]
Rule = Callable[["Walk", Any, Inputs, Place], list[Fact] | None]


def _constant(walk: Walk, node: Any, _inputs: Inputs, place: Place) -> list[Fact]:
    """Constant: a stored tensor."""
    name = place.prefix + node.output[0]
    tensor = attribute_of(node, "value")
    if tensor is not None:
        return [walk.stored(name, tuple(tensor.dims), tensor.data_type, small_value(tensor, str(walk.source.path.parent)))]
    value = attribute_value(node)
    if value is not None:
        return [walk.constant(name, value)]
    sparse = attribute_of(node, "sparse_value")
    dims = tuple(sparse.dims) if sparse is not None else (len(attribute_of(node, "value_strings", [])),)
    return [walk.stored(name, dims, FLOAT, None)]


def _identity(_walk: Walk, node: Any, inputs: Inputs, place: Place) -> list[Fact] | None:
    """Identity, and Dropout at inference, whose mask keeps everything."""
    x = inputs[0]
    if x is None:
        return None
    outputs = [view(x, place.prefix + node.output[0], x.shape)]
    if len(node.output) > 1 and node.output[1]:
        outputs.append(Fact(place.prefix + node.output[1], x.shape, BOOL, stored=True))
    return outputs


def _reshape(walk: Walk, node: Any, inputs: Inputs, place: Place) -> list[Fact] | None:
    """Reshape: a view."""
    x = inputs[0]
    if x is None:
        return None
    shape_input = inputs[1] if len(inputs) > 1 else None
    target = shape_input.ints() if shape_input is not None else _ints(attribute_of(node, "shape"))
    tainted = x.assumed or (shape_input is not None and shape_input.assumed)
    try:
        shape, stretched = reshape_target(node, x, target, walk.batch_factor)
    except ShapeError:
        if target is not None and not tainted:
            raise
        shape, stretched = _guess_reshape(walk, node, inputs, place, target), False
        return [view(x, place.prefix + node.output[0], shape, assumed=True)]
    if stretched:
        walk.note(f"{label(node)}: its shape {target} is fixed to a batch of 1; read as {list(shape)}")
    return [view(x, place.prefix + node.output[0], shape)]


def _guess_reshape(walk: Walk, node: Any, inputs: Inputs, place: Place, target: list[int] | None) -> Shape:
    """Shape of a Reshape whose target only the run would tell."""
    x = inputs[0]
    n_elements = x.n_elements if x is not None else 1
    if target is not None:
        rest = prod(extent for extent in target if extent > 0)
        return tuple(extent if extent > 0 else max(1, n_elements // max(rest, 1)) for extent in target)
    guess = output_guesses(node, inputs, walk.source.opset(node.domain), place.stated)[0]
    walk.note(f"{label(node)}: its target shape depends on run-time values; taken as {guess.shape}")
    return guess.shape


def _flatten(_walk: Walk, node: Any, inputs: Inputs, place: Place) -> list[Fact] | None:
    """Flatten: a view of two axes."""
    x = inputs[0]
    return None if x is None else [view(x, place.prefix + node.output[0], flatten_shape(x.shape, attribute_of(node, "axis", 1)))]


def _squeeze(_walk: Walk, node: Any, inputs: Inputs, place: Place) -> list[Fact] | None:
    """Squeeze: a view without axes of extent one."""
    x, axes = inputs[0], _axes(node, inputs)
    if x is None or (axes is None and len(inputs) > 1 and inputs[1] is not None):
        return None
    return [view(x, place.prefix + node.output[0], squeeze_shape(x.shape, axes, lenient=x.assumed))]


def _unsqueeze(_walk: Walk, node: Any, inputs: Inputs, place: Place) -> list[Fact] | None:
    """Unsqueeze: a view with more axes of extent one."""
    x, axes = inputs[0], _axes(node, inputs)
    return None if x is None or axes is None else [view(x, place.prefix + node.output[0], unsqueeze_shape(x.shape, axes))]


def _shape(walk: Walk, node: Any, inputs: Inputs, place: Place) -> list[Fact] | None:
    """Shape: known before the run."""
    x = inputs[0]
    if x is None or x.items is not None:
        return None
    dims = x.shape[slice(attribute_of(node, "start"), attribute_of(node, "end"))]
    return [walk.constant(place.prefix + node.output[0], np.array(dims, dtype=np.int64), assumed=x.assumed)]


def _size(walk: Walk, node: Any, inputs: Inputs, place: Place) -> list[Fact] | None:
    """Size: known before the run."""
    x = inputs[0]
    if x is None or x.items is not None:
        return None
    return [walk.constant(place.prefix + node.output[0], np.array(x.n_elements, dtype=np.int64), assumed=x.assumed)]


def _cast(_walk: Walk, node: Any, inputs: Inputs, place: Place) -> list[Fact] | None:
    """Cast to the type it already has: a view."""
    x = inputs[0]
    target = inputs[1].dtype if len(inputs) > 1 and inputs[1] is not None else attribute_of(node, "to")
    return [view(x, place.prefix + node.output[0], x.shape)] if x is not None and x.dtype == target else None


def _has_element(walk: Walk, node: Any, inputs: Inputs, place: Place) -> list[Fact] | None:
    """OptionalHasElement: whether there is anything."""
    return [walk.constant(place.prefix + node.output[0], np.array(bool(inputs) and inputs[0] is not None))]


def _optional(_walk: Walk, node: Any, inputs: Inputs, place: Place) -> list[Fact] | None:
    """Optional and OptionalGetElement: the thing itself."""
    x = inputs[0] if inputs else None
    return [view(x, place.prefix + node.output[0], x.shape) if x is not None else Fact(place.prefix + node.output[0], ())]


def _axes(node: Any, inputs: Inputs) -> list[int] | None:
    """Axes as attribute or as a known input."""
    fact = inputs[1] if len(inputs) > 1 else None
    return axes_of(node, fact.value if fact is not None else None)


def _ints(values: Sequence[int] | None) -> list[int] | None:
    """A list of Python integers."""
    return None if values is None else [int(value) for value in values]


FREE_RULES: Mapping[str, Rule] = {
    "Cast": _cast,
    "CastLike": _cast,
    "Constant": _constant,
    "Dropout": _identity,
    "Flatten": _flatten,
    "Identity": _identity,
    "Optional": _optional,
    "OptionalGetElement": _optional,
    "OptionalHasElement": _has_element,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}

"""Operators that run digitally, in numpy or by onnx's ReferenceEvaluator: everything in a network that is no product with stored weights.

Common operators have a numpy route, tested equal to the evaluator, because its pooling takes seconds for a thousand images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workloads.errors import WorkloadError
from workloads.program import Node
from workloads.program_evaluate import evaluator

Array = NDArray[Any]
Route = Callable[[Mapping[str, Any], Sequence[Array]], Array]


def run_node(node: Node, inputs: Sequence[Array | None], opset: int) -> list[Array]:
    """Outputs of one node; WorkloadError names the node that has no path."""
    route = _route(node)
    given = [array for array in inputs if array is not None]
    if route is not None and len(given) == len(inputs):
        return [route(node.attributes, given)]
    return _evaluate(node, inputs, opset)


def _route(node: Node) -> Route | None:
    """The numpy route of a node, None where only the evaluator knows it."""
    if len(node.outputs) != 1:
        return None
    if node.op_type in {"MaxPool", "AveragePool"}:
        return _POOLS[node.op_type] if _is_plain_pool(node.attributes) else None
    return _ROUTES.get(node.op_type)


def _relu(_: Mapping[str, Any], inputs: Sequence[Array]) -> Array:
    return np.maximum(inputs[0], 0)


def _add(_: Mapping[str, Any], inputs: Sequence[Array]) -> Array:
    return np.asarray(inputs[0] + inputs[1])


def _flatten(attributes: Mapping[str, Any], inputs: Sequence[Array]) -> Array:
    axis = int(attributes.get("axis", 1))
    x = inputs[0]
    n_first = int(np.prod(x.shape[: axis if axis >= 0 else x.ndim + axis], dtype=np.int64))
    return x.reshape(n_first, -1)


def _reshape(attributes: Mapping[str, Any], inputs: Sequence[Array]) -> Array:
    x, wanted = inputs[0], [int(n) for n in inputs[1]]
    keeps_zero = bool(attributes.get("allowzero", 0))
    return x.reshape([x.shape[i] if n == 0 and not keeps_zero else n for i, n in enumerate(wanted)])


def _global_average(_: Mapping[str, Any], inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    return np.asarray(x.mean(axis=tuple(range(2, x.ndim)), keepdims=True, dtype=x.dtype))


def _identity(_: Mapping[str, Any], inputs: Sequence[Array]) -> Array:
    return inputs[0]


def _is_plain_pool(attributes: Mapping[str, Any]) -> bool:
    """Whether windows over two axes lie inside the map, with nothing around it."""
    return (
        len(attributes.get("kernel_shape", ())) == 2
        and not any(attributes.get("pads", ()))
        and not attributes.get("ceil_mode", 0)
        and attributes.get("auto_pad", "NOTSET") in {"NOTSET", b"NOTSET", "VALID", b"VALID"}
        and all(n == 1 for n in attributes.get("dilations", ()))
    )


def _taps(attributes: Mapping[str, Any], x: Array) -> list[Array]:
    """One map [batch, channels, rows, columns] for each place in the window."""
    kh, kw = (int(n) for n in attributes["kernel_shape"])
    sh, sw = (int(n) for n in attributes.get("strides", (1, 1)))
    rows, columns = (x.shape[2] - kh) // sh + 1, (x.shape[3] - kw) // sw + 1
    return [x[:, :, i : i + (rows - 1) * sh + 1 : sh, j : j + (columns - 1) * sw + 1 : sw] for i, j in product(range(kh), range(kw))]


def _max_pool(attributes: Mapping[str, Any], inputs: Sequence[Array]) -> Array:
    first, *rest = _taps(attributes, inputs[0])
    out = first.copy()
    for tap in rest:
        np.maximum(out, tap, out=out)
    return out


def _average_pool(attributes: Mapping[str, Any], inputs: Sequence[Array]) -> Array:
    taps = _taps(attributes, inputs[0])
    return np.asarray(sum(taps[1:], start=taps[0]) / inputs[0].dtype.type(len(taps)))


_ROUTES: Mapping[str, Route] = {
    "Relu": _relu,
    "Add": _add,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "GlobalAveragePool": _global_average,
    "Identity": _identity,
}
_POOLS: Mapping[str, Route] = {"MaxPool": _max_pool, "AveragePool": _average_pool}


def _evaluate(node: Node, inputs: Sequence[Array | None], opset: int) -> list[Array]:
    """Outputs by onnx's ReferenceEvaluator."""
    present = [array for array in inputs if array is not None]
    names = [f"x{i}" if array is not None else "" for i, array in enumerate(inputs)]
    attributes = tuple(sorted(((key, _frozen(value)) for key, value in node.attributes.items())))
    types = tuple(array.dtype.str for array in present)
    try:
        runs = evaluator(node.op_type, attributes, tuple(names), types, len(node.outputs), opset)
        results = runs.run(None, {f"x{i}": array for i, array in enumerate(inputs) if array is not None})
    except Exception as error:  # the evaluator raises whatever its operators do
        raise WorkloadError(
            f"{node.name}: operator {node.op_type} has no path: neither a product with stored weights nor run by onnx ({error}); "
            "fold it before export or replace it"
        ) from error
    return [np.asarray(result) for result in results]


def _frozen(value: Any) -> Any:
    """An attribute that can be a key: lists as tuples."""
    return tuple(value) if isinstance(value, (list, tuple, np.ndarray)) else value

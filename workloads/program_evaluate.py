"""One operator of a program by onnx's ReferenceEvaluator, kept so that a batch in many parts builds it once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np


@lru_cache(maxsize=256)
def evaluator(
    op_type: str, attributes: tuple[tuple[str, Any], ...], names: tuple[str, ...], types: tuple[str, ...], n_outputs: int, opset: int
) -> Any:
    """An evaluator of one node with inputs of these names ("" where one is left out) and types; it runs on {name: array}.

    onnx is imported here because most networks never need it.
    """
    import onnx  # noqa: PLC0415  (0.2 s)
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415  (the same)

    given = [name for name in names if name]
    outputs = [f"y{i}" for i in range(n_outputs)]
    node = onnx.helper.make_node(op_type, list(names), outputs, **dict(attributes))
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)), None)
        for name, kind in zip(given, types, strict=True)
    ]
    graph = onnx.helper.make_graph([node], "node", inputs, [onnx.helper.make_empty_tensor_value_info(name) for name in outputs])
    return ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)]))

"""Ops outside the ONNX standard (ONNX Runtime's com.microsoft): what they are like, and the shapes they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx

from workloads.onnx_facts import Fact, Shape, ShapeError, attribute_of, broadcast, words
from workloads.onnx_read import label

# Contrib op type → the standard op that costs the same.
CANONICAL: Mapping[str, str] = {
    "BiasGelu": "Gelu",
    "BiasSoftmax": "Softmax",
    "DynamicQuantizeLSTM": "LSTM",
    "DynamicQuantizeMatMul": "MatMul",
    "EmbedLayerNormalization": "LayerNormalization",
    "FastGelu": "Gelu",
    "FusedConv": "Conv",
    "FusedGemm": "Gemm",
    "FusedMatMul": "MatMul",
    "MatMulBnb4": "MatMul",
    "MatMulFpQ4": "MatMul",
    "MatMulIntegerToFloat": "MatMulInteger",
    "MatMulNBits": "MatMul",
    "NhwcConv": "Conv",
    "NhwcFusedConv": "Conv",
    "NhwcMaxPool": "MaxPool",
    "QGemm": "Gemm",
    "QLinearAdd": "Add",
    "QLinearAveragePool": "AveragePool",
    "QLinearConcat": "Concat",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearMul": "Mul",
    "QLinearReduceMean": "ReduceMean",
    "QLinearSigmoid": "Sigmoid",
    "QLinearSoftmax": "Softmax",
    "QLinearWhere": "Where",
    "QuickGelu": "Gelu",
    "SkipGroupNorm": "GroupNormalization",
    "SkipLayerNormalization": "LayerNormalization",
    "SkipSimplifiedLayerNormalization": "SimplifiedLayerNormalization",
    "SwiGLU": "Silu",
    "Swish": "Silu",
    "TransposeMatMul": "MatMul",
}

# Contrib op type → (standard op of the same shapes, its inputs among those of the contrib op).
SURROGATES: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "FusedConv": ("Conv", (0, 1)),
    "FusedGemm": ("Gemm", (0, 1)),
    "QGemm": ("Gemm", (0, 3)),
    "DynamicQuantizeMatMul": ("MatMul", (0, 1)),
    "MatMulIntegerToFloat": ("MatMul", (0, 1)),
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
}

# Ops whose first output has the shape and type of the first input.
SAME_SHAPE = words(
    "BiasGelu BiasSoftmax FastGelu Gelu QuickGelu QLinearLeakyRelu QLinearSigmoid QLinearSoftmax Swish SkipLayerNormalization "
    "SkipSimplifiedLayerNormalization SimplifiedLayerNormalization LayerNormalization GroupNorm SkipGroupNorm RotaryEmbedding Silu "
    "QuantizeLinear DequantizeLinear MeanVarianceNormalization GroupNormalization Scaler Imputer Normalizer"
)

Outputs = list[tuple[Shape, int]]


def surrogate(node: Any) -> tuple[Any, tuple[int, ...]] | None:
    """A standard node of the same shapes, and which inputs it reads; None where there is none."""
    if node.op_type not in SURROGATES:
        return None
    op_type, positions = SURROGATES[node.op_type]
    twin = onnx.NodeProto(op_type=op_type)
    twin.input.extend(node.input[i] for i in positions if i < len(node.input))
    twin.output.extend(list(node.output)[:1])
    twin.attribute.extend(attribute for attribute in node.attribute if not attribute.name.startswith(("activation", "channels_last")))
    return twin, positions


def contrib_outputs(node: Any, inputs: Sequence[Fact | None]) -> Outputs | None:
    """Shapes and types of the outputs of a contrib op; None where there is no rule."""
    present = [fact for fact in inputs if fact is not None]
    if not present:
        return None
    if node.op_type in SAME_SHAPE:
        return [(present[0].shape, present[0].dtype)]
    rule = _RULES.get(node.op_type)
    try:
        return rule(node, inputs) if rule else None
    except (IndexError, AttributeError, TypeError):
        raise ShapeError(f"{label(node)} lacks an input or attribute of its definition; export again") from None


def _lstm(_node: Any, inputs: Sequence[Fact | None]) -> Outputs | None:
    """Quantized LSTM: X [seq, batch, in], R [dirs, hidden, 4 hidden] to Y [seq, dirs, batch, hidden]."""
    x, r = inputs[0], inputs[2]
    if x is None or r is None:
        return None
    seq, batch, _ = x.shape
    dirs, hidden = r.shape[0], min(r.shape[1:])
    return [((seq, dirs, batch, hidden), x.dtype), ((dirs, batch, hidden), x.dtype), ((dirs, batch, hidden), x.dtype)]


def _matmul_nbits(node: Any, inputs: Sequence[Fact | None]) -> Outputs | None:
    """Product with packed weights: [..., K] to [..., N]."""
    x = inputs[0]
    return None if x is None else [((*x.shape[:-1], int(attribute_of(node, "N"))), x.dtype)]


def _fused_matmul(node: Any, inputs: Sequence[Fact | None]) -> Outputs | None:
    """Product with optional transposition of the last two axes of either operand."""
    a, b = inputs[0], inputs[1]
    if a is None or b is None:
        return None
    m = a.shape[-1 if attribute_of(node, "transA", 0) else -2]
    n = b.shape[-2 if attribute_of(node, "transB", 0) else -1]
    return [((*broadcast(a.shape[:-2], b.shape[:-2]), m, n), a.dtype)]


def _concat(node: Any, inputs: Sequence[Fact | None]) -> Outputs | None:
    """Quantized concat: after the output's scale and zero point, triples of data, scale, zero point."""
    parts = [fact for fact in inputs[2::3] if fact is not None]
    axis = attribute_of(node, "axis", 0)
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return [(tuple(shape), parts[0].dtype)]


def _embed(_node: Any, inputs: Sequence[Fact | None]) -> Outputs | None:
    """Ids [batch, seq] and a word table [V, d] to [batch, seq, d]; the mask index has one entry a row."""
    ids, table = inputs[0], inputs[2]
    if ids is None or table is None:
        return None
    shape = (*ids.shape, table.shape[-1])
    return [(shape, table.dtype), (ids.shape[:1], ids.dtype), (shape, table.dtype)]


def _attention(node: Any, inputs: Sequence[Fact | None]) -> Outputs | None:
    """Self-attention with its projection: X [batch, seq, in], W [in, 3 d] to [batch, seq, d]."""
    x, w = inputs[0], inputs[1]
    if x is None or w is None:
        return None
    sizes = attribute_of(node, "qkv_hidden_sizes")
    width = int(sizes[2]) if sizes else w.shape[1] // 3
    heads = int(attribute_of(node, "num_heads", 1))
    past_at = 8 if node.op_type == "QAttention" else 4
    past = inputs[past_at] if len(inputs) > past_at else None
    total = x.shape[1] + (past.shape[3] if past is not None else 0)
    return [((*x.shape[:2], width), x.dtype), ((2, x.shape[0], heads, total, width // heads), x.dtype)]


def _multi_head(node: Any, inputs: Sequence[Fact | None]) -> Outputs | None:
    """Attention after projection: Q [batch, seq, d], K and V [batch, kv, d] to [batch, seq, d_v] and the present K, V."""
    q, v = inputs[0], inputs[2] if len(inputs) > 2 else None
    if q is None:
        return None
    heads = int(attribute_of(node, "num_heads", 1))
    if len(q.shape) == 5:  # packed [batch, seq, heads, 3, head size]
        return [((q.shape[0], q.shape[1], q.shape[2] * q.shape[4]), q.dtype)]
    width = v.shape[1] * v.shape[3] if v is not None and len(v.shape) == 4 else (v.shape[-1] if v is not None else q.shape[-1])
    kv = 0 if v is None else v.shape[2 if len(v.shape) == 4 else 1]
    past = inputs[6] if len(inputs) > 6 else None
    present = (q.shape[0], heads, kv + (past.shape[2] if past is not None else 0), width // heads)
    return [((*q.shape[:2], width), q.dtype), (present, q.dtype), (present, q.dtype)]


def _group_query(node: Any, inputs: Sequence[Fact | None]) -> Outputs | None:
    """Grouped-query attention: packed or separate Q, K, V to [batch, seq, heads * size] and the present K, V."""
    q, k, past = (inputs[i] if i < len(inputs) else None for i in (0, 1, 3))
    if q is None:
        return None
    heads, kv_heads = int(attribute_of(node, "num_heads")), int(attribute_of(node, "kv_num_heads"))
    size = q.shape[-1] // heads if k is not None else q.shape[-1] // (heads + 2 * kv_heads)
    present = (q.shape[0], kv_heads, q.shape[1] + (past.shape[2] if past is not None else 0), size)
    return [((*q.shape[:2], heads * size), q.dtype), (present, q.dtype), (present, q.dtype)]


_RULES: Mapping[str, Callable[[Any, Sequence[Fact | None]], Outputs | None]] = {
    "Attention": _attention,
    "DynamicQuantizeLSTM": _lstm,
    "EmbedLayerNormalization": _embed,
    "FusedMatMul": _fused_matmul,
    "GroupQueryAttention": _group_query,
    "MatMulBnb4": _matmul_nbits,
    "MatMulFpQ4": _matmul_nbits,
    "MatMulNBits": _matmul_nbits,
    "MultiHeadAttention": _multi_head,
    "QAttention": _attention,
    "QLinearConcat": _concat,
    "TransposeMatMul": _fused_matmul,
}

"""Lower whole-attention ops to their parts: projection, scores, softmax and weighted sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from workloads.graph import Gemm, OpKind
from workloads.onnx_facts import Fact, ShapeError, Step
from workloads.onnx_gemm import Priced, split_operands
from workloads.ops import SOFTMAX_OPS_PER_ELEMENT


@dataclass(frozen=True, slots=True)
class Piece:
    """One op of several that a node becomes."""

    op_type: str
    priced: Priced
    output: Fact


@dataclass(frozen=True, slots=True)
class Heads:
    """Extents of one attention: batch, query heads, key heads, new tokens, all tokens, head sizes."""

    batch: int
    n_heads: int
    n_kv_heads: int
    n_queries: int
    n_keys: int
    key_size: int
    value_size: int


def _core(step: Step, heads: Heads, q: Fact, k: list[Fact], v: list[Fact], extra: list[Fact]) -> list[Piece]:
    """Q K^T, softmax, P V; query heads that share a key head are rows of one product."""
    groups, rows = heads.batch * heads.n_kv_heads, heads.n_queries * heads.n_heads // max(heads.n_kv_heads, 1)
    shape = (heads.batch, heads.n_heads, heads.n_queries, heads.n_keys)
    scores = Fact(f"{step.name}/scores", shape, q.dtype, repeat=step.repeat)
    probabilities = Fact(f"{step.name}/probabilities", shape, q.dtype, repeat=step.repeat)
    first = Gemm(groups, rows, heads.key_size, heads.n_keys, dynamic=True)
    last = Gemm(groups, rows, heads.n_keys, heads.value_size, dynamic=True)
    mask, stored = split_operands(extra)
    n_vector = (SOFTMAX_OPS_PER_ELEMENT + len(mask)) * scores.n_elements
    return [
        Piece("MatMul", Priced(OpKind.MATMUL, [q, *k], [], first), scores),
        Piece("Softmax", Priced(OpKind.SOFTMAX, [scores, *mask], stored, None, n_vector), probabilities),
        Piece("MatMul", Priced(OpKind.MATMUL, [probabilities, *v], [], last), step.out),
    ]


def _some(*facts: Fact | None) -> list[Fact]:
    """The facts that exist and are no empty caches."""
    return [fact for fact in facts if fact is not None and fact.n_elements]


def standard(step: Step) -> list[Piece]:
    """Attention of operator set 23: Q, K, V as [batch, heads, seq, size] or [batch, seq, heads size], with a cache."""
    q, k, v = step.need(0), step.need(1), step.need(2)
    past_k, past_v = step.input(4), step.input(5)
    if len(q.shape) == 4:
        batch, n_heads, n_queries, key_size = q.shape
        n_kv_heads, value_size = k.shape[1], v.shape[3]
        n_new = k.shape[2]
    else:
        batch, n_queries = q.shape[:2]
        n_heads, n_kv_heads = int(step.attr("q_num_heads", 1)), int(step.attr("kv_num_heads", 1))
        key_size, value_size, n_new = q.shape[2] // n_heads, v.shape[2] // n_kv_heads, k.shape[1]
    n_keys = n_new + (past_k.shape[2] if past_k is not None else 0)
    heads = Heads(batch, n_heads, n_kv_heads, n_queries, n_keys, key_size, value_size)
    return _core(step, heads, q, _some(k, past_k), _some(v, past_v), _some(step.input(3)))


def projected(step: Step) -> list[Piece]:
    """com.microsoft Attention and QAttention: X [batch, seq, in] W [in, q + k + v], then attention."""
    x, w = step.need(0), step.need(1)
    bias, past, mask = step.input(2), step.input(4), step.input(3)
    n_heads = int(step.attr("num_heads", 1))
    batch, n_queries, width = x.shape
    sizes = [int(size) for size in step.attr("qkv_hidden_sizes") or [w.shape[1] // 3] * 3]
    if step.op_type == "QAttention":
        mask, past = step.input(5), step.input(8)
    packed = Fact(f"{step.name}/qkv", (batch, n_queries, w.shape[1]), x.dtype, repeat=step.repeat)
    stored = [w, *split_operands([bias])[1]]
    projection = Piece("MatMul", Priced(OpKind.MATMUL, [x], stored, Gemm(1, batch * n_queries, width, w.shape[1])), packed)
    n_keys = n_queries + (past.shape[3] if past is not None else 0)
    heads = Heads(batch, n_heads, n_heads, n_queries, n_keys, sizes[0] // n_heads, sizes[2] // n_heads)
    parts = [Fact(f"{packed.name}", (batch, n_queries, size), x.dtype, view_of=packed) for size in sizes]
    return [projection, *_core(step, heads, parts[0], [parts[1], *_some(past)], [parts[2]], _some(mask))]


def multi_head(step: Step) -> list[Piece]:
    """com.microsoft MultiHeadAttention: Q [batch, seq, d], K and V [batch, kv, d] or [batch, heads, kv, size], or packed."""
    q, k, v = step.need(0), step.input(1), step.input(2)
    past_k, past_v = step.input(6), step.input(7)
    n_heads = int(step.attr("num_heads", 1))
    batch, n_queries = q.shape[:2]
    if len(q.shape) == 5:
        key_size = value_size = q.shape[4]
        n_new = n_queries
    else:
        key_size, value_size, n_new = _kv_sizes(q, k, v, n_heads)
    n_keys = n_new + (past_k.shape[2] if past_k is not None else 0)
    heads = Heads(batch, n_heads, n_heads, n_queries, n_keys, key_size, value_size)
    return _core(step, heads, q, [k or q, *_some(past_k)], [v or k or q, *_some(past_v)], _some(step.input(5)))


def _kv_sizes(q: Fact, k: Fact | None, v: Fact | None, n_heads: int) -> tuple[int, int, int]:
    """Head size of keys and of values, and how many keys there are."""
    key_size = q.shape[-1] // n_heads
    if k is None or len(k.shape) == 5:
        return key_size, key_size, q.shape[1] if k is None else k.shape[1]
    if len(k.shape) == 4:
        return key_size, v.shape[3] if v is not None else key_size, k.shape[2]
    return key_size, (v.shape[-1] if v is not None else k.shape[-1]) // n_heads, k.shape[1]


def group_query(step: Step) -> list[Piece]:
    """com.microsoft GroupQueryAttention: several query heads share one key head; Q, K, V may come packed."""
    q, k, v = step.need(0), step.input(1), step.input(2)
    past_k, past_v = step.input(3), step.input(4)
    n_heads, n_kv_heads = int(step.attr("num_heads", 1)), int(step.attr("kv_num_heads", 1))
    size = q.shape[-1] // n_heads if k is not None else q.shape[-1] // (n_heads + 2 * n_kv_heads)
    n_keys = q.shape[1] + (past_k.shape[2] if past_k is not None else 0)
    heads = Heads(q.shape[0], n_heads, n_kv_heads, q.shape[1], n_keys, size, size)
    return _core(step, heads, q, [k or q, *_some(past_k)], [v or q, *_some(past_v)], [])


_STANDARD: Mapping[str, Callable[[Step], list[Piece]]] = {"Attention": standard}
_CONTRIB: Mapping[str, Callable[[Step], list[Piece]]] = {
    "Attention": projected,
    "FlexAttention": standard,
    "GroupQueryAttention": group_query,
    "MultiHeadAttention": multi_head,
    "QAttention": projected,
}


def attention_pieces(step: Step) -> list[Piece] | None:
    """Parts of an attention op; None for every other op. Raises ShapeError when an input is missing."""
    rule = (_CONTRIB if step.domain else _STANDARD).get(step.op_type)
    if rule is None:
        return None
    try:
        return rule(step)
    except (IndexError, ValueError, ZeroDivisionError):
        raise ShapeError(f"node {step.name!r} ({step.op_type}): its inputs do not have the shapes of attention; export again") from None

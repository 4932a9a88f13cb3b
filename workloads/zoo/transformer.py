"""Attention and the pre-norm block, shared by the transformer families.

Splitting heads, transposing them and joining them again are strided operands of the two GEMMs, not
data movement; scale and mask ride on the softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workloads.graph import Gemm, TensorKind

if TYPE_CHECKING:
    from workloads.builder import GraphBuilder, Value


@dataclass(frozen=True, slots=True)
class Heads:
    """`query` heads share `key` key and value heads (equal: multi-head, fewer: grouped queries), each `size` wide."""

    query: int
    key: int
    size: int


@dataclass(frozen=True, slots=True)
class Size:
    """`layers` blocks of `width` with `heads` heads; the MLP is 4 times as wide."""

    layers: int
    width: int
    heads: int


NOTE = "heads are split and joined by strided GEMM operands; attention scale and mask ride on the softmax"


def attend(
    b: GraphBuilder,
    q: Value,
    keys: Value,
    values: Value,
    heads: Heads,
    name: str,
    *,
    past: int = 0,
    window: int = 0,
    act: str = "",
) -> Value:
    """softmax(Q K^T) V over the new positions and `past` cached ones, the last `window` of them when there is a window.

    q (batch, S, query * size); keys and values (batch, T, key * size) of the T new positions; result (batch, S, query * size).
    Two dynamic GEMMs of batch * query groups: (S, size, attended) and (S, attended, size). `act` acts on the scores.
    """
    batch, length, width = q.shape
    n_new = keys.shape[1]
    attended = min(past + n_new, window) if window else past + n_new
    k_parts = _with_cache(b, keys, heads, f"{name}.past_key", attended - n_new)
    v_parts = _with_cache(b, values, heads, f"{name}.past_value", attended - n_new)
    gemm = Gemm(batch * heads.query, length, heads.size, attended, dynamic=True)
    scores = b.matmul(q, *k_parts, gemm=gemm, shape=(batch, heads.query, length, attended), act=act, name=f"{name}.scores")
    weights = b.softmax(scores, name=f"{name}.softmax")
    gemm = Gemm(batch * heads.query, length, attended, heads.size, dynamic=True)
    return b.matmul(weights, *v_parts, gemm=gemm, shape=(batch, length, width), name=f"{name}.context")


def _with_cache(b: GraphBuilder, new: Value, heads: Heads, name: str, cached: int) -> tuple[Value, ...]:
    """Operand B of an attention product: the cache, continued by the new keys or values; or those alone."""
    if cached < 1:
        return (new,)
    return b.input(name, b.batch, heads.key, cached, heads.size, kind=TensorKind.STATE), new


def pre_norm_block(b: GraphBuilder, x: Value, size: Size, name: str, *, past: int = 0) -> tuple[Value, Value, Value]:
    """Return x + attention(norm(x)), then x + MLP(norm(x)), with the new keys and values; biases everywhere, GELU."""
    h = b.norm(x, name=f"{name}.norm1")
    q, k, v = projections(b, h, size.width, name)
    h = attend(b, q, k, v, heads_of(size), name, past=past)
    x = b.add(x, b.linear(h, size.width, name=f"{name}.proj"))
    h = b.linear(b.norm(x, name=f"{name}.norm2"), 4 * size.width, act="Gelu", name=f"{name}.fc1")
    return b.add(x, b.linear(h, size.width, name=f"{name}.fc2")), k, v


def projections(b: GraphBuilder, x: Value, width: int, name: str) -> tuple[Value, Value, Value]:
    """Queries, keys and values of x, with biases."""
    query, key, value = (b.linear(x, width, name=f"{name}.{part}") for part in ("query", "key", "value"))
    return query, key, value


def heads_of(size: Size) -> Heads:
    """Heads that divide the width among them."""
    return Heads(size.heads, size.heads, size.width // size.heads)

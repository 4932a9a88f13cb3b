"""BERT encoders with their pooler."""

from __future__ import annotations

from workloads.builder import GraphBuilder, Value
from workloads.graph import TensorKind, Workload
from workloads.registry import network
from workloads.zoo.transformer import NOTE, Size, attend, heads_of, projections

_BERT = "Devlin, Chang, Lee, Toutanova, BERT, NAACL 2019 (arXiv:1810.04805), section 3"
_COMPACT = "Turc, Chang, Lee, Toutanova, Well-read students learn better (arXiv:1908.08962), table 1"

UNCASED, CASED = 30522, 28996  # entries of the published WordPiece vocabularies
POSITIONS = 512  # longest sequence of the published models


BASE, LARGE = Size(12, 768, 12), Size(24, 1024, 16)


def bert(name: str, batch: int = 1, seq: int = 128, *, size: Size, vocab: int = UNCASED) -> Workload:
    """Word, position and segment embeddings, post-norm encoder, tanh pooler on the first token.

    Raises WorkloadError when seq is above 512, the rows of the position table.
    """
    b = GraphBuilder(name, batch)
    ids = b.input("input_ids", batch, seq, kind=TensorKind.INDEX)
    segments = b.input("token_type_ids", batch, seq, kind=TensorKind.INDEX)
    x = b.add_table(b.embedding(ids, vocab, size.width, name="words"), POSITIONS, name="positions")
    x = b.norm(b.add(x, b.embedding(segments, 2, size.width, name="segments")))
    for layer in range(size.layers):
        x = _block(b, x, size, f"layer{layer}")
    pooled = b.linear(b.move("Gather", (x,), (batch, size.width)), size.width, act="Tanh", name="pooler")
    return b.build(x, pooled, dims={"seq": seq}, notes=(NOTE,))


def _block(b: GraphBuilder, x: Value, size: Size, name: str) -> Value:
    """Return norm(x + attention(x)), then norm(x + MLP(x)); biases everywhere."""
    q, k, v = projections(b, x, size.width, name)
    h = attend(b, q, k, v, heads_of(size), name)
    x = b.norm(b.add(x, b.linear(h, size.width, name=f"{name}.proj")), name=f"{name}.norm1")
    h = b.linear(x, 4 * size.width, act="Gelu", name=f"{name}.fc1")
    return b.norm(b.add(x, b.linear(h, size.width, name=f"{name}.fc2")), name=f"{name}.norm2")


for _label, _size in (("base", BASE), ("large", LARGE)):
    network(f"bert_{_label}_uncased", title=f"BERT {_label}, uncased", paper=_BERT, aliases=(f"bert_{_label}",), size=_size)(bert)
    network(f"bert_{_label}_cased", title=f"BERT {_label}, cased", paper=_BERT, size=_size, vocab=CASED)(bert)
for _label, _size in (("tiny", Size(2, 128, 2)), ("mini", Size(4, 256, 4)), ("small", Size(4, 512, 8)), ("medium", Size(8, 512, 8))):
    network(f"bert_{_label}", title=f"BERT {_label}, uncased", paper=_COMPACT, size=_size)(bert)

"""GPT-2: decoder with learned positions, layer norms, biases and a two-matrix GELU MLP."""

from __future__ import annotations

from workloads.builder import GraphBuilder, Value
from workloads.errors import WorkloadError
from workloads.graph import TensorKind, Workload
from workloads.registry import network
from workloads.zoo.transformer import NOTE, Size, pre_norm_block

_PAPER = "Radford et al., Language models are unsupervised multitask learners (OpenAI, 2019), table 2"
_DISTIL = "Sanh et al., DistilBERT (arXiv:1910.01108), its method on GPT-2: every second layer"

VOCAB, POSITIONS = 50257, 1024


SIZES = {"small": Size(12, 768, 12), "medium": Size(24, 1024, 16), "large": Size(36, 1280, 20), "xl": Size(48, 1600, 25)}


def gpt2(name: str, batch: int = 1, seq: int = 1, past: int = 512, *, size: Size) -> Workload:
    """`seq` new tokens after `past` cached ones: the default decodes one, seq=512 past=0 is a prefill.

    The published fused projection of queries, keys and values is three products here, with the same weights and MACs.
    The new keys and values are results: the caller appends them to the caches. The head shares the embedding table.
    Raises WorkloadError when past is negative or past + seq is above 1024, the rows of the position table.
    """
    if past < 0 or past + seq > POSITIONS:
        raise WorkloadError(f"{name}: past {past} + seq {seq} is out of range; choose past 0 or more and a sum of {POSITIONS} or less")
    b = GraphBuilder(name, batch)
    ids = b.input("input_ids", batch, seq, kind=TensorKind.INDEX)
    x = b.add_table(b.embedding(ids, VOCAB, size.width, name="words"), POSITIONS, name="positions")
    kept: list[Value] = []
    for layer in range(size.layers):
        x, keys, values = pre_norm_block(b, x, size, f"layer{layer}", past=past)
        kept += [keys, values]
    logits = b.linear(b.norm(x), VOCAB, bias=False, weight="words.weight", name="head")
    return b.build(logits, *kept, dims={"seq": seq, "past": past}, notes=(NOTE,))


for _label, _size in SIZES.items():
    network(f"gpt2_{_label}", title=f"GPT-2 {_label}", paper=_PAPER, aliases=("gpt2",) if _label == "small" else (), size=_size)(gpt2)
network("distilgpt2", title="GPT-2 small with every second layer", paper=_DISTIL, size=Size(6, 768, 12))(gpt2)

"""Llama-like decoders: rotary positions, RMS norms, gated MLP, grouped queries; dense or mixture of experts."""

from __future__ import annotations

from dataclasses import dataclass

from workloads.builder import GraphBuilder, Value
from workloads.errors import WorkloadError
from workloads.graph import Gemm, TensorKind, Workload
from workloads.registry import network
from workloads.zoo.transformer import NOTE, Heads, attend

_RMS = "RMSNormalization"


@dataclass(frozen=True, slots=True)
class Decoder:
    """One published model: sizes of a layer, how often it repeats, and what sets the family apart.

    `gated_act` folds into the gate matrix; `sandwich` adds a norm after attention and MLP; `soft_cap` puts a tanh on
    scores and logits; `window` limits attention of every `window_every`-th layer, the first included; `experts` of
    which each token uses `top` replace the MLP.
    """

    layers: int
    width: int
    heads: Heads
    inner: int
    vocab: int
    tied: bool = False
    qkv_bias: bool = False
    gated_act: str = "Silu"
    sandwich: bool = False
    soft_cap: bool = False
    window: int = 0
    window_every: int = 1
    experts: int = 0
    top: int = 0


def decoder(name: str, batch: int = 1, seq: int = 1, past: int = 512, *, model: Decoder) -> Workload:
    """`seq` new tokens after `past` cached ones: the default decodes one, seq=512 past=0 is a prefill.

    Attention is the full rectangle of seq x (past + seq) positions, cut to the window where a layer has one. The new
    keys and values are results: the caller appends them to the caches. A tied head shares the embedding table.
    Raises WorkloadError when past is negative.
    """
    if past < 0:
        raise WorkloadError(f"{name}: past {past} is out of range; choose 0 or more")
    b = GraphBuilder(name, batch)
    x = b.embedding(b.input("input_ids", batch, seq, kind=TensorKind.INDEX), model.vocab, model.width, name="words")
    kept: list[Value] = []
    for layer in range(model.layers):
        x, keys, values = _layer(b, x, model, past, layer)
        kept += [keys, values]
    x = b.norm(x, _RMS, bias=False)
    act = "Tanh" if model.soft_cap else ""
    logits = b.linear(x, model.vocab, bias=False, act=act, weight="words.weight" if model.tied else "", name="head")
    notes = (NOTE, "tokens are spread evenly over the experts (assumed)") if model.experts else (NOTE,)
    return b.build(logits, *kept, dims={"seq": seq, "past": past}, notes=notes)


def _layer(b: GraphBuilder, x: Value, model: Decoder, past: int, layer: int) -> tuple[Value, Value, Value]:
    """Return x + attention(norm(x)), then x + MLP(norm(x)); with the new keys and values."""
    name = f"layer{layer}"
    heads = model.heads
    h = b.norm(x, _RMS, bias=False, name=f"{name}.norm1")
    q = b.linear(h, heads.query * heads.size, bias=model.qkv_bias, name=f"{name}.query")
    k = b.linear(h, heads.key * heads.size, bias=model.qkv_bias, name=f"{name}.key")
    v = b.linear(h, heads.key * heads.size, bias=model.qkv_bias, name=f"{name}.value")
    q, k = (b.elementwise("RotaryEmbedding", part, name=f"{part.name.removesuffix(':0')}.rotary") for part in (q, k))
    window = model.window if layer % model.window_every == 0 else 0
    h = attend(b, q, k, v, heads, name, past=past, window=window, act="Tanh" if model.soft_cap else "")
    x = b.add(x, _sandwich(b, b.linear(h, model.width, bias=False, name=f"{name}.proj"), model, f"{name}.post1"))
    h = b.norm(x, _RMS, bias=False, name=f"{name}.norm2")
    h = _mixture(b, h, model, name) if model.experts else _mlp(b, h, model, name)
    return b.add(x, _sandwich(b, h, model, f"{name}.post2")), k, v


def _sandwich(b: GraphBuilder, x: Value, model: Decoder, name: str) -> Value:
    """The second norm of a sandwich, before the residual is added."""
    return b.norm(x, _RMS, bias=False, name=name) if model.sandwich else x


def _mlp(b: GraphBuilder, x: Value, model: Decoder, name: str) -> Value:
    """down(act(gate(x)) * up(x))."""
    gate = b.linear(x, model.inner, bias=False, act=model.gated_act, name=f"{name}.gate")
    up = b.linear(x, model.inner, bias=False, name=f"{name}.up")
    return b.linear(b.elementwise("Mul", gate, up), model.width, bias=False, name=f"{name}.down")


def _mixture(b: GraphBuilder, x: Value, model: Decoder, name: str) -> Value:
    """The `top` experts of each token, weighted by the router and summed.

    T tokens fill T * top slots; spread evenly they use min(experts, T * top) experts, some of one slot more than
    others: one part an expert load, so that MACs and weights read are exact.
    """
    batch, length, width = x.shape
    slots = batch * length * model.top
    router = b.linear(x, model.experts, bias=False, name=f"{name}.router")
    chosen = b.reduce("TopK", b.softmax(router, name=f"{name}.router.softmax"), (batch, length, model.top), name=f"{name}.router.top")
    tokens = b.move("Gather", (x, chosen), (slots, width), name=f"{name}.dispatch")
    used = min(model.experts, slots)
    rest = slots % used
    parts = [
        _expert_mlp(b, tokens, model, name, n_experts=n_experts, load=load)
        for n_experts, load in ((rest, slots // used + 1), (used - rest, slots // used))
        if n_experts
    ]
    joined = parts[0] if len(parts) == 1 else b.move("Concat", tuple(parts), (slots, width), name=f"{name}.join")
    weighted = b.elementwise("Mul", joined, chosen, name=f"{name}.weigh")
    return b.reduce("ReduceSum", weighted, x.shape, name=f"{name}.combine")


def _expert_mlp(b: GraphBuilder, tokens: Value, model: Decoder, name: str, *, n_experts: int, load: int) -> Value:
    """Gated MLPs of `n_experts` experts with `load` tokens each."""
    up = Gemm(n_experts, load, model.width, model.inner)
    down = Gemm(n_experts, load, model.inner, model.width)
    part = f"{name}.load{load}"
    gate = b.expert_linear(tokens, up, model.experts, act=model.gated_act, weight=f"{name}.experts.gate", name=f"{part}.gate")
    h = b.expert_linear(tokens, up, model.experts, weight=f"{name}.experts.up", name=f"{part}.up")
    h = b.elementwise("Mul", gate, h, name=f"{part}.mul")
    return b.expert_linear(h, down, model.experts, weight=f"{name}.experts.down", name=f"{part}.down")


_LLAMA1 = "Touvron et al., LLaMA (arXiv:2302.13971), table 2"
_LLAMA2 = "Touvron et al., Llama 2 (arXiv:2307.09288), table 1"
_LLAMA3 = "Llama team, The Llama 3 herd of models (arXiv:2407.21783), table 3"
_LLAMA32 = "Meta, Llama 3.2 model card (2024)"
_MISTRAL = "Jiang et al., Mistral 7B (arXiv:2310.06825), table 1"
_MIXTRAL = "Jiang et al., Mixtral of experts (arXiv:2401.04088), table 1"
_QWEN25 = "Qwen team, Qwen2.5 technical report (arXiv:2412.15115), table 1"
_GEMMA2 = "Gemma team, Gemma 2 (arXiv:2408.00118), table 1"
_PHI3 = "Abdin et al., Phi-3 technical report (arXiv:2404.14219), section 2"


def _qwen(layers: int, width: int, heads: Heads, inner: int, vocab: int = 152064, *, tied: bool = False) -> Decoder:
    """Qwen2.5: biases on queries, keys and values."""
    return Decoder(layers, width, heads, inner, vocab, tied=tied, qkv_bias=True)


def _gemma(layers: int, width: int, heads: Heads, inner: int) -> Decoder:
    """Gemma 2: GELU gate, norms before and after, soft caps, a window of 4096 in every second layer."""
    return Decoder(
        layers, width, heads, inner, 256000, tied=True, gated_act="Gelu", sandwich=True, soft_cap=True, window=4096, window_every=2
    )


# Name → (title, paper, model).
MODELS = {
    "llama_7b": ("LLaMA 7B", _LLAMA1, Decoder(32, 4096, Heads(32, 32, 128), 11008, 32000)),
    "llama_13b": ("LLaMA 13B", _LLAMA1, Decoder(40, 5120, Heads(40, 40, 128), 13824, 32000)),
    "llama_30b": ("LLaMA 33B", _LLAMA1, Decoder(60, 6656, Heads(52, 52, 128), 17920, 32000)),
    "llama_65b": ("LLaMA 65B", _LLAMA1, Decoder(80, 8192, Heads(64, 64, 128), 22016, 32000)),
    "llama2_7b": ("Llama 2 7B", _LLAMA2, Decoder(32, 4096, Heads(32, 32, 128), 11008, 32000)),
    "llama2_13b": ("Llama 2 13B", _LLAMA2, Decoder(40, 5120, Heads(40, 40, 128), 13824, 32000)),
    "llama2_70b": ("Llama 2 70B", _LLAMA2, Decoder(80, 8192, Heads(64, 8, 128), 28672, 32000)),
    "llama3_8b": ("Llama 3 8B", _LLAMA3, Decoder(32, 4096, Heads(32, 8, 128), 14336, 128256)),
    "llama3_70b": ("Llama 3 70B", _LLAMA3, Decoder(80, 8192, Heads(64, 8, 128), 28672, 128256)),
    "llama3.1_405b": ("Llama 3.1 405B", _LLAMA3, Decoder(126, 16384, Heads(128, 8, 128), 53248, 128256)),
    "llama3.2_1b": ("Llama 3.2 1B", _LLAMA32, Decoder(16, 2048, Heads(32, 8, 64), 8192, 128256, tied=True)),
    "llama3.2_3b": ("Llama 3.2 3B", _LLAMA32, Decoder(28, 3072, Heads(24, 8, 128), 8192, 128256, tied=True)),
    "mistral_7b_v0.1": ("Mistral 7B v0.1", _MISTRAL, Decoder(32, 4096, Heads(32, 8, 128), 14336, 32000, window=4096)),
    "mixtral_8x7b_v0.1": ("Mixtral 8x7B v0.1", _MIXTRAL, Decoder(32, 4096, Heads(32, 8, 128), 14336, 32000, experts=8, top=2)),
    "qwen2.5_0.5b": ("Qwen2.5 0.5B", _QWEN25, _qwen(24, 896, Heads(14, 2, 64), 4864, 151936, tied=True)),
    "qwen2.5_1.5b": ("Qwen2.5 1.5B", _QWEN25, _qwen(28, 1536, Heads(12, 2, 128), 8960, 151936, tied=True)),
    "qwen2.5_3b": ("Qwen2.5 3B", _QWEN25, _qwen(36, 2048, Heads(16, 2, 128), 11008, 151936, tied=True)),
    "qwen2.5_7b": ("Qwen2.5 7B", _QWEN25, _qwen(28, 3584, Heads(28, 4, 128), 18944)),
    "qwen2.5_14b": ("Qwen2.5 14B", _QWEN25, _qwen(48, 5120, Heads(40, 8, 128), 13824)),
    "qwen2.5_32b": ("Qwen2.5 32B", _QWEN25, _qwen(64, 5120, Heads(40, 8, 128), 27648)),
    "qwen2.5_72b": ("Qwen2.5 72B", _QWEN25, _qwen(80, 8192, Heads(64, 8, 128), 29568)),
    "gemma2_2b": ("Gemma 2 2B", _GEMMA2, _gemma(26, 2304, Heads(8, 4, 256), 9216)),
    "gemma2_9b": ("Gemma 2 9B", _GEMMA2, _gemma(42, 3584, Heads(16, 8, 256), 14336)),
    "gemma2_27b": ("Gemma 2 27B", _GEMMA2, _gemma(46, 4608, Heads(32, 16, 128), 36864)),
    "phi3_mini": ("Phi-3 mini", _PHI3, Decoder(32, 3072, Heads(32, 32, 96), 8192, 32064, window=2048)),
    "phi3_medium": ("Phi-3 medium", _PHI3, Decoder(40, 5120, Heads(40, 10, 128), 17920, 32064, window=2048)),
}
_ALIASES = {"llama3_8b": ("llama3.1_8b",), "llama3_70b": ("llama3.1_70b", "llama3.3_70b")}
for _name, (_title, _paper, _model) in MODELS.items():
    network(_name, title=_title, paper=_paper, aliases=_ALIASES.get(_name, ()), model=_model)(decoder)

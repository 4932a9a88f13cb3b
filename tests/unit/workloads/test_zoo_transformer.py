from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.builder import GraphBuilder
from workloads.errors import WorkloadError
from workloads.graph import Gemm, TensorKind
from workloads.registry import load_workload
from workloads.zoo.decoder import MODELS, Decoder, decoder
from workloads.zoo.transformer import Heads, attend

SMALL = {"layers": 3, "width": 32, "heads": Heads(4, 2, 8), "inner": 48, "vocab": 100}


def decoder_params(m):
    """The formula of networks.README.md: embeddings, layers with their norms, last norm."""
    width = m.width
    attention = 2 * width * m.heads.query * m.heads.size + 2 * width * m.heads.key * m.heads.size
    mlp = max(m.experts, 1) * 3 * width * m.inner + m.experts * width
    norms = (4 if m.sandwich else 2) * width
    biases = (m.heads.query + 2 * m.heads.key) * m.heads.size if m.qkv_bias else 0
    return m.vocab * width * (1 if m.tied else 2) + m.layers * (attention + mlp + norms + biases) + width


def decoder_macs(m, seq, past):
    """The formula of networks.README.md: layers, attention rectangle, head on every position."""
    width, size = m.width, m.heads.query * m.heads.size
    used = m.top * 3 * width * m.inner + m.experts * width if m.experts else 3 * width * m.inner
    weights = 2 * width * size + 2 * width * m.heads.key * m.heads.size + used
    attended = [min(past + seq, m.window) if m.window and i % m.window_every == 0 else past + seq for i in range(m.layers)]
    return seq * m.layers * weights + sum(2 * size * seq * n for n in attended) + seq * m.vocab * width


def one(net, suffix):
    (found,) = [op for op in net if op.name == suffix]
    return found


def test_attention_over_a_cache_is_two_dynamic_products():
    b = GraphBuilder("net", 2)
    q, k, v = b.input("q", 2, 3, 32), b.input("k", 2, 3, 16), b.input("v", 2, 3, 16)
    net = b.build(attend(b, q, k, v, Heads(4, 2, 8), "a", past=5))
    scores, context = one(net, "a.scores"), one(net, "a.context")
    assert scores.gemm == Gemm(8, 3, 8, 8, dynamic=True)
    assert context.gemm == Gemm(8, 3, 8, 8, dynamic=True)
    assert scores.inputs == ("q", "a.past_key", "k")
    assert net.tensors["a.past_key"].kind is TensorKind.STATE
    assert net.tensors["a.past_key"].shape == (2, 2, 5, 8)
    assert net.tensors[scores.outputs[0]].shape == (2, 4, 3, 8)
    assert net.tensors[context.outputs[0]].shape == (2, 3, 32)


@pytest.mark.parametrize(("seq", "past", "attended", "cached"), [(1, 5, 6, 5), (1, 20, 8, 7), (3, 20, 8, 5), (8, 4, 8, 0), (12, 0, 8, 0)])
def test_a_window_limits_positions_and_cache(seq, past, attended, cached):
    b = GraphBuilder("net")
    q, k, v = b.input("q", 1, seq, 8), b.input("k", 1, seq, 8), b.input("v", 1, seq, 8)
    net = b.build(attend(b, q, k, v, Heads(1, 1, 8), "a", past=past, window=8))
    assert one(net, "a.scores").gemm == Gemm(1, seq, 8, attended, dynamic=True)
    assert ("a.past_key" in net.tensors) == (cached > 0)
    if cached:
        assert net.tensors["a.past_key"].shape == (1, 1, cached, 8)


@settings(max_examples=40, deadline=None)
@given(
    st.builds(
        Decoder,
        layers=st.integers(1, 4),
        width=st.sampled_from([16, 32]),
        heads=st.sampled_from([Heads(4, 4, 8), Heads(4, 2, 8), Heads(6, 1, 4)]),
        inner=st.integers(8, 40),
        vocab=st.integers(10, 90),
        tied=st.booleans(),
        qkv_bias=st.booleans(),
        sandwich=st.booleans(),
        soft_cap=st.booleans(),
        window=st.sampled_from([0, 4]),
        window_every=st.sampled_from([1, 2]),
    ),
    st.integers(1, 9),
    st.integers(0, 9),
)
def test_decoder_counts_follow_the_formulas(model, seq, past):
    net = decoder("net", 1, seq, past, model=model)
    assert net.n_params == decoder_params(model)
    assert net.n_macs == decoder_macs(model, seq, past)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 6), st.integers(1, 3))
def test_mixture_uses_top_experts_a_token_and_reads_only_those_in_use(seq, batch, experts, top):
    model = Decoder(**SMALL, experts=experts, top=min(top, experts))
    net = decoder("net", batch, seq, 0, model=model)
    assert net.n_params == decoder_params(model)
    assert net.n_macs == batch * decoder_macs(model, seq, 0)
    used = min(experts, batch * seq * model.top)
    gates = [op for op in net if op.name.startswith("layer0.load") and op.name.endswith("gate")]
    assert sum(op.n_weight_elements for op in gates) == used * model.width * model.inner
    assert sum(op.gemm.groups * op.gemm.m for op in gates) == batch * seq * model.top


def test_one_token_of_mixtral_reads_two_experts_of_eight():
    net = load_workload("mixtral_8x7b_v0.1")
    assert one(net, "layer0.load1.gate").gemm == Gemm(2, 1, 4096, 14336)
    assert net.tensors["layer0.experts.gate"].shape == (8, 14336, 4096)
    assert any("assumed" in note for note in net.notes)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_published_models_follow_the_formulas(name):
    net = load_workload(name)
    assert net.n_params == decoder_params(MODELS[name][2])
    assert net.n_macs == decoder_macs(MODELS[name][2], 1, 512)


def test_the_cache_of_a_decoder_holds_two_tensors_a_layer():
    """networks.csv: llama3_8b keeps 131072 bytes a token at 2 bytes an element."""
    net = load_workload("llama3_8b", past=100)
    caches = [tensor for tensor in net.tensors.values() if tensor.kind is TensorKind.STATE]
    assert len(caches) == 2 * 32
    assert sum(tensor.n_elements for tensor in caches) * 2 == 100 * 131072


def test_new_keys_and_values_are_results():
    net = load_workload("gpt2", seq=2, past=3)
    assert net.outputs[0] == "head:0"
    assert len(net.outputs) == 1 + 2 * 12
    assert all(net.tensors[name].shape == (1, 2, 768) for name in net.outputs[1:])


def test_a_prefill_has_no_cache():
    net = load_workload("gpt2", seq=4, past=0)
    assert net.inputs == ("input_ids",)


def test_gemma_alternates_windows():
    net = load_workload("gemma2_2b", seq=1, past=8000)
    assert [one(net, f"layer{i}.scores").gemm.n for i in range(4)] == [4096, 8001, 4096, 8001]
    assert one(net, "layer0.scores").fused == ("Tanh",)


def test_gate_of_a_llama_folds_its_activation():
    net = load_workload("llama3.2_1b")
    assert one(net, "layer0.gate").fused == ("Silu",)
    assert one(net, "layer0.up").fused == ()
    assert net.op_types()["RMSNormalization"] == 2 * 16 + 1
    assert net.op_types()["RotaryEmbedding"] == 2 * 16


def test_tied_head_reads_the_embedding_table():
    net = load_workload("llama3.2_1b")
    assert one(net, "head").weights == one(net, "words").weights == ("words.weight",)
    assert one(net, "words").n_weight_elements == 2048  # one row
    untied = load_workload("llama3_8b")
    assert one(untied, "head").weights == ("head.weight",)


def test_gpt2_positions_end_at_1024():
    assert load_workload("gpt2", seq=1, past=1023).dims == {"batch": 1, "seq": 1, "past": 1023}
    with pytest.raises(WorkloadError, match="gpt2: past 1024 \\+ seq 1 is out of range"):
        load_workload("gpt2", seq=1, past=1024)


@pytest.mark.parametrize("name", ["gpt2", "llama2_7b"])
def test_a_negative_past_is_refused_by_the_builder_too(name):
    from workloads.registry import list_networks

    with pytest.raises(WorkloadError, match="past -1"):
        list_networks()[name].build(past=-1)


def test_bert_attends_over_the_whole_sequence_both_ways():
    net = load_workload("bert_base", seq=77, batch=2)
    assert one(net, "layer3.scores").gemm == Gemm(2 * 12, 77, 64, 77, dynamic=True)
    assert one(net, "pooler").gemm == Gemm(1, 2, 768, 768)
    assert one(net, "words").n_weight_elements == 2 * 77 * 768


def test_bert_positions_end_at_512():
    with pytest.raises(WorkloadError, match="bert_base: 513 positions asked of a table of 512"):
        load_workload("bert_base", seq=513)


def test_cased_bert_differs_by_its_vocabulary():
    assert load_workload("bert_base_uncased").n_params - load_workload("bert_base_cased").n_params == (30522 - 28996) * 768


def test_vit_has_196_patches_and_a_class_token():
    net = load_workload("vit_b_16")
    assert one(net, "patches").gemm == Gemm(1, 196, 768, 768)
    assert one(net, "layer0.scores").gemm == Gemm(12, 197, 64, 197, dynamic=True)
    assert net.ops[-1].gemm == Gemm(1, 1, 768, 1000)


def test_position_table_of_a_vit_grows_with_the_image():
    small, big = load_workload("deit_tiny_patch16_224", height=192, width=192), load_workload("deit_tiny_patch16_224")
    assert big.n_params - small.n_params == (196 - 144) * 192


@pytest.mark.parametrize("height", [225, 8, -16, 0])
def test_patches_must_tile_the_image(height):
    from workloads.registry import list_networks

    with pytest.raises(WorkloadError, match="is not a whole number of 16x16 patches"):
        list_networks()["vit_b_16"].build(height=height)


def test_distilled_deit_has_one_token_and_one_head_more():
    plain, distilled = load_workload("deit_tiny_patch16_224"), load_workload("deit_tiny_distilled_patch16_224")
    assert distilled.n_params - plain.n_params == 192 + 192 + 192 * 1000 + 1000
    assert one(distilled, "layer0.scores").gemm.n == 198


@pytest.mark.parametrize("name", ["gpt2", "bert_base", "vit_b_16", "llama3.2_1b"])
def test_transformers_say_what_they_take_for_free(name):
    assert any("strided" in note for note in load_workload(name).notes)

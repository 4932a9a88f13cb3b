"""Whole-attention ops become their parts; MACs by the rule 2 * batch * heads * new tokens * all tokens * head size."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, defs, helper, numpy_helper

from workloads.errors import WorkloadError
from workloads.graph import Gemm, OpKind
from workloads.onnx_import import load_onnx
from workloads.ops import SOFTMAX_OPS_PER_ELEMENT

FLOAT = TensorProto.FLOAT
BATCH, HEADS, NEW, PAST, SIZE = 2, 4, 6, 10, 8
WIDTH = HEADS * SIZE

needs_23 = pytest.mark.skipif(defs.onnx_opset_version() < 23, reason="this onnx has no Attention in its standard")


def info(name, *shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, list(shape))


def stored(name, *shape):
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def load(tmp_path, node, inputs, weights=(), outputs="y", opset=17):
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph([node], "g", inputs, results, list(weights))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
    return load_onnx(path, {})


def contrib(op_type, inputs, outputs=("y",), **attributes):
    return helper.make_node(op_type, inputs, list(outputs), "attn", domain="com.microsoft", **attributes)


def check_core(ops, n_keys, kv_heads=HEADS):
    """Scores, softmax, weighted sum; query heads that share a key head are rows of one product."""
    scores, softmax, mix = ops
    rows = NEW * HEADS // kv_heads
    assert scores.gemm == Gemm(BATCH * kv_heads, rows, SIZE, n_keys, dynamic=True)
    assert mix.gemm == Gemm(BATCH * kv_heads, rows, n_keys, SIZE, dynamic=True)
    assert scores.n_macs + mix.n_macs == 2 * BATCH * HEADS * NEW * n_keys * SIZE
    assert softmax.kind is OpKind.SOFTMAX
    assert softmax.n_vector_ops >= SOFTMAX_OPS_PER_ELEMENT * BATCH * HEADS * NEW * n_keys
    assert softmax.inputs[0] == scores.outputs[0]
    assert mix.inputs[0] == softmax.outputs[0]
    assert mix.name == "attn"


@needs_23
def test_standard_attention_with_heads_on_their_own_axis(tmp_path):
    node = helper.make_node("Attention", ["q", "k", "v"], ["y"], "attn")
    shapes = [info(name, BATCH, HEADS, NEW, SIZE) for name in "qkv"]
    workload = load(tmp_path, node, shapes, opset=23)
    check_core(workload.ops, NEW)
    assert workload.coverage.costed == {"Attention": 1}
    assert workload.coverage.n_nodes == 1


@needs_23
def test_standard_attention_with_a_cache_and_grouped_heads(tmp_path):
    node = helper.make_node("Attention", ["q", "k", "v", "", "pk", "pv"], ["y", "nk", "nv"], "attn", q_num_heads=HEADS, kv_num_heads=2)
    inputs = [info("q", BATCH, NEW, WIDTH), *(info(name, BATCH, NEW, 2 * SIZE) for name in "kv")]
    inputs += [info(name, BATCH, 2, PAST, SIZE) for name in ("pk", "pv")]
    workload = load(tmp_path, node, inputs, outputs=["y", "nk", "nv"], opset=23)
    check_core(workload.ops, NEW + PAST, kv_heads=2)
    assert workload.ops[0].inputs == ("q", "k", "pk")
    assert workload.ops[2].outputs == ("y", "nk", "nv")
    assert workload.tensors["nk"].shape == (BATCH, 2, NEW + PAST, SIZE)


def test_attention_with_its_projection_multiplies_the_stored_matrix_first(tmp_path):
    workload = load(
        tmp_path,
        contrib("Attention", ["x", "w", "b"], num_heads=HEADS),
        [info("x", BATCH, NEW, 24)],
        [stored("w", 24, 3 * WIDTH), stored("b", 3 * WIDTH)],
    )
    projection, *core = workload.ops
    assert (projection.gemm, projection.weights) == (Gemm(1, BATCH * NEW, 24, 3 * WIDTH), ("w", "b"))
    check_core(core, NEW)
    assert workload.tensors["y"].shape == (BATCH, NEW, WIDTH)
    assert core[0].inputs[0] == projection.outputs[0]


def test_attention_with_a_past_looks_at_all_tokens(tmp_path):
    node = contrib("Attention", ["x", "w", "", "", "past"], ["y", "present"], num_heads=HEADS)
    inputs = [info("x", BATCH, NEW, 24), info("past", 2, BATCH, HEADS, PAST, SIZE)]
    workload = load(tmp_path, node, inputs, [stored("w", 24, 3 * WIDTH)], outputs=["y", "present"])
    check_core(workload.ops[1:], NEW + PAST)
    assert workload.tensors["present"].shape == (2, BATCH, HEADS, NEW + PAST, SIZE)


def test_quantized_attention_is_priced_alike(tmp_path):
    weights = [stored("w", 24, 3 * WIDTH), stored("b", 3 * WIDTH), stored("s")]
    node = contrib("QAttention", ["x", "w", "b", "s", "s"], num_heads=HEADS)
    check_core(load(tmp_path, node, [info("x", BATCH, NEW, 24)], weights).ops[1:], NEW)


def test_multi_head_attention_of_separate_operands(tmp_path):
    inputs = [info("q", BATCH, NEW, WIDTH), info("k", BATCH, 9, WIDTH), info("v", BATCH, 9, WIDTH)]
    workload = load(tmp_path, contrib("MultiHeadAttention", ["q", "k", "v"], num_heads=HEADS), inputs)
    check_core(workload.ops, 9)
    assert workload.tensors["y"].shape == (BATCH, NEW, WIDTH)


def test_multi_head_attention_of_operands_split_by_head(tmp_path):
    inputs = [info("q", BATCH, NEW, WIDTH), *(info(name, BATCH, HEADS, 9, SIZE) for name in "kv")]
    workload = load(tmp_path, contrib("MultiHeadAttention", ["q", "k", "v"], num_heads=HEADS), inputs)
    check_core(workload.ops, 9)
    assert workload.tensors["y"].shape == (BATCH, NEW, WIDTH)


def test_multi_head_attention_of_packed_operands(tmp_path):
    workload = load(tmp_path, contrib("MultiHeadAttention", ["qkv"], num_heads=HEADS), [info("qkv", BATCH, NEW, HEADS, 3, SIZE)])
    check_core(workload.ops, NEW)
    assert workload.tensors["y"].shape == (BATCH, NEW, WIDTH)


@pytest.mark.parametrize("packed", [False, True])
def test_grouped_query_attention(tmp_path, packed):
    kv = 2
    names = ["q", "", ""] if packed else ["q", "k", "v"]
    inputs = [info("q", BATCH, NEW, WIDTH + 2 * kv * SIZE if packed else WIDTH)]
    inputs += [] if packed else [info(name, BATCH, NEW, kv * SIZE) for name in "kv"]
    inputs += [info(name, BATCH, kv, PAST, SIZE) for name in ("past_k", "past_v")]
    node = contrib("GroupQueryAttention", [*names, "past_k", "past_v"], ["y", "nk", "nv"], num_heads=HEADS, kv_num_heads=kv)
    workload = load(tmp_path, node, inputs, outputs=["y", "nk", "nv"])
    check_core(workload.ops, NEW + PAST, kv_heads=kv)
    assert workload.tensors["y"].shape == (BATCH, NEW, WIDTH)
    assert workload.tensors["nk"].shape == (BATCH, kv, PAST + NEW, SIZE)


def test_a_running_mask_is_added_to_the_scores(tmp_path):
    inputs = [*(info(name, BATCH, NEW, WIDTH) for name in "qkv"), info("m", BATCH, HEADS, NEW, NEW)]
    node = contrib("MultiHeadAttention", ["q", "k", "v", "", "", "m"], num_heads=HEADS)
    softmax = load(tmp_path, node, inputs).ops[1]
    assert softmax.inputs[1] == "m"
    assert softmax.n_vector_ops == (SOFTMAX_OPS_PER_ELEMENT + 1) * BATCH * HEADS * NEW * NEW


def test_attention_without_heads_is_refused_by_name(tmp_path):
    with pytest.raises(WorkloadError, match="node 'attn'"):
        load(tmp_path, contrib("Attention", ["x", "w"], num_heads=0), [info("x", BATCH, NEW, 24)], [stored("w", 24, 96)])

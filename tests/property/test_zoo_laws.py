"""Laws that hold for every size of a network."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.graph import OpKind
from workloads.registry import load_workload

CONV_NETS = ["resnet18", "resnet20_cifar", "mobilenet_v2", "mobilenetv1_025", "vgg11", "densenet121", "squeezenet1_1"]
SEQUENCE_NETS = ["gpt2", "bert_tiny", "qwen2.5_0.5b", "llama3.2_1b"]
laws = settings(max_examples=25, deadline=None)


@laws
@given(st.sampled_from(CONV_NETS), st.integers(2, 6), st.integers(2, 6))
def test_an_image_on_its_side_costs_the_same(name, tall, wide):
    standing = load_workload(name, height=32 * tall, width=32 * wide)
    lying = load_workload(name, height=32 * wide, width=32 * tall)
    assert standing.n_macs == lying.n_macs
    assert standing.n_params == lying.n_params


@laws
@given(st.sampled_from(CONV_NETS), st.integers(64, 160), st.integers(1, 60))
def test_a_larger_image_never_costs_less(name, size, more):
    assert load_workload(name, height=size + more, width=size).n_macs >= load_workload(name, height=size, width=size).n_macs


@laws
@given(st.sampled_from(["gpt2", "qwen2.5_0.5b", "llama3.2_1b"]), st.integers(1, 40), st.integers(0, 40), st.integers(1, 40))
def test_each_cached_position_costs_the_same(name, seq, past, more):
    """Attention is a rectangle of seq x (past + seq): linear in the past."""
    at = {value: load_workload(name, seq=seq, past=value).n_macs for value in (past, past + 1, past + more)}
    assert at[past + more] - at[past] == more * (at[past + 1] - at[past])


@laws
@given(st.sampled_from(["gpt2", "llama3.2_1b"]), st.integers(1, 20), st.integers(1, 20), st.integers(0, 20))
def test_a_prompt_in_two_parts_saves_the_rectangle_that_the_first_part_does_not_see(name, first, second, past):
    whole = load_workload(name, seq=first + second, past=past)
    parts = [load_workload(name, seq=first, past=past), load_workload(name, seq=second, past=past + first)]
    scores = next(op.gemm for op in whole if op.gemm and op.gemm.dynamic)
    n_layers = sum(bool(op.gemm and op.gemm.dynamic) for op in whole) // 2
    assert whole.n_macs - sum(part.n_macs for part in parts) == 2 * n_layers * scores.groups * scores.k * first * second


@laws
@given(st.sampled_from(SEQUENCE_NETS), st.integers(1, 100))
def test_parameters_do_not_depend_on_the_sequence(name, seq):
    assert load_workload(name, seq=seq).n_params == load_workload(name, seq=1).n_params


@laws
@given(st.sampled_from(CONV_NETS + SEQUENCE_NETS), st.integers(1, 16), st.integers(1, 32), st.integers(1, 32))
def test_weight_bytes_follow_the_bits_and_macs_do_not(name, few, many, other):
    net = load_workload(name)
    narrow, wide = net.with_bits(few, other), net.with_bits(2 * few, many)
    assert narrow.weight_bytes <= wide.weight_bytes <= 2 * narrow.weight_bytes
    assert narrow.n_macs == wide.n_macs == net.n_macs


@laws
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 8), st.integers(1, 40))
def test_a_perceptron_multiplies_once_for_each_weight(inputs, hidden, layers, outputs):
    net = load_workload("mlp", inputs=inputs, hidden=hidden, layers=layers, outputs=outputs)
    biases = hidden * layers + outputs
    assert net.n_macs == net.n_params - biases == inputs * hidden + hidden * hidden * (layers - 1) + hidden * outputs


@laws
@given(st.integers(1, 16), st.integers(1, 16))
def test_a_vision_transformer_pays_for_its_patches(rows, columns):
    net = load_workload("vit_tiny_patch16_224", height=16 * rows, width=16 * columns)
    n, width = rows * columns + 1, 192
    assert net.n_macs == (n - 1) * 768 * width + 12 * (n * 12 * width**2 + 2 * n**2 * width) + width * 1000


@pytest.mark.parametrize("name", [*CONV_NETS, *SEQUENCE_NETS])
def test_every_edge_runs_forward(name):
    net = load_workload(name)
    assert all(edge.src < edge.dst for edge in net.edges)
    readers = {edge.dst for edge in net.edges}
    fed_from_outside = {index for index, op in enumerate(net) if set(op.inputs) & set(net.inputs)}
    assert readers | fed_from_outside == set(range(len(net.ops)))


@pytest.mark.parametrize("name", CONV_NETS)
def test_a_convolution_reads_what_its_producer_made(name):
    """k of the GEMM is a whole number of input channels of a group."""
    net = load_workload(name)
    for op in net:
        if op.kind is OpKind.MATMUL and op.op_type == "Conv":
            channels = net.tensors[op.inputs[0]].shape[1]
            assert op.gemm.k % (channels // op.gemm.groups) == 0

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.builder import GraphBuilder
from workloads.errors import WorkloadError
from workloads.graph import Gemm, OpKind, TensorKind
from workloads.optable import COLUMNS, OpTable, is_matmul
from workloads.registry import load_workload


def two_layers(batch=1):
    b = GraphBuilder("net", batch)
    x = b.input("x", batch, 16)
    x = b.linear(x, 16, act="Relu")
    x = b.linear(x, 16, act="Relu")
    return b.build(b.linear(x, 4))


def test_resnet18_has_20_convolutions_of_11_shapes():
    net = load_workload("resnet18")
    convs = [op for op in net if op.op_type == "Conv"]
    assert len(convs) == 20
    assert len({op.gemm for op in convs}) == 11


def test_a_folded_relu_sets_a_convolution_apart():
    """Each of 3 later stages: 3x3 of stride 2 + ReLU, 3x3 + ReLU, 3x3, 1x1; the first stage 2 rows, the stem 1."""
    net = load_workload("resnet18")
    table = OpTable.from_workload(net)
    rows = {int(table.row_of_op[i]) for i, op in enumerate(net) if op.op_type == "Conv"}
    assert len(rows) == 1 + 2 + 3 * 4


def test_equal_layers_share_a_row():
    table = OpTable.from_workload(two_layers())
    assert len(table) == 2
    assert table.row_of_op.tolist() == [0, 0, 1]
    assert table.n_repeats.tolist() == [2, 1]


def test_columns_of_a_linear_layer_with_relu():
    table = OpTable.from_workload(two_layers())
    row = {name: int(getattr(table, name)[0]) for name in COLUMNS}
    assert row == {
        "kind": OpKind.MATMUL,
        "groups": 1,
        "m": 1,
        "k": 16,
        "n": 16,
        "dynamic": 0,
        "n_vector_ops": 16,
        "special": 0,
        "weight_elements": 16 * 16 + 16,
        "input_elements": 16,
        "output_elements": 16,
        "weight_bits": 8,
        "activation_bits": 8,
    }
    assert is_matmul(table).all()


def test_operand_b_of_attention_counts_as_weight_at_activation_precision():
    b = GraphBuilder("net")
    q, k = b.input("q", 1, 3, 8), b.input("k", 1, 5, 8)
    net = b.build(b.matmul(q, k, gemm=Gemm(2, 3, 4, 5, dynamic=True), shape=(1, 2, 3, 5))).with_bits(4, 16)
    table = OpTable.from_workload(net)
    assert (table.weight_elements[0], table.input_elements[0], table.output_elements[0]) == (40, 24, 30)
    assert (table.weight_bits[0], table.activation_bits[0], table.dynamic[0]) == (16, 16, 1)


def test_new_keys_beside_a_cache_are_an_input():
    b = GraphBuilder("net")
    q, new = b.input("q", 1, 1, 8), b.input("new", 1, 1, 8)
    cache = b.input("cache", 1, 2, 5, 4, kind=TensorKind.STATE)
    net = b.build(b.matmul(q, cache, new, gemm=Gemm(2, 1, 4, 6, dynamic=True), shape=(1, 2, 1, 6)))
    table = OpTable.from_workload(net)
    assert (table.weight_elements[0], table.input_elements[0]) == (40, 16)


def test_bytes_are_packed_bits():
    table = OpTable.from_workload(two_layers().with_bits(3, 5))
    assert table.weight_bytes[0] == -(-272 * 3 // 8)
    assert table.input_bytes[0] == 10
    assert table.output_bytes[0] == 10


def test_a_look_up_reads_rows_and_not_its_table():
    b = GraphBuilder("net")
    net = b.build(b.embedding(b.input("ids", 1, 3, kind=TensorKind.INDEX), 1000, 8))
    table = OpTable.from_workload(net)
    assert table.weight_elements[0] == 24
    assert table.kind[0] == OpKind.MOVE
    assert net.weight_bytes == 8000


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["resnet18", "lenet5_1998", "mlperf_tiny_dscnn_kws", "gpt2", "bert_tiny"]), st.integers(1, 5))
def test_repeats_times_rows_are_the_whole_network(name, batch):
    net = load_workload(name, batch)
    table = OpTable.from_workload(net)
    assert int((table.n_macs * table.n_repeats).sum()) == net.n_macs
    assert int(table.n_repeats.sum()) == len(net.ops)
    assert all(getattr(table, column).dtype == np.int64 for column in COLUMNS)


def test_an_empty_network_has_an_empty_table():
    b = GraphBuilder("nothing")
    assert len(OpTable.from_workload(b.build(b.input("x", 1)))) == 0


def test_counts_beyond_64_bits_are_refused_by_name():
    with pytest.raises(WorkloadError, match=r"mlp: an op has more than .* choose a smaller batch"):
        OpTable.from_workload(load_workload("mlp", batch=10**15))


def test_a_slice_reads_no_more_than_it_returns_and_a_concat_reads_all():
    build = GraphBuilder("moves")
    x = build.input("x", 1, 12, 64)
    part = build.move("Slice", (x,), (1, 4, 64))
    both = build.move("Concat", (x, part), (1, 16, 64))
    table = OpTable.from_workload(build.build(both))
    assert table.input_elements.tolist() == [4 * 64, 16 * 64]


def test_a_lookup_of_activations_reads_rows_and_their_addresses():
    build = GraphBuilder("lookup")
    x, ids = build.input("x", 1000, 64), build.input("ids", 8, kind=TensorKind.INDEX)
    table = OpTable.from_workload(build.build(build.move("Gather", (x, ids), (8, 64))))
    assert table.input_elements.tolist() == [8 * 64 + 8]


def test_a_product_reads_at_the_bits_of_its_input_and_writes_at_those_of_its_output():
    net = two_layers().with_bits(2, 3)
    middle = net.ops[1]
    tensors = {**net.tensors, middle.outputs[0]: replace(net.tensors[middle.outputs[0]], bits=5)}
    table = OpTable.from_workload(replace(net, tensors=tensors, own_bits=True))
    row = table.row_of_op[1]
    assert table.activation_bits[row] == 3
    assert (table.input_bytes[row], table.output_bytes[row]) == (6, 10)  # 16 elements
    assert len(table) == 3  # no op is like another any more

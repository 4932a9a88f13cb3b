from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.errors import WorkloadError
from workloads.graph import Coverage, Edge, Gemm, Op, OpKind, Tensor, TensorKind, Workload


def op(name, inputs, outputs, weights=(), gemm=None):
    return Op(name, "Relu", OpKind.ELEMENTWISE, tuple(inputs), tuple(outputs), weights=tuple(weights), gemm=gemm)


def graph(*ops, names="xabcw", **more):
    kinds = {"w": TensorKind.WEIGHT, "x": TensorKind.INPUT, "i": TensorKind.INDEX, "s": TensorKind.STATE}
    tensors = {name: Tensor(name, (4,), kinds.get(name, TensorKind.ACTIVATION)) for name in names}
    return Workload("net", tensors, ops, ("x",), ("a",), n_params=0, **more)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=4), st.integers(1, 32))
def test_bytes_of_a_tensor_are_its_bits_rounded_up(shape, bits):
    tensor = Tensor("t", tuple(shape), bits=bits)
    count = 1
    for size in shape:
        count *= size
    assert tensor.n_elements == count
    assert tensor.n_bytes * 8 >= count * bits > (tensor.n_bytes - 1) * 8


def test_three_weights_of_3_bits_take_two_bytes():
    assert Tensor("w", (3,), bits=3).n_bytes == 2


def test_gemm_counts_each_group():
    assert Gemm(2, 3, 5, 7).n_macs == 210


def test_an_op_without_a_product_has_no_macs():
    assert op("relu", "x", "a").n_macs == 0


def test_edges_name_producer_reader_and_tensor():
    net = graph(op("f", "x", "a"), op("g", "a", "b"), op("h", ("a", "b", "a"), "c"))
    assert net.edges == (Edge(0, 1, "a"), Edge(0, 2, "a"), Edge(1, 2, "b"))
    assert net.producer == {"a": 0, "b": 1, "c": 2}


def test_a_cycle_is_refused():
    with pytest.raises(WorkloadError, match="'f' reads 'b' before it is made: cycle"):
        graph(op("f", "b", "a"), op("g", "a", "b"))


def test_an_op_that_reads_its_own_result_is_refused():
    with pytest.raises(WorkloadError, match="cycle"):
        graph(op("f", "a", "a"))


@pytest.mark.parametrize("bad", [op("f", "q", "a"), op("f", "x", "q"), op("f", "x", "a", weights="q")])
def test_an_undeclared_tensor_is_refused(bad):
    with pytest.raises(WorkloadError, match="net: op 'f' names tensor 'q', which is not declared"):
        graph(bad)


def test_a_tensor_has_one_producer():
    with pytest.raises(WorkloadError, match="'a' is made twice, the second time by 'g'"):
        graph(op("f", "x", "a"), op("g", "x", "a"))


def test_tied_weights_are_stored_once():
    net = graph(op("f", "x", "a", weights="w"), op("g", "a", "b", weights="w"))
    assert [tensor.name for tensor in net.weight_tensors] == ["w"]
    assert net.weight_bytes == 4


def test_precision_changes_all_but_indices():
    net = graph(op("f", ("x", "i", "s"), "a", weights="w"), names="xiswa").with_bits(4, 16)
    assert {name: tensor.bits for name, tensor in net.tensors.items()} == {"x": 16, "i": 8, "s": 16, "w": 4, "a": 16}
    assert net.weight_bytes == 2


@pytest.mark.parametrize(
    ("weight_bits", "activation_bits", "what"), [(0, 8, "weight bits: 0"), (8, 33, "activation bits: 33"), (-1, 8, "-1")]
)
def test_impossible_precision_is_refused(weight_bits, activation_bits, what):
    with pytest.raises(WorkloadError, match=what):
        graph(op("f", "x", "a")).with_bits(weight_bits, activation_bits)


def test_coverage_counts_every_node_of_the_source_once():
    assert Coverage({"Conv": 2}, {"Concat": 1}, {"Dropout": 3}).n_nodes == 6


def test_ops_are_iterated_in_order_and_counted_by_type():
    net = graph(op("f", "x", "a"), op("g", "a", "b"))
    assert [each.name for each in net] == ["f", "g"]
    assert net.op_types() == {"Relu": 2}


def test_macs_of_a_network_are_the_sum_over_its_ops():
    net = graph(op("f", "x", "a", gemm=Gemm(1, 2, 3, 4)), op("g", "a", "b", gemm=Gemm(2, 1, 1, 1)))
    assert net.n_macs == 26


def test_bits_of_its_own_stay():
    plain = graph(op("a", ["x"], ["a"]))
    assert plain.with_bits(2, 3).tensors["a"].bits == 3
    kept = graph(op("a", ["x"], ["a"]), own_bits=True)
    assert kept.with_bits(2, 3).tensors["a"].bits == 8

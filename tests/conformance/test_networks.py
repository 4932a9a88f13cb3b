"""What must hold for every network of the zoo, present and future."""

from __future__ import annotations

import pytest

from workloads.errors import WorkloadError
from workloads.graph import OpKind, TensorKind
from workloads.optable import OpTable
from workloads.registry import list_networks, load_workload

NETWORKS = list_networks()
SMALL = {"seq": 2, "past": 3}


def smallest(name, batch=1):
    """A network at short sequences; images as they are."""
    return load_workload(name, batch, **{key: value for key, value in SMALL.items() if key in NETWORKS[name].dims})


@pytest.mark.parametrize("name", NETWORKS)
def test_graph_is_whole(name):
    net = load_workload(name)
    read = {tensor for op in net for tensor in (*op.inputs, *op.weights)}
    made = {tensor for op in net for tensor in op.outputs}
    assert set(net.tensors) == read | set(net.outputs) | set(net.inputs)
    assert set(net.inputs) <= read, "an input is not read"
    assert made <= read | set(net.outputs), "a result is lost"
    assert set(net.outputs) <= made
    assert len({op.name for op in net}) == len(net.ops)
    weights = {tensor for op in net for tensor in op.weights}
    assert all((tensor.kind is TensorKind.WEIGHT) == (name in weights) for name, tensor in net.tensors.items())
    assert all(size >= 1 for tensor in net.tensors.values() for size in tensor.shape)


@pytest.mark.parametrize("name", NETWORKS)
def test_products_fit_their_operands(name):
    net = smallest(name)
    for op in net:
        assert (op.kind is OpKind.MATMUL) == (op.gemm is not None)
        out = sum(net.tensors[tensor].n_elements for tensor in op.outputs)
        if op.gemm:
            assert op.gemm.groups * op.gemm.m * op.gemm.n == out
            assert op.gemm.dynamic == (not op.weights)
        if op.gemm and not op.gemm.dynamic:
            assert 0 <= op.n_weight_elements - op.gemm.groups * op.gemm.k * op.gemm.n <= op.gemm.groups * op.gemm.n  # biases


@pytest.mark.parametrize("name", NETWORKS)
def test_coverage_counts_every_op_and_calls_nothing_priced_free(name):
    net = smallest(name)
    folded = sum(len(op.fused) for op in net)
    assert sum(net.coverage.costed.values()) + sum(net.coverage.data_movement.values()) == len(net.ops) + folded
    assert set(net.coverage.free) <= {"BatchNormalization", "Flatten", "Dropout"}
    assert all(op.n_vector_ops > 0 or op.gemm or op.kind is OpKind.MOVE for op in net)


@pytest.mark.parametrize("name", NETWORKS)
def test_batch_scales_work_but_not_parameters(name):
    one, three = smallest(name), smallest(name, 3)
    assert three.n_macs == 3 * one.n_macs
    assert three.n_params == one.n_params
    assert three.weight_bytes == one.weight_bytes
    if "mixtral" not in name:  # more tokens use more experts, in ops of other names
        assert [op.n_vector_ops for op in three] == [3 * op.n_vector_ops for op in one]


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_stored_or_folded(name):
    """A folded batch norm trains two values a channel and stores one; fixed tables are stored and not trained."""
    net = smallest(name)
    stored = sum(tensor.n_elements for tensor in net.weight_tensors)
    if name == "lenet5_1998":
        assert net.n_params == stored - 840  # codes of the RBF output
    elif "BatchNormalization" in net.coverage.free:
        assert stored < net.n_params < 1.1 * stored
    else:
        assert net.n_params == stored


@pytest.mark.parametrize("name", NETWORKS)
def test_dimensions_are_recorded(name):
    net = NETWORKS[name].build()
    assert net.name == name
    assert NETWORKS[name].title
    assert NETWORKS[name].paper
    assert {key: net.dims[key] for key in NETWORKS[name].dims} == NETWORKS[name].dims
    assert len(OpTable.from_workload(net)) <= len(net.ops)


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_below_one_are_refused_by_the_builder_itself(name):
    for key in NETWORKS[name].dims:
        for wrong in (0, -1) if key != "past" else (-1,):
            with pytest.raises(WorkloadError, match=name):
                NETWORKS[name].build(**{key: wrong})


@pytest.mark.parametrize("name", [name for name, entry in NETWORKS.items() if entry.alias_of])
def test_an_alias_is_the_network_it_names(name):
    same = load_workload(NETWORKS[name].alias_of)
    net = load_workload(name)
    assert (net.n_macs, net.n_params, len(net.ops)) == (same.n_macs, same.n_params, len(same.ops))

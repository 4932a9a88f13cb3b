"""Networks at the bits that points ask for: columns, variants of bits, and where activations lie."""

import numpy as np
import pytest

from cosim.study.networks import NetworkVariants, with_layer_bits
from workloads.errors import WorkloadError
from workloads.optable import OpTable
from workloads.registry import load_workload

FEW = (("conv_0", 2), ("linear_5", 4))


def variants():
    return NetworkVariants(load_workload("lenet5"))


def test_layers_get_their_own_bits_and_nothing_else_changes():
    network = load_workload("lenet5")
    found = with_layer_bits(network, 8, 6, {"conv_0": 2, "nowhere": 3}, {"conv_2": 4})
    assert {t.name for t in found.tensors.values() if t.bits == 2} == {"conv_0.weight", "conv_0.bias"}
    assert found.tensors[network.ops[2].inputs[0]].bits == 4
    assert found.tensors["conv_2.weight"].bits == 8
    assert found.own_bits
    assert with_layer_bits(network, 8, 6, {"conv_0": 8}, {}) == network.with_bits(8, 6)
    with pytest.raises(WorkloadError, match="layer 'conv_0': 40 is out of range"):
        with_layer_bits(network, 8, 8, {"conv_0": 40}, {})


def test_ops_are_taken_from_the_column_of_their_bits():
    one = variants()
    work = one.work(8, 8, FEW, ())
    arrays = one.arrays()
    network = one.at(8, 8, FEW, ())
    table = OpTable.from_workload(network)
    for i in range(len(network.ops)):
        column = arrays.op_block[work, i]
        row, mine = arrays.op_row[column, i], table.row_of_op[i]
        for name in ("weight_bits", "activation_bits", "weight_elements", "m", "k", "n"):
            assert getattr(one.tables[column], name)[row] == getattr(table, name)[mine]
    assert arrays.weight_bytes[work].tolist() == [t.n_bytes for t in network.weight_tensors]
    assert arrays.weight_total[work] == network.weight_bytes


def test_equal_bits_are_one_variant_and_one_digest_however_they_were_set():
    one = variants()
    every = tuple((op.name, 4) for op in one.workload.ops if op.weights)
    assert one.work(8, 8, (), ()) == one.work(8, 8, (), ())
    assert one.digest(4, 8, (), ()) == one.digest(8, 8, every, ())
    assert one.digest(4, 8, (), ()) != one.digest(8, 8, FEW, ())
    assert one.digest(8, 8, (), ()) != one.digest(8, 8, (), (("conv_2", 4),))
    assert variants().digest(4, 8, (), ()) == one.digest(4, 8, (), ())


def test_bits_out_of_range_are_told():
    one = variants()
    assert "weight bits: 40 is out of range" in one.work(40, 8, (), ())
    assert len(one.digest(40, 8, (), ())) == 16


def test_a_layout_says_what_fits():
    one = variants()
    one.work(8, 8, (), ())
    roomy, none = one.layout(8, (), 1e9), one.layout(8, (), -1.0)
    assert one.layout(8, (), 1e9) == roomy
    arrays = one.arrays()
    assert arrays.edge_shared[roomy].all()
    assert not arrays.edge_shared[none].any()
    assert arrays.room[none, 0] == 0
    assert arrays.room[roomy, 1] < arrays.room[none, 1]
    np.testing.assert_allclose(arrays.shares[none, :, :2, 0], 1.0)
    assert arrays.shares[roomy, 0, 1].tolist() == [0.0, 1.0]
    assert arrays.shares[roomy, -1, 1].tolist() == [1.0, 0.0]  # what the network returns goes off the chip


def test_a_network_without_ops_is_refused():
    network = load_workload("lenet5")
    with pytest.raises(WorkloadError, match="nothing to simulate"):
        NetworkVariants(type(network)(network.name, {}, (), (), (), 0))

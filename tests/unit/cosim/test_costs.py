"""Costs op by op: distinct ops are priced once, and every op finds its own row on every device."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.simulation.costs import cost_ops
from workloads.builder import GraphBuilder
from workloads.errors import MappingError
from workloads.graph import OpKind

CPU = {"mac_s": 2.0, "mac_j": 3.0, "vector_s": 1.0, "launch_s": 0.5}
NPU = {"mac_s": 0.25, "mac_j": 1.0, "wire_j": 0.5, "kinds": (OpKind.MATMUL,)}


@pytest.fixture
def costs(hand):
    """fc0 4 -> 4, fc1 4 -> 4 and fc2 4 -> 2 on a cpu and an npu."""
    return cost_ops(hand.chip({"cpu": CPU, "npu": NPU}), hand.line(4, 4, 4, 2))


def test_equal_ops_share_a_row(costs):
    assert costs.row_of_op.tolist() == [0, 0, 1]
    assert all(table.supported.shape == (1, 2) for table in costs.tables)
    assert costs.device_names == ("cpu", "npu")


def test_latency_is_launch_and_macs(costs):
    # 16, 16 and 8 MACs: 2 s each and half a second on the cpu, a quarter each on the npu
    assert costs.latency_s.tolist() == [[32.5, 4.0], [32.5, 4.0], [16.5, 2.0]]
    assert costs.fixed_s.tolist() == [[0.5, 0.0]] * 3


def test_energy_is_summed_over_components(costs):
    # npu: 1 J a MAC and half a joule for each of 4 input bytes
    assert costs.device_energy_j.tolist() == [[48.0, 18.0], [48.0, 18.0], [24.0, 10.0]]


def test_bytes_are_weights_inputs_and_outputs(costs):
    assert costs.n_bytes.shape == (3, 2, 3)
    assert costs.n_bytes[0, 0].tolist() == [16, 4, 4]
    assert costs.n_bytes[2, 1].tolist() == [8, 4, 2]


def test_bytes_follow_the_bits(hand):
    narrow = cost_ops(hand.chip({"cpu": CPU}), hand.line(4, 4, 2).with_bits(2, 16))
    assert narrow.n_bytes[0, 0].tolist() == [4, 8, 8]
    assert narrow.compute_bits(0, 0) == (2, 16)


def test_the_limit_of_an_op_is_named(hand):
    build = GraphBuilder("net")
    x = build.input("x", 1, 4)
    net = build.build(build.elementwise("Sigmoid", build.linear(x, 4, bias=False)))
    costs = cost_ops(hand.chip({"cpu": CPU}), net)
    assert [costs.limit(i, 0) for i in range(2)] == ["macs", "vector"]
    assert costs.latency_s[1, 0] == 0.5 + 5 * 4  # a sigmoid takes five steps an element


def test_what_a_device_cannot_run_costs_it_forever(hand):
    build = GraphBuilder("net")
    x = build.input("x", 1, 4)
    net = build.build(build.elementwise("Relu", build.linear(x, 4, bias=False)))
    costs = cost_ops(hand.chip({"cpu": CPU, "npu": NPU}), net)
    assert costs.supported.tolist() == [[True, True], [True, False]]
    assert np.isinf(costs.latency_s[1, 1])
    assert costs.device_energy_j[1, 1] == 0


def test_an_op_that_runs_nowhere_is_named_with_the_devices(hand):
    build = GraphBuilder("net")
    x = build.input("x", 1, 4)
    net = build.build(build.softmax(build.softmax(x, name="first"), name="second"))
    with pytest.raises(MappingError, match=r"net: op 'first' \(Softmax\) \(and 1 more\) runs on no device of hand: npu; add a device"):
        cost_ops(hand.chip({"npu": NPU}), net)


def test_arrays_and_their_writing_are_given_where_weights_are_held(hand):
    cim = {"n_arrays": 9, "per_array": 3, "write_s": 2.0, "write_j": 5.0}
    costs = cost_ops(hand.chip({"cpu": CPU, "cim": cim}), hand.line(4, 4, 2))
    assert costs.n_arrays.tolist() == [[0, 6], [0, 3]]  # 16 and 8 weights, three an array
    assert costs.program_s.tolist() == [[0, 12], [0, 6]]
    assert costs.program_j.tolist() == [[0, 30], [0, 15]]
    assert not costs.serial_s.any()

"""What policies see of a workload on a chip, and what the engine is given of a plan."""

from __future__ import annotations

import pytest

from workloads.builder import GraphBuilder
from workloads.graph import OpKind

ONLY_MATMUL, ONLY_SUMS = {"kinds": (OpKind.MATMUL,)}, {"kinds": (OpKind.ELEMENTWISE,)}


def skip():
    """y = fc(x), sum = x + y: 4 bytes each, so that one input of the sum comes from outside and one from the other device."""
    build = GraphBuilder("skip")
    x = build.input("x", 1, 4)
    return build.build(build.add(x, build.linear(x, 4, bias=False, name="fc"), name="sum"))


class TestInstance:
    def test_links_add_their_latencies_and_the_slowest_of_the_path_rules(self, hand):
        links = {"cpu": hand.link(10, 1), "npu": hand.link(6, 2), "dsp": hand.link(20, 4)}
        made = hand.chip({"cpu": {}, "npu": {}, "dsp": {}}, hand.store("dram", bandwidth=8), links=links)
        instance = hand.stages(made, skip()).instance
        assert instance.latency_s.tolist() == [[0, 3, 5], [3, 0, 6], [5, 6, 0]]
        assert instance.bandwidth_bytes_per_s[0, 1:].tolist() == [6, 8]
        assert instance.bandwidth_bytes_per_s[1, 2] == 6

    def test_a_memory_without_activations_does_not_slow_transfers(self, hand):
        """A slow flash of weights, and a backing store of 8 bytes/s."""
        made = hand.chip({"cpu": {}, "npu": {}}, hand.store("sram", bandwidth=8), weights=hand.store("flash", bandwidth=1))
        assert hand.stages(made, skip()).instance.bandwidth_bytes_per_s[0, 1] == 8

    def test_edges_are_tensors_between_ops(self, hand):
        instance = hand.stages(hand.chip({"cpu": {}}), hand.line(4, 3, 2)).instance
        assert (instance.edge_src.tolist(), instance.edge_dst.tolist(), instance.edge_bytes.tolist()) == ([0], [1], [3.0])
        assert instance.task_names == ("fc0", "fc1")


class TestCrossing:
    @pytest.fixture
    def placed(self, hand):
        made = hand.chip({"npu": ONLY_MATMUL, "dsp": ONLY_SUMS}, links={"npu": hand.link(10, 1), "dsp": hand.link(5, 2)})
        return hand.stages(made, skip()).placed

    def test_what_crosses_is_read_by_its_transfer_and_not_by_the_op(self, placed):
        assert placed.crosses.tolist() == [True]
        assert placed.n_bytes[0, 0].tolist() == [16 + 4, 4]
        assert placed.n_bytes[1, 0].tolist() == [4, 4]  # x only; y came over the edge

    def test_the_transfer_takes_both_latencies_and_the_slower_link(self, placed):
        assert placed.problem.edge_latency_s.tolist() == [3]
        assert placed.problem.edge_cap_bytes_per_s.tolist() == [5]
        assert placed.problem.edge_bytes.tolist() == [4]

    def test_flows_load_their_memory_and_the_link_of_their_device(self, placed):
        # resources: dram, link npu, link dsp; flows: fc, sum, and the edge into sum
        assert placed.problem.membership.astype(int).tolist() == [[1, 1, 0], [1, 0, 1], [1, 0, 1]]

    def test_on_one_device_nothing_crosses(self, hand):
        placed = hand.stages(hand.chip({"cpu": {}}), skip()).placed
        assert placed.crosses.tolist() == [False]
        assert placed.problem.edge_latency_s.tolist() == [0]
        assert placed.n_bytes[1, 0].tolist() == [8, 4]


class TestLimits:
    """4 -> 3: 12 MACs, 16 bytes read, 3 written, after a launch of 1 s."""

    @pytest.mark.parametrize(
        ("mac_s", "dram", "link", "seconds", "limit"),
        [
            (1.0, 9e9, 9e9, 13, "macs"),
            (0.0, 1.0, 9e9, 20, "dram: read port"),
            (0.0, 9e9, 0.5, 39, "link"),
            (0.0, 9e9, 9e9, 1, "launch"),
        ],
    )
    def test_the_longest_wait_is_named(self, hand, mac_s, dram, link, seconds, limit):
        devices = {"cpu": {"mac_s": mac_s, "launch_s": 1.0}}
        made = hand.chip(devices, hand.store("dram", bandwidth=dram), links={"cpu": hand.link(link)})
        placed = hand.stages(made, hand.line(4, 3)).placed
        assert placed.problem.cost_s.tolist() == pytest.approx([seconds])
        assert placed.limit == (limit,)

    def test_writing_arrays_is_named(self, hand):
        cim = {"mac_s": 0.1, "n_arrays": 9, "n_scratch": 3, "per_array": 4, "write_s": 5.0}
        made = hand.chip({"cpu": {"mac_j": 0.0, "mac_s": 99.0}, "cim": cim})
        placed = hand.stages(made, hand.line(4, 3)).placed
        assert placed.limit == ("programming",)

    def test_the_flow_is_that_of_the_memory_that_takes_longest(self, hand):
        """12 + 4 bytes of a fast dram against 3 of a slow shared memory: the op flows over the shared memory."""
        made = hand.chip({"cpu": {"mac_s": 0.0}}, hand.store("dram", bandwidth=100), shared=hand.store("shared", 3, bandwidth=1))
        problem = hand.stages(made, hand.line(4, 3, 2)).placed.problem
        assert problem.flow_bytes[0] == 3
        assert problem.membership[0].astype(int).tolist() == [0, 1, 1]
        assert problem.cost_s[0] == 3


def test_contention_slows_two_ops_that_share_a_memory_and_no_more_than_twice(hand):
    """Two branches of 8 weights and 2 inputs each on two devices, both bound by a memory of 1 byte/s."""
    build = GraphBuilder("fork")
    x = build.input("x", 1, 2)
    net = build.build(*(build.linear(x, 4, bias=False, name=name) for name in "ab"))
    made = hand.chip({"one": {"mac_s": 0.001}, "two": {"mac_s": 0.001}}, hand.store("dram", bandwidth=1))
    alone, shared = (hand.stages(made, net, mode=mode).playback for mode in ("none", "fair"))
    assert alone.end_s.tolist() == pytest.approx([14, 14])  # 8 + 2 read, 4 written
    assert shared.end_s.tolist() == pytest.approx([28, 28])

"""Bytes between devices and memories, and the time they take, on a network of 18 weights."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.simulation.costs import cost_ops
from cosim.simulation.residency import plan_residency
from cosim.simulation.traffic import READ, WRITE, plan_traffic
from workloads.builder import GraphBuilder
from workloads.errors import MappingError

DRAM, SHARED = 0, 1


def traffic(made, workload):
    costs = cost_ops(made, workload)
    return plan_traffic(made, workload, costs, plan_residency(made, workload, costs))


class TestBytes:
    """x of 4 bytes, 12 weights, 3 bytes kept in a shared memory of 3, 6 weights, an answer of 2."""

    @pytest.fixture
    def found(self, hand):
        return traffic(hand.chip({"cpu": {}}, shared=hand.store("shared", 3)), hand.line(4, 3, 2))

    def test_each_operand_comes_from_where_it_lives(self, found):
        assert [memory.name for memory in found.memories] == ["dram", "shared"]
        assert found.n_bytes[0, 0].tolist() == [[12 + 4, 0], [0, 3]]
        assert found.n_bytes[1, 0].tolist() == [[6, 2], [3, 0]]

    def test_own_bytes_are_what_no_placement_avoids(self, found):
        assert found.own_bytes[0, 0].tolist() == [[12, 0], [0, 3]]
        assert found.own_bytes[1, 0].tolist() == [[6, 2], [0, 0]]

    def test_inputs_that_are_read_again_are_counted_again(self, hand):
        found = traffic(hand.chip({"cpu": {"reads": 2.5}}), hand.line(4, 3, 2))
        assert found.n_bytes[0, 0, DRAM].tolist() == [12 + 2.5 * 4, 3]

    def test_a_weight_and_its_bias_may_live_apart(self, hand):
        # 3 bytes of result and 3 of bias fill the shared memory; 12 bytes of weights stay outside
        build = GraphBuilder("biased")
        net = build.build(build.linear(build.linear(build.input("x", 1, 4), 3, name="a"), 2, bias=False, name="b"))
        found = traffic(hand.chip({"cpu": {}}, shared=hand.store("shared", 6)), net)
        assert found.n_bytes[0, 0].tolist() == [[12 + 4, 0], [3, 3]]

    def test_two_inputs_are_split_by_size(self, hand):
        build = GraphBuilder("skip")
        x = build.input("x", 1, 4)
        y = build.linear(x, 4, bias=False, name="y")
        found = traffic(hand.chip({"cpu": {}}, shared=hand.store("shared", 4), pin_weights=False), build.build(build.add(x, y, name="sum")))
        assert found.n_bytes[1, 0].tolist() == [[4, 4], [4, 0]]  # x from outside, y from the chip, the answer to outside

    def test_weights_of_their_own_store_do_not_load_the_backing_store(self, hand):
        made = hand.chip({"cpu": {}}, hand.store("sram"), weights=hand.store("flash"))
        found = traffic(made, hand.line(4, 3, 2))
        assert [memory.name for memory in found.memories] == ["sram", "flash"]
        assert found.n_bytes[:, 0, 1].tolist() == [[12, 0], [6, 0]]

    def test_weights_on_arrays_are_not_fetched(self, hand):
        devices = {"cpu": {"mac_j": 3.0}, "cim": {"mac_j": 1.0, "n_arrays": 1, "per_array": 12}}
        found = traffic(hand.chip(devices, hand.store("dram", read=1.0)), hand.line(4, 3, 2))
        assert found.own_bytes[:, :, DRAM, READ].tolist() == [[12, 0], [6, 6]]


class TestTime:
    @pytest.mark.parametrize(
        ("dram", "shared", "link", "seconds"),
        [
            (9e9, 9e9, 9e9, [14, 8]),  # launch of 2 s, 12 and 6 MACs of 1 s
            (1, 9e9, 9e9, [18, 10]),  # 16 and 8 bytes of dram
            (9e9, 0.1, 9e9, [32, 32]),  # 3 bytes each of shared memory
            (9e9, 9e9, 1, [21, 13]),  # 19 and 11 bytes over the link
            (1, 0.1, 0.5, [40, 32]),  # the slowest of all
        ],
    )
    def test_an_op_takes_its_launch_and_the_longest_of_the_rest(self, hand, dram, shared, link, seconds):
        made = hand.chip(
            {"cpu": {"launch_s": 2.0}},
            hand.store("dram", bandwidth=dram),
            shared=hand.store("shared", 3, bandwidth=shared),
            links={"cpu": hand.link(bandwidth=link)},
        )
        assert traffic(made, hand.line(4, 3, 2)).uncontended_s()[:, 0].tolist() == pytest.approx(seconds)

    def test_copies_of_weights_share_the_vectors(self, hand):
        made = hand.chip({"cim": {"n_arrays": 7, "per_array": 12}}, hand.store("dram", read=1.0))
        assert traffic(made, hand.line(4, 3, 2, batch=6)).body_s[:, 0].tolist() == [72 / 4, 36 / 3]


class TestRewriting:
    """A cpu that works for nothing, so that nothing is worth keeping in the arrays of the other device."""

    def found(self, hand, n_arrays, n_scratch):
        cim = {"n_arrays": n_arrays, "n_scratch": n_scratch, "per_array": 4, "write_s": 5.0, "mac_s": 0.5}
        return traffic(hand.chip({"cpu": {"mac_j": 0.0}, "cim": cim}), hand.line(4, 3, 2))

    def test_without_scratch_arrays_what_is_not_kept_does_not_run(self, hand):
        found = self.found(hand, 9, 0)
        assert found.supported.tolist() == [[True, False]] * 2
        assert np.isinf(found.uncontended_s()[:, 1]).all()

    def test_writing_adds_to_the_latency_and_rounds_to_the_work(self, hand):
        # 3 and 2 arrays on two scratch arrays: two rounds and one; 15 s and 10 s of writing
        found = self.found(hand, 9, 2)
        assert found.body_s[:, 1].tolist() == [12 * 0.5 * 2, 6 * 0.5]
        assert found.program_s[:, 1].tolist() == [15, 10]
        assert found.uncontended_s()[:, 1].tolist() == [15 + 12, 10 + 3]

    def test_weights_that_are_rewritten_are_fetched(self, hand):
        assert self.found(hand, 9, 2).own_bytes[:, 1, DRAM].tolist() == [[12, 3], [6, 2]]

    def test_an_op_without_arrays_and_without_another_device_is_refused_by_name(self, hand):
        made = hand.chip({"cim": {"n_arrays": 1, "per_array": 4}}, hand.store("dram", read=1.0))
        message = r"line on hand: the weights of op 'fc0' \(2 such ops\) need 3 arrays of cim, whose 1 are taken by other ops"
        with pytest.raises(MappingError, match=message):
            traffic(made, hand.line(4, 3, 2))


def test_both_operands_of_a_product_of_activations_are_inputs(hand):
    from workloads.graph import Gemm

    build = GraphBuilder("scores")
    q, k = build.input("q", 2, 3), build.input("k", 3, 5)
    net = build.build(build.matmul(q, k, gemm=Gemm(1, 2, 3, 5, dynamic=True), shape=(2, 5)))
    found = traffic(hand.chip({"cpu": {}}), net)
    assert found.n_bytes[0, 0, DRAM].tolist() == [6 + 15, 10]
    assert found.own_bytes[0, 0, DRAM].tolist() == [0, 10]
    assert found.own_bytes[0, 0, DRAM, WRITE] == 10

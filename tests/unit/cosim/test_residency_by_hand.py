"""Where weights and activations live, on networks of a few bytes."""

from __future__ import annotations

import pytest

from cosim.simulation.costs import cost_ops
from cosim.simulation.residency import plan_residency
from workloads.builder import GraphBuilder
from workloads.errors import MappingError

CPU = {"mac_j": 3.0}


def plan(made, workload):
    return plan_residency(made, workload, cost_ops(made, workload))


def on_shared(made, workload):
    """Names of activations in the shared memory."""
    return {name for name, memory in plan(made, workload).home.items() if memory is made.shared}


class TestArrays:
    """A cpu of 3 J a MAC that fetches weights for 1 J a byte, beside arrays of 1 J a MAC: a weight kept saves 3 + 1 - 1 = 3 J."""

    @pytest.fixture
    def made(self, hand):
        def make(n_arrays, cpu=CPU, **cim):
            devices = {"cpu": cpu, "cim": {"mac_j": 1.0, "n_arrays": n_arrays, "per_array": 10, **cim}}
            return hand.chip({name: numbers for name, numbers in devices.items() if numbers}, hand.store("dram", read=1.0))

        return make

    def test_the_op_that_saves_most_an_array_comes_first(self, hand, made):
        # 12 and 16 weights take two arrays each: 36 J and 48 J
        first = plan(made(2), hand.line(3, 4, 4))
        assert first.array_device == (-1, 1)
        assert sum(first.saved_j) == pytest.approx(48)

    def test_an_op_that_does_not_fit_leaves_room_for_a_smaller_one(self, hand, made):
        small = plan(made(1), hand.line(4, 4, 2))
        assert small.array_device == (-1, 1)
        assert sum(small.saved_j) == pytest.approx(24)

    def test_all_are_kept_when_all_fit(self, hand, made):
        both = plan(made(3), hand.line(4, 4, 2))
        assert both.array_device == (1, 1)
        assert sum(both.saved_j) == pytest.approx(72)
        assert both.resident_weights(hand.line(4, 4, 2)) == {"fc0.weight", "fc1.weight"}

    def test_arrays_that_save_nothing_stay_empty(self, hand, made):
        assert plan(made(9, mac_j=5.0), hand.line(4, 4, 2)).array_device == (-1, -1)

    def test_without_another_device_it_saves_fetching_and_writing(self, hand, made):
        alone = plan(made(3, cpu=None, write_j=7.0), hand.line(4, 4, 2))
        # 16 + 8 bytes of 1 J, three arrays of 7 J
        assert alone.array_device == (0, 0)
        assert sum(alone.saved_j) == pytest.approx(24 + 21)

    def test_spare_arrays_hold_copies_of_the_slowest_op_an_array(self, hand, made):
        # batch 6: 72 and 36 MACs on an array each. Copies save 36, 12, 6 s and 18, 6 s: 4 of the first, 3 of the second
        copies = plan(made(7, per_array=12), hand.line(4, 3, 2, batch=6)).copies
        assert copies == (4, 3)

    def test_no_more_copies_than_vectors(self, hand, made):
        assert plan(made(99, per_array=12), hand.line(4, 3, 2, batch=2)).copies == (2, 2)

    def test_no_array_is_left_for_copies_of_an_op_that_is_not_kept(self, hand, made):
        assert plan(made(3, per_array=8), hand.line(4, 4, 3, batch=2)).copies == (1, 1)


class TestActivations:
    """x of 4 bytes, then results of 8, 6 and 2: the last is the answer and goes to the backing store."""

    @pytest.mark.parametrize(
        ("capacity", "names", "peak"),
        [
            (14, {"fc0:0", "fc1:0"}, 14),
            (13, {"fc0:0"}, 8),
            (8, {"fc0:0"}, 8),
            (7, {"fc1:0"}, 6),
            (5, set(), 0),
        ],
    )
    def test_results_stay_while_the_live_ones_fit(self, hand, capacity, names, peak):
        made = hand.chip({"cpu": {}}, shared=hand.store("shared", capacity), pin_weights=False)
        assert on_shared(made, hand.line(4, 8, 6, 2)) == names
        assert plan(made, hand.line(4, 8, 6, 2)).peak_shared_bytes == peak

    def test_without_a_shared_memory_all_live_in_the_backing_store(self, hand):
        made = hand.chip({"cpu": {}})
        assert set(map(id, plan(made, hand.line(4, 8, 6)).home.values())) == {id(made.backing)}

    @pytest.mark.parametrize(("capacity", "names"), [(24, {"a:0", "b:0", "sum:0"}), (20, {"a:0", "b:0"})])
    def test_a_skipped_result_lives_until_it_is_added(self, hand, capacity, names):
        build = GraphBuilder("residual")
        a = build.linear(build.input("x", 1, 8), 8, bias=False, name="a")
        b = build.linear(a, 8, bias=False, name="b")
        net = build.build(build.linear(build.add(a, b, name="sum"), 2, bias=False, name="out"))
        assert on_shared(hand.chip({"cpu": {}}, shared=hand.store("shared", capacity), pin_weights=False), net) == names

    @pytest.mark.parametrize(("capacity", "spilled"), [(10, 11 + 4), (13, 10 + 10)])
    def test_the_walk_takes_what_fits_and_does_not_look_ahead(self, hand, capacity, spilled):
        """Results of 11, 10, 4, 10 bytes: 13 bytes keep the 11 and so lose both tens; 10 bytes keep the tens."""
        made = hand.chip({"cpu": {}}, shared=hand.store("shared", capacity), pin_weights=False)
        net = hand.line(1, 11, 10, 4, 10, 1)
        inner = {name: tensor.n_bytes for name, tensor in net.tensors.items() if name in net.producer and name not in net.outputs}
        assert sum(size for name, size in inner.items() if name not in on_shared(made, net)) == spilled


class TestPinnedWeights:
    """4 -> 3 -> 2: weights of 12 and 6 bytes, and a live result of 3."""

    @pytest.mark.parametrize(
        ("capacity", "pinned"),
        [(21, {"fc0.weight", "fc1.weight"}), (20, {"fc0.weight"}), (15, {"fc0.weight"}), (14, {"fc1.weight"}), (8, set())],
    )
    def test_they_fill_what_activations_leave_in_order_of_use(self, hand, capacity, pinned):
        made = hand.chip({"cpu": {}}, shared=hand.store("shared", capacity))
        assert plan(made, hand.line(4, 3, 2)).pinned == pinned

    def test_a_chip_may_decline(self, hand):
        made = hand.chip({"cpu": {}}, shared=hand.store("shared", 99), pin_weights=False)
        assert plan(made, hand.line(4, 3, 2)).pinned == frozenset()

    def test_weights_on_arrays_are_not_pinned_too(self, hand):
        devices = {"cpu": CPU, "cim": {"mac_j": 1.0, "n_arrays": 1, "per_array": 12}}
        made = hand.chip(devices, hand.store("dram", read=1.0), shared=hand.store("shared", 99))
        residency = plan(made, hand.line(4, 3, 2))
        assert residency.array_device == (1, -1)
        assert residency.pinned == {"fc1.weight"}


class TestCapacity:
    """4 -> 3 -> 2: 18 bytes of weights; at most 4 + 3 + 2 bytes of input, result and answer are alive."""

    def test_one_store_has_to_hold_weights_and_activations(self, hand):
        plan(hand.chip({"cpu": {}}, hand.store("dram", 27)), hand.line(4, 3, 2))
        with pytest.raises(MappingError, match=r"line on hand: weights and activations need .* but dram holds"):
            plan(hand.chip({"cpu": {}}, hand.store("dram", 26)), hand.line(4, 3, 2))

    def test_two_stores_have_to_hold_their_own(self, hand):
        def made(weights, activations):
            return hand.chip({"cpu": {}}, hand.store("sram", activations), weights=hand.store("flash", weights))

        plan(made(18, 9), hand.line(4, 3, 2))
        with pytest.raises(MappingError, match=r"weights need .* but flash holds"):
            plan(made(17, 9), hand.line(4, 3, 2))
        with pytest.raises(MappingError, match=r"activations need .* but sram holds"):
            plan(made(18, 8), hand.line(4, 3, 2))

    def test_what_stays_on_the_chip_needs_no_room_outside(self, hand):
        made = hand.chip({"cpu": {}}, hand.store("dram", 24), shared=hand.store("shared", 3))
        plan(made, hand.line(4, 3, 2))

    def test_weights_on_arrays_need_no_store(self, hand):
        devices = {"cpu": CPU, "cim": {"mac_j": 1.0, "n_arrays": 3, "per_array": 8}}
        plan(hand.chip(devices, hand.store("dram", 9, read=1.0)), hand.line(4, 3, 2))

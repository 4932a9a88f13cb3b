"""Arrays and pinned weights of a plan that knows the placement: what the ops that run elsewhere leave free."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.simulation.costs import cost_ops
from cosim.simulation.residency import plan_residency
from workloads.errors import MappingError

CPU, CIM = 0, 1


@pytest.fixture(scope="module")
def made(hand):
    """A cpu of 3 J a MAC that fetches weights for 1 J a byte, beside arrays of 1 J a MAC: a weight kept saves 3 + 1 - 1 = 3 J."""

    def make(n_arrays, per_array, shared=None, dram=1e6, **chip):
        devices = {"cpu": {"mac_j": 3.0}, "cim": {"mac_j": 1.0, "n_arrays": n_arrays, "per_array": per_array}}
        return hand.chip(devices, hand.store("dram", dram, read=1.0), shared=shared and hand.store("shared", shared), **chip)

    return make


def plan(chip, workload, *settled):
    return plan_residency(chip, workload, cost_ops(chip, workload), *settled)


class TestArrays:
    def test_they_go_to_the_ops_that_run_on_them_only(self, hand, made):
        # 16 and 8 weights on two arrays and one
        settled = plan(made(3, 10), hand.line(4, 4, 2), (CPU, CIM))
        assert settled.array_device == (-1, CIM)
        assert settled.saved_j == pytest.approx((0, 24))
        assert settled.resident_weights(hand.line(4, 4, 2)) == {"fc1.weight"}

    def test_an_op_that_saves_less_gets_them_when_the_other_runs_elsewhere(self, hand, made):
        """12 and 16 weights take both arrays: of the free plan the second has them, 48 J against 36 J."""
        chip, net = made(2, 10), hand.line(3, 4, 4)
        assert plan(chip, net).array_device == (-1, CIM)
        settled = plan(chip, net, (CIM, CPU))
        assert settled.array_device == (CIM, -1)
        assert settled.saved_j == pytest.approx((36, 0))

    def test_among_ops_that_all_run_there_joules_decide_as_before(self, hand, made):
        assert plan(made(2, 10), hand.line(3, 4, 4), (CIM, CIM)).array_device == (-1, CIM)

    def test_nothing_runs_there_nothing_is_held(self, hand, made):
        settled = plan(made(9, 10), hand.line(4, 4, 2, batch=5), (CPU, CPU))
        assert (settled.array_device, settled.copies, settled.saved_j) == ((-1, -1), (1, 1), (0, 0))

    def test_running_there_is_no_reason_to_hold_what_saves_nothing(self, hand):
        devices = {"cpu": {"mac_j": 3.0}, "cim": {"mac_j": 5.0, "n_arrays": 9, "per_array": 10}}
        settled = plan(hand.chip(devices, hand.store("dram", read=1.0)), hand.line(4, 4, 2), (CIM, CIM))
        assert settled.array_device == (-1, -1)

    def test_each_of_two_array_devices_holds_what_it_runs(self, hand):
        """Without a placement the first device takes the larger layer; here the placement has it the other way round."""
        one = {"n_arrays": 1, "per_array": 16}
        chip = hand.chip({"cpu": {"mac_j": 3.0}, "a": {"mac_j": 1.0, **one}, "b": {"mac_j": 2.0, **one}}, hand.store("dram", read=1.0))
        net = hand.line(4, 4, 2)
        assert plan(chip, net).array_device == (1, 2)
        settled = plan(chip, net, (2, 1))
        assert settled.array_device == (2, 1)
        assert settled.saved_j == pytest.approx((16 * (3 + 1 - 2), 8 * (3 + 1 - 1)))

    def test_weights_that_no_array_holds_any_more_need_room_in_the_store(self, hand, made):
        """9 bytes hold input, result and answer of 4 -> 3 -> 2, but not its 18 bytes of weights."""
        chip, net = made(3, 8, dram=9), hand.line(4, 3, 2)
        assert plan(chip, net, (CIM, CIM)).array_device == (CIM, CIM)
        with pytest.raises(MappingError, match=r"line on hand: weights and activations need .* but dram holds"):
            plan(chip, net, (CPU, CPU))


class TestCopies:
    """Batch 6 of 4 -> 4 -> 2 on arrays of 16: one array each, 96 s and 48 s."""

    @pytest.mark.parametrize(
        ("assignment", "copies"),
        [
            (None, (2, 1)),  # a copy saves 48 s of the first, 24 s of the second
            ((CIM, CIM), (2, 1)),
            ((CPU, CIM), (1, 3)),
            ((CIM, CPU), (3, 1)),
            ((CPU, CPU), (1, 1)),
        ],
    )
    def test_arrays_left_free_hold_copies(self, hand, made, assignment, copies):
        assert plan(made(3, 16), hand.line(4, 4, 2, batch=6), assignment).copies == copies

    def test_six_vectors_need_no_seventh_copy(self, hand, made):
        assert plan(made(99, 16), hand.line(4, 4, 2, batch=6), (CPU, CIM)).copies == (1, 6)

    def test_of_what_is_in_use_the_free_plan_leaves_arrays_empty_and_the_settled_one_does_not(self, hand, made):
        chip, net = made(3, 16), hand.line(4, 4, 2, batch=6)
        used = plan(chip, net).in_use((CPU, CIM))
        assert (used.array_device, used.copies) == ((-1, CIM), (1, 1))
        assert plan(chip, net, (CPU, CIM)).copies == (1, 3)


class TestKeep:
    """4 -> 3 -> 2: weights of 12 and 6 bytes, beside a live result of 3."""

    @pytest.mark.parametrize(
        ("capacity", "keep", "pinned"),
        [
            (15, set(), {"fc0.weight"}),
            (15, {"fc1.weight"}, {"fc1.weight"}),  # 6 of 12 bytes are left: too few for the other
            (21, {"fc1.weight"}, {"fc0.weight", "fc1.weight"}),
            (14, {"fc0.weight"}, {"fc1.weight"}),  # what does not fit makes room for what does
            (8, {"fc1.weight"}, set()),
            (15, {"nothing of that name"}, {"fc0.weight"}),
        ],
    )
    def test_they_are_pinned_before_others(self, hand, capacity, keep, pinned):
        chip = hand.chip({"cpu": {}}, shared=hand.store("shared", capacity))
        assert plan(chip, hand.line(4, 3, 2), None, frozenset(keep)).pinned == pinned

    @pytest.mark.parametrize(
        ("keep", "pinned"),
        [(set(), {0, 1}), ({2}, {0, 2}), ({1, 2}, {1, 2}), ({0, 1, 2}, {0, 1})],
    )
    def test_within_them_and_after_them_the_order_of_use_holds(self, hand, keep, pinned):
        """Three layers of 4 bytes; two results of 2 bytes are alive at a time, so 12 bytes pin two layers."""
        chip = hand.chip({"cpu": {}}, shared=hand.store("shared", 12))
        found = plan(chip, hand.line(2, 2, 2, 2), None, frozenset(f"fc{i}.weight" for i in keep)).pinned
        assert found == {f"fc{i}.weight" for i in pinned}

    def test_a_chip_that_pins_nothing_keeps_nothing(self, hand):
        chip = hand.chip({"cpu": {}}, shared=hand.store("shared", 99), pin_weights=False)
        assert plan(chip, hand.line(4, 3, 2), None, frozenset({"fc0.weight"})).pinned == frozenset()

    def test_what_arrays_hold_is_not_kept_twice(self, hand, made):
        settled = plan(made(1, 12, shared=99), hand.line(4, 3, 2), (CIM, CPU), frozenset({"fc0.weight", "fc1.weight"}))
        assert settled.pinned == {"fc1.weight"}

    def test_weights_that_leave_the_arrays_do_not_push_out_what_was_pinned(self, hand, made):
        """12 bytes are free. The first layer was on an array and the second pinned; by order of use the first would displace it."""
        chip, net = made(1, 12, shared=15), hand.line(4, 3, 2)
        before = plan(chip, net)
        assert (before.array_device, before.pinned) == ((CIM, -1), {"fc1.weight"})
        assert plan(chip, net, (CPU, CPU)).pinned == {"fc0.weight"}
        assert plan(chip, net, (CPU, CPU), before.pinned).pinned == {"fc1.weight"}


class TestInUse:
    def test_what_runs_elsewhere_is_struck_out_of_every_list(self, hand, made):
        free = plan(made(3, 16), hand.line(4, 4, 2, batch=6))
        used = free.in_use((CPU, CIM))
        assert used.saved_j == pytest.approx((0, free.saved_j[1]))
        assert used.resident_weights(hand.line(4, 4, 2, batch=6)) == {"fc1.weight"}
        assert (used.home, used.pinned, used.peak_shared_bytes) == (free.home, free.pinned, free.peak_shared_bytes)

    def test_a_plan_followed_to_the_letter_is_all_in_use(self, hand, made):
        free = plan(made(3, 16), hand.line(4, 4, 2, batch=6))
        assert free.in_use(free.array_device) == free

    def test_a_placement_of_another_length_is_a_mistake(self, hand, made):
        with pytest.raises(ValueError, match="shorter"):
            plan(made(3, 16), hand.line(4, 4, 2)).in_use((CPU,))


class TestLaws:
    WIDTHS = st.lists(st.integers(1, 6), min_size=2, max_size=6)

    @settings(max_examples=40, deadline=None)
    @given(WIDTHS, st.integers(0, 12), st.integers(1, 9), st.integers(1, 4), st.data())
    def test_arrays_are_never_overbooked_and_never_hold_what_runs_elsewhere(self, hand, made, widths, n_arrays, per_array, batch, data):
        chip, net = made(n_arrays, per_array), hand.line(*widths, batch=batch)
        assignment = data.draw(st.lists(st.sampled_from([CPU, CIM]), min_size=len(net.ops), max_size=len(net.ops)))
        settled = plan(chip, net, assignment)
        need = np.array([-(-net.tensors[op.weights[0]].n_bytes // per_array) for op in net.ops])
        held = np.array(settled.array_device) == CIM
        assert all(on == CIM for on, is_held in zip(assignment, held, strict=True) if is_held)
        assert (need * settled.copies)[held].sum() <= n_arrays
        assert all(1 <= copies <= batch for copies in settled.copies)
        assert all((joules > 0) == is_held for joules, is_held in zip(settled.saved_j, held, strict=True))

    @settings(max_examples=40, deadline=None)
    @given(WIDTHS, st.integers(0, 12), st.integers(1, 9))
    def test_a_placement_that_follows_the_plan_changes_nothing(self, hand, made, widths, n_arrays, per_array):
        chip, net = made(n_arrays, per_array, shared=20), hand.line(*widths, batch=3)
        free = plan(chip, net)
        assert plan(chip, net, [max(device, CPU) for device in free.array_device], free.pinned) == free

"""Joules of each op on each device, watts of a chip that does nothing, and the accuracy that analog ops lose: all on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.ledger import total_energy_j
from cosim.scheduling.objective import energies_j, loss_of
from cosim.simulation import loss
from cosim.simulation.costs import cost_ops
from cosim.simulation.joules import energy_of_ops_j, standby
from cosim.simulation.placed import instance_of
from cosim.simulation.residency import plan_residency
from cosim.simulation.traffic import plan_traffic
from workloads.graph import OpKind


def planned(chip, net):
    costs = cost_ops(chip, net)
    residency = plan_residency(chip, net, costs)
    return costs, residency, plan_traffic(chip, net, costs, residency)


def joules(chip, net, *, own=False):
    """[n_ops][n_devices]."""
    costs, _, traffic = planned(chip, net)
    return energy_of_ops_j(chip, costs, traffic, traffic.own_bytes if own else traffic.n_bytes).tolist()


def dram(hand, **more):
    """1 J a byte read, 10 J a byte written."""
    return hand.store("dram", read=1.0, write=10.0, **more)


class TestOps:
    """3 -> 4: 12 MACs, 12 bytes of weights, 3 in, 4 out."""

    def test_macs_wires_memory_and_link_add_up(self, hand):
        chip = hand.chip({"cpu": {"mac_j": 2.0, "wire_j": 3.0}}, dram(hand), links={"cpu": hand.link(energy=0.5)})
        # 12 MACs of 2 J, 3 input bytes of 3 J; 15 bytes read, 4 written; 19 over the link
        assert joules(chip, hand.line(3, 4)) == [[pytest.approx(24 + 9 + 15 * 1 + 4 * 10 + 19 * 0.5)]]

    def test_each_device_pays_for_itself_and_its_own_link(self, hand):
        links = {"a": hand.link(energy=1.0), "b": hand.link(energy=0.0)}
        chip = hand.chip({"a": {"mac_j": 1.0}, "b": {"mac_j": 5.0}}, hand.store("dram"), links=links)
        assert joules(chip, hand.line(3, 4)) == [[12 + 19, 60]]

    def test_an_op_costs_infinitely_much_where_it_cannot_run(self, hand):
        chip = hand.chip({"cpu": {"mac_j": 1.0}, "vector": {"kinds": (OpKind.ELEMENTWISE,)}}, hand.store("dram"))
        assert joules(chip, hand.line(3, 4)) == [[12, np.inf]]

    def test_inputs_that_cross_the_port_twice_are_paid_twice(self, hand):
        once, twice = (joules(hand.chip({"cpu": {"reads": n}}, dram(hand)), hand.line(3, 4))[0][0] for n in (1.0, 2.0))
        assert twice - once == pytest.approx(3)

    def test_without_inputs_it_is_what_no_placement_avoids(self, hand):
        chip = hand.chip({"cpu": {"mac_j": 2.0}}, dram(hand), links={"cpu": hand.link(energy=0.5)})
        # 12 bytes of weights read, 4 written, 16 over the link
        assert joules(chip, hand.line(3, 4), own=True) == [[pytest.approx(24 + 12 + 40 + 8)]]

    def test_results_on_the_chip_are_paid_at_its_own_rates(self, hand):
        """3 -> 4 -> 2: the 4 bytes between live in the shared memory, of 100 J a byte read and 1000 J written."""
        shared = hand.store("shared", read=100.0, write=1000.0)
        chip = hand.chip({"cpu": {"mac_j": 0.0}}, dram(hand), shared=shared, pin_weights=False)
        assert joules(chip, hand.line(3, 4, 2)) == [[pytest.approx(15 + 4 * 1000)], [pytest.approx(8 + 4 * 100 + 2 * 10)]]

    def test_weights_come_from_their_own_store(self, hand):
        chip = hand.chip({"cpu": {"mac_j": 0.0}}, dram(hand), weights=hand.store("flash", read=7.0))
        assert joules(chip, hand.line(3, 4)) == [[pytest.approx(12 * 7 + 3 * 1 + 4 * 10)]]

    def test_pinned_weights_are_read_from_the_chip(self, hand):
        chip = hand.chip({"cpu": {"mac_j": 0.0}}, dram(hand), shared=hand.store("shared", 12, read=0.25))
        assert joules(chip, hand.line(3, 4)) == [[pytest.approx(12 * 0.25 + 3 + 40)]]


class TestArrays:
    """A cpu of 3 J a MAC beside one array of 12 weights and 1 J a MAC, that takes 7 J and 2 s to write."""

    @pytest.fixture
    def made(self, hand):
        def make(**cim):
            cim = {"mac_j": 1.0, "n_arrays": 1, "per_array": 12, "write_j": 7.0, "write_s": 2.0, **cim}
            return hand.chip({"cpu": {"mac_j": 3.0}, "cim": cim}, dram(hand))

        return make

    def test_weights_that_stay_are_neither_fetched_nor_written(self, hand, made):
        assert joules(made(), hand.line(3, 4)) == [[pytest.approx(36 + 15 + 40), pytest.approx(12 + 3 + 40)]]

    def test_weights_that_do_not_stay_are_both(self, hand, made):
        """4 -> 3 has the array, so that 3 -> 2 goes through the scratch array: 6 bytes fetched, 7 J to write them."""
        found = joules(made(n_scratch=1), hand.line(4, 3, 2))
        assert found[0][1] == pytest.approx(12 + 4 + 30)
        assert found[1][1] == pytest.approx(6 + 7 + (6 + 3) + 20)

    def test_writing_is_paid_even_where_it_takes_no_time(self, hand, made):
        slow, at_once = (joules(made(n_scratch=1, write_s=s), hand.line(4, 3, 2))[1][1] for s in (2.0, 0.0))
        assert slow == at_once

    def test_without_a_scratch_array_they_cannot_run_there(self, hand, made):
        assert joules(made(), hand.line(4, 3, 2))[1] == [pytest.approx(18 + 9 + 20), np.inf]


class TestLaws:
    CHIP = st.fixed_dictionaries({"mac_j": st.floats(0, 5), "wire_j": st.floats(0, 5)})
    WIDTHS = st.lists(st.integers(1, 8), min_size=2, max_size=5)

    @settings(max_examples=30, deadline=None)
    @given(CHIP, WIDTHS, st.floats(0, 3), st.floats(0, 3))
    def test_on_one_device_the_ledger_of_a_run_has_the_same_joules(self, hand, device, widths, read, link_j):
        chip = hand.chip({"cpu": device}, hand.store("dram", read=read, write=2.0), links={"cpu": hand.link(energy=link_j)})
        net = hand.line(*widths)
        assert total_energy_j(hand.stages(chip, net, "single:cpu").book.rows) == pytest.approx(np.sum(joules(chip, net)))

    @settings(max_examples=30, deadline=None)
    @given(CHIP, WIDTHS, st.sampled_from([2.0, 4.0, 0.5]))
    def test_joules_scale_with_every_price(self, hand, device, widths, factor):
        def priced(by):
            links = {"cpu": hand.link(energy=0.5 * by)}
            return hand.chip(
                {"cpu": {key: by * value for key, value in device.items()}}, hand.store("dram", read=by, write=3 * by), links=links
            )

        net = hand.line(*widths)
        assert np.array(joules(priced(factor), net)) == pytest.approx(factor * np.array(joules(priced(1.0), net)))

    def test_a_chip_of_no_price_spends_nothing(self, hand):
        assert joules(hand.chip({"cpu": {"mac_j": 0.0}}), hand.line(3, 4, 2)) == [[0], [0]]


class TestStandby:
    def test_a_store_of_weights_and_activations_is_counted_once(self, hand):
        chip = hand.chip({"cpu": {}}, hand.store("dram", leakage=0.5))
        assert [owner for owner, *_ in standby(chip)] == [("cpu", "idle"), ("dram", "leakage")]

    def test_devices_come_first_then_backing_weights_and_shared(self, hand):
        stores = {"weights": hand.store("flash", leakage=0.125), "shared": hand.store("sram", leakage=2.0)}
        chip = hand.chip({"npu": {"idle_w": 3.0}, "cpu": {"idle_w": 1.0}}, hand.store("dram", leakage=0.5), **stores)
        assert [(name, watts, kind) for (name, _), watts, kind, *_ in standby(chip)] == [
            ("npu", 3.0, "idle"),
            ("cpu", 1.0, "idle"),
            ("dram", 0.5, "static"),
            ("flash", 0.125, "static"),
            ("sram", 2.0, "static"),
        ]

    def test_it_says_which_numbers_are_assumed_and_how_far_they_may_be_off(self, hand):
        guessed = hand.store("dram", leakage=0.5, assumed={"leakage": "a guess"}, ranges={"leakage": 4.0})
        device, memory = standby(hand.chip({"cpu": {"idle_w": 1.0}}, guessed))
        assert (device[4], memory[4]) == (False, True)
        assert [[(s.name, s.factor) for s in one[3]] for one in (device, memory)] == [[("cpu.idle", 3.0)], [("flash.leakage", 4.0)]]

    def test_policies_pay_for_it_by_the_second_and_for_ops_by_the_piece(self, hand):
        """24 J of MACs and 1.5 W for the 100 s that a plan is said to take."""
        chip, net = hand.chip({"cpu": {"mac_j": 2.0, "idle_w": 1.0}}, hand.store("dram", leakage=0.5)), hand.line(3, 4)
        costs, residency, traffic = planned(chip, net)
        instance = instance_of(chip, net, traffic, residency, costs)
        assert instance.power_w == 1.5
        assert energies_j(instance, np.array([[0]]), np.array([100.0])) == pytest.approx([24 + 150])


class TestLoss:
    """The second device of a chip by hand is analog: an SNR for each distinct op."""

    @pytest.fixture
    def lost(self, hand):
        def make(widths, *snr_db):
            chip, net = hand.chip({"cpu": {}, "cim": {}}), hand.line(*widths)
            costs, residency, traffic = planned(chip, net)
            analog = replace(costs.tables[1], output_snr=lambda: np.array([snr_db]))
            costs = replace(costs, tables=(costs.tables[0], analog))
            return costs, instance_of(chip, net, traffic, residency, costs)

        return make

    def test_each_op_loses_by_its_own_snr_on_the_analog_device_only(self, lost):
        costs, _ = lost((4, 4, 2), 30.0, 20.0)
        assert loss.loss_of(costs).tolist() == [[0, pytest.approx(0.5e-3)], [0, pytest.approx(0.5e-2)]]

    def test_equal_ops_are_costed_once_and_lose_as_much_each(self, lost):
        costs, _ = lost((4, 4, 4, 4), 10.0)
        assert loss.loss_of(costs)[:, 1] == pytest.approx([0.05] * 3)

    def test_an_op_loses_at_most_everything(self, lost):
        # 0.5 * 10^0.3 is 0.998, 0.5 * 10^0.4 would be 1.26
        costs, _ = lost((4, 4, 2), -3.0, -4.0)
        assert loss.loss_of(costs)[:, 1] == pytest.approx([0.5 * 10**0.3, 1.0])

    @pytest.mark.parametrize(("assignment", "share"), [((0, 0), 0), ((1, 0), 0.5e-3), ((0, 1), 0.5e-2), ((1, 1), 0.55e-2)])
    def test_a_placement_loses_the_sum_over_what_it_runs_in_analog(self, lost, assignment, share):
        _, instance = lost((4, 4, 2), 30.0, 20.0)
        assert loss_of(instance, np.array(assignment)) == pytest.approx(share)

    def test_without_costs_or_without_analog_nothing_is_known_of_it(self, hand):
        chip, net = hand.chip({"cpu": {}, "npu": {}}), hand.line(4, 4, 2)
        costs, residency, traffic = planned(chip, net)
        for known in (None, costs):
            instance = instance_of(chip, net, traffic, residency, known)
            assert instance.task_loss is None
            assert (instance.task_energy_j is None) == (known is None)
            assert loss_of(instance, np.array([1, 1])) == 0

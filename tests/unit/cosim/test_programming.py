"""What it costs to put weights where they stay, and after how many inferences it has paid off."""

from __future__ import annotations

import pytest

from cosim.simulation.programming import programming

CPU = {"mac_j": 3.0}


def cost(hand, made, workload):
    stages = hand.stages(made, workload)
    return programming(made, stages.costs, stages.residency)


class TestArrays:
    """18 weights of 4 -> 3 -> 2 in 2 + 1 arrays of 8; each array takes 2 s to write."""

    @pytest.fixture
    def made(self, hand):
        def make(**change):
            cim = {"mac_j": 1.0, "n_arrays": 3, "per_array": 8, "write_s": 2.0, "write_j": 3.0, **change}
            return hand.chip({"cpu": CPU, "cim": cim}, hand.store("dram", bandwidth=4, read=1.0), links={"cim": hand.link(energy=0.5)})

        return make

    def test_energy_is_fetching_moving_and_writing(self, hand, made):
        # 18 bytes read at 1 J and moved at 0.5 J, three arrays of 3 J
        assert cost(hand, made(), hand.line(4, 3, 2)).energy_j == pytest.approx(18 + 9 + 9)

    def test_time_is_the_longer_of_fetching_and_writing(self, hand, made):
        assert cost(hand, made(), hand.line(4, 3, 2)).latency_s == 6  # 18 bytes at 4 bytes/s take 4.5 s
        assert cost(hand, made(write_s=1.0), hand.line(4, 3, 2)).latency_s == 4.5

    @pytest.mark.parametrize(("write_j", "inferences"), [(3.0, 1), (9.0, 1), (9.1, 2), (100.0, 7)])
    def test_it_pays_off_when_what_is_saved_adds_up(self, hand, made, write_j, inferences):
        # each inference saves (3 + 1 - 1) J a weight, 54 J; programming takes 27 + 3 * write_j
        assert cost(hand, made(write_j=write_j), hand.line(4, 3, 2)).break_even_inferences == inferences

    def test_copies_are_written_and_not_fetched_again(self, hand, made):
        twice = cost(hand, made(n_arrays=6), hand.line(4, 3, 2, batch=2))
        assert twice.energy_j == pytest.approx(18 + 9 + 6 * 3)
        assert twice.latency_s == 12

    def test_two_devices_are_written_side_by_side(self, hand):
        cim = {"mac_j": 1.0, "per_array": 8, "write_s": 2.0, "write_j": 3.0}
        devices = {"cpu": CPU, "big": {**cim, "n_arrays": 2}, "small": {**cim, "n_arrays": 1}}
        found = cost(hand, hand.chip(devices, hand.store("dram", read=1.0)), hand.line(4, 3, 2))
        assert found.latency_s == 4
        assert found.energy_j == pytest.approx(18 + 9)


class TestPinned:
    """18 weights and 3 live bytes in a shared memory of 21."""

    def made(self, hand, read=0.1):
        return hand.chip({"cpu": CPU}, hand.store("dram", bandwidth=4, read=1.0), shared=hand.store("shared", 21, read=read, write=0.2))

    def test_weights_are_read_once_and_written_once(self, hand):
        found = cost(hand, self.made(hand), hand.line(4, 3, 2))
        assert found.energy_j == pytest.approx(18 * 1.0 + 18 * 0.2)
        assert found.latency_s == 4.5

    def test_it_pays_off_by_the_difference_of_the_reads(self, hand):
        # 21.6 J against 18 * (1 - 0.1) = 16.2 J an inference
        assert cost(hand, self.made(hand), hand.line(4, 3, 2)).break_even_inferences == 2

    def test_it_never_pays_off_where_the_chip_reads_dearer(self, hand):
        assert cost(hand, self.made(hand, read=2.0), hand.line(4, 3, 2)).break_even_inferences is None


def test_a_chip_that_keeps_nothing_programs_nothing(hand):
    found = cost(hand, hand.chip({"cpu": CPU}, hand.store("dram", read=1.0)), hand.line(4, 3, 2))
    assert (found.energy_j, found.latency_s, found.break_even_inferences) == (0.0, 0.0, None)

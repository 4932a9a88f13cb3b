"""Two chips on one network: ratios, what cancels in them, and where a difference comes from."""

from __future__ import annotations

import json
from math import exp, hypot, log

import pytest

from cosim.ledger import GROUPS
from cosim.simulation.compare import METRICS, Comparison, Ratio, energy_by_group
from cosim.simulation.run import Simulation
from workloads.errors import SimulationError


@pytest.fixture
def run(hand):
    """Run 4 -> 3 -> 2 (18 MACs, 25 bytes read) on a chip of one cpu."""

    def make(name, backing=None, *, net=None, weight_bits=8, shared=None, **cpu):
        made = hand.chip({"cpu": cpu}, backing or hand.store("dram"), shared=shared, name=name)
        return Simulation(made, net or hand.line(4, 3, 2), weight_bits=weight_bits).run()

    return make


@pytest.fixture
def halved(run):
    """A new chip of half the time, energy and area a MAC."""
    return Comparison((run("old", mac_s=1.0, mac_j=2.0, area_m2=2.0), run("new", mac_s=0.5, mac_j=1.0, area_m2=1.0)))


def test_ratios_are_of_the_first_chip(halved):
    ratios = halved.ratios()
    assert {metric: ratios[metric]["new"].value for metric in METRICS} == {"latency_s": 0.5, "energy_j": 0.5, "edp": 0.25, "area_mm2": 0.5}
    assert all(row["old"] == Ratio(1.0, 1.0, 1.0) for row in ratios.values())


def test_what_both_rest_on_cancels(halved):
    """Both pay for MACs alone, whose energy and time are uncertain by a factor of 2 together."""
    energy = halved.ratios()["energy_j"]["new"]
    assert (energy.low, energy.high) == pytest.approx((0.5, 0.5))
    assert energy.excludes_one


def test_what_one_rests_on_alone_widens_its_ratio(hand, run):
    old = run("old", mac_j=2.0)
    new = run("new", hand.store("dram", read=1.0, ranges={"read": 1.5}, sources={"read": "x"}), mac_j=1.0)
    ratio = Comparison((old, new)).ratios()["energy_j"]["new"]
    # 18 J of MACs and 25 J of reads against 36 J of MACs: MACs up by 2 take the new one up by 18/43, the old one by 1
    width = exp(hypot(log(1 + 18 / 43) - log(2), log(1 + 25 / 43 * 0.5)))
    assert ratio.value == pytest.approx(43 / 36)
    assert (ratio.low, ratio.high) == pytest.approx((43 / 36 / width, 43 / 36 * width))
    assert not ratio.excludes_one


@pytest.mark.parametrize(("low", "high", "excludes"), [(0.5, 0.9, True), (1.1, 2.0, True), (0.5, 1.0, False), (0.9, 1.1, False)])
def test_a_ratio_means_something_when_its_interval_excludes_one(low, high, excludes):
    assert Ratio(1.0, low, high).excludes_one == excludes


def test_the_waterfall_names_the_groups_that_differ_and_sums_to_the_difference(hand, run):
    old, new = run("old", mac_j=2.0), run("new", hand.store("dram", read=1.0, leakage=0.5), mac_j=1.0)
    steps = Comparison((old, new)).waterfall()
    assert [step["component"] for step in steps] == list(GROUPS)
    assert {step["component"]: step["delta_j"] for step in steps if step["delta_j"]} == {
        "compute": -18.0,
        "DRAM and weight store": 25.0,
        "memory standby": pytest.approx(9.0),
    }
    assert sum(step["delta_j"] for step in steps) == pytest.approx(new.energy_j - old.energy_j)


def test_each_further_chip_has_its_own_steps(run):
    three = Comparison((run("a", mac_j=1.0), run("b", mac_j=2.0), run("c", mac_j=4.0)))
    compute = {step["chip"]: step["delta_j"] for step in three.waterfall() if step["component"] == "compute"}
    assert compute == {"b": 18.0, "c": 54.0}


def test_every_joule_is_in_one_group(hand, run):
    shared = hand.store("shared", 21, read=0.5, write=0.25, leakage=0.125)
    result = run("one", hand.store("dram", read=1.0, write=2.0, leakage=0.5), shared=shared, idle_w=1.0, wire_j=3.0)
    groups = energy_by_group(result)
    assert groups == {
        "DRAM and weight store": 4 * 1.0 + 2 * 2.0,  # x in, the answer out; weights are pinned
        "on-chip memory": (18 + 3) * 0.5 + 3 * 0.25,
        "conversion": 0.0,
        "compute": 18.0,
        "links": 7 * 3.0,  # wires inside the cpu for 4 + 3 input bytes
        "programming": 0.0,
        "leakage and idle": pytest.approx(18.0),
        "memory standby": pytest.approx(18 * 0.625),
    }
    assert sum(groups.values()) == pytest.approx(result.energy_j)


def test_the_summary_is_plain_json(halved):
    summary = json.loads(json.dumps(halved.summary(), allow_nan=False))
    assert [row["chip"] for row in summary["rows"]] == ["old", "new"]
    assert summary["ratios"]["energy_j"] == {"old": 1.0, "new": 0.5}
    assert summary["ratio_intervals"]["edp"]["new"]["excludes_one"] is True
    assert "accuracy" in summary["accuracy"]


class TestRefusals:
    def test_one_chip_is_no_comparison(self, run):
        for results in ((), (run("a"),)):
            with pytest.raises(SimulationError, match="a comparison needs two chips or more"):
                Comparison(results)

    def test_the_same_chip_twice_is_none(self, run):
        with pytest.raises(SimulationError, match="a comparison needs different chips; got a, a"):
            Comparison((run("a"), run("a")))

    def test_other_bits_batches_or_networks_are_other_questions(self, hand, run):
        others = [run("b", weight_bits=4), run("b", net=hand.line(4, 3, 2, batch=2))]
        for other in others:
            with pytest.raises(SimulationError, match="one workload at the same bits, dimensions and fidelity"):
                Comparison((run("a"), other))

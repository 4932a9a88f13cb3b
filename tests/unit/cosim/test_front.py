"""A front on chips made by hand, where time can be bought with energy and where it cannot."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from cosim.scheduling.instance import Goal
from cosim.simulation.front import REFERENCES, Front, front_of, unbeaten
from cosim.simulation.run import Simulation
from workloads.errors import SimulationError

BUDGET = Goal(budget_s=0.2)


@pytest.fixture
def trade(hand):
    """A slow cpu of 1 J a MAC and a fast npu of 5 J; 18 MACs in two ops, transfers for nothing."""
    made = hand.chip({"cpu": {"mac_s": 10.0, "mac_j": 1.0}, "npu": {"mac_s": 1.0, "mac_j": 5.0}})
    return Simulation(made, hand.line(4, 3, 2), "front", goal=BUDGET)


def test_every_point_of_a_trade_is_found(trade):
    """fc0 has 12 MACs, fc1 6: both on the npu, either on the cpu, both on the cpu."""
    found = front_of(trade)
    assert [result.latency_s for result in found.results] == pytest.approx([18, 72, 126, 180])
    assert [result.energy_j for result in found.results] == pytest.approx([90, 66, 42, 18])
    assert found.knee == 0


def test_no_point_beats_another_and_the_ends_are_the_bounds(trade):
    found = front_of(trade)
    for first, second in pairwise(found.results):
        assert first.latency_s < second.latency_s
        assert first.energy_j > second.energy_j
    assert found.results[0].latency_s == pytest.approx(found.results[0].floor.makespan_s)
    assert found.results[-1].energy_j == pytest.approx(found.results[0].floor.energy_j)


def test_where_one_device_is_best_in_both_there_is_one_point(hand):
    made = hand.chip({"cpu": {"mac_s": 10.0, "mac_j": 5.0}, "npu": {"mac_s": 1.0, "mac_j": 1.0}})
    found = front_of(Simulation(made, hand.line(4, 3, 2), "front", goal=BUDGET))
    assert len(found.results) == 1
    assert {op.device for op in found.results[0].ops} == {"npu"}


def test_references_are_not_better_than_the_front(trade):
    found = front_of(trade)
    assert [result.policy for result in found.references] == list(REFERENCES)
    for other in found.references:
        assert any(
            result.latency_s <= other.latency_s * (1 + 1e-9) and result.energy_j <= other.energy_j * (1 + 1e-9) for result in found.results
        )


def test_runs_that_another_beats_are_dropped(trade):
    result = replace(trade, policy="heft").run()
    slower = replace(result, latency=replace(result.latency, total=2 * result.latency_s))
    assert unbeaten([slower, result, result]) == [result]


def test_a_summary_names_points_references_and_bounds(trade):
    data = front_of(trade).summary()
    assert [point["makespan_s"] for point in data["points"]] == pytest.approx([18, 72, 126, 180])
    assert data["points"][1]["ops"] == {"cpu": 1, "npu": 1}
    assert data["points"][0]["edp_js"] == pytest.approx(18 * 90)
    assert set(data["references"]) == set(REFERENCES)
    assert data["least_edp"] == 0
    assert data["lower_bound_s"] == pytest.approx(18)
    assert data["provenance"]["policy"] == "front"


def test_the_knee_is_where_energy_times_delay_is_least(trade):
    found = front_of(trade)
    cheap = replace(found.results[1], rows=())
    assert Front((found.results[0], cheap), ()).knee == 1


def test_a_bound_has_no_front(trade):
    with pytest.raises(SimulationError, match="bound"):
        front_of(replace(trade, fidelity="bound"))

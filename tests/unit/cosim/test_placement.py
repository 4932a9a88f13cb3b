"""A placement against its bound and another policy, on chips made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosim.scheduling.instance import Goal
from cosim.simulation.placement import Placement, baseline_policy, check_loss, energy_weight_of, loads, place_workload
from cosim.simulation.result import Floor
from cosim.simulation.run import Simulation
from workloads.errors import ScheduleError, SimulationError


@pytest.fixture
def made(hand):
    """A slow cpu of 1 J a MAC and a fast npu of 5 J; reading costs 1 J a byte, being on 0.5 W."""
    devices = {"cpu": {"mac_s": 10.0, "mac_j": 1.0, "idle_w": 0.1}, "npu": {"mac_s": 1.0, "mac_j": 5.0}}
    return hand.chip(devices, hand.store("dram", read=1.0, leakage=0.5))


@pytest.fixture
def simulation(hand, made):
    return Simulation(made, hand.line(4, 3, 2), policy="single:cpu")


@pytest.mark.parametrize(
    ("text", "weight"), [("makespan", 0.0), ("energy", 1.0), ("edp", 0.5), ("0.25", 0.25), ("0", 0.0), ("1", 1.0), ("1e-3", 0.001)]
)
def test_an_objective_is_a_name_or_the_weight_of_the_energy(text, weight):
    assert energy_weight_of(text) == weight


@pytest.mark.parametrize("text", ["", "enregy", "-0.1", "1.1", "nan", "inf", "0,5"])
def test_any_other_objective_is_refused_with_what_would_do(text):
    with pytest.raises(ScheduleError, match="objective"):
        energy_weight_of(text)


def test_a_misspelled_objective_names_the_nearest():
    with pytest.raises(ScheduleError, match="makespan"):
        energy_weight_of("makspan")


def test_makespan_energy_and_their_product_are_read_off_the_run(simulation):
    result = simulation.run()
    for name, expected in (("makespan", 180.0), ("energy", result.energy_j), ("edp", 180.0 * result.energy_j)):
        placement = Placement(Goal(energy_weight_of(name)), result)
        assert placement.objective == name
        assert placement.objective_value == pytest.approx(expected)
    mixed = Placement(Goal(0.25), result)
    assert mixed.objective == "makespan^0.75 energy^0.25"
    assert mixed.objective_value == pytest.approx(180**0.75 * result.energy_j**0.25)


def test_the_gap_is_that_of_the_objective_to_its_bound(simulation):
    """All on the cpu takes 180 s where the npu takes 18 s."""
    placement = place_workload(simulation)
    assert placement.result.gap == pytest.approx(9.0)
    assert placement.gap == pytest.approx(9.0)
    product = Placement(Goal(0.5), placement.result)
    floor = placement.result.floor
    assert product.gap == pytest.approx(180 * placement.result.energy_j / (floor.makespan_s * floor.energy_j) - 1)


def test_without_a_bound_there_is_no_gap(simulation):
    placement = Placement(Goal(), replace(simulation.run(), floor=Floor()))
    assert placement.gap is None
    assert placement.result.gap is None


def test_it_is_measured_against_another_policy(simulation):
    placement = place_workload(simulation)
    assert placement.baseline is not None
    assert placement.baseline.policy == baseline_policy("single:cpu")
    assert placement.baseline.latency_s == pytest.approx(18)
    assert placement.ratio == pytest.approx(10)
    assert placement.moved == {"fc0", "fc1"}
    assert placement.summary()["baseline"]["ops_moved"] == 2


def test_a_policy_is_not_measured_against_itself():
    assert baseline_policy("heft") != "heft"
    assert baseline_policy("portfolio") == "heft"


def test_a_plan_remembers_what_it_expected(simulation):
    result = simulation.run()
    assert result.planned_s == pytest.approx(180)
    assert result.planned_bound_s == 0
    assert place_workload(simulation).summary()["planned"] == {"makespan_s": pytest.approx(180), "lower_bound_s": None}


def test_loads_add_up_to_the_ops_and_to_all_energy_but_memory_standby(simulation):
    result = simulation.run()
    cpu, npu = loads(result)
    assert (cpu.device, cpu.kind, cpu.n_ops, npu.n_ops) == ("cpu", "abacus", 2, 0)
    assert (cpu.busy_s, cpu.share, npu.busy_s) == (pytest.approx(180), pytest.approx(1), 0)
    # 18 MACs of 1 J, 4 + 12 + 3 + 6 bytes read at 1 J, 0.1 W of idle power over 180 s
    assert cpu.energy_j == pytest.approx(18 + 25 + 18)
    assert npu.energy_j == 0
    assert result.energy_j - cpu.energy_j == pytest.approx(0.5 * 180)


def test_more_loss_than_allowed_is_refused_with_both_numbers(simulation):
    result = replace(simulation.run(), accuracy_loss=0.032)
    check_loss(result, Goal())
    check_loss(result, Goal(max_loss=0.032))
    with pytest.raises(ScheduleError, match=r"3\.20%.*1\.00%"):
        check_loss(result, Goal(max_loss=0.01))


def test_a_bound_is_no_placement(simulation):
    with pytest.raises(SimulationError, match="bound"):
        place_workload(replace(simulation, fidelity="bound"))


def test_a_summary_is_plain_json_values(simulation):
    import json

    data = json.loads(json.dumps(place_workload(simulation).summary(), allow_nan=False))
    assert data["lower_bound_s"] <= data["makespan_s"]
    assert data["gap"] == pytest.approx(data["makespan_s"] / data["lower_bound_s"] - 1)
    assert sum(row["ops"] for row in data["devices"].values()) == 2
    assert data["transfers"] == {"n": 0, "bytes": 0.0}

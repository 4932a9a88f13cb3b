"""The bound by hand: the longest chain of best times, or all work on all devices."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.ledger import energy_by
from cosim.scheduling.base import Instance
from cosim.simulation.bound import bound_plan, bound_playback
from cosim.simulation.critical_path import critical_path
from cosim.simulation.run import Simulation
from workloads.builder import GraphBuilder
from workloads.graph import OpKind


def instance(cost, edges=()):
    """Transfers of an hour: the bound has to ignore them."""
    n, m = np.array(cost).shape
    return Instance(
        task_names=tuple(f"t{i}" for i in range(n)),
        device_names=tuple(f"d{i}" for i in range(m)),
        cost_s=np.array(cost, dtype=float),
        edge_src=np.array([src for src, _ in edges], dtype=np.int64),
        edge_dst=np.array([dst for _, dst in edges], dtype=np.int64),
        edge_bytes=np.full(len(edges), 3600.0),
        bandwidth_bytes_per_s=np.ones((m, m)),
        latency_s=np.full((m, m), 3600.0),
    )


def test_a_chain_takes_the_sum_of_its_best_times():
    plan = bound_plan(instance([[4, 2], [3, 9], [1, np.inf]], [(0, 1), (1, 2)]))
    assert plan.assignment.tolist() == [1, 0, 0]
    assert plan.start_s.tolist() == [0, 2, 5]
    assert plan.makespan_s == 6


def test_branches_start_together_and_join_after_the_longer():
    plan = bound_plan(instance([[2], [3], [1], [1]], [(0, 1), (0, 2), (1, 3), (2, 3)]))
    assert plan.start_s.tolist() == [0, 2, 2, 5]
    assert plan.end_s.tolist() == [2, 5, 3, 6]


def test_wide_graphs_take_the_work_over_the_devices():
    # four tasks of 3 s on two devices: 6 s, though each could start at once
    plan = bound_plan(instance([[3, 5]] * 4))
    assert plan.end_s.tolist() == [3] * 4
    assert plan.makespan_s == 6


def test_no_task_takes_no_time():
    assert bound_plan(instance(np.zeros((0, 2)))).makespan_s == 0


@pytest.fixture
def fork(hand):
    """A product on the npu whose result two element-wise ops on the dsp read; links of a second or so."""
    build = GraphBuilder("fork")
    y = build.linear(build.input("x", 1, 4), 3, bias=False, name="fc")
    net = build.build(build.elementwise("Relu", y, name="a"), build.elementwise("Relu", y, name="b"))
    devices = {"npu": {"kinds": (OpKind.MATMUL,)}, "dsp": {"kinds": (OpKind.ELEMENTWISE,)}}
    link = hand.link(99, 1, assumed={"latency": "a guess", "bandwidth": "a guess"})
    return hand.chip(devices, links={"npu": link, "dsp": link}), net


def test_what_an_op_makes_is_everywhere_at_once(hand, fork):
    stages = hand.stages(*fork)
    plan = bound_plan(stages.instance)
    playback = bound_playback(plan, stages.placed.problem)
    assert playback.edge_start_s.tolist() == playback.edge_end_s.tolist() == [plan.end_s[0]] * 2
    assert playback.start_s[1:].tolist() == [plan.end_s[0]] * 2
    assert playback.moved_bytes.tolist() == [0.0] * 3


def test_its_critical_path_has_no_negative_step_and_covers_the_chain(hand, fork):
    stages = hand.stages(*fork)
    plan = bound_plan(stages.instance)
    steps = critical_path(stages.placed.problem, bound_playback(plan, stages.placed.problem))
    assert min(step.duration_s for step in steps) >= 0
    assert sum(step.duration_s for step in steps) == pytest.approx(plan.end_s.max())


def test_its_interval_rests_on_no_transfer(fork):
    result = Simulation(*fork, fidelity="bound").run()
    assert all(part >= 0 for _, part in result.latency.by_name.values())
    assert result.latency.by_name.get("link.latency", (1.0, 0.0))[1] == 0
    assert result.latency.interval()[0] <= result.latency_s <= result.latency.interval()[1]


def spent(result):
    """Joules by owner, of those who spend some."""
    return {owner: energy_j for owner, energy_j in energy_by(result.rows, "device", "component").items() if energy_j}


class TestEnergy:
    """A slow cpu of 1 J a MAC and a fast npu of 5 J: the bound takes the time of one and the energy of the other."""

    @pytest.fixture
    def made(self, hand):
        devices = {"cpu": {"mac_s": 10.0, "mac_j": 1.0}, "npu": {"mac_s": 1.0, "mac_j": 5.0}}
        return hand.chip(devices, hand.store("dram", read=1.0, write=2.0, leakage=0.5))

    def test_each_op_takes_its_least_time_and_its_least_energy(self, hand, made):
        bound = Simulation(made, hand.line(4, 3, 2), fidelity="bound").run()
        assert bound.latency_s == pytest.approx(18)
        by_owner = spent(bound)
        # 18 MACs of 1 J; weights read and results written, but no activation read; leakage over 18 s
        assert by_owner == {"cpu.mac": 18.0, "dram.read": 18.0, "dram.write": 10.0, "dram.leakage": pytest.approx(9.0)}

    def test_the_rung_above_pays_for_activations_and_one_placement(self, hand, made):
        mapped = Simulation(made, hand.line(4, 3, 2), fidelity="mapped").run()
        assert mapped.latency_s == pytest.approx(18)
        by_owner = spent(mapped)
        assert by_owner == {"npu.mac": 90.0, "dram.read": 25.0, "dram.write": 10.0, "dram.leakage": pytest.approx(9.0)}

    def test_rewriting_arrays_is_part_of_the_choice(self, hand):
        """Arrays of 1 J a MAC that would have to be written for 100 J each: the cpu of 2 J is the cheapest after all."""
        cim = {"mac_s": 0.01, "mac_j": 1.0, "n_scratch": 3, "n_arrays": 1, "per_array": 4, "write_s": 1.0, "write_j": 100.0}
        made = hand.chip({"cpu": {"mac_j": 2.0}, "cim": cim})
        bound = Simulation(made, hand.line(4, 3), fidelity="bound").run()
        assert spent(bound) == {"cpu.mac": 24.0}
        for policy in ("heft", "single:cpu", "single:cim"):
            assert Simulation(made, hand.line(4, 3), policy).run().energy_j >= bound.energy_j

"""Clocks and idle states worked out on paper: from supply to clock and back, what a load then takes, what gates save."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.plan import Schedule, save_schedule
from cosim.simulation.arrivals import Stream
from cosim.simulation.costs import cost_ops
from cosim.simulation.load import Load
from cosim.simulation.power import LEAST_SUPPLY_V, Gating, OperatingPoint, at_points, operating_point
from hw_models.technology import ALPHA, THRESHOLD_V, delay_at_voltage, energy_at_voltage, supply_v
from workloads.errors import SimulationError

NODES_M = (7e-9, 16e-9, 22e-9, 45e-9, 90e-9, 180e-9)


def digital(node_m, name="core"):
    return SimpleNamespace(name=name, spec=SimpleNamespace(node_m=node_m), n_arrays=0, scratch_arrays=0)


def clock_of(volts, nominal_v):
    """Speed of gates at a supply, 1 at the nominal one: ((V - 0.35) / (Vn - 0.35))^1.3 * Vn / V."""
    return ((volts - 0.35) / (nominal_v - 0.35)) ** 1.3 * nominal_v / volts


@pytest.fixture
def clocked(hand):
    """Abacuses of 22 nm, so that their clock can be scaled: chip(cpu={...}, b={...}).

    22 nm: 0.9 V. At 0.6 V gates run at (0.25 / 0.55)^1.3 * 1.5 = 0.538 times the clock on 4/9 of the energy.
    """

    class NodeSpec(hand.AbacusSpec):
        node_m: float = 22e-9

    def chip(**devices):
        made = hand.chip({name: {} for name in devices})
        return dataclasses.replace(made, devices={name: hand.Abacus(name, NodeSpec(**given)) for name, given in devices.items()})

    return chip


AT_600_MV = (0.25 / 0.55) ** 1.3 * 1.5


@settings(max_examples=60, deadline=None)
@given(node_m=st.sampled_from(NODES_M), share=st.floats(0.001, 1.0))
def test_the_clock_of_a_supply_leads_back_to_that_supply(node_m, share):
    nominal_v = supply_v(node_m)
    volts = LEAST_SUPPLY_V + share * (nominal_v - LEAST_SUPPLY_V)
    point = operating_point(digital(node_m), clock_of(volts, nominal_v))
    assert point.supply_v == pytest.approx(volts, rel=1e-9)
    assert point.nominal_v == nominal_v
    assert point.energy == pytest.approx(volts**2 / nominal_v**2, rel=1e-9)


def test_constants_of_the_law_are_those_of_technology():
    """What is written out above is the model's own law: delay(0.6 V) / delay(0.9 V) = 1 / 0.538, energy 4/9."""
    assert (ALPHA, THRESHOLD_V, LEAST_SUPPLY_V) == (1.3, 0.35, 0.5)
    assert pytest.approx(1 / delay_at_voltage(0.6, 0.9)) == AT_600_MV == pytest.approx(0.538, abs=5e-4)
    assert energy_at_voltage(0.6, 0.9) == pytest.approx(4 / 9)


@pytest.mark.parametrize("node_m", NODES_M)
def test_every_node_offers_the_clocks_down_to_half_a_volt(node_m):
    least = clock_of(LEAST_SUPPLY_V, supply_v(node_m))
    assert operating_point(digital(node_m), least).supply_v == pytest.approx(LEAST_SUPPLY_V)
    with pytest.raises(SimulationError, match=r"dvfs core: .* would need less than 0\.5 V; choose 0\.\d+ to 1"):
        operating_point(digital(node_m), least * 0.999)
    with pytest.raises(SimulationError, match="would need more than the nominal"):
        operating_point(digital(node_m), math.nextafter(1.0, 2.0))


@settings(max_examples=40, deadline=None)
@given(node_m=st.sampled_from(NODES_M), share=st.floats(0.01, 0.99))
def test_supply_falls_more_slowly_than_the_clock_below_one_volt(node_m, share):
    """The slope d ln f / d ln V = 1.3 V / (V - 0.35) - 1 is above 1 where V < 1: then f^2 < (V / Vn)^2 < 1, else only the latter."""
    nominal_v = supply_v(node_m)
    least = clock_of(LEAST_SUPPLY_V, nominal_v)
    clock = least + share * (1.0 - least)
    point = operating_point(digital(node_m), clock)
    assert point.energy < 1.0
    if nominal_v <= 1.0:
        assert clock**2 < point.energy
    h = 1e-4
    slope = math.log(clock_of(nominal_v, nominal_v) / clock_of(nominal_v * (1 - h), nominal_v)) / -math.log(1 - h)
    assert slope == pytest.approx(1.3 * nominal_v / (nominal_v - 0.35) - 1, rel=1e-3)


@pytest.mark.parametrize("arrays", [{"n_arrays": 4}, {"scratch_arrays": 2}])
def test_whatever_computes_in_memory_keeps_its_clock(arrays):
    device = SimpleNamespace(**{**vars(digital(22e-9)), **arrays})
    with pytest.raises(SimulationError, match="dvfs core: it computes in memory"):
        operating_point(device, 0.8)


@settings(max_examples=40, deadline=None)
@given(clock=st.floats(0.1, 1.0), supply=st.floats(0.5, 0.9), mac_s=st.floats(0.1, 4.0), launch_s=st.floats(0.0, 3.0))
def test_costs_at_a_point_by_hand(hand, clock, supply, mac_s, launch_s):
    """A 2 to 3 layer: (launch + 6 MACs) / f, 6 MACs at 2 J and 2 input bytes at 0.5 J, times (V / 0.9)^2; its neighbor as before."""
    made = hand.chip({"cpu": {"mac_s": mac_s, "launch_s": launch_s, "mac_j": 2.0, "wire_j": 0.5}, "b": {"mac_s": 3.0}})
    costs = at_points(cost_ops(made, hand.line(2, 3)), {"cpu": OperatingPoint(clock, supply, 0.9)})
    assert costs.latency_s[0] == pytest.approx([(launch_s + 6 * mac_s) / clock, 18.0])
    assert costs.fixed_s[0] == pytest.approx([launch_s / clock, 0.0])
    assert costs.device_energy_j[0] == pytest.approx([13.0 * (supply / 0.9) ** 2, 6.0])


def test_a_load_at_another_clock_by_hand(hand, clocked):
    """6 s and 18 J become 6 / 0.538 s and 8 J; the 2 W it draws anyway are the same, and the bound on the rate falls with the clock."""
    chip = clocked(cpu={"mac_j": 3.0, "idle_w": 2.0})
    made = Load(chip, [Stream(hand.line(2, 3), period_s=20.0)], policy="single:cpu", n_inferences=30, dvfs={"cpu": AT_600_MV})
    result = made.run()
    assert result.streams[0].unloaded_s == pytest.approx(6.0 / AT_600_MV, rel=1e-6)
    assert result.energy.dynamic_j == pytest.approx(8.0)
    assert result.energy.standby_j == pytest.approx(40.0)
    assert result.bound_per_s == pytest.approx(AT_600_MV / 6.0)
    assert result.uses[0].utilization == pytest.approx(6.0 / AT_600_MV / 20.0, rel=1e-6)
    point = result.summary()["operating_points"]["cpu"]
    assert point == {"clock": AT_600_MV, "supply_v": pytest.approx(0.6), "nominal_v": pytest.approx(0.9)}


def test_a_clock_that_is_turned_down_can_overload_a_device_or_move_the_bottleneck(hand, clocked, tmp_path):
    """Stages of 6 and 12 s: at 0.4 of its clock the first takes 15 s, is the bottleneck, and no longer carries one every 13 s."""
    save_schedule(Schedule.of("line", "hand", [("fc0", "cpu", 2.0), ("fc1", "b", 1.0)]), tmp_path / "row.json")
    options = {"policy": f"fixed:{tmp_path / 'row.json'}", "n_inferences": 30}
    chip, net = clocked(cpu={}, b={}), hand.line(2, 3, 4)
    plain, slow = (Load(chip, [Stream(net)], saturated=True, dvfs=dvfs, **options).run() for dvfs in ({}, {"cpu": 0.4}))
    assert (plain.bottleneck, slow.bottleneck) == ("b", "cpu")
    assert (plain.interval_s, slow.interval_s) == (pytest.approx(12.0, rel=1e-6), pytest.approx(15.0, rel=1e-6))
    assert Load(chip, [Stream(net, period_s=13.0)], **options).run().keeps_up
    with pytest.raises(SimulationError, match=r"unstable: .* device 'cpu' of hand busy 115\.4%"):
        Load(chip, [Stream(net, period_s=13.0)], dvfs={"cpu": 0.4}, **options).run()


# --- gating -----------------------------------------------------------------------------------------------------------


@st.composite
def ops_of_a_device(draw):
    """Ops that do not overlap, as (start, end) in halves of a second, in any order."""
    now, found = 0.0, []
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 10), st.integers(1, 6)), min_size=1, max_size=8)):
        found.append((now + gap / 2, now + gap / 2 + length / 2))
        now = found[-1][1]
    return draw(st.permutations(found))


def saved_by_hand(spans, window, after_s, kept):
    """Gap by gap: from the end of an op and `after_s` later to the start of the next, what lies in the window."""
    ordered, total = sorted(spans), 0.0
    gaps = zip([0.0] + [end for _, end in ordered], [start for start, _ in ordered] + [1e9], strict=True)
    for last_end, next_start in gaps:
        total += max(0.0, min(next_start, window[1]) - max(last_end + after_s, window[0]))
    return (1 - kept) * total


@settings(max_examples=60, deadline=None)
@given(spans=ops_of_a_device(), after=st.integers(0, 8), kept=st.floats(0, 1), a=st.integers(0, 30), length=st.integers(0, 40))
def test_gates_save_what_gaps_leave(spans, after, kept, a, length):
    start_s, end_s = np.array(spans).T
    window = (a / 2, (a + length) / 2)
    saved_s = Gating(after / 2, kept).saved_s(start_s, end_s, window)
    assert saved_s == pytest.approx(saved_by_hand(spans, window, after / 2, kept), abs=1e-9)
    idle_s = length / 2 - sum(max(0.0, min(e, window[1]) - max(s, window[0])) for s, e in spans)
    assert -1e-9 <= saved_s <= (1 - kept) * idle_s + 1e-9  # equal where the gate closes at once
    if after == 0:
        assert saved_s == pytest.approx((1 - kept) * idle_s, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(spans=ops_of_a_device(), after=st.floats(0, 4), more=st.floats(0, 4), cut=st.floats(0, 40))
def test_savings_add_up_over_windows_and_shrink_with_a_later_gate(spans, after, more, cut):
    start_s, end_s = np.array(spans).T
    gate, late = Gating(after, 0.25), Gating(after + more, 0.25)
    whole = gate.saved_s(start_s, end_s, (0.0, 40.0))
    parts = gate.saved_s(start_s, end_s, (0.0, cut)) + gate.saved_s(start_s, end_s, (cut, 40.0))
    assert parts == pytest.approx(whole, abs=1e-9)
    assert late.saved_s(start_s, end_s, (0.0, 40.0)) <= whole + 1e-9
    assert Gating(after, 1.0).saved_s(start_s, end_s, (0.0, 40.0)) == 0.0

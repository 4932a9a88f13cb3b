"""Clock, supply and idle states: the alpha-power law, what costs become, and what is refused."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cosim
from cosim.simulation.arrivals import Stream
from cosim.simulation.costs import cost_ops
from cosim.simulation.load import Load
from cosim.simulation.power import LEAST_SUPPLY_V, Gating, at_points, operating_point, operating_points
from hw_models.technology import supply_v
from workloads.errors import SimulationError


@pytest.fixture(scope="module")
def chip():
    return cosim.load_chip("edge_cim_soc")


@cache
def dsp():
    return cosim.load_chip("edge_cim_soc").devices["dsp"]


def test_at_its_own_clock_a_device_keeps_its_supply(chip):
    point = operating_point(chip.devices["dsp"], 1.0)
    assert point.supply_v == pytest.approx(supply_v(22e-9))
    assert point.energy == pytest.approx(1.0)


@settings(max_examples=50, deadline=None)
@given(clock=st.floats(0.4, 1.0))
def test_the_supply_makes_gates_exactly_as_slow_as_the_clock(clock):
    """delay(V) = V / (V - 0.35 V)^1.3, written out; at 22 nm 0.5 V is 0.34 times the clock of 0.9 V."""
    point = operating_point(dsp(), clock)

    def delay(volts):
        return volts / (volts - 0.35) ** 1.3

    assert delay(point.nominal_v) / delay(point.supply_v) == pytest.approx(clock, rel=1e-9)
    assert LEAST_SUPPLY_V <= point.supply_v <= point.nominal_v
    assert point.energy == pytest.approx((point.supply_v / point.nominal_v) ** 2)


def test_a_slower_clock_never_takes_more_energy(chip):
    energies = [operating_point(chip.devices["cpu"], clock).energy for clock in np.linspace(0.4, 1.0, 20)]
    assert energies == sorted(energies)
    assert energies[0] > (LEAST_SUPPLY_V / supply_v(22e-9)) ** 2


def test_times_are_divided_by_the_clock_and_joules_scaled_of_that_device_only(chip):
    net = cosim.load_workload("lenet5")
    plain = cost_ops(chip, net)
    points = operating_points(chip, {"dsp": 0.5})
    slow = at_points(plain, points)
    dsp = plain.device_names.index("dsp")
    others = [d for d in range(len(plain.device_names)) if d != dsp]
    runs = plain.supported[:, dsp]
    assert slow.latency_s[runs, dsp] == pytest.approx(2 * plain.latency_s[runs, dsp])
    assert slow.fixed_s[:, dsp] == pytest.approx(2 * plain.fixed_s[:, dsp])
    assert slow.device_energy_j[:, dsp] == pytest.approx(points["dsp"].energy * plain.device_energy_j[:, dsp])
    assert (slow.n_bytes == plain.n_bytes).all()
    for name in ("latency_s", "fixed_s", "device_energy_j", "supported"):
        assert (getattr(slow, name)[:, others] == getattr(plain, name)[:, others]).all()
    assert (slow.supported == plain.supported).all()
    assert np.isinf(slow.latency_s[~plain.supported]).all()


def test_a_slower_npu_is_slower_and_thriftier_in_a_load():
    npu, net = cosim.load_chip("edge_npu_soc"), cosim.load_workload("lenet5")
    fast, slow = (
        Load(npu, [Stream(net, period_s=1e-3)], policy="single:npu", n_inferences=20, dvfs=dvfs).run() for dvfs in ({}, {"npu": 0.5})
    )
    assert slow.streams[0].unloaded_s > fast.streams[0].unloaded_s
    assert slow.energy.dynamic_j < fast.energy.dynamic_j
    assert slow.summary()["operating_points"]["npu"]["clock"] == 0.5


@pytest.mark.parametrize(
    ("device", "clock", "message"),
    [
        ("dsp", 1.2, r"dvfs dsp: 1.2 times its clock would need more than the nominal 0\.90 V"),
        ("dsp", 0.1, r"dvfs dsp: 0.1 times its clock would need less than 0\.5 V; choose 0\.3\d+ to 1"),
        ("dsp", 0.0, r"dvfs dsp: 0 times its clock is no clock"),
        ("dsp", -1.0, "is no clock"),
        ("dsp", math.nan, "is no clock"),
        ("cim", 0.5, "dvfs cim: it computes in memory"),
        ("dps", 0.5, "dvfs dps: no such device on edge_cim_soc; did you mean 'dsp'"),
    ],
)
def test_a_clock_that_no_supply_allows_is_refused(chip, device, clock, message):
    with pytest.raises(SimulationError, match=message):
        operating_points(chip, {device: clock})


def test_the_slowest_clock_that_is_offered_is_accepted(chip):
    with pytest.raises(SimulationError) as refused:
        operating_point(chip.devices["dsp"], 0.1)
    least = float(str(refused.value).split("choose ")[1].split(" to")[0])
    assert operating_point(chip.devices["dsp"], least).supply_v == pytest.approx(LEAST_SUPPLY_V, abs=2e-3)


def test_a_device_without_a_node_has_no_known_supply(hand):
    with pytest.raises(SimulationError, match="its description gives no node"):
        operating_point(hand.chip({"cpu": {}}).devices["cpu"], 0.5)


# --- gating -----------------------------------------------------------------------------------------------------------


def naive_saved_s(gating, spans, window, step=1e-3):
    """Look at every millisecond: is the device idle, and has it been so for long enough?"""
    saved = 0.0
    for t in np.arange(window[0] + step / 2, window[1], step):
        idle = not any(start <= t < end for start, end in spans)
        since = max((end for _, end in spans if end <= t), default=0.0)
        saved += step * (1 - gating.kept) * (idle and t - since >= gating.after_s)
    return saved


@pytest.mark.parametrize("window", [(0.0, 10.0), (2.5, 7.25), (4.0, 4.0)])
@pytest.mark.parametrize("gating", [Gating(0.0, 0.0), Gating(0.5, 0.25), Gating(3.0, 0.5)])
def test_what_gating_saves_is_what_a_look_at_every_millisecond_finds(gating, window):
    spans = [(1.0, 2.0), (2.0, 3.5), (6.0, 6.5)]
    start_s, end_s = np.array(spans)[[2, 0, 1]].T  # in any order
    assert gating.saved_s(start_s, end_s, window) == pytest.approx(naive_saved_s(gating, spans, window), abs=5e-3)


def test_a_device_that_never_runs_is_off_from_the_beginning():
    assert Gating(1.0, 0.0).saved_s(np.empty(0), np.empty(0), (0.0, 5.0)) == 4.0


@pytest.mark.parametrize(("after_s", "kept"), [(-1.0, 0.5), (math.inf, 0.5), (1.0, -0.1), (1.0, 1.1), (math.nan, 0.5)])
def test_gating_out_of_range_is_refused(after_s, kept):
    with pytest.raises(SimulationError, match="gating"):
        Gating(after_s, kept)

"""Hardware with a switch for each cause: what fits together, and what switching does to the set of causes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training.deploy import causes_of
from cosim.training.hardware import CAUSES, Hardware
from cosim.training.network import Network
from hw_models.catalog import build_part_device
from hw_models.cim.noise import load_noise
from workloads.errors import SimulationError
from workloads.program import Program

NOTHING = Network(Program("empty", "x", (1,), "x", (), {}))
PCM = load_noise("pcm_like")
SOME = st.frozensets(st.sampled_from(CAUSES))


def part():
    return build_part_device("cim_macro/ref_bitserial").spec


@pytest.mark.parametrize("sigma", [-0.1, math.nan, math.inf])
def test_a_deviation_is_a_number_of_zero_or_more(sigma):
    with pytest.raises(SimulationError, match=f"noise {sigma}: a standard deviation is 0 or more"):
        Hardware("h", sigma=sigma)


@pytest.mark.parametrize("t_s", [-1.0, math.nan, math.inf])
def test_a_time_is_a_number_of_seconds_after_programming(t_s):
    with pytest.raises(SimulationError, match=f"time {t_s}: seconds since programming are 0 or more"):
        Hardware("h", t_s=t_s)


def test_a_deviation_stands_for_cells_and_arrays_and_not_beside_them():
    for more in ({"noise": PCM}, {"macro": part()}):
        with pytest.raises(SimulationError, match="give a standard deviation, a model of cells or a chip, not two of them"):
            Hardware("h", sigma=0.1, **more)
    both = Hardware("h", macro=part(), noise=PCM)  # arrays of these cells
    assert not both.is_ideal


def test_a_cause_that_is_misspelled_gets_the_nearest_name():
    with pytest.raises(SimulationError, match=r"cause 'drif' is not known; did you mean 'drift'\?"):
        Hardware("h", off=frozenset({"drif"}))
    with pytest.raises(SimulationError, match="cause 'adc_clip' is not known"):
        Hardware("h").without(["adc_clip"])


def test_only_what_disturbs_a_product_makes_hardware_less_than_ideal():
    assert Hardware("h").is_ideal
    assert Hardware("h", t_s=1.0, off=frozenset(CAUSES)).is_ideal
    assert not Hardware("h", sigma=1e-9).is_ideal
    assert not Hardware("h", noise=PCM).is_ideal
    assert not Hardware("h", macro=part()).is_ideal


def test_one_cause_alone_leaves_the_others_off_whatever_was_off_before():
    hardware = Hardware("h", sigma=0.2, off=frozenset({"programming"}))
    for cause in CAUSES:
        assert hardware.only(cause).off == set(CAUSES) - {cause}
    assert hardware.only("programming").sigma == 0.2


@settings(max_examples=30, deadline=None)
@given(SOME, SOME, SOME)
def test_switching_off_adds_up_in_any_order(before, one, two):
    hardware = Hardware("h", off=before)
    assert hardware.without(one).without(two) == hardware.without(two).without(one) == hardware.without(one | two)
    assert hardware.without(one).off == before | one
    assert hardware.without(()) == hardware


@settings(max_examples=30, deadline=None)
@given(SOME)
def test_a_cause_that_is_off_does_not_act(off):
    """Gaussian noise is programming and nothing else; cells with a time drift and are read too."""
    assert causes_of(NOTHING, Hardware("g", sigma=0.1, off=off)) == (() if "programming" in off else ("programming",))
    later = Hardware("c", noise=PCM, t_s=60.0, off=off)
    assert causes_of(NOTHING, later) == tuple(cause for cause in ("programming", "read", "drift") if cause not in off)


def test_causes_are_told_apart_and_named_once():
    assert len(set(CAUSES)) == len(CAUSES) == 9
    assert causes_of(NOTHING, Hardware("h")) == ()

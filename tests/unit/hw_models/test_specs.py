"""Specs: strict, frozen, and each number knows where it comes from."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hw_models.specs import DEFAULT_ASSUMED_FACTOR, Spec, numbers_without_source
from hw_models.units import Seconds, Volts, Watts


class Timing(Spec):
    t_rcd_s: Seconds
    t_rp_s: Seconds


class Part(Spec):
    supply_v: Volts
    idle_w: Watts = 0.0
    timing: Timing


GIVEN = {"supply": "0.8 V", "idle": "2 mW", "timing": {"t_rcd": "13.75 ns", "t_rp": "14 ns"}}


def part(**notes: dict[str, object]) -> Part:
    return Part.model_validate(GIVEN | notes)


def test_values_are_si_under_names_with_units():
    assert (part().supply_v, part().idle_w, part().timing.t_rcd_s) == (0.8, 2e-3, pytest.approx(13.75e-9))


def test_a_spec_is_frozen_and_refuses_keys_it_does_not_know():
    with pytest.raises(ValidationError, match="frozen"):
        part().supply_v = 1.0
    with pytest.raises(ValidationError, match="Extra inputs"):
        Part.model_validate(GIVEN | {"suply": "1 V"})


@pytest.mark.parametrize(("supply", "message"), [(0.8, "without a unit"), ("0 V", "greater than 0"), ("1 ns", "unit of s")])
def test_numbers_need_their_unit_and_a_physical_value(supply, message):
    with pytest.raises(ValidationError, match=message):
        Part.model_validate(GIVEN | {"supply": supply})


def test_a_note_on_a_parent_covers_its_children_and_the_nearest_one_wins():
    spec = part(assumed={"timing": "guess"}, sources={"timing.t_rp": "data sheet, table 7"})
    assert spec.is_assumed("timing.t_rcd")
    assert not spec.is_assumed("timing.t_rp")
    assert not spec.is_assumed("supply")


def test_an_assumed_number_spreads_by_the_default_factor_unless_its_file_gives_a_range():
    spec = part(assumed={"timing": "guess", "idle": "guess"}, ranges={"idle": 3.0, "supply": 1.1}, sources={"supply": "x"})
    assert {s.name: s.factor for s in spec.spread("dram", "timing.t_rcd", "idle", "supply")} == {
        "dram.timing": DEFAULT_ASSUMED_FACTOR, "dram.idle": 3.0, "dram.supply": 1.1,
    }  # fmt: skip


def test_numbers_under_one_note_are_one_unknown():
    spec = part(assumed={"timing": "guess"})
    assert [s.name for s in spec.spread("dram", "timing.t_rcd", "timing.t_rp")] == ["dram.timing"]


def test_a_sourced_number_without_a_range_has_no_spread():
    assert part(sources={"supply": "x"}).spread("dram", "supply", "idle") == ()


def test_numbers_without_source_names_each_uncovered_leaf():
    assert numbers_without_source(GIVEN, set()) == ["supply", "idle", "timing.t_rcd", "timing.t_rp"]
    assert numbers_without_source(GIVEN, {"supply", "timing.t_rp"}) == ["idle", "timing.t_rcd"]
    assert numbers_without_source(GIVEN, {"supply", "idle", "timing"}) == []


def test_text_flags_and_notes_are_no_numbers():
    data = {"name": "2 GHz is fast", "kind": "dram", "fast": True, "cell": "hp", "ranges": {"idle": 2.0}, "assumed": {"a": "1 V"}}
    assert numbers_without_source({k: v for k, v in data.items() if k != "name"}, set()) == []
    assert numbers_without_source({"sizes": [1, 2], "n_banks": 4, "spans": ["1 ns"]}, set()) == ["sizes", "n_banks", "spans"]


@settings(max_examples=50)
@given(covered=st.sets(st.sampled_from(["supply", "idle", "timing", "timing.t_rcd", "timing.t_rp"])))
def test_covering_more_never_leaves_more_uncovered(covered):
    missing = numbers_without_source(GIVEN, covered)
    assert set(missing) <= set(numbers_without_source(GIVEN, set()))
    assert not set(missing) & covered


@pytest.mark.parametrize("factor", [0.5, 0, -2, float("inf"), float("nan")])
def test_a_range_is_a_factor_of_1_or_more(factor):
    with pytest.raises(ValidationError, match=r"ranges\.idle"):
        part(ranges={"idle": factor})

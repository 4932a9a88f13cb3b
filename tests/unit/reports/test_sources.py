from __future__ import annotations

from collections.abc import Callable

import pytest

from cosim.simulation.result import Result
from cosim.simulation.uncertainty import Exposure
from hw_models.specs import DEFAULT_ASSUMED_FACTOR
from reports.sources import Influence, assumed, influences, overridden_bits, sourced

DESCRIPTION = {
    "name": "chip",
    "node": "22 nm",
    "sources": {"node": "datasheet"},
    "devices": {
        "cim": {
            "rows": 64,
            "adc": {"energy": "2 pJ", "area": "1 um2"},
            "levels": [1, 2],
            "sources": {"rows": "paper, table 2", "levels": "paper"},
            "assumed": {"adc.energy": "mid of three", "adc": "scaled", "gone": "no longer there"},
            "ranges": {"adc": 2, "rows": 1.1},
            "cell": {"part": "x", "leakage": "1 nW", "assumed": {"leakage": "a guess"}},
        }
    },
}


def test_sources_of_all_depths_are_found_with_their_values() -> None:
    assert [(ground.key, ground.value, ground.text) for ground in sourced(DESCRIPTION)] == [
        ("node", "22 nm", "datasheet"),
        ("devices.cim.rows", "64", "paper, table 2"),
        ("devices.cim.levels", "1, 2", "paper"),
    ]


def test_a_sourced_number_may_have_a_range_too() -> None:
    assert {ground.key: ground.factor for ground in sourced(DESCRIPTION)} == {"node": 1, "devices.cim.rows": 1.1, "devices.cim.levels": 1}


def test_assumptions_carry_their_range_or_that_of_their_parent_or_the_default() -> None:
    factors = {ground.key: ground.factor for ground in assumed(DESCRIPTION)}
    assert factors == {
        "devices.cim.adc.energy": 2,
        "devices.cim.adc": 2,
        "devices.cim.gone": DEFAULT_ASSUMED_FACTOR,
        "devices.cim.cell.leakage": DEFAULT_ASSUMED_FACTOR,
    }


def test_a_section_is_shown_by_its_keys_and_a_missing_key_by_nothing() -> None:
    values = {ground.key: ground.value for ground in assumed(DESCRIPTION)}
    assert values["devices.cim.adc"] == "energy, area"
    assert values["devices.cim.adc.energy"] == "2 pJ"
    assert values["devices.cim.gone"] == ""


def test_a_description_without_notes_has_no_grounds() -> None:
    assert not sourced({"name": "x", "devices": {"cpu": {"clock": "1 GHz"}}})
    assert not assumed({"name": "x", "sources": None})


def test_a_spread_moves_the_total_up_by_its_share_times_the_excess_of_its_factor() -> None:
    influence = Influence("adc", 2.0, 0.3)
    assert (influence.up, influence.down) == pytest.approx((0.3, 0.15))


def test_influences_are_the_widest_first_and_leave_out_what_moves_nothing() -> None:
    exposure = Exposure(10.0, {"small": (2.0, 1.0), "large": (1.5, 8.0), "sure": (1.0, 10.0), "absent": (3.0, 0.0)})
    assert [influence.name for influence in influences(exposure, 5)] == ["large", "small"]
    assert len(influences(exposure, 1)) == 1


def test_only_products_at_other_bits_are_named(make_result: Callable[..., Result]) -> None:
    """The softmax of the made result runs at 16-bit activations, but multiplies nothing."""
    assert overridden_bits(make_result()) == []


def test_products_at_other_bits_are_counted_by_device(make_result: Callable[..., Result]) -> None:
    result = make_result(n_ops=4)
    ops = tuple(type(op)(**{**{name: getattr(op, name) for name in op.__slots__}, "activation_bits": 9}) for op in result.ops)
    changed = type(result)(**{**vars(result), "ops": ops})
    assert overridden_bits(changed) == [("cim", 8, 9, 3)]

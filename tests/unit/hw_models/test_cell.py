"""A memory cell of a compute array: what the published parts say, and what no cell can be."""

import re

import pytest
from pydantic import ValidationError

from hw_models.catalog import list_parts, resolve_part
from hw_models.cim.cell import CellSpec

RESISTOR = {
    "kind": "reram",
    "node": "22 nm",
    "max_bits": 2,
    "area": "0.08 um2",
    "bitline_cap": "0.1 fF",
    "wordline_cap": "0.4 fF",
    "r_lrs": "100 kohm",
    "r_hrs": "1 Mohm",
    "read_voltage": "0.5 V",
    "read_time": "10 ns",
    "write_energy": "0.6 pJ",
    "write_time": "10 ns",
    "n_write_pulses": 8,
}
CAPACITOR = {
    "kind": "sram",
    "node": "22 nm",
    "max_bits": 1,
    "area": "0.45 um2",
    "bitline_cap": "0.35 fF",
    "wordline_cap": "0.35 fF",
    "unit_cap": "2 fF",
    "read_time": "1 ns",
    "write_energy": "1.6 fJ",
    "write_time": "1 ns",
}


def resistor(**change):
    return CellSpec.model_validate(RESISTOR | change)


def capacitor(**change):
    return CellSpec.model_validate(CAPACITOR | change)


def test_conductance_runs_from_the_high_to_the_low_resistance_state():
    cell = resistor()
    assert cell.conductance(0) == pytest.approx(1e-6)
    assert cell.conductance(1) == pytest.approx(10e-6)
    assert cell.conductance(0.5) == pytest.approx(5.5e-6)  # halfway in conductance, not in resistance


def test_a_read_of_a_resistor_burns_voltage_squared_times_conductance_times_time():
    # 0.5^2 V^2 * 10 uS * 10 ns = 25 fJ for a full cell, a tenth of it at on/off 10 for an empty one
    assert resistor().driven_j("resistive", 0.8, 1.0) == pytest.approx(25e-15)
    assert resistor().driven_j("resistive", 0.8, 0.0) == pytest.approx(2.5e-15)


def test_a_published_read_energy_stands_for_a_half_full_cell():
    cell = resistor(read_energy="2 fJ")
    assert cell.driven_j("resistive", 0.8, 0.5) == pytest.approx(2e-15)
    assert cell.driven_j("resistive", 0.8, 0.0) == pytest.approx(2e-15 * 1 / 5.5)
    without = CellSpec.model_validate({k: v for k, v in RESISTOR.items() if k not in {"r_lrs", "r_hrs"}} | {"read_energy": "2 fJ"})
    assert without.driven_j("resistive", 0.8, 0.25) == pytest.approx(1e-15)  # in proportion where no resistances are known
    assert without.on_off_ratio is None
    assert without.conductance(1.0) == 0


def test_a_product_of_one_charges_the_coupling_capacitor_from_the_supply():
    # 2 fF * (0.8 V)^2 = 1.28 fJ; half of the weights are 1
    assert capacitor().driven_j("charge", 0.8, 1.0) == pytest.approx(1.28e-15)
    assert capacitor().driven_j("charge", 0.8, 0.5) == pytest.approx(0.64e-15)
    assert capacitor().driven_j("digital", 0.8, 0.5) == pytest.approx(0.64e-15)


def test_a_column_line_moves_by_the_mean_of_its_products():
    # 256 rows * 0.35 fF = 89.6 fF; swing 1/8 of 0.8 V from a 0.8 V supply
    assert capacitor().column_j("charge", 0.8, 256, 0.125) == pytest.approx(89.6e-15 * 0.64 * 0.125)
    assert capacitor().column_j("current", 0.8, 256, 0.125) == pytest.approx(89.6e-15 * 0.64 * 0.125)
    # a resistive line moves by the read voltage; a digital column has no line
    assert resistor().column_j("resistive", 0.8, 256, 1.0) == pytest.approx(25.6e-15 * 0.25)
    assert capacitor().column_j("digital", 0.8, 256, 0.125) == 0


def test_a_row_is_charged_to_its_own_voltage_where_it_has_one():
    assert capacitor().row_j(0.8, 100) == pytest.approx(35e-15 * 0.64)
    assert capacitor(wordline_voltage="1.1 V").row_j(0.8, 100) == pytest.approx(35e-15 * 1.21)


def test_programming_repeats_pulses_until_verified():
    assert resistor().write_j == pytest.approx(8 * 0.6e-12)
    assert resistor().write_s == pytest.approx(80e-9)
    assert capacitor().write_j == pytest.approx(1.6e-15)


@pytest.mark.parametrize(("kind", "keeps"), [("sram", False), ("edram", False), ("reram", True), ("pcm", True), ("flash", True)])
def test_which_cells_keep_their_weight_without_power(kind, keeps):
    assert capacitor(kind=kind).is_non_volatile is keeps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r_hrs": "50 kohm"}, "on/off ratio r_hrs / r_lrs is 50000 / 100000 ohm; it must be at least 1"),
        ({"r_lrs": "0 ohm"}, "with r_lrs above 0"),
        ({"r_lrs": None}, "r_lrs and r_hrs belong together"),
        ({"max_bits": 0}, "greater than or equal to 1"),
        ({"n_write_pulses": 0.5}, "greater than or equal to 1"),
        ({"endurance": 0}, "greater than 0"),
        ({"area": "-1 um2"}, "greater than or equal to 0"),
        ({"read_time": "10 nJ"}, "'nJ' is a unit of J"),
        ({"kind": "core rope"}, "Input should be 'sram'"),
    ],
)
def test_what_no_cell_can_be_is_refused_with_the_reason(change, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        resistor(**change)


@pytest.mark.parametrize("name", [name for name in list_parts() if name.startswith("cell/") and "nand" not in name])
def test_every_shipped_cell_can_be_read(name):
    cell = CellSpec.model_validate(resolve_part(name).data)
    assert 1e-16 < cell.area_m2 < 1e-11  # between a nanometer-scale crossing and a few um2
    assert cell.leakage_w == 0 or not cell.is_non_volatile
    if cell.on_off_ratio is not None:
        assert cell.on_off_ratio > 1


def test_the_neurosim_cell_at_22_nm_has_the_published_figures():
    """NeuroSim V1.4 Param.cpp: 100 kohm, on/off 17, 4 F x 12 F with F = 40 nm."""
    cell = CellSpec.model_validate(resolve_part("cell/reram_1t1r_22nm").data)
    assert cell.on_off_ratio == pytest.approx(17)
    assert cell.area_m2 == pytest.approx(4 * 12 * (40e-9) ** 2)


def test_the_isaac_cell_adds_up_to_the_published_power_of_its_array():
    """ISCA 2016, Table I: an array of 128 x 128 draws 0.3 mW, one pass takes 100 ns."""
    cell = CellSpec.model_validate(resolve_part("cell/reram_isaac_32nm").data)
    power_w = 128 * 128 * cell.driven_j("resistive", 0.9, 0.5) / cell.read_time_s
    assert power_w == pytest.approx(0.3e-3, rel=0.01)
    assert 8 * 128 * 128 * cell.area_m2 == pytest.approx(0.0002e-6, rel=0.01)

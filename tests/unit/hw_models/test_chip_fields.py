"""Chips with fields set as if their file said so."""

import pytest

from hw_models.catalog import load_chip, read_chip, resolve_fields
from hw_models.units import same_value
from workloads.errors import SpecError

CHIP, ADC = "edge_cim_soc", "devices.cim.adc.n_bits"


def test_a_field_is_what_the_chip_then_has():
    chip = load_chip(CHIP, {ADC: 6, "memory.shared.capacity": "1 MiB", "area.interconnect_and_io": "2 mm2"})
    assert chip.devices["cim"].spec.adc.n_bits == 6
    assert chip.shared.capacity_bytes == 2**20
    assert chip.spec.area_m2["interconnect_and_io"] == pytest.approx(2e-6)


def test_a_part_is_put_in_place_and_fields_are_set_on_top_of_it():
    chip = load_chip(CHIP, {"memory.backing.capacity": "1 GiB", "memory.backing.part": "dram/ddr4_3200_x64"})
    assert chip.backing.spec.organization.channel_width_bits == 64
    assert chip.backing.capacity_bytes == 2**30


def test_setting_what_is_there_already_changes_nothing():
    plain = load_chip(CHIP)
    same = load_chip(CHIP, {ADC: 8, "devices.cim.supply": "900 mV", "links.cim.latency": "1 us"})
    assert same.digest == plain.digest
    assert load_chip(CHIP, {ADC: 7}).digest != plain.digest


def test_what_a_part_says_of_a_number_no_longer_holds_when_it_is_set():
    key = "devices.cpu.n_cores"
    before = load_chip(CHIP).devices["cpu"].spec
    after = load_chip(CHIP, {key: before.n_cores + 1}).devices["cpu"].spec
    assert "n_cores" in {**before.sources, **before.assumed}
    assert "n_cores" not in {**after.sources, **after.assumed}


def test_the_description_that_was_read_stays_as_it_is():
    document = read_chip(CHIP)
    text = repr(document.data)
    resolve_fields(document, {ADC: 3, "links.gpu.latency": "1 us"})
    assert repr(document.data) == text


def test_a_field_inside_a_number_or_one_that_is_not_known_is_refused():
    with pytest.raises(SpecError, match=r"'n_macros' holds 1640, which has no keys of its own"):
        load_chip(CHIP, {"devices.cim.n_macros.of": 3})
    with pytest.raises(SpecError, match=r"devices\.cim\.adc\.bits: unknown key"):
        load_chip(CHIP, {"devices.cim.adc.bits": 3})


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("0.9 V", "900 mV", True),
        ("1 KiB", "1024 B", True),
        ("1 KiB", "1 kB", False),
        (8, 8.0, True),
        (1, True, False),
        ("granular", "granular", True),
        ("8", 8, False),
        (None, 8, False),
        ("5 m", "5 mm", False),
    ],
)
def test_values_are_the_same_when_they_say_the_same(a, b, same):
    assert same_value(a, b) is same

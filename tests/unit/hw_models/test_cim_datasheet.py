"""A macro as a column pass and as a data sheet: what the numbers have to be to each other."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cosim.cli import cli
from hw_models.catalog import build_part_device, list_parts
from hw_models.cim import physics
from hw_models.cim.datasheet import RULES, SCOPES, datasheet
from hw_models.cim.spec_pass import column_s, kind_of, pass_input, pass_s, turns, way_of
from workloads.errors import SpecError

MACROS = [name for name in list_parts() if name.startswith("cim_macro/")]


def spec_of(name: str):
    return build_part_device(name).spec


@pytest.mark.parametrize("name", MACROS)
def test_every_macro_of_the_catalog_has_a_data_sheet(name: str) -> None:
    sheet = datasheet(build_part_device(name))
    assert sum(sheet["own_energy_j"].values()) > 0
    assert sum(sheet["silicon_energy_j"].values()) > 0
    assert sheet["area_mm2"]["cells"] > 0
    assert sheet["silicon_factor_90"] > 1
    assert set(sheet["efficiency_tops_per_w"]) == set(SCOPES)


@pytest.mark.parametrize("name", MACROS)
def test_rules_of_counting_differ_by_their_exact_factors(name: str) -> None:
    sheet = datasheet(build_part_device(name), weight_bits=4, activation_bits=2)
    for scope in SCOPES:
        for key in ("own", "silicon", "low", "high"):
            ops, one_bit, macs = (sheet["efficiency_tops_per_w"][scope][rule][key] for rule in RULES)
            if ops is not None:
                assert one_bit == pytest.approx(8 * ops)
                assert macs == pytest.approx(ops / 2)


def test_an_interval_holds_its_prediction_and_wider_scopes_are_less_efficient() -> None:
    found = datasheet(build_part_device("cim_macro/sram_charge_22nm_256x256"))["efficiency_tops_per_w"]
    for scope in ("adc", "macro", "chip"):
        one = found[scope]["ops"]
        assert one["low"] < one["silicon"] < one["high"]
    assert found["adc"]["ops"]["silicon"] > found["macro"]["ops"]["silicon"] > found["chip"]["ops"]["silicon"]
    assert found["adc"]["ops"]["own"] > found["macro"]["ops"]["own"] > found["datapath"]["ops"]["own"]
    assert found["datapath"]["ops"]["silicon"] is None
    assert found["chip"]["ops"]["own"] is None


def test_energies_of_the_sheet_make_its_efficiency() -> None:
    """2 MACs over the energies of the macro's components, by hand from the printed parts."""
    sheet = datasheet(build_part_device("cim_macro/digital_22nm_256x256"))
    own = sheet["own_energy_j"]
    spent = sum(own[name] for name in ("driver", "cell", "adc", "digital", "control"))
    assert sheet["efficiency_tops_per_w"]["macro"]["ops"]["own"] == pytest.approx(2 * sheet["mvm"]["macs"] / spent * 1e-12)


def test_a_sheet_is_of_one_macro_however_many_a_part_has() -> None:
    isaac = build_part_device("cim_macro/isaac_ima_32nm")
    assert isaac.spec.n_macros == 8
    sheet = datasheet(isaac)
    assert sum(sheet["area_mm2"].values()) == pytest.approx(sum(physics.macro_areas_m2(isaac.spec).values()) * 1e6)
    assert sheet["mvm"]["k"] <= isaac.spec.rows


def test_facts_of_a_pass_follow_from_the_spec() -> None:
    sram, digital = spec_of("cim_macro/sram_charge_22nm_256x256"), spec_of("cim_macro/digital_22nm_256x256")
    isaac, neurram = spec_of("cim_macro/isaac_ima_32nm"), spec_of("cim_macro/neurram_130nm")
    assert [kind_of(spec) for spec in (sram, digital, isaac)] == ["sram", "digital", "envm"]
    assert [way_of(spec) for spec in (sram, digital, isaac, neurram)] == ["charge", "tree", "current", "voltage"]
    assert pass_input(sram).adc == "sar"
    assert pass_input(digital, weight_bits=4).weight_bits == 4
    assert pass_input(isaac).weight_bits == 2
    assert turns(sram) == 8
    assert turns(digital) == 1


def test_a_pass_of_all_columns_takes_at_least_as_long_as_its_longest_stage() -> None:
    spec = spec_of("cim_macro/sram_charge_22nm_256x256")
    scaled = physics.factors(spec)
    assert pass_s(spec) == pytest.approx(max(physics.activation_s(spec, scaled), 8 * physics.adc_s(spec, scaled), 1 / spec.clock_hz))
    assert pass_s(spec.model_copy(update={"pipelined": False})) > pass_s(spec)
    assert column_s(spec) == pytest.approx(physics.activation_s(spec, scaled) + physics.adc_s(spec, scaled))


def test_the_command_prints_units_and_takes_a_short_name() -> None:
    found = CliRunner().invoke(cli, ["cim", "sram_charge_22nm_256x256"])
    assert found.exit_code == 0, found.output
    for words in ("pJ", "TOPS/W", "TOPS/mm2", "mm2", "90 %", "would tell all sums apart"):
        assert words in found.output


def test_the_command_prints_one_json_object() -> None:
    found = CliRunner().invoke(cli, ["cim", "cim_macro/digital_22nm_256x256", "--json"])
    assert json.loads(found.stdout)["lossless_adc_bits"] is None


@pytest.mark.parametrize(("part", "words"), [("sram_charge", "neither in the catalog nor a file"), ("dram/ddr4_2400", "")])
def test_what_is_no_macro_is_refused(part: str, words: str) -> None:
    found = CliRunner().invoke(cli, ["cim", part])
    assert found.exit_code != 0
    assert isinstance(found.exception, SpecError)
    assert words in str(found.exception)

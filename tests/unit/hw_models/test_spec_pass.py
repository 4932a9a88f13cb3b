"""A macro of a part file as a column pass: kind, way, ADC and times of the macros in the catalog."""

from __future__ import annotations

import pytest

from hw_models.catalog import build_part_device, list_parts
from hw_models.cim import physics
from hw_models.cim.spec import CimMacroSpec
from hw_models.cim.spec_pass import column_s, kind_of, limit_of, pass_input, pass_s, stages_s, turns, way_of

MACROS = [name.removeprefix("cim_macro/") for name in list_parts() if name.startswith("cim_macro/")]


def spec_of(name: str, **change: object) -> CimMacroSpec:
    spec = build_part_device(f"cim_macro/{name}").spec
    assert isinstance(spec, CimMacroSpec)
    return spec.model_copy(update=change)


@pytest.mark.parametrize(
    ("name", "kind", "way"),
    [
        ("sram_charge_22nm_256x256", "sram", "charge"),
        ("sinangil_jssc_2021_7nm", "sram", "temporal"),
        ("xnor_sram_65nm", "sram", "bitline"),
        ("digital_22nm_256x256", "digital", "tree"),
        ("isaac_ima_32nm", "envm", "current"),
        ("hermes_vlsi_2021_14nm", "envm", "current"),
        ("neurram_130nm", "envm", "voltage"),
    ],
)
def test_kind_and_way_follow_from_cell_domain_and_dac(name: str, kind: str, way: str) -> None:
    """NeuRRAM's cells conduct 10 of the 270 ns of a step and the line settles; HERMES's conduct for all of each pulse."""
    assert (kind_of(spec_of(name)), way_of(spec_of(name))) == (kind, way)


def test_edram_counts_as_sram_and_resistive_lines_settle_only_with_pulses() -> None:
    charge = spec_of("sram_charge_22nm_256x256")
    assert kind_of(spec_of("sram_charge_22nm_256x256", cell=charge.cell.model_copy(update={"kind": "edram"}))) == "sram"
    reram = spec_of("reram_22nm_256x256", settle_s=1e-6)
    assert way_of(reram) == "current"
    pulsed = reram.model_copy(update={"dac": spec_of("neurram_130nm").dac})
    assert way_of(pulsed) == "voltage"


@pytest.mark.parametrize(
    ("name", "family"),
    [("hermes_vlsi_2021_14nm", "pcm"), ("deaville_vlsi_2022_22nm", "mram"), ("isaac_ima_32nm", "reram"), ("pimca_28nm", "none")],
)
def test_family_is_that_of_the_cell(name: str, family: str) -> None:
    assert pass_input(spec_of(name)).family == family


def test_rows_of_a_pair_are_one_input_and_analog_columns_hold_a_slice() -> None:
    neurram = pass_input(spec_of("neurram_130nm"))
    assert (neurram.n, neurram.weight_bits, neurram.rows) == (128, 3, 256)
    digital = pass_input(spec_of("digital_22nm_256x256"), weight_bits=4)
    assert (digital.n, digital.weight_bits, digital.adc_bits, digital.adc) == (256, 4, 0, "any")
    isaac = pass_input(spec_of("isaac_ima_32nm"))
    assert (isaac.weight_bits, isaac.adc, isaac.adc_bits) == (2, "sar", 8)


def test_turns_are_columns_over_adcs_times_columns_of_a_pair() -> None:
    assert turns(spec_of("sram_charge_22nm_256x256")) == 256 / 32
    assert turns(spec_of("reram_22nm_256x256")) == 256 / (32 * 2)
    assert turns(spec_of("digital_22nm_256x256")) == 1


@pytest.mark.parametrize("name", MACROS)
def test_a_pipelined_pass_takes_its_longest_stage_and_another_their_sum(name: str) -> None:
    spec = spec_of(name, pipelined=True)
    stages = stages_s(spec)
    assert pass_s(spec) == max(stages.values()) == stages[limit_of(spec)]
    assert pass_s(spec.model_copy(update={"pipelined": False})) == pytest.approx(sum(stages.values()))
    scaled = physics.factors(spec)
    assert stages["array"] == physics.activation_s(spec, scaled)
    assert stages["adc"] == pytest.approx(turns(spec) * physics.adc_s(spec, scaled))
    assert column_s(spec) == pytest.approx(stages["array"] + stages["adc"] / turns(spec))


@pytest.mark.parametrize("name", MACROS)
def test_a_pass_says_no_more_than_its_spec_and_fills_in_no_prior(name: str) -> None:
    spec = spec_of(name)
    one = pass_input(spec, "chip")
    assert (one.scope, one.priors, one.node_m, one.supply_v) == ("chip", (), spec.node_m, spec.supply_v)
    assert one.latency_s == (None if way_of(spec) == "voltage" else column_s(spec))
    assert one.input_bits == spec.input_bits_per_pass


def test_pulses_of_a_unit_nanosecond_take_255_ns_for_eight_bits() -> None:
    """HERMES: one period of its 1 GHz clock a unit pulse; its oscillators step every 300 ps at their own node."""
    hermes = spec_of("hermes_vlsi_2021_14nm")
    assert stages_s(hermes)["array"] == pytest.approx(255e-9)
    assert hermes.adc is not None
    assert hermes.adc.conversion_s(256) == pytest.approx(255 * 0.3e-9)

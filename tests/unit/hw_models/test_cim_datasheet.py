"""A macro as a data sheet: what the numbers have to be to each other."""

from __future__ import annotations

import json
from math import exp, hypot, log

import numpy as np
import pytest

from hw_models.catalog import build_part_device, list_parts
from hw_models.cim import physics
from hw_models.cim.calibrated import predict, read_calibration
from hw_models.cim.datasheet import RULES, SCOPES, datasheet, mvm_of
from hw_models.cim.error import output_error
from hw_models.cim.spec_pass import pass_input, pass_s
from hw_models.technology import scale_area
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
    assert sheet["write"]["time_s"] > 0
    assert json.loads(json.dumps(sheet, allow_nan=False))["title"]


@pytest.mark.parametrize("name", MACROS)
def test_rules_of_counting_differ_by_their_exact_factors(name: str) -> None:
    sheet = datasheet(build_part_device(name), weight_bits=4, activation_bits=2)
    for scope in SCOPES:
        for key in ("own", "silicon", "low", "high"):
            ops, one_bit, macs = (sheet["efficiency_tops_per_w"][scope][rule][key] for rule in RULES)
            if ops is not None:
                assert one_bit == pytest.approx(8 * ops)
                assert macs == pytest.approx(ops / 2)
        for found in [sheet["density_tops_per_mm2"].get(scope)] if scope != "chip" else []:
            ops, one_bit, macs = (found[rule]["own"] for rule in RULES)
            assert (one_bit, macs) == pytest.approx((8 * ops, ops / 2))


@pytest.mark.parametrize("name", MACROS)
def test_every_interval_holds_its_value(name: str) -> None:
    sheet = datasheet(build_part_device(name))
    for table in ("efficiency_tops_per_w", "density_tops_per_mm2"):
        for rules in sheet[table].values():
            for found in rules.values():
                assert found["own"] is None or 0 < found["own_low"] <= found["own"] <= found["own_high"]
                assert found.get("silicon") is None or 0 < found["low"] < found["silicon"] < found["high"]
    fitted = sheet["pass"]["silicon_s"]
    assert 0 < fitted["low"] < fitted["value"] < fitted["high"]


@pytest.mark.parametrize("name", MACROS)
def test_passes_make_an_mvm_and_components_their_total(name: str) -> None:
    device = build_part_device(name)
    sheet = datasheet(device)
    one = sheet["pass"]
    for owner in ("own", "silicon"):
        assert sum(one[f"{owner}_energy_j"].values()) * one["n_per_mvm"] == pytest.approx(sum(sheet[f"{owner}_energy_j"].values()))
    column = predict([pass_input(device.spec)])
    mvm = mvm_of(device.spec, 8, 8)
    assert sum(one["silicon_energy_j"].values()) == pytest.approx(column.total_j[0] * mvm.n * mvm.slices)
    assert one["stages_s"][one["limit"]] == max(one["stages_s"].values())
    assert sheet["pass_s"] >= one["stages_s"][one["limit"]]


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


def test_an_8_bit_weight_in_3_bit_cells_takes_three_slices_and_an_8_bit_input_of_5_bits_a_pass_two_passes() -> None:
    """One bit of the eight is the sign of the pair; the other seven fill 7 / 3 cells, so three. 8 / 5 passes are two."""
    neurram, lee = build_part_device("cim_macro/neurram_130nm").spec, build_part_device("cim_macro/lee_vlsi_2021_28nm").spec
    assert (mvm_of(neurram, 8, 8).slices, mvm_of(neurram, 8, 8).k) == (3, 128)
    assert mvm_of(neurram, 8, 8).n == 256 // 3
    assert mvm_of(lee, 8, 8).passes == 2
    assert mvm_of(lee, 8, 5).passes == 1


def test_trees_of_four_bits_join_for_eight_and_a_column_pass_then_holds_the_whole_weight() -> None:
    digital = build_part_device("cim_macro/digital_22nm_256x256").spec
    assert (mvm_of(digital, 4, 8).n, mvm_of(digital, 8, 8).n) == (64, 32)
    assert mvm_of(digital, 8, 8).slices == 1


def test_density_of_a_macro_is_its_operations_over_passes_and_area() -> None:
    device = build_part_device("cim_macro/sram_charge_22nm_256x256")
    sheet = datasheet(device)
    area_mm2 = sum(sheet["area_mm2"].values())
    tops = 2 * sheet["mvm"]["macs"] / (8 * pass_s(device.spec)) * 1e-12
    density = sheet["density_tops_per_mm2"]
    assert density["macro"]["ops"]["own"] == pytest.approx(tops / area_mm2)
    assert density["adc"]["ops"]["own"] > density["macro"]["ops"]["own"] > density["datapath"]["ops"]["own"]
    around = sum(sheet["area_around_mm2"].values())
    assert density["datapath"]["ops"]["own"] == pytest.approx(
        2 * sheet["mvm"]["macs"] / sheet["mvm"]["steady_s"] / (area_mm2 + around) * 1e-12
    )


def test_moving_cells_and_drivers_to_another_node_puts_the_area_law_in_the_interval() -> None:
    """Jia at 65 nm: cells of 22 nm, converters of 28 nm; the interval is symmetric in logs and not narrower than the law's least doubt."""
    jia = build_part_device("cim_macro/jia_jssc_2020_65nm").spec
    found = datasheet(build_part_device("cim_macro/jia_jssc_2020_65nm"))["density_tops_per_mm2"]["adc"]["ops"]
    laws = [scale_area(node_m, jia.node_m).factor for node_m in (jia.cell.node_m, jia.dac.node_m)]
    assert found["own_high"] / found["own"] >= min(laws) >= 1
    assert found["own_high"] * found["own_low"] == pytest.approx(found["own"] ** 2)


def test_the_interval_of_energy_is_that_of_its_spreads_in_squares() -> None:
    """The ADC of an imagined macro is all that is uncertain: its exposed part p of the total moves it by 1 + p (f - 1)."""
    device = build_part_device("cim_macro/isaac_ima_32nm")
    sheet = datasheet(device)
    found, own = sheet["efficiency_tops_per_w"]["adc"]["ops"], sheet["own_energy_j"]
    total = own["driver"] + own["cell"] + own["adc"]
    costs = type(device).costs([device.spec], mvm_of(device.spec, 8, 8).table())
    moved: dict[str, float] = {}
    for part in costs.components[0]:
        for spread in part.spreads if part.name in {"driver", "cell", "adc"} else ():
            moved[spread.name] = moved.get(spread.name, 0.0) + own[part.name] * (spread.factor - 1)
    assert found["own_high"] / found["own"] == pytest.approx(exp(hypot(*(log(1 + part / total) for part in moved.values()))))


def test_adder_trees_count_as_the_readout_of_a_digital_array() -> None:
    sheet = datasheet(build_part_device("cim_macro/digital_22nm_256x256"))
    own = sheet["own_energy_j"]
    spent = own["driver"] + own["cell"] + own["digital"]
    assert sheet["efficiency_tops_per_w"]["adc"]["ops"]["own"] == pytest.approx(2 * sheet["mvm"]["macs"] / spent * 1e-12)


def test_signal_is_that_of_the_error_model_and_digital_macros_lose_none() -> None:
    device = build_part_device("cim_macro/pimca_28nm")
    sheet = datasheet(device, weight_bits=6, activation_bits=4)
    found = output_error(device.spec, 256, 6, 4)
    assert sheet["output_snr_db"] == pytest.approx(float(found.output_snr_db[0]))
    assert sheet["output_snr_db"] == pytest.approx(10 * np.log10(sheet["signal_variance"] / sheet["error_variance"]))
    assert sum(sheet["error_shares"].values()) == pytest.approx(1)
    digital = datasheet(build_part_device("cim_macro/digital_22nm_256x256"))
    assert (digital["output_snr_db"], digital["error_variance"], digital["error_shares"]) == (None, 0.0, {})


def test_one_more_adc_bit_loses_less_signal() -> None:
    part = build_part_device("cim_macro/pimca_28nm")
    finer = type(part)(part.name, part.spec.model_copy(update={"adc": part.spec.adc.model_copy(update={"n_bits": 5})}))
    assert datasheet(finer)["output_snr_db"] > datasheet(part)["output_snr_db"]


def test_twice_the_data_density_drives_rows_twice_and_is_no_longer_in_doubt() -> None:
    device = build_part_device("cim_macro/sram_charge_22nm_256x256")
    known, twice = datasheet(device, data_density=0.25), datasheet(device, data_density=0.5)
    assumed = datasheet(device)
    assert twice["own_energy_j"]["driver"] == pytest.approx(2 * known["own_energy_j"]["driver"])
    assert known["own_energy_j"] == pytest.approx(assumed["own_energy_j"])
    assert twice["silicon_energy_j"] == known["silicon_energy_j"]
    wide, narrow = (sheet["efficiency_tops_per_w"]["adc"]["ops"] for sheet in (assumed, known))
    assert wide["own_high"] > narrow["own_high"]


@pytest.mark.parametrize("density", [0.0, -0.5, 1.01, float("nan")])
def test_a_mean_input_outside_zero_to_full_scale_is_refused(density: float) -> None:
    with pytest.raises(SpecError, match="data_density"):
        datasheet(build_part_device("cim_macro/pimca_28nm"), data_density=density)


def test_writing_all_cells_takes_rows_times_batches_of_a_row() -> None:
    """256 rows of 256 cells, 16 at a time, 8 pulses of 10 ns and 0.6 pJ each."""
    write = datasheet(build_part_device("cim_macro/reram_22nm_256x256"))["write"]
    assert write["time_s"] == pytest.approx(256 * 16 * 8 * 10e-9)
    assert write["energy_j"] == pytest.approx(256 * 256 * 8 * 0.6e-12)
    assert write["endurance"] == 1e6


def test_a_macro_outside_the_fit_is_flagged_by_name() -> None:
    device = build_part_device("cim_macro/sram_charge_22nm_256x256")
    deep = type(device)("deep", device.spec.model_copy(update={"rows": 4096}))
    assert any("n 4096" in flag for flag in datasheet(deep)["flags"])
    assert datasheet(device)["flags"] == []
    assert datasheet(device)["silicon_factor_90"] == pytest.approx(exp(read_calibration().half_ln["energy.sram"]))

"""`cosim cim`: what it prints, and what it refuses."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

from cosim.cli import cli, main
from hw_models.catalog import list_parts

MACROS = [name.removeprefix("cim_macro/") for name in list_parts() if name.startswith("cim_macro/")]


def run(*words: str) -> str:
    found = CliRunner().invoke(cli, ["cim", *words])
    assert found.exit_code == 0, found.output
    return found.stdout


@pytest.mark.parametrize("name", MACROS)
def test_every_macro_of_the_catalog_is_printed_with_units(name: str) -> None:
    text = run(name)
    for words in ("one pass:", "limit:", "energy, pJ", "TOPS/W", "TOPS/mm2", " mm2 (", "90 %", "writing all cells:", "on silicon"):
        assert words in text
    assert "output SNR" in text or "output: exact" in text
    assert " nan" not in text
    assert max(map(len, text.splitlines())) <= 160


def test_at_least_ten_papers_have_parts() -> None:
    """Chih 2021, Jia 2020, Jiang 2020, Su 2021 and so on, beside three macros of no paper."""
    assert len(set(MACROS) - {"digital_22nm_256x256", "reram_22nm_256x256", "sram_charge_22nm_256x256"}) >= 10


def test_a_short_name_a_full_name_and_a_file_give_the_same(tmp_path) -> None:
    text = run("sram_charge_22nm_256x256", "--json")
    assert run("cim_macro/sram_charge_22nm_256x256", "--json") == text
    mine = tmp_path / "mine.yaml"
    mine.write_text("part: cim_macro/sram_charge_22nm_256x256\n", encoding="utf-8")
    assert json.loads(run(str(mine), "--json"))["own_energy_j"] == json.loads(text)["own_energy_j"]


def test_json_is_one_object_with_units_in_its_keys() -> None:
    sheet = json.loads(run("digital_22nm_256x256", "--json", "--weight-bits", "4", "--activation-bits", "2"))
    assert (sheet["weight_bits"], sheet["activation_bits"], sheet["lossless_adc_bits"]) == (4, 2, None)
    assert {"own_energy_j", "silicon_energy_j", "efficiency_tops_per_w", "density_tops_per_mm2", "area_mm2", "pass_s"} <= set(sheet)
    assert sheet["pass"]["n_per_mvm"] == 2


def test_data_density_is_said_and_changes_energy() -> None:
    text = run("sram_charge_22nm_256x256", "--data-density", "0.5")
    assert "mean input 0.5 of full scale" in text
    assert "mean input 0.25 of full scale" in run("sram_charge_22nm_256x256")


@pytest.mark.parametrize("density", ["0", "1.5", "-1", "x"])
def test_a_density_that_is_none_is_refused(density: str) -> None:
    found = CliRunner().invoke(cli, ["cim", "pimca_28nm", "--data-density", density])
    assert found.exit_code == 2
    assert "--data-density" in found.output


def test_an_adc_short_of_lossless_says_what_that_costs() -> None:
    """256 one-bit products have 257 sums: 9 bits. PIMCA has 4."""
    text = run("pimca_28nm")
    assert "ADC: 4 bits; 9 would tell all sums apart" in text
    assert "quantization" in text


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("jia_jssc_2020_65m", "did you mean 'jia_jssc_2020_65nm'?"),
        ("cim_macro/pimca_28", "did you mean 'pimca_28nm'?"),
        ("nothing.yaml", "neither a macro of the catalog nor a file"),
        ("cell/sram_8t_22nm", "of kind sram, not cim_macro"),
        ("converter/sar_8b_28nm", "of kind none, not cim_macro"),
        ("dram/ddr4_2400", "of kind dram, not cim_macro"),
    ],
)
def test_what_is_no_macro_ends_with_code_2_the_nearest_name_and_no_traceback(part: str, words: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["cosim", "cim", part])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("bits_per_cell: 4", "more than the 1 that this sram cell can hold"),
        ("rows: 0", "rows"),
        ("adc: {part: converter/sar_8b_28nm, n_bits: 0}", "n_bits"),
        ("supply: 0.5 V", "below the 0.6 V"),
    ],
)
def test_a_macro_that_cannot_be_is_refused_with_the_reason(change: str, words: str, tmp_path, monkeypatch, capsys) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"part: cim_macro/sram_charge_22nm_256x256\n{change}\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["cosim", "cim", str(mine)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


def test_a_macro_outside_the_fitted_range_is_flagged_in_text_and_json(tmp_path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("part: cim_macro/sram_charge_22nm_256x256\nrows: 4096\n", encoding="utf-8")
    assert "note: outside the fit: n 4096" in run(str(mine))
    assert any(flag.startswith("n 4096") for flag in json.loads(run(str(mine), "--json"))["flags"])

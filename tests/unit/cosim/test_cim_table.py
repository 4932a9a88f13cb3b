"""What is read of a table of macros, what never is, and how rows are refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cosim.calibration.cim_table import (
    INPUTS,
    SHIPPED,
    RefusedError,
    Row,
    adc_of,
    family_of,
    kind_of,
    pass_input,
    read_rows,
    scope_of,
    target,
    way_of,
)
from cosim.cli import cli
from workloads.errors import SpecError


def row(**cells: str) -> Row:
    known = {"technology_nm": "28", "architecture": "SRAM", "cell_type": "6T", "compute_domain": "analog", "scope": "macro"}
    return Row(2, known | cells)


def rewritten(path: Path, change) -> Path:
    with SHIPPED.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns, rows = list(reader.fieldnames or []), [change(dict(cells)) for cells in reader]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ({}, "sram"),
        ({"cell_type": "6T+D"}, "digital"),
        ({"compute_domain": "digital adder tree (DIMC)"}, "digital"),
        ({"cell_type": "standard-cell latch"}, "digital"),
        ({"architecture": "eNVM"}, "envm"),
        ({"architecture": "eFlash"}, "envm"),
        ({"architecture": "eDRAM"}, "edram"),
    ],
)
def test_kind_follows_domain_cell_and_architecture(cells: dict[str, str], kind: str) -> None:
    assert kind_of(row(**cells)) == kind


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("array+ADC (excludes datapath)", "adc"),
        ("processor (whole chip)", "chip"),
        ("system", "chip"),
        ("macro peak", "macro"),
        ("", "macro"),
    ],
)
def test_scope_follows_its_words(text: str, scope: str) -> None:
    assert scope_of(row(scope=text)) == scope


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("charge redistribution on capacitors (QR)", "charge"),
        ("current/charge summing on bitline (QS)", "bitline"),
        ("current summing (IS)", "current"),
        ("QS then QR", "temporal"),
        ("pulse-count input, charge sharing (QS-QR)", "temporal"),
        ("voltage-mode sensing, bit-serial ternary input", "voltage"),
        ("", "bitline"),
    ],
)
def test_way_of_summing_follows_its_words(text: str, way: str) -> None:
    assert way_of(row(compute_domain=text), "sram") == way


def test_families_and_adc_laws_follow_their_words() -> None:
    assert family_of(row(architecture="eNVM", cell_type="PCM+cross")) == "pcm"
    assert family_of(row(architecture="eNVM", cell_type="MRAM+Par")) == "mram"
    assert family_of(row(architecture="eFlash", cell_type="6T+4FGT")) == "flash"
    assert family_of(row(architecture="eNVM", cell_type="1T1R")) == "reram"
    assert adc_of(row(adc_type="SAR, one per column")) == "sar"
    assert adc_of(row(adc_type="current-controlled oscillator")) == "ramp"
    assert adc_of(row()) == "any"


def test_a_blank_is_filled_and_named_while_a_given_value_is_kept() -> None:
    one = pass_input(row(dot_product_length="32", voltage_V="0.7/0.9", adc_or_output_bits="5"))
    assert (one.n, one.supply_v, one.adc_bits) == (32, 0.7, 5)
    assert one.priors == ("input_bits_per_pass", "weight_bits_per_column", "adc_type")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"technology_nm": ""}, "technology_nm: is blank"),
        ({"technology_nm": "1"}, "outside"),
        ({"rows": "0"}, "rows: 0 must be a finite number above 0"),
        ({"voltage_V": "high"}, "voltage_V: 'high' is no number"),
        ({"adc_or_output_bits": "0.5"}, "less than 1 bit"),
    ],
)
def test_what_cannot_be_predicted_is_refused_with_its_column(cells: dict[str, str], words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        pass_input(row(**cells))


def test_target_is_normalized_to_one_bit() -> None:
    assert target(row(efficiency_1b_TOPS_per_W="100")) == 100
    assert target(row(efficiency_TOPS_per_W="10", efficiency_input_bits="4", efficiency_weight_bits="8")) == 320
    assert target(row(efficiency_TOPS_per_W="10")) is None


def test_a_table_without_a_needed_column_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("id,technology_nm\n1,28\n")
    with pytest.raises(SpecError, match="column architecture is missing"):
        read_rows(bad)
    found = CliRunner().invoke(cli, ["validate", "cim", "--data", str(tmp_path / "none.csv")])
    assert isinstance(found.exception, SpecError)


def test_predictions_read_nothing_but_inputs(tmp_path: Path) -> None:
    """Every column that is not an input is blanked, all targets among them: predictions and intervals stay the same to the last bit."""
    full = rewritten(tmp_path / "full.csv", lambda cells: cells)
    blank = rewritten(tmp_path / "blank.csv", lambda cells: {name: text if name in INPUTS else "" for name, text in cells.items()})
    answers = []
    for path in (full, blank):
        found = CliRunner().invoke(cli, ["validate", "cim", "--data", str(path), "--json"])
        assert found.exit_code == 0, found.output
        answers.append([[one.get(key) for key in ("predicted", "low", "high")] for one in json.loads(found.stdout)["rows"]])
    assert answers[0] == answers[1]
    assert sum(one[0] is not None for one in answers[0]) > 100

"""Knobs of one macro: what they change, what they refuse, and that planted ones are found again."""

from __future__ import annotations

import csv
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.calibration.cim import fit_shipped, table_text
from cosim.calibration.cim_knobs import (
    KNOBS,
    MEASURED_LN,
    PARTS,
    KnobbedCalibration,
    KnobFit,
    Points,
    check_knobs,
    fit_knobs,
    fit_points,
    fit_table,
    knobs_text,
    pass_points,
    read_knobs,
)
from cosim.calibration.cim_table import SHIPPED, pass_input, read_rows
from cosim.cli import cli
from hw_models.cim.calibrated import predict, read_calibration
from hw_models.cim.pass_inputs import PassInput
from workloads.errors import SpecError

ONE = PassInput("sram", 28e-9, 0.9, 128, 1, 1, adc_bits=6, adc="sar", latency_s=5e-9)
# Supplies and ADC bits that tell adc, cell and supply apart.
PASSES = [replace(ONE, supply_v=v, adc_bits=b) for v, b in ((0.7, 3), (0.7, 7), (0.9, 5), (1.1, 3), (1.1, 7))]


def points(parts: list[list[float]], measured: list[float], supply: list[float] | None = None) -> Points:
    return Points(np.array(parts), ("a", "b"), np.array(supply or [1.0] * len(parts)), np.array(measured))


GROUPS = {"a": ("a",), "b": ("b",), "both": ("a", "b")}


def test_two_parts_measured_apart_are_scaled_apart() -> None:
    """A measured at twice, b at half of the model: knobs 2 and 0.5, and a sum of 2 + 0.5."""
    done = fit_points(points([[1, 0], [0, 1], [1, 1]], [2.0, 0.5, 2.5]), ("a", "b"), GROUPS)
    assert done.values == pytest.approx({"a": 2.0, "b": 0.5}, rel=1e-4)
    assert done.mean_error < 1e-4
    assert done.n_knobs == 2


def test_the_supply_knob_is_the_exponent_that_is_missing() -> None:
    """From 0.5 to 2 V the model says nothing changes, the measurement 4^3 = 64: p = 3 about a mean supply of 1 V."""
    done = fit_points(points([[1, 0], [1, 0]], [1 / 8, 8.0], [0.5, 2.0]), ("both", "supply"), GROUPS)
    assert done.values == pytest.approx({"both": 1.0, "supply": 3.0}, rel=1e-4)
    assert done.supply_ref_v == pytest.approx(1.0)


def test_a_knob_that_nothing_moves_stays_at_one() -> None:
    done = fit_points(points([[1, 0], [1, 0]], [3.0, 3.0]), ("a", "b"), GROUPS)
    assert done.values == pytest.approx({"a": 3.0, "b": 1.0}, rel=1e-4)


def test_points_that_disagree_are_met_at_their_geometric_mean() -> None:
    done = fit_points(points([[1, 0], [1, 0]], [1.0, 4.0]), ("a",), GROUPS)
    assert done.values["a"] == pytest.approx(2.0, rel=1e-4)
    assert done.ln_residuals == pytest.approx([log(2), -log(2)], rel=1e-4)
    assert done.mean_error == pytest.approx((1 + 0.5) / 2, rel=1e-4)


def test_the_interval_is_the_scatter_and_never_finer_than_a_measurement() -> None:
    """One knob, two points ln 2 off: 1.645 sqrt(2 ln^2 2 / 1)."""
    wide = fit_points(points([[1, 0], [1, 0]], [1.0, 4.0]), ("a",), GROUPS)
    assert wide.half_ln(9.0) == pytest.approx(1.645 * log(2) * 2**0.5, rel=1e-4)
    assert fit_points(points([[1, 0], [1, 0]], [3.0, 3.0]), ("a",), GROUPS).half_ln(9.0) == MEASURED_LN
    assert fit_points(points([[1, 0]], [3.0]), ("a",), GROUPS).half_ln(9.0) == 9.0


@settings(max_examples=25, deadline=None)
@given(st.floats(0.2, 5), st.floats(0.2, 5), st.floats(-2, 2))
def test_planted_knobs_are_found_again(adc: float, cell: float, supply: float) -> None:
    planted = KnobFit({"adc": adc, "cell": cell, "supply": supply}, KNOBS, 0.9, np.zeros(0))
    truth = KnobbedCalibration(read_calibration(), planted, 0.1).predict(PASSES).total_j
    found = fit_knobs(PASSES, list(truth), ("adc", "cell", "supply"))
    assert found.predict(PASSES).total_j == pytest.approx(truth, rel=0.02)
    assert found.knobs.values["supply"] == pytest.approx(supply, abs=0.1)


def test_knobs_of_one_leave_the_global_constants_as_they_are() -> None:
    same = KnobbedCalibration(read_calibration(), KnobFit({"all": 1.0, "supply": 0.0}, KNOBS, 0.9, np.zeros(0)), 0.1)
    scoped = [replace(one, scope="chip") for one in PASSES]
    raw, found = predict(scoped), same.predict(scoped)
    assert found.energy_j == pytest.approx(raw.energy_j)
    assert found.total_j == pytest.approx(raw.total_j)
    assert np.array_equal(found.latency_s, raw.latency_s)


def test_what_the_scope_adds_grows_with_the_rest() -> None:
    """All components doubled: a chip spends twice as much, its overhead included."""
    chip = [replace(ONE, scope="chip")]
    twice = KnobbedCalibration(read_calibration(), KnobFit({"all": 2.0}, KNOBS, 0.9, np.zeros(0)), 0.1)
    assert twice.predict(chip).energy_j == pytest.approx(2 * predict(chip).energy_j)
    assert pass_points(chip, [1.0]).parts_j.sum() == pytest.approx(float(predict(chip).total_j[0]))


def test_a_knob_turns_its_own_components_only() -> None:
    raw = predict([ONE]).energy_j[0]
    found = KnobbedCalibration(read_calibration(), KnobFit({"adc": 3.0}, KNOBS, 0.9, np.zeros(0)), 0.1).predict([ONE]).energy_j[0]
    for place, name in enumerate(PARTS):
        assert found[place] == pytest.approx(raw[place] * (3 if name == "adc" else 1))


def test_it_gives_intervals_and_flags_as_the_global_constants_do() -> None:
    base = read_calibration()
    found = fit_knobs([ONE, ONE], [1e-13, 1e-13], ["all"])
    assert found.interval_ln(ONE) == found.half_ln == MEASURED_LN < base.interval_ln(ONE)
    assert found.interval_ln(ONE, "latency") == base.interval_ln(ONE, "latency")
    assert found.flags(replace(ONE, node_m=3e-9)) == base.flags(replace(ONE, node_m=3e-9)) != ()
    assert found.version == f"{base.version} + all"
    assert found.predict([ONE]).total_j[0] == pytest.approx(1e-13, rel=1e-4)


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ([], "give 1 to 3"),
        (["adc", "cell", "logic", "driver"], "give 1 to 3"),
        (["adcs"], "did you mean 'adc'"),
        (["adc", "adc"], "named twice"),
    ],
)
def test_bad_knobs_are_refused_by_name(knobs: list[str], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        check_knobs(knobs)


@pytest.mark.parametrize(
    ("given", "knobs", "says"),
    [
        (points([[1, 0]], [1.0]), ("a", "b"), "1 measured points for 2 knobs"),
        (points([[1, 0]], [0.0]), ("a",), "above 0 J"),
        (points([[1, 0]], [float("nan")]), ("a",), "above 0 J"),
        (points([[0, 0]], [1.0]), ("a",), "no part that spends"),
        (points([[1, 0], [1, 0]], [1.0, 1.0]), ("a", "supply"), "two supplies; all are at 1 V"),
    ],
)
def test_measurements_that_cannot_tell_are_refused(given: Points, knobs: tuple[str, ...], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        fit_points(given, knobs, GROUPS)


def test_every_pass_needs_its_energy() -> None:
    with pytest.raises(SpecError, match="one energy for each"):
        fit_knobs([ONE], [], ["all"])
    with pytest.raises(SpecError, match="at least one"):
        fit_knobs([], [], ["all"])


def measured(path: Path, *ids: str, **changes: str) -> Path:
    """Some rows of the shipped table as a user's own file."""
    with SHIPPED.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns, rows = list(reader.fieldnames or []), [row | changes for row in reader if row["id"] in ids]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


JIA = ("jia_jssc2020_0v85", "jia_jssc2020_1v2")


def test_two_supplies_and_two_knobs_meet_the_published_efficiencies(tmp_path: Path) -> None:
    """400 and 192 one-bit TOPS/W at 0.85 and 1.2 V: Jia et al., JSSC 2020; energies of a pass 2 x 2304 / y."""
    path = measured(tmp_path / "jia.csv", *JIA)
    done = fit_table(path, ["all", "supply"])
    passes = [pass_input(row) for row in read_rows(path)]
    assert done.predict(passes).total_j == pytest.approx([2 * 2304 / 400e12, 2 * 2304 / 192e12], rel=1e-3)
    assert done.half_ln == pytest.approx(read_calibration().interval_ln(passes[0]))  # two points, two knobs: nothing to spare


def test_a_file_of_knobs_reads_as_it_was_written(tmp_path: Path) -> None:
    done = fit_table(measured(tmp_path / "jia.csv", *JIA), ["all"])
    (tmp_path / "knobs.csv").write_text(knobs_text(done), encoding="utf-8")
    read = read_knobs(tmp_path / "knobs.csv")
    assert read.predict(PASSES).total_j == pytest.approx(done.predict(PASSES).total_j, rel=1e-8)
    assert read.half_ln == pytest.approx(done.half_ln, rel=1e-5)
    assert read.knobs.ln_residuals == pytest.approx(done.knobs.ln_residuals, rel=1e-4)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "section,name,value\nknob,adc,two\n", "section,name,value\nknob,adc,2\n"])
def test_a_file_without_knobs_says_how_to_write_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match="cosim calibrate cim --knobs"):
        read_knobs(path)


def test_a_table_without_an_efficiency_is_refused(tmp_path: Path) -> None:
    blank = {"efficiency_TOPS_per_W": "", "efficiency_1b_TOPS_per_W": ""}
    with pytest.raises(SpecError, match="give one measurement"):
        fit_table(measured(tmp_path / "jia.csv", *JIA, **blank), ["all"])


def test_the_command_writes_knobs_to_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    measured(tmp_path / "jia.csv", *JIA)
    ran = CliRunner().invoke(cli, ["calibrate", "cim", "--knobs", "all, supply", "--measured", "jia.csv"])
    assert ran.exit_code == 0, ran.output
    assert "of 2 points" in ran.output
    assert not (tmp_path / "out" / "cim_v1.csv").exists()
    assert set(read_knobs(tmp_path / "out" / "cim_knobs.csv").knobs.values) == {"all", "supply"}


@pytest.mark.parametrize("args", [["--knobs", "all"], ["--measured", "jia.csv"]])
def test_knobs_and_measurements_belong_together(args: list[str]) -> None:
    ran = CliRunner().invoke(cli, ["calibrate", "cim", *args])
    assert ran.exit_code == 2
    assert "belong together" in ran.output


def test_without_knobs_the_command_writes_the_global_constants(tmp_path: Path) -> None:
    ran = CliRunner().invoke(cli, ["calibrate", "cim", "-o", str(tmp_path / "all.csv")])
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "all.csv").read_text(encoding="utf-8") == table_text(fit_shipped(), read_rows())

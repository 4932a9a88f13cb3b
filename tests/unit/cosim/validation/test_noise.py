"""Comparison of cell statistics with a table: how a model is read, how a difference is measured, and what is refused."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from cosim.cli import main
from cosim.validation.noise import DATA, MAX_SIGMA, N_SAMPLES, _digits, _sigmas, draw, moments_of, validate_noise
from cosim.validation.noise_models import parse_model
from cosim.validation.registry import validate
from hw_models.cim.noise import load_noise
from workloads.errors import SpecError, WorkloadError

PAGE = Path(__file__).parents[4] / "docs" / "models" / "cim_noise.md"
HEAD = "model,quantity,g_target_uS,t_s,mean,se_mean,std,se_std\n"
U = 1e-6


@pytest.fixture(scope="module")
def shipped():
    return validate("noise")


def compare(tmp_path, *lines):
    path = tmp_path / "table.csv"
    path.write_text(HEAD + "".join(f"{line}\n" for line in lines))
    return validate_noise(path)


# --- the shipped table ------------------------------------------------------------------------------------------


def test_every_row_of_the_shipped_table_agrees(shipped):
    with DATA.open(newline="") as stream:
        n_rows = sum(1 for _ in csv.DictReader(stream))
    assert n_rows == 201
    assert shipped["passed"]
    assert shipped["metrics"]["n"] == shipped["n"] == n_rows
    assert shipped["metrics"]["max_sigma"] <= MAX_SIGMA
    assert shipped["metrics"]["max_rel_difference"] <= 0.005
    assert N_SAMPLES >= 400_000


def test_each_row_says_what_was_found_and_how_far_off(shipped):
    for row in shipped["rows"]:
        assert row["status"] == "ok"
        assert (row["sigma"] is None) != (row["rel_difference"] is None)
        if row["sigma"] is not None:
            assert row["sigma"] == max(row["sigma_mean"], row["sigma_std"]) <= row["sigma_unrounded"]
    json.dumps(shipped, allow_nan=False)


def test_differences_are_as_large_as_chance_makes_them(shipped):
    """Of standard normal numbers two thirds lie within 1; allowance for digits only shortens."""
    sigmas = [row[key] for row in shipped["rows"] if row["sigma"] is not None for key in ("sigma_mean", "sigma_std")]
    assert 0.60 < np.mean(np.array(sigmas) < 1) < 0.80
    assert max(sigmas) > 1.5


def test_the_page_shows_the_figures_of_the_run(shipped):
    text = PAGE.read_text(encoding="utf-8")
    by_model = defaultdict(list)
    for row in shipped["rows"]:
        if row["sigma"] is not None:
            by_model[row["model"]].append(row["sigma"])
    for model, sigmas in by_model.items():
        assert f"| `{model}` | {len(sigmas)} | {max(sigmas):.1f} |" in text
    worst = max((row for row in shipped["rows"] if row["sigma"] is not None), key=lambda row: row["sigma_unrounded"])
    assert f"difference is {worst['sigma_unrounded']:.1f}, in `{worst['quantity']}`" in text
    assert f"printed as {worst['mean']:g}" in text


def test_draws_do_not_depend_on_the_other_rows(shipped, tmp_path):
    """The same row in another file gives the same numbers, bit for bit."""
    row = shipped["rows"][40]
    cells = [f'"{row["model"]}"', row["quantity"], row["g_target_uS"], row["t_s"], row["mean"], row["se_mean"], row["std"], row["se_std"]]
    (found,) = compare(tmp_path, ",".join(str(cell) for cell in cells))["rows"]
    assert (found["found_mean"], found["found_std"]) == (row["found_mean"], row["found_std"])


# --- how a difference is measured -------------------------------------------------------------------------------


def test_a_wrong_row_is_seen(tmp_path):
    result = compare(tmp_path, "pcm_like,g_programmed,12.5,,12.6,0.001,0.95,0.001")
    assert not result["passed"]
    (row,) = result["rows"]
    assert row["sigma_mean"] > 20
    assert result["metrics"]["max_sigma"] == row["sigma"]


def test_half_a_unit_of_the_last_printed_digit_is_no_difference():
    assert _sigmas(1.2349, 1.23, 3, 0.01) == 0  # printed with three digits: 1.225 to 1.235
    assert _sigmas(1.245, 1.23, 3, 0.01) == pytest.approx(1.0)
    assert _sigmas(0.02, 0.0, 6, 0.01) == pytest.approx(2.0)
    assert _sigmas(123.0, 125.0, 3, 1.0) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("text", "digits"), [("0.995314", 6), ("0.00097268", 5), ("4.4e-05", 2), ("20", 2), ("-1.50", 3), ("0", 1), ("", 1)]
)
def test_significant_digits_as_printed(text, digits):
    assert _digits(text) == digits


def test_a_column_is_as_precise_as_its_most_precise_number(tmp_path):
    """0.99967 beside 0.995314 was printed with six digits and lost a zero."""
    rows = "pcm_like,drift_nu,25,,0.05,1e-6,0.008,1e-6", "pcm_like,drift_nu,25,,0.0490001,1e-6,0.00800001,1e-6"
    result = compare(tmp_path, *rows)
    assert result["rows"][0]["sigma_mean"] > 10
    assert compare(tmp_path, rows[0])["rows"][0]["sigma_mean"] == 0  # alone it is good to 0.045 ... 0.055


def test_without_standard_errors_the_mean_is_compared_within_half_a_percent(tmp_path):
    good, bad = "pcm_like,g_programmed,12.5,,12.52,0,0.95,0", "pcm_like,g_programmed,12.5,,12.7,,,"
    assert compare(tmp_path, good)["passed"]
    result = compare(tmp_path, good, bad)
    assert not result["passed"]
    assert result["metrics"]["max_rel_difference"] == pytest.approx(0.2 / 12.7, rel=0.05)
    assert result["metrics"]["max_sigma"] == 0


def test_a_mean_of_exactly_zero_is_met_or_not(tmp_path):
    assert compare(tmp_path, "reram_wan2022,g_programmed,0,,0,0,0,0")["passed"]
    assert compare(tmp_path, "pcm_like,g_programmed,0,,0,0,0,0")["metrics"]["max_rel_difference"] == 1.0


def test_standard_errors_of_moments():
    """Of a normal number: s / sqrt(n) and s / sqrt(2 n), for its fourth moment is 3 s^4."""
    found = moments_of(np.random.default_rng(0).normal(5, 2, 200_000))
    assert found.se_mean == pytest.approx(2 / math.sqrt(200_000), rel=0.01)
    assert found.se_std == pytest.approx(2 / math.sqrt(400_000), rel=0.01)
    constant = moments_of(np.ones(10))
    assert (constant.mean, constant.std, constant.se_std) == (1.0, 0.0, 0.0)


def test_a_factor_alone_is_the_mean_of_the_decay():
    """Cell at full level: nu = N(0.049, 0.008); E[(21 / 20)^-nu] = exp(-0.049 L + (0.008 L)^2 / 2), L = ln(21 / 20)."""
    decades = math.log(21 / 20)
    found = draw("pcm_like", "drift_factor", 25.0, 1.0)
    assert found.mean == pytest.approx(math.exp(-0.049 * decades + (0.008 * decades) ** 2 / 2), abs=5 * found.se_mean)


# --- how a model is read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pcm_like", "pcm_like"),
        ("pcm_like()", "pcm_like"),
        (" pcm_like ( g_max = 25 ) ", "pcm_like"),
        ("hermes(num_devices=1,g_max=10.35)", "hermes_pcm_1"),
        ("hermes", "hermes_pcm_2"),
        ("hermes_pcm_1", "hermes_pcm_1"),
        ("state_independent(default,g_max=25)", "state_independent"),
        ("reram_wan2022(g_max=40)", "reram_wan2022"),
        ("reram_cmo(9..88.2,acc=0.2)", "reram_cmo"),
        ("sonos_40nm", "sonos_40nm"),
    ],
)
def test_a_text_names_a_model_with_the_constants_of_its_part(text, name):
    plain = load_noise(name)
    found = parse_model(text)
    assert type(found) is type(plain)
    for field in set(type(plain).model_fields) - {"sources", "assumed", "ranges"}:
        assert getattr(found, field) == getattr(plain, field) or getattr(found, field) == pytest.approx(getattr(plain, field)), field


def test_constants_are_in_microsiemens_and_seconds():
    spec = parse_model("pcm_like(g_max=20,t_0=5,t_read=1e-6,prog_noise_scale=2,read_noise_scale=0.5,drift_scale=0,prog_coeff=[1,0.5])")
    assert spec.g_max_siemens == pytest.approx(20 * U)
    assert (spec.t0_s, spec.t_read_s) == (5.0, pytest.approx(1e-6))
    assert (spec.programming_scale, spec.read_scale, spec.drift_scale) == (2.0, 0.5, 0.0)
    assert spec.programming_siemens == pytest.approx((1 * U, 0.5 * U))


def test_ranges_percent_and_words():
    cmo = parse_model("reram_cmo(5..80,acc=2)")
    assert (cmo.g_min_siemens, cmo.g_max_siemens, cmo.acceptance) == (pytest.approx(5 * U), pytest.approx(80 * U), 0.02)
    assert parse_model("reram_cmo(acceptance=0.02)").acceptance == 0.02  # the key of the part is a fraction
    assert parse_model("normal_proportional(law=independent)").law == "independent"
    assert not parse_model("pcm_like(scales_with_g_max=false)").scales_with_g_max


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pcm_liek(g_max=25)", "did you mean 'pcm_like'"),
        ("pcm_like(g_maxx=25)", "constant 'g_maxx' is not known; did you mean 'g_max'"),
        ("pcm_like(g_max=many)", "g_max: 'many' is not a finite number"),
        ("pcm_like(g_max=nan)", "g_max: 'nan' is not a finite number"),
        ("pcm_like(read_scale=inf)", "read_scale: 'inf' is not a finite number"),
        ("pcm_like(g_max=-1)", "g_max: .*greater than 0"),
        ("pcm_like(g_max=1,g_max=2)", "g_max is given twice"),
        ("pcm_like(25)", "'25' is not understood"),
        ("pcm_like(g_max=25", "is no model"),
        ("", "is no model"),
        ("hermes(num_devices=3)", "num_devices: 3 was not measured; choose 1 or 2"),
        ("reram_cmo(acc=1)", r"acceptance 0\.01 was not measured"),
        ("pcm_like(nu_mean=0.1)", "nu_mean"),
    ],
)
def test_a_text_that_is_not_understood_is_refused_with_what_would_do(text, message):
    with pytest.raises(SpecError, match=message):
        parse_model(text)


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nothing,g_at_t,1,1,1,1,1,1", "model 'nothing' is not known"),
        ("pcm_like,g_at_tt,1,1,1,1,1,1", "quantity 'g_at_tt' is not known; did you mean 'g_at_t'"),
        ("pcm_like,g_at_t,1,,1,1,1,1", "t_s: is empty"),
        ("pcm_like,g_at_t,,1,1,1,1,1", "g_target_uS: is empty"),
        ("pcm_like,g_at_t,26,1,1,1,1,1", "g_target 26 uS"),
        ("pcm_like,g_read_only,26,1,1,1,1,1", "g_target 26 uS"),
        ("pcm_like,g_at_t,1,-5,1,1,1,1", "t_s -5"),
        ("reram_cmo,drift_nu,20,,1,1,1,1", "no drift exponent"),
        ("reram_wan2022,g_at_t,20,1e9,1,1,1,1", "hold for 1 to 172800 s"),
    ],
)
def test_a_row_that_cannot_be_drawn_is_refused_and_the_others_are_compared(tmp_path, line, message):
    result = compare(tmp_path, line, "pcm_like,g_programmed,12.5,,12.5,0.01,0.95,0.01")
    refused, good = result["rows"]
    assert refused["status"] == "refused"
    assert refused["reason"].startswith(f"{tmp_path}/table.csv:2: ")
    assert message in refused["reason"]
    assert good["status"] == "ok"
    assert (result["n"], result["metrics"]["n_refused"], result["passed"]) == (1, 1, False)
    assert set(refused) == set(good)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pcm_like,g_at_t,1,1,many,1,1,1", r"table\.csv:2: mean: 'many' is not a finite number"),
        ("pcm_like,g_at_t,1,1,,1,1,1", r"table\.csv:2: mean: is empty"),
        ("pcm_like,g_at_t,1,inf,1,1,1,1", r"table\.csv:2: t_s: 'inf'"),
        ("pcm_like,g_at_t,1,1,1,-1,1,1", r"table\.csv:2: se_mean: '-1' is below 0"),
    ],
)
def test_a_number_that_cannot_be_read_is_named_with_its_line(tmp_path, line, message):
    with pytest.raises(WorkloadError, match=message):
        compare(tmp_path, line)


def test_an_empty_table_does_not_pass(tmp_path):
    result = compare(tmp_path)
    assert (result["n"], result["passed"]) == (0, False)


def test_bad_files_end_with_code_2_and_no_traceback(tmp_path, capsys, monkeypatch):
    for content in (b"a,b\n1,2\n", b"\xff\xfe\x00\x81", b""):
        path = tmp_path / "bad.csv"
        path.write_bytes(content)
        monkeypatch.setattr("sys.argv", ["cosim", "validate", "noise", "--data", str(path)])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        captured = capsys.readouterr()
        assert "bad.csv" in captured.err
        assert "Traceback" not in captured.err

"""Published macros: error on papers that the fit has not seen, against a regression with the same rows."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest

from cosim.calibration.cim import energy_sample, fit, fit_shipped, ln_energy, space, table_text
from cosim.calibration.cim_table import read_rows
from cosim.validation.cim import validate_cim
from cosim.validation.cim_score import paper_scores, score
from hw_models.cim.calibrated import FITTED, read_priors


@pytest.fixture(scope="module")
def result() -> dict:
    return validate_cim()


def test_the_fit_makes_the_shipped_part_file_byte_for_byte() -> None:
    assert table_text(fit_shipped(), read_rows()) == FITTED.read_text(encoding="utf-8")


def test_all_judged_rows_are_predicted_and_the_gates_hold(result: dict) -> None:
    found = result["metrics"]
    assert result["passed"]
    assert found["all"]["n_predicted"] == found["all"]["n_rows"] >= 90
    assert 0.80 <= found["all"]["coverage_90"] <= 0.97
    assert found["sram"]["interval_factor"] <= 5
    assert found["envm"]["interval_factor"] <= 6
    for kind in ("sram", "envm"):
        assert found[kind]["n_papers"] >= 10
        assert found[kind]["mean_ln_factor"] <= 0.8 * found[kind]["baseline_mean_ln_factor"]


def test_the_factors_of_the_rows_make_the_metrics(result: dict) -> None:
    """Paper's score: median of |ln factor| over its rows; the kind's: quantiles over papers. By hand from the printed rows."""
    papers = [row.text("paper") for row in read_rows()]
    by_paper: dict[str, list[float]] = {}
    for paper, row in zip(papers, result["rows"], strict=True):
        if row["status"] == "judged" and row["kind"] == "sram":
            by_paper.setdefault(paper, []).append(log(row["factor"]))
    scores = [float(np.median(values)) for values in by_paper.values()]
    assert exp(np.quantile(scores, 0.5)) == pytest.approx(result["metrics"]["sram"]["median_factor"])
    assert exp(np.quantile(scores, 0.9)) == pytest.approx(result["metrics"]["sram"]["p90_factor"])


def test_a_paper_is_predicted_by_a_fit_without_it() -> None:
    sample = energy_sample(read_rows(), "digital")
    done = fit_shipped()
    where = space("digital", np.array([prior.value for prior in read_priors()]))
    left = sample.without("colonnade")
    constants = where.constants(fit(left, where, ln_energy))
    mine = np.array([name == "colonnade" for name in sample.paper])
    errors = ln_energy(sample.inputs[mine], constants) - sample.ln_target[mine]
    assert errors == pytest.approx(done.errors["energy.digital"][mine], abs=2e-3)
    assert not np.allclose(errors, ln_energy(sample.inputs[mine], done.constants) - sample.ln_target[mine], atol=1e-3)


def test_a_paper_counts_once_however_many_rows_it_has() -> None:
    errors = np.array([0.1, 0.1, 0.1, 0.1, 1.0])
    assert paper_scores(errors, ["a"] * 4 + ["b"]) == pytest.approx([0.1, 1.0])
    found = score(errors, np.full(5, 0.5), ["a"] * 4 + ["b"])
    assert found["coverage_90"] == pytest.approx(0.5)
    assert found["geomean_factor"] == pytest.approx(exp(0.55))


def test_statuses_say_why_a_row_is_not_judged(result: dict) -> None:
    reasons = {row["id"]: row["reason"] for row in result["rows"] if row["status"] != "judged"}
    assert "not silicon" in reasons["isaac_ce_2016"]
    assert "no target" in reasons["hermes_core_2021"]
    assert "eDRAM" in reasons["uiuc084_1"]

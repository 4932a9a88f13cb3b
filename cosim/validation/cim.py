"""Compute-in-memory macros against published silicon: every prediction made without the paper that it is judged by.

On the shipped table each paper is predicted by constants fitted without it; on another table by the shipped constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np

from cosim.calibration.cim import KINDS, Fit, fit_shipped
from cosim.calibration.cim_baseline import fit_baseline, leave_one_out_baseline
from cosim.calibration.cim_table import RefusedError, Row, kind_of, pass_input, read_rows, target, why_not_judged
from cosim.validation.cim_area import score_areas
from cosim.validation.cim_score import score
from hw_models.cim.calibrated import Calibration, predict, read_calibration
from hw_models.cim.pass_inputs import PassInput, as_array

MAX_INTERVAL = {"sram": 5.0, "envm": 6.0, "digital": 4.0}
MIN_PAPERS, MIN_GAIN, MIN_PREDICTED, COVERAGE = 10, 0.2, 0.9, (0.80, 0.97)


@dataclass(frozen=True, slots=True)
class Judged:
    """One judged row: its input, published value, ln error of prediction and of the baseline, half-width of the interval."""

    paper: str
    kind: str
    error: float
    half_ln: float
    base: float


def validate_cim(path: Path | None = None) -> dict[str, Any]:
    """Predict one-bit TOPS/W of every row of a table (default: the shipped one) and score it by kind.

    metrics: by kind `sram`, `envm`, `digital`, and `all`, `latency`, `area`, `density`; rows: id, kind, status (judged, unscorable or
    refused), reason, predicted, low, high, measured, factor, flags. Raises SpecError when the table cannot be read.
    """
    rows = read_rows(path)
    used, fit = read_calibration(), fit_shipped()
    errors = _left_out(fit) if path is None else {}
    lines = _baselines(fit, left_out=path is None)
    told, judged = [], []
    for place, row in enumerate(rows):
        answer, case = _row(row, place, used, errors, lines)
        told.append(answer)
        if case:
            judged.append(case)
    n_rows = {kind: sum(1 for r in told if r["kind"] == kind and r["status"] != "unscorable") for kind in KINDS}
    metrics: dict[str, Any] = {kind: _scored([case for case in judged if case.kind == kind]) | {"n_rows": n_rows[kind]} for kind in KINDS}
    metrics["all"] = _scored(judged) | {"n_rows": sum(n_rows.values())}
    metrics["latency"] = _latency(rows, used, fit, left_out=path is None)
    metrics |= score_areas(rows, left_out=path is None)
    return {
        "area": "cim",
        "n": len(judged),
        "method": "leave-one-paper-out" if path is None else f"constants of {used.version}, fitted on the shipped table",
        "metrics": metrics,
        "rows": told,
        "passed": _passed(metrics),
    }


def _left_out(fit: Fit) -> dict[int, float]:
    """Ln of energy predicted over published of each shipped row, by the fit without its paper."""
    return {row: float(fit.errors[f"energy.{k}"][i]) for k in KINDS for i, row in enumerate(fit.samples[f"energy.{k}"].row)}


def _baselines(fit: Fit, *, left_out: bool) -> dict[str, Any]:
    """Baseline by kind: errors by row of the shipped table when left out, else the regression fitted on all of it."""
    out: dict[str, Any] = {}
    for kind in KINDS:
        sample = fit.samples[f"energy.{kind}"]
        ln_y = np.log(2 * np.prod(sample.inputs[:, 3:6], axis=1) / 1e12) - sample.ln_target
        out[kind] = dict(zip(sample.row, leave_one_out_baseline(sample, ln_y), strict=True)) if left_out else fit_baseline(sample, ln_y)
    return out


def _row(
    row: Row, place: int, used: Calibration, left_out: dict[int, float], lines: dict[str, Any]
) -> tuple[dict[str, Any], Judged | None]:
    """Predict a row, and judge it when it is to be judged."""
    kind = kind_of(row)
    answer: dict[str, Any] = {"id": row.text("id"), "kind": kind, "status": "unscorable", "reason": why_not_judged(row)}
    try:
        one = pass_input(row)
    except RefusedError as refused:
        return answer | ({} if answer["reason"] else {"status": "refused", "reason": f"line {row.line}: {refused}"}), None
    costs = predict([one], used)
    ln_predicted = log(2 * one.one_bit_products / 1e12 / float(costs.total_j[0]))
    published, reason = _published(row)
    if not answer["reason"] and kind == "edram":
        answer["reason"] = "eDRAM is reported, not judged"
    answer["reason"] = answer["reason"] or reason
    case = None
    if published is not None and not answer["reason"]:
        error = -(ln_predicted - log(published))
        if place in left_out:
            error = left_out[place]
            ln_predicted = log(published) - error
        base = _base_error(lines[kind], place, one, published)
        case = Judged(row.text("paper"), kind, error, used.interval_ln(one), base)
        answer["status"] = "judged"
    half = used.interval_ln(one)
    answer |= {"predicted": exp(ln_predicted), "low": exp(ln_predicted - half), "high": exp(ln_predicted + half)}
    answer |= {"unit": "1b TOPS/W", "measured": published, "flags": list(costs.flags[0]), "priors": list(one.priors)}
    return answer | {"factor": exp(abs(case.error)) if case else None}, case


def _published(row: Row) -> tuple[float | None, str]:
    """Target of a row, or why there is none."""
    try:
        value = target(row)
    except RefusedError as error:
        return None, f"line {row.line}: target {error}"
    return value, "" if value is not None else "no target: neither 1b TOPS/W nor TOPS/W with both bit widths"


def _base_error(line: Any, place: int, one: PassInput, published: float) -> float:
    """Ln of the baseline's prediction over the published value."""
    if isinstance(line, dict):
        return float(line.get(place, 0.0))
    return float(line(as_array([one]))[0] - log(published))


def _scored(cases: list[Judged]) -> dict[str, Any]:
    columns = [np.array([getattr(case, name) for case in cases]) for name in ("error", "half_ln", "base")]
    return score(columns[0], columns[1], [case.paper for case in cases], columns[2])


def _latency(rows: list[Row], used: Calibration, fit: Fit, *, left_out: bool) -> dict[str, Any]:
    """Score of pass latencies, each hidden from its own prediction."""
    errors, halves, papers = [], [], []
    known = {row: float(fit.errors[f"latency.{k}"][i]) for k in KINDS for i, row in enumerate(fit.samples[f"latency.{k}"].row)}
    for place, row in enumerate(rows):
        if why_not_judged(row) or kind_of(row) == "edram":
            continue
        try:
            published, one = row.number("pass_latency_ns"), pass_input(row, timed=False)
        except RefusedError:
            continue
        if published is None:
            continue
        fresh = float(np.log(predict([one], used).latency_s[0])) - log(published * 1e-9)
        errors.append(known[place] if left_out else fresh)
        halves.append(used.interval_ln(one, "latency"))
        papers.append(row.text("paper"))
    return score(np.array(errors), np.array(halves), papers)


def _passed(metrics: dict[str, Any]) -> bool:
    """Whether enough rows are predicted, each kind with 10 papers beats the baseline by 20 %, and intervals are honest and narrow."""
    whole = metrics["all"]
    if not whole.get("n_predicted") or whole["n_predicted"] < MIN_PREDICTED * whole["n_rows"]:
        return False
    good = COVERAGE[0] <= whole["coverage_90"] <= COVERAGE[1]
    for kind in KINDS:
        found = metrics[kind]
        if found.get("n_papers", 0) < MIN_PAPERS:
            continue
        good &= found["interval_factor"] <= MAX_INTERVAL[kind]
        good &= found["mean_ln_factor"] <= (1 - MIN_GAIN) * found["baseline_mean_ln_factor"]
    return bool(good)

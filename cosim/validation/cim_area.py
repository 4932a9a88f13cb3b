"""Area of macros and their density: cells of a kind's area each, at any node.

ln A = ln(rows cols) + a_kind + p ln(node / 28 nm), plus c for a whole chip or what papers call so; density in one-bit
TOPS/mm2 = 2 n b_in b_w columns / turns / t / A with the published time of a pass, or the model's own. One constant for each kind
and one exponent, ridge toward priors, each paper with the same weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.calibration.cim_table import PRIOR_COLS, PRIOR_N, RefusedError, Row, kind_of, pass_input, why_not_judged
from cosim.calibration.cim_table import read_rows as read_shipped
from cosim.validation.cim_score import score
from hw_models.cim.calibrated import predict

Floats = NDArray[np.float64]
KINDS = ("sram", "envm", "digital")
# assumed: um2 of a cell with its share of periphery at 28 nm, and the exponent of the node; standard deviations in ln and of the exponent
PRIOR_LN_UM2, PRIOR_SD = {"sram": log(1.5), "envm": log(1.0), "digital": log(4.0)}, 1.0
PRIOR_NODE, PRIOR_NODE_SD = 1.6, 0.3
PRIOR_LN_CHIP, PRIOR_LN_CHIP_SD = log(5.0), 0.7  # assumed: a chip of a few macros holds that much beside each


@dataclass(frozen=True, slots=True)
class AreaRow:
    """One row with a published area or density: regressors, what ln a_cell would have to be, paper."""

    place: int
    paper: str
    kind: str
    ln_node: float
    is_chip: bool
    ln_cell_um2: float


def area_rows(rows: Sequence[Row], column: str) -> list[AreaRow]:
    """Judged rows with a published `macro_area_mm2` or `density_1b_TOPS_per_mm2`."""
    found = []
    for place, row in enumerate(rows):
        kind = kind_of(row)
        if why_not_judged(row) or kind not in KINDS:
            continue
        try:
            published, one = row.number(column), pass_input(row)
            if published is None:
                continue
            cols = row.number("cols") or PRIOR_COLS
            ln_cells = log((row.number("rows") or PRIOR_N) * cols)
        except RefusedError:
            continue
        ln_cell = log(published * 1e6) - ln_cells
        if column != "macro_area_mm2":
            rate = 2 * one.n * one.input_bits * cols / one.turns / (one.latency_s or float(predict([one]).latency_s[0])) * 1e-12
            ln_cell = log(rate / published * 1e6) - ln_cells
        is_chip = one.scope == "chip" and column != "macro_area_mm2"
        found.append(AreaRow(place, row.text("paper"), kind, log(one.node_m / 28e-9), is_chip, ln_cell))
    return found


def fit_area(sample: Sequence[AreaRow]) -> Floats:
    """Ln um2 of a cell by kind, the exponent of the node, and ln of a chip over its macros; [5]."""
    prior = np.array([*PRIOR_LN_UM2.values(), PRIOR_NODE, PRIOR_LN_CHIP])
    gram = np.diag([1 / PRIOR_SD**2] * len(KINDS) + [1 / PRIOR_NODE_SD**2, 1 / PRIOR_LN_CHIP_SD**2])
    right = gram @ prior
    papers = [one.paper for one in sample]
    for one in sample:
        x = np.array([*(1.0 * (one.kind == kind) for kind in KINDS), one.ln_node, one.is_chip])
        weight = 1 / papers.count(one.paper)
        gram, right = gram + weight * np.outer(x, x), right + weight * x * one.ln_cell_um2
    return np.linalg.solve(gram, right)


def ln_cell(one: AreaRow, fitted: Floats) -> float:
    """Ln um2 of a cell of a row."""
    return float(fitted[KINDS.index(one.kind)] + fitted[-2] * one.ln_node + fitted[-1] * one.is_chip)


def score_areas(rows: Sequence[Row], *, left_out: bool) -> dict[str, Any]:
    """Scores of area and density; on the shipped table each paper is left out of the fit that predicts it."""
    out: dict[str, Any] = {}
    shipped = read_shipped()
    for name, column in (("area", "macro_area_mm2"), ("density", "density_1b_TOPS_per_mm2")):
        known, judged = area_rows(shipped, column), area_rows(rows, column)
        errors, papers, fits = [], [], {}
        for one in judged:
            rest = [other for other in known if not left_out or other.paper != one.paper]
            key = one.paper if left_out else ""
            if key not in fits:
                fits[key] = fit_area(rest)
            errors.append(ln_cell(one, fits[key]) - one.ln_cell_um2)
            papers.append(one.paper)
        spread = _half_ln(known)
        out[name] = score(np.array(errors), np.full(len(errors), spread), papers)
    return out


def _half_ln(known: Sequence[AreaRow]) -> float:
    """90 % half-width in ln: quantile of the errors of papers left out of the fit."""
    errors = []
    for paper in dict.fromkeys(one.paper for one in known):
        fitted = fit_area([one for one in known if one.paper != paper])
        errors.append(float(np.median([abs(ln_cell(one, fitted) - one.ln_cell_um2) for one in known if one.paper == paper])))
    return float(np.quantile(errors, 0.9)) if errors else 0.0

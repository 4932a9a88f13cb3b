"""Scores of predictions by paper, as the table's description defines them, with bootstrap intervals over papers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
N_BOOTSTRAP, SEED = 500, 0


def paper_scores(errors: Floats, papers: Sequence[str]) -> Floats:
    """Median of |ln factor| over the rows of each paper, papers in order of appearance."""
    names = np.array(papers)
    return np.array([np.median(np.abs(errors[names == name])) for name in dict.fromkeys(papers)])


def factors(scores: Floats) -> dict[str, float]:
    """Median, 90 % quantile and geometric mean of papers' factors."""
    return {
        "median_factor": float(np.exp(np.quantile(scores, 0.5))),
        "p90_factor": float(np.exp(np.quantile(scores, 0.9))),
        "geomean_factor": float(np.exp(scores.mean())),
    }


def by_paper(inside: Floats, papers: Sequence[str]) -> Floats:
    """Share of each paper's rows that lie inside their interval."""
    names = np.array(papers)
    return np.array([inside[names == name].mean() for name in dict.fromkeys(papers)])


def bootstrap(scores: Floats, covered: Floats) -> dict[str, list[float]]:
    """90 % intervals of the scores from drawing papers with replacement; a fixed seed."""
    rng = np.random.default_rng(SEED)
    draws = rng.integers(0, len(scores), size=(N_BOOTSTRAP, len(scores)))
    found: dict[str, list[float]] = {}
    each = [factors(scores[draw]) | {"coverage_90": float(covered[draw].mean())} for draw in draws]
    for name in each[0]:
        low, high = np.quantile([one[name] for one in each], (0.05, 0.95))
        found[name] = [float(low), float(high)]
    return found


def score(errors: Floats, half_ln: Floats, papers: Sequence[str], base: Floats | None = None) -> dict[str, Any]:
    """All scores of rows with ln errors, half-widths of their intervals and papers; `base`: ln errors of the baseline."""
    if not len(errors):
        return {"n_papers": 0, "n_predicted": 0}
    scores, covered = paper_scores(errors, papers), by_paper(np.asarray(np.abs(errors) <= half_ln, dtype=np.float64), papers)
    out: dict[str, Any] = factors(scores) | {
        "mean_ln_factor": float(scores.mean()),
        "coverage_90": float(covered.mean()),
        "interval_factor": float(np.exp(np.median(half_ln))),
        "n_papers": len(scores),
        "n_predicted": len(errors),
        "bootstrap_90": bootstrap(scores, covered),
    }
    if base is not None:
        lines = paper_scores(base, papers)
        out |= {f"baseline_{name}": value for name, value in factors(lines).items()} | {"baseline_mean_ln_factor": float(lines.mean())}
    return out

"""The report of a study: one page with all figures, and its points as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from cosim import __version__
from cosim.provenance import model_version
from cosim.study.objectives import Metric
from cosim.study.table import StudyTable
from reports.csv_files import text_of
from reports.figures import Chart
from reports.html import environment
from reports.study_axes import effects_chart, pairs_chart, parallel_chart
from reports.study_figures import front_chart, importance_chart, ranking_chart
from reports.study_reasons import kept_out, reasons
from reports.study_search import bias_chart, progress_chart
from reports.study_text import alike_words, context, findings, headline, study_text
from reports.study_view import View, assumed_shares, axis_words, level_word, views_of, worded
from reports.wording import plural

__all__ = ["points_csv", "study_files", "study_page", "study_text"]

N_ROWS = 20  # points in a table of the page
_SUFFIX = {"J": "_j", "s": "_s", "J s": "_js", "m2": "_m2", "%": "_pct", "dB": "_db", "": ""}


def study_files(table: StudyTable) -> dict[str, str]:
    """Return file name → content: the page, and every point with its levels, values and fate."""
    return {f"{table.study.name}.html": study_page(table), f"{table.study.name}_points.csv": points_csv(table)}


def study_page(table: StudyTable) -> str:
    """Return the page of a study."""
    views = views_of(table)
    solved = [view for view in views if view.best is not None]
    shares = assumed_shares(table)
    return (
        environment()
        .get_template("study.html.j2")
        .render(
            table=table,
            title=headline(table),
            context=context(table),
            cards=[_card(view) for view in solved],
            findings=findings(table, views) if solved else [],
            views=[_section(view, shares) for view in views if view.axes],
            axes=[axis_words(axis)[0] for axis in table.space.axes],
            fronts=[front_chart(a, b) for a, b in combinations(views, 2)] if solved else [],
            front_rows=_point_rows(views, table.scores.front[:N_ROWS].tolist(), shares) if len(views) > 1 else [],
            progress=progress_chart(table, views[0]),
            parallel=parallel_chart(table, views) if table.n else None,
            reasons=reasons(table) if table.n else [],
            constraints=kept_out(table.space),
            biases=[bias_chart(view, fidelity, one) for view in views for fidelity, one in view.biases.items()],
            provenance=_provenance(table),
        )
    )


def _card(view: View) -> dict[str, Any]:
    i = view.ranked[0]
    low, high = (float(end[i]) for end in view.ends) if view.ends is not None else (0.0, 0.0)
    value = float(view.values[i])
    return {
        "view": view,
        "value": value,
        "text": worded(view.metric, value),
        "interval": view.interval_words(int(i)),
        "low": low,
        "high": high,
    }


def _section(view: View, shares: Any) -> dict[str, Any]:
    """Return what the page says of one objective."""
    charts: list[Chart | None] = [importance_chart(view), effects_chart(view), pairs_chart(view)]
    return {
        "view": view,
        "charts": [chart for chart in charts if chart is not None],
        "has_pairs": charts[-1] is not None,
        "ranking": ranking_chart(view) if view.alike is not None else None,
        "alike": alike_words(view) if view.alike is not None else "",
        "rows": _point_rows([view], view.ranked[:N_ROWS].tolist(), shares),
        "choices": list(_choices(view)) if view.alike is not None and view.alike.sum() > 1 else [],
    }


def _point_rows(views: list[View], points: list[int], shares: Any) -> list[dict[str, Any]]:
    """Return points as rows of a table: values with intervals, levels, and the share of energy that is assumed."""
    table = views[0].table
    return [
        {
            "i": i,
            "cells": [
                (view.name, float(view.values[i]), worded(view.metric, float(view.values[i])), view.interval_words(i)) for view in views
            ],
            "levels": [axis_words(axis)[1][table.codes[i, a]] for a, axis in enumerate(table.space.axes)],
            "assumed": None if np.isnan(shares[i]) else float(shares[i]),
        }
        for i in points
    ]


def _choices(view: View) -> Iterator[dict[str, Any]]:
    """Yield each axis that varies: its level at the best point, and those among the points that intervals cannot tell from it."""
    table, best = view.table, int(view.ranked[0])
    for axis in view.axes:
        name, levels = axis_words(table.space.axes[axis])
        codes, n = np.unique(table.codes[view.alike, axis], return_counts=True)
        among = ", ".join(f"{levels[code]} ({count:,})" for code, count in zip(codes.tolist(), n.tolist(), strict=True))
        yield {"name": name, "best": levels[table.codes[best, axis]], "settled": view.settled[axis] is not None, "among": among}


def _provenance(table: StudyTable) -> dict[str, str]:
    study = table.study
    objectives = ", ".join(f"{one.direction} {one.name}" for one in table.wanted.objectives)
    bounds = ", ".join([limit.label or limit.bound.text for limit in table.wanted.limits] + [bound.text for bound in study.known])
    return {
        "cosim": __version__,
        "model_version": model_version(),
        "study": study.name,
        "objectives": objectives,
        "bounds": bounds or "none",
        "workloads": ", ".join(f"{one.name} (weight {one.weight:g})" for one in study.workloads),
        "chips": ", ".join(study.chips),
        "bits": f"{study.weight_bits} of weights, {study.activation_bits} of activations, where no axis says otherwise",
        "policy": study.policy,
        "fidelity": table.fidelity,
        "replicates": str(study.replicates),
        "seed": str(table.trace.seed if table.trace else study.seed),
        "points": plural(table.n, "point"),
    }


# --- points as CSV -------------------------------------------------------------------------------------------------------


def points_csv(table: StudyTable) -> str:
    """Return one row a point: levels, fate, objectives with 90 % intervals, what limits hold for, assumed share, error."""
    views, scores = views_of(table), table.scores
    front = set(scores.front.tolist())
    shares = assumed_shares(table)
    first = _first_trials(table)
    columns = ["point", *table.space.names, "status", "on_front"]
    for view in views:
        columns += [column_of(view.metric, end) for end in (("", "_low", "_high") if view.ends is not None else ("",))]
    columns += [f"limited: {limit.label or limit.bound.text}" for limit in table.wanted.limits]
    columns += ["assumed_share", *(["trial"] if table.trace else []), "error"]
    rows = []
    for i in range(table.n):
        row: list[Any] = [i, *map(level_word_of, table.space.decode(table.codes[i])[0].values()), _status(table, i), int(i in front)]
        for view in views:
            ends = [view.values[i]] if view.ends is None else [view.values[i], view.ends[0][i], view.ends[1][i]]
            row += [_number(value) for value in ends]
        row += [*map(_number, scores.limited[i]), _number(shares[i]), *([first[i]] if table.trace else []), table.errors[i]]
        rows.append(row)
    return text_of(columns, rows)


def column_of(metric: Metric, end: str = "") -> str:
    """Name the column of a metric, its unit last: energy_j, energy_low_j, area_m2."""
    return f"{metric.name}{end}{_SUFFIX[metric.unit]}"


def level_word_of(level: Any) -> str:
    """Write a level; nothing for an inactive axis."""
    return "" if level is None else repr(level) if isinstance(level, float) else level_word(level)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _status(table: StudyTable, i: int) -> str:
    scores = table.scores
    return "feasible" if scores.feasible[i] else "failed" if scores.failed[i] else "infeasible"


def _first_trials(table: StudyTable) -> list[int | None]:
    """Return the first trial of each point, the first of all being 1."""
    found: list[int | None] = [None] * table.n
    for trial, row in enumerate(table.trace.row.tolist() if table.trace else [], start=1):
        if row >= 0 and found[row] is None:
            found[row] = trial
    return found

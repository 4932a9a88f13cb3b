"""A study in words: headline, findings, and the table that a terminal shows."""

from __future__ import annotations

import math

import numpy as np

from cosim.study.analysis import Bias, knee
from cosim.study.table import StudyTable
from reports.study_reasons import reasons
from reports.study_view import View, assumed_shares, axis_words, point_words, views_of, worded
from reports.text import aligned
from reports.wording import INTERVAL, percent, plural, times

N_FRONT, N_REASONS, N_AXES = 12, 5, 5


def study_text(table: StudyTable) -> str:
    """Return a study as plain text: the best points with intervals, the front, what matters, and why points are out."""
    views = views_of(table)
    blocks = [f"{table.study.name}: {headline(table)}\n  {context(table)}"]
    if any(view.best is not None for view in views):
        blocks += [_best(table, views), _front(table, views), "\n".join(findings(table, views))]
    blocks.append(_out(table))
    return "\n\n".join(block for block in blocks if block)


def headline(table: StudyTable) -> str:
    """Say what the study found."""
    views = views_of(table)
    if not table.n:
        return f"no point was evaluated at fidelity {table.fidelity}"
    if not table.scores.feasible.any():
        return f"none of {plural(table.n, 'point')} is feasible"
    if len(views) == 1:
        view = views[0]
        return f"best {view.name} {worded(view.metric, view.values[view.ranked[0]])} of {plural(table.n, 'point')}"
    names = " and ".join([", ".join(view.name for view in views[:-1]), views[-1].name])
    n = len(table.scores.front)
    return f"{plural(n, 'point')} of {table.n:,} {'is' if n == 1 else 'are'} not beaten in {names}"


def context(table: StudyTable) -> str:
    """Say what was run, and how points were chosen."""
    study = table.study
    networks = ", ".join(one.name for one in study.workloads)
    together = f" ({study.combine})" if len(study.workloads) > 1 else ""
    how = f"sampler {table.trace.sampler}, seed {table.trace.seed}" if table.trace else f"seed {study.seed}"
    return f"{networks}{together} on {', '.join(study.chips)}; fidelity {table.fidelity}, {how}"


def findings(table: StudyTable, views: list[View]) -> list[str]:
    """Return what to know first, one sentence each."""
    told = []
    for view in views:
        if view.axes and view.importance.total.max() > 0:
            told.append(f"{importance_words(view)}.")
        if view.alike is not None:
            told.append(alike_words(view))
        told += [f"{bias_words(view, fidelity, one)}." for fidelity, one in view.biases.items()]
    share = assumed_shares(table)
    best = [view.best for view in views if view.best is not None]
    if best and np.isfinite(share[best[0]]):
        told.append(f"{percent(float(share[best[0]]))} of the energy of the point of best {views[0].name} rests on an assumed number.")
    return told


def importance_words(view: View) -> str:
    """Say which axes make the difference."""
    main, total = view.importance.main, view.importance.total
    names = [view.table.space.axes[axis].name for axis in view.axes[:3]]
    told = [f"{name} {percent(float(total[axis]))}" for name, axis in zip(names, view.axes, strict=False) if total[axis] >= 0.01]
    pairs = 1 - float(main.sum())
    together = f"; {percent(pairs)} only two axes together" if pairs >= 0.01 else ""
    return f"Of the differences in {view.name}, {', '.join(told) or 'no axis 1 % or more'}{together}"


def alike_words(view: View) -> str:
    """Say how many points the intervals cannot tell from the best, and which choices do not depend on that."""
    if view.alike is None:
        return f"{view.name} has no interval."
    n, of = int(view.alike.sum()), int(view.table.scores.feasible.sum())
    if n == 1:
        return f"The best {view.name} is apart from all other points at 90 %."
    axes = view.table.space.axes
    varied = [axis for axis in view.axes if view.settled[axis] is not None]
    kept = [f"{axes[axis].name} {axis_words(axes[axis])[1][view.settled[axis] or 0]}" for axis in varied]
    same = f"all of them have {', '.join(kept)}" if kept else "no choice is the same in all of them"
    return f"The {INTERVAL}s of {n:,} of {of:,} feasible points meet that of the best {view.name}; {same}."


def bias_words(view: View, fidelity: str, one: Bias) -> str:
    """Say how a lower fidelity differs from that of the table."""
    if not one.logarithmic:
        return f"{fidelity} gives {one.mean:+.3g} {view.metric.unit} (± {one.std:.2g}) to {view.name}, {plural(one.n, 'point')}".replace(
            "  ", " "
        )
    ratio, spread = math.exp(one.mean), math.exp(one.std)
    return (
        f"{fidelity} gives {times(ratio)} times the {view.name} of {view.table.fidelity} (× / ÷ {times(spread)}), {plural(one.n, 'point')}"
    )


def _best(table: StudyTable, views: list[View]) -> str:
    rows = [("best", "", INTERVAL, "")]
    for view in views:
        if view.best is not None:
            value = worded(view.metric, float(view.values[view.best]))
            rows.append((view.name, value, view.interval_words(view.best), point_words(table, view.best)))
    return aligned(rows, left=(0, 3))


def _front(table: StudyTable, views: list[View]) -> str:
    front = table.scores.front
    if len(views) < 2 or front.size < 2:
        return ""
    middle = int(front[knee(table.scores.minimized[front])])
    places = sorted({round(place) for place in np.linspace(0, front.size - 1, N_FRONT)})
    shown = [int(front[place]) for place in places]
    shown = [i for i in front.tolist() if i in {*shown, middle}]
    rows = [(*(view.name for view in views), "", "")]
    for i in shown:
        values = tuple(worded(view.metric, float(view.values[i])) for view in views)
        rows.append((*values, "nearest to all the best" if i == middle else "", point_words(table, i)))
    left = f", {len(shown)} of them shown" if len(shown) < front.size else ""
    return f"Not beaten in all: {plural(front.size, 'point')}{left}\n" + aligned(rows, left=(len(views), len(views) + 1))


def _out(table: StudyTable) -> str:
    found = reasons(table)
    if not found:
        return ""
    rows = [(f"{one.n:,}", percent(one.share), one.text, f"most at {one.where}" if one.where else "") for one in found[:N_REASONS]]
    rest = found[N_REASONS:]
    if rest:
        rows.append((f"{sum(one.n for one in rest):,}", "", f"for {plural(len(rest), 'other reason')}", ""))
    return f"Not feasible: {plural(int((~table.scores.feasible).sum()), 'point')} of {table.n:,}\n" + aligned(rows, left=(2, 3))

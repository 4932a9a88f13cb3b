"""Figures of a search: how far it had come, and how lower fidelities differ from the highest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosim.study.analysis import Bias, best_so_far, volumes_so_far
from cosim.study.table import StudyTable
from reports.figures import BLUE, GRAY, INK, MUTED, Chart, Mark, frame, sheet, to_svg
from reports.study_figures import DASHED, MOST_DOTS, MOST_MARKS, thinned, value_scale
from reports.study_text import bias_words
from reports.study_view import View, point_words, trial_objectives, worded

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


def progress_chart(table: StudyTable, view: View, width_px: float = 1000) -> Chart | None:
    """Draw how far a search had come: best so far of one objective, hypervolume of several; None for a sweep or nothing feasible."""
    trace, values = table.trace, trial_objectives(table)
    if trace is None or not np.isfinite(values).any():
        return None
    by_cost = len(set(trace.fidelity)) > 1
    x = trace.spent if by_cost else np.arange(1, len(values) + 1, dtype=np.float64)
    what = "cost" if by_cost else "evaluation"
    if values.shape[1] > 1:
        return _volume_chart(values, x, what, width_px)
    sign = -1.0 if view.objective.direction == "maximize" else 1.0
    y = sign * best_so_far(values[:, 0])
    with sheet(width_px, 320) as figure:
        axes = frame(figure, 76, 46, 20, 12)
        value_scale(axes, "y", view.metric, np.concatenate([y, [sign * np.nanquantile(values[:, 0], 0.9)]]))
        axes.plot(x, sign * values[:, 0], ".", color=GRAY, markersize=5)
        axes.step(x, y, where="post", color=BLUE, linewidth=1.8)
        _trial_axis(axes, x, what)
        gains = np.flatnonzero(np.isfinite(y) & (y != np.concatenate([[np.nan], y[:-1]])))
        marks = [
            Mark(
                (x[i], y[i], x[i], y[i]), f"{what} {x[i]:g}: {worded(view.metric, y[i])}", "best_so_far", f"{x[i]:g}", float(y[i]), pad_px=5
            )
            for i in gains.tolist()
        ]
        svg = to_svg(figure, "progress", "best so far", [(axes, marks)])
    title = f"{worded(view.metric, float(y[-1]))}, first seen at {what} {x[gains[-1]]:g} of {x[-1]:g}"
    caption = "Dots: feasible points; those far from the best are out of sight."
    return Chart("progress", title, svg, caption, (("best so far", BLUE), ("each point", GRAY)))


def _volume_chart(values: Floats, x: Floats, what: str, width_px: float) -> Chart:
    known = values[np.isfinite(values).all(axis=1)]
    volumes = volumes_so_far(values, known.min(axis=0), known.max(axis=0))
    last = float(volumes[-1])
    with sheet(width_px, 300) as figure:
        axes = frame(figure, 76, 46, 20, 12)
        axes.step(x, volumes, where="post", color=BLUE, linewidth=1.8)
        axes.set_ylim(0, max(1.05 * last, 1e-9))
        axes.set_ylabel("hypervolume (share of the box)")
        axes.grid(visible=True, axis="y")
        axes.spines["left"].set_visible(True)
        _trial_axis(axes, x, what)
        gains = thinned(np.flatnonzero(np.diff(volumes, prepend=0.0) > 0), MOST_MARKS).tolist()
        marks = [
            Mark(
                (x[i], volumes[i], x[i], volumes[i]),
                f"{what} {x[i]:g}: {volumes[i]:.4f}",
                "hypervolume",
                f"{x[i]:g}",
                float(volumes[i]),
                pad_px=5,
            )
            for i in gains
        ]
        svg = to_svg(figure, "progress", "hypervolume", [(axes, marks)])
    near = int(np.argmax(volumes >= 0.99 * last)) if last > 0 else 0
    title = f"99 % of the final hypervolume at {what} {x[near]:g} of {x[-1]:g}"
    caption = "The box reaches from the best to the worst value of each objective among feasible points; 1 would be one point best in all."
    return Chart("progress", title, svg, caption)


def _trial_axis(axes: Axes, x: Floats, what: str) -> None:
    axes.set_xlim(0, float(x[-1]) * 1.02)
    axes.set_xlabel(what if what == "cost" else f"{what}s")


def bias_chart(view: View, fidelity: str, one: Bias, width_px: float = 1000) -> Chart:
    """Draw how a lower fidelity differs from the highest, point by point, with mean and one standard deviation."""
    rows = thinned(np.flatnonzero(np.isfinite(one.deviation)), MOST_DOTS)
    center, ends = _bias_scale(one, np.array([one.mean])), _bias_scale(one, np.array([one.mean - one.std, one.mean + one.std]))
    y = _bias_scale(one, one.deviation[rows])
    with sheet(width_px, 320) as figure:
        axes = frame(figure, 76, 46, 20, 12)
        value_scale(axes, "x", view.metric, view.values[rows], f"{view.name} at {view.table.fidelity}")
        axes.axhspan(float(ends[0]), float(ends[1]), color=BLUE, alpha=0.12, linewidth=0)
        axes.axhline(float(center[0]), color=BLUE, linewidth=1.6)
        axes.axhline(0.0, color=INK, linewidth=1.0, linestyle=DASHED)
        axes.plot(view.values[rows], y, ".", color=MUTED, markersize=5)
        axes.set_ylabel("difference (%)" if one.logarithmic else f"difference ({view.metric.unit or '1'})")
        axes.grid(visible=True)
        marks = [
            Mark(
                (view.values[i], v, view.values[i], v),
                f"{v:+.3g}: {point_words(view.table, int(i))}",
                f"bias_{view.name}",
                str(i),
                v,
                pad_px=4,
            )
            for i, v in list(zip(rows.tolist(), y.tolist(), strict=True))[:MOST_MARKS]
        ]
        svg = to_svg(figure, f"bias-{view.name}-{fidelity}", f"{fidelity} against {view.table.fidelity}", [(axes, marks)])
    caption = "Dots: points evaluated at both. Line and band: mean and one standard deviation. Dashed: no difference."
    return Chart(f"bias-{view.name}-{fidelity}", bias_words(view, fidelity, one), svg, caption)


def _bias_scale(one: Bias, deviation: Floats) -> Floats:
    """Return ratios as percent of the truth, differences as they are."""
    return np.asarray(100 * np.expm1(deviation)) if one.logarithmic else deviation

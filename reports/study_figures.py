"""Figures of a study's objectives: front, ranking with intervals, importance of axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cosim.study.analysis import knee
from cosim.study.objectives import Metric
from reports.figures import BLUE, GRAY, INK, MUTED, ORANGE, PALE, VERMILLION, Chart, Mark, blocks, frame, sheet, to_svg
from reports.study_text import importance_words
from reports.study_view import View, point_words, shown_in, worded
from reports.wording import INTERVAL, percent, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

MOST_DOTS, MOST_MARKS, N_RANKED, N_BARS = 1500, 150, 20, 15
_WIDE = 30.0  # ratio of the ends of an axis from which on it is logarithmic
DASHED = (0, (4, 3))


def value_scale(axes: Axes, along: Literal["x", "y"], metric: Metric, values: Sequence[float] | Floats, name: str = "") -> None:
    """Limit and label one axis for values of a metric: from the least to the greatest, logarithmic where they are far apart."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    axis = axes.xaxis if along == "x" else axes.yaxis
    limit = axes.set_xlim if along == "x" else axes.set_ylim
    factor, unit = shown_in(metric, max(abs(low), abs(high)))
    if low > 0 and high > _WIDE * low:
        (axes.set_xscale if along == "x" else axes.set_yscale)("log")
        limit(low / (high / low) ** 0.05, high * (high / low) ** 0.05)
        places = [m * 10.0**n for n in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for m in (1, 2, 5)]
        axis.set_ticks([one for one in places if low / 1.1 <= one <= high * 1.1], minor=False)
        axis.set_ticks([], minor=True)
    else:
        room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        limit(low - room, high + room)
    axis.set_major_formatter(partial(_tick, factor))
    axis.set_label_text(f"{name or metric.name} ({unit})" if unit else name or metric.name)
    axes.grid(visible=True, axis=along)
    axes.spines["left"].set_visible(True)


def _tick(factor: float, value: float, _position: int) -> str:
    return f"{value * factor:.4g}"


def thinned(rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return at most n rows, evenly taken, both ends among them."""
    return rows if rows.size <= n else rows[np.unique(np.linspace(0, rows.size - 1, n).round().astype(np.int64))]


# --- front -----------------------------------------------------------------------------------------------------------


def front_chart(first: View, second: View, width_px: float = 1000) -> Chart:
    """Draw one objective against another: the front and feasible points near it, and again with the front's 90 % intervals."""
    table = first.table
    front = table.scores.front
    is_whole = len(table.wanted.objectives) == 2
    has_ends = first.ends is not None or second.ends is not None
    panel = width_px / 2 if has_ends else width_px
    marks = []
    with sheet(width_px, 420) as figure:
        for place in range(2 if has_ends else 1):
            axes = frame(figure, 76 + place * panel, 46, width_px - (place + 1) * panel + 16, 12)
            for view, along in ((first, "x"), (second, "y")):
                value_scale(axes, "x" if along == "x" else "y", view.metric, _in_view(view, front, with_ends=bool(place)))
            _draw_front(axes, first, second, is_whole=is_whole, with_ends=bool(place))
            marks.append((axes, [_front_mark((first, second), i) for i in thinned(front, MOST_MARKS).tolist()] if not place else []))
        svg = to_svg(figure, f"front-{first.name}-{second.name}", f"{first.name} against {second.name}", marks)
    title = f"{plural(front.size, 'point')} not beaten in {'both' if is_whole else 'all objectives'}"
    caption = (
        f"{f'Right: the same with {INTERVAL}s. ' if has_ends else ''}Circle: nearest to the best of all objectives, scaled to the front."
    )
    if not is_whole:
        caption += " Points that look beaten here are not in another objective."
    legend = (("not beaten", BLUE), ("other feasible points, those far away out of sight", GRAY))
    return Chart(f"front-{first.name}-{second.name}", title, svg, caption, legend)


def _draw_front(axes: Axes, first: View, second: View, *, is_whole: bool, with_ends: bool) -> None:
    scores = first.table.scores
    front, kept = scores.front, thinned(np.flatnonzero(scores.feasible), MOST_DOTS)
    middle = int(front[knee(scores.minimized[front])])
    axes.plot(first.values[kept], second.values[kept], "o", color=GRAY, markersize=3, alpha=0.6, markeredgewidth=0, zorder=1)
    if with_ends:
        _whiskers(axes, first, second, front)
    if is_whole:
        order = front[np.argsort(first.values[front], kind="stable")]
        where: Literal["post", "pre"] = "post" if first.objective.direction == "minimize" else "pre"
        axes.step(first.values[order], second.values[order], where=where, color=BLUE, linewidth=1.2, alpha=0.6, zorder=3)
    axes.plot(first.values[front], second.values[front], "o", color=BLUE, markersize=5, zorder=4)
    axes.plot([first.values[middle]], [second.values[middle]], "o", color=INK, markersize=10, fillstyle="none", zorder=5)


def _in_view(view: View, front: NDArray[np.int64], *, with_ends: bool) -> Floats:
    """Return values that an axis has to hold: the front, with its intervals or else the better half of the feasible points."""
    if with_ends and view.ends is not None:
        return np.concatenate([view.values[front], view.ends[0][front], view.ends[1][front]])
    sign = -1.0 if view.objective.direction == "maximize" else 1.0
    median = sign * np.quantile(view.table.scores.minimized[view.table.scores.feasible, view.place], 0.5)
    return np.append(view.values[front], median)


def _whiskers(axes: Axes, first: View, second: View, front: NDArray[np.int64]) -> None:
    for view, draw, other in ((first, axes.hlines, second), (second, axes.vlines, first)):
        if view.ends is not None:
            draw(other.values[front], view.ends[0][front], view.ends[1][front], color=BLUE, linewidth=1.0, alpha=0.35, zorder=2)


def _front_mark(views: tuple[View, View], i: int) -> Mark:
    first, second = views
    x, y = float(first.values[i]), float(second.values[i])
    told = "; ".join(
        f"{view.name} {worded(view.metric, float(view.values[i]))} ({view.interval_words(i) or 'no interval'})" for view in views
    )
    return Mark((x, y, x, y), f"{told}; {point_words(first.table, i)}", f"front_{first.name}", str(i), x, pad_px=6)


# --- ranking ---------------------------------------------------------------------------------------------------------


def ranking_chart(view: View, width_px: float = 1000) -> Chart:
    """Draw the best points by one objective with their intervals, and where that of the best ends."""
    rows = view.ranked[:N_RANKED]
    low, high = view.ends if view.ends is not None else (view.values, view.values)
    edge = low if view.objective.direction == "maximize" else high
    with sheet(width_px, 62 + 17 * rows.size) as figure:
        axes = frame(figure, 54, 46, 20, 8)
        value_scale(axes, "x", view.metric, np.concatenate([low[rows], high[rows]]))
        axes.set_ylim(rows.size - 0.4, -0.6)
        axes.set_yticks(range(rows.size), [f"{place + 1}" for place in range(rows.size)])
        axes.set_ylabel("rank")
        axes.spines["left"].set_visible(False)
        is_alike = view.alike if view.alike is not None else np.zeros(view.table.n, dtype=np.bool_)
        for color, wanted in ((PALE, True), (GRAY, False)):
            boxes = [(low[i], place - 0.3, high[i], place + 0.3) for place, i in enumerate(rows.tolist()) if is_alike[i] == wanted]
            blocks(axes, boxes, color)
        axes.plot(view.values[rows], range(rows.size), "o", color=BLUE, markersize=6, zorder=4)
        axes.axvline(edge[rows[0]], color=VERMILLION, linewidth=1.2, linestyle=DASHED)
        marks = [_rank_mark(view, int(i), place) for place, i in enumerate(rows)]
        svg = to_svg(figure, f"ranking-{view.name}", f"best points by {view.name}", [(axes, marks)])
    alike = int(is_alike.sum())
    title = f"By {view.name}, the intervals of {plural(alike, 'point')} meet that of the best"
    caption = (
        f"Bars: {INTERVAL}s; dashed: the end of that of the best. Points whose bars meet share most of what is uncertain: "
        "cosim compare says whether their ratio is apart from 1."
    )
    return Chart(f"ranking-{view.name}", title, svg, caption, (("meets the best", PALE), ("apart from the best", GRAY), ("nominal", BLUE)))


def _rank_mark(view: View, i: int, place: int) -> Mark:
    low, high = (float(end[i]) for end in view.ends) if view.ends is not None else (float(view.values[i]),) * 2
    told = f"{place + 1}: {worded(view.metric, float(view.values[i]))} ({view.interval_words(i)}); {point_words(view.table, i)}"
    return Mark((low, place - 0.3, high, place + 0.3), told, f"rank_{view.name}", str(i), float(view.values[i]))


# --- importance --------------------------------------------------------------------------------------------------------


def importance_chart(view: View, width_px: float = 1000) -> Chart:
    """Draw the share of the variance that each axis makes alone, and with others."""
    shown = view.axes[:N_BARS]
    main, total = view.importance.main, view.importance.total
    names = [view.table.space.axes[axis].name for axis in shown]
    left = 30 + 6.6 * max(map(len, names), default=4)
    with sheet(width_px, 50 + 26 * len(shown)) as figure:
        axes = frame(figure, left, 42, 180, 4)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, max(float(total.max()), 0.05))
        axes.set_yticks(range(len(shown)), names)
        axes.xaxis.set_major_formatter(partial(_tick, 100.0))
        axes.set_xlabel("share of the variance (%)")
        axes.grid(visible=True, axis="x")
        blocks(axes, [(0.0, place - 0.34, main[axis], place + 0.34) for place, axis in enumerate(shown)], BLUE)
        blocks(axes, [(main[axis], place - 0.34, total[axis], place + 0.34) for place, axis in enumerate(shown)], ORANGE)
        marks = []
        for place, axis in enumerate(shown):
            told = f"{percent(float(total[axis]))}, alone {percent(float(main[axis]))}"
            axes.annotate(told, (total[axis], place), (6, 0), textcoords="offset points", va="center", fontsize=10.5, color=MUTED)
            box = (0.0, place - 0.34, float(total[axis]), place + 0.34)
            marks.append(Mark(box, f"{names[place]}: {told}", f"importance_{view.name}", names[place], float(total[axis])))
        svg = to_svg(figure, f"importance-{view.name}", f"importance of axes for {view.name}", [(axes, marks)])
    what = f"ln({view.name})" if view.logarithmic else view.name
    caption = (
        f"Variance of {what} in a fit with first-order interactions, all levels as likely as each other; the fit foretells "
        f"{percent(max(view.importance.r2, 0.0))} of the variance of points left out ({view.importance.n_fitted:,} of "
        f"{view.importance.n_known:,} points fitted). A share that axes make together counts for each of them."
    )
    return Chart(f"importance-{view.name}", importance_words(view), svg, caption, (("alone", BLUE), ("together with others", ORANGE)))

"""Figures of a study's axes: main effects, interactions of two, and points as lines over all axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cosim.study.analysis import Effect, effect, pair_means
from cosim.study.space import Axis
from cosim.study.table import StudyTable
from reports.figures import BLUE, INK, MUTED, ORANGE, PALE, VERMILLION, Chart, Mark, blocks, frame, sheet, to_svg
from reports.study_figures import thinned, value_scale
from reports.study_view import View, axis_words, point_words, shown_in, worded
from reports.wording import labels, percent, plural, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

N_PANELS, N_PAIRS, N_LINES = 12, 3, 240
_A_ROW, _LETTER = 3, 6.7  # panels; pixels of a letter
_MOST_CELLS = 30  # levels of an axis in a heat map
_DEEP, _LIGHT = np.array([8, 69, 116]) / 255, np.array([235, 243, 250]) / 255


def _title_of(axis: Axis, width_px: float) -> tuple[str, list[str]]:
    name, levels = axis_words(axis)
    return shorten(name, int(width_px / _LETTER)), labels(levels, 16)


def _level_ticks(axes: Axes, levels: Sequence[str], width_px: float) -> bool:
    """Label the levels along x: some left out where they are many, slanted where they are long; say whether they are slanted."""
    wide = max(map(len, levels)) * _LETTER + 8
    step = math.ceil(len(levels) / 12)
    is_slanted = wide * math.ceil(len(levels) / step) > width_px
    places = list(range(0, len(levels), step))
    turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if is_slanted else {}
    axes.set_xticks(places, [levels[place] for place in places], **turned)
    axes.set_xlim(-0.5, len(levels) - 0.5)
    return is_slanted


# --- main effects ------------------------------------------------------------------------------------------------------


def effects_chart(view: View, width_px: float = 1000) -> Chart:
    """Draw the mean of one objective at each level of each axis, the most important axes first, all on one scale."""
    shown = view.axes[:N_PANELS]
    found = {
        axis: effect(view.table.codes[:, axis], view.values, len(view.table.space.axes[axis].levels), logarithmic=view.logarithmic)
        for axis in shown
    }
    every = np.concatenate([np.concatenate([one.low, one.high, one.mean]) for one in found.values()])
    n_rows = math.ceil(len(shown) / _A_ROW)
    panel, height = (width_px - 84) / _A_ROW, 190.0
    marks = []
    with sheet(width_px, n_rows * height) as figure:
        for place, axis in enumerate(shown):
            row, column = divmod(place, _A_ROW)
            left = 70 + column * (panel + 4)
            axes = frame(figure, left, (n_rows - row - 1) * height + 62, width_px - left - panel + 18, row * height + 14)
            value_scale(axes, "y", view.metric, every)
            if column:
                axes.set_ylabel("")
                axes.tick_params(labelleft=False)
            marks.append((axes, _effect_panel(axes, view, axis, found[axis], panel - 18)))
        svg = to_svg(figure, f"effects-{view.name}", f"{view.name} by the levels of each axis", marks)
    mean = "geometric mean" if view.logarithmic else "mean"
    caption = (
        f"Dots: {mean} over all points evaluated at a level; lines: from the 10 % to the 90 % quantile. Levels without points are empty."
    )
    if view.table.trace is not None:
        caption += " A search takes more points where it expects good ones, so levels are seen in unequal company."
    return Chart(f"effects-{view.name}", _effects_title(view, found), svg, caption)


def _effect_panel(axes: Axes, view: View, axis: int, one: Effect, width_px: float) -> list[Mark]:
    name, levels = _title_of(view.table.space.axes[axis], width_px)
    places = np.flatnonzero(one.n)
    axes.vlines(places, one.low[places], one.high[places], color=PALE, linewidth=5)
    if view.table.space.axes[axis].kind == "ordinal":
        axes.plot(places, one.mean[places], color=BLUE, linewidth=1.2)
    axes.plot(places, one.mean[places], "o", color=BLUE, markersize=6)
    axes.set_title(name, fontsize=11, color=INK, loc="left", pad=3)
    _level_ticks(axes, levels, width_px)
    told = [f"{name} {levels[c]}: {worded(view.metric, one.mean[c])}, {plural(int(one.n[c]), 'point')}" for c in places.tolist()]
    return [
        Mark(
            (c, one.low[c], c, one.high[c]),
            text,
            f"effect_{view.name}",
            f"{view.table.space.axes[axis].name}|{levels[c]}",
            float(one.mean[c]),
            6,
        )
        for c, text in zip(places.tolist(), told, strict=True)
    ]


def _effects_title(view: View, found: dict[int, Effect]) -> str:
    """Name the best level of the most important axis."""
    axis, one = next(iter(found.items()))
    sign = -1.0 if view.objective.direction == "maximize" else 1.0
    best, worst = int(np.nanargmin(sign * one.mean)), int(np.nanargmax(sign * one.mean))
    name, levels = axis_words(view.table.space.axes[axis])
    ends = (
        f"{worded(view.metric, float(one.mean[best]))} at {levels[best]}, {worded(view.metric, float(one.mean[worst]))} at {levels[worst]}"
    )
    return f"Mean {view.name} by {name}: {ends}"


# --- interactions ------------------------------------------------------------------------------------------------------


def pairs_chart(view: View, width_px: float = 1000) -> Chart | None:
    """Draw the mean of one objective at the levels of two axes, for the pairs that make most of it together; None without any."""
    sizes = view.table.space.n_levels
    pairs = [pair for pair in view.importance.strongest(3 * N_PAIRS) if max(sizes[pair[0]], sizes[pair[1]]) <= _MOST_CELLS][:N_PAIRS]
    if not pairs:
        return None
    panel, height = width_px / N_PAIRS, 300.0
    tables = [_pair_table(view, pair) for pair in pairs]
    values = np.concatenate([one.ravel() for one in tables])
    ends = (float(np.nanmin(values)), float(np.nanmax(values)))
    marks = []
    with sheet(width_px, height) as figure:
        for place, (pair, table) in enumerate(zip(pairs, tables, strict=True)):
            marks.append(_heat_panel(figure, view, pair, table, ends, (place * panel, panel)))
        svg = to_svg(figure, f"pairs-{view.name}", f"{view.name} by two axes", marks)
    (i, j), share = pairs[0], float(view.importance.pairs[pairs[0]])
    names = view.table.space.names
    _, unit = shown_in(view.metric, ends[1])
    title = f"{names[i]} and {names[j]} together make {percent(share)} of the differences in {view.name} beyond what each does alone"
    caption = (
        f"{'Geometric mean' if view.logarithmic else 'Mean'} of {view.name}{f' in {unit}' if unit else ''}; deep is good. White: no point."
    )
    return Chart(f"pairs-{view.name}", title, svg, caption)


def _pair_table(view: View, pair: tuple[int, int]) -> Floats:
    i, j = pair
    codes, sizes = view.table.codes, view.table.space.n_levels
    return pair_means(codes[:, i], codes[:, j], view.values, (int(sizes[i]), int(sizes[j])), logarithmic=view.logarithmic)


def _heat_panel(
    figure: Figure, view: View, pair: tuple[int, int], table: Floats, ends: tuple[float, float], span: tuple[float, float]
) -> tuple[Axes, list[Mark]]:
    first, second = (view.table.space.axes[axis] for axis in pair)
    (x_name, x_levels), (y_name, y_levels) = _title_of(first, span[1] - 80), _title_of(second, 200)
    left = 34 + _LETTER * max(map(len, y_levels))
    width, height = span[1] - left - 12, figure.bbox.height - 84
    axes = frame(figure, span[0] + left, 78, figure.bbox.width - span[0] - left - width, 6)
    axes.spines["bottom"].set_visible(False)
    is_slanted = _level_ticks(axes, x_levels, width)
    axes.set_ylim(len(y_levels) - 0.5, -0.5)
    axes.set_yticks(range(len(y_levels)), y_levels)
    axes.set_xlabel(x_name, labelpad=2 if is_slanted else 6)
    axes.set_ylabel(y_name)
    factor, _ = shown_in(view.metric, ends[1])
    marks = []
    has_text = width / table.shape[0] >= 32 and height / table.shape[1] >= 15
    for i, j in zip(*np.nonzero(np.isfinite(table)), strict=True):
        value = float(table[i, j])
        share = _goodness(view, value, ends)
        box = (i - 0.48, j - 0.48, i + 0.48, j + 0.48)
        blocks(axes, [box], _hex(_LIGHT + share * (_DEEP - _LIGHT)))
        if has_text:
            axes.text(i, j, f"{factor * value:.3g}", ha="center", va="center", fontsize=9.5, color="white" if share > 0.5 else INK)
        told = f"{x_name} {x_levels[i]}, {y_name} {y_levels[j]}: {worded(view.metric, value)}"
        key = f"{first.name}|{x_levels[i]}|{second.name}|{y_levels[j]}"
        marks.append(Mark(box, told, f"pair_{view.name}", key, value))
    return axes, marks


def _goodness(view: View, value: float, ends: tuple[float, float]) -> float:
    """Return 1 for the best mean, 0 for the worst."""
    low, high, y = (math.log(v) if view.logarithmic else v for v in (*ends, value))
    share = (y - low) / (high - low) if high > low else 0.5
    return share if view.objective.direction == "maximize" else 1 - share


def _hex(rgb: Floats) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


# --- lines over all axes -------------------------------------------------------------------------------------------------


def parallel_chart(table: StudyTable, views: Sequence[View], width_px: float = 1000) -> Chart | None:
    """Draw feasible points as lines over the levels of all axes and their objectives; None where nothing is feasible or varies."""
    shown = list(dict.fromkeys(axis for view in views for axis in view.axes))[:N_PANELS]
    feasible = views[0].ranked
    if not feasible.size or not shown:
        return None
    good = table.scores.front if len(views) > 1 else feasible[: max(1, feasible.size // 20)]
    rest = thinned(np.setdiff1d(feasible, good), N_LINES)
    good = thinned(good, N_LINES // 3)
    heights = _heights(table, shown, views)
    n = len(shown) + len(views)
    with sheet(width_px, 440) as figure:
        axes = frame(figure, 54, 34, 64, 88)
        axes.set_xlim(0, n - 1)
        axes.set_ylim(-0.05, 1.05)
        axes.set_yticks([])
        axes.spines["bottom"].set_visible(False)
        x = np.arange(n)
        axes.plot(x, heights[rest].T, color=PALE, linewidth=0.7, alpha=0.7)
        axes.plot(x, heights[good].T, color=BLUE, linewidth=1.0, alpha=0.7, zorder=3)
        axes.plot(x, heights[views[0].ranked[0]], color=VERMILLION, linewidth=2.2, zorder=4)
        marks = _draw_scales(axes, table, shown, views)
        svg = to_svg(figure, "parallel", "Points over all axes", [(axes, marks)])
    what = "not beaten in all objectives" if len(views) > 1 else "best twentieth"
    legend = ((f"best {views[0].name}", VERMILLION), (what, BLUE), ("other feasible points, evenly chosen", PALE))
    title = f"The best {views[0].name}: {point_words(table, int(views[0].ranked[0]), shown[:4])}"
    caption = "One line a point. Lines of one level are spread a little, so that they can be told apart. Objectives are best at the bottom."
    return Chart("parallel", title, svg, caption, legend)


def _heights(table: StudyTable, shown: Sequence[int], views: Sequence[View]) -> Floats:
    """[n, axes + objectives] where each point crosses each line: 0 at the first level or best value, 1 at the last or worst."""
    spread = np.random.default_rng(0).uniform(-1, 1, (table.n, len(shown)))
    columns = []
    for place, axis in enumerate(shown):
        size = int(table.space.n_levels[axis])
        columns.append(table.codes[:, axis] / max(size - 1, 1) + min(0.035, 0.15 / max(size - 1, 1)) * spread[:, place])
    for view in views:
        y = table.scores.minimized[:, view.place]
        low, high = np.min(y[view.ranked]), np.max(y[view.ranked])
        columns.append((y - low) / (high - low) if high > low else np.full(table.n, 0.5))
    return np.stack(columns, axis=1)


def _draw_scales(axes: Axes, table: StudyTable, shown: Sequence[int], views: Sequence[View]) -> list[Mark]:
    for place in range(len(shown) + len(views)):
        axes.axvline(place, color=MUTED if place < len(shown) else ORANGE, linewidth=1.0, zorder=2)
    axes.tick_params(labeltop=True, labelbottom=False)
    names = []
    for place, axis in enumerate(shown):
        name, levels = _title_of(table.space.axes[axis], 150)
        names.append(name)
        step = math.ceil(len(levels) / 14)
        for code in range(0, len(levels), step):
            _scale_text(axes, place, code / max(len(levels) - 1, 1), levels[code])
    for place, view in enumerate(views, start=len(shown)):
        names.append(view.name)
        for height, i in ((0.0, view.ranked[0]), (1.0, view.ranked[-1])):
            _scale_text(axes, place, height, worded(view.metric, float(view.values[i])))
    axes.set_xticks(range(len(names)), names, rotation=24, ha="left", rotation_mode="anchor")
    best = views[0].ranked[0]
    last = len(shown)
    told = f"best {views[0].name}: {worded(views[0].metric, float(views[0].values[best]))}; {point_words(table, int(best))}"
    return [Mark((last, -0.02, last, 0.02), told, "parallel_best", str(best), float(views[0].values[best]), 6)]


def _scale_text(axes: Axes, place: int, height: float, text: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}
    axes.annotate(text, (place, height), (4, 0), textcoords="offset points", fontsize=9.5, va="center", color=INK, bbox=box, zorder=6)

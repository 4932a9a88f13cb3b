"""Accuracy of networks on a chip in pictures: against noise, bits and time, lost by cause, bought with energy, and how sure it is.

All accuracies and losses are fractions here and percent or points in the pictures; the arrays may come from any run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reports.figures import BLUE, DOWN, INK, MUTED, PALE, SERIES_COLORS, UP, VERMILLION, Chart, Mark, blocks, frame, scale, sheet, to_svg
from reports.wording import percent, plural, quantity, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
COLORS = (BLUE, VERMILLION, *SERIES_COLORS[1:4], *SERIES_COLORS[4:5], SERIES_COLORS[7], SERIES_COLORS[0])
DASHED = (0, (4, 3))
_TENTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MAX_MARKS = 150  # pointers on one line
_UNITS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "day"), (86400.0 * 365, "year"))
_TIMES = ((1.0, "1 s"), (60.0, "1 min"), (3600.0, "1 h"), (86400.0, "1 day"), (86400.0 * 30, "1 month"), (86400.0 * 365, "1 year"))


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its name, its points, and the standard deviation at each (none: no band); a control is dashed and gray."""

    name: str
    x: ArrayLike
    y: ArrayLike
    std: ArrayLike | None = None
    control: bool = False


class Drawn(NamedTuple):
    """A line ready to draw, in the units of its axes."""

    name: str
    color: str
    x: Floats
    y: Floats
    std: Floats
    control: bool


def noise_chart(lines: Sequence[Line], width_px: float = 720) -> Chart:
    """Draw accuracy against the deviation of Gaussian weight noise, mean with a band of one standard deviation."""
    drawn = _drawn(lines)
    with _line_sheet(width_px, drawn) as axes:
        axes.set_xlabel("standard deviation of weights over the largest of their row")
        svg = _draw(axes, drawn, "noise", "Accuracy against weight noise", "noise {x:g}")
    best = drawn[0]
    rest = [one for one in drawn if one.control and one.x[-1] == best.x[-1]]
    title = f"{best.name}: {best.y[-1]:.1f} % at noise {best.x[-1]:g}"
    if rest:
        title += f", {rest[0].name}: {rest[0].y[-1]:.1f} %"
    return Chart("noise", title, svg, _band(drawn), _legend(drawn))


def bits_chart(lines: Sequence[Line], width_px: float = 720) -> Chart:
    """Draw accuracy against bits of the converters, one line a number of rows or a kind of training."""
    drawn = _drawn(lines)
    with _line_sheet(width_px, drawn) as axes:
        bits = sorted({float(value) for one in drawn for value in one.x})
        axes.set_xticks(bits, [f"{value:g}" for value in bits])
        axes.set_xlabel("bits of the ADC")
        svg = _draw(axes, drawn, "adc-bits", "Accuracy against bits of the ADC", "{x:g} bits")
    told = [one for one in drawn if not one.control] or drawn
    fewest = min(float(one.x.min()) for one in told)
    there = [(float(one.y[one.x.argmin()]), one.name) for one in told if one.x.min() == fewest]
    title = f"At {plural(round(fewest), 'bit')}: " + "; ".join(f"{name} {value:.1f} %" for value, name in sorted(there, reverse=True)[:2])
    return Chart("adc-bits", title, svg, _band(drawn), _legend(drawn))


def time_chart(lines: Sequence[Line], width_px: float = 720) -> Chart:
    """Draw accuracy against seconds since programming on a logarithmic axis; times have to be above 0."""
    drawn = _drawn(lines)
    with _line_sheet(width_px, drawn, logarithmic=True) as axes:
        low, high = axes.get_xlim()
        shown = [(time_s, name) for time_s, name in _TIMES if low <= time_s <= high]
        axes.set_xticks([time_s for time_s, _ in shown], [name for _, name in shown])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("time since programming")
        svg = _draw(axes, drawn, "time", "Accuracy against time since programming", "{x:.3g} s")
    told = ", ".join(f"{one.name} {one.y[0]:.1f} to {one.y[-1]:.1f} %" for one in drawn[:3])
    return Chart("time", f"From {_time(drawn[0].x[0])} to {_time(drawn[0].x[-1])}: {told}", svg, _band(drawn), _legend(drawn))


def coverage_chart(lines: Sequence[Line], at: float = 0.9, width_px: float = 720) -> Chart:
    """Draw accuracy of the most confident samples against the share that is answered (x), as `Ensemble.risk_coverage` gives it."""
    drawn = [one._replace(x=100 * one.x) for one in _drawn(lines)]
    with _line_sheet(width_px, drawn) as axes:
        axes.set_xlim(0, 100)
        axes.axvline(100 * at, color=MUTED, linewidth=1.0, linestyle=DASHED)
        axes.set_xlabel("most confident share that is answered (%)")
        svg = _draw(axes, drawn, "coverage", "Accuracy against coverage", "{x:.3g} % answered", dots=False)
    told = ", ".join(f"{one.name} {np.interp(100 * at, one.x, one.y):.1f} %" for one in drawn[:3])
    caption = f"Right end: all are answered. Dashed: {percent(at)}."
    return Chart("coverage", f"The most confident {percent(at)}: {told}", svg, caption, _legend(drawn))


# --- how sure it is ------------------------------------------------------------------------------------------------


def reliability_chart(bins: Sequence[tuple[float, float, int, float, float]], error: float, width_px: float = 420) -> Chart:
    """Draw the share of right answers in each bin (low, high, n, confidence, accuracy) of confidence, and below it how many are there."""
    full = [one for one in bins if one[2]]
    n = sum(one[2] for one in full) or 1
    with sheet(width_px, 420) as figure:
        axes = frame(figure, 56, 128, 12, 12)
        counts = frame(figure, 56, 44, 12, 316)
        bars = [(low, 0.0, high, accuracy) for low, high, _, _, accuracy in full]
        blocks(axes, bars, BLUE, "white")
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1.0, linestyle=DASHED, zorder=4)
        axes.plot([one[3] for one in full], [one[4] for one in full], "o", color=INK, markersize=5, zorder=5, clip_on=False)
        blocks(counts, [(low, 0.0, high, size / n) for low, high, size, _, _ in full], PALE, "white")
        _unit_axes(axes, "right answers (%)")
        axes.set_xticks(_TENTHS, [""] * 6)
        _unit_axes(counts, "share (%)")
        counts.set_yticks([0, 0.5, 1], ["0", "50", "100"])
        counts.set_xticks(_TENTHS, ["0", "20", "40", "60", "80", "100"])
        counts.set_xlabel("confidence (%)")
        svg = to_svg(figure, "reliability", "Accuracy against confidence", [(axes, [_bin_mark(one) for one in full])])
    sure = sum(one[2] * (one[3] - one[4]) for one in full)
    side = "too sure" if sure > 0 else "not sure enough"
    title = f"Confidence and accuracy differ by {_points(error)} in the mean; on the whole it is {side}"
    caption = "Bars: right answers in each tenth of confidence; dots: at mean confidence; dashed: as sure as right. Below: samples."
    return Chart("reliability", title, svg, caption)


def _bin_mark(one: tuple[float, float, int, float, float]) -> Mark:
    low, high, size, confidence, accuracy = one
    told = f"{percent(low)} to {percent(high)}: {size:,} samples, confidence {percent(confidence)}, {percent(accuracy)} right"
    return Mark((low, 0.0, high, max(accuracy, 0.02)), told, "bin_accuracy", f"{low:.3g}", accuracy)


def _unit_axes(axes: Axes, label: str) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.0)
    axes.set_yticks(_TENTHS, ["0", "20", "40", "60", "80", "100"])
    axes.set_ylabel(label)
    axes.grid(visible=True, axis="y")


def fallback_chart(
    threshold: ArrayLike,
    share_sent: ArrayLike,
    accuracy: ArrayLike,
    energy_per_sample_j: ArrayLike,
    chosen: float | None = None,
    width_px: float = 720,
) -> Chart:
    """Draw accuracy, share sent to the digital device and joules of a sample against the threshold of confidence, 0 to 1."""
    t, sent, right, energy_j = (np.asarray(values, dtype=np.float64) for values in (threshold, share_sent, accuracy, energy_per_sample_j))
    order = np.argsort(t, kind="stable")
    t, sent, right, energy_j = (values[order] for values in (np.minimum(t, 1.02), sent, right, energy_j))
    factor, unit = scale(float(energy_j.max()), "J")
    panels = (
        (100 * right, "accuracy (%)", VERMILLION, None),
        (100 * sent, "sent (%)", BLUE, 0.0),
        (factor * energy_j, f"energy ({unit})", INK, 0.0),
    )
    marks = []
    with sheet(width_px, 470) as figure:
        for place, (values, label, color, floor) in enumerate(panels):
            axes = frame(figure, 64, 44 + 142 * (2 - place), 16, 12 + 142 * place)
            _fallback_panel(axes, t, values, color, floor, chosen)
            axes.set_ylabel(label)
            axes.set_xticks(_TENTHS, [f"{tick:g}" if place == 2 else "" for tick in _TENTHS])
            told = [f"threshold {x:.3g}: {y:.4g} {label}" for x, y in zip(t, values, strict=True)]
            marks.append((axes, _thin([Mark((x, y, x, y), text, pad_px=4) for x, y, text in zip(t, values, told, strict=True)])))
        figure.axes[-1].set_xlabel("confidence below which a sample is sent to the digital device")
        svg = to_svg(figure, "fallback", "Accuracy, share sent and energy against the threshold", marks)
    used = int(np.searchsorted(t, chosen)) if chosen is not None else int(right.argmax())
    used = min(used, t.size - 1)
    title = f"{percent(right[used])} right with {percent(sent[used])} sent, at {quantity(float(energy_j[used]), 'J')} a sample"
    caption = f"Analog alone: {percent(right[0])} at {quantity(float(energy_j[0]), 'J')}. Both devices are charged."
    if chosen is not None:
        caption += f" Dashed: the threshold {chosen:.3g} that was chosen."
    return Chart("fallback", title, svg, caption, (("accuracy", VERMILLION), ("share sent", BLUE), ("energy of a sample", INK)))


def _fallback_panel(axes: Axes, t: Floats, values: Floats, color: str, floor: float | None, chosen: float | None) -> None:
    """Draw one panel; a sample is sent below its threshold, so values hold until the next confidence is passed."""
    axes.plot(t, values, color=color, linewidth=1.8, drawstyle="steps-pre")
    axes.set_xlim(0, 1.02)
    low, high = (float(values.min()) if floor is None else floor), float(values.max())
    room = 0.08 * (high - low) or 0.5
    axes.set_ylim(low - (room if floor is None else 0.0), high + room)
    axes.grid(visible=True)
    axes.spines["left"].set_visible(True)
    if chosen is not None:
        axes.axvline(chosen, color=MUTED, linewidth=1.0, linestyle=DASHED)


# --- what costs accuracy, and what accuracy costs -----------------------------------------------------------------------


def loss_chart(before: float, losses: Mapping[str, float], after: float, width_px: float = 900) -> Chart:
    """Draw the way from the accuracy of the digital network down to that on the chip, one step a cause; what is left over is named so."""
    steps = sorted(losses.items(), key=lambda step: -abs(step[1]))
    rest = before - after - sum(losses.values())
    if abs(rest) > 5e-6:
        steps.append(("not attributed", rest))
    levels = 100 * (before - np.concatenate([[0.0], np.cumsum([loss for _, loss in steps])]))
    floor = _floor(min(levels.min(), 100 * after), levels.max())
    boxes: dict[str, list[tuple[float, float, float, float]]] = {MUTED: [(-0.36, floor, 0.36, levels[0])], UP: [], DOWN: []}
    marks = [Mark(boxes[MUTED][0], f"digital: {100 * before:.2f} %", "accuracy", "digital", before)]
    for x, (name, loss) in enumerate(steps, start=1):
        box = (x - 0.36, min(levels[x - 1], levels[x]), x + 0.36, max(levels[x - 1], levels[x]))
        boxes[UP if loss > 0 else DOWN].append(box)
        marks.append(Mark(box, f"{name}: {100 * abs(loss):.2f} points {'lost' if loss > 0 else 'gained'}", "loss", name, loss, pad_px=2))
    end = len(steps) + 1
    boxes[MUTED].append((end - 0.36, floor, end + 0.36, 100 * after))
    marks.append(Mark(boxes[MUTED][-1], f"on the chip: {100 * after:.2f} %", "accuracy", "chip", after))
    with sheet(width_px, 340) as figure:
        axes = frame(figure, 56, 52, 8, 26)
        _loss_axes(axes, ["digital", *(name for name, _ in steps), "on the chip"], (floor, float(levels.max())))
        for color, drawn in boxes.items():
            blocks(axes, drawn, color)
        for x, height in enumerate(levels):
            axes.hlines(height, x + 0.36, x + 1 - 0.36, color=MUTED, linewidth=0.8)
        texts = [
            f"{100 * before:.1f} %",
            *(f"{'−' if loss >= 0 else '+'}{100 * abs(loss):.2f}" for _, loss in steps),
            f"{100 * after:.1f} %",
        ]
        tops = [levels[0], *np.maximum(levels[:-1], levels[1:]), 100 * after]
        for x, (top, text) in enumerate(zip(tops, texts, strict=True)):
            weight = "bold" if x in {0, end} else "normal"
            axes.annotate(text, (x, top), (0, 5), textcoords="offset points", ha="center", fontsize=10.5, color=INK, fontweight=weight)
        svg = to_svg(figure, "loss", "Accuracy lost by cause", [(axes, marks)])
    caption = "Largest first; the steps add up to the drop. The axis does not start at 0."
    return Chart("loss", _loss_title(steps, before - after), svg, caption, (("accuracy", MUTED), ("lost", UP), ("gained", DOWN)))


def _floor(low: float, high: float) -> float:
    """Return where the axis of percent starts: a round value that leaves room below the lowest."""
    step = 5.0 if high - low < 15 else 10.0
    return max(0.0, step * math.floor((low - 0.15 * (high - low) - 0.5) / step))


def _loss_axes(axes: Axes, names: Sequence[str], limits: tuple[float, float]) -> None:
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(limits[0], max(limits[1], limits[0] + 1.0))
    axes.set_xticks(range(len(names)), [_wrapped(name, max(8, 110 // len(names))) for name in names])
    axes.set_ylabel("accuracy (%)")
    axes.grid(visible=True, axis="y")


def _wrapped(name: str, width: int) -> str:
    """Break a name at its spaces into lines of about a width."""
    lines: list[str] = []
    for word in name.replace("_", " ").split(" "):
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(shorten(word, width + 4))
    return "\n".join(lines)


def _loss_title(steps: Sequence[tuple[str, float]], drop: float) -> str:
    if abs(drop) < 5e-6 or not steps:
        return "The chip is as accurate as the digital network"
    name, loss = max(steps, key=lambda step: step[1] * drop)
    return (
        f"The chip {'loses' if drop > 0 else 'gains'} {_points(abs(drop))}; {name} {'takes' if loss > 0 else 'gives'} {_points(abs(loss))}"
    )


def front_of_energy_chart(
    ours: Sequence[tuple[float, float]],
    baseline: Sequence[tuple[float, float]],
    names: tuple[str, str] = ("ours", "uniform bits x magnitude pruning"),
    bound: float | None = None,
    width_px: float = 720,
) -> Chart:
    """Draw points (joules, accuracy) of two methods, with the steps that none of the same method beats; `bound` is the least accuracy."""
    marks: list[Mark] = []
    groups = ((list(ours), names[0], BLUE, "o"), (list(baseline), names[1], VERMILLION, "X"))
    everything = [*ours, *baseline]
    factor, unit = scale(max(energy_j for energy_j, _ in everything), "J")
    with sheet(width_px, 400) as figure:
        axes = frame(figure, 56, 46, 16, 12)
        _front_axes(axes, [(factor * energy_j, 100 * accuracy) for energy_j, accuracy in everything], bound)
        axes.set_xlabel(f"energy of an inference ({unit})")
        for points, name, color, shape in groups:
            if not points:
                continue
            best = undominated(points)
            axes.plot([factor * e for e, _ in points], [100 * a for _, a in points], shape, color=color, markersize=5, alpha=0.35)
            xs, ys = [factor * e for e, _ in best], [100 * a for _, a in best]
            axes.step([*xs, axes.get_xlim()[1]], [*ys, ys[-1]], where="post", color=color, linewidth=1.4)
            axes.plot(xs, ys, shape, color=color, markersize=7)
            marks += [
                Mark((factor * e, 100 * a) * 2, f"{name}: {quantity(e, 'J')}, {100 * a:.2f} %", "front_energy_j", name, e, pad_px=6)
                for e, a in points
            ]
        svg = to_svg(figure, "energy-accuracy", "Energy and accuracy", [(axes, marks)])
    caption = "Below or right of a line is beaten by a point on it; pale points are beaten by their own method."
    return Chart("energy-accuracy", _front_title(ours, baseline, names, bound), svg, caption, ((names[0], BLUE), (names[1], VERMILLION)))


def undominated(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points (joules, accuracy), cheapest first, for which none costs at most as much and is at least as accurate."""
    kept: list[tuple[float, float]] = []
    for energy_j, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or accuracy > kept[-1][1]:
            kept.append((energy_j, accuracy))
    return kept


def _front_axes(axes: Axes, points: Sequence[tuple[float, float]], bound: float | None) -> None:
    xs, ys = zip(*points, strict=True)
    if min(xs) > 0 and max(xs) > 30 * min(xs):
        axes.set_xscale("log")
        axes.set_xlim(min(xs) / 1.2, max(xs) * 1.2)
        axes.xaxis.set_major_formatter(_plain)
        axes.set_xticks([], minor=True)
    else:
        room = 0.06 * (max(xs) - min(xs)) or 0.06 * max(xs) or 1.0
        axes.set_xlim(max(0.0, min(xs) - room), max(xs) + room)
    room = 0.08 * (max(ys) - min(ys)) or 1.0
    axes.set_ylim(min(ys) - room, max(ys) + room)
    axes.set_ylabel("accuracy (%)")
    axes.grid(visible=True)
    axes.spines["left"].set_visible(True)
    if bound is not None:
        axes.axhline(100 * bound, color=MUTED, linewidth=1.0, linestyle=DASHED)
        axes.annotate("bound", (0, 100 * bound), (4, 4), ("axes fraction", "data"), "offset points", fontsize=10.5, color=MUTED)


def _plain(value: float, _position: float) -> str:
    return f"{value:g}"


def _front_title(
    ours: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]], names: tuple[str, str], bound: float | None
) -> str:
    """Compare the cheapest points of both methods that reach the bound."""
    cheapest = [min((e for e, a in points if bound is None or a >= bound), default=math.nan) for points in (ours, other)]
    if bound is None or not all(map(math.isfinite, cheapest)) or not all(cheapest):
        return f"Energy and accuracy of {names[0]} and {names[1]}"
    ratio = cheapest[1] / cheapest[0]
    return f"At {100 * bound:.1f} % or more, {names[0]} takes {quantity(cheapest[0], 'J')}, {names[1]} {ratio:.2g} times that"


# --- what lines share ------------------------------------------------------------------------------------------------


def _drawn(lines: Sequence[Line]) -> list[Drawn]:
    """Return lines in percent, each with its color; controls are gray."""
    colors = iter(COLORS * (1 + len(lines) // len(COLORS)))
    found = []
    for line in lines:
        x, y = np.atleast_1d(np.asarray(line.x, dtype=np.float64)), 100 * np.atleast_1d(np.asarray(line.y, dtype=np.float64))
        std = np.zeros_like(y) if line.std is None else 100 * np.atleast_1d(np.asarray(line.std, dtype=np.float64))
        found.append(Drawn(line.name, MUTED if line.control else next(colors), x, y, std, line.control))
    return found


@contextmanager
def _line_sheet(width_px: float, drawn: Sequence[Drawn], *, logarithmic: bool = False) -> Iterator[Axes]:
    """Yield axes of percent that hold all lines and their bands."""
    low, high = min(float((one.y - one.std).min()) for one in drawn), max(float((one.y + one.std).max()) for one in drawn)
    left, right = min(float(one.x.min()) for one in drawn), max(float(one.x.max()) for one in drawn)
    with sheet(width_px, 360) as figure:
        axes = frame(figure, 56, 46, 16, 12)
        if logarithmic:
            axes.set_xscale("log")
            axes.set_xlim(left / 1.3, right * 1.3)
        else:
            room = 0.03 * (right - left) or 0.5
            axes.set_xlim(left - room, right + room)
        room = 0.06 * (high - low) or 1.0
        axes.set_ylim(max(low - room, 0.0 if low >= 0 else low), high + room)
        axes.set_ylabel("accuracy (%)")
        axes.grid(visible=True, axis="y")
        axes.spines["left"].set_visible(True)
        yield axes


def _draw(axes: Axes, drawn: Sequence[Drawn], name: str, label: str, told: str, *, dots: bool = True) -> str:
    """Draw lines over their bands, controls dashed; return the SVG."""
    marks = []
    for one in drawn:
        if one.std.any():
            axes.fill_between(one.x, one.y - one.std, one.y + one.std, color=one.color, alpha=0.15, linewidth=0)
        style, shape = (DASHED if one.control else "-"), ("o" if dots else "")
        axes.plot(one.x, one.y, color=one.color, linewidth=1.8, linestyle=style, marker=shape, markersize=4)
        marks += _thin([_line_mark(one, i, told) for i in range(one.x.size)])
    figure = cast("Figure", axes.figure)
    return to_svg(figure, name, label, [(axes, marks)])


def _line_mark(one: Drawn, i: int, told: str) -> Mark:
    x, y = float(one.x[i]), float(one.y[i])
    spread = f" ± {one.std[i]:.2f}" if one.std.any() else ""
    return Mark((x, y, x, y), f"{one.name}, {told.format(x=x)}: {y:.2f}{spread} %", "accuracy", f"{one.name}|{x:g}", y / 100, pad_px=5)


def _thin(marks: list[Mark]) -> list[Mark]:
    """Return at most MAX_MARKS of the marks, the ends among them."""
    if len(marks) <= MAX_MARKS:
        return marks
    return [marks[round(place)] for place in np.linspace(0, len(marks) - 1, MAX_MARKS)]


def _band(drawn: Sequence[Drawn]) -> str:
    told = "Bands: one standard deviation." if any(one.std.any() for one in drawn) else ""
    return f"{told} Dashed: the control, the same training without what is tested.".strip() if any(one.control for one in drawn) else told


def _legend(drawn: Sequence[Drawn]) -> tuple[tuple[str, str], ...]:
    return tuple((one.name, one.color) for one in drawn)


def _points(share: float) -> str:
    """Format a difference of accuracies: 1.23 points."""
    return f"{100 * share:.2f} points"


def _time(time_s: float) -> str:
    """Word a time in the largest unit that it fills."""
    length, name = max((entry for entry in _UNITS if entry[0] <= time_s), default=(1.0, "s"))
    number = f"{time_s / length:.3g}"
    return f"{number} {name}" if number == "1" or length < 86400.0 else f"{number} {name}s"

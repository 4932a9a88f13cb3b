"""Chips side by side: what may be concluded, bars with their intervals, and where the difference comes from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from cosim.ledger import GROUPS
from cosim.simulation.compare import METRICS, Comparison, Ratio, energy_by_group
from cosim.simulation.result import Result
from reports.energy import legend
from reports.figures import (
    DOWN,
    GROUP_COLORS,
    INK,
    MUTED,
    SERIES_COLORS,
    UP,
    Chart,
    Mark,
    blocks,
    frame,
    sheet,
    to_svg,
    value_axis,
)
from reports.wording import INTERVAL, area, percent, quantity, shorten, span, times

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRIC_NAMES = {"latency_s": "latency", "energy_j": "energy", "edp": "energy-delay product", "area_mm2": "area"}
_LESS = {"energy_j": "uses {}× less energy than", "latency_s": "is {}× faster than", "edp": "has a {}× lower energy-delay product than"}
# Tol's light palette (SRON technical note SRON/EPS/TN/09-002), so that no block of area looks like a group of energy.
AREA_COLORS = ("#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00", "#DDDDDD")


def headline_of(comparison: Comparison) -> str:
    """Return who uses less energy, or that it is undecided; for several chips, the ratios to the first."""
    first, net = comparison.results[0].chip.name, comparison.results[0].workload.name
    energy = {chip: ratio for chip, ratio in comparison.ratios()["energy_j"].items() if chip != first}
    if len(energy) > 1:
        told = [f"{chip} {times(ratio.value)}×{'' if ratio.excludes_one else ' (undecided)'}" for chip, ratio in energy.items()]
        return f"Energy on {net} relative to {first}: {', '.join(told)}"
    chip, ratio = next(iter(energy.items()))
    if not ratio.excludes_one:
        return f"{first} or {chip}: which uses less energy on {net} is undecided"
    winner, loser = (chip, first) if ratio.value < 1 else (first, chip)
    return f"{winner} {_LESS['energy_j'].format(times(max(ratio.value, 1 / ratio.value)))} {loser} on {net}"


def conclusions(comparison: Comparison) -> list[str]:
    """Return what may be said of each further chip and the first, one sentence a metric."""
    first, ratios = comparison.results[0].chip.name, comparison.ratios()
    return [
        sentence(metric, result.chip.name, first, ratios[metric][result.chip.name]) for result in comparison.results[1:] for metric in _LESS
    ]


def sentence(metric: str, chip: str, first: str, ratio: Ratio) -> str:
    """State a ratio as it may be stated: who is better and by how much, or that it is undecided."""
    name = METRIC_NAMES[metric]
    if not 0 < ratio.value < float("inf"):
        return f"The {name} of {chip} and {first} cannot be compared: one of them is zero."
    if not ratio.excludes_one:
        return (
            f"Undecided in {name}: that of {chip} is {times(ratio.value)}× that of {first}, but the {INTERVAL} "
            f"{times(ratio.low)} – {times(ratio.high)} does not exclude 1."
        )
    if ratio.value < 1:
        winner, loser, factor, low, high = chip, first, 1 / ratio.value, 1 / ratio.high, 1 / ratio.low if ratio.low else float("inf")
    else:
        winner, loser, factor, low, high = first, chip, ratio.value, ratio.low, ratio.high
    return f"{winner} {_LESS[metric].format(times(factor))} {loser} ({INTERVAL} {times(low)} – {times(high)}); the interval excludes 1."


def by_importance(comparison: Comparison, result: Result) -> list[tuple[str, float]]:
    """Return (group, joules more than the first chip), the largest change first; groups without change left out."""
    steps = [(step["component"], step["delta_j"]) for step in comparison.waterfall() if step["chip"] == result.chip.name]
    return sorted(((name, delta_j) for name, delta_j in steps if delta_j), key=lambda step: -abs(step[1]))


def chip_colors(comparison: Comparison) -> dict[str, str]:
    """Chip → color; the first, the baseline, is gray."""
    return dict(zip((result.chip.name for result in comparison.results), SERIES_COLORS * 4, strict=False))


def metric_chart(comparison: Comparison, width_px: float = 1100) -> Chart:
    """Draw latency, energy, energy-delay product and area as bars with 90 % whiskers, one panel each."""
    colors, ratios = chip_colors(comparison), comparison.ratios()
    names = list(colors)
    panels = (
        ("latency_s", "s", [(r.latency_s, *r.latency.interval()) for r in comparison.results]),
        ("energy_j", "J", [(r.energy_j, *r.energy.interval()) for r in comparison.results]),
        ("edp", "J·s", [(r.edp.total, *r.edp.interval()) for r in comparison.results]),
        ("area_mm2", "mm²", [(r.chip.area_m2 * 1e6,) * 3 for r in comparison.results]),
    )
    marks = []
    with sheet(width_px, 290) as figure:
        room = width_px / len(panels)
        for i, (metric, unit, values) in enumerate(panels):
            axes = frame(figure, i * room + 56, 24, width_px - (i + 1) * room + 6, 20)
            marks.append((axes, _metric_panel(axes, metric, unit, dict(zip(names, values, strict=True)), colors)))
            for x, (name, (value, _, high)) in enumerate(zip(names, values, strict=True)):
                text = f"{times(ratios[metric][name].value)}×" if x else ("1" if value else "")
                axes.annotate(text, (x, high), (0, 4), textcoords="offset points", ha="center", fontsize=11, color=INK, fontweight="bold")
        svg = to_svg(figure, "metrics", "Latency, energy, energy-delay product and area of each chip", marks)
    told = [
        f"{name} takes "
        + ", ".join(f"{times(ratios[metric][name].value)}× the {METRIC_NAMES[metric]}" for metric in METRICS if metric != "edp")
        for name in names[1:]
    ]
    title = f"{'; '.join(told)} of {names[0]}"
    caption = f"Lines: {INTERVAL}. Numbers: ratio to {names[0]}. Areas carry no interval."
    return Chart("metrics", title, svg, caption, tuple(colors.items()))


def _metric_panel(axes: Axes, metric: str, unit: str, values: dict[str, tuple[float, float, float]], colors: dict[str, str]) -> list[Mark]:
    """Draw one panel; return a mark a bar."""
    largest = max(high for _, _, high in values.values()) or 1.0
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.set_ylim(0, largest * 1.02)
    axes.xaxis.set_ticks([])
    value_axis(axes, largest, unit, METRIC_NAMES[metric], along="y")
    marks = []
    for x, (name, (value, low, high)) in enumerate(values.items()):
        blocks(axes, [(x - 0.3, 0, x + 0.3, value)], colors[name])
        if high > low:
            axes.vlines(x, low, high, color=INK, linewidth=1.3)
            axes.hlines([low, high], x - 0.07, x + 0.07, color=INK, linewidth=1.3)
        told = _in_unit(value, unit) if unit == "mm²" else f"{quantity(value, unit)}; {INTERVAL} {span(low, high, unit)}"
        marks.append(Mark((x - 0.3, 0, x + 0.3, max(value, high)), f"{name}, {METRIC_NAMES[metric]}: {told}", metric, name, value))
    return marks


def stack_chart(comparison: Comparison, width_px: float = 540) -> Chart:
    """Draw the energy of each chip as one stacked column, groups in the same order and colors."""
    stacks = {result.chip.name: energy_by_group(result) for result in comparison.results}
    svg = _stacks(stacks, GROUPS, GROUP_COLORS, ("J", "energy", "group_energy_j"), "groups", width_px)
    used = [group for group in GROUPS if any(stack[group] for stack in stacks.values())]
    largest = {name: max(stack, key=lambda group: stack[group]) for name, stack in stacks.items()}
    shares = {name: stacks[name][group] / (sum(stacks[name].values()) or 1.0) for name, group in largest.items()}
    told = ", ".join(f"{group} on {name} ({percent(shares[name])})" for name, group in largest.items())
    return Chart("groups", f"Largest group: {told}", svg, "", legend(used))


def area_chart(comparison: Comparison, width_px: float = 540) -> Chart:
    """Draw the area of each chip as one stacked column of its blocks; equal names have equal colors."""
    parts = {result.chip.name: {k: v * 1e6 for k, v in result.chip.area_parts_m2.items() if v > 0} for result in comparison.results}
    blocks_ = sorted(
        {block for stack in parts.values() for block in stack}, key=lambda b: -max(stack.get(b, 0.0) for stack in parts.values())
    )
    colors = {block: AREA_COLORS[i % len(AREA_COLORS)] for i, block in enumerate(blocks_)}
    stacks = {name: {block: stack.get(block, 0.0) for block in blocks_} for name, stack in parts.items()}
    svg = _stacks(stacks, blocks_, colors, ("mm²", "area", "area_part_mm2"), "areas", width_px)
    told = ", ".join(f"{result.chip.name} {area(result.chip.area_m2)}" for result in comparison.results)
    return Chart("areas", f"Area: {told}", svg, "Dies of external memory are not part of the area.", tuple(colors.items()))


def _stacks(
    stacks: dict[str, dict[str, float]],
    order: Sequence[str],
    colors: dict[str, str],
    what: tuple[str, str, str],
    name: str,
    width_px: float,
) -> str:
    """Draw stacked columns, the first part at the bottom, with the total above and the large parts written in."""
    unit, label, metric = what
    totals = {chip: sum(stack.values()) for chip, stack in stacks.items()}
    largest = max(totals.values()) or 1.0
    boxes: dict[str, list[tuple[float, float, float, float]]] = {}
    marks = []
    with sheet(width_px, 340) as figure:
        axes = frame(figure, 62, 28, 8, 22)
        axes.set_xlim(-0.6, len(stacks) - 0.4)
        axes.set_ylim(0, largest)
        axes.xaxis.set_ticks(range(len(stacks)), [shorten(chip, 66 // len(stacks)) for chip in stacks])
        value_axis(axes, largest, unit, label, along="y")
        for x, (chip, stack) in enumerate(stacks.items()):
            bottom = 0.0
            for part in order:
                if (value := stack[part]) > 0:
                    box = (x - 0.3, bottom, x + 0.3, bottom + value)
                    boxes.setdefault(part, []).append(box)
                    told = _in_unit(value, unit)
                    marks.append(Mark(box, f"{chip}, {part}: {told}, {percent(value / totals[chip])}", metric, f"{chip}|{part}", value))
                    if value > 0.055 * largest:
                        axes.annotate(told, (x, bottom + value / 2), ha="center", va="center", fontsize=10, color=_text_on(colors[part]))
                    bottom += value
            text = _in_unit(totals[chip], unit)
            axes.annotate(text, (x, bottom), (0, 5), textcoords="offset points", ha="center", fontweight="bold", color=INK)
        for part, drawn in boxes.items():
            blocks(axes, drawn, colors[part], "white")
        return to_svg(figure, name, f"{label} of each chip by part", [(axes, marks)])


def _in_unit(value: float, unit: str) -> str:
    return area(value * 1e-6) if unit == "mm²" else quantity(value, unit)


def _text_on(color: str) -> str:
    """Black or white, whichever is easier to read on a color (relative luminance of sRGB, WCAG 2 threshold)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.179 else INK


def waterfall_chart(comparison: Comparison, result: Result, width_px: float = 1100) -> Chart:
    """Draw the way from the first chip's energy to another's: totals at both ends, one step a group."""
    first, chip = comparison.results[0], result.chip.name
    steps = by_importance(comparison, result)
    labels = [first.chip.name, *(name for name, _ in steps), chip]
    marks, x, level = [], 0, first.energy_j
    levels, boxes = [level], {MUTED: [(-0.36, 0.0, 0.36, first.energy_j)], UP: [], DOWN: []}
    marks.append(Mark(boxes[MUTED][0], f"{first.chip.name}: {quantity(level, 'J')}", "energy_j", first.chip.name, level))
    for x, (name, delta_j) in enumerate(steps, start=1):
        box = (x - 0.36, min(level, level + delta_j), x + 0.36, max(level, level + delta_j))
        boxes[UP if delta_j > 0 else DOWN].append(box)
        told = f"{name}: {quantity(abs(delta_j), 'J')} {'more' if delta_j > 0 else 'less'} on {chip}"
        marks.append(Mark(box, told, "delta_j", f"{chip}|{name}", delta_j))
        level += delta_j
        levels.append(level)
    boxes[MUTED].append((x + 1 - 0.36, 0.0, x + 1 + 0.36, result.energy_j))
    marks.append(Mark(boxes[MUTED][-1], f"{chip}: {quantity(result.energy_j, 'J')}", "energy_j", chip, result.energy_j))
    with sheet(width_px, 330) as figure:
        axes = frame(figure, 62, 46, 8, 26)
        _waterfall_axes(axes, labels, max(first.energy_j, result.energy_j, *levels) or 1.0)
        for color, drawn in boxes.items():
            blocks(axes, drawn, color)
        for i, height in enumerate(levels):
            axes.hlines(height, i + 0.36, i + 1 - 0.36, color=MUTED, linewidth=0.8)
        tops = [first.energy_j, *(max(pair) for pair in pairwise(levels)), result.energy_j]
        values = [quantity(first.energy_j, "J"), *(_signed(delta_j) for _, delta_j in steps), quantity(result.energy_j, "J")]
        for i, (top, text) in enumerate(zip(tops, values, strict=True)):
            weight = "bold" if i in {0, len(tops) - 1} else "normal"
            axes.annotate(text, (i, top), (0, 5), textcoords="offset points", ha="center", fontsize=10.5, color=INK, fontweight=weight)
        name = f"waterfall-{[r.chip.name for r in comparison.results].index(chip)}"
        svg = to_svg(figure, name, f"Energy difference between {first.chip.name} and {chip}", [(axes, marks)])
    legend_ = (("total", MUTED), (f"{chip} spends more", UP), (f"{chip} spends less", DOWN))
    return Chart(name, _waterfall_title(steps, first, result), svg, "Largest change first; the steps add up to the difference.", legend_)


def _waterfall_axes(axes: Axes, labels: Sequence[str], largest: float) -> None:
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.set_ylim(0, largest)
    width = max(10, 130 // len(labels))
    axes.xaxis.set_ticks(range(len(labels)), [_two_lines(label, width) for label in labels])
    value_axis(axes, largest, "J", "energy", along="y")


def _two_lines(label: str, width: int) -> str:
    """Break a label at the space or underscore nearest its middle when it is longer than a width."""
    if len(label) <= width:
        return label
    breaks = [i + 1 for i, letter in enumerate(label) if letter in " _-"]
    place = min(breaks, key=lambda i: abs(i - len(label) / 2), default=0)
    lines = (label[:place].rstrip(), label[place:]) if place else (label,)
    return "\n".join(shorten(line, width + 4) for line in lines)


def _signed(delta_j: float) -> str:
    return f"{'+' if delta_j > 0 else '−'}{quantity(abs(delta_j), 'J')}"


def _waterfall_title(steps: Sequence[tuple[str, float]], first: Result, result: Result) -> str:
    """Name the largest cause of the difference."""
    difference = result.energy_j - first.energy_j
    if not steps or not difference:
        return f"{result.chip.name} uses as much energy as {first.chip.name}"
    name, delta_j = max(steps, key=lambda step: step[1] * difference)
    verb = "adds" if delta_j > 0 else "saves"
    more = "more" if difference > 0 else "less"
    return f"{result.chip.name} uses {quantity(abs(difference), 'J')} {more}: {name} {verb} {quantity(abs(delta_j), 'J')}"

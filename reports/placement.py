"""What runs where: the Gantt chart of a placement, and that of the policy that it is measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosim.simulation.placement import Load, Placement, loads
from cosim.simulation.result import OpRun, Result
from reports.figures import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, VERMILLION, Chart, Mark, blocks, frame, sheet, to_svg, value_axis
from reports.latency import MAX_MARKS, TRAFFIC, draw_traffic
from reports.wording import percent, plural, quantity, shorten, times
from workloads.graph import OpKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_ARROWS = 300  # lines between lanes in one figure; beyond, the largest transfers keep theirs
LANE_PX, TOP_PX, BOTTOM_PX = 44, 20, 40
HALF = 0.34  # of a lane, above and below its middle
LETTER_PX = 6.3  # of a name within a box, 10 px high

# What devices differ in most is matrix products; the colors of all else are quieter.
KIND_COLORS = {
    OpKind.MATMUL: ("matrix product or convolution", BLUE),
    OpKind.ELEMENTWISE: ("element-wise", ORANGE),
    OpKind.SOFTMAX: ("softmax", PURPLE),
    OpKind.NORM: ("normalization", VERMILLION),
    OpKind.POOL: ("pooling", GREEN),
    OpKind.REDUCE: ("reduction", "#56B4E9"),
    OpKind.MOVE: ("data movement", "#b4bcc6"),
}
_DARK = {BLUE, VERMILLION, GREEN}  # a white name can be read on these


def gantt_chart(result: Result, name: str, length_s: float, moved: frozenset[str] = frozenset(), width_px: float = 1100) -> Chart:
    """Draw one lane a device, colored by what kind of op runs, transfers as lines between lanes, and traffic of memories below.

    `length_s` is the end of the time axis, so that two charts can be compared; ops in `moved` get a dark foot.
    """
    rows = loads(result)
    memories = [m for m in result.chip.memories.values() if result.memory_bytes.get(m.name)]
    lanes = {row.device: y for y, row in enumerate(rows)}
    n_lanes = len(rows) + len(memories)
    length = max(length_s, result.latency_s) or 1.0
    with sheet(width_px, LANE_PX * n_lanes + TOP_PX + BOTTOM_PX) as figure:
        labels = [f"{row.device} · {percent(row.share)}" for row in rows]
        axes = frame(
            figure, 16 + 6.8 * max(len(text) for text in [*labels, *(f"{m.name} · 00.0 %" for m in memories)]), BOTTOM_PX, 16, TOP_PX
        )
        axes.set_xlim(0, length)
        axes.set_ylim(n_lanes - 0.4, -0.5)
        blocks(axes, [(0, y - 0.44, length, y + 0.44) for y in range(len(rows))], "#f5f7fa")
        _draw_boxes(axes, result, lanes, moved)
        _draw_arrows(axes, result, lanes)
        _draw_names(axes, result, lanes)
        labels += [draw_traffic(axes, result, memory, len(rows) + i) for i, memory in enumerate(memories)]
        _draw_limits(axes, result, len(rows))
        axes.yaxis.set_ticks(range(n_lanes), labels)
        value_axis(axes, length, "s", "time", n=10)
        svg = to_svg(figure, name, f"Gantt chart of {result.policy}", [(axes, _marks(result, lanes))])
    return Chart(name, _title(result), svg, _caption(result, moved), _legend(result))


def compared_charts(placement: Placement) -> tuple[Chart, ...]:
    """Draw the placement, and below it, on the same time axis, the one it is measured against."""
    runs = [placement.result, *([placement.baseline] if placement.baseline else [])]
    length_s = max(run.latency_s for run in runs)
    charts = [gantt_chart(placement.result, "gantt", length_s, placement.moved)]
    if placement.baseline and (placement.moved or placement.ratio != 1):
        charts.append(gantt_chart(placement.baseline, "gantt-baseline", length_s))
    return tuple(charts)


def conclusions(placement: Placement) -> list[str]:
    """Return what to know first, one sentence each: against the bound, against the other policy, the load, what crosses."""
    result, told = placement.result, []
    if result.gap is not None:
        told.append(f"{sentence(bound_line(result))}.")
    if placement.goal.energy_weight > 0 and placement.gap is not None:
        told.append(f"For the {objective_of(placement)} there is a lower bound too: this one is {_above(placement.gap)}.")
    if other := placement.baseline:
        n_moved = f"{other.policy} runs {plural(len(placement.moved), 'op')} of {len(result.ops)} elsewhere"
        told.append(f"{improvement_line(placement)}; {n_moved if placement.moved else 'both run every op on the same device'}.")
    busiest = max(loads(result), key=lambda row: row.busy_s)
    told.append(f"{busiest.device} carries most: {plural(busiest.n_ops, 'op')}, busy {percent(busiest.share)} of the time.")
    if crossing := result.transfers:
        n_bytes = sum(one.n_bytes for one in crossing)
        told.append(f"{plural(len(crossing), 'transfer')} between devices: {quantity(n_bytes, 'B')}.")
    if result.accuracy_loss is not None:
        told.append(f"Analog ops lose {percent(result.accuracy_loss)} of accuracy, by an estimate from their error, not by a measurement.")
    return told


def bound_line(result: Result) -> str:
    """Say how far the makespan is from what no placement can beat, and why it cannot."""
    floor = result.floor
    return f"no placement takes less than {quantity(floor.makespan_s, 's')} ({floor.argument}): this one is {_above(result.gap)}"


def objective_of(placement: Placement) -> str:
    """Say in words what was minimized."""
    return "energy-delay product" if placement.objective == "edp" else placement.objective


def sentence(text: str) -> str:
    """Return a text with its first letter raised, and all others as they are."""
    return text[:1].upper() + text[1:]


def improvement_line(placement: Placement) -> str:
    """Say how the objective compares with that of the baseline."""
    other, ratio = placement.baseline, placement.ratio
    if other is None or ratio is None:
        return "There is no other policy to compare with"
    if abs(ratio - 1) < 5e-4:
        return f"The {objective_of(placement)} is that of {other.policy}"
    word = "less" if ratio < 1 else "more"
    return f"The {objective_of(placement)} is {percent(abs(1 - ratio))} {word} than with {other.policy} (ratio {times(ratio)})"


def _above(gap: float | None) -> str:
    if gap is None or gap < 5e-4:
        return "there"
    return f"{percent(gap)} above"


def device_rows(placement: Placement) -> list[tuple[Load, Load | None]]:
    """Return what every device does, beside what it does in the baseline."""
    other = loads(placement.baseline) if placement.baseline else [None] * len(placement.result.chip.devices)
    return list(zip(loads(placement.result), other, strict=True))


def _kinds(result: Result) -> dict[str, OpKind]:
    return {op.name: op.kind for op in result.workload.ops}


def _draw_boxes(axes: Axes, result: Result, lanes: dict[str, int], moved: frozenset[str]) -> None:
    """Draw all ops of one kind at once; those wide enough get a white edge, which would hide the others."""
    kinds, second_per_px = _kinds(result), (axes.get_xlim()[1] or 1.0) / (axes.bbox.width or 1.0)
    boxes: dict[tuple[str, str], list[tuple[float, float, float, float]]] = {}
    for op in result.ops:
        wide = op.end_s - op.start_s > 4 * second_per_px
        edge = "white" if wide else "none"
        y = lanes[op.device]
        seen_s = max(op.end_s, op.start_s + second_per_px)  # at least a pixel wide
        boxes.setdefault((KIND_COLORS[kinds[op.name]][1], edge), []).append((op.start_s, y - HALF, seen_s, y + HALF))
    for (color, edge), group in sorted(boxes.items()):
        blocks(axes, group, color, edge)
    feet = [(op.start_s, lanes[op.device] + HALF - 0.1, op.end_s, lanes[op.device] + HALF) for op in result.ops if op.name in moved]
    blocks(axes, feet, INK)


def _draw_arrows(axes: Axes, result: Result, lanes: dict[str, int]) -> None:
    """Draw a line from the end of the op that makes a tensor, down or up to the op that waits for it."""
    from matplotlib.collections import LineCollection  # noqa: PLC0415

    crossing = sorted(result.transfers, key=lambda one: -one.n_bytes)[:MAX_ARROWS]
    lines = []
    for one in crossing:
        src, dst = lanes[result.ops[one.src].device], lanes[result.ops[one.dst].device]
        side = HALF if dst > src else -HALF
        lines.append([(one.start_s, src + side), (one.end_s, dst - side)])
    if lines:
        axes.add_collection(LineCollection(lines, colors=INK, linewidths=0.8, alpha=0.5, zorder=3))


def _draw_names(axes: Axes, result: Result, lanes: dict[str, int]) -> None:
    """Write names into boxes that have room for six letters or more."""
    kinds = _kinds(result)
    px_per_second = axes.bbox.width / (axes.get_xlim()[1] or 1.0)
    for op in result.ops:
        room = int(((op.end_s - op.start_s) * px_per_second - 8) / LETTER_PX)
        if room >= 6 or room >= len(op.name):
            color = "white" if KIND_COLORS[kinds[op.name]][1] in _DARK else INK
            place = ((op.start_s + op.end_s) / 2, lanes[op.device])
            axes.text(*place, shorten(op.name, room), color=color, fontsize=10, ha="center", va="center", clip_on=True, zorder=4)


def _draw_limits(axes: Axes, result: Result, n_devices: int) -> None:
    """Mark the end of the run and the lower bound; where there is no room for two texts, one says both."""
    px_per_second = axes.bbox.width / axes.get_xlim()[1]
    bound_s, end_s = result.floor.makespan_s, result.latency_s
    texts = [(end_s, f"end {quantity(end_s, 's')}", INK)]
    axes.plot([end_s, end_s], [-0.5, n_devices - 0.5], color=INK, linewidth=1.1, zorder=5)
    if 0 < bound_s < end_s * (1 - 5e-4):
        axes.plot([bound_s, bound_s], [-0.5, n_devices - 0.5], color=INK, linewidth=1.1, linestyle=(0, (4, 3)), zorder=5)
        bound = f"no placement beats {quantity(bound_s, 's')}"
        if (end_s - bound_s) * px_per_second < LETTER_PX * len(texts[0][1]) + 8:
            texts = [(end_s, f"{bound} · {texts[0][1]}", INK)]
        else:
            texts.append((bound_s, bound, MUTED))
    for time_s, text, color in texts:
        axes.annotate(text, (time_s, -0.5), (0, 4), textcoords="offset points", ha="right", va="bottom", fontsize=10.5, color=color)


def _marks(result: Result, lanes: dict[str, int]) -> list[Mark]:
    longest = sorted(result.ops, key=lambda op: op.start_s - op.end_s)[:MAX_MARKS]
    return [Mark((op.start_s, lanes[op.device] - HALF, op.end_s, lanes[op.device] + HALF), _told(op)) for op in longest]


def _told(op: OpRun) -> str:
    span = f"{quantity(op.start_s, 's')} to {quantity(op.end_s, 's')}, {quantity(op.end_s - op.start_s, 's')}"
    return f"{op.name} ({op.op_type}) on {op.device}: {span}, limited by {op.limit}"


def _title(result: Result) -> str:
    used = sum(1 for row in loads(result) if row.n_ops)
    return f"{result.policy}: {quantity(result.latency_s, 's')} on {plural(used, 'device')} of {len(result.chip.devices)}"


def _caption(result: Result, moved: frozenset[str]) -> str:
    text = "Percentages: busy share of a device over its own makespan; mean use of a memory's sustained bandwidth."
    if result.transfers:
        text += " Lines between lanes: tensors that cross."
    return f"{text} Dark feet: ops that run elsewhere in the chart below." if moved else text


def _legend(result: Result) -> tuple[tuple[str, str], ...]:
    kinds = set(_kinds(result).values())
    return (*(entry for kind, entry in KIND_COLORS.items() if kind in kinds), ("memory traffic", TRAFFIC))

"""Where the time goes: device by device, over time, and against the ceilings of the chip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosim.simulation.result import OpRun, Result
from hw_models.memory.base import Memory
from reports.figures import (
    INK,
    LIMIT_COLORS,
    MUTED,
    PALE,
    SERIES_COLORS,
    VERMILLION,
    Chart,
    Mark,
    blocks,
    frame,
    sheet,
    to_svg,
    value_axis,
)
from reports.wording import percent, plural, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_MARKS = 400  # pointers in one figure; beyond, the longest ops keep theirs
N_BINS = 240  # steps of the memory traffic curve
PLATE = {"boxstyle": "square,pad=0.05", "facecolor": "white", "alpha": 0.8, "linewidth": 0}  # keeps names readable on lines
TRAFFIC = "#5c6b7a"
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class DeviceTime:
    """How long a device is busy, on how many ops and MACs, and what it could do at most."""

    name: str
    kind: str
    n_ops: int
    busy_s: float
    share: float
    n_macs: int
    peak_macs_per_s: float

    @property
    def utilization(self) -> float:
        """MACs done over MACs possible while busy; 0 for a device without MAC units or work."""
        possible = self.peak_macs_per_s * self.busy_s
        return self.n_macs / possible if possible else 0.0


@dataclass(frozen=True, slots=True)
class Limit:
    """Ops that one thing limits, and their part of all busy time."""

    name: str
    kind: str
    device: str
    n_ops: int
    busy_s: float
    share: float


def by_device(result: Result) -> list[DeviceTime]:
    """Return every device of the chip, in the order of its description."""
    rows = []
    for name, device in result.chip.devices.items():
        ops = [op for op in result.ops if op.device == name]
        busy_s = result.busy_s.get(name, 0.0)
        share = busy_s / result.latency_s if result.latency_s else 0.0
        peak = device.peak_macs_per_s(result.weight_bits, result.activation_bits)
        rows.append(DeviceTime(name, getattr(device, "kind", ""), len(ops), busy_s, share, sum(op.n_macs for op in ops), peak))
    return rows


def limit_kind(limit: str, result: Result) -> str:
    """Class of what limits an op: compute, memory, link, launch or programming."""
    if limit in LIMIT_COLORS:
        return limit
    return "memory" if limit.partition(": ")[0] in result.chip.memories and ": " in limit else "compute"


def by_limit(result: Result) -> list[Limit]:
    """Return what limits ops on each device, with its share of the busy time of all devices, largest first."""
    busy = sum(result.busy_s.values())
    groups: dict[tuple[str, str], list[float]] = {}
    for op in result.ops:
        groups.setdefault((op.device, op.limit), []).append(op.end_s - op.start_s)
    rows = [
        Limit(limit, limit_kind(limit, result), device, len(spans), sum(spans), sum(spans) / busy if busy else 0.0)
        for (device, limit), spans in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row.busy_s, row.device, row.name))


def traffic(result: Result, memory: Memory, n_bins: int = N_BINS) -> NDArray[np.float64]:
    """[n_bins] fraction of a memory's sustained bandwidth in use; each transfer is spread evenly over its op's time."""
    rows = [row for row in result.rows if row.device == memory.name and row.n_bytes > 0 and row.end_s > row.start_s]
    edges = np.linspace(0.0, result.latency_s, n_bins + 1)
    moved = np.zeros(n_bins + 1)
    if not rows or result.latency_s <= 0:
        return np.zeros(n_bins)
    start, end, n_bytes = np.array([(row.start_s, row.end_s, row.n_bytes) for row in rows]).T
    times, index = np.unique(np.concatenate([start, end]), return_inverse=True)
    rate = n_bytes / (end - start)
    change = np.bincount(index, weights=np.concatenate([rate, -rate]), minlength=times.size)
    total = np.concatenate([[0.0], np.cumsum(np.cumsum(change)[:-1] * np.diff(times))])
    moved = np.interp(edges, times, total)
    return np.asarray(np.diff(moved) / np.diff(edges) / memory.bandwidth_bytes_per_s)


def timeline_chart(result: Result, width_px: float = 1100) -> Chart:
    """Draw one lane a device, colored by what limits each op, and one lane of traffic a memory."""
    devices, memories = by_device(result), [m for m in result.chip.memories.values() if result.memory_bytes.get(m.name)]
    lanes = {device.name: y for y, device in enumerate(devices)}
    with sheet(width_px, 40 * (len(devices) + len(memories)) + 48) as figure:
        labels = [f"{d.name} · {percent(d.share)}" for d in devices]
        axes = frame(figure, 16 + 6.6 * max(map(len, [*labels, *result.chip.memories])), 40, 16, 4)
        length = result.latency_s or 1.0
        axes.set_xlim(0, length)
        axes.set_ylim(len(devices) + len(memories) - 0.4, -0.5)
        for y in range(len(devices)):
            blocks(axes, [(0, y - 0.36, length, y + 0.36)], "#f5f7fa")
        _draw_ops(axes, result.ops, lanes, result, length / (axes.bbox.width or 1.0))
        for i, memory in enumerate(memories):
            labels.append(draw_traffic(axes, result, memory, len(devices) + i))
        axes.yaxis.set_ticks(range(len(labels)), labels)
        value_axis(axes, length, "s", "time", n=10)
        svg = to_svg(figure, "timeline", "Timeline of devices and memories", [(axes, _op_marks(result, lanes))])
    busiest = max(devices, key=lambda device: device.busy_s)
    title = f"{busiest.name} is busy {percent(busiest.share)} of {quantity(result.latency_s, 's')}"
    kinds = [limit_kind(op.limit, result) for op in result.ops]
    legend = tuple((f"limited by {kind}", color) for kind, color in LIMIT_COLORS.items() if kind in kinds)
    caption = "Percentages: busy share of a device; mean use of a memory's sustained bandwidth, whose lane is full at 100 %."
    return Chart("timeline", title, svg, caption, (*legend, ("memory traffic", TRAFFIC)) if memories else legend)


def _draw_ops(axes: Axes, ops: Sequence[OpRun], lanes: dict[str, int], result: Result, second_per_px: float) -> None:
    """Draw all ops of one limit at once; only those wide enough get a white edge, which would hide the others."""
    boxes: dict[tuple[str, bool], list[Box]] = {}
    for op in ops:
        wide = op.end_s - op.start_s > 4 * second_per_px
        y = lanes[op.device]
        boxes.setdefault((LIMIT_COLORS[limit_kind(op.limit, result)], wide), []).append((op.start_s, y - 0.36, op.end_s, y + 0.36))
    for (color, wide), group in sorted(boxes.items()):
        blocks(axes, group, color, "white" if wide else "none")


def draw_traffic(axes: Axes, result: Result, memory: Memory, y: int) -> str:
    """Draw the traffic of a memory as steps in lane y; return the lane's label."""
    used = traffic(result, memory)
    height = np.minimum(used, 1.0) * 0.72
    edges = np.linspace(0.0, result.latency_s, used.size + 1)
    axes.fill_between(np.repeat(edges, 2)[1:-1], y + 0.36, y + 0.36 - np.repeat(height, 2), color=TRAFFIC, linewidth=0)
    axes.hlines([y - 0.36, y + 0.36], 0, result.latency_s or 1.0, color=PALE, linewidth=0.6)
    return f"{memory.name} · {percent(float(used.mean()))}"


def _op_marks(result: Result, lanes: dict[str, int]) -> list[Mark]:
    energy = dict.fromkeys((op.name for op in result.ops), 0.0)
    for row in result.rows:
        if row.op:
            energy[row.op] += row.energy_j
    longest = sorted(result.ops, key=lambda op: op.start_s - op.end_s)[:MAX_MARKS]
    return [
        Mark((op.start_s, lanes[op.device] - 0.36, op.end_s, lanes[op.device] + 0.36), f"{_told(op)}, {quantity(energy[op.name], 'J')}")
        for op in longest
    ]


def _told(op: OpRun) -> str:
    return f"{op.name} ({op.op_type}) on {op.device}: {quantity(op.end_s - op.start_s, 's')}, limited by {op.limit}"


@dataclass(frozen=True, slots=True)
class Dot:
    """One MAC op of a roofline: operations per byte of all memories, and operations a second reached."""

    op: OpRun
    intensity_ops_per_byte: float
    rate_ops_per_s: float


def dots(result: Result) -> list[Dot]:
    """Return MAC ops with a duration: intensity 2 * MACs / bytes (infinite when nothing is moved), rate 2 * MACs / s."""
    found = []
    for op in result.ops:
        if op.n_macs and op.end_s > op.start_s:
            intensity = 2 * op.n_macs / op.memory_bytes if op.memory_bytes > 0 else math.inf
            found.append(Dot(op, intensity, 2 * op.n_macs / (op.end_s - op.start_s)))
    return found


def roofline_chart(result: Result, width_px: float = 620) -> Chart | None:
    """Draw MAC ops under the ceilings of their devices and the slopes of the memories; None without MAC ops."""
    found = dots(result)
    peaks = {device.name: 2 * device.peak_macs_per_s for device in by_device(result) if device.peak_macs_per_s > 0}
    if not found:
        return None
    colors = dict(zip(result.chip.devices, SERIES_COLORS * 4, strict=False))
    finite = [dot.intensity_ops_per_byte for dot in found if math.isfinite(dot.intensity_ops_per_byte)] or [1.0]
    x0, x1 = _decades(min(finite) / 2, max(finite) * 4)
    rates = [dot.rate_ops_per_s for dot in found]
    y0, y1 = _decades(min(rates) / 1.5, max(*rates, *peaks.values()) * 1.6)
    with sheet(width_px, 400) as figure:
        axes = frame(figure, 62, 46, 14, 8)
        _log_axes(axes, (x0, x1), (y0, y1))
        _draw_roofs(axes, result, peaks, colors, (x0, x1, y0, y1))
        total = sum(dot.op.end_s - dot.op.start_s for dot in found)
        marks = []
        for device, color in colors.items():
            own = [dot for dot in found if dot.op.device == device]
            xs = [min(dot.intensity_ops_per_byte, x1 / 1.15) for dot in own]
            ys = [dot.rate_ops_per_s for dot in own]
            sizes = [16 + 700 * (dot.op.end_s - dot.op.start_s) / total for dot in own]
            if own:
                axes.scatter(xs, ys, s=sizes, color=color, alpha=0.75, linewidths=0.5, edgecolors="white", zorder=3)
            marks += [_dot_mark(dot, x, y) for dot, x, y in zip(own, xs, ys, strict=True)]
        marks = sorted(marks, key=lambda mark: -(mark.value or 0.0))[:MAX_MARKS]
        svg = to_svg(figure, "roofline", "Roofline", [(axes, marks)])
    used = {dot.op.device for dot in found}
    legend = tuple((device, color) for device, color in colors.items() if device in used or device in peaks)
    caption = "One dot a MAC op, its size its time. Level lines: peak of a device; slopes: sustained bandwidth of a memory."
    return Chart("roofline", _roofline_title(found, peaks), svg, caption, legend)


def _roofline_title(found: Sequence[Dot], peaks: dict[str, float]) -> str:
    """Say how close to its ceiling the device with most MACs comes."""
    macs: dict[str, int] = {}
    spent_s: dict[str, float] = {}
    for dot in found:
        macs[dot.op.device] = macs.get(dot.op.device, 0) + dot.op.n_macs
        spent_s[dot.op.device] = spent_s.get(dot.op.device, 0.0) + dot.op.end_s - dot.op.start_s
    main = max(macs, key=lambda device: macs[device])
    rate = 2 * macs[main] / spent_s[main]
    reached = f", {percent(rate / peaks[main])} of its peak" if main in peaks else ""
    return f"{main} reaches {quantity(rate, 'op/s')} on {plural(sum(dot.op.device == main for dot in found), 'MAC op')}{reached}"


def _decades(low: float, high: float) -> tuple[float, float]:
    """Widen a range to half decades, at least one decade."""
    first, last = math.floor(math.log10(low) * 2) / 2, math.ceil(math.log10(high) * 2) / 2
    return 10.0**first, 10.0 ** max(last, first + 1)


def _log_axes(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*x)
    axes.set_ylim(*y)
    for axis, (low, high), unit in ((axes.xaxis, x, ""), (axes.yaxis, y, "")):
        places = [10.0**power for power in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)]
        axis.set_ticks(places, [quantity(place, unit).replace(".00", "").replace(".0", "") for place in places])
        axis.set_ticks([], minor=True)
    axes.grid(visible=True)
    axes.spines["left"].set_visible(True)
    axes.set_xlabel("arithmetic intensity (operations per byte of memory traffic)")
    axes.set_ylabel("rate (op/s)")


def _draw_roofs(axes: Axes, result: Result, peaks: dict[str, float], colors: dict[str, str], box: Box) -> None:
    """Draw level ceilings of devices and slopes of memories, each with its name on the line."""
    x0, x1, y0, y1 = box
    _draw_peaks(axes, peaks, colors, box)
    slope_deg = math.degrees(math.atan2(axes.bbox.height / math.log10(y1 / y0), axes.bbox.width / math.log10(x1 / x0)))
    shared = result.chip.shared
    for memory, color in ((result.chip.backing, VERMILLION), *([(shared, MUTED)] if shared else [])):
        bandwidth = memory.bandwidth_bytes_per_s
        left, right = max(x0, y0 / bandwidth), min(x1, y1 / bandwidth)
        if left >= right:
            continue
        axes.plot([left, right], [left * bandwidth, right * bandwidth], color=color, linewidth=1.3, linestyle=(0, (5, 3)))
        place = left * (right / left) ** 0.03
        text = f"{memory.name} {quantity(bandwidth, 'B/s')}"
        spot = (place, place * bandwidth)
        axes.annotate(text, spot, (-3, 4), textcoords="offset points", rotation=slope_deg, rotation_mode="anchor", fontsize=10, color=color)


def _draw_peaks(axes: Axes, peaks: dict[str, float], colors: dict[str, str], box: Box) -> None:
    """Draw level ceilings, named at their right end; a name too near to the one below moves to the left."""
    x0, x1, y0, y1 = box
    px_per_decade = axes.bbox.height / math.log10(y1 / y0)
    last_y, place = -math.inf, 0
    for device, peak in sorted(peaks.items(), key=lambda item: item[1]):
        if not y0 < peak < y1:
            continue
        axes.plot([x0, x1], [peak, peak], color=colors[device], linewidth=1.3)
        y = math.log10(peak / y0) * px_per_decade
        place = place + 1 if y - last_y < 14 else 0
        last_y = y
        spot, text = (x1 * (x0 / x1) ** (0.3 * place), peak), f"{device} {quantity(peak, 'op/s')}"
        axes.annotate(text, spot, (-2, 3), textcoords="offset points", ha="right", va="bottom", fontsize=10, color=INK, bbox=PLATE)


def _dot_mark(dot: Dot, x: float, y: float) -> Mark:
    text = f"{_told(dot.op)}; {quantity(dot.rate_ops_per_s, 'op/s')}"
    if math.isfinite(dot.intensity_ops_per_byte):
        text += f" at {dot.intensity_ops_per_byte:.3g} operations a byte"
    else:
        text += " with no memory traffic"
    return Mark((x, y, x, y), text, "rate_ops_per_s", dot.op.name, dot.rate_ops_per_s, pad_px=4)

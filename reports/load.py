"""A chip under load: how latencies are spread, how many inferences are in the system over time, and what is busy."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosim.simulation.load_measure import number_by_bin
from cosim.simulation.load_result import PERCENTILES, LoadResult, StreamLoad, Use
from reports.csv_files import text_of
from reports.figures import BLUE, INK, PALE, SERIES_COLORS, Chart, Mark, frame, scale, sheet, to_svg, value_axis
from reports.html import environment
from reports.latency import PLATE
from reports.text import aligned
from reports.wording import count, digits, percent, quantity, span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
N_STEPS, N_PARTS = 400, 160  # of a distribution, and of time
WIDE = 30.0  # ratio of latencies from which their axis is logarithmic
COLORS = (BLUE, *SERIES_COLORS[3:4], *SERIES_COLORS[1:3], *SERIES_COLORS[4:6], SERIES_COLORS[7])
STREAM_COLUMNS = (
    "stream", "arrivals", "rate_per_s", "n", "throughput_per_s", "unloaded_s", "statistic", "latency_s", "low_90_s", "high_90_s",
    "deadline_s", "deadline_misses",
)  # fmt: skip


def load_files(result: LoadResult) -> dict[str, str]:
    """Return file name → content of the report of a load."""
    return {
        "load.html": load_page(result),
        "load_streams.csv": streams_csv(result),
        "load_inferences.csv": inferences_csv(result),
        "load_utilization.csv": uses_csv(result),
    }


def load_page(result: LoadResult) -> str:
    """Return the page of a load."""
    return (
        environment()
        .get_template("load.html.j2")
        .render(
            result=result,
            title=re.sub(r"(?<=\d) (?=\S)", "\u00a0", headline(result)),
            slowest=slowest(result),
            findings=findings(result),
            charts=(latency_chart(result), number_chart(result)),
            colors=[COLORS[i % len(COLORS)] for i in range(len(result.streams))],
            uses=used(result),
            rate=count_rate,
            percentiles=tuple(PERCENTILES),
        )
    )


def slowest(result: LoadResult) -> StreamLoad | None:
    """Return the stream of the largest p99; None where nothing was counted."""
    return max((one for one in result.streams if one.latency), key=lambda one: one.latency["p99"].value, default=None)


def used(result: LoadResult) -> list[Use]:
    """Return what the load touches, devices first, the busiest of a kind first."""
    order = ("device", "memory", "link")
    touched = [use for use in result.uses if use.utilization > 0 or use.kind == "device"]
    return sorted(touched, key=lambda use: (order.index(use.kind), -use.utilization))


def headline(result: LoadResult) -> str:
    """Say in one line what the chip does under this load."""
    rate = f"{count_rate(result.throughput_per_s)} inferences/s"
    if result.saturated:
        every = f", one every {quantity(result.interval_s, 's')}" if result.interval_s else ""
        return f"at most {rate}{every}"
    stream = slowest(result)
    whose = f" of {stream.name}" if stream and len(result.streams) > 1 else ""
    late = f", 99 %{whose} within {quantity(stream.latency['p99'].value, 's')}" if stream else ""
    return f"{rate}{late}" if result.keeps_up else f"it does not keep up; {rate}{late}"


def count_rate(rate_per_s: float) -> str:
    """Format a rate: 0.130, 12.3, 1,381, 25.6 M."""
    return digits(rate_per_s) if rate_per_s < 1000 else count(rate_per_s)


def findings(result: LoadResult) -> list[str]:
    """Return what to know first, one sentence each: what limits, what waits, deadlines, Little's law, energy."""
    told = []
    if math.isfinite(result.bound_per_s):
        share = percent(result.throughput_per_s / result.bound_per_s)
        told.append(f"{result.bottleneck} limits this mix to {count_rate(result.bound_per_s)} inferences/s; {share} of that is reached.")
    if not result.keeps_up:
        growth = count_rate(abs(result.growth_per_s))
        told.append(f"The number in the system grows by {growth} a second: percentiles depend on how long the load lasts.")
    told += [sentence for stream in result.streams if (sentence := _waiting(stream, result))]
    little = result.little
    if little.difference is not None and not (result.saturated and result.in_flight is None):
        told.append(
            f"{digits(little.in_system)} inferences are in the system on average; Little's law, arrivals a second times mean latency, "
            f"gives {digits(little.rate_per_s * little.mean_latency_s)}."
        )
    energy = result.energy
    if energy.total_j > 0:
        saved = f", after {quantity(energy.saved_j, 'J')} saved by gating" if energy.saved_j > 0 else ""
        told.append(
            f"An inference takes {quantity(energy.total_j, 'J')}, {percent(energy.standby_j / energy.total_j)} of it standby{saved}; "
            f"the chip draws {quantity(energy.power_w, 'W')}."
        )
    told += [
        f"{name} runs at {percent(point.clock)} of its clock and {point.supply_v:.2f} V (nominal {point.nominal_v:.2f} V), its dynamic "
        f"energy at {percent(point.energy)}."
        for name, point in result.points.items()
    ]
    return told


def _waiting(stream: StreamLoad, result: LoadResult) -> str:
    if not stream.latency:
        return f"{stream.name}: nothing was counted; run more inferences."
    p50 = stream.latency["p50"].value
    alone = f"{quantity(stream.unloaded_s, 's')} alone"
    text = f"{stream.name} takes {quantity(p50, 's')} in the median, {alone}"
    if stream.misses is not None and stream.deadline_s is not None:
        missed = f"{stream.misses:,} of {stream.n:,} ({percent(stream.misses / stream.n)}) miss" if stream.misses else "none misses"
        text += f"; {missed} the deadline of {quantity(stream.deadline_s, 's')}"
    return text + (", from its first start." if result.saturated else ".")


def load_table(result: LoadResult) -> str:
    """Return a load as text: streams, what is busy, and what to know."""
    n, counted = result.records.counted.size, int(result.records.counted.sum())
    head = f"{result.workload.name} on {result.chip.name}: {headline(result)}\n  "
    head += f"policy {result.policy}, fidelity {result.fidelity}, order {result.order}, seed {result.seed}; "
    head += f"{counted:,} of {n:,} inferences counted"
    rows: list[tuple[str, ...]] = [("stream", "arrivals", "rate", "alone", "p50", "p90", "p99", "90 % interval of p99", "max", "missed")]
    rows += [_stream_cells(stream) for stream in result.streams]
    busy = [("", "", "offered", "in use", "")]
    for use in used(result):
        offered = "" if use.offered is None else percent(use.offered)
        busy.append((use.name, use.kind, offered, percent(use.utilization), "█" * round(use.utilization * 24)))
    notes = [f"  note: {text}" for text in result.notes]
    blocks = [
        head,
        "Latency\n" + aligned(rows, left=(0, 1)),
        "Load\n" + aligned(busy, left=(0, 1, 4)),
        "\n".join(findings(result)),
        *(["\n".join(notes)] if notes else []),
    ]
    return "\n\n".join(blocks)


def _stream_cells(stream: StreamLoad) -> tuple[str, ...]:
    rate = f"{count_rate(stream.rate_per_s)}/s" if 0 < stream.rate_per_s < math.inf else ""
    missed = "" if stream.misses is None else f"{stream.misses:,}"
    if not stream.latency:
        return (stream.name, stream.kind, rate, quantity(stream.unloaded_s, "s"), "", "", "", "", "", missed)
    latency = stream.latency
    three = [quantity(latency[name].value, "s") for name in PERCENTILES]
    tail = latency["p99"]
    interval = "" if tail.low is None or tail.high is None else span(tail.low, tail.high, "s").replace("no spread modeled", "none")
    return (stream.name, stream.kind, rate, quantity(stream.unloaded_s, "s"), *three, interval, quantity(latency["max"].value, "s"), missed)


def streams_csv(result: LoadResult) -> str:
    """Return one row a stream and statistic of its latency."""
    rows = [
        (
            stream.name, stream.kind, stream.rate_per_s, stream.n, stream.throughput_per_s, stream.unloaded_s, name, estimate.value,
            estimate.low, estimate.high, stream.deadline_s, stream.misses,
        )
        for stream in result.streams
        for name, estimate in stream.latency.items()
    ]  # fmt: skip
    return text_of(STREAM_COLUMNS, rows)


def inferences_csv(result: LoadResult) -> str:
    """Return one row an inference: when it arrived, started and ended."""
    records, names = result.records, [stream.name for stream in result.streams]
    columns = (records.stream, records.arrival_s, records.start_s, records.end_s, records.counted)
    rows = ((names[stream], *times, counted) for stream, *times, counted in zip(*(column.tolist() for column in columns), strict=True))
    return text_of(("stream", "arrival_s", "start_s", "end_s", "counted"), rows)


def uses_csv(result: LoadResult) -> str:
    """Return one row a device, memory and link."""
    return text_of(("name", "kind", "offered", "utilization"), [(use.name, use.kind, use.offered, use.utilization) for use in result.uses])


def _latencies(result: LoadResult) -> list[Floats]:
    """Latencies of each stream that were counted, ascending."""
    records = result.records
    since = records.start_s if result.saturated else records.arrival_s
    latency_s = records.end_s - since
    return [np.sort(latency_s[records.counted & (records.stream == i)]) for i in range(len(result.streams))]


def latency_chart(result: LoadResult, width_px: float = 1100) -> Chart:
    """Draw which share of each stream's inferences ends within a time, the tail stretched; deadline and latency alone as lines."""
    all_s = _latencies(result)
    present = [values for values in all_s if values.size]
    extra = [s.unloaded_s for s in result.streams] + [s.deadline_s for s in result.streams if s.deadline_s is not None]
    low = min([float(values[0]) for values in present] + extra)
    high = max([float(values[-1]) for values in present] + extra, default=1.0) or 1.0
    with sheet(width_px, 380) as figure:
        axes = frame(figure, 78, 46, 24, 22)
        _share_axis(axes, max((values.size for values in present), default=1))
        if low > 0 and high / low > WIDE:
            _log_time_axis(axes, low / 1.3, high * 1.3)
        else:
            axes.set_xlim(0, high * 1.04)
            value_axis(axes, high * 1.04, "s", "latency", n=10)
        axes.grid(visible=True)
        marks: list[Mark] = []
        for i, (stream, values) in enumerate(zip(result.streams, all_s, strict=True)):
            marks += _draw_distribution(axes, stream, values, COLORS[i % len(COLORS)], alone=len(result.streams) == 1)
        svg = to_svg(figure, "latency", "Distribution of latency", [(axes, marks)])
    due = "Dashed: deadline. " if any(stream.deadline_s is not None for stream in result.streams) else ""
    since = "first start" if result.saturated else "arrival"
    caption = f"Dots: 50th, 90th and 99th percentile. Dotted: one inference alone on the chip. {due}Latency counts from the {since}."
    legend = tuple((stream.name, COLORS[i % len(COLORS)]) for i, stream in enumerate(result.streams))
    return Chart("latency", _latency_title(result), svg, caption, legend)


def _height(share: float | Floats) -> Floats:
    """Height at which a share is drawn: -log10(1 - share), so that each further nine of the tail gets as much room."""
    return np.asarray(-np.log10(1.0 - np.asarray(share)), np.float64)


def _share_axis(axes: Axes, n: int) -> None:
    """Mark shares up to what n inferences can tell."""
    top = max(float(_height(1.0 - 0.4 / max(n, 10))), 1.2)
    shares = [(0.0, "0 %"), (0.5, "50 %"), (0.75, "75 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")]
    shown = [(float(_height(share)), text) for share, text in shares if _height(share) < top]
    axes.set_ylim(0, top)
    axes.yaxis.set_ticks([place for place, _ in shown], [text for _, text in shown])
    axes.set_ylabel("inferences that end within")


def _latency_title(result: LoadResult) -> str:
    stream = slowest(result)
    if stream is None:
        return "Nothing was counted"
    p50, p99 = stream.latency["p50"].value, stream.latency["p99"].value
    return f"{stream.name}: half within {quantity(p50, 's')}, 99 % within {quantity(p99, 's')}, {quantity(stream.unloaded_s, 's')} alone"


def _log_time_axis(axes: Axes, low: float, high: float) -> None:
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    places = [step * 10.0**power for power in powers for step in (1, 2, 5) if low <= step * 10.0**power <= high]
    axes.xaxis.set_ticks(places, [f"{round(place * scale(place, 's')[0], 6):g} {scale(place, 's')[1]}" for place in places])
    axes.xaxis.set_ticks([], minor=True)
    axes.set_xlabel("latency")


def _draw_distribution(axes: Axes, stream: StreamLoad, values: Floats, color: str, *, alone: bool) -> list[Mark]:
    if not values.size:
        return []
    beyond = np.unique(np.round(np.geomspace(1, values.size, N_STEPS)).astype(np.int64))[::-1]  # how many take as long or longer
    ends, share = values[values.size - beyond], 1.0 - (beyond - 0.5) / values.size
    axes.step([values[0], *ends], [0.0, *_height(share)], where="post", color=color, linewidth=1.8)
    axes.axvline(stream.unloaded_s, color=color, linewidth=1.0, linestyle=(0, (1, 2)))
    if stream.deadline_s is not None:
        axes.axvline(stream.deadline_s, color=color, linewidth=1.2, linestyle=(0, (5, 3)))
    marks = []
    for name, level in PERCENTILES.items():
        estimate, height = stream.latency[name], float(_height(level))
        axes.plot([estimate.value], [height], "o", color=color, markersize=6, zorder=4, clip_on=False)
        if alone:
            _label(axes, f"{name} {quantity(estimate.value, 's')}", estimate.value, height)
        told = "" if estimate.low is None or estimate.high is None else f", 90 % interval {span(estimate.low, estimate.high, 's')}"
        text = f"{stream.name}: {name} {quantity(estimate.value, 's')}{told}"
        marks.append(
            Mark((estimate.value, height, estimate.value, height), text, f"latency_{name}_s", stream.name, estimate.value, pad_px=7)
        )
    return marks


def _label(axes: Axes, text: str, x: float, y: float) -> None:
    """Write beside a dot: to its right, or to its left near the right edge."""
    is_last = x > 0.85 * axes.get_xlim()[1]
    place, side = ((-9, 5), "right") if is_last else ((9, -11), "left")
    axes.annotate(text, (x, y), place, textcoords="offset points", ha=side, fontsize=10.5, color=INK, bbox=PLATE)


def number_chart(result: LoadResult, width_px: float = 1100) -> Chart:
    """Draw how many inferences are in the system over time: mean and largest of each step, and the time average over the window."""
    records = result.records
    since = records.start_s if result.saturated else records.arrival_s
    last_s = float(records.end_s.max()) or 1.0
    mean, most = number_by_bin(since, records.end_s, (0.0, last_s), N_PARTS), _most_by_bin(since, records.end_s, last_s, N_PARTS)
    edges = np.repeat(np.linspace(0.0, last_s, N_PARTS + 1), 2)[1:-1]
    top = max(float(most.max()), 1.0)
    with sheet(width_px, 260) as figure:
        axes = frame(figure, 78, 46, 24, 22)
        axes.set_xlim(0, last_s)
        axes.set_ylim(0, top * 1.08)
        for left, right in ((0.0, result.window_s[0]), (result.window_s[1], last_s)):
            axes.axvspan(left, right, color="#eef1f4", linewidth=0)
        axes.fill_between(edges, np.repeat(most, 2), color=PALE, linewidth=0)
        axes.plot(edges, np.repeat(mean, 2), color=BLUE, linewidth=1.3)
        axes.hlines([result.little.in_system], *result.window_s, color=INK, linewidth=1.2, linestyle=(0, (5, 3)))
        value_axis(axes, last_s, "s", "time", n=10)
        value_axis(axes, top * 1.08, "", "inferences", along="y", n=min(5, round(top)))
        axes.set_ylabel("inferences " + ("on the chip" if result.saturated else "in the system"))
        box = (result.window_s[0], 0.0, result.window_s[1], top)
        first, last = (quantity(time_s, "s") for time_s in result.window_s)
        text = f"{digits(result.little.in_system)} on average between {first} and {last}"
        svg = to_svg(figure, "number", "Inferences in the system", [(axes, [Mark(box, text, "in_system", "", result.little.in_system)])])
    legend = (("mean of a step", BLUE), ("largest of a step", PALE), ("not counted", "#eef1f4"))
    return Chart("number", _number_title(result), svg, "Dashed: time average over what is counted.", legend)


def _number_title(result: LoadResult) -> str:
    where = "on the chip" if result.saturated else "in the system"
    text = f"{digits(result.little.in_system)} inferences {where} on average"
    return text if result.keeps_up else f"{text}, and more and more: it does not keep up"


def _most_by_bin(start_s: Floats, end_s: Floats, last_s: float, n_bins: int) -> Floats:
    """[n_bins] largest number of open spans in equal parts of the time up to `last_s`."""
    times = np.concatenate([end_s, start_s])
    order = np.argsort(times, kind="stable")
    number = np.cumsum(np.concatenate([np.full(end_s.size, -1.0), np.ones(start_s.size)])[order])
    place = np.minimum((times[order] / last_s * n_bins).astype(np.int64), n_bins - 1)
    most = np.zeros(n_bins)
    np.maximum.at(most, place, number)
    before = np.searchsorted(place, np.arange(n_bins))  # events before each part; what is open then is open in it
    return np.asarray(np.maximum(most, np.where(before > 0, number[np.maximum(before - 1, 0)], 0.0)))

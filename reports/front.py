"""The front of time and energy: a picture, a page, a table, and the numbers as CSV."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from cosim.simulation.front import Front
from cosim.simulation.result import Result
from reports.csv_files import text_of
from reports.figures import BLUE, INK, MUTED, VERMILLION, Chart, Mark, frame, scale, sheet, to_svg
from reports.html import environment
from reports.text import aligned
from reports.wording import percent, plural, quantity, times

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def placement_file(index: int) -> str:
    """Name of the file that holds the placement of one point, the fastest being the first."""
    return f"front_{index + 1}.json"


def front_page(front: Front) -> str:
    """Return the page of a front."""
    first = front.results[0]
    return (
        environment()
        .get_template("front.html.j2")
        .render(
            front=front,
            result=first,
            chart=front_chart(front),
            title=headline(front),
            rows=[(result, placement_file(i), _devices(result)) for i, result in enumerate(front.results)],
            references=[(result, _devices(result)) for result in front.references],
        )
    )


def headline(front: Front) -> str:
    """Say what the whole front spans."""
    first, last = front.results[0], front.results[-1]
    if len(front.results) == 1:
        return f"one placement is best in both: {quantity(first.latency_s, 's')} and {quantity(first.energy_j, 'J')}"
    saved, longer = 1 - last.energy_j / first.energy_j, last.latency_s / first.latency_s
    return f"{percent(saved)} of the energy can be saved by taking {times(longer)} times as long"


def front_csv(front: Front) -> str:
    """Return one row a point, and one a reference."""
    devices = list(front.results[0].chip.devices)
    rows = [(placement_file(i), *_cells(result, devices)) for i, result in enumerate(front.results)]
    rows += [(result.policy, *_cells(result, devices)) for result in front.references]
    return text_of(("placement", "makespan_s", "energy_j", "edp_js", "accuracy_loss", *(f"ops_on_{name}" for name in devices)), rows)


def front_table(front: Front) -> str:
    """Return the points as text, the one of least energy-delay product marked, and the references below."""
    first = front.results[0]
    rows = [("", "makespan", "energy", "energy x delay", "ops on", "")]
    for i, result in enumerate(front.results):
        rows.append((placement_file(i), *_worded(result), "least energy x delay" if i == front.knee else ""))
    rows += [(result.policy, *_worded(result), "") for result in front.references]
    rows.append(("none beats", quantity(first.floor.makespan_s, "s"), quantity(first.floor.energy_j, "J"), "", "", ""))
    head = f"{first.workload.name} on {first.chip.name}, fidelity {first.fidelity}: {headline(front)}"
    return f"{head}\n\n{aligned(rows, left=(0, 4, 5))}"


def front_chart(front: Front, width_px: float = 1000) -> Chart:
    """Draw energy against time: the front as steps, references as crosses, and what no placement beats as lines."""
    points = [(result.latency_s, result.energy_j) for result in front.results]
    others = [(result.latency_s, result.energy_j) for result in front.references]
    first = front.results[0]
    with sheet(width_px, 420) as figure:
        axes = frame(figure, 70, 46, 20, 12)
        _axes(axes, [*points, *others, (first.floor.makespan_s, first.floor.energy_j)])
        _draw_bounds(axes, first)
        xs, ys = zip(*points, strict=True)
        axes.step([*xs, axes.get_xlim()[1]], [*ys, ys[-1]], where="post", color=BLUE, linewidth=1.2, alpha=0.6)
        axes.plot(xs, ys, "o", color=BLUE, markersize=7, zorder=4)
        axes.plot([xs[front.knee]], [ys[front.knee]], "o", color=INK, markersize=11, fillstyle="none", zorder=5)
        for x, y in others:
            axes.plot([x], [y], "X", color=VERMILLION, markersize=11, zorder=3)
        svg = to_svg(figure, "front", "Front of time and energy", [(axes, _marks(front))])
    caption = "A placement above or right of the line is beaten in both by one on it. Circle: least energy-delay product."
    legend = (("front", BLUE), (" and ".join(result.policy for result in front.references), VERMILLION))
    title = f"{plural(len(front.results), 'placement')}, none both faster and less energy than another"
    return Chart("front", title, svg, caption, legend)


def _axes(axes: Axes, points: list[tuple[float, float]]) -> None:
    """Limit and label both axes in a prefixed unit; they start where the data do, since dots have no length to compare."""
    xs, ys = ([point[k] for point in points] for k in (0, 1))
    for axis, limit, values, unit, name in (
        (axes.xaxis, axes.set_xlim, xs, "s", "makespan"),
        (axes.yaxis, axes.set_ylim, ys, "J", "energy"),
    ):
        low, high = min(values), max(values)
        room = 0.06 * (high - low) or 0.06 * high or 1.0
        limit(low - room, high + room)
        factor, label = scale(high, unit)
        axis.set_major_formatter(partial(_tick, factor))
        axis.set_label_text(f"{name} ({label})")
    axes.grid(visible=True)
    axes.spines["left"].set_visible(True)


def _tick(factor: float, value: float, _position: int) -> str:
    """Word a tick in the unit of its axis."""
    return f"{value * factor:.4g}"


def _draw_bounds(axes: Axes, result: Result) -> None:
    floor = result.floor
    axes.axvline(floor.makespan_s, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.axhline(floor.energy_j, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
    place: tuple[Literal["axes fraction"], Literal["data"]] = ("axes fraction", "data")
    text = "no placement beats these"
    axes.annotate(text, (1, floor.energy_j), (-4, 4), place, "offset points", ha="right", fontsize=10.5, color=MUTED)


def _marks(front: Front) -> list[Mark]:
    named = [(placement_file(i), result) for i, result in enumerate(front.results)]
    named += [(result.policy, result) for result in front.references]
    return [
        Mark(
            (result.latency_s, result.energy_j, result.latency_s, result.energy_j),
            f"{name}: {quantity(result.latency_s, 's')}, {quantity(result.energy_j, 'J')}; {_devices(result)}",
            "front_energy_j",
            name,
            result.energy_j,
            pad_px=7,
        )
        for name, result in named
    ]


def _cells(result: Result, devices: list[str]) -> tuple[object, ...]:
    on = [op.device for op in result.ops]
    edp = result.latency_s * result.energy_j
    return (result.latency_s, result.energy_j, edp, result.accuracy_loss, *(on.count(name) for name in devices))


def _worded(result: Result) -> tuple[str, str, str, str]:
    edp = quantity(result.latency_s * result.energy_j, "J·s")
    return quantity(result.latency_s, "s"), quantity(result.energy_j, "J"), edp, _devices(result)


def _devices(result: Result) -> str:
    """Say how many ops each device runs, those without any left out."""
    on = [op.device for op in result.ops]
    return ", ".join(f"{name} {on.count(name)}" for name in result.chip.devices if name in on)

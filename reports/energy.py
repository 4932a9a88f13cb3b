"""Where the energy goes: by component, by group and by op."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cosim.ledger import GROUPS, group_of
from cosim.simulation.compare import energy_by_group, off_chip
from cosim.simulation.result import Result
from cosim.simulation.uncertainty import Exposure
from hw_models.cost import Spread
from reports.figures import GRAY, GROUP_COLORS, INK, Chart, Mark, blocks, frame, sheet, to_svg, value_axis
from reports.wording import INTERVAL, labels, percent, plural, quantity, span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_COMPONENTS = 12
N_OPS = 15
STANDBY = "standby (no op)"


@dataclass(frozen=True, slots=True)
class Part:
    """All ledger rows of one (device, component), with the 90 % interval of their sum."""

    device: str
    component: str
    group: str
    energy_j: float
    low_j: float
    high_j: float
    share: float
    n_bytes: float
    assumed: bool

    @property
    def name(self) -> str:
        """Device and component, as `energy_by_component_j` of a summary names them."""
        return f"{self.device}.{self.component}"


@dataclass(frozen=True, slots=True)
class OpEnergy:
    """Energy of one op (or of what belongs to no op) by group."""

    name: str
    energy_j: float
    groups: dict[str, float]


def by_component(result: Result) -> list[Part]:
    """Return every consumer of energy, largest first."""
    stores = off_chip(result)
    sums: dict[tuple[str, str], list[float]] = {}
    groups: dict[tuple[str, str], str] = {}
    drawn: set[tuple[str, str]] = set()
    assumed: set[tuple[str, str]] = set()
    for row in result.rows:
        owner = (row.device, row.component)
        total = sums.setdefault(owner, [0.0, 0.0])
        total[0] += row.energy_j
        total[1] += row.n_bytes
        if owner not in groups:
            groups[owner] = group_of(row, stores)
        if row.assumed:
            assumed.add(owner)
        if row.category in {"static", "idle"}:
            drawn.add(owner)
    parts = []
    for owner, (energy_j, n_bytes) in sums.items():
        low, high = _interval(result, owner, energy_j, always_on=owner in drawn)
        share = energy_j / result.energy_j if result.energy_j else 0.0
        parts.append(Part(*owner, groups[owner], energy_j, low, high, share, n_bytes, owner in assumed))
    return sorted(parts, key=lambda part: (-part.energy_j, part.name))


def _interval(result: Result, owner: tuple[str, str], energy_j: float, *, always_on: bool) -> tuple[float, float]:
    """90 % interval of one consumer; what is drawn all the time also moves with everything that moves the latency."""
    exposure = Exposure()
    exposure.add(energy_j, result.spreads.get(owner, ()))
    if always_on and result.latency_s:
        for name, (factor, seconds) in result.latency.by_name.items():
            exposure.expose(energy_j * seconds / result.latency_s, (Spread(name, factor),))
    return exposure.interval()


def by_group(result: Result) -> dict[str, float]:
    """Joules by the bars of a comparison, largest first, empty ones left out."""
    groups = energy_by_group(result)
    return {name: groups[name] for name in sorted(GROUPS, key=lambda group: -groups[group]) if groups[name]}


def by_op(result: Result) -> list[OpEnergy]:
    """Return the energy of every op, largest first, and last what belongs to no op."""
    stores = off_chip(result)
    names = list(dict.fromkeys(op.name for op in result.ops))
    groups: dict[str, dict[str, float]] = {name: {} for name in [*names, ""]}
    for row in result.rows:
        own, group = groups[row.op], group_of(row, stores)
        own[group] = own.get(group, 0.0) + row.energy_j
    ops = [OpEnergy(name, sum(groups[name].values()), groups[name]) for name in names]
    ops.sort(key=lambda op: -op.energy_j)
    return [*ops, OpEnergy("", sum(groups[""].values()), groups[""])]


def top_ops(result: Result, n: int = N_OPS) -> tuple[list[OpEnergy], list[OpEnergy]]:
    """Return the n ops of most energy, and what the whole consists of: these together, the other ops, and standby."""
    *ops, standby = by_op(result)
    whole = [_sum("the op above" if len(ops[:n]) == 1 else f"the {len(ops[:n])} ops above", ops[:n])]
    if len(ops) > n:
        whole.append(_sum(plural(len(ops) - n, "other op"), ops[n:]))
    return ops[:n], [*whole, OpEnergy(STANDBY, standby.energy_j, standby.groups)]


def _sum(name: str, ops: Sequence[OpEnergy]) -> OpEnergy:
    groups: dict[str, float] = {}
    for op in ops:
        for group, energy_j in op.groups.items():
            groups[group] = groups.get(group, 0.0) + energy_j
    return OpEnergy(name, sum(groups.values()), groups)


def legend(groups: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return (label, color) of groups in the order in which they are stacked."""
    return tuple((group, GROUP_COLORS[group]) for group in GROUPS if group in groups)


def component_chart(result: Result, width_px: float = 540) -> Chart:
    """Draw one bar a component, sorted, with its 90 % interval; small ones merged."""
    parts = by_component(result)
    shown, rest = parts[:N_COMPONENTS], parts[N_COMPONENTS:]
    rows = [(part.name, part.energy_j, part.high_j, part.share, GROUP_COLORS[part.group]) for part in shown]
    if rest:
        energy_j = sum(part.energy_j for part in rest)
        rows.append((plural(len(rest), "other"), energy_j, energy_j, sum(part.share for part in rest), "#aab2bd"))
    with sheet(width_px, 26 * len(rows) + 46) as figure:
        axes = frame(figure, _label_room([row[0] for row in rows]), 40, 96, 6)
        largest = max((row[2] for row in rows), default=0.0) or 1.0
        _bar_axes(axes, [row[0] for row in rows], largest)
        for y, (_, energy_j, high_j, share, color) in enumerate(rows):
            blocks(axes, [(0, y - 0.32, energy_j, y + 0.32)], color)
            _value_text(axes, high_j, y, energy_j, share)
        axes.hlines(range(len(shown)), [part.low_j for part in shown], [part.high_j for part in shown], color=INK, linewidth=1.1)
        marks = [_component_mark(y, part) for y, part in enumerate(shown)]
        svg = to_svg(figure, "components", "Energy by component", [(axes, marks)])
    title = f"{parts[0].name} takes {percent(parts[0].share)} of the energy" if parts and result.energy_j else "No energy is spent"
    return Chart("components", title, svg, f"Thin lines: {INTERVAL} of each component.", legend([part.group for part in parts]))


def _component_mark(y: int, part: Part) -> Mark:
    interval = f"{INTERVAL} {span(part.low_j, part.high_j, 'J')}"
    text = f"{part.name} ({part.group}): {quantity(part.energy_j, 'J')}, {percent(part.share)}; {interval}"
    return Mark((0, y - 0.45, max(part.high_j, part.energy_j), y + 0.45), text, "component_energy_j", part.name, part.energy_j)


def op_chart(result: Result, width_px: float = 540) -> Chart:
    """Draw the ops of most energy as stacked bars and, below on a scale of its own, what the whole consists of."""
    ops, whole = top_ops(result)
    left = _label_room([op.name for op in [*ops, *whole]])
    height, low = 26 * len(ops) + 46, 26 * len(whole) + 46
    with sheet(width_px, height + low) as figure:
        upper, lower = frame(figure, left, low + 40, 96, 6), frame(figure, left, 40, 96, height + 6)
        marks = [
            (upper, _op_bars(upper, result, ops, "op_group_energy_j", "energy of an op")),
            (lower, _op_bars(lower, result, whole, "op_sum_energy_j", "energy of the run")),
        ]
        svg = to_svg(figure, "ops", "Energy by op", marks)
    share = whole[0].energy_j / result.energy_j if result.energy_j else 0.0
    title = f"{plural(len(ops), 'op')} of {len(result.ops):,} {'takes' if len(ops) == 1 else 'take'} {percent(share)} of the energy"
    drawn = [group for op in whole for group in op.groups]
    return Chart("ops", title, svg, "Standby: leakage, idle power, background and refresh over the whole run.", legend(drawn))


def _op_bars(axes: Axes, result: Result, ops: Sequence[OpEnergy], metric: str, name: str) -> list[Mark]:
    """Draw one stacked bar an op; return a mark a segment."""
    _bar_axes(axes, [op.name for op in ops], max((op.energy_j for op in ops), default=0.0) or 1.0, name)
    boxes: dict[str, list[tuple[float, float, float, float]]] = {}
    marks = []
    for y, op in enumerate(ops):
        left = 0.0
        for group in GROUPS:
            if energy_j := op.groups.get(group, 0.0):
                boxes.setdefault(group, []).append((left, y - 0.32, left + energy_j, y + 0.32))
                text = f"{op.name}, {group}: {quantity(energy_j, 'J')}"
                marks.append(Mark(boxes[group][-1], text, metric, f"{op.name}|{group}", energy_j))
                left += energy_j
        _value_text(axes, left, y, op.energy_j, op.energy_j / result.energy_j if result.energy_j else 0.0)
    for group, drawn in boxes.items():
        blocks(axes, drawn, GROUP_COLORS[group])
    return marks


def _label_room(names: Sequence[str]) -> float:
    """Pixels that the longest label of a vertical list needs, 6 pixels a letter."""
    return 14 + 6.0 * max(map(len, labels(names)), default=0)


def _bar_axes(axes: Axes, names: Sequence[str], largest: float, label: str = "energy") -> None:
    """Set up horizontal bars, the first on top."""
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, largest)
    axes.yaxis.set_ticks(range(len(names)), labels(names))
    value_axis(axes, largest, "J", label)


def _value_text(axes: Axes, x: float, y: float, energy_j: float, share: float) -> None:
    text = f"{quantity(energy_j, 'J')} · {percent(share)}"
    axes.annotate(text, (x, y), (6, 0), textcoords="offset points", va="center", fontsize=10, color=INK if energy_j else GRAY)

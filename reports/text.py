"""Results as plain aligned text, for terminals, logs and pipes alike."""

from __future__ import annotations

from collections.abc import Sequence

from cosim.ledger import GROUPS
from cosim.simulation.compare import ACCURACY_NOTE, Comparison, Ratio, energy_by_group
from cosim.simulation.placement import Placement, loads
from cosim.simulation.result import Result
from reports.compare import METRIC_NAMES, by_importance, conclusions
from reports.csv_files import headline
from reports.energy import by_component, top_ops
from reports.latency import by_device, by_limit
from reports.placement import bound_line, objective_of
from reports.placement import conclusions as place_conclusions
from reports.sources import influences, overridden_bits
from reports.wording import INTERVAL, TOPS_RULE, area, count, decibels, digits, percent, plural, quantity, shorten, span, times

BAR_WIDTH = 24
N_PARTS, N_TOP, N_LIMITS, N_SPREADS = 14, 10, 5, 3


def run_table(result: Result) -> str:
    """Return the report of one run: headline, energy by component and by op, time, weights, coverage and trust."""
    blocks = [
        _title(result),
        _headline(result),
        _components(result),
        _top_ops(result),
        _time(result),
        _weights(result),
        _trust(result),
    ]
    return "\n\n".join(block for block in blocks if block)


def place_table(placement: Placement) -> str:
    """Return a placement: what it was placed for, against its bound and another policy, and the load of every device."""
    result = placement.result
    head = [("", "", "no placement beats", "gap")]
    head.append(("makespan", quantity(result.latency_s, "s"), quantity(result.floor.makespan_s, "s"), _gap(result.gap)))
    energy_gap = result.energy_j / result.floor.energy_j - 1 if result.floor.energy_j else None
    head.append(("energy", quantity(result.energy_j, "J"), quantity(result.floor.energy_j, "J"), _gap(energy_gap)))
    rows = [("device", "kind", "ops", "busy", "of the time", "", "energy")]
    for load in loads(result):
        busy = (quantity(load.busy_s, "s"), percent(load.share), _bar(load.share))
        rows.append((load.device, load.kind, str(load.n_ops), *busy, quantity(load.energy_j, "J")))
    blocks = [
        f"{_title(result)}\n  objective: {objective_of(placement)}",
        aligned(head, left=(0,)),
        "Load\n" + aligned(rows, left=(0, 1, 5)),
        "\n".join(place_conclusions(placement)),
    ]
    return "\n\n".join(blocks)


def _gap(gap: float | None) -> str:
    return "" if gap is None else percent(gap) if gap >= 5e-4 else "none"


def compare_table(comparison: Comparison, *, is_measured: bool = False) -> str:
    """Return chips side by side: headline, ratios with their intervals, energy by group, waterfall and conclusions.

    `is_measured` leaves out that accuracy is not modeled.
    """
    first = comparison.results[0]
    bits = f"{first.weight_bits}-bit weights, {first.activation_bits}-bit activations"
    title = f"{first.workload.name}: {' vs '.join(r.chip.name for r in comparison.results)}  (batch {first.workload.batch}, {bits})"
    blocks = [
        title,
        _side_by_side(comparison),
        _ratios(comparison),
        _groups(comparison),
        *(_waterfall(comparison, result) for result in comparison.results[1:]),
        "\n".join(conclusions(comparison)),
        *_caveats(comparison),
        *([] if is_measured else [f"{ACCURACY_NOTE.capitalize()}."]),
    ]
    return "\n\n".join(blocks)


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,), indent: int = 2) -> str:
    """Align columns: those listed in `left` to the left, all others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) if i in left else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))]
        lines.append((" " * indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def _bar(share: float) -> str:
    """Return a bar whose full width is the whole."""
    return "█" * round(share * BAR_WIDTH) or ("▏" if share > 0 else "")


def _title(result: Result) -> str:
    workload = result.workload
    dims = "".join(f", {name} {size}" for name, size in workload.dims.items() if name != "batch")
    return (
        f"{workload.name} on {result.chip.name}\n"
        f"  batch {workload.batch}{dims}, {result.weight_bits}-bit weights, {result.activation_bits}-bit activations, "
        f"{count(workload.n_macs)} MACs, {count(workload.n_params)} parameters\n"
        f"  policy {result.policy}, fidelity {result.fidelity}, seed {result.seed}"
    )


def _headline(result: Result) -> str:
    row = headline(result)
    rows = [("", "", INTERVAL, "")]
    rate = f"{digits(result.workload.batch / result.latency_s)} inferences/s" if result.latency_s else ""
    power = f"{quantity(result.energy_j / result.latency_s, 'W')} on average" if result.latency_s else ""
    for name, metric, unit, note in (
        ("latency", "latency_s", "s", rate),
        ("energy", "energy_j", "J", power),
        ("EDP", "edp_js", "J·s", ""),
    ):
        rows.append((name, quantity(row[metric], unit), span(row[f"{metric}_low"], row[f"{metric}_high"], unit), note))
    if signal := result.signal:
        note = f"worst of {plural(signal.n_ops, 'analog op')}, {shorten(signal.worst_op)}; median by MACs {decibels(signal.median_db)}"
        rows.append(("output SNR", decibels(signal.worst_db), "", note))
    rows.append(("area", area(result.chip.area_m2), "", ""))
    efficiency = f"{digits(row['tops_per_w_low'])} – {digits(row['tops_per_w_high'])} TOPS/W"
    rows.append(("efficiency", f"{digits(row['tops_per_w'])} TOPS/W", efficiency, TOPS_RULE))
    return aligned(rows, left=(0, 3))


def _components(result: Result) -> str:
    parts = by_component(result)
    rows = [(part.name, quantity(part.energy_j, "J"), percent(part.share), _bar(part.share)) for part in parts[:N_PARTS]]
    if rest := parts[N_PARTS:]:
        share = sum(part.share for part in rest)
        rows.append((plural(len(rest), "other"), quantity(sum(part.energy_j for part in rest), "J"), percent(share), _bar(share)))
    return "Energy by component\n" + aligned(rows, left=(0, 3)) if rows else ""


def _top_ops(result: Result) -> str:
    runs = {op.name: op for op in result.ops}
    rows = [("op", "type", "device", "time", "energy", "share", "SNR", "limited by")]
    ops, whole = top_ops(result, N_TOP)
    for op in [*ops, *whole[1:]]:
        run = runs.get(op.name)
        share = op.energy_j / result.energy_j if result.energy_j else 0.0
        facts = (run.op_type, run.device, quantity(run.end_s - run.start_s, "s")) if run else ("", "", "")
        snr = decibels(run.output_snr_db) if run else ""
        rows.append((shorten(op.name, 40), *facts, quantity(op.energy_j, "J"), percent(share), snr, run.limit if run else ""))
    return "Energy by op\n" + aligned(rows, left=(0, 1, 2, 7))


def _time(result: Result) -> str:
    busy = [("device", "ops", "busy", "of the time")]
    busy += [(d.name, str(d.n_ops), quantity(d.busy_s, "s"), percent(d.share)) for d in by_device(result)]
    rows = [("limited by", "device", "ops", "busy time")]
    rows += [(limit.name, limit.device, str(limit.n_ops), percent(limit.share)) for limit in by_limit(result)[:N_LIMITS]]
    bound = f"\n\n  {bound_line(result)}" if result.gap is not None and result.fidelity != "bound" else ""
    return "Time\n" + aligned(busy) + "\n\n" + aligned(rows, left=(0, 1)) + bound


def _weights(result: Result) -> str:
    return "Weights\n  " + weights_line(result).replace("; ", "\n  ")


def weights_line(result: Result) -> str:
    """Say what fraction of the weights stays on the chip, what putting it there costs, and when that has paid off."""
    programming = result.programming
    text = f"{percent(result.resident_weight_fraction)} of the weight bytes stay on the chip between inferences"
    if programming.energy_j > 0:
        spent = f"{quantity(programming.latency_s, 's')} and {quantity(programming.energy_j, 'J')}"
        text += f"; writing them once takes {spent} (not in the totals)"
    n = programming.break_even_inferences
    if n is not None:
        return f"{text}; that has paid off after {plural(n, 'inference')}"
    return f"{text}; that never pays off" if programming.energy_j > 0 else text


def coverage_line(result: Result) -> str:
    """Say how many nodes of the network's graph are accounted for, and how."""
    coverage = result.workload.coverage
    parts = [sum(part.values()) for part in (coverage.costed, coverage.data_movement, coverage.free)]
    total = coverage.n_nodes
    return f"{sum(parts):,} of {total:,} nodes: {parts[0]:,} costed, {parts[1]:,} data movement, {parts[2]:,} free"


def _trust(result: Result) -> str:
    lines = [f"  coverage: {coverage_line(result)}"]
    lines.append(f"  assumed:  {percent(result.assumed_share)} of the energy rests on an assumed number")
    for name, exposure in (("energy", result.energy), ("latency", result.latency)):
        if found := influences(exposure, N_SPREADS):
            lines.append(f"  {name} is most uncertain through")
            lines += [f"    {spread.name} (×{spread.factor:.3g}: up to +{percent(spread.up)})" for spread in found]
    lines += _bits_lines(result)
    return "\n".join(["What it rests on", *lines, *(f"  note: {text}" for text in result.notes)])


def _bits_lines(result: Result) -> list[str]:
    """Say which devices compute at other bits than the run asks for."""
    return [
        f"  {device} computes {plural(n, 'op')} at {weight_bits}-bit weights and {activation_bits}-bit activations"
        for device, weight_bits, activation_bits, n in overridden_bits(result)
    ]


def _caveats(comparison: Comparison) -> list[str]:
    """Say of each chip what its numbers do not show: other bits than asked for, and what its models say of themselves."""
    told = []
    for result in comparison.results:
        lines = [*_bits_lines(result), *(f"  {text}" for text in result.chip.notes)]
        told += ["\n".join([f"On {result.chip.name}", *lines])] if lines else []
    return told


def _side_by_side(comparison: Comparison) -> str:
    rows: list[tuple[str, ...]] = [("", *(result.chip.name for result in comparison.results))]
    heads = [headline(result) for result in comparison.results]
    for metric, unit, name in (("latency_s", "s", "latency"), ("energy_j", "J", "energy"), ("edp_js", "J·s", "EDP")):
        rows.append((name, *(quantity(head[metric], unit) for head in heads)))
        rows.append(("  90 %", *(span(head[f"{metric}_low"], head[f"{metric}_high"], unit) for head in heads)))
    results = comparison.results
    if any(result.signal for result in results):
        rows.append(("output SNR, worst", *(decibels(result.signal.worst_db if result.signal else None) for result in results)))
        rows.append(("  median by MACs", *(decibels(result.signal.median_db if result.signal else None) for result in results)))
    rows += [
        ("area", *(area(result.chip.area_m2) for result in results)),
        ("efficiency", *(f"{digits(result.tops_per_w)} TOPS/W" for result in results)),
        ("weights resident", *(percent(result.resident_weight_fraction) for result in results)),
        ("programming", *(quantity(result.programming.energy_j, "J") for result in results)),
        ("pays off after", *(_inferences(result) for result in results)),
        ("assumed share", *(percent(result.assumed_share) for result in results)),
    ]
    return aligned(rows, indent=0) + f"\n(TOPS/W: {TOPS_RULE})"


def _inferences(result: Result) -> str:
    n = result.programming.break_even_inferences
    return plural(n, "inference") if n is not None else "never" if result.programming.energy_j > 0 else "-"


def _ratios(comparison: Comparison) -> str:
    first = comparison.results[0].chip.name
    rows = [(f"ratio to {first}", "chip", "ratio", INTERVAL, "")]
    for metric, by_chip in comparison.ratios().items():
        rows += [
            (METRIC_NAMES[metric], chip, f"{times(ratio.value)}×", *_told(metric, ratio))
            for chip, ratio in by_chip.items()
            if chip != first
        ]
    return aligned(rows, left=(0, 1, 4), indent=0)


def _told(metric: str, ratio: Ratio) -> tuple[str, str]:
    if metric == "area_mm2":
        return "", ""
    return f"{times(ratio.low)} – {times(ratio.high)}", "excludes 1" if ratio.excludes_one else "does not exclude 1"


def _groups(comparison: Comparison) -> str:
    groups = [energy_by_group(result) for result in comparison.results]
    rows: list[tuple[str, ...]] = [("energy", *(result.chip.name for result in comparison.results))]
    rows += [(name, *(quantity(group[name], "J") for group in groups)) for name in GROUPS if any(group[name] for group in groups)]
    rows.append(("total", *(quantity(result.energy_j, "J") for result in comparison.results)))
    return aligned(rows, indent=0)


def _waterfall(comparison: Comparison, result: Result) -> str:
    first = comparison.results[0]
    rows = [(first.chip.name, quantity(first.energy_j, "J"))]
    rows += [
        (f"  {name}", f"{'+' if delta_j > 0 else '-'}{quantity(abs(delta_j), 'J')}") for name, delta_j in by_importance(comparison, result)
    ]
    rows.append((result.chip.name, quantity(result.energy_j, "J")))
    return f"Where the difference to {first.chip.name} comes from\n" + aligned(rows)

"""Results as files: one self-contained HTML page (inline SVG, no network), and the CSV that its numbers come from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosim.ledger import GROUPS
from cosim.simulation.compare import ACCURACY_NOTE, METRICS, Comparison, energy_by_group
from cosim.simulation.placement import Placement
from cosim.simulation.result import Result
from reports import csv_files, wording
from reports.compare import METRIC_NAMES, area_chart, conclusions, headline_of, metric_chart, stack_chart, waterfall_chart
from reports.energy import by_component, by_group, by_op, component_chart, op_chart
from reports.figures import GROUP_COLORS, LIMIT_COLORS
from reports.latency import by_device, by_limit, limit_kind, roofline_chart, timeline_chart
from reports.placement import bound_line, compared_charts, device_rows, objective_of, sentence
from reports.placement import conclusions as place_conclusions
from reports.sources import assumed, influences, overridden_bits, sourced
from reports.text import coverage_line, weights_line

if TYPE_CHECKING:
    from jinja2 import Environment

N_INFLUENCES = 10


def run_files(result: Result, accuracy: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return file name → content of the report of one run, with its accuracy where it was measured."""
    return {
        "report.html": run_page(result, accuracy),
        "ledger.csv": csv_files.ledger_csv(result),
        "ops.csv": csv_files.ops_csv(result),
        "summary.csv": csv_files.summary_csv(result),
    }


def compare_files(comparison: Comparison, accuracies: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return file name → content of the report of a comparison, with the accuracy on each chip where it was measured."""
    return {
        "compare.html": compare_page(comparison, accuracies),
        "compare_ledger.csv": csv_files.ledgers_csv(comparison),
        "compare_summary.csv": csv_files.summaries_csv(comparison),
        "waterfall.csv": csv_files.waterfall_csv(comparison),
    }


def place_files(placement: Placement) -> dict[str, str]:
    """Return file name → content of the report of a placement: what runs where, and all that a run has."""
    return {"placement.html": place_page(placement), **run_files(placement.result)}


def place_page(placement: Placement) -> str:
    """Return the page of a placement."""
    return (
        environment()
        .get_template("place.html.j2")
        .render(
            placement=placement,
            result=placement.result,
            objective=objective_of(placement),
            conclusions=place_conclusions(placement),
            charts=compared_charts(placement),
            devices=device_rows(placement),
        )
    )


def run_page(result: Result, accuracy: Mapping[str, Any] | None = None) -> str:
    """Return the page of one run."""
    limits = by_limit(result)
    return (
        environment()
        .get_template("run.html.j2")
        .render(
            result=result,
            head=csv_files.headline(result),
            accuracy=accuracy,
            findings=findings(result),
            energy_charts=(component_chart(result), op_chart(result)),
            timeline=timeline_chart(result),
            roofline=roofline_chart(result),
            parts=by_component(result),
            groups=by_group(result),
            devices=by_device(result),
            limits=limits,
            areas=sorted(result.chip.area_parts_m2.items(), key=lambda item: -item[1]),
            ops=_op_rows(result),
            other_bits=overridden_bits(result),
            trust=_trust(result),
            sourced=sourced(result.chip.description),
        )
    )


def compare_page(comparison: Comparison, accuracies: Mapping[str, Any] | None = None) -> str:
    """Return the page of a comparison."""
    results = comparison.results
    energies = {result.chip.name: energy_by_group(result) for result in results}
    return (
        environment()
        .get_template("compare.html.j2")
        .render(
            results=results,
            first=results[0],
            heads={result.chip.name: csv_files.headline(result) for result in results},
            ratios=comparison.ratios(),
            metrics=METRICS,
            metric_names=METRIC_NAMES,
            headline=headline_of(comparison),
            conclusions=conclusions(comparison),
            accuracy=None if accuracies else ACCURACY_NOTE.capitalize(),
            accuracies=accuracies or {},
            metric_chart=metric_chart(comparison),
            stack_chart=stack_chart(comparison),
            area_chart=area_chart(comparison),
            waterfalls=[waterfall_chart(comparison, result) for result in results[1:]],
            groups=[group for group in GROUPS if any(energy[group] for energy in energies.values())],
            energies=energies,
            trust={result.chip.name: _trust(result) for result in results},
            other_bits={result.chip.name: overridden_bits(result) for result in results},
        )
    )


def findings(result: Result) -> list[str]:
    """Return what to know first, one sentence each: largest consumer, main limit, weights, trust."""
    told = []
    if parts := by_component(result):
        groups = ", ".join(f"{name} {wording.percent(joules / result.energy_j)}" for name, joules in list(by_group(result).items())[:3])
        told.append(f"{parts[0].name} is the largest consumer with {wording.percent(parts[0].share)} of the energy; by group: {groups}.")
    if limits := by_limit(result):
        first = limits[0]
        told.append(f"{wording.percent(first.share)} of the busy time is limited by {first.name} on {first.device}.")
    if result.gap is not None and result.fidelity != "bound":
        told.append(f"{sentence(bound_line(result))}.")
    if signal := result.signal:
        told.append(
            f"Outputs of {wording.plural(signal.n_ops, 'analog op')} have an SNR of {wording.decibels(signal.median_db)} at the median of "
            f"MACs and {wording.decibels(signal.worst_db)} at worst ({signal.worst_op}), for assumed data."
        )
    told.append(f"{weights_line(result)}.")
    widest = influences(result.energy, 1)
    through = (
        f"; the widest spread is {widest[0].name} (×{widest[0].factor:.3g}), worth up to +{wording.percent(widest[0].up)}" if widest else ""
    )
    told.append(f"{wording.percent(result.assumed_share)} of the energy rests on an assumed number{through}.")
    return told


def _trust(result: Result) -> dict[str, Any]:
    """Return what a result rests on: the spreads that matter, what is assumed, what of the network is covered."""
    coverage = result.workload.coverage
    return {
        "spreads": (("energy", influences(result.energy, N_INFLUENCES)), ("latency", influences(result.latency, N_INFLUENCES))),
        "assumed": assumed(result.chip.description),
        "coverage": coverage_line(result),
        "classes": (("costed", coverage.costed), ("data movement", coverage.data_movement), ("free", coverage.free)),
        "notes": result.notes,
        "provenance": result.provenance,
    }


def _op_rows(result: Result) -> list[dict[str, Any]]:
    """Return every op in the order of the network, with its energy."""
    energy = {op.name: op.energy_j for op in by_op(result)}
    return [{"run": op, "energy_j": energy[op.name], "kind": limit_kind(op.limit, result)} for op in result.ops]


def _pair(text: str) -> tuple[str, str]:
    """Split a worded quantity into number and unit, to set them in two sizes."""
    number, _, unit = text.partition(" ")
    return number, unit


@cache
def environment() -> Environment:
    """Return the templates, with autoescape on and the wordings as filters."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pair"] = _pair
    words = ("quantity", "digits", "span", "area", "percent", "times", "count", "decibels", "plural", "shorten")
    environment.filters |= {name: getattr(wording, name) for name in words}
    names: Mapping[str, Any] = {
        "group_colors": GROUP_COLORS,
        "limit_colors": LIMIT_COLORS,
        "interval_name": wording.INTERVAL,
        "tops_rule": wording.TOPS_RULE,
    }
    environment.globals |= names
    return environment

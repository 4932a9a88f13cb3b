"""Results as CSV: exact numbers (floats as `repr`), the unit in each column's name."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from math import inf
from typing import Any

from cosim.ledger import COLUMNS, GROUPS, group_of
from cosim.simulation.compare import METRICS, Comparison, energy_by_group, off_chip
from cosim.simulation.result import OpRun, Result

OP_COLUMNS = (
    "op", "op_type", "device", "start_s", "end_s", "duration_s", "limit", "n_macs", "memory_bytes", "energy_j",
    "weight_bits", "activation_bits", "resident", "output_snr_db",
)  # fmt: skip


def ledger_csv(result: Result) -> str:
    """Return all ledger rows, and the bar of a comparison (`group`) that each belongs to."""
    return text_of((*COLUMNS, "group"), _ledger_rows(result))


def ledgers_csv(comparison: Comparison) -> str:
    """Return the ledgers of all chips, the chip in the first column."""
    rows = ((result.chip.name, *row) for result in comparison.results for row in _ledger_rows(result))
    return text_of(("chip", *COLUMNS, "group"), rows)


def ops_csv(result: Result) -> str:
    """Return one row an op: where, when, limited by what, at which energy."""
    energy = dict.fromkeys((op.name for op in result.ops), 0.0)
    for row in result.rows:
        if row.op:
            energy[row.op] += row.energy_j
    rows = ([*_run_cells(op), energy[op.name], op.weight_bits, op.activation_bits, op.resident, op.output_snr_db] for op in result.ops)
    return text_of(OP_COLUMNS, rows)


def _run_cells(op: OpRun) -> tuple[Any, ...]:
    return op.name, op.op_type, op.device, op.start_s, op.end_s, op.end_s - op.start_s, op.limit, op.n_macs, op.memory_bytes


def headline(result: Result) -> dict[str, Any]:
    """Return column → value of the row that a summary gives a result; every headline number of a page stands in it."""
    latency, energy, edp = result.latency.interval(), result.energy.interval(), result.edp.interval()
    operations = 2 * result.workload.n_macs / 1e12
    coverage = result.workload.coverage
    return {
        "workload": result.workload.name,
        "chip": result.chip.name,
        "policy": result.policy,
        "fidelity": result.fidelity,
        "seed": result.seed,
        "batch": result.workload.batch,
        "weight_bits": result.weight_bits,
        "activation_bits": result.activation_bits,
        **_with_interval("latency_s", result.latency_s, *latency),
        **_with_interval("energy_j", result.energy_j, *energy),
        **_with_interval("edp_js", result.edp.total, *edp),
        "output_snr_db_worst": result.signal.worst_db if result.signal else None,
        "output_snr_db_median": result.signal.median_db if result.signal else None,
        "area_mm2": result.chip.area_m2 * 1e6,
        **_with_interval("tops_per_w", result.tops_per_w, *(operations / joules if joules else inf for joules in reversed(energy))),
        "programming_energy_j": result.programming.energy_j,
        "programming_latency_s": result.programming.latency_s,
        "break_even_inferences": result.programming.break_even_inferences,
        "resident_weight_fraction": result.resident_weight_fraction,
        "assumed_share": result.assumed_share,
        "macs": result.workload.n_macs,
        "params": result.workload.n_params,
        "n_ops": len(result.ops),
        "n_nodes": coverage.n_nodes,
        "n_nodes_costed": sum(coverage.costed.values()),
        "n_nodes_data_movement": sum(coverage.data_movement.values()),
        "n_nodes_free": sum(coverage.free.values()),
    }


def summary_csv(result: Result) -> str:
    """Return the headline numbers as one row."""
    return _dicts([headline(result)])


def summaries_csv(comparison: Comparison) -> str:
    """Return one row a chip: its headline numbers, and their ratios to the first chip with 90 % intervals."""
    ratios = comparison.ratios()
    rows = []
    for result in comparison.results:
        row = headline(result)
        for metric in METRICS:
            ratio = ratios[metric][result.chip.name]
            row |= _with_interval(f"{metric}_ratio", ratio.value, ratio.low, ratio.high)
        rows.append(row)
    return _dicts(rows)


def waterfall_csv(comparison: Comparison) -> str:
    """Return the energy difference of each further chip to the first by group; deltas sum to the difference."""
    first = energy_by_group(comparison.results[0])
    rows = []
    for result in comparison.results[1:]:
        own = energy_by_group(result)
        rows += [
            (comparison.results[0].chip.name, result.chip.name, group, first[group], own[group], own[group] - first[group])
            for group in GROUPS
        ]
    return text_of(("first_chip", "chip", "component", "first_energy_j", "energy_j", "delta_j"), rows)


def _with_interval(name: str, value: float, low: float, high: float) -> dict[str, float]:
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _ledger_rows(result: Result) -> Iterable[tuple[Any, ...]]:
    stores = off_chip(result)
    return ((*row, group_of(row, stores)) for row in result.rows)


def _dicts(rows: Sequence[dict[str, Any]]) -> str:
    return text_of(tuple(rows[0]), (tuple(row.values()) for row in rows))


def text_of(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write with the csv module, which gives floats as `repr`; None becomes an empty field."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()

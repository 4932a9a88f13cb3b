"""A run as a Chrome trace, which ui.perfetto.dev and chrome://tracing open: lanes, counters and arrows on one time axis.

One process a chip. One thread row a device with its ops, one a link with the transfers into its device (more where they
overlap), counters of each memory's bandwidth and of power, and an arrow along every transfer. Times are in microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.ledger import Row, group_of
from cosim.simulation.compare import off_chip
from cosim.simulation.result import Result, Transfer

Event = dict[str, Any]
US_PER_S = 1e6
MAX_FLOWS = 1_000_000  # of one run; ids of arrows are unique over all runs of a trace


def trace_text(*results: Result) -> str:
    """Return the trace of one or more runs as JSON text, one event a line; a run is a process."""
    events: list[Event] = []
    for pid, result in enumerate(results, start=1):
        events += trace_events(result, pid)
    head = {"displayTimeUnit": "ns", "otherData": {f"{pid}": _made_by(result) for pid, result in enumerate(results, start=1)}}
    lines = ",\n".join(json.dumps(event, allow_nan=False) for event in events)
    return f'{json.dumps(head)[:-1]}, "traceEvents": [\n{lines}\n]}}\n'


def trace_events(result: Result, pid: int = 1) -> list[Event]:
    """Return the events of one run: names first, then all others by time."""
    rows = _transfer_rows(result)
    tids = {name: tid for tid, name in enumerate([*result.chip.devices, *dict.fromkeys(name for name, _ in rows)], start=1)}
    events = [
        *_ops(result, pid, tids),
        *_transfers(result, pid, tids, rows),
        *_counters(result, pid),
    ]
    return [*_names(result, pid, tids), *sorted(events, key=lambda event: float(event["ts"]))]


def steps(rows: Iterable[Row], value: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (times_s, rates): the sum of `value`/duration of all rows, constant from each time to the next, 0 from the last on.

    A row spreads its value evenly over its time; one without duration has no rate and is left out.
    """
    spans = np.array([(row.start_s, row.end_s, getattr(row, value)) for row in rows if row.end_s > row.start_s and getattr(row, value)])
    if not spans.size:
        return np.zeros(0), np.zeros(0)
    start, end, amount = spans.T
    rate = amount / (end - start)
    times, index = np.unique(np.concatenate([start, end]), return_inverse=True)
    change = np.bincount(index, weights=np.concatenate([rate, -rate]), minlength=times.size)
    total = np.maximum(np.cumsum(change), 0.0)
    total[-1] = 0.0  # the rest of rounding
    return times, total


def _made_by(result: Result) -> dict[str, Any]:
    return {"workload": result.workload.name, "chip": result.chip.name, **result.provenance}


def _names(result: Result, pid: int, tids: dict[str, int]) -> list[Event]:
    named = [("process_name", 0, f"{result.workload.name} on {result.chip.name} ({result.policy})")]
    named += [("thread_name", tid, name) for name, tid in tids.items()]
    events: list[Event] = [{"name": what, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}} for what, tid, name in named]
    events += [{"name": "thread_sort_index", "ph": "M", "pid": pid, "tid": tid, "args": {"sort_index": tid}} for tid in tids.values()]
    return events


def _span(start_s: float, end_s: float) -> dict[str, float]:
    """Start and duration; the end of one and the start of the next are one number, so that nothing overlaps by rounding."""
    return {"ts": start_s * US_PER_S, "dur": end_s * US_PER_S - start_s * US_PER_S}


def _ops(result: Result, pid: int, tids: dict[str, int]) -> Iterator[Event]:
    energy = dict.fromkeys((op.name for op in result.ops), 0.0)
    for row in result.rows:
        if row.op:
            energy[row.op] += row.energy_j
    for op in result.ops:
        told = {"type": op.op_type, "limit": op.limit, "macs": op.n_macs, "bytes": op.memory_bytes, "energy_j": energy[op.name]}
        span = _span(op.start_s, op.end_s)
        yield {"name": op.name, "cat": "op", "ph": "X", "pid": pid, "tid": tids[op.device], **span, "args": told}


def _transfer_rows(result: Result) -> list[tuple[str, Transfer]]:
    """Give each transfer a row of its destination's link; transfers that overlap go to rows of their own, as few as can be."""
    free_s: dict[str, list[float]] = {}
    placed = []
    for transfer in sorted(result.transfers, key=lambda one: (one.start_s, one.dst, one.src)):
        link = f"link {result.ops[transfer.dst].device}"
        rows = free_s.setdefault(link, [])
        row = next((n for n, until in enumerate(rows) if until <= transfer.start_s), len(rows))
        rows[row : row + 1] = [transfer.end_s]
        placed.append((link if row == 0 else f"{link} #{row + 1}", transfer))
    return sorted(placed, key=lambda pair: (list(result.chip.devices).index(result.ops[pair[1].dst].device), pair[0]))


def _transfers(result: Result, pid: int, tids: dict[str, int], rows: Sequence[tuple[str, Transfer]]) -> Iterator[Event]:
    """A box on the link for every transfer, and an arrow from the op that made it over that box to the op that waits for it."""
    for flow, (row, transfer) in enumerate(rows, start=1):
        src, dst = result.ops[transfer.src], result.ops[transfer.dst]
        told = {"from": src.name, "to": dst.name, "memory": transfer.memory, "bytes": transfer.n_bytes}
        span = _span(transfer.start_s, transfer.end_s)
        here = {"cat": "transfer", "pid": pid}
        yield {"name": f"{src.device} → {dst.device}", "ph": "X", "tid": tids[row], **here, **span, "args": told}
        arrow = {"name": "transfer", "id": pid * MAX_FLOWS + flow, **here}
        inside = src.start_s + 0.999 * (src.end_s - src.start_s)  # an arrow belongs to the box that it starts in; an end is outside
        yield {**arrow, "ph": "s", "tid": tids[src.device], "ts": inside * US_PER_S}
        yield {**arrow, "ph": "t", "tid": tids[row], "ts": span["ts"]}
        yield {**arrow, "ph": "f", "bp": "e", "tid": tids[dst.device], "ts": dst.start_s * US_PER_S}


def _counters(result: Result, pid: int) -> Iterator[Event]:
    """Bytes a second of every memory, power of the chip, and power by group of the energy report."""
    for name in result.chip.memories:
        yield from _counter(pid, f"{name} bandwidth", "bytes_per_s", [row for row in result.rows if row.device == name])
    yield from _counter(pid, "power", "w", result.rows)
    stores = off_chip(result)
    groups: dict[str, list[Row]] = {}
    for row in result.rows:
        groups.setdefault(group_of(row, stores), []).append(row)
    for group, rows in groups.items():
        yield from _counter(pid, f"power: {group}", "w", rows)


def _counter(pid: int, name: str, unit: str, rows: Iterable[Row]) -> Iterator[Event]:
    times_s, rates = steps(rows, "n_bytes" if unit == "bytes_per_s" else "energy_j")
    for time_s, rate in zip(times_s.tolist(), rates.tolist(), strict=True):
        yield {"name": name, "ph": "C", "pid": pid, "ts": time_s * US_PER_S, "args": {unit: rate}}

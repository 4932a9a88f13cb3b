"""A trace read back: every op once on the lane of its device, arrows from end to end, counters that add up to the ledger."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cosim
from cosim.ledger import Row
from cosim.simulation.result import Result, Transfer
from reports.trace import US_PER_S, steps, trace_text

Make = Callable[..., Result]
Events = list[dict[str, Any]]


@pytest.fixture(scope="module")
def run() -> Result:
    """A network that HEFT spreads over several devices of a chip, with transfers between them."""
    return cosim.Simulation(cosim.load_chip("edge_npu_soc"), cosim.load_workload("mobilenet_v2")).run()


def read(*results: Result) -> Events:
    data = json.loads(trace_text(*results))
    assert data["displayTimeUnit"] == "ns"
    events: Events = data["traceEvents"]
    return events


def lanes(events: Events, pid: int = 1) -> dict[int, str]:
    return {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name" and e["pid"] == pid}


def boxes(events: Events, category: str) -> Events:
    return [e for e in events if e["ph"] == "X" and e["cat"] == category]


def integral(events: Events, name: str) -> float:
    """Area under a counter that holds each value until the next."""
    found = [(e["ts"] / US_PER_S, *e["args"].values()) for e in events if e["ph"] == "C" and e["name"] == name]
    assert found[-1][1] == 0, "a counter ends at nothing"
    return math.fsum(value * (later - time) for (time, value), (later, _) in pairwise(found))


def test_the_last_end_is_the_makespan(run: Result) -> None:
    ops = boxes(read(run), "op")
    assert max(e["ts"] + e["dur"] for e in ops) / US_PER_S == pytest.approx(run.latency_s, rel=1e-12)
    assert min(e["ts"] for e in ops) == 0


def test_every_op_stands_once_on_the_lane_of_its_device(run: Result) -> None:
    events = read(run)
    names = lanes(events)
    found = Counter((e["name"], names[e["tid"]]) for e in boxes(events, "op"))
    assert found == Counter((op.name, op.device) for op in run.ops)
    assert set(found.values()) == {1}


def test_every_device_has_one_lane_even_one_without_work(make_result: Make) -> None:
    result = make_result(n_ops=1)
    names = list(lanes(read(result)).values())
    assert names[: len(result.chip.devices)] == list(result.chip.devices)
    assert len(names) == len(set(names))


def test_boxes_of_a_lane_do_not_overlap(run: Result) -> None:
    """Perfetto drops a box that begins within another of its lane and ends after it; its ticks are whole nanoseconds."""
    by_lane: dict[int, list[tuple[float, float]]] = {}
    for e in read(run):
        if e["ph"] == "X":
            by_lane.setdefault(e["tid"], []).append((e["ts"], e["ts"] + e["dur"]))
    for spans in by_lane.values():
        spans.sort()
        assert all(start >= end - 1e-6 for (_, end), (start, _) in pairwise(spans))


def test_events_come_in_order_of_time_after_the_names(run: Result) -> None:
    events = read(run)
    kinds = [e["ph"] for e in events]
    n_names = kinds.count("M")
    assert set(kinds[:n_names]) == {"M"}
    times = [e["ts"] for e in events[n_names:]]
    assert times == sorted(times)
    assert all(math.isfinite(e["ts"]) and e["ts"] >= 0 for e in events[n_names:])


def test_arrows_go_from_the_op_that_makes_a_tensor_to_the_one_that_reads_it(run: Result) -> None:
    events = read(run)
    names, transfers = lanes(events), boxes(events, "transfer")
    assert len(transfers) == len(run.transfers) > 0
    arrows: dict[int, dict[str, dict[str, Any]]] = {}
    for e in events:
        if e["ph"] in "stf":
            assert arrows.setdefault(e["id"], {}).setdefault(e["ph"], e) is e, "one start, one step, one end"
    assert len(arrows) == len(run.transfers)
    ends = Counter()
    for arrow in arrows.values():
        start, end = arrow["s"], arrow["f"]
        assert start["ts"] <= arrow["t"]["ts"] <= end["ts"]
        (src,) = [op for op in run.ops if op.device == names[start["tid"]] and op.start_s <= start["ts"] / US_PER_S < op.end_s]
        (dst,) = [op for op in run.ops if op.device == names[end["tid"]] and op.start_s * US_PER_S == end["ts"]]
        assert any(box["tid"] == arrow["t"]["tid"] and box["ts"] == arrow["t"]["ts"] for box in transfers)
        ends[src.name, dst.name] += 1
    assert ends == Counter((run.ops[t.src].name, run.ops[t.dst].name) for t in run.transfers)


def test_a_transfer_stands_on_the_link_into_its_device_with_its_bytes(run: Result) -> None:
    events = read(run)
    names = lanes(events)
    for e in boxes(events, "transfer"):
        assert names[e["tid"]].split(" #")[0] == f"link {e['name'].split(' → ')[1]}"
    assert sum(e["args"]["bytes"] for e in boxes(events, "transfer")) == sum(t.n_bytes for t in run.transfers)


def test_transfers_that_overlap_get_rows_of_their_own(make_result: Make) -> None:
    """Two at once, and a third after the first: two rows."""
    spans = [(0.0, 1e-3), (0.5e-3, 1.5e-3), (1e-3, 2e-3)]
    crossing = tuple(Transfer(0, 3, "dram", start, end, 8.0) for start, end in spans)
    events = read(replace(make_result(n_ops=4), transfers=crossing))
    names = lanes(events)
    assert [names[e["tid"]] for e in boxes(events, "transfer")] == ["link cpu", "link cpu #2", "link cpu"]


def test_counters_integrate_to_the_bytes_of_each_memory_and_to_the_energy(run: Result) -> None:
    events = read(run)
    for memory, n_bytes in run.memory_bytes.items():
        if n_bytes:
            assert integral(events, f"{memory} bandwidth") == pytest.approx(n_bytes, rel=1e-9)
    assert integral(events, "power") == pytest.approx(run.energy_j, rel=1e-9)
    groups = {e["name"] for e in events if e["ph"] == "C" and e["name"].startswith("power: ")}
    assert sum(integral(events, name) for name in groups) == pytest.approx(run.energy_j, rel=1e-9)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1e6)), max_size=20))
def test_steps_keep_the_sum_and_never_fall_below_nothing(spans: list[tuple[int, int, float]]) -> None:
    rows = [Row(0, "", "m", "", "", "", start / 1e3, (start + length) / 1e3, 0.0, n_bytes, 0, False) for start, length, n_bytes in spans]
    times, rates = steps(rows, "n_bytes")
    lasting = [row for row in rows if row.end_s > row.start_s]
    assert float((rates[:-1] * np.diff(times)).sum()) == pytest.approx(sum(row.n_bytes for row in lasting), rel=1e-6, abs=1e-6)
    assert (rates >= 0).all()
    assert not rates.size or rates[-1] == 0


def test_two_runs_are_two_processes_with_arrows_of_their_own(run: Result, make_result: Make) -> None:
    twice = read(run, run)
    assert {e["pid"] for e in twice} == {1, 2}
    ids = [e["id"] for e in twice if e["ph"] == "s"]
    assert len(ids) == len(set(ids)) == 2 * len(run.transfers)
    titles = {e["pid"]: e["args"]["name"] for e in read(run, make_result()) if e["name"] == "process_name"}
    assert titles == {1: "mobilenet_v2 on edge_npu_soc (heft)", 2: "net<1> on twin (heft)"}


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(min_size=1, max_size=20))
def test_any_name_of_an_op_survives(make_result: Make, name: str) -> None:
    result = make_result(names=[name, "last"])
    assert boxes(read(result), "op")[0]["name"] == name

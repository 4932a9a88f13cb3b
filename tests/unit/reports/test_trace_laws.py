"""Traces, Gantt charts, fronts and learning curves of runs made by hand: units, places of marks, and names that try to be markup."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosim.scheduling.instance import Goal
from cosim.scheduling.policy_weights import Trained, as_weights, initial, n_weights, shapes
from cosim.scheduling.train import Training
from cosim.scheduling.train_judge import Judgement
from cosim.simulation.front import Front
from cosim.simulation.placement import Placement
from cosim.simulation.result import Floor, Result, Transfer
from reports.front import front_chart, front_csv, front_page, front_table, headline, placement_file
from reports.html import place_page
from reports.placement import gantt_chart
from reports.trace import MAX_FLOWS, steps, trace_events, trace_text
from reports.training import curve_chart, curve_csv, training_page

Make = Callable[..., Result]
Read = Callable[[str], Any]
ReadCsv = Callable[[str], list[dict[str, str]]]
EVIL = "<img src=x onerror=alert(1)>"
CURVE = (Judgement(0, 1.02, 1.0), Judgement(40, 0.99, 0.97), Judgement(80, 0.95, 0.93))


def hits(svg: str) -> list[dict[str, Any]]:
    """Middle, size and text of every place of a chart that can be hovered over."""
    space = "{http://www.w3.org/2000/svg}"
    group = next(g for g in ET.fromstring(svg).iter(f"{space}g") if g.get("class") == "hits")
    found = []
    for rect in group:
        x, y, width, height = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        text = str(rect.findtext(f"{space}title"))
        found.append({"x": x + width / 2, "y": y + height / 2, "left": x, "width": width, "text": text, "key": rect.get("data-key")})
    return found


# --- traces -----------------------------------------------------------------------------------------------------------


def test_counters_hold_the_power_and_bandwidth_of_each_millisecond(make_result: Make) -> None:
    """An op of the array takes 2 + 1 mJ and reads 500 kB for 3 mJ in 1 ms, the last one on the cpu 0.5 mJ; the dram stands by at 10 mW."""
    events = trace_events(make_result(n_ops=3))
    counters: dict[str, list[tuple[float, float]]] = {}
    for e in events:
        if e["ph"] == "C":
            counters.setdefault(e["name"], []).append((e["ts"], *e["args"].values()))
            assert list(e["args"]) == ["bytes_per_s" if e["name"].endswith("bandwidth") else "w"]
    expected = [(0, 6.01), (1000, 6.01), (2000, 0.51), (3000, 0)]
    assert counters["power"] == [(pytest.approx(ts), pytest.approx(watts)) for ts, watts in expected]
    assert counters["dram bandwidth"] == [(pytest.approx(ts), pytest.approx(rate)) for ts, rate in ((0, 5e8), (1000, 5e8), (2000, 0))]
    assert "shared bandwidth" not in counters  # nothing goes through it


def test_a_box_says_what_its_op_did_in_microseconds_and_joules(make_result: Make) -> None:
    result = make_result(n_ops=2, energy=2.0)
    first, last = (e for e in trace_events(result, 7) if e["ph"] == "X")
    assert (first["pid"], first["ts"], first["dur"]) == (7, 0, pytest.approx(1000))
    assert (last["ts"], last["dur"]) == (pytest.approx(1000), pytest.approx(1000))
    assert first["args"]["energy_j"] == pytest.approx(2 * 3e-3 + 3e-3)
    assert last["args"]["energy_j"] == pytest.approx(5e-4)
    told = {"type": "Conv", "limit": "dram: pin bandwidth", "macs": 10**9, "bytes": 5e5}
    assert {name: first["args"][name] for name in told} == told


def test_a_trace_is_one_event_a_line_under_a_head_that_says_what_made_it(make_result: Make) -> None:
    result = make_result(n_ops=2)
    head, *lines = trace_text(result, result).splitlines()
    assert lines.pop() == "]}"
    assert [json.loads(line.removesuffix(",")) for line in lines] == [*trace_events(result, 1), *trace_events(result, 2)]
    made_by = json.loads(head + "]}")["otherData"]
    assert made_by["1"] == made_by["2"] == {"workload": "net<1>", "chip": "twin", **result.provenance}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8)), min_size=1, max_size=15))
def test_transfers_take_as_many_rows_as_ever_are_under_way_at_once(make_result: Make, spans: list[tuple[int, int]]) -> None:
    """The rows of a link are a coloring of intervals, which first-fit by start does with the least: their depth."""
    crossing = tuple(Transfer(0, 2, "dram", float(begin), float(begin + length), 1.0) for begin, length in spans)
    boxes = [e for e in trace_events(replace(make_result(n_ops=3), transfers=crossing)) if e["ph"] == "X" and e["cat"] == "transfer"]
    depth = max(sum(begin <= time < begin + length for begin, length in spans) for time in range(30))
    rows: dict[int, list[tuple[float, float]]] = {}
    for e in boxes:
        rows.setdefault(e["tid"], []).append((e["ts"], e["ts"] + e["dur"]))
    assert len(boxes) == len(spans)
    assert len(rows) == depth
    for row in rows.values():
        assert all(stop <= begin for (_, stop), (begin, _) in pairwise(sorted(row)))


def test_links_of_different_devices_have_lanes_in_the_order_of_the_chip(make_result: Make) -> None:
    """One transfer to the cpu, then two at once to the array: the lanes of the array come first nevertheless."""
    crossing = (Transfer(0, 3, "dram", 0.0, 1.0, 1.0), Transfer(3, 1, "dram", 2.0, 4.0, 1.0), Transfer(3, 2, "dram", 3.0, 5.0, 1.0))
    events = trace_events(replace(make_result(n_ops=4), transfers=crossing))
    lanes = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert lanes == dict(enumerate(["cim", "cpu", "link cim", "link cim #2", "link cpu"], start=1))
    order = {e["tid"]: e["args"]["sort_index"] for e in events if e["name"] == "thread_sort_index"}
    assert all(tid == index for tid, index in order.items())
    titles = [e["name"] for e in events if e["ph"] == "X" and e["cat"] == "transfer"]
    assert titles == ["cim → cpu", "cpu → cim", "cpu → cim"]


def test_ids_of_arrows_are_those_of_their_process(make_result: Make) -> None:
    result = replace(make_result(n_ops=3), transfers=(Transfer(0, 2, "dram", 1e-3, 2e-3, 8.0),))
    for pid in (1, 5):
        arrow = [e for e in trace_events(result, pid) if e.get("id")]
        assert [e["ph"] for e in arrow] == ["s", "t", "f"]
        assert {e["id"] for e in arrow} == {pid * MAX_FLOWS + 1}
        assert arrow[0]["ts"] == pytest.approx(999)  # within the box of the first op, which ends at 1000
        assert (arrow[1]["ts"], arrow[2]["ts"]) == (pytest.approx(1000), pytest.approx(2000))


def test_rates_of_rows_that_overlap_add_up_and_moments_have_none(make_result: Make) -> None:
    """6 J from 0 to 3 s and 4 J from 1 to 2 s: 2 W, 6 W, 2 W."""
    row = make_result().rows[0]
    rows = [row._replace(start_s=start, end_s=end, energy_j=joules) for start, end, joules in ((0, 3, 6.0), (1, 2, 4.0), (1, 1, 9.0))]
    times_s, watts = steps(rows, "energy_j")
    assert times_s.tolist() == [0, 1, 2, 3]
    assert watts.tolist() == [2, 6, 2, 0]
    assert all(values.size == 0 for values in steps(rows[2:], "energy_j"))


# --- charts -----------------------------------------------------------------------------------------------------------


def test_boxes_of_a_gantt_chart_stand_end_to_end_and_say_when(make_result: Make) -> None:
    """Four ops of 1 ms: each box begins where the one before ends, and the cpu has the lane below."""
    chart = gantt_chart(make_result(n_ops=4), "gantt", 4e-3)
    boxes = sorted(hits(chart.svg), key=lambda box: box["left"])
    for first, second in pairwise(boxes):
        assert second["left"] == pytest.approx(first["left"] + first["width"], abs=0.2)
    assert [box["text"].split(": ")[1].split(", ")[0] for box in boxes] == ["0 s to 1.00 ms"] + [
        f"{k}.00 ms to {k + 1}.00 ms" for k in (1, 2, 3)
    ]
    assert len({box["y"] for box in boxes[:3]}) == 1
    assert boxes[3]["y"] > boxes[0]["y"]
    assert "cim · 75.0 %" in chart.svg
    assert "cpu · 25.0 %" in chart.svg
    assert chart.title == "heft: 4.00 ms on 2 devices of 2"


def test_the_legend_of_a_gantt_chart_has_what_is_drawn_and_no_more(make_result: Make) -> None:
    names = [name for name, _ in gantt_chart(make_result(n_ops=3), "gantt", 3e-3).legend]
    assert names == ["matrix product or convolution", "softmax", "memory traffic"]
    plain = gantt_chart(make_result(n_ops=3), "gantt", 3e-3)
    assert "Lines between lanes" not in plain.caption
    assert "Dark feet" not in plain.caption
    crossing = replace(make_result(n_ops=3), transfers=(Transfer(1, 2, "dram", 2e-3, 2e-3, 8.0),))
    assert "Lines between lanes" in gantt_chart(crossing, "gantt", 3e-3).caption


@pytest.fixture
def front(make_result: Make) -> Front:
    """Three points, 3, 6 and 9 ms, each of less energy, and HEFT at 6 ms with most."""
    made = [(make_result(n_ops=3, energy=energy), k) for energy, k in ((1.0, 1), (0.6, 2), (0.2, 3), (1.4, 2))]
    runs = [replace(one, floor=Floor(3e-3, 5e-3, ""), latency=replace(one.latency, total=k * 3e-3)) for one, k in made]
    return Front(tuple(replace(one, policy="front", accuracy_loss=0.01 * i) for i, one in enumerate(runs[:3])), (runs[3],))


def test_marks_of_a_front_are_right_for_slow_and_up_for_hungry(front: Front) -> None:
    """Even steps of time are even steps to the right, and so for energy upwards: both axes are linear."""
    marks = {mark["key"]: mark for mark in hits(front_chart(front).svg)}
    points = [marks[placement_file(i)] for i in range(3)]
    assert points[1]["x"] - points[0]["x"] == pytest.approx(points[2]["x"] - points[1]["x"], abs=0.2)
    assert points[1]["y"] - points[0]["y"] == pytest.approx(points[2]["y"] - points[1]["y"], abs=0.2)
    assert points[0]["y"] < points[2]["y"]
    assert marks["heft"]["x"] == pytest.approx(points[1]["x"], abs=0.2)
    assert marks["heft"]["y"] < points[0]["y"]
    assert "6.00 ms" in points[1]["text"]
    assert points[1]["text"].endswith("cim 2, cpu 1")


def test_a_front_as_csv_is_exact_and_in_si_units(front: Front, read_csv: ReadCsv) -> None:
    rows = read_csv(front_csv(front))
    assert [row["placement"] for row in rows] == ["front_1.json", "front_2.json", "front_3.json", "heft"]
    for row, result in zip(rows, (*front.results, *front.references), strict=True):
        assert (float(row["makespan_s"]), float(row["energy_j"])) == (result.latency_s, result.energy_j)
        assert float(row["edp_js"]) == result.latency_s * result.energy_j
        assert int(row["ops_on_cim"]) + int(row["ops_on_cpu"]) == len(result.ops)
    assert [row["accuracy_loss"] for row in rows] == ["0.0", "0.01", "0.02", ""]  # not known for the last


def test_a_front_as_text_and_as_a_page_have_the_same_rows(front: Front, read_page: Read) -> None:
    page = read_page(front_page(front))
    head, _, *lines = front_table(front).splitlines()
    assert head == f"net<1> on twin, fidelity simpy: {headline(front)}"
    assert [line.split()[0] for line in lines[1:]] == ["front_1.json", "front_2.json", "front_3.json", "heft", "none"]
    assert headline(front) in page.text
    for words in ("3.00 ms", "6.00 ms", "9.00 ms", "No placement takes less than 3.00 ms or 5.00 mJ", "fixed:front_1.json", "1.0 %"):
        assert words in page.text, words


@pytest.fixture
def training() -> Training:
    provenance = {"seed": EVIL, "cpu_minutes": 1.5, "recipe": {EVIL: "</table>"}, "parent": "a&b"}
    return Training(Trained(as_weights(initial(np.random.default_rng(0), 3, 2), 3, 2), 0.1, provenance), CURVE)


def test_a_learning_curve_goes_right_with_steps_and_down_with_makespan(read_csv: ReadCsv, training: Training) -> None:
    chart = curve_chart(CURVE)
    greedy, best = (sorted((m for m in hits(chart.svg) if label in m["text"]), key=lambda m: m["x"]) for label in ("greedy", "best of 8"))
    for line in (greedy, best):
        assert line[1]["x"] - line[0]["x"] == pytest.approx(line[2]["x"] - line[1]["x"], abs=0.2)  # steps 0, 40, 80
        assert line[0]["y"] < line[1]["y"] < line[2]["y"]  # less is better, and lower
    assert all(under["y"] > over["y"] for over, under in zip(greedy, best, strict=True))
    assert [mark["text"] for mark in greedy] == [f"step {p.step}: one greedy roll-out {p.greedy:.4f}" for p in CURVE]
    assert [label for label, _ in chart.legend] == ["one greedy roll-out: 0.950 at the end", "best of 8: 0.930 at the end"]
    assert chart.title == "One greedy roll-out: 1.020 of the portfolio's makespan before training, 0.950 after"
    assert [float(row["best_of_8"]) for row in read_csv(curve_csv(training))] == [p.best_of_8 for p in CURVE]


def test_the_training_page_lists_every_array_with_its_shape(training: Training, read_page: Read) -> None:
    page = read_page(training_page(training))
    for name, shape in shapes(3, 2).items():
        assert f"{name} {' × '.join(map(str, shape))}" in page.text
    assert sum(int(np.prod(shape)) for shape in shapes(3, 2).values()) == n_weights(3, 2) == page.values("n_weights")[""]


# --- names that try to be markup --------------------------------------------------------------------------------------


def evil(result: Result) -> Result:
    """A run whose policy, network and provenance are markup."""
    return replace(result, policy=EVIL, workload=replace(result.workload, name=EVIL), provenance={EVIL: EVIL})


def is_safe(html: str, page: Any) -> bool:
    """The text is shown as it is, and no element or attribute has come of it."""
    return EVIL in page.text and EVIL not in html and not any(tag == "img" or "onerror" in attrs for tag, attrs in page.tags)


def test_names_are_shown_and_never_run(make_result: Make, front: Front, training: Training, read_page: Read) -> None:
    result = evil(make_result(names=[EVIL, "last"]))
    pages = (
        place_page(Placement(Goal(), result, evil(make_result(names=[EVIL, "last"], energy=2.0)))),
        front_page(Front(tuple(evil(one) for one in front.results), tuple(evil(one) for one in front.references))),
        training_page(training),
    )
    for html in pages:
        assert is_safe(html, read_page(html))


def test_a_chart_with_such_names_is_still_a_picture(make_result: Make) -> None:
    """An SVG stands in the page as it is, so its titles and labels must be text there too."""
    result = evil(make_result(names=[EVIL, "last"]))
    svg = gantt_chart(result, "gantt", 2e-3, frozenset({EVIL})).svg
    assert any(box["text"].startswith(EVIL) for box in hits(svg))
    assert not [one for one in ET.fromstring(svg).iter() if one.tag.endswith("img")]


def test_names_in_a_trace_come_back_as_they_were(make_result: Make) -> None:
    """Quotes, line ends and backslashes too, though every event is a line of its own."""
    awkward = 'a"\\\n\u2028</script>'
    events = json.loads(trace_text(evil(make_result(names=[awkward, "last"]))))["traceEvents"]
    assert events[0]["args"]["name"] == f"{EVIL} on twin ({EVIL})"
    assert awkward in [e["name"] for e in events if e["ph"] == "X"]

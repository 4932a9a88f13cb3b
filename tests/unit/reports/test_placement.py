"""The Gantt chart and the page of a placement, against the runs that they show."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import cosim
from cosim.scheduling.instance import Goal
from cosim.simulation.placement import Placement, loads, place_workload
from cosim.simulation.result import Floor, Result, Transfer
from reports.html import place_files, place_page
from reports.placement import bound_line, compared_charts, conclusions, device_rows, gantt_chart, improvement_line, sentence
from reports.text import place_table

Make = Callable[..., Result]
Read = Callable[[str], Any]


@pytest.fixture
def placement(make_result: Make) -> Placement:
    """Four ops, the last on the cpu, that another policy takes half longer for with one more on the cpu."""
    result = replace(
        make_result(n_ops=4),
        policy="portfolio",
        floor=Floor(3e-3, 1e-3, "the longest chain"),
        transfers=(Transfer(2, 3, "dram", 3e-3, 3e-3, 8.0),),
    )
    other = make_result(n_ops=4)
    ops = tuple(replace(op, device="cpu") if op.name == "op2" else op for op in other.ops)
    ops = tuple(replace(op, start_s=1.5 * op.start_s, end_s=1.5 * op.end_s) for op in ops)
    slower = replace(other.latency, total=6e-3)
    return Placement(Goal(), result, replace(other, ops=ops, latency=slower, policy="heft", floor=result.floor))


@pytest.fixture(scope="module")
def real() -> Placement:
    return place_workload(cosim.Simulation(cosim.load_chip("edge_npu_soc"), cosim.load_workload("mobilenet_v2"), "portfolio"))


def hits(svg: str) -> list[dict[str, str]]:
    tree = ET.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    group = next(g for g in tree.iter(f"{space}g") if g.get("class") == "hits")
    return [{**rect.attrib, "title": str(rect.findtext(f"{space}title"))} for rect in group]


def test_every_op_has_its_box_on_the_lane_of_its_device(real: Placement) -> None:
    chart = gantt_chart(real.result, "gantt", real.result.latency_s)
    boxes = hits(chart.svg)
    assert len(boxes) == len(real.result.ops)
    middles: dict[str, set[float]] = {}
    for box in boxes:
        device = re.search(r"\) on (\S+):", box["title"])
        assert device
        middles.setdefault(device[1], set()).add(float(box["y"]) + float(box["height"]) / 2)
    assert {name: len(found) for name, found in middles.items()} == {load.device: 1 for load in loads(real.result) if load.n_ops}
    heights = [next(iter(middles[name])) for name in real.result.chip.devices if name in middles]
    assert heights == sorted(heights), "lanes in the order of the chip"


def test_boxes_are_as_long_as_their_ops(placement: Placement) -> None:
    """Four ops of 1 ms on an axis of 4 ms: a quarter each; on one of 8 ms, half of that."""
    widths = [float(box["width"]) for box in hits(gantt_chart(placement.result, "a", 4e-3).svg)]
    halves = [float(box["width"]) for box in hits(gantt_chart(placement.result, "b", 8e-3).svg)]
    assert max(widths) == pytest.approx(min(widths), abs=0.2)
    assert halves == pytest.approx([width / 2 for width in widths], rel=0.01)


def test_both_charts_have_one_time_axis(placement: Placement) -> None:
    first, second = compared_charts(placement)
    assert (first.name, second.name) == ("gantt", "gantt-baseline")
    a, b = (max(float(box["x"]) + float(box["width"]) for box in hits(chart.svg)) for chart in (first, second))
    assert a < b
    assert "portfolio" in first.title
    assert "heft" in second.title
    assert "Dark feet" in first.caption


def test_a_chart_marks_its_end_and_the_bound(placement: Placement) -> None:
    svg = gantt_chart(placement.result, "gantt", 4e-3).svg
    assert "no placement beats 3.00 ms" in svg
    assert "end 4.00 ms" in svg
    at_bound = replace(placement.result, floor=Floor(4e-3, 1e-3, "the longest chain"))
    assert "no placement beats" not in gantt_chart(at_bound, "gantt", 4e-3).svg


def test_the_same_placement_is_drawn_once(placement: Placement) -> None:
    same = replace(placement, baseline=placement.result)
    assert len(compared_charts(same)) == 1
    assert len(compared_charts(replace(placement, baseline=None))) == 1


def test_conclusions_name_bound_gain_load_and_transfers(placement: Placement) -> None:
    told = " ".join(conclusions(placement))
    assert "No placement takes less than 3.00 ms (the longest chain): this one is 33.3 % above." in told
    assert "The makespan is 33.3 % less than with heft (ratio 0.67); heft runs 1 op of 4 elsewhere." in told
    assert "cim carries most: 3 ops, busy 75.0 % of the time." in told
    assert "1 transfer between devices: 8.00 B." in told


def test_a_worse_placement_says_so(placement: Placement) -> None:
    assert placement.baseline is not None
    worse = replace(placement, result=placement.baseline, baseline=placement.result)
    assert improvement_line(worse) == "The makespan is 50.0 % more than with portfolio (ratio 1.50)"
    assert improvement_line(replace(placement, baseline=placement.result)) == "The makespan is that of portfolio"
    assert "no other policy" in improvement_line(replace(placement, baseline=None))


def test_energy_as_objective_has_a_bound_of_its_own(placement: Placement) -> None:
    told = conclusions(replace(placement, goal=Goal(1.0)))
    assert any(line.startswith("For the energy there is a lower bound too") for line in told)
    assert len(told) == len(conclusions(placement)) + 1


def test_at_the_bound_is_there(placement: Placement) -> None:
    assert bound_line(replace(placement.result, floor=Floor(4e-3, 1e-3, "the longest chain"))).endswith("this one is there")
    assert sentence("a DRAM") == "A DRAM"


def test_the_page_shows_the_numbers_of_the_placement(placement: Placement, read_page: Read) -> None:
    page = read_page(place_page(placement))
    assert page.values("makespan_s") == {"": placement.result.latency_s}
    assert page.values("lower_bound_s") == {"": 3e-3}
    assert page.values("gap") == {"": placement.result.gap}
    assert page.values("objective_ratio") == {"": placement.ratio}
    assert page.values("device_busy_s", ["tr"]) == {load.device: load.busy_s for load, _ in device_rows(placement)}
    assert "fixed:placement.json" in page.text


def test_awkward_names_do_not_break_the_page(make_result: Make, read_page: Read) -> None:
    page = read_page(place_page(Placement(Goal(), make_result(n_ops=2))))
    assert '/a<b>&"c"/conv' in page.text


def test_a_placement_has_the_files_of_a_run_and_its_own_page(placement: Placement) -> None:
    assert set(place_files(placement)) == {"placement.html", "report.html", "ledger.csv", "ops.csv", "summary.csv"}


def test_the_table_lines_up(real: Placement) -> None:
    text = place_table(real)
    load = text.partition("Load\n")[2].partition("\n\n")[0].splitlines()
    assert len(load) == 1 + len(real.result.chip.devices)
    assert text.count("no placement beats") == 1
    assert "against" not in load[0]
    assert real.result.policy in text

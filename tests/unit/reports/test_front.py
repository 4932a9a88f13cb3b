"""The picture, page and table of a front of runs made by hand."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cosim.simulation.front import Front
from cosim.simulation.result import Floor, Result
from reports.front import front_chart, front_csv, front_page, front_table, headline, placement_file

Make = Callable[..., Result]
Read = Callable[[str], Any]


@pytest.fixture
def front(make_result: Make) -> Front:
    """Half the energy of the array for twice the time, beside HEFT that is worse than both."""
    floor = Floor(2e-3, 5e-3, "the longest chain")
    results = []
    for k, energy in ((1, 1.0), (2, 0.5)):
        made = make_result(n_ops=3, energy=energy)
        results.append(replace(made, floor=floor, policy="front", latency=replace(made.latency, total=k * made.latency_s)))
    worse = make_result(n_ops=3, energy=1.2)
    return Front(tuple(results), (replace(worse, floor=floor, latency=replace(worse.latency, total=7e-3)),))


def test_the_headline_says_what_time_buys(front: Front) -> None:
    saved = 1 - front.results[1].energy_j / front.results[0].energy_j
    assert headline(front) == f"{saved * 100:.1f} % of the energy can be saved by taking 2.0 times as long"
    assert headline(replace(front, results=front.results[:1])).startswith("one placement is best in both: 3.00 ms and")


def test_every_point_stands_in_chart_table_and_csv(front: Front, read_page: Read) -> None:
    page = read_page(front_page(front))
    expected = {"front_1.json": front.results[0].energy_j, "front_2.json": front.results[1].energy_j, "heft": front.references[0].energy_j}
    assert page.values("point_energy_j") == expected
    assert page.values("front_energy_j") == expected
    rows = {row["placement"]: row for row in csv.DictReader(io.StringIO(front_csv(front)))}
    assert {name: float(row["energy_j"]) for name, row in rows.items()} == expected
    assert (rows["front_1.json"]["ops_on_cim"], rows["front_1.json"]["ops_on_cpu"]) == ("2", "1")


def test_the_table_marks_the_least_energy_delay_product(front: Front) -> None:
    lines = front_table(front).splitlines()
    (marked,) = [line for line in lines if "least energy x delay" in line]
    assert marked.split()[0] == placement_file(front.knee)
    assert "cim 2, cpu 1" in marked
    assert lines[-1].split()[:4] == ["none", "beats", "2.00", "ms"]


@pytest.mark.parametrize("n", [1, 2])
def test_a_front_of_any_length_can_be_drawn(front: Front, n: int) -> None:
    svg = front_chart(replace(front, results=front.results[:n])).svg
    ET.fromstring(svg)
    assert "no placement beats these" in svg


def test_a_point_at_its_bounds_can_be_drawn(front: Front) -> None:
    """All values of an axis alike: it still has a length."""
    only = front.results[0]
    at = Floor(only.latency_s, only.energy_j, "")
    ET.fromstring(front_chart(Front((replace(only, floor=at),), ())).svg)

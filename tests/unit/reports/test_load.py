"""The report of a load: its numbers are those of the result, its words say what they mean."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import cosim
from cosim.simulation.arrivals import Stream
from cosim.simulation.load import Load
from reports.load import (
    _most_by_bin,
    count_rate,
    findings,
    headline,
    latency_chart,
    load_files,
    load_page,
    load_table,
    number_chart,
    slowest,
    used,
)


@pytest.fixture(scope="module")
def chip():
    return cosim.load_chip("edge_npu_soc")


@pytest.fixture(scope="module")
def result(chip):
    streams = [
        Stream(cosim.load_workload("lenet5"), rate_per_s=2000.0, deadline_s=1e-5),
        Stream(cosim.load_workload("mlp"), period_s=1e-3, deadline_s=1.0),
    ]
    return Load(chip, streams, policy="heft", n_inferences=120, dvfs={"npu": 0.8}).run()


@pytest.fixture(scope="module")
def saturated(chip):
    return Load(chip, [Stream(cosim.load_workload("lenet5"))], policy="heft", n_inferences=60, saturated=True, in_flight=3).run()


def test_the_page_shows_the_exact_numbers_of_the_result(result, read_page):
    page = read_page(load_page(result))
    assert page.values("throughput_per_s")[""] == result.throughput_per_s
    assert page.values("energy_per_inference_j")[""] == result.energy.total_j
    assert page.values("in_system")[""] == result.little.in_system
    assert page.values("utilization", {"tr"}) == {use.name: use.utilization for use in used(result)}
    for name in ("mean", "p50", "p90", "p99", "max"):
        assert page.values(f"stream_{name}_s") == {stream.name: stream.latency[name].value for stream in result.streams}


def test_dots_of_the_distribution_are_the_percentiles(result, read_page):
    page = read_page(load_page(result))
    for name in ("p50", "p90", "p99"):
        assert page.values(f"latency_{name}_s", {"rect"}) == {stream.name: stream.latency[name].value for stream in result.streams}


def test_charts_say_their_message(result, saturated):
    latency, number = latency_chart(result), number_chart(result)
    assert slowest(result).name in latency.title
    assert "Dashed: deadline" in latency.caption
    assert "in the system" in number.title
    assert "first start" in latency_chart(saturated).caption
    assert "on the chip" in number_chart(saturated).title
    assert [name for name, _ in latency.legend] == ["lenet5", "mlp"]


def test_findings_name_the_bottleneck_deadlines_law_energy_and_clock(result):
    told = " ".join(findings(result))
    assert f"{result.bottleneck} limits this mix" in told
    assert "miss the deadline of 10.0 µs" in told
    assert "mlp takes" in told
    assert "none misses the deadline of 1.00 s" in told
    assert "Little's law" in told
    assert "npu runs at 80.0 % of its clock" in told


def test_what_cannot_keep_up_is_said_first(result):
    growing = dataclasses.replace(result, keeps_up=False, growth_per_s=12.0)
    assert headline(growing).startswith("it does not keep up")
    assert any("grows by 12.0 a second" in text for text in findings(growing))
    assert "does not keep up" in load_page(growing)
    assert "more and more" in number_chart(growing).title


def test_a_saturated_load_is_told_by_its_interval(saturated, read_page):
    assert headline(saturated).startswith("at most ")
    page = read_page(load_page(saturated))
    assert page.values("interval_s")[""] == saturated.interval_s
    assert "Saturated load" in page.text
    assert "at most 3 in flight" in page.text


def test_a_stream_of_which_nothing_was_counted_is_said_so(result):
    empty = dataclasses.replace(result.streams[1], latency={}, n=0, misses=0)
    records = dataclasses.replace(result.records, counted=result.records.counted & (result.records.stream == 0))
    odd = dataclasses.replace(result, streams=(result.streams[0], empty), records=records)
    assert any("nothing was counted" in text for text in findings(odd))
    assert "mlp" in load_table(odd)
    assert load_page(odd)
    assert slowest(dataclasses.replace(result, streams=(empty,))) is None


def test_files_are_a_page_and_three_tables(result, read_csv):
    files = load_files(result)
    assert set(files) == {"load.html", "load_streams.csv", "load_inferences.csv", "load_utilization.csv"}
    rows = read_csv(files["load_streams.csv"])
    assert float(rows[0]["latency_s"]) == result.streams[0].latency["mean"].value
    assert {row["deadline_s"] for row in rows} == {"1e-05", "1.0"}
    assert len(read_csv(files["load_inferences.csv"])) == 120
    assert "<script src" not in files["load.html"]


def test_names_from_outside_do_not_become_markup(result):
    odd = dataclasses.replace(result, streams=(dataclasses.replace(result.streams[0], name="<b>x</b>"), result.streams[1]))
    assert "<b>x</b>" not in load_page(odd)


def test_the_largest_of_a_step_is_never_below_what_is_open_in_it():
    start_s, end_s = np.array([0.0, 0.5, 6.0]), np.array([4.0, 1.0, 8.0])
    assert _most_by_bin(start_s, end_s, 8.0, 8).tolist() == [2.0, 2.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0]


def test_rates_are_worded_without_prefixes_where_they_are_readable():
    assert [count_rate(rate) for rate in (0.1234, 12.34, 1381.4, 25_600_000.0)] == ["0.123", "12.3", "1,381", "25.6 M"]

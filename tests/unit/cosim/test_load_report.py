"""What is said about loads worked out on paper: text, page, tables and charts, and how options of the command are read."""

from __future__ import annotations

import csv
import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.cli.load import _by_name, _gating, _number, _pair, _seconds, _streams
from cosim.simulation.arrivals import Stream
from cosim.simulation.load import Load
from cosim.simulation.load_result import Energy
from cosim.simulation.power import Gating, OperatingPoint
from reports.load import _most_by_bin, findings, headline, inferences_csv, load_page, load_table, streams_csv, used, uses_csv
from workloads.errors import CosimError, SimulationError


@pytest.fixture(scope="module")
def calm(hand):
    """One every 8 s that takes 6 s and 12 J on `cpu`, 2 W drawn by it and none by the idle `b`; late by 1 s each time."""
    chip = hand.chip({"cpu": {"idle_w": 2.0, "mac_j": 2.0}, "b": {}})
    stream = Stream(hand.line(2, 3), period_s=8.0, deadline_s=5.0)
    return Load(chip, [stream], policy="single:cpu", fidelity="mapped", n_inferences=10, warmup=0.0, gating=Gating(0.5, 0.0)).run()


@pytest.fixture(scope="module")
def crowd(hand):
    """A trace of 60 in 60 s for a server of 6 s, beside a patient stream of two: neither keeps up."""
    streams = [
        Stream(hand.line(2, 3), arrivals_s=tuple(float(t) for t in range(60)), name="rush"),
        Stream(hand.line(2, 3), arrivals_s=(0.5, 30.5), deadline_s=1000.0, name="calm"),
    ]
    return Load(hand.chip({"cpu": {}}), streams, policy="single:cpu", fidelity="mapped", warmup=0.0).run()


def rows(text):
    return list(csv.DictReader(text.splitlines()))


# --- text -------------------------------------------------------------------------------------------------------------


def test_the_headline_has_rate_and_tail(calm, crowd):
    """Nine ends within 72 s are 0.125/s; of two streams the slower is named, and one that falls behind is said so first."""
    assert headline(calm) == "0.125 inferences/s, 99 % within 6.00 s"
    assert headline(crowd).startswith("it does not keep up; 0.15")
    assert "99 % of rush within" in headline(crowd)


def test_findings_of_a_calm_load_by_hand(calm):
    """1 / 6 a second would fit and 0.125 come: 75 %. Per inference 12 J and 8 s * 2 W, less 1.5 s * 2 W gated: 25 J, 13 of them standby."""
    told = findings(calm)
    assert told[0] == "cpu limits this mix to 0.167 inferences/s; 75.0 % of that is reached."
    assert told[1] == "line takes 6.00 s in the median, 6.00 s alone; 10 of 10 (100 %) miss the deadline of 5.00 s."
    assert told[2].startswith("0.750 inferences are in the system on average;")
    assert told[2].endswith("gives 0.750.")
    assert told[3] == "An inference takes 25.0 J, 52.0 % of it standby, after 3.00 J saved by gating; the chip draws 3.12 W."
    assert len(told) == 4


def test_a_scaled_clock_is_told_with_its_supply(calm):
    told = findings(dataclasses.replace(calm, points={"cpu": OperatingPoint(0.5, 0.6, 0.9)}))[-1]
    assert told == "cpu runs at 50.0 % of its clock and 0.60 V (nominal 0.90 V), its dynamic energy at 44.4 %."


def test_what_has_no_meaning_is_left_out(calm):
    """No sentence on a bound that is infinite, on energy that is none, or on Little's law where all wait from the start."""
    bare = dataclasses.replace(calm, bound_per_s=float("inf"), energy=Energy(0.0, 0.0, 0.0, 0.0), saturated=True)
    assert findings(bare) == [
        "line takes 6.00 s in the median, 6.00 s alone; 10 of 10 (100 %) miss the deadline of 5.00 s, from its first start."
    ]
    assert bare.summary()["bound_per_s"] is None
    assert bare.summary()["bottleneck"] is None


def test_the_table_holds_both_streams_and_what_is_busy(calm, crowd):
    text = load_table(calm)
    assert "line on hand: 0.125 inferences/s" in text
    assert "policy single:cpu, fidelity mapped, order fifo, seed 0; 10 of 10 inferences counted" in text
    assert re.search(r"^\s*line +periodic +0\.125/s +6\.00 s +6\.00 s +6\.00 s +6\.00 s +6\.00 s +10$", text, re.MULTILINE)
    assert re.search(r"^\s*cpu +device +75\.0 % +75\.0 % +█{18}$", text, re.MULTILINE)  # 0.75 of 24 blocks
    assert re.search(r"^\s*b +device +0 % +0 %", text, re.MULTILINE)
    both = load_table(crowd)
    assert re.search(r"^\s*rush +trace +1\.00/s", both, re.MULTILINE)
    assert re.search(r"^\s*calm +trace +0\.0333/s .* 0$", both, re.MULTILINE)
    assert "note: the trace offers cpu a load of 6.20: while it lasts, queues grow" in both  # 6 * (1 + 1 / 30)


# --- page and tables --------------------------------------------------------------------------------------------------


def test_the_page_repeats_the_numbers_by_hand(calm):
    page = load_page(calm)
    metric = {name: float(value) for name, value in re.findall(r'data-metric="(\w+)"[^>]*data-value="([^"]+)"', page)}
    expected = {"throughput_per_s": 0.125, "bound_per_s": 1 / 6, "interval_s": 8.0, "latency_p99_s": 6.0, "in_system": 0.75}
    assert {name: metric[name] for name in expected} == {name: pytest.approx(value) for name, value in expected.items()}
    assert metric["energy_per_inference_j"] == pytest.approx(25.0)
    assert "keeps up" in page
    assert "10 inferences counted of 10" in page
    assert "6.00 s" in page


def test_latencies_add_up_again_from_the_table_of_inferences(crowd):
    """Percentiles of the streams' table are those of ends less arrivals in the other one."""
    every, found = rows(inferences_csv(crowd)), rows(streams_csv(crowd))
    for name, n in (("rush", 60), ("calm", 2)):
        own = [float(row["end_s"]) - float(row["arrival_s"]) for row in every if row["stream"] == name]
        assert len(own) == n
        told = {row["statistic"]: float(row["latency_s"]) for row in found if row["stream"] == name}
        assert told["mean"] == pytest.approx(sum(own) / n)
        assert told["max"] == max(own)
        for statistic, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
            assert told[statistic] == pytest.approx(np.quantile(own, share))
        assert {row["n"] for row in found if row["stream"] == name} == {str(n)}
    assert {row["deadline_s"] for row in found if row["stream"] == "rush"} == {""}


def test_the_table_of_uses_keeps_all_and_the_page_what_is_touched(calm):
    table = {row["name"]: row for row in rows(uses_csv(calm))}
    assert list(table) == ["cpu", "b", "dram", "link cpu", "link b"]
    assert float(table["cpu"]["utilization"]) == pytest.approx(0.75)
    assert float(table["link b"]["utilization"]) == 0.0
    assert [use.name for use in used(calm)] == ["cpu", "b", "dram", "link cpu"]  # a link that nothing crosses is left out


@settings(max_examples=50, deadline=None)
@given(spans=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 24)), min_size=1, max_size=10), n_bins=st.integers(1, 16))
def test_the_largest_of_each_part_is_what_a_look_at_every_event_finds(spans, n_bins):
    """Within [left, right) the number is largest at its left edge or right after an event in it."""
    start_s = np.array([float(start) for start, _ in spans])
    end_s = start_s + [float(length) for _, length in spans]
    last_s = float(end_s.max())

    def open_at(time_s):
        return sum(start <= time_s < end for start, end in zip(start_s, end_s, strict=True))

    found = _most_by_bin(start_s, end_s, last_s, n_bins)
    for place in range(n_bins):
        events = [t for t in (*start_s, *end_s) if t < last_s and int(t / last_s * n_bins) == place]
        first = place * last_s / n_bins
        assert found[place] >= max((open_at(t) for t in events), default=0)
        before = [t for t in (*start_s, *end_s) if int(t / last_s * n_bins) < place]
        assert found[place] == max([open_at(t) for t in events] + [open_at(max(before)) if before else 0]), first


# --- options of the command -------------------------------------------------------------------------------------------


def test_a_value_without_a_name_is_for_all_and_a_later_one_wins():
    names = ["a", "b", "c"]
    assert _by_name("--deadline", ("5ms", "b=1ms"), names, _seconds) == {"a": 5e-3, "b": 1e-3, "c": 5e-3}
    assert _by_name("--deadline", ("b=1ms", "5ms"), names, _seconds) == {"a": 5e-3, "b": 5e-3, "c": 5e-3}
    assert _by_name("--priority", ("c=-2.5",), names, _number) == {"c": -2.5}
    assert _by_name("--priority", (), names, _number) == {}
    with pytest.raises(CosimError, match=r"--deadline d=1ms: 'd' is none of the load"):
        _by_name("--deadline", ("d=1ms",), names, _seconds)


def test_pairs_numbers_and_times_are_read_with_their_option_in_the_message():
    assert _pair("--dvfs", "npu=0.5") == ("npu", "0.5")
    assert _pair("--dvfs", "a=b=c") == ("a", "b=c")
    assert _seconds("--deadline", "250us") == pytest.approx(250e-6)
    assert _number("--dvfs", "1e-1") == 0.1
    for given_text in ("npu", "=0.5", ""):
        with pytest.raises(CosimError, match=r"^--dvfs .*: write NAME=VALUE$"):
            _pair("--dvfs", given_text)
    with pytest.raises(CosimError, match=r"^--dvfs: 'fast' is not a number"):
        _number("--dvfs", "fast")
    with pytest.raises(CosimError, match=r"^--deadline: "):
        _seconds("--deadline", "5 W")


def test_gating_is_a_time_and_a_share():
    assert _gating(None) is None
    assert dataclasses.astuple(_gating("100us,0.1")) == pytest.approx((1e-4, 0.1))
    assert _gating("0s,1") == Gating(0.0, 1.0)
    for text, message in (("100us", "write TIME,KEPT"), ("5,0.1", "--gating: "), ("1ms,most", "'most' is not a number")):
        with pytest.raises(CosimError, match=message):
            _gating(text)
    with pytest.raises(SimulationError, match=r"gating keeps 1\.5 of the idle power; choose 0 to 1"):
        _gating("1ms,1.5")


def test_streams_of_the_command_share_a_network_and_keep_their_own_numbers(tmp_path):
    made = _streams(("lenet5@200", "mlp@2ms", "lenet5@0.5/s"), None, (), ("lenet5=1ms",), ("mlp=2", "lenet5#2=1"), None)
    assert [one.name for one in made] == ["lenet5", "mlp", "lenet5#2"]
    assert [one.kind for one in made] == ["Poisson", "periodic", "Poisson"]
    assert [one.mean_rate_per_s for one in made] == [200.0, pytest.approx(500.0), 0.5]
    assert [one.deadline_s for one in made] == [1e-3, None, None]
    assert [one.priority for one in made] == [0.0, 2.0, 1.0]
    assert made[0].workload is made[2].workload
    trace = tmp_path / "times.csv"
    trace.write_text("workload,arrival_s\nmlp,1\nlenet5,2\nmlp,4\n")
    played = _streams(("lenet5", "mlp"), None, (), (), (), trace)
    assert [one.arrivals_s for one in played] == [(2.0,), (1.0, 4.0)]
    with pytest.raises(CosimError, match=r"times\.csv: a workload has a rate as well"):
        _streams(("lenet5", "mlp@3"), None, (), (), (), trace)

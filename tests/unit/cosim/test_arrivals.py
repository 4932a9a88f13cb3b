"""When inferences arrive: rates, rhythms, traces, how they mix, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.simulation.arrivals import Stream, backlog, check_trace, draw_arrivals, read_trace
from workloads.errors import SimulationError


@pytest.fixture
def net(hand):
    return hand.line(2, 3)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_poisson_stream_has_its_mean_rate_and_exponential_gaps(net):
    gaps_s = np.diff(draw_arrivals([Stream(net, rate_per_s=4.0)], 20_000, rng()).time_s)
    assert gaps_s.mean() == pytest.approx(0.25, rel=0.03)
    assert gaps_s.std() == pytest.approx(0.25, rel=0.03)  # of an exponential distribution, mean and deviation are the same
    assert (gaps_s > 0.25).mean() == pytest.approx(math.exp(-1), abs=0.01)


def test_a_periodic_stream_starts_at_once_and_keeps_its_rhythm(net):
    arrivals = draw_arrivals([Stream(net, period_s=0.5)], 4, rng())
    assert arrivals.time_s.tolist() == [0.0, 0.5, 1.0, 1.5]


def test_a_trace_is_what_it_says_and_ends(net):
    arrivals = draw_arrivals([Stream(net, arrivals_s=(0.0, 0.0, 3.0))], 10, rng())
    assert arrivals.time_s.tolist() == [0.0, 0.0, 3.0]
    assert arrivals.n == 3


def test_streams_are_merged_by_time_the_first_stream_first_on_ties(net):
    arrivals = draw_arrivals([Stream(net, period_s=2.0), Stream(net, period_s=1.0)], 6, rng())
    assert arrivals.time_s.tolist() == [0.0, 0.0, 1.0, 2.0, 2.0, 3.0]
    assert arrivals.stream.tolist() == [0, 1, 1, 0, 1, 1]


def test_a_stream_does_not_change_when_another_one_does(net):
    """Each draws from a generator of its own."""
    first = Stream(net, rate_per_s=1.0)
    drawn = [draw_arrivals([first, other], 400, rng(5)) for other in (Stream(net, rate_per_s=1.0), Stream(net, rate_per_s=3.0))]
    own = [one.time_s[one.stream == 0] for one in drawn]
    n = min(map(len, own))
    assert own[0][:n].tolist() == own[1][:n].tolist()
    assert drawn[0].time_s[drawn[0].stream == 1][0] != drawn[1].time_s[drawn[1].stream == 1][0]


def test_mean_rates(net):
    assert Stream(net, rate_per_s=7.0).mean_rate_per_s == 7.0
    assert Stream(net, period_s=0.25).mean_rate_per_s == 4.0
    assert Stream(net, arrivals_s=(1.0, 2.0, 5.0)).mean_rate_per_s == 0.5  # two gaps in 4 s
    assert Stream(net, arrivals_s=(1.0,)).mean_rate_per_s == 0.0
    assert Stream(net, arrivals_s=(1.0, 1.0)).mean_rate_per_s == math.inf
    assert Stream(net).mean_rate_per_s == 0.0


def test_kinds_and_labels(net):
    kinds = [Stream(net, **given).kind for given in ({"rate_per_s": 1.0}, {"period_s": 1.0}, {"arrivals_s": (0.0,)}, {})]
    assert kinds == ["Poisson", "periodic", "trace", "saturated"]
    assert Stream(net).label == "line"
    assert Stream(net, name="left").label == "left"


def test_a_backlog_waits_at_zero_in_the_ratio_of_the_rates(net):
    mixed = backlog([Stream(net, rate_per_s=1.0), Stream(net, rate_per_s=3.0)], 8)
    assert mixed.time_s.tolist() == [0.0] * 8
    assert np.bincount(mixed.stream).tolist() == [2, 6]
    assert np.bincount(mixed.stream[:4]).tolist() == [1, 3]  # mixed, not one after the other
    assert np.bincount(backlog([Stream(net), Stream(net, rate_per_s=9.0)], 8).stream).tolist() == [4, 4]


@settings(max_examples=50, deadline=None)
@given(
    n=st.integers(1, 60),
    kinds=st.lists(st.sampled_from([("rate_per_s", 2.0), ("period_s", 0.3), ("arrivals_s", (0.0, 0.1, 5.0))]), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_arrivals_come_in_order_and_as_many_as_asked_for(n, kinds, seed):
    from workloads.builder import GraphBuilder

    build = GraphBuilder("line")
    workload = build.build(build.linear(build.input("x", 1, 2), 3, bias=False))
    streams = [Stream(workload, **{name: value}) for name, value in kinds]
    arrivals = draw_arrivals(streams, n, rng(seed))
    endless = any(stream.kind != "trace" for stream in streams)
    assert arrivals.n == (n if endless else min(n, 3 * len(streams)))
    assert (np.diff(arrivals.time_s) >= 0).all()
    assert (arrivals.stream < len(streams)).all()


# --- what is refused --------------------------------------------------------------------------------------------------

BAD = {
    "rate": ({"rate_per_s": -1.0}, "rate -1.0 is out of range"),
    "rate_0": ({"rate_per_s": 0.0}, "rate 0.0 is out of range"),
    "rate_inf": ({"rate_per_s": math.inf}, "rate inf is out of range"),
    "rate_nan": ({"rate_per_s": math.nan}, "rate nan is out of range"),
    "period": ({"period_s": -2.0}, "period -2.0 is out of range"),
    "deadline": ({"rate_per_s": 1.0, "deadline_s": 0.0}, "deadline 0.0 is out of range"),
    "priority": ({"rate_per_s": 1.0, "priority": math.nan}, "priority nan is not finite"),
    "two": ({"rate_per_s": 1.0, "period_s": 1.0}, "give one of rate, period and trace"),
    "empty": ({"arrivals_s": ()}, "trace of arrivals is empty"),
    "unsorted": ({"arrivals_s": (0.0, 2.0, 1.0)}, r"entry 3 \(1 s\) comes before the one above it; sort by time"),
    "negative": ({"arrivals_s": (-1.0, 2.0)}, "entry 1 is -1.0; arrivals are seconds, 0 or later"),
    "endless": ({"arrivals_s": (0.0, math.inf)}, "entry 2 is inf"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_stream_out_of_range_is_refused_by_its_name(net, name):
    options, message = BAD[name]
    with pytest.raises(SimulationError, match=f"stream line: .*{message}"):
        Stream(net, **options)


# --- traces in files --------------------------------------------------------------------------------------------------


def written(tmp_path, text):
    path = tmp_path / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_trace_of_one_stream_needs_no_names(tmp_path):
    assert read_trace(written(tmp_path, "arrival_s\n0\n1.5\n"), ["net"]) == {"net": (0.0, 1.5)}


def test_a_trace_of_several_names_each(tmp_path):
    path = written(tmp_path, "workload,arrival_s\na,0\nb,0.5\na,2e0\n")
    assert read_trace(path, ["a", "b"]) == {"a": (0.0, 2.0), "b": (0.5,)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time\n1\n", r"trace\.csv: no column `arrival_s`"),
        ("", r"trace\.csv: no column `arrival_s`"),
        ("arrival_s\n", r"trace of a is empty"),
        ("arrival_s,workload\n0,a\n0,c\n", r"trace\.csv:3: workload 'c' is none of the load; choose one of: a, b"),
        ("arrival_s\n0\n", r"trace\.csv:2: workload '' is none of the load"),
        ("arrival_s,workload\nsoon,a\n", r"trace\.csv:2: arrival_s 'soon' is not a number of seconds"),
        ("arrival_s,workload\n2,a\n1,a\n0,b\n", r"trace of a: entry 2 \(1 s\) comes before"),
        ("arrival_s,workload\n2,a\n", r"trace of b is empty"),
        ("arrival_s,workload\nnan,a\n1,b\n", r"trace of a: entry 1 is nan"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_its_place(tmp_path, text, message):
    with pytest.raises(SimulationError, match=message):
        read_trace(written(tmp_path, text), ["a", "b"])


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SimulationError, match="cannot be read: No such file"):
        read_trace(tmp_path / "none.csv", ["a"])
    (tmp_path / "bytes.csv").write_bytes(b"arrival_s\n\xff\n")
    with pytest.raises(SimulationError, match="cannot be read"):
        read_trace(tmp_path / "bytes.csv", ["a"])


def test_equal_times_are_in_order():
    check_trace(np.array([0.0, 0.0, 1.0]), "here")

"""Arrivals and shared chips beside plain-Python twins: merging, thinning, backlogs, traces in files, unions of networks."""

from __future__ import annotations

import csv
import io
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.simulation.arrivals import Stream, backlog, draw_arrivals, read_trace
from cosim.simulation.costs import cost_ops
from cosim.simulation.tenants import merge, unique_names
from workloads.builder import GraphBuilder
from workloads.errors import SimulationError


def line(*widths):
    build = GraphBuilder("line")
    x = build.input("x", 1, widths[0])
    for width in widths[1:]:
        x = build.linear(x, width, bias=False)
    return build.build(x)


NET = line(2, 3)
WAYS = st.one_of(
    st.floats(0.1, 10.0).map(lambda rate: {"rate_per_s": rate}),
    st.floats(0.1, 10.0).map(lambda period: {"period_s": period}),
    st.lists(st.floats(0.0, 50.0), min_size=1, max_size=9).map(lambda times: {"arrivals_s": tuple(sorted(times))}),
)
SEEDS = st.integers(0, 2**32 - 1)


def times_by_hand(way, n, rng):
    """Arrivals of one stream, one after the other."""
    if "arrivals_s" in way:
        return list(way["arrivals_s"])[:n]
    if "period_s" in way:
        return [i * way["period_s"] for i in range(n)]
    now_s, found = 0.0, []
    for _ in range(n):
        now_s += float(rng.exponential(1.0 / way["rate_per_s"]))
        found.append(now_s)
    return found


# --- merging ----------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(ways=st.lists(WAYS, min_size=1, max_size=4), n=st.integers(1, 40), seed=SEEDS)
def test_merged_streams_are_the_sorted_union(ways, n, seed):
    arrivals = draw_arrivals([Stream(NET, **way) for way in ways], n, np.random.default_rng(seed))
    own = np.random.default_rng(seed).spawn(len(ways))
    union = sorted((t, i) for i, way in enumerate(ways) for t in times_by_hand(way, n, own[i]))[:n]
    assert arrivals.time_s == pytest.approx(np.array([t for t, _ in union]), rel=1e-12)
    assert arrivals.stream.tolist() == [i for _, i in union]


@settings(max_examples=50, deadline=None)
@given(ways=st.lists(WAYS, min_size=1, max_size=3), n=st.integers(1, 30), more=st.integers(1, 30), seed=SEEDS)
def test_a_longer_run_begins_like_a_shorter_one(ways, n, more, seed):
    streams = [Stream(NET, **way) for way in ways]
    short, long = (draw_arrivals(streams, k, np.random.default_rng(seed)) for k in (n, n + more))
    assert long.time_s[: short.n].tolist() == short.time_s.tolist()
    assert long.stream[: short.n].tolist() == short.stream.tolist()


@settings(max_examples=30, deadline=None)
@given(rate=st.floats(0.1, 10.0), power=st.integers(-8, 8), seed=SEEDS)
def test_a_rate_is_nothing_but_a_unit_of_time(rate, power, seed):
    """By a power of two the same draws land exactly 2^power times as early."""
    slow, fast = (draw_arrivals([Stream(NET, rate_per_s=r)], 25, np.random.default_rng(seed)) for r in (rate, rate * 2.0**power))
    assert (fast.time_s * 2.0**power).tolist() == slow.time_s.tolist()


def test_counts_of_a_poisson_process_vary_as_much_as_their_mean():
    """In 8000 windows of 1 s, count ~ Poisson(3): variance = mean, P(0) = e^-3; the spread of variance/mean is sqrt(2 / 8000)."""
    arrivals = draw_arrivals([Stream(NET, rate_per_s=3.0)], 26_000, np.random.default_rng(2))
    counts = np.bincount(arrivals.time_s.astype(int))[:8000]
    assert counts.mean() == pytest.approx(3.0, abs=4 * math.sqrt(3.0 / 8000))
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=4 * math.sqrt(2 / 8000))
    assert (counts == 0).mean() == pytest.approx(math.exp(-3.0), abs=0.01)


def test_poisson_gaps_have_exponential_moments_and_no_memory():
    """E[g^2] = 2 / r^2, E[g^3] = 6 / r^3; one gap says nothing about the next (correlation of n pairs ~ 1 / sqrt n)."""
    gaps_s = np.diff(draw_arrivals([Stream(NET, rate_per_s=0.5)], 30_000, np.random.default_rng(4)).time_s)
    assert (gaps_s**2).mean() == pytest.approx(8.0, rel=0.06)
    assert (gaps_s**3).mean() == pytest.approx(48.0, rel=0.15)
    assert abs(np.corrcoef(gaps_s[:-1], gaps_s[1:])[0, 1]) < 4 / math.sqrt(30_000)
    late = gaps_s[gaps_s > 2.0] - 2.0  # what is left after 2 s is exponential again
    assert late.mean() == pytest.approx(2.0, rel=0.05)


def test_two_poisson_streams_together_are_one_of_the_summed_rate():
    """Superposition: gaps of mean 1 / (1 + 3), a quarter of the first stream, whatever came before."""
    streams = [Stream(NET, rate_per_s=1.0), Stream(NET, rate_per_s=3.0)]
    arrivals = draw_arrivals(streams, 20_000, np.random.default_rng(6))
    gaps_s, first = np.diff(arrivals.time_s), arrivals.stream == 0
    assert gaps_s.mean() == pytest.approx(0.25, rel=0.03)
    assert gaps_s.std() == pytest.approx(0.25, rel=0.03)
    assert first.mean() == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / 20_000))
    assert first[1:][first[:-1]].mean() == pytest.approx(0.25, abs=0.03)


@settings(max_examples=50, deadline=None)
@given(rates=st.lists(st.integers(1, 20), min_size=1, max_size=4), n=st.integers(1, 60))
def test_every_part_of_a_backlog_keeps_the_ratio(rates, n):
    """A stream of share s among m is at most ((1 - s) + (m - 1) s) / 2 away from s k after k: each is rounded by up to a half."""
    mixed = backlog([Stream(NET, rate_per_s=float(rate)) for rate in rates], n)
    assert mixed.n == n
    assert not mixed.time_s.any()
    for i, rate in enumerate(rates):
        share, so_far = rate / sum(rates), np.cumsum(mixed.stream == i)
        limit = ((1 - share) + (len(rates) - 1) * share) / 2
        assert (np.abs(so_far - share * np.arange(1, n + 1)) <= limit + 1e-9).all()


# --- traces in files --------------------------------------------------------------------------------------------------


def written(folder, text):
    path = folder / "times.csv"
    path.write_bytes(text.encode())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("traces")


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(st.floats(0, 1e6), st.sampled_from(["a, with comma", 'b "quoted"', "c#2"])), min_size=3, max_size=12))
def test_what_a_csv_writer_writes_is_read_back_bit_for_bit(folder, rows):
    names = sorted({name for _, name in rows})
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["note", "workload", "arrival_s"])
    table.writerows(("ignored", name, repr(time_s)) for time_s, name in sorted(rows))
    found = read_trace(written(folder, text.getvalue()), names)
    assert found == {name: tuple(sorted(t for t, own in rows if own == name)) for name in names}


def test_blank_lines_and_line_ends_of_windows_do_not_count(folder):
    assert read_trace(written(folder, "arrival_s\r\n1\r\n\r\n2.5\r\n"), ["net"]) == {"net": (1.0, 2.5)}
    with pytest.raises(SimulationError, match=r"times\.csv:5: arrival_s 'x'"):  # lines of the file, not rows of the table
        read_trace(written(folder, "arrival_s\n1\n\n\nx\n"), ["net"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workload,arrival_s\na\n", r"times\.csv:2: arrival_s None is not a number of seconds"),
        ("workload,arrival_s\na,0\na,\n", r"times\.csv:3: arrival_s '' is not a number"),
        ("workload,arrival_s\na,0\nA,1\n", r"times\.csv:3: workload 'A' is none of the load; choose one of: a$"),
        ("workload,arrival_s\na,1ms\n", r"times\.csv:2: arrival_s '1ms' is not a number of seconds"),
        ("workload,arrival_s\na,0\na,-0.5\n", r"times\.csv: trace of a: entry 2 is -0\.5; arrivals are seconds"),
        ("workload,arrival_s\na,0\na,inf\n", r"times\.csv: trace of a: entry 2 is inf"),
        ("arrival_s;workload\n0;a\n", r"times\.csv: no column `arrival_s`; the first line names the columns"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused_with_its_line(folder, text, message):
    with pytest.raises(SimulationError, match=message):
        read_trace(written(folder, text), ["a"])


def test_a_folder_is_no_trace(folder):
    with pytest.raises(SimulationError, match="the trace cannot be read: Is a directory"):
        read_trace(folder, ["a"])


# --- networks in one graph --------------------------------------------------------------------------------------------

WIDTHS = st.lists(st.lists(st.integers(1, 6), min_size=2, max_size=5), min_size=2, max_size=5)


@settings(max_examples=40, deadline=None)
@given(widths=WIDTHS)
def test_each_tenant_is_in_the_union_as_it_was(widths):
    """Ops with their names, sizes and edges, each once for equal networks; MACs = sum over layers of in * out."""
    tenants = merge([line(*one) for one in widths])
    whole = tenants.workload
    distinct = list(dict.fromkeys(map(tuple, widths)))
    assert tenants.network_of == tuple(distinct.index(tuple(one)) for one in widths)
    assert whole.n_macs == sum(a * b for one in distinct for a, b in pairwise(one))
    assert whole.n_params == whole.weight_bytes == whole.n_macs  # a weight of one byte for each MAC of a single row
    assert tenants.first_op.tolist() == [sum(len(one) - 1 for one in distinct[:i]) for i in range(len(distinct) + 1)]
    labels = unique_names(["line"] * len(distinct))
    for i, network in enumerate(tenants.networks):
        first, last = tenants.first_op[i], tenants.first_op[i + 1]
        prefix = f"{labels[i]}/" if len(distinct) > 1 else ""
        assert [op.name for op in whole.ops[first:last]] == [prefix + op.name for op in network.ops]
        assert [op.gemm for op in whole.ops[first:last]] == [op.gemm for op in network.ops]
        own = [(e.src - first, e.dst - first, e.tensor) for e in whole.edges if first <= e.dst < last]
        assert own == [(e.src, e.dst, prefix + e.tensor) for e in network.edges]


@settings(max_examples=25, deadline=None)
@given(widths=WIDTHS)
def test_an_op_costs_and_moves_the_same_beside_others(hand, widths):
    made = hand.chip({"cpu": {"mac_j": 2.0, "launch_s": 0.5}, "b": {"mac_s": 0.25}})
    tenants = merge([line(*one) for one in widths])
    together = cost_ops(made, tenants.workload)
    alone = [cost_ops(made, network) for network in tenants.networks]
    for name in ("latency_s", "device_energy_j", "n_bytes"):
        assert (getattr(together, name) == np.concatenate([getattr(one, name) for one in alone])).all()


@settings(max_examples=40, deadline=None)
@given(names=st.lists(st.sampled_from(["a", "b", "lenet5", "net/x"]), max_size=12))
def test_labels_are_unique_and_count_up(names):
    labels = unique_names(names)
    assert len(set(labels)) == len(names)
    for i, (name, label) in enumerate(zip(names, labels, strict=True)):
        before = names[:i].count(name)
        assert label == (name if not before else f"{name}#{before + 1}")

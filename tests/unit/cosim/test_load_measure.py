"""Statistics of a load against plain-Python twins that look at every moment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.simulation.load_measure import growth, latency_estimates, mean_number, most_open, number_by_bin, within_s

SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 15)), min_size=1, max_size=12)


def spans_of(given_spans):
    start_s = np.array([start for start, _ in given_spans], np.float64)
    return start_s, start_s + np.array([length for _, length in given_spans])


def open_at(start_s, end_s, t):
    return int(((start_s <= t) & (t < end_s)).sum())


@settings(max_examples=50, deadline=None)
@given(spans=SPANS, first=st.integers(0, 30), length=st.integers(1, 30))
def test_time_averages_are_those_of_a_look_at_every_half_second(spans, first, length):
    start_s, end_s = spans_of(spans)
    window = (float(first), float(first + length))
    looks = [open_at(start_s, end_s, t) for t in np.arange(window[0] + 0.25, window[1], 0.5)]
    assert mean_number(start_s, end_s, window) == pytest.approx(np.mean(looks), abs=1e-9)
    by_second = number_by_bin(start_s, end_s, window, length)
    assert by_second == pytest.approx(np.array(looks).reshape(length, 2).mean(axis=1), abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(spans=SPANS)
def test_the_largest_number_is_seen_right_after_a_start(spans):
    start_s, end_s = spans_of([(start, length + 1) for start, length in spans])
    assert most_open(start_s, end_s) == max(open_at(start_s, end_s, t) for t in start_s)


def test_what_ends_at_an_instant_leaves_before_what_starts_then():
    assert most_open(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == 1
    assert most_open(np.array([0.0, 0.5]), np.array([1.0, 2.0])) == 2


def test_only_the_part_of_a_span_in_the_window_counts():
    parts = within_s(np.array([0.0, 2.0, 5.0, 0.0]), np.array([1.0, 4.0, 6.0, 9.0]), (3.0, 5.0))
    assert parts.tolist() == [0.0, 1.0, 0.0, 2.0]
    assert mean_number(np.array([0.0]), np.array([1.0]), (1.0, 1.0)) == 0.0


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """Of 50 samples of 400 exponential latencies, the 90 % interval of the median holds ln 2 in 40 or more."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(50):
        median = latency_estimates(rng.exponential(1.0, 400), rng)["p50"]
        held += median.low <= np.log(2) <= median.high
    assert 40 <= held <= 50


def test_neighbors_that_wait_together_widen_the_interval():
    """Runs of 50 equal values say no more than one value each."""
    rng = np.random.default_rng(0)
    alone, together = rng.exponential(1.0, 1000), np.repeat(rng.exponential(1.0, 20), 50)
    widths = [(found := latency_estimates(values, rng)["mean"]).high - found.low for values in (alone, together)]
    assert widths[1] > 3 * widths[0]


def test_few_latencies_have_no_interval_and_none_have_nothing():
    few = latency_estimates(np.arange(10.0), np.random.default_rng(0))
    assert few["p50"].value == 4.5
    assert few["p50"].low is None
    assert few["max"].value == 9.0
    assert latency_estimates(np.empty(0), np.random.default_rng(0)) == {}


def test_a_queue_that_grows_is_told_from_one_that_does_not():
    arrival_s = np.arange(1000.0)
    steady, late = arrival_s + 3.0, arrival_s * 1.2 + 1.0
    slope, keeps_up = growth(arrival_s, steady, (100.0, 999.0), 900)
    assert abs(slope) < 1e-3
    assert keeps_up
    slope, keeps_up = growth(arrival_s, late, (100.0, 999.0), 900)
    assert slope == pytest.approx(1 - 1 / 1.2, rel=0.05)  # a sixth of what arrives stays
    assert not keeps_up

"""Ranges and lists of levels as study files write them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.study.levels import kind_of, read_levels
from workloads.errors import SpecError


@pytest.mark.parametrize(
    ("given_", "levels"),
    [
        ("4..8", (4, 5, 6, 7, 8)),
        ("4..8 step 2", (4, 6, 8)),
        ("64..1024 x2", (64, 128, 256, 512, 1024)),
        ("0.1..0.3 step 0.1", (0.1, 0.2, 0.3)),
        ("0.6 V..0.9 V step 0.1 V", ("0.6 V", "0.7 V", "0.8 V", "0.9 V")),
        ("100..400 MHz count 4", ("100 MHz", "200 MHz", "300 MHz", "400 MHz")),
        ("1..1000 log 4", (1, 10, 100, 1000)),
        ("-2..1", (-2, -1, 0, 1)),
        ({"from": 0.5, "to": 1, "step": 0.25}, (0.5, 0.75, 1)),
        ({"from": "16 KiB", "to": "64 KiB", "times": 2}, ("16 KiB", "32 KiB", "64 KiB")),
        ([3, 1, 2], (3, 1, 2)),
        (8, (8,)),
        ("heft", ("heft",)),
    ],
)
def test_levels(given_, levels):
    assert read_levels(given_)[0] == levels


@pytest.mark.parametrize(
    ("levels", "kind"),
    [
        ([1, 2, 4], "ordinal"),
        ([4, 2, 1], "ordinal"),
        ([1, 4, 2], "categorical"),
        ([1, 2], "categorical"),
        (["22 nm", "28 nm", "45 nm"], "ordinal"),
        (["512 KiB", "1 MiB", "2 MiB"], "ordinal"),
        (["a", "b", "c"], "categorical"),
        ([None, 1, 2, 3], "categorical"),
        ([True, False], "categorical"),
    ],
)
def test_numbers_that_go_one_way_are_ordinal(levels, kind):
    assert kind_of(levels) == kind


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ("0.5..0.9", "add a step or a count"),
        ("0.6 V..0.9 V", "add a step or a count"),
        ("8..4", "is empty"),
        ("a..b", "cannot be read"),
        ("1 V..2 ns step 1 ns", "two units"),
        ("1..4 count 1.5", "count whole numbers"),
        ("1..4 step 0", "no positive number"),
        ("1 V..2 V step 0.1 ns", "no positive number in V"),
        ("1..8 x1", "never gets to its end"),
        ("0..8 x2", "never gets to its end"),
        ("1..1000000", "1,000,000 levels"),
        ({"from": 1}, "needs from and to"),
        ({"from": 1, "to": 2, "by": 3}, "'by' is not known"),
        ([[1, 2], [3]], "is a list"),
    ],
)
def test_what_is_no_range_says_what_would_do(given_, says):
    with pytest.raises(SpecError, match=says):
        read_levels(given_)


@given(st.integers(-50, 50), st.integers(1, 60), st.integers(1, 9))
def test_whole_ranges_are_those_of_python(low, span, step):
    assert read_levels(f"{low}..{low + span} step {step}")[0] == tuple(range(low, low + span + 1, step))


@given(st.integers(2, 40), st.floats(0.1, 10.0), st.floats(0.2, 30.0))
def test_counted_ranges_keep_their_ends(n, low, width):
    levels = read_levels(f"{low:.3f} mW..{low + width:.3f} mW count {n}")[0]
    values = [float(str(level).split()[0]) for level in levels]
    assert len(values) == n
    assert values[0] == pytest.approx(float(f"{low:.3f}"))
    assert values[-1] == pytest.approx(float(f"{low + width:.3f}"))
    assert all(b > a for a, b in pairwise(values))

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.wording import area, count, decibels, digits, labels, percent, plural, quantity, shorten, span, times


@pytest.mark.parametrize(
    ("value", "unit", "text"), [(4.1e-3, "s", "4.10 ms"), (0.0, "J", "0 J"), (25.557e6, "", "25.6 M"), (123.0, "", "123")]
)
def test_quantity_has_three_digits_and_a_prefix(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_span_writes_a_common_unit_once() -> None:
    assert span(3.61e-3, 4.92e-3, "s") == "3.61 – 4.92 ms"


def test_span_writes_both_units_where_they_differ() -> None:
    assert span(0.9e-3, 1.2, "J") == "900 µJ – 1.20 J"


def test_span_from_zero_needs_no_unit_at_the_zero() -> None:
    assert span(0.0, 2e-3, "J") == "0 – 2.00 mJ"


def test_span_without_width_says_that_no_spread_is_modeled() -> None:
    assert span(2e-3, 2e-3, "s") == "no spread modeled"


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.372, "37.2 %"), (0.0001, "< 0.1 %"), (1, "100 %"), (0.99999, "100 %"), (1.5, "150 %"), (0.994, "99.4 %")],
)
def test_percent_never_shows_a_part_as_nothing(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (0.664, "0.66"),
        (0.0123, "0.012"),
        (1.0, "1.00"),
        (1.04, "1.04"),
        (2.31, "2.3"),
        (9.94, "9.9"),
        (23.4, "23"),
        (2345.0, "2,345"),
        (0.0, "0"),
    ],
)
def test_times_gives_a_ratio_the_digits_it_deserves(factor: float, text: str) -> None:
    assert times(factor) == text


@pytest.mark.parametrize(("factor", "text"), [(1.0004, "1.0004"), (0.9993, "0.999"), (1.003, "1.003")])
def test_a_bound_that_excludes_one_does_not_read_as_one(factor: float, text: str) -> None:
    assert times(factor) == text


def test_an_infinite_ratio_is_said_to_be_one() -> None:
    assert times(math.inf) == "∞"


@settings(max_examples=50)
@given(st.floats(1e-6, 1e6))
def test_times_stays_within_five_percent_of_what_it_words(factor: float) -> None:
    assert float(times(factor).replace(",", "")) == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize(
    ("value", "text"), [(0.13, "0.130"), (1.0, "1.00"), (12.34, "12.3"), (123.4, "123"), (1234.0, "1,234"), (0.0, "0")]
)
def test_digits_keeps_three_significant_ones(value: float, text: str) -> None:
    assert digits(value) == text


def test_area_is_told_in_square_millimeters() -> None:
    assert area(12.34e-6) == "12.3 mm²"


@pytest.mark.parametrize(("number", "text"), [(612, "612"), (9999, "9,999"), (4.089e9, "4.09 G")])
def test_count_spells_small_counts_out(number: float, text: str) -> None:
    assert count(number) == text


def test_one_thing_is_not_plural() -> None:
    assert [plural(1, "op"), plural(2, "op"), plural(0, "op"), plural(1000, "op")] == ["1 op", "2 ops", "0 ops", "1,000 ops"]


def test_shorten_keeps_more_of_the_end() -> None:
    assert shorten("0123456789abcdef", 10) == "012…abcdef"
    assert shorten("0123456789", 10) == "0123456789"


@settings(max_examples=50)
@given(st.text(max_size=80), st.integers(4, 40))
def test_shorten_fits_the_width(name: str, width: int) -> None:
    assert len(shorten(name, width)) <= width


def test_labels_of_short_names_are_the_names() -> None:
    assert labels(["conv", "fc"]) == ["conv", "fc"]


def test_labels_keep_names_apart_that_share_both_ends() -> None:
    names = [f"/encoder/backbone/very/long/path/{i}/and/a/very/long/ending/too" for i in range(20)]
    short = labels(names, 24)
    assert len(set(short)) == 20
    assert max(map(len, short)) <= 24


def test_labels_leave_short_names_of_a_mixed_list_alone() -> None:
    short = labels(["fc", "x" * 50 + "1" + "y" * 50, "x" * 50 + "2" + "y" * 50], 12)
    assert short == ["fc", "…1…", "…2…"]


def test_equal_names_may_have_equal_labels() -> None:
    assert len(set(labels(["z" * 60, "z" * 60], 10))) == 1


@pytest.mark.parametrize(("snr_db", "text"), [(31.44, "31.4 dB"), (-3.0, "-3.0 dB"), (float("inf"), "lossless"), (None, "—")])
def test_decibels_tell_lossless_from_digital(snr_db: float | None, text: str) -> None:
    assert decibels(snr_db) == text

"""Metrics, objectives and bounds of a study, and how workloads become one value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.study.objectives import METRICS, combined, metric, read_bound, read_objective, values_of
from workloads.errors import SpecError


@pytest.mark.parametrize(
    ("text", "sense", "limit"),
    [
        ("latency <= 10 ms", "<=", 0.010),
        ("accuracy >= 92 %", ">=", 92.0),
        ("accuracy ≥ 92%", ">=", 92.0),
        ("area <= 60 mm2", "<=", 60e-6),
        ("energy<=2 mJ", "<=", 2e-3),
        ("edp <= 2 mJ ms", "<=", 2e-6),
        ("snr >= 20 dB", ">=", 20.0),
        ("loss <= 0.01", "<=", 0.01),
    ],
)
def test_bounds_have_units(text, sense, limit):
    bound = read_bound(text)
    assert bound.sense == sense
    assert bound.limit == pytest.approx(limit)
    assert read_bound(bound.text).limit == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("latency <= 10", "without a unit"),
        ("latency <= 10 mJ", "unit of J"),
        ("latency = 10 ms", "cannot be read"),
        ("latncy <= 10 ms", "did you mean 'latency'"),
        ("accuracy >= 92", "write accuracy 92 %"),
        ("edp <= 2 mJ", "write edp 2 mJ ms"),
        ("loss <= little", "write loss 0.5"),
    ],
)
def test_bounds_that_cannot_be_read_say_what_would_do(text, says):
    with pytest.raises(SpecError, match=says):
        read_bound(text)


def test_objectives_know_their_direction():
    assert read_objective("energy").direction == "minimize"
    assert read_objective("accuracy").direction == "maximize"
    assert read_objective("maximise area").direction == "maximize"
    with pytest.raises(SpecError, match="write minimize latency"):
        read_objective("quickly latency")
    with pytest.raises(SpecError, match="did you mean 'energy'"):
        read_objective("enrgy")


def test_the_energy_delay_product_is_a_product_of_columns():
    columns = {"energy_j": np.array([[2.0], [3.0]]), "latency_s": np.array([[0.5], [np.nan]])}
    found = values_of(metric("edp"), columns)
    assert found[0, 0] == 1.0
    assert np.isnan(found[1, 0])


def test_workloads_are_combined_with_their_weights():
    values, weights = np.array([[1.0, 4.0]]), (1.0, 3.0)
    assert combined(METRICS["energy"], values, weights, "sum") == [13.0]
    assert combined(METRICS["energy"], values, weights, "geomean") == pytest.approx(4.0 ** (3 / 4))
    assert combined(METRICS["energy"], values, weights, "worst") == [4.0]
    assert combined(METRICS["accuracy"], values, weights, "worst") == [1.0]
    assert combined(METRICS["accuracy"], values, weights, "geomean") == pytest.approx(13 / 4)


def test_what_belongs_to_the_chip_is_the_same_for_all_workloads():
    assert combined(METRICS["area"], np.array([[7.0, 7.0]]), (1.0, 2.0), "sum") == [7.0]


def test_a_missing_value_stays_missing():
    for how in ("sum", "geomean", "worst"):
        assert np.isnan(combined(METRICS["energy"], np.array([[1.0, np.nan]]), (1.0, 1.0), how))[0]


def test_what_is_not_known_keeps_to_no_bound():
    assert read_bound("latency <= 1 s").keeps(np.array([0.5, 1.0, 2.0, np.nan])).tolist() == [True, True, False, False]


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4), st.floats(0.1, 10.0))
def test_a_geometric_mean_scales_with_its_values(values, factor):
    row, weights = np.array([values]), [1.0] * len(values)
    scaled = combined(METRICS["energy"], row * factor, weights, "geomean")
    assert scaled == pytest.approx(factor * combined(METRICS["energy"], row, weights, "geomean"))
    assert min(values) * (1 - 1e-9) <= combined(METRICS["energy"], row, weights, "geomean")[0] <= max(values) * (1 + 1e-9)


def test_values_are_shown_with_their_unit():
    assert METRICS["energy"].show(1.5e-3) == "1.500 mJ"
    assert METRICS["area"].show(60e-6) == "60 mm2"
    assert METRICS["accuracy"].show(92.25) == "92.25 %"
    assert METRICS["resident"].show(0.5) == "0.5"

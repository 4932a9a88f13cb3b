"""Values of a study's objectives and bounds from result rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cosim.study.objectives import read_bound, read_objective
from cosim.study.scores import Limit, Wanted, check_fidelity
from workloads.errors import SpecError

COLUMNS = {
    "energy_j": np.array([[1.0, 4.0], [2.0, 2.0], [np.nan, 1.0], [0.5, 8.0]]),
    "latency_s": np.array([[1.0, 1.0], [0.5, 0.5], [0.1, 0.1], [4.0, 1.0]]),
    "area_m2": np.full((4, 2), 1e-6),
}


def wanted(*objectives: str, bounds: tuple[str, ...] = (), combine: str = "geomean") -> Wanted:
    limits = tuple(Limit(read_bound(text), None, text) for text in bounds)
    return Wanted(tuple(read_objective(text) for text in objectives), limits, (1.0, 1.0), combine)


def test_two_workloads_become_one_value():
    scores = wanted("energy", "latency").score(COLUMNS)
    assert scores.objectives[:, 0] == pytest.approx([2.0, 2.0, np.nan, 2.0], nan_ok=True)
    assert scores.objectives[3, 1] == pytest.approx(2.0)


def test_a_point_without_a_value_has_failed_and_is_never_best():
    scores = wanted("latency", "energy").score(COLUMNS)
    assert scores.failed.tolist() == [False, False, True, False]
    assert scores.best(0) == 1


def test_a_bound_of_one_workload_looks_at_that_workload_alone():
    limit = Limit(read_bound("latency <= 2 s"), 0, "first")
    scores = Wanted((read_objective("energy"),), (limit,), (1.0, 1.0), "sum").score(COLUMNS)
    assert scores.broken[:, 0].tolist() == [False, False, False, True]
    assert scores.feasible.tolist() == [True, True, False, False]


def test_bounds_of_all_together_look_at_the_combined_value():
    scores = wanted("energy", bounds=("latency <= 900 ms",)).score(COLUMNS)
    assert scores.broken[:, 0].tolist() == [True, False, False, True]


def test_nothing_feasible_has_no_best_and_no_front():
    scores = wanted("energy", bounds=("latency <= 1 ns",)).score(COLUMNS)
    assert scores.best(0) is None
    assert scores.front.size == 0


def test_maximized_objectives_are_negated():
    columns = {**COLUMNS, "accuracy_pct": np.array([[90.0, 90.0], [80.0, 80.0], [99.0, 99.0], [95.0, 95.0]])}
    scores = wanted("accuracy", "energy").score(columns)
    assert scores.best(0) == 3
    assert scores.minimized[0, 0] == -90.0


def test_columns_are_those_that_are_needed():
    assert wanted("edp", bounds=("latency <= 1 s", "accuracy >= 90 %")).columns == ("energy_j", "latency_s", "accuracy_pct")
    assert wanted("edp", bounds=("accuracy >= 90 %",)).needs_accuracy
    assert not wanted("edp").needs_accuracy


def test_a_bound_gives_no_estimate_of_lost_accuracy():
    check_fidelity(wanted("loss"), "event")
    check_fidelity(wanted("energy"), "bound")
    with pytest.raises(SpecError, match="'bound' places nothing and cannot give loss"):
        check_fidelity(wanted("energy", bounds=("loss <= 0.1",)), "bound")


@given(arrays(np.float64, st.tuples(st.integers(1, 12), st.just(1)), elements=st.integers(1, 5)), st.data())
def test_the_front_is_what_nothing_dominates(energy, data):
    latency = data.draw(arrays(np.float64, energy.shape, elements=st.integers(1, 5)))
    one = Wanted((read_objective("energy"), read_objective("latency")), (), (1.0,), "sum")
    scores = one.score({"energy_j": energy, "latency_s": latency})
    y = scores.minimized
    better = (y[:, None] <= y[None]).all(axis=2) & (y[:, None] < y[None]).any(axis=2)
    undominated = {tuple(row) for row in y[~better.any(axis=0)].tolist()}
    assert {tuple(row) for row in y[scores.front].tolist()} == undominated
    assert len(scores.front) == len(undominated)

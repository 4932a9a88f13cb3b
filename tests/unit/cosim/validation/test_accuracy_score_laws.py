"""Groups of any numbers: the tolerance is fair to both sides, and what is written is what was meant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.validation.accuracy_cases import Case, Reading
from cosim.validation.accuracy_score import COLUMNS, FLOORS, Group, groups_of, metrics_of, passes, read_groups, write_groups
from workloads.errors import WorkloadError

PERCENT, SPREAD, COUNT = st.floats(0, 100), st.floats(0, 20), st.integers(1, 9)
GROUPS = st.builds(
    Group,
    st.sampled_from(["training_stress", "adc_sweep"]),
    st.sampled_from(sorted(FLOORS)),
    st.just("float"),
    st.just("digital"),
    COUNT,
    PERCENT,
    SPREAD,
    COUNT,
    PERCENT,
    SPREAD,
)


@given(GROUPS)
def test_both_sides_may_be_exchanged(group):
    other = replace(
        group, n=group.n_table, mean=group.mean_table, std=group.std_table, n_table=group.n, mean_table=group.mean, std_table=group.std
    )
    if group.n > 1 and group.n_table > 1:
        assert other.tolerance == pytest.approx(group.tolerance)
        assert other.error == pytest.approx(group.error)
        assert other.is_within == group.is_within
    assert other.difference == -group.difference


@given(GROUPS)
def test_the_error_of_means_is_never_above_the_tolerance_and_neither_below_the_floor(group):
    assert FLOORS[group.net] <= group.error <= group.tolerance * (1 + 1e-12)
    assert not (group.is_within and group.is_beyond_twice)


@given(GROUPS, st.floats(-50, 50))
def test_points_that_both_sides_gain_change_nothing(group, points):
    moved = replace(group, mean=group.mean + points, mean_table=group.mean_table + points)
    assert moved.tolerance == group.tolerance
    assert moved.difference == pytest.approx(group.difference, abs=1e-9)


@given(st.lists(GROUPS, max_size=8))
def test_counts_of_tables_add_up_to_all(groups):
    found = metrics_of(groups)
    for key in ("n", "n_within", "n_beyond_twice", "n_within_standard_error"):
        assert found[key] == sum(part[key] for part in found["per_file"].values())
    assert found["n_within_standard_error"] <= found["n_within"] <= found["n"] - found["n_beyond_twice"]
    assert (found["fraction_within"] is None) == (not groups)
    if passes(found):
        assert 20 * found["n_within"] >= 19 * found["n"] > 0


@given(st.lists(GROUPS, max_size=5))
def test_a_table_keeps_four_digits(tmp_path_factory, groups):
    path = tmp_path_factory.mktemp("groups") / "groups.csv"
    write_groups(path, groups)
    again = read_groups(path)
    assert len(again) == len(groups)
    for one, other in zip(groups, again, strict=True):
        assert (one.file, one.net, one.recipe, one.n, one.n_table) == (other.file, other.net, other.recipe, other.n, other.n_table)
        assert other.mean == pytest.approx(one.mean, abs=5.1e-5)
        assert other.std_table == pytest.approx(one.std_table, abs=5.1e-5)


@given(st.lists(PERCENT, min_size=1, max_size=6), st.lists(PERCENT, min_size=1, max_size=6))
def test_means_and_spreads_are_those_of_each_side(expected, found):
    cases = [Case("adc_sweep", "adc", "float", seed, Reading("digital"), value) for seed, value in enumerate(expected)]
    (group,) = groups_of(cases, {cases[0].group: found})
    for values, n, mean, std in ((expected, group.n_table, group.mean_table, group.std_table), (found, group.n, group.mean, group.std)):
        assert (n, mean) == (len(values), pytest.approx(np.mean(values)))
        assert std == (pytest.approx(np.std(values, ddof=1)) if n > 1 else 0)


def test_one_seed_on_both_sides_leaves_the_floor():
    group = Group("adc_sweep", "adc", "float", "digital", 1, 90.0, 0.0, 1, 90.9, 0.0)
    assert (group.tolerance, group.error, group.is_within) == (1.0, 1.0, True)


def test_groups_of_which_nothing_was_found_are_left_out_and_the_rest_keeps_its_order():
    cases = [Case("adc_sweep", "adc", recipe, 0, Reading("digital"), 90.0) for recipe in ("c", "a", "b")]
    keys = [case.group for case in cases]
    found = groups_of(cases, {keys[2]: [1.0], keys[0]: [2.0], ("x", "y", "z", "w"): [3.0]})
    assert [group.recipe for group in found] == ["c", "b"]


def test_a_column_that_is_missing_is_named(tmp_path):
    (tmp_path / "t.csv").write_text(",".join(COLUMNS[:-1]) + "\n")
    with pytest.raises(WorkloadError, match=r"t.csv: column 'std' is missing"):
        read_groups(tmp_path / "t.csv")
    with pytest.raises(WorkloadError, match=r"none.csv: there is no such file"):
        read_groups(tmp_path / "none.csv")

"""When a group of numbers reproduces."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import pytest

from cosim.validation.accuracy_cases import Case, Reading
from cosim.validation.accuracy_score import COLUMNS, Group, groups_of, metrics_of, passes, read_groups, write_groups
from workloads.errors import WorkloadError

GROUP = Group("training_stress", "cnn", "float", "noise 0.2", 4, 90.0, 3.0, 4, 99.0, 4.0)


def test_the_tolerance_is_two_standard_deviations_of_both_sides():
    """3 and 4 make 5."""
    assert GROUP.tolerance == pytest.approx(10.0)
    assert GROUP.error == pytest.approx(5.0)  # four seeds each: half of it
    assert GROUP.is_within
    assert abs(GROUP.difference) > GROUP.error


@pytest.mark.parametrize(("net", "floor"), [("cnn", 0.4), ("mlp", 0.7), ("adc", 1.0)])
def test_seeds_that_agree_leave_a_floor(net, floor):
    close = replace(GROUP, net=net, std=0.0, std_table=0.0, mean=90.0 + floor - 1e-9)
    assert close.is_within
    assert not replace(close, mean=90.0 + floor + 1e-6).is_within
    assert not replace(close, mean=90.0 + 2 * floor - 1e-6).is_beyond_twice
    assert replace(close, mean=90.0 - 2 * floor - 1e-6).is_beyond_twice


def test_the_spread_of_one_seed_is_taken_from_the_other_side():
    assert replace(GROUP, n=1, std=0.0).tolerance == pytest.approx(2 * sqrt(3.0**2 + 3.0**2))
    assert replace(GROUP, n_table=1, std_table=0.0).tolerance == pytest.approx(2 * sqrt(4.0**2 + 4.0**2))


def test_groups_have_means_over_all_seeds_of_each_side():
    cases = [Case("adc_sweep", "adc", "float", seed, Reading("digital"), value) for seed, value in enumerate((90.0, 92.0, 94.0))]
    other = Case("adc_sweep", "adc", "float", 0, Reading("gaussian", sigma=0.1), 80.0)
    (group,) = groups_of([*cases, other], {cases[0].group: [91.0, 93.0]})
    assert (group.n_table, group.mean_table, group.std_table) == (3, 92.0, pytest.approx(2.0))
    assert (group.n, group.mean, group.std) == (2, 92.0, pytest.approx(sqrt(2.0)))


def test_nineteen_of_twenty_are_enough_and_one_far_off_is_too_many():
    good, off, far = replace(GROUP, mean=90.0), replace(GROUP, mean=101.0), replace(GROUP, mean=111.0)
    found = metrics_of([good] * 19 + [off])
    assert (found["n"], found["n_within"], found["fraction_within"], found["n_beyond_twice"]) == (20, 19, 0.95, 0)
    assert found["per_file"] == {"training_stress": {key: value for key, value in found.items() if key != "per_file"}}
    assert passes(found)
    assert not passes(metrics_of([good] * 18 + [off] * 2))
    assert not passes(metrics_of([good] * 19 + [far]))
    assert not passes(metrics_of([]))


def test_a_table_is_read_as_it_was_written(tmp_path):
    groups = [GROUP, replace(GROUP, net="adc", recipe="a, b", mean=12.34567)]
    write_groups(tmp_path / "table.csv", groups)
    assert read_groups(tmp_path / "table.csv") == [GROUP, replace(groups[1], mean=12.3457)]


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [("net", "rnn", "net: 'rnn' is not known"), ("mean", "x", "mean: 'x' is not a number"), ("n", "0", "whole number")],
)
def test_a_damaged_table_is_refused_with_its_line(tmp_path, column, text, message):
    row = {"file": "f", "net": "cnn", "recipe": "r", "reading": "d"} | dict.fromkeys(COLUMNS[4:], "1") | {column: text}
    (tmp_path / "table.csv").write_text(",".join(COLUMNS) + "\n" + ",".join(row[name] for name in COLUMNS) + "\n")
    with pytest.raises(WorkloadError, match=f"line 2: .*{message}"):
        read_groups(tmp_path / "table.csv")

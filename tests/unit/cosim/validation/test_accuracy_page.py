"""The page of trained networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cosim.validation.accuracy_page import TABLE, page, render
from cosim.validation.accuracy_score import Group, metrics_of, passes, read_groups

ROOT = Path(__file__).parents[4]
GROUP = Group("training_stress", "cnn", "float", "noise 0.2", 2, 91.0, 0.1, 2, 91.2, 0.1)


def test_a_group_is_a_line_with_both_sides_and_the_tolerance():
    text = render([GROUP])
    assert "| cnn | float | noise 0.2 | 91.00 ± 0.10 (2) | 91.20 ± 0.10 (2) | +0.20 | 0.40 |  |" in text
    assert "| `training_stress.csv` | 1 | 1 | 100.0 % | 0 | 1 |" in text
    assert "## Outside their tolerance\n\nNone.\n" in text


def test_groups_outside_are_listed_first():
    outside, beyond = replace(GROUP, mean=91.5), replace(GROUP, net="mlp", mean=80.0)
    head, _, rest = render([GROUP, outside, beyond]).partition("## training_stress")
    assert head.count("**outside**") == rest.count("**outside**") == 1
    assert head.count("**beyond twice**") == rest.count("**beyond twice**") == 1


def test_the_page_is_what_the_table_gives():
    text = (ROOT / "docs" / "accuracy_table.md").read_text(encoding="utf-8")
    assert text == page(), "docs/accuracy_table.md is stale; python benchmarks/accuracy_table.py writes it"


def test_the_table_that_ships_reaches_the_target():
    metrics = metrics_of(read_groups(TABLE))
    assert metrics["n"] == 276
    assert passes(metrics)

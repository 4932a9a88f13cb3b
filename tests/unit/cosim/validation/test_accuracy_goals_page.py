"""The page of goals."""

from __future__ import annotations

import json
from pathlib import Path

from cosim.validation.accuracy_goals import GOALS
from cosim.validation.accuracy_goals_page import NUMBERS, page, render

ROOT = Path(__file__).parents[4]
ONE = {"title": "a network, noise 0.2", "value": 97.5, "std": 0.25, "n_seeds": 3, "control": 96.0, "target": 97.2, "passed": True}


def test_a_goal_is_a_line_with_its_control_and_target():
    text = render({"one": ONE, "two": {**ONE, "passed": False, "control": None}})
    assert "| a network, noise 0.2 | 97.50 ± 0.25 (3) | 96.00 | >= 97.2 | yes |" in text
    assert "| a network, noise 0.2 | 97.50 ± 0.25 (3) |  | >= 97.2 | **no** |" in text
    assert "1 of 2 goals are reached." in text


def test_goals_below_a_target_say_so_with_enough_digits():
    text = render({"ensemble_ece_0.2": {**ONE, "value": 0.0123, "std": 0.0011, "control": 0.024, "target": 0.03}})
    assert "| 0.012 ± 0.001 (3) | 0.024 | <= 0.03 | yes |" in text


def test_the_page_is_what_the_numbers_give():
    text = (ROOT / "docs" / "accuracy_goals.md").read_text(encoding="utf-8")
    assert text == page(), "docs/accuracy_goals.md is stale; python benchmarks/accuracy_goals.py writes it"


def test_every_goal_has_a_number_and_each_verdict_follows_from_it():
    numbers = json.loads(NUMBERS.read_text(encoding="utf-8"))
    assert list(numbers) == list(GOALS)
    for name, one in numbers.items():
        reached = one["value"] <= one["target"] if GOALS[name].at_most else one["value"] >= one["target"]
        assert reached == one["passed"]
        assert one["target"] == GOALS[name].target

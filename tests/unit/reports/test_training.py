"""The learning curve of a training made by hand."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cosim.scheduling.policy_weights import Trained, as_weights, initial, n_weights
from cosim.scheduling.train import Training
from cosim.scheduling.train_judge import Judgement
from reports.training import curve_chart, curve_csv, training_page

Read = Callable[[str], Any]
CURVE = (Judgement(0, 1.014, 1.006), Judgement(50, 1.001, 0.98), Judgement(100, 0.96, 0.94))


@pytest.fixture
def training() -> Training:
    weights = as_weights(initial(np.random.default_rng(0), 4, 5), 4, 5)
    provenance = {"seed": 3, "n_steps": 100, "cpu_minutes": 7.9, "generator_version": 1, "recipe": {"width": 4, "n_hidden": 5}, "curve": []}
    return Training(Trained(weights, 0.15, provenance), CURVE)


def test_every_point_of_the_curve_stands_in_the_chart_and_in_the_csv(training: Training, read_page: Read) -> None:
    page = read_page(training_page(training))
    rows = list(csv.DictReader(io.StringIO(curve_csv(training))))
    assert [(int(row["step"]), float(row["greedy"]), float(row["best_of_8"])) for row in rows] == [
        (point.step, point.greedy, point.best_of_8) for point in CURVE
    ]
    for name in ("greedy", "best_of_8"):
        assert page.values(name, ["rect"]) == {row["step"]: float(row[name]) for row in rows}
        assert page.values(name, ["span"]) == {"": float(rows[-1][name])}


def test_the_page_says_how_it_was_made_and_how_to_use_it(training: Training, read_page: Read) -> None:
    page = read_page(training_page(training))
    assert page.values("n_weights") == {"": n_weights(4, 5)}
    for words in ("seed", "7.9", "n_hidden", "cosim/scheduling/weights/policy_v1.json", "--policy learned", "task_bias"):
        assert words in page.text, words


@pytest.mark.parametrize("curve", [CURVE, CURVE[:1], (Judgement(0, 1.0, 1.0), Judgement(1, 1.0, 1.0))])
def test_any_curve_can_be_drawn(curve: tuple[Judgement, ...]) -> None:
    chart = curve_chart(curve)
    ET.fromstring(chart.svg)
    assert "portfolio" in chart.svg

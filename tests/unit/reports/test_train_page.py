"""The page of a training run whose numbers are written down."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import reports.train as page_module
from cosim.training.data import Dataset, Scale
from cosim.training.hardware import Hardware
from cosim.training.network import Network
from cosim.training.networks import trainable
from cosim.training.recipe import Phase, Recipe
from cosim.training.train import CURVE, Job, SeedRun, TrainResult
from reports.train import NAMES, curve_chart, train_page
from workloads.program import Program

Read = Callable[[str], Any]
EMPTY = Network(Program("empty", "x", (1,), "x", (), {}))
DATA = Dataset("two<b>", np.zeros((2, 1), np.float32), np.arange(2), 2, np.array([True, False]), Scale(1.0, 0.0, 1.0))
RECIPE = Recipe("r", Phase(3, 0.25), Phase(7, 0.125, sigma=0.3, clip_row=1.5, weight_bits=4), "First & second paper")
TEST = {"aware": (90.0, 94.0, 95.0), "control": (80.0, 80.0, 83.0), "float": (70.0, 70.0, 70.0)}
FALL = {"aware": 1.0, "control": 2.0, "float": 4.0}  # points of accuracy a step of noise


def result(*, control: bool = True, n_seeds: int = 3) -> TrainResult:
    """Seeds s reach what is written above on the hardware, one point more digitally, two on validation images."""
    kinds = [kind for kind in TEST if control or kind != "control"]
    job = Job(trainable("mlp_digits"), DATA, Hardware("noise 0.3", sigma=0.3), RECIPE, seeds=tuple(range(n_seeds)), control=control)
    runs = []
    for seed in range(n_seeds):
        test = {kind: TEST[kind][seed] for kind in kinds}
        curve = {kind: tuple(test[kind] - i * FALL[kind] for i in range(len(CURVE))) for kind in kinds}
        more = [{kind: value + extra for kind, value in test.items()} for extra in (2, 1)]
        runs.append(SeedRun(seed, dict.fromkeys(kinds, EMPTY), more[0], test, more[1], curve, 27))
    return TrainResult(job, tuple(runs), (1212, 135, 450), 12.5)


def test_headlines_are_the_numbers_of_the_summary(read_page: Read) -> None:
    page = read_page(train_page(result()))
    for key, value in (("accuracy", 93.0), ("control", 81.0), ("float", 71.0)):
        assert page.values(key, ["span"]) == {"": value}
    for words in ("mlp_digits on two<b>", "93.00 % on noise 0.3", "+12.00 points against the control", "12.5 CPU seconds"):
        assert words in page.text, words
    assert "1212 training, 135 validation, 450 test images" in page.text
    assert "4 weight bits, real activation bits" in page.text
    assert "read 81 times" in page.text


def test_the_table_has_a_row_a_network_with_all_three_scores(read_page: Read) -> None:
    text = " ".join(read_page(train_page(result())).text.split())
    for name, *scores in (
        (NAMES["aware"], "93.00 ± 2.65", "94.00 ± 2.65", "95.00 ± 2.65"),
        (NAMES["control"], "81.00 ± 1.73", "82.00 ± 1.73", "83.00 ± 1.73"),
        (NAMES["float"], "70.00 ± 0.00", "71.00 ± 0.00", "72.00 ± 0.00"),
    ):
        place = text.index(f"{name} {scores[0]}") if f"{name} {scores[0]}" in text else text.index(f"{name}{scores[0]}")
        assert all(score in text[place : place + 90] for score in scores)


def test_the_page_says_how_it_was_made_and_leaves_out_what_was_not_used(read_page: Read) -> None:
    text = read_page(train_page(result())).text
    for words in ("first: epochs", "then: clip_row", "1.5", "then: sigma", "First & second paper", "split_seed"):
        assert words in text, words
    for words in ("first: clip_row", "first: sigma", "then: distill", "then: activation_bits"):
        assert words not in text, words


def test_without_a_control_nothing_is_said_of_one(read_page: Read) -> None:
    text = read_page(train_page(result(control=False))).text
    assert "against the control" not in text
    assert "Control on the hardware" not in text


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_lines_are_means_and_deviations_over_seeds_as_shares(monkeypatch: pytest.MonkeyPatch, n_seeds: int) -> None:
    monkeypatch.setattr(page_module, "noise_chart", lambda lines: lines)
    lines: Any = curve_chart(result(n_seeds=n_seeds))
    assert [line.name for line in lines] == [NAMES["aware"], NAMES["control"], NAMES["float"]]
    assert [line.control for line in lines] == [False, True, False]
    for line, kind in zip(lines, TEST, strict=True):
        reached = np.array(TEST[kind][:n_seeds])
        assert line.x == CURVE
        assert line.y == pytest.approx([reached.mean() / 100 - i * FALL[kind] / 100 for i in range(len(CURVE))])
        deviation = reached.std(ddof=1) / 100 if n_seeds > 1 else 0.0
        assert line.std == pytest.approx([deviation] * len(CURVE))


def test_the_chart_can_be_drawn_and_says_what_noise_leaves() -> None:
    """At noise 0.5 five steps have been lost: 93 - 5 and 81 - 10."""
    chart = curve_chart(result())
    ET.fromstring(chart.svg)
    assert chart.title == "trained for the hardware: 88.0 % at noise 0.5, control: 71.0 %"


def test_one_seed_makes_a_page_too(read_page: Read) -> None:
    assert "90.00 ± 0.00" in read_page(train_page(result(n_seeds=1))).text


def test_real_weights_are_called_so(read_page: Read) -> None:
    plain = result()
    real = replace(plain, job=replace(plain.job, recipe=replace(RECIPE, then=replace(RECIPE.then, weight_bits=None))))
    assert "real weight bits, real activation bits" in read_page(train_page(real)).text

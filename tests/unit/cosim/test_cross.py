"""Train here, run there: the matrix by hand, and a small one that is trained."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.training.accuracy import Score
from cosim.training.cross import NONE, CrossResult, cross
from cosim.training.data import load_data
from cosim.training.hardware import Hardware
from cosim.training.networks import trainable
from cosim.training.recipe import Phase, Recipe
from hw_models.cim.noise import load_noise
from workloads.errors import SimulationError

BY_HAND = CrossResult(
    ("A", "B", NONE.name),
    ("A", "B"),
    {
        ("A", "A"): Score((90.0, 92.0)),
        ("B", "A"): Score((80.0, 81.0)),
        (NONE.name, "A"): Score((89.0, 88.0)),
        ("A", "B"): Score((70.0, 70.0)),
        ("B", "B"): Score((71.0, 73.0)),
        (NONE.name, "B"): Score((72.0, 74.0)),
    },
)
QUICK = Recipe("quick", Phase(epochs=4, learning_rate=5e-3), Phase(epochs=3, learning_rate=5e-3, clip_row=1.5))


def test_winners_and_gains_are_paired_by_seed():
    assert (BY_HAND.best("A"), BY_HAND.best("B")) == ("A", NONE.name)
    assert BY_HAND.gain("A") == (2.5, pytest.approx(np.std([1.0, 4.0], ddof=1)))
    assert BY_HAND.gain("B") == (-1.0, 0.0)


def test_a_diagonal_that_loses_is_said_to_lose():
    head, *rows, on_a, on_b = BY_HAND.lines()
    assert head.split() == ["trained", "for", "A", "B"]
    assert [row.split()[-3:] for row in rows] == [["70.00", "+-", "0.00"], ["72.00", "+-", "1.41"], ["73.00", "+-", "1.41"]]
    assert on_a == "on A: trained for it is best, by 2.50 +- 2.12 points"
    assert on_b == f"on B: trained for {NONE.name} is best; trained for it is 1.00 +- 0.00 points lower"


def test_every_network_meets_every_chip_and_again_gives_the_same():
    pytest.importorskip("torch")
    chips = (Hardware("noisy", sigma=0.3), Hardware("pcm", noise=load_noise("pcm_like")))
    told: list[str] = []
    results = [
        cross(trainable("mlp_digits"), load_data("digits8x8"), chips, QUICK, seeds=(0,), n_draws=2, tell=told.append) for _ in range(2)
    ]
    assert results[0] == results[1]
    assert set(results[0].scores) == {(row, column) for row in ("noisy", "pcm", NONE.name) for column in ("noisy", "pcm")}
    assert all(score.mean > 50 for score in results[0].scores.values())
    assert told[0] == "seed 0: training for noisy"


def test_one_chip_or_two_of_one_name_are_refused():
    pytest.importorskip("torch")
    for chips in ((Hardware("A"),), (Hardware("A"), Hardware("A")), (Hardware("A"), NONE)):
        with pytest.raises(SimulationError, match="different names"):
            cross(trainable("mlp_digits"), load_data("digits8x8"), chips, QUICK)

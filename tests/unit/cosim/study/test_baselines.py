"""Random, annealing, genetic and NSGA-II samplers: the laws of the interface, and that each but random gets better by what it is told."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.study import make_sampler
from cosim.study.samplers import anneal
from cosim.study.samplers.base import N_STARTUP

NAMES = ("random", "sa", "ga", "nsga2")
SPACE = {f"x{i}": ["0", "1"] for i in range(12)}


def ones(point):
    return float(sum(level == "1" for level in point.values()))


def play(name, n, seed=0, batch=1, objective=ones, objectives=("f",), **options):
    sampler = make_sampler(name, SPACE, list(objectives), seed=seed, **options)
    asked = []
    for _ in range(n // batch):
        points = sampler.ask(batch)
        asked += points
        for point in points:
            sampler.tell(point, objective(point))
    return sampler, asked


@pytest.mark.parametrize("name", NAMES)
class TestInterface:
    def test_equal_seeds_ask_for_equal_points_and_others_for_others(self, name):
        assert play(name, 30)[1] == play(name, 30)[1]
        assert play(name, 30)[1] != play(name, 30, seed=1)[1]

    def test_declared_constraints_hold_for_all_that_is_asked(self, name):
        def paired(point):
            return point["x0"] == point["x1"]

        _, asked = play(name, 40, constraints=[paired])
        assert all(paired(point) for point in asked)

    def test_batches_are_asked_before_anything_is_told(self, name):
        sampler, asked = play(name, 48, batch=8)
        assert len(asked) == 48
        assert len(sampler.pending) == 0

    def test_failed_points_do_not_stop_it(self, name):
        def fails(point):
            return float("nan") if point["x0"] == "1" else ones(point)

        sampler, _ = play(name, 40, objective=fails)
        assert sampler.best()["x0"] == "0"

    def test_points_are_asked_at_the_top_fidelity(self, name):
        sampler = make_sampler(name, SPACE, ["f"], fidelities={"low": 0.1, "high": 1.0})
        assert {point["fidelity"] for point in sampler.ask(3)} == {"high"}

    def test_a_space_of_one_point_is_asked_again(self, name):
        sampler = make_sampler(name, {"a": ["only"]}, ["f"])
        for _ in range(25):
            (point,) = sampler.ask(1)
            sampler.tell(point, 1.0)
        assert sampler.best() == {"a": "only"}


@pytest.mark.parametrize("name", ["sa", "ga", "nsga2"])
def test_what_is_told_is_used(name):
    means = [np.mean([ones(play(one, 90, seed=seed)[0].best()) for seed in range(3)]) for one in (name, "random")]
    assert means[0] <= 1.0 < means[1]


class TestAnneal:
    def test_it_goes_on_from_the_best_point_of_the_start(self):
        sampler, _ = play("sa", N_STARTUP)
        best = sampler.best()
        (point,) = sampler.ask(1)
        assert sum(best[axis] != point[axis] for axis in SPACE) == 1

    def test_a_better_point_is_always_taken_and_a_much_worse_one_is_not(self):
        sampler = make_sampler("sa", SPACE, ["f"])
        rows = [{axis: str(n >> i & 1) for i, axis in enumerate(SPACE)} for n in range(N_STARTUP + 2)]
        for i, point in enumerate(rows):
            sampler.tell(point, {N_STARTUP: -1.0, N_STARTUP + 1: 1e9}.get(i, float(i % 2)))
        (asked,) = sampler.ask(1)
        assert sum(rows[N_STARTUP][axis] != asked[axis] for axis in SPACE) == 1

    def test_a_worse_point_is_taken_as_often_as_metropolis_says(self, monkeypatch):
        monkeypatch.setattr(anneal, "COOLING", 1.0)
        rise, taken = 0.3, 0
        for seed in range(400):
            sampler = make_sampler("sa", {"a": list(range(40))}, ["f"], seed=seed)
            for i in range(N_STARTUP):
                sampler.tell({"a": i}, float(i % 2))
            sampler.tell({"a": 30}, rise)
            sampler.ask(1)
            taken += sampler._current == N_STARTUP
        expected = np.exp(-rise / (anneal.HEAT * 0.5))  # half of the start is 0, half is 1: a standard deviation of 1/2
        assert taken / 400 == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 400))


class TestNsga2:
    def test_it_finds_more_of_a_front_than_random_points_do(self):
        def both(point):
            n = ones(point)
            return n, (12 - n) + (point["x0"] == "1")

        fronts = [
            len({tuple(map(float, both(p))) for p in play(name, 120, objective=both, objectives=("f", "g"))[0].front()})
            for name in ("nsga2", "random")
        ]
        assert fronts[0] > fronts[1]

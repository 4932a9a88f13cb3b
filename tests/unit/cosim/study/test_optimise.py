"""The loop of a search: what a suggestion has seen, when it stops, and that workers change nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import ClassVar

import numpy as np
import pytest

from cosim.study.objectives import read_bound, read_objective
from cosim.study.optimise import Outcome, Search, Stop
from cosim.study.rules import condition
from cosim.study.samplers import base
from cosim.study.scores import Limit, Wanted
from cosim.study.space import Space, axes_of
from workloads.errors import SpecError

AXES = axes_of({"a": list(range(6)), "b": list(range(6)), "c": ["x", "y"]})
SPACE = Space(AXES)
ENERGY = Wanted((read_objective("energy"),), (), (1.0,), "geomean")


def value(row, fidelity="event"):
    bias = 0.5 if fidelity == "bound" else 1.0
    return bias * (1.0 + (row[0] - 4) ** 2 + (row[1] - 2) ** 2 + row[2])


class Now:
    """Evaluates when it is asked."""

    def __init__(self, limited=0):
        self.rows, self.limited = [], limited

    def submit(self, row, fidelity):
        self.rows.append((tuple(row.tolist()), fidelity))
        outcome = Outcome(np.array([value(row, fidelity)]), np.full(self.limited, float(row[0])))
        return type("Done", (), {"result": lambda _: outcome})()


def rows_of(search, stop, judge=None):
    return [tuple(trial.row.tolist()) for trial in search.trials(judge or Now(), stop)]


@pytest.mark.parametrize("name", ["random", "sa", "ga"])
def test_a_search_gives_so_many_trials_in_order(name):
    trials = list(Search(SPACE, ENERGY, {"event": 1.0}, name).trials(Now(), Stop(evaluations=25)))
    assert [trial.index for trial in trials] == list(range(25))
    assert trials[-1].spent == 25.0
    assert all(trial.outcome.objectives[0] == value(trial.row) for trial in trials)


class Spy(base.Sampler):
    """Notes how many results each suggestion has seen."""

    seen: ClassVar[list[int]] = []

    def _suggest(self, rng):
        Spy.seen.append(len(self.codes))
        return self.space.random(rng, 1)[0], self.problem.top


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_suggestion_i_sees_the_results_up_to_i_minus_the_batch(monkeypatch, batch):
    monkeypatch.setattr(Spy, "seen", [])
    monkeypatch.setattr("cosim.study.optimise.make_sampler", lambda name, space, objectives, **more: Spy(_problem(space, objectives)))
    rows_of(Search(SPACE, ENERGY, {"event": 1.0}, batch=batch), Stop(evaluations=10))
    assert Spy.seen == [max(0, i - batch + 1) for i in range(10)]


def _problem(space, objectives):
    from cosim.study.samplers.problem import make_problem

    return make_problem(space, objectives)


def test_workers_change_nothing():
    class Threads(Now):
        def __init__(self, pool):
            super().__init__()
            self.pool = pool

        def submit(self, row, fidelity):
            return self.pool.submit(lambda: Outcome(np.array([value(row)]), np.empty(0)))

    search = Search(SPACE, ENERGY, {"event": 1.0}, "ga", seed=3)
    with ThreadPoolExecutor(3) as pool:
        assert rows_of(search, Stop(evaluations=40), Threads(pool)) == rows_of(search, Stop(evaluations=40))


def test_another_seed_goes_another_way():
    one, two = (rows_of(Search(SPACE, ENERGY, {"event": 1.0}, "random", seed=seed), Stop(evaluations=12)) for seed in (0, 1))
    assert one != two


def test_a_limit_on_time_cuts_the_sequence_short():
    ticks = count()
    search = Search(SPACE, ENERGY, {"event": 1.0}, "random")
    short = [tuple(t.row.tolist()) for t in search.trials(Now(), Stop(minutes=0.2), clock=lambda: float(next(ticks)))]
    long = rows_of(search, Stop(evaluations=40))
    assert 5 < len(short) < 20
    assert short == long[: len(short)]


def test_a_limit_on_cost_is_not_passed():
    trials = list(Search(SPACE, ENERGY, {"bound": 0.3, "event": 1.0}, "random").trials(Now(), Stop(cost=7.5)))
    assert 7.5 - 1.0 < trials[-1].spent <= 7.5
    assert {trial.fidelity for trial in trials} <= {"bound", "event"}


def test_a_search_without_gain_ends():
    trials = list(Search(SPACE, ENERGY, {"event": 1.0}, "random", batch=1).trials(Now(), Stop(patience=10)))
    last = max(trial.index for trial in trials if trial.is_gain)
    assert len(trials) == last + 1 + 10


def test_own_points_come_first():
    first = [{"a": 5, "b": 5, "c": "y"}, {"a": 0, "b": 1, "c": "x"}]
    rows = rows_of(Search(SPACE, ENERGY, {"event": 1.0}, "random", first=first), Stop(evaluations=4))
    assert rows[:2] == [(5, 5, 1), (0, 1, 0)]


def test_results_known_before_are_told_first(monkeypatch):
    monkeypatch.setattr(Spy, "seen", [])
    monkeypatch.setattr("cosim.study.optimise.make_sampler", lambda name, space, objectives, **more: Spy(_problem(space, objectives)))
    known = [({"a": 1, "b": 1, "c": "x"}, {"energy": 3.0}, "event")] * 3
    rows_of(Search(SPACE, ENERGY, {"event": 1.0}, known=known, batch=1), Stop(evaluations=2))
    assert Spy.seen == [3, 4]


def test_only_feasible_points_are_asked_and_bounds_decide_what_is_a_gain():
    space = Space(AXES, (condition("a + b >= 6", AXES),))
    wanted = Wanted(ENERGY.objectives, (Limit(read_bound("latency <= 3 s"), None, "latency"),), (1.0,), "geomean")
    trials = list(Search(space, wanted, {"event": 1.0}, "random").trials(Now(limited=1), Stop(evaluations=30)))
    assert all(trial.row[0] + trial.row[1] >= 6 for trial in trials)
    gains = [trial for trial in trials if trial.is_gain]
    assert gains
    assert all(trial.row[0] <= 3 for trial in gains)


def test_a_failed_point_is_no_gain_and_does_not_end_the_search():
    class Fails(Now):
        def submit(self, row, fidelity):
            outcome = Outcome(np.array([np.nan if row[2] else value(row)]), np.empty(0), "no room" if row[2] else "")
            return type("Done", (), {"result": lambda _: outcome})()

    trials = list(Search(SPACE, ENERGY, {"event": 1.0}, "ga").trials(Fails(), Stop(evaluations=30)))
    assert len(trials) == 30
    assert not any(trial.is_gain for trial in trials if trial.row[2])


@pytest.mark.parametrize("numbers", [{"evaluations": 0}, {"cost": -1.0}, {"minutes": 0.0}, {"patience": 0}])
def test_budgets_are_above_zero(numbers):
    with pytest.raises(SpecError, match="choose more than 0"):
        Stop(**numbers)

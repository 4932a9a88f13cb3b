"""The loop of a search: what a suggestion has seen, when it stops, and that workers change nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import ClassVar

import numpy as np
import pytest

from cosim.study.objectives import read_bound, read_objective
from cosim.study.optimise import Outcome, Search, Stop, _Left, known_at
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
    return bias * (1.0 + (row[0] - 4) ** 2 + (row[1] - 2) ** 2 + sum(row[2:]))


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


# --- why it has ended ---------------------------------------------------------------------------------------------------

SMALL = Space(axes_of({"a": [0, 1, 2], "c": ["x", "y"]}))


def ended(search, stop, judge=None, **more):
    """(why, trials) of a search that was let run to its end."""
    running = search.trials(judge or Now(), stop, **more)
    assert running.stopped is None
    trials = list(running)
    return running.stopped, trials


@pytest.mark.parametrize(
    ("stop", "why"),
    [
        (Stop(evaluations=3), "budget"),
        (Stop(cost=4.5), "cost"),
        (Stop(evaluations=50, patience=6), "patience"),
        (Stop(evaluations=50, minutes=0.1), "minutes"),
        (Stop(evaluations=3, cost=3.0), "budget"),
    ],
)
def test_a_search_says_which_limit_ended_it(stop, why):
    ticks = count()
    found, _ = ended(Search(SPACE, ENERGY, {"event": 1.0}, "random"), stop, clock=lambda: float(next(ticks)))
    assert found == why


def test_a_search_that_is_not_at_its_end_says_nothing():
    running = Search(SPACE, ENERGY, {"event": 1.0}, "random").trials(Now(), Stop(evaluations=3))
    assert [next(running).index, next(running).index] == [0, 1]
    assert running.stopped == "budget"  # all three are asked, one of them is not told yet
    assert [trial.index for trial in running] == [2]
    fresh = Search(SPACE, ENERGY, {"event": 1.0}, "random", batch=1).trials(Now(), Stop(evaluations=3))
    next(fresh)
    assert fresh.stopped is None


def test_a_suggestion_that_the_cost_left_does_not_pay_for_ends_the_search():
    """The cheap rung is always paid for; the dear one, which random takes alone, is not."""
    why, trials = ended(Search(SPACE, ENERGY, {"bound": 0.3, "event": 1.0}, "random"), Stop(cost=2.5))
    assert (why, trials[-1].spent) == ("cost", 2.0)


@pytest.mark.parametrize("name", ["gp", "random", "sa", "ga"])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_small_space_ends_when_all_its_points_are_known(name, batch):
    judge = Now()
    why, trials = ended(Search(SMALL, ENERGY, {"event": 1.0}, name, batch=batch), Stop(evaluations=500), judge)
    assert why == "all points known"
    assert len({row for row, _ in judge.rows}) == 6
    last = judge.rows[-1]
    assert judge.rows.count(last) == 1  # the search ends with the point that was missing
    assert len(trials) == len(judge.rows) < 500


def test_it_ends_on_what_is_asked_and_not_on_what_is_told():
    """The sequence with more workers is that with one: nothing waits for results before it stops."""
    lengths = {batch: len(ended(Search(SMALL, ENERGY, {"event": 1.0}, "random", batch=batch), Stop(evaluations=99))[1]) for batch in (1, 6)}
    assert lengths[1] == lengths[6]


def test_rules_and_failures_count_as_they_should():
    """Of six points four keep to the rule; one of those fails, and is known all the same."""

    class Fails(Now):
        def submit(self, row, fidelity):
            outcome = Outcome(np.array([np.nan if row[0] == 2 else value(row)]), np.empty(0), "no room" if row[0] == 2 else "")
            self.rows.append((tuple(row.tolist()), fidelity))
            return type("Done", (), {"result": lambda _: outcome})()

    space, judge = Space(SMALL.axes, (condition("a >= 1", SMALL.axes),)), Fails()
    why, _ = ended(Search(space, ENERGY, {"event": 1.0}, "random"), Stop(evaluations=99), judge)
    assert why == "all points known"
    assert {row for row, _ in judge.rows} == {(1, 0), (1, 1), (2, 0), (2, 1)}


def test_points_at_a_lower_fidelity_are_not_known(monkeypatch):
    class Low(base.Sampler):
        def _suggest(self, rng):
            return self.space.at(np.array([self.n_asked % 6]))[0], 0 if self.n_asked < 12 else 1

    monkeypatch.setattr("cosim.study.optimise.make_sampler", lambda name, space, objectives, **more: Low(_ladder(space, objectives)))
    why, trials = ended(Search(SMALL, ENERGY, {"bound": 0.1, "event": 1.0}), Stop(evaluations=99))
    assert (why, len(trials)) == ("all points known", 18)
    assert [trial.fidelity for trial in trials] == ["bound"] * 12 + ["event"] * 6


def _ladder(space, objectives):
    from cosim.study.samplers.problem import make_problem

    return make_problem(space, objectives, {"bound": 0.1, "event": 1.0})


def test_own_points_are_all_evaluated_before_it_may_end():
    space = Space(SMALL.axes, (condition("a == 0", SMALL.axes),))
    first = [{"a": 0, "c": "x"}, {"a": 0, "c": "y"}, {"a": 2, "c": "x"}, {"a": 1, "c": "y"}]
    why, trials = ended(Search(space, ENERGY, {"event": 1.0}, "random", first=first, batch=1), Stop(evaluations=99))
    assert why == "all points known"
    assert [tuple(trial.row.tolist()) for trial in trials] == [(0, 0), (0, 1), (2, 0), (1, 1)]


def test_a_space_without_feasible_points_is_still_refused():
    space = Space(SMALL.axes, (condition("a >= 9", SMALL.axes),))
    with pytest.raises(SpecError, match="no point of the space keeps to its constraints"):
        ended(Search(space, ENERGY, {"event": 1.0}, "random"), Stop(evaluations=9))


def test_constraints_are_looked_at_no_further_than_to_the_first_point_that_is_left():
    looked = []

    class Counts:
        text = "counts"

        def keeps(self, codes):
            looked.append(len(codes))
            return np.ones(len(codes), dtype=np.bool_)

    space = Space(axes_of({"a": list(range(100)), "b": list(range(100))}), (Counts(),))
    left = _Left(space)
    assert not left.is_empty()
    assert not left.is_empty()
    assert looked == [256]
    for row in space.at(np.arange(256)):
        left.ask(row)
    assert not left.is_empty()
    assert looked == [256, 256]
    for row in space.at(np.arange(256, 10_000)):
        left.ask(row)
    assert left.is_empty()
    assert sum(looked) == 10_000


def test_a_large_space_is_not_listed():
    space = Space(axes_of({"a": list(range(300)), "b": list(range(300))}))
    left = _Left(space)
    for row in space.listed:
        left.ask(row)
    assert not left.is_empty()


# --- what is known before -----------------------------------------------------------------------------------------------


def told(row, energy, fidelity="event"):
    return SMALL.decode(np.array(row))[0], {"energy": energy}, fidelity


def test_points_known_at_the_top_fidelity_need_not_be_asked():
    known = [told(row, value(row)) for row in SMALL.listed[:4].tolist()]
    judge = Now()
    why, _ = ended(Search(SMALL, ENERGY, {"event": 1.0}, "random", known=known), Stop(evaluations=99), judge)
    assert why == "all points known"
    assert {row for row, _ in judge.rows} >= {(2, 0), (2, 1)}


def test_where_all_is_known_nothing_is_evaluated():
    known = iter([told(row, 1.0) for row in SMALL.listed.tolist()])
    assert ended(Search(SMALL, ENERGY, {"event": 1.0}, "gp", known=known), Stop(evaluations=9)) == ("all points known", [])


def test_a_gain_is_better_than_what_was_known():
    class Same(Now):
        def submit(self, row, fidelity):
            outcome = Outcome(np.array([5.0 - row[0]]), np.empty(0))
            return type("Done", (), {"result": lambda _: outcome})()

    first = [{"a": a, "c": "x"} for a in (0, 1, 2)]
    for known, gains in (([], [0, 1, 2]), ([told((0, 1), 4.0)], [2]), ([told((0, 1), 4.0, "bound")], [0, 1, 2]), ([told((0, 1), 1.0)], [])):
        search = Search(SMALL, ENERGY, {"bound": 0.1, "event": 1.0}, "random", first=first, known=known)
        _, trials = ended(search, Stop(evaluations=3), Same())
        assert [trial.index for trial in trials if trial.is_gain] == gains


def test_patience_counts_from_the_best_that_was_known():
    known = [(SPACE.decode(np.array([4, 2, 0]))[0], {"energy": 0.1}, "event")]
    why, trials = ended(Search(SPACE, ENERGY, {"event": 1.0}, "random", known=known, batch=1), Stop(patience=5))
    assert (why, len(trials)) == ("patience", 5)


def test_known_at_takes_each_feasible_point_where_it_comes_first():
    space = Space(SMALL.axes, (condition("a >= 1", SMALL.axes),))
    wanted = Wanted(ENERGY.objectives, (Limit(read_bound("latency <= 3 s"), None, "latency"),), (1.0,), "geomean")
    rows = [
        ({"a": 0, "c": "x"}, {"energy": 1.0, "latency": 1.0}, "event"),  # breaks the rule
        ({"a": 1, "c": "x"}, {"energy": 2.0, "latency": 9.0}, "bound"),
        ({"a": 1, "c": "x"}, {"energy": 3.0, "latency": 4.0}, "event"),
        ({"c": "x", "a": 1}, {"latency": 1.0, "energy": 7.0}, "event"),
        ({"a": 2, "c": "y"}, {"energy": np.nan, "latency": np.nan}, "event"),
    ]
    found = known_at(rows, "event", space, wanted)
    assert [row.tolist() for row, _ in found] == [[1, 0], [2, 1]]
    assert [(one.objectives.tolist(), one.limited.tolist()) for _, one in found[:1]] == [([3.0], [4.0])]
    assert np.isnan(found[1][1].objectives).all()
    assert known_at([], "event", space, wanted) == []

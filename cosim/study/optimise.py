"""Search a study's space: suggestions, results in order, and when to stop.

Suggestion i sees exactly the results 0 .. i - q, q the study's batch, whatever runs how long on how many workers, so that one seed
gives one sequence; a limit on time cuts it short and changes nothing before.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cosim.study.samplers.base import Sampler, make_sampler
from cosim.study.scores import Scores, Wanted
from cosim.study.space import Codes, Space
from workloads.errors import SpecError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one evaluation gave: objectives [m], limited values [c] (NaN: failed), their errors, and keys of its rows."""

    objectives: Floats
    limited: Floats
    error: str = ""
    keys: tuple[str, ...] = ()


class Pending(Protocol):
    """An evaluation that may still be under way."""

    def result(self) -> Outcome:
        """Wait for it."""


class Judge(Protocol):
    """Whatever evaluates points."""

    def submit(self, row: Codes, fidelity: str) -> Pending:
        """Start evaluating one point [d]."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One suggestion and what came of it; `spent` is the cost of all up to it."""

    index: int
    row: Codes
    fidelity: str
    cost: float
    spent: float
    outcome: Outcome
    is_gain: bool


@dataclass(frozen=True)
class Stop:
    """When to stop asking: after so many evaluations, so much cost, so many minutes, or so many without gain; None: not by that.

    Raises SpecError for numbers out of range.
    """

    evaluations: int | None = None
    cost: float | None = None
    minutes: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, value in (("budget", self.evaluations), ("cost", self.cost), ("minutes", self.minutes), ("patience", self.patience)):
            if value is not None and not value > 0:
                raise SpecError(f"{name} {value} is out of range; choose more than 0")

    def before(self, n_asked: int, spent: float, next_cost: float, since_gain: int, elapsed_s: float) -> bool:
        """Whether to stop before the next suggestion."""
        return (
            (self.evaluations is not None and n_asked >= self.evaluations)
            or (self.cost is not None and spent + next_cost > self.cost * (1 + 1e-12))
            or (self.patience is not None and since_gain >= self.patience)
            or (self.minutes is not None and elapsed_s >= 60.0 * self.minutes)
        )


@dataclass(frozen=True, eq=False)
class Search:
    """What is searched: the space, what is wanted, fidelities with costs (cheapest first), first points, and results known before.

    known  (axis → level, name → value, fidelity) of points that were evaluated elsewhere
    """

    space: Space
    wanted: Wanted
    costs: Mapping[str, float]
    sampler: str = "gp"
    seed: int = 0
    batch: int = 4
    first: Sequence[Mapping[str, Any]] = ()
    known: Iterable[tuple[Mapping[str, Any], Mapping[str, float], str]] = field(default=())

    def make(self) -> Sampler:
        """Make the sampler, and tell it what is known."""
        wanted = self.wanted
        sampler = make_sampler(
            self.sampler,
            self.space,
            {one.name: one.direction for one in wanted.objectives},
            seed=self.seed,
            fidelities=self.costs if len(self.costs) > 1 else None,
            constraints=[(one.label, one.bound.sense, one.bound.limit) for one in wanted.limits],
        )
        for point, values, fidelity in self.known:
            sampler.tell(point, values, fidelity if len(self.costs) > 1 else None)
        return sampler

    def trials(self, judge: Judge, stop: Stop, clock: Callable[[], float] = time.monotonic) -> Iterator[Trial]:
        """Yield suggestions with their outcomes, in order."""
        yield from _Loop(self, judge, stop, clock).run()


class _Loop:
    """The state of one search."""

    def __init__(self, search: Search, judge: Judge, stop: Stop, clock: Callable[[], float]) -> None:
        self.search, self.judge, self.stop, self.clock = search, judge, stop, clock
        self.top = list(search.costs)[-1]
        self.sampler = search.make()
        self.out: deque[tuple[int, Mapping[str, Any], Codes, str, float, Pending]] = deque()
        self.told: list[Trial] = []
        self.spent, self.n_asked, self.last_gain = 0.0, 0, 0

    def run(self) -> Iterator[Trial]:
        """Ask while nothing says stop, and give back results in the order of the suggestions."""
        began = self.clock()
        cheapest = min(self.search.costs.values())
        while True:
            while len(self.out) >= self.search.batch:
                yield self._oldest()
            since_gain = len(self.told) - self.last_gain
            if self.stop.before(self.n_asked, self.spent, cheapest, since_gain, self.clock() - began):
                break
            if not self._ask():
                break
        while self.out:
            yield self._oldest()

    def _ask(self) -> bool:
        """Start the next suggestion; False where the cost left does not pay for it."""
        first = self.search.first
        if self.n_asked < len(first):
            point: Mapping[str, Any] = dict(first[self.n_asked])
        else:
            point = self.sampler.ask(1)[0]
        levels = {name: level for name, level in point.items() if name in self.search.space.names}
        fidelity = str(point.get("fidelity", self.top)) if len(self.search.costs) > 1 else self.top
        cost = self.search.costs[fidelity]
        if self.stop.cost is not None and self.spent + cost > self.stop.cost * (1 + 1e-12):
            return False
        self.spent += cost
        row = self.search.space.encode([levels])[0]
        self.out.append((self.n_asked, levels, row, fidelity, self.spent, self.judge.submit(row, fidelity)))
        self.n_asked += 1
        return True

    def _oldest(self) -> Trial:
        """Wait for the oldest suggestion, and tell the sampler."""
        index, levels, row, fidelity, spent, pending = self.out.popleft()
        outcome = pending.result()
        values = named_values(self.search.wanted, outcome.objectives, outcome.limited)
        self.sampler.tell(levels, values, fidelity if len(self.search.costs) > 1 else None)
        trial = Trial(index, row, fidelity, self.search.costs[fidelity], spent, outcome, self._gains(outcome, fidelity))
        self.told.append(trial)
        if trial.is_gain:
            self.last_gain = len(self.told)
        return trial

    def _gains(self, outcome: Outcome, fidelity: str) -> bool:
        """Whether nothing before at the top fidelity is feasible and as good in all objectives."""
        if fidelity != self.top:
            return False
        before = [one.outcome for one in self.told if one.fidelity == self.top]
        scores = scores_of(self.search.wanted, [*before, outcome])
        return bool(len(before) in scores.front.tolist())


def named_values(wanted: Wanted, objectives: Floats, limited: Floats) -> dict[str, float]:
    """Return values by the names that a sampler knows them by."""
    found = {one.name: float(v) for one, v in zip(wanted.objectives, objectives, strict=True)}
    return found | {one.label: float(v) for one, v in zip(wanted.limits, limited, strict=True)}


def scores_of(wanted: Wanted, outcomes: Sequence[Outcome]) -> Scores:
    """Scores of outcomes, one after the other."""
    return Scores(wanted, np.array([one.objectives for one in outcomes]), np.array([one.limited for one in outcomes]))

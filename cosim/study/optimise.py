"""Search a study's space: suggestions, results in order, and when to stop.

Suggestion i sees exactly the results 0 .. i - q, q the study's batch, whatever runs how long on how many workers, so that one seed
gives one sequence; a limit on time cuts it short and changes nothing before. A search of a small space also ends when it has asked for
every feasible point at the top fidelity.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cosim.study.samplers.base import Sampler, make_sampler
from cosim.study.scores import Scores, Wanted
from cosim.study.space import Codes, Space
from workloads.errors import SpecError

Floats = NDArray[np.float64]
Told = tuple[Mapping[str, Any], Mapping[str, float], str]  # axis → level, name → value, fidelity
Reason = Literal["budget", "cost", "minutes", "patience", "all points known"]

_SMALL = 2**16  # points of a grid up to which a search looks whether any feasible one is left
_PART = 256  # points whose constraints are looked at together


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

    def before(self, n_asked: int, spent: float, next_cost: float, since_gain: int, elapsed_s: float) -> Reason | None:
        """Return why to stop before the next suggestion, None where nothing says so."""
        if self.evaluations is not None and n_asked >= self.evaluations:
            return "budget"
        if not self.pays(spent + next_cost):
            return "cost"
        if self.patience is not None and since_gain >= self.patience:
            return "patience"
        return "minutes" if self.minutes is not None and elapsed_s >= 60.0 * self.minutes else None

    def pays(self, cost: float) -> bool:
        """Whether so much cost in all is allowed."""
        return self.cost is None or cost <= self.cost * (1 + 1e-12)


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
    known: Iterable[Told] = field(default=())

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

    def trials(self, judge: Judge, stop: Stop, clock: Callable[[], float] = time.monotonic) -> Trials:
        """Return an iterator over suggestions with their outcomes, in order."""
        return Trials(self, judge, stop, clock)


class Trials(Iterator[Trial]):
    """A search that goes on as it is iterated over; `stopped` says why it has ended, None before.

    What is known at the top fidelity counts for gains, and as points that need not be asked.
    """

    def __init__(self, search: Search, judge: Judge, stop: Stop, clock: Callable[[], float]) -> None:
        """Make the sampler; nothing is evaluated yet."""
        self.search, self.judge, self.stop, self.clock = search, judge, stop, clock
        self.stopped: Reason | None = None
        self._top = list(search.costs)[-1]
        known = list(search.known)
        self._sampler = replace(search, known=known).make()
        self._out: deque[tuple[int, Mapping[str, Any], Codes, str, float, Pending]] = deque()
        self._spent, self._n_asked, self._n_told, self._last_gain = 0.0, 0, 0, 0
        self._front: list[Outcome] = []
        self._left = _Left(search.space)
        for row, outcome in known_at(known, self._top, search.space, search.wanted):
            self._left.ask(row)
            self._gains(outcome, self._top)
        self._trials = self._run()

    def __next__(self) -> Trial:
        """Return the next trial."""
        return next(self._trials)

    def _run(self) -> Iterator[Trial]:
        """Ask while nothing says stop, and give back results in the order of the suggestions."""
        began = self.clock()
        while self.stopped is None:
            while len(self._out) >= self.search.batch:
                yield self._oldest()
            self.stopped = self._reason(began)
            if self.stopped is None and not self._ask():
                self.stopped = "cost"
        while self._out:
            yield self._oldest()

    def _reason(self, began: float) -> Reason | None:
        """Why to stop before the next suggestion."""
        if self._n_asked >= len(self.search.first) and self._left.is_empty():
            return "all points known"
        cheapest, since_gain = min(self.search.costs.values()), self._n_told - self._last_gain
        return self.stop.before(self._n_asked, self._spent, cheapest, since_gain, self.clock() - began)

    def _ask(self) -> bool:
        """Start the next suggestion; False where the cost left does not pay for it."""
        search, first = self.search, self.search.first
        point: Mapping[str, Any] = dict(first[self._n_asked]) if self._n_asked < len(first) else self._sampler.ask(1)[0]
        levels = {name: level for name, level in point.items() if name in search.space.names}
        fidelity = str(point.get("fidelity", self._top)) if len(search.costs) > 1 else self._top
        if not self.stop.pays(self._spent + search.costs[fidelity]):
            return False
        self._spent += search.costs[fidelity]
        row = search.space.encode([levels])[0]
        if fidelity == self._top:
            self._left.ask(row)
        self._out.append((self._n_asked, levels, row, fidelity, self._spent, self.judge.submit(row, fidelity)))
        self._n_asked += 1
        return True

    def _oldest(self) -> Trial:
        """Wait for the oldest suggestion, and tell the sampler."""
        index, levels, row, fidelity, spent, pending = self._out.popleft()
        outcome = pending.result()
        values = named_values(self.search.wanted, outcome.objectives, outcome.limited)
        self._sampler.tell(levels, values, fidelity if len(self.search.costs) > 1 else None)
        trial = Trial(index, row, fidelity, self.search.costs[fidelity], spent, outcome, self._gains(outcome, fidelity))
        self._n_told += 1
        if trial.is_gain:
            self._last_gain = self._n_told
        return trial

    def _gains(self, outcome: Outcome, fidelity: str) -> bool:
        """Whether nothing before at the top fidelity is feasible and as good in all objectives; keeps the front."""
        if fidelity != self._top:
            return False
        found = [*self._front, outcome]
        self._front = [found[i] for i in sorted(scores_of(self.search.wanted, found).front.tolist())]
        return bool(self._front) and self._front[-1] is outcome


class _Left:
    """The feasible points of a small space that were never asked for; looked up in grid order, no further than to the first."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._asked: set[bytes] = set()
        self._part: list[bytes] = []  # feasible points of the part of the grid that is looked at, the first one last
        self._end, self._any = 0, False

    def ask(self, row: Codes) -> None:
        """Note that a point [d] is known or will be."""
        self._asked.add(row.tobytes())

    def is_empty(self) -> bool:
        """Whether every feasible point was asked for; False for a large space, and for one without feasible points."""
        if self.space.size > _SMALL:
            return False
        while True:
            while self._part and self._part[-1] in self._asked:
                self._part.pop()
            if self._part or self._end >= self.space.size:
                return self._any and not self._part
            codes = self.space.at(np.arange(self._end, min(self._end + _PART, self.space.size)))
            self._part = [row.tobytes() for row in codes[self.space.feasible(codes)]][::-1]
            self._end += _PART
            self._any = self._any or bool(self._part)


def known_at(known: Iterable[Told], fidelity: str, space: Space, wanted: Wanted) -> list[tuple[Codes, Outcome]]:
    """Return (row [d], outcome) of what is known at one fidelity of points that keep to the rules, each point where it comes first."""
    told = [(point, values) for point, values, at in known if at == fidelity]
    codes = space.encode([point for point, _ in told])
    found: dict[bytes, tuple[Codes, Outcome]] = {}
    for row, (_, values), keeps in zip(codes, told, space.feasible(codes).tolist(), strict=True):
        if keeps:
            objectives = np.array([values[one.name] for one in wanted.objectives], dtype=np.float64)
            limited = np.array([values[one.label] for one in wanted.limits], dtype=np.float64)
            found.setdefault(row.tobytes(), (row, Outcome(objectives, limited)))
    return list(found.values())


def named_values(wanted: Wanted, objectives: Floats, limited: Floats) -> dict[str, float]:
    """Return values by the names that a sampler knows them by."""
    found = {one.name: float(v) for one, v in zip(wanted.objectives, objectives, strict=True)}
    return found | {one.label: float(v) for one, v in zip(wanted.limits, limited, strict=True)}


def scores_of(wanted: Wanted, outcomes: Sequence[Outcome]) -> Scores:
    """Scores of outcomes, one after the other."""
    return Scores(wanted, np.array([one.objectives for one in outcomes]), np.array([one.limited for one in outcomes]))

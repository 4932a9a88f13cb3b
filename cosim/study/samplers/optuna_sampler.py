"""Every sampler of studies as one of Optuna: `optuna.create_study(sampler=OptunaSampler({"bits": [4, 6, 8], ...}))`."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

import numpy as np

from cosim.study.samplers.base import Sampler, make_sampler
from cosim.study.space import Axis, Codes, Space, axes_of
from workloads.errors import SpecError, suggest

try:
    import optuna
    from optuna.trial import TrialState
except ImportError as missing:
    raise SpecError('a sampler for Optuna needs it: pip install "cosim[study]"') from missing

_MOST_LEVELS = 10_000  # of a range

Constraint = str | Callable[[dict[str, Any]], bool]


@final
class OptunaSampler(optuna.samplers.BaseSampler):  # type: ignore[misc]  # optuna is an extra and not followed
    """Suggests all parameters of a fixed space together; an objective gets them by `point`, or by `suggest_...` of the same ranges.

    space        a Space, or parameter → levels, levels with their kind, or an Optuna distribution (integers, steps, or categories)
    name, seed   those of `make_sampler`
    constraints  functions of the point that only let feasible ones be asked, and names of what the objective tells by
                 `trial.set_constraint` (feasible at 0 or below)

    Directions are those of the study, one or several. All that it knows it reads from the study's trials: those of other processes and
    of a storage count, too; running ones are pending, failed and pruned ones failed points. Trial i draws from default_rng([seed, i]).
    """

    def __init__(self, space: Any, name: str = "gp", seed: int = 0, constraints: Sequence[Constraint] = ()) -> None:
        """Check the space; raises SpecError for a range without steps and whatever `make_sampler` does not take."""
        self.space = space if isinstance(space, Space) else Space(tuple(_axes(space)))
        given = {} if isinstance(space, Space) else space
        self._distributions = {axis.name: _distribution(given.get(axis.name), axis) for axis in self.space.axes}
        self._named = (name, seed)
        self._limits = tuple(one for one in constraints if isinstance(one, str))
        self._rules = tuple(one for one in constraints if not isinstance(one, str))
        self._make(1)
        self._study: str | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """All but the lock."""
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take all, with a lock of its own."""
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def point(self, trial: Any) -> dict[str, Any]:
        """Return parameter → level of a trial."""
        return {name: _suggested(trial, name, one) for name, one in self._distributions.items()}

    def best(self, study: Any) -> dict[str, Any]:
        """Return the point that the sampler names best: with noise by its model, with several objectives near the ideal of the front.

        Raises SpecError while no trial has ended.
        """
        with self._lock:
            self._read(study)
            return self._sampler.best()

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """Return the space of the constructor."""
        return dict(self._distributions)

    def sample_relative(self, study: Any, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
        """Return the next point."""
        with self._lock:
            self._read(study, trial.number)
            self._sampler.n_asked = trial.number
            (point,) = self._sampler.ask(1)
            self._asked[trial.number] = self.space.encode([point])[0]
        return point

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """Refuse a parameter that the space lacks, or has with other levels. Raises SpecError."""
        if param_name in self._distributions:
            raise SpecError(f"parameter {param_name!r} has other levels than in the space of the sampler; let both be the same")
        raise SpecError(f"parameter {param_name!r} is not in the space of the sampler; {suggest(param_name, self._distributions)}")

    def _make(self, n_objectives: int, directions: Sequence[str] = ("minimize",)) -> None:
        """Begin without a history."""
        objectives = {f"objective {i}": directions[i] for i in range(n_objectives)}
        limits = [(name, "<=", 0.0) for name in self._limits]
        name, seed = self._named
        self._sampler: Sampler = make_sampler(name, self.space, objectives, seed=seed, constraints=[*self._rules, *limits])
        self._told: set[int] = set()
        self._asked: dict[int, Codes] = {}

    def _read(self, study: Any, new: int | None = None) -> None:
        """Tell the sampler what has ended since, in order of the trials' numbers, and what runs."""
        if study.study_name != self._study:
            directions = [one.name.lower() for one in study.directions]
            self._make(len(directions), directions)
            self._study = study.study_name
        trials = study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state.is_finished() and trial.number not in self._told:
                self._tell(trial)
        running = [row for one in trials if one.state == TrialState.RUNNING and one.number != new for row in self._rows(one)]
        pending = np.array(running, dtype=np.int64).reshape(-1, len(self.space.axes))
        self._sampler.pending = pending
        self._sampler.pending_fidelity = np.zeros(len(pending), dtype=np.int64)

    def _tell(self, trial: Any) -> None:
        point = self._levels(trial)
        if point is not None:
            failed = [math.nan] * len(self._sampler.problem.goals)
            values = trial.values if trial.state == TrialState.COMPLETE else failed
            self._sampler.tell(point, [*values, *self._limited(trial)])
        self._told.add(trial.number)
        self._asked.pop(trial.number, None)

    def _levels(self, trial: Any) -> dict[str, Any] | None:
        """Levels of a trial on all axes; None where it has none, or others."""
        point = {name: trial.params[name] for name in self.space.names if name in trial.params}
        try:
            self.space.encode([point])
        except SpecError:
            return None
        return point

    def _limited(self, trial: Any) -> list[float]:
        if trial.state != TrialState.COMPLETE:
            return [math.nan] * len(self._limits)
        for name in self._limits:
            if name not in trial.constraints:
                raise SpecError(f"trial {trial.number} says nothing of constraint {name!r}; call trial.set_constraint({name!r}, value)")
        return [float(trial.constraints[name]) for name in self._limits]

    def _rows(self, trial: Any) -> Iterator[Codes]:
        """Yield the point that a running trial has, if it is known."""
        point = self._levels(trial)
        if point is not None:
            yield self.space.encode([point])[0]
        elif trial.number in self._asked:
            yield self._asked[trial.number]


def _axes(given: Mapping[str, Any]) -> Iterator[Axis]:
    for name, one in given.items():
        if isinstance(one, optuna.distributions.BaseDistribution):
            yield Axis(
                name, "categorical" if isinstance(one, optuna.distributions.CategoricalDistribution) else "ordinal", _levels(name, one)
            )
        else:
            yield from axes_of({name: one})


def _levels(name: str, one: Any) -> tuple[Any, ...]:
    """Levels of a distribution."""
    if isinstance(one, optuna.distributions.CategoricalDistribution):
        return tuple(one.choices)
    if one.step is None:
        raise SpecError(f"parameter {name!r} is continuous; give it a step, or levels")
    n = round((one.high - one.low) / one.step) + 1
    if n > _MOST_LEVELS:
        raise SpecError(f"parameter {name!r} has {n:,} levels, more than {_MOST_LEVELS:,}; give it a larger step")
    kind = int if isinstance(one, optuna.distributions.IntDistribution) else float
    return tuple(kind(one.low + i * one.step) for i in range(n))


def _distribution(given: Any, axis: Axis) -> Any:
    """The distribution that was given, or one of the axis's levels as categories."""
    return given if isinstance(given, optuna.distributions.BaseDistribution) else optuna.distributions.CategoricalDistribution(axis.levels)


def _suggested(trial: Any, name: str, one: Any) -> Any:
    if isinstance(one, optuna.distributions.CategoricalDistribution):
        return trial.suggest_categorical(name, one.choices)
    if isinstance(one, optuna.distributions.IntDistribution):
        return trial.suggest_int(name, one.low, one.high, step=one.step, log=one.log)
    return trial.suggest_float(name, one.low, one.high, step=one.step)

"""The default sampler: expected improvement of a Gaussian process over level codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cosim.study.acquisition import candidates, maximize
from cosim.study.improvement import Improvement, best_box
from cosim.study.samplers.base import N_STARTUP, Sampler
from cosim.study.samplers.eras import N_FAR, N_FRESH, Eras
from cosim.study.samplers.problem import Floats, Problem, Values
from cosim.study.space import Codes
from cosim.study.surrogate.gp import FittedGP, fit
from cosim.study.surrogate.ladder import LadderGP

_GROWTH, _MOST_NEW = 1.05, 10  # hyperparameters are fitted again after so much growth of the history, or so many points
_N_ELITE = 10
_LARGEST = 800  # points a model takes: half of them the best, half the last
_WINDOW, _MOST_INFLATION, _PRIOR_WEIGHT = 20, 20.0, 5.0  # of the correction of predicted variances by what came of them
NOISY = 1e-3  # share of noise in the variance above which the posterior mean names the best

Surrogate = FittedGP | LadderGP
Key = tuple[int, int, int]  # target, fidelity, and 0 for the whole history or the number of a fresh start


@dataclass(frozen=True, eq=False)
class Choice:
    """A point, and what it was chosen by: models of objectives and bounds with pending points believed, and the acquisition."""

    row: Codes
    models: Sequence[Surrogate]
    acquisition: Improvement


class GpSampler(Sampler):
    """Log expected improvement, times the probability that black-box bounds hold; pending points count with the values expected of them.

    When nothing is gained for long, fresh starts take turns with the whole history (samplers.eras); one objective only.
    Predicted variances are multiplied by the mean squared standardized error of the last 20 predictions where that is above 1.
    Source: expected improvement, Jones, Schonlau, Welch, J. Global Optimization 13, 1998; in logs, Ament et al., NeurIPS 2023.
    """

    def __init__(self, problem: Problem, seed: int = 0) -> None:
        """Begin without a model."""
        super().__init__(problem, seed)
        self._theta: dict[Key, Floats] = {}
        self._fitted_at: dict[Key, int] = {}
        self._expected: dict[bytes, tuple[Floats, Floats]] = {}
        self._errors: dict[int, list[Floats]] = {}
        self._eras = Eras(self.space.n_levels)

    @property
    def n_goals(self) -> int:
        """Number of objectives; models of bounds follow theirs."""
        return len(self.problem.goals)

    def tell(self, point: Mapping[str, Any], values: Values, fidelity: str | None = None) -> None:
        """Take the values of a point, and see how far they are from what was expected."""
        super().tell(point, values, fidelity)
        is_truth = bool(self.fidelity[-1] == self.problem.top)
        self._eras.tell(self.codes[-1], is_truth=is_truth)
        if not is_truth:
            return
        expected = self._expected.pop(self.codes[-1].tobytes(), None)
        if expected is not None and not np.isnan(self.y[-1, 0]):
            told = self._targets(np.array([len(self.y) - 1]))[0, : self.n_goals]
            self._errors.setdefault(self._side, []).append(np.minimum((told - expected[0]) ** 2 / expected[1], _MOST_INFLATION))

    @property
    def _side(self) -> int:
        """Whose models are asked: 0 of the whole history, else the number of a fresh start."""
        return self._eras.now if self._eras.is_fresh else 0

    def _suggest(self, rng: np.random.Generator) -> tuple[Codes, int]:
        rows = self._rows(self.problem.top)
        seen = np.concatenate([self.codes[self.fidelity == self.problem.top], self.pending])
        if len(seen) < N_STARTUP or len(rows) < 2:
            return self._unseen(rng, seen), self.problem.top
        row, _ = self._next(rng, rows, seen)
        self._eras.ask(row)
        return row, self.problem.top

    def _next(self, rng: np.random.Generator, rows: Codes, seen: Codes) -> tuple[Codes, Choice | None]:
        """The next point, and what it was chosen by if it was; `rows` are those of the truth."""
        eras = self._eras
        values = np.where(self.valid & (self.fidelity == self.problem.top), self.y[:, 0], np.inf)
        if self.n_goals == 1:
            eras.turn(values)
        if eras.is_fresh:
            rows, n = eras.members(rows), eras.n_here()
            if n == 0:
                return eras.far(self.space.random(rng, N_FAR), self.codes, values), None
            if n < N_FRESH or len(rows) < 2:
                return self._unseen(rng, seen), None
        choice = self._improve(rng, rows, seen)
        return (self._unseen(rng, seen) if choice is None else choice.row), choice

    def _improve(self, rng: np.random.Generator, rows: Codes, seen: Codes) -> Choice | None:
        """The point of most expected improvement; None where every point is known."""
        models = self._models(rows)
        pool = candidates(rng, self.space, self._elite(models, rows), seen)
        if not len(pool):
            return None
        believed = [one.believing(self.pending, self.pending_fidelity) for one in models]
        acquisition = self._acquisition(rng, models, believed, rows, pool)
        row, _ = maximize(acquisition, self.space, pool, seen)
        self._expected[row.tobytes()] = _expected(models[: self.n_goals], row)
        return Choice(row, believed, acquisition)

    def _elite(self, models: Sequence[Surrogate], rows: Codes) -> Codes:
        """Codes [k, d] around which to look, best first."""
        codes = self._known(rows)
        return codes[np.argsort(models[0].standard_mean(codes), kind="stable")[:_N_ELITE]]

    def _known(self, rows: Codes) -> Codes:
        """Codes [k, d] of which something is known."""
        return self.codes[rows]

    def _acquisition(
        self, rng: np.random.Generator, models: Sequence[Surrogate], believed: Sequence[Surrogate], rows: Codes, pool: Codes
    ) -> Improvement:
        """What the next point maximizes: models without and with pending points; `pool` holds points to start from."""
        del rng, pool
        return Improvement(believed, *best_box(self._incumbent(models[0], rows)), zeros_of(models[1:]))

    def _models(self, rows: Codes) -> list[Surrogate]:
        """One model of each objective, then one of each bound's violation; `rows` are those at the top fidelity."""
        models = self._fitted(rows)
        errors = self._errors.get(self._side, [])[-_WINDOW:]
        inflation = (np.sum(errors, axis=0) + _PRIOR_WEIGHT) / (len(errors) + _PRIOR_WEIGHT) * np.ones(self.n_goals)
        wider = [replace(one, inflation=float(np.clip(i, 1.0, _MOST_INFLATION))) for one, i in zip(models, inflation, strict=False)]
        return [*wider, *models[self.n_goals :]]

    def _fitted(self, rows: Codes) -> list[Surrogate]:
        targets = self._targets(rows)
        return [self._fit((k, self.problem.top, self._side), self.codes[rows], target) for k, target in enumerate(targets.T)]

    def _fit(self, key: Key, codes: Codes, target: Floats) -> FittedGP:
        """Fit one process; its hyperparameters go on from the last ones of the same key, or stay."""
        n, before = len(codes), self._fitted_at.get(key, 0)
        steps = key not in self._theta or n >= before * _GROWTH or n - before >= _MOST_NEW
        model = fit(codes, target, self.space.n_levels, self.space.is_ordinal, self._theta.get(key), steps=steps)
        self._theta[key] = model.theta
        if steps:
            self._fitted_at[key] = n
        return model

    def _targets(self, rows: Codes) -> Floats:
        """[n, m + c] objectives and violations as models take them; those of failed points are the worst of all."""
        found = np.concatenate([self.y[rows], self.violation[rows]], axis=1)
        return np.where(np.isnan(found), np.nanmax(found, axis=0), found) if np.isnan(found).any() else found

    def _rows(self, fidelity: int, largest: int = _LARGEST) -> Codes:
        """Rows of the history that models take: those at one fidelity, at most so many; none where all failed."""
        rows = np.flatnonzero(self.fidelity == fidelity)
        good = rows[~np.isnan(self.y[rows]).any(axis=1)]
        if not len(good):
            return good
        if len(rows) > largest:
            best = good[np.argsort(self.y[good, 0], kind="stable")[: largest // 2]]
            rows = np.union1d(best, rows[-largest // 2 :])
        return rows

    def _incumbent(self, model: Surrogate, rows: Codes) -> float:
        """Standardized value to improve on: the best seen, or expected where there is noise; the worst while nothing is feasible."""
        y = (self._targets(rows)[:, 0] - model.center) / model.spread
        good = self.valid[rows]
        if not good.any():
            return float(y.max())
        return float(model.standard_mean(self.codes[rows[good]]).min() if model.noise > NOISY else y[good].min())

    def _unseen(self, rng: np.random.Generator, seen: Codes) -> Codes:
        """A uniform point, one that is not known if a few draws find it."""
        known = {row.tobytes() for row in np.ascontiguousarray(seen)}
        drawn = self.space.random(rng, 64)
        return next((row for row in drawn if row.tobytes() not in known), drawn[0])

    def _best(self) -> int:
        """With noise the point of the least expected value among the feasible ones, else the best that was told."""
        rows = self._rows(self.problem.top)
        good = rows[self.valid[rows]] if len(rows) else rows
        if len(good) < N_STARTUP or self.n_goals > 1 or np.isnan(self.y[rows]).any():
            return super()._best()
        theta = self._theta.get((0, self.problem.top, 0))
        model = fit(self.codes[rows], self.y[rows, 0], self.space.n_levels, self.space.is_ordinal, theta, steps=theta is None)
        if model.noise <= NOISY:
            return super()._best()
        return int(good[np.argmin(model.standard_mean(self.codes[good]))])


def zeros_of(models: Sequence[Surrogate]) -> Floats:
    """Return where zero lies in the standardized units of each model."""
    return np.array([-one.center / one.spread for one in models])


def _expected(models: Sequence[Surrogate], row: Codes) -> tuple[Floats, Floats]:
    """Mean and variance [m], noise included, of what one point will tell, before any inflation."""
    found = [one.mean_var(row[None]) for one in models]
    variances = [float(var[0]) / one.inflation + one.noise_var + 1e-12 for (_, var), one in zip(found, models, strict=True)]
    return np.array([float(mean[0]) for mean, _ in found]), np.array(variances)

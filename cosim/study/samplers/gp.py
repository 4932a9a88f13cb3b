"""The default sampler: expected improvement of a Gaussian process over level codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cosim.study.acquisition import Improvement, candidates, maximize
from cosim.study.samplers.base import N_STARTUP, Sampler
from cosim.study.samplers.problem import Floats, Problem, Values
from cosim.study.space import Codes
from cosim.study.surrogate.gp import FittedGP, fit

_GROWTH, _MOST_NEW = 1.05, 10  # hyperparameters are fitted again after so much growth of the history, or so many points
_N_ELITE = 10
_LARGEST = 800  # points a model takes: half of them the best, half the last
_WINDOW, _MOST_INFLATION, _PRIOR_WEIGHT = 20, 20.0, 5.0  # of the correction of predicted variances by what came of them
_NOISY = 1e-3  # share of noise in the variance above which the posterior mean names the best


class GpSampler(Sampler):
    """Log expected improvement, times the probability that black-box bounds hold; pending points count with the values expected of them.

    Predicted variances are multiplied by the mean squared standardized error of the last 20 predictions where that is above 1.
    Source: expected improvement, Jones, Schonlau, Welch, J. Global Optimization 13, 1998; in logs, Ament et al., NeurIPS 2023.
    """

    def __init__(self, problem: Problem, seed: int = 0) -> None:
        """Begin without a model."""
        super().__init__(problem, seed)
        self._theta: dict[int, Floats] = {}
        self._fitted_at = 0
        self._expected: dict[bytes, tuple[float, float]] = {}
        self._errors: list[float] = []

    def tell(self, point: Mapping[str, Any], values: Values, fidelity: str | None = None) -> None:
        """Take the values of a point, and see how far they are from what was expected."""
        super().tell(point, values, fidelity)
        expected = self._expected.pop(self.codes[-1].tobytes(), None)
        if expected is not None and not np.isnan(self.y[-1, 0]):
            self._errors.append(min((float(self.y[-1, 0]) - expected[0]) ** 2 / expected[1], _MOST_INFLATION))

    def _suggest(self, rng: np.random.Generator) -> tuple[Codes, int]:
        rows = self._rows()
        seen = np.concatenate([self.codes[self.fidelity == self.problem.top], self.pending])
        if len(seen) < N_STARTUP or len(rows) < 2:
            return self._unseen(rng, seen), self.problem.top
        row = self._improve(rng, rows, seen)
        return (self._unseen(rng, seen) if row is None else row), self.problem.top

    def _improve(self, rng: np.random.Generator, rows: Codes, seen: Codes) -> Codes | None:
        """The point of most expected improvement; None where every point is known."""
        models = self._models(rows)
        mean = models[0].standard(self.codes[rows])[0]
        elite = self.codes[rows][np.argsort(mean, kind="stable")[:_N_ELITE]]
        pool = candidates(rng, self.space, elite, seen)
        if not len(pool):
            return None
        zero = np.array([-one.center / one.spread for one in models[1:]])
        believed = [_believe(one, self.pending) for one in models]
        row, _ = maximize(Improvement(believed, np.array([self._incumbent(models[0], rows, mean)]), zero), self.space, pool, seen)
        expected = models[0].mean_var(row[None])
        noise = models[0].noise * models[0].scale2 * models[0].spread ** 2
        self._expected[row.tobytes()] = (float(expected[0][0]), float(expected[1][0]) / models[0].inflation + noise + 1e-12)
        return row

    def _models(self, rows: Codes) -> list[FittedGP]:
        """One model of the objective, then one of each bound's violation."""
        n = len(rows)
        steps = not self._theta or n >= self._fitted_at * _GROWTH or n - self._fitted_at >= _MOST_NEW
        targets = np.concatenate([self.y[rows], self.violation[rows]], axis=1)
        worst = np.nanmax(targets, axis=0)
        targets = np.where(np.isnan(targets), worst, targets)
        models = []
        for k, target in enumerate(targets.T):
            model = fit(self.codes[rows], target, self.space.n_levels, self.space.is_ordinal, self._theta.get(k), steps=steps)
            self._theta[k] = model.theta
            models.append(model)
        if steps:
            self._fitted_at = n
        errors = self._errors[-_WINDOW:]
        inflation = (sum(errors) + _PRIOR_WEIGHT) / (len(errors) + _PRIOR_WEIGHT)
        models[0] = replace(models[0], inflation=float(np.clip(inflation, 1.0, _MOST_INFLATION)))
        return models

    def _rows(self) -> Codes:
        """Rows of the history that models take: those at the top fidelity, at most so many; none where all failed."""
        rows = np.flatnonzero(self.fidelity == self.problem.top)
        good = rows[~np.isnan(self.y[rows]).any(axis=1)]
        if not len(good):
            return good
        if len(rows) > _LARGEST:
            best = good[np.argsort(self.y[good, 0], kind="stable")[: _LARGEST // 2]]
            rows = np.union1d(best, rows[-_LARGEST // 2 :])
        return rows

    def _incumbent(self, model: FittedGP, rows: Codes, mean: Floats) -> float:
        """Standardized value to improve on: the best seen, or expected where there is noise; the worst while nothing is feasible."""
        good = self.valid[rows]
        if not good.any():
            return float(model.y.max())
        return float(mean[good].min() if model.noise > _NOISY else model.y[good].min())

    def _unseen(self, rng: np.random.Generator, seen: Codes) -> Codes:
        """A uniform point, one that is not known if a few draws find it."""
        known = {row.tobytes() for row in np.ascontiguousarray(seen)}
        drawn = self.space.random(rng, 64)
        return next((row for row in drawn if row.tobytes() not in known), drawn[0])

    def _best(self) -> int:
        """With noise the point of the least expected value among the feasible ones, else the best that was told."""
        rows = self._rows()
        good = rows[self.valid[rows]] if len(rows) else rows
        if len(good) < N_STARTUP or len(self.problem.goals) > 1 or np.isnan(self.y[rows]).any():
            return super()._best()
        model = fit(
            self.codes[rows], self.y[rows, 0], self.space.n_levels, self.space.is_ordinal, self._theta.get(0), steps=not self._theta
        )
        if model.noise <= _NOISY:
            return super()._best()
        return int(good[np.argmin(model.standard(self.codes[good])[0])])


def _believe(model: FittedGP, pending: Codes) -> FittedGP:
    """The model with pending points at the values that it expects of them."""
    return model.with_fantasies(pending, model.mean_var(pending)[0]) if len(pending) else model


def make_gp(problem: Problem, seed: int) -> Sampler:
    """Return the sampler for a problem: with several objectives, or fidelities, the one that is made for them."""
    return GpSampler(problem, seed)

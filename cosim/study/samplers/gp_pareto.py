"""The default sampler for several objectives: expected hypervolume improvement of a Gaussian process for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cosim.study.acquisition import climb_within
from cosim.study.hypervolume import non_dominated
from cosim.study.improvement import Improvement, boxes_of, reference_of
from cosim.study.samplers.gp import NOISY, GpSampler, Surrogate, zeros_of
from cosim.study.samplers.problem import Floats
from cosim.study.space import Codes

_N_FRONTS = 8  # drawn from the models where there is noise
_MOST_NEAR = 60  # known points around which to look, and among which fronts are drawn: those that come nearest to the front


class ParetoSampler(GpSampler):
    """Log expected hypervolume improvement, times the probability that black-box bounds hold.

    The front is that of what was told or, where a model finds noise, the mean over fronts drawn from the models at known points;
    pending points belong to it with the values expected of them. The reference point lies beyond the front and beyond the values that
    the models expect where each objective is least, so that a front that is still narrow can grow.
    """

    def _elite(self, models: Sequence[Surrogate], rows: Codes) -> Codes:
        codes = self._known(rows)
        return codes[np.argsort(_depth(_means(models[: self.n_goals], codes)), kind="stable")[:_MOST_NEAR]]

    def _acquisition(
        self, rng: np.random.Generator, models: Sequence[Surrogate], believed: Sequence[Surrogate], rows: Codes, pool: Codes
    ) -> Improvement:
        goals, zero = models[: self.n_goals], zeros_of(models[self.n_goals :])
        values = (self._targets(rows)[:, : self.n_goals] - [one.center for one in goals]) / [one.spread for one in goals]
        good = self.valid[rows]
        if not good.any():
            worst = values.max(axis=0)
            return Improvement(believed, *boxes_of([worst[None]], worst + 1.0), zero)
        if any(one.noise > NOISY for one in goals):
            values = _means(goals, self.codes[rows])
            fronts = self._drawn(rng, goals, rows[good], values[good])
        else:
            fronts = [np.concatenate([values[good], _means(goals, self.pending)])]
        reference = reference_of(np.concatenate([non_dominated(values[good]), self._corners(goals, pool)]))
        return Improvement(believed, *boxes_of(fronts, reference), zero)

    def _corners(self, models: Sequence[Surrogate], pool: Codes) -> Floats:
        """[m, m] standardized values expected where each objective is expected to be least."""
        found = []
        for one in models:
            mean = one.standard_mean(pool)
            best = int(np.argmin(mean))
            row, _ = climb_within(_less(one), self.space, pool[[best]], -mean[[best]], pool[:0])
            found.append(_means(models, row[None])[0])
        return np.array(found)

    def _drawn(self, rng: np.random.Generator, models: Sequence[Surrogate], rows: Codes, mean: Floats) -> list[Floats]:
        """Standardized values without noise of the best known points, pending ones with them, drawn from the models."""
        near = rows[np.argsort(_depth(mean), kind="stable")[:_MOST_NEAR]]
        codes = np.concatenate([self.codes[near], self.pending])
        drawn = []
        for one in models:
            middle, covariance = one.joint(codes)
            sizes, vectors = np.linalg.eigh(covariance)
            steps = rng.standard_normal((_N_FRONTS, len(codes))) * np.sqrt(np.maximum(sizes, 0.0))
            drawn.append((middle + steps @ vectors.T - one.center) / one.spread)
        return list(np.stack(drawn, axis=2))


def _less(model: Surrogate) -> Callable[[Codes], Floats]:
    """What is large where a model expects little."""
    return lambda codes: -model.standard_mean(codes)


def _means(models: Sequence[Surrogate], codes: Codes) -> Floats:
    """[n, m] standardized values expected of points."""
    return np.stack([one.standard_mean(codes) for one in models], axis=1)


def _depth(values: Floats) -> Floats:
    """[n] by how many other points each one is dominated: 0 on the front."""
    no_worse = (values[:, None, :] <= values[None, :, :]).all(axis=2)
    better = no_worse & (values[:, None, :] < values[None, :, :]).any(axis=2)
    return np.asarray(better.sum(axis=0))

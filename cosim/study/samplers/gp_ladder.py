"""The default sampler for several fidelities: where to look is decided by the truth's posterior, how dearly by what an answer is worth."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from cosim.study.samplers.base import N_STARTUP
from cosim.study.samplers.gp import Choice, GpSampler, Surrogate
from cosim.study.samplers.gp_pareto import ParetoSampler
from cosim.study.samplers.problem import Floats, Problem
from cosim.study.space import Codes
from cosim.study.surrogate.gp import FittedGP
from cosim.study.surrogate.ladder import LadderGP, fit_ladder

_N_NESTED = 10  # first points of each level but the lowest, which has N_STARTUP
_LARGEST_BELOW = 300  # points that a level below the truth takes
_N_NODES = 64  # answers that a lower fidelity may give


class LadderSampler(GpSampler):
    """A point by expected improvement of the truth, then the fidelity whose answer is worth most over its cost.

    An answer at level m settles the part of the point's variance that comes from levels up to m. With A the acquisition (not its log)
    at the point, now A_0 and after the answer A_m, paying for the truth only where it is still worth its price λ c_M, λ = A_0 / c_M,
    gains E max(A_m - A_0, 0) - λ c_m over paying at once; the level of the largest gain is asked, the truth where none has any.
    This is a knowledge gradient of one point over the choice to go on or not (Frazier, Powell, Dayanik, INFORMS J. Computing 21, 2009;
    the price of stopping as in Weitzman, Econometrica 47, 1979). Values that are all positive are modeled in logs.
    """

    def __init__(self, problem: Problem, seed: int = 0) -> None:
        """Begin without a model."""
        super().__init__(problem, seed)
        self._slopes: dict[int, dict[int, float]] = {}

    def _suggest(self, rng: np.random.Generator) -> tuple[Codes, int]:
        first = self._first(rng)
        if first is not None:
            return first
        top = self.problem.top
        rows = self._rows(top)
        is_top = self.pending_fidelity == top
        seen = np.concatenate([self.codes[self.fidelity == top], self.pending[is_top], self.pending[~is_top]])
        if len(rows) < 2:
            return self._unseen(rng, seen), top
        row, choice = self._next(rng, rows, seen)
        level = top if choice is None else self._level(choice)
        if level == top:
            self._eras.ask(row)
        return row, level

    def _first(self, rng: np.random.Generator) -> tuple[Codes, int] | None:
        """The next point before there is a model: enough at the lowest level, some of them on each one above; None when all are there."""
        top = self.problem.top
        for level in range(top + 1):
            at = self._at(level)
            if len(at) >= (N_STARTUP if level == 0 else _N_NESTED):
                continue
            below = self._at(level - 1) if level else np.concatenate([self._at(m) for m in range(top, 0, -1)])
            known = {row.tobytes() for row in at}
            fresh = [row for row in below if row.tobytes() not in known]
            return (fresh[0] if fresh else self._unseen(rng, at)), level
        return None

    def _at(self, level: int) -> Codes:
        """Codes [n, d] known or pending at one level."""
        return np.concatenate([self.codes[self.fidelity == level], self.pending[self.pending_fidelity == level]])

    def _known(self, rows: Codes) -> Codes:
        del rows
        return np.unique(self.codes[~np.isnan(self.y).any(axis=1)], axis=0)

    def _fitted(self, rows: Codes) -> list[Surrogate]:
        """A ladder for each target, of the levels that have enough points; a fresh start forgets the cheap answers too."""
        top = self.problem.top
        levels = [(level, self._rows(level, _LARGEST_BELOW)) for level in range(0 if self._eras.is_fresh else top)]
        levels = [(level, found) for level, found in levels if len(found) >= _N_NESTED // 2] + [(top, rows)]
        targets = [self._targets(found) for _, found in levels]
        models: list[Surrogate] = []
        for k in range(targets[0].shape[1]):
            known = [(level, self.codes[found], t[:, k]) for (level, found), t in zip(levels, targets, strict=True)]

            def fit_part(level: int, codes: Codes, y: Floats, k: int = k) -> FittedGP:
                return self._fit((k, level, self._side), codes, y)

            models.append(fit_ladder(known, fit_part, self._slopes.setdefault(k, {})))
        return models

    def _targets(self, rows: Codes) -> Floats:
        found = super()._targets(rows)
        logarithmic = (np.nanmin(self.y, axis=0) > 0.0).nonzero()[0]
        found[:, logarithmic] = np.log(found[:, logarithmic])
        return found

    def _level(self, choice: Choice) -> int:
        """The fidelity to ask a point at."""
        ladders = [one for one in choice.models if isinstance(one, LadderGP)]
        mean = np.array([one.standard_mean(choice.row[None])[0] for one in ladders])
        shares = [one.variances(choice.row[None])[:, 0] for one in ladders]
        total = np.array([share.sum() for share in shares])
        now = float(choice.acquisition.of(mean[:, None], total[:, None])[0])
        best, most = self.problem.top, 0.0
        nodes = _nodes(len(ladders))
        for place, level in enumerate(ladders[0].levels[:-1]):
            if any((choice.row == row).all() for row in self._at(level)):
                continue
            settled = np.array([share[: place + 1].sum() for share in shares])
            rest = np.maximum(total - settled, 1e-10 * total)
            after = choice.acquisition.of(mean[:, None] + np.sqrt(settled)[:, None] * nodes, np.repeat(rest[:, None], _N_NODES, axis=1))
            gain = float(np.maximum(np.exp(np.minimum(after - now, 50.0)) - 1.0, 0.0).mean())
            net = gain - self.problem.costs[level] / self.problem.costs[-1]
            if net > most:
                best, most = level, net
        return best


class LadderParetoSampler(ParetoSampler, LadderSampler):
    """Several objectives and several fidelities: the front's hypervolume in place of one objective's improvement."""


def _nodes(n: int) -> Floats:
    """[n, _N_NODES] normal values, evenly spread along each model, in a fixed order of its own in each."""
    even = ndtri((np.arange(_N_NODES) + 0.5) / _N_NODES)
    return np.stack([even[np.random.default_rng(k).permutation(_N_NODES)] if k else even for k in range(n)])

"""What weights in training are worth: their plans against the classic portfolio's, on instances that are not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cosim.scheduling.base import make_policy
from cosim.scheduling.generate import random_instances
from cosim.scheduling.learned import seed_plans
from cosim.scheduling.policy_weights import Trained

if TYPE_CHECKING:
    from cosim.scheduling.kernels.policy_net import Weights

PANEL_SEED = 1


@dataclass(frozen=True)
class Judgement:
    """Geometric means over a panel of instances of makespan / the classic portfolio's: one greedy roll-out, and the best of 8."""

    step: int
    greedy: float
    best_of_8: float


class Panel:
    """Random instances with the makespan of the classic portfolio."""

    def __init__(self, count: int = 60) -> None:
        rng, portfolio = np.random.default_rng(PANEL_SEED), make_policy("portfolio")
        self.instances = [instance for instance in random_instances(PANEL_SEED, count) if instance.n_tasks]
        self.portfolio_s = np.array([portfolio.plan(instance, rng).makespan_s for instance in self.instances])

    def judge(self, step: int, weights: Weights, heat: float) -> Judgement:
        """Compare weights with the portfolio; draws the same numbers every time."""
        trained = Trained(weights, heat)
        ratios = []
        for count in (1, 8):
            rng = np.random.default_rng(PANEL_SEED)
            makespan_s = [seed_plans(instance, 1, rng, count, trained)[0].makespan_s for instance in self.instances]
            ratios.append(float(np.exp(np.mean(np.log(np.array(makespan_s) / self.portfolio_s)))))
        return Judgement(step, *ratios)

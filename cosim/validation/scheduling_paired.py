"""Two ways to spend the same CPU time on the same instances: ratios of makespans with bootstrap intervals."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cosim.scheduling.base import make_policy
from cosim.scheduling.checker import check_plan
from cosim.scheduling.instance import Goal

if TYPE_CHECKING:
    from cosim.engine.problem import FloatArray
    from cosim.scheduling.instance import Instance

N_RESAMPLES = 10_000
LEVELS = (0.90, 0.95)


@dataclass(frozen=True, slots=True)
class Run:
    """A policy, the CPU seconds it may take (None: its own choice), and how many seeds its makespan is a mean of."""

    policy: str
    budget_s: float | None = None
    n_seeds: int = 1

    def play(self, instance: Instance) -> tuple[float, float]:
        """Return makespan and CPU time of the calling thread in s, means over seeds; raises ScheduleError for a plan that cannot be run."""
        made = make_policy(self.policy)
        given = replace(instance, goal=Goal(budget_s=self.budget_s))
        _ = given.arrays  # laid out before the clock starts, for every policy
        makespan_s, cpu_s = [], []
        for seed in range(self.n_seeds):
            start_s = time.thread_time()
            plan = made.plan(given, np.random.default_rng(seed))
            cpu_s.append(time.thread_time() - start_s)
            check_plan(given, plan, f"policy {self.policy!r}")
            makespan_s.append(plan.makespan_s)
        return float(np.mean(makespan_s)), float(np.mean(cpu_s))


def compare(instances: Iterable[Instance], run: Run, others: Mapping[str, Run]) -> dict[str, dict[str, float]]:
    """Return, for each other way, the geometric mean of makespan ratios `run` / other with bootstrap intervals, and CPU seconds of both."""
    mine: list[tuple[float, float]] = []
    theirs: dict[str, list[tuple[float, float]]] = {name: [] for name in others}
    for instance in instances:
        mine.append(run.play(instance))
        for name, other in others.items():
            theirs[name].append(other.play(instance))
    found = {}
    for name, played in theirs.items():
        both = np.array([mine, played])
        ln_ratio = np.log(both[0, :, 0]) - np.log(both[1, :, 0])
        found[name] = {**ratio_intervals(ln_ratio), "cpu_s": float(both[0, :, 1].mean()), "cpu_other_s": float(both[1, :, 1].mean())}
    return found


def ratio_intervals(ln_ratio: FloatArray, seed: int = 0) -> dict[str, float]:
    """Return exp(mean ln ratio) and its bootstrap percentile intervals over instances.

    Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    drawn = np.random.default_rng(seed).integers(0, ln_ratio.size, (N_RESAMPLES, ln_ratio.size))
    means = ln_ratio[drawn].mean(axis=1)
    found = {"n": float(ln_ratio.size), "ratio": float(np.exp(ln_ratio.mean()))}
    for level in LEVELS:
        low, high = np.exp(np.quantile(means, [(1 - level) / 2, (1 + level) / 2])).tolist()
        found |= {f"low_{round(100 * level)}": low, f"high_{round(100 * level)}": high}
    return found

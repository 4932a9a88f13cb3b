"""One optimization of a benchmark by one sampler, through ask and tell alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cosim.study import make_sampler
from cosim.study.hypervolume import hypervolume
from cosim.study.samplers.base import Sampler
from cosim.validation.bo_ising import REFERENCE
from cosim.validation.bo_problems import Bench, Ints, initial_points, relabeling
from cosim.validation.bo_table import N_START, Run

CHECKPOINTS = (20, 50, 85, 100, 170, 200, 270, 320)
Make = Callable[..., Any]  # of a sampler
N_TIMED = 10  # suggestions before a checkpoint whose median CPU time is told


@dataclass(frozen=True)
class Job:
    """A run and who does it: a sampler's name, and whether it may use the lower fidelities."""

    run: Run
    sampler: str = "gp"
    multi: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """What decides the numbers."""
        return asdict(self)


@dataclass
class Progress:
    """Where a run stands: its bench and sampler, evaluations, cost, CPU seconds of each suggestion, and what was noted."""

    job: Job
    bench: Bench
    sampler: Sampler
    meaning: list[Ints]
    n: int = 0
    cost: float = 0.0
    cpu_s: list[float] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def levels(self, x: Ints) -> dict[str, str]:
        """The sampler's point of an x in the problem's own levels."""
        return {f"x{i}": str(int(np.flatnonzero(levels == v)[0])) for i, (levels, v) in enumerate(zip(self.meaning, x, strict=True))}

    def x_of(self, point: dict[str, Any]) -> Ints:
        """The problem's levels of a point of the sampler."""
        return np.array([levels[int(point[f"x{i}"])] for i, levels in enumerate(self.meaning)])

    def tell(self, point: dict[str, Any], fidelity: int) -> None:
        """Evaluate a point and tell the sampler, whose CPU time counts."""
        values = self.bench.evaluate(self.x_of(point), fidelity)
        named = f"f{fidelity}" if self.job.multi else None
        start = cpu_s()
        self.sampler.tell({name: level for name, level in point.items() if name != "fidelity"}, list(values), fidelity=named)
        self.cpu_s.append(cpu_s() - start)
        self.n += 1
        self.cost += self.bench.costs[fidelity]


def cpu_s() -> float:
    """CPU seconds so far of all threads of this process and of children that have ended."""
    spent = os.times()
    return time.process_time() + spent.children_user + spent.children_system


def drive(job: Job, make: Make | None = None) -> list[dict[str, Any]]:
    """Run to the budget; one row a checkpoint: n, cost, best, x and what else the problem has, CPU seconds a suggestion.

    make  makes the sampler in place of `make_sampler`, from the same arguments
    """
    progress = _begin(job, make or make_sampler)
    top = len(progress.bench.costs) - 1
    for x in initial_points(progress.bench.n_levels, job.run.run_seed, N_START):
        progress.tell(progress.levels(x), top)
    due = [at for at in sorted({*CHECKPOINTS, job.run.budget}) if at <= job.run.budget]
    while due:
        if progress.cost >= due[0] - 1e-9:
            progress.rows.append({"at": due.pop(0), **_incumbent(progress)})
            continue
        start = cpu_s()
        point = progress.sampler.ask(1)[0]
        spent_s = cpu_s() - start
        fidelity = int(point["fidelity"][1:]) if job.multi else top
        while due and progress.cost + progress.bench.costs[fidelity] > due[0] + 1e-9:  # it would go beyond
            progress.rows.append({"at": due.pop(0), **_incumbent(progress)})
        if due:
            progress.tell(point, fidelity)
            progress.cpu_s[-1] += spent_s
    return progress.rows


def _begin(job: Job, make: Make) -> Progress:
    bench = job.run.bench()
    space = {f"x{i}": {"levels": [str(v) for v in range(c)], "kind": "categorical"} for i, c in enumerate(bench.n_levels)}
    fidelities = {f"f{m}": cost for m, cost in enumerate(bench.costs)} if job.multi else None
    sampler = make(job.sampler, space, list(bench.objectives), seed=job.run.run_seed, fidelities=fidelities)
    return Progress(job, bench, sampler, relabeling(bench.n_levels, job.run.relabel_seed))


def _incumbent(progress: Progress) -> dict[str, Any]:
    bench = progress.bench
    timed = progress.cpu_s[N_START:][-N_TIMED:]
    row: dict[str, Any] = {"n": progress.n, "cost": progress.cost, "cpu_s": float(np.median(timed)) if timed else None}
    if bench.front is not None:
        front = [progress.x_of(point) for point in progress.sampler.front()]
        values = np.array([bench.evaluate(x, 0) for x in front])
        exact = hypervolume(bench.front(), np.array(REFERENCE))
        return row | {"best": hypervolume(values, np.array(REFERENCE)) / exact, "x": [_text(x) for x in front]}
    x = progress.x_of(progress.sampler.best())
    if bench.resampled is not None:  # the stream of noise is the study's own
        resampled = bench.resampled(x)
        return row | {"best": resampled, "x": _text(x), "resampled": resampled}
    (best,) = bench.evaluate(x, len(bench.costs) - 1)
    return row | {"best": float(best), "x": _text(x)}


def _text(x: Ints) -> str:
    return "".join(str(int(v)) for v in x)

"""`cosim validate bo`: the sampler on combinatorial benchmarks whose optima are known, beside annealing with the same starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cosim.validation.bo_jobs import Rows, cost_of, jobs_of, measure_all
from cosim.validation.bo_problems import MULTI
from cosim.validation.bo_run import Job
from cosim.validation.bo_score import holds_of, metrics_of
from cosim.validation.bo_table import Run, read_runs, with_seeds
from cosim.validation.progress import weighed
from workloads.errors import WorkloadError

QUICK = 60  # evaluations


def validate_bo(
    path: Path | None = None, *, seeds: Sequence[int] | None = None, quick: bool = False, jobs: int = 2, folder: Path | None = None
) -> dict[str, Any]:
    """Run the benchmarks of a folder, and hold the sampler to its targets.

    path     folder with runs.csv, optima.csv, ising_instances.csv (default: the one that ships)
    seeds    run seeds of every instance (default: those of runs.csv)
    quick    one run a problem, of 60 evaluations
    jobs     processes of one thread each; 0 works in this one
    folder   what is done is kept there, so that a run that was stopped goes on (default: nothing is kept)

    The sampler is used through `make_sampler`, `ask`, `tell` and `best` alone, with default options. `rows` are our sampler's;
    `sa_rows` and `single_rows` are those of annealing and of a single fidelity. Raises WorkloadError on a folder that cannot be run.
    """
    if jobs < 0:
        raise WorkloadError(f"--jobs {jobs}: give 1 or more processes")
    runs = read_runs(path)
    runs = runs if seeds is None else with_seeds(runs, seeds)
    runs = _shortened(runs) if quick else runs
    todo = jobs_of(runs)
    with weighed(f"Running {len(todo)} optimizations", sum(cost_of(job) for job in todo)) as tell:
        results = measure_all(todo, folder, jobs, tell)
    metrics = metrics_of(results)
    holds = holds_of(metrics, results)
    return {
        "area": "bo",
        "n": len(runs),
        "metrics": {**metrics, "holds": holds},
        **{name: _rows(results, name) for name in ("rows", "sa_rows", "single_rows")},
        "passed": all(holds.values()),
    }


def _shortened(runs: Sequence[Run]) -> list[Run]:
    """The first run of each problem and lambda, shorter."""
    first = {(run.problem, run.weight): run for run in reversed(runs)}
    return [replace(run, budget=min(run.budget, QUICK)) for run in reversed(first.values())]


def _rows(results: Mapping[Job, Rows], name: str) -> list[dict[str, Any]]:
    """One row a run and checkpoint."""
    return [_row(job, row) for job, rows in results.items() if _kind(job) == name for row in rows]


def _kind(job: Job) -> str:
    if job.sampler != "gp":
        return f"{job.sampler}_rows"
    return "single_rows" if job.run.problem in MULTI and not job.multi else "rows"


def _row(job: Job, row: Mapping[str, Any]) -> dict[str, Any]:
    run = job.run
    named = {"problem": run.problem, "lambda": run.weight, "instance_seed": run.instance_seed, "run_seed": run.run_seed}
    gap = {} if run.optimum is None else {"gap": row["best"] - run.optimum}
    return {**named, "relabel_seed": run.relabel_seed, **{key: value for key, value in row.items() if key != "at"}, **gap}

"""Optimizations of the benchmarks in processes of one thread each; what is done is kept, so that a stop loses little."""

from __future__ import annotations

import json
import multiprocessing
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from cosim.files import write_file
from cosim.provenance import model_version
from cosim.study.processes import end_with_parent, one_thread_each
from cosim.validation.bo_problems import MULTI
from cosim.validation.bo_run import Job, drive
from cosim.validation.bo_table import Run

Rows = list[dict[str, Any]]
Tell = Callable[[float], None]  # share of the work that was just done
BESIDE = ("contamination25", "ising24", "pest25")  # problems that annealing runs on, too


def jobs_of(runs: Sequence[Run]) -> list[Job]:
    """All that is run for these runs: our sampler, annealing or a single fidelity beside it."""
    jobs = []
    for run in runs:
        jobs.append(Job(run, multi=run.problem in MULTI))
        if run.problem in MULTI:
            jobs.append(Job(run))
        if run.problem in BESIDE:
            jobs.append(Job(run, "sa"))
    return jobs


def measure_all(jobs: Sequence[Job], folder: Path | None, processes: int, tell: Tell = lambda _: None) -> dict[Job, Rows]:
    """Rows of each job; what `folder` holds already is taken from there, and all that is done goes there.

    processes: of one thread each; 0 works in this one. Numbers do not depend on it.
    """
    found = {} if folder is None else {job: rows for job in jobs if (rows := _stored(job, folder)) is not None}
    tell(sum(cost_of(job) for job in found))
    todo = sorted((job for job in jobs if job not in found), key=lambda job: -cost_of(job))
    for job, rows in _done(todo, processes):
        found[job] = rows
        if folder is not None:
            write_file(folder / _key(job), json.dumps({"config": _config(job), "rows": rows}, indent=1).encode())
        tell(cost_of(job))
    return {job: found[job] for job in jobs}


def cost_of(job: Job) -> float:
    """Share of the work, about: suggestions, with the number of told points that each looks at."""
    return 1.0 if job.sampler != "gp" else job.run.budget**2 / 200.0 * (4.0 if job.multi else 1.0)


def _done(jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, Rows]]:
    if processes == 0 or not jobs:
        yield from ((job, drive(job)) for job in jobs)
        return
    spawn = multiprocessing.get_context("spawn")
    with one_thread_each(), ProcessPoolExecutor(min(processes, len(jobs)), spawn, initializer=end_with_parent) as pool:
        running = {pool.submit(drive, job): job for job in jobs}
        try:
            yield from ((running[future], future.result()) for future in as_completed(running))
        finally:
            for future in running:
                future.cancel()


def _config(job: Job) -> dict[str, Any]:
    return {**job.config, "model_version": model_version()}


def _key(job: Job) -> str:
    """Name of the file that keeps its rows."""
    run = job.run
    name = f"{run.problem}_{job.sampler}{'_multi' if job.multi else ''}_instance{run.instance_seed}_run{run.run_seed}"
    return f"{name}_{zlib.crc32(json.dumps(job.config, sort_keys=True).encode()):08x}.json"


def _stored(job: Job, folder: Path) -> Rows | None:
    """Rows of a job that was done with the same numbers and code, else None."""
    try:
        data = json.loads((folder / _key(job)).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(data, dict) or data.get("config") != json.loads(json.dumps(_config(job))):
        return None
    rows: Rows = data["rows"]
    return rows

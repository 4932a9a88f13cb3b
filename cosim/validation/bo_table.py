"""Folder of combinatorial benchmarks: which runs, the couplings of Ising instances, and exact optima, checked as they are read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np

from cosim.validation.bo_ising import N_EDGES
from cosim.validation.bo_problems import OPTIMUM_OF, PROBLEMS, RESAMPLE_SEED, Bench, Ints, make_bench
from cosim.validation.tables import Row, count_in, read_table
from workloads.errors import WorkloadError, suggest

SHIPPED = Path(__file__).parent / "data" / "bo"
N_START = 20  # initial points, which the budget counts
CLOSE = 2e-6  # optima are written with six decimals
LARGEST_SEED = 2**32 - 1 - RESAMPLE_SEED  # of numpy's legacy generator
COLUMNS = ("problem", "lambda", "instance_seed", "run_seed", "relabel_seed", "budget")


@dataclass(frozen=True)
class Run:
    """One optimization; `weight` is the lambda of its problem (None where it has none), `optimum` is None where it is not known."""

    problem: str
    weight: float | None
    instance_seed: int
    run_seed: int
    relabel_seed: int
    budget: int
    optimum: float | None = None
    couplings: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """What messages call its instance."""
        return f"{self.problem}, instance {self.instance_seed}" + ("" if self.weight is None else f", lambda {self.weight:g}")

    @property
    def instance(self) -> tuple[str, float | None, int]:
        """Runs of one instance have this in common."""
        return self.problem, self.weight, self.instance_seed

    def bench(self) -> Bench:
        """Return its problem, fresh."""
        couplings = None if self.couplings is None else np.array(self.couplings)
        return make_bench(self.problem, self.weight or 0.0, self.instance_seed, couplings)


def read_runs(folder: Path | None = None) -> list[Run]:
    """Return the runs of a folder (default: the one that ships).

    Raises WorkloadError on a folder without `runs.csv`, a cell that cannot be read, an unknown problem, an instance whose optimum
    `optima.csv` lacks, or one whose optimum is not what its x is worth.
    """
    folder = SHIPPED if folder is None else folder
    if not folder.is_dir():
        raise WorkloadError(f"{folder}: there is no such folder; give one with runs.csv, optima.csv and ising_instances.csv")
    path = folder / "runs.csv"
    _, table = read_table(path, COLUMNS)
    runs = [_run(row, f"{path}: line {line}") for line, row in enumerate(table, start=2)]
    if not runs:
        raise WorkloadError(f"{path}: names no run; write one a line, such as ising24,0.0001,0,0,7010,170")
    couplings = _read_couplings(folder / "ising_instances.csv")
    runs = [replace(run, couplings=couplings.get(run.instance_seed)) if "ising" in run.problem else run for run in runs]
    optima = _read_optima(folder / "optima.csv") if any(run.problem in OPTIMUM_OF for run in runs) else {}
    checked = {run.instance: _checked(run, optima, folder / "optima.csv") for run in runs if run.problem in OPTIMUM_OF}
    return [replace(run, optimum=checked.get(run.instance)) for run in runs]


def with_seeds(runs: Iterable[Run], seeds: Sequence[int]) -> list[Run]:
    """Run every instance with these run seeds; a pair that the folder does not name is relabeled by a seed made of its name.

    Raises WorkloadError for a seed that numpy's legacy generator does not take.
    """
    for seed in seeds:
        if not 0 <= seed <= LARGEST_SEED:
            raise WorkloadError(f"--seeds {seed}: is out of range; give 0 to {LARGEST_SEED}")
    named = {(run.instance, run.run_seed): run for run in runs}
    found = []
    for first in {run.instance: run for run in reversed(named.values())}.values():
        for seed in seeds:
            made = replace(first, run_seed=seed, relabel_seed=crc32(f"{first.name}, run {seed}".encode()))
            found.append(named.get((first.instance, seed), made))
    return found[::-1]


def _run(row: Row, where: str) -> Run:
    problem = row["problem"].strip()
    if problem not in PROBLEMS:
        raise WorkloadError(f"{where}: there is no problem {problem!r}; {suggest(problem, PROBLEMS)}")
    instance, run, relabel = (_seed(row, name, where) for name in COLUMNS[2:5])
    return Run(problem, _weight(row, where), instance, run, relabel, _count(row, "budget", where, N_START + 1))


def _seed(row: Row, column: str, where: str) -> int:
    value = _count(row, column, where, 0)
    if value > LARGEST_SEED:
        raise WorkloadError(f"{where}: column {column!r}: {value} is too large for a seed; give at most {LARGEST_SEED}")
    return value


def _count(row: Row, column: str, where: str, least: int) -> int:
    value = count_in(row, column, where, least)
    if value is None:
        raise WorkloadError(f"{where}: column {column!r} is empty; give a whole number of {least} or more")
    return value


def _weight(row: Row, where: str) -> float | None:
    text = row["lambda"].strip()
    return _number(text, where, "lambda") if text else None


def _number(text: str, where: str, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise WorkloadError(f"{where}: column {column!r}: {text!r} is not a number")
    return value


def _read_couplings(path: Path) -> dict[int, tuple[float, ...]]:
    """Couplings by instance; instances that are not written are drawn as PROBLEMS.md says."""
    if not path.is_file():
        return {}
    columns = [f"J{i}" for i in range(N_EDGES)]
    _, table = read_table(path, ("instance_seed", *columns))
    found = {}
    for line, row in enumerate(table, start=2):
        where = f"{path}: line {line}"
        found[_count(row, "instance_seed", where, 0)] = tuple(_number(row[name], where, name) for name in columns)
    return found


def _read_optima(path: Path) -> dict[tuple[str, int, float], tuple[float, Ints]]:
    _, table = read_table(path, ("problem", "instance_seed", "lambda", "optimum", "x"))
    found = {}
    for line, row in enumerate(table, start=2):
        where = f"{path}: line {line}"
        if not row["x"].isdecimal():
            raise WorkloadError(f"{where}: column 'x': {row['x']!r} is not a string of levels such as 0110")
        key = row["problem"].strip(), _count(row, "instance_seed", where, 0), _weight(row, where) or 0.0
        found[key] = _number(row["optimum"], where, "optimum"), np.array([int(level) for level in row["x"]])
    return found


def _checked(run: Run, optima: Mapping[tuple[str, int, float], tuple[float, Ints]], path: Path) -> float:
    """Optimum of a run, after its x was evaluated."""
    names = (OPTIMUM_OF[run.problem], run.problem)
    row = next((optima[key] for key in ((name, run.instance_seed, run.weight or 0.0) for name in names) if key in optima), None)
    if row is None:
        raise WorkloadError(f"{path}: has no optimum of {run.name}; add its row, or leave the instance out of runs.csv")
    optimum, x = row
    bench = run.bench()
    if x.shape != bench.n_levels.shape or (x >= bench.n_levels).any():
        raise WorkloadError(f"{path}: the optimum of {run.name} has {x.size} levels; give {bench.n_levels.size} of 0 or 1")
    (value,) = bench.evaluate(x, len(bench.costs) - 1)
    if abs(value - optimum) > CLOSE:
        raise WorkloadError(f"{path}: the optimum of {run.name} is written as {optimum:g}, but its x is worth {value:.7g}; correct the row")
    return optimum

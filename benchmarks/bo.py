"""Our sampler beside annealing and Optuna's TPE, GP and NSGA-II: value at checkpoints and CPU seconds a suggestion, from equal starts.

Run: OMP_NUM_THREADS=1 python benchmarks/bo.py [--problems contamination25,ising24] [--methods gp,sa,tpe] [--runs 2] [--budget 100]

Problems are those of `cosim validate bo` with one fidelity. Gaps to the optimum are given where it is known, resampled values for pest25,
shares of the exact hypervolume for ising_biobj. Optuna's GP needs torch, and takes most of the time.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import optuna

from cosim.validation.bo_run import Job, drive
from cosim.validation.bo_table import Run, read_runs

PROBLEMS = ("contamination25", "ising24", "pest25", "ising_biobj")
OURS = ("gp", "sa", "nsga2", "random")
PEERS: Mapping[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True),
    "optuna_gp": lambda seed: optuna.samplers.GPSampler(seed=seed, deterministic_objective=False),
    "optuna_nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=20),
}
BESIDE = {"ising_biobj": ("gp", "nsga2", "random", *PEERS)}  # annealing is for one objective
DEFAULT = ("gp", "sa", "random", *PEERS)


class Peer:
    """A sampler of Optuna behind ask, tell, best and front; points that it was not asked for are trials that are added."""

    def __init__(self, sampler: optuna.samplers.BaseSampler, space: Mapping[str, Any], objectives: Sequence[str]) -> None:
        """Begin a study."""
        self.study = optuna.create_study(sampler=sampler, directions=["minimize"] * len(objectives))
        self.distributions = {name: optuna.distributions.CategoricalDistribution(one["levels"]) for name, one in space.items()}
        self.asked: dict[tuple[str, ...], optuna.Trial] = {}

    def ask(self, n: int) -> list[dict[str, Any]]:
        """Return n points."""
        found = []
        for _ in range(n):
            trial = self.study.ask(self.distributions)
            point = {name: trial.params[name] for name in self.distributions}
            self.asked[tuple(point.values())] = trial
            found.append(point)
        return found

    def tell(self, point: Mapping[str, Any], values: Sequence[float], fidelity: None = None) -> None:
        """Take the values of a point."""
        trial = self.asked.pop(tuple(point[name] for name in self.distributions), None)
        if trial is not None:
            self.study.tell(trial, list(values))
            return
        self.study.add_trial(optuna.trial.create_trial(params=dict(point), distributions=self.distributions, values=list(values)))

    def best(self) -> dict[str, Any]:
        """Return the best point told."""
        return dict(self.study.best_params)

    def front(self) -> list[dict[str, Any]]:
        """Return the points that no other beats."""
        return [dict(trial.params) for trial in self.study.best_trials]


def main() -> None:
    """Run every method on every problem, and print a table of each."""
    given = _arguments()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    runs = read_runs()
    for problem in given.problems:
        chosen = _chosen(runs, problem, given.runs, given.budget)
        methods = given.methods or BESIDE.get(problem, DEFAULT)
        sys.stdout.write(f"{problem}: {len(chosen)} runs of {chosen[0].budget} evaluations, {_unit(problem)}\n")
        for method in methods:
            sys.stdout.write(_line(method, chosen, [_driven(method, run) for run in chosen]))
            sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=lambda text: _names(text, PROBLEMS), default=PROBLEMS)
    parser.add_argument("--methods", type=lambda text: _names(text, (*OURS, *PEERS)), default=None)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--budget", type=int, default=100)
    return parser.parse_args()


def _names(text: str, known: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is not known; choose of {', '.join(known)}")
    return names


def _chosen(runs: Sequence[Run], problem: str, n: int, budget: int) -> list[Run]:
    """The first runs of a problem on different instances, at the first of its lambdas."""
    ours = [run for run in runs if run.problem == problem]
    first = {run.instance_seed: run for run in reversed(ours) if run.weight == ours[0].weight}
    return [replace(run, budget=min(budget, run.budget)) for run in [*first.values()][::-1][:n]]


def _driven(method: str, run: Run) -> list[dict[str, Any]]:
    return drive(Job(run, method)) if method in OURS else drive(Job(run, method), partial(_peer, seed_of=PEERS[method]))


def _peer(_: str, space: Any, objectives: Sequence[str], *, seed: int, fidelities: None, seed_of: Callable[[int], Any]) -> Peer:
    return Peer(seed_of(seed), space, objectives)


def _unit(problem: str) -> str:
    return {"pest25": "resampled value", "ising_biobj": "share of the exact hypervolume"}.get(problem, "gap to the optimum")


def _line(method: str, runs: Sequence[Run], rows: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """Mean over runs at each checkpoint, and the median of the CPU seconds at the last."""
    values = np.array([[row["best"] - (run.optimum or 0.0) for row in found] for run, found in zip(runs, rows, strict=True)]).mean(axis=0)
    at = [row["at"] for row in rows[0]]
    shown = "  ".join(f"{n}: {value:8.4f}" for n, value in zip(at, values, strict=True))
    cpu_s = np.median([found[-1]["cpu_s"] for found in rows])
    return f"  {method:<14} {shown}   {cpu_s:8.4f} CPU s a suggestion\n"


if __name__ == "__main__":
    main()

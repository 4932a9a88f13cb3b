"""Scheduling policies against instances whose makespans are known, and against each other at equal CPU time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.engine import compiled, simpy_engine
from cosim.scheduling.generate import random_instances
from cosim.validation.contention import DATA, MAX_REL_ERROR, validate_contention
from cosim.validation.progress import shown
from cosim.validation.scheduling_cases import Case, read_cases
from cosim.validation.scheduling_paired import Run, compare

if TYPE_CHECKING:
    from pathlib import Path

    from cosim.scheduling.instance import Instance

PARTS = ("classic", "policies", "contention", "paired")
CLASSIC = ("heft", "cpop", "peft", "lookahead", "minmin", "maxmin", "sufferage", "met")
RUNS: Mapping[str, Run] = {
    "heft": Run("heft"),
    "portfolio": Run("portfolio"),
    "learned_greedy": Run("learned", n_seeds=5),
    "learned_best64": Run("learned:64", n_seeds=5),
    "learned_search20ms": Run("learned_search", 0.02, n_seeds=5),
    "anneal_20ms": Run("anneal", 0.02, n_seeds=5),
    "search_1s": Run("search", 1.0, n_seeds=5),
}
# Most that the geometric mean of makespan / best known may be.
LIMITS = {"learned_greedy": 1.06, "learned_best64": 1.035, "learned_search20ms": 1.02, "search_1s": 1.005}
PAIRED, OTHERS = Run("learned_search", 0.02), {"anneal": Run("anneal", 0.02), "search": Run("search", 0.02)}
# Instances of the paired comparison: their number, and a seed that no training uses (those start at 10 million, and at PANEL_SEED).
N_PAIRED, PAIRED_SEED = 400, 7_000_003
# CPU time within so much is equal: a search looks at its clock now and then.
FAIR = 1.1
# A makespan below a bound by more than rounding is wrong.
ROUNDING = 1e-9


def validate_scheduling(
    path: Path | None = None, parts: Sequence[str] = PARTS, runs: Mapping[str, Run] = RUNS, n_paired: int = N_PAIRED
) -> dict[str, Any]:
    """Run policies on the instances of a folder (default: the shipped one), and compare with expected.json and contention.json.

    classic: every classic policy has the makespan of `reference_classic` exactly. policies: makespan (of
    stochastic policies, its mean over seeds 0 to 4) over the best known, geometric mean over instances;
    budgets are CPU time of the thread after warm-up. contention: both engines at fixed placements. paired:
    learned policy with search against search alone at equal CPU time, on generated instances. Every plan is
    checked, and none may be shorter than its lower bound. Passed: every target that could be judged holds
    (`holds`). Missing files and instances are named and skipped. Raises ScheduleError or SimulationError,
    with file and place, when the folder is missing or a file cannot be read.
    """
    folder = DATA if path is None else path
    cases, rows, missing = read_cases(folder)
    metrics: dict[str, Any] = {"n_instances": len(cases)}
    if "classic" in parts:
        found = [row for case in shown(cases, "classic policies") for row in _classic_rows(case)]
        metrics |= {"classic_compared": len(found), "classic_mismatches": sum(row["makespan"] != row["expected"] for row in found)}
        rows += found
    if "policies" in parts:
        _warm_up(runs.values(), [case.instance for case in cases[:1]])
        found = [_row(case, name, run) for case, name, run in shown([(c, *r) for c in cases for r in runs.items()], "policies")]
        metrics["vs_best_geomean"] = _geomeans(found)
        metrics["cpu_s"] = {name: float(np.mean([row["cpu_s"] for row in found if row["policy"] == name] or [0.0])) for name in runs}
        rows += found
    metrics["below_bound"] = sum(row["makespan"] < row["lower_bound"] * (1 - ROUNDING) for row in rows if "makespan" in row)
    n = sum("makespan" in row for row in rows)
    if "contention" in parts:
        played = [validate_contention(folder, engine) for engine in (simpy_engine.play, compiled.play)]
        if all(one["n"] for one in played):
            metrics["contention_max_rel_error"] = max(one["metrics"]["max_rel_error"] for one in played)
            n += sum(one["n"] for one in played)
        missing += [file for file in played[0]["skipped_files"] if file not in missing]
    if "paired" in parts:
        instances = [instance for instance in random_instances(PAIRED_SEED, n_paired) if instance.n_tasks > 1]
        _warm_up([PAIRED, *OTHERS.values()], instances[:1])
        metrics["paired"] = compare(shown(instances, "paired comparison"), PAIRED, OTHERS)
    holds = _holds(metrics)
    return {
        "area": "scheduling",
        "n": n,
        "metrics": {**metrics, "holds": holds},
        "rows": rows,
        "passed": bool(holds) and all(holds.values()),
        "skipped_files": missing,
    }


def _classic_rows(case: Case) -> list[dict[str, Any]]:
    """One row a classic policy that the file has a makespan of."""
    rows = []
    for name in CLASSIC:
        if name in case.classic:
            makespan_s, _ = Run(name).play(case.instance)
            rows.append(
                {
                    "instance": case.name,
                    "policy": name,
                    "makespan": makespan_s,
                    "expected": case.classic[name],
                    "lower_bound": case.lower_bound,
                }
            )
    return rows


def _row(case: Case, name: str, run: Run) -> dict[str, Any]:
    """Return one row of a policy on an instance, with its ratio to the best known where that is given."""
    makespan_s, cpu_s = run.play(case.instance)
    row = {"instance": case.name, "policy": name, "makespan": makespan_s, "lower_bound": case.lower_bound, "cpu_s": cpu_s}
    if case.best_known:
        row |= {"best_known": case.best_known, "vs_best": makespan_s / case.best_known}
    return row


def _geomeans(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Geometric mean of makespan / best known by policy."""
    ratios: dict[str, list[float]] = {}
    for row in rows:
        if row.get("vs_best"):
            ratios.setdefault(row["policy"], []).append(row["vs_best"])
    return {name: float(np.exp(np.mean(np.log(found)))) for name, found in ratios.items()}


def _holds(metrics: Mapping[str, Any]) -> dict[str, bool]:
    """Whether each target holds that the metrics can tell of."""
    holds = {}
    if metrics.get("classic_compared"):
        holds["classic policies are exact"] = metrics["classic_mismatches"] == 0
    if metrics["n_instances"]:
        holds["no makespan is below its bound"] = metrics["below_bound"] == 0
    for name, limit in LIMITS.items():
        if name in metrics.get("vs_best_geomean", {}):
            holds[f"{name} <= {limit}"] = metrics["vs_best_geomean"][name] <= limit
    if "contention_max_rel_error" in metrics:
        holds[f"contention <= {MAX_REL_ERROR:g}"] = metrics["contention_max_rel_error"] <= MAX_REL_ERROR
    for found in [metrics["paired"]["anneal"]] if "paired" in metrics else []:
        is_fair = found["cpu_s"] <= FAIR * found["cpu_other_s"]
        holds["learned_search is better than anneal at equal CPU time"] = is_fair and found["high_95"] < 1.0
    return holds


def _warm_up(runs: Iterable[Run], instances: Sequence[Instance]) -> None:
    """Compile and load what policies need, before their CPU time is measured."""
    for run in runs:
        for instance in instances:
            Run(run.policy, min(run.budget_s or 0.02, 0.02)).play(instance)

"""`cosim validate accuracy`: networks trained as five tables of another project say, and read as it read them."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cosim.training.torch_needed import need_torch
from cosim.validation.accuracy_cases import NETS, Case, read_cases
from cosim.validation.accuracy_goals import CHEAP, check_goals, reach
from cosim.validation.accuracy_recipes import made_of
from cosim.validation.accuracy_runs import cost_s, measure_all, plain, works_of
from cosim.validation.accuracy_score import Group, groups_of, metrics_of, passes
from cosim.validation.progress import weighed
from workloads.errors import WorkloadError, suggest

Key = tuple[str, str, str, str]


def validate_accuracy(
    path: Path | None = None,
    *,
    nets: Collection[str] = NETS,
    seeds: Sequence[int] | None = None,
    jobs: int = 1,
    goals: Sequence[str] = CHEAP,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Train and read what the tables in a folder hold, and count the groups that come out the same.

    path     folder with any of the five tables (default: those that ship)
    nets     cnn, mlp (digits), adc
    seeds    trained for every group (default: those of the tables)
    jobs     processes of one thread each; 0 works in this one
    goals    names of goals of the project, or `all`: see `accuracy_goals` (default: those that train nothing)
    folder   what is done is kept there, so that a run that was stopped goes on (default: nothing is kept)

    Passed: 95 % of the groups within their tolerance, none beyond twice. Raises WorkloadError on bad tables, nets, seeds or goals,
    SimulationError where torch is missing.
    """
    need_torch("cosim validate accuracy")
    _check(nets, seeds, jobs)
    check_goals(goals)
    cases, absent = read_cases(path)
    chosen = [case for case in cases if case.net in nets]
    groups = groups_of(chosen, _measured(chosen, seeds, jobs, folder))
    metrics = metrics_of(groups)
    return {
        "area": "accuracy",
        "n": len(groups),
        "metrics": {**metrics, "goals": reach(goals)},
        "rows": [_row(group) for group in groups],
        "passed": passes(metrics),
        "skipped_files": absent,
    }


def _row(group: Group) -> dict[str, Any]:
    return {**asdict(group), "difference": group.difference, "tolerance": group.tolerance, "within": group.is_within}


def _check(nets: Collection[str], seeds: Sequence[int] | None, jobs: int) -> None:
    """WorkloadError on what cannot be run."""
    for net in nets:
        if net not in NETS:
            raise WorkloadError(f"--nets {net}: is not known; {suggest(net, NETS)}")
    if seeds is not None and (not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds)):
        raise WorkloadError(f"--seeds {','.join(map(str, seeds))}: give different whole numbers of 0 or more")
    if jobs < 0:
        raise WorkloadError(f"--jobs {jobs}: give 1 or more processes")


def _measured(cases: Sequence[Case], seeds: Sequence[int] | None, jobs: int, folder: Path | None) -> dict[Key, list[float]]:
    """Values of each group, one a seed."""
    works = works_of(cases, seeds)
    with _kept(folder) as place, weighed(f"Training {len(works)} networks", cost_s(works)) as tell:
        found = measure_all(works, place, jobs, tell)
    by_made: dict[Any, list[dict[str, float]]] = defaultdict(list)
    for work, values in found.items():
        for reading, quantities in zip(work.readings, values, strict=True):
            by_made[work.made, reading].append(quantities)
    groups = {case.group: case for case in cases}
    return {
        key: [quantities[case.reading.quantity] for quantities in by_made[made_of(case), plain(case.reading)]]
        for key, case in groups.items()
    }


@contextmanager
def _kept(folder: Path | None) -> Iterator[Path]:
    """The folder that keeps what is done, or one for this run."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="cosim_accuracy_") as made:
        yield Path(made)

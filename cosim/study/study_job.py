"""A study as a sweep: its points, the evaluators of its replicates and of accuracy, and what their rows come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from cosim.provenance import model_version
from cosim.study.accuracy import AccuracyEvaluator
from cosim.study.designs import points_of
from cosim.study.evaluate import Evaluator
from cosim.study.feasible import feasible_space
from cosim.study.judge import ALL_COLUMNS, padded
from cosim.study.rows import Evaluates, Rows, Task
from cosim.study.scores import check_fidelity, wanted_of
from cosim.study.space import Codes, Space
from cosim.study.spec import Study
from cosim.study.store import Origin
from cosim.study.sweep import Job, Part

ACCURACY = "accuracy"  # what rows with accuracies call their fidelity


class _Simulated:
    """An evaluator of some workloads, with the columns of accuracy beside its own."""

    def __init__(self, study: Study, workloads: tuple[int, ...]) -> None:
        """Leave the other workloads out, unless an axis says which network stands for one of them: then all are run."""
        names_networks = any("network" in (axis.paths or (axis.name,)) for axis in study.space.axes)
        self.kept = list(workloads) if names_networks else list(range(len(workloads)))
        self.n_run = len(study.workloads) if names_networks else len(workloads)
        subset = study.workloads if names_networks else tuple(study.workloads[w] for w in workloads)
        self.evaluator = Evaluator(replace(study, workloads=subset))

    def keys(self, codes: Codes) -> list[str]:
        """Return the keys of points, the workload fastest."""
        keys = self.evaluator.keys(codes)
        return keys if len(self.kept) == self.n_run else [keys[i] for i in self._places(len(codes))]

    def evaluate(self, codes: Codes) -> Rows:
        """Return the rows of points, in the order of the keys."""
        rows = padded(self.evaluator.evaluate(codes))
        if len(self.kept) == self.n_run:
            return rows
        places = self._places(len(codes))
        keys, error, designs = ([texts[i] for i in places] for texts in (rows.keys, rows.error, rows.designs))
        index = np.tile(np.arange(len(self.kept), dtype=np.int64), len(codes))
        return Rows(keys, rows.status[places], error, rows.values[places], index, designs)

    def _places(self, n: int) -> list[int]:
        return [i * self.n_run + w for i in range(n) for w in self.kept]


def _simulated(study: Study, workloads: tuple[int, ...]) -> Evaluates:
    return _Simulated(study, workloads)


def _measured(study: Study, workloads: tuple[int, ...]) -> Evaluates:
    return AccuracyEvaluator(replace(study, workloads=tuple(study.workloads[w] for w in workloads)))


def study_points(study: Study) -> Codes:
    """Codes [n, d] of a study's points in the order of its sweep."""
    return points_of(study, feasible_space(study))


def study_job(study: Study, codes: Codes | None = None) -> Job:
    """Return the sweep of a study: each replicate is a part, and the accuracies, where they are wanted, are one.

    Raises SpecError for a study without points, or one that wants what its fidelity does not give.
    """
    wanted = wanted_of(study)
    check_fidelity(wanted, study.fidelity)
    codes = study_points(study) if codes is None else codes
    cost = study.ladder.get(study.fidelity, 1.0)
    seeds = [study.seed + r for r in range(study.replicates)]
    makes = [partial(_simulated, replace(study, seed=seed)) for seed in seeds]
    parts = [Part(codes, _origin(study, study.fidelity, seed), cost) for seed in seeds]
    if wanted.needs_accuracy:
        every = AccuracyEvaluator(study)
        makes.append(partial(_measured, study))
        parts.append(Part(every.distinct(codes), _origin(study, ACCURACY, study.seed), 1.0))
    task = Task(tuple(makes), Space(study.space.axes), ALL_COLUMNS)
    return Job(task, tuple(parts), tuple(one.name for one in study.workloads))


def designs_of(job: Job) -> Mapping[str, Mapping[str, Any]]:
    """Return key → levels: those of the first point that a row belongs to. A row of accuracies is of many points and has none."""
    n = len(job.workloads)
    found: dict[str, Mapping[str, Any]] = {}
    for part, keys in zip(job.parts, job.keys, strict=True):
        levels = [{} if part.origin.fidelity == ACCURACY else one for one in job.task.space.decode(part.codes)]
        for i, key in enumerate(keys):
            found.setdefault(key, levels[i // n])
    return found


def _origin(study: Study, fidelity: str, seed: int) -> Origin:
    return Origin(study.name, study_hash(study), fidelity, model_version(), seed)


def study_hash(study: Study) -> str:
    """Hash of a study's text."""
    return hashlib.sha256(study.text.encode()).hexdigest()[:16]

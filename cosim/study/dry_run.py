"""What a sweep will do, before it does it: points, rows, distinct costs, and about how long it takes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cosim.study.chip_points import ChipPoints
from cosim.study.designs import points_of
from cosim.study.evaluate import Evaluator
from cosim.study.feasible import feasible_space
from cosim.study.networks import NetworkVariants
from cosim.study.run_fields import RunFields, Source
from cosim.study.space import Codes, Space
from cosim.study.spec import Study
from cosim.study.study_job import ACCURACY, study_job
from cosim.study.sweep import Job
from workloads.errors import CosimError

_PROCESS_S = 1.5  # that a worker process takes to import what it needs
_SAMPLES = (8, 64, 512)  # points that are timed, more and more
_ENOUGH_S = 0.5  # of work to go by
_DRAWN = 4096  # points that stand for a space too large to list


@dataclass(frozen=True)
class Times:
    """CPU seconds that a sweep takes, from a few of its points.

    start_s     a process: its imports, chips and networks read, one point evaluated
    point_s     a point once its costs are known, all workloads and replicates
    cost_row_s  a distinct cost row
    accuracy_s  a distinct accuracy, 0 where none is wanted; n_accuracies of them
    """

    start_s: float
    point_s: float
    cost_row_s: float
    accuracy_s: float = 0.0
    n_accuracies: int = 0


@dataclass(frozen=True)
class Size:
    """What a sweep computes; n_cost_rows: distinct (op, device variant, bits) that are costed for its points."""

    n_points: int
    n_rows: int
    n_cost_rows: int
    times: Times

    def cpu_s(self) -> float:
        """CPU seconds in one process, without its start."""
        times = self.times
        return self.n_points * times.point_s + self.n_cost_rows * times.cost_row_s + times.n_accuracies * times.accuracy_s

    def wall_s(self, workers: int) -> float:
        """Wall time on so many free cores: points and accuracies are shared out, while each process costs what its own points need."""
        costs_s = self.n_cost_rows * self.times.cost_row_s
        return self.times.start_s + costs_s + (self.cpu_s() - costs_s) / workers


@dataclass(frozen=True)
class DryRun:
    """What is known of a study before its sweep.

    n_grid  points of the grid; n_feasible of them keep to all constraints (None: too many to list, and feasible_share is that of a sample)
    size    what a sweep of its design computes; None for a grid that is too large to list
    """

    n_grid: int
    n_feasible: int | None
    feasible_share: float
    size: Size | None


def dry_run(study: Study) -> DryRun:
    """Count points and costs, and time a few; nothing is kept. Raises SpecError for a study that a sweep would refuse."""
    space = feasible_space(study)
    n_feasible = len(space.listed) if space.is_listable else None
    share = _share(space) if n_feasible is None else n_feasible / space.size
    if n_feasible is None and study.design.method == "grid":
        return DryRun(space.size, None, share, None)
    codes = points_of(study, space)
    job = study_job(study, codes)
    size = Size(len(codes), len(job.distinct()), count_cost_rows(study, codes), _timed(study, job))
    return DryRun(space.size, n_feasible, share, size)


def _share(space: Space) -> float:
    drawn = np.random.default_rng(0).integers(0, space.n_levels, size=(_DRAWN, len(space.axes)))
    return float(space.feasible(drawn).mean())


def count_cost_rows(study: Study, codes: Codes) -> int:
    """Count distinct (op, device variant, bits) of points [n, d]: what one process costs for them, shared by all points that need it."""
    evaluator = Evaluator(study)
    choices, choice = np.unique(evaluator.runs.numbers(codes), return_inverse=True)
    pairs: dict[tuple[int, Source], set[tuple[int, int]]] = {}
    for r, number in enumerate(choices.tolist()):
        run = evaluator.runs.fields(number)
        chip = evaluator.chips[run.chip]
        rows, failed = ChipPoints(chip).rows(codes[choice == r])
        devices = np.unique(np.delete(rows, list(failed), axis=0)[:, 4 : 4 + len(chip.device_names)]).tolist()
        for source in dict.fromkeys(run.sources):
            columns = _columns(evaluator.runner.network(source), run)
            pairs.setdefault((run.chip, source), set()).update((device, column) for device in devices for column in columns)
    return sum(_rows(evaluator.runner.network(source), found) for (_, source), found in pairs.items())


def _columns(network: NetworkVariants | CosimError, run: RunFields) -> list[int]:
    """Columns of a network that its ops take at some bits; none where it has no such variant."""
    if isinstance(network, CosimError):
        return []
    work = network.work(run.weight_bits, run.activation_bits, run.weights, run.activations)
    return [] if isinstance(work, str) else np.unique(network.arrays().op_block[work]).tolist()


def _rows(network: NetworkVariants | CosimError, pairs: Iterable[tuple[int, int]]) -> int:
    return 0 if isinstance(network, CosimError) else sum(len(network.tables[column]) for _, column in pairs)


def _timed(study: Study, job: Job) -> Times:
    """Time points drawn at random, more and more of them: with costs that are new, then again with costs that are known."""
    order = job.parts[0].codes[np.random.default_rng(0).permutation(len(job.parts[0].codes))]
    start_s = new_s = known_s = 0.0
    sample = order[:1]
    for n in _SAMPLES:
        sample = order[:n]
        start_s, new_s, known_s = _seconds(job, sample)
        if new_s > _ENOUGH_S or n >= len(order):
            break
    costs_s = max(0.0, new_s - known_s) / max(1, count_cost_rows(study, sample))
    accuracy_s, n_accuracies = _accuracies(job)
    n = study.replicates
    return Times(_PROCESS_S + start_s, n * known_s / len(sample), n * costs_s, accuracy_s, n_accuracies)


def _seconds(job: Job, sample: Codes) -> tuple[float, float, float]:
    """CPU seconds of a new evaluator's first point, of points whose costs are new to it, and of the same points again."""
    every = tuple(range(len(job.workloads)))
    clock = [time.process_time()]
    evaluator = job.task.makes[0](every)
    for codes in (sample[:1], sample, sample):
        evaluator.evaluate(codes)
        clock.append(time.process_time())
    start_s, new_s, known_s = np.diff(clock).tolist()
    return start_s, new_s, known_s


def _accuracies(job: Job) -> tuple[float, int]:
    """CPU seconds of one accuracy, all workloads, and how many a sweep measures; the first also reads networks and data."""
    parts = [(make, part) for make, part in zip(job.task.makes, job.parts, strict=True) if part.origin.fidelity == ACCURACY]
    for make, part in parts:
        evaluator = make(tuple(range(len(job.workloads))))
        spent_s = 0.0
        for codes in (part.codes[:1], part.codes[1:2]):
            start_s = time.process_time()
            evaluator.evaluate(codes if len(codes) else part.codes[:1])
            spent_s = time.process_time() - start_s
        return spent_s, len(part.codes)
    return 0.0, 0

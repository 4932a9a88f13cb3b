"""Evaluates single points for a search: looks into the store first, runs what is missing, keeps it, and scores it."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing import get_context
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cosim.provenance import model_version
from cosim.study.accuracy import ACCURACY_COLUMNS, AccuracyEvaluator
from cosim.study.columns import COLUMNS
from cosim.study.evaluate import Evaluator
from cosim.study.failures import EngineError
from cosim.study.optimise import Outcome
from cosim.study.processes import end_with_parent, one_thread_each
from cosim.study.rows import FAILED, Rows, Task
from cosim.study.scores import Wanted
from cosim.study.space import Codes
from cosim.study.spec import Study
from cosim.study.store import Origin, Store

Floats = NDArray[np.float64]
ALL_COLUMNS = (*COLUMNS, *ACCURACY_COLUMNS)


class PointRunner:
    """Runs single points of a study at any fidelity, replicates and accuracy included."""

    def __init__(self, study: Study, *, accuracy: bool) -> None:
        """Keep the study; evaluators are made when they are needed."""
        self.study, self.accuracy = study, accuracy
        self._task = Task((), study.space, COLUMNS)
        self._workloads = tuple(range(len(study.workloads)))
        self._made: dict[tuple[str, int], Evaluator] = {}

    @cached_property
    def judges(self) -> AccuracyEvaluator:
        """What measures accuracy."""
        return AccuracyEvaluator(self.study)

    def evaluator(self, fidelity: str, replicate: int = 0) -> Evaluator:
        """What simulates, with the seed of a replicate."""
        if (fidelity, replicate) not in self._made:
            self._made[(fidelity, replicate)] = Evaluator(replace(self.study, seed=self.study.seed + replicate), fidelity)
        return self._made[(fidelity, replicate)]

    def keys(self, row: Codes, fidelity: str) -> list[list[str]]:
        """Keys of a point's rows: those of each replicate, then those of its accuracy."""
        found = [self.evaluator(fidelity, r).keys(row[None]) for r in range(self.study.replicates)]
        return [*found, *([self.judges.keys(row[None])] if self.accuracy else [])]

    def run(self, row: Codes, fidelity: str, missing: Sequence[bool]) -> list[Rows | None]:
        """Evaluate what is missing of these; what raises has rows that say so."""
        found: list[Rows | None] = []
        for r, is_missing in enumerate(missing):
            if not is_missing:
                found.append(None)
            elif r < self.study.replicates:
                found.append(padded(self._task.rows(self.evaluator(fidelity, r), row[None], self._workloads)))
            else:
                found.append(self.judges.evaluate(row[None]))
        return found


def padded(rows: Rows) -> Rows:
    """Return simulated rows with the columns of accuracy, empty."""
    return replace(rows, values=np.pad(rows.values, ((0, 0), (0, len(ACCURACY_COLUMNS))), constant_values=np.nan))


_RUNNER: list[PointRunner] = []  # of a worker process


def _start(study: Study, accuracy: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    end_with_parent()
    _RUNNER[:] = [PointRunner(study, accuracy=accuracy)]


def _run(row: Codes, fidelity: str, missing: Sequence[bool]) -> list[Rows | None]:
    return _RUNNER[0].run(row, fidelity, missing)


@dataclass(frozen=True, eq=False)
class Known:
    """One row as it is kept: its values in the order of ALL_COLUMNS and why it failed."""

    values: Floats
    error: str


class StudyJudge:
    """Evaluates points in this process or, with several workers, in others; writes what it finds to the store."""

    def __init__(self, study: Study, wanted: Wanted, store: Store | None = None, workers: int = 1) -> None:
        """Start the workers; with one, this process does it all."""
        self.study, self.wanted, self.store = study, wanted, store
        self.runner = PointRunner(study, accuracy=wanted.needs_accuracy)
        self.n_run = self.n_known = 0
        self._seen: dict[str, Known] = {}
        self._taken: dict[tuple[bytes, str], Outcome] = {}
        self._pool = None
        if workers > 1:
            start = (study, wanted.needs_accuracy)
            self._pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=start)

    def __enter__(self) -> Self:
        """Use it in a `with`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the workers."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def submit(self, row: Codes, fidelity: str) -> _Evaluation:
        """Start evaluating one point [d], unless all its rows are known."""
        keys = self.runner.keys(row, fidelity)
        self._look_up([key for group in keys for key in group])
        missing = [any(key not in self._seen for key in group) for group in keys]
        if not any(missing):
            self.n_known += 1
            return _Evaluation(self, fidelity, keys, None)
        self.n_run += 1
        if self._pool is not None:
            with one_thread_each():  # processes start when they are first needed
                return _Evaluation(self, fidelity, keys, self._pool.submit(_run, row, fidelity, missing))
        done: Future[list[Rows | None]] = Future()
        done.set_result(self.runner.run(row, fidelity, missing))
        return _Evaluation(self, fidelity, keys, done)

    def from_store(self, store: Store, row: Codes, fidelity: str) -> Outcome | None:
        """Score a point from the rows of any store; None where it lacks some."""
        keys = self.runner.keys(row, fidelity)
        self._take(store, [key for group in keys for key in group])
        if not all(key in self._seen for group in keys for key in group):
            return None
        outcome = self.outcome(keys)
        self._taken[(row.tobytes(), fidelity)] = outcome
        return outcome

    def taken(self, row: Codes, fidelity: str) -> Outcome | None:
        """Return what `from_store` found for a point, with the keys of its rows; None where it found nothing or was not asked."""
        return self._taken.get((row.tobytes(), fidelity))

    def _look_up(self, keys: Sequence[str]) -> None:
        """Take what the store has, failed rows included: a search goes the same way when it is run again."""
        if self.store is not None:
            self._take(self.store, keys)

    def _take(self, store: Store, keys: Sequence[str]) -> None:
        for stored in store.read([key for key in keys if key not in self._seen]):
            values = np.array([np.nan if value is None else value for value in stored.values])
            self._seen[stored.key] = Known(values, stored.error if stored.failed else "")

    def keep(self, found: Sequence[Rows | None], fidelity: str) -> None:
        """Remember rows and write them to the store."""
        for r, rows in enumerate(found):
            if rows is None:
                continue
            for key, status, error, values in zip(rows.keys, rows.status.tolist(), rows.error, rows.values, strict=True):
                self._seen[key] = Known(values, error if status == FAILED else "")
            if self.store is not None:
                label = fidelity if r < self.study.replicates else "accuracy"
                self.store.write(rows, self._origin(label, r), [one.name for one in self.study.workloads])

    def outcome(self, keys: Sequence[Sequence[str]]) -> Outcome:
        """Score a point from its rows."""
        flat = tuple(key for group in keys for key in group)
        errors = [self._seen[key].error for key in flat if self._seen[key].error]
        values = self.values(flat)
        scores = self.wanted.score({name: values[None, :, i] for i, name in enumerate(ALL_COLUMNS)})
        return Outcome(scores.objectives[0], scores.limited[0], errors[0] if errors else "", flat)

    def values(self, keys: Sequence[str]) -> Floats:
        """[n_workloads, n_columns] of a point from the keys of its outcome: the mean over replicates, accuracy beside them."""
        found = np.array([self._seen[key].values for key in keys]).reshape(-1, len(self.study.workloads), len(ALL_COLUMNS))
        values: Floats = found[: self.study.replicates].mean(axis=0)
        if len(found) > self.study.replicates:
            values[:, len(COLUMNS) :] = found[self.study.replicates, :, len(COLUMNS) :]
        return values

    def _origin(self, label: str, replicate: int) -> Origin:
        digest = hashlib.sha256(self.study.text.encode()).hexdigest()[:16]
        return Origin(self.study.name, digest, label, model_version(), self.study.seed + (replicate if label != "accuracy" else 0))


class _Evaluation:
    """A point under way."""

    def __init__(self, judge: StudyJudge, fidelity: str, keys: list[list[str]], future: Future[list[Rows | None]] | None) -> None:
        self.judge, self.fidelity, self.keys, self.future = judge, fidelity, keys, future

    def result(self) -> Outcome:
        """Wait for it, keep it and score it; raises EngineError where its process has died, or runs other code than this one."""
        if self.future is not None:
            try:
                found = self.future.result()
            except BrokenProcessPool:
                raise EngineError("a worker process died; what was evaluated is kept, and the same command goes on from there") from None
            if any(rows is not None and list(rows.keys) != keys for rows, keys in zip(found, self.keys, strict=True)):
                raise EngineError("the models' files have changed since the search began; start it again, what was evaluated is kept")
            self.judge.keep(found, self.fidelity)
            self.future = None
        return self.judge.outcome(self.keys)

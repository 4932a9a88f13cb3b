"""Compute all points of a study that a store does not hold: chunk by chunk, safe against whatever ends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from cosim.study.chunks import CHUNK_S, Cutter, Done, Engine, Group
from cosim.study.failures import StoreFullError
from cosim.study.progress import Count, Progress, Silent
from cosim.study.rows import FAILED, RowsLike, Task
from cosim.study.space import Codes
from cosim.study.store import Origin
from workloads.errors import StoreError

_MAX_DEATHS = 2  # of processes by one chunk before it is halved, by one point before that has failed
_POLL_S = 0.5  # between looks at engines; Ctrl-C is heard in between
_KILLED = "the process that computed it was killed, again and again (out of memory?)"


class Sink(Protocol):
    """Where rows go: a store, or the files of a shard."""

    def statuses(self, keys: Sequence[str]) -> Mapping[str, int]:
        """Return key → status of those keys that are there."""

    def write(self, rows: RowsLike, origin: Origin, workloads: Sequence[str], cost: float = 1.0, cpu_s: float = 0.0) -> int:
        """Take rows; return how many rows became safe by it."""

    def flush(self) -> int:
        """Make all rows safe; return how many became so."""


@dataclass(frozen=True)
class Shard:
    """Part `index` of `n` of a study, from 1: the rows whose key, a number, leaves index - 1 when divided by n."""

    index: int
    n: int

    def holds(self, key: str) -> bool:
        """Whether a row is of this part."""
        return int(key, 16) % self.n == self.index - 1


@dataclass(frozen=True, eq=False)
class Part:
    """Points [n, d] that one kind of evaluator computes: where their rows come from, and what each costs in the study's own count."""

    codes: Codes
    origin: Origin
    cost: float = 1.0


@dataclass(frozen=True, eq=False)
class Job:
    """All that a sweep computes: the parts of a task for workloads by name. Evaluators of a part are those that `task.makes` has for it."""

    task: Task
    parts: tuple[Part, ...]
    workloads: tuple[str, ...]

    @cached_property
    def keys(self) -> list[list[str]]:
        """Keys of each part's points × workloads, the workload fastest."""
        every = tuple(range(len(self.workloads)))
        return [make(every).keys(part.codes) for make, part in zip(self.task.makes, self.parts, strict=True)]

    def distinct(self, shard: Shard | None = None) -> list[str]:
        """Return each key once, of one shard where that is asked for."""
        keys = list(dict.fromkeys(key for part in self.keys for key in part))
        return keys if shard is None else [key for key in keys if shard.holds(key)]


@dataclass(frozen=True)
class Options:
    """How a sweep goes: on with what is there, over failed rows again, at most `limit` points, one part of the study only."""

    resume: bool = False
    retry_failed: bool = False
    limit: int | None = None
    shard: Shard | None = None
    chunk_s: float = CHUNK_S


def sweep(job: Job, sink: Sink, start: Callable[[], Engine], options: Options, progress: Progress | None = None) -> Count:
    """Compute the rows that are missing and return what was counted; `start` starts an engine where there is anything to do.

    Whatever ends it early, rows that were counted are in the sink. Raises StoreError where rows of this study are there already and
    nobody said to go on, StoreFullError and EngineError where it cannot go on.
    """
    keys = job.distinct(options.shard)
    known = sink.statuses(keys)
    _refuse_second_time(job, known, len(keys), options)
    kept = {key for key, status in known.items() if not (options.retry_failed and status == FAILED)}
    groups = _groups(job, kept, options)
    count = Count(len(keys), len(kept))
    if groups:
        engine = start()
        _Run(job, sink, engine, progress or Silent(), count).go(groups, options.chunk_s)
    return count


def _refuse_second_time(job: Job, known: Mapping[str, int], n_keys: int, options: Options) -> None:
    if known and not (options.resume or options.retry_failed):
        left, name = n_keys - len(known), job.parts[0].origin.study
        way = f"add --resume to compute the other {left:,}" if left else "there is nothing left to compute"
        raise StoreError(f"{len(known):,} of {n_keys:,} rows of study {name!r} are there already: {way}, or name another --store")


def _groups(job: Job, kept: set[str], options: Options) -> list[Group]:
    """Points to compute, each row once: of each part those that lack all workloads, then by single workload those that lack some."""
    n_workloads, shard = len(job.workloads), options.shard
    every = tuple(range(n_workloads))
    found, seen = [], set(kept)
    for number, (part, keys) in enumerate(zip(job.parts, job.keys, strict=True)):
        index: dict[tuple[int, ...], list[int]] = {}
        n_points = 0
        for i in range(len(part.codes)):
            mine = keys[i * n_workloads : (i + 1) * n_workloads]
            need = tuple(w for w, key in enumerate(mine) if key not in seen and (shard is None or shard.holds(key)))
            if not need:
                continue
            if n_points == options.limit:
                break
            n_points += 1
            seen.update(mine[w] for w in need)
            for group in [every] if need == every else [(w,) for w in need]:
                index.setdefault(group, []).append(i)
        found += [Group(number, part.codes[points], group) for group, points in sorted(index.items(), key=lambda one: -len(one[0]))]
    return found


@dataclass(eq=False)
class _Run:
    """One run of an engine until nothing is left."""

    job: Job
    sink: Sink
    engine: Engine
    progress: Progress
    count: Count
    n_failed: int = 0  # of rows that are not safe yet

    def go(self, groups: list[Group], chunk_s: float) -> None:
        """Keep the engine busy and store what it returns."""
        cutter = Cutter(groups, self.engine.n_workers, chunk_s)
        n_out = 0
        try:
            while cutter or n_out:
                while cutter and self.engine.has_room():
                    self.engine.submit(cutter.next())
                    n_out += 1
                done = self.engine.wait(_POLL_S)
                n_out -= len(done)
                for one in done:
                    self._judge(one, cutter)
                while cutter and self.engine.has_room():  # before rows are stored: nobody waits for that
                    self.engine.submit(cutter.next())
                    n_out += 1
                for one in done:
                    self._store(one)
            self._acknowledge(self.sink.flush())
        except StoreFullError:
            raise
        except BaseException:
            self._acknowledge(self.sink.flush())
            raise
        finally:
            self.engine.close()
            self.progress.close()

    def _judge(self, done: Done, cutter: Cutter) -> None:
        """Learn from a chunk how large the next may be, and give back one that killed its process."""
        chunk = done.chunk
        if done.rows is not None:
            cutter.timed(len(chunk.codes), done.cpu_s)
        elif chunk.n_deaths + 1 < _MAX_DEATHS:
            cutter.again(replace(chunk, n_deaths=chunk.n_deaths + 1))
        elif len(chunk.codes) > 1:
            cutter.again(*chunk.halves())

    def _store(self, done: Done) -> None:
        chunk, rows = done.chunk, done.rows
        if rows is None:
            if len(chunk.codes) > 1 or chunk.n_deaths + 1 < _MAX_DEATHS:
                return
            keys = self.job.task.makes[chunk.part](chunk.workloads).keys(chunk.codes)
            rows = self.job.task.failed(keys, chunk.codes, chunk.workloads, _KILLED)
        self.n_failed += int((np.asarray(rows.status) == FAILED).sum())
        each_s = done.cpu_s / max(len(rows.keys), 1)
        part = self.job.parts[chunk.part]
        self._acknowledge(self.sink.write(rows, part.origin, self.job.workloads, part.cost, each_s))

    def _acknowledge(self, n_rows: int) -> None:
        """Say that rows are safe."""
        if n_rows:
            self.count.add(n_rows, self.n_failed)
            self.n_failed = 0
            self.progress.committed(self.count, n_rows)


def read_shard(text: str) -> Shard:
    """Read `i/n`, from 1; raises StoreError."""
    first, sign, last = text.partition("/")
    if not (sign and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise StoreError(f"--shard {text}: write i/n with i from 1 to n, such as 1/8")
    return Shard(int(first), int(last))

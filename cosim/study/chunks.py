"""Points cut into chunks of a second or more, and the engines that compute them: results do not depend on how they are cut."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cosim.study.rows import Evaluates, Rows, Task
from cosim.study.space import Codes

CHUNK_S = 1.5  # of work that a chunk aims at: long against what sending and storing it takes, short against a wait for its end
_FIRST = 32  # points of a first chunk, whose time says how many the next has
_GROWTH = 8  # most that one chunk may be larger than what has been timed


@dataclass(frozen=True, eq=False)
class Chunk:
    """Points [n, d] to compute for some workloads of the study, by one part of its task; how often a process died of it."""

    part: int
    codes: Codes
    workloads: tuple[int, ...]
    n_deaths: int = 0

    def halves(self) -> tuple[Chunk, Chunk]:
        """Return both halves, to find out which point it is that kills."""
        middle = len(self.codes) // 2
        return replace(self, codes=self.codes[:middle], n_deaths=0), replace(self, codes=self.codes[middle:], n_deaths=0)


@dataclass(frozen=True, eq=False)
class Done:
    """A chunk with its rows, and the CPU seconds they took; without rows where it killed its process again and again."""

    chunk: Chunk
    rows: Rows | None
    cpu_s: float = 0.0


class Engine(Protocol):
    """Computes chunks somewhere. Raises EngineError where that cannot go on."""

    @property
    def n_workers(self) -> int:
        """Return how many chunks are computed at a time."""

    def has_room(self) -> bool:
        """Whether another chunk can be handed over without a wait."""

    def submit(self, chunk: Chunk) -> None:
        """Hand over a chunk."""

    def wait(self, timeout_s: float) -> list[Done]:
        """Return what has been computed, after a wait of at most so long where there is nothing."""

    def close(self) -> None:
        """End what still runs."""


class Worker:
    """What a process does: keep an evaluator for each set of workloads and compute chunks."""

    def __init__(self, task: Task) -> None:
        """Make nothing yet."""
        self._task = task
        self._evaluators: dict[tuple[int, tuple[int, ...]], Evaluates] = {}

    def compute(self, part: int, codes: Codes, workloads: tuple[int, ...]) -> tuple[Rows, float]:
        """Return rows, and the CPU seconds they took once there was an evaluator."""
        key = (part, workloads)
        if key not in self._evaluators:
            self._evaluators[key] = self._task.makes[part](workloads)
        start_s = time.process_time()
        rows = self._task.rows(self._evaluators[key], codes, workloads)
        return rows, time.process_time() - start_s


class Inline:
    """An engine in this process, for small studies and for a look at errors."""

    n_workers = 1

    def __init__(self, task: Task) -> None:
        """Keep what makes evaluators."""
        self._worker = Worker(task)
        self._waiting: deque[Chunk] = deque()

    def has_room(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def submit(self, chunk: Chunk) -> None:
        """Keep a chunk."""
        self._waiting.append(chunk)

    def wait(self, timeout_s: float) -> list[Done]:
        """Compute what was kept."""
        del timeout_s
        return [self._done(self._waiting.popleft())] if self._waiting else []

    def _done(self, chunk: Chunk) -> Done:
        return Done(chunk, *self._worker.compute(chunk.part, chunk.codes, chunk.workloads))

    def close(self) -> None:
        """Forget what waits."""
        self._waiting.clear()


@dataclass(frozen=True, eq=False)
class Group:
    """Points [n, d] of one part of a task that all lack the same workloads."""

    part: int
    codes: Codes
    workloads: tuple[int, ...]


class Cutter:
    """Hands out points as chunks whose size follows the time that those before took; the last ones are small, so that all end together."""

    def __init__(self, groups: Sequence[Group], n_workers: int, chunk_s: float) -> None:
        """Cut groups into chunks of about so many seconds."""
        self._chunk_s, self._n_workers = chunk_s, n_workers
        self._groups = deque(groups)
        self._again: deque[Chunk] = deque()
        self._size = _FIRST

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return bool(self._groups or self._again)

    def again(self, *chunks: Chunk) -> None:
        """Take back chunks that have to be computed again."""
        self._again.extend(chunk for chunk in chunks if len(chunk.codes))

    def timed(self, n_points: int, cpu_s: float) -> None:
        """Learn what points take: size = target / (time a point), at most some times what was timed."""
        wanted = n_points * self._chunk_s / max(cpu_s, 1e-6)
        self._size = max(1, int(min(wanted, _GROWTH * max(n_points, self._size))))

    def next(self) -> Chunk:
        """Return the next chunk: of what is left each worker gets two or more, unless that is less than one of them is worth."""
        if self._again:
            return self._again.popleft()
        group = self._groups.popleft()
        share = max(-(-len(group.codes) // (2 * self._n_workers)), _FIRST)
        n = min(self._size, share)
        if n < len(group.codes):
            self._groups.appendleft(replace(group, codes=group.codes[n:]))
        else:
            self._size = _FIRST if self._groups and self._groups[0].part != group.part else self._size
        return Chunk(group.part, group.codes[:n], group.workloads)

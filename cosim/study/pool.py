"""A pool of processes on one machine: one pipe each, so that one that is killed takes nothing but its own chunk with it."""

from __future__ import annotations

import multiprocessing
import signal
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from cosim.study.chunks import Chunk, Done, Worker
from cosim.study.failures import EngineError
from cosim.study.processes import end_with_parent, one_thread_each
from cosim.study.rows import Task
from workloads.errors import CosimError

_MAX_STILLBORN = 3  # processes a worker in a row that die before they can compute
_MAX_KILLED = 40  # and that die of what they compute: more than it takes to halve 100 000 points down to one that kills
_READY = None  # what a process sends once it can compute
_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy threads' locks of numba and BLAS


@dataclass(eq=False)
class _Process:
    process: BaseProcess
    pipe: Connection
    chunk: Chunk | None = None
    is_ready: bool = False


class Pool:
    """Processes of one thread each that compute chunks.

    A process ends when its parent does, however that ends. One that dies is replaced and its chunk computed again; a chunk that kills
    twice is halved, down to the point that does it. Raises EngineError where processes die before they can compute, or of all that they do.
    """

    def __init__(self, task: Task, n_workers: int) -> None:
        """Start the processes."""
        self.n_workers = n_workers
        self._task = task
        self._n_stillborn = self._n_killed = 0
        self._processes: list[_Process] = []
        for _ in range(n_workers):
            self._start()

    def _start(self) -> None:
        here, there = _SPAWN.Pipe()
        process = _SPAWN.Process(target=_work, args=(there, self._task), name="cosim-worker", daemon=True)
        with one_thread_each():
            process.start()
        there.close()
        self._processes.append(_Process(process, here))

    def has_room(self) -> bool:
        """Whether a process has nothing to do."""
        return any(one.chunk is None for one in self._processes)

    def submit(self, chunk: Chunk) -> None:
        """Send a chunk to a process that has nothing to do."""
        idle = next(one for one in self._processes if one.chunk is None)
        idle.chunk = chunk
        with suppress(OSError):  # it has died: `wait` sees that
            idle.pipe.send((chunk.part, chunk.codes, chunk.workloads))

    def wait(self, timeout_s: float) -> list[Done]:
        """Return chunks that are done; replace processes that have died."""
        pipes: list[Any] = [one.pipe for one in self._processes]
        ready = wait([*pipes, *(one.process.sentinel for one in self._processes)], timeout_s)
        done: list[Done] = []
        for one in list(self._processes):
            if one.pipe in ready or one.process.sentinel in ready:
                done += self._received(one)
        return done

    def _received(self, one: _Process) -> list[Done]:
        """Take what a process sent, or its chunk from its dead hands."""
        try:
            if not one.pipe.poll():
                return self._buried(one)
            said = one.pipe.recv()
        except (EOFError, OSError):
            return self._buried(one)
        self._n_stillborn = 0
        if said is _READY:
            one.is_ready = True
            return []
        chunk, one.chunk = one.chunk, None
        self._n_killed = 0
        if isinstance(said, BaseException):
            raise said
        return [] if chunk is None else [Done(chunk, *said)]

    def _buried(self, one: _Process) -> list[Done]:
        one.process.join()
        one.pipe.close()
        self._processes.remove(one)
        self._n_killed += one.is_ready
        self._n_stillborn += not one.is_ready
        if self._n_stillborn > _MAX_STILLBORN * self.n_workers or self._n_killed > _MAX_KILLED * self.n_workers:
            when = "of whatever they compute" if one.is_ready else "before they compute anything"
            raise EngineError(f"worker processes die {when} ({_cause(one.process)}); go on with --resume once they live")
        self._start()
        return [] if one.chunk is None else [Done(one.chunk, None)]

    def pids(self) -> list[int]:
        """Ids of the processes."""
        return [one.process.pid for one in self._processes if one.process.pid is not None]

    def close(self) -> None:
        """Kill the processes: whatever they still compute is not wanted."""
        for one in self._processes:
            one.process.kill()
        for one in self._processes:
            one.process.join()
            one.pipe.close()
        self._processes.clear()


def _cause(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _work(pipe: Connection, task: Task) -> None:
    """Compute chunks until the pipe closes or the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    end_with_parent()
    worker = Worker(task)
    with suppress(EOFError, OSError):
        pipe.send(_READY)
        while True:
            request = pipe.recv()
            try:
                answer: Any = worker.compute(*request)
            except CosimError as error:  # the study itself cannot be made here
                answer = error
            pipe.send(answer)

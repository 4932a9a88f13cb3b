"""Chunks on a Dask cluster: one started here, one at an address, or the jobs of a batch system."""

from __future__ import annotations

import asyncio
import logging
import pickle
import queue
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import lru_cache
from typing import Any

from cosim.study.chunks import Chunk, Done, Worker
from cosim.study.failures import EngineError
from cosim.study.processes import THREADS
from cosim.study.rows import Rows, Task
from cosim.study.space import Codes
from workloads.errors import CosimError, SimulationError, suggest

LOST_S = 10.0  # that a scheduler may be silent; it exits within 30 s of being killed
_CONNECT_S = 10.0
_FETCH_S = 10.0  # that a result may take from its worker to here
_LOOK_S = 5.0  # between counts of workers
_AHEAD = 2  # chunks a worker: one runs, one waits
_UNREACHABLE = (OSError, TimeoutError, CancelledError, asyncio.CancelledError)  # what fetching a result comes to without a scheduler
_DEAF = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"  # Ctrl-C reaches the whole group; the parent decides


def dask() -> Any:
    """Return the package `distributed`. Raises SimulationError where it is not installed."""
    try:
        import distributed  # noqa: PLC0415  (an extra, and slow to import)
    except ImportError:
        raise SimulationError('--engine dask needs Dask: pip install "cosim[study]"') from None
    return distributed


class DaskEngine:
    """An engine on a Dask cluster. A worker that dies has its chunks computed again by another.

    Raises EngineError where there is no scheduler at the address, or it is silent for LOST_S.
    """

    def __init__(self, task: Task, address: str | None, n_workers: int) -> None:
        """Connect to a scheduler, or start one with so many workers on this machine."""
        distributed = dask()
        _silence()
        self._task = pickle.dumps(task)
        self._address = address
        self._cluster: Any = None
        if address is None:
            options = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": logging.CRITICAL, "preload": [_DEAF]}
            self._cluster = distributed.LocalCluster(n_workers=n_workers, **options)
        try:
            self._client = distributed.Client(self._cluster or address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise EngineError(f"--scheduler {address}: nobody answers there ({error}); start one with: dask scheduler") from None
        self._broken = distributed.KilledWorker
        self._out: dict[Any, Chunk] = {}
        self._lost: list[Chunk] = []  # that a scheduler was told of, or should have been
        self._arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._silent_since: float | None = None
        self._counted_s = -_LOOK_S
        self.n_workers = n_workers
        self._count()

    def _count(self) -> None:
        """Ask how many workers there are, now and then; jobs of a batch system come and go."""
        if time.monotonic() - self._counted_s >= _LOOK_S and self._client.status == "running":
            self._counted_s = time.monotonic()
            with suppress(OSError, TimeoutError):
                self.n_workers = max(1, sum(self._client.nthreads().values()))

    def has_room(self) -> bool:
        """Whether a worker has less than one chunk ahead."""
        return len(self._out) + len(self._lost) < _AHEAD * self.n_workers

    def submit(self, chunk: Chunk) -> None:
        """Send a chunk, or keep it until there is a scheduler again."""
        if self._client.status != "running":
            self._lost.append(chunk)
            return
        future = self._client.submit(_compute, self._task, chunk.part, chunk.codes, chunk.workloads, pure=False)
        self._out[future] = chunk
        future.add_done_callback(self._arrived.put)

    def wait(self, timeout_s: float) -> list[Done]:
        """Return chunks that are done; what a scheduler has forgotten is sent again."""
        self._listen()
        lost, self._lost = self._lost, []
        for chunk in lost:
            self.submit(chunk)
        try:
            ready = [self._arrived.get(timeout=timeout_s)]
        except queue.Empty:
            self._count()
            return []
        with suppress(queue.Empty):
            while True:
                ready.append(self._arrived.get_nowait())
        return [done for future in ready for done in self._done(future)]

    def _listen(self) -> None:
        """Raise EngineError once the scheduler has been silent for too long."""
        if self._client.status == "running":
            self._silent_since = None
            return
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._silent_since >= LOST_S or self._client.status == "closed":
            where = self._address or "of this sweep"
            raise EngineError(f"the Dask scheduler {where} is gone; start one and go on with --resume: all rows acknowledged are stored")

    def _done(self, future: Any) -> list[Done]:
        chunk = self._out.pop(future, None)
        if chunk is None:
            return []
        if future.status == "finished":
            with suppress(*_UNREACHABLE):
                return [Done(chunk, *future.result(timeout=_FETCH_S))]
        if future.status == "error":
            error = future.exception()
            if isinstance(error, self._broken):
                return [Done(chunk, None)]
            if isinstance(error, CosimError):
                raise error
            told = f"{type(error).__name__}: {error}"
            raise EngineError(f"a Dask worker cannot compute ({told}); it needs the versions of cosim and Python that are here")
        self._lost.append(chunk)
        return []

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here."""
        with suppress(Exception):
            self._client.cancel(list(self._out))
        with suppress(Exception):
            self._client.close(timeout=2)
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close(timeout=5)


def _silence() -> None:
    """Leave what is wrong to one message, ours."""
    for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)


@lru_cache(maxsize=4)
def _worker(task: bytes) -> Worker:
    return Worker(pickle.loads(task))


def _compute(task: bytes, part: int, codes: Codes, workloads: tuple[int, ...]) -> tuple[Rows, float]:
    """What runs on a worker, which keeps its evaluators between chunks."""
    return _worker(task).compute(part, codes, workloads)


def farm(
    system: str,
    *,
    n_jobs: int,
    queue: str | None = None,
    memory: str = "4GB",
    walltime: str = "04:00",
    lines: Sequence[str] = (),
    **more: Any,
) -> Any:
    """Start a Dask scheduler here and n_jobs workers of one core each as jobs of a batch system, `slurm` or `lsf`.

    `walltime` HH:MM; a worker ends by itself 5 minutes before, so that its chunk goes to another. `lines` come before it in a job
    script. Its `scheduler_address` is for `cosim sweep --engine dask --scheduler`. Raises SimulationError for other systems.
    """
    cluster = _systems(system).cluster(**job_options(system, queue=queue, memory=memory, walltime=walltime, lines=lines), **more)
    cluster.scale(jobs=n_jobs)
    return cluster


def job_script(
    system: str, scheduler: str, *, queue: str | None = None, memory: str = "4GB", walltime: str = "04:00", lines: Sequence[str] = ()
) -> str:
    """Return the text of a job that `farm` would submit, for a scheduler at an address: to read, or to submit by hand."""
    job = _systems(system).job
    options = job_options(system, queue=queue, memory=memory, walltime=walltime, lines=lines)
    return str(job(scheduler=scheduler, name="cosim-sweep", **options).job_script())


def job_options(system: str, *, queue: str | None, memory: str, walltime: str, lines: Sequence[str]) -> dict[str, Any]:
    """Return what dask-jobqueue is told: one core and one thread a job, nothing beside the worker's own process."""
    hours, _, minutes = walltime.partition(":")
    if not (hours.isdecimal() and minutes.isdecimal() and len(minutes) == 2):
        raise SimulationError(f"walltime {walltime!r} cannot be read; write HH:MM, such as 04:00")
    total = 60 * int(hours) + int(minutes)
    life = [] if total <= 10 else ["--lifetime", f"{total - 5}m", "--lifetime-stagger", "4m"]
    return {
        "cores": 1,
        "processes": 1,
        "memory": memory,
        "queue": queue,
        "walltime": f"{walltime}:00" if system == "slurm" else walltime,
        "worker_extra_args": life,
        "job_script_prologue": [*(f"export {name}=1" for name in THREADS), *lines],
        **({"use_stdin": True} if system == "lsf" else {}),
    }


class _System:
    """Names of one batch system in dask-jobqueue."""

    def __init__(self, cluster: Any, job: Any) -> None:
        self.cluster, self.job = cluster, job


def _systems(name: str) -> _System:
    try:
        from dask_jobqueue import LSFCluster, SLURMCluster  # noqa: PLC0415  (an extra)
        from dask_jobqueue.lsf import LSFJob  # noqa: PLC0415
        from dask_jobqueue.slurm import SLURMJob  # noqa: PLC0415
    except ImportError:
        raise SimulationError('jobs of a batch system need dask-jobqueue: pip install "cosim[study]"') from None
    known = {"slurm": _System(SLURMCluster, SLURMJob), "lsf": _System(LSFCluster, LSFJob)}
    if name not in known:
        raise SimulationError(f"batch system {name!r} is not known; {suggest(name, known)}")
    return known[name]

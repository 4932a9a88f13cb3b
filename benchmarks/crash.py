"""Kill a sweep at random instants and go on: its table is bit for bit that of a sweep that nobody disturbed, and no row counted is lost.

A round starts `cosim sweep --progress jsonl`, and kills (kill -9) one process once a random fraction of all rows has been acknowledged:
  parent     the sweep alone: its workers end within 5 s; --resume finishes
  worker     one process that computes: its chunk is computed again, and the sweep ends with exit code 0
  scheduler  (--engine dask) the sweep ends within 30 s with exit code 1 and a message; --resume on a new scheduler finishes
With Dask, workers and scheduler are processes of their own; a parent that is killed has started its cluster itself.
Run: python benchmarks/crash.py [--rounds 20] [--engine pool|dask] [--seed S]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from cosim.study.export import Export
from cosim.study.judge import ALL_COLUMNS
from cosim.study.store import Store

# A policy in Python takes 1 to 2 ms a point, so that a small study has instants to kill at; rows with 99 bits fail.
STUDY = """
name: crash
chip: edge_npu_soc
workload: resnet18
policy: greedy
axes:
  npu.rows: 16..128 step 4
  npu.cols: 16..128 step 4
  weight_bits: [8, 4, 99]
objectives: [energy]
"""
VICTIMS = {"pool": ("parent", "worker"), "dask": ("parent", "worker", "scheduler")}
ORPHANS_S, SCHEDULER_S = 5.0, 30.0  # until processes end without their parent, and a sweep without its scheduler
_FIRST_USE_S = 600.0  # for a sweep that may have kernels to compile
_PATIENCE_S = 120.0  # for anything else


@dataclass(frozen=True)
class Case:
    """Whom a round kills, and at which fraction of acknowledged rows."""

    victim: str
    fraction: float


def cases(engine: str, rounds: int, seed: int) -> list[Case]:
    """Cases of a seed: all victims in turn, in random order, at random fractions."""
    rng = random.Random(seed)
    victims = [VICTIMS[engine][i % len(VICTIMS[engine])] for i in range(rounds)]
    rng.shuffle(victims)
    return [Case(victim, rng.uniform(0.0, 0.9)) for victim in victims]


def descendants(pid: int) -> list[int]:
    """Ids of all processes below one."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found[1:]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be noticed does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def computes(pid: int) -> bool:
    """Whether a process is one that multiprocessing has started to compute."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds; return whether it did in time."""
    end_s = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.01)
    return True


class Sweep:
    """A sweep under way, and what it says on stderr."""

    def __init__(self, folder: Path, store: Path, *options: str) -> None:
        """Start it."""
        command = [sys.executable, "-m", "cosim", "sweep", "crash.yaml", "--store", str(store), "--workers", "2", "--progress", "jsonl"]
        self.process = subprocess.Popen(
            [*command, *options], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=_environment()
        )
        self.acknowledged, self.total, self.said = 0, 0, ""
        self._news = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        with self.process.stderr or sys.stdin as stream:
            for line in stream:
                with self._news:
                    if line.startswith("{"):
                        told = json.loads(line)
                        self.acknowledged, self.total = told["acknowledged"], told["total"]
                    else:
                        self.said += line
                    self._news.notify()

    def wait_for(self, fraction: float) -> int:
        """Wait for a fraction of all rows, one line at least; return how many are safe. Raises RuntimeError where it ends before."""
        with self._news:
            self._news.wait_for(lambda: (self.total and self.acknowledged >= fraction * self.total) or self.has_ended(), _PATIENCE_S)
        if not self.total or self.acknowledged == self.total:
            raise RuntimeError(f"it ended before it could be killed: {self.said}")
        return self.acknowledged

    def has_ended(self) -> bool:
        """Whether it has."""
        return self.process.poll() is not None

    def code(self, seconds: float = _PATIENCE_S) -> int | None:
        """Wait for the end and return the exit code; None where it does not end in time, and then it is killed."""
        try:
            code: int | None = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            self.process.kill()
            self.process.wait()
        self._listener.join()
        return code


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass
class Cluster:
    """A Dask scheduler and workers, each a process of its own."""

    folder: Path
    scheduler: subprocess.Popen[bytes] = field(init=False)
    workers: list[subprocess.Popen[bytes]] = field(init=False)
    address: str = field(init=False)

    def __enter__(self) -> Self:
        """Start a scheduler and two workers."""
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.scheduler = self._started("scheduler", *options, "--scheduler-file", str(file))
        if not wait_until(lambda: file.exists() and file.read_text(encoding="utf-8").rstrip().endswith("}"), _PATIENCE_S):
            raise RuntimeError("the scheduler does not start")
        self.address = json.loads(file.read_text(encoding="utf-8"))["address"]
        self.workers = []
        for _ in range(2):
            self.add_worker()
        return self

    def add_worker(self) -> None:
        """Start a worker."""
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self.folder))
        self.workers.append(self._started("worker", self.address, *options))

    def _started(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *words]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Kill them all."""
        for process in (self.scheduler, *self.workers):
            process.kill()
            process.wait()


class Rounds:
    """A folder with the study, and the table of a sweep that nobody disturbed."""

    def __init__(self, folder: Path, engine: str, study: str = STUDY) -> None:
        """Sweep once without a kill."""
        self.folder, self.engine, self.n = folder, engine, 0
        (folder / "crash.yaml").write_text(study, encoding="utf-8")
        sweep = Sweep(folder, folder / "whole.db")
        if sweep.code(_FIRST_USE_S) != 0:
            raise RuntimeError(f"the study itself fails: {sweep.said}")
        self.expected = table(folder / "whole.db")

    def run(self, case: Case, rng: random.Random) -> tuple[list[str], str]:
        """Kill and go on once; return what is wrong, and what was done."""
        self.n += 1
        store = self.folder / f"{self.n}.db"
        with self._cluster(case) as cluster:
            options = ("--engine", self.engine, *(("--scheduler", cluster.address) if cluster else ()))
            sweep = Sweep(self.folder, store, *options)
            try:
                at = sweep.wait_for(case.fraction)
                wrong = self._kill(case, sweep, cluster, rng)
            finally:
                sweep.code(0.0 if sys.exc_info()[0] else _PATIENCE_S)
        told = f"{case.victim} at {at:,} of {sweep.total:,} rows"
        wrong += self._kept(store, sweep.acknowledged)
        if case.victim != "worker":
            wrong += self._gone_on(case, store)
        if table(store) != self.expected:
            wrong.append("the exported table is another")
        return wrong, told

    @contextmanager
    def _cluster(self, case: Case) -> Iterator[Cluster | None]:
        """Start a cluster, unless the sweep starts its own."""
        if self.engine == "pool" or case.victim == "parent":
            yield None
            return
        with Cluster(self.folder) as cluster:
            yield cluster

    def _kill(self, case: Case, sweep: Sweep, cluster: Cluster | None, rng: random.Random) -> list[str]:
        """Kill the victim and watch what becomes of the sweep."""
        below = descendants(sweep.process.pid)
        if case.victim == "parent":
            sweep.process.kill()
            gone = wait_until(lambda: not any(map(is_alive, below)), ORPHANS_S)
            return [] if below and gone else [f"processes live on after {ORPHANS_S:g} s: {[pid for pid in below if is_alive(pid)]}"]
        if case.victim == "worker":
            pids = [one.pid for one in cluster.workers] if cluster else [pid for pid in below if computes(pid)]
            os.kill(rng.choice(sorted(pids)), signal.SIGKILL)
            if cluster:
                cluster.add_worker()
            code = sweep.code()
            return [] if code == 0 else [f"exit code {code} after a worker was killed: {sweep.said}"]
        if cluster is None:
            raise RuntimeError("there is no scheduler to kill")
        cluster.scheduler.kill()
        code = sweep.code(SCHEDULER_S)
        return [] if code == 1 and "--resume" in sweep.said else [f"exit code {code} after the scheduler was killed: {sweep.said}"]

    def _kept(self, store: Path, acknowledged: int) -> list[str]:
        """Look for rows that were acknowledged, and rows that are not those of the whole sweep."""
        there = table(store)
        wrong = [] if len(there) - 1 >= acknowledged else [f"{acknowledged} rows were acknowledged, {len(there) - 1} are there"]
        return wrong + (["the store has rows that are other ones"] if set(there) - set(self.expected) else [])

    def _gone_on(self, case: Case, store: Path) -> list[str]:
        with self._cluster(case) as cluster:
            options = ("--engine", self.engine, *(("--scheduler", cluster.address) if cluster else ()))
            sweep = Sweep(self.folder, store, "--resume", *options)
            code = sweep.code()
        return [] if code == 0 else [f"exit code {code} of --resume: {sweep.said}"]


def table(store: Path) -> list[str]:
    """Lines of the exported table."""
    with Store(store, ALL_COLUMNS) as opened:
        return list(Export(opened.read(), ALL_COLUMNS).csv())


def main() -> int:
    """Run all rounds; the exit code is 0 where all of them went well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--engine", choices=list(VICTIMS), default="pool")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    n_good = 0
    with tempfile.TemporaryDirectory() as folder:
        rounds = Rounds(Path(folder), given.engine)
        for i, case in enumerate(cases(given.engine, given.rounds, given.seed)):
            start_s = time.monotonic()
            wrong, told = rounds.run(case, random.Random(f"{given.seed} {i}"))
            n_good += not wrong
            sys.stdout.write(f"{i + 1:>3}  {told}: {'; '.join(wrong) or 'good'} ({time.monotonic() - start_s:.1f} s)\n")
            sys.stdout.flush()
    sys.stdout.write(f"{n_good} of {given.rounds}\n")
    return 0 if n_good == given.rounds else 1


if __name__ == "__main__":
    sys.exit(main())

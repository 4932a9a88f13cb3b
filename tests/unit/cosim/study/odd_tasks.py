"""Tasks that misbehave, or tell of the process they run in; a module of its own, so that other processes can import it."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
from fake_study import COLUMNS, NETS, SPACE, Fake, origin

from cosim.study.pool import Pool
from cosim.study.processes import THREADS
from cosim.study.rows import Rows, Task
from cosim.study.sweep import Job, Part
from workloads.errors import SpecError


class Teller:
    """Rows whose error text tells of the process: its id and the threads that libraries may use."""

    def __init__(self, workloads):
        self.workloads = workloads

    def keys(self, codes):
        return Fake(self.workloads).keys(codes)

    def evaluate(self, codes):
        n = len(codes) * len(self.workloads)
        told = json.dumps({"pid": os.getpid(), **{name: os.environ.get(name) for name in THREADS}})
        workload = np.tile(np.arange(len(self.workloads), dtype=np.int64), len(codes))
        return Rows(self.keys(codes), np.zeros(n, np.int8), [told] * n, np.ones((n, len(COLUMNS))), workload, ["{}"] * n)


class Deadly(Teller):
    """Dies of every point."""

    def evaluate(self, codes):
        os.kill(os.getpid(), signal.SIGKILL)
        return super().evaluate(codes)


class Stillborn:
    """Takes the process with it as soon as it is read there."""

    def __call__(self, workloads):
        return Teller(workloads)

    def __reduce__(self):
        return os._exit, (7,)


def refused(workloads):
    """Cannot make an evaluator."""
    raise SpecError(f"chip.yaml:3: no evaluator of {workloads}")


def task(make):
    """Return a task of one part."""
    return Task((make,), SPACE, COLUMNS)


def job(make):
    """Return a sweep of the whole grid."""
    return Job(task(make), (Part(SPACE.listed, origin()),), NETS)


def slow_pool():
    """Run a pool in this process and print the ids of its workers, which compute for an hour."""
    from cosim.study.chunks import Chunk

    pool = Pool(task(Sleeper), 2)
    for _ in range(2):
        pool.submit(Chunk(0, SPACE.listed, (0, 1)))
    sys.stdout.write(json.dumps(pool.pids()) + "\n")
    sys.stdout.flush()
    threading.Event().wait()


class Sleeper(Teller):
    """Takes an hour; a file named after its process says that it has begun."""

    def evaluate(self, codes):
        if os.environ.get("BEGUN"):
            (Path(os.environ["BEGUN"]) / str(os.getpid())).touch()
        time.sleep(3600)
        return super().evaluate(codes)


if __name__ == "__main__":
    slow_pool()

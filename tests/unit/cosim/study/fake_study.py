"""A study that takes no time: values are sums of level codes, so that tests of stores and engines can say what they have to be.

A module of its own and not part of a test, so that other processes can import it.
"""

import hashlib
import json
import os
import signal
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cosim.study.rows import Rows, Task
from cosim.study.space import Axis, Space
from cosim.study.store import Origin
from cosim.study.sweep import Job, Part

COLUMNS = ("latency_s", "energy_j", "min_snr_db")
SPACE = Space(
    (Axis("node", "categorical", ("22nm", "7nm", None)), Axis("bits", "ordinal", (4, 5, 6, 8)), Axis("rows", "ordinal", (32, 64, 128, 256)))
)
NETS = ("tiny", "small")


@dataclass
class Fake:
    """Point (a, b, c): latency a + b/3 + c/7 of the first workload, twice that of the second; bits 5 fail."""

    workloads: tuple
    salt: str = ""
    sleep_s: float = 0.0
    deadly: str = ""

    def keys(self, codes):
        return [self.key(row, w) for row in codes.tolist() for w in self.workloads]

    def key(self, row, w):
        return hashlib.sha256(json.dumps([row, w, self.salt]).encode()).hexdigest()[:32]

    def evaluate(self, codes):
        time.sleep(self.sleep_s * len(codes))
        n = len(codes) * len(self.workloads)
        values = np.full((n, len(COLUMNS)), np.nan)
        status = np.zeros(n, dtype=np.int8)
        for i, (a, b, c) in enumerate(codes.tolist()):
            self.perish((a, b, c))
            for j, w in enumerate(self.workloads):
                row = i * len(self.workloads) + j
                status[row] = int(b == 1)
                if b != 1:
                    values[row] = ((a + b / 3 + c / 7) * (w + 1), -0.0 if a == 0 else 1.0 / (c + 1), np.nan if a == 1 else 30.0)
        error = ["op 'conv': cannot be mapped, 5 bits" if bad else "" for bad in status]
        designs = [json.dumps(point) for point in SPACE.decode(codes) for _ in self.workloads]
        index = np.tile(np.arange(len(self.workloads), dtype=np.int64), len(codes))
        return Rows(self.keys(codes), status, error, values, index, designs)

    def perish(self, point):
        """Die of one point: always, or (the name of a file that is not there yet) once."""
        if point == (2, 3, 3) and self.deadly == "always":
            os.kill(os.getpid(), signal.SIGKILL)
        if point == (2, 3, 3) and self.deadly not in {"", "always", "raises"} and not Path(self.deadly).exists():
            Path(self.deadly).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if point == (1, 2, 1) and self.deadly == "raises":
            raise ZeroDivisionError("by zero")


def make(salt, sleep_s, deadly, workloads):
    """Make the evaluator of some workloads."""
    return Fake(workloads, salt, sleep_s, deadly)


def origin(**more):
    """Return what fake rows were made by."""
    return Origin(**{"study": "fake", "study_hash": "0" * 16, "fidelity": "event", "model_version": "m1", "seed": 0, **more})


def job(codes=None, *, nets=NETS, salt="", sleep_s=0.0, deadly="", **more):
    """Return a sweep of the whole grid, or of some points."""
    task = Task((partial(make, salt, sleep_s, deadly),), SPACE, COLUMNS)
    return Job(task, (Part(SPACE.listed if codes is None else codes, origin(**more), 1.0),), nets)


def evaluated(n=48, workloads=(0, 1)):
    """Return the rows of the first points."""
    return Fake(workloads).evaluate(SPACE.listed[:n])

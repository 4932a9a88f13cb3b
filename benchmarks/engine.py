"""CPU time of one play of 100 ops, 291 edges and 4 devices: compiled engine beside the SimPy one, from Python, placement included.

Run: python benchmarks/engine.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
from timing import median_s

from cosim.engine import compiled, simpy_engine
from cosim.scheduling.fixed import instance_tables
from cosim.scheduling.instance_file import read_instance
from cosim.validation.contention import DATA

NAME = "layered_unr_100x4"
CASES = {"none": "none", "fifo": "fifo", "B2_fair": "fair", "B5_fair": "fair"}
N_CALLS, N_BATCH = 1000, 500


def many(call: Callable[[], object]) -> None:
    """Call so often that the clock can tell."""
    for _ in range(N_CALLS):
        call()


def main() -> None:
    """Measure one call, one placement of a batch, and SimPy on the same problem."""
    cases = json.loads((DATA / "contention.json").read_text())
    instance = read_instance(DATA / "instances" / f"{NAME}.json")
    sys.stdout.write(f"{'mode':<10}{'one call, us':>14}{'in a batch, us':>16}{'SimPy, us':>12}{'SimPy / call':>14}\n")
    for label, mode in CASES.items():
        case = cases[f"{NAME}_{label}"]
        op_bytes = None if case.get("op_bytes") is None else np.array(case["op_bytes"], np.float64)
        tables = instance_tables(instance, mode, op_bytes, case.get("memory_bandwidth"))  # type: ignore[arg-type]  # a mode by name
        assignment, priority = np.array(case["assignment"], np.int64), np.array(case["priority"], np.float64)
        batch = np.tile(assignment, (N_BATCH, 1)), np.tile(priority, (N_BATCH, 1))
        problem = tables.placed(assignment, priority)
        one_s = median_s(partial(many, partial(compiled.play_tables, tables, assignment, priority))) / N_CALLS
        batch_s = median_s(partial(compiled.makespans, tables, *batch)) / N_BATCH
        simpy_s = median_s(partial(simpy_engine.play, problem))
        sys.stdout.write(f"{label:<10}{one_s * 1e6:14.2f}{batch_s * 1e6:16.2f}{simpy_s * 1e6:12.0f}{simpy_s / one_s:14.0f}\n")


if __name__ == "__main__":
    main()

"""Evaluations of the column-pass model a second, one thread: a batch of macros in one call."""

from __future__ import annotations

import os
import sys
from statistics import median
from time import process_time

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np

from hw_models.cim.calibrated import raw_costs, read_calibration
from hw_models.cim.pass_inputs import PassInput, as_array

N_MACROS, REPEATS = 1_000_000, 7


def main() -> None:
    """Print CPU time for each macro, median of repeats."""
    ways = [("sram", "charge"), ("sram", "bitline"), ("envm", "current"), ("digital", "tree")]
    some = [PassInput(kind=k, way=w, node_m=28e-9, supply_v=0.8, n=64, input_bits=4, weight_bits=4, adc_bits=6) for k, w in ways]  # type: ignore[arg-type]
    inputs = np.ascontiguousarray(np.tile(as_array(some), (N_MACROS // len(some), 1)))
    constants = read_calibration().constants
    raw_costs(inputs[:4], constants)
    times = []
    for _ in range(REPEATS):
        start = process_time()
        raw_costs(inputs, constants)
        times.append(process_time() - start)
    sys.stdout.write(f"{len(inputs) / median(times):.3g} macro evaluations/s, {median(times) / len(inputs) * 1e9:.0f} ns CPU each\n")


if __name__ == "__main__":
    main()

"""Speed of the compute-in-memory models, one thread, warm, CPU time: column passes a second, and VGG8 on a whole chip.

Run: python benchmarks/cim_pass.py
"""

from __future__ import annotations

import os
import sys
from statistics import median
from time import process_time

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np

import cosim
from hw_models.cim.calibrated import raw_costs, read_calibration
from hw_models.cim.pass_inputs import PassInput, as_array
from workloads.optable import OpTable

N_MACROS, N_CHIPS, REPEATS = 1_000_000, 500, 7


def chip_s() -> float:
    """CPU time of VGG8 on all devices of a chip with its arrays' supply varied, for each of N_CHIPS design points in a batch."""
    table = OpTable.from_workload(cosim.load_workload("vgg8"))
    batches = []
    for device in cosim.load_chip("edge_cim_soc").devices.values():
        supply = getattr(device.spec, "supply_v", None)
        changes = [{"supply_v": supply * (1 + i / N_CHIPS / 10)} if supply else {} for i in range(N_CHIPS)]
        batches.append((type(device), [device.spec.model_copy(update=change) for change in changes]))
    times = []
    for _ in range(REPEATS + 1):
        start = process_time()
        for kind, specs in batches:
            kind.costs(specs, table)
        times.append(process_time() - start)
    return median(times[1:]) / N_CHIPS


def main() -> None:
    """Print CPU time for each macro, median of repeats."""
    ways = [("sram", "charge"), ("sram", "bitline"), ("envm", "current"), ("digital", "tree")]
    some = [PassInput(kind=k, way=w, node_m=28e-9, supply_v=0.8, n=64, input_bits=4, weight_bits=4, adc_bits=6) for k, w in ways]  # type: ignore[arg-type]
    inputs = np.ascontiguousarray(np.tile(as_array(some), (N_MACROS // len(some), 1)))
    constants = read_calibration().constants
    raw_costs(inputs[:4], constants)
    sys.stdout.write(f"VGG8 on edge_cim_soc: {chip_s() * 1e3:.3f} ms CPU a design point, {N_CHIPS} in a batch\n")
    times = []
    for _ in range(REPEATS):
        start = process_time()
        raw_costs(inputs, constants)
        times.append(process_time() - start)
    sys.stdout.write(f"{len(inputs) / median(times):.3g} macro evaluations/s, {median(times) / len(inputs) * 1e9:.0f} ns CPU each\n")


if __name__ == "__main__":
    main()

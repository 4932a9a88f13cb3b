"""Speed of the compute-in-memory models, one thread, warm, CPU time: column passes a second, and VGG8 on a whole chip.

Run: python benchmarks/cim_pass.py
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
from timing import median_s

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

    def once() -> None:
        for kind, specs in batches:
            kind.costs(specs, table)

    return median_s(once, REPEATS) / N_CHIPS


def main() -> None:
    """Print CPU time for each macro, median of repeats."""
    ways = [("sram", "charge"), ("sram", "bitline"), ("envm", "current"), ("digital", "tree")]
    some = [PassInput(kind=k, way=w, node_m=28e-9, supply_v=0.8, n=64, input_bits=4, weight_bits=4, adc_bits=6) for k, w in ways]
    inputs = np.ascontiguousarray(np.tile(as_array(some), (N_MACROS // len(some), 1)))
    constants = read_calibration().constants
    sys.stdout.write(f"VGG8 on edge_cim_soc: {chip_s() * 1e3:.3f} ms CPU a design point, {N_CHIPS} in a batch\n")
    seconds = median_s(lambda: raw_costs(inputs, constants), REPEATS)
    sys.stdout.write(f"{len(inputs) / seconds:.3g} macro evaluations/s, {seconds / len(inputs) * 1e9:.0f} ns CPU each\n")


if __name__ == "__main__":
    main()

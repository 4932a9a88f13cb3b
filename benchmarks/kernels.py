"""CPU time per (spec, op) of each batched cost kernel, and per op of the SimPy engine; medians of warm calls.

Run: python benchmarks/kernels.py
"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
from timing import median_s

import cosim
from cosim.engine.simpy_engine import play
from cosim.scheduling.base import make_policy
from cosim.simulation.costs import cost_ops
from cosim.simulation.placed import instance_of, place
from cosim.simulation.residency import plan_residency
from cosim.simulation.traffic import plan_traffic
from hw_models.catalog import build_part_device
from workloads.optable import OpTable

PARTS = ("cpu/cortex_a55_quad_22nm", "gpu/a100_sxm", "spatial_array/edge_npu_64x64_22nm", "cim_macro/reram_22nm_256x256")
N_SPECS = 1000


def main() -> None:
    """Measure kernels and engine on ResNet-50."""
    network = cosim.load_workload("resnet50")
    table = OpTable.from_workload(network)
    for part in PARTS:
        device = build_part_device(part)
        seconds = median_s(partial(type(device).costs, [device.spec] * N_SPECS, table))
        sys.stdout.write(f"{part:<40} {seconds / N_SPECS / len(table) * 1e6:8.3f} us a (spec, op), {N_SPECS} specs x {len(table)} ops\n")
    chip = cosim.load_chip("edge_cim_soc")
    costs = cost_ops(chip, network)
    residency = plan_residency(chip, network, costs)
    traffic = plan_traffic(chip, network, costs, residency)
    instance = instance_of(chip, network, traffic, residency)
    heft = make_policy("heft")
    plan = heft.plan(instance, np.random.default_rng(0))
    problem = place(chip, network, costs, traffic, residency, plan, "fair").problem
    for name, call in (
        ("HEFT", lambda: heft.plan(instance, np.random.default_rng(0))),
        ("SimPy engine, max-min fair", lambda: play(problem)),
        ("whole run, ledger included", lambda: cosim.Simulation(chip, network).run()),
    ):
        sys.stdout.write(f"{name:<40} {median_s(call) * 1e3:8.3f} ms for {len(network.ops)} ops on {len(chip.devices)} devices\n")


if __name__ == "__main__":
    main()

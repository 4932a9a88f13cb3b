"""What a decode and a move of the search take, and how far a budget gets: medians of warm calls, CPU time.

Run: python benchmarks/placement_search.py
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numba
import numpy as np
from timing import median_s

import cosim
from cosim.scheduling.annealer import Annealer, Budget
from cosim.scheduling.base import Instance, make_policy
from cosim.scheduling.generate import random_instances
from cosim.scheduling.instance import Goal
from cosim.scheduling.instance_file import read_instance
from cosim.scheduling.kernels import decode as layout
from cosim.scheduling.search import COLD, HOT

EXAMPLE = Path(cosim.__file__).parent / "validation" / "data" / "scheduling_golden" / "instances" / "layered_unr_100x4.json"
N_DECODES = 10_000
N_MOVES = 200_000
N_INSTANCES, SEED = 20, 2026
BUDGETS = (("anneal", 0.02), ("learned_search", 0.02), ("search", 0.1), ("search", 1.0))


@numba.njit
def decode_often(graph, cost_s, transfer_s, order, device, start_s, end_s, free_s, count):  # noqa: ANN001, ANN201  (one call for the clock)
    """Sum of the makespans of so many decodes, one after the other."""
    total_s = 0.0
    for _ in range(count):
        total_s += layout.decode(graph, cost_s, transfer_s, order, device, start_s, end_s, free_s)
    return total_s


def main() -> None:
    """Measure the loops on 100 tasks and 4 devices, then the policies on random instances."""
    instance = read_instance(EXAMPLE)
    n, size = instance.n_tasks, f"{instance.n_tasks} tasks, {instance.n_edges} edges, {instance.n_devices} devices"
    annealer = Annealer(instance, 0)
    annealer.start_from(make_policy("heft").plan(instance, np.random.default_rng(0)))
    order, device = annealer.tasks[layout.ORDER].copy(), annealer.tasks[layout.DEVICE].copy()
    scratch = (order, device, np.zeros(n), np.zeros(n), np.zeros(instance.n_devices), N_DECODES)
    seconds = median_s(partial(decode_often, *annealer.graph, *scratch))
    sys.stdout.write(f"{'decode':<24} {seconds / N_DECODES * 1e6:8.3f} us an evaluation, {size}\n")
    for name, temperature in (("hot", HOT), ("cold", COLD)):
        seconds = median_s(lambda heat=temperature: annealer.anneal(Budget(1.0, N_MOVES), 1.0, heat, heat))
        sys.stdout.write(f"{'moves, ' + name:<24} {N_MOVES / seconds / 1e6:8.3f} million a second, {size}\n")
    instances = random_instances(SEED, N_INSTANCES)
    heft_s = np.array([_makespan_s("heft", given, 1.0) for given in instances])
    for name, budget_s in BUDGETS:
        ratio = np.array([_makespan_s(name, given, budget_s) for given in instances]) / heft_s
        mean = np.exp(np.log(ratio).mean())
        sys.stdout.write(f"{name + f', {budget_s:g} s':<24} {mean:8.4f} of HEFT's makespan, geometric mean of {N_INSTANCES}\n")


def _makespan_s(name: str, instance: Instance, budget_s: float) -> float:
    given = replace(instance, goal=Goal(budget_s=budget_s))
    return make_policy(name).plan(given, np.random.default_rng(0)).makespan_s


if __name__ == "__main__":
    main()

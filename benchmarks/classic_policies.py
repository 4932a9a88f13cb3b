"""CPU time of the compiled classic policies on 100 ops and 4 devices, beside the plain-Python twins of the tests; medians of warm calls.

Run: python benchmarks/classic_policies.py
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from timing import median_s

from cosim.scheduling.base import make_policy
from cosim.scheduling.bounds import lower_bound_s
from cosim.scheduling.instance_file import read_instance
from cosim.scheduling.kernels import classic
from cosim.validation.contention import DATA

TWINS = Path(__file__).parents[1] / "tests" / "unit" / "cosim" / "test_classic.py"
KERNELS: dict[str, Callable[..., object]] = {
    "heft": classic.heft,
    "cpop": classic.cpop,
    "peft": classic.peft,
    "lookahead": classic.lookahead,
    "minmin": partial(classic.batch, rule=0),
    "maxmin": partial(classic.batch, rule=1),
    "sufferage": partial(classic.batch, rule=2),
    "met": classic.fastest,
}
N_CALLS = 100


def many(call: Callable[[], object]) -> None:
    """Call so often that the clock can tell."""
    for _ in range(N_CALLS):
        call()


def main() -> None:
    """Measure kernels, whole policies and the lower bound."""
    instance, rng = read_instance(DATA / "instances" / "layered_unr_100x4.json"), np.random.default_rng(0)
    twins = runpy.run_path(str(TWINS))["TWINS"]
    sys.stdout.write(f"{instance.n_tasks} ops, {instance.n_edges} edges, {instance.n_devices} devices\n")
    sys.stdout.write(f"{'policy':<12}{'kernel, us':>12}{'plan, us':>12}{'twin, us':>12}{'twin / kernel':>15}\n")
    for name, kernel in KERNELS.items():
        made = make_policy(name)
        kernel_s = median_s(partial(many, partial(kernel, instance.arrays))) / N_CALLS
        plan_s = median_s(partial(many, partial(made.plan, instance, rng))) / N_CALLS
        twin_s = median_s(partial(twins[name], instance), rounds=3)
        sys.stdout.write(f"{name:<12}{kernel_s * 1e6:12.1f}{plan_s * 1e6:12.1f}{twin_s * 1e6:12.0f}{twin_s / kernel_s:15.0f}\n")
    for name in ("portfolio", "greedy", "single"):
        plan_s = median_s(partial(many, partial(make_policy(name).plan, instance, rng))) / N_CALLS
        sys.stdout.write(f"{name:<12}{'':12}{plan_s * 1e6:12.1f}\n")
    sys.stdout.write(f"lower bound {median_s(partial(lower_bound_s, instance), rounds=3) * 1e3:.0f} ms\n")


if __name__ == "__main__":
    main()

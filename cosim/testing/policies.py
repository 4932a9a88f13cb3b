"""Laws of policies: plans that can run, on random graphs, equal for equal seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from cosim.engine.check import check_playback
from cosim.engine.simpy_engine import play
from cosim.scheduling.base import Instance, Plan, Policy
from cosim.scheduling.checker import check_plan
from cosim.scheduling.fixed import placed_problem
from cosim.testing.judge import Judge
from workloads.errors import ScheduleError

_DEVICES = ("cpu", "gpu", "npu", "cim", "dsp")


def small_instance(
    cost_s: Sequence[Sequence[float]],
    /,
    edges: Sequence[tuple[int, int, float]] = (),
    bandwidth: float = 1.0,
    latency: float = 0.0,
    **changes: Any,
) -> Instance:
    """Return an instance written by hand: cost_s[task][device], edges (src, dst, bytes), one bandwidth and latency between all devices.

    Tasks are called t0, t1, ..., devices cpu, gpu, npu, cim, dsp, d5, ...; `changes` replace any field of the instance.
    """
    n, m = np.shape(cost_s)
    values = {
        "task_names": tuple(f"t{i}" for i in range(n)),
        "device_names": (*_DEVICES, *(f"d{i}" for i in range(len(_DEVICES), m)))[:m],
        "cost_s": cost_s,
        "edge_src": [edge[0] for edge in edges],
        "edge_dst": [edge[1] for edge in edges],
        "edge_bytes": [edge[2] for edge in edges],
        "bandwidth_bytes_per_s": np.full((m, m), bandwidth),
        "latency_s": np.full((m, m), latency),
    }
    return Instance(**(values | changes))


def check_policy(policy: Policy, device_names: tuple[str, ...] = ("cpu", "gpu", "npu")) -> None:
    """Check the laws of a policy on random graphs, without contention, and let the engine replay its plans.

    `device_names` are those of the random chips; give others to a policy whose argument names a device. Raises ScheduleError.
    """
    judge = Judge(f"policy {policy.name!r}", ScheduleError)
    for seed, instance in enumerate(_instances(device_names)):
        before = {item.name: np.copy(getattr(instance, item.name)) for item in fields(instance)}
        plan = policy.plan(instance, np.random.default_rng(seed))
        for name, kept in before.items():
            judge.law("the instance is left as it was", np.array_equal(kept, getattr(instance, name)), f"{name} has changed")
        check_plan(instance, plan, judge.who)
        again = policy.plan(instance, np.random.default_rng(seed))
        for item in fields(plan):
            a, b = getattr(plan, item.name), getattr(again, item.name)
            judge.law("one seed gives one plan", np.array_equal(a, b), f"seed {seed}: {item.name} is {a}, then {b}")
        _check_replay(instance, plan)


def _instances(device_names: tuple[str, ...]) -> Iterator[Instance]:
    """Random graphs of 0 to 24 tasks: some not on every device, some without length, some edges without bytes."""
    n_devices = len(device_names)
    for seed, n in enumerate((0, 1, 2, 9, 16, 24, 24, 24)):
        rng = np.random.default_rng(seed)
        cost_s = rng.uniform(1e-6, 9e-6, (n, n_devices)) * rng.choice([0.0, 1.0], (n, 1), p=[0.1, 0.9])
        able = rng.random((n, n_devices)) < 0.7
        able[np.arange(n), rng.integers(0, n_devices, n)] = True
        pairs = np.array([(u, v) for v in range(n) for u in range(v) if rng.random() < 2.5 / n], dtype=np.int64).reshape(-1, 2)
        yield Instance(
            task_names=tuple(f"op{i}" for i in range(n)),
            device_names=device_names,
            cost_s=np.where(able, cost_s, np.inf),
            edge_src=pairs[:, 0],
            edge_dst=pairs[:, 1],
            edge_bytes=1000.0 * rng.integers(0, 4, len(pairs)).astype(np.float64),
            bandwidth_bytes_per_s=rng.uniform(1e9, 4e9, (n_devices, n_devices)),
            latency_s=rng.uniform(0, 1e-6, (n_devices, n_devices)),
        )


def _check_replay(instance: Instance, plan: Plan) -> None:
    """Let the engine play a plan alone and with a memory that all tasks share, and check what comes out."""
    op_bytes = np.where(instance.cost_s.min(axis=1, initial=np.inf) > 0, 1000.0, 0.0)
    for problem in (
        placed_problem(instance, plan.assignment, plan.priority),
        placed_problem(instance, plan.assignment, plan.priority, "fair", op_bytes, 1e9),
    ):
        check_playback(problem, play(problem))

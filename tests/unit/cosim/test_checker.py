"""The checker of plans: takes what can be run, and refuses all else by law, task and numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.scheduling.base import make_policy
from cosim.scheduling.checker import check_plan
from cosim.scheduling.instance import Instance, Plan
from workloads.errors import ScheduleError

# A first op on the cpu, 1 s + 4 bytes at 2 bytes/s away from a second on the gpu; a third on the cpu.
GIVEN = Instance(
    task_names=("a", "b", "c"),
    device_names=("cpu", "gpu"),
    cost_s=np.array([[2.0, np.inf], [9.0, 4.0], [3.0, 3.0]]),
    edge_src=np.array([0]),
    edge_dst=np.array([1]),
    edge_bytes=np.array([4.0]),
    bandwidth_bytes_per_s=np.full((2, 2), 2.0),
    latency_s=np.full((2, 2), 1.0),
)
GOOD = Plan(np.array([0, 1, 0]), np.array([3.0, 1.0, 2.0]), np.array([0.0, 5.0, 2.0]), np.array([2.0, 9.0, 5.0]), 9.0)


def changed(**values):
    """The good plan with some entries of its arrays changed."""
    arrays = {}
    for name, entries in values.items():
        arrays[name] = getattr(GOOD, name).copy()
        for task, value in entries.items():
            arrays[name]["abc".index(task)] = value
    return replace(GOOD, **arrays)


def test_a_plan_that_can_be_run_is_taken():
    check_plan(GIVEN, GOOD)
    # On one device nothing is transferred.
    together = changed(assignment={"b": 0}, start_s={"b": 2.0, "c": 11.0}, end_s={"b": 11.0, "c": 14.0})
    check_plan(GIVEN, replace(together, makespan_s=14.0))


def test_an_empty_plan_is_taken():
    nothing = np.zeros(0)
    empty = Instance((), ("cpu",), np.zeros((0, 1)), [], [], [], [[0.0]], [[0.0]])
    check_plan(empty, Plan(np.zeros(0, np.int64), nothing, nothing, nothing, 0.0))


BROKEN = {
    "no such device": (changed(assignment={"c": 2}), "tasks are on devices of the chip; c is on 2 of 2"),
    "a device before the first": (changed(assignment={"c": -1}), "tasks are on devices of the chip; c is on -1 of 2"),
    "not supported": (changed(assignment={"a": 1}), r"tasks are where they can run; a is on 1, but runs on \[0\]"),
    "too short": (changed(end_s={"c": 4.0}), "a task takes its cost; c runs from 2.0 s to 4.0 s and costs 3.0 s"),
    "too long": (changed(end_s={"c": 5.5}), "a task takes its cost; c runs from 2.0 s to 5.5 s and costs 3.0 s"),
    "before time": (changed(start_s={"a": -1.0}, end_s={"a": 1.0}), "a task takes its cost; a runs from -1.0 s to 1.0 s"),
    "input on its way": (
        changed(start_s={"b": 4.0}, end_s={"b": 8.0}),
        "no task starts before its inputs arrive; b starts at 4.0 s, what a sends arrives at 5.0 s",
    ),
    "two at once": (
        changed(start_s={"c": 1.0}, end_s={"c": 4.0}),
        "a device runs one task at a time; c starts at 1.0 s, a ends at 2.0 s",
    ),
    "a makespan of hope": (replace(GOOD, makespan_s=8.0), "the makespan is the last end; 8.0 s against 9.0 s, where b ends"),
    "a makespan nan": (replace(GOOD, makespan_s=np.nan), "the makespan is the last end; nan s against 9.0 s"),
    "no number": (changed(priority={"b": np.nan}), r"a plan has a finite number for each task; priority is \[ *3. nan *2.\] at b"),
    "too few": (replace(GOOD, end_s=GOOD.end_s[:2]), r"a plan has a finite number for each task; end_s is \[2. 9.\]$"),
}


@pytest.mark.parametrize(("plan", "message"), BROKEN.values(), ids=BROKEN)
def test_a_plan_that_cannot_be_run_is_refused_by_task_and_numbers(plan, message):
    with pytest.raises(ScheduleError, match=f"^mine: {message}"):
        check_plan(GIVEN, plan, "mine")


def test_many_that_break_a_law_are_counted():
    with pytest.raises(ScheduleError, match=r"a task takes its cost; a runs from 0.0 s to 0.0 s and costs 2.0 s \(and 2 more\)"):
        check_plan(GIVEN, replace(GOOD, end_s=GOOD.start_s))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 12))
def test_whatever_starts_too_early_is_noticed(seed, n):
    rng = np.random.default_rng(seed)
    pairs = np.array([(u, v) for v in range(n) for u in range(v) if rng.random() < 0.3], np.int64).reshape(-1, 2)
    made = Instance(
        tuple(f"t{i}" for i in range(n)),
        ("cpu", "gpu"),
        rng.uniform(1, 2, (n, 2)),
        pairs[:, 0],
        pairs[:, 1],
        rng.uniform(0, 2, len(pairs)),
        np.ones((2, 2)),
        np.zeros((2, 2)),
    )
    plan = make_policy("greedy").plan(made, rng)
    check_plan(made, plan)
    task = int(np.argmax(plan.start_s))  # a greedy plan leaves no gap, so whatever starts sooner meets its input or another task
    early = replace(plan, start_s=plan.start_s.copy(), end_s=plan.end_s.copy())
    early.start_s[task] -= 1e-3
    early.end_s[task] -= 1e-3
    with pytest.raises(ScheduleError, match=f"t{task} starts at|t{task} runs from|the makespan is the last end"):
        check_plan(made, early)

"""What plans are worth to a goal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.scheduling.instance import Goal, Instance, plan_from_times
from cosim.scheduling.objective import energies_j, keeps_loss, loss_of, values_of, within_loss
from workloads.errors import ScheduleError


def instance(n=2, **changes):
    """Tasks of 1 s on the first and 2 s on the second of two devices."""
    values = {
        "task_names": tuple(f"t{i}" for i in range(n)),
        "device_names": ("cpu", "cim"),
        "cost_s": [[1.0, 2.0]] * n,
        "edge_src": np.zeros(0, np.int64),
        "edge_dst": np.zeros(0, np.int64),
        "edge_bytes": np.zeros(0),
        "bandwidth_bytes_per_s": np.ones((2, 2)),
        "latency_s": np.zeros((2, 2)),
    }
    return Instance(**(values | changes))


def plans(given):
    """Both tasks on the first device, one after the other; one on each."""
    return [
        plan_from_times(given, np.array([0, 0]), np.array([0.0, 1.0]), np.array([1.0, 2.0])),
        plan_from_times(given, np.array([0, 1]), np.array([0.0, 0.0]), np.array([1.0, 2.0])),
    ]


def test_weight_0_is_the_makespan_1_the_energy_and_a_half_the_root_of_their_product():
    energy_j = np.array([[8.0, 1.0], [7.0, 1.0]])
    for weight, expected in ((0.0, [2.0, 2.0]), (1.0, [16.0, 10.0]), (0.5, [32.0**0.5, 20.0**0.5])):
        given = instance(task_energy_j=energy_j, power_w=0.5, goal=Goal(energy_weight=weight))
        assert values_of(given, plans(given)) == pytest.approx(expected)


def test_energy_is_of_tasks_and_of_power_while_the_schedule_lasts():
    given = instance(task_energy_j=[[1.0, 2.0], [3.0, 4.0]], power_w=10.0)
    assert energies_j(given, np.array([[0, 1], [1, 0]]), np.array([1.0, 2.0])).tolist() == [1 + 4 + 10, 2 + 3 + 20]


def test_without_losses_nothing_is_lost():
    given = instance(goal=Goal(max_loss=0.0))
    assert loss_of(given, np.array([1, 1])) == 0.0
    assert keeps_loss(given, np.array([1, 1]))
    assert within_loss(given, np.array([1, 1])).tolist() == [1, 1]


def test_tasks_move_by_added_time_over_loss_avoided():
    # Leaving the array costs 1 s each, but avoids 3 % with the second task and 1 % with the others.
    given = instance(3, cost_s=[[2.0, 1.0]] * 3, task_loss=[[0.0, 0.01], [0.0, 0.03], [0.0, 0.01]], goal=Goal(max_loss=0.02))
    assert within_loss(given, np.array([1, 1, 1])).tolist() == [1, 0, 1]
    tighter = instance(3, cost_s=[[2.0, 1.0]] * 3, task_loss=given.task_loss, goal=Goal(max_loss=0.01))
    assert within_loss(tighter, np.array([1, 1, 1])).tolist() == [0, 0, 1]


def test_of_places_that_lose_the_same_the_fastest_that_supports_the_task_is_taken():
    given = instance(1, cost_s=[[np.inf, 5.0]], task_loss=[[0.0, 0.5]], goal=Goal(max_loss=0.5))
    assert within_loss(given, np.array([1])).tolist() == [1]
    equal = instance(1, cost_s=[[3.0, 5.0]], task_loss=[[0.1, 0.1]], goal=Goal(max_loss=0.1))
    assert within_loss(equal, np.array([1])).tolist() == [1]  # nothing to mend


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_repaired_keeps_the_limit_or_nothing_could(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    cost_s = np.where(rng.random((n, 2)) < 0.3, np.inf, rng.integers(1, 5, (n, 2)))
    cost_s[np.arange(n), rng.integers(0, 2, n)] = 1.0
    task_loss = rng.integers(0, 3, (n, 2)) / 100
    given = instance(n, cost_s=cost_s, task_loss=task_loss, goal=Goal(max_loss=float(rng.integers(0, n + 1)) / 100))
    start = np.array([rng.choice(np.flatnonzero(np.isfinite(row))) for row in cost_s])
    least = np.where(np.isfinite(cost_s), task_loss, np.inf).min(axis=1).sum()
    if least <= given.goal.max_loss * (1 + 1e-12):
        moved = within_loss(given, start)
        assert keeps_loss(given, moved)
        assert np.isfinite(cost_s[np.arange(n), moved]).all()
    else:
        with pytest.raises(ScheduleError, match="no placement loses"):
            within_loss(given, start)

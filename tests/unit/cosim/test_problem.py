"""What a problem refuses, and what it derives for the engines."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.engine.problem import Problem, topological_order
from workloads.errors import CosimError, ScheduleError, SimulationError


def problem(**changes):
    """Two tasks on two devices, 8 bytes between them, one memory of 4 bytes/s that all flows load."""
    values = {
        "n_devices": 2,
        "cost_s": [1.0, 2.0],
        "assignment": [0, 1],
        "priority": [2.0, 1.0],
        "flow_bytes": [0.0, 6.0],
        "edge_src": [0],
        "edge_dst": [1],
        "edge_latency_s": [0.5],
        "edge_bytes": [8.0],
        "edge_cap_bytes_per_s": [2.0],
        "capacity_bytes_per_s": [4.0],
        "membership": np.ones((3, 1), bool),
        "mode": "fair",
        "task_names": ("conv1", "fc"),
    }
    return Problem(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"mode": "slow"}, SimulationError, "mode 'slow' is not known; choose one of: none, fifo, fair"),
        ({"assignment": [0, 2]}, ScheduleError, r"task 1 \('fc'\) is placed on device 2; there are 2"),
        ({"assignment": [-1, 0]}, ScheduleError, r"task 0 \('conv1'\) is placed on device -1"),
        ({"assignment": [0.5, 1.0]}, SimulationError, "assignment holds float64; it must hold int64"),
        ({"cost_s": [1.0, np.inf]}, ScheduleError, r"task 1 \('fc'\) has no cost on device 1: it cannot run there"),
        ({"cost_s": [np.nan, 1.0]}, ScheduleError, r"task 0 \('conv1'\) has no cost"),
        ({"cost_s": [-1.0, 1.0]}, SimulationError, r"task 0 \('conv1'\) has cost_s = -1.0; it must be 0 or more"),
        ({"cost_s": [[1.0, 1.0]]}, SimulationError, "cost_s has shape"),
        ({"cost_s": [1.0, None]}, SimulationError, "cost_s holds object"),
        ({"cost_s": [1.0, "x"]}, SimulationError, "cost_s holds"),
        ({"cost_s": [[1.0], [1.0, 2.0]]}, SimulationError, "cost_s is not an array of numbers"),
        ({"priority": [1.0, np.nan]}, ScheduleError, r"task 1 \('fc'\) has priority nan"),
        ({"flow_bytes": [0.0, -6.0]}, SimulationError, r"task 1 \('fc'\) has flow_bytes = -6.0"),
        ({"edge_dst": [2]}, SimulationError, r"edge_dst\[0\] = 2 is no task; there are 2"),
        ({"edge_bytes": [-8.0]}, SimulationError, r"edge_bytes\[0\] = -8.0 \(edge from task 0 \('conv1'\) to task 1 \('fc'\)\)"),
        ({"edge_latency_s": [np.inf]}, SimulationError, r"edge_latency_s\[0\] = inf"),
        ({"edge_cap_bytes_per_s": [0.0]}, SimulationError, r"edge_cap_bytes_per_s\[0\] = 0.0 .*it must be above 0"),
        ({"edge_dst": [0]}, SimulationError, r"cycle, so task 0 \('conv1'\) could never start"),
        ({"capacity_bytes_per_s": [0.0]}, SimulationError, r"capacity_bytes_per_s\[0\] = 0.0; it must be above 0"),
        ({"capacity_bytes_per_s": [np.nan]}, SimulationError, r"capacity_bytes_per_s\[0\] = nan"),
        ({"membership": np.ones((2, 1), bool)}, SimulationError, r"membership has shape \(2, 1\); .* it must be \(3, 1\)"),
        ({"membership": np.ones((3, 1))}, SimulationError, "membership holds float64; it must hold bool"),
        ({"task_names": ("conv1",)}, SimulationError, "task_names has 1 entries; give 2 or none"),
        ({"cost_s": [1.0, 1e300], "flow_bytes": [0.0, 1e-300]}, SimulationError, "at a rate that rounds to 0"),
    ],
)
def test_what_cannot_be_played_is_refused_by_name(changes, error, message):
    with pytest.raises(error, match=message):
        problem(**changes)


def test_a_cycle_is_found_behind_tasks_that_could_run():
    with pytest.raises(CosimError, match="cycle, so task 1 could never start"):
        Problem(
            1,
            [1.0] * 3,
            [0] * 3,
            [1.0] * 3,
            [0.0] * 3,
            [0, 1, 2],
            [1, 2, 1],
            [0.0] * 3,
            [0.0] * 3,
            [1.0] * 3,
            [],
            np.ones((6, 0), bool),
            "none",
        )


def test_an_op_takes_at_most_its_bytes_over_its_time_and_an_edge_its_link():
    given = problem()
    assert given.cap_bytes_per_s.tolist() == [np.inf, 3.0, 2.0]
    assert problem(cost_s=[1.0, 0.0]).cap_bytes_per_s.tolist() == [np.inf, np.inf, 2.0]


def test_bytes_compete_only_in_mode_fair():
    assert problem().shared_bytes.tolist() == [0.0, 6.0, 8.0]
    assert problem(mode="fifo").shared_bytes.tolist() == [0.0, 0.0, 0.0]
    assert problem(mode="fifo").moved_bytes.tolist() == [0.0, 6.0, 8.0]


def test_bytes_over_nothing_or_over_an_unlimited_memory_do_not_compete():
    assert problem(membership=np.zeros((3, 1), bool)).shared_bytes.tolist() == [0.0, 0.0, 0.0]
    assert problem(capacity_bytes_per_s=[np.inf]).shared_bytes.tolist() == [0.0, 0.0, 0.0]


def test_what_does_not_compete_is_a_delay():
    # Task: its cost. Edge: 0.5 s, and 8 bytes at 2 bytes/s where they do not compete.
    assert problem().delay_s.tolist() == [1.0, 0.0, 0.5]
    assert problem(mode="none").delay_s.tolist() == [1.0, 2.0, 4.5]


def test_an_edge_within_a_device_moves_nothing_whatever_its_link():
    given = problem(assignment=[1, 1], edge_cap_bytes_per_s=[0.0])
    assert given.edge_is_local.tolist() == [True]
    assert given.moved_bytes.tolist() == [0.0, 6.0, 0.0]
    assert given.delay_s.tolist() == [1.0, 0.0, 0.0]


def test_topological_order_takes_the_smallest_id_first():
    assert topological_order(4, [3, 3], [0, 1]).tolist() == [2, 3, 0, 1]
    assert topological_order(2, [0, 1], [1, 0]).tolist() == []

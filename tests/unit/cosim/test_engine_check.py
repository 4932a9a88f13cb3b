"""The checker finds each kind of lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosim.engine.check import check_playback
from cosim.engine.problem import Problem
from cosim.engine.simpy_engine import play
from workloads.errors import SimulationError


def diamond(mode):
    """Task 0 feeds 1 and 2 on device 1 (1 first), which feed 3; 8 bytes an edge, 4 bytes/s a link, 4 bytes/s of memory."""
    return Problem(
        n_devices=2,
        cost_s=[1.0, 2.0, 2.0, 1.0],
        assignment=[0, 1, 1, 0],
        priority=[4.0, 3.0, 2.0, 1.0],
        flow_bytes=[0.0, 0.0, 0.0, 0.0],
        edge_src=[0, 0, 1, 2],
        edge_dst=[1, 2, 3, 3],
        edge_latency_s=[0.0] * 4,
        edge_bytes=[8.0] * 4,
        edge_cap_bytes_per_s=[4.0] * 4,
        capacity_bytes_per_s=[4.0],
        membership=np.ones((8, 1), bool),
        mode=mode,
    )


def changed(array, index, value):
    """A copy of an array with one entry changed."""
    copy = array.copy()
    copy[index] = value
    return copy


@pytest.mark.parametrize(("mode", "makespan_s"), [("none", 10.0), ("fifo", 10.0), ("fair", 12.0)])
def test_a_true_playback_passes(mode, makespan_s):
    # none: task 0 to 1, inputs at 3, tasks 1 and 2 to 5 and 7, last input at 9, end 10.
    # fifo: inputs at 3 and 5, tasks to 5 and 7, the bus to 7 and 9, end 10.
    # fair: both inputs at 5, tasks to 7 and 9, last input at 11, end 12.
    played = play(diamond(mode))
    check_playback(diamond(mode), played)
    assert played.makespan_s == makespan_s


LIES = [
    ("none", {"makespan_s": 9.0}, "the makespan is 9.0 s, but the last task ends at 10.0 s"),
    ("none", {"start_s": (0, -1.0)}, "task 0 runs from -1.0 s"),
    ("none", {"end_s": (3, np.nan)}, "task 3 runs from 9.0 s to nan s"),
    ("none", {"start_s": (0, 0.5)}, "task 0 takes 0.5 s; alone it would take 1.0 s"),
    ("none", {"edge_end_s": (0, 2.0)}, "edge 0 takes 1.0 s; alone it would take 2.0 s"),
    ("none", {"edge_start_s": (0, 0.5), "edge_end_s": (0, 2.5)}, "edge 0 starts before task 0 has ended"),
    ("none", {"start_s": (1, 2.5), "end_s": (1, 4.5)}, "task 1 starts before its input over edge 0 has arrived"),
    ("none", {"start_s": (2, 4.0), "end_s": (2, 6.0)}, "device 1 does two things at once at 4.0 s: task 1 and task 2"),
    ("none", {"moved_bytes": (0, 24.0)}, "resource 0 moved 24.0 bytes; its flows have 32.0"),
]


@pytest.mark.parametrize(("mode", "lies", "message"), LIES)
def test_a_false_playback_is_refused(mode, lies, message):
    played = play(diamond(mode))
    fields = {name: changed(getattr(played, name), *lie) if isinstance(lie, tuple) else lie for name, lie in lies.items()}
    with pytest.raises(SimulationError, match=message):
        check_playback(diamond(mode), replace(played, **fields))


def test_passing_over_a_task_of_higher_priority_is_refused():
    given = diamond("none")
    swapped = replace(given, priority=np.array([4.0, 2.0, 3.0, 1.0]))
    with pytest.raises(SimulationError, match="task 2 is ready and of higher rank, but task 1 starts"):
        check_playback(swapped, play(given))


def late_start(shift_s):
    """Task 2 and what follows it, shifted."""
    played = play(diamond("none"))
    tasks, edges = shift_s * np.array([0, 0, 1, 1]), shift_s * np.array([0, 0, 0, 1])
    return replace(
        played,
        start_s=played.start_s + tasks,
        end_s=played.end_s + tasks,
        edge_start_s=played.edge_start_s + edges,
        edge_end_s=played.edge_end_s + edges,
        makespan_s=played.makespan_s + shift_s,
    )


def test_an_idle_device_beside_a_ready_task_is_refused():
    check_playback(diamond("none"), late_start(0.0))
    with pytest.raises(SimulationError, match="device 1 idles while task 2 is ready"):
        check_playback(diamond("none"), late_start(1.0))


def test_two_transfers_on_the_bus_at_once_are_refused():
    with pytest.raises(SimulationError, match=r"the bus does two things at once at 1.0 s: edge 0 and edge 1"):
        check_playback(diamond("fifo"), play(diamond("none")))


def test_more_bytes_than_the_memory_can_move_are_refused():
    # Without contention both transfers move 8 bytes from 1 s to 3 s: 16 bytes in 2 s over 4 bytes/s.
    with pytest.raises(SimulationError, match=r"resource 0 moves more than 4.0 bytes/s from 1.0 s to 3.0 s"):
        check_playback(diamond("fair"), play(diamond("none")))


def test_a_playback_of_another_size_is_refused():
    played = play(diamond("none"))
    with pytest.raises(SimulationError, match="7 starts and 8 ends for 4 tasks and 4 edges"):
        check_playback(diamond("none"), replace(played, start_s=played.start_s[:3]))

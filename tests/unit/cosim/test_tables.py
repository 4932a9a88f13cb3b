"""Tables: costs before placing, and what a placement makes of them, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosim.engine import compiled
from cosim.engine.tables import Tables, rows_of
from workloads.errors import ScheduleError, SimulationError


def tables(mode="none", **changes):
    """Task 0 makes 8 bytes that task 1 reads; two devices; a fast memory of 4 bytes/s and a slow one of 2."""
    values = {
        "fixed_s": [[1, 2], [1, 2]],
        "body_s": [[3, 1], [0, np.inf]],
        "read_bytes": [[[0, 4], [0, 4]], [[8, 0], [10, 0]]],
        "own_bytes": [[[0, 4], [0, 4]], [[0, 0], [3, 0]]],
        "write_bytes": [[[8, 0], [8, 0]], [[0, 2], [0, 2]]],
        "memory_bytes_per_s": [4, 2],
        "capacity_bytes_per_s": [4, 2],
        "link_bytes_per_s": [16, 2],
        "link_is_shared": True,
        "edge_src": [0],
        "edge_dst": [1],
        "edge_bytes": [8],
        "edge_memory": [0],
        "latency_s": [[0, 0.5], [0.5, 0]],
        "edge_bytes_per_s": [[16, 2], [2, 2]],
        "edges_are_input": True,
        "mode": mode,
    }
    return Tables(**(values | changes))


def placed(given, *devices):
    return given.placed(np.array(devices), np.array([2.0, 1.0]))


def test_a_task_takes_its_fixed_time_and_the_longest_of_body_memories_and_link():
    problem = placed(tables(), 0, 0)
    # Task 0: body 3 s, memories 8/4 = 2 s and 4/2 = 2 s, link 12/16 s. Task 1: body 0 s, memories 8/4 and 2/2 s.
    assert problem.cost_s.tolist() == [1 + 3, 1 + 2]
    assert problem.flow_bytes.tolist() == [8, 8]  # of equally slow memories the first counts


def test_an_input_that_crosses_is_taken_off_what_its_task_reads_itself():
    given = tables(body_s=[[3, 1], [0, 0]])
    assert given.placed_reads(np.array([0, 0])).tolist() == [[0, 4], [8, 0]]
    assert given.placed_reads(np.array([0, 1])).tolist() == [[0, 4], [3, 0]]  # 10 - 8, but at least its own 3
    assert given.placed_reads(np.array([1, 1])).tolist() == [[0, 4], [10, 0]]
    # Task 1 on device 1: 3/4 s and 2/2 s of memories, (3 + 2)/2 s of link.
    assert placed(given, 0, 1).cost_s.tolist() == [4, 2 + 2.5]


def test_an_edge_takes_the_slowest_of_links_and_its_memory():
    problem = placed(tables(body_s=[[3, 1], [0, 0]]), 0, 1)
    assert (problem.edge_latency_s.tolist(), problem.edge_cap_bytes_per_s.tolist()) == ([0.5], [2])
    slow = placed(tables(memory_bytes_per_s=[1, 2], body_s=[[3, 1], [0, 0]]), 0, 1)
    assert slow.edge_cap_bytes_per_s.tolist() == [1]


def test_flows_load_their_memory_and_the_link_of_their_device():
    problem = placed(tables("fair", body_s=[[3, 1], [0, 0]]), 1, 0)
    # columns: two memories, two links
    assert problem.capacity_bytes_per_s.tolist() == [4, 2, 16, 2]
    assert problem.membership.astype(int).tolist() == [[1, 0, 0, 1], [0, 1, 1, 0], [1, 0, 1, 0]]
    alone = placed(tables("fair", link_is_shared=False), 0, 0)
    assert alone.membership.shape == (3, 2)


def test_one_call_places_and_plays():
    given = tables()
    makespan_s, out = compiled.play_tables(given, np.array([0, 0]), np.array([2.0, 1.0]))
    assert makespan_s == 4 + 3
    assert out[:6].tolist() == [0, 4, 4, 7, 4, 4]  # starts, ends, and the edge within a device


def test_a_batch_gives_each_makespan_and_infinity_where_a_task_cannot_run():
    found = compiled.makespans(tables(), np.array([[0, 0], [1, 0], [0, 1]]), np.array([[2.0, 1.0]] * 3))
    # [1, 0]: task 0 takes 2 + max(1, 2, 12/2) = 8 s, then 0.5 + 8/2 s of transfer, then 1 + max(0, 0/4, 2/2) = 2 s.
    assert found.tolist() == [7, 8 + 4.5 + 2, np.inf]


def test_chips_and_placements_go_in_one_call():
    slow = tables(fixed_s=[[10, 20], [10, 20]])
    found = compiled.makespans_of_chips([tables(), slow], np.array([[0, 0], [1, 0]]), np.array([[2.0, 1.0]] * 2))
    assert found.tolist() == [[7, 14.5], [7 + 9 + 9, 14.5 + 18 + 9]]
    assert compiled.makespans_of_chips([], np.zeros((3, 2), int), np.zeros((3, 2))).shape == (0, 3)


def test_no_task_starts_before_its_release():
    late = replace(tables(), release_s=np.array([5.0, 20.0]))
    assert compiled.play_tables(late, np.array([0, 0]), np.array([2.0, 1.0]))[1][:4].tolist() == [5, 20, 9, 23]
    shared = replace(tables("fair"), release_s=np.array([5.0, 20.0]))
    assert compiled.play_tables(shared, np.array([0, 0]), np.array([2.0, 1.0]))[1][:4].tolist() == [5, 20, 9, 23]


def test_what_does_not_fit_is_refused():
    with pytest.raises(SimulationError, match=r"body_s has shape \(2, 1\); with 2 tasks, 2 devices, .* it must be \(2, 2\)"):
        tables(body_s=[[1], [2]])
    with pytest.raises(ScheduleError, match=r"task 1 has no cost on device 1"):
        placed(tables(), 0, 1)
    with pytest.raises(ScheduleError, match=r"task 0 is placed on device 7; there are 2"):
        placed(tables(), 7, 0)


def test_rows_hold_the_edges_of_each_task_in_edge_order():
    first, edges = rows_of(3, np.array([2, 0, 2, 0]))
    assert (first.tolist(), edges.tolist()) == ([0, 2, 2, 4], [1, 3, 0, 2])

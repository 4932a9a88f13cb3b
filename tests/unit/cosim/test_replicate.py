"""A placed problem, many times: every copy is the template, later, and nothing connects two of them but a limit in flight."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.engine import compiled, simpy_engine
from cosim.engine.problem import Problem
from cosim.simulation import replicate as module
from cosim.simulation.replicate import replicate
from workloads.errors import SimulationError


def template(mode="none"):
    """Two networks: 0 → 1 across two devices, and 2 alone."""
    return Problem(
        n_devices=2,
        cost_s=np.array([2.0, 3.0, 1.0]),
        assignment=np.array([0, 1, 1]),
        priority=np.array([5.0, 1.0, 3.0]),
        flow_bytes=np.array([4.0, 6.0, 0.0]),
        edge_src=np.array([0]),
        edge_dst=np.array([1]),
        edge_latency_s=np.array([0.5]),
        edge_bytes=np.array([2.0]),
        edge_cap_bytes_per_s=np.array([4.0]),
        capacity_bytes_per_s=np.array([3.0, np.inf]),
        membership=np.array([[1, 0], [1, 1], [0, 1], [1, 0]], np.bool_),
        mode=mode,
    )


FIRST_OP = np.array([0, 2, 3])


def ints(*values):
    return np.array(values, np.int64)


def test_tasks_and_edges_are_those_of_their_network():
    copy = replicate(template(), FIRST_OP, ints(1, 0, 0), np.array([0.0, 1.0, 2.0]), ints(0, 1, 2))
    problem = copy.problem
    assert copy.task.tolist() == [2, 0, 1, 0, 1]
    assert copy.inference.tolist() == [0, 1, 1, 2, 2]
    assert copy.first_task.tolist() == [0, 1, 3, 5]
    assert copy.edge.tolist() == [0, 0]
    assert problem.edge_src.tolist() == [1, 3]
    assert problem.edge_dst.tolist() == [2, 4]
    assert problem.cost_s.tolist() == [1.0, 2.0, 3.0, 2.0, 3.0]
    assert problem.membership[: problem.n_tasks].tolist() == template().membership[copy.task].tolist()
    assert problem.membership[problem.n_tasks :].tolist() == [[True, False]] * 2
    assert problem.release_s.tolist() == [0.0, 1.0, 0.0, 2.0, 0.0]  # only what has no input waits for the arrival


def test_the_place_of_an_inference_counts_before_the_priority_of_a_task():
    priority = replicate(template(), FIRST_OP, ints(0, 1, 0), np.zeros(3), ints(2, 0, 1)).problem.priority
    order = np.argsort(-priority).tolist()
    assert order == [2, 3, 4, 0, 1]  # inference 1 (task 2), then 2 (tasks 3, 4), then 0; task 0 of the template before task 1
    assert (priority == np.round(priority)).all()
    assert len(set(priority.tolist())) == 5


def test_a_copy_alone_runs_as_the_template_later():
    plain = template()
    whole = compiled.play(plain)
    copy = replicate(plain, np.array([0, 3]), ints(0, 0), np.array([0.0, 1024.0]), ints(0, 1))
    start_s, end_s = copy.span_s(compiled.play(copy.problem))
    assert end_s.tolist() == [whole.makespan_s, 1024.0 + whole.makespan_s]
    assert start_s.tolist() == [0.0, 1024.0]


def test_mode_none_is_played_bit_for_bit_though_by_the_other_loop():
    plain = template()
    whole = compiled.play(plain)
    copy = replicate(plain, np.array([0, 3]), ints(0), np.zeros(1), ints(0))
    assert copy.problem.mode == "fair"
    played = compiled.play(copy.problem)
    for name in ("start_s", "end_s", "edge_start_s", "edge_end_s"):
        assert getattr(played, name).tobytes() == getattr(whole, name).tobytes()


def test_one_that_waits_starts_when_the_other_ends():
    copy = replicate(template(), FIRST_OP, ints(0, 1, 0), np.zeros(3), ints(0, 1, 2), waits_for=ints(-1, 0, 1))
    assert copy.edge.size == 2
    assert copy.problem.n_edges == 4
    assert copy.problem.edge_src[2:].tolist() == [1, 2]  # last task of each
    assert copy.problem.edge_dst[2:].tolist() == [2, 3]  # first task of the one that waits for it
    start_s, end_s = copy.span_s(compiled.play(copy.problem))
    assert start_s[1:].tolist() == end_s[:-1].tolist()


@settings(max_examples=40, deadline=None)
@given(
    network=st.lists(st.integers(0, 1), min_size=1, max_size=8),
    mode=st.sampled_from(["none", "fair"]),
    limit=st.one_of(st.none(), st.integers(1, 3)),
    data=st.data(),
)
def test_engines_agree_on_copies_and_bytes_are_conserved(network, mode, limit, data):
    n = len(network)
    release_s = np.sort(data.draw(st.lists(st.floats(0, 20), min_size=n, max_size=n)))
    waits = None if limit is None else np.where(np.arange(n) >= limit, np.arange(n) - limit, -1)
    place = np.array(data.draw(st.permutations(range(n)))) if limit is None else np.arange(n)
    copy = replicate(template(mode), FIRST_OP, ints(*network), release_s, place, waits_for=waits)
    one, other = compiled.play(copy.problem), simpy_engine.play(copy.problem)
    for name in ("start_s", "end_s", "edge_start_s", "edge_end_s"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
    per_network = np.array([[4.0 + 6.0 + 2.0, 6.0], [0.0, 0.0]])
    assert one.moved_bytes == pytest.approx(per_network[network].sum(axis=0), rel=1e-6)
    start_s, end_s = copy.span_s(one)
    assert (start_s >= release_s - 1e-12).all()
    if limit is not None:
        assert all(start_s[i] >= end_s[i - limit] - 1e-9 for i in range(limit, n))


def test_what_would_not_fit_the_memory_is_refused_with_a_number_that_does(monkeypatch):
    monkeypatch.setattr(module, "MAX_FLOWS", 10)
    with pytest.raises(SimulationError, match="5 inferences are 15 ops and edges, too many at once; choose at most 3 inferences"):
        replicate(template(), FIRST_OP, ints(0, 0, 0, 0, 0), np.zeros(5), np.arange(5))

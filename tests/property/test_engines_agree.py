"""Two engines, one semantics: not a bit of difference between the SimPy processes and the compiled loop."""

from __future__ import annotations

import os

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.engine import compiled, simpy_engine
from cosim.engine.check import check_playback
from cosim.engine.problem import Problem
from cosim.engine.tables import Tables

IS_PLAIN = os.environ.get("NUMBA_DISABLE_JIT") == "1"
many = settings(max_examples=60 if IS_PLAIN else 2000, deadline=None)
some = settings(max_examples=20 if IS_PLAIN else 300, deadline=None)
seeds = st.integers(0, 2**32 - 1)
modes = st.sampled_from(["none", "fifo", "fair"])


def numbers(rng, n, *, ties):
    """Random times or bytes; with ties small integers, so that much happens at one instant, and some of no length."""
    return rng.integers(0, 4, n).astype(float) if ties else rng.choice([0.0, 1.0], n, p=[0.1, 0.9]) * rng.uniform(0.1, 3, n)


def random_problem(seed, mode):
    """A random placed graph: several resources, some infinite; some tasks released late; ties in half of the cases."""
    rng = np.random.default_rng(seed)
    ties = bool(rng.integers(2))
    n, m, r = int(rng.integers(0, 30)), int(rng.integers(1, 5)), int(rng.integers(0, 4))
    pairs = np.array([(u, v) for v in range(n) for u in range(v) if rng.random() < 4 / n], int).reshape(-1, 2)
    e = len(pairs)
    capacity = rng.choice([0.5, 1.0, 2.0, np.inf], r) if ties else rng.uniform(0.5, 4, r)
    return Problem(
        n_devices=m,
        cost_s=numbers(rng, n, ties=ties),
        assignment=rng.integers(0, m, n),
        priority=rng.integers(0, 5, n).astype(float) if ties else rng.random(n),
        flow_bytes=numbers(rng, n, ties=ties) * rng.integers(0, 2, n),
        edge_src=pairs[:, 0],
        edge_dst=pairs[:, 1],
        edge_latency_s=numbers(rng, e, ties=ties) * rng.integers(0, 2, e),
        edge_bytes=numbers(rng, e, ties=ties),
        edge_cap_bytes_per_s=rng.choice([0.5, 1.0, np.inf], e) if ties else rng.uniform(0.5, 3, e),
        capacity_bytes_per_s=capacity,
        membership=rng.random((n + e, r)) < 0.7,
        mode=mode,
        release_s=numbers(rng, n, ties=ties) * rng.integers(0, 2, n) * rng.integers(0, 2),
    )


def random_tables(seed, mode):
    """Random costs of a graph on a chip of several memories, with a placement."""
    rng = np.random.default_rng(seed)
    n, m, k = int(rng.integers(1, 20)), int(rng.integers(1, 5)), int(rng.integers(1, 4))
    pairs = np.array([(u, v) for v in range(n) for u in range(v) if rng.random() < 3 / n], int).reshape(-1, 2)
    own = rng.uniform(0, 1, (n, m, k))
    tables = Tables(
        fixed_s=rng.uniform(0, 0.1, (n, m)),
        body_s=rng.uniform(0.1, 2, (n, m)),
        read_bytes=own + rng.uniform(0, 2, (n, m, k)),
        own_bytes=own,
        write_bytes=rng.uniform(0, 1, (n, m, k)),
        memory_bytes_per_s=rng.uniform(1, 4, k),
        capacity_bytes_per_s=np.where(rng.random(k) < 0.8, rng.uniform(0.5, 4, k), np.inf),
        link_bytes_per_s=rng.uniform(1, 9, m),
        link_is_shared=bool(rng.integers(2)),
        edge_src=pairs[:, 0],
        edge_dst=pairs[:, 1],
        edge_bytes=rng.uniform(0, 2, len(pairs)),
        edge_memory=rng.integers(0, k, len(pairs)),
        latency_s=rng.uniform(0, 0.2, (m, m)),
        edge_bytes_per_s=rng.uniform(1, 5, (m, m)),
        edges_are_input=bool(rng.integers(2)),
        mode=mode,
        release_s=rng.uniform(0, 2, n) * rng.integers(0, 2),
    )
    return tables, rng.integers(0, m, n), rng.random(n)


def assert_same(a, b):
    """Two playbacks do not differ in a single bit."""
    for name in ("start_s", "end_s", "edge_start_s", "edge_end_s", "moved_bytes"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert (a.makespan_s, a.n_events) == (b.makespan_s, b.n_events)


@many
@given(seeds, modes)
def test_both_engines_give_the_same_bits(seed, mode):
    problem = random_problem(seed, mode)
    played = compiled.play(problem)
    assert_same(simpy_engine.play(problem), played)
    check_playback(problem, played)


@some
@given(seeds, modes)
def test_placing_and_playing_in_one_compiled_call_gives_the_same_bits_too(seed, mode):
    tables, assignment, priority = random_tables(seed, mode)
    played = simpy_engine.play(tables.placed(assignment, priority))
    makespan_s, out = compiled.play_tables(tables, assignment, priority)
    times = np.concatenate([played.start_s, played.end_s, played.edge_start_s, played.edge_end_s])
    np.testing.assert_array_equal(out[: times.size], times)
    assert makespan_s == played.makespan_s
    batch = compiled.makespans(tables, np.stack([assignment, assignment[::-1]]), np.stack([priority, priority]))
    assert batch.tolist() == [makespan_s, compiled.play_tables(tables, assignment[::-1].copy(), priority)[0]]

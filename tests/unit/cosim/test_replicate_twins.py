"""Many inferences of a placed problem beside twins that copy task by task, and that play with a plain list of ready tasks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.engine import compiled
from cosim.engine.problem import Problem
from cosim.simulation.load_measure import busy_by_device, carried_s
from cosim.simulation.replicate import replicate

N_DEVICES, N_RESOURCES = 3, 2


def networks(rng, sizes, mode):
    """Networks of random edges side by side, with numbers that are multiples of 1/8; returns the problem and first_op."""
    first = np.concatenate([[0], np.cumsum(sizes)])
    edges = [
        (first[k] + src, first[k] + dst) for k, size in enumerate(sizes) for dst in range(size) for src in range(dst) if rng.random() < 0.5
    ]
    n, e = int(first[-1]), len(edges)
    eighths = {name: rng.integers(1, 40, size) / 8 for name, size in (("cost", n), ("flow", n), ("latency", e), ("bytes", e))}
    return Problem(
        n_devices=N_DEVICES,
        cost_s=eighths["cost"],
        assignment=rng.integers(0, N_DEVICES, n),
        priority=rng.integers(-3, 4, n).astype(np.float64),
        flow_bytes=eighths["flow"],
        edge_src=np.array([src for src, _ in edges], np.int64),
        edge_dst=np.array([dst for _, dst in edges], np.int64),
        edge_latency_s=eighths["latency"],
        edge_bytes=eighths["bytes"],
        edge_cap_bytes_per_s=np.full(e, 2.0),
        capacity_bytes_per_s=np.full(N_RESOURCES, 5.0),
        membership=rng.random((n + e, N_RESOURCES)) < 0.5,
        mode=mode,
    ), first.astype(np.int64)


@st.composite
def cases(draw, mode=None):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    template, first_op = networks(rng, sizes, mode or draw(st.sampled_from(["none", "fair", "fifo"])))
    n = draw(st.integers(1, 6))
    network = rng.integers(0, len(sizes), n)
    release_s = np.sort(rng.integers(0, 60, n) / 8)
    place = rng.permutation(n)
    limit = draw(st.one_of(st.none(), st.integers(1, 3)))
    waits_for = None if limit is None else np.where(np.arange(n) >= limit, np.arange(n) - limit, -1)
    return template, first_op, network, release_s, place, waits_for


def by_hand(template, first_op, network, release_s, waits_for):
    """Return tasks [(inference, template task)], edges [(src, dst, template edge)], barriers [(src, dst)] and releases."""
    tasks = [(i, t) for i, k in enumerate(network) for t in range(first_op[k], first_op[k + 1])]
    number = {pair: at for at, pair in enumerate(tasks)}
    ends = list(zip(template.edge_src.tolist(), template.edge_dst.tolist(), strict=True))
    edges = [
        (number[i, src], number[i, dst], e)
        for i, k in enumerate(network)
        for e, (src, dst) in enumerate(ends)
        if first_op[k] <= dst < first_op[k + 1]
    ]
    has_input, has_output = {dst for _, dst in ends}, {src for src, _ in ends}
    barriers = [
        (number[before, src], number[i, dst])
        for i, before in enumerate([] if waits_for is None else waits_for.tolist())
        if before >= 0
        for dst in range(first_op[network[i]], first_op[network[i] + 1])
        if dst not in has_input
        for src in range(first_op[network[before]], first_op[network[before] + 1])
        if src not in has_output
    ]
    releases = [0.0 if t in has_input else release_s[i] for i, t in tasks]
    return tasks, edges, barriers, releases


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_the_problem_is_that_of_a_copy_task_by_task(case):
    template, first_op, network, release_s, place, waits_for = case
    copy = replicate(template, first_op, network, release_s, place, waits_for=waits_for)
    tasks, edges, barriers, releases = by_hand(template, first_op, network, release_s, waits_for)
    problem, m = copy.problem, len(edges)
    assert list(zip(copy.inference.tolist(), copy.task.tolist(), strict=True)) == tasks
    assert list(zip(problem.edge_src[:m].tolist(), problem.edge_dst[:m].tolist(), copy.edge.tolist(), strict=True)) == edges
    assert sorted(zip(problem.edge_src[m:].tolist(), problem.edge_dst[m:].tolist(), strict=True)) == sorted(barriers)
    assert problem.release_s.tolist() == releases
    for name in ("cost_s", "assignment", "flow_bytes"):
        assert getattr(problem, name).tolist() == [getattr(template, name)[t] for _, t in tasks]
    for name in ("edge_latency_s", "edge_bytes", "edge_cap_bytes_per_s"):
        assert getattr(problem, name)[:m].tolist() == [getattr(template, name)[e] for *_, e in edges]
    rows = [t for _, t in tasks] + [template.n_tasks + e for *_, e in edges]
    assert problem.membership[: len(rows)].tolist() == template.membership[rows].tolist()
    assert not problem.membership[len(rows) :].any()
    assert not problem.edge_bytes[m:].any()
    assert not problem.edge_latency_s[m:].any()


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_tasks_are_dispatched_by_place_then_priority_then_number(case):
    template, first_op, network, release_s, place, _ = case
    copy = replicate(template, first_op, network, release_s, place)
    pairs = list(zip(copy.inference.tolist(), copy.task.tolist(), strict=True))
    expected = sorted(range(len(pairs)), key=lambda a: (place[pairs[a][0]], -template.priority[pairs[a][1]], pairs[a][1]))
    assert np.argsort(-copy.problem.priority).tolist() == expected


def played_by_hand(template, tasks, edges, barriers, releases, key):
    """Start and end of each task: at each instant, all that ends, then each idle device its first ready task; nothing contends."""
    n, device = len(tasks), [int(template.assignment[t]) for _, t in tasks]
    ready_s, left = list(releases), [0] * n
    leads = {a: [] for a in range(n)}
    for src, dst, e in edges:
        way_s = float(template.edge_latency_s[e] + template.edge_bytes[e] / template.edge_cap_bytes_per_s[e])
        leads[src].append((dst, 0.0 if device[src] == device[dst] else way_s))
        left[dst] += 1
    for src, dst in barriers:
        leads[src].append((dst, 0.0))
        left[dst] += 1
    start_s, end_s, free_s, now_s = [None] * n, [None] * n, [0.0] * N_DEVICES, 0.0
    while None in start_s:
        for d in range(N_DEVICES):
            waiting = [a for a in range(n) if device[a] == d and start_s[a] is None and not left[a] and ready_s[a] <= now_s]
            if waiting and free_s[d] <= now_s:
                first = min(waiting, key=key)
                start_s[first], end_s[first] = now_s, now_s + float(template.cost_s[tasks[first][1]])
                free_s[d] = end_s[first]
                for dst, way_s in leads[first]:
                    left[dst] -= 1
                    ready_s[dst] = max(ready_s[dst], end_s[first] + way_s)
        later = [t for t in (*free_s, *(ready_s[a] for a in range(n) if not left[a] and start_s[a] is None)) if t > now_s]
        now_s = min(later, default=now_s)
    return start_s, end_s


@settings(max_examples=60, deadline=None)
@given(case=cases(mode="none"))
def test_the_engine_plays_copies_as_a_list_of_ready_tasks_does(case):
    """Times are multiples of 1/16, so sums are exact; a limit in flight makes the later inference wait for every last task."""
    template, first_op, network, release_s, place, waits_for = case
    copy = replicate(template, first_op, network, release_s, place, waits_for=waits_for)
    tasks, edges, barriers, releases = by_hand(template, first_op, network, release_s, waits_for)
    start_s, end_s = played_by_hand(
        template, tasks, edges, barriers, releases, lambda a: (place[tasks[a][0]], -template.priority[tasks[a][1]], tasks[a][1])
    )
    played = compiled.play(copy.problem)
    assert played.start_s == pytest.approx(np.array(start_s), abs=1e-9)
    assert played.end_s == pytest.approx(np.array(end_s), abs=1e-9)
    first, last = copy.span_s(played)
    for i in range(len(network)):
        own = [a for a, (inference, _) in enumerate(tasks) if inference == i]
        assert first[i] == pytest.approx(min(start_s[a] for a in own), abs=1e-9)
        assert last[i] == pytest.approx(max(end_s[a] for a in own), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(case=cases(), cut=st.floats(0.05, 0.95))
def test_busy_seconds_and_carried_bytes_add_up_over_windows(case, cut):
    """Over all time each device is busy for its costs' time or longer, and all bytes are carried, however time is cut in two."""
    template, first_op, network, release_s, place, waits_for = case
    copy = replicate(template, first_op, network, release_s, place, waits_for=waits_for)
    played = compiled.play(copy.problem)
    middle, last = cut * played.makespan_s, played.makespan_s + 1.0
    demand_s = np.arange(1.0, 1.0 + template.n_tasks + template.n_edges)[:, None]  # a number of its own for each flow
    whole, early, late = (
        (busy_by_device(copy, played, w), carried_s(copy, played, template.n_tasks, demand_s, w))
        for w in ((0.0, last), (0.0, middle), (middle, last))
    )
    assert early[0] + late[0] == pytest.approx(whole[0])
    assert early[1] + late[1] == pytest.approx(whole[1])
    assert whole[1] == pytest.approx([demand_s[copy.task].sum() + demand_s[template.n_tasks + copy.edge].sum()])
    cost_s = np.bincount(template.assignment[copy.task], weights=template.cost_s[copy.task], minlength=N_DEVICES)
    assert (whole[0] >= cost_s * (1 - 1e-6)).all()
    if template.mode == "none":
        assert whole[0] == pytest.approx(cost_s)

"""The compiled classic policies against plain twins that follow the papers word by word, and facts worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.engine import compiled
from cosim.scheduling.base import make_policy
from cosim.scheduling.checker import check_plan
from cosim.scheduling.classic import MEMBERS
from cosim.scheduling.instance import Goal
from cosim.scheduling.kernels import classic as kernels
from cosim.scheduling.kernels import timeline
from cosim.scheduling.kernels.ranks import downward_rank, heads_and_tails, optimistic_cost, ready_order, upward_rank
from cosim.testing import small_instance as instance
from workloads.errors import ScheduleError

NO = np.inf
RNG = np.random.default_rng(0)


def drawn(seed, n, m, whole=True):
    """A random graph with multiple edges, unsupported ops and work of no length; whole numbers give ties."""
    rng = np.random.default_rng(seed)
    cost = rng.integers(0, 5, (n, m)).astype(float) if whole else rng.uniform(1, 9, (n, m))
    cost[rng.random((n, m)) < 0.25] = NO
    cost[np.arange(n), rng.integers(0, m, n)] = rng.integers(1, 5, n) if whole else rng.uniform(1, 9, n)
    ids = rng.permutation(n)  # so that edges do not go from lower to higher ids
    pairs = [(ids[u], ids[v]) for v in range(n) for u in range(v) if rng.random() < 2.0 / n]
    pairs += [pairs[i] for i in rng.integers(0, len(pairs), len(pairs) // 5)] if pairs else []
    size = rng.integers(0, 4, len(pairs)) if whole else rng.uniform(0, 9, len(pairs))
    links = {"bandwidth_bytes_per_s": rng.choice([1.0, 2.0, 4.0], (m, m)), "latency_s": rng.choice([0.0, 1.0], (m, m))}
    return instance(cost, [(u, v, b) for (u, v), b in zip(pairs, size, strict=True)], **links)


cases = st.builds(drawn, st.integers(0, 2**32), st.integers(0, 14), st.integers(1, 4), st.booleans())


# --- plain twins ------------------------------------------------------------------------------------------------------


class Twin:
    """A schedule as it grows: what is placed where and when, by plain loops over lists of intervals."""

    def __init__(self, given):
        self.given, self.device, self.start, self.end = given, {}, {}, {}
        self.busy = [[] for _ in range(given.n_devices)]

    def copy(self):
        other = Twin(self.given)
        other.device, other.start, other.end = dict(self.device), dict(self.start), dict(self.end)
        other.busy = [list(line) for line in self.busy]
        return other

    def able(self, task):
        return np.flatnonzero(self.given.supported[task]).tolist()

    def arrival(self, task, q):
        """When the last input is on device q; predecessors that are not placed are ignored."""
        g, last = self.given, 0.0
        for e in g.in_edges[task]:
            u = int(g.edge_src[e])
            if u in self.device:
                p = self.device[u]
                transfer = 0.0 if p == q else g.latency_s[p, q] + g.edge_bytes[e] / g.bandwidth_bytes_per_s[p, q]
                last = max(last, self.end[u] + transfer)
        return last

    def ends(self, task, q):
        return self.gap(task, q) + self.given.cost_s[task, q]

    def gap(self, task, q):
        """First gap that fits."""
        arrival, cost = self.arrival(task, q), self.given.cost_s[task, q]
        start = arrival
        for a, b in sorted(self.busy[q]):
            if b <= arrival:
                continue
            if a >= start + cost:
                break
            start = max(arrival, b)
        return start

    def place(self, task, q, start=None):
        start = self.gap(task, q) if start is None else start
        self.device[task], self.start[task], self.end[task] = q, start, start + self.given.cost_s[task, q]
        self.busy[q].append((start, self.end[task]))

    def place_best(self, task, key):
        self.place(task, min(self.able(task), key=lambda q: (key(q), q)))

    def arrays(self):
        n = self.given.n_tasks
        return tuple([values[t] for t in range(n)] for values in (self.device, self.start, self.end))


def up(g):
    rank = [0.0] * g.n_tasks
    for t in reversed(g.topological_order.tolist()):
        ways = [g.mean_transfer_s[e] + rank[g.edge_dst[e]] for e in g.out_edges[t]]
        rank[t] = g.mean_cost_s[t] + max(ways, default=0.0)
    return rank


def down(g):
    rank = [0.0] * g.n_tasks
    for t in g.topological_order.tolist():
        sources = [(int(g.edge_src[e]), e) for e in g.in_edges[t]]
        rank[t] = max((rank[u] + g.mean_cost_s[u] + g.mean_transfer_s[e] for u, e in sources), default=0.0)
    return rank


def places(g):
    return {task: place for place, task in enumerate(g.topological_order.tolist())}


def by_rank(g):
    rank, place = up(g), places(g)
    return sorted(range(g.n_tasks), key=lambda t: (-rank[t], place[t]))


def queued(g, priority):
    """A ready queue by priority."""
    place, out = places(g), []
    while len(out) < g.n_tasks:
        ready = [t for t in range(g.n_tasks) if t not in out and all(g.edge_src[e] in out for e in g.in_edges[t])]
        out.append(min(ready, key=lambda t: (-priority[t], place[t])))
    return out


def table(g):
    """Optimistic cost table."""
    rest = np.zeros((g.n_tasks, g.n_devices))
    for t in reversed(g.topological_order.tolist()):
        for p in range(g.n_devices):
            for e in g.out_edges[t]:
                v = g.edge_dst[e]
                ways = [rest[v, q] + g.cost_s[v, q] + (0.0 if q == p else g.mean_transfer_s[e]) for q in range(g.n_devices)]
                rest[t, p] = max(rest[t, p], min(ways))
    return rest


def heft(g):
    twin = Twin(g)
    for t in by_rank(g):
        twin.place_best(t, lambda q, t=t: twin.ends(t, q))
    return twin


def met(g):
    twin = Twin(g)
    for t in by_rank(g):
        twin.place_best(t, lambda q, t=t: g.cost_s[t, q])
    return twin


def peft(g):
    twin, rest = Twin(g), table(g)
    for t in queued(g, [sum(row) / g.n_devices for row in rest.tolist()]):
        twin.place_best(t, lambda q, t=t: twin.ends(t, q) + rest[t, q])
    return twin


def cpop(g):
    twin, place = Twin(g), places(g)
    priority = [a + b for a, b in zip(up(g), down(g), strict=True)]
    path = []
    following = [t for t in range(g.n_tasks) if not g.in_edges[t]]
    if following:
        length = max(priority[t] for t in following)
        following = [t for t in following if priority[t] == length]
    while following:
        path.append(min(following, key=place.get))
        following = [v for v in g.successors[path[-1]] if abs(priority[v] - length) <= 1e-6 * length]
    able = [q for q in range(g.n_devices) if all(g.supported[t, q] for t in path)]
    best = min(able, key=lambda q: (sum(g.cost_s[t, q] for t in path), q), default=None)
    for t in queued(g, priority):
        if t in path and best is not None:
            twin.place(t, best)
        else:
            twin.place_best(t, lambda q, t=t: twin.ends(t, q))
    return twin


def lookahead(g):
    twin, order = Twin(g), by_rank(g)
    for t in order:

        def worst(p, t=t):
            trial = twin.copy()
            trial.place(t, p)
            children = sorted(set(g.successors[t]), key=order.index)
            for v in children:
                trial.place_best(v, lambda q, v=v: trial.ends(v, q))
            return max(trial.end[v] for v in (t, *children)), trial.end[t]

        twin.place_best(t, worst)
    return twin


def batch(g, value):
    """Of all ready tasks, each where it ends first, the one of largest value(ends, in order)."""
    twin, place, free = Twin(g), places(g), [0.0] * g.n_devices
    while len(twin.device) < g.n_tasks:
        found = {}
        for t in range(g.n_tasks):
            if t not in twin.device and all(g.edge_src[e] in twin.device for e in g.in_edges[t]):
                found[t] = sorted((max(free[q], twin.arrival(t, q)) + g.cost_s[t, q], q) for q in twin.able(t))
        t = min(found, key=lambda t: (-value([end for end, _ in found[t]]), place[t]))
        q = found[t][0][1]
        twin.place(t, q, max(free[q], twin.arrival(t, q)))
        free[q] = twin.end[t]
    return twin


TWINS = {
    "heft": heft,
    "cpop": cpop,
    "peft": peft,
    "lookahead": lookahead,
    "met": met,
    "minmin": lambda g: batch(g, lambda ends: -ends[0]),
    "maxmin": lambda g: batch(g, lambda ends: ends[0]),
    "sufferage": lambda g: batch(g, lambda ends: ends[1] - ends[0] if len(ends) > 1 else NO),
}


@pytest.mark.parametrize("name", TWINS)
@settings(max_examples=40, deadline=None)
@given(cases)
def test_a_policy_does_what_its_paper_says_to_the_last_bit(name, g):
    plan = make_policy(name).plan(g, RNG)
    assert (plan.assignment.tolist(), plan.start_s.tolist(), plan.end_s.tolist()) == TWINS[name](g).arrays()


@settings(max_examples=40, deadline=None)
@given(cases, st.integers(0, 2**32))
def test_ranks_tables_and_queues_are_those_of_the_papers(g, seed):
    assert upward_rank(g.arrays).tolist() == up(g)
    assert downward_rank(g.arrays).tolist() == down(g)
    assert np.array_equal(optimistic_cost(g.arrays), table(g))
    priority = np.random.default_rng(seed).integers(0, 3, g.n_tasks).astype(float)
    assert ready_order(g.arrays, priority).tolist() == queued(g, priority)
    assert ready_order(g.arrays, upward_rank(g.arrays)).tolist() == by_rank(g)  # an input never ranks below what reads it


# --- timelines --------------------------------------------------------------------------------------------------------


def line(*intervals):
    """A device with busy intervals."""
    made = np.zeros((2, 8)), np.zeros((2, 8)), np.zeros(2, np.int64)
    for begin_s, stop_s in intervals:
        timeline.occupy(*made, 1, begin_s, stop_s)
    return made


def test_a_timeline_takes_the_first_gap_that_fits():
    made = line((2.0, 4.0), (9.0, 12.0), (5.0, 6.0))
    for ready_s, cost_s, start_s in [
        (0.0, 2.0, 0.0),
        (0.0, 2.5, 6.0),
        (1.0, 1.0, 1.0),
        (3.0, 1.0, 4.0),
        (3.0, 3.0, 6.0),
        (7.0, 3.0, 12.0),
        (20.0, 3.0, 20.0),
        (3.0, 0.0, 4.0),
    ]:
        assert timeline.earliest_start(*made, 1, ready_s, cost_s) == start_s


def test_intervals_are_kept_in_order_and_given_back():
    begins_s, stops_s, n_busy = made = line((2.0, 4.0), (9.0, 12.0), (5.0, 6.0))
    assert (begins_s[1, :3].tolist(), stops_s[1, :3].tolist(), n_busy.tolist()) == ([2, 5, 9], [4, 6, 12], [0, 3])
    assert timeline.occupy(*made, 1, 4.0, 5.0) == 1
    timeline.release(*made, 1, 1)
    assert (begins_s[1, :3].tolist(), n_busy.tolist()) == ([2, 5, 9], [0, 3])
    timeline.release(*made, 1, 0)
    assert (stops_s[1, :2].tolist(), n_busy.tolist()) == ([6, 12], [0, 2])


# --- by hand ----------------------------------------------------------------------------------------------------------


def run(name, given):
    return make_policy(name).plan(given, RNG)


def test_peft_does_not_fall_for_the_array_that_cannot_run_what_comes_next():
    # The array saves 1 s on each matrix product, but getting there and back takes 3 s: HEFT goes there at first, PEFT stays.
    given = instance([[3, 2], [3, NO], [3, 2], [3, NO]], [(0, 1, 3), (1, 2, 3), (2, 3, 3)])
    assert run("heft", given).assignment.tolist() == [1, 0, 0, 0]
    assert run("peft", given).assignment.tolist() == [0, 0, 0, 0]
    assert optimistic_cost(given.arrays)[0].tolist() == [9.0, 12.0]


def test_cpop_keeps_the_critical_path_on_one_device():
    # Ranks 0-1-3: 3 + 2 + 5 + 2 + 3, longer than by way of 2; the device with the least total runs all three.
    given = instance([[2, 4], [6, 4], [1, 1], [2, 4]], [(0, 1, 2), (0, 2, 1), (1, 3, 2), (2, 3, 1)])
    plan = run("cpop", given)
    assert plan.assignment[[0, 1, 3]].tolist() == [0, 0, 0]
    assert plan.assignment[2] == 1


def test_cpop_without_a_device_for_the_whole_path_places_each_where_it_ends_first():
    given = instance([[1, NO], [NO, 1]], [(0, 1, 1)])
    assert run("cpop", given).assignment.tolist() == [0, 1]


def test_lookahead_goes_where_its_successors_end_first():
    # The first op is faster on the gpu, but its successor runs on the cpu only and the way takes 5 s.
    given = instance([[4, 2], [1, NO]], [(0, 1, 5)])
    assert run("heft", given).makespan_s == 8.0
    assert run("lookahead", given).makespan_s == 5.0


def test_of_three_ops_minmin_runs_the_shortest_first_and_maxmin_the_longest():
    given = instance([[3], [1], [2]])
    assert run("minmin", given).start_s.tolist() == [3.0, 0.0, 1.0]
    assert run("maxmin", given).start_s.tolist() == [0.0, 5.0, 3.0]


def test_sufferage_serves_first_who_has_no_good_second_choice():
    # Both want the cpu; the second would suffer 7 s elsewhere, the first 1 s.
    assert run("sufferage", instance([[2, 3], [2, 9]])).assignment.tolist() == [1, 0]
    # An op with one device suffers without bound.
    assert run("sufferage", instance([[2, 30], [2, NO]])).start_s.tolist() == [2.0, 0.0]


def test_met_crowds_the_fastest_device():
    assert run("met", instance([[1, 2]] * 4)).assignment.tolist() == [0, 0, 0, 0]


def test_a_placement_given_in_advance_is_kept():
    given = drawn(5, 12, 3)
    pinned = np.array([np.flatnonzero(row)[-1] for row in given.supported])
    order = ready_order(given.arrays, upward_rank(given.arrays))
    assignment, _, end_s = kernels.place_in_order(given.arrays, order, pinned, np.zeros((12, 3)), True)
    assert assignment.tolist() == pinned.tolist()
    appended = kernels.place_in_order(given.arrays, order, pinned, np.zeros((12, 3)), False)
    assert end_s.max() <= appended[2].max()


def test_heads_and_tails_are_the_least_time_before_and_after():
    # A chain whose middle op is on the gpu only; a transfer takes 1 s + 2 bytes at 2 bytes/s.
    given = instance([[1, 5], [NO, 2], [3, 9]], [(0, 1, 2), (1, 2, 2)], bandwidth=2.0, latency=1.0)
    head_s, tail_s = heads_and_tails(given.arrays, given.cost_s)
    assert head_s.tolist() == [[0, 0], [1, 1 + 2], [1 + 2 + 2 + 2, 1 + 2 + 2]]
    assert tail_s.tolist() == [[2 + 2 + 2 + 3, 2 + 5], [3, 5], [0, 0]]


# --- laws -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MEMBERS)
@settings(max_examples=15, deadline=None)
@given(cases)
def test_a_plan_can_be_run_and_scales_with_time(name, g):
    plan = run(name, g)
    check_plan(g, plan)
    slower = replace(g, cost_s=4 * g.cost_s, latency_s=4 * g.latency_s, bandwidth_bytes_per_s=g.bandwidth_bytes_per_s / 4)
    assert run(name, slower).makespan_s == 4 * plan.makespan_s


# Not PEFT, to which all sinks are equal, sufferage, to which all ops of one device are, nor those that go by ids.
@pytest.mark.parametrize("name", ["heft", "cpop", "lookahead", "minmin", "maxmin", "met"])
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_without_ties_the_ids_of_tasks_do_not_matter(name, seed):
    g = drawn(seed, 10, 3, whole=False)
    new = np.random.default_rng(seed).permutation(10)  # old task i is called new[i]
    cost_s = np.empty_like(g.cost_s)
    cost_s[new] = g.cost_s
    renamed = replace(g, cost_s=cost_s, edge_src=new[g.edge_src], edge_dst=new[g.edge_dst])
    assert run(name, renamed).makespan_s == pytest.approx(run(name, g).makespan_s)


# --- the portfolio ----------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(cases)
def test_the_portfolio_is_the_best_of_its_members(g):
    assert run("portfolio", g).makespan_s == min(run(name, g).makespan_s for name in MEMBERS)


def test_the_portfolio_picks_what_the_engine_plays_fastest(monkeypatch):
    seen = {}

    def makespans(tables, assignments, priorities):
        seen.update(tables=tables, shapes=(assignments.shape, priorities.shape))
        return (assignments != 1).sum(axis=1).astype(float)  # contention that spares the gpu

    monkeypatch.setattr(compiled, "makespans", makespans)
    given = instance([[1, 3]] * 3)
    assert run("portfolio", given).assignment.tolist() != [1, 1, 1]
    members = [run(name, given).assignment.tolist() for name in MEMBERS]
    plan = run("portfolio", replace(given, tables="tables"))
    assert plan.assignment.tolist() == max(members, key=sum)
    assert seen == {"tables": "tables", "shapes": ((10, 3), (10, 3))}


def test_the_portfolio_weighs_energy():
    # Two ops on the cpu and the gpu side by side take 2 s and 11 J, both on the cpu 4 s and 2 J.
    energy_j = np.array([[1.0, 10.0], [1.0, 10.0]])
    given = instance([[2, 2], [2, 2]], task_energy_j=energy_j)
    assert run("portfolio", given).makespan_s == 2.0
    thrifty = replace(given, goal=Goal(energy_weight=1.0))
    assert run("portfolio", thrifty).assignment.tolist() == [0, 0]
    # Whatever runs, 100 W flow: then time is energy.
    assert run("portfolio", replace(thrifty, power_w=100.0)).makespan_s == 2.0


def test_energy_that_is_not_known_cannot_be_weighed():
    with pytest.raises(ScheduleError, match=r"energy weight 0.5 needs the energy of every task: give task_energy_j, or weight 0"):
        run("portfolio", instance([[1, 2]], goal=Goal(energy_weight=0.5)))


def test_the_portfolio_keeps_to_the_loss_that_is_allowed():
    # The array is faster and loses 1 % an op; of three ops it may run two.
    loss = np.array([[0.0, 0.01]] * 3)
    given = instance([[4, 1], [5, 1], [9, 1]], [(0, 1, 0), (1, 2, 0)], task_loss=loss)
    assert run("portfolio", given).assignment.tolist() == [1, 1, 1]
    kept = run("portfolio", replace(given, goal=Goal(max_loss=0.02)))
    check_plan(given, kept)
    assert kept.assignment.tolist() == [0, 1, 1]  # the op that loses least time moves
    assert run("portfolio", replace(given, goal=Goal(max_loss=0.0))).assignment.tolist() == [0, 0, 0]


def test_a_loss_that_cannot_be_kept_is_refused_with_the_least_there_is():
    given = instance([[1, 1], [NO, 1]], task_loss=[[0.0, 0.5], [0.0, 0.03]], goal=Goal(max_loss=0.02))
    with pytest.raises(ScheduleError, match=r"no placement loses 0.02 or less: where every task loses least, the sum is 0.03; allow more"):
        run("portfolio", given)

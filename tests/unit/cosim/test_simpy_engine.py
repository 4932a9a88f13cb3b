"""The process engine: cases worked out by hand, and a slow twin in exact arithmetic."""

from __future__ import annotations

import heapq
from fractions import Fraction

import numpy as np
import pytest
import simpy

from cosim.engine import semantics
from cosim.engine.check import check_playback
from cosim.engine.problem import Problem
from cosim.engine.simpy_engine import play
from workloads.errors import SimulationError


def problem(cost, device, edges=(), *, mode="none", capacity=(), flow_bytes=None, priority=None, member=None):
    """A problem; `edges` are (src, dst, latency, bytes, cap)."""
    n_tasks, n_flows = len(cost), len(cost) + len(edges)
    columns = [list(column) for column in zip(*edges, strict=True)] or [[]] * 5
    return Problem(
        n_devices=max(device, default=0) + 1,
        cost_s=np.array(cost, float),
        assignment=np.array(device),
        priority=np.arange(n_tasks, 0, -1, dtype=float) if priority is None else np.array(priority, float),
        flow_bytes=np.zeros(n_tasks) if flow_bytes is None else np.array(flow_bytes, float),
        edge_src=np.array(columns[0], int),
        edge_dst=np.array(columns[1], int),
        edge_latency_s=np.array(columns[2], float),
        edge_bytes=np.array(columns[3], float),
        edge_cap_bytes_per_s=np.array(columns[4], float),
        capacity_bytes_per_s=np.array(capacity, float),
        membership=np.ones((n_flows, len(capacity)), bool) if member is None else np.array(member, bool),
        mode=mode,
    )


def random_problem(seed, mode):
    """Costs, sizes and rates without ties, on a random graph."""
    rng = np.random.default_rng(seed)
    n_tasks, n_devices, n_resources = int(rng.integers(1, 11)), int(rng.integers(1, 4)), int(rng.integers(1, 4))
    pairs = [(u, v) for v in range(n_tasks) for u in range(v) if rng.random() < 0.35]
    edges = [(u, v, rng.choice([0.0, rng.random()]), rng.choice([0.0, rng.uniform(0.1, 5)]), rng.uniform(0.5, 3)) for u, v in pairs]
    return problem(
        rng.choice([0.0, 1.0], n_tasks, p=[0.1, 0.9]) * rng.uniform(0.1, 3, n_tasks),
        [*rng.integers(0, n_devices, n_tasks - 1).tolist(), n_devices - 1],
        edges,
        mode=mode,
        capacity=rng.uniform(0.5, 4, n_resources),
        flow_bytes=rng.choice([0.0, 1.0], n_tasks) * rng.uniform(0.1, 4, n_tasks),
        priority=rng.random(n_tasks),
        member=rng.random((n_tasks + len(edges), n_resources)) < 0.7,
    )


class Exact:
    """The rules in rational numbers: a plain loop over instants, with no tolerance."""

    def __init__(self, problem):
        self.p, self.now, self.n = problem, Fraction(0), problem.n_tasks
        self.missing = np.bincount(problem.edge_dst, minlength=self.n).tolist()
        self.ready = {task for task in range(self.n) if self.missing[task] == 0}
        self.busy, self.bus, self.queue = set(), None, []
        self.delays, self.flows, self.changed = [], {}, False
        self.rates = {}
        self.start, self.end = {}, {}

    def run(self):
        while True:
            self.settle()
            if self.changed:
                self.rates, self.changed = self.share(), False
            waits = [self.flows[f] / self.rates[f] for f in self.flows]
            instants = [entry[0] for entry in self.delays] + ([self.now + min(waits)] if waits else [])
            if not instants:
                return self
            then = min(instants)
            for f in self.flows:
                self.flows[f] -= self.rates[f] * (then - self.now)
            self.now = then

    def settle(self):
        """Completions and dispatch until nothing more happens at this instant."""
        while True:
            done = [f for f, left in self.flows.items() if left == 0]
            for f in done:
                del self.flows[f]
                self.changed = True
            while self.delays and self.delays[0][0] == self.now:
                done.append(heapq.heappop(self.delays)[1:])
            for item in done:
                self.complete(item)
            if not self.dispatch() and not done:
                return

    def complete(self, item):
        """An item is a flow id, or (flow id, "delay") where a flow follows or not."""
        flow, shared = (item[0], self.p.shared_bytes[item[0]]) if isinstance(item, tuple) else (item, 0.0)
        if flow >= self.n and shared > 0:
            self.flows[flow], self.changed = Fraction(shared), True
        elif flow >= self.n:
            self.bus = None if self.bus == flow else self.bus
            self.arrive(int(self.p.edge_dst[flow - self.n]))
        else:
            self.end[flow] = self.now
            self.busy.discard(int(self.p.assignment[flow]))
            for edge in np.flatnonzero(self.p.edge_src == flow).tolist():
                self.send(edge)

    def send(self, edge):
        if self.p.edge_is_local[edge]:
            self.arrive(int(self.p.edge_dst[edge]))
        elif self.p.mode == "fifo":
            heapq.heappush(self.queue, (self.now, edge))
        else:
            self.wait(self.n + edge)

    def arrive(self, task):
        self.missing[task] -= 1
        if self.missing[task] == 0:
            self.ready.add(task)

    def wait(self, flow):
        """Its latency alone if a flow follows, else latency + bytes/cap."""
        if flow < self.n:
            delay = Fraction(self.p.cost_s[flow])
        else:
            edge = flow - self.n
            delay = Fraction(self.p.edge_latency_s[edge])
            if self.p.shared_bytes[flow] == 0:
                delay += Fraction(self.p.edge_bytes[edge]) / Fraction(self.p.edge_cap_bytes_per_s[edge])
        heapq.heappush(self.delays, (self.now + delay, flow, "delay"))

    def dispatch(self):
        acted = False
        if self.p.mode == "fifo" and self.bus is None and self.queue:
            self.bus, acted = self.n + heapq.heappop(self.queue)[1], True
            self.wait(self.bus)
        for device in range(self.p.n_devices):
            mine = [task for task in self.ready if self.p.assignment[task] == device]
            if device in self.busy or not mine:
                continue
            task = min(mine, key=lambda t: (-self.p.priority[t], t))
            self.ready.discard(task)
            self.busy.add(device)
            self.start[task], acted = self.now, True
            if self.p.shared_bytes[task] > 0:
                self.flows[task], self.changed = Fraction(self.p.shared_bytes[task]), True
            else:
                self.wait(task)
        return acted

    def share(self):
        """All rates rise together until a cap or a full resource stops some of them."""
        p, rate, rising = self.p, dict.fromkeys(self.flows, Fraction(0)), set(self.flows)
        cap = {f: Fraction(p.flow_bytes[f]) / Fraction(p.cost_s[f]) if f < self.n and p.cost_s[f] else None for f in self.flows}
        cap.update({f: Fraction(p.edge_cap_bytes_per_s[f - self.n]) for f in self.flows if f >= self.n})
        limit = [Fraction(capacity) for capacity in p.capacity_bytes_per_s]
        while rising:
            steps = [cap[f] - rate[f] for f in rising if cap[f] is not None]
            for r, capacity in enumerate(limit):
                users = [f for f in rising if p.membership[f, r]]
                used = sum(rate[f] for f in rate if p.membership[f, r])
                steps += [(capacity - used) / len(users)] if users else []
            for f in rising:
                rate[f] += min(steps)
            full = [r for r, capacity in enumerate(limit) if sum(rate[f] for f in rate if p.membership[f, r]) == capacity]
            rising -= {f for f in rising if rate[f] == cap[f] or any(p.membership[f, r] for r in full)}
        return rate


@pytest.mark.parametrize("mode", ["none", "fifo", "fair"])
@pytest.mark.parametrize("seed", range(40))
def test_times_equal_those_of_exact_arithmetic(seed, mode):
    given = random_problem(seed, mode)
    exact, played = Exact(given).run(), play(given)
    for task in range(given.n_tasks):
        assert played.start_s[task] == pytest.approx(float(exact.start[task]), rel=1e-9, abs=1e-12)
        assert played.end_s[task] == pytest.approx(float(exact.end[task]), rel=1e-9, abs=1e-12)
    check_playback(given, played)


def test_completions_come_before_dispatch_and_dispatch_before_rebalance():
    assert simpy.events.URGENT < semantics.PHASE_COMPLETE == simpy.events.NORMAL < semantics.PHASE_DISPATCH < semantics.PHASE_REBALANCE


def test_an_empty_graph_takes_no_time():
    played = play(problem([], []))
    assert (played.makespan_s, played.n_events) == (0.0, 0)


def test_a_chain_across_devices_pays_latency_and_transfer():
    # 2 s + (0.5 s + 6 bytes / 3 bytes/s) + 4 s
    played = play(problem([2, 4], [0, 1], [(0, 1, 0.5, 6, 3)]))
    assert played.start_s.tolist() == [0.0, 4.5]
    assert (played.edge_start_s[0], played.edge_end_s[0], played.makespan_s) == (2.0, 4.5, 8.5)
    assert played.n_events == 3  # two tasks, one transfer


def test_within_one_device_nothing_is_transferred():
    played = play(problem([2, 4], [0, 0], [(0, 1, 0.5, 6, 3)], mode="fair", capacity=[1.0]))
    assert played.makespan_s == 6.0
    assert played.edge_end_s[0] == played.edge_start_s[0] == 2.0
    assert played.moved_bytes[0] == 0.0


def test_an_idle_device_takes_the_ready_task_of_highest_priority():
    played = play(problem([1, 1, 1], [0, 0, 0], priority=[1, 3, 2]))
    assert played.start_s.tolist() == [2.0, 0.0, 1.0]


def test_a_device_does_not_wait_for_a_better_task_that_is_not_ready():
    # Task 2 ranks highest but comes at t = 1; task 1 is ready at 0 and is not preempted.
    played = play(problem([1, 5, 1], [0, 1, 1], [(0, 2, 0, 0, 1)], priority=[1, 1, 9]))
    assert played.start_s.tolist() == [0.0, 0.0, 5.0]


def test_two_transfers_share_one_memory_in_halves():
    # Both flows of 8 bytes start at t = 1 over 4 bytes/s: 4 s instead of 2 s.
    edges = [(0, 2, 0, 8, 9), (1, 3, 0, 8, 9)]
    played = play(problem([1, 1, 1, 1], [0, 1, 2, 3], edges, mode="fair", capacity=[4.0]))
    assert played.edge_end_s.tolist() == [5.0, 5.0]
    assert played.moved_bytes.tolist() == [16.0]


def test_one_bus_serves_transfers_one_after_the_other_in_edge_order():
    edges = [(1, 3, 0.5, 8, 4), (0, 2, 0.5, 8, 4)]
    played = play(problem([1, 1, 1, 1], [0, 1, 2, 3], edges, mode="fifo"))
    assert played.edge_start_s.tolist() == [1.0, 3.5]
    assert played.edge_end_s.tolist() == [3.5, 6.0]


def test_a_transfer_speeds_up_when_another_ends():
    # 12 and 4 bytes from t = 0 over 4 bytes/s: 2 each until t = 2, then 8 bytes at 4: t = 4.
    edges = [(0, 2, 0, 12, 9), (1, 3, 0, 4, 9)]
    played = play(problem([0, 0, 0, 0], [0, 1, 2, 3], edges, mode="fair", capacity=[4.0]))
    assert played.edge_end_s.tolist() == [4.0, 2.0]


def test_a_compute_bound_op_is_not_slowed_until_its_share_falls_below_its_rate():
    # Roofline under sharing: both ops need 10 bytes; 1 byte/s of 6 for the slow one, the rest for the fast one.
    played = play(problem([10, 2], [0, 1], mode="fair", capacity=[6.0], flow_bytes=[10, 10]))
    assert played.end_s.tolist() == [10.0, 2.0]
    slowed = play(problem([10, 2], [0, 1], mode="fair", capacity=[4.0], flow_bytes=[10, 10]))
    assert slowed.end_s.tolist() == [10.0, pytest.approx(10 / 3)]


def test_latency_loads_no_memory():
    # While one transfer is still in its latency, the other has the memory to itself.
    edges = [(0, 2, 2, 4, 9), (1, 3, 0, 8, 9)]
    played = play(problem([0, 0, 0, 0], [0, 1, 2, 3], edges, mode="fair", capacity=[4.0]))
    assert played.edge_end_s.tolist() == [3.0, 2.0]


def test_flows_on_different_links_do_not_disturb_each_other():
    member = np.zeros((6, 2), bool)
    member[4, 0] = member[5, 1] = True
    edges = [(0, 2, 0, 8, 9), (1, 3, 0, 8, 9)]
    played = play(problem([0, 0, 0, 0], [0, 1, 2, 3], edges, mode="fair", capacity=[4.0, 2.0], member=member))
    assert played.edge_end_s.tolist() == [2.0, 4.0]
    assert played.moved_bytes.tolist() == [8.0, 8.0]


def test_a_faster_link_can_lengthen_a_schedule():
    # List-scheduling anomaly (Graham, SIAM J. Appl. Math. 17, 1969): the low-priority task of 10 s
    # arrives a little sooner and takes the device just before the one that matters.
    def makespan(cap):
        edges = [(0, 2, 0, 2, cap), (1, 3, 0, 0, 1), (3, 4, 0, 0, 1)]
        return play(problem([0, 1.5, 10, 1, 20], [0, 1, 2, 2, 3], edges, priority=[1, 1, 1, 2, 1])).makespan_s

    assert makespan(cap=1.0) == 22.5  # the transfer ends at 2.0, after task 3 took the device
    assert makespan(cap=2.0) == 32.0  # it ends at 1.0, and task 3 waits for 10 s


def test_zero_length_work_at_one_instant_ends():
    edges = [(u, v, 0, 0, 1) for v in range(6) for u in range(v)]
    for mode in ("none", "fifo", "fair"):
        played = play(problem([0] * 6, [0, 1, 2, 0, 1, 2], edges, mode=mode, capacity=[1.0]))
        assert played.makespan_s == 0.0


def test_a_transfer_shorter_than_the_rounding_of_the_clock_ends():
    # At 1e6 s the clock moves in steps of 1.2e-10 s; the transfers take about 1e-13 s.
    edges = [(0, 1, 0, 1e-13, 1.0), (0, 2, 0, 3e-13, 2.0)]
    played = play(problem([1e6, 1, 1], [0, 1, 2], edges, mode="fair", capacity=[1.5]))
    assert played.makespan_s == 1e6 + 1


def test_a_time_beyond_the_range_of_a_float_is_refused():
    with pytest.raises(SimulationError, match=r"task 1 .*never ends"):
        play(problem([1e308, 1e308], [0, 0]))


def test_the_same_problem_gives_the_same_bits():
    first, second = play(random_problem(3, "fair")), play(random_problem(3, "fair"))
    assert first.end_s.tobytes() == second.end_s.tobytes()
    assert first.moved_bytes.tobytes() == second.moved_bytes.tobytes()


def test_a_thousand_tasks_obey_the_laws_of_the_model():
    rng = np.random.default_rng(0)
    edges = [(int(rng.integers(max(0, v - 30), v)), v, 0.1, rng.uniform(1, 9), 4.0) for v in range(1, 1000) for _ in range(3)]
    given = problem(rng.uniform(1, 9, 1000), rng.integers(0, 5, 1000).tolist(), edges, mode="fair", capacity=[6.0])
    check_playback(given, play(given))

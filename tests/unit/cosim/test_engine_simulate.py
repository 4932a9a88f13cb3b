"""From packed tables and a placement to flows: round trips, a plain twin that reads the tables as lists, and whole runs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from cosim.engine import compiled, simpy_engine
from cosim.engine.kernels import simulate as kernels
from cosim.engine.tables import Tables, rows_of

SEEDS = range(12)
PARTS = {
    "fixed_s": "fixed_s",
    "body_s": "body_s",
    "read_bytes": "read_bytes",
    "own_bytes": "own_bytes",
    "write_bytes": "write_bytes",
    "memory_bytes_per_s": "memory_bytes_per_s",
    "capacity": "capacity_bytes_per_s",
    "link_bytes_per_s": "link_bytes_per_s",
    "latency_s": "latency_s",
    "edge_cap": "edge_bytes_per_s",
    "edge_bytes": "edge_bytes",
    "release_s": "release_s",
    "edge_src": "edge_src",
    "edge_dst": "edge_dst",
    "edge_memory": "edge_memory",
}  # what `unpack` calls it: what Tables does


def random_tables(seed, mode="fair"):
    """Small tables with zeros, ties, infinite bandwidths and several edges between two tasks."""
    rng = np.random.default_rng(seed)
    n, m, k = int(rng.integers(1, 9)), int(rng.integers(1, 4)), int(rng.integers(1, 4))
    pairs = [(a, b) for a in range(n) for b in range(a + 1, n) if rng.random() < 0.4]
    pairs += pairs[:2]
    e, order = len(pairs), rng.permutation(n)  # edges need not lead to larger ids
    read = rng.integers(0, 9, (n, m, k)) * 1.0
    return Tables(
        fixed_s=rng.integers(0, 3, (n, m)) * 1.0,
        body_s=rng.integers(0, 5, (n, m)) * 0.75,
        read_bytes=read,
        own_bytes=np.floor(read * rng.random((n, m, k))),
        write_bytes=rng.integers(0, 4, (n, m, k)) * 1.0,
        memory_bytes_per_s=rng.choice([1.0, 2.0, 3.0, np.inf], k),
        capacity_bytes_per_s=rng.choice([1.5, 4.0, np.inf], k),
        link_bytes_per_s=rng.choice([0.5, 2.0, np.inf], m),
        link_is_shared=bool(rng.random() < 0.7),
        edge_src=np.array([order[a] for a, _ in pairs], np.int64),
        edge_dst=np.array([order[b] for _, b in pairs], np.int64),
        edge_bytes=rng.integers(0, 6, e) * 1.0,
        edge_memory=rng.integers(0, k, e),
        latency_s=rng.integers(0, 3, (m, m)) * 0.5,
        edge_bytes_per_s=rng.choice([0.5, 1.0, 6.0], (m, m)),
        edges_are_input=bool(rng.random() < 0.7),
        mode=mode,
        release_s=rng.integers(0, 4, n) * 1.0,
    )


def random_placement(tables, seed):
    rng = np.random.default_rng(seed + 1000)
    return rng.integers(0, tables.n_devices, tables.n_tasks), rng.integers(0, 3, tables.n_tasks) * 1.0


def unpacked(tables):
    ints, floats, _ = tables.packed
    return ints, kernels.unpack(ints, floats)


class Twin:
    """The same from nested lists, one flow after another, as the docstring of Tables reads."""

    def __init__(self, tables, device):
        self.tables, self.device = tables, [int(d) for d in device]
        self.edges = list(zip(tables.edge_src.tolist(), tables.edge_dst.tolist(), strict=True))

    def crosses(self, edge):
        src, dst = self.edges[edge]
        return self.device[src] != self.device[dst]

    def reads(self):
        """All of what a task reads; each crossing input is taken off in turn, down to what is its own."""
        tables = self.tables
        found = [tables.read_bytes[task][d].tolist() for task, d in enumerate(self.device)]
        for edge, (_, dst) in enumerate(self.edges):
            if self.crosses(edge):
                memory = tables.edge_memory[edge]
                found[dst][memory] = max(tables.own_bytes[dst][self.device[dst]][memory], found[dst][memory] - tables.edge_bytes[edge])
        return found

    def tasks(self):
        """Of each task: seconds, bytes through its slowest memory, and which that is (the first on ties)."""
        tables = self.tables
        whole = [tables.read_bytes[task][d].tolist() for task, d in enumerate(self.device)]
        for task, (d, read) in enumerate(zip(self.device, self.reads() if tables.edges_are_input else whole, strict=True)):
            moved = [r + w for r, w in zip(read, tables.write_bytes[task][d].tolist(), strict=True)]
            times_s = [b / rate for b, rate in zip(moved, tables.memory_bytes_per_s.tolist(), strict=True)]
            slowest = times_s.index(max(times_s))
            link_s = sum(moved) / tables.link_bytes_per_s[d]
            yield tables.fixed_s[task][d] + max(tables.body_s[task][d], times_s[slowest], link_s), moved[slowest], slowest

    def edge_delays(self):
        """Of each edge: latency and bytes over the slower of links and memory, nothing within a device."""
        for edge, (src, dst) in enumerate(self.edges):
            p, q = self.device[src], self.device[dst]
            rate = min(self.tables.edge_bytes_per_s[p][q], self.tables.memory_bytes_per_s[self.tables.edge_memory[edge]])
            yield self.tables.latency_s[p][q] + self.tables.edge_bytes[edge] / rate if p != q else 0.0

    def loads(self):
        """Of each flow: the finite resources that it loads, its memory first, then the link of the device where it ends."""
        tables = self.tables
        k = tables.n_memories
        given = [*tables.capacity_bytes_per_s, *(tables.link_bytes_per_s if tables.link_is_shared else [np.inf] * tables.n_devices)]
        finite = [r for r, rate in enumerate(given) if rate < np.inf]
        at = [(memory, self.device[task]) for task, (*_, memory) in enumerate(self.tasks())]
        at += [(int(tables.edge_memory[edge]), self.device[dst]) for edge, (_, dst) in enumerate(self.edges)]
        return [[finite.index(r) for r in (memory, k + d) if r in finite] for memory, d in at], [given[r] for r in finite]

    def flows(self):
        """Of each flow: delay, bytes that compete, and the most that it can take."""
        lists, _ = self.loads()
        for loaded, (cost_s, n_bytes, _) in zip(lists, self.tasks(), strict=False):
            shares = bool(loaded) and n_bytes > 0
            cap = n_bytes / cost_s if n_bytes > 0 and cost_s > 0 else math.inf
            yield (0.0 if shares else cost_s), (n_bytes if shares else 0.0), cap
        for edge, (loaded, (src, dst), alone_s) in enumerate(zip(lists[len(self.device) :], self.edges, self.edge_delays(), strict=True)):
            p, q = self.device[src], self.device[dst]
            cap = min(self.tables.edge_bytes_per_s[p][q], self.tables.memory_bytes_per_s[self.tables.edge_memory[edge]])
            shares = bool(loaded) and p != q
            yield (self.tables.latency_s[p][q] if shares else alone_s), (self.tables.edge_bytes[edge] if shares else 0.0), cap


def placed_tasks(tables, device):
    """Seconds, bytes and memory of each task, as the kernel finds them."""
    n = tables.n_tasks
    cost_s, flow_bytes, busiest = np.empty(n), np.empty(n), np.empty(n, np.int64)
    kernels.place_tasks(*unpacked(tables), device, cost_s, flow_bytes, busiest)
    return cost_s, flow_bytes, busiest


class TestPacking:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_every_array_comes_out_as_it_went_in(self, seed):
        tables = random_tables(seed)
        _, found = unpacked(tables)
        for name, given in PARTS.items():
            assert getattr(found, name).tolist() == getattr(tables, given).ravel().tolist(), name

    @pytest.mark.parametrize("seed", SEEDS)
    def test_no_number_is_left_over_and_the_output_holds_three_times_a_flow(self, seed):
        tables = random_tables(seed)
        ints, floats, n_out = tables.packed
        sizes = {name: part.size for name, part in unpacked(tables)[1]._asdict().items()}
        assert sum(sizes[name] for name in kernels.Packed._fields[:7]) == ints.size - kernels.N_HEADER
        assert sum(sizes[name] for name in kernels.Packed._fields[7:]) == floats.size
        assert n_out == 3 * (tables.n_tasks + tables.n_edges)

    @pytest.mark.parametrize(("mode", "number"), [("none", 0), ("fifo", 1), ("fair", 2)])
    def test_the_header_counts_and_says_which_rules_hold(self, mode, number):
        tables = replace(random_tables(3, mode), edges_are_input=True, link_is_shared=False)
        counts = [tables.n_tasks, tables.n_devices, tables.n_memories, tables.n_edges]
        assert tables.packed[0][: kernels.N_HEADER].tolist() == [*counts, number, 1, 0]

    @pytest.mark.parametrize("seed", SEEDS)
    def test_the_graph_lists_out_edges_inputs_and_releases(self, seed):
        tables = random_tables(seed)
        _, found = unpacked(tables)
        src, dst = tables.edge_src.tolist(), tables.edge_dst.tolist()
        for task in range(tables.n_tasks):
            row = found.succ_edge[found.succ_first[task] : found.succ_first[task + 1]].tolist()
            assert row == [edge for edge, end in enumerate(src) if end == task]
            assert found.n_inputs[task] == dst.count(task)
        assert found.released.tolist() == sorted(range(tables.n_tasks), key=lambda task: (tables.release_s[task], task))

    def test_rows_without_edges_are_empty(self):
        first, edges = rows_of(4, np.empty(0, np.int64))
        assert (first.tolist(), edges.tolist()) == ([0, 0, 0, 0, 0], [])


@pytest.mark.parametrize("seed", SEEDS)
class TestTwin:
    @pytest.fixture
    def given(self, seed):
        tables = random_tables(seed)
        device, _ = random_placement(tables, seed)
        return tables, device, Twin(tables, device)

    def test_reads(self, given):
        tables, device, twin = given
        assert kernels.place_reads(*unpacked(tables), device).reshape(tables.n_tasks, -1).tolist() == twin.reads()

    def test_reads_lie_between_what_is_own_and_all(self, given):
        tables, device, _ = given
        read, tasks = tables.placed_reads(device), np.arange(tables.n_tasks)
        assert (read <= tables.read_bytes[tasks, device]).all()
        assert (read >= tables.own_bytes[tasks, device]).all()

    def test_tasks(self, given):
        tables, device, twin = given
        found = zip(*(part.tolist() for part in placed_tasks(tables, device)), strict=True)
        assert list(found) == list(twin.tasks())

    def test_edge_delays(self, given):
        tables, device, twin = given
        is_local, delay_s = np.empty(tables.n_edges, np.bool_), np.full(tables.n_tasks + tables.n_edges, -1.0)
        kernels._edge_delays(*unpacked(tables), device, is_local, delay_s)
        assert delay_s[tables.n_tasks :].tolist() == list(twin.edge_delays())
        assert (delay_s[: tables.n_tasks] == -1).all()
        assert is_local.tolist() == [not twin.crosses(edge) for edge in range(tables.n_edges)]

    def test_sharing(self, given):
        tables, device, twin = given
        n, e = tables.n_tasks, tables.n_edges
        ints, packed = unpacked(tables)
        delay_s, shared, cap, is_local = np.empty(n + e), np.empty(n + e), np.empty(n + e), np.empty(e, np.bool_)
        delay_s[:n], shared[:n], busiest = placed_tasks(tables, device)
        first, resource = np.empty(n + e + 1, np.int64), np.empty(2 * (n + e), np.int64)
        index, capacity = kernels._resources(ints, packed)
        kernels._sharing(ints, packed, device, busiest, index, is_local, delay_s, shared, cap, first, resource)
        lists, finite = twin.loads()
        assert [resource[first[flow] : first[flow + 1]].tolist() for flow in range(n + e)] == lists
        assert capacity.tolist() == finite
        assert list(zip(delay_s.tolist(), shared.tolist(), cap.tolist(), strict=True)) == list(twin.flows())

    @pytest.mark.parametrize("mode", ["none", "fifo", "fair"])
    def test_one_call_gives_the_times_of_the_engine_that_goes_step_by_step(self, seed, mode):
        tables = random_tables(seed, mode)
        device, priority = random_placement(tables, seed)
        n, e = tables.n_tasks, tables.n_edges
        makespan_s, out = compiled.play_tables(tables, device, priority)
        slow = simpy_engine.play(tables.placed(device, priority))
        assert makespan_s == slow.makespan_s
        times = np.concatenate([slow.start_s, slow.end_s, slow.edge_start_s, slow.edge_end_s])
        assert out[: 2 * (n + e)].tolist() == times.tolist()

    def test_fair_moves_all_bytes_that_competed(self, given):
        tables, device, twin = given
        priority = np.zeros(tables.n_tasks)
        left = compiled.play_tables(tables, device, priority)[1][2 * (tables.n_tasks + tables.n_edges) :]
        assert (np.abs(left) <= 1e-9 * np.array([shared for _, shared, _ in twin.flows()])).all()


def test_no_task_takes_no_time():
    empty = replace(
        random_tables(0),
        **dict.fromkeys(("fixed_s", "body_s"), np.empty((0, 2))),
        **dict.fromkeys(("read_bytes", "own_bytes", "write_bytes"), np.empty((0, 2, 1))),
        **dict.fromkeys(("edge_src", "edge_dst", "edge_bytes", "edge_memory", "release_s"), np.empty(0, np.int64)),
        **dict.fromkeys(("latency_s", "edge_bytes_per_s"), np.ones((2, 2))),
        memory_bytes_per_s=[1],
        capacity_bytes_per_s=[1],
        link_bytes_per_s=[1, 1],
    )
    for mode in ("none", "fifo", "fair"):
        assert compiled.play_tables(replace(empty, mode=mode), np.empty(0, np.int64), np.empty(0))[0] == 0


@pytest.mark.parametrize("mode", ["none", "fifo", "fair"])
def test_a_batch_is_the_single_runs_one_after_the_other(mode):
    tables = random_tables(5, mode)
    placements = [random_placement(tables, seed) for seed in range(6)]
    found = compiled.makespans(tables, np.array([device for device, _ in placements]), np.array([priority for _, priority in placements]))
    assert found.tolist() == [compiled.play_tables(tables, *placement)[0] for placement in placements]


@pytest.mark.parametrize("seed", SEEDS)
def test_all_on_one_device_is_one_after_the_other_without_transfers(seed):
    """Without sharing or release the makespan on one device is the sum of the costs, and no edge takes time."""
    tables = replace(random_tables(seed, "none"), release_s=np.empty(0))
    device = np.zeros(tables.n_tasks, np.int64)
    cost_s = placed_tasks(tables, device)[0]
    makespan_s, out = compiled.play_tables(tables, device, np.zeros(tables.n_tasks))
    assert makespan_s == pytest.approx(cost_s.sum())
    edge_start_s, edge_end_s = out[2 * tables.n_tasks :][: 2 * tables.n_edges].reshape(2, -1)
    assert edge_start_s.tolist() == edge_end_s.tolist()

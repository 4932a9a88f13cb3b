"""The event engine as SimPy processes: the one to read and to extend.

Devices, the bus and every transfer are processes. The phases of one instant (see `semantics`) are
event priorities: completions come at SimPy's normal priority, dispatch after them, rebalance last, so
nothing rests on the order in which events were scheduled.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Generator
from heapq import heappop, heappush
from typing import Any

import numpy as np
import simpy

from cosim.engine import semantics
from cosim.engine.problem import Playback, Problem, bytes_by_resource
from workloads.errors import SimulationError

Process = Generator[Any, Any, None]


class _Phase:
    """A callback that runs once at this instant, at its priority, however often it was asked for."""

    def __init__(self, env: simpy.Environment, priority: int, run: Callable[[], None]) -> None:
        self._env, self._priority, self._run = env, priority, run
        self._pending = False

    def request(self) -> None:
        """Run in this instant, after all events of smaller priority."""
        if self._pending:
            return
        self._pending = True
        event = simpy.Event(self._env)
        event._ok, event._value = True, None  # triggered now; succeed() would take the normal priority
        event.callbacks.append(self._fire)
        self._env.schedule(event, self._priority)

    def _fire(self, _event: simpy.Event) -> None:
        self._pending = False
        self._run()


class _Memory:
    """The flows that share resources. Rates change only in its rebalance, at most once an instant."""

    def __init__(self, env: simpy.Environment, problem: Problem) -> None:
        self._env = env
        self._rebalance = _Phase(env, semantics.PHASE_REBALANCE, self._share)
        self._place = np.argsort(semantics.flow_order(problem.cap_bytes_per_s)).tolist()
        self._cap = problem.cap_bytes_per_s.tolist()
        self._size = problem.shared_bytes.tolist()
        self._capacity = problem.capacity_bytes_per_s.tolist()
        flows, resources = np.nonzero(problem.membership)
        self._resource = resources.tolist()
        self._first = np.searchsorted(flows, np.arange(len(self._size) + 1)).tolist()
        self._left, self._n_left = [0.0] * len(self._capacity), [0] * len(self._capacity)
        self._rate = [0.0] * len(self._size)
        self.remaining = problem.shared_bytes.tolist()
        self._order: list[int] = []  # running flows in (cap, id) order
        self._arrived: list[int] = []
        self._done: dict[int, simpy.Event] = {}
        self._last_s, self._version = 0.0, 0

    def flow(self, flow: int) -> simpy.Event:
        """Let a flow start at this instant; the event comes when its last byte has moved."""
        done = self._done[flow] = simpy.Event(self._env)
        self._arrived.append(flow)
        self._rebalance.request()
        return done

    def _advance(self) -> None:
        now_s = self._env.now
        if now_s > self._last_s:
            semantics.advance(self._order, len(self._order), self.remaining, self._rate, now_s - self._last_s)
        self._last_s = now_s

    def _share(self) -> None:
        """Phase C: advance, insert what arrived, share again, set the next wake."""
        self._advance()
        order = self._order
        for flow in self._arrived:
            insort(order, flow, key=self._place.__getitem__)
        self._arrived.clear()
        n_flows = len(order)
        semantics.water_fill(order, n_flows, self._cap, self._first, self._resource, self._capacity, self._left, self._n_left, self._rate)
        self._version += 1
        if n_flows:
            wait_s = semantics.next_finish_s(order, n_flows, self.remaining, self._rate)
            self._env.timeout(wait_s, self._version).callbacks.append(self._wake)

    def _wake(self, event: simpy.Event) -> None:
        """Phase A at the instant at which the first flow should be done; stale when flows changed meanwhile."""
        if event.value != self._version:
            return
        self._advance()
        order, n_flows = self._order, len(self._order)
        done = [0] * n_flows
        n_kept = semantics.take_done(order, n_flows, self.remaining, self._size, self._rate, self._env.now, done)
        del order[n_kept:]
        for flow in done[: n_flows - n_kept]:
            self._done.pop(flow).succeed()
        self._rebalance.request()


class _Run:
    """One play of a problem: its state, and the processes that change it."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.env = problem, simpy.Environment()
        n_tasks, n_edges = problem.n_tasks, problem.n_edges
        self.memory = _Memory(self.env, problem)
        self.dispatch = _Phase(self.env, semantics.PHASE_DISPATCH, self._dispatch)
        self.delay_s = problem.delay_s.tolist()
        self.shared_bytes = problem.shared_bytes.tolist()
        self.device_of = problem.assignment.tolist()
        self.rank = semantics.dispatch_rank(problem.priority).tolist()
        self.task_of_rank = np.argsort(self.rank).tolist()
        self.is_local, self.edge_dst = problem.edge_is_local.tolist(), problem.edge_dst.tolist()
        self.out_edges: list[list[int]] = [[] for _ in range(n_tasks)]
        for edge, task in enumerate(problem.edge_src.tolist()):
            self.out_edges[task].append(edge)
        self.n_missing = np.bincount(problem.edge_dst, minlength=n_tasks).tolist()
        self.state = [semantics.WAITING] * n_tasks
        self.ready: list[list[int]] = [[] for _ in range(problem.n_devices)]  # heaps of dispatch ranks
        self.granted: list[simpy.Event | None] = [None] * problem.n_devices  # waited for by an idle device
        self.bus_queue: list[tuple[float, int]] = []
        self.bus_granted: dict[int, simpy.Event] = {}
        self.bus_is_idle = True
        self.start_s, self.end_s = [np.nan] * n_tasks, [np.nan] * n_tasks
        self.edge_start_s, self.edge_end_s = [np.nan] * n_edges, [np.nan] * n_edges
        self.n_events = 0

    def play(self) -> None:
        """Run until nothing is left to happen."""
        transfer = self._bus_transfer if self.problem.mode == "fifo" else self._transfer
        for device in range(self.problem.n_devices):
            self.env.process(self._device(device, transfer))
        for task, release_s in enumerate(self.problem.release_s.tolist()):
            self.n_missing[task] += 1
            if release_s > 0.0:
                self.env.process(self._release(task, release_s))
            else:
                self._receive(task)
        self.env.run()

    def _release(self, task: int, release_s: float) -> Process:
        """A task that is not ready before some time waits for it as for one more input."""
        yield self.env.timeout(release_s)
        self._receive(task)

    def _device(self, device: int, transfer: Callable[[int], Process]) -> Process:
        """A device: waits for a task, runs it, hands its outputs on."""
        env, n_tasks = self.env, self.problem.n_tasks
        while True:
            self.granted[device] = simpy.Event(env)
            self.dispatch.request()
            task = yield self.granted[device]
            self.state[task] = semantics.RUNNING
            self.start_s[task] = env.now
            yield self.memory.flow(task) if self.shared_bytes[task] > 0 else env.timeout(self.delay_s[task])
            self.n_events += 1
            self.state[task] = semantics.DONE
            self.end_s[task] = env.now
            for edge in self.out_edges[task]:
                self.edge_start_s[edge] = env.now
                if self.is_local[edge]:
                    self._deliver(edge)
                else:
                    env.process(transfer(n_tasks + edge))

    def _transfer(self, flow: int) -> Process:
        """An edge between devices: its delay, then its flow."""
        yield self.env.timeout(self.delay_s[flow])
        self.n_events += 1
        if self.shared_bytes[flow] > 0:
            yield self.memory.flow(flow)
            self.n_events += 1
        self._deliver(flow - self.problem.n_tasks)

    def _bus_transfer(self, flow: int) -> Process:
        """An edge between devices in mode fifo: its turn on the bus, then its whole delay."""
        edge = flow - self.problem.n_tasks
        heappush(self.bus_queue, semantics.bus_key(self.env.now, edge))
        granted = self.bus_granted[edge] = simpy.Event(self.env)
        self.dispatch.request()
        yield granted
        self.edge_start_s[edge] = self.env.now
        yield self.env.timeout(self.delay_s[flow])
        self.n_events += 1
        self.bus_is_idle = True
        self.dispatch.request()
        self._deliver(edge)

    def _deliver(self, edge: int) -> None:
        self.edge_end_s[edge] = self.env.now
        self._receive(self.edge_dst[edge])

    def _receive(self, task: int) -> None:
        if semantics.receive(task, self.n_missing, self.state):
            self._make_ready(task)

    def _make_ready(self, task: int) -> None:
        heappush(self.ready[self.device_of[task]], self.rank[task])
        self.dispatch.request()

    def _dispatch(self) -> None:
        """Phase B: the bus, then every idle device in index order."""
        if self.bus_is_idle and self.bus_queue:
            self.bus_is_idle = False
            self.bus_granted.pop(heappop(self.bus_queue)[1]).succeed()
        for device, ready in enumerate(self.ready):
            granted = self.granted[device]
            if ready and granted is not None:
                self.granted[device] = None
                granted.succeed(self.task_of_rank[heappop(ready)])


def play(problem: Problem) -> Playback:
    """Play a problem through; raises SimulationError when times grow beyond what a float holds."""
    run = _Run(problem)
    run.play()
    end_s = np.array(run.end_s, np.float64)
    unfinished = (np.array(run.state, np.int64) != semantics.DONE) | ~np.isfinite(end_s)
    for task in np.flatnonzero(unfinished)[:1]:
        raise SimulationError(f"{problem.task_label(task)} never ends: its time is beyond what a float holds; check costs and bandwidths")
    return Playback(
        start_s=np.array(run.start_s, np.float64),
        end_s=end_s,
        edge_start_s=np.array(run.edge_start_s, np.float64),
        edge_end_s=np.array(run.edge_end_s, np.float64),
        makespan_s=float(end_s.max(initial=0.0)),
        n_events=run.n_events,
        moved_bytes=bytes_by_resource(problem, np.array(run.memory.remaining, np.float64)),
    )

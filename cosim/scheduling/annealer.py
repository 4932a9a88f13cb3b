"""A schedule in the middle of a search: what the kernels work on, and the time or moves that are left for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from cosim.scheduling.instance import Plan, plan_from_times
from cosim.scheduling.kernels import contended, segments
from cosim.scheduling.kernels import decode as layout
from cosim.scheduling.kernels import search as kernels
from cosim.scheduling.objective import ROUNDING
from workloads.errors import ScheduleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.engine.problem import FloatArray, IntArray
    from cosim.engine.tables import Tables
    from cosim.scheduling.instance import Instance

# How moves are drawn, see `cosim.scheduling.kernels.search`; chosen on random instances.
KNOBS = (6, 20, 200, 300, 5, 0, 8)

SHORT_S = 0.1  # less is not worth running again from what was found
MOVES_PER_S = 5e6  # about, on graphs of 50 tasks; it only tells short numbers of moves from long ones
N_FIRST, N_GROWTH = 16, 4  # moves of the first slice, and how much larger than the one before one may be
N_SLICES = 64  # of a budget, after each of which the temperature falls and the time is read


class Budget:
    """CPU seconds of the calling thread, counted from here, or a number of moves, which gives the same plan every time."""

    def __init__(self, seconds: float, n_moves: int = 0) -> None:
        self._seconds, self._n_moves = seconds, n_moves
        self._start_s = time.thread_time()
        self._n_done, self._n_last = 0, N_FIRST
        self._moves_per_s = 0.0

    @property
    def counts_moves(self) -> bool:
        """Whether it is a number of moves."""
        return self._n_moves > 0

    @property
    def seconds(self) -> float:
        """CPU seconds, or about what the moves take."""
        return self._n_moves / MOVES_PER_S if self.counts_moves else self._seconds

    @property
    def is_short(self) -> bool:
        """Whether there is no time to start again from what was found."""
        return self.seconds < SHORT_S

    def spent(self) -> float:
        """Fraction that is gone."""
        if self.counts_moves:
            return self._n_done / self._n_moves
        return (time.thread_time() - self._start_s) / self._seconds

    def n_next(self, until: float) -> int:
        """Moves of the next slice, so that about `until` of the budget is gone at the end of the last one."""
        share = min(1.0 / N_SLICES, max(0.0, until - self.spent()))
        if self.counts_moves:
            return max(1, min(round(share * self._n_moves), self._n_moves - self._n_done))
        if not self._moves_per_s:
            return N_FIRST
        return max(1, min(int(share * self._seconds * self._moves_per_s), N_GROWTH * self._n_last))

    def forget_pace(self) -> None:
        """Begin again with a slice of few moves, because they may take longer from here."""
        self._moves_per_s = 0.0

    def record(self, n_moves: int, seconds: float) -> None:
        """Note that so many moves were made, and what they took."""
        self._n_done += n_moves
        self._n_last = n_moves
        if seconds > 0.0:
            self._moves_per_s = n_moves / seconds


class Annealer:
    """Simulated annealing of one schedule of an instance."""

    def __init__(self, instance: Instance, seed: int, knobs: tuple[int, ...] = KNOBS) -> None:
        """Lay out the instance; `seed` starts the generator of the moves."""
        a = instance.arrays
        n, m = instance.n_tasks, instance.n_devices
        self.instance = instance
        graph = np.zeros((5, max(n + 1, instance.n_edges)), np.int64)
        for row, values in enumerate((a.pred_first, a.pred, a.succ_first, a.succ, a.succ_place)):
            graph[row, : values.size] = values
        self.tasks = np.zeros((7, n), np.int64)
        self.now = np.zeros(6)
        self._times = np.zeros((3, n))
        self._rows = np.zeros((2, -(-n // layout.STRIDE) + 2, m))
        self._move = np.zeros(9, np.int64)
        self._move[layout.RANDOM] = (1 << 40) + seed
        self.graph = (graph, a.cost_s, a.transfer_s)
        self._schedule = (*self.graph, self.tasks, self._times, self._rows)
        self._price, self._goal = _price_of(instance)
        self._rules = (_able(instance), self._price, self._goal, np.array(knobs, np.int64), self._move, self.now)
        self._place = np.empty(n, np.int64)
        self._place[instance.topological_order] = np.arange(n)

    def lean_to(self, assignments: IntArray) -> None:
        """Draw devices also from these placements [k, n], for a task alone and for chains; with none, as at the begin."""
        k, n = assignments.shape
        able = _able(self.instance)
        count = able[:, 0]
        wide = np.concatenate([able, np.zeros((n, k), np.int64)], axis=1)
        wide[np.arange(n)[:, np.newaxis], 1 + count[:, np.newaxis] + np.arange(k)] = assignments.T
        wide[:, 0] = count + k
        knobs = self._rules[3].copy()
        knobs[kernels.N_MODELS] = k
        self._rules = (wide, *self._rules[1:3], knobs, *self._rules[4:])

    def start_from(self, plan: Plan) -> None:
        """Take up a plan, each task as early as the order of its device allows, and forget all before."""
        self.tasks[layout.ORDER] = np.lexsort((self._place, plan.end_s, plan.start_s))
        self.tasks[layout.DEVICE] = plan.assignment
        kernels.settle(*self._schedule, self._price, self._goal, self.now)

    @property
    def value(self) -> float:
        """Value of the best schedule since the start, comparable within an instance only; less is better."""
        return float(self.now[kernels.BEST])

    def anneal(self, budget: Budget, until: float, hot: float, cold: float) -> None:
        """Make moves until a fraction of the budget is spent, the temperature falling from hot to cold by a constant factor a slice.

        Temperatures are relative: hot = 0.05 takes a rise of 5 % with probability 1/e.
        """
        self._slices(budget, until, hot, cold, lambda n, heat: kernels.anneal(*self._schedule, *self._rules, n, heat))

    def _slices(self, budget: Budget, until: float, hot: float, cold: float, run: Callable[[int, float], object]) -> None:
        begin = budget.spent()
        while (spent := budget.spent()) < until:
            temperature = hot * (cold / hot) ** ((spent - begin) / (until - begin))
            n_moves, start_s = budget.n_next(until), time.thread_time()
            run(n_moves, temperature)
            budget.record(n_moves, time.thread_time() - start_s)

    def play_from(self, plan: Plan) -> None:
        """As `start_from`, but valued as the engine plays it."""
        tables = self._tables
        self.start_from(plan)
        ints, floats, n_out = tables.packed
        self._engine = (ints, floats, np.empty(tables.n_tasks), np.empty(n_out))
        contended.settle_played(self.tasks, self._price, self._goal, self.now, *self._engine)

    def anneal_played(self, budget: Budget, until: float, hot: float, cold: float, slack: float) -> None:
        """As `anneal`, but the engine plays what is within a relative `slack` of the schedule without contention."""
        budget.forget_pace()
        given = (*self._schedule, *self._rules, *self._engine)
        self._slices(budget, until, hot, cold, lambda n, heat: contended.anneal_played(*given, n, slack, heat))

    def anneal_segments(self, budget: Budget, until: float, hot: float, cold: float) -> None:
        """As `anneal`, but the engine plays every move, and stretches of tasks change device together; then the best is taken up."""
        budget.forget_pace()
        given = (*self.graph[:2], self.tasks, *self._rules[1:3], self._move, self.now, *self._engine)
        self._slices(budget, until, hot, cold, lambda n, heat: segments.anneal_segments(*given, n, heat))
        self.tasks[layout.ORDER] = self.tasks[layout.BEST_ORDER]
        self.tasks[layout.DEVICE] = self.tasks[layout.BEST_DEVICE]
        kernels.settle(*self._schedule, self._price, self._goal, self.now)
        contended.settle_played(self.tasks, self._price, self._goal, self.now, *self._engine)

    @property
    def _tables(self) -> Tables:
        if self.instance.tables is None:
            raise ScheduleError("the instance has no tables, so there is no engine to play it; search without contention")
        return self.instance.tables

    def plan(self) -> Plan:
        """Return the best schedule since the start; tasks that start together without contention keep their order."""
        order, device = self.tasks[layout.BEST_ORDER], self.tasks[layout.BEST_DEVICE].copy()
        start_s, end_s = decode(self.instance, order, device)
        if self.instance.tables is None:
            return plan_from_times(self.instance, device, start_s, end_s)
        priority = np.empty(order.size)
        priority[order] = np.arange(order.size, 0, -1)
        return Plan(device, priority, start_s, end_s, float(end_s.max(initial=0.0)))


def decode(instance: Instance, order: IntArray, device: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return start_s and end_s [n] of tasks in a topological order on given devices, each as early as it can."""
    a = instance.arrays
    start_s, end_s = np.zeros(instance.n_tasks), np.zeros(instance.n_tasks)
    graph = np.zeros((2, max(instance.n_tasks + 1, instance.n_edges)), np.int64)
    graph[layout.PRED_FIRST, : a.pred_first.size], graph[layout.PRED, : a.pred.size] = a.pred_first, a.pred
    layout.decode(graph, a.cost_s, a.transfer_s, order, device, start_s, end_s, np.zeros(instance.n_devices))
    return start_s, end_s


def _able(instance: Instance) -> IntArray:
    """[n, 1 + m] how many devices support a task, and which."""
    able = np.zeros((instance.n_tasks, 1 + instance.n_devices), np.int64)
    able[:, 0] = instance.supported.sum(axis=1)
    able[:, 1:] = np.argsort(~instance.supported, axis=1, kind="stable")
    return able


def _price_of(instance: Instance) -> tuple[FloatArray, FloatArray]:
    """Energy and loss of each task on each device where they count, [2, n, m] or [2, 0, 0]; weight, power and most loss."""
    goal, no_limit = instance.goal, instance.goal.max_loss is None or instance.task_loss is None
    max_loss = np.inf if no_limit else (goal.max_loss or 0.0) * (1.0 + ROUNDING)
    limits = np.array([goal.energy_weight, instance.power_w, max_loss])
    if goal.energy_weight == 0.0 and no_limit:
        return np.zeros((2, 0, 0)), limits
    price = np.zeros((2, instance.n_tasks, instance.n_devices))
    for row, values in enumerate((instance.task_energy_j, instance.task_loss)):
        if values is not None:
            price[row] = np.where(instance.supported, values, 0.0)
    return price, limits

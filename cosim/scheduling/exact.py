"""Exact: constraint programming with CP-SAT, an optimum and its proof, or the gap that is left when time is up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.scheduling.annealer import decode
from cosim.scheduling.base import Policy, policy
from cosim.scheduling.bounds import lower_bound_s
from cosim.scheduling.instance import Plan, plan_from_times
from cosim.scheduling.kernels.ranks import heads_and_tails
from cosim.scheduling.objective import keeps_loss
from cosim.scheduling.search import Search
from workloads.errors import ScheduleError

if TYPE_CHECKING:
    from cosim.engine.problem import FloatArray, IntArray
    from cosim.scheduling.instance import Instance

N_MOVES = 10_000  # of the search whose plan is the first solution
UNITS = 1 << 24  # of time in the makespan of that plan, unless all times are whole already
LOSS_UNITS = 1 << 30  # in the loss that is allowed
N_CUTS = 8  # heads, and as many tails, that a device has load cuts for


@policy("exact")
class Exact(Policy):
    """CP-SAT on one thread for 10 s or the goal's budget: the least makespan without contention, and what is proven about it.

    Times are rounded down to whole units for the solver, so that its bound holds for the times as they are; the
    schedule is worked out again in floats. The budget is that of the clock, because the solver reads no other.
    Source: Laborie et al., "IBM ILOG CP optimizer for scheduling", Constraints 23, 2018 (optional intervals).
    """

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks. Raises ScheduleError without OR-tools, and for a goal in which energy counts."""
        cp_model = _solver()
        if instance.goal.energy_weight > 0.0:
            raise ScheduleError(f"policy 'exact' knows makespans only, not energy weight {instance.goal.energy_weight}; take 'search'")
        free = replace(instance, tables=None)
        first = Search(str(N_MOVES)).plan(free, rng)
        if not instance.n_tasks or first.makespan_s == 0.0:
            return first
        known_s = lower_bound_s(free)
        program = _Program(cp_model, free, first, known_s)
        found, bound_s = program.solve(instance.goal.budget_s or 10.0)
        best = found if found is not None and found.makespan_s < first.makespan_s and keeps_loss(free, found.assignment) else first
        proven_s = min(max(bound_s, known_s), best.makespan_s)
        # under contention an op may read less than it does alone, so nothing is proven there
        return replace(best, lower_bound_s=proven_s if instance.tables is None else 0.0)


def _solver() -> Any:
    try:
        from ortools.sat.python import cp_model  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise ScheduleError("policy 'exact' needs OR-tools: pip install 'cosim[exact]'") from error
    return cp_model


@dataclass(frozen=True)
class _Times:
    """Times of an instance in whole units, rounded down; cost -1 where a task cannot run."""

    unit_s: float
    cost: IntArray  # [n, m]
    head: IntArray  # [n, m] least time before the start
    tail: IntArray  # [n, m] least time after the end
    transfer: IntArray  # [e, m, m] in the order of instance.arrays

    @classmethod
    def of(cls, instance: Instance, makespan_s: float) -> _Times:
        """Round the times of an instance. Whole numbers stay as they are."""
        a = instance.arrays
        head_s, tail_s = heads_and_tails(a, a.cost_s)
        able = instance.supported
        parts = (np.where(able, a.cost_s, 0.0), np.where(able, head_s, 0.0), np.where(able, tail_s, 0.0), a.transfer_s)
        whole = makespan_s < UNITS and all(bool((part == np.floor(part)).all()) for part in parts)
        unit_s, shrink = (1.0, 1.0) if whole else (makespan_s / UNITS, 1.0 - 1e-12)
        cost, head, tail, transfer = (np.floor(part / unit_s * shrink).astype(np.int64) for part in parts)
        return cls(unit_s, np.where(able, cost, -1), head, tail, transfer)


class _Program:
    """The model: a start and a place for each task, an optional interval for both."""

    def __init__(self, cp_model: Any, instance: Instance, first: Plan, known_s: float) -> None:
        """Build the model; `first` is a plan and `known_s` a bound that hold."""
        self._cp, self._instance, self._first = cp_model, instance, first
        self._times = _Times.of(instance, first.makespan_s)
        n, m = instance.n_tasks, instance.n_devices
        self._model = cp_model.CpModel()
        self._horizon = int(np.floor(first.makespan_s / self._times.unit_s * (1.0 + 1e-12)))
        self._known = int(np.floor(known_s / self._times.unit_s * (1.0 - 1e-12)))
        self._end = self._model.new_int_var(min(self._known, self._horizon), self._horizon, "end")
        self._starts = [self._model.new_int_var(0, self._horizon, f"start{i}") for i in range(n)]
        self._there: dict[tuple[int, int], Any] = {}
        self._add_places(n, m)
        self._add_edges()
        self._add_loads(m)
        self._add_loss()
        self._model.minimize(self._end)

    def _add_places(self, n: int, m: int) -> None:
        times, model = self._times, self._model
        intervals: list[list[Any]] = [[] for _ in range(m)]
        for task in range(n):
            for p in range(m):
                cost, head, tail = int(times.cost[task, p]), int(times.head[task, p]), int(times.tail[task, p])
                if cost >= 0 and head + cost + tail <= self._horizon:
                    there = self._there[task, p] = model.new_bool_var(f"on{task}_{p}")
                    intervals[p].append(model.new_optional_fixed_size_interval_var(self._starts[task], cost, there, f"run{task}_{p}"))
            on = self._on(task)
            model.add_exactly_one([there for _, there in on])
            model.add(self._starts[task] >= sum(int(times.head[task, p]) * there for p, there in on))
            model.add(self._end >= self._starts[task] + sum(int(times.cost[task, p] + times.tail[task, p]) * there for p, there in on))
        for runs in intervals:
            model.add_no_overlap(runs)

    def _on(self, task: int) -> list[tuple[int, Any]]:
        return [(p, self._there[task, p]) for p in range(self._instance.n_devices) if (task, p) in self._there]

    def _add_edges(self) -> None:
        """An input arrives at start + cost of its source there, and later if it comes from another device."""
        a, times, model = self._instance.arrays, self._times, self._model
        for task in range(self._instance.n_tasks):
            for e in range(a.pred_first[task], a.pred_first[task + 1]):
                source = int(a.pred[e])
                ends = self._starts[source] + sum(int(times.cost[source, p]) * there for p, there in self._on(source))
                model.add(self._starts[task] >= ends)
                for p, there in self._on(source):
                    for q, here in self._on(task):
                        if times.transfer[e, p, q] > 0:
                            arrives = self._starts[source] + int(times.cost[source, p] + times.transfer[e, p, q])
                            model.add(self._starts[task] >= arrives).only_enforce_if(there, here)

    def _add_loads(self, m: int) -> None:
        """What a device has to do, with the least that comes before and after; of two devices that are alike, the first has more."""
        times, model = self._times, self._model
        loads = []
        for p in range(m):
            on = [(task, there) for (task, device), there in self._there.items() if device == p]
            heads = _spread([int(times.head[task, p]) for task, _ in on])
            tails = _spread([int(times.tail[task, p]) for task, _ in on])
            for head, tail in {(h, t) for h in heads for t in tails if h + t <= self._known}:
                work = [(task, there) for task, there in on if times.head[task, p] >= head and times.tail[task, p] >= tail]
                if work:
                    model.add(self._end >= head + tail + sum(int(times.cost[task, p]) * there for task, there in work))
            loads.append(sum(int(times.cost[task, p]) * there for task, there in on))
        for p, q in _alike(self._instance):
            model.add(loads[p] >= loads[q])

    def _add_loss(self) -> None:
        """Keep to the loss that is allowed, rounded in its favor; the plan is checked again."""
        limit, loss = self._instance.goal.max_loss, self._instance.task_loss
        if limit is None or loss is None:
            return
        unit = (limit or 1.0) / LOSS_UNITS
        terms = [int(min(loss[task, p] / unit, 4.0 * LOSS_UNITS)) * there for (task, p), there in self._there.items()]
        self._model.add(sum(terms) <= int(np.ceil(limit / unit)))

    def _hint(self) -> None:
        device = _sorted_by_load(self._instance, self._first.assignment)
        for (task, p), there in self._there.items():
            self._model.add_hint(there, int(device[task] == p))
        for task, start in enumerate(self._starts):
            self._model.add_hint(start, int(self._first.start_s[task] / self._times.unit_s))

    def solve(self, budget_s: float) -> tuple[Plan | None, float]:
        """Return the best plan found, if any, and a proven bound in s."""
        self._hint()
        solver = self._cp.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 0
        solver.parameters.max_time_in_seconds = budget_s
        status = solver.solve(self._model)
        if status == self._cp.INFEASIBLE:  # no other plan is as good as the first: rounding has made them all longer
            return None, self._first.makespan_s
        bound_s = float(np.ceil(solver.best_objective_bound - 1e-6)) * self._times.unit_s
        if status not in (self._cp.OPTIMAL, self._cp.FEASIBLE):
            return None, bound_s
        start = np.array([solver.value(start) for start in self._starts], np.float64)
        device = np.zeros(self._instance.n_tasks, np.int64)
        for (task, p), there in self._there.items():
            if solver.value(there):
                device[task] = p
        place = np.empty(start.size, np.int64)
        place[self._instance.topological_order] = np.arange(start.size)
        order = np.lexsort((place, start)).astype(np.int64)
        return plan_from_times(self._instance, device, *decode(self._instance, order, device)), bound_s


def _spread(values: list[int]) -> list[int]:
    """Return some of the values, the least among them."""
    different = sorted(set(values))
    return [different[int(i)] for i in np.unique(np.linspace(0, len(different) - 1, N_CUTS).astype(np.int64))] if different else []


def _alike(instance: Instance) -> list[tuple[int, int]]:
    """Neighbors among devices that can be swapped without any change to costs, losses and links."""
    pairs: list[tuple[int, int]] = []
    last: list[int] = []  # of each kind
    for q in range(instance.n_devices):
        p = next((p for p in last if _can_swap(instance, p, q)), None)
        if p is not None:
            pairs.append((p, q))
            last.remove(p)
        last.append(q)
    return pairs


def _can_swap(instance: Instance, p: int, q: int) -> bool:
    swapped = np.arange(instance.n_devices)
    swapped[[p, q]] = q, p
    by_task: list[FloatArray | None] = [instance.cost_s, instance.task_loss]
    transfer_s = instance.arrays.transfer_s
    return all(part is None or np.array_equal(part, part[:, swapped]) for part in by_task) and np.array_equal(
        transfer_s, transfer_s[:, swapped][:, :, swapped]
    )


def _sorted_by_load(instance: Instance, device: IntArray) -> IntArray:
    """Rename devices that are alike, so that the first has most to do."""
    renamed = device.copy()
    pairs = _alike(instance)
    for _ in pairs:
        for p, q in pairs:
            load_s = [float(instance.cost_s[renamed == d, d].sum()) for d in (p, q)]
            if load_s[0] < load_s[1]:
                renamed = np.where(renamed == p, q, np.where(renamed == q, p, renamed))
    return renamed

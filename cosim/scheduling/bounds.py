"""What no schedule without contention can beat: the longest chain, the work of the devices, and both together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cosim.scheduling.kernels.classic import heft
from cosim.scheduling.kernels.ranks import heads_and_tails

if TYPE_CHECKING:
    from cosim.engine.problem import BoolArray, FloatArray
    from cosim.scheduling.arrays import Arrays
    from cosim.scheduling.instance import Instance

# Sums in another order may differ by so much; a makespan is only refuted by more.
ROUNDING = 1e-9
N_ROUNDS = 10  # of cuts added to a program
N_HALVINGS = 8  # of the interval between the bound and a schedule
N_THRESHOLDS = 128  # heads, and tails, that cuts are looked for at


def lower_bound_s(instance: Instance) -> float:
    """Makespan in s that no schedule of an instance can beat; 0 without tasks.

    The largest makespan that is refuted: if a schedule took at most C, a task could only run where
    head + cost + tail <= C, and the best of chains and loads over these places would still be more than C.
    Source of this way to bound: Klein, Scholl, "Computing lower bounds by destructive improvement", EJOR 112(2), 1999.
    """
    if not instance.n_tasks:
        return 0.0
    a = instance.arrays
    places = _Places.of(a, a.cost_s)
    low_s = places.chain_s()
    if low_s > 0.0:
        low_s = max(low_s, load_bound_s(places, low_s))
    high_s = float(heft(a)[2].max())
    for _ in range(N_HALVINGS):
        if high_s - low_s <= 1e-3 * low_s:
            break
        middle_s = (low_s + high_s) / 2
        if _is_refuted(a, places, middle_s):
            low_s = middle_s
        else:
            high_s = middle_s
    return low_s


def chain_bound_s(instance: Instance) -> float:
    """Longest chain of tasks and transfers, each task where the whole chain is shortest."""
    a = instance.arrays
    return _Places.of(a, a.cost_s).chain_s()


@dataclass(frozen=True)
class _Places:
    """Where tasks may run, [n, m] each: run time (infinite: not there), least time before the start, least time after the end."""

    cost_s: FloatArray
    head_s: FloatArray
    tail_s: FloatArray

    @classmethod
    def of(cls, a: Arrays, cost_s: FloatArray) -> _Places:
        """Heads and tails for given run times."""
        return cls(cost_s, *heads_and_tails(a, cost_s))

    def through_s(self) -> FloatArray:
        """[n, m] least makespan with a task on a device, as far as chains tell."""
        return self.head_s + self.cost_s + self.tail_s

    def chain_s(self) -> float:
        """Bound by chains: max over tasks of the least over devices of head + cost + tail."""
        return float(self.through_s().min(axis=1).max(initial=0.0))


def _is_refuted(a: Arrays, places: _Places, makespan_s: float) -> bool:
    """Whether no schedule can take `makespan_s` or less."""
    while True:
        late: BoolArray = np.isfinite(places.cost_s) & (places.through_s() > makespan_s * (1 + ROUNDING))
        if not late.any():
            refuted_s = makespan_s * (1 + ROUNDING)
            return load_bound_s(places, makespan_s, refuted_s) > refuted_s
        cost_s = np.where(late, np.inf, places.cost_s)
        if not np.isfinite(cost_s).any(axis=1).all():
            return True
        places = _Places.of(a, cost_s)


@dataclass
class _Program:
    """Linear program: split each task over its places so that the fullest device is least full.

    A cut (p, h, t) is what device p has to do in tasks of head >= h and tail >= t, with h before and t after:
    h + sum of cost * share + t <= C.
    """

    places: _Places
    members: list[BoolArray] = field(default_factory=list)  # [n] of each cut
    devices: list[int] = field(default_factory=list)
    around_s: list[float] = field(default_factory=list)  # h + t

    def add(self, device: int, head_s: float, tail_s: float) -> None:
        """Add a cut."""
        places = self.places
        there = np.isfinite(places.cost_s[:, device])
        self.members.append(there & (places.head_s[:, device] >= head_s) & (places.tail_s[:, device] >= tail_s))
        self.devices.append(device)
        self.around_s.append(head_s + tail_s)

    def solve(self) -> tuple[float, FloatArray, float]:
        """Return a bound in s, the shares [n, m] and the optimum of the program.

        The bound is the value of the multipliers of the cuts, so it holds whatever the tolerance of the solver:
        sum over cuts y (h + t) + sum over tasks of min over devices of sum over its cuts y * cost, for sum y = 1.
        """
        from scipy.optimize import linprog  # noqa: PLC0415  (slow to import, and few need bounds)
        from scipy.sparse import csr_array  # noqa: PLC0415

        cost_s, (n, m) = self.places.cost_s, self.places.cost_s.shape
        unit_s = float(np.where(np.isfinite(cost_s), cost_s, 0.0).max()) or 1.0
        task, device = np.nonzero(np.isfinite(cost_s))
        rows = [
            np.where(member[task] & (device == p), cost_s[task, device], 0.0) for member, p in zip(self.members, self.devices, strict=True)
        ]
        left = np.column_stack([np.array(rows) / unit_s, np.full(len(rows), -1.0)])
        whole = csr_array((np.ones(task.size), (task, np.arange(task.size))), shape=(n, task.size + 1))
        target = np.append(np.zeros(task.size), 1.0)
        found = linprog(target, csr_array(left), -np.array(self.around_s) / unit_s, whole, np.ones(n), bounds=(0.0, None), method="highs")
        shares = np.zeros((n, m))
        if found.x is None:  # the solver gave up
            return 0.0, shares, np.inf
        shares[task, device] = found.x[:-1]
        return self._value_s(np.maximum(0.0, -found.ineqlin.marginals)), shares, float(found.fun) * unit_s

    def _value_s(self, multiplier: FloatArray) -> float:
        if not multiplier.sum() > 0.0:
            return 0.0
        share = multiplier / multiplier.sum()
        price_s = np.where(np.isfinite(self.places.cost_s), 0.0, np.inf)
        for y, member, p in zip(share, self.members, self.devices, strict=True):
            price_s[member, p] += y * self.places.cost_s[member, p]
        return float(share @ np.array(self.around_s) + price_s.min(axis=1).sum())


def load_bound_s(places: _Places, limit_s: float, enough_s: float = np.inf) -> float:
    """Bound by loads: the least that the fullest device has to do, with what has to come before and after.

    `limit_s` is a makespan that holds as a lower bound, or is assumed to: only cuts with h + t <= limit_s
    are true of a device that has none of the tasks of the cut. Stops when the bound is above `enough_s`.
    """
    program, best_s = _Program(places), 0.0
    for device in np.flatnonzero(np.isfinite(places.cost_s).any(axis=0)).tolist():
        program.add(device, 0.0, 0.0)
    for _ in range(N_ROUNDS):
        bound_s, shares, optimum_s = program.solve()
        best_s = max(best_s, bound_s)
        if best_s > enough_s or not _add_violated(program, shares, limit_s, optimum_s):
            break
    return best_s


def _add_violated(program: _Program, shares: FloatArray, limit_s: float, optimum_s: float) -> bool:
    """Add, for each device, the cut that the shares break most; return whether there was any."""
    places, n_before = program.places, len(program.members)
    for device in range(shares.shape[1]):
        there = np.isfinite(places.cost_s[:, device])
        if not there.any():
            continue
        head_s, tail_s = places.head_s[there, device], places.tail_s[there, device]
        heads_s, tails_s = _thresholds(head_s), _thresholds(tail_s)
        work_s = places.cost_s[there, device] * shares[there, device]
        inside_s = ((head_s >= heads_s[:, np.newaxis]) * work_s) @ (tail_s[:, np.newaxis] >= tails_s).astype(np.float64)
        around_s = heads_s[:, np.newaxis] + tails_s
        total_s = np.where(around_s <= limit_s, around_s + inside_s, 0.0)
        h, t = np.unravel_index(int(total_s.argmax()), total_s.shape)
        if total_s[h, t] > optimum_s * (1 + 1e-6):
            program.add(device, float(heads_s[h]), float(tails_s[t]))
    return len(program.members) > n_before


def _thresholds(values_s: FloatArray) -> FloatArray:
    """Different values in order, or N_THRESHOLDS of them, the least among them."""
    values_s = np.unique(values_s)
    return values_s[np.unique(np.linspace(0, values_s.size - 1, N_THRESHOLDS).astype(np.int64))]

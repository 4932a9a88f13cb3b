"""When inferences arrive: at random, in a fixed rhythm, or as a recorded trace says."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workloads.errors import SimulationError
from workloads.graph import Workload

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stream:
    """Inferences of one network that arrive one after the other.

    rate_per_s   mean rate of a Poisson process, or
    period_s     time from one arrival to the next, the first at 0, or
    arrivals_s   every arrival, in ascending order; none of the three: only for a saturated load
    deadline_s   from the arrival, within which an inference should end; None: none
    priority     of its inferences where priorities decide; larger first
    name         in reports; empty: that of the network

    Raises SimulationError for numbers out of range, an empty trace and one that is not in order.
    """

    workload: Workload
    rate_per_s: float | None = None
    period_s: float | None = None
    arrivals_s: Sequence[float] | None = None
    deadline_s: float | None = None
    priority: float = 0.0
    name: str = ""

    def __post_init__(self) -> None:
        """Check what is given."""
        if sum(given is not None for given in (self.rate_per_s, self.period_s, self.arrivals_s)) > 1:
            raise SimulationError(f"stream {self.label}: give one of rate, period and trace of arrivals, not several")
        for what, value in (("rate", self.rate_per_s), ("period", self.period_s), ("deadline", self.deadline_s)):
            if value is not None and not 0.0 < value < math.inf:
                raise SimulationError(f"stream {self.label}: {what} {value} is out of range; choose more than 0")
        if not math.isfinite(self.priority):
            raise SimulationError(f"stream {self.label}: priority {self.priority} is not finite; larger priorities run first")
        if self.arrivals_s is not None:
            check_trace(np.asarray(self.arrivals_s, np.float64), f"stream {self.label}: trace of arrivals")

    @property
    def label(self) -> str:
        """What reports and messages call it."""
        return self.name or self.workload.name

    @property
    def kind(self) -> str:
        """Word for how it arrives."""
        kinds = {"Poisson": self.rate_per_s, "periodic": self.period_s, "trace": self.arrivals_s}
        return next((kind for kind, given in kinds.items() if given is not None), "saturated")

    @property
    def mean_rate_per_s(self) -> float:
        """Arrivals a second in the long run, (n - 1) / (last - first) of a trace; 0: not given, infinite: all at once."""
        if self.rate_per_s is not None:
            return self.rate_per_s
        if self.period_s is not None:
            return 1.0 / self.period_s
        if self.arrivals_s is None or len(self.arrivals_s) < 2:
            return 0.0
        span_s = float(self.arrivals_s[-1] - self.arrivals_s[0])
        return (len(self.arrivals_s) - 1) / span_s if span_s > 0 else math.inf

    def draw(self, n: int, rng: np.random.Generator) -> Floats:
        """[n] the first arrivals, fewer where a trace is shorter."""
        if self.rate_per_s is not None:
            return np.asarray(np.cumsum(rng.exponential(1.0 / self.rate_per_s, n)), np.float64)
        if self.period_s is not None:
            return np.asarray(np.arange(n) * self.period_s, np.float64)
        return np.asarray(self.arrivals_s if self.arrivals_s is not None else [], np.float64)[:n]


@dataclass(frozen=True, eq=False)
class Arrivals:
    """Inferences of all streams in the order of arrival: time_s [n], and stream [n] that each belongs to."""

    time_s: Floats
    stream: Ints

    @property
    def n(self) -> int:
        """Number of inferences."""
        return self.time_s.size


def draw_arrivals(streams: Sequence[Stream], n: int, rng: np.random.Generator) -> Arrivals:
    """Return the first n arrivals of all streams, each drawn from a generator of its own; ties: the stream that comes first."""
    times = [stream.draw(n, own) for stream, own in zip(streams, rng.spawn(len(streams)), strict=True)]
    return _merged(times, n)


def backlog(streams: Sequence[Stream], n: int) -> Arrivals:
    """Return n inferences that all wait at time 0, mixed in the ratio of the streams' rates (alike where none has one)."""
    rates = np.array([stream.mean_rate_per_s for stream in streams])
    if not ((rates > 0) & np.isfinite(rates)).all():
        rates = np.ones(len(streams))
    order = _merged([(np.arange(n) + 0.5) / rate for rate in rates], n)
    return Arrivals(np.zeros(order.n), order.stream)


def _merged(times: Sequence[Floats], n: int) -> Arrivals:
    time_s = np.concatenate(times)
    stream = np.repeat(np.arange(len(times)), [part.size for part in times])
    first = np.lexsort((stream, time_s))[:n]
    return Arrivals(time_s[first], stream[first].astype(np.int64))


def check_trace(arrivals_s: Floats, where: str) -> None:
    """Raise SimulationError unless arrivals are there, 0 or later, finite and in ascending order."""
    if not arrivals_s.size:
        raise SimulationError(f"{where} is empty; give at least one arrival")
    for i in np.flatnonzero(~((arrivals_s >= 0) & np.isfinite(arrivals_s)))[:1]:
        raise SimulationError(f"{where}: entry {i + 1} is {arrivals_s[i]}; arrivals are seconds, 0 or later")
    for i in np.flatnonzero(np.diff(arrivals_s) < 0)[:1]:
        raise SimulationError(f"{where}: entry {i + 2} ({arrivals_s[i + 1]:g} s) comes before the one above it; sort by time")


def read_trace(path: Path, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Read a CSV with the columns `arrival_s` and, for more than one stream, `workload`: stream name → arrivals in seconds.

    Raises SimulationError, with file and line, for what cannot be read, is out of order, or belongs to no stream.
    """
    found: dict[str, list[float]] = {name: [] for name in names}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if "arrival_s" not in (rows.fieldnames or ()):
                raise SimulationError(f"{path}: no column `arrival_s`; the first line names the columns: arrival_s,workload")
            for row in rows:
                name, time_s = _read_arrival(f"{path}:{rows.line_num}", row, names)
                found[name].append(time_s)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SimulationError(f"{path}: the trace cannot be read: {getattr(error, 'strerror', None) or error}") from error
    for name, times in found.items():
        check_trace(np.array(times), f"{path}: trace of {name}")
    return {name: tuple(times) for name, times in found.items()}


def _read_arrival(where: str, row: dict[str, str], names: Sequence[str]) -> tuple[str, float]:
    name = row.get("workload") or (names[0] if len(names) == 1 else "")
    if name not in names:
        raise SimulationError(f"{where}: workload {name!r} is none of the load; choose one of: {', '.join(names)}")
    try:
        return name, float(row["arrival_s"])
    except (TypeError, ValueError):
        raise SimulationError(f"{where}: arrival_s {row['arrival_s']!r} is not a number of seconds") from None

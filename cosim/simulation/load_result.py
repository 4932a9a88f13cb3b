"""What a load returns: throughput, latency percentiles, queues, utilization and energy in the steady state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.plan import Schedule
from cosim.simulation.power import OperatingPoint
from hw_models.chip import Chip
from workloads.graph import Workload

Floats = NDArray[np.float64]
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic of a run and its 90 % interval; none where there is too little to tell."""

    value: float
    low: float | None = None
    high: float | None = None

    def summary(self) -> dict[str, float | None]:
        """Return plain JSON values."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class StreamLoad:
    """One stream in the steady state; `latency` by name: mean, p50, p90, p99, max (empty where nothing was counted).

    `unloaded_s` is the latency of one inference alone; `misses` is None without a deadline.
    """

    name: str
    kind: str
    rate_per_s: float
    priority: float
    deadline_s: float | None
    n: int
    throughput_per_s: float
    unloaded_s: float
    latency: Mapping[str, Estimate]
    misses: int | None

    def summary(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "name": self.name,
            "arrivals": self.kind,
            "rate_per_s": self.rate_per_s if np.isfinite(self.rate_per_s) else None,
            "priority": self.priority,
            "n": self.n,
            "throughput_per_s": self.throughput_per_s,
            "unloaded_s": self.unloaded_s,
            "latency_s": {name: estimate.summary() for name, estimate in self.latency.items()},
            "deadline_s": self.deadline_s,
            "deadline_misses": self.misses,
        }


@dataclass(frozen=True, slots=True)
class Use:
    """A device, memory or link: offered load (None where no rate is known) and the part of the time, or of its bandwidth, in use."""

    name: str
    kind: str
    offered: float | None
    utilization: float


@dataclass(frozen=True, slots=True)
class Little:
    """Both sides of Little's law: time average of inferences in the system, arrivals a second times mean latency."""

    in_system: float
    rate_per_s: float
    mean_latency_s: float

    @property
    def difference(self) -> float | None:
        """L / (lambda W) - 1: near 0 in the steady state; None where nothing arrives."""
        product = self.rate_per_s * self.mean_latency_s
        return self.in_system / product - 1.0 if product > 0 else None


@dataclass(frozen=True, slots=True)
class Energy:
    """Joules of one inference: what it spends itself, and its share of what the chip draws whatever runs."""

    dynamic_j: float
    standby_j: float
    saved_j: float
    power_w: float

    @property
    def total_j(self) -> float:
        """Both together."""
        return self.dynamic_j + self.standby_j


@dataclass(frozen=True, eq=False)
class Records:
    """Every inference in the order of arrival: stream [n], arrival, first start and last end [n] in s, and whether it was counted [n]."""

    stream: NDArray[np.int64]
    arrival_s: Floats
    start_s: Floats
    end_s: Floats
    counted: NDArray[np.bool_]


@dataclass(frozen=True)
class LoadResult:
    """A chip under load.

    In an open load, latency is counted from the arrival, in a saturated one from the first start. `window_s` is the time over which
    the steady state is measured, `bound_per_s` the throughput of this mix that the bottleneck cannot exceed (infinite where
    nothing takes time), `growth_per_s` the slope of the number in the system, and `keeps_up` whether that number stays bounded.
    """

    chip: Chip
    workload: Workload
    policy: str
    fidelity: str
    order: str
    seed: int
    saturated: bool
    in_flight: int | None
    streams: tuple[StreamLoad, ...]
    uses: tuple[Use, ...]
    window_s: tuple[float, float]
    throughput_per_s: float
    bound_per_s: float
    bottleneck: str
    little: Little
    growth_per_s: float
    keeps_up: bool
    most_in_flight: int
    energy: Energy
    points: Mapping[str, OperatingPoint]
    records: Records
    schedule: Schedule
    notes: tuple[str, ...]
    provenance: dict[str, Any]

    @property
    def interval_s(self) -> float | None:
        """Mean seconds between two ends: the pipeline interval of a saturated load."""
        return 1.0 / self.throughput_per_s if self.throughput_per_s > 0 else None

    def summary(self) -> dict[str, Any]:
        """Return plain JSON values; the contract of `cosim load --json`."""
        little, energy, bounded = self.little, self.energy, np.isfinite(self.bound_per_s)
        return {
            "workload": self.workload.name,
            "chip": self.chip.name,
            "policy": self.policy,
            "fidelity": self.fidelity,
            "order": self.order,
            "saturated": self.saturated,
            "in_flight": {"limit": self.in_flight, "most": self.most_in_flight},
            "n_inferences": int(self.records.counted.size),
            "n_counted": int(self.records.counted.sum()),
            "window_s": list(self.window_s),
            "throughput_per_s": self.throughput_per_s,
            "interval_s": self.interval_s,
            "bound_per_s": self.bound_per_s if bounded else None,
            "bottleneck": self.bottleneck if bounded else None,
            "streams": [stream.summary() for stream in self.streams],
            "little": {
                "in_system": little.in_system,
                "rate_per_s": little.rate_per_s,
                "mean_latency_s": little.mean_latency_s,
                "difference": little.difference,
            },
            "queue": {"growth_per_s": self.growth_per_s, "keeps_up": self.keeps_up},
            "utilization": {use.name: {"kind": use.kind, "offered": use.offered, "utilization": use.utilization} for use in self.uses},
            "energy": {
                "per_inference_j": energy.total_j,
                "dynamic_j": energy.dynamic_j,
                "standby_j": energy.standby_j,
                "saved_by_gating_j": energy.saved_j,
                "power_w": energy.power_w,
            },
            "operating_points": {
                name: {"clock": point.clock, "supply_v": point.supply_v, "nominal_v": point.nominal_v}
                for name, point in self.points.items()
            },
            "notes": list(self.notes),
            "provenance": dict(self.provenance),
        }

"""Clock, supply and idle states: what a device costs at another clock, and what it saves when it is switched off between ops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosim.simulation.costs import OpCosts
from hw_models.chip import Chip
from hw_models.cost import CostTable
from hw_models.registry import Device
from hw_models.technology import delay_at_voltage, energy_at_voltage, supply_v
from workloads.errors import SimulationError, suggest

# assumed: lowest supply at which standard-Vt logic and its 6T SRAM still work at speed without assist circuits.
LEAST_SUPPLY_V = 0.5


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A device at another clock: scale of the clock, supply and nominal supply in V, factor on dynamic energy (V / V_nominal)^2."""

    clock: float
    supply_v: float
    nominal_v: float

    @property
    def energy(self) -> float:
        """Factor on dynamic energy."""
        return energy_at_voltage(self.supply_v, self.nominal_v)


@dataclass(frozen=True, slots=True)
class Gating:
    """Power gating: a device that has been idle for `after_s` draws only `kept` of its idle power until its next op.

    Both are the caller's assumption; waking up takes no time. Raises SimulationError for numbers out of range.
    """

    after_s: float
    kept: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0.0 <= self.after_s < math.inf:
            raise SimulationError(f"gating after {self.after_s} s is out of range; choose 0 s or more")
        if not 0.0 <= self.kept <= 1.0:
            raise SimulationError(f"gating keeps {self.kept} of the idle power; choose 0 to 1")

    def saved_s(self, start_s: NDArray[np.float64], end_s: NDArray[np.float64], window: tuple[float, float]) -> float:
        """Seconds of full idle power saved in a window: (1 - kept) * sum over idle gaps of the part beyond `after_s`.

        start_s, end_s [n] when the ops of one device run, in any order; they do not overlap.
        """
        order = np.argsort(start_s, kind="stable")
        off_s = np.concatenate([[0.0], end_s[order]]) + self.after_s
        on_s = np.concatenate([start_s[order], [math.inf]])
        return (1.0 - self.kept) * float(np.maximum(np.minimum(on_s, window[1]) - np.maximum(off_s, window[0]), 0.0).sum())


def operating_point(device: Device, clock: float) -> OperatingPoint:
    """Return the supply at which gates are as slow as the clock allows: delay(V) / delay(V_nominal) = 1 / clock, by bisection.

    delay ~ V / (V - Vt)^1.3, the alpha-power law of hw_models.technology (Sakurai and Newton, JSSC 1990).
    Raises SimulationError for a clock that needs more than the nominal supply or less than LEAST_SUPPLY_V, and for a device
    whose node is not known or that computes in memory, where converters and cells follow other laws.
    """
    node_m = getattr(device.spec, "node_m", None)
    if device.n_arrays > 0 or device.scratch_arrays > 0:
        raise SimulationError(f"dvfs {device.name}: it computes in memory, whose cells and converters do not follow the supply of logic")
    if node_m is None:
        raise SimulationError(f"dvfs {device.name}: its description gives no node, so its supply is not known")
    nominal_v = supply_v(node_m)
    if not 0.0 < clock <= 1.0:
        reason = f"would need more than the nominal {nominal_v:.2f} V" if 1.0 < clock < math.inf else "is no clock"
        raise SimulationError(f"dvfs {device.name}: {clock:g} times its clock {reason}; choose more than 0, at most 1")
    slowest = 1.0 / delay_at_voltage(LEAST_SUPPLY_V, nominal_v)
    if clock < slowest * (1 - 1e-12):
        raise SimulationError(
            f"dvfs {device.name}: {clock:g} times its clock would need less than {LEAST_SUPPLY_V} V; "
            f"choose {math.ceil(slowest * 1000) / 1000:g} to 1"
        )
    low_v, high_v = LEAST_SUPPLY_V, nominal_v
    for _ in range(60):
        middle_v = (low_v + high_v) / 2
        low_v, high_v = (low_v, middle_v) if delay_at_voltage(middle_v, nominal_v) * clock <= 1.0 else (middle_v, high_v)
    return OperatingPoint(clock, high_v, nominal_v)


def operating_points(chip: Chip, dvfs: Mapping[str, float]) -> dict[str, OperatingPoint]:
    """Return the operating point of each device that is given a clock; raises SimulationError as `operating_point` does."""
    for name in dvfs:
        if name not in chip.devices:
            raise SimulationError(f"dvfs {name}: no such device on {chip.name}; {suggest(name, chip.devices)}")
    return {name: operating_point(chip.devices[name], clock) for name, clock in dvfs.items()}


def at_points(costs: OpCosts, points: Mapping[str, OperatingPoint]) -> OpCosts:
    """Return costs with all times inside the given devices divided by the clock, and their dynamic energy times (V / V_nominal)^2."""
    tables = tuple(
        _at_point(table, points[name]) if name in points else table for name, table in zip(costs.device_names, costs.tables, strict=True)
    )
    return replace(costs, tables=tables)


def _at_point(table: CostTable, point: OperatingPoint) -> CostTable:
    times = {name: getattr(table, name) / point.clock for name in ("latency_s", "fixed_s", "serial_s")}
    return replace(table, energy_j=table.energy_j * point.energy, **times)

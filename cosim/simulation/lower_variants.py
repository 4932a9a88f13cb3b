"""What an op can cost under any residency that a placement may settle on: weights on arrays, pinned, or fetched."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosim.simulation.costs import OpCosts
from cosim.simulation.residency import Residency
from cosim.simulation.traffic import Traffic, plan_traffic
from hw_models.chip import Chip

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Copies:
    """Ops on arrays, [n_ops, n_devices] each: arrays of one copy, most copies, and the time inside with one and with any number."""

    n_arrays: Floats
    most: Floats
    single_s: Floats
    serial_s: Floats


@dataclass(frozen=True)
class Variant:
    """Traffic under one residency; with `copies`, the time inside depends on how many arrays an op takes, and these cost something."""

    traffic: Traffic
    copies: Copies | None = None

    def seconds(self, rows: NDArray[np.int64], n_bytes: Floats, price_s: float) -> Floats:
        """[n, n_devices] time of ops `rows` that move `n_bytes` themselves, and price * arrays; infinite where it is not supported.

        With c copies, not nec. whole: fixed + max(serial, memories, link, single / c) + price * c * arrays, least over c.
        """
        one = self.traffic
        moved_s = np.maximum(one.memory_s(n_bytes).max(axis=2), n_bytes.sum(axis=(2, 3)) / one.link_bytes_per_s)
        if self.copies is None:
            inside_s = np.maximum(one.body_s[rows], moved_s)
        else:
            n_arrays, single_s = self.copies.n_arrays[rows], self.copies.single_s[rows]
            else_s = np.maximum(self.copies.serial_s[rows], moved_s)
            with np.errstate(divide="ignore", invalid="ignore"):
                useful = np.where(else_s > 0, single_s / else_s, np.inf)
                best = np.sqrt(single_s / (price_s * n_arrays)) if price_s > 0 else np.full(single_s.shape, np.inf)
            c = np.maximum(1.0, np.minimum(np.minimum(useful, best), self.copies.most[rows]))
            inside_s = np.maximum(else_s, single_s / c) + price_s * n_arrays * c
        return np.where(one.supported[rows], one.fixed_s[rows] + one.program_s[rows] + inside_s, np.inf)


def variants_of(chip: Chip, costs: OpCosts, traffic: Traffic, residency: Residency) -> list[Variant]:
    """Return what covers every residency that a placement may settle on; on a chip without arrays in use, the one there is.

    Arrays go to ops that run on them. So an op may be on the arrays of any device that can run it, with copies where
    others leave room; an op that leaves its arrays fetches its weights, or finds them pinned. What is pinned stays so.
    """
    resident = np.array(residency.array_device)[:, None] == np.arange(len(chip.devices))
    if not resident.any():
        return [Variant(traffic)]
    workload = costs.workload
    fetched = replace(traffic, supported=traffic.supported & ~resident)
    all_weights = any(device.scratch_arrays for device in chip.devices.values())
    leaving = [op for op, device in zip(workload.ops, residency.array_device, strict=True) if device >= 0 or all_weights]
    pinned = residency.pinned | {name for op in leaving for name in op.weights}
    found = [Variant(fetched)]
    if chip.shared and chip.spec.memory.pin_weights:
        other = plan_traffic(chip, workload, costs, replace(residency, pinned=frozenset(pinned)))
        found.append(Variant(replace(other, supported=fetched.supported)))
    return [*found, *(_on_arrays(chip, costs, traffic, residency, d) for d, device in enumerate(chip.devices.values()) if device.n_arrays)]


def _on_arrays(chip: Chip, costs: OpCosts, traffic: Traffic, residency: Residency, index: int) -> Variant:
    """All weights that a device could hold on its arrays, each op as if it had them for itself."""
    device = list(chip.devices.values())[index]
    need = costs.n_arrays[:, index]
    held = traffic.supported[:, index] & (need > 0) & (need <= device.n_arrays)
    where = np.where(held, index, np.array(residency.array_device))
    there = plan_traffic(chip, costs.workload, costs, replace(residency, array_device=tuple(where.tolist())))
    supported = np.zeros_like(traffic.supported)
    supported[held, index] = True
    vectors = np.array([op.gemm.m if op.gemm else 1 for op in costs.workload.ops], np.float64)[:, None]
    n_arrays = np.maximum(costs.n_arrays, 1.0)
    most = np.minimum(np.floor(device.n_arrays / n_arrays), vectors)
    single_s = np.where(costs.supported, costs.latency_s - costs.fixed_s, 0.0)
    return Variant(replace(there, supported=supported), Copies(n_arrays, np.maximum(most, 1.0), single_s, costs.serial_s))

"""Joules that do not depend on a run: of each op on each device, and what a chip draws whatever runs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cosim.simulation.costs import OpCosts
from cosim.simulation.traffic import Traffic
from hw_models.chip import Chip
from hw_models.cost import Spread
from hw_models.memory.base import category

Floats = NDArray[np.float64]
Owner = tuple[str, str]  # (device, component)


def energy_of_ops_j(chip: Chip, costs: OpCosts, traffic: Traffic, n_bytes: Floats) -> Floats:
    """[n_ops, n_devices] what an op spends on a device, memories and link included; infinite where it cannot run."""
    per_byte = np.array([[sum(m.energy_parts_j(1.0, 0.0).values()), sum(m.energy_parts_j(0.0, 1.0).values())] for m in traffic.memories])
    outside_j = (n_bytes * per_byte).sum(axis=(2, 3))
    links_j = np.array([link.energy_j(1.0) for link in chip.links.values()]) * n_bytes.sum(axis=(2, 3))
    rewritten_j = np.where(traffic.rewrites, costs.program_j, 0.0)
    return np.asarray(np.where(traffic.supported, costs.device_energy_j + rewritten_j + outside_j + links_j, np.inf))


def standby(chip: Chip) -> Iterator[tuple[Owner, float, str, tuple[Spread, ...], bool]]:
    """Yield (owner, watts, category, spreads, assumed) of everything that draws power while the chip is on."""
    for device in chip.devices.values():
        yield (device.name, "idle"), device.idle_w, "idle", device.idle_spreads, device.idle_assumed
    for memory in chip.memories.values():
        for component, power_w in memory.standby_parts_w.items():
            owner = (memory.name, component)
            yield owner, power_w, category(component), memory.spreads.get(component, ()), component in memory.assumed

"""What it costs, once, to put resident weights where they stay."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from cosim.simulation.costs import OpCosts
from cosim.simulation.residency import Residency
from hw_models.chip import Chip


@dataclass(frozen=True, slots=True)
class Programming:
    """Energy and time of writing all resident weights once, and after how many inferences that has paid off.

    `break_even_inferences` compares with the same chip fetching those weights at each inference and computing
    on the best of its other devices; None when nothing is resident or nothing is saved.
    """

    energy_j: float
    latency_s: float
    break_even_inferences: int | None


def programming(chip: Chip, costs: OpCosts, residency: Residency) -> Programming:
    """Sum array writes (device by device in parallel, ops in turn) and copies into the shared memory."""
    fetched = 0.0
    energy_j = 0.0
    busy_s = dict.fromkeys(range(len(chip.devices)), 0.0)
    links = list(chip.links.values())
    for i, d in enumerate(residency.array_device):
        if d >= 0:
            n_bytes = float(costs.n_bytes[i, d, 0])
            fetched += n_bytes
            energy_j += float(costs.program_j[i, d]) * residency.copies[i] + links[d].energy_j(n_bytes)
            busy_s[d] += float(costs.program_s[i, d]) * residency.copies[i]
    pinned = float(sum(costs.workload.tensors[name].n_bytes for name in residency.pinned))
    if chip.shared is not None and pinned:
        energy_j += sum(chip.shared.energy_parts_j(0.0, pinned).values())
    fetched += pinned
    energy_j += sum(chip.weights.energy_parts_j(fetched, 0.0).values())
    latency_s = max(fetched / chip.weights.bandwidth_bytes_per_s, *busy_s.values())
    saved_j = sum(residency.saved_j) + _pinned_saving_j(chip, pinned)
    pays = ceil(energy_j / saved_j) if energy_j > 0 and saved_j > 0 else None
    return Programming(energy_j, latency_s, pays)


def _pinned_saving_j(chip: Chip, n_bytes: float) -> float:
    """Joules an inference saved by reading weights from the shared memory instead of the weight store."""
    if chip.shared is None or not n_bytes:
        return 0.0
    off = sum(chip.weights.energy_parts_j(n_bytes, 0.0).values())
    return max(0.0, off - sum(chip.shared.energy_parts_j(n_bytes, 0.0).values()))

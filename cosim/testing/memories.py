"""Laws of memories: energy linear in bytes, a bandwidth below the peak with a named limit, power for being there."""

from __future__ import annotations

from itertools import product

import numpy as np

from cosim.testing.judge import Judge, close
from hw_models.memory.base import Memory
from workloads.errors import SpecError


def check_memory(memory: Memory) -> None:
    """Check the laws of a memory; raises SpecError."""
    judge = Judge(f"memory {memory.name!r}", SpecError)
    _check_energy(judge, memory)
    _check_standing(judge, memory)
    rate, peak = memory.bandwidth_bytes_per_s, memory.peak_bytes_per_s
    judge.law("the sustained bandwidth is above 0 and not above the peak", 0 < rate <= peak, f"{rate} B/s sustained, {peak} B/s peak")
    judge.law("what limits the bandwidth has a name", bool(memory.bandwidth_limit), f"bandwidth_limit is {memory.bandwidth_limit!r}")


def _check_energy(judge: Judge, memory: Memory) -> None:
    """Check E(3 r, 3 w) = 3 E(r, w) = 3 (E(r, 0) + E(0, w)) component by component, and its sign."""
    names = list(memory.energy_parts_j(0.0, 0.0))
    for read, write in product((0.0, 1.0, 64.0, 1e9), repeat=2):
        parts, tripled = memory.energy_parts_j(read, write), memory.energy_parts_j(3 * read, 3 * write)
        reads, writes = memory.energy_parts_j(read, 0.0), memory.energy_parts_j(0.0, write)
        work = f"{read} bytes read and {write} written"
        judge.law("components do not depend on the bytes", list(parts) == names, f"{list(parts)} for {work}, {names} for none")
        for name, energy_j in parts.items():
            judge.law("energy is finite and 0 or more", 0 <= energy_j < np.inf, f"{name}: {energy_j} J for {work}")
            split_j = reads[name] + writes[name]
            linear = close(tripled[name], 3 * energy_j) and close(split_j, energy_j)
            said = f"{name}: {energy_j} J for {work}, {split_j} J one by one, {tripled[name]} J for three times as much"
            judge.law("energy is linear in bytes", linear, said)


def _check_standing(judge: Judge, memory: Memory) -> None:
    """Check power, sizes and notes."""
    dynamic, standby = set(memory.energy_parts_j(1.0, 1.0)), memory.standby_parts_w
    judge.law("standby power is finite and 0 or more", all(0 <= w < np.inf for w in standby.values()), f"{standby} W")
    both = sorted(dynamic & set(standby))
    judge.law("energy by the byte and standby power have components of their own", not both, f"{both} are both")
    noted = {*memory.spreads, *memory.assumed} - dynamic - set(standby)
    judge.law("spreads and assumptions are of components", not noted, f"{sorted(noted)} are none")
    judge.law("the capacity is above 0", memory.capacity_bytes > 0, f"{memory.capacity_bytes} bytes")
    judge.law("the first access takes 0 or more", 0 <= memory.first_access_s < np.inf, f"{memory.first_access_s} s")
    judge.law("the area is 0 or more", 0 <= memory.area_m2 < np.inf, f"{memory.area_m2} m2")

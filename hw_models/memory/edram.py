"""Embedded DRAM: published macros, each with its own energy per access and refresh power."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import PositiveInt

from hw_models.memory.base import Memory
from hw_models.memory.registry import memory
from hw_models.specs import Spec
from hw_models.units import Bytes, Hertz, Joules, Seconds, SquareMeters, Watts

if TYPE_CHECKING:
    from hw_models.cost import Spread


class EdramSpec(Spec):
    """Equal banks of embedded DRAM; energies are of one access of `width_bits`, power and area of one bank."""

    capacity_bytes: Bytes
    n_banks: PositiveInt = 1
    width_bits: PositiveInt
    clock_hz: Hertz
    access_s: Seconds
    read_j: Joules
    write_j: Joules
    leakage_w: Watts
    refresh_w: Watts
    area_m2: SquareMeters


@memory("edram")
class Edram(Memory):
    """On-chip embedded DRAM; refresh is a standing power, its lost cycles are not modeled."""

    spec_class = EdramSpec
    spec: EdramSpec

    @property
    def capacity_bytes(self) -> float:
        """Bytes it holds."""
        return self.spec.capacity_bytes

    @property
    def peak_bytes_per_s(self) -> float:
        """Banks x width x clock."""
        return self.spec.n_banks * self.spec.width_bits / 8 * self.spec.clock_hz

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Return the peak: one access of every bank a clock."""
        return self.peak_bytes_per_s

    @property
    def bandwidth_limit(self) -> str:
        """Return what binds."""
        return "port width x clock"

    @property
    def first_access_s(self) -> float:
        """Access time of a bank."""
        return self.spec.access_s

    def energy_parts_j(self, read_bytes: float, write_bytes: float) -> dict[str, float]:
        """Accesses times energy per access: bytes / (width / 8) each."""
        per_byte = 8 / self.spec.width_bits
        return {"read": read_bytes * per_byte * self.spec.read_j, "write": write_bytes * per_byte * self.spec.write_j}

    @property
    def standby_parts_w(self) -> dict[str, float]:
        """Leakage and refresh of all banks."""
        return {"leakage": self.spec.n_banks * self.spec.leakage_w, "refresh": self.spec.n_banks * self.spec.refresh_w}

    @property
    def area_m2(self) -> float:
        """Area of all banks."""
        return self.spec.n_banks * self.spec.area_m2

    @property
    def spreads(self) -> dict[str, tuple[Spread, ...]]:
        """Return what the file says of each number."""
        return {key: self.spec.spread("edram", key) for key in ("read", "write", "leakage", "refresh")}

    @property
    def assumed(self) -> frozenset[str]:
        """Components declared assumed."""
        return frozenset(key for key in ("read", "write", "leakage", "refresh") if self.spec.is_assumed(key))

"""Flash: non-volatile, read through one port at one rate, costs little when idle and much when written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hw_models.memory.base import Memory
from hw_models.memory.registry import memory
from hw_models.specs import Spec
from hw_models.units import Bytes, BytesPerSecond, JoulesPerByte, Seconds, SquareMeters, Watts

if TYPE_CHECKING:
    from hw_models.cost import Spread


class FlashSpec(Spec):
    """An embedded macro or a serial chip; `area` is what it takes on our die, `leakage` its standby power."""

    capacity_bytes: Bytes
    bandwidth_bytes_per_s: BytesPerSecond
    first_access_s: Seconds
    read_j_per_byte: JoulesPerByte
    write_j_per_byte: JoulesPerByte
    leakage_w: Watts
    area_m2: SquareMeters


@memory("flash")
class Flash(Memory):
    """Non-volatile store of weights and code; writes take the read bandwidth, so programming times are optimistic."""

    spec_class = FlashSpec
    spec: FlashSpec

    @property
    def capacity_bytes(self) -> float:
        """Bytes it holds."""
        return self.spec.capacity_bytes

    @property
    def peak_bytes_per_s(self) -> float:
        """Read port at its rate."""
        return self.spec.bandwidth_bytes_per_s

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Read port at its rate: sequential reads need no row to be opened."""
        return self.spec.bandwidth_bytes_per_s

    @property
    def bandwidth_limit(self) -> str:
        """Return what binds."""
        return "read port"

    @property
    def first_access_s(self) -> float:
        """Seconds to the first word: wait states, or command and address on a serial bus."""
        return self.spec.first_access_s

    def energy_parts_j(self, read_bytes: float, write_bytes: float) -> dict[str, float]:
        """Bytes times energy per byte."""
        return {"read": read_bytes * self.spec.read_j_per_byte, "write": write_bytes * self.spec.write_j_per_byte}

    @property
    def standby_parts_w(self) -> dict[str, float]:
        """Standby power."""
        return {"leakage": self.spec.leakage_w}

    @property
    def area_m2(self) -> float:
        """Area on the chip."""
        return self.spec.area_m2

    @property
    def spreads(self) -> dict[str, tuple[Spread, ...]]:
        """Return what the file says of each number."""
        return {key: self.spec.spread("flash", key) for key in ("read", "write", "leakage")}

    @property
    def bandwidth_spreads(self) -> tuple[Spread, ...]:
        """Return what the file says of the bandwidth."""
        return self.spec.spread("flash", "bandwidth")

    @property
    def assumed(self) -> frozenset[str]:
        """Components declared assumed."""
        return frozenset(key for key in ("read", "write", "leakage") if self.spec.is_assumed(key))

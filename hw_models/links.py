"""Links: the on-chip path between a device and the memories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hw_models.specs import Spec
from hw_models.units import BytesPerSecond, JoulesPerByte, Meters, Seconds

if TYPE_CHECKING:
    from hw_models.cost import Spread


class LinkSpec(Spec):
    """A bus or network port: bandwidth, latency and energy per byte; `length` is for the reader and the floor plan."""

    bandwidth_bytes_per_s: BytesPerSecond
    latency_s: Seconds
    energy_j_per_byte: JoulesPerByte
    length_m: Meters | None = None


class Link:
    """A link under the name of the device that it serves."""

    def __init__(self, name: str, spec: LinkSpec) -> None:
        """Keep the name and the spec."""
        self.name, self.spec = name, spec

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Bytes/s in both directions together."""
        return self.spec.bandwidth_bytes_per_s

    @property
    def latency_s(self) -> float:
        """Seconds from the first byte in to the first byte out."""
        return self.spec.latency_s

    def energy_j(self, n_bytes: float) -> float:
        """Energy of moving so many bytes: E = n * e."""
        return n_bytes * self.spec.energy_j_per_byte

    @property
    def spreads(self) -> tuple[Spread, ...]:
        """What makes the energy uncertain; one name for all links, since one reason stands behind them."""
        return self.spec.spread("link", "energy")

    @property
    def time_spreads(self) -> tuple[Spread, ...]:
        """What makes latency and bandwidth uncertain."""
        return self.spec.spread("link", "latency", "bandwidth")

    @property
    def assumed(self) -> bool:
        """Whether the energy is declared assumed."""
        return self.spec.is_assumed("energy")

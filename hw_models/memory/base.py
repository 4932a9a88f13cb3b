"""What every memory answers: how fast, how much energy for which bytes, how much power for being there, how much area."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from hw_models.cost import Spread
    from hw_models.specs import Spec

# Components that are drawn for as long as the memory is powered; all others are paid per byte.
STATIC_COMPONENTS = frozenset({"background", "refresh", "leakage"})


def category(component: str) -> Literal["memory", "static"]:
    """Ledger category of a component: "static" for background, refresh and leakage, "memory" for the rest."""
    return "static" if component in STATIC_COMPONENTS else "memory"


class Memory(ABC):
    """A store under a name. Energies are linear in bytes, powers constant; the engine charges both."""

    kind: ClassVar[str]
    spec_class: ClassVar[type[Spec]]

    def __init__(self, name: str, spec: Spec) -> None:
        """Keep the name it has on its chip and its spec."""
        self.name, self.spec = name, spec

    @property
    @abstractmethod
    def capacity_bytes(self) -> float:
        """Bytes it holds."""

    @property
    @abstractmethod
    def peak_bytes_per_s(self) -> float:
        """Bytes/s of its interface, never reached."""

    @property
    @abstractmethod
    def bandwidth_bytes_per_s(self) -> float:
        """Bytes/s that long sequential streams sustain; reads and writes share it."""

    @property
    @abstractmethod
    def bandwidth_limit(self) -> str:
        """What keeps the sustained bandwidth where it is."""

    @property
    @abstractmethod
    def first_access_s(self) -> float:
        """Seconds from an unloaded request to its first data."""

    @abstractmethod
    def energy_parts_j(self, read_bytes: float, write_bytes: float) -> dict[str, float]:
        """Dynamic energy by component of reading and writing so many bytes in sequential streams."""

    @property
    @abstractmethod
    def standby_parts_w(self) -> dict[str, float]:
        """Power by component for as long as the chip is on."""

    @property
    @abstractmethod
    def area_m2(self) -> float:
        """Area on the chip: the macro, or interface and controller of an external memory."""

    @property
    def spreads(self) -> dict[str, tuple[Spread, ...]]:
        """What makes each component's energy or power uncertain."""
        return {}

    @property
    def bandwidth_spreads(self) -> tuple[Spread, ...]:
        """What makes the sustained bandwidth uncertain."""
        return ()

    @property
    def assumed(self) -> frozenset[str]:
        """Components whose numbers are assumed, not sourced."""
        return frozenset()

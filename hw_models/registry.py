"""Device kinds by name: built in, or brought by another package through entry points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from hw_models.cost import CostTable, Spread
from hw_models.specs import Spec
from workloads.errors import SpecError
from workloads.optable import OpTable
from workloads.plugins import Classes


class Device(ABC):
    """Something that runs ops: a spec under a name, able to cost every op on many specs in one call."""

    kind: ClassVar[str]
    spec_class: ClassVar[type[Spec]]
    holds_weights: ClassVar[bool] = False

    def __init__(self, name: str, spec: Spec) -> None:
        """Keep the name it has on its chip and its spec."""
        self.name, self.spec = name, spec

    @classmethod
    @abstractmethod
    def costs(cls, specs: Sequence[Spec], ops: OpTable) -> CostTable:
        """Cost every row of `ops` on every spec (all of this kind) in one batch."""

    @property
    @abstractmethod
    def area_m2(self) -> float:
        """Silicon area."""

    @property
    @abstractmethod
    def idle_w(self) -> float:
        """Power while the chip is on and the device does nothing: leakage and clock."""

    @property
    def idle_spreads(self) -> tuple[Spread, ...]:
        """What makes idle_w uncertain."""
        return ()

    @property
    def idle_assumed(self) -> bool:
        """Whether idle_w rests on an assumed number."""
        return False

    @property
    def program_spreads(self) -> tuple[Spread, ...]:
        """What makes the energy of writing weights uncertain."""
        return ()

    @property
    def program_assumed(self) -> bool:
        """Whether the energy of writing weights rests on an assumed number."""
        return False

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of any result on this device has to know, one sentence each."""
        return ()

    @property
    def area_parts_m2(self) -> dict[str, float]:
        """Area by part; sums to area_m2."""
        return {self.name: self.area_m2}

    @property
    def n_arrays(self) -> int:
        """Arrays that can hold weights between inferences; 0 for a device that holds none."""
        return 0

    @property
    def scratch_arrays(self) -> int:
        """Arrays kept free for weights that are rewritten during an inference; 0 where that is not done."""
        return 0

    def peak_macs_per_s(self, weight_bits: int, activation_bits: int) -> float:
        """Multiply-accumulates a second with every unit busy, at these bits; 0 when the device has no MAC units."""
        return 0.0


_BUILT_IN = ("compute.cpu", "compute.gpu", "compute.dsp", "compute.spatial", "cim.macro")
_DEVICES: Classes[Device] = Classes("device kind", "kind", [f"hw_models.{name}" for name in _BUILT_IN], "cosim.devices", SpecError)

# Decorator that registers a device class under the `kind` that chips name it by.
device = _DEVICES.register


def device_kinds() -> dict[str, type[Device]]:
    """Return every device class by kind."""
    return _DEVICES.loaded()


def device_class(kind: str) -> type[Device]:
    """Return the class of a device kind; raises SpecError with the nearest name when there is none."""
    return _DEVICES.find(kind)

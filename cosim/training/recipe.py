"""How a network is trained, as plain numbers: phases, and the control that has all but the noise."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

from workloads.errors import SimulationError


@dataclass(frozen=True)
class Phase:
    """Epochs of Adam with cosine decay to 0 (Loshchilov, Hutter, ICLR 2017), the last partial batch dropped.

    sigma: weight noise relative to the largest weight of a row, drawn anew for each batch (Joshi et al., Nat. Commun. 11 (2020) 2473);
    where there is any, training has at least `least_sigma`, as more noise than will be met can also make a network better at less;
    this or the errors of a chip rise linearly over the first `ramp` of the phase; clip_row, clip_layer: weights are held within so many
    standard deviations of their row or layer (Joshi et al. 2020 clip layers at 2 to 2.5); weight_bits, activation_bits: rounding with
    learned steps (Esser et al., ICLR 2020);
    distill: share of the loss that asks for the outputs of the float network at `temperature` (Hinton et al., arXiv:1503.02531).
    """

    epochs: int
    learning_rate: float
    batch: int = 64
    sigma: float = 0.0
    least_sigma: float = 0.0
    ramp: float = 0.0
    clip_row: float | None = None
    clip_layer: float | None = None
    weight_bits: int | None = None
    activation_bits: int | None = None
    distill: float = 0.0
    temperature: float = 1.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if self.epochs < 0 or self.batch < 1:
            raise SimulationError(f"epochs {self.epochs}, batch {self.batch}: choose 0 or more epochs and batches of 1 or more")
        if not isfinite(self.learning_rate) or self.learning_rate <= 0:
            raise SimulationError(f"learning_rate {self.learning_rate}: choose a number above 0")
        if not 0 <= self.ramp <= 1 or not 0 <= self.distill <= 1:
            raise SimulationError(f"ramp {self.ramp}, distill {self.distill}: shares lie in 0 ... 1")

    @property
    def training_sigma(self) -> float:
        """Noise that training has."""
        return max(self.sigma, self.least_sigma) if self.sigma > 0 else 0.0

    def share_at(self, progress: float) -> float:
        """Share of the full error when `progress` (0 ... 1) of the phase is done."""
        return min(1.0, progress / self.ramp) if self.ramp > 0 else 1.0


@dataclass(frozen=True)
class Recipe:
    """A float network first, then the phases that prepare it for its hardware; `sources` names the paper of each step."""

    name: str
    first: Phase
    then: Phase
    sources: str = ""

    @property
    def control(self) -> Recipe:
        """The same epochs, schedule, clipping, bits and distillation without noise."""
        return replace(self, name=f"{self.name}, control", then=replace(self.then, sigma=0.0))

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for provenance and comparison."""
        return asdict(self)

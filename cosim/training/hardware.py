"""What stands between the weights of a network and its answers, with a switch for each cause of error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal, get_args

from hw_models.cim.noise_base import NoiseSpec
from hw_models.cim.spec import CimMacroSpec
from workloads.errors import SimulationError, suggest

Cause = Literal["weight_bits", "cells", "programming", "read", "drift", "dac", "adc_resolution", "adc_clipping", "ir_drop"]
CAUSES: tuple[Cause, ...] = get_args(Cause)


@dataclass(frozen=True)
class Hardware:
    """Arrays that compute all products with stored weights of a network.

    macro: arrays of this part, through their cells, passes and converters (None: weights meet inputs without any of that);
    noise: what cells of no special array make of real weights, pairs of them a weight, each row filling its own to the full;
    sigma: W + sigma max|W_row| N(0, 1) on the weights of each row instead;
    t_s: seconds since programming (None: as programmed); compensation: one digital factor a layer puts its mean output right at t_s;
    off: causes that do not act. Raises SimulationError where these do not fit together.
    """

    name: str
    macro: CimMacroSpec | None = None
    noise: NoiseSpec | None = None
    sigma: float = 0.0
    t_s: float | None = None
    compensation: bool = True
    off: frozenset[Cause] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what no hardware is."""
        if not isfinite(self.sigma) or self.sigma < 0:
            raise SimulationError(f"noise {self.sigma}: a standard deviation is 0 or more")
        if self.sigma > 0 and (self.noise is not None or self.macro is not None):
            raise SimulationError("noise: give a standard deviation, a model of cells or a chip, not two of them")
        if self.t_s is not None and (not isfinite(self.t_s) or self.t_s < 0):
            raise SimulationError(f"time {self.t_s}: seconds since programming are 0 or more")
        for cause in self.off:
            if cause not in CAUSES:
                raise SimulationError(f"cause {cause!r} is not known; {suggest(cause, CAUSES)}")

    def without(self, causes: Iterable[Cause]) -> Hardware:
        """The same with more causes switched off."""
        return replace(self, off=self.off | frozenset(causes))

    def only(self, cause: Cause) -> Hardware:
        """The same with all causes but one switched off."""
        return replace(self, off=frozenset(CAUSES) - {cause})

    @property
    def is_ideal(self) -> bool:
        """Whether nothing disturbs the product of rounded numbers."""
        return self.macro is None and self.noise is None and self.sigma == 0

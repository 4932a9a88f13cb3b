"""A study as its file gives it: what varies, what is run, and what is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cosim.study.objectives import Bound, Objective
from cosim.study.space import Axis, Level, Space

# Axes of these names set how a point is run instead of a field of its chip.
RUN_FIELDS = ("chip", "network", "batch", "weight_bits", "activation_bits", "policy")


@dataclass(frozen=True)
class StudyWorkload:
    """A network of a study: its name in results, what it is loaded from, its weight in objectives, and bounds of its own."""

    name: str
    source: str
    weight: float = 1.0
    batch: int | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    bounds: tuple[Bound, ...] = ()


@dataclass(frozen=True)
class AccuracySettings:
    """How accuracy is measured: data set, which path through the arrays, seeds, passes, and on how many test inputs (None: all).

    path  "surrogate" (gain, offset and variance of each layer), "exact" (converter by converter)
    """

    data: str
    path: str = "surrogate"
    seeds: tuple[int, ...] = (0,)
    passes: int = 1
    n_inputs: int | None = None


@dataclass(frozen=True)
class Design:
    """How the points of a sweep are chosen: grid, random, lhs or sobol, and how many."""

    method: str = "grid"
    n: int | None = None


@dataclass(frozen=True, eq=False)
class Study:
    """A space of chips, networks and policies, and what is wanted of it.

    chips      catalog names or paths; with several the space has an axis `chip`
    space      axes with canonical dotted `paths` into the chip's file (`devices.cim.adc.n_bits`) or a run field (RUN_FIELDS,
               `layers.<op>.weight_bits`); a level None leaves alone what its axis would set
    combine    how values of several workloads become one: sum, geomean or worst
    ladder     fidelities that `optimise` may use, cheapest first, with what each costs; empty: `fidelity` alone
    known      bounds that are worked out without a run (area), so that only points within them are sampled; `fits`: only points whose
               weights and activations find room
    batch      suggestions that are out at a time: suggestion i sees the results 0 .. i - batch
    """

    name: str
    text: str
    space: Space
    chips: tuple[str, ...]
    workloads: tuple[StudyWorkload, ...]
    objectives: tuple[Objective, ...]
    bounds: tuple[Bound, ...] = ()
    combine: str = "geomean"
    weight_bits: int = 8
    activation_bits: int = 8
    policy: str = "heft"
    fidelity: str = "event"
    ladder: Mapping[str, float] = field(default_factory=dict)
    accuracy: AccuracySettings | None = None
    design: Design = Design()
    designs: tuple[Mapping[str, Level], ...] = ()
    known: tuple[Bound, ...] = ()
    fits: bool = False
    batch: int = 4
    replicates: int = 1
    seed: int = 0
    path: Path | None = None

    @cached_property
    def axis_of(self) -> Mapping[str, Axis]:
        """Axes by name."""
        return {axis.name: axis for axis in self.space.axes}

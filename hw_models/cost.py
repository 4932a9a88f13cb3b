"""What happens inside a device for each (spec, op): the seam between hardware models and the engine.

A device reports what it spends inside itself and how many bytes of each operand cross its port. Which
memory serves an operand, and all link, shared-SRAM, DRAM and standby energy, is charged by the engine:
no joule has two owners.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workloads.errors import MappingError

Floats = NDArray[np.float64]
Category = Literal["compute", "convert", "memory", "link", "static", "idle"]
WEIGHT, INPUT, OUTPUT = range(3)  # last axis of `n_bytes`


@dataclass(frozen=True, slots=True)
class Spread:
    """An uncertain quantity: its true value lies within value / factor ... value * factor with 90 % probability.

    Spreads of one name move together, wherever they appear (a scaling law is right or wrong for all).
    """

    name: str
    factor: float


@dataclass(frozen=True, slots=True)
class Component:
    """A consumer of energy inside a device: "mac", "adc", "buffer"... with what its number rests on."""

    name: str
    category: Category
    spreads: tuple[Spread, ...] = ()
    assumed: bool = False


@dataclass(frozen=True)
class CostTable:
    """Costs of all distinct ops on all specs of one device kind.

    supported [n_specs, n_ops] bool
    latency_s [n_specs, n_ops]  time inside the device when no memory limits it, `fixed_s` included
    fixed_s   [n_specs, n_ops]  part of the latency that overlaps with no transfer (launch, pipeline fill)
    energy_j  [n_specs, n_ops, n_components]  dynamic energy inside the device; components[spec][component]
    n_bytes   [n_specs, n_ops, 3]  bytes of weight, input and output that cross the device's port
    limit     [n_specs, n_ops] int8  index into `limits`: what sets latency_s
    latency_spreads[spec]  what makes latency_s uncertain
    For devices that hold weights (compute in memory), else zero:
    n_arrays  [n_specs, n_ops]  arrays that the op's weights occupy
    serial_s  [n_specs, n_ops]  time that further copies of the weights do not shorten: what all copies share
    program_s, program_j [n_specs, n_ops]  time and energy to write them once
    compute_weight_bits, compute_activation_bits [n_specs, n_ops] int64  bits the device really uses
    Unsupported entries are inf in latency_s and zero elsewhere.
    For analog devices, `output_snr` gives `output_snr_db` [n_specs, n_ops] when it is first asked for, so that sweeps that do not ask
    do not pay: signal over error of an op's outputs in dB, inf where nothing is lost, NaN where an op is not computed in analog.
    """

    components: Sequence[tuple[Component, ...]]
    limits: tuple[str, ...]
    supported: NDArray[np.bool_]
    latency_s: Floats
    fixed_s: Floats
    energy_j: Floats
    n_bytes: Floats
    limit: NDArray[np.int8]
    latency_spreads: Sequence[tuple[Spread, ...]]
    n_arrays: NDArray[np.int64]
    program_s: Floats
    program_j: Floats
    serial_s: Floats
    compute_weight_bits: NDArray[np.int64]
    compute_activation_bits: NDArray[np.int64]
    output_snr: Callable[[], Floats] | None = None

    @cached_property
    def output_snr_db(self) -> Floats:
        """SNR of outputs in dB [n_specs, n_ops], NaN where no op is analog. Raises MappingError on numbers that are none, and shapes."""
        if self.output_snr is None:
            return np.full(self.supported.shape, np.nan)
        found = self.output_snr()
        if found.shape != self.supported.shape or (found == -np.inf).any():
            raise MappingError(f"cost table: output_snr gives shape {found.shape}, expected {self.supported.shape}, all above -inf dB")
        return found

    def __post_init__(self) -> None:
        """Check what is given at once; a kind that fills an empty table in is checked again where it is used."""
        self.check()

    def check(self) -> None:
        """Raise MappingError when shapes disagree or numbers are not physical."""
        shape = self.supported.shape
        self._check_shapes(shape)
        if not np.isfinite(self.latency_s[self.supported]).all() or (self.latency_s < self.fixed_s).any():
            raise MappingError("cost table: a supported op needs a finite latency that is not below its fixed part")
        for name in ("energy_j", "n_bytes", "fixed_s", "serial_s", "n_arrays", "program_s", "program_j"):
            if not (getattr(self, name) >= 0).all():
                raise MappingError(f"cost table: {name} has a negative number, or one that is none")

    def _check_shapes(self, shape: tuple[int, ...]) -> None:
        expected = {
            **dict.fromkeys(("latency_s", "fixed_s", "limit", "n_arrays", "serial_s", "program_s", "program_j"), shape),
            **dict.fromkeys(("compute_weight_bits", "compute_activation_bits"), shape),
            "energy_j": (*shape, self.energy_j.shape[-1]),
            "n_bytes": (*shape, 3),
        }
        for name, wanted in expected.items():
            if getattr(self, name).shape != wanted:
                raise MappingError(f"cost table: {name} has shape {getattr(self, name).shape}, expected {wanted}")
        if any(len(parts) != self.energy_j.shape[-1] for parts in self.components) or len(self.components) != shape[0]:
            raise MappingError("cost table: one component list for each spec, as long as the last axis of energy_j")
        if len(self.latency_spreads) != shape[0]:
            raise MappingError(f"cost table: {len(self.latency_spreads)} entries of latency_spreads for {shape[0]} specs")


def empty_costs(
    components: Sequence[tuple[Component, ...]],
    limits: tuple[str, ...],
    latency_spreads: Sequence[tuple[Spread, ...]],
    weight_bits: NDArray[np.int64],
    activation_bits: NDArray[np.int64],
    output_snr: Callable[[], Floats] | None = None,
) -> CostTable:
    """Return a table of the right shapes in which nothing is supported, for a device kind to fill in."""
    shape = (len(components), weight_bits.size)
    n_components = len(components[0]) if components else 0
    return CostTable(
        components=components,
        limits=limits,
        supported=np.zeros(shape, dtype=np.bool_),
        latency_s=np.full(shape, np.inf),
        fixed_s=np.zeros(shape),
        energy_j=np.zeros((*shape, n_components)),
        n_bytes=np.zeros((*shape, 3)),
        limit=np.zeros(shape, dtype=np.int8),
        latency_spreads=latency_spreads,
        n_arrays=np.zeros(shape, dtype=np.int64),
        program_s=np.zeros(shape),
        program_j=np.zeros(shape),
        serial_s=np.zeros(shape),
        compute_weight_bits=np.broadcast_to(weight_bits, shape).copy(),
        compute_activation_bits=np.broadcast_to(activation_bits, shape).copy(),
        output_snr=output_snr,
    )

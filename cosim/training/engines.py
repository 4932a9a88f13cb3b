"""A network on hardware: programmed once, then any number of passes, each with its own read noise.

What is programmed, drifts or is defect is fixed by the seed of the chip; a pass takes a generator. Causes that are `off` do not act.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cosim.training.cells import CALIBRATION, PROGRAMMING, History, generator, pairs_at
from cosim.training.execute import Executor, Multiply
from cosim.training.hardware import CAUSES, Cause, Hardware
from cosim.training.matmul import times_transposed
from cosim.training.network import Network
from cosim.training.operands import Operands
from workloads.program import Layer

Array = NDArray[Any]
Floats = NDArray[np.float64]


class Deployed(ABC):
    """A network on hardware as it came out of programming."""

    network: Network

    @abstractmethod
    def multiply(self, rng: np.random.Generator) -> Multiply:
        """Products of one pass; what is drawn anew in each comes from `rng`."""

    @property
    def is_fresh(self) -> bool:
        """Whether two passes differ."""
        return False

    def outputs(self, x: Array, rng: np.random.Generator) -> Array:
        """Outputs [batch, ...] of one pass over inputs as the program takes them."""
        return Executor(self.network, self.multiply(rng))(x)


def operands_of(network: Network) -> dict[str, Operands]:
    """Operands of each layer by name."""
    return {layer.name: Operands.of(network, layer) for layer in network.program.layers}


@final
@dataclass(frozen=True)
class Digital(Deployed):
    """No errors but rounding, and that of a cause that is off neither."""

    network: Network
    off: frozenset[Cause] = frozenset()

    @cached_property
    def operands(self) -> Mapping[str, Operands]:
        """Operands of each layer by name."""
        return operands_of(self.network)

    def multiply(self, rng: np.random.Generator | None = None) -> Multiply:
        """Exact products of rounded numbers."""
        return lambda layer, vectors: self.operands[layer.name].product(vectors, self.off)


@final
@dataclass(frozen=True)
class NoisyWeights(Deployed):
    """Weights as cells hold them, met by inputs without converters.

    Gaussian: W + sigma max|W_row| N(0, 1), drawn once a chip. Cells of a noise model: pairs, each row filling its own to the full, at t_s;
    with compensation one factor a layer, mean|W| / mean|W_t|, found at t_s by one read (ideal global drift compensation of IBM aihwkit).
    """

    network: Network
    hardware: Hardware
    seed: int

    @cached_property
    def operands(self) -> Mapping[str, Operands]:
        """Operands of each layer by name."""
        return operands_of(self.network)

    @property
    def is_fresh(self) -> bool:
        """Whether cells are read with noise."""
        return self.hardware.noise is not None and self.hardware.t_s is not None and "read" not in self.hardware.off

    def multiply(self, rng: np.random.Generator) -> Multiply:
        """Products with the weights of one read."""
        held = {name: self._read(name, rng) for name in self.operands} if self.is_fresh else self._held

        def product(layer: Layer, vectors: Array) -> Array:
            x = self.operands[layer.name].inputs(vectors, self.hardware.off)
            return times_transposed(x, held[layer.name])

        return product

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {name: i for i, name in enumerate(self.operands)}

    @cached_property
    def _held(self) -> Mapping[str, Array]:
        """Weights that no read disturbs."""
        return {name: self._read(name, None) for name in self.operands}

    @cached_property
    def factors(self) -> Mapping[str, float]:
        """What compensation multiplies the products of each layer by."""
        if not self.hardware.compensation or self.hardware.noise is None or self.hardware.t_s is None or "drift" in self.hardware.off:
            return dict.fromkeys(self.operands, 1.0)
        found = {}
        for name, place in self._places.items():
            aimed = np.abs(self.operands[name].weights(self.hardware.off)).mean()
            left = np.abs(self._cells(name, generator(self.seed, CALIBRATION, place))).mean()
            found[name] = float(aimed / left) if left > 0 else 1.0
        return found

    def _read(self, name: str, rng: np.random.Generator | None) -> Array:
        """Weights [g, n, k] of a layer as a pass sees them."""
        return np.asarray(self._cells(name, rng) * self.factors[name], dtype=np.float32)

    def _cells(self, name: str, rng: np.random.Generator | None) -> Floats:
        """Weights [g, n, k] that cells hold."""
        aimed = np.asarray(self.operands[name].weights(self.hardware.off), dtype=np.float64)
        place, hardware = self._places[name], self.hardware
        if hardware.noise is not None:
            return pairs_at(History(hardware.noise, hardware.t_s, hardware.off, self.seed, (place,)), aimed, rng)
        if hardware.sigma == 0 or "programming" in hardware.off:
            return aimed
        largest = np.abs(aimed).max(axis=-1, keepdims=True)
        drawn = generator(self.seed, PROGRAMMING, place).standard_normal(aimed.shape)
        return np.asarray(aimed + hardware.sigma * largest * drawn, dtype=np.float64)


def digital_causes(network: Network) -> tuple[Cause, ...]:
    """Causes that act on this network on any hardware: rounding of weights, of inputs."""
    operands = operands_of(network).values()
    acts: dict[Cause, bool] = {
        "weight_bits": any(o.whole is not None for o in operands),
        "dac": any(o.input_step is not None for o in operands),
    }
    return tuple(cause for cause, does in acts.items() if does)


def weight_causes(hardware: Hardware) -> tuple[Cause, ...]:
    """Causes that act on weights of pairs of cells, or of Gaussian noise."""
    if hardware.noise is None:
        found: set[Cause] = {"programming"} if hardware.sigma > 0 else set()
    else:
        found = {"programming", "read", "drift"} if hardware.t_s is not None else {"programming"}
    return tuple(cause for cause in CAUSES if cause in found - hardware.off)

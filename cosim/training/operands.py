"""Weights and inputs of one layer as arrays take them: whole numbers with steps where the network has bits, real ones elsewhere."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cosim.training.matmul import times_transposed
from cosim.training.network import Network
from cosim.training.quantize import Floats, Ints, round_inputs
from workloads.program import Layer

Array = NDArray[Any]


@final
@dataclass(frozen=True, eq=False)
class Operands:
    """One layer of a network: real weights [g, n, k], whole ones and their steps [g, n], step and bits of inputs; None where real."""

    layer: Layer
    real: Array
    whole: Ints | None
    weight_step: Floats | None
    weight_bits: int | None
    input_step: float | None
    activation_bits: int | None
    signed: bool

    @staticmethod
    def of(network: Network, layer: Layer) -> Operands:
        """The layer with the steps that the network gives it."""
        steps, bits = network.steps_of(layer), network.bits_of(layer)
        real = np.asarray(layer.matrix(network.program.weights[layer.weight]), dtype=np.float32)
        is_whole = bits is not None and steps.weight is not None
        activation_bits = network.activation_bits_of(layer)
        rounds = activation_bits is not None and steps.input is not None
        return Operands(
            layer=layer,
            real=real,
            whole=network.whole_matrix(layer) if is_whole else None,
            weight_step=np.asarray(steps.weight, dtype=np.float64).reshape(real.shape[:2]) if is_whole else None,
            weight_bits=bits if is_whole else None,
            input_step=float(steps.input) if rounds and steps.input is not None else None,
            activation_bits=activation_bits if rounds else None,
            signed=steps.signed,
        )

    @property
    def is_whole(self) -> bool:
        """Whether weights and inputs are whole numbers."""
        return self.whole is not None and self.input_step is not None

    def weights(self, off: Collection[str] = ()) -> Array:
        """Weights [g, n, k] that a digital unit would multiply by; real ones where `weight_bits` is off."""
        if self.whole is None or self.weight_step is None or "weight_bits" in off:
            return self.real
        return self.whole * self.weight_step[..., None]

    def whole_inputs(self, vectors: Array) -> Ints:
        """Whole inputs; the layer must have a step of inputs."""
        step, bits = self.input_step or 1.0, self.activation_bits or 1
        return round_inputs(vectors, step, bits, signed=self.signed)

    def inputs(self, vectors: Array, off: Collection[str] = ()) -> Array:
        """Inputs as they enter, in units of the network; as they are where `dac` is off."""
        if self.input_step is None or "dac" in off:
            return vectors
        return np.asarray(self.whole_inputs(vectors) * self.input_step, dtype=np.float32)

    def scale(self) -> Floats:
        """What 1 of a product of whole numbers counts, input step times weight step; [g, 1, n]."""
        step = np.ones((self.real.shape[0], self.real.shape[1])) if self.weight_step is None else self.weight_step
        return np.asarray((self.input_step or 1.0) * step[:, None, :], dtype=np.float64)

    def product(self, vectors: Array, off: Collection[str] = ()) -> Array:
        """Products [g, v, n] without any error but rounding; those of whole numbers exactly."""
        if self.is_whole and self.whole is not None and not {"weight_bits", "dac"} & set(off):
            x = self.whole_inputs(vectors).astype(np.float64)  # exact: sums stay below 2^53
            return times_transposed(x, self.whole.astype(np.float64)) * self.scale()
        weights = np.asarray(self.weights(off), dtype=np.float32)
        return times_transposed(self.inputs(vectors, off), weights)

"""A network with the numbers that training gave it: weights, steps of weights, inputs and converters, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cosim.training.quantize import Floats, Ints, round_weights
from workloads.errors import SimulationError
from workloads.program import Layer, Program


@dataclass(frozen=True)
class Steps:
    """Steps of one layer; None where nothing is rounded.

    weight [groups * n]: of each output channel; input: of whole inputs, `signed` or from 0; adc: one step of the codes for all
    converters of the layer, in units of one input step times one cell level (None: the range of the part).
    """

    weight: Floats | None = None
    input: float | None = None
    signed: bool = False
    adc: float | None = None


@dataclass(frozen=True)
class Network:
    """A program, the bits it is to be computed with, and the steps of each layer by name.

    `scaling` (full, mean, std) says how raw inputs become those of the program: x = (raw / full - mean) / std. weight_bits and
    activation_bits None: real numbers. `layer_bits` gives single layers other weight bits, `layer_activation_bits` other bits of inputs.
    """

    program: Program
    scaling: tuple[float, float, float] = (1.0, 0.0, 1.0)
    weight_bits: int | None = None
    activation_bits: int | None = None
    steps: Mapping[str, Steps] = field(default_factory=dict)
    layer_bits: Mapping[str, int] = field(default_factory=dict)
    layer_activation_bits: Mapping[str, int] = field(default_factory=dict)

    def bits_of(self, layer: Layer) -> int | None:
        """Weight bits of a layer."""
        return self.layer_bits.get(layer.name, self.weight_bits)

    def activation_bits_of(self, layer: Layer) -> int | None:
        """Bits of the inputs of a layer."""
        return self.layer_activation_bits.get(layer.name, self.activation_bits)

    def steps_of(self, layer: Layer) -> Steps:
        """Steps of a layer."""
        return self.steps.get(layer.name, Steps())

    def matrix(self, layer: Layer) -> Floats:
        """Weights of a layer as real numbers, rounded where they have bits; [groups, n, k]."""
        real = np.asarray(layer.matrix(self.program.weights[layer.weight]), dtype=np.float64)
        step = self.steps_of(layer).weight
        if self.bits_of(layer) is None or step is None:
            return real
        return np.asarray(self.whole_matrix(layer) * step.reshape(real.shape[0], -1, 1), dtype=np.float64)

    def whole_matrix(self, layer: Layer) -> Ints:
        """Whole weights of a layer [groups, n, k]; SimulationError where it has real ones."""
        bits, step = self.bits_of(layer), self.steps_of(layer).weight
        if bits is None or step is None:
            raise SimulationError(f"{self.program.name}: layer {layer.name} has real weights; give weight_bits")
        real = layer.matrix(self.program.weights[layer.weight])
        return round_weights(real.reshape(-1, real.shape[-1]), step, bits).reshape(real.shape)

    def bias(self, layer: Layer) -> NDArray[np.float64] | None:
        """One number for each output channel, None without."""
        return None if layer.bias is None else np.asarray(self.program.weights[layer.bias], dtype=np.float64)

    def scaled(self, raw: NDArray[np.generic]) -> NDArray[np.float32]:
        """Inputs as the program takes them."""
        full, mean, std = self.scaling
        return ((np.asarray(raw, dtype=np.float32) / np.float32(full) - np.float32(mean)) / np.float32(std)).astype(np.float32)

    def with_program(self, program: Program) -> Network:
        """The same steps for other weights."""
        return replace(self, program=program)

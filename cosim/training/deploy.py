"""From a network and hardware to something that computes: real weights get whole numbers where arrays need them, and a path is chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from numpy.typing import NDArray

from cosim.training.arrays import OnArrays, array_causes
from cosim.training.engines import Deployed, Digital, NoisyWeights, digital_causes, weight_causes
from cosim.training.execute import Executor, plain_product
from cosim.training.hardware import CAUSES, Cause, Hardware
from cosim.training.network import Network, Steps
from cosim.training.quantize import first_input_step, mse_step
from cosim.training.surrogate import Surrogate
from workloads.errors import SimulationError
from workloads.program import Layer

Array = NDArray[Any]
Path = Literal["exact", "surrogate"]

DEFAULT_BITS = 8  # of weights and activations on arrays, where a network has none; assumed


def quantized(network: Network, weight_bits: int | None, activation_bits: int | None, samples: Array) -> Network:
    """The network with whole weights and inputs of so many bits (None: real); bits and steps that it has already stay.

    Steps of weights have the least squared error of each output channel; inputs reach to the 0.9995 quantile of their magnitudes,
    zeros apart, when training inputs `samples` run through the real network, and have a sign where any of them is below 0.
    """
    weight_bits, activation_bits = network.weight_bits or weight_bits, network.activation_bits or activation_bits
    inputs = Executor(network, lambda layer, vectors: plain_product(network, layer, vectors)).layer_inputs(samples)
    found = replace(network, weight_bits=weight_bits, activation_bits=activation_bits)
    return replace(found, steps={layer.name: _steps(found, layer, inputs[layer.name]) for layer in network.program.layers})


def _steps(network: Network, layer: Layer, inputs: Array) -> Steps:
    """Steps of one layer, those that are missing found."""
    steps = network.steps_of(layer)
    if steps.weight is None and network.bits_of(layer) is not None:
        rows = layer.matrix(network.program.weights[layer.weight])
        steps = replace(steps, weight=mse_step(rows.reshape(-1, rows.shape[-1]), network.bits_of(layer) or DEFAULT_BITS))
    if steps.input is None and network.activation_bits_of(layer) is not None:
        step, signed = first_input_step(inputs, network.activation_bits_of(layer) or DEFAULT_BITS)
        steps = replace(steps, input=step, signed=signed)
    return steps


def causes_of(network: Network, hardware: Hardware) -> tuple[Cause, ...]:
    """Causes of error that act when this network runs on this hardware, in the order of `CAUSES`."""
    acting = {*digital_causes(network), *(array_causes(hardware) if hardware.macro else weight_causes(hardware))} - hardware.off
    return tuple(cause for cause in CAUSES if cause in acting)


def deploy(network: Network, hardware: Hardware, seed: int, samples: Array | None = None, path: Path = "exact") -> Deployed:
    """The network programmed on one chip; `samples` are training inputs as the program takes them, for ranges and the surrogate.

    Where nothing of the hardware acts, the rounded network is computed digitally. Raises SimulationError where samples are needed.
    """
    if not set(causes_of(network, hardware)) - {"weight_bits", "dac"}:
        return Digital(network, hardware.off)
    if hardware.macro is None:
        return NoisyWeights(network, hardware, seed)
    exact = OnArrays(network, hardware, seed, samples)
    if path == "exact":
        return exact
    if samples is None:
        raise SimulationError("surrogate: it is measured on training inputs; give samples")
    return Surrogate.measure(exact, samples)

"""A `Network` that torch can train: one module, its layers with the rounding and the errors of the hardware they are meant for.

Imported inside functions only, so that everything else works without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from cosim.training.network import Network, Steps
from cosim.training.quantize import first_input_step, mse_step
from cosim.training.torch_ops import digital, product, round_inputs, round_weights, row_noise
from workloads.program import Layer, Node, Program

Draw = Callable[[Layer, Tensor, Tensor | None, int | None], Tensor]  # layer, weights, steps of rows, bits -> what cells hold more
Multiply = Callable[["TorchLayer", Tensor, Tensor], Tensor]  # layer, inputs, weights -> product without bias


class TorchLayer(nn.Module):
    """Weights, bias and steps of one product.

    bits, activation_bits: None where real. `sigma` and `rng` or `draw` disturb the weights, `multiply` replaces the product.
    """

    def __init__(self, layer: Layer, network: Network) -> None:
        super().__init__()
        self.layer, self.bits, self.activation_bits = layer, network.bits_of(layer), network.activation_bits_of(layer)
        weights, steps = network.program.weights, network.steps_of(layer)
        self.weight = nn.Parameter(_tensor(weights[layer.weight]))
        self.bias = None if layer.bias is None else nn.Parameter(_tensor(weights[layer.bias]))
        self.weight_step = _parameter(steps.weight)
        self.input_step = _parameter(steps.input)
        self.adc_step = _parameter(steps.adc)
        self.signed = steps.signed
        self.sigma, self.rng = 0.0, torch.Generator()
        self.draw: Draw | None = None
        self.multiply: Multiply | None = None
        self.watch: Callable[[Layer, Tensor], None] | None = None

    def rounded_weight(self) -> Tensor:
        """Weights on their steps, where they have any."""
        if self.bits is None or self.weight_step is None:
            return self.weight
        return round_weights(self.weight, self.weight_step, self.bits)

    def forward(self, x: Tensor) -> Tensor:
        """Product with what the cells hold, plus bias."""
        if self.watch is not None:
            self.watch(self.layer, x)
        w = self.rounded_weight()
        if self.sigma > 0:
            w = w + row_noise(w, self.sigma, self.rng)
        elif self.draw is not None:
            w = w + self.draw(self.layer, w, self.weight_step, self.bits)
        if self.activation_bits is not None and self.input_step is not None:
            x = round_inputs(x, self.input_step, self.activation_bits, signed=self.signed)
        if self.multiply is None:
            return product(self.layer, x, w, self.bias)
        y = self.multiply(self, x, w)
        if self.bias is None:
            return y
        return y + (self.bias if self.layer.kind == "linear" else self.bias[:, None, None])

    def steps(self) -> Steps:
        """Steps as they are now."""
        weight = None if self.weight_step is None else self.weight_step.detach().double().numpy().copy()
        return Steps(weight, _number(self.input_step), self.signed, _number(self.adc_step))


class TorchNet(nn.Module):
    """All nodes of a program in order; other weights than those of layers are buffers, or trained where they belong to a batch norm."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.products = nn.ModuleDict({_key(layer.name): TorchLayer(layer, network) for layer in network.program.layers})
        self.norms = nn.ModuleDict()
        owned = {name for layer in network.program.layers for name in (layer.weight, layer.bias)}
        for node in network.program.nodes:
            if node.op_type == "BatchNormalization":
                self.norms[_key(node.name)] = _batch_norm(node, network.program)
                owned.update(node.inputs[1:])
        self.constants: Mapping[str, Tensor] = {
            name: torch.from_numpy(np.array(array)) for name, array in network.program.weights.items() if name not in owned
        }

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of the program."""
        values = {self.network.program.input: x, **self.constants}
        for node in self.network.program.nodes:
            key = _key(node.name)
            if key in self.products:
                values[node.outputs[0]] = self.products[key](values[node.inputs[0]])
            elif key in self.norms:
                values[node.outputs[0]] = self.norms[key](values[node.inputs[0]])
            else:
                values[node.outputs[0]] = digital(node, [values[name] for name in node.inputs if name])
        return values[self.network.program.output]

    def layers(self) -> list[TorchLayer]:
        """The products in order."""
        return [self.products[_key(layer.name)] for layer in self.network.program.layers]  # type: ignore[misc]  # ModuleDict says Module

    def trained(self) -> Network:
        """The network with weights and steps as they are now."""
        changed: dict[str, Any] = {}
        for module in self.layers():
            changed[module.layer.weight] = module.weight.detach().numpy().copy()
            if module.layer.bias is not None and module.bias is not None:
                changed[module.layer.bias] = module.bias.detach().numpy().copy()
        for node in self.network.program.nodes:
            if _key(node.name) in self.norms:
                held = self.norms[_key(node.name)].state_dict()
                arrays = (held[key] for key in ("weight", "bias", "running_mean", "running_var"))
                changed.update({name: a.numpy().copy() for name, a in zip(node.inputs[1:], arrays, strict=True)})
        steps = {module.layer.name: module.steps() for module in self.layers()}
        return replace(self.network, program=self.network.program.with_weights(changed), steps=steps)


def with_steps(network: Network, inputs: Tensor, weight_bits: int | None, activation_bits: int | None) -> Network:
    """The network with bits and first steps: of least squared error for weights, at the 0.9995 quantile of magnitudes for inputs."""
    seen: dict[str, Tensor] = {}
    net = TorchNet(replace(network, weight_bits=None, activation_bits=None)).eval()
    for module in net.layers():
        module.watch = lambda layer, x: seen.__setitem__(layer.name, x)
    with torch.no_grad():
        net(inputs)
    steps = {layer.name: _first_steps(network, layer, seen[layer.name], weight_bits, activation_bits) for layer in network.program.layers}
    return replace(network, weight_bits=weight_bits, activation_bits=activation_bits, steps=steps)


def _first_steps(network: Network, layer: Layer, x: Tensor, weight_bits: int | None, activation_bits: int | None) -> Steps:
    """Steps of one layer for inputs that it has seen."""
    real = layer.matrix(network.program.weights[layer.weight])
    bits = network.layer_bits.get(layer.name, weight_bits)
    activation_bits = network.layer_activation_bits.get(layer.name, activation_bits)
    weight = None if bits is None else mse_step(real.reshape(-1, real.shape[-1]), bits)
    if activation_bits is None:
        return Steps(weight=weight)
    step, signed = first_input_step(x.numpy(), activation_bits)
    return Steps(weight, step, signed)


def cross_entropy(logits: Tensor, labels: Tensor, teacher: Tensor | None, share: float, temperature: float) -> Tensor:
    """(1 - a) CE(labels) + a T^2 KL(softmax(teacher / T) | softmax(logits / T)): Hinton, Vinyals, Dean, arXiv:1503.02531."""
    hard = fn.cross_entropy(logits, labels)
    if teacher is None or share == 0:
        return hard
    soft = fn.kl_div(
        torch.log_softmax(logits / temperature, 1), torch.log_softmax(teacher / temperature, 1), reduction="batchmean", log_target=True
    )
    return (1 - share) * hard + share * temperature**2 * soft


def _batch_norm(node: Node, program: Program) -> nn.BatchNorm2d:
    """Batch normalization with the numbers of the program; momentum is that of torch, 1 minus that of ONNX."""
    scale, shift, mean, variance = (_tensor(program.weights[name]) for name in node.inputs[1:])
    norm = nn.BatchNorm2d(scale.numel(), eps=float(node.attributes.get("epsilon", 1e-5)))
    norm.load_state_dict({"weight": scale, "bias": shift, "running_mean": mean, "running_var": variance}, strict=False)
    return norm


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _parameter(value: Any) -> nn.Parameter | None:
    return None if value is None else nn.Parameter(_tensor(value))


def _number(value: Tensor | None) -> float | None:
    return None if value is None else float(value.detach())


def _key(name: str) -> str:
    """Names of modules hold no dots, and must not be those of methods of `ModuleDict`; two nodes keep two names."""
    return "node:" + name.replace("~", "~0").replace(".", "~1")

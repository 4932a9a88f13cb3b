"""Ranges of converters that learn: products through the exact kernel whose step, one a layer, is trained like any other number.

Imported inside functions only, so that everything else works without torch. Layers that this kernel has no path for (inputs with a sign,
groups, cells with errors of their own) keep the range of the part and go through `torch_chip.ExactProduct`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cosim.training.adc_net import CHUNK, best_step
from cosim.training.arrays import array_causes, without
from cosim.training.engines import Digital
from cosim.training.exact_product import ExactProduct
from cosim.training.execute import Executor
from cosim.training.hardware import Hardware
from cosim.training.network import Network
from cosim.training.samples import thinned
from cosim.training.torch_exact import Slope, exact_conv, exact_linear
from cosim.training.torch_net import Multiply, TorchLayer, TorchNet
from cosim.training.torch_ops import product as plain
from hw_models.cim.functional import ProgrammedArray
from hw_models.cim.spec import CimMacroSpec
from workloads.program import Layer

N_SAMPLES = 200  # training inputs that first steps are chosen on, as in `adc_net`
LEARNABLE = {"adc_resolution", "adc_clipping"}  # causes that the exact kernel knows


def learnable(network: Network, hardware: Hardware) -> tuple[Layer, ...]:
    """Layers whose converters can learn their range on this hardware."""
    spec = hardware.macro
    if spec is None or spec.adc is None or set(array_causes(hardware)) - LEARNABLE:
        return ()
    return tuple(layer for layer in network.program.layers if _has_path(layer) and not network.steps_of(layer).signed)


def _has_path(layer: Layer) -> bool:
    """Whether the kernel can lay the layer out: one group, padding and stride the same on all sides, no dilation."""
    alike = len(set(layer.pads)) == 1 and layer.strides[0] == layer.strides[1] and layer.dilations == (1, 1)
    return layer.groups == 1 and (layer.kind == "linear" or alike)


def with_first_ranges(network: Network, hardware: Hardware, samples: NDArray[Any]) -> Network:
    """The network with the step of least squared error on column sums of at most 200 training inputs, for each layer that can learn it."""
    layers = learnable(network, hardware)
    if hardware.macro is None or not layers:
        return network
    digital = Digital(network)
    seen = Executor(network, digital.multiply()).layer_inputs(thinned(samples, N_SAMPLES))
    steps = dict(network.steps)
    for layer in layers:
        x = digital.operands[layer.name].whole_inputs(seen[layer.name])[0]
        steps[layer.name] = replace(network.steps_of(layer), adc=_first(network, layer, x, without(hardware.macro, hardware.off)))
    return replace(network, steps=steps)


def _first(network: Network, layer: Layer, x: NDArray[np.int64], spec: CimMacroSpec) -> float:
    """First step of one layer for whole inputs [v, k]."""
    bits, activation_bits = network.bits_of(layer) or 1, network.activation_bits or 1
    array = ProgrammedArray.program(spec, np.ascontiguousarray(network.whole_matrix(layer)[0].T), bits)
    some = thinned(x, 4 * N_SAMPLES)

    def sums() -> Iterator[NDArray[np.float64]]:
        for v in range(0, len(some), CHUNK):
            yield array.column_sums(some[v : v + CHUNK], activation_bits)

    return best_step(spec, sums())


@final
@dataclass(frozen=True)
class LearnedRanges:
    """Products through converters with learned steps; `others` multiplies where a layer has none."""

    products: Mapping[str, ExactProduct]
    slope: Slope
    others: Multiply | None = None

    @staticmethod
    def of(network: Network, hardware: Hardware) -> LearnedRanges:
        """For the layers of a network that have a step of their converters."""
        found: dict[str, ExactProduct] = {}
        for layer in learnable(network, hardware):
            if hardware.macro is not None and network.steps_of(layer).adc is not None:
                n, k = layer.matrix(network.program.weights[layer.weight]).shape[1:]
                spec, bits = without(hardware.macro, hardware.off), network.bits_of(layer) or 1
                found[layer.name] = ExactProduct.of(spec, (k, n), bits, network.activation_bits or 1)
        apart = hardware.macro is not None and hardware.macro.slice_reads > 1
        return LearnedRanges(found, "inside" if apart else "column")

    def has_all(self, net: TorchNet) -> bool:
        """Whether no layer is left to `others`."""
        return all(module.layer.name in self.products for module in net.layers())

    def __call__(self, module: TorchLayer, x: Tensor, w: Tensor) -> Tensor:
        """Product without bias, in units of the network."""
        product, name = self.products.get(module.layer.name), module.layer.name
        if product is None or module.adc_step is None or module.input_step is None or module.weight_step is None:
            return self.others(module, x, w) if self.others else plain(module.layer, x, w, None)
        rows = module.weight_step.reshape(-1, *[1] * (w.dim() - 1))
        levels, weights = _whole(x / module.input_step), _whole(w / rows)
        scale = module.input_step * module.weight_step
        if module.layer.kind == "linear":
            return exact_linear(levels, weights, module.adc_step, self.products[name], slope=self.slope) * scale
        stride, padding = module.layer.strides[0], module.layer.pads[0]
        y = exact_conv(levels, weights, module.adc_step, product, stride=stride, padding=padding, slope=self.slope)
        return y * scale[:, None, None]


def _whole(ratio: Tensor) -> Tensor:
    """Levels from numbers on their steps, whole again after the division, its gradient kept."""
    return ratio + (ratio.round() - ratio).detach()

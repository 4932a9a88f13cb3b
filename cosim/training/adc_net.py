"""Networks of linear layers in whole numbers, read through the converters of a macro, and what describes their training.

Between layers stands a ReLU; inputs and hidden values are unsigned whole numbers, weights whole with one step an output, and the
converters of a layer share one step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cosim.training.exact_product import ExactProduct, zero_codes
from cosim.training.quantize import input_range
from hw_models.cim.functional import ProgrammedArray
from hw_models.cim.functional_adc import largest_sum, read
from hw_models.cim.spec import CimMacroSpec
from workloads.errors import SimulationError

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_STEPS = 200  # steps tried when converters are calibrated, evenly in their logarithm
CHUNK = 16  # images whose column sums are held at once
LEAST_STEP = 0.8  # cells; below it codes only repeat


@dataclass(frozen=True)
class AdcAwareConfig:
    """How such a network is trained; defaults are the frozen recipe, each number chosen on validation images (assumed good beyond them).

    Adam with cosine decay to 0 (Kingma, Ba, ICLR 2015; Loshchilov, Hutter, ICLR 2017), the last partial batch dropped; `epochs` of float,
    of rounding to learned steps (LSQ: Esser et al., ICLR 2020) and of multiplying through the converters with gradients straight
    through them (Bengio et al., arXiv:1308.3432), scaled by `slope` (`torch_exact`); steps have a learning rate of their own.
    `distill`: share of the loss that asks for the float network's outputs at `temperature` (Hinton et al., arXiv:1503.02531), in the
    last phase. Converters begin at the step of least squared error on `n_calibration` training images.
    """

    hidden: tuple[int, ...] = (64,)
    weight_bits: int = 4
    activation_bits: int = 8
    batch: int = 100
    float_epochs: int = 20
    float_rate: float = 1e-3
    round_epochs: int = 3
    round_rate: float = 5e-4
    epochs: int = 15
    rate: float = 3e-3
    step_rate: float = 1e-2
    slope: Literal["one", "column", "inside"] = "inside"
    distill: float = 0.0
    temperature: float = 4.0
    n_calibration: int = 200

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if min(self.float_epochs, self.round_epochs, self.epochs) < 0 or min(self.batch, self.n_calibration, *self.hidden) < 1:
            raise SimulationError("epochs are 0 or more; batch, n_calibration and hidden layers 1 or more")
        if not 0 <= self.distill <= 1:
            raise SimulationError(f"distill {self.distill}: a share lies in 0 ... 1")


@dataclass(frozen=True, eq=False)
class WholeLayer:
    """Whole weights [k, n] of which one counts weight_step [n], inputs of which one counts input_step, bias [n], the converters' step."""

    weights: Ints
    weight_step: Floats
    input_step: float
    bias: Floats
    adc_step: float = 1.0


@dataclass(frozen=True, eq=False)
class WholeNet:
    """A network of whole numbers; its first inputs are levels already."""

    layers: tuple[WholeLayer, ...]
    weight_bits: int
    activation_bits: int

    def logits(self, images: Array, spec: CimMacroSpec | None) -> Floats:
        """Outputs [v, classes] of levels [v, k], through the converters of a macro, or exact without."""
        x = np.asarray(images)
        y = np.zeros((0, 0))
        for index, layer in enumerate(self.layers):
            if index:
                x = self._levels(y, layer)
            y = self._product(layer, x, spec) * (layer.input_step * layer.weight_step) + layer.bias
        return y

    def accuracy(self, images: Array, labels: Array, spec: CimMacroSpec | None) -> float:
        """Share of images in percent whose largest output is their label."""
        return float(100 * np.mean(self.logits(images, spec).argmax(axis=1) == labels))

    def with_steps(self, steps: Iterable[float]) -> WholeNet:
        """The same network read at other steps."""
        return replace(self, layers=tuple(replace(layer, adc_step=step) for layer, step in zip(self.layers, steps, strict=True)))

    def calibrated(self, images: Array, spec: CimMacroSpec) -> WholeNet:
        """The same network, each layer read at the step of least squared error of its column sums of these levels [v, k]."""
        layers: list[WholeLayer] = []
        x = np.asarray(images)
        for index, layer in enumerate(self.layers):
            array = ProgrammedArray.program(spec, layer.weights, self.weight_bits)
            sums = (array.column_sums(x[v : v + CHUNK], self.activation_bits) for v in range(0, x.shape[0], CHUNK))
            layers.append(replace(layer, adc_step=best_step(spec, sums)))
            if index + 1 < len(self.layers):
                y = self._product(layers[-1], x, spec) * (layer.input_step * layer.weight_step) + layer.bias
                x = self._levels(y, self.layers[index + 1])
        return replace(self, layers=tuple(layers))

    def _levels(self, y: Floats, layer: WholeLayer) -> Ints:
        low, high = input_range(self.activation_bits, signed=False)
        return np.clip(np.rint(y / layer.input_step), low, high).astype(np.int64)

    def _product(self, layer: WholeLayer, x: Array, spec: CimMacroSpec | None) -> Floats:
        if spec is None:
            return np.asarray(x.astype(np.float64) @ layer.weights.astype(np.float64))
        product = ExactProduct.of(spec, layer.weights.shape, self.weight_bits, self.activation_bits)
        return product.multiply(x, layer.weights, layer.adc_step, slope=False).out


def best_step(spec: CimMacroSpec, sums: Iterable[Floats]) -> float:
    """Step of least squared error of reading these whole column sums, of 200 from 0.8 cells to beyond the full range."""
    most = largest_sum(spec)
    counts = np.zeros(2 * most + 1)
    for part in sums:
        counts += np.bincount(part.astype(np.int64).ravel() + most, minlength=counts.size)
    values = np.asarray(np.flatnonzero(counts) - most, dtype=np.float64)
    counts = counts[counts > 0]
    z, top = zero_codes(spec), 2.0 ** (spec.adc.n_bits if spec.adc else 0) - 1
    steps = np.geomspace(LEAST_STEP, max(1.0, 1.2 * most / max(1.0, top + z)), N_STEPS)
    errors = [float(np.dot(counts, (read(values, z * step, step, top) - values) ** 2)) for step in steps.tolist()]
    return float(steps[errors.index(min(errors))])


def full_step(spec: CimMacroSpec) -> float:
    """Step that spreads the codes of unsigned sums over all rows, but never below a cell: max(1, S / (2^n - 1))."""
    n_bits = spec.adc.n_bits if spec.adc else 1
    return max(1.0, largest_sum(spec) / float(2**n_bits - 1))


@dataclass(frozen=True, eq=False)
class Start:
    """What the last phase begins with: a float network [(weight [n, k], bias [n])] and its rounded successor, latent and whole."""

    floats: tuple[tuple[Array, Array], ...]
    latent: tuple[dict[str, Array], ...]
    net: WholeNet


@dataclass(frozen=True, eq=False)
class AdcAware:
    """A trained network and, for each epoch of its last phase, mean loss and the steps of its converters."""

    net: WholeNet
    trace: tuple[dict[str, Any], ...]

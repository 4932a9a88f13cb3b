"""Training against hardware: what cells hold and what converters make of a product, as the layers of a `TorchNet` take it.

Imported inside functions only, so that everything else works without torch. Errors enter through the same objects as in `cosim accuracy`:
cells of the part's spec are programmed anew for each batch, one draw for forward and backward; converters act by the surrogate
y' = gain y + offset + std N(0, 1), measured by the exact path on training inputs and refreshed each epoch, or by the exact product itself,
whose gradient is that of the ideal one (straight-through: Bengio et al., arXiv:1308.3432).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosim.training.arrays import OnArrays, model_of, without
from cosim.training.cells import DEFECTS, Devices, History, generator, pairs_at
from cosim.training.deploy import Path
from cosim.training.hardware import Hardware
from cosim.training.network import Network
from cosim.training.samples import thinned
from cosim.training.surrogate import MAX_SAMPLES, Surrogate
from cosim.training.torch_fit import Data
from cosim.training.torch_net import TorchLayer, TorchNet
from cosim.training.torch_ops import product
from cosim.training.torch_ranges import LearnedRanges
from hw_models.cim.functional import ProgrammedArray
from hw_models.cim.spec import CimMacroSpec
from workloads.errors import SimulationError
from workloads.program import Layer

Floats = NDArray[np.float64]


@final
@dataclass
class CellDraws:
    """What the cells of `hardware` hold more than they should, from a chip of its own at each call."""

    hardware: Hardware
    rng: np.random.Generator
    share: float = 1.0

    def __call__(self, layer: Layer, w: Tensor, steps: Tensor | None, bits: int | None) -> Tensor:
        """Deviation of the weights of one layer, in their unit and shape."""
        seed = int(self.rng.integers(2**62))
        matrix = np.asarray(layer.matrix(w.detach().numpy()), dtype=np.float64)
        if self.hardware.macro is not None:
            deviation = self._on_arrays(matrix, steps, bits, seed)
        elif self.hardware.noise is not None:
            history = History(self.hardware.noise, self.hardware.t_s, self.hardware.off, seed, (0,))
            deviation = pairs_at(history, matrix, self.rng) - matrix
        else:
            return torch.zeros_like(w)
        return torch.from_numpy((self.share * deviation).astype(np.float32)).reshape(w.shape)

    def _on_arrays(self, matrix: Floats, steps: Tensor | None, bits: int | None, seed: int) -> Floats:
        """Deviation on the arrays of a macro, cell by cell."""
        if steps is None or bits is None:
            raise SimulationError(f"{self.hardware.name}: arrays take whole weights; give weight_bits")
        step = steps.detach().numpy().astype(np.float64).reshape(matrix.shape[0], -1, 1)
        whole = np.rint(matrix / step).astype(np.int64)
        held = np.stack([self._held(group, bits, seed, i) for i, group in enumerate(whole)])
        return np.asarray((held - whole) * step, dtype=np.float64)

    def _held(self, whole: NDArray[np.int64], bits: int, seed: int, group: int) -> Floats:
        """Weights [n, k] that the cells of one group stand for."""
        history = History(self._model, self.hardware.t_s, self.hardware.off, seed, (group,)) if self._model else None
        array = ProgrammedArray.program(
            self._spec,
            np.ascontiguousarray(whole.T),
            bits,
            generator(seed, DEFECTS, group),
            perturb=Devices(history, self.rng) if history else None,
            ir_drop="none" if "ir_drop" in self.hardware.off else "estimated",
        )
        return array.effective_weights.T

    @cached_property
    def _model(self) -> Any:
        return model_of(self.hardware)

    @cached_property
    def _spec(self) -> CimMacroSpec:
        if self.hardware.macro is None:
            raise SimulationError(f"{self.hardware.name}: has no arrays")
        return without(self.hardware.macro, self.hardware.off)


@final
@dataclass(frozen=True)
class TorchSurrogate:
    """y' = gain y + offset + sqrt(rest) N(0, 1) of each layer by name, [n] by output channel; constants to the gradient."""

    table: Mapping[str, tuple[Tensor, Tensor, Tensor]]
    rng: torch.Generator

    @staticmethod
    def measure(network: Network, hardware: Hardware, inputs: NDArray[Any], seed: int, rng: torch.Generator) -> TorchSurrogate:
        """By one exact pass over at most 500 training inputs.

        Cells are as designed, as their errors are drawn for each batch: only what drivers and converters do is measured.
        """
        chip = OnArrays(network, hardware.without(("programming", "cells", "drift")), seed, thinned(inputs, MAX_SAMPLES))
        table = Surrogate.measure(chip, inputs).table
        return TorchSurrogate({name: _columns(fit) for name, fit in table.items()}, rng)

    def __call__(self, module: TorchLayer, x: Tensor, w: Tensor) -> Tensor:
        """Product as converters let it through."""
        gain, offset, std = (c if module.layer.kind == "linear" else c[:, None, None] for c in self.table[module.layer.name])
        y = product(module.layer, x, w, None) * gain + offset
        return y + std * torch.randn(y.shape, generator=self.rng)


def _columns(fit: tuple[Floats, Floats, Floats]) -> tuple[Tensor, Tensor, Tensor]:
    """Gain, offset and standard deviation of each output channel."""
    gain, offset, rest = (torch.from_numpy(a.reshape(-1).astype(np.float32)) for a in fit)
    return gain, offset, rest.sqrt()


@final
class _StraightThrough(torch.autograd.Function):
    """Forward what the arrays return, backward as if it had been the ideal product."""

    @staticmethod
    def forward(ctx: Any, ideal: Tensor, found: Tensor) -> Tensor:
        """What was found."""
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """All to the ideal product."""
        return grads[0], None


@final
@dataclass(frozen=True)
class ExactProduct:
    """The product of one chip as it was programmed."""

    chip: OnArrays
    rng: np.random.Generator

    def __call__(self, module: TorchLayer, x: Tensor, w: Tensor) -> Tensor:
        """Exact product; the gradient is that of the ideal one."""
        ideal = product(module.layer, x, w, None)
        layer, given = module.layer, x.detach().numpy()
        found = layer.outputs(self.chip.multiply(self.rng)(layer, layer.vectors(given)), given.shape)
        out: Tensor = _StraightThrough.apply(ideal, torch.from_numpy(found.astype(np.float32)))  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return out


@final
@dataclass
class ChipErrors:
    """Errors of hardware as `torch_fit.fit` takes them: cells from a new chip for each batch, converters by `path`.

    A surrogate is measured at the start of each epoch; exactly, each batch is multiplied by arrays that were programmed for it.
    """

    hardware: Hardware
    path: Path
    rng: np.random.Generator = field(default_factory=np.random.default_rng)
    samples: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    learned: LearnedRanges | None = None

    def epoch(self, net: TorchNet, data: Data, chance: np.random.SeedSequence) -> None:
        """Measure the surrogate."""
        self.rng = np.random.default_rng(chance)
        self.samples = thinned(data.inputs.numpy(), MAX_SAMPLES)
        self.off(net)
        if self.hardware.macro is None:
            return
        if self.path == "exact":
            self.learned = LearnedRanges.of(net.trained(), self.hardware)
            return
        noise = torch.Generator().manual_seed(int(self.rng.integers(2**62)))
        surrogate = TorchSurrogate.measure(net.trained(), self.hardware, self.samples, int(self.rng.integers(2**62)), noise)
        for module in net.layers():
            module.multiply = surrogate

    def batch(self, net: TorchNet, share: float) -> None:
        """Program a chip; its cells deviate by `share` of what they do."""
        if self.learned and self.learned.has_all(net):
            for module in net.layers():
                module.multiply = self.learned
            return
        if self.hardware.macro is not None and self.path == "exact":
            chip = OnArrays(net.trained(), self.hardware, int(self.rng.integers(2**62)), self.samples)
            others = ExactProduct(chip, self.rng)
            for module in net.layers():
                module.multiply = replace(self.learned, others=others) if self.learned else others
            return
        draws = CellDraws(self.hardware, self.rng, share)
        for module in net.layers():
            module.draw = draws

    def off(self, net: TorchNet) -> None:
        """Nothing disturbs any more."""
        for module in net.layers():
            module.draw = module.multiply = None
        self.learned = None

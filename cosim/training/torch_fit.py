"""Epochs of training: batches, noise, clipping, and a stop when numbers run away.

Imported inside functions only, so that everything else works without torch. All chance comes from (seed, epoch), so that a run that
goes on after a stop equals one that never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import cos, isfinite, pi
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosim.training.network import Network
from cosim.training.recipe import Phase
from cosim.training.samples import N_FIRST, thinned
from cosim.training.torch_net import TorchNet, cross_entropy, with_steps
from cosim.training.torch_ties import keep_ties, tie
from workloads.errors import SimulationError


@dataclass(frozen=True)
class Data:
    """Scaled inputs [n, ...] and labels [n] as tensors."""

    inputs: Tensor
    labels: Tensor

    @staticmethod
    def of(inputs: NDArray[Any], labels: NDArray[Any]) -> Data:
        """From arrays."""
        return Data(
            torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32)), torch.from_numpy(np.ascontiguousarray(labels, dtype=np.int64))
        )

    def __len__(self) -> int:
        return int(self.labels.numel())


class Errors(Protocol):
    """What disturbs a network while it trains; all chance of an epoch comes from the generators that it starts with."""

    def epoch(self, net: TorchNet, data: Data, chance: np.random.SeedSequence) -> None:
        """An epoch starts."""

    def batch(self, net: TorchNet, share: float) -> None:
        """A batch starts; `share` of the full error is due."""

    def off(self, net: TorchNet) -> None:
        """Nothing disturbs any more."""


@dataclass(frozen=True)
class GaussianErrors:
    """W + sigma max|W_row| N(0, 1), one draw a batch."""

    sigma: float

    def epoch(self, net: TorchNet, data: Data, chance: np.random.SeedSequence) -> None:
        """Start the generator."""
        rng = torch.Generator().manual_seed(int(chance.generate_state(1, np.uint64)[0] >> np.uint64(1)))
        for module in net.layers():
            module.rng = rng

    def batch(self, net: TorchNet, share: float) -> None:
        """Set the noise."""
        for module in net.layers():
            module.sigma = self.sigma * share

    def off(self, net: TorchNet) -> None:
        """No noise."""
        for module in net.layers():
            module.sigma = 0.0


@dataclass
class Progress:
    """Where a run stands: epochs done, and what the optimizer remembers."""

    epoch: int
    net: dict[str, Any]
    optimizer: dict[str, Any]


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread inside, so that sums are taken in one order and a run is the same everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepare(
    network: Network,
    data: Data,
    phase: Phase,
    ties: Mapping[str, NDArray[np.int64]] | None = None,
    finish: Callable[[Network], Network] = lambda network: network,
) -> TorchNet:
    """The network with the bits and first steps of a phase, as a module; `ties` of its entry share weights, `finish` adds steps."""
    if phase.weight_bits is not None or phase.activation_bits is not None:
        network = with_steps(network, thinned(data.inputs, N_FIRST), phase.weight_bits, phase.activation_bits)
    return tie(TorchNet(finish(network)), ties or {})


def fit(
    net: TorchNet,
    data: Data,
    phase: Phase,
    seed: int,
    *,
    teacher: Network | None = None,
    errors: Errors | None = None,
    start: Progress | None = None,
    on_epoch: Callable[[Progress, float], None] | None = None,
    momentum: float | None = None,
) -> TorchNet:
    """Train in place against `errors` (default: the noise of the phase), by stochastic gradient descent where it has a `momentum`.

    `on_epoch` is told where the run stands and the mean loss of each epoch.
    Raises SimulationError when the loss is no number any more, naming the layer and the step; what `on_epoch` kept last is good.
    """
    if len(data) < phase.batch:
        raise SimulationError(f"batch {phase.batch}: there are {len(data)} training samples; choose a smaller batch")
    optimizer = _optimizer(net, phase, momentum)
    if start is not None:
        net.load_state_dict(start.net)
        optimizer.load_state_dict(start.optimizer)
    soft = None if teacher is None or phase.distill == 0 else outputs(TorchNet(teacher), data.inputs)
    errors = errors or GaussianErrors(phase.training_sigma)
    for epoch in range(0 if start is None else start.epoch, phase.epochs):
        loss = _epoch(net, optimizer, data, phase, soft, errors, seed, epoch)
        if on_epoch is not None:
            on_epoch(Progress(epoch + 1, net.state_dict(), optimizer.state_dict()), loss)
    return net.eval()


def _optimizer(net: TorchNet, phase: Phase, momentum: float | None) -> torch.optim.Optimizer:
    """Adam, or gradient descent with momentum."""
    if momentum is None:
        return torch.optim.Adam(net.parameters(), lr=phase.learning_rate, weight_decay=phase.weight_decay, fused=True)
    return torch.optim.SGD(net.parameters(), lr=phase.learning_rate, momentum=momentum, weight_decay=phase.weight_decay)


def outputs(net: TorchNet, inputs: Tensor, chunk: int = 500) -> Tensor:
    """Outputs of the module for all inputs, without gradients."""
    net.eval()
    with torch.no_grad():
        return torch.cat([net(inputs[i : i + chunk]) for i in range(0, len(inputs), chunk)])


def _epoch(
    net: TorchNet, optimizer: torch.optim.Optimizer, data: Data, phase: Phase, soft: Tensor | None, errors: Errors, seed: int, epoch: int
) -> float:
    """One pass over the data; returns the mean loss."""
    order, chance = np.random.SeedSequence([seed, epoch]).spawn(2)
    errors.epoch(net, data, chance)
    net.train()
    rows = torch.from_numpy(np.random.default_rng(order).permutation(len(data)))
    n_batches = len(data) // phase.batch
    total = 0.0
    for batch in range(n_batches):
        progress = (epoch + batch / n_batches) / phase.epochs
        for group in optimizer.param_groups:
            group["lr"] = phase.learning_rate * (1 + cos(pi * progress)) / 2
        errors.batch(net, phase.share_at(progress))
        chosen = rows[batch * phase.batch : (batch + 1) * phase.batch]
        target = None if soft is None else soft[chosen]
        loss = cross_entropy(net(data.inputs[chosen]), data.labels[chosen], target, phase.distill, phase.temperature)
        value = loss.item()
        if not isfinite(value):
            raise SimulationError(_runaway(net, data.inputs[chosen], phase, f"epoch {epoch + 1}, step {batch + 1}", value))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        clip(net, phase)
        total += value
    errors.off(net)
    return total / max(1, n_batches)


def clip(net: TorchNet, phase: Phase) -> None:
    """Hold weights within so many standard deviations of their row or layer; steps stay positive."""
    with torch.no_grad():
        for module in net.layers():
            w = module.weight
            if phase.clip_row is not None:
                rows = w.reshape(w.shape[0], -1)
                most = rows.std(1, keepdim=True, correction=0) * phase.clip_row
                rows.clamp_(-most, most)
            if phase.clip_layer is not None:
                most = w.std(correction=0) * phase.clip_layer
                w.clamp_(-most, most)
            keep_ties(module, "weight", w)
            for name in ("weight_step", "input_step", "adc_step"):
                if (step := getattr(module, name)) is not None:
                    keep_ties(module, name, step.clamp_(min=1e-8))


def _runaway(net: TorchNet, inputs: Tensor, phase: Phase, where: str, value: float) -> str:
    """Which layer is lost, and what would do."""
    return (
        f"training: loss is {value} in {where}: {_lost(net, inputs)}; lower the learning rate ({phase.learning_rate:g}) or the noise "
        f"({phase.sigma:g}), or look for values in the data that are no numbers"
    )


def _lost(net: TorchNet, inputs: Tensor) -> str:
    """The first layer in order whose weights, inputs or outputs left the range of numbers."""
    seen: dict[str, bool] = {}
    for module in net.layers():
        if not bool(torch.isfinite(module.weight).all()):
            return f"weights of layer {module.layer.name} are no numbers"
        module.watch = lambda layer, x: seen.__setitem__(layer.name, bool(torch.isfinite(x).all()))
    outputs(net, inputs)
    for module in net.layers():
        module.watch = None
    names = list(seen)
    first = next((i for i, name in enumerate(names) if not seen[name]), len(names))
    return f"outputs of layer {names[first - 1]} left the range of numbers" if first else f"inputs of layer {names[0]} are no numbers"

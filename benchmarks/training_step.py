"""CPU time of one training step of cnn_small with weight noise, rounded weights and rounded inputs: this project, plain torch, aihwkit.

One thread, one process, turn by turn: forward, loss, backward and Adam on a batch. Plain torch is written by hand below with operators that
autograd composes: the same noise (one draw a batch, relative to the largest weight of a row), bits (4-bit weights, 8-bit inputs) and
ranges (learned steps, with the gradients of LSQ), or the largest magnitude of the batch as the range of inputs. aihwkit
(`pip install "cosim[peer]"`) takes its torch tile with additive noise and 8-bit inputs of learned range, or of the largest magnitude of
each vector; it rounds no weights. A ratio above 1 means that this project takes longer.
Run: python benchmarks/training_step.py
"""

from __future__ import annotations

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from cosim.training.networks import trainable
from cosim.training.recipe import Phase
from cosim.training.torch_fit import Data, GaussianErrors, clip, prepare
from cosim.training.torch_net import cross_entropy

SIGMA, WEIGHT_BITS, INPUT_BITS = 0.12, 4, 8
BATCHES, ROUNDS, STEPS = (128, 64), 7, 6
TARGETS = {"plain torch, learned ranges": 1.0, "aihwkit, learned range": 1 / 5, "aihwkit, abs-max": 1 / 4}
Step = Callable[[], object]


class PlainLayer(nn.Module):
    """A product with noise, bits and ranges, written straightforwardly."""

    def __init__(self, weight: Tensor, bias: Tensor, *, signed: bool, learned: bool) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
        self.n_weights, self.low, self.high = 2 ** (WEIGHT_BITS - 1) - 1, 0, 2**INPUT_BITS - 1
        if signed:
            self.high = 2 ** (INPUT_BITS - 1) - 1
            self.low = -self.high
        rows = weight.flatten(1)
        self.weight_step = nn.Parameter(rows.abs().amax(1) / self.n_weights)
        self.input_step = nn.Parameter(torch.tensor(3.0 / self.high)) if learned else None

    def forward(self, x: Tensor) -> Tensor:
        """Round weights and inputs, disturb, multiply."""
        step = _scaled(self.weight_step, (self.weight[0].numel() * self.n_weights) ** -0.5).reshape(-1, *[1] * (self.weight.dim() - 1))
        w = _round((self.weight / step).clamp(-self.n_weights, self.n_weights)) * step
        largest = w.detach().abs().flatten(1).amax(1).reshape(step.shape)
        w = w + SIGMA * largest * torch.randn_like(w)
        if self.input_step is None:
            reach = x.detach().abs().amax() / self.high
        else:
            reach = _scaled(self.input_step, (x[0].numel() * self.high) ** -0.5)
        x = _round((x / reach).clamp(self.low, self.high)) * reach
        return fn.linear(x, w, self.bias) if w.dim() == 2 else fn.conv2d(x, w, self.bias, padding=2)


def _round(x: Tensor) -> Tensor:
    """Nearest whole number, straight through."""
    return (x.round() - x).detach() + x


def _scaled(step: Tensor, scale: float) -> Tensor:
    """A step whose gradient is scaled."""
    return step * scale + (step * (1 - scale)).detach()


class PlainNet(nn.Module):
    """cnn_small out of `PlainLayer`s or of layers of another tool."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        for layer in list(self.layers)[:2]:
            x = fn.max_pool2d(fn.relu(layer(x)), 2)
        out: Tensor = self.layers[3](fn.relu(self.layers[2](x.flatten(1))))
        return out


def optimized(net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, labels: Tensor) -> Step:
    """One step."""

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        fn.cross_entropy(net(x), labels).backward()
        optimizer.step()

    return step


def ours(x: Tensor, labels: Tensor) -> Step:
    """A step as `torch_fit` takes it, clipping included."""
    phase = Phase(epochs=1, learning_rate=1e-3, sigma=SIGMA, clip_row=1.5, weight_bits=WEIGHT_BITS, activation_bits=INPUT_BITS)
    data = Data(x, labels)
    net = prepare(trainable("cnn_small").start(np.random.default_rng(0)), data, phase)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    errors = GaussianErrors(SIGMA)
    errors.epoch(net, data, np.random.SeedSequence(0))

    def step() -> None:
        errors.batch(net, 1.0)
        loss = cross_entropy(net(x), labels, None, 0.0, 1.0)
        loss.item()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        clip(net, phase)

    return step


def plain(x: Tensor, labels: Tensor, *, learned: bool) -> Step:
    """A step of plain torch."""
    program = trainable("cnn_small").build(np.random.default_rng(0))
    layers = [
        PlainLayer(
            torch.from_numpy(program.weights[layer.weight]),
            torch.from_numpy(program.weights[str(layer.bias)]),
            signed=i == 0,
            learned=learned,
        )
        for i, layer in enumerate(program.layers)
    ]
    net = PlainNet(list(layers))
    return optimized(net, torch.optim.Adam(net.parameters(), lr=1e-3, fused=True), x, labels)


def peer(x: Tensor, labels: Tensor, *, learned: bool) -> Step:
    """A step of aihwkit's torch tile; ImportError where it is not installed."""
    from aihwkit.nn import AnalogConv2d, AnalogLinear  # noqa: PLC0415  (may be missing)
    from aihwkit.optim import AnalogSGD  # noqa: PLC0415  (may be missing)
    from aihwkit.simulator.configs import TorchInferenceRPUConfig  # noqa: PLC0415  (may be missing)
    from aihwkit.simulator.parameters.enums import BoundManagementType, NoiseManagementType, WeightModifierType  # noqa: PLC0415

    config = TorchInferenceRPUConfig()
    config.modifier.type, config.modifier.std_dev = WeightModifierType.ADD_NORMAL, SIGMA
    config.forward.inp_res, config.forward.out_noise = 1 / (2**INPUT_BITS - 2), 0.0
    config.forward.bound_management = BoundManagementType.NONE
    config.forward.out_bound, config.forward.out_res = 0.0, -1.0
    config.forward.noise_management = NoiseManagementType.NONE if learned else NoiseManagementType.ABS_MAX
    config.pre_post.input_range.enable = learned
    layers = [AnalogConv2d(1, 8, 5, padding=2, rpu_config=config), AnalogConv2d(8, 16, 5, padding=2, rpu_config=config)]
    layers += [AnalogLinear(784, 64, rpu_config=config), AnalogLinear(64, 10, rpu_config=config)]
    net = PlainNet(layers)
    optimizer = AnalogSGD(net.parameters(), lr=0.05)
    optimizer.regroup_param_groups(net)
    return optimized(net, optimizer, x, labels)


def steps_of(batch: int) -> tuple[dict[str, Step], list[str]]:
    """What is timed, and what is not there."""
    rng = torch.Generator().manual_seed(0)
    x, labels = torch.randn((batch, 1, 28, 28), generator=rng), torch.randint(10, (batch,), generator=rng)
    found = {"cosim": ours(x, labels)}
    found |= {f"plain torch, {name}": plain(x, labels, learned=learned) for name, learned in (("learned ranges", True), ("abs-max", False))}
    try:
        found |= {f"aihwkit, {name}": peer(x, labels, learned=learned) for name, learned in (("learned range", True), ("abs-max", False))}
    except ImportError as error:
        return found, [f'aihwkit is not installed ({error}); pip install "cosim[peer]"']
    return found, []


def timed(steps: dict[str, Step]) -> dict[str, list[float]]:
    """CPU seconds a step, in rounds that take turns."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        for _ in range(3):
            step()
    for _ in range(ROUNDS):
        for name, step in steps.items():
            start = time.process_time()
            for _ in range(STEPS):
                step()
            times[name].append((time.process_time() - start) / STEPS)
    return times


def main() -> None:
    """Print ms a step, and the ratio of this project's to each."""
    torch.set_num_threads(1)
    for batch in BATCHES:
        steps, missing = steps_of(batch)
        times = timed(steps)
        _say(f"cnn_small, batch {batch}, noise {SIGMA:g}, {WEIGHT_BITS}-bit weights, {INPUT_BITS}-bit inputs:")
        for name, each in times.items():
            ratio = statistics.median(a / b for a, b in zip(times["cosim"], each, strict=True))
            target = f" (target at most {TARGETS[name]:.2f}: {'met' if ratio <= TARGETS[name] else 'missed'})" if name in TARGETS else ""
            _say(f"  {name:28} {1e3 * statistics.median(each):8.2f} ms a step; cosim / this {ratio:5.2f}{target}")
        for line in missing:
            _say(f"  {line}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()

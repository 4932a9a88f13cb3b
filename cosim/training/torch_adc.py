"""The phases of `adc_aware` in torch. Imported inside functions only, so that everything else works without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from math import cos, isfinite, pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as fn

from cosim.training.adc_net import AdcAware, AdcAwareConfig, Start, WholeLayer, WholeNet
from cosim.training.exact_product import ExactProduct
from cosim.training.quantize import mse_step
from cosim.training.samples import thinned
from cosim.training.torch_exact import ExactLinear
from hw_models.cim.spec import CimMacroSpec
from workloads.errors import SimulationError

Array = NDArray[Any]
FLOAT, ROUND, THROUGH = range(3)  # phases, each with batches of its own
N_RANGE = 500  # images whose largest hidden value is the first range


class ExactMlp(nn.Module):
    """Linear layers with ReLUs between them; inputs are levels."""

    def __init__(self, layers: Iterable[ExactLinear]) -> None:
        super().__init__()
        self.layers = list(layers)
        self.members = nn.ModuleList(self.layers)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [v, classes]."""
        for index, layer in enumerate(self.layers):
            x = layer(fn.relu(x) if index else x)
        return x

    def groups(self, rate: float, step_rate: float) -> list[dict[str, Any]]:
        """Weights and biases, and steps, with a learning rate each."""
        named = [(name.rpartition(".")[2], p) for name, p in self.named_parameters() if p.requires_grad]
        return [
            {"params": [p for name, p in named if not name.startswith("log_")], "lr": rate},
            {"params": [p for name, p in named if name.startswith("log_")], "lr": step_rate},
        ]


def train_start(images: Array, labels: Array, config: AdcAwareConfig, seed: int) -> Start:
    """Float, then rounded to learned steps."""
    sizes = [images.shape[1], *config.hidden, int(labels.max()) + 1]
    rng = torch.Generator().manual_seed(seed)
    floats = [_first(n, k, rng) for k, n in pairwise(sizes)]
    scale = 1.0 / (2**config.activation_bits - 1)
    levels = _levels(images)

    def forward(x: Tensor) -> Tensor:
        return _float(floats, x * scale)

    groups = [{"params": [p for pair in floats for p in pair], "lr": config.float_rate}]
    _fit(forward, groups, levels, labels, config, (seed, FLOAT), config.float_epochs)
    net = ExactMlp(_rounded(floats, levels, config))
    _fit(net, net.groups(config.round_rate, config.round_rate), levels, labels, config, (seed, ROUND), config.round_epochs)
    plain = tuple((w.detach().numpy().copy(), b.detach().numpy().copy()) for w, b in floats)
    latent = tuple({name: value.numpy().copy() for name, value in layer.state_dict().items()} for layer in net.layers)
    return Start(plain, latent, _whole(net, config))


def train_through(images: Array, labels: Array, spec: CimMacroSpec | None, config: AdcAwareConfig, seed: int, start: Start) -> AdcAware:
    """Through the converters of a macro, or as long without."""
    net, levels = _restored(start, config), _levels(images)
    if spec is not None:
        begin = start.net.calibrated(thinned(images, config.n_calibration), spec)
        for layer, whole in zip(net.layers, begin.layers, strict=True):
            layer.product = ExactProduct.of(spec, whole.weights.shape, config.weight_bits, config.activation_bits)
            layer.slope = config.slope
            layer.log_adc_step.data.fill_(float(np.log(whole.adc_step)))
    teacher = None
    if config.distill > 0:
        floats = [(torch.from_numpy(w), torch.from_numpy(b)) for w, b in start.floats]
        teacher = _float(floats, levels / (2**config.activation_bits - 1))
    trace: list[dict[str, Any]] = []

    def note(epoch: int, loss: float) -> None:
        steps = [float(layer.log_adc_step.detach().exp()) for layer in net.layers]
        trace.append({"epoch": epoch, "loss": loss, "adc_steps": steps if spec is not None else []})

    groups = net.groups(config.rate, config.step_rate)
    _fit(net, groups, levels, labels, config, (seed, THROUGH), config.epochs, teacher, note)
    return AdcAware(_whole(net, config), tuple(trace))


def _first(n: int, k: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Weights and biases uniform in +-1 / sqrt(k), torch's own choice for linear layers (He et al., ICCV 2015, with a slope of sqrt 5)."""
    bound = k**-0.5
    w, b = torch.rand((n, k), generator=rng), torch.rand(n, generator=rng)
    return (w * 2 * bound - bound).requires_grad_(), (b * 2 * bound - bound).requires_grad_()


def _float(floats: list[tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    for index, (w, b) in enumerate(floats):
        x = fn.linear(fn.relu(x) if index else x, w, b)
    return x


def _levels(images: Array) -> Tensor:
    return torch.from_numpy(images.astype(np.float32))


def _rounded(floats: list[tuple[Tensor, Tensor]], levels: Tensor, config: AdcAwareConfig) -> list[ExactLinear]:
    """Layers whose weight steps are of least squared error and whose input ranges hold the values of some images."""
    top = 2**config.activation_bits - 1
    out, x = [], thinned(levels, N_RANGE) / top
    for index, (w, b) in enumerate(floats):
        weight, bias = w.detach(), b.detach()
        input_step = max(float(x.max()), 1e-6) / top if index else 1 / top
        step = torch.from_numpy(mse_step(weight.numpy(), config.weight_bits).astype(np.float32))
        out.append(ExactLinear(weight, bias, step, input_step, (config.weight_bits, config.activation_bits), first=index == 0))
        x = fn.relu(fn.linear(x, weight, bias))
    return out


def _restored(start: Start, config: AdcAwareConfig) -> ExactMlp:
    """The rounded network as it was left."""
    bits, layers = (config.weight_bits, config.activation_bits), []
    for index, (state, whole) in enumerate(zip(start.latent, start.net.layers, strict=True)):
        tensors = {name: torch.from_numpy(value.copy()) for name, value in state.items()}
        step = torch.from_numpy(whole.weight_step.astype(np.float32))
        layer = ExactLinear(tensors["weight"], tensors["bias"], step, whole.input_step, bits, first=index == 0)
        layer.load_state_dict(tensors)
        layers.append(layer)
    return ExactMlp(layers)


def _whole(net: ExactMlp, config: AdcAwareConfig) -> WholeNet:
    """What is deployed."""
    layers = []
    with torch.no_grad():
        for layer in net.layers:
            w = layer.weight_levels().numpy().astype(np.int64).T
            step, bias = layer.log_weight_step.exp().numpy()[:, 0], layer.bias.numpy()
            numbers = float(layer.log_input_step.exp()), bias.astype(np.float64), float(layer.log_adc_step.exp())
            layers.append(WholeLayer(np.ascontiguousarray(w), step.astype(np.float64), *numbers))
    return WholeNet(tuple(layers), config.weight_bits, config.activation_bits)


def _fit(
    forward: Callable[[Tensor], Tensor],
    groups: list[dict[str, Any]],
    x: Tensor,
    labels: Array,
    config: AdcAwareConfig,
    seeds: tuple[int, int],
    epochs: int,
    teacher: Tensor | None = None,
    note: Callable[[int, float], None] | None = None,
) -> None:
    """Adam with cosine decay to 0 over all batches. SimulationError where the loss is no number."""
    optimizer = torch.optim.Adam(groups)
    rates = [float(group["lr"]) for group in groups]
    rng, y = np.random.default_rng(seeds), torch.from_numpy(labels.astype(np.int64))
    n_batches = x.shape[0] // config.batch
    for epoch in range(epochs):
        order, total = torch.from_numpy(rng.permutation(x.shape[0])), 0.0
        for i in range(n_batches):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * 0.5 * (1 + cos(pi * (epoch * n_batches + i) / (epochs * n_batches)))
            rows = order[i * config.batch : (i + 1) * config.batch]
            loss = _loss(forward(x[rows]), y[rows], None if teacher is None else teacher[rows], config)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            optimizer.step()
            total += float(loss.detach())
        if not isfinite(total):
            raise SimulationError(f"epoch {epoch}: the loss is no number; choose a smaller learning rate")
        if note is not None:
            note(epoch, total / n_batches)


def _loss(outputs: Tensor, labels: Tensor, teacher: Tensor | None, config: AdcAwareConfig) -> Tensor:
    """Cross entropy, and by its share T^2 KL(teacher || outputs) at temperature T."""
    loss = fn.cross_entropy(outputs, labels)
    if teacher is None:
        return loss
    t = config.temperature
    soft = fn.kl_div(fn.log_softmax(outputs / t, 1), fn.softmax(teacher / t, 1), reduction="batchmean")
    return (1 - config.distill) * loss + config.distill * t * t * soft

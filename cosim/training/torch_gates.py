"""Gates that learn what a network can do without, against the joules that it saves on one chip.

Imported inside functions only, so that everything else works without torch. Loss of a batch: distilled cross entropy
+ strength (expected joules / joules of the dense network) + KL(posterior of weights | log-uniform prior) / samples.

Rows, columns and residual bits have hard-concrete gates z = clamp(1.2 sigmoid((logit u + log a) / b) - 0.1, 0, 1), b = 2/3, with
P(z > 0) = sigmoid(log a - b log(0.1 / 1.1)) (Louizos, Welling, Kingma, ICLR 2018, eq. 10-13). Bits: x_q = x_b0 + z1 (x_b1 - x_b0 + z2 ...)
(van Baalen et al., NeurIPS 2020, eq. 3-6; steps here are one range over the levels of each choice). Weights: w = theta + sigma N(0, 1), one
draw a batch, KL = 0.5 log(1 + 1/alpha) - 0.63576 sigmoid(1.87320 + 1.48695 log alpha) + 0.63576 with alpha = sigma^2 / theta^2
(Molchanov, Ashukha, Vetrov, ICML 2017, eq. 14).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, isfinite, log, pi
from typing import Any, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cosim.training.channels import groups_of
from cosim.training.energy_prior import EnergyPrior, Marginal
from cosim.training.network import Network
from cosim.training.quantize import input_range, weight_top
from cosim.training.torch_fit import Data, outputs
from cosim.training.torch_net import TorchLayer, TorchNet, cross_entropy
from cosim.training.torch_ops import rounded
from workloads.errors import SimulationError
from workloads.program import Layer

BETA, LOW, HIGH = 2 / 3, -0.1, 1.1  # temperature and limits: Louizos et al. 2018, section 4
OPEN = 1.0  # log a that gates start from: P(z > 0) = 0.93; assumed
SIGMA = 0.02  # posterior deviation that weights start from, of the largest of their row; assumed
KL = (0.63576, 1.87320, 1.48695)  # Molchanov et al. 2017, eq. 14


@final
class HardConcrete(nn.Module):
    """Gates [n] between 0 and 1, exactly 0 or 1 with finite probability; in evaluation their mean path, without noise."""

    def __init__(self, n: int, rng: torch.Generator) -> None:
        super().__init__()
        self.log_a = nn.Parameter(torch.full((n,), OPEN))
        self.rng = rng

    def forward(self) -> Tensor:
        """One draw, or what stays of it without noise."""
        logit: Tensor = self.log_a
        if self.training:
            u = torch.rand(self.log_a.shape, generator=self.rng).clamp(1e-6, 1 - 1e-6)
            logit = (torch.logit(u) + self.log_a) / BETA
        return (torch.sigmoid(logit) * (HIGH - LOW) + LOW).clamp(0, 1)

    def probability(self) -> Tensor:
        """P(z > 0)."""
        return torch.sigmoid(self.log_a - BETA * log(-LOW / HIGH))


@final
class GatedBits(nn.Module):
    """x rounded to the fewest bits of a ladder, and by gates to more; steps are one range over the levels of each."""

    def __init__(self, limits: tuple[tuple[int, int], ...], step: Tensor, rng: torch.Generator) -> None:
        """`limits`: least and largest whole number of each choice, fewest bits first; `step`: that of the last."""
        super().__init__()
        self.limits = limits
        self.range = nn.Parameter(step * limits[-1][1])
        self.gates = HardConcrete(len(limits) - 1, rng)

    def forward(self, x: Tensor) -> Tensor:
        """Rounded; gradients to x and range as in LSQ."""
        z = self.gates()
        size = self.range.reshape(-1, *[1] * (x.dim() - 1)) if self.range.dim() else self.range
        out, open_ = torch.zeros(()), torch.ones(())
        before: Tensor | float = 0.0
        for i, (low, top) in enumerate(self.limits):
            open_ = open_ * z[i - 1] if i else open_
            if i and not self.training and float(open_.detach()) == 0:
                break
            scale = (x[0].numel() * top) ** -0.5
            level = rounded(x, size / top, low, top, scale)
            out = out + open_ * (level - before)
            before = level
        return out

    def probabilities(self) -> Tensor:
        """P that each choice is the one [choices]."""
        reached = torch.cat([torch.ones(1), torch.cumprod(self.gates.probability(), 0)])
        return reached - torch.cat([reached[1:], torch.zeros(1)])

    def chosen(self) -> int:
        """Index of the bits that open gates reach without noise."""
        self.gates.eval()
        z = self.gates().detach()
        return int(torch.cumprod((z > 0).float(), 0).sum())


@final
class GatedWeights(nn.Module):
    """Parametrization of the weights of one layer: (theta + sigma N(0, 1)) times gates of rows and columns, rounded to gated bits."""

    def __init__(self, w: Tensor, columns: HardConcrete, rows: HardConcrete | None, bits: GatedBits, rng: torch.Generator) -> None:
        super().__init__()
        self.columns, self.rows, self.bits, self.rng = columns, rows, bits, rng
        largest = w.abs().reshape(w.shape[0], -1).amax(1).clamp(min=1e-8)
        self.log_sigma2 = nn.Parameter((2 * (largest * SIGMA).log()).reshape(-1, *[1] * (w.dim() - 1)).expand_as(w).clone())

    def gated(self, theta: Tensor) -> Tensor:
        """Weights before rounding."""
        w = theta
        if self.training:
            w = w + (0.5 * self.log_sigma2).exp() * torch.randn(w.shape, generator=self.rng)
        columns: Tensor = self.columns()
        w = w * columns.reshape(-1, *[1] * (w.dim() - 1))
        if self.rows is None:
            return w
        rows: Tensor = self.rows()
        return w * rows.reshape(w.shape[1:])

    def forward(self, theta: Tensor) -> Tensor:
        """Weights as the layer uses them."""
        out: Tensor = self.bits(self.gated(theta))
        return out

    def log_alpha(self, theta: Tensor) -> Tensor:
        """Noise over signal of each weight, as a logarithm, held in +-8."""
        return (self.log_sigma2 - (theta**2 + 1e-12).log()).clamp(-8, 8)

    def kl(self, theta: Tensor) -> Tensor:
        """KL of all weights from the log-uniform prior, in nats."""
        log_alpha = self.log_alpha(theta)
        a, b, c = KL
        return (0.5 * nn.functional.softplus(-log_alpha) - a * torch.sigmoid(b + c * log_alpha) + a).sum()


@dataclass(frozen=True)
class Found:
    """What gates decided of one layer: weights and bias with the gates inside, bits, ranges, and noise over signal of weights."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    weight_bits: int
    activation_bits: int
    signed: bool
    range_weight: NDArray[np.float64]
    range_input: float
    log_alpha: NDArray[np.float32]


class GatedNet:
    """A network under gates on one chip."""

    def __init__(self, network: Network, prior: EnergyPrior, rng: torch.Generator) -> None:
        """`network` has the steps of its largest bits; `prior` names the choices of each layer."""
        self.net, self.prior, self.program = TorchNet(network), prior, network.program
        self.groups = groups_of(network.program)
        self.columns: dict[int, HardConcrete] = {}
        self.inputs: dict[str, GatedBits] = {}
        self.weights: dict[str, GatedWeights] = {}
        self.modules = nn.ModuleList()
        for module in self.net.layers():
            self._wrap(module, rng)

    def _wrap(self, module: TorchLayer, rng: torch.Generator) -> None:
        """Put gates on one layer, and take its own rounding out."""
        layer = module.layer
        choices = sorted(self.prior.marginals[layer.name])
        weight_bits, input_bits = sorted({w for w, _ in choices}), sorted({a for _, a in choices})
        if module.weight_step is None or module.input_step is None:
            raise SimulationError(f"layer {layer.name}: gates need steps of weights and inputs; give both bits")
        limits = tuple(input_range(b, signed=module.signed and b > 1) for b in input_bits)
        self.inputs[layer.name] = GatedBits(limits, module.input_step.detach(), rng)
        self.inputs[layer.name].range.requires_grad_(layer.node.inputs[0] != self.program.input)  # its gradient costs a convolution
        steps = GatedBits(tuple((-weight_top(b), weight_top(b)) for b in weight_bits), module.weight_step.detach(), rng)
        rows = HardConcrete(module.weight[0].numel(), rng) if layer.groups == 1 else None
        gated = GatedWeights(module.weight.detach(), self._column_gates(layer, module, rng), rows, steps, rng)
        self.weights[layer.name] = gated
        module.bits = module.activation_bits = None
        module.weight_step = module.input_step = None
        parametrize.register_parametrization(module, "weight", gated)
        module.register_forward_pre_hook(lambda _, x, rounding=self.inputs[layer.name]: (rounding(x[0]),))
        self.modules.extend([self.inputs[layer.name], gated])

    def _column_gates(self, layer: Layer, module: TorchLayer, rng: torch.Generator) -> HardConcrete:
        """Gates of the channels of what a layer writes, shared by all that share them; open for good where all must stay."""
        group = self.groups[layer.node.outputs[0]]
        gates = self.columns.setdefault(id(group), HardConcrete(module.weight.shape[0], rng))
        if group.pinned or group.n != module.weight.shape[0]:
            gates.log_a.requires_grad_(False).fill_(20.0)
        return gates

    def energy_share(self) -> Tensor:
        """Expected joules of all products over those of the dense network."""
        total = torch.zeros(())
        for layer in self.program.layers:
            total = total + self._expected_j(layer)
        return total / self.prior.reference_j

    def _expected_j(self, layer: Layer) -> Tensor:
        """Expected joules of one product: marginals weighed by the probabilities of rows, columns, channels and bits."""
        gated, inputs = self.weights[layer.name], self.inputs[layer.name]
        columns = gated.columns.probability()
        source = self.columns.get(id(self.groups[layer.node.inputs[0]]))
        share = torch.ones(()) if source is None else source.probability().mean()
        rows = torch.tensor(float(self.program.weights[layer.weight][0].size))
        if gated.rows is not None:
            each = gated.rows.probability()
            if source is not None and each.numel() % source.log_a.numel() == 0:
                each = each * source.probability().repeat_interleave(each.numel() // source.log_a.numel())
            rows = each.sum()
        total = torch.zeros(())
        choices = self.prior.marginals[layer.name]
        weight_bits, input_bits = sorted({w for w, _ in choices}), sorted({a for _, a in choices})
        for w, p_w in zip(weight_bits, gated.bits.probabilities(), strict=True):
            for a, p_a in zip(input_bits, inputs.probabilities(), strict=True):
                total = total + p_w * p_a * _at(choices[w, a], rows, columns.sum(), share, columns.mean())
        return total

    def kl(self) -> Tensor:
        """KL of all weights, in nats."""
        total = torch.zeros(())
        for module in self.net.layers():
            total = total + self.weights[module.layer.name].kl(original(module))
        return total

    def train(self, *, mode: bool) -> None:
        """Draw gates and weights, or take the paths without noise."""
        self.net.train(mode)
        self.modules.train(mode)

    def found(self) -> dict[str, Found]:
        """What was decided, layer by layer."""
        self.train(mode=False)
        return {module.layer.name: self._found(module) for module in self.net.layers()}

    def _found(self, module: TorchLayer) -> Found:
        name = module.layer.name
        gated, inputs = self.weights[name], self.inputs[name]
        choices = self.prior.marginals[name]
        weight_bits, input_bits = sorted({w for w, _ in choices}), sorted({a for _, a in choices})
        with torch.no_grad():
            theta = original(module)
            z = gated.columns()
            bias = None if module.bias is None else (module.bias * (z > 0)).numpy().copy()
            return Found(
                weight=gated.gated(theta).numpy().copy(),
                bias=bias,
                weight_bits=weight_bits[gated.bits.chosen()],
                activation_bits=input_bits[inputs.chosen()],
                signed=inputs.limits[inputs.chosen()][0] < 0,
                range_weight=gated.bits.range.double().numpy().copy(),
                range_input=float(inputs.range.detach()),
                log_alpha=gated.log_alpha(theta).numpy().copy(),
            )


def _at(marginal: Marginal, rows: Tensor, columns: Tensor, inputs: Tensor, outputs: Tensor) -> Tensor:
    """Joules of a marginal at expected counts."""
    inside = marginal.fixed_j + marginal.row_j * rows + marginal.column_j * columns + marginal.cell_j * rows * columns
    return inside + marginal.input_j * inputs + marginal.output_j * outputs


@dataclass(frozen=True)
class GateTraining:
    """Epochs of training under gates: weight of energy in the loss, rates of weights and of gates, distillation."""

    epochs: int
    strength: float
    learning_rate: float
    gate_rate: float
    batch: int = 64
    ramp: float = 0.3
    kl_share: float = 1.0
    distill: float = 0.0
    temperature: float = 1.0


def fit_gates(
    gated: GatedNet, data: Data, how: GateTraining, seed: int, teacher: Network | None, on_epoch: Callable[[int, Mapping[str, float]], None]
) -> None:
    """Train weights and gates together; the prior grows linearly over the first `ramp` of the epochs.

    Raises SimulationError where the loss is no number any more.
    """
    slow = ("log_a", "log_sigma2")  # what only its rate moves, as the loss hardly depends on one of them
    gates = [p for name, p in gated.modules.named_parameters() if name.endswith(slow) and p.requires_grad]
    known = {id(p) for p in gates}
    rest = list(
        {id(p): p for p in (*gated.net.parameters(), *gated.modules.parameters()) if id(p) not in known and p.requires_grad}.values()
    )
    optimizer = torch.optim.Adam([{"params": rest, "base": how.learning_rate}, {"params": gates, "base": how.gate_rate}], fused=True)
    soft = None if teacher is None or how.distill == 0 else outputs(TorchNet(teacher), data.inputs)
    n_batches = len(data) // how.batch
    for epoch in range(how.epochs):
        gated.train(mode=True)
        order = torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(len(data)))
        seen = 0.0
        for batch in range(n_batches):
            progress = (epoch + batch / n_batches) / how.epochs
            for group in optimizer.param_groups:
                group["lr"] = group["base"] * (1 + cos(pi * progress)) / 2
            chosen = order[batch * how.batch : (batch + 1) * how.batch]
            loss = _loss(gated, data, chosen, soft, how, min(1.0, progress / how.ramp))
            seen += loss.item()
            if not isfinite(seen):
                raise SimulationError(f"compression: loss is {loss.item()} in epoch {epoch + 1}, step {batch + 1}; lower the learning rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
        on_epoch(epoch + 1, {"loss": seen / max(1, n_batches), "energy": float(gated.energy_share().detach())})
    gated.train(mode=False)


def _loss(gated: GatedNet, data: Data, chosen: Tensor, soft: Tensor | None, how: GateTraining, warm: float) -> Tensor:
    """Loss of one batch."""
    target = None if soft is None else soft[chosen]
    with parametrize.cached():
        task = cross_entropy(gated.net(data.inputs[chosen]), data.labels[chosen], target, how.distill, how.temperature)
    return task + warm * (how.strength * gated.energy_share() + how.kl_share * gated.kl() / len(data))


class Held(nn.Module):
    """Parametrization that keeps zeros of a mask zero."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask: Tensor
        self.register_buffer("mask", mask)

    def forward(self, w: Tensor) -> Tensor:
        """Weights under the mask."""
        return w * self.mask

    def right_inverse(self, w: Tensor) -> Tensor:
        """Weights that are given from outside."""
        return w


def hold_zeros(net: TorchNet) -> TorchNet:
    """Keep every weight that is zero now at zero."""
    for module in net.layers():
        parametrize.register_parametrization(module, "weight", Held((module.weight.detach() != 0).float()))
    return net


def hold_largest(net: TorchNet, n_keep: int, factors: Mapping[str, float]) -> None:
    """Hold all but the n_keep weights of largest magnitude at zero, over all layers together; `factors` by kind of layer weigh magnitudes.

    The network has gone through `hold_zeros`; what is held at zero stays so.
    """
    holds: list[Held] = [cast("Any", module.parametrizations)["weight"][0] for module in net.layers()]
    with torch.no_grad():
        scores = [original(module).abs() * hold.mask * factors[module.layer.kind] for module, hold in zip(net.layers(), holds, strict=True)]
        every = torch.cat([score.flatten() for score in scores])
        least = every.sort(descending=True).values[min(every.numel(), max(1, n_keep)) - 1]
        for hold, score in zip(holds, scores, strict=True):
            hold.mask.copy_(((score >= least) & (score > 0)).float())


def original(module: TorchLayer) -> Tensor:
    """Weights of a layer without its parametrization."""
    weights: Tensor = cast("Any", module.parametrizations)["weight"].original
    return weights

"""Steps of compression, each from a network and training rows to a network: float, gates and pruning, tuning, and the baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cosim.training.channels import shrunk
from cosim.training.energy_prior import EnergyPrior, energy_prior
from cosim.training.network import Network, Steps
from cosim.training.quantize import input_range, weight_top
from cosim.training.recipe import Phase
from cosim.training.samples import N_FIRST, thinned
from hw_models.chip import Chip
from workloads.program import Layer

if TYPE_CHECKING:
    from cosim.training.torch_gates import Found

Array = NDArray[Any]
Tell = Callable[[str, int], None]


@dataclass(frozen=True)
class CompressRecipe:
    """Epochs, rates and choices of compression; all numbers assumed, chosen on validation images of mnist5k.

    first, gates, settle, tune: epochs of the float network, under gates, of settling on what they leave, and of tuning; baseline and
    control are tuned as many epochs as all of these but the first. strengths: weights of the energy in the loss, one point of the front
    each. keep: share of all weights that stays, the largest, before rounding makes more of them zero; the others go bit by bit over the
    first `pruning` of the tuning (Zhu, Gupta, arXiv:1710.01878); conv_score: factor on magnitudes of convolutions, whose weights work
    at every pixel.
    row_price: of the strength, for rows that carry less of their layer's weights than of its joules. weight_ladder, input_ladder,
    first_ladder: bits to choose from for weights, inputs, and inputs of the network. baseline: (weight bits, activation bits, shares
    pruned). margin: share of the allowed drop that a choice on validation images may use, as they are few.
    """

    first: int = 15
    gates: int = 12
    settle: int = 10
    tune: int = 100
    first_rate: float = 2e-3
    gates_rate: float = 1e-3
    gate_rate: float = 0.1
    kl_share: float = 1.0
    settle_rate: float = 3e-3
    tune_rate: float = 3e-3
    strengths: tuple[float, ...] = (100.0, 130.0)
    keep: float = 0.053
    pruning: float = 0.5
    conv_score: float = 3.0
    row_price: float = 0.2
    weight_ladder: tuple[int, ...] = (2,)
    input_ladder: tuple[int, ...] = (3, 4)
    first_ladder: tuple[int, ...] = (1, 2)
    distill: float = 0.9
    temperature: float = 4.0
    margin: float = 0.6
    baseline: tuple[tuple[int, int, tuple[float, ...]], ...] = (
        (2, 2, (0.0, 0.9, 0.95)),
        (4, 4, (0.95,)),
        (8, 8, (0.98,)),
    )

    @property
    def shaping(self) -> int:
        """Epochs until the structure stands."""
        return self.gates + self.settle

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def tuning(self, epochs: int, rate: float, weight_bits: int | None, activation_bits: int | None) -> Phase:
        """A phase of learned steps with distillation."""
        return Phase(
            epochs,
            rate,
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            distill=self.distill,
            temperature=self.temperature,
        )


QUICK = CompressRecipe(
    first=2, gates=2, settle=1, tune=2, strengths=(60.0, 120.0), baseline=((2, 2, (0.9, 0.98)), (4, 4, (0.9,)))
)  # assumed: enough to see that everything runs


def recipe_of(*, quick: bool = False, tune: int | None = None) -> CompressRecipe:
    """The recipe, in short where asked for, with other epochs of tuning where given."""
    recipe = QUICK if quick else CompressRecipe()
    return recipe if tune is None else replace(recipe, tune=tune)


@dataclass(frozen=True)
class Rows:
    """Scaled inputs and labels that a stage trains on."""

    inputs: Array
    labels: Array


def float_network(network: Network, rows: Rows, recipe: CompressRecipe, seed: int, tell: Callable[[], None]) -> Network:
    """Train real weights."""
    from cosim.training.torch_fit import Data, fit  # noqa: PLC0415  # torch
    from cosim.training.torch_net import TorchNet  # noqa: PLC0415  # torch

    net = TorchNet(network)
    fit(net, Data.of(rows.inputs, rows.labels), Phase(recipe.first, recipe.first_rate), seed, on_epoch=lambda *_: tell())
    return net.trained()


def tuned(
    network: Network,
    rows: Rows,
    recipe: CompressRecipe,
    epochs: int,
    seed: int,
    teacher: Network,
    tell: Callable[[], None],
    rate: float | None = None,
    n_keep: int | None = None,
) -> Network:
    """Tune weights and steps of a rounded network at its own bits, zeros held, with the outputs of the float network as the goal.

    n_keep: weights that are left when `pruning` of the epochs is done, n(t) = n_keep + (n_0 - n_keep) (1 - t)^3 of them at the share t
    of the way; those with the largest magnitudes, of convolutions times `conv_score`. The network then comes back without channels that
    nobody needs any more.
    """
    from cosim.training.torch_fit import Data, Progress, fit  # noqa: PLC0415  # torch
    from cosim.training.torch_gates import hold_largest, hold_zeros  # noqa: PLC0415  # torch
    from cosim.training.torch_net import TorchNet  # noqa: PLC0415  # torch

    net = hold_zeros(TorchNet(network))
    for module in net.layers():
        if module.input_step is not None and module.layer.node.inputs[0] == network.program.input:
            module.input_step.requires_grad_(False)  # its gradient costs a convolution and moves nothing
    n_first = n_weights(network)

    def after(progress: Progress, _: float) -> None:
        if n_keep is not None and n_keep < n_first:
            left = 1 - min(1.0, progress.epoch / max(1.0, recipe.pruning * epochs))
            hold_largest(net, round(n_keep + (n_first - n_keep) * left**3), {"conv": recipe.conv_score, "linear": 1.0})
        tell()

    phase = recipe.tuning(epochs, rate or recipe.tune_rate, network.weight_bits, network.activation_bits)
    fit(net, Data.of(rows.inputs, rows.labels), phase, seed, teacher=teacher, on_epoch=after)
    return net.trained() if n_keep is None else smaller(net.trained())


def n_weights(network: Network) -> int:
    """Weights of all layers, biases apart."""
    return sum(network.program.weights[layer.weight].size for layer in network.program.layers)


def rounded(network: Network, weight_bits: int, activation_bits: int, samples: Array) -> Network:
    """The network with uniform bits and first steps."""
    import torch  # noqa: PLC0415  # costs a second

    from cosim.training.torch_net import with_steps  # noqa: PLC0415  # torch

    return with_steps(network, torch.from_numpy(samples), weight_bits, activation_bits)


def prior_of(chip: Chip, network: Network, recipe: CompressRecipe, reference_j: float) -> EnergyPrior:
    """Joules of all choices of bits of each layer; a layer that reads the network's input has choices of its own."""
    ladders = {layer.name: ladder_of(layer, network, recipe) for layer in network.program.layers}
    top = {name: max(ladder) for name, ladder in ladders.items()}
    return energy_prior(chip, replace(network, layer_activation_bits=top), recipe.weight_ladder, ladders, reference_j)


def ladder_of(layer: Layer, network: Network, recipe: CompressRecipe) -> tuple[int, ...]:
    """Bits that the inputs of a layer may have."""
    return recipe.first_ladder if layer.node.inputs[0] == network.program.input else recipe.input_ladder


def gated(
    network: Network,
    rows: Rows,
    recipe: CompressRecipe,
    prior: EnergyPrior,
    strength: float,
    seed: int,
    tell: Callable[[], None],
) -> Network:
    """Learn under gates what is worth its joules, settle on it, and drop weak rows; return what stays, physically smaller."""
    found = _under_gates(network, rows, recipe, prior, strength, seed, tell)
    kept = smaller(_decided(network, recipe, found))
    kept = tuned(kept, rows, recipe, recipe.settle, seed, network, tell, recipe.settle_rate)
    return smaller(without_weak_rows(kept, prior, recipe.row_price * strength))


def without_weak_rows(network: Network, prior: EnergyPrior, strength: float) -> Network:
    """Rows set to zero whose share of their layer's squared weights is below strength times their share of the dense network's joules."""
    changed: dict[str, Array] = {}
    for layer in network.program.layers:
        if layer.groups > 1:
            continue
        weights = network.program.weights[layer.weight]
        matrix = layer.matrix(weights)[0]
        marginal = prior.marginals[layer.name][network.bits_of(layer) or 0, network.activation_bits_of(layer) or 0]
        price = (marginal.row_j + marginal.cell_j * matrix.shape[0]) / prior.reference_j
        squares = (matrix.astype(np.float64) ** 2).sum(axis=0)
        strong = squares >= strength * price * squares.sum()
        strong[squares.argmax()] = True
        changed[layer.weight] = (matrix * strong).reshape(weights.shape).astype(np.float32)
    return replace(network, program=network.program.with_weights(changed))


def _under_gates(
    network: Network, rows: Rows, recipe: CompressRecipe, prior: EnergyPrior, strength: float, seed: int, tell: Callable[[], None]
) -> Mapping[str, Found]:
    """What the gates decide of each layer."""
    import torch  # noqa: PLC0415  # costs a second

    from cosim.training.torch_fit import Data  # noqa: PLC0415  # torch
    from cosim.training.torch_gates import GatedNet, GateTraining, fit_gates  # noqa: PLC0415  # torch

    top = {layer.name: max(ladder_of(layer, network, recipe)) for layer in network.program.layers}
    some = thinned(rows.inputs, N_FIRST)
    first = rounded(replace(network, layer_activation_bits=top), max(recipe.weight_ladder), max(recipe.input_ladder), some)
    gates = GatedNet(first, prior, torch.Generator().manual_seed(seed))
    how = GateTraining(
        recipe.gates,
        strength,
        recipe.gates_rate,
        recipe.gate_rate,
        kl_share=recipe.kl_share,
        distill=recipe.distill,
        temperature=recipe.temperature,
    )
    fit_gates(gates, Data.of(rows.inputs, rows.labels), how, seed, network, lambda *_: tell())
    return gates.found()


def _decided(network: Network, recipe: CompressRecipe, found: Mapping[str, Found]) -> Network:
    """The network with weights, bits and steps as the gates leave them."""
    weights = {layer.weight: found[layer.name].weight for layer in network.program.layers}
    weights |= {layer.bias: bias for layer in network.program.layers if layer.bias and (bias := found[layer.name].bias) is not None}
    steps = {
        name: Steps(
            one.range_weight / weight_top(one.weight_bits),
            one.range_input / input_range(one.activation_bits, signed=one.signed)[1],
            one.signed,
        )
        for name, one in found.items()
    }
    return replace(
        network,
        program=network.program.with_weights(weights),
        weight_bits=max(recipe.weight_ladder),
        activation_bits=max(recipe.input_ladder),
        layer_bits={name: one.weight_bits for name, one in found.items()},
        layer_activation_bits={name: one.activation_bits for name, one in found.items()},
        steps=steps,
    )


def smaller(network: Network) -> Network:
    """The network without channels that its exact zeros make needless; weights that only round to zero count as weights."""
    plain = shrunk(replace(network, weight_bits=None, layer_bits={}))
    return replace(plain, weight_bits=network.weight_bits, layer_bits=network.layer_bits)


def percent_right(network: Network, rows: Rows) -> float:
    """Percentage of inputs that the rounded network, computed digitally, tells right."""
    from cosim.training.torch_fit import Data, outputs  # noqa: PLC0415  # torch
    from cosim.training.torch_net import TorchNet  # noqa: PLC0415  # torch

    found = outputs(TorchNet(network), Data.of(rows.inputs, rows.labels).inputs)
    return 100 * float((found.argmax(1).numpy() == rows.labels).mean())

"""Rounding of a trained network to few bits without training it again: each weight goes up or down as the layer's output asks.

AdaRound: Nagel, Amjad, van Baalen, Louizos, Blankevoort, Up or down? Adaptive rounding for post-training quantization, ICML 2020. Needs
training inputs but no labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import ceil, cos, isfinite, pi
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cosim.training.accuracy import real
from cosim.training.engines import Digital
from cosim.training.execute import Executor
from cosim.training.network import Network
from cosim.training.quantize import mse_step, weight_top
from workloads.errors import SimulationError
from workloads.program import Layer, Program
from workloads.program_fold import fold_batch_norm

Array = NDArray[Any]
Floats = NDArray[np.float32]

MAX_INPUTS = 1000  # training inputs that are used: Nagel et al. 2020, section 5, take 1024
N_VECTORS = 1 << 15  # vectors of a layer that are kept of them; assumed
CHUNK = 100  # inputs computed at once
STRETCH = (-0.1, 1.1)  # zeta and gamma of equation 23
ADAM = (0.9, 0.999, 1e-8)  # Kingma, Ba, ICLR 2015


@dataclass(frozen=True)
class Settings:
    """How long and how hard rounding is searched for; beta falls by a cosine after the `free` share of steps, which has no penalty.

    `step_rate` is the learning rate of the logarithm of steps, 0 leaves them (as Nagel et al. 2020 do; Hubara et al., ICML 2021, learn
    them along with rounding). beta is that of Nagel et al. 2020; the rest was chosen on validation images; batch and free share are
    assumed. Raises SimulationError on numbers that no search has.
    """

    n_steps: int = 2000
    batch: int = 256
    learning_rate: float = 3e-2
    step_rate: float = 2e-3
    penalty: float = 0.3
    beta: tuple[float, float] = (20.0, 2.0)
    free: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what cannot be searched with."""
        if self.n_steps < 1 or self.batch < 1:
            raise SimulationError(f"AdaRound: {self.n_steps} steps, batch {self.batch}: choose 1 or more")
        if not isfinite(self.learning_rate) or self.learning_rate <= 0 or min(self.penalty, self.step_rate) < 0 or not 0 <= self.free < 1:
            raise SimulationError("AdaRound: choose a learning rate above 0, step rate and penalty of 0 or more and a free share below 1")

    def beta_at(self, step: int) -> float | None:
        """Exponent of the penalty; None while there is none."""
        progress = (step / self.n_steps - self.free) / (1 - self.free)
        high, low = self.beta
        return None if progress < 0 else low + (high - low) * (1 + cos(pi * progress)) / 2


@final
@dataclass
class Adam:
    """Change of one array of numbers by its gradients (Kingma, Ba, ICLR 2015)."""

    n: int = 0
    mean: Array | float = 0.0
    square: Array | float = 0.0

    def change(self, gradient: Array, learning_rate: float) -> Floats:
        """What to take off the numbers."""
        first, second, tiny = ADAM
        self.n += 1
        self.mean = first * self.mean + (1 - first) * gradient
        self.square = second * self.square + (1 - second) * gradient**2
        root = np.sqrt(self.square / (1 - second**self.n)) + tiny
        return np.asarray(learning_rate * (self.mean / (1 - first**self.n)) / root, dtype=np.float32)


@final
@dataclass
class Rounding:
    """Weights of one layer between the levels below and above: s clip(floor(w / s) + h(V), -n, n), h = clip(1.2 sigmoid(V) - 0.1, 0, 1).

    below [g, n, k]: whole numbers; step [g, n, 1]; v [g, n, k], starting where h is the fraction of w / s. Source: equations 22 and 23.
    """

    below: Floats
    step: Floats
    top: int
    v: Floats
    of_v: Adam = field(default_factory=Adam)
    of_step: Adam = field(default_factory=Adam)

    @staticmethod
    def start(weights: Array, step: Array, bits: int) -> Rounding:
        """From real weights [g, n, k]."""
        ratio = np.asarray(weights, dtype=np.float64) / step
        below = np.floor(ratio)
        low, high = STRETCH
        share = (np.clip(ratio - below, 1e-4, 1 - 1e-4) - low) / (high - low)
        v = np.log(share / (1 - share))
        return Rounding(below.astype(np.float32), step.astype(np.float32), weight_top(bits), v.astype(np.float32))

    @property
    def _raw(self) -> tuple[Floats, Floats]:
        """Sigmoid of V, and h before it is clipped."""
        low, high = STRETCH
        sigmoid = np.asarray(1 / (1 + np.exp(-self.v)), dtype=np.float32)
        return sigmoid, np.asarray(np.float32(high - low) * sigmoid + np.float32(low), dtype=np.float32)

    def weights(self) -> Floats:
        """Weights in between, as they are now."""
        h = np.clip(self._raw[1], 0, 1)
        return np.asarray(self.step * np.clip(self.below + h, -self.top, self.top), dtype=np.float32)

    def whole(self) -> Floats:
        """Whole weights: up where h is above one half."""
        return np.asarray(np.clip(self.below + (self._raw[1] > 0.5), -self.top, self.top), dtype=np.float32)

    def gradient(self, to_weights: Floats, penalty: float, beta: float | None) -> Floats:
        """Gradient to V of a loss with gradient `to_weights`, plus that of penalty x sum(1 - |2 h - 1|^beta) (equation 24)."""
        sigmoid, raw = self._raw
        held = self.below + np.clip(raw, 0, 1)
        to_h = to_weights * self.step * ((held > -self.top) & (held < self.top))
        if beta is not None:
            away = 2 * np.clip(raw, 0, 1) - 1
            to_h = to_h - penalty * 2 * beta * np.abs(away) ** (beta - 1) * np.sign(away)
        low, high = STRETCH
        return np.asarray(to_h * (high - low) * sigmoid * (1 - sigmoid) * ((raw > 0) & (raw < 1)), dtype=np.float32)

    def step_gradient(self, to_weights: Floats) -> Floats:
        """Gradient to the logarithm of the steps, [g, n, 1]."""
        return np.asarray((to_weights * self.weights()).sum(axis=-1, keepdims=True), dtype=np.float32)

    def move(self, to_weights: Floats, settings: Settings, n_before: int) -> None:
        """One step of Adam of V, and of the steps."""
        for_v = self.gradient(to_weights, settings.penalty, settings.beta_at(n_before))
        shrinks = self.of_step.change(self.step_gradient(to_weights), settings.step_rate) if settings.step_rate else 0.0
        self.v = self.v - self.of_v.change(for_v, settings.learning_rate)
        self.step = np.asarray(self.step * np.exp(-np.float32(shrinks)), dtype=np.float32)


@dataclass(frozen=True)
class Task:
    """What one layer is to do: vectors [g, v, k] as the rounded layers before make them, real outputs [g, v, n], bias [g, 1, n].

    `relu` says that outputs, with bias, go through max(x, 0) before they are compared (asymmetric reconstruction, equation 25).
    """

    vectors: Floats
    wanted: Floats
    bias: Floats
    relu: bool

    def loss(self, weights: Floats, rows: Array) -> tuple[float, Floats]:
        """Mean over vectors of the squared error summed over outputs, and its gradient to the weights."""
        x = self.vectors[:, rows]
        y, wanted = np.matmul(x, np.swapaxes(weights, 1, 2)) + self.bias, self.wanted[:, rows]
        if self.relu:
            rest = np.maximum(y, 0) - np.maximum(wanted, 0)
            slope = 2 / len(rows) * rest * (y > 0)
        else:
            rest = y - wanted
            slope = 2 / len(rows) * rest
        gradient = np.matmul(np.swapaxes(slope, 1, 2), x)
        return float((rest**2).sum() / len(rows)), np.asarray(gradient, dtype=np.float32)


def adaround(network: Network, inputs: Array, weight_bits: int, *, seed: int = 0, settings: Settings | None = None) -> Network:
    """Round weights to few bits so that outputs of each layer, after the rounded layers before it, stay what they were.

    inputs: training inputs as the program takes them, [batch, ...], of which at most 1000 are drawn; batch norms are folded first. Steps
    start at the least squared error of each output channel and are learned along; inputs, their steps and biases are left as they are.
    Raises SimulationError on bits that no weight has.
    """
    settings = settings or Settings()
    weight_top(weight_bits)
    network = network.with_program(fold_batch_norm(network.program))
    teacher = real(network)
    blank = {name: replace(steps, weight=None) for name, steps in network.steps.items()}
    found = replace(network, weight_bits=weight_bits, steps=blank)
    chosen = np.random.default_rng(seed).permutation(len(inputs))[:MAX_INPUTS]  # data may be in the order of classes
    x = inputs[np.sort(chosen)]
    for place, layer in enumerate(network.program.layers):
        chance = np.random.SeedSequence([seed, place])
        task = _task(teacher, found, layer, x, chance)
        rounding = _searched(task, _start(teacher, layer, found.bits_of(layer) or weight_bits), settings, np.random.default_rng(chance))
        found = _with_layer(found, layer, rounding)
    return found


def _start(teacher: Network, layer: Layer, bits: int) -> Rounding:
    """Nearest rounding with steps of least squared error."""
    weights = teacher.matrix(layer)
    step = mse_step(weights.reshape(-1, weights.shape[-1]), bits).reshape(*weights.shape[:2], 1)
    return Rounding.start(weights, step, bits)


def _searched(task: Task, rounding: Rounding, settings: Settings, rng: np.random.Generator) -> Rounding:
    """The rounding after all steps."""
    n = task.vectors.shape[1]
    for step in range(settings.n_steps):
        rows = rng.integers(n, size=min(settings.batch, n))
        _, to_weights = task.loss(rounding.weights(), rows)
        rounding.move(to_weights, settings, step)
    return rounding


def _with_layer(network: Network, layer: Layer, rounding: Rounding) -> Network:
    """The network with one more layer rounded: its weights on their steps."""
    step = rounding.step.astype(np.float64)
    stored = network.program.weights[layer.weight]
    weights = (rounding.whole() * step).astype(stored.dtype).reshape(stored.shape)
    steps = {**network.steps, layer.name: replace(network.steps_of(layer), weight=step.reshape(-1))}
    return replace(network, program=network.program.with_weights({layer.weight: weights}), steps=steps)


def _task(teacher: Network, rounded: Network, layer: Layer, x: Array, chance: np.random.SeedSequence) -> Task:
    """Vectors of the rounded network and outputs of the real one at the same places."""
    meant = _vectors(teacher, layer, x, np.random.default_rng(chance))
    given = _vectors(rounded, layer, x, np.random.default_rng(chance))
    matrix = teacher.matrix(layer).astype(np.float32)
    real_bias = teacher.bias(layer)
    bias = np.zeros((*matrix.shape[:1], 1, matrix.shape[1]), dtype=np.float32)
    if real_bias is not None:
        bias = real_bias.reshape(bias.shape).astype(np.float32)
    wanted = np.matmul(meant, np.swapaxes(matrix, 1, 2)) + bias
    return Task(given, np.asarray(wanted, dtype=np.float32), bias, _meets_relu(teacher.program, layer))


def _vectors(network: Network, layer: Layer, x: Array, rng: np.random.Generator) -> Floats:
    """Vectors [g, v, k] that a layer is given, some of each chunk, the same ones for the same generator."""
    operands = Digital(network).operands[layer.name]
    return np.concatenate([operands.inputs(part) for part in _parts(network, layer, x, rng)], axis=1)


def _parts(network: Network, layer: Layer, x: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Thinned vectors of one chunk after another."""
    multiply, most = Digital(network).multiply(), ceil(N_VECTORS / ceil(len(x) / CHUNK))
    for first in range(0, len(x), CHUNK):
        vectors = Executor(network, multiply, CHUNK).layer_inputs(x[first : first + CHUNK])[layer.name]
        n = vectors.shape[1]
        yield vectors[:, np.sort(rng.choice(n, size=min(n, most), replace=False))]


def _meets_relu(program: Program, layer: Layer) -> bool:
    """Whether all that reads the outputs of a layer is one or more ReLUs."""
    out = layer.node.outputs[0]
    readers = [node for node in program.nodes if out in node.inputs]
    return bool(readers) and out != program.output and all(node.op_type == "Relu" for node in readers)

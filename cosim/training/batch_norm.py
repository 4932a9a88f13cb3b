"""Statistics of batch norms measured anew on a chip, which undoes what cells, drift and converters do to a layer's mean and spread.

AdaBS: Joshi et al., Accurate deep neural network inference using computational phase-change memory, Nat. Commun. 11 (2020) 2473, section
"Adaptive batch normalization statistics update technique". Batch norms have to be left as they are, not folded into weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cosim.training.engines import Deployed
from cosim.training.execute import Executor, Multiply
from cosim.training.network import Network
from cosim.training.operators import run_node
from workloads.errors import SimulationError
from workloads.program import EPSILON, Node

Array = NDArray[Any]
Floats = NDArray[np.float64]

MAX_SAMPLES = 500  # training inputs that are run, at most; assumed: the share of them that Joshi et al. 2020 use is of a larger set
BATCH = 100  # inputs that share their statistics while they run; assumed
NORM = "BatchNormalization"


@final
@dataclass(frozen=True)
class Renormed(Deployed):
    """A chip as it is, with other statistics in its digital batch norms."""

    network: Network
    chip: Deployed

    def multiply(self, rng: np.random.Generator) -> Multiply:
        """Products of one pass of the chip."""
        return self.chip.multiply(rng)

    @property
    def is_fresh(self) -> bool:
        """Whether two passes differ."""
        return self.chip.is_fresh


@final
@dataclass
class Seen:
    """Mean and variance [channels] of what batch norms were given, one row a batch, by name of the node."""

    means: dict[str, list[Floats]] = field(default_factory=dict)
    variances: dict[str, list[Floats]] = field(default_factory=dict)

    def run(self, node: Node, inputs: Sequence[Array | None], opset: int) -> list[Array]:
        """Any node; a batch norm takes the statistics of its batch, as in training, and they are kept."""
        x = inputs[0]
        if node.op_type != NORM or x is None:
            return run_node(node, inputs, opset)
        axes = (0, *range(2, x.ndim))
        mean, variance = x.mean(axis=axes, dtype=np.float64), x.var(axis=axes, dtype=np.float64)
        self.means.setdefault(node.name, []).append(mean)
        self.variances.setdefault(node.name, []).append(variance)
        return [normed(x, node, inputs[1:3], mean, variance)]

    def statistics(self, name: str) -> tuple[Floats, Floats]:
        """Of all batches together: mean of means, mean of variances plus variance of means."""
        means, variances = np.stack(self.means[name]), np.stack(self.variances[name])
        return means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0)


def normed(x: Array, node: Node, affine: Sequence[Array | None], mean: Floats, variance: Floats) -> Array:
    """Scale (x - mean) / sqrt(variance + epsilon) + shift, channel by channel (Ioffe, Szegedy, arXiv:1502.03167, algorithm 1)."""
    scale, shift = (np.asarray(a, dtype=np.float64) for a in affine)
    gain = scale / np.sqrt(variance + float(node.attributes.get("epsilon", EPSILON)))
    by_channel = (-1, *[1] * (x.ndim - 2))
    return np.asarray(x * gain.reshape(by_channel) + (shift - mean * gain).reshape(by_channel), dtype=np.float32)


def renormed(deployed: Deployed, samples: Array, rng: np.random.Generator) -> Deployed:
    """The chip with statistics of all batch norms measured on it, by one pass over at most 500 training inputs in batches of 100.

    samples: [n, ...] as the program takes them. A network without batch norms is returned as it is. Raises SimulationError without samples.
    """
    network = deployed.network
    nodes = [node for node in network.program.nodes if node.op_type == NORM]
    if not nodes:
        return deployed
    n = min(len(samples), MAX_SAMPLES)
    if n < 1:
        raise SimulationError("batch norm: statistics are measured on training inputs; give samples")
    seen, size = Seen(), -(-n // max(1, round(n / BATCH)))
    chosen = np.random.default_rng(0).permutation(len(samples))[:n]  # data may be in the order of classes
    Executor(network, deployed.multiply(rng), size, seen.run)(samples[chosen])
    changed: dict[str, Array] = {}
    for node in nodes:
        mean, variance = seen.statistics(node.name)
        changed |= {node.inputs[3]: mean.astype(np.float32), node.inputs[4]: variance.astype(np.float32)}
    return Renormed(replace(network, program=network.program.with_weights(changed)), deployed)

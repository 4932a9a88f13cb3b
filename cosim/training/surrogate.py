"""Layers of a network on arrays in short: y = gain y_ideal + offset + N(0, variance) for each output channel, measured by an exact pass.

Least squares of what the exact path returns against the product of rounded numbers, over vectors of at most 500 training inputs that
went through the layers before exactly; the rest is taken as Gaussian and as drawn anew for each product. Measured error against the exact
path on images that were not measured: docs/models/accuracy.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cosim.training.arrays import OnArrays
from cosim.training.cells import CALIBRATION, generator
from cosim.training.engines import Deployed
from cosim.training.execute import Executor, Multiply
from cosim.training.network import Network
from cosim.training.samples import thinned
from workloads.program import Layer

Array = NDArray[Any]
Floats = NDArray[np.float64]

MAX_SAMPLES = 500  # training inputs of a measurement


@final
@dataclass
class Moments:
    """Sums over vectors of one layer, [6, g, n]: 1, y, y^2, z, z^2, y z of ideal products y and exact ones z."""

    sums: Floats

    @staticmethod
    def of(ideal: Array, exact: Array) -> Moments:
        """Of products [g, v, n]."""
        y, z = np.asarray(ideal, dtype=np.float64), np.asarray(exact, dtype=np.float64)
        return Moments(np.stack([a.sum(axis=1) for a in (np.ones_like(y), y, y * y, z, z * z, y * z)]))

    def fit(self) -> tuple[Floats, Floats, Floats]:
        """Gain, offset and variance of the rest, [g, n]: a = cov(y, z) / var(y), b = mean z - a mean y; a = 1 where y does not vary."""
        n, y, yy, z, zz, yz = self.sums
        var_y, var_z, cov = yy / n - (y / n) ** 2, zz / n - (z / n) ** 2, yz / n - y * z / n**2
        varies = var_y > 1e-12 * np.maximum(yy / n, 1e-300)
        gain = np.where(varies, cov / np.where(varies, var_y, 1.0), 1.0)
        rest = np.maximum(var_z - gain * (2 * cov - gain * var_y), 0.0)
        return gain, z / n - gain * y / n, rest

    @property
    def signal(self) -> float:
        """Variance of ideal products, mean over output channels."""
        n, y, yy = self.sums[:3]
        return float((yy / n - (y / n) ** 2).mean())

    @property
    def mean_square_error(self) -> float:
        """Mean (z - y)^2 over vectors and output channels."""
        n, _, yy, _, zz, yz = self.sums
        return float(((zz - 2 * yz + yy) / n).mean())


def measured(deployed: OnArrays, x: Array, rng: np.random.Generator) -> dict[str, Moments]:
    """Sums over the vectors of each layer when inputs `x` run through the exact path once."""
    exact = deployed.multiply(rng)
    found: dict[str, Moments] = {}

    def product(layer: Layer, vectors: Array) -> Array:
        z = exact(layer, vectors)
        moments = Moments.of(deployed.operands[layer.name].product(vectors, deployed.hardware.off), z)
        held = found.get(layer.name)
        found[layer.name] = moments if held is None else Moments(held.sums + moments.sums)
        return z

    Executor(deployed.network, product)(x)
    return found


@final
@dataclass(frozen=True)
class Surrogate(Deployed):
    """A network whose layers err as measured: `table` gives gain, offset and variance [g, n] of each."""

    network: Network
    exact: OnArrays
    table: Mapping[str, tuple[Floats, Floats, Floats]]

    @staticmethod
    def measure(exact: OnArrays, samples: Array) -> Surrogate:
        """Of a deployed network, by at most 500 of its training inputs, evenly spaced."""
        found = measured(exact, thinned(samples, MAX_SAMPLES), generator(exact.seed, CALIBRATION))
        return Surrogate(exact.network, exact, {name: moments.fit() for name, moments in found.items()})

    @property
    def is_fresh(self) -> bool:
        """Whether two passes differ: they do wherever something is left of the fit."""
        return any(float(rest.max()) > 0 for _, _, rest in self.table.values())

    def multiply(self, rng: np.random.Generator) -> Multiply:
        """Products with errors drawn anew."""

        def product(layer: Layer, vectors: Array) -> Array:
            gain, offset, rest = (a[:, None, :] for a in self.table[layer.name])
            y = self.exact.operands[layer.name].product(vectors, self.exact.hardware.off)
            return np.asarray(gain * y + offset + np.sqrt(rest) * rng.standard_normal(y.shape))

        return product

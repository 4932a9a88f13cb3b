"""How near a layer's surrogate and the closed form come to the exact path, on test images that neither has seen.

The 784-64-10 network of the catalog with 4-bit weights and 8-bit inputs on part `ref_bitserial`, over rows, ADC bits, ranges and the spread
of its cells. Compared are, layer by layer on the inputs that the exact path gives it, the variance that least squares against the rounded
product leaves and the mean squared error; and the same where the surrogate runs by itself from the image on, so that errors of the first
layer are in the inputs of the second. A layer counts where its error variance is at least 0.5 % of its signal's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.training.arrays import OnArrays
from cosim.training.cells import PASSES, generator
from cosim.training.data import fitted, load_data
from cosim.training.deploy import quantized
from cosim.training.engines import Deployed
from cosim.training.execute import Executor
from cosim.training.hardware import Hardware
from cosim.training.network import Network
from cosim.training.network_file import load_any
from cosim.training.samples import thinned
from cosim.training.surrogate import MAX_SAMPLES, Moments, Surrogate
from hw_models.catalog import resolve_part
from hw_models.cim.error import output_error
from hw_models.cim.noise import load_noise
from hw_models.cim.spec import CimMacroSpec
from hw_models.cim.statistics import Histogram
from workloads.program import Layer

Array = NDArray[Any]

ROWS, ADC_BITS, RANGES, CELL_STDS = (64, 128, 256), (2, 3, 4, 5, 6), ("granular", "calibrated", "full"), (0.0, 0.1)
COUNTS_FROM = 0.005  # error variance over signal variance
WITHIN = 0.2
WEIGHT_BITS, ACTIVATION_BITS = 4, 8


@dataclass(frozen=True)
class Row:
    """One layer of one configuration: signal variance, and rest and mean squared error of exact path, surrogate and closed form."""

    rows: int
    n_bits: int
    kind: str
    cell_std: float
    layer: str
    signal: float
    exact: tuple[float, float]
    surrogate: tuple[float, float]
    alone: tuple[float, float]
    closed: float

    @property
    def counts(self) -> bool:
        """Whether the error is large enough to be judged."""
        return self.exact[1] >= COUNTS_FROM * self.signal

    def ratios(self, found: tuple[float, float]) -> tuple[float, float]:
        """Found over exact: rest, mean squared error."""
        rest, error = (a / b if b > 0 else 1.0 if a == 0 else float("inf") for a, b in zip(found, self.exact, strict=True))
        return rest, error

    def is_within(self, found: tuple[float, float]) -> bool:
        """Whether both are within 20 %."""
        return all(abs(ratio - 1) <= WITHIN for ratio in self.ratios(found))


def macro(rows: int, n_bits: int, kind: str) -> CimMacroSpec:
    """The reference part with other rows and converters."""
    data = resolve_part("cim_macro/ref_bitserial").data
    data.pop("kind")
    return CimMacroSpec.model_validate(data | {"rows": rows, "adc": data["adc"] | {"n_bits": n_bits, "range": kind}})


def hardware(rows: int, n_bits: int, kind: str, cell_std: float) -> Hardware:
    """Arrays whose filled cells are off by `cell_std`."""
    noise = load_noise("normal_proportional").model_copy(update={"programming": cell_std}) if cell_std else None
    return Hardware("ref_bitserial", macro(rows, n_bits, kind), noise)


def compared(network: Network, samples: Array, test: Array) -> Iterator[Row]:
    """All configurations; every one is another chip."""
    for seed, (rows, n_bits, kind, cell_std) in enumerate(product(ROWS, ADC_BITS, RANGES, CELL_STDS)):
        exact = OnArrays(network, hardware(rows, n_bits, kind, cell_std), seed, samples)
        surrogate = Surrogate.measure(exact, samples)
        rng = generator(seed, PASSES)
        same, alone = moments_of(exact, surrogate, test, rng), moments_of(surrogate, surrogate, test, rng)
        for layer in network.program.layers:
            closed = float("nan") if cell_std else closed_form(exact, layer, test)
            (there, here), (_, free) = same[layer.name], alone[layer.name]
            found = _numbers(there), _numbers(here), _numbers(free)
            yield Row(rows, n_bits, kind, cell_std, layer.name, there.signal, *found, closed)


def moments_of(runs: Deployed, surrogate: Surrogate, x: Array, rng: np.random.Generator) -> dict[str, tuple[Moments, Moments]]:
    """What the network that runs, and the surrogate on the same vectors, do to each layer."""
    multiply, other, found = runs.multiply(rng), surrogate.multiply(rng), {}

    def product_of(layer: Layer, vectors: Array) -> Array:
        z, ideal = multiply(layer, vectors), surrogate.exact.operands[layer.name].product(vectors)
        found[layer.name] = Moments.of(ideal, z), Moments.of(ideal, other(layer, vectors))
        return z

    Executor(surrogate.network, product_of, chunk=len(x))(x)
    return found


def _numbers(moments: Moments) -> tuple[float, float]:
    return float(moments.fit()[2].mean()), moments.mean_square_error


def closed_form(exact: OnArrays, layer: Layer, x: Array) -> float:
    """Mean squared error of a layer by `hw_models.cim.error` from histograms of its inputs and weights, in units of the network.

    Of ideal cells, as no part describes those of this benchmark.
    """
    operands = exact.operands[layer.name]
    vectors = Executor(exact.network, lambda one, v: exact.operands[one.name].product(v)).layer_inputs(x)[layer.name]
    whole = operands.whole if operands.whole is not None else np.zeros((1, 1, 1), dtype=np.int64)
    budget = output_error(
        exact.spec,
        whole.shape[-1],
        WEIGHT_BITS,
        ACTIVATION_BITS,
        inputs=Histogram.from_array(operands.whole_inputs(vectors)),
        weights=Histogram.from_array(whole),
    )
    return float(budget.total[0] * (operands.scale() ** 2).mean())


def rows_of(name: str = "mlp_mnist") -> list[Row]:
    """All rows for a network that ships, judged on the test images of mnist5k."""
    network = load_any(name)
    data = fitted(load_data("mnist5k"), network.program.input_shape)
    samples = network.scaled(thinned(data.inputs[~data.is_test], MAX_SAMPLES))
    ready = quantized(network, WEIGHT_BITS, ACTIVATION_BITS, samples)
    return list(compared(ready, samples, network.scaled(data.inputs[data.is_test])))


def share_within(rows: list[Row]) -> float:
    """Share of the layers that count whose rest and mean squared error are both within 20 % of the exact path's."""
    judged = [row for row in rows if row.counts]
    return sum(row.is_within(row.surrogate) for row in judged) / len(judged)

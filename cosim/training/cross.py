"""Train for one chip, deploy on another: what preparing a network for its hardware is worth, and what it costs elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cosim.training.accuracy import Score, Trial, as_inputs, measure
from cosim.training.data import Dataset, fitted
from cosim.training.deploy import DEFAULT_BITS, Path, quantized
from cosim.training.hardware import Hardware
from cosim.training.network import Network
from cosim.training.networks import Trainable
from cosim.training.recipe import Phase, Recipe
from cosim.training.torch_needed import need_torch
from workloads.errors import SimulationError

NONE = Hardware("no chip")  # the control: as many epochs, undisturbed


@final
@dataclass(frozen=True)
class CrossResult:
    """Percent right on test inputs, by (trained for, deployed on)."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    scores: Mapping[tuple[str, str], Score]

    def best(self, column: str) -> str:
        """What the network that does best on a chip was trained for."""
        return max(self.rows, key=lambda row: self.scores[row, column].mean)

    def gain(self, column: str) -> tuple[float, float]:
        """Points that a network trained for this chip is above the best of the others there: mean and deviation over seeds, paired."""
        others = [row for row in self.rows if row != column]
        rival = max(others, key=lambda row: self.scores[row, column].mean)
        pairs = zip(self.scores[column, column].per_seed, self.scores[rival, column].per_seed, strict=True)
        gain = Score(tuple(a - b for a, b in pairs))
        return gain.mean, gain.std

    def lines(self) -> list[str]:
        """The matrix, mean +- std over seeds, and in words whether its diagonal wins."""
        widths = [max(14, len(name)) for name in self.columns]
        first = max(len(row) for row in ("trained for", *self.rows))
        found = ["  ".join([f"{'trained for':{first}}", *(f"{name:>{w}}" for name, w in zip(self.columns, widths, strict=True))])]
        for row in self.rows:
            cells = (self.scores[row, column] for column in self.columns)
            texts = (f"{f'{s.mean:.2f} +- {s.std:.2f}':>{w}}" for s, w in zip(cells, widths, strict=True))
            found.append("  ".join([f"{row:{first}}", *texts]))
        return [*found, *(self._verdict(column) for column in self.columns)]

    def _verdict(self, column: str) -> str:
        """One sentence on one chip."""
        gain, std = self.gain(column)
        if gain >= 0:
            return f"on {column}: trained for it is best, by {gain:.2f} +- {std:.2f} points"
        return f"on {column}: trained for {self.best(column)} is best; trained for it is {-gain:.2f} +- {std:.2f} points lower"


def cross(
    entry: Trainable,
    dataset: Dataset,
    chips: Sequence[Hardware],
    recipe: Recipe,
    *,
    seeds: tuple[int, ...] = (0, 1, 2),
    n_draws: int | None = None,
    path: Path = "surrogate",
    tell: Callable[[str], None] = lambda _: None,
) -> CrossResult:
    """Train one network a chip and a control without any, all from one float network a seed by one recipe; deploy each on every chip.

    Networks train on all rows that are not test, so a recipe has to be frozen before; a Gaussian chip gives its sigma to the recipe. `path`
    is how converters act in training; deployment is exact. Raises SimulationError on fewer than two chips or equal names.
    """
    need_torch("train here, run there")
    names = [chip.name for chip in chips]
    if len(names) < 2 or len({*names, NONE.name}) <= len(names):
        raise SimulationError(f"cross: chips {names}; give two or more, with different names other than {NONE.name!r}")
    data = fitted(dataset, entry.input_shape, entry.name)
    per_seed: dict[tuple[str, str], list[float]] = {}
    for seed in seeds:
        base = _float(entry, data, recipe.first, seed)
        for trained_for in (*chips, NONE):
            tell(f"seed {seed}: training for {trained_for.name}")
            network = _prepared(entry, data, base, recipe.then, trained_for, path, seed)
            for chip in chips:
                tell(f"seed {seed}: {trained_for.name} on {chip.name}")
                per_seed.setdefault((trained_for.name, chip.name), []).append(_percent(network, data, chip, seed, n_draws))
    scores = {key: Score(tuple(values)) for key, values in per_seed.items()}
    return CrossResult((*names, NONE.name), tuple(names), scores)


def _float(entry: Trainable, data: Dataset, phase: Phase, seed: int) -> Network:
    """The float network that all of a seed start from."""
    return _fitted(entry, data, entry.start(np.random.default_rng(seed)), phase, None, 2 * seed)


def _prepared(entry: Trainable, data: Dataset, base: Network, phase: Phase, chip: Hardware, path: Path, seed: int) -> Network:
    """The network trained for a chip."""
    from cosim.training.torch_chip import ChipErrors  # noqa: PLC0415  (torch)

    errors = ChipErrors(chip, path) if chip.macro is not None or chip.noise is not None else None
    return _fitted(entry, data, base, replace(phase, sigma=chip.sigma), errors, 2 * seed + 1)


def _fitted(entry: Trainable, data: Dataset, network: Network, phase: Phase, errors: Any, seed: int) -> Network:
    """The network after a phase on all rows that are not test."""
    from cosim.training.torch_fit import Data, fit, one_thread, prepare  # noqa: PLC0415  (torch)

    with one_thread():
        seen = Data.of(_learned(network, data), data.labels[~data.is_test])
        net = prepare(network, seen, phase, entry.ties())
        fit(net, seen, phase, seed, errors=errors)
    return net.trained()


def _learned(network: Network, data: Dataset) -> NDArray[Any]:
    """Training inputs as the program takes them."""
    return np.asarray(as_inputs(network, data.inputs[~data.is_test]))


def _percent(network: Network, data: Dataset, chip: Hardware, seed: int, n_draws: int | None) -> float:
    """Percent right on a chip; arrays give real networks 8 bits."""
    if chip.macro is not None:
        network = quantized(network, DEFAULT_BITS, DEFAULT_BITS, _learned(network, data))
    x, labels = data.inputs[data.is_test], data.labels[data.is_test]
    trial = Trial(network, x, labels, chip, data.inputs[~data.is_test], (seed,), n_draws)
    return measure(trial, redraw=False).accuracy.mean

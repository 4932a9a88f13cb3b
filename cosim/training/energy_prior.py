"""What a row, a column, a cell, a bit and an operand of each product cost on one chip: the prior of pruning and of bits.

At given bits a product of k rows and n columns costs e(k, n) = fixed + row k + column n + cell k n joules, plus what its inputs and
outputs cost on their way. The coefficients are finite differences of the cost table between all and half of the rows and columns, so
that whatever the macro model charges (drivers, cells, conversions, wires, buffers, control) is in them, and steps at the edges of
arrays count in the mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cosim.training.array_energy import ProductEnergy, energy_on_arrays
from cosim.training.network import Network
from cosim.training.skipping import Occupied, workload_with
from hw_models.chip import Chip


@dataclass(frozen=True)
class Marginal:
    """Joules of one product at given bits: fixed, for each row, column and cell, for all inputs and for all outputs on their way."""

    fixed_j: float
    row_j: float
    column_j: float
    cell_j: float
    input_j: float
    output_j: float

    def at(self, rows: float, columns: float, inputs: float = 1.0, outputs: float = 1.0) -> float:
        """Joules with so many rows and columns, and shares of the inputs and outputs."""
        inside_j = self.fixed_j + self.row_j * rows + self.column_j * columns + self.cell_j * rows * columns
        return inside_j + self.input_j * inputs + self.output_j * outputs


@dataclass(frozen=True)
class EnergyPrior:
    """Marginals of each layer by (weight bits, activation bits), and the joules of the dense network that they are measured against."""

    marginals: Mapping[str, Mapping[tuple[int, int], Marginal]]
    reference_j: float


def energy_prior(
    chip: Chip, network: Network, weight_bits: Sequence[int], activation_bits: Mapping[str, Sequence[int]], reference_j: float
) -> EnergyPrior:
    """Price each layer of a network at all pairs of weight bits and its own activation bits.

    Outputs are priced at the bits that the network gives them. Raises SimulationError where the arrays of the chip cannot run a layer.
    """
    marginals: dict[str, dict[tuple[int, int], Marginal]] = {layer.name: {} for layer in network.program.layers}
    n_choices = max((len(bits) for bits in activation_bits.values()), default=1)
    for weights in weight_bits:
        for choice in range(n_choices):
            inputs = {name: bits[min(choice, len(bits) - 1)] for name, bits in activation_bits.items()}
            tried = replace(network, layer_activation_bits={**network.layer_activation_bits, **inputs})
            for name, marginal in _marginals(chip, tried, weights).items():
                marginals[name][(weights, inputs[name])] = marginal
    return EnergyPrior(marginals, reference_j)


def _marginals(chip: Chip, network: Network, weight_bits: int) -> dict[str, Marginal]:
    """Coefficients of all layers at once: four workloads of all or half of the rows and columns."""
    full = {layer.name: _whole(network, layer.name, weight_bits) for layer in network.program.layers}
    halves = {name: (max(1, one.rows // 2), max(1, one.columns // 2)) for name, one in full.items()}
    found: dict[tuple[bool, bool], dict[str, ProductEnergy]] = {}
    for all_rows in (True, False):
        for all_columns in (True, False):
            sizes = {
                name: replace(one, rows=one.rows if all_rows else halves[name][0], columns=one.columns if all_columns else halves[name][1])
                for name, one in full.items()
            }
            energy = energy_on_arrays(chip, workload_with(network, sizes))
            found[all_rows, all_columns] = {product.name: product for product in energy.products}
    return {name: _bilinear(one, halves[name], {key: by_name[name] for key, by_name in found.items()}) for name, one in full.items()}


def _whole(network: Network, name: str, weight_bits: int) -> Occupied:
    """A layer with all its rows and columns."""
    layer = next(layer for layer in network.program.layers if layer.name == name)
    groups, n, k = layer.matrix(network.program.weights[layer.weight]).shape
    return Occupied(groups, k, n, weight_bits, groups * n * k)


def _bilinear(full: Occupied, half: tuple[int, int], found: Mapping[tuple[bool, bool], ProductEnergy]) -> Marginal:
    """Coefficients of the bilinear form through four points; a single row or column has no difference, and costs what is left."""
    inside = {key: sum(product.components_j.values()) for key, product in found.items()}
    rows, columns = full.rows - half[0], full.columns - half[1]
    cell = (inside[True, True] - inside[False, True] - inside[True, False] + inside[False, False]) / max(1, rows * columns)
    row = (inside[True, True] - inside[False, True]) / max(1, rows) - cell * full.columns
    column = (inside[True, True] - inside[True, False]) / max(1, columns) - cell * full.rows
    fixed = inside[True, True] - row * full.rows - column * full.columns - cell * full.rows * full.columns
    whole = found[True, True]
    return Marginal(fixed, row, column, cell, whole.input_j, whole.output_j)

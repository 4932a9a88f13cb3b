"""Joules of products on arrays equal what a simulation charges, and their marginals are those of the cost table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosim.simulation.run import Simulation
from cosim.training.array_energy import cim_index, energy_on_arrays
from cosim.training.energy_prior import energy_prior
from cosim.training.network import Network
from cosim.training.skipping import Occupied, workload_with
from hw_models.catalog import load_chip
from workloads.errors import SimulationError
from workloads.program_builder import ProgramBuilder
from workloads.program_onnx import workload_of


@pytest.fixture(scope="module")
def chip():
    return load_chip("edge_cim_soc")


@pytest.fixture(scope="module")
def program():
    b = ProgramBuilder("net", (1, 12, 12), np.random.default_rng(0))
    x = b.max_pool(b.relu(b.conv(b.input, 4, 3)), 2)
    return b.build(b.linear(b.flatten(x), 10))


def test_products_cost_what_the_ledger_says(chip, program):
    workload = workload_of(program).with_bits(2, 4)
    ours = energy_on_arrays(chip, workload)
    result = Simulation(chip, workload, "single:cim", weight_bits=2, activation_bits=4).run()
    resident = {run.name for run in result.ops if run.resident}
    for product in ours.products:
        charged = sum(row.energy_j for row in result.rows if row.op == product.name and row.component != "program")
        if product.name in resident:
            assert product.energy_j == pytest.approx(charged, rel=1e-9)
    assert resident
    assert ours.total_j > ours.products_j > 0


def test_a_chip_without_arrays_is_refused():
    with pytest.raises(SimulationError, match="cim_macro"):
        cim_index(load_chip("edge_npu_soc"))


def test_marginals_add_up_to_the_cost_table_at_all_and_at_half(chip, program):
    network = Network(program, activation_bits=4)
    prior = energy_prior(chip, network, (2, 4), {"conv1": (1, 2), "fc1": (2, 4)}, 1.0)
    assert set(prior.marginals["conv1"]) == {(2, 1), (2, 2), (4, 1), (4, 2)}
    assert set(prior.marginals["fc1"]) == {(2, 2), (2, 4), (4, 2), (4, 4)}
    at = prior.marginals["fc1"][2, 4]
    for rows, columns in ((100, 10), (50, 5)):
        sizes = {"conv1": Occupied(1, 9, 4, 2, 36), "fc1": Occupied(1, rows, columns, 2, rows * columns)}
        products = energy_on_arrays(chip, workload_with(replace(network, layer_activation_bits={"conv1": 2}), sizes)).products
        assert at.at(rows, columns) == pytest.approx(products[1].energy_j, rel=1e-9)
    assert min(at.row_j, at.column_j, at.cell_j, at.input_j, at.output_j) > 0


def test_more_bits_and_more_of_everything_cost_more(chip, program):
    prior = energy_prior(chip, Network(program, activation_bits=4), (2, 4), {"conv1": (1, 4), "fc1": (1, 4)}, 1.0)
    for by_bits in prior.marginals.values():
        costs = [by_bits[bits].at(9, 4) for bits in ((2, 1), (2, 4), (4, 4))]
        assert costs == sorted(costs)
        assert by_bits[2, 1].at(8, 4) < by_bits[2, 1].at(9, 4) < by_bits[2, 1].at(9, 5)

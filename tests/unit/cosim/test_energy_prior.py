"""The prior of one chip: a bilinear form through four points, by hand and of a made-up cost table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.training import energy_prior as prior_module
from cosim.training.array_energy import ProductEnergy, WorkloadEnergy
from cosim.training.energy_prior import Marginal, energy_prior
from cosim.training.network import Network
from cosim.training.skipping import Occupied
from workloads.program_builder import ProgramBuilder

NUMBERS = st.floats(0, 1e3)


@pytest.fixture(scope="module")
def network():
    b = ProgramBuilder("net", (6,), np.random.default_rng(0))
    return Network(b.build(b.linear(b.relu(b.linear(b.input, 5)), 1)), activation_bits=8)


def product(name, inside_j, **change):
    whole = {"m": 1, "k": 1, "n": 1, "weight_bits": 2, "activation_bits": 2, "n_arrays": 1, "input_j": 3.0, "output_j": 5.0} | change
    return ProductEnergy(name, components_j={"cells": inside_j / 2, "adc": inside_j / 2}, **whole)


def form(full, half, cost):
    """The marginal of a cost of rows and columns."""
    whole = Occupied(1, *full, 2, full[0] * full[1])
    found = {}
    for all_rows in (True, False):
        for all_columns in (True, False):
            rows, columns = (full[0] if all_rows else half[0]), (full[1] if all_columns else half[1])
            found[all_rows, all_columns] = product("p", cost(rows, columns))
    return prior_module._bilinear(whole, half, found)


def test_joules_by_hand():
    """1 + 2 * 10 + 3 * 4 + 0.5 * 40 inside, half of the inputs, a quarter of the outputs."""
    one = Marginal(1.0, 2.0, 3.0, 0.5, 8.0, 4.0)
    assert one.at(10, 4, 0.5, 0.25) == 53 + 4 + 1
    assert one.at(10, 4) == 53 + 12


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.integers(2, 40), st.integers(2, 40))
def test_a_bilinear_cost_is_found_again(fixed, row, column, cell, rows, columns):
    at = form((rows, columns), (rows // 2, columns // 2), lambda k, n: fixed + row * k + column * n + cell * k * n)
    np.testing.assert_allclose((at.row_j, at.column_j, at.cell_j), (row, column, cell), rtol=1e-6, atol=1e-6)
    assert at.at(rows, columns) - 8 == pytest.approx(fixed + row * rows + column * columns + cell * rows * columns, abs=1e-6)


@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 99))
def test_any_costs_are_met_at_all_four_points(rows, columns, seed):
    table = np.random.default_rng(seed).uniform(0, 10, (rows + 1, columns + 1))
    half = (rows // 2, columns // 2)
    at = form((rows, columns), half, lambda k, n: table[k, n])
    for k in (rows, half[0]):
        for n in (columns, half[1]):
            assert at.at(k, n, 0, 0) == pytest.approx(table[k, n], abs=1e-9)


def test_a_single_row_or_column_has_no_difference():
    at = form((1, 8), (1, 4), lambda k, n: 2 + 3 * n)
    assert (at.row_j, at.cell_j) == (0, 0)
    assert at.column_j == pytest.approx(3)
    assert at.at(1, 8, 0, 0) == pytest.approx(26)
    at = form((1, 1), (1, 1), lambda k, n: 7.0)
    assert (at.fixed_j, at.row_j, at.column_j, at.cell_j) == (7, 0, 0, 0)


def test_operands_are_those_of_the_whole_product():
    at = form((4, 4), (2, 2), lambda k, n: 0.0)
    assert (at.input_j, at.output_j) == (3, 5)


@pytest.fixture
def priced(monkeypatch):
    """Cost tables that return weight bits times activation bits of each layer; yields what was asked for."""
    asked = []

    def workload_with(tried, sizes):
        return tried, sizes

    def energy_on_arrays(_, workload):
        tried, sizes = workload
        asked.append(sizes)
        bits = {layer.name: tried.activation_bits_of(layer) for layer in tried.program.layers}
        return WorkloadEnergy(tuple(product(name, float(one.weight_bits * bits[name])) for name, one in sizes.items()), 0.0)

    monkeypatch.setattr(prior_module, "workload_with", workload_with)
    monkeypatch.setattr(prior_module, "energy_on_arrays", energy_on_arrays)
    return asked


def test_every_layer_is_priced_at_its_own_bits(network, priced):
    """The shorter ladder of fc1 repeats its last choice; none of its pairs is lost or made up."""
    prior = energy_prior(None, network, (2, 3), {"fc1": (1,), "fc2": (2, 4, 8)}, 7.0)
    assert set(prior.marginals["fc1"]) == {(2, 1), (3, 1)}
    assert set(prior.marginals["fc2"]) == {(w, a) for w in (2, 3) for a in (2, 4, 8)}
    assert all(marginal.fixed_j == w * a for by_bits in prior.marginals.values() for (w, a), marginal in by_bits.items())
    assert prior.reference_j == 7.0
    assert len(priced) == 2 * 3 * 4  # weight bits, choices, and four sizes each


def test_halves_are_rounded_down_but_never_to_nothing(network, priced):
    energy_prior(None, network, (2,), {"fc1": (2,), "fc2": (2,)}, 1.0)
    assert {(one["fc1"].rows, one["fc1"].columns) for one in priced} == {(6, 5), (6, 2), (3, 5), (3, 2)}
    assert {(one["fc2"].rows, one["fc2"].columns) for one in priced} == {(5, 1), (2, 1)}


def test_bits_that_are_not_given_are_those_of_the_network(network, priced):
    found = {name: prior_module._marginals(None, network, 4)[name].fixed_j for name in ("fc1", "fc2")}
    assert found == {"fc1": 32.0, "fc2": 32.0}
    assert len(priced) == 2 * 4

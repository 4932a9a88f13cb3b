"""Joules of products: sums of their parts, and what arrays refuse by name."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.training.array_energy import ProductEnergy, WorkloadEnergy, _check, cim_index, energy_on_arrays
from hw_models.catalog import load_chip
from workloads.errors import SimulationError
from workloads.graph import OpKind
from workloads.program_builder import ProgramBuilder
from workloads.program_onnx import workload_of

JOULES = st.floats(0, 1e-3)


def product(parts, input_j=0.0, output_j=0.0):
    return ProductEnergy("p", 1, 2, 3, 4, 8, 1, parts, input_j, output_j)


@given(st.dictionaries(st.sampled_from(["cells", "adc", "drivers"]), JOULES), JOULES, JOULES, JOULES)
def test_all_parts_add_up(parts, input_j, output_j, other_j):
    one = product(parts, input_j, output_j)
    assert one.traffic_j == input_j + output_j
    assert one.energy_j == pytest.approx(sum(parts.values()) + input_j + output_j)
    both = WorkloadEnergy((one, one), other_j)
    assert both.products_j == pytest.approx(2 * one.energy_j)
    assert both.total_j == pytest.approx(2 * one.energy_j + other_j)


def test_a_workload_without_products_costs_what_is_beside_them():
    assert (WorkloadEnergy((), 2.0).products_j, WorkloadEnergy((), 2.0).total_j) == (0, 2.0)


def chip_of(*kinds):
    return SimpleNamespace(name="chip", devices={f"d{i}": SimpleNamespace(kind=kind, n_arrays=4) for i, kind in enumerate(kinds)})


def test_the_first_device_with_arrays_is_taken():
    assert cim_index(chip_of("cpu", "cim_macro", "cim_macro")) == 1


def test_a_chip_without_arrays_is_told_what_it_has():
    with pytest.raises(SimulationError, match=r"chip: has no device of kind cim_macro, but d0 \(cpu\), d1 \(gpu\); choose a chip"):
        cim_index(chip_of("cpu", "gpu"))


def checked(supported, n_arrays, kind=OpKind.MATMUL):
    ops = [SimpleNamespace(kind=kind, name=f"fc{i}") for i in range(len(supported))]
    columns = np.array([[0, n] for n in n_arrays])
    costs = SimpleNamespace(device_names=["cpu", "cim"], supported=np.array([[True, s] for s in supported]), n_arrays=columns)
    _check(chip_of("cpu", "cim_macro"), SimpleNamespace(name="net", ops=ops), costs, 1)


def test_products_that_arrays_do_not_take_are_named():
    with pytest.raises(SimulationError, match="net: cim of chip cannot run product 'fc1'; its operands are not both stored"):
        checked([True, False], [1, 1])


def test_weights_that_do_not_fit_together_are_counted():
    with pytest.raises(SimulationError, match="net: its weights need 5 arrays, cim of chip has 4; choose a larger chip"):
        checked([True, True], [2, 3])
    assert checked([True, True], [2, 2]) is None


@pytest.fixture(scope="module")
def priced():
    chip = load_chip("edge_cim_soc")
    b = ProgramBuilder("net", (40,), np.random.default_rng(0))
    workload = workload_of(b.build(b.linear(b.relu(b.linear(b.input, 12)), 5)))
    return chip, workload, energy_on_arrays(chip, workload.with_bits(4, 8))


def test_products_have_the_sizes_and_bits_of_the_network(priced):
    _, _, found = priced
    assert [(one.name, one.m, one.k, one.n) for one in found.products] == [("fc1", 1, 40, 12), ("fc2", 1, 12, 5)]
    assert {(one.weight_bits, one.activation_bits) for one in found.products} == {(4, 8)}
    assert all(one.n_arrays >= 1 for one in found.products)
    assert min(energy_j for one in found.products for energy_j in one.components_j.values()) >= 0


def test_a_batch_costs_more_but_each_product_takes_the_same_arrays(priced):
    chip, _workload, one = priced
    b = ProgramBuilder("net", (40,), np.random.default_rng(0))
    four = energy_on_arrays(chip, workload_of(b.build(b.linear(b.relu(b.linear(b.input, 12)), 5)), 4).with_bits(4, 8))
    for alone, together in zip(one.products, four.products, strict=True):
        assert together.m == 4 * alone.m
        assert together.n_arrays == alone.n_arrays
        assert alone.energy_j < together.energy_j <= 4 * alone.energy_j * (1 + 1e-9)


def test_fewer_bits_never_cost_more(priced):
    chip, workload, found = priced
    fewer = energy_on_arrays(chip, workload.with_bits(2, 4))
    assert all(a.energy_j < b.energy_j for a, b in zip(fewer.products, found.products, strict=True))
    assert replace(found, other_j=0.0).total_j == found.products_j

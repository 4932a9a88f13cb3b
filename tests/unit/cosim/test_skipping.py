"""What zeros save on arrays: structure does, the same number of zeros anywhere else does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosim.simulation.run import Simulation
from cosim.training.array_energy import energy_on_arrays
from cosim.training.network import Network, Steps
from cosim.training.skipping import bits_for, occupied, pruned_share, rounded_program, skip
from hw_models.catalog import load_chip
from workloads.errors import SimulationError
from workloads.program_builder import ProgramBuilder

N, K = 10, 12


def mlp(*features):
    b = ProgramBuilder("net", (K,), np.random.default_rng(0))
    x = b.input
    for n in features[:-1]:
        x = b.relu(b.linear(x, n))
    return b.build(b.linear(x, features[-1]))


def whole(network_of, weights, weight_bits=4, activation_bits=4):
    """A network of these whole weights, by layer."""
    program = network_of.with_weights({name: np.asarray(w, dtype=np.float32) for name, w in weights.items()})
    steps = {layer.name: Steps(np.ones(program.weights[layer.weight].shape[0]), 1.0) for layer in program.layers}
    return Network(program, weight_bits=weight_bits, activation_bits=activation_bits, steps=steps)


@pytest.fixture(scope="module")
def chip():
    return load_chip("edge_cim_soc")


def joules(chip, network):
    return energy_on_arrays(chip, skip(network).workload).products_j


def masked(mask):
    weights = np.where(mask, 3, 0)
    return whole(mlp(N, 2), {"fc1.weight": weights, "fc2.weight": np.ones((2, N))})


def test_a_shuffled_mask_saves_nothing_and_the_same_zeros_in_rows_and_columns_do(chip):
    mask = np.ones((N, K), dtype=bool)
    mask[:, :4] = False
    mask[8:] = False
    dense = joules(chip, masked(np.ones((N, K), dtype=bool)))
    shuffled = np.random.default_rng(3).permutation(mask.ravel()).reshape(N, K)
    assert shuffled.any(axis=0).all()
    assert shuffled.any(axis=1).all()
    assert joules(chip, masked(shuffled)) == pytest.approx(dense, rel=1e-12)
    assert joules(chip, masked(mask)) < 0.97 * dense


def test_rows_columns_slices_and_zeros_are_counted_by_hand():
    w = np.zeros((1, 4, 6), dtype=np.int64)
    w[0, 0, :3] = 1
    w[0, 2, 1] = -3
    assert occupied(w) == replace(occupied(w), groups=1, rows=3, columns=2, weight_bits=3, n_weights=4)
    assert occupied(w).density == pytest.approx(4 / 6)
    assert occupied(np.zeros((1, 4, 6), dtype=np.int64)).rows == 1


def test_the_largest_group_counts_and_empty_groups_go():
    w = np.zeros((3, 2, 4), dtype=np.int64)
    w[0, 0, 0] = 1
    w[2, :, 1:] = 1
    found = occupied(w)
    assert (found.groups, found.rows, found.columns) == (2, 3, 2)


@pytest.mark.parametrize(("largest", "bits"), [(0, 2), (1, 2), (2, 3), (3, 3), (4, 4), (7, 4), (127, 8)])
def test_bits_hold_the_largest_weight(largest, bits):
    assert bits_for(largest) == bits


def test_fewer_bits_save_slices_of_two_bit_cells_and_one_large_weight_brings_them_back(chip):
    program = mlp(N, 2)
    small = np.ones((N, K))
    large = small.copy()
    large[0, 0] = 7
    one = joules(chip, whole(program, {"fc1.weight": small, "fc2.weight": np.ones((2, N))}))
    two = joules(chip, whole(program, {"fc1.weight": large, "fc2.weight": np.ones((2, N))}))
    assert one < two


def test_an_array_becomes_free_when_rows_of_one_are_empty(chip):
    b = ProgramBuilder("net", (300,), np.random.default_rng(0))
    program = b.build(b.linear(b.input, 4))
    w = np.ones((4, 300))
    full = energy_on_arrays(chip, skip(whole(program, {"fc1.weight": w})).workload).products[0]
    w[:, 250:] = 0
    less = energy_on_arrays(chip, skip(whole(program, {"fc1.weight": w})).workload).products[0]
    assert (full.n_arrays, less.n_arrays) == (2, 1)


def test_the_workload_has_the_rows_columns_and_bits_in_use():
    w = np.zeros((N, K))
    w[:4, :5] = 1
    network = whole(mlp(N, 2), {"fc1.weight": w, "fc2.weight": np.full((2, N), 3), "fc1.bias": np.full(N, -1.0)})
    network = replace(network, layer_activation_bits={"fc2": 2})
    left = skip(network)
    first, second = (op for op in left.workload.ops if op.gemm is not None)
    assert (first.gemm.m, first.gemm.k, first.gemm.n) == (1, 5, 4)
    assert (second.gemm.k, second.gemm.n) == (4, 2)
    assert left.workload.tensors[first.weights[0]].bits == 2
    assert left.workload.tensors[second.weights[0]].bits == 3
    assert left.workload.tensors[first.inputs[0]].bits == 4
    assert left.workload.tensors[second.inputs[0]].bits == 2
    assert left.workload.with_bits(8, 8) is left.workload
    assert left.n_weights == 20 + 8
    assert left.mean_bits == pytest.approx((20 * 2 + 8 * 3) / 28)
    assert pruned_share(network, left) == pytest.approx(1 - 28 / (N * K + 2 * N))


def test_dense_counts_what_was_given():
    network = whole(mlp(N, 2), {"fc1.weight": np.zeros((N, K)), "fc2.weight": np.ones((2, N))}, weight_bits=8)
    first = skip(network, dense=True).layers["fc1"]
    assert (first.rows, first.columns, first.weight_bits, first.n_weights) == (K, N, 8, 0)


def test_the_rounded_program_holds_whole_weights():
    program = rounded_program(whole(mlp(N, 2), {"fc1.weight": np.full((N, K), 1.4), "fc2.weight": np.full((2, N), 9.0)}))
    assert (program.weights["fc1.weight"] == 1).all()
    assert (program.weights["fc2.weight"] == 7).all()


def test_real_weights_are_refused():
    with pytest.raises(SimulationError, match="real weights"):
        skip(Network(mlp(N, 2)))


def test_the_result_runs_through_the_simulator_at_its_own_bits(chip):
    w = np.zeros((N, K))
    w[:4, :5] = 1
    network = replace(whole(mlp(N, 2), {"fc1.weight": w, "fc2.weight": np.full((2, N), 3)}), layer_activation_bits={"fc2": 2})
    left = skip(network)
    result = Simulation(chip, left.workload, "single:cim").run()
    assert [(op.weight_bits, op.activation_bits) for op in result.ops] == [(2, 4), (4, 2)]  # cells hold two bits
    assert [op.n_macs for op in result.ops] == [5 * 4, 4 * 2]

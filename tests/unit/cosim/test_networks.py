from __future__ import annotations

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from cosim.training.networks import TRAINABLE, trainable
from workloads.errors import WorkloadError
from workloads.program_fold import fold_batch_norm
from workloads.program_onnx import from_onnx, to_onnx, workload_of
from workloads.registry import load_workload

# Multiply-accumulates and trained numbers, layer by layer.
BY_HAND = {
    "cnn_small": (784 * 8 * 25 + 196 * 16 * 200 + 784 * 64 + 640, 208 + 3216 + 50240 + 650),
    "lenet5": (784 * 6 * 25 + 100 * 16 * 150 + 400 * 120 + 120 * 84 + 840, 156 + 2416 + 48120 + 10164 + 850),
    "p4_cnn": (
        784 * 32 * 25 + 196 * 32 * 32 * 25 + 49 * 64 * 32 * 9 + 160,
        32 * 25 + 32 * 32 * 25 + 64 * 32 * 9 + 32 + 32 + 64 + 2 * (8 + 8 + 16) + 170,  # as gathered: 4 turns of each filter
    ),
    "p4_twin": (784 * 16 * 25 + 196 * 16 * 16 * 25 + 49 * 30 * 16 * 9 + 300, 416 + 6416 + 4350 + 2 * (16 + 16 + 30) + 310),
    "mlp_digits": (64 * 32 + 320, 64 * 32 + 320 + 42),
    "mlp_mnist": (784 * 64 + 640, 784 * 64 + 640 + 74),
    "ds_cnn": (196 * 32 * 40 + 4 * 196 * (32 * 9 + 32 * 32) + 320, 32 * 40 + 4 * (32 * 9 + 32 * 32) + 9 * 64 + 330),
    "resnet_small": (
        784 * 16 * 9 + 196 * 2 * 16 * 144 + 49 * (32 * 144 + 32 * 288 + 32 * 16) + 16 * (64 * 288 + 64 * 576 + 64 * 32) + 640,
        144 + 2 * 2304 + 4608 + 9216 + 512 + 18432 + 36864 + 2048 + 2 * (3 * 16 + 3 * 32 + 3 * 64) + 650,
    ),
}


def built(name, seed=0):
    return trainable(name).build(np.random.default_rng(seed))


def answer(program, x):
    return ReferenceEvaluator(to_onnx(program)).run(None, {program.input: x})[0]


@pytest.mark.parametrize("name", BY_HAND)
def test_counts_are_those_of_the_layers(name):
    program = built(name)
    n_macs, n_parameters = BY_HAND[name]
    assert program.n_parameters == n_parameters
    workload = workload_of(program, batch=2)
    assert workload.n_macs == 2 * n_macs
    assert [op.name for op in workload.ops if op.gemm is not None] == [layer.name for layer in program.layers]


@pytest.mark.parametrize("name", ["cnn_small", "mlp_digits", "mlp_mnist"])
def test_the_zoo_prices_the_same_layers(name):
    zoo, own = load_workload(name), workload_of(built(name))
    assert (zoo.n_macs, zoo.n_params) == (own.n_macs, own.n_params)
    assert [(op.gemm, op.fused) for op in zoo if op.gemm] == [(op.gemm, op.fused) for op in own if op.gemm]


def test_judged_networks_have_the_published_number_of_parameters():
    assert (built("cnn_small").n_parameters, built("lenet5").n_parameters) == (54_314, 61_706)
    assert built("resnet_small").n_parameters < 100_000


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_network_survives_onnx_and_the_folding_of_its_norms(name):
    program = built(name)
    rng = np.random.default_rng(5)
    norms = {key: rng.uniform(0.5, 1.5, a.shape).astype(np.float32) for key, a in program.weights.items() if key.startswith("bn")}
    program = program.with_weights(norms)
    x = rng.normal(size=(2, *program.input_shape)).astype(np.float32)
    wanted = answer(program, x)
    assert wanted.shape == (2, 10)
    np.testing.assert_array_equal(answer(from_onnx(to_onnx(program)), x), wanted)
    folded = fold_batch_norm(program)
    left = sum(node.op_type == "BatchNormalization" for node in folded.nodes)
    assert left == (3 if name == "p4_cnn" else 0)  # its norms are shared by 4 maps through a reshape
    np.testing.assert_allclose(answer(folded, x), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", TRAINABLE)
def test_an_entry_says_what_it_is(name):
    entry = trainable(name)
    assert entry.name == name == entry.build(np.random.default_rng(0)).name
    assert entry.title
    assert entry.paper
    assert entry.data in {"mnist5k", "digits8x8", "mnist5k_rotated"}
    assert len(entry.scaling) == 3


def test_one_seed_gives_one_network():
    a, b, c = built("lenet5"), built("lenet5"), built("lenet5", seed=1)
    assert all((a.weights[key] == b.weights[key]).all() for key in a.weights)
    assert all((a.weights[key] != c.weights[key]).any() for key in a.weights)


def test_an_unknown_network_gets_the_nearest_name():
    with pytest.raises(WorkloadError, match=r"network 'cnn_smal' cannot be trained here; did you mean 'cnn_small'\?"):
        trainable("cnn_smal")

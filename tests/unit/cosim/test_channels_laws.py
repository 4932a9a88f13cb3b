"""Channels that can go, on random sparse networks: outputs stay, nothing can go twice, and constants are what they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training.channels import entering_constants, groups_of, is_depthwise, needed_channels, shrunk
from cosim.training.engines import Digital
from cosim.training.execute import Executor, plain_product
from cosim.training.network import Network, Steps
from workloads.program_builder import ProgramBuilder


def outputs(network, x):
    return Executor(network, lambda layer, vectors: plain_product(network, layer, vectors))(x)


def sparse(network, seed, share):
    """Whole channels and single weights are zero, and some biases too."""
    rng = np.random.default_rng(seed)
    weights = {}
    for layer in network.program.layers:
        w = network.program.weights[layer.weight] * (rng.random(network.program.weights[layer.weight].shape) < share)
        w[rng.random(len(w)) < 0.4] = 0
        weights[layer.weight] = w.astype(np.float32)
        if layer.bias:
            b = network.program.weights[layer.bias]
            weights[layer.bias] = (b * (rng.random(b.shape) < 0.5)).astype(np.float32)
    return replace(network, program=network.program.with_weights(weights))


def shape_of(network):
    return {name: array.shape for name, array in network.program.weights.items()}


def mlp(*sizes, bias=True):
    b = ProgramBuilder("net", sizes[:1], np.random.default_rng(0))
    x = b.input
    for place, size in enumerate(sizes[1:]):
        x = b.linear(b.relu(x) if place else x, size, bias=bias)
    return Network(b.build(x))


def residual():
    b = ProgramBuilder("net", (2, 5, 5), np.random.default_rng(0))
    x = b.relu(b.conv(b.input, 4, 3, pads=1))
    x = b.relu(b.add(b.conv(x, 4, 3, pads=1), x))
    x = b.conv(x, 4, 3, groups=4, bias=False)
    return Network(b.build(b.linear(b.flatten(b.global_pool(x)), 3)))


@given(st.integers(0, 500), st.sampled_from([0.2, 0.5, 1.0]), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_smaller_network_of_products_has_the_same_outputs(seed, share, bias):
    network = sparse(mlp(5, 6, 4, 3, bias=bias), seed, share)
    small = shrunk(network)
    x = np.random.default_rng(seed).normal(size=(4, 5)).astype(np.float32)
    np.testing.assert_allclose(outputs(small, x), outputs(network, x), atol=1e-5)
    assert shape_of(shrunk(small)) == shape_of(small)
    assert small.program.weights["fc1.weight"].shape[1] == 5
    assert small.program.weights["fc3.weight"].shape[0] == 3


@given(st.integers(0, 500), st.sampled_from([0.3, 1.0]))
@settings(max_examples=10, deadline=None)
def test_a_smaller_network_of_sums_and_depthwise_layers_has_the_same_outputs(seed, share):
    network = sparse(residual(), seed, share)
    small = shrunk(network)
    x = np.random.default_rng(seed).normal(size=(2, 2, 5, 5)).astype(np.float32)
    np.testing.assert_allclose(outputs(small, x), outputs(network, x), atol=1e-5)
    n = small.program.weights["conv3.weight"].shape[0]
    assert small.program.weights["conv1.weight"].shape[0] == small.program.weights["conv2.weight"].shape[0] == n
    assert small.program.layers[2].groups == n


@given(st.integers(0, 200))
@settings(max_examples=15, deadline=None)
def test_a_rounded_network_stays_the_same_on_its_whole_numbers(seed):
    network = sparse(mlp(4, 5, 3), seed, 0.6)
    steps = {"fc1": Steps(np.full(5, 0.2), 0.25, signed=True), "fc2": Steps(np.full(3, 0.2), 0.25)}
    network = replace(network, weight_bits=3, activation_bits=4, steps=steps)
    small = shrunk(network)
    x = np.random.default_rng(seed).normal(size=(4, 4)).astype(np.float32)
    found, wanted = (Digital(one).outputs(x, np.random.default_rng(0)) for one in (small, network))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_channels_are_shared_through_what_passes_them_on():
    network = residual()
    groups = groups_of(network.program)
    first, second, third = (groups[layer.node.outputs[0]] for layer in network.program.layers[:3])
    assert first is second is third
    assert (first.n, first.pinned) == (4, False)
    assert groups[network.program.input].pinned
    assert groups[network.program.output].pinned


def test_an_operator_that_is_not_known_keeps_all_channels():
    b = ProgramBuilder("net", (3,), np.random.default_rng(0))
    hidden = b.linear(b.input, 4)
    program = b.build(b.linear(b.reshape(b.reshape(hidden, 2, 2), 4), 2))
    assert groups_of(program)[hidden].pinned
    network = Network(program.with_weights({"fc1.weight": np.zeros((4, 3), np.float32)}))
    assert shape_of(shrunk(network)) == shape_of(network)


def test_only_one_channel_to_one_is_depthwise():
    b = ProgramBuilder("net", (4, 3, 3), np.random.default_rng(0))
    x = b.conv(b.conv(b.conv(b.input, 4, 1, groups=4), 8, 1, groups=4), 8, 1)
    program = b.build(x)
    assert [is_depthwise(layer, program) for layer in program.layers] == [True, False, False]


def test_constants_spread_over_the_pixels_of_their_channel_and_meet_padding():
    network = residual()
    reader = network.program.layers[1]  # padded
    held = np.array([0.0, 2.0, np.nan, 0.0])
    found = entering_constants(network, reader, held, 4 * 9)
    np.testing.assert_array_equal(found, np.repeat([0.0, np.nan, np.nan, 0.0], 9))


@pytest.mark.parametrize(("value", "step", "entering"), [(0.7, 0.5, 0.5), (0.8, 0.5, 1.0), (9.0, 0.5, 1.5), (-1.0, 0.5, 0.0)])
def test_a_constant_is_rounded_and_clipped_as_its_reader_does(value, step, entering):
    network = replace(mlp(2, 1, 1), activation_bits=2, steps={"fc2": Steps(None, step)})
    assert entering_constants(network, network.program.layers[1], np.array([value]), 1).tolist() == [entering]


def test_constants_of_dead_channels_by_hand():
    """Channel 0 of the first layer holds ReLU(2) = 2, channel 1 holds ReLU(-1) = 0; the second layer adds 3 * 2 to its bias of 1."""
    weights = {
        "fc1.weight": np.array([[0, 0], [0, 0], [1, 1]]),
        "fc1.bias": np.array([2, -1, 0]),
        "fc2.weight": np.array([[3, 5, 7]]),
        "fc2.bias": np.array([1]),
    }
    network = mlp(2, 3, 1)
    network = replace(network, program=network.program.with_weights({k: v.astype(np.float32) for k, v in weights.items()}))
    found = needed_channels(network)
    assert found.kept["fc1:0"].tolist() == [False, False, True]
    np.testing.assert_array_equal(found.constants["relu1:0"], [2, 0, np.nan])
    small = shrunk(network).program.weights
    assert (small["fc2.weight"].tolist(), small["fc2.bias"].tolist()) == ([[7]], [7])

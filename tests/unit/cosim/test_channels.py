"""Channels that can go: whoever removes them gets the same outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosim.training.channels import needed_channels, shrunk
from cosim.training.execute import Executor, plain_product
from cosim.training.network import Network, Steps
from workloads.program_builder import ProgramBuilder


def convolutions(pads=0):
    b = ProgramBuilder("net", (1, 6, 6), np.random.default_rng(0))
    x = b.max_pool(b.relu(b.conv(b.input, 3, 3, pads=1)), 2)
    x = b.relu(b.conv(x, 4, 2, pads=pads))
    return Network(b.build(b.linear(b.flatten(x), 2)))


def changed(network, **edits):
    weights = {name: array.copy() for name, array in network.program.weights.items()}
    for name, edit in edits.items():
        edit(weights[name.replace("_", ".")])
    return replace(network, program=network.program.with_weights(weights))


def outputs(network, x):
    return Executor(network, lambda layer, vectors: plain_product(network, layer, vectors))(x)


def sizes(network):
    return {name: array.shape for name, array in network.program.weights.items()}


X = np.random.default_rng(1).normal(size=(4, 1, 6, 6)).astype(np.float32)


def test_a_dense_network_keeps_everything():
    network = convolutions()
    assert sizes(shrunk(network)) == sizes(network)
    assert all(mask.all() for mask in needed_channels(network).kept.values())


def test_a_channel_without_weights_becomes_part_of_the_next_bias():
    network = changed(convolutions(), conv1_weight=lambda w: w[1].fill(0), conv1_bias=lambda b: b.__setitem__(1, 0.7))
    small = shrunk(network)
    assert small.program.weights["conv1.weight"].shape == (2, 1, 3, 3)
    assert small.program.weights["conv2.weight"].shape == (4, 2, 2, 2)
    np.testing.assert_allclose(outputs(small, X), outputs(network, X), atol=1e-6)


def test_a_constant_that_is_not_zero_cannot_cross_padding_but_zero_can():
    for bias, left in ((0.7, 3), (-0.7, 2)):  # ReLU makes 0 of what is below
        network = changed(convolutions(pads=1), conv1_weight=lambda w: w[1].fill(0), conv1_bias=lambda b, v=bias: b.__setitem__(1, v))
        small = shrunk(network)
        assert small.program.weights["conv1.weight"].shape[0] == left
        np.testing.assert_allclose(outputs(small, X), outputs(network, X), atol=1e-6)


def test_a_channel_that_nobody_reads_goes_and_takes_what_only_it_reads():
    # channel 2 of conv2 is the only reader of channel 0 of conv1, and the last layer does not read it
    def only_third(w):
        w[[0, 1, 3], 0] = 0

    network = changed(convolutions(), conv2_weight=only_third, fc1_weight=lambda w: w[:, 8:12].fill(0))
    small = shrunk(network)
    assert small.program.weights["conv1.weight"].shape[0] == 2
    assert small.program.weights["conv2.weight"].shape == (3, 2, 2, 2)
    assert small.program.weights["fc1.weight"].shape == (2, 12)
    np.testing.assert_allclose(outputs(small, X), outputs(network, X), atol=1e-6)


def test_a_constant_enters_as_the_reader_rounds_it():
    network = changed(convolutions(), conv1_weight=lambda w: w[1].fill(0), conv1_bias=lambda b: b.__setitem__(1, 0.7))
    steps = {
        layer.name: Steps(np.full(layer.matrix(network.program.weights[layer.weight]).shape[1], 0.1), 0.5)
        for layer in network.program.layers
    }
    network = replace(network, weight_bits=4, activation_bits=2, steps=steps)
    small = shrunk(network)
    held = (network.matrix(network.program.layers[1])[0][:, 4:8] * 0.5).sum(axis=1)  # 0.7 is one step of 0.5
    added = small.program.weights["conv2.bias"] - network.program.weights["conv2.bias"]
    np.testing.assert_allclose(added, held, atol=1e-6)
    assert small.steps["conv1"].weight.shape == (2,)


def test_one_channel_stays_where_all_could_go():
    network = changed(convolutions(), conv2_weight=lambda w: w.fill(0), conv2_bias=lambda b: b.fill(-1.0))
    small = shrunk(network)
    assert small.program.weights["conv1.weight"].shape[0] == 1
    np.testing.assert_allclose(outputs(small, X), outputs(network, X), atol=1e-6)


@pytest.mark.parametrize("dead", [0, 2])
def test_summed_channels_go_together_or_not_at_all(dead):
    b = ProgramBuilder("net", (2, 4, 4), np.random.default_rng(0))
    x = b.relu(b.add(b.conv(b.input, 3, 1), b.conv(b.input, 3, 1)))
    network = Network(b.build(b.linear(b.flatten(x), 2)))
    x = np.random.default_rng(2).normal(size=(3, 2, 4, 4)).astype(np.float32)
    one = changed(network, conv1_weight=lambda w: w[dead].fill(0))
    assert sizes(shrunk(one)) == sizes(network)
    both = changed(one, conv2_weight=lambda w: w[dead].fill(0))
    assert shrunk(both).program.weights["conv1.weight"].shape[0] == 2
    np.testing.assert_allclose(outputs(shrunk(both), x), outputs(both, x), atol=1e-6)


def test_a_depthwise_channel_goes_with_the_one_that_it_reads():
    b = ProgramBuilder("net", (2, 4, 4), np.random.default_rng(0))
    x = b.relu(b.conv(b.input, 3, 1))
    x = b.relu(b.conv(x, 3, 3, groups=3))
    network = Network(b.build(b.linear(b.flatten(x), 2)))
    x = np.random.default_rng(2).normal(size=(3, 2, 4, 4)).astype(np.float32)
    dead = changed(network, fc1_weight=lambda w: w[:, 4:8].fill(0))
    small = shrunk(dead)
    assert small.program.weights["conv2.weight"].shape == (2, 1, 3, 3)
    assert small.program.layers[1].groups == 2
    np.testing.assert_allclose(outputs(small, x), outputs(dead, x), atol=1e-6)

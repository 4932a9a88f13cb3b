"""Layers over shifts and turns against convolutions by loops, and that turning is the only thing their filters share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training.execute import Executor, plain_product
from cosim.training.group_conv import TURNS, group_conv, lifting_conv, max_over_turns, norm_over_turns
from cosim.training.network import Network
from workloads.errors import WorkloadError
from workloads.program_builder import ProgramBuilder, shared_numbers


def answer(program, x):
    network = Network(program)
    return Executor(network, lambda layer, vectors: plain_product(network, layer, vectors))(x)


def builder(*shape):
    return ProgramBuilder("net", shape, np.random.default_rng(0))


def correlated(x, f):
    """Same-size correlation of maps [c, h, w] with a filter [c, k, k], by loops."""
    pad = f.shape[-1] // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    y = np.zeros(x.shape[1:])
    for i, j in np.ndindex(y.shape):
        y[i, j] = (padded[:, i : i + f.shape[1], j : j + f.shape[2]] * f).sum()
    return y


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_lifting_layer_is_four_convolutions_with_turned_filters(kernel):
    b = builder(2, 4, 4)
    program = b.build(lifting_conv(b, b.input, 3, kernel))
    x = np.random.default_rng(1).normal(size=(1, 2, 4, 4)).astype(np.float32)
    y = answer(program, x)
    filters, bias = program.weights["conv1.weight"], program.weights["conv1.bias"]
    for channel in range(3):
        for turn in range(TURNS):
            turned = np.rot90(filters[TURNS * channel], turn, axes=(-2, -1))
            np.testing.assert_allclose(y[0, TURNS * channel + turn], correlated(x[0], turned) + bias[TURNS * channel], atol=1e-5)


def test_a_layer_of_the_group_meets_turn_s_with_the_filter_of_the_difference():
    b = builder(4, 3, 3)
    program = b.build(group_conv(b, b.input, 2, 3))
    x = np.random.default_rng(2).normal(size=(1, 4, 3, 3)).astype(np.float32)
    y, filters = answer(program, x), program.weights["conv1.weight"]
    bias = program.weights["conv1.bias"]
    for channel in range(2):
        base = filters[TURNS * channel].reshape(TURNS, 3, 3)  # of turns 0 ... 3 at turn 0
        for r in range(TURNS):
            of_turn = np.stack([np.rot90(base[(s - r) % TURNS], r) for s in range(TURNS)])
            np.testing.assert_allclose(y[0, TURNS * channel + r], correlated(x[0], of_turn) + bias[TURNS * channel], atol=1e-5)


@given(st.integers(1, 3), st.sampled_from([1, 3, 5]), st.integers(1, 2))
@settings(max_examples=10, deadline=None)
def test_free_numbers_are_those_of_one_turn(channels, kernel, n_in):
    b = builder(n_in, 5, 5)
    x = group_conv(b, lifting_conv(b, b.input, channels, kernel), channels, kernel)
    assert b.shape(x) == (channels * TURNS, 5, 5)
    free = {name: shared_numbers(b.weights[name], index).size for name, index in b.ties.items()}
    first, second = channels * n_in * kernel**2, channels * channels * TURNS * kernel**2
    assert free == {"conv1.weight": first, "conv1.bias": channels, "conv2.weight": second, "conv2.bias": channels}
    for name, index in b.ties.items():  # each number is used once at each turn
        assert set(np.bincount(index.ravel())) == {TURNS}, name


def test_a_norm_has_one_scale_for_the_four_maps_of_a_channel():
    """Channel 0: mean 1, variance 4, so that 5 is 2 of its deviations; channel 1 scaled by 3 and shifted by 1."""
    b = builder(8, 1, 1)
    out = norm_over_turns(b, b.input)
    assert b.shape(out) == (8, 1, 1)
    name = next(name for name in b.weights if name.endswith(".mean")).removesuffix(".mean")
    assert b.weights[f"{name}.scale"].shape == (2,)
    numbers = {"mean": [1, 0], "variance": [4, 1], "scale": [1, 3], "shift": [0, 1]}
    program = b.build(out).with_weights({f"{name}.{part}": np.array(value, dtype=np.float32) for part, value in numbers.items()})
    x = np.array([1, 5, -3, 3, 0, 1, 2, -1], dtype=np.float32).reshape(1, 8, 1, 1)
    np.testing.assert_allclose(answer(program, x).ravel(), [0, 2, -2, 1, 1, 4, 7, -2], atol=1e-3)


@given(st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_the_largest_over_turns_does_not_see_their_order(seed):
    b = builder(8, 2, 2)
    program = b.build(max_over_turns(b, b.input))
    x = np.random.default_rng(seed).normal(size=(2, 2, TURNS, 2, 2)).astype(np.float32)
    shuffled = x[:, :, np.random.default_rng(seed).permutation(TURNS)]
    found = [answer(program, np.ascontiguousarray(one.reshape(2, 8, 2, 2))) for one in (x, shuffled)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], x.max(axis=2))


def test_maps_that_are_no_multiple_of_four_are_refused():
    b = builder(6, 2, 2)
    with pytest.raises(WorkloadError, match=r"net: \(6, 2, 2\) cannot be viewed as \(1, 4, 2, 2\)"):
        max_over_turns(b, b.input)

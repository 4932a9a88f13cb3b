from __future__ import annotations

import numpy as np
import pytest

from workloads.errors import WorkloadError
from workloads.program_builder import ProgramBuilder


def builder(*shape, seed=0):
    return ProgramBuilder("net", shape, np.random.default_rng(seed))


def test_initial_weights_are_uniform_within_one_over_the_root_of_inputs():
    """PyTorch's rule; 9 * 4 inputs an output: +-1/6, standard deviation 1/6/sqrt(3)."""
    b = builder(8, 5, 5)
    b.conv("input", 64, 3, groups=2, name="c")
    w, bias = b.weights["c.weight"], b.weights["c.bias"]
    assert (w.shape, w.dtype, bias.shape) == ((64, 4, 3, 3), np.float32, (64,))
    assert max(abs(w).max(), abs(bias).max()) <= 1 / 6
    assert abs(w).max() > 0.99 / 6
    assert w.std() == pytest.approx(1 / 6 / 3**0.5, rel=0.02)


def test_one_seed_gives_one_set_of_weights():
    def drawn(seed):
        b = builder(6, seed=seed)
        return b.build(b.linear(b.input, 3)).weights["fc1.weight"]

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert (drawn(1) != drawn(2)).all()


def test_shapes_follow_the_layers():
    b = builder(1, 28, 28)
    x = b.conv(b.input, 6, (10, 4), stride=2, pads=(4, 1, 4, 1), bias=False)
    assert b.shape(x) == (6, 14, 14)
    assert b.shape(b.max_pool(x, 4)) == (6, 3, 3)
    assert b.shape(b.global_pool(x)) == (6, 1, 1)
    assert b.shape(b.flatten(x)) == (6 * 14 * 14,)
    grouped = b.reshape(x, 2, 3, 14, 14)
    assert b.shape(b.reduce_max(grouped, 1)) == (2, 14, 14)
    assert b.shape(b.relu(b.batch_norm(b.add(x, x)))) == (6, 14, 14)


def test_nodes_are_named_by_kind_and_count_or_as_asked():
    b = builder(4)
    out = b.linear(b.relu(b.linear(b.linear(b.input, 4), 4, name="mine")), 2)
    program = b.build(out)
    assert [node.name for node in program.nodes] == ["fc1", "mine", "relu1", "fc2"]
    assert (program.name, program.input, program.input_shape, program.output) == ("net", "input", (4,), "fc2:0")


def test_a_batch_norm_starts_as_no_change():
    b = builder(3, 2, 2)
    program = b.build(b.batch_norm(b.input))
    assert [float(program.weights[f"bn1.{part}"].mean()) for part in ("scale", "shift", "mean", "variance")] == [1, 0, 0, 1]


def test_what_does_not_fit_is_refused():
    b = builder(3, 4, 4)
    with pytest.raises(WorkloadError, match="net: 2 groups do not divide 3 and 4 channels; choose a divisor of both"):
        b.conv(b.input, 4, 3, groups=2)
    with pytest.raises(WorkloadError, match=r"net: \(3, 4, 4\) and \(48,\) cannot be added"):
        b.add(b.input, b.flatten(b.input))
    with pytest.raises(WorkloadError, match=r"net: \(3, 4, 4\) cannot be viewed as \(7, 7\)"):
        b.reshape(b.input, 7, 7)
    b.conv(b.input, 2, 1, name="c")
    with pytest.raises(WorkloadError, match=r"net: two arrays are named 'c.weight'"):
        b.conv(b.input, 2, 1, name="c")
    with pytest.raises(WorkloadError, match="net: two nodes are named 'flatten1'"):
        builder_with_twice_flatten()


def builder_with_twice_flatten():
    b = builder(4)
    b.linear(b.input, 4, bias=False, name="flatten1")
    b.flatten(b.input)

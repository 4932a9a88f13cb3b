"""AdaRound: its gradients, what it leaves alone, and that outputs come out nearer than by nearest rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosim.training.adaround import Rounding, Settings, Task, adaround
from cosim.training.engines import Digital
from cosim.training.network import Network, Steps
from cosim.training.networks import trainable
from cosim.training.quantize import mse_step
from workloads.errors import SimulationError
from workloads.program_builder import ProgramBuilder

QUICK = Settings(n_steps=300, batch=64)


def mlp(seed: int = 0) -> tuple[Network, np.ndarray]:
    """12-8-3 with random weights, and inputs of few directions, as images are."""
    rng = np.random.default_rng(seed)
    b = ProgramBuilder("mlp", (12,), rng)
    network = Network(b.build(b.linear(b.relu(b.linear(b.input, 8)), 3)))
    return network, (rng.standard_normal((200, 4)) @ rng.standard_normal((4, 12))).astype(np.float32)


def nearest(network: Network, bits: int) -> Network:
    matrices = {layer.name: network.matrix(layer) for layer in network.program.layers}
    steps = {name: Steps(weight=mse_step(m.reshape(-1, m.shape[-1]), bits)) for name, m in matrices.items()}
    return replace(network, weight_bits=bits, steps=steps)


def outputs(network: Network, x: np.ndarray) -> np.ndarray:
    return Digital(network).outputs(x, np.random.default_rng(0))


def error(network: Network, real: Network, x: np.ndarray) -> float:
    return float(((outputs(network, x) - outputs(real, x)) ** 2).mean())


def test_search_starts_at_the_real_weights_and_its_whole_ones_are_their_nearest():
    rng = np.random.default_rng(1)
    weights = rng.uniform(-1, 1, (1, 5, 7))
    rounding = Rounding.start(weights, np.full((1, 5, 1), 0.3), 8)
    assert rounding.weights() == pytest.approx(weights, abs=1e-4)
    assert np.array_equal(rounding.whole(), np.rint(weights / 0.3))


def test_gradient_of_v_and_of_steps_is_that_of_finite_differences():
    rng = np.random.default_rng(2)
    rounding = Rounding.start(rng.uniform(-1, 1, (1, 3, 4)), np.full((1, 3, 1), 0.4), 3)
    task = Task(
        rng.standard_normal((1, 30, 4)).astype(np.float32),
        rng.standard_normal((1, 30, 3)).astype(np.float32),
        rng.standard_normal((1, 1, 3)).astype(np.float32),
        relu=True,
    )
    rows = np.arange(30)

    def loss() -> float:
        h = np.clip(rounding._raw[1].astype(np.float64), 0, 1)
        return task.loss(rounding.weights(), rows)[0] + 0.3 * float((1 - np.abs(2 * h - 1) ** 6.0).sum())

    _, to_weights = task.loss(rounding.weights(), rows)
    by_hand, v, tiny = rounding.gradient(to_weights, 0.3, 6.0), rounding.v, 1e-2
    for place in np.ndindex(v.shape):
        for sign in (1, -1):
            rounding.v = v.copy()
            rounding.v[place] += sign * tiny
            found = loss() if sign > 0 else (found - loss()) / (2 * tiny)  # noqa: F821  (set by the first sign)
        assert by_hand[place] == pytest.approx(found, abs=0.02)
    rounding.v, step = v, rounding.step
    rounding.step = step * np.float32(1.01)
    above = loss()
    rounding.step = step / np.float32(1.01)
    assert rounding.step_gradient(to_weights).sum() == pytest.approx((above - loss()) / (2 * np.log(1.01)), rel=0.02)


def test_outputs_come_nearer_than_by_nearest_rounding_and_weights_lie_on_their_steps():
    network, x = mlp()
    rounded = adaround(network, x, 2, settings=QUICK)
    assert error(rounded, network, x) < 0.7 * error(nearest(network, 2), network, x)
    for layer in network.program.layers:
        whole = rounded.whole_matrix(layer)
        assert set(np.unique(whole)) <= {-1, 0, 1}
        stored = layer.matrix(rounded.program.weights[layer.weight])
        assert stored == pytest.approx(rounded.matrix(layer), rel=1e-6)
        assert rounded.bias(layer) == pytest.approx(network.bias(layer))


def test_weights_go_to_one_of_their_two_neighbors_when_steps_stay():
    network, x = mlp(3)
    rounded = adaround(network, x, 4, settings=replace(QUICK, step_rate=0.0))
    for layer in network.program.layers:
        step = nearest(network, 4).steps_of(layer).weight
        assert rounded.steps_of(layer).weight == pytest.approx(step, rel=1e-6)
        ratio = np.clip(network.matrix(layer)[0] / step[:, None], -7, 7)
        assert np.abs(rounded.whole_matrix(layer)[0] - ratio).max() <= 1 + 1e-6


def test_same_seed_same_weights_and_another_seed_others():
    network, x = mlp()
    first, again, other = (adaround(network, x, 3, seed=seed, settings=replace(QUICK, n_steps=40)) for seed in (0, 0, 1))
    name = network.program.layers[0].name
    assert np.array_equal(first.steps[name].weight, again.steps[name].weight)
    assert not np.array_equal(first.steps[name].weight, other.steps[name].weight)


def test_depthwise_layers_and_batch_norms_have_a_path():
    network = trainable("ds_cnn").start(np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((4, 1, 28, 28)).astype(np.float32)
    rounded = adaround(network, x, 4, settings=Settings(n_steps=5, batch=16))
    assert not [node for node in rounded.program.nodes if node.op_type == "BatchNormalization"]
    assert outputs(rounded, x).shape == (4, 10)


def test_bits_and_settings_that_nothing_has_are_refused():
    network, x = mlp()
    with pytest.raises(SimulationError, match="2 to 16"):
        adaround(network, x, 1)
    with pytest.raises(SimulationError, match="steps"):
        Settings(n_steps=0)
    with pytest.raises(SimulationError, match="learning rate"):
        Settings(learning_rate=0.0)

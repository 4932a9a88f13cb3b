"""Shared filters: gathered, trained, clipped and rounded together, so that a turned image keeps its answer."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.training.data import load_data
from cosim.training.engines import Digital
from cosim.training.network import Network
from cosim.training.networks import trainable
from cosim.training.recipe import Phase
from workloads.errors import WorkloadError
from workloads.program import Program
from workloads.program_builder import ProgramBuilder

torch = pytest.importorskip("torch")

from cosim.training.group_conv import group_conv, lifting_conv, max_over_turns  # noqa: E402  (after torch is known to be there)
from cosim.training.torch_fit import Data, fit, one_thread, prepare  # noqa: E402
from cosim.training.torch_net import TorchNet  # noqa: E402
from cosim.training.torch_ties import Gathered, tie  # noqa: E402

NOISY = Phase(epochs=2, learning_rate=5e-3, batch=20, sigma=0.1, clip_row=1.5, weight_bits=3, activation_bits=4)


def tiny() -> tuple[Program, dict[str, np.ndarray]]:
    """Two group convolutions on 6x6 pixels with their ties."""
    b = ProgramBuilder("tiny", (1, 6, 6), np.random.default_rng(0))
    x = max_over_turns(b, b.relu(group_conv(b, b.relu(lifting_conv(b, b.input, 2, 3)), 3, 3)))
    return b.build(b.linear(b.flatten(b.global_pool(x)), 2)), dict(b.ties)


def trained(phase: Phase) -> tuple[Network, np.ndarray]:
    program, ties = tiny()
    rng = np.random.default_rng(1)
    x = rng.standard_normal((60, 1, 6, 6)).astype(np.float32)
    with one_thread():
        data = Data.of(x, rng.integers(2, size=60))
        net = prepare(Network(program), data, phase, ties)
        fit(net, data, phase, 0)
    return net.trained(), x


def logits(network: Network, x: np.ndarray) -> np.ndarray:
    return Digital(network).outputs(np.ascontiguousarray(x), np.random.default_rng(0))


def test_gradient_of_a_shared_number_is_the_sum_over_its_places():
    gathered = Gathered(np.array([[0, 1], [1, 2]]))
    shared = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    w = gathered(shared)
    assert w.tolist() == [[1.0, 2.0], [2.0, 3.0]]
    (w * torch.tensor([[1.0, 10.0], [100.0, 1000.0]])).sum().backward()
    assert shared.grad.tolist() == [1.0, 110.0, 1000.0]
    assert gathered.right_inverse(w).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("phase", [Phase(epochs=2, learning_rate=5e-3, batch=20, clip_row=1.5), NOISY])
def test_training_changes_shared_numbers_and_a_quarter_turn_changes_no_answer(phase):
    network, x = trained(phase)
    program, ties = tiny()
    for name, index in ties.items():
        found, before = (np.asarray(p.weights[name]).reshape(-1) for p in (network.program, program))
        shared = found[np.unique(index.reshape(-1), return_index=True)[1]]
        assert np.array_equal(shared[index.reshape(-1)], found)
        assert not np.allclose(found, before)
    straight = logits(network, x)
    for quarters in (1, 2, 3):
        assert logits(network, np.rot90(x, quarters, axes=(-2, -1))) == pytest.approx(straight, abs=1e-4)


def test_clipping_holds_shared_weights_within_their_rows():
    network, _ = trained(Phase(epochs=1, learning_rate=0.02, batch=20, clip_row=1.2))
    free, _ = trained(Phase(epochs=1, learning_rate=0.02, batch=20))
    name = network.program.layers[1].weight
    peaks = [np.abs(w).max(axis=1) / w.std(axis=1) for w in (n.program.weights[name].reshape(12, -1) for n in (network, free))]
    assert peaks[0].max() < peaks[1].min()


def test_the_shipped_network_turns_with_real_images():
    entry, digits = trainable("p4_cnn"), load_data("digits8x8")
    image = np.zeros((2, 1, 28, 28), dtype=np.float32)
    image[:, 0, 10:18, 10:18] = digits.inputs[:2].reshape(-1, 8, 8) / 16
    network = entry.start(np.random.default_rng(3))
    assert logits(network, np.rot90(image, axes=(-2, -1))) == pytest.approx(logits(network, image), abs=1e-4)
    plain = trainable("p4_twin").start(np.random.default_rng(3))
    assert np.abs(logits(plain, np.rot90(image, axes=(-2, -1))) - logits(plain, image)).max() > 1e-3


def test_free_networks_stay_as_they_are_and_ties_that_do_not_fit_are_refused():
    program, ties = tiny()
    net = TorchNet(Network(program))
    assert tie(net, {}).state_dict().keys() == TorchNet(Network(program)).state_dict().keys()
    name = next(iter(ties))
    with pytest.raises(WorkloadError, match="do not fit"):
        tie(TorchNet(Network(program)), {name: np.zeros((2, 2), dtype=np.int64)})
    with pytest.raises(WorkloadError, match="none left out"):
        tie(TorchNet(Network(program)), {name: ties[name] * 2})

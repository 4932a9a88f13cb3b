"""Gates, bits and posterior of compression, against their formulas; joules that open gates expect are those of the cost table."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import numpy as np
import pytest

from cosim.training.array_energy import energy_on_arrays
from cosim.training.compress_stages import CompressRecipe, prior_of, rounded, smaller
from cosim.training.network import Network
from cosim.training.skipping import Occupied, workload_with
from hw_models.catalog import load_chip
from workloads.program_builder import ProgramBuilder

torch = pytest.importorskip("torch")
gates = pytest.importorskip("cosim.training.torch_gates")

RECIPE = CompressRecipe(weight_ladder=(2, 4), input_ladder=(2, 4), first_ladder=(1, 2))


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def network():
    b = ProgramBuilder("net", (1, 8, 8), np.random.default_rng(0))
    x = b.max_pool(b.relu(b.conv(b.input, 4, 3)), 2)
    return Network(b.build(b.linear(b.flatten(x), 3)))


@pytest.fixture(scope="module")
def inputs():
    return np.random.default_rng(1).normal(size=(64, 1, 8, 8)).astype(np.float32)


@pytest.fixture
def gated(network, inputs):
    prior = prior_of(load_chip("edge_cim_soc"), network, RECIPE, 1e-9)
    first = rounded(replace(network, layer_activation_bits={"conv1": 2, "fc1": 4}), 4, 4, inputs)
    return gates.GatedNet(first, prior, rng())


def test_a_gate_is_open_as_often_as_its_probability_says():
    gate = gates.HardConcrete(20000, rng())
    with torch.no_grad():
        gate.log_a.fill_(-0.5)
    expected = 1 / (1 + exp(0.5 + 2 / 3 * log(0.1 / 1.1)))
    z = gate().detach()
    assert float(gate.probability()[0].detach()) == pytest.approx(expected, rel=1e-5)
    assert float((z > 0).float().mean()) == pytest.approx(expected, abs=0.015)
    assert 0 <= float(z.min()) <= float(z.max()) <= 1


def test_open_bit_gates_round_to_the_most_bits_and_closed_ones_to_the_fewest():
    bits = gates.GatedBits(((0, 1), (0, 3), (0, 15)), torch.tensor(0.1), rng()).eval()
    x = torch.linspace(-1, 2, 31)[None]
    for log_a, top in ((20.0, 15), (-20.0, 1)):
        with torch.no_grad():
            bits.gates.log_a.fill_(log_a)
        step = 1.5 / top
        torch.testing.assert_close(bits(x), (x / step).round().clamp(0, top) * step)
        assert bits.chosen() == (2 if top == 15 else 0)
        assert float(bits.probabilities().sum().detach()) == pytest.approx(1)


def test_kl_is_the_published_approximation():
    w = torch.tensor([[0.5, -0.1]])
    one = gates.GatedWeights(w, gates.HardConcrete(1, rng()), None, gates.GatedBits(((-1, 1),), torch.ones(1), rng()), rng())
    with torch.no_grad():
        one.log_sigma2.fill_(log(0.01))
    alpha = np.array([0.01 / 0.25, 1.0])
    by_hand = 0.5 * np.log1p(1 / alpha) - 0.63576 / (1 + np.exp(-(1.87320 + 1.48695 * np.log(alpha)))) + 0.63576
    assert float(one.kl(w).detach()) == pytest.approx(by_hand.sum(), rel=1e-4)


def test_open_gates_expect_the_joules_of_the_whole_network(gated, network):
    with torch.no_grad():
        for name, p in gated.modules.named_parameters():
            if name.endswith("log_a"):
                p.fill_(30.0)
    whole = {"conv1": Occupied(1, 9, 4, 4, 36), "fc1": Occupied(1, 36, 3, 4, 108)}
    dense = replace(network, layer_activation_bits={"conv1": 2, "fc1": 4})
    expected = energy_on_arrays(load_chip("edge_cim_soc"), workload_with(dense, whole)).products_j / 1e-9
    assert float(gated.energy_share().detach()) == pytest.approx(expected, rel=1e-3)


def test_every_gate_pays_for_itself(gated):
    gated.train(mode=True)
    gated.energy_share().backward()
    paid = [p.grad for name, p in gated.modules.named_parameters() if name.endswith("log_a") and p.requires_grad]
    assert all(bool((grad > 0).all()) for grad in paid)
    assert len(paid) == 2 * 3 + 1  # rows, bits of weights and of inputs of both layers; columns of the first


def test_a_strong_prior_closes_gates_and_what_is_left_is_smaller(gated, inputs):
    labels = np.random.default_rng(2).integers(0, 3, size=64)
    data = gates.Data.of(inputs, labels)
    how = gates.GateTraining(epochs=12, strength=500.0, learning_rate=1e-3, gate_rate=0.3, batch=32)
    seen = []
    gates.fit_gates(gated, data, how, 0, None, lambda epoch, told: seen.append(told["energy"]))
    assert seen[-1] < 0.8 * seen[0]
    found = gated.found()
    assert found["conv1"].activation_bits == 1
    assert found["conv1"].weight.shape == (4, 1, 3, 3)
    assert {found["fc1"].activation_bits, found["fc1"].weight_bits, found["conv1"].weight_bits} <= {2, 4}


def test_zeros_that_are_held_stay_zero_through_training(network, inputs):
    from cosim.training.recipe import Phase
    from cosim.training.torch_fit import Data, fit
    from cosim.training.torch_net import TorchNet

    weights = network.program.weights["fc1.weight"].copy()
    weights[:, ::2] = 0
    held = smaller(rounded(replace(network, program=network.program.with_weights({"fc1.weight": weights})), 2, 4, inputs))
    net = gates.hold_zeros(TorchNet(held))
    fit(net, Data.of(inputs, np.arange(64) % 3), Phase(2, 1e-2, batch=32, weight_bits=2, activation_bits=4), 0)
    after = net.trained().program.weights["fc1.weight"]
    assert (after[:, ::2] == 0).all()
    assert not np.array_equal(after[:, 1::2], weights[:, 1::2])

"""A network as a module: the same outputs as in numpy, the weights and steps it was given, and what stands in for a product."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cosim.training.deploy import quantized
from cosim.training.engines import Digital
from cosim.training.network import Network, Steps
from cosim.training.networks import trainable
from cosim.training.torch_net import TorchNet, cross_entropy, with_steps
from workloads.program import Node, Program
from workloads.program_builder import ProgramBuilder


def small(seed=0):
    """Padded and grouped convolutions, a batch norm with statistics of its own, a sum, a pool and a fully connected layer."""
    b = ProgramBuilder("small", (2, 4, 4), np.random.default_rng(seed))
    x = b.relu(b.batch_norm(b.conv(b.input, 4, 3, pads=(1, 0, 1, 2), bias=False)))
    x = b.add(x, b.conv(x, 4, 1, groups=2))
    x = b.linear(b.flatten(b.max_pool(x, 2)), 3)
    program = b.build(x)
    rng = np.random.default_rng(seed + 1)
    norm = {name: rng.uniform(0.5, 2, array.shape).astype(np.float32) for name, array in program.weights.items() if name.startswith("bn")}
    return Network(program.with_weights(norm))


@pytest.fixture(scope="module")
def inputs():
    return np.random.default_rng(5).standard_normal((6, 2, 4, 4)).astype(np.float32)


def numpy_outputs(network, x):
    return Digital(network).outputs(x, np.random.default_rng(0))


def torch_outputs(network, x):
    with torch.no_grad():
        return TorchNet(network).eval()(torch.from_numpy(x)).numpy()


def line(*names):
    """Layers of one weight each in a row, the i-th multiplying by i + 2."""
    weights = {f"w{i}": np.array([[i + 2.0]], dtype=np.float32) for i in range(len(names))}
    nodes = tuple(Node(name, "Gemm", (f"t{i}", f"w{i}"), (f"t{i + 1}",), {"transB": 1}) for i, name in enumerate(names))
    return Network(Program("line", "t0", (1,), f"t{len(names)}", nodes, weights))


def test_real_networks_compute_the_same_in_torch_and_numpy(inputs):
    np.testing.assert_allclose(torch_outputs(small(), inputs), numpy_outputs(small(), inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("bits", "activation_bits"), [(2, None), (None, 3), (4, 4)])
def test_rounded_networks_compute_the_same_in_torch_and_numpy(inputs, bits, activation_bits):
    network = quantized(small(), bits, activation_bits, inputs)
    np.testing.assert_allclose(torch_outputs(network, inputs), numpy_outputs(network, inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["ds_cnn", "resnet_small"])
def test_networks_of_the_registry_compute_the_same_in_torch_and_numpy(name):
    entry = trainable(name)
    network = entry.start(np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((1, *entry.input_shape)).astype(np.float32)
    np.testing.assert_allclose(torch_outputs(network, x), numpy_outputs(network, x), rtol=1e-3, atol=1e-5)


def test_what_comes_back_untrained_is_what_went_in(inputs):
    network = quantized(small(), 4, 4, inputs)
    network = replace(network, steps={name: replace(steps, adc=2.0) for name, steps in network.steps.items()})
    back = TorchNet(network).trained()
    assert set(back.program.weights) == set(network.program.weights)
    for name, array in network.program.weights.items():
        np.testing.assert_array_equal(back.program.weights[name], array)
    for name, steps in network.steps.items():
        assert back.steps[name].weight == pytest.approx(steps.weight, rel=1e-7)
        assert (back.steps[name].input, back.steps[name].adc) == (pytest.approx(steps.input, rel=1e-7), 2.0)
        assert back.steps[name].signed == steps.signed
    assert (back.weight_bits, back.activation_bits) == (4, 4)


def test_training_the_module_leaves_the_network_as_it_was(inputs):
    network = small()
    before = {name: array.copy() for name, array in network.program.weights.items()}
    net = TorchNet(network).train()
    net(torch.from_numpy(inputs))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1.0)
    for name, array in before.items():
        np.testing.assert_array_equal(network.program.weights[name], array)
    changed = net.trained().program.weights
    assert all(not np.array_equal(changed[name], array) for name, array in before.items())  # running statistics too


def test_names_with_dots_and_lines_stay_apart():
    """Modules cannot hold dots in their names; two layers whose names differ by one are two layers all the same."""
    network = line("a.b", "a_b", "a~b", "a~1b", "type")
    net = TorchNet(network)
    assert [module.weight.item() for module in net.layers()] == [2.0, 3.0, 4.0, 5.0, 6.0]
    assert net(torch.ones(1, 1)).item() == 720.0
    assert {name: array.item() for name, array in net.trained().program.weights.items()} == {f"w{i}": i + 2.0 for i in range(5)}


def test_layers_round_only_what_has_bits_and_steps():
    network = replace(line("fc"), weight_bits=2, activation_bits=2, steps={"fc": Steps(np.array([1.5]), 0.5)})
    x = torch.tensor([[0.3], [9.0], [-1.0]])
    (module,) = TorchNet(network).layers()
    assert module(x).flatten().tolist() == [1.5 * 0.5, 1.5 * 1.5, 0.0]  # weight 2 on a step of 1.5; inputs 0.3 up, 9 to 3 steps, -1 cut
    (real,) = TorchNet(replace(network, weight_bits=None)).layers()
    assert real(x).flatten().tolist() == [1.0, 3.0, 0.0]
    (analog,) = TorchNet(replace(network, activation_bits=None)).layers()
    assert analog(torch.tensor([[0.25]])).item() == 0.375


def test_noise_comes_before_draws_and_stands_in_no_rounding():
    (module,) = TorchNet(line("fc")).layers()
    module.draw = lambda layer, w, steps, bits: torch.full_like(w, 0.5)
    x = torch.ones(1, 1)
    assert module(x).item() == 2.5
    module.sigma, module.rng = 0.1, torch.Generator().manual_seed(7)
    drawn = torch.randn(1, 1, generator=torch.Generator().manual_seed(7)).item()
    assert module(x).item() == pytest.approx(2 + 0.1 * 2 * drawn, rel=1e-6)


def test_a_draw_is_told_what_the_layer_is_and_errors_move_no_gradient():
    network = replace(line("fc"), weight_bits=3, steps={"fc": Steps(np.array([0.75]))})
    (module,) = TorchNet(network).layers()
    told = []

    def draw(layer, w, steps, bits):
        told.append((layer.name, w.item(), steps.item(), bits))
        return torch.ones_like(w)

    module.draw = draw
    y = module(torch.full((1, 1), 4.0))
    assert told == [("fc", 2.25, 0.75, 3)]
    assert y.item() == 13.0
    y.backward()
    assert module.weight.grad.item() == 4.0


@pytest.mark.parametrize("name", ["fc1", "conv2"])
def test_what_stands_in_for_a_product_gets_its_bias_added(inputs, name):
    net = TorchNet(small()).eval()
    module = next(module for module in net.layers() if module.layer.name == name)
    seen = []
    module.watch = lambda layer, x: seen.append(x)
    net(torch.from_numpy(inputs))
    (x,) = seen
    plain = module(x)
    module.multiply = lambda layer, x, w: torch.zeros_like(plain)
    bias = module.bias.reshape(-1, *[1] * (plain.dim() - 2))
    torch.testing.assert_close(module(x), torch.zeros_like(plain) + bias)


def test_first_steps_equal_those_of_a_network_that_is_not_trained(inputs):
    """Weights and signs the same; inputs the same where none is zero, padding among them, as quantiles leave zeros out here."""
    for bits in (2, 8):
        trained, placed = with_steps(small(), torch.from_numpy(inputs), bits, bits), quantized(small(), bits, bits, inputs)
        for layer in small().program.layers:
            np.testing.assert_array_equal(trained.steps_of(layer).weight, placed.steps_of(layer).weight)
            assert trained.steps_of(layer).signed == placed.steps_of(layer).signed
    x = np.linspace(-2, 5, 12, dtype=np.float32)[:, None]
    trained, placed = with_steps(line("one"), torch.from_numpy(x), None, 5).steps["one"], quantized(line("one"), None, 5, x).steps["one"]
    assert (trained.input, trained.signed) == (pytest.approx(placed.input, rel=1e-6), placed.signed)


def test_first_steps_by_hand():
    """Inputs 1 and 3, then twice that: quantiles 0.9995 of two magnitudes lie 0.0005 of their distance below the largest."""
    x = torch.tensor([[1.0], [3.0], [0.0]])
    found = with_steps(line("one", "two"), x, None, 3)
    reach = 3 - 0.0005 * 2
    assert [found.steps[name].input for name in ("one", "two")] == pytest.approx([reach / 7, 2 * reach / 7], rel=1e-6)
    assert [found.steps[name].signed for name in ("one", "two")] == [False, False]
    signed = with_steps(line("one"), -x, None, 3).steps["one"]
    assert (signed.input, signed.signed) == (pytest.approx(reach / 3, rel=1e-6), True)
    one_bit = with_steps(line("one"), -x, None, 1).steps["one"]
    assert (one_bit.input, one_bit.signed) == (pytest.approx(reach, rel=1e-6), False)


def test_inputs_of_zeros_and_layers_with_bits_of_their_own_get_steps():
    network = replace(line("one", "two"), layer_bits={"two": 2}, layer_activation_bits={"one": 2})
    found = with_steps(network, torch.zeros(2, 1), None, None)
    assert found.steps["one"] == Steps(None, 1 / 3)
    assert found.steps["two"].weight.tolist() == [3.0]
    assert found.steps["two"].input is None


def test_losses_without_a_teacher_or_a_share_are_those_of_the_labels():
    logits, labels = torch.tensor([[0.0, np.log(3.0)], [0.0, 0.0]]), torch.tensor([1, 0])
    hard = (np.log(4 / 3) + np.log(2)) / 2
    assert cross_entropy(logits, labels, None, 0.5, 2.0).item() == pytest.approx(hard)
    assert cross_entropy(logits, labels, logits + 5, 0.0, 2.0).item() == pytest.approx(hard)
    assert cross_entropy(logits, labels, logits + 5, 1.0, 2.0).item() == pytest.approx(0.0, abs=1e-7)  # the same distribution

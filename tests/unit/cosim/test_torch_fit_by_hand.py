"""Epochs of training against numbers by hand: rates, shares of noise, batches, clipping, ties, and which layer is lost."""

from __future__ import annotations

from dataclasses import replace
from math import cos, pi

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training.network import Network, Steps
from cosim.training.recipe import Phase
from cosim.training.torch_fit import Data, GaussianErrors, clip, fit, one_thread, outputs, prepare
from cosim.training.torch_net import TorchNet, cross_entropy
from cosim.training.torch_ties import tie
from workloads.errors import SimulationError
from workloads.program import Node, Program

START = {"w": np.array([[0.3, -0.2], [0.1, 0.4]], dtype=np.float32), "b": np.array([0.05, -0.05], dtype=np.float32)}
FC = Node("fc", "Gemm", ("x", "w", "b"), ("y",), {"transB": 1})
X = np.array([[1.0, 2.0], [-1.0, 0.5], [0.25, -3.0], [2.0, 1.0]], dtype=np.float32)
DATA = Data.of(X, np.array([0, 1, 1, 0]))


def network(**weights):
    return Network(Program("one", "x", (2,), "y", (FC,), {**START, **weights}))


class Watcher:
    """Errors that disturb nothing and note what they are told."""

    def __init__(self):
        self.told = []

    def epoch(self, net, data, chance):
        self.told.append("epoch")

    def batch(self, net, share):
        self.told.append(share)

    def off(self, net):
        self.told.append("off")


def cross(w, b):
    """Gradients of the mean cross entropy over all of X, written out."""
    logits = X @ w.T + b
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    p[np.arange(4), [0, 1, 1, 0]] -= 1
    return p.T @ X / 4, p.mean(0)


def test_descent_with_momentum_by_hand():
    """Two epochs of one batch of all: v = m v + g, w -= r_t v, with r_t = r (1 + cos(pi t)) / 2 at t = 0 and 1/2."""
    net = fit(TorchNet(network()), DATA, Phase(2, 0.5, batch=4), 0, momentum=0.9)
    w, b = START["w"].astype(np.float64), START["b"].astype(np.float64)
    vw, vb = np.zeros_like(w), np.zeros_like(b)
    for progress in (0.0, 0.5):
        gw, gb = cross(w, b)
        vw, vb = 0.9 * vw + gw, 0.9 * vb + gb
        rate = 0.5 * (1 + cos(pi * progress)) / 2
        w, b = w - rate * vw, b - rate * vb
    (module,) = net.layers()
    np.testing.assert_allclose(module.weight.detach(), w, rtol=1e-5)
    np.testing.assert_allclose(module.bias.detach(), b, rtol=1e-4)


def test_the_first_step_of_adam_is_the_rate_against_the_sign_of_the_gradient():
    net = fit(TorchNet(network()), DATA, Phase(1, 0.01, batch=4), 0)
    gw, _ = cross(START["w"], START["b"])
    np.testing.assert_allclose(net.layers()[0].weight.detach(), START["w"] - 0.01 * np.sign(gw), atol=1e-5)


def test_errors_are_told_of_every_epoch_and_batch_with_their_share():
    """Two epochs of two batches, errors rising over the first half: 0, 1/2, then all of them; the third sample of a batch is dropped."""
    watcher = Watcher()
    five = Data.of(np.concatenate([X, X[:1]]), np.array([0, 1, 1, 0, 0]))
    fit(TorchNet(network()), five, Phase(2, 0.01, batch=2, ramp=0.5), 0, errors=watcher)
    assert watcher.told == ["epoch", 0.0, 0.5, "off", "epoch", 1.0, 1.0, "off"]


def test_no_epochs_change_nothing():
    told = []
    net = fit(TorchNet(network()), DATA, Phase(0, 0.5, batch=4), 0, on_epoch=lambda *one: told.append(one))
    np.testing.assert_array_equal(net.layers()[0].weight.detach(), START["w"])
    assert told == []
    assert not net.training


def test_the_loss_that_is_told_is_the_mean_over_batches_before_their_steps():
    losses = []
    fit(TorchNet(network()), DATA, Phase(1, 1e-9, batch=2), 0, on_epoch=lambda progress, loss: losses.append((progress.epoch, loss)))
    with torch.no_grad():
        whole = cross_entropy(TorchNet(network())(DATA.inputs), DATA.labels, None, 0.0, 1.0).item()
    assert losses == [(1, pytest.approx(whole, rel=1e-6))]


def test_a_teacher_alone_at_its_own_weights_has_nothing_to_teach():
    phase = Phase(3, 0.5, batch=4, distill=1.0, temperature=2.0)
    net = fit(TorchNet(network()), DATA, phase, 0, teacher=network(), momentum=0.0)
    np.testing.assert_allclose(net.layers()[0].weight.detach(), START["w"], atol=1e-6)
    moved = fit(TorchNet(network()), DATA, phase, 0, teacher=network(w=START["w"][::-1].copy()), momentum=0.0)
    assert np.abs(moved.layers()[0].weight.detach().numpy() - START["w"]).max() > 0.01


def test_gaussian_errors_repeat_with_their_chance_scale_with_their_share_and_go():
    net, errors = TorchNet(network()), GaussianErrors(0.5)
    (module,) = net.layers()
    found = []
    for seed, share in ((1, 1.0), (1, 1.0), (2, 1.0), (1, 0.5)):
        errors.epoch(net, DATA, np.random.SeedSequence(seed))
        errors.batch(net, share)
        found.append((module(DATA.inputs) - torch.nn.functional.linear(DATA.inputs, module.weight, module.bias)).detach().numpy())
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    np.testing.assert_allclose(found[3], found[0] / 2, atol=1e-6)
    errors.off(net)
    assert module.sigma == 0.0


def test_all_layers_of_a_net_draw_from_one_generator():
    nodes = (FC, Node("again", "Gemm", ("y", "w"), ("z",), {"transB": 1}))
    net = TorchNet(Network(Program("two", "x", (2,), "z", nodes, START)))
    GaussianErrors(0.1).epoch(net, DATA, np.random.SeedSequence(0))
    one, two = net.layers()
    assert one.rng is two.rng


def clipped(weights, **how):
    net = TorchNet(network(w=np.array(weights, dtype=np.float32)))
    clip(net, Phase(1, 0.1, **how))
    return net.layers()[0].weight.detach().numpy()


def test_rows_and_layers_are_clipped_at_their_deviations_by_hand():
    """Deviations: rows 1 and 0 (of 3, 1 and 2, 2), layer sqrt(0.5) (of 3, 1, 2, 2)."""
    np.testing.assert_allclose(clipped([[3, 1], [2, 2]], clip_layer=2.0), [[2**0.5, 1], [2**0.5, 2**0.5]], rtol=1e-6)
    np.testing.assert_allclose(clipped([[3, 1], [-2, 2]], clip_row=1.5), [[1.5, 1], [-2, 2]], rtol=1e-6)
    np.testing.assert_array_equal(clipped([[3, 1], [-2, 2]]), [[3, 1], [-2, 2]])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1, 3), st.floats(1, 3))
def test_clipping_keeps_signs_and_what_lies_inside(seed, row, layer):
    w = np.random.default_rng(seed).standard_normal((2, 2)).astype(np.float32)
    found = clipped(w, clip_row=row, clip_layer=layer)
    assert np.all(np.sign(found) == np.sign(w))
    assert np.all(np.abs(found) <= np.abs(w))
    inside = np.abs(w) < np.minimum(row * w.std(1, keepdims=True), layer * clipped(w, clip_row=row).std()) * (1 - 1e-5)
    np.testing.assert_array_equal(found[inside], w[inside])


@pytest.mark.parametrize("ties", [{}, {"b": np.zeros(2, dtype=np.int64)}], ids=["free", "tied"])
def test_steps_stay_above_zero_shared_ones_too(ties):
    steps = {"fc": Steps(np.array([-0.5, -0.5]), -1.0, adc=-2.0)}
    net = tie(TorchNet(replace(network(), weight_bits=4, activation_bits=4, steps=steps)), ties)
    clip(net, Phase(1, 0.1))
    (module,) = net.layers()
    assert module.weight_step.tolist() == pytest.approx([1e-8, 1e-8])
    assert (module.input_step.item(), module.adc_step.item()) == pytest.approx((1e-8, 1e-8))


def test_a_phase_without_bits_leaves_the_steps_that_a_network_has():
    steps = {"fc": Steps(np.array([0.5, 0.5]), 0.25)}
    given_ = replace(network(), weight_bits=4, activation_bits=4, steps=steps)
    kept = prepare(given_, DATA, Phase(1, 0.1)).trained()
    assert (kept.weight_bits, kept.steps["fc"].weight.tolist(), kept.steps["fc"].input) == (4, [0.5, 0.5], 0.25)
    anew = prepare(given_, DATA, Phase(1, 0.1, weight_bits=2)).trained()
    assert (anew.weight_bits, anew.activation_bits, anew.steps["fc"].input) == (2, None, None)
    assert anew.steps["fc"].weight.tolist() != [0.5, 0.5]


def test_what_finishes_a_network_is_asked_after_its_first_steps():
    def finish(found):
        assert found.weight_bits == 3
        return replace(found, steps={name: replace(steps, adc=9.0) for name, steps in found.steps.items()})

    assert prepare(network(), DATA, Phase(1, 0.1, weight_bits=3), finish=finish).trained().steps["fc"].adc == 9.0


def test_outputs_in_chunks_are_the_outputs_and_leave_no_gradient():
    net = TorchNet(network()).train()
    found = outputs(net, DATA.inputs, chunk=3)
    np.testing.assert_allclose(found, X @ START["w"].T + START["b"], rtol=1e-5, atol=1e-6)
    assert not found.requires_grad
    assert not net.training


def test_threads_are_as_before_after_an_error_too():
    before = torch.get_num_threads()
    inside = []

    def stopped():
        with one_thread():
            inside.append(torch.get_num_threads())
            raise KeyError

    with pytest.raises(KeyError):
        stopped()
    assert inside == [1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("weights", "x", "lost"),
    [
        ({}, np.nan, "inputs of layer fc are no numbers"),
        ({"w": np.array([[np.inf, 0], [0, 0]], dtype=np.float32)}, 1.0, "weights of layer fc are no numbers"),
        ({"w": np.full((2, 2), 3e38, dtype=np.float32)}, 3.0, "outputs of layer fc left the range of numbers"),
    ],
)
def test_what_is_lost_first_is_named_with_rate_noise_and_place(weights, x, lost):
    data = Data.of(np.full((4, 2), x), np.zeros(4))
    with pytest.raises(SimulationError) as error:
        fit(TorchNet(network(**weights)), data, Phase(1, 0.125, batch=2, sigma=0.25), 0)
    said = str(error.value)
    assert lost in said
    assert "in epoch 1, step 1:" in said
    assert "lower the learning rate (0.125) or the noise (0.25)" in said

"""Stages of compression one by one: what each keeps, what it never touches, and what the gates leave, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.training import compress_stages as stages
from cosim.training.compress_stages import QUICK, CompressRecipe, Rows, ladder_of, prior_of, recipe_of, smaller
from cosim.training.energy_prior import EnergyPrior, Marginal
from cosim.training.network import Network, Steps
from cosim.training.torch_gates import hold_largest, hold_zeros
from cosim.training.torch_net import TorchNet
from workloads.program_builder import ProgramBuilder


def mlp(seed=0, sizes=(6, 5, 3)):
    b = ProgramBuilder("net", sizes[:1], np.random.default_rng(seed))
    return Network(b.build(b.linear(b.relu(b.linear(b.input, sizes[1])), sizes[2])))


def weights_of(network):
    return np.concatenate([network.program.weights[layer.weight].ravel() for layer in network.program.layers])


def magnitudes(network):
    return {layer.name: np.abs(network.program.weights[layer.weight]) for layer in network.program.layers}


class TestRecipe:
    def test_epochs_until_the_structure_stands_by_hand(self):
        assert CompressRecipe(gates=3, settle=2).shaping == 3 + 2

    def test_short_and_long_and_other_epochs_of_tuning(self):
        assert recipe_of() == CompressRecipe()
        assert recipe_of(quick=True) is QUICK
        assert recipe_of(tune=7) == replace(CompressRecipe(), tune=7)
        assert recipe_of(tune=0).tune == 0

    def test_a_phase_of_tuning_distills_at_its_bits(self):
        phase = CompressRecipe(distill=0.5, temperature=3.0).tuning(4, 1e-3, 2, None)
        assert (phase.epochs, phase.learning_rate, phase.weight_bits, phase.activation_bits) == (4, 1e-3, 2, None)
        assert (phase.distill, phase.temperature, phase.sigma) == (0.5, 3.0, 0.0)

    def test_it_is_plain_data(self):
        assert CompressRecipe(**CompressRecipe(first=9).as_dict()) == CompressRecipe(first=9)


def held(network, n_keep, factors):
    """Weights after holding all but n_keep at zero."""
    net = hold_zeros(TorchNet(network))
    hold_largest(net, n_keep, factors)
    return net, np.concatenate([module.weight.detach().numpy().ravel() for module in net.layers()])


SAME = {"conv": 1.0, "linear": 1.0}


@given(st.integers(0, 50), st.integers(1, 45))
def test_the_number_that_stays_is_the_largest(seed, n_keep):
    network = mlp(seed)
    _, kept = held(network, n_keep, SAME)
    before = weights_of(network)
    stays = kept != 0
    assert stays.sum() == n_keep
    assert (kept[stays] == before[stays]).all()
    assert np.abs(before[stays]).min() >= np.abs(before[~stays]).max(initial=0)


def test_what_is_held_at_zero_stays_so_however_many_may_stay():
    net, few = held(mlp(), 10, SAME)
    hold_largest(net, 40, SAME)
    again = np.concatenate([module.weight.detach().numpy().ravel() for module in net.layers()])
    np.testing.assert_array_equal(again, few)


def test_a_factor_by_kind_of_layer_keeps_convolutions_longer():
    b = ProgramBuilder("net", (1, 4, 4), np.random.default_rng(0))
    network = Network(b.build(b.linear(b.flatten(b.conv(b.input, 2, 3, pads=1)), 3)))
    net, _ = held(network, 18, {"conv": 1e6, "linear": 1.0})
    conv, linear = (module.weight.detach().numpy() for module in net.layers())
    assert (conv != 0).all()
    assert not linear.any()


def test_tuning_ends_with_so_many_weights_and_without_a_number_keeps_all():
    rng = np.random.default_rng(0)
    rows = Rows(rng.random((64, 6)).astype(np.float32), np.arange(64) % 3)
    network = stages.rounded(mlp(), 2, 4, rows.inputs)
    teacher = mlp()
    recipe = CompressRecipe()
    done = stages.tuned(network, rows, recipe, 4, 0, teacher, lambda: None, n_keep=12)
    assert np.count_nonzero(weights_of(done)) <= 12
    whole = stages.tuned(network, rows, recipe, 1, 0, teacher, lambda: None)
    assert np.count_nonzero(weights_of(whole)) == stages.n_weights(network) == 45


def test_inputs_of_the_network_have_bits_of_their_own():
    network, recipe = mlp(), CompressRecipe(first_ladder=(1,), input_ladder=(3, 5))
    assert [ladder_of(layer, network, recipe) for layer in network.program.layers] == [(1,), (3, 5)]


def test_layers_are_priced_beside_the_largest_bits_of_the_others(monkeypatch):
    asked = []
    monkeypatch.setattr(stages, "energy_prior", lambda *given_arguments: asked.append(given_arguments))
    recipe = CompressRecipe(first_ladder=(1, 2), input_ladder=(3, 5), weight_ladder=(2, 4))
    prior_of("chip", mlp(), recipe, 5.0)
    ((chip, network, weight_bits, ladders, reference_j),) = asked
    assert (chip, weight_bits, reference_j) == ("chip", (2, 4), 5.0)
    assert ladders == {"fc1": (1, 2), "fc2": (3, 5)}
    assert network.layer_activation_bits == {"fc1": 2, "fc2": 5}


class TestRows:
    @staticmethod
    def left(network, price, strength):
        layers = ("fc1", "fc2")
        prior = EnergyPrior({name: {(2, 4): Marginal(0.0, price, 0.0, 0.0, 0.0, 0.0)} for name in layers}, 1.0)
        return stages.without_weak_rows(replace(network, weight_bits=2, activation_bits=4), prior, strength)

    def test_free_rows_all_stay(self):
        network = mlp()
        np.testing.assert_array_equal(weights_of(self.left(network, 0.0, 1.0)), weights_of(network))
        np.testing.assert_array_equal(weights_of(self.left(network, 1.0, 0.0)), weights_of(network))

    @given(st.integers(0, 20), st.floats(0, 3))
    def test_a_dearer_row_never_stays_longer_and_the_strongest_always(self, seed, price):
        network = mlp(seed)
        cheap, dear = self.left(network, price, 1.0), self.left(network, 1.5 * price, 1.0)
        for layer in network.program.layers:
            before, few, fewer = (one.program.weights[layer.weight] for one in (network, cheap, dear))
            rows, less = few.any(axis=0), fewer.any(axis=0)
            assert not (less & ~rows).any()
            assert less[(before**2).sum(axis=0, dtype=np.float64).argmax()]
            np.testing.assert_array_equal(few[:, rows], before[:, rows])


def found_of(network, **change):
    from cosim.training.torch_gates import Found

    plain = {"weight_bits": 2, "activation_bits": 3, "signed": False, "range_input": 14.0, "log_alpha": np.zeros(1, np.float32)} | change
    parts = {}
    for layer in network.program.layers:
        w, b = network.program.weights[layer.weight], network.program.weights[layer.bias]
        parts[layer.name] = Found(weight=2 * w, bias=3 * b, range_weight=np.full(w.shape[0], 6.0), **plain)
    return parts


@pytest.mark.parametrize(("bits", "signed", "step"), [(3, False, 2.0), (3, True, 14 / 3), (1, False, 14.0), (4, False, 14 / 15)])
def test_steps_are_ranges_over_the_levels_of_the_bits_that_gates_chose(bits, signed, step):
    pytest.importorskip("torch")
    network = mlp()
    made = stages._decided(network, CompressRecipe(), found_of(network, activation_bits=bits, signed=signed))
    for layer in made.program.layers:
        steps = made.steps_of(layer)
        assert (steps.input, steps.signed) == (pytest.approx(step), signed)
        assert steps.weight.tolist() == [6.0] * steps.weight.size  # one level of ternary weights
        assert (made.bits_of(layer), made.activation_bits_of(layer)) == (2, bits)
        np.testing.assert_array_equal(made.program.weights[layer.weight], 2 * network.program.weights[layer.weight])
        np.testing.assert_array_equal(made.program.weights[layer.bias], 3 * network.program.weights[layer.bias])


def test_only_exact_zeros_make_a_network_smaller():
    """Channel 1 is zero and goes; channel 2 is far below its step, counts as weights and stays."""
    network = mlp()
    weights = {name: array.copy() for name, array in network.program.weights.items()}
    weights["fc1.weight"][1], weights["fc1.bias"][1] = 0, 0
    weights["fc1.weight"][2] = 1e-6
    steps = {name: Steps(np.ones(n), 1.0) for name, n in (("fc1", 5), ("fc2", 3))}
    rounded = replace(network, program=network.program.with_weights(weights), weight_bits=2, layer_bits={"fc2": 3}, steps=steps)
    small = smaller(rounded)
    assert small.program.weights["fc1.weight"].shape == (4, 6)
    assert small.program.weights["fc2.weight"].shape == (3, 4)
    assert (small.weight_bits, small.layer_bits) == (2, {"fc2": 3})
    assert small.steps["fc1"].weight.shape == (4,)


def test_percent_right_by_hand():
    """The answer is the larger of two inputs; two of four rows are labeled so."""
    pytest.importorskip("torch")
    b = ProgramBuilder("net", (2,), np.random.default_rng(0))
    program = b.build(b.linear(b.input, 2)).with_weights({"fc1.weight": np.eye(2, dtype=np.float32), "fc1.bias": np.zeros(2, np.float32)})
    inputs = np.array([[1, 0], [0, 1], [3, 2], [2, 3]], dtype=np.float32)
    assert stages.percent_right(Network(program), Rows(inputs, np.array([0, 1, 1, 0]))) == 50

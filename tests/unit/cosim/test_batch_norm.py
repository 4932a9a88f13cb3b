"""Batch norms measured anew on a chip: by hand, on an ideal chip, after drift, and folded for arrays."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from cosim.training.batch_norm import NORM, normed, renormed
from cosim.training.data import load_data, split
from cosim.training.deploy import deploy, quantized
from cosim.training.engines import Deployed, Digital
from cosim.training.execute import Multiply
from cosim.training.hardware import Hardware
from cosim.training.network import Network
from cosim.training.networks import DIGITS
from cosim.training.recipe import Phase
from hw_models.catalog import resolve_part
from hw_models.cim.noise import load_noise
from hw_models.cim.spec import CimMacroSpec
from workloads.errors import SimulationError
from workloads.program import Node, Program
from workloads.program_builder import ProgramBuilder
from workloads.program_fold import fold_batch_norm

YEAR_S = 31_536_000.0


def small(rng: np.random.Generator) -> Program:
    """Conv, batch norm, ReLU, conv with stride, batch norm, ReLU, global mean, 12-10, for 8x8 pixels."""
    b = ProgramBuilder("small", (1, 8, 8), rng)
    x = b.relu(b.batch_norm(b.conv(b.input, 8, 3, pads=1, bias=False)))
    x = b.relu(b.batch_norm(b.conv(x, 12, 3, stride=2, pads=1, bias=False)))
    return b.build(b.linear(b.flatten(x), 10))


@lru_cache(maxsize=1)
def trained() -> tuple[Network, np.ndarray, np.ndarray, np.ndarray]:
    """The network after 4 epochs on digits; inputs it learned from; validation inputs and labels."""
    from cosim.training.torch_fit import Data, fit, one_thread, prepare

    digits = load_data("digits8x8")
    rows = split(digits, 0)
    network = Network(small(np.random.default_rng(0)), DIGITS)
    x, held = (network.scaled(digits.inputs[r]).reshape(-1, 1, 8, 8) for r in (rows.train, rows.validation))
    phase, data = Phase(epochs=4, learning_rate=5e-3), Data.of(x, digits.labels[rows.train])
    with one_thread():
        net = prepare(network, data, phase)
        fit(net, data, phase, 0)
    return net.trained(), x, held, digits.labels[rows.validation]


def percent(deployed: Deployed, x: np.ndarray, labels: np.ndarray) -> float:
    return 100 * float((deployed.outputs(x, np.random.default_rng(1)).argmax(axis=1) == labels).mean())


def test_norm_of_two_channels_by_hand():
    node = Node("bn", NORM, ("x", "s", "b", "m", "v"), ("y",), {"epsilon": 0.0})
    x = np.array([[[[1.0]], [[10.0]]], [[[3.0]], [[30.0]]]])
    found = normed(x, node, [np.array([2.0, 1.0]), np.array([0.5, 0.0])], np.array([2.0, 20.0]), np.array([1.0, 100.0]))
    assert found.ravel().tolist() == [-1.5, -1.0, 2.5, 1.0]


class Scaled(Deployed):
    """Products that came out 3 times too large, and 0.25 too high."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def multiply(self, rng: np.random.Generator) -> Multiply:
        exact = Digital(self.network).multiply(rng)
        return lambda layer, vectors: exact(layer, vectors) * (1.0 if layer.kind == "linear" else 3.0) + 0.25 * (layer.kind == "conv")


def test_gain_and_offset_of_each_layer_are_undone_exactly():
    network = Network(small(np.random.default_rng(0)))
    x = np.random.default_rng(1).standard_normal((60, 1, 8, 8)).astype(np.float32)
    exact, disturbed = (renormed(chip, x, np.random.default_rng(0)) for chip in (Digital(network), Scaled(network)))
    assert disturbed.outputs(x, np.random.default_rng(0)) == pytest.approx(exact.outputs(x, np.random.default_rng(0)), abs=1e-3)


def test_statistics_of_all_batches_are_those_of_the_whole_set_at_the_first_norm():
    network = Network(small(np.random.default_rng(0)))
    x = np.random.default_rng(2).standard_normal((300, 1, 8, 8)).astype(np.float32)
    found = renormed(Digital(network), x, np.random.default_rng(0)).network.program
    first = next(node for node in found.nodes if node.op_type == NORM)
    layer = network.program.layers[0]
    y = layer.outputs(Digital(network).multiply()(layer, layer.vectors(x)), x.shape)
    assert found.weights[first.inputs[3]] == pytest.approx(y.mean(axis=(0, 2, 3)), abs=1e-5)
    assert found.weights[first.inputs[4]] == pytest.approx(y.var(axis=(0, 2, 3)), rel=1e-4)


def test_an_ideal_chip_stays_as_good_as_it_was():
    pytest.importorskip("torch")
    network, x, held, labels = trained()
    before = Digital(network)
    after = renormed(before, x, np.random.default_rng(0))
    assert percent(after, held, labels) == pytest.approx(percent(before, held, labels), abs=3.0)  # 4 of 135 images
    assert not after.is_fresh


def test_most_of_what_drift_without_compensation_costs_comes_back():
    pytest.importorskip("torch")
    network, x, held, labels = trained()
    pcm = Hardware("pcm", noise=load_noise("pcm_like"), t_s=YEAR_S, compensation=False)
    chips = [deploy(network, pcm, seed) for seed in range(3)]
    digital = percent(Digital(network), held, labels)
    drifted = np.mean([percent(chip, held, labels) for chip in chips])
    found = np.mean([percent(renormed(chip, x, np.random.default_rng(0)), held, labels) for chip in chips])
    assert drifted < digital - 10
    assert found - drifted > 0.75 * (digital - drifted)
    assert renormed(chips[0], x, np.random.default_rng(0)).is_fresh


def test_folded_the_same_network_runs_on_arrays():
    pytest.importorskip("torch")
    network, x, held, labels = trained()
    folded = replace(network, program=fold_batch_norm(network.program))
    assert percent(Digital(folded), held, labels) == percent(Digital(network), held, labels)
    whole = quantized(folded, 4, 6, x[:200])
    data = {key: value for key, value in resolve_part("cim_macro/ref_bitserial").data.items() if key != "kind"}
    macro = CimMacroSpec.model_validate({**data, "adc": {**data["adc"], "n_bits": 8}})  # all sums of 128 rows have a code
    chip = deploy(whole, Hardware("arrays", macro=macro), 0)
    two = held[:2]
    assert chip.outputs(two, np.random.default_rng(0)) == pytest.approx(Digital(whole).outputs(two, np.random.default_rng(0)), rel=1e-5)
    assert renormed(chip, x, np.random.default_rng(0)) is chip


def test_without_inputs_nothing_can_be_measured():
    with pytest.raises(SimulationError, match="give samples"):
        renormed(Digital(Network(small(np.random.default_rng(0)))), np.zeros((0, 1, 8, 8)), np.random.default_rng(0))

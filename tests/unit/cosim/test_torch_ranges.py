"""Learned ranges of converters: which layers can learn one, that it is the range that is deployed, and that learning it helps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cosim.training.deploy import deploy, quantized
from cosim.training.hardware import Hardware
from cosim.training.network import Network
from cosim.training.recipe import Phase
from cosim.training.torch_chip import ChipErrors
from cosim.training.torch_fit import Data, fit, outputs
from cosim.training.torch_net import TorchNet
from cosim.training.torch_ranges import LearnedRanges, learnable, with_first_ranges
from hw_models.catalog import resolve_part
from hw_models.cim.spec import CimMacroSpec
from workloads.program_builder import ProgramBuilder


def reference(**changes):
    """The macro of positive and negative columns that are read apart."""
    data = dict(resolve_part("cim_macro/ref_bitserial").data)
    data.pop("kind")
    return CimMacroSpec.model_validate(data | changes)


def network(shape, layers, x):
    builder = ProgramBuilder("net", shape, np.random.default_rng(0))
    return quantized(Network(builder.build(layers(builder))), 4, 4, x)


@pytest.fixture(scope="module")
def flat():
    """Two linear layers on inputs without a sign."""
    x = np.random.default_rng(1).random((40, 12)).astype(np.float32)
    return network((12,), lambda b: b.linear(b.relu(b.linear(b.input, 6)), 4), x), x


def test_first_steps_are_found_for_layers_whose_inputs_have_no_sign(flat):
    net, x = flat
    hardware = Hardware("ref", macro=reference())
    ready = with_first_ranges(net, hardware, x)
    assert all(ready.steps_of(layer).adc > 0 for layer in ready.program.layers)
    signed, _ = network((12,), lambda b: b.linear(b.input, 4), x - 0.5), None
    assert learnable(signed, hardware) == ()


def test_cells_with_errors_keep_the_range_of_the_part(flat):
    net, x = flat
    noisy = reference()
    noisy = noisy.model_copy(update={"cell": noisy.cell.model_copy(update={"programming_sigma": 0.1})})
    assert learnable(net, Hardware("noisy", macro=noisy)) == ()
    assert with_first_ranges(net, Hardware("noisy", macro=noisy), x) is net
    assert learnable(net, Hardware("digital")) == ()


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_what_training_sees_is_what_the_deployed_chip_computes(kind, flat):
    """Forward of the learned kernel in torch against `deploy` with the same step, output by output."""
    if kind == "linear":
        net, x = flat
    else:
        x = np.random.default_rng(2).random((6, 1, 6, 6)).astype(np.float32)
        net = network((1, 6, 6), lambda b: b.linear(b.flatten(b.relu(b.conv(b.input, 2, 3, stride=2, pads=1))), 3), x)
    hardware = Hardware("ref", macro=reference())
    ready = with_first_ranges(net, hardware, x)
    module = TorchNet(ready)
    learned = LearnedRanges.of(ready, hardware)
    assert learned.has_all(module)
    for layer in module.layers():
        layer.multiply = learned
    found = outputs(module, torch.from_numpy(x)).numpy()
    wanted = deploy(ready, hardware, 0, x).outputs(x, np.random.default_rng(0))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_steps_move_in_training_and_stay_above_zero(flat):
    net, x = flat
    hardware = Hardware("ref", macro=reference())
    ready = with_first_ranges(net, hardware, x)
    data, phase = Data.of(x, np.arange(40) % 4), Phase(2, 1e-2, batch=8, weight_bits=4, activation_bits=4)
    trained = fit(TorchNet(ready), data, phase, 0, errors=ChipErrors(hardware, "exact")).trained()
    for layer in trained.program.layers:
        assert trained.steps_of(layer).adc > 0
        assert trained.steps_of(layer).adc != pytest.approx(ready.steps_of(layer).adc, rel=1e-4)


def test_without_a_range_of_its_own_a_layer_goes_the_other_way(flat):
    net, x = flat
    module = TorchNet(net)
    layer = module.layers()[0]
    layer.multiply = LearnedRanges({}, "column", lambda module, x, w: torch.full((len(x), 6), 7.0))
    assert torch.all(layer(torch.from_numpy(x)) == 7.0 + layer.bias)

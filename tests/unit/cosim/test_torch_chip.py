"""Training against hardware: what enters a batch is what the cells and converters of the spec do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cosim.training.deploy import deploy, quantized
from cosim.training.hardware import Hardware
from cosim.training.network import Network
from cosim.training.networks import trainable
from cosim.training.recipe import Phase
from cosim.training.torch_chip import CellDraws, ChipErrors, ExactProduct
from cosim.training.torch_fit import Data, fit, outputs
from cosim.training.torch_net import TorchNet
from hw_models.catalog import resolve_part
from hw_models.cim.noise import load_noise
from hw_models.cim.spec import CimMacroSpec
from workloads.errors import SimulationError


def macro(**changes):
    """The shipped SRAM macro, small, with an ADC that loses nothing unless told otherwise."""
    data = resolve_part("cim_macro/sram_charge_22nm_256x256").data
    data.pop("kind")
    nested = {key: data[key] | changes.pop(key, {}) for key in ("cell", "adc")}
    nested["adc"] = (
        {"n_bits": 12, "range": "granular"}
        | {k: v for k, v in nested["adc"].items() if k not in {"n_bits", "range"}}
        | changes.pop("converter", {})
    )
    base = {"rows_active": 64, "input_bits_per_pass": 1, "bits_per_cell": 1, "encoding": "offset"}
    return CimMacroSpec.model_validate(data | base | nested | changes)


@pytest.fixture(scope="module")
def inputs():
    return np.abs(np.random.default_rng(2).standard_normal((24, 64))).astype(np.float32)


@pytest.fixture(scope="module")
def network(inputs):
    entry = trainable("mlp_digits")
    return quantized(Network(entry.build(np.random.default_rng(0)), entry.scaling), 4, 4, inputs)


def test_cells_without_errors_deviate_by_nothing(network):
    draws = CellDraws(Hardware("m", macro=macro()), np.random.default_rng(0))
    module = TorchNet(network).layers()[0]
    assert torch.count_nonzero(draws(module.layer, module.rounded_weight(), module.weight_step, 4)) == 0


def test_programming_errors_of_slices_add_up_in_a_weight(network):
    """Four slices of 1 bit, each off by sigma of its level: std = sigma sqrt(1 + 4 + 16 + 64) steps."""
    spec = macro(cell={"programming_sigma": 0.1})
    module = TorchNet(network).layers()[0]
    draws = CellDraws(Hardware("m", macro=spec), np.random.default_rng(0))
    steps = module.weight_step.detach()[:, None]
    found = torch.cat([draws(module.layer, module.rounded_weight(), module.weight_step, 4) / steps for _ in range(4)])
    assert float(found.std()) == pytest.approx(0.1 * 85**0.5, rel=0.05)


def test_each_call_draws_another_chip_and_the_share_scales_it(network):
    spec = macro(cell={"programming_sigma": 0.1})
    module = TorchNet(network).layers()[1]
    args = (module.layer, module.rounded_weight(), module.weight_step, 4)
    draws = CellDraws(Hardware("m", macro=spec), np.random.default_rng(0))
    one, two = draws(*args), draws(*args)
    assert not torch.equal(one, two)
    half = CellDraws(Hardware("m", macro=spec), np.random.default_rng(0), share=0.5)(*args)
    np.testing.assert_allclose(half, one / 2, atol=1e-7)


def test_a_model_of_cells_disturbs_real_weights_row_by_row():
    entry = trainable("mlp_digits")
    module = TorchNet(Network(entry.build(np.random.default_rng(0)))).layers()[0]
    with torch.no_grad():
        module.weight[0] *= 100
    found = CellDraws(Hardware("pcm", noise=load_noise("pcm_like")), np.random.default_rng(0))(module.layer, module.weight, None, None)
    assert float(found[0].std() / found[1:].std()) == pytest.approx(100, rel=0.3)


def test_arrays_without_whole_weights_are_refused(network):
    module = TorchNet(network).layers()[0]
    with pytest.raises(SimulationError, match="give weight_bits"):
        CellDraws(Hardware("m", macro=macro()), np.random.default_rng(0))(module.layer, module.weight, None, None)


@pytest.mark.parametrize("path", ["exact", "surrogate"])
def test_a_lossless_macro_trains_like_the_rounded_network(network, inputs, path):
    """Codes that lose nothing make both paths the ideal product, so that three epochs end at nearly the same weights."""
    data, phase = Data.of(inputs, np.arange(24) % 10), Phase(2, 1e-3, batch=8, weight_bits=4, activation_bits=4)
    found = fit(TorchNet(network), data, phase, 0, errors=ChipErrors(Hardware("m", macro=macro()), path))
    ideal = fit(TorchNet(network), data, phase, 0)
    for one, two in zip(found.layers(), ideal.layers(), strict=True):
        np.testing.assert_allclose(one.weight.detach(), two.weight.detach(), atol=2e-4)


def test_the_exact_forward_is_that_of_the_deployed_chip_and_its_gradient_straight_through(network, inputs):
    """Forward: what `deploy` computes, whose ADC clips; backward: W^T g, as written out by hand, as if nothing had been lost."""
    hardware = Hardware("m", macro=macro(converter={"n_bits": 3}))
    chip = deploy(network, hardware, 5, inputs)
    net = TorchNet(network)
    first = net.layers()[0]
    first.multiply = ExactProduct(chip, np.random.default_rng(0))
    x = torch.from_numpy(inputs).requires_grad_()
    y = first(x)
    wanted = chip.multiply(np.random.default_rng(0))(first.layer, inputs[None])[0] + first.bias.detach().numpy()
    np.testing.assert_allclose(y.detach(), wanted, rtol=1e-4, atol=1e-4)
    grad = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    y.backward(torch.from_numpy(grad))
    ratio = inputs / float(first.input_step.detach())
    inside = (ratio >= 0) & (ratio <= 15)
    np.testing.assert_allclose(x.grad, (grad @ first.rounded_weight().detach().numpy()) * inside, rtol=1e-4, atol=1e-5)
    rounded = first.rounded_weight().detach().numpy() / first.weight_step.detach().numpy()[:, None]
    held = np.abs(first.weight.detach().numpy() / first.weight_step.detach().numpy()[:, None]) <= 7
    by_hand = (grad.T @ (np.clip(np.rint(ratio), 0, 15) * float(first.input_step.detach()))) * held
    assert np.abs(rounded).max() <= 7
    np.testing.assert_allclose(first.weight.grad, by_hand, rtol=1e-3, atol=1e-4)


def test_errors_are_gone_after_training(network, inputs):
    data = Data.of(inputs, np.arange(24) % 10)
    net = fit(TorchNet(network), data, Phase(1, 1e-3, batch=8), 0, errors=ChipErrors(Hardware("m", macro=macro()), "surrogate"))
    assert all(module.draw is None and module.multiply is None for module in net.layers())
    assert torch.isfinite(outputs(net, data.inputs)).all()

"""Errors of chips as training meets them: surrogates by hand, straight-through gradients, and what each epoch and batch sets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cosim.training.deploy import quantized
from cosim.training.hardware import CAUSES, Hardware
from cosim.training.network import Network
from cosim.training.torch_chip import CellDraws, ChipErrors, ExactProduct, TorchSurrogate
from cosim.training.torch_fit import Data
from cosim.training.torch_net import TorchNet
from hw_models.catalog import build_part_device
from hw_models.cim.noise import load_noise
from workloads.errors import SimulationError
from workloads.program import Node, Program

W = np.array([[1.0, -2.0], [3.0, 0.5], [0.0, 0.0]], dtype=np.float32)
K = np.array([[[[1.0]]], [[[-2.0]]]], dtype=np.float32)
LINEAR = Network(Program("fc", "x", (2,), "y", (Node("fc", "Gemm", ("x", "w"), ("y",), {"transB": 1}),), {"w": W}))
CONV = Network(Program("conv", "x", (1, 1, 2), "y", (Node("conv", "Conv", ("x", "k"), ("y",), {"kernel_shape": (1, 1)}),), {"k": K}))
SAMPLES = np.array([[1.0, 0.5], [0.25, 2.0], [1.5, 0.0]], dtype=np.float32)
WHOLE = quantized(LINEAR, 3, 3, SAMPLES)
DATA = Data.of(SAMPLES, np.array([0, 1, 2]))
MACRO = build_part_device("cim_macro/ref_bitserial").spec
CELLS = Hardware("cells", noise=load_noise("pcm_like"))
CHANCE = np.random.SeedSequence(4)


def layer_of(network):
    (module,) = TorchNet(network).layers()
    return module


def draw(hardware, seed=0, network=LINEAR, share=1.0):
    module = layer_of(network)
    args = (module.layer, module.rounded_weight(), module.weight_step, module.bits)
    return CellDraws(hardware, np.random.default_rng(seed), share)(*args).numpy()


def surrogate(name, gain, offset, std):
    table = {name: tuple(torch.tensor(values) for values in (gain, offset, std))}
    return TorchSurrogate(table, torch.Generator().manual_seed(3))


def test_a_surrogate_scales_and_shifts_each_channel():
    module = layer_of(LINEAR)
    found = surrogate("fc", [2.0, 1.0, 1.0], [0.0, 0.5, -1.0], [0.0] * 3)(module, torch.tensor([[1.0, 1.0]]), module.weight)
    assert found.tolist() == [[-2.0, 4.0, -1.0]]  # products -1, 3.5, 0


def test_a_surrogate_of_a_convolution_scales_whole_maps():
    module = layer_of(CONV)
    x = torch.tensor([[[[1.0, 3.0]]]])
    found = surrogate("conv", [2.0, 0.5], [1.0, 0.0], [0.0, 0.0])(module, x, module.weight)
    assert found.tolist() == [[[[3.0, 7.0]], [[-1.0, -3.0]]]]


def test_noise_of_a_surrogate_is_drawn_anew_for_each_output_in_its_deviation():
    module = layer_of(LINEAR)
    noisy = surrogate("fc", [1.0] * 3, [0.0] * 3, [0.0, 1.0, 3.0])
    found = noisy(module, torch.zeros(4000, 2), module.weight).detach().numpy()
    np.testing.assert_allclose(found.std(axis=0), [0.0, 1.0, 3.0], rtol=0.05)
    again = noisy(module, torch.zeros(4000, 2), module.weight).detach().numpy()
    assert not np.array_equal(found, again)


def test_gradients_of_a_surrogate_are_those_of_the_product_times_its_gain():
    module = layer_of(LINEAR)
    x = torch.tensor([[1.0, 2.0]])
    surrogate("fc", [2.0, 0.5, 1.0], [5.0] * 3, [1.0] * 3)(module, x, module.weight).sum().backward()
    assert module.weight.grad.tolist() == [[2.0, 4.0], [0.5, 1.0], [1.0, 2.0]]


def test_a_chip_that_returns_something_else_gets_the_gradient_of_the_product():
    class Chip:
        def multiply(self, rng):
            return lambda layer, vectors: np.full((1, vectors.shape[1], 3), 7.0)

    module = layer_of(LINEAR)
    x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    y = ExactProduct(Chip(), np.random.default_rng(0))(module, x, module.weight)
    assert y.tolist() == [[7.0, 7.0, 7.0]]
    y.backward(torch.tensor([[1.0, 0.0, 1.0]]))
    assert x.grad.tolist() == [[1.0, -2.0]]  # W^T g
    assert module.weight.grad.tolist() == [[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]]


def test_hardware_without_cells_holds_what_it_should():
    for hardware in (Hardware("ideal"), Hardware("noise", sigma=0.3)):  # Gaussian noise is drawn by the layer itself
        np.testing.assert_array_equal(draw(hardware), np.zeros_like(W))


def test_cells_without_programming_errors_deviate_by_nothing():
    np.testing.assert_allclose(draw(CELLS.without(["programming"])), 0, atol=1e-7)


def test_a_draw_depends_on_its_generator_and_grows_by_its_share():
    one, same, other = draw(CELLS, 1), draw(CELLS, 1), draw(CELLS, 2)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    np.testing.assert_allclose(draw(CELLS, 1, share=0.25), one / 4, atol=1e-7)
    np.testing.assert_array_equal(draw(CELLS, 1, share=0.0), np.zeros_like(W))


def test_a_row_of_zeros_stays_zero_as_pairs_of_cells_fill_it_with_nothing():
    assert np.all(draw(CELLS, 1)[2] == 0)
    assert np.any(draw(CELLS, 1)[:2] != 0)


def test_a_draw_has_the_shape_of_the_weights_of_a_convolution():
    assert draw(CELLS, network=CONV).shape == K.shape


def test_arrays_refuse_real_weights_and_say_what_would_do():
    with pytest.raises(SimulationError, match="m: arrays take whole weights; give weight_bits"):
        draw(Hardware("m", MACRO))
    with pytest.raises(SimulationError, match="ideal: has no arrays"):
        CellDraws(Hardware("ideal"), np.random.default_rng(0))._spec  # noqa: B018  (a property that raises)


def test_arrays_of_perfect_cells_hold_whole_weights():
    hardware = Hardware("m", MACRO).without(CAUSES)
    np.testing.assert_allclose(draw(hardware, network=WHOLE), 0, atol=1e-6)


def test_each_batch_draws_cells_from_the_chance_of_its_epoch():
    net, errors = TorchNet(LINEAR), ChipErrors(CELLS, "surrogate")
    (module,) = net.layers()
    found = []
    for _ in range(2):
        errors.epoch(net, DATA, CHANCE)
        assert module.draw is None
        for share in (1.0, 0.5):
            errors.batch(net, share)
            assert module.draw.share == share
            found.append(module.draw(module.layer, module.weight, None, None).numpy())
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[3])
    assert not np.array_equal(found[0], 2 * found[1])  # another chip
    errors.off(net)
    assert (module.draw, module.multiply, errors.learned) == (None, None, None)


def test_by_the_surrogate_an_epoch_measures_and_batches_draw_cells_beside_it():
    net, errors = TorchNet(WHOLE), ChipErrors(Hardware("m", MACRO), "surrogate")
    (module,) = net.layers()
    errors.epoch(net, DATA, CHANCE)
    measured = module.multiply
    assert isinstance(measured, TorchSurrogate)
    assert [part.shape for part in measured.table["fc"]] == [(3,)] * 3
    errors.batch(net, 0.5)
    assert module.multiply is measured
    assert module.draw.share == 0.5


def test_exactly_each_batch_programs_a_chip_of_its_own():
    net, errors = TorchNet(WHOLE), ChipErrors(Hardware("m", MACRO), "exact")
    (module,) = net.layers()
    errors.epoch(net, DATA, CHANCE)
    assert module.multiply is None
    chips = []
    for _ in range(2):
        errors.batch(net, 1.0)
        chips.append(module.multiply.others.chip.seed if hasattr(module.multiply, "others") else module.multiply.chip.seed)
    assert chips[0] != chips[1]
    assert module.draw is None


def test_no_more_than_500_training_inputs_are_measured_on():
    many = Data.of(np.arange(1200.0).reshape(600, 2), np.zeros(600))
    errors = ChipErrors(CELLS, "surrogate")
    errors.epoch(TorchNet(LINEAR), many, CHANCE)
    assert 200 <= len(errors.samples) <= 500
    assert {tuple(row) for row in errors.samples} <= {(2.0 * i, 2.0 * i + 1) for i in range(600)}


def test_a_surrogate_is_measured_without_the_cells_that_batches_draw():
    """Cells that hold anything do not change what is measured of converters, as each batch draws its own."""
    noisy = MACRO.model_copy(update={"cell": MACRO.cell.model_copy(update={"programming_sigma": 0.5})})
    tables = []
    for spec in (MACRO, noisy):
        rng = torch.Generator().manual_seed(0)
        tables.append(TorchSurrogate.measure(replace(WHOLE), Hardware("m", spec), SAMPLES, 5, rng).table["fc"])
    for one, two in zip(*tables, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)

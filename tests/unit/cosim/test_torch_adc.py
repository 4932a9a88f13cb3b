"""Phases in torch: the loss by hand, the schedule, first ranges, and that what is deployed computes what was trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cosim.training import torch_adc  # noqa: E402  (needs torch)
from cosim.training.adc_net import AdcAwareConfig  # noqa: E402
from cosim.training.quantize import mse_step  # noqa: E402
from hw_models.catalog import build_part_device  # noqa: E402
from workloads.errors import SimulationError  # noqa: E402

CONFIG = AdcAwareConfig(hidden=(4,), batch=10, float_epochs=1, round_epochs=1, epochs=1, n_calibration=8, activation_bits=4)
PART = build_part_device("cim_macro/ref_bitserial").spec


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.integers(0, 16, (30, 6)).astype(np.uint8), np.arange(30) % 3


@pytest.fixture(scope="module")
def start(data):
    return torch_adc.train_start(*data, CONFIG, 0)


def macro(**change):
    return PART.model_copy(update={"rows": 16, "adc": PART.adc.model_copy(update={"n_bits": 2}), **change})


def softmax(x):
    shares = np.exp(x - x.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def test_without_a_teacher_the_loss_is_cross_entropy():
    outputs = np.array([[0.0, 1.0, 2.0], [1.0, -1.0, 0.0]])
    expected = -np.log(softmax(outputs)[[0, 1], [2, 0]]).mean()
    found = torch_adc._loss(torch.tensor(outputs), torch.tensor([2, 0]), None, CONFIG)
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_teacher_adds_its_divergence_times_the_square_of_the_temperature(share):
    rng = np.random.default_rng(1)
    outputs, teacher, labels = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.integers(0, 3, 5)
    p, q = softmax(teacher / 2.0), softmax(outputs / 2.0)
    soft = (p * np.log(p / q)).sum(axis=1).mean()
    hard = -np.log(softmax(outputs)[np.arange(5), labels]).mean()
    config = replace(CONFIG, distill=share, temperature=2.0)
    found = torch_adc._loss(torch.tensor(outputs), torch.tensor(labels), torch.tensor(teacher), config)
    assert float(found) == pytest.approx((1 - share) * hard + share * 4 * soft)


def test_first_weights_lie_within_one_over_the_root_of_inputs():
    w, b = torch_adc._first(50, 16, torch.Generator().manual_seed(0))
    assert w.requires_grad
    assert b.requires_grad
    for values in (w.detach(), b.detach()):
        assert float(values.abs().max()) <= 0.25
    assert float(w.detach().std()) == pytest.approx(0.25 / 3**0.5, rel=0.1)


def test_a_rate_falls_by_a_cosine_over_all_batches_and_the_partial_one_is_dropped(monkeypatch):
    """2 epochs of 25 rows in batches of 10: 4 steps at shares 1, (1 + cos 45) / 2, 1/2 and (1 - cos 45) / 2."""
    seen, sizes = [], []
    w = torch.zeros(2, 3, requires_grad=True)

    def forward(x):
        sizes.append(x.shape[0])
        return x @ w.T

    def stepped(optimizer):
        seen.append(optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(torch.optim.Adam, "step", stepped)
    noted = []
    labels = np.arange(25) % 2
    groups = [{"params": [w], "lr": 0.1}]
    torch_adc._fit(forward, groups, torch.ones(25, 3), labels, CONFIG, (0, 0), 2, None, lambda *told: noted.append(told))
    root = 0.5**0.5
    assert seen == pytest.approx([0.1, 0.05 * (1 + root), 0.05, 0.05 * (1 - root)])
    assert sizes == [10] * 4
    assert noted == [(0, pytest.approx(np.log(2))), (1, pytest.approx(np.log(2)))]


def test_batches_hold_each_row_once_an_epoch():
    seen = []
    w = torch.zeros(2, 1, requires_grad=True)

    def forward(x):
        seen.extend(x[:, 0].tolist())
        return x @ w.T

    rows = torch.arange(20.0)[:, None]
    torch_adc._fit(forward, [{"params": [w], "lr": 0.0}], rows, np.zeros(20, dtype=int), CONFIG, (3, 1), 2)
    assert sorted(seen[:20]) == sorted(seen[20:]) == list(range(20))
    assert seen[:20] != seen[20:]


def test_a_loss_that_is_no_number_names_its_epoch_and_the_way_out():
    w = torch.full((2, 1), float("nan"), requires_grad=True)
    with pytest.raises(SimulationError, match="epoch 0: the loss is no number; choose a smaller learning rate"):
        torch_adc._fit(lambda x: x @ w.T, [{"params": [w], "lr": 0.1}], torch.ones(10, 1), np.zeros(10, dtype=int), CONFIG, (0, 0), 1)


def test_first_steps_are_of_least_squared_error_and_ranges_hold_what_was_seen():
    rng = np.random.default_rng(2)
    floats = [(torch.tensor(rng.normal(size=shape), dtype=torch.float32), torch.zeros(shape[0])) for shape in ((4, 6), (3, 4))]
    levels = torch.tensor(rng.integers(0, 16, (20, 6)), dtype=torch.float32)
    first, second = torch_adc._rounded(floats, levels, CONFIG)
    for layer, (w, _) in zip((first, second), floats, strict=True):
        np.testing.assert_allclose(layer.log_weight_step.detach().exp().numpy()[:, 0], mse_step(w.numpy(), 4), rtol=1e-5)
    assert float(first.log_input_step.exp()) == pytest.approx(1 / 15)
    largest = np.maximum(levels.numpy() / 15 @ floats[0][0].numpy().T, 0).max()
    assert float(second.log_input_step.detach().exp()) == pytest.approx(largest / 15, rel=1e-5)


def test_steps_and_weights_have_a_rate_each(start):
    net = torch_adc._restored(start, CONFIG)
    weights, steps = net.groups(0.1, 0.2)
    assert (weights["lr"], steps["lr"]) == (0.1, 0.2)
    assert len(weights["params"]) == 4
    assert len(steps["params"]) == 2 + 1 + 2  # weights, inputs of the second layer only, converters


def test_what_is_deployed_computes_what_was_trained(data, start):
    images, _ = data
    net = torch_adc._restored(start, CONFIG)
    with torch.no_grad():
        trained = net(torch.from_numpy(images.astype(np.float32))).numpy()
    np.testing.assert_allclose(start.net.logits(images, None), trained, atol=1e-4)
    assert [layer.weights.shape for layer in start.net.layers] == [(6, 4), (4, 3)]
    assert max(np.abs(layer.weights).max() for layer in start.net.layers) <= 7


def test_no_epoch_through_converters_leaves_the_calibrated_network(data, start):
    found = torch_adc.train_through(*data, macro(), replace(CONFIG, epochs=0), 0, start)
    expected = start.net.calibrated(data[0][:8], macro())
    assert found.trace == ()
    for one, other in zip(found.net.layers, expected.layers, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)
        assert one.adc_step == pytest.approx(other.adc_step, rel=1e-6)


def test_one_epoch_moves_the_steps_of_the_converters_and_leaves_the_start_alone(data, start):
    before = [layer.weights.copy() for layer in start.net.layers]
    config = replace(CONFIG, epochs=1, distill=0.5, step_rate=0.1)
    found = torch_adc.train_through(*data, macro(), config, 0, start)
    begin = start.net.calibrated(data[0][:8], macro())
    assert any(abs(a.adc_step / b.adc_step - 1) > 0.01 for a, b in zip(found.net.layers, begin.layers, strict=True))
    assert all(np.array_equal(a, layer.weights) for a, layer in zip(before, start.net.layers, strict=True))

"""Rounding, noise and losses in torch against gradients and values written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cosim.training import torch_ops as ops
from cosim.training.torch_net import cross_entropy
from workloads.errors import WorkloadError
from workloads.program import Layer, Node
from workloads.program_builder import ProgramBuilder


def lsq_by_hand(x, step, low, high, grad):
    """Gradients of Esser et al., ICLR 2020, eq. 3, number by number."""
    to_x, to_step = np.zeros_like(x), 0.0
    for i, value in enumerate(x):
        ratio = value / step
        if ratio < low:
            to_step += grad[i] * low
        elif ratio > high:
            to_step += grad[i] * high
        else:
            to_x[i] = grad[i]
            to_step += grad[i] * (np.rint(ratio) - ratio)
    return to_x, to_step


def test_rounding_gradients_are_those_of_the_paper():
    x = torch.tensor([-3.0, -0.6, -0.2, 0.0, 0.3, 0.74, 2.0], requires_grad=True)
    step = torch.tensor(0.5, requires_grad=True)
    grad = np.array([1.0, -2.0, 0.5, 3.0, 1.5, -1.0, 2.0])
    y = ops.rounded(x, step, -1, 1, 1.0)
    y.backward(torch.from_numpy(grad).float())
    to_x, to_step = lsq_by_hand(x.detach().numpy(), 0.5, -1, 1, grad)
    np.testing.assert_allclose(y.detach(), [-0.5, -0.5, 0.0, 0.0, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(x.grad, to_x)
    assert float(step.grad) == pytest.approx(to_step)


def test_each_row_has_its_own_step_and_gradient():
    w = torch.tensor([[0.2, 0.9], [0.2, 0.9]])
    step = torch.tensor([0.3, 0.8], requires_grad=True)
    y = ops.round_weights(w, step, 2)
    np.testing.assert_allclose(y.detach(), [[0.3, 0.3], [0.0, 0.8]])
    y.sum().backward()
    scale = (2 * 1) ** -0.5  # 1 / sqrt(inputs n)
    expected = [(1 - 0.2 / 0.3) + 1, (0 - 0.25) + (1 - 0.9 / 0.8 if 0.9 / 0.8 <= 1 else 1)]
    np.testing.assert_allclose(step.grad, np.array(expected) * scale, rtol=1e-5)


def test_inputs_without_sign_are_cut_at_zero_and_at_full_scale():
    x = torch.tensor([[-1.0, 0.1, 0.5, 9.0]])
    np.testing.assert_allclose(ops.round_inputs(x, torch.tensor(0.25), 2, signed=False), [[0.0, 0.0, 0.5, 0.75]])
    np.testing.assert_allclose(ops.round_inputs(x, torch.tensor(0.25), 3, signed=True), [[-0.75, 0.0, 0.5, 0.75]])


def test_noise_scales_with_the_largest_weight_of_each_row():
    w = torch.cat([torch.ones(1, 20_000), 3 * torch.ones(1, 20_000)])
    noise = ops.row_noise(w, 0.2, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(noise.std(1), [0.2, 0.6], rtol=0.03)
    again = ops.row_noise(w, 0.2, torch.Generator().manual_seed(0))
    assert torch.equal(noise, again)


def test_padding_that_is_not_the_same_on_both_sides_is_added_before():
    node = Node("c", "Conv", ("x", "w"), ("y",), {"pads": (1, 0, 0, 0)})
    layer = Layer(node, "conv", "w", None, kernel=(2, 1), pads=(1, 0, 0, 0))
    x = torch.arange(3.0).reshape(1, 1, 3, 1)
    y = ops.product(layer, x, torch.ones(1, 1, 2, 1), None)
    np.testing.assert_allclose(y.flatten(), [0.0, 1.0, 3.0])  # row above the image is 0


def test_an_operator_without_a_path_is_named():
    with pytest.raises(WorkloadError, match=r"node 'n': training knows no Det"):
        ops.digital(Node("n", "Det", ("x",), ("y",)), [torch.zeros(1)])


@pytest.mark.parametrize(("op", "attributes", "expected"), [
    ("Relu", {}, [0.0, 2.0]),
    ("Clip", {}, [-1.0, 2.0]),
    ("Identity", {}, [-1.0, 2.0]),
])  # fmt: skip
def test_operators_return_what_onnx_says(op, attributes, expected):
    y = ops.digital(Node("n", op, ("x",), ("y",), attributes), [torch.tensor([-1.0, 2.0])])
    np.testing.assert_allclose(y, expected)


def test_reshape_keeps_sizes_that_are_zero():
    y = ops.digital(Node("n", "Reshape", ("x", "s"), ("y",)), [torch.zeros(4, 2, 3), torch.tensor([0, -1])])
    assert y.shape == (4, 6)


def test_distillation_is_the_weighted_sum_of_both_losses():
    logits, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    teacher = torch.tensor([[0.0, 2.0]])
    hard = -np.log(np.e / (np.e + 1))
    p, q = np.exp([0, 1]) / np.exp([0, 1]).sum(), np.exp([0.5, 0]) / np.exp([0.5, 0]).sum()  # at temperature 2
    soft = (p * np.log(p / q)).sum()
    found = float(cross_entropy(logits, labels, teacher, 0.25, 2.0))
    assert found == pytest.approx(0.75 * hard + 0.25 * 4 * soft, rel=1e-5)
    assert float(cross_entropy(logits, labels, None, 0.25, 2.0)) == pytest.approx(hard, rel=1e-5)


def test_a_single_channel_gets_the_same_products_and_gradients_in_the_faster_order():
    builder = ProgramBuilder("one", (1, 6, 6), np.random.default_rng(0))
    layer = builder.build(builder.conv(builder.input, 3, 3, pads=1)).layers[0]
    rng = torch.Generator().manual_seed(0)
    x, w, g = (torch.randn(shape, generator=rng) for shape in ((2, 1, 6, 6), (3, 1, 3, 3), (2, 3, 6, 6)))
    found, wanted = [], []
    for results, call in ((found, lambda a, b: ops.product(layer, a, b, None)), (wanted, lambda a, b: torch.conv2d(a, b, padding=1))):
        a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
        y = call(a, b)
        y.backward(g)
        results += [y.detach(), a.grad, b.grad]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)

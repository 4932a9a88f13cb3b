"""Layers through converters in torch: levels and gradients by hand, convolutions of any stride, and what stays fixed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from cosim.training.exact_product import ExactProduct  # noqa: E402  (needs torch)
from cosim.training.torch_exact import ExactLinear, exact_conv, exact_linear, levels, scaled_gradient  # noqa: E402
from hw_models.catalog import build_part_device  # noqa: E402

PART = build_part_device("cim_macro/ref_bitserial").spec


def macro(rows=16, n_bits=5):
    """16 rows of one bit sum to 16, below the largest of 31 codes: nothing is lost at a step of 1."""
    return PART.model_copy(update={"rows": rows, "adc": PART.adc.model_copy(update={"n_bits": n_bits})})


def linear(seed=0, *, first=False):
    rng = np.random.default_rng(seed)
    weight, bias = (torch.tensor(rng.normal(size=shape), dtype=torch.float32) for shape in ((3, 4), 3))
    return ExactLinear(weight, bias, torch.full((3,), 0.25), 0.5, (4, 4), first=first)


def test_levels_by_hand():
    """Halves go to the even level, what is beyond the range to its end."""
    found = levels(torch.tensor([-9.0, -1.0, 0.0, 1.0, 3.0, 5.0, 99.0]), torch.tensor(2.0), -3, 3)
    assert found.tolist() == [-3, 0, 0, 0, 2, 2, 3]


def test_gradients_stop_outside_of_the_range_and_share_a_step():
    """Inside 1 / step to each number, and -x / step^2 summed over each row to its step."""
    x = torch.tensor([[1.0, 2.0, 9.0], [-1.0, -8.0, 3.0]], requires_grad=True)
    step = torch.tensor([[1.0], [2.0]], requires_grad=True)
    levels(x, step, -3, 3).sum().backward()
    assert x.grad.tolist() == [[1, 1, 0], [0.5, 0, 0.5]]
    assert step.grad.tolist() == [[-3], [-0.5]]


def test_numbers_that_do_not_learn_get_no_gradient():
    x, step = torch.tensor([1.0]), torch.tensor(2.0, requires_grad=True)
    levels(x, step, 0, 3).sum().backward()
    assert x.grad is None
    assert step.grad == -0.25


@given(st.integers(-16, 16).map(lambda n: n / 4))
@settings(deadline=None)
def test_a_factor_scales_the_gradient_alone(factor):
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = scaled_gradient(x, factor)
    assert y.tolist() == x.tolist()
    (3 * y).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * factor, rtol=1e-6)


@pytest.mark.parametrize(("stride", "padding", "kernel"), [(1, 0, (2, 2)), (2, 1, (2, 2)), (1, 1, (3, 2)), (3, 0, (1, 2))])
def test_convolutions_without_loss_are_those_of_torch(stride, padding, kernel):
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.integers(0, 16, (2, 2, 5, 4)), dtype=torch.float32)
    w = torch.tensor(rng.integers(-7, 8, (3, 2, *kernel)), dtype=torch.float32)
    product = ExactProduct.of(macro(), (w[0].numel(), 3), 4, 4)
    found = exact_conv(x, w, torch.tensor(1.0), product, stride=stride, padding=padding, slope="one")
    torch.testing.assert_close(found, torch.nn.functional.conv2d(x, w, stride=stride, padding=padding))


@pytest.mark.parametrize("slope", ["one", "column", "inside"])
def test_where_nothing_is_lost_gradients_are_those_of_the_product(slope):
    rng = np.random.default_rng(1)
    given_x, given_w = rng.integers(1, 16, (4, 6)), rng.integers(-7, 8, (3, 6))
    gradients = []
    for through in (True, False):
        x, w = (torch.tensor(a, dtype=torch.float32, requires_grad=True) for a in (given_x, given_w))
        product = ExactProduct.of(macro(), (6, 3), 4, 4)
        y = exact_linear(x, w, torch.tensor(1.0), product, slope=slope) if through else x @ w.T
        (y * torch.arange(12.0).reshape(4, 3)).sum().backward()
        gradients.append((x.grad, w.grad))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-3)


def test_a_column_of_zeros_divides_by_nothing():
    x = torch.ones(2, 4, requires_grad=True)
    w = torch.zeros(1, 4, requires_grad=True)
    exact_linear(x, w, torch.tensor(1.0), ExactProduct.of(macro(), (4, 1), 4, 4), slope="column").sum().backward()
    assert torch.isfinite(w.grad).all()
    assert not x.grad.any()


class TestLayer:
    def test_what_it_computes_by_hand(self):
        layer = ExactLinear(torch.tensor([[1.0, -0.6]]), torch.tensor([0.5]), torch.tensor([0.5]), 0.25, (4, 4), first=False)
        assert layer.weight_levels().tolist() == [[2, -1]]
        assert layer.input_levels(torch.tensor([[0.8, 9.0]])).tolist() == [[3, 15]]
        assert layer(torch.tensor([[0.8, 9.0]])).item() == pytest.approx((2 * 3 - 15) * 0.125 + 0.5)

    def test_the_first_layer_takes_levels_and_keeps_their_step(self):
        layer = linear(first=True)
        x = torch.tensor([[3.0, 0.0, 15.0, 7.0]])
        assert layer.input_levels(x) is x
        layer(x).sum().backward()
        assert layer.log_input_step.grad is None
        assert all(p.grad is not None for p in (layer.weight, layer.bias, layer.log_weight_step))

    @pytest.mark.parametrize("slope", ["one", "column", "inside"])
    def test_lossless_converters_change_nothing(self, slope):
        plain, through = linear(), linear()
        through.product, through.slope = ExactProduct.of(macro(), (4, 3), 4, 4), slope
        x = torch.rand((5, 4), generator=torch.Generator().manual_seed(0)) * 7
        torch.testing.assert_close(through(x), plain(x), rtol=1e-5, atol=1e-5)

    def test_the_step_of_the_converters_learns_only_through_them(self):
        x = torch.full((2, 4), 3.0)
        plain, through = linear(), linear()
        through.product = ExactProduct.of(macro(n_bits=1), (4, 3), 4, 4)
        for layer in (plain, through):
            layer(x).sum().backward()
        assert plain.log_adc_step.grad is None
        assert through.log_adc_step.grad is not None

    def test_steps_have_their_gradient_scaled_by_inputs_and_levels(self):
        """d y / d log step = LSQ's slope, times 1 / sqrt(4 inputs * 15 levels) for inputs: y = s w q, q = x / s inside."""
        layer = ExactLinear(torch.full((1, 4), 0.25), torch.zeros(1), torch.full((1,), 0.25), 0.5, (4, 4), first=False)
        x = torch.tensor([[0.6, 1.1, 1.7, 2.3]])  # levels 1, 2, 3, 5 of step 0.5
        layer(x).sum().backward()
        slope = 0.25 * ((1 + 2 + 3 + 5) * 0.5 - x.sum())
        assert layer.log_input_step.grad.item() == pytest.approx(float(slope) * (4 * 15) ** -0.5, rel=1e-4)

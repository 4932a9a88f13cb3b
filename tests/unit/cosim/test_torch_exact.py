"""Gradients through the converters against those written by hand in numpy, and LSQ's formula."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cosim.training.exact_product import ExactProduct  # noqa: E402  (needs torch)
from cosim.training.torch_exact import ExactLinear, exact_conv, exact_linear, levels, scaled_gradient  # noqa: E402
from hw_models.catalog import build_part_device  # noqa: E402
from hw_models.cim.functional import ProgrammedArray  # noqa: E402
from workloads.errors import SimulationError  # noqa: E402

PART = build_part_device("cim_macro/ref_bitserial").spec


def macro(**change):
    return PART.model_copy(update={"rows": 16, "adc": PART.adc.model_copy(update={"n_bits": 2}), **change})


def problem(spec, seed=0):
    rng = np.random.default_rng(seed)
    x, w, grad = rng.integers(0, 256, (5, 20)), rng.integers(-7, 8, (20, 3)), rng.standard_normal((5, 3)).astype(np.float32)
    return x, w, grad, ExactProduct.of(spec, (20, 3), 4, 8)


def backward(x, w, grad, product, slope, **kwargs):
    tensors = [torch.tensor(a, dtype=torch.float32, requires_grad=True) for a in (x, w.T, 2.5)]
    y = exact_linear(*tensors, product, slope=slope, **kwargs)
    y.backward(torch.from_numpy(grad))
    return y.detach().numpy(), *(t.grad.numpy() for t in tensors)


@pytest.mark.parametrize("change", [{}, {"subtraction": "analog"}, {"subtraction": "analog", "encoding": "offset"}])
@pytest.mark.parametrize("slope", ["one", "column", "inside"])
def test_the_straight_through_backward_is_that_written_by_hand(change, slope):
    x, w, grad, product = problem(macro(**change))
    if slope == "inside" and change:
        with pytest.raises(SimulationError, match="inside"):
            backward(x, w, grad, product, slope)
        return
    y, to_x, to_w, to_step = backward(x, w, grad, product, slope)
    found, exact = product.multiply(x, w, 2.5, inside=slope == "inside"), x @ w
    gain = {"one": np.ones(3), "column": (found.out * exact).sum(0) / (exact * exact).sum(0), "inside": found.inside}[slope]
    np.testing.assert_allclose(y, found.out, rtol=1e-6)
    np.testing.assert_allclose(to_x, (grad * gain) @ w.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(to_w, (grad * gain).T @ x, rtol=1e-4, atol=1e-3)
    assert to_step == pytest.approx((grad * found.to_step).sum(), rel=1e-4)


def test_levels_times_their_step_have_the_gradients_of_lsq():
    """v = 0.3, 2.6, 9.0, -8.0 at a step of 1 and levels -7 ... 7: dq/ds = q - v inside, +-7 outside (Esser et al., eq. 3)."""
    v, step = torch.tensor([0.3, 2.6, 9.0, -8.0], requires_grad=True), torch.tensor(1.0, requires_grad=True)
    each = []
    for i in range(4):
        v.grad = step.grad = None
        (step * levels(v, step, -7, 7))[i].backward()
        each.append((float(step.grad), v.grad.tolist()[i]))
    assert [slope for slope, _ in each] == pytest.approx([-0.3, 0.4, 7, -7], abs=1e-6)
    assert [passed for _, passed in each] == [1, 1, 0, 0]


def test_a_scaled_gradient_changes_nothing_forward():
    x = torch.tensor(3.0, requires_grad=True)
    y = scaled_gradient(x, 0.25) * 2
    y.backward()
    assert (y.item(), x.grad.item()) == (6, 0.5)


def test_cells_with_errors_are_made_anew_and_learn_alike():
    spec = macro(cell=PART.cell.model_copy(update={"programming_sigma": 0.1}))
    x, w, grad, product = problem(spec)
    rng = np.random.default_rng(1)
    first, to_x, _, _ = backward(x, w, grad, product, "one", program=lambda whole: ProgrammedArray.program(spec, whole, 4, rng))
    second = backward(x, w, grad, product, "one", program=lambda whole: ProgrammedArray.program(spec, whole, 4, rng))[0]
    assert (first != second).any()
    np.testing.assert_allclose(to_x, grad @ w.T, rtol=1e-4, atol=1e-4)


def test_a_convolution_is_the_product_of_its_windows():
    rng = np.random.default_rng(0)
    lossless = PART.model_copy(update={"adc": PART.adc.model_copy(update={"n_bits": 8})})
    x = torch.tensor(rng.integers(0, 256, (2, 2, 5, 4)), dtype=torch.float32)
    w = torch.tensor(rng.integers(-7, 8, (3, 2, 3, 3)), dtype=torch.float32, requires_grad=True)
    product = ExactProduct.of(lossless, (18, 3), 4, 8)
    for stride, padding in ((1, 1), (2, 0)):
        y = exact_conv(x, w, torch.tensor(1.0), product, stride=stride, padding=padding, slope="one")
        expected = torch.nn.functional.conv2d(x, w, stride=stride, padding=padding)
        torch.testing.assert_close(y, expected)
        gradients = [torch.autograd.grad(z.sum(), w)[0] for z in (y, expected)]
        torch.testing.assert_close(*gradients)


def test_a_layer_of_lossless_codes_is_the_rounded_layer():
    lossless = PART.model_copy(update={"rows": 16, "adc": PART.adc.model_copy(update={"n_bits": 5})})
    rng = np.random.default_rng(0)
    weight, bias = (torch.tensor(rng.standard_normal(shape), dtype=torch.float32) for shape in ((3, 20), 3))
    layer = ExactLinear(weight, bias, torch.full((3,), 0.3), 0.02, (4, 8), first=False)
    x = torch.tensor(rng.uniform(0, 5, (4, 20)), dtype=torch.float32)
    rounded = layer(x)
    whole = torch.clamp(torch.round(x / 0.02), 0, 255) * 0.02
    torch.testing.assert_close(rounded, whole @ (torch.clamp(torch.round(weight / 0.3), -7, 7) * 0.3).T + bias, rtol=1e-4, atol=1e-4)
    layer.product = ExactProduct.of(lossless, (20, 3), 4, 8)
    torch.testing.assert_close(layer(x), rounded, rtol=1e-5, atol=1e-5)

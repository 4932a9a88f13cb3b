"""Products of a network in torch that go through the converters of a macro bit by bit, and learn with straight-through gradients.

Imported inside functions only, so that everything else works without torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from cosim.training.exact_product import ExactProduct, Ints, Product, programmed_product
from cosim.training.quantize import weight_top
from hw_models.cim.functional import ProgrammedArray
from workloads.errors import SimulationError

Slope = Literal["one", "column", "inside"]
Program = Callable[[Ints], ProgrammedArray]  # whole weights [k, n] -> their cells, with errors


class _Levels(torch.autograd.Function):
    """x -> clamp(round(x / step), low, high), whole numbers of which one counts `step`.

    To x: 1 / step inside the range, 0 outside (straight-through: Bengio et al., arXiv:1308.3432). To the step: -x / step^2 inside, so
    that step times levels has the slope of LSQ (Esser et al., Learned step size quantization, ICLR 2020, eq. 3), summed over what
    shares a step.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
        """Round; keep what the gradients need."""
        ratio = x / step
        ctx.save_for_backward(ratio, step)
        ctx.limits = low, high
        return ratio.round().clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients to x and step."""
        ratio, step = ctx.saved_tensors
        low, high = ctx.limits
        each = grads[0] * ((ratio >= low) & (ratio <= high)) / step
        to_step = -(each * ratio).sum_to_size(step.shape) if ctx.needs_input_grad[1] else None
        return (each if ctx.needs_input_grad[0] else None), to_step, None, None


class _ScaledGradient(torch.autograd.Function):
    """The identity, its gradient times a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        """Nothing."""
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Gradient times the factor."""
        return grads[0] * ctx.factor, None


class _ExactProduct(torch.autograd.Function):
    """Whole inputs [v, k] and whole weights [n, k] -> what the macro makes of their product, in units of whole-number products.

    Backward, with s the slope: (s grad) W to the inputs, (s grad)^T X to the weights, sum grad dy/dstep to the step of the converters.
    Slopes: `one` takes the reading for the sum (Bengio et al., arXiv:1308.3432); `column` the regression of an output on its exact
    product over the batch, s_n = <y, x W> / <x W, x W> (Bussgang's gain); `inside` the share of an output that was read unclipped.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, step: Tensor, product: ExactProduct, program: Program | None, slope: Slope) -> Tensor:
        """Multiply through the converters."""
        inputs = x.detach().numpy().astype(np.uint8 if product.activation_bits <= 8 else np.int64)
        weights = np.ascontiguousarray(w.detach().numpy().astype(np.int16 if product.weight_bits <= 8 else np.int64).T)
        learns = ctx.needs_input_grad[2]
        if program is None:
            found = product.multiply(inputs, weights, float(step.detach()), slope=learns, inside=slope == "inside")
        else:
            array = program(weights.astype(np.int64))
            found = programmed_product(array, inputs, product.activation_bits, float(step.detach()), slope=learns)
        y = _single(found.out)
        ctx.save_for_backward(x, w, _gain(slope, found, y, x, w), y if found.to_step is None else _single(found.to_step))
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients to inputs, weights and the step."""
        x, w, gain, to_step = ctx.saved_tensors
        passed = grads[0] * gain
        to_x = passed @ w if ctx.needs_input_grad[0] else None
        to_w = passed.T @ x if ctx.needs_input_grad[1] else None
        return to_x, to_w, ((grads[0] * to_step).sum() if ctx.needs_input_grad[2] else None), None, None, None


def _single(values: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _gain(slope: Slope, found: Product, y: Tensor, x: Tensor, w: Tensor) -> Tensor:
    """The slope of outputs to exact products: one number, or one for each column or output."""
    if slope == "column":
        exact = x.detach() @ w.detach().T
        return (y * exact).sum(0) / (exact * exact).sum(0).clamp_min(1e-12)
    if slope == "inside":
        if found.inside is None:
            raise SimulationError("slope inside: only ideal cells whose columns are converted one by one tell it; choose one or column")
        return _single(found.inside)
    return torch.ones(())


def levels(x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    """Whole numbers low ... high nearest to x / step, halves to even; gradients of LSQ."""
    out: Tensor = _Levels.apply(x, step, low, high)  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    return out


def scaled_gradient(x: Tensor, factor: float) -> Tensor:
    """The same number, of which optimizers see the gradient times a factor."""
    out: Tensor = _ScaledGradient.apply(x, factor)  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    return out


def exact_linear(
    x: Tensor, w: Tensor, step: Tensor, product: ExactProduct, *, program: Program | None = None, slope: Slope = "column"
) -> Tensor:
    """Whole inputs [v, k] and weights [n, k] through the macro: [v, n] in units of whole-number products.

    `program` makes cells with errors of the weights, anew each time; then the functional macro multiplies, slower.
    """
    out: Tensor = _ExactProduct.apply(x, w, step, product, program, slope)  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    return out


def exact_conv(
    x: Tensor,
    w: Tensor,
    step: Tensor,
    product: ExactProduct,
    *,
    stride: int = 1,
    padding: int = 0,
    program: Program | None = None,
    slope: Slope = "column",
) -> Tensor:
    """Whole inputs [batch, channels, rows, columns] and weights [n, channels, kh, kw] by im2col; ordered channel, kernel row, column."""
    kernel = (w.shape[2], w.shape[3])
    vectors = fn.unfold(x, kernel, padding=padding, stride=stride).transpose(1, 2)  # batch, pixel, k
    y = exact_linear(vectors.reshape(-1, vectors.shape[2]), w.flatten(1), step, product, program=program, slope=slope)
    height = (x.shape[2] + 2 * padding - kernel[0]) // stride + 1
    return y.reshape(x.shape[0], height, -1, w.shape[0]).permute(0, 3, 1, 2)


class ExactLinear(nn.Module):
    """A linear layer of whole weights and inputs, steps learned as logarithms so that they stay above 0.

    y = step_x step_w[n] product(x levels, w levels) + bias; `product` None multiplies exactly. Gradients to the weight and input steps are
    scaled by 1 / sqrt(values * largest level) (Esser et al., ICLR 2020, section 2.2). The first layer of a network takes its inputs
    as levels. `slope` and `program` as in `exact_linear`.
    """

    def __init__(self, weight: Tensor, bias: Tensor, weight_step: Tensor, input_step: float, bits: tuple[int, int], *, first: bool) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
        self.log_weight_step = nn.Parameter(weight_step.clone().reshape(-1, 1).log())
        self.log_input_step = nn.Parameter(torch.tensor(input_step).log(), requires_grad=not first)
        self.log_adc_step = nn.Parameter(torch.zeros(()))
        self.weight_top, self.input_top = weight_top(bits[0]), 2 ** bits[1] - 1
        self.product: ExactProduct | None = None
        self.program: Program | None = None
        self.slope: Slope = "column"
        self.first = first

    def weight_levels(self) -> Tensor:
        """Whole weights [n, k]."""
        return levels(self.weight, self.log_weight_step.exp(), -self.weight_top, self.weight_top)

    def input_levels(self, x: Tensor) -> Tensor:
        """Whole inputs [v, k]."""
        return x if self.first else levels(x, self.log_input_step.exp(), 0, self.input_top)

    def forward(self, x: Tensor) -> Tensor:
        """Product with the weights, through the converters where there are any, plus bias."""
        n_inputs = self.weight.shape[1]
        weight_step = scaled_gradient(self.log_weight_step, (n_inputs * self.weight_top) ** -0.5).exp()
        input_step = scaled_gradient(self.log_input_step, (n_inputs * self.input_top) ** -0.5).exp()
        w = levels(self.weight, weight_step, -self.weight_top, self.weight_top)
        whole = x if self.first else levels(x, input_step, 0, self.input_top)
        if self.product is None:
            y = whole @ w.T
        else:
            y = exact_linear(whole, w, self.log_adc_step.exp(), self.product, program=self.program, slope=self.slope)
        return y * (input_step * weight_step.T) + self.bias

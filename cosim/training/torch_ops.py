"""Differentiable rounding, noise and the operators of a `Program` in torch.

Imported inside functions only, so that everything else works without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from cosim.training.quantize import input_range, weight_top
from workloads.errors import WorkloadError
from workloads.program import Layer, Node


class _Rounded(torch.autograd.Function):
    """x -> step * clamp(round(x / step), low, high), with the gradients of LSQ.

    To x: 1 inside the range, 0 outside (straight-through: Bengio et al., arXiv:1308.3432). To the step: q - x / step inside, low or high
    outside (Esser et al., Learned step size quantization, ICLR 2020, eq. 3), summed over what shares a step and times `scale`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, low: int, high: int, scale: float) -> Tensor:
        """Round; keep what the gradients need."""
        ratio = x / step
        whole = ratio.round().clamp_(low, high)
        ctx.save_for_backward(ratio, whole)
        ctx.settings = low, high, scale, step.shape
        return whole * step

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients to x and step."""
        (grad,) = grads
        ratio, whole = ctx.saved_tensors
        low, high, scale, shape = ctx.settings
        inside = (ratio >= low) & (ratio <= high)
        to_step = None
        if ctx.needs_input_grad[1]:
            each = grad * torch.where(inside, whole - ratio, whole)
            to_step = each.sum_to_size(shape) * scale
        return grad * inside, to_step, None, None, None


def round_weights(w: Tensor, step: Tensor, bits: int) -> Tensor:
    """Weights [n, ...] on the steps [n] of their rows; gradient to a step scaled by 1 / sqrt(inputs * n) as in LSQ."""
    top = weight_top(bits)
    by_row = step.reshape(-1, *[1] * (w.dim() - 1))
    return rounded(w, by_row, -top, top, (w[0].numel() * top) ** -0.5)


def round_inputs(x: Tensor, step: Tensor, bits: int, *, signed: bool) -> Tensor:
    """Inputs on one step; gradient to it scaled by 1 / sqrt(values * n)."""
    low, high = input_range(bits, signed=signed)
    return rounded(x, step, low, high, (x[0].numel() * high) ** -0.5)


def rounded(x: Tensor, step: Tensor, low: int, high: int, scale: float) -> Tensor:
    """Step clamp(round(x / step), low, high) with the gradients of LSQ, that to the step times `scale`."""
    out: Tensor = _Rounded.apply(x, step, low, high, scale)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return out


def row_noise(w: Tensor, sigma: float, rng: torch.Generator) -> Tensor:
    """What is added to weights [n, ...]: sigma max|W_row| N(0, 1), one draw (Joshi et al., Nat. Commun. 11 (2020) 2473)."""
    largest = w.detach().abs().reshape(w.shape[0], -1).amax(1) * sigma
    return torch.randn(w.shape, generator=rng) * largest.reshape(-1, *[1] * (w.dim() - 1))


def product(layer: Layer, x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
    """The product of a layer as torch computes it."""
    if layer.kind == "linear":
        return fn.linear(x, w, bias)
    top, left, bottom, right = layer.pads
    if (top, left) != (bottom, right):
        x, top, left = fn.pad(x, (left, right, top, bottom)), 0, 0
    if x.shape[1] == 1 and x.requires_grad:  # gradients to a single channel, for its step, take a third of the time in this order
        w = w.to(memory_format=torch.channels_last)
    return fn.conv2d(x, w, bias, layer.strides, (top, left), layer.dilations, layer.groups)


def digital(node: Node, inputs: list[Tensor]) -> Tensor:
    """What any other operator returns. WorkloadError on one that training does not know."""
    if node.op_type not in OPERATORS:
        raise WorkloadError(
            f"node {node.name!r}: training knows no {node.op_type}; it knows Conv, Gemm, BatchNormalization, {', '.join(sorted(OPERATORS))}"
        )
    return OPERATORS[node.op_type](node.attributes, *inputs)


def _pool(attributes: Mapping[str, Any], x: Tensor, *, mean: bool) -> Tensor:
    kernel = tuple(attributes["kernel_shape"])
    strides = tuple(attributes.get("strides", (1, 1)))
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    if (top, left) != (bottom, right) or attributes.get("ceil_mode", 0) or tuple(attributes.get("dilations", (1, 1))) != (1, 1):
        raise WorkloadError(
            f"pooling over {kernel} with pads {attributes.get('pads')}: training knows equal pads, no dilation, no ceil_mode"
        )
    if mean:
        return fn.avg_pool2d(x, kernel, strides, (top, left), count_include_pad=bool(attributes.get("count_include_pad", 0)))
    return fn.max_pool2d(x, kernel, strides, (top, left))


def _reshape(attributes: Mapping[str, Any], x: Tensor, shape: Tensor) -> Tensor:
    if attributes.get("allowzero", 0):
        raise WorkloadError("Reshape with allowzero has no path in training; leave it out")
    sizes = [int(n) for n in shape]
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(sizes)])


def _reduce(attributes: Mapping[str, Any], x: Tensor, axes: Tensor | None, how: Callable[..., Tensor]) -> Tensor:
    given = axes.tolist() if axes is not None else list(attributes.get("axes", range(x.dim())))
    return how(x, dim=[int(a) for a in given], keepdim=bool(attributes.get("keepdims", 1)))


OPERATORS: Mapping[str, Callable[..., Tensor]] = {
    "Relu": lambda a, x: fn.relu(x),
    "Sigmoid": lambda a, x: torch.sigmoid(x),
    "Tanh": lambda a, x: torch.tanh(x),
    "Identity": lambda a, x: x,
    "Dropout": lambda a, x, *rest: x,
    "Clip": lambda a, x, low=None, high=None: torch.clamp(x, low, high) if low is not None or high is not None else x,
    "Softmax": lambda a, x: torch.softmax(x, int(a.get("axis", -1))),
    "LogSoftmax": lambda a, x: torch.log_softmax(x, int(a.get("axis", -1))),
    "Flatten": lambda a, x: x.flatten(int(a.get("axis", 1))),
    "Add": lambda a, x, y: x + y,
    "Mul": lambda a, x, y: x * y,
    "Concat": lambda a, *xs: torch.cat(xs, int(a["axis"])),
    "Transpose": lambda a, x: x.permute(*a["perm"]),
    "Reshape": _reshape,
    "MaxPool": lambda a, x: _pool(a, x, mean=False),
    "AveragePool": lambda a, x: _pool(a, x, mean=True),
    "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdim=True),
    "ReduceMax": lambda a, x, axes=None: _reduce(a, x, axes, torch.amax),
    "ReduceMean": lambda a, x, axes=None: _reduce(a, x, axes, torch.mean),
}

"""Merge steps that hardware does in one: folded batch norms, biases and activations on the way out."""

from __future__ import annotations

from collections import Counter

from workloads.graph import OpKind
from workloads.onnx_facts import Fact, Step
from workloads.onnx_flow import Flow
from workloads.onnx_lower import canonical_type, step_kind
from workloads.ops import FOLDABLE, vector_ops

# Layers whose weights can take a per-channel scale.
_SCALABLE = frozenset(("Conv", "ConvTranspose", "Gemm"))
# Element-wise results that an activation may ride on.
_CARRIERS = frozenset(("Add", "Sum", "BatchNormalization"))
# Arithmetic with a stored number for each channel.
_AFFINE = frozenset(("Add", "Mul", "Sub", "Div"))
# Layers whose accumulator can start at a bias, and the place of the bias among their inputs.
_BIAS_AT = {"Conv": 2, "ConvTranspose": 2, "Gemm": 2, "MatMul": 2}


def merge_layers(flow: Flow, free: Counter[str]) -> None:
    """Fold batch norms into weights (counted in `free`), then attach biases and activations."""
    for step in list(flow):
        if step.op_type == "BatchNormalization" and not step.domain and _fold_norm(flow, step):
            free["BatchNormalization"] += 1
    for step in list(flow):
        if step_kind(step) is OpKind.MATMUL and step.op_type in _BIAS_AT:
            _take_bias(flow, step)
    for step in list(flow):
        _take_activations(flow, step)


def _fold_norm(flow: Flow, norm: Step) -> bool:
    """Fold a batch norm into the layer whose result only it reads; its scale goes into the weights, its shift is a bias."""
    layer = flow.maker(norm.need(0))
    if layer is None or layer.domain or layer.op_type not in _SCALABLE or layer.fused:
        return False
    weight, shift = layer.input(1), norm.need(2)
    if norm.need(0).shape != layer.out.shape:
        return False  # the channels of a reshaped result are not those of the layer
    if flow.only_reader(layer.out) is not norm or weight is None or not weight.stored or not shift.stored:
        return False
    if not _has_bias(layer):
        _add_bias(layer, shift)
    flow.absorb(layer, norm)
    return True


def _has_bias(layer: Step) -> bool:
    """Whether a layer already adds something."""
    return layer.input(_BIAS_AT[layer.op_type]) is not None or bool(layer.extra_weights)


def _add_bias(layer: Step, bias: Fact) -> None:
    """Give a layer a stored bias."""
    layer.extra_weights.append(bias)


def _take_bias(flow: Flow, layer: Step) -> None:
    """Let a layer start its accumulator at a stored vector that only gets added to its result."""
    reader = flow.only_reader(layer.out)
    if reader is None or reader.domain or reader.op_type != "Add" or layer.domain or _has_bias(layer) or layer.repeat != reader.repeat:
        return
    weight = layer.input(1)
    stored = [fact for fact in reader.present if fact.stored]
    if weight is None or len(stored) != 1 or not (weight.stored or layer.need(0).stored):
        return
    channel = 1 if layer.op_type.startswith("Conv") else len(layer.out.shape) - 1
    if layer.out.shape != reader.out.shape or not _is_per_channel(stored[0], layer.out.shape, channel):
        return
    _add_bias(layer, stored[0])
    layer.fused.append("Add")
    layer.members.extend(reader.members)
    flow.absorb(layer, reader)


def _is_per_channel(bias: Fact, shape: tuple[int, ...], channel: int) -> bool:
    """Whether a stored tensor holds one number for each channel and broadcasts over all other axes."""
    padded = (1,) * (len(shape) - len(bias.shape)) + bias.shape
    return len(padded) == len(shape) and all(extent == (shape[i] if i == channel else 1) for i, extent in enumerate(padded))


def _take_activations(flow: Flow, host: Step) -> None:
    """Let a step apply the activations, and the scales and shifts of a channel, that alone read its result."""
    if not _can_carry(host):
        return
    while True:
        guest = flow.only_reader(host.out)
        if guest is None or guest.repeat != host.repeat or not (_is_activation(guest) or _is_affine(host, guest)):
            return
        others = [fact for fact in guest.present if fact.base is not host.out.base]
        if not all(fact.stored for fact in others):
            return
        operands = [fact for fact in others if fact.n_elements > 1]
        op_type = canonical_type(guest)
        host.fused.append(op_type)
        host.members.extend(guest.members)
        host.n_fused_vector_ops += vector_ops(op_type, guest.out.n_elements)
        host.extra_weights.extend(operands)
        flow.absorb(host, guest)


def _can_carry(step: Step) -> bool:
    """Whether an activation may ride on a step."""
    if step_kind(step) is OpKind.MATMUL:
        return sum(1 for fact in step.outputs if fact is not None) == 1
    return canonical_type(step) in _CARRIERS


def _is_activation(step: Step) -> bool:
    """Whether a step is an activation of one input."""
    return canonical_type(step) in FOLDABLE and len(step.outputs) == 1


def _is_affine(host: Step, step: Step) -> bool:
    """Whether a step scales or shifts each channel of a layer's result by a stored number, as Caffe's Scale does."""
    if canonical_type(host) not in _BIAS_AT and host.op_type != "BatchNormalization":
        return False
    if step.op_type not in _AFFINE or step.domain or len(step.present) != 2:
        return False
    if not step.out.shape == host.out.shape == host.result.shape:
        return False
    channel = len(host.out.shape) - 1 if host.op_type in ("Gemm", "MatMul") else 1
    return all(fact.n_elements == 1 or _is_per_channel(fact, host.out.shape, channel) for fact in step.present if fact.stored)

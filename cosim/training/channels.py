"""Channels that a network can do without: those that nobody reads, and those that hold one constant whatever the input is.

An output channel whose weights are all zero returns its bias; behind ReLU and pooling that is still one number, so that the product that
reads it can add weight times number to its own bias. Where such a product pads its input with zeros, only the constant 0 can go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cosim.training.network import Network
from cosim.training.quantize import Floats, round_inputs
from workloads.program import Layer, Node, Program

Mask = NDArray[np.bool_]

PASSING = frozenset(("Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten", "Identity", "Dropout"))  # a constant stays one
LINKED = PASSING | {"Add", "Sigmoid", "Tanh", "Clip", "LeakyRelu"}  # channel i of the result is channel i of each operand


@dataclass
class _Group:
    """Tensors that share their channels; None where how many there are is not known, or they must all stay."""

    tensors: set[str] = field(default_factory=set)
    n: int | None = None
    pinned: bool = False

    def sized(self, n: int) -> None:
        """One more product says how many channels there are."""
        self.pinned |= self.n not in {None, n}
        self.n = n


def is_depthwise(layer: Layer, program: Program) -> bool:
    """Whether each output channel reads one input channel, its own."""
    return layer.groups > 1 and layer.groups == program.weights[layer.weight].shape[0]


def groups_of(program: Program) -> dict[str, _Group]:
    """Tensor → what shares its channels. Operators that are not known keep all channels of what they read and write."""
    groups: dict[str, _Group] = {}

    def of(name: str) -> _Group:
        return groups.setdefault(name, _Group({name}))

    layers = {layer.name: layer for layer in program.layers}
    of(program.input).pinned = True
    for node in program.nodes:
        layer = layers.get(node.name)
        operands = [name for name in node.inputs if name and name not in program.weights]
        if layer is not None and layer.groups == 1:
            of(node.outputs[0]).sized(program.weights[layer.weight].shape[0])
            continue
        linked = is_depthwise(layer, program) if layer is not None else node.op_type in LINKED
        for name in (*operands, *node.outputs):
            group = of(name)
            group.pinned |= not linked
            if linked:
                _join(groups, of(node.outputs[0]), group)
        if layer is not None and linked:
            of(node.outputs[0]).sized(program.weights[layer.weight].shape[0])
    of(program.output).pinned = True
    return groups


def _join(groups: dict[str, _Group], a: _Group, b: _Group) -> None:
    """Make two groups one."""
    if a is b:
        return
    a.tensors |= b.tensors
    a.pinned |= b.pinned
    if b.n is not None:
        a.sized(b.n)
    for name in b.tensors:
        groups[name] = a


@dataclass(frozen=True)
class Channels:
    """Channels [n] of each tensor that stay, and the constants of those that do not (NaN where nobody reads them)."""

    kept: Mapping[str, Mask]
    constants: Mapping[str, Floats]


def needed_channels(network: Network) -> Channels:
    """Remove channels until no more can go; at least one of each tensor stays."""
    program = network.program
    groups = {name: group for name, group in groups_of(program).items() if not group.pinned and group.n is not None}
    matrices = {layer.name: network.matrix(layer) for layer in program.layers}
    kept = {name: np.ones(group.n or 0, dtype=np.bool_) for name, group in groups.items()}
    while True:
        constants = _constants(network, matrices, kept)
        changed = False
        for group in {id(group): group for group in groups.values()}.values():
            first = next(iter(sorted(group.tensors)))
            go = kept[first] & (~_read(program, matrices, kept, group) | _foldable(program, constants, group, kept[first].size))
            if not (kept[first] & ~go).any():
                go[np.flatnonzero(kept[first])[0]] = False
            if go.any():
                changed = True
                for name in group.tensors:
                    kept[name] = kept[name] & ~go
        if not changed:
            return Channels(kept, constants)


def _readers(program: Program, group: _Group) -> Iterator[Layer]:
    """Products that read a tensor of a group and are not part of it themselves."""
    return (layer for layer in program.layers if layer.groups == 1 and layer.node.inputs[0] in group.tensors)


def _read(program: Program, matrices: Mapping[str, Floats], kept: Mapping[str, Mask], group: _Group) -> Mask:
    """Channels that some weight of a channel that stays reads."""
    read = np.zeros(group.n or 0, dtype=np.bool_)
    for layer in _readers(program, group):
        used = (matrices[layer.name][0][kept.get(layer.node.outputs[0], slice(None))] != 0).any(axis=0)
        read |= used.reshape(read.size, -1).any(axis=1)
    return read


def _foldable(program: Program, constants: Mapping[str, Floats], group: _Group, n: int) -> Mask:
    """Channels that are one constant in every tensor, which every reader can take into its bias."""
    can = np.ones(n, dtype=np.bool_)
    for name in group.tensors:
        can &= ~np.isnan(constants.get(name, np.full(n, np.nan)))
    for layer in _readers(program, group):
        if any(layer.pads):
            can &= constants.get(layer.node.inputs[0], np.full(n, np.nan)) == 0
        can &= layer.bias is not None or constants.get(layer.node.inputs[0], np.full(n, np.nan)) == 0
    return can


def _constants(network: Network, matrices: Mapping[str, Floats], kept: Mapping[str, Mask]) -> dict[str, Floats]:
    """What each channel [n] of a tensor always holds, NaN where it varies; channels that went stay what they were."""
    program = network.program
    layers = {layer.name: layer for layer in program.layers}
    found: dict[str, Floats] = {}
    for node in program.nodes:
        layer = layers.get(node.name)
        if layer is not None:
            found[node.outputs[0]] = _constant_outputs(network, layer, matrices[layer.name], found, program)
        elif node.op_type in PASSING or node.op_type == "Add":
            found.update({name: value for name in node.outputs if (value := _passed(node, found)) is not None})
    return {name: value for name, value in found.items() if name in kept}


def _constant_outputs(network: Network, layer: Layer, matrix: Floats, found: Mapping[str, Floats], program: Program) -> Floats:
    """Bias of channels that read nothing that varies, plus what constants add."""
    bias = network.bias(layer)
    bias = np.zeros(matrix.shape[0] * matrix.shape[1]) if bias is None else bias
    held = found.get(layer.node.inputs[0])
    if layer.groups > 1:
        varies = (matrix != 0).any(axis=(1, 2)) if is_depthwise(layer, program) else np.ones(bias.size, dtype=np.bool_)
        return np.where(varies if varies.size == bias.size else True, np.nan, bias)
    weights = matrix[0]
    entering = np.zeros(weights.shape[1]) if held is None else entering_constants(network, layer, held, weights.shape[1])
    varying = np.ones(weights.shape[1], dtype=np.bool_) if held is None else np.isnan(entering)
    reads = (weights[:, varying] != 0).any(axis=1)
    return np.where(reads, np.nan, bias + weights @ np.where(varying, 0.0, entering))


def entering_constants(network: Network, layer: Layer, held: Floats, k: int) -> Floats:
    """Constants of channels as a layer takes them, for each of its k inputs, rounded as it rounds; NaN where padding makes them vary."""
    each = np.repeat(held, k // held.size)
    if any(layer.pads):
        each = np.where(each == 0, 0.0, np.nan)
    bits, steps = network.activation_bits_of(layer), network.steps_of(layer)
    if bits is None or steps.input is None:
        return each
    known = np.nan_to_num(each)
    return np.where(np.isnan(each), np.nan, round_inputs(known, steps.input, bits, signed=steps.signed) * steps.input)


def _passed(node: Node, found: Mapping[str, Floats]) -> Floats | None:
    """Constants behind an operator that keeps them; None where an operand has none."""
    values = [found.get(name) for name in node.inputs if name]
    if any(value is None for value in values) or len({value.size for value in values if value is not None}) != 1:
        return None
    if node.op_type == "AveragePool" and any(node.attributes.get("pads", (0,))):
        return np.where(values[0] == 0, 0.0, np.nan)
    total = np.sum(np.stack([value for value in values if value is not None]), axis=0)
    return np.asarray(np.maximum(total, 0.0) if node.op_type == "Relu" else total)


def shrunk(network: Network) -> Network:
    """The network without the channels that it can do without: the same outputs, up to rounding of floating-point sums."""
    program, channels = network.program, needed_channels(network)
    weights, steps, nodes = dict(program.weights), dict(network.steps), {node.name: node for node in program.nodes}
    for layer in program.layers:
        out = channels.kept.get(layer.node.outputs[0], np.ones(weights[layer.weight].shape[0], dtype=np.bool_))
        own = network.steps_of(layer)
        if own.weight is not None:
            steps[layer.name] = replace(own, weight=own.weight[out])
        matrix, bias = weights[layer.weight], weights.get(layer.bias or "")
        if is_depthwise(layer, program):
            nodes[layer.name] = replace(layer.node, attributes={**layer.node.attributes, "group": int(out.sum())})
        elif layer.groups == 1 and (kept := channels.kept.get(layer.node.inputs[0])) is not None:
            bias = _with_constants(network, layer, channels, kept, bias)
            matrix = matrix.reshape(matrix.shape[0], kept.size, -1)[:, kept].reshape(matrix.shape[0], -1, *matrix.shape[2:])
        weights[layer.weight] = matrix[out]
        if layer.bias is not None and bias is not None:
            weights[layer.bias] = bias[out]
    small = replace(program, weights=weights, nodes=tuple(nodes[node.name] for node in program.nodes))
    return replace(network, program=small, steps=steps)


def _with_constants(
    network: Network, layer: Layer, channels: Channels, kept: Mask, bias: NDArray[np.generic] | None
) -> NDArray[np.generic] | None:
    """Bias of a layer with what its constant inputs add."""
    held = channels.constants.get(layer.node.inputs[0])
    if bias is None or held is None or kept.all():
        return bias
    matrix = network.matrix(layer)[0]
    entering = entering_constants(network, layer, np.where(kept, np.nan, held), matrix.shape[1])
    return np.asarray(bias + matrix @ np.nan_to_num(entering), dtype=bias.dtype)

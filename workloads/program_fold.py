"""Batch norms and biases that follow a product, put into its weights, so that an array computes them at no cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from workloads.program import EPSILON, Array, Layer, Node, Program, layer_of


def fold_batch_norm(program: Program) -> Program:
    """Scale weights and bias of each product that only a batch norm reads.

    y = s (W x + b - mean) / sqrt(variance + epsilon) + shift = W' x + b' with W' = W s / sqrt(variance + epsilon) for each output channel
    (Jacob et al., arXiv:1712.05877, section 3.2). Norms after anything else, and after weights that two products share, stay.
    """
    return _folded(program, "BatchNormalization")


def fold_bias(program: Program) -> Program:
    """Make the constant that is added to each output channel of a product without bias, and to nothing else, its bias."""
    return _folded(program, "Add")


def _folded(program: Program, op_type: str) -> Program:
    """Fold every node of a type that can be."""
    weights = dict(program.weights)
    nodes: list[Node] = []
    n_readers = Counter([name for node in program.nodes for name in node.inputs] + [program.output])
    maker: dict[str, int] = {}
    for node in program.nodes:
        host = next((maker[name] for name in node.inputs if name in maker), None)
        layer = layer_of(nodes[host], weights) if node.op_type == op_type and host is not None else None
        changed = None
        if layer is not None and n_readers[layer.node.outputs[0]] == 1 and n_readers[layer.weight] == 1:
            changed = _with_norm(layer, node, weights) if op_type == "BatchNormalization" else _with_bias(layer, node, weights)
        if changed is None or host is None or layer is None:
            maker.update(dict.fromkeys(node.outputs, len(nodes)))
            nodes.append(node)
            continue
        weights.update(changed)
        bias = next(name for name in changed if name != layer.weight)
        nodes[host] = replace(layer.node, inputs=(*layer.node.inputs[:2], bias), outputs=node.outputs)
        maker[node.outputs[0]] = host
    used = {name for node in nodes for name in node.inputs}
    return replace(program, nodes=tuple(nodes), weights={name: array for name, array in weights.items() if name in used})


def _with_norm(layer: Layer, norm: Node, weights: dict[str, Array]) -> dict[str, Array] | None:
    """Weights and bias with a batch norm inside; None where its numbers are not stored."""
    if norm.attributes.get("training_mode", 0) or norm.inputs[0] != layer.node.outputs[0] or any(n not in weights for n in norm.inputs[1:]):
        return None
    scale, shift, mean, variance = (weights[name].astype(np.float64) for name in norm.inputs[1:5])
    gain = scale / np.sqrt(variance + float(norm.attributes.get("epsilon", EPSILON)))
    w = weights[layer.weight]
    b = 0.0 if layer.bias is None else weights[layer.bias].astype(np.float64)
    bias = _bias_name(layer, weights)
    new = {layer.weight: w * gain.reshape(-1, *[1] * (w.ndim - 1)), bias: (b - mean) * gain + shift}
    return {name: array.astype(np.float32) for name, array in new.items()}


def _with_bias(layer: Layer, add: Node, weights: dict[str, Array]) -> dict[str, Array] | None:
    """Weights and the constant as a bias; None where it is not one number for each output channel."""
    constant = next((weights[name] for name in add.inputs if name in weights), None)
    n, w = weights[layer.weight].shape[0], weights[layer.weight]
    wanted = (n, 1, 1) if layer.kind == "conv" else (n,)
    if layer.bias is not None or constant is None or constant.size != n or (*[1] * 9, *constant.shape)[-len(wanted) :] != wanted:
        return None
    return {layer.weight: w, _bias_name(layer, weights): constant.reshape(n)}


def _bias_name(layer: Layer, weights: dict[str, Array]) -> str:
    """A name for a new bias of a layer that nothing has."""
    name = f"{layer.name}.bias"
    while name in weights:
        name += "+"
    return name

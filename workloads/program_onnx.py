"""A `Program` from an ONNX model and back, and the `Workload` that the simulator prices it as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from workloads.errors import WorkloadError
from workloads.graph import Workload
from workloads.onnx_fold import run_node
from workloads.onnx_import import load_onnx_bytes
from workloads.onnx_read import ONNX_DOMAINS, Proto, Source, damage_reported, label, parse_onnx, read_onnx, subgraphs
from workloads.program import Array, Node, Program
from workloads.program_fold import fold_bias
from workloads.program_normal import Scope, Shape, as_real, normalized

IR_VERSION = 10  # of models that are written: what onnx 1.17, the oldest that is supported, reads
BATCH = "batch"  # symbol of the leading axis
_REAL = frozenset(("FLOAT", "FLOAT16", "DOUBLE", "BFLOAT16"))
_PASSES_ON = frozenset(("Identity", "Dropout"))  # results of inference equal the first input
_RANDOM = frozenset(("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"))


def to_onnx(program: Program, batch: int | None = None) -> Proto:
    """The network as an ONNX model with its weights inside; batch None leaves the leading axis open."""
    infos = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [_node_out(node) for node in program.nodes],
        program.name,
        [infos(program.input, onnx.TensorProto.FLOAT, (batch or BATCH, *program.input_shape))],
        [infos(program.output, onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(array, order="C"), name) for name, array in program.weights.items()],
    )
    opsets = [onnx.helper.make_opsetid("", program.opset)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="cosim")
    return onnx.shape_inference.infer_shapes(model)


def workload_of(program: Program, batch: int = 1) -> Workload:
    """What the simulator prices: the op of each layer has the name of the layer; batch norms and activations ride on it."""
    return load_onnx_bytes(program.name, to_onnx(program, batch).SerializeToString(), {})


def evaluate_node(node: Node, inputs: Sequence[Array | None], opset: int) -> list[Array]:
    """What one operator returns, by ONNX's reference evaluator; None is an input that is left out.

    Raises WorkloadError, naming the node, where the evaluator knows no such operator or cannot run it on these inputs.
    """
    try:
        return [np.asarray(array) for array in run_node(_node_out(node), inputs, opset)]
    except Exception as error:
        raise WorkloadError(
            f"node {node.name!r}: operator {node.op_type} has no path: it is no product with stored weights, and onnx cannot run it "
            f"({error}); replace it before the export"
        ) from error


def from_onnx(model: Path | str | Proto) -> Program:
    """Read a network with its weights from a file or a model in memory.

    Initializers, Constant nodes and what follows from them alone become weights, all real numbers float32. A Gemm, and a MatMul by a
    stored matrix, becomes y = x W^T + b with W [n, k], a constant that is added to its outputs alone its bias; where x has more than
    two axes, a Reshape stands before and after, and where their sizes are unknown the MatMul stays and is no layer. auto_pad becomes
    pads; Identity and Dropout are left out; a Reshape that keeps the batch, fixed or worked out at run time, keeps
    whatever batch there is.
    Raises WorkloadError, naming file and node, where the file cannot be read, has not one input and one output of real numbers
    with fixed sizes behind the batch, holds no weights, or has branches, loops or operators of other domains.
    """
    if isinstance(model, str | Path):
        source = read_onnx(Path(model))
        with damage_reported(source.path):
            _load_external(source)
    else:
        source = parse_onnx(Path(f"{model.graph.name or 'model'}.onnx"), model.SerializeToString())
    with damage_reported(source.path):
        return fold_bias(_Reader(source).program())


def _load_external(source: Source) -> None:
    """Read weights that lie beside the file; where they may lie was checked."""
    try:
        onnx.load_external_data_for_model(source.model, str(source.path.parent))
    except (OSError, onnx.checker.ValidationError) as error:
        raise WorkloadError(f"{source.path}: its data file cannot be read ({error}); keep it beside the model") from None


class _Reader:
    """Reads one graph node by node; `alias` says which tensor another one equals."""

    def __init__(self, source: Source) -> None:
        self.where, self.graph, self.opset = str(source.path), source.graph, source.opset("")
        self.name = source.path.stem
        self.alias: dict[str, str] = {}
        if self.graph.sparse_initializer:
            raise WorkloadError(f"{self.where}: weights are stored sparse; export them dense")
        arrays = {tensor.name: as_real(onnx.numpy_helper.to_array(tensor)) for tensor in self.graph.initializer}
        self.input, batch, self.input_shape = self._input(arrays)
        self.scope = Scope(self.where, arrays, _shapes(source), batch, {node.name for node in self.graph.node if node.name})

    def program(self) -> Program:
        """All nodes that the output needs, and the arrays that they read."""
        if len(self.graph.output) != 1:
            names = ", ".join(value.name for value in self.graph.output)
            raise WorkloadError(f"{self.where}: has {len(self.graph.output)} outputs ({names}); export it with one")
        seen: set[str] = set()
        nodes: list[Node] = []
        for proto in self.graph.node:
            name = proto.name if proto.name and proto.name not in seen else self.scope.fresh(proto.name or proto.op_type.lower())
            seen.add(name)
            nodes.extend(self._node(proto, name))
        output = self._known_as(self.graph.output[0].name)
        nodes, used = _needed(nodes, output)
        weights = {name: array for name, array in self.scope.arrays.items() if name in used}
        if not any(array.dtype.kind == "f" for array in weights.values()):
            raise WorkloadError(f"{self.where}: holds no weights; export the model with its trained values inside or beside it")
        return Program(self.name, self.input, self.input_shape, output, tuple(nodes), weights, self.opset)

    def _input(self, arrays: Mapping[str, Array]) -> tuple[str, int | str | None, tuple[int, ...]]:
        """Name, batch and shape of the one input."""
        values = [value for value in self.graph.input if value.name not in arrays]
        if len(values) != 1:
            names = ", ".join(value.name for value in values) or "none"
            raise WorkloadError(f"{self.where}: has {len(values)} inputs ({names}); export it with one, all else as constants")
        tensor = values[0].type.tensor_type
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
        if kind not in _REAL:
            raise WorkloadError(f"{self.where}: input {values[0].name!r} is {kind}; only inputs of real numbers can be computed here")
        shape = _shape_of(values[0])
        sizes = tuple(size for size in shape[1:] if isinstance(size, int)) if shape else ()
        if shape is None or len(shape) < 2 or len(sizes) != len(shape) - 1:
            raise WorkloadError(
                f"{self.where}: input {values[0].name!r} has sizes {shape}; fix all but that of the batch, which comes first"
            )
        return values[0].name, shape[0], sizes

    def _known_as(self, name: str) -> str:
        """The tensor that a name stands for."""
        return self.alias.get(name, name)

    def _node(self, proto: Proto, name: str) -> tuple[Node, ...]:
        """Nodes that one of the file becomes; none where its results are known or passed on."""
        if proto.domain not in ONNX_DOMAINS or next(subgraphs(proto), None) is not None:
            what = f"belongs to {proto.domain!r}" if proto.domain not in ONNX_DOMAINS else "holds a graph of its own"
            raise WorkloadError(f"{self.where}: {label(proto)} {what}: it cannot be computed here; export the model with plain operators")
        inputs = tuple(self._known_as(each) for each in proto.input)
        if proto.op_type in _PASSES_ON and not any(_reads(self.graph, other) for other in proto.output[1:]):
            self.alias[proto.output[0]] = inputs[0]
            return ()
        if proto.op_type not in _RANDOM and all(not each or each in self.scope.arrays for each in inputs):
            self._run(proto, inputs)
            return ()
        attributes = {attribute.name: _attribute_in(attribute) for attribute in proto.attribute}
        return normalized(Node(name, proto.op_type, inputs, tuple(proto.output), attributes), self.scope)

    def _run(self, proto: Proto, inputs: Sequence[str]) -> None:
        """Keep the results of a node that depends on no input of the network."""
        try:
            results = run_node(_renamed(proto, inputs), [self.scope.arrays.get(each) for each in inputs], self.opset)
        except Exception as error:
            raise WorkloadError(
                f"{self.where}: {label(proto)} cannot be evaluated ({error}); export the model with constants folded"
            ) from None
        self.scope.arrays.update({out: as_real(array) for out, array in zip(proto.output, results, strict=False) if out})


def _renamed(proto: Proto, inputs: Sequence[str]) -> Proto:
    """A node that reads tensors under the names that they have here."""
    copy = onnx.NodeProto.FromString(proto.SerializeToString())
    del copy.input[:]
    copy.input.extend(inputs)
    return copy


def _reads(graph: Proto, name: str) -> bool:
    """Whether anything reads a tensor."""
    return bool(name) and (any(name in node.input for node in graph.node) or any(value.name == name for value in graph.output))


def _needed(nodes: list[Node], output: str) -> tuple[list[Node], set[str]]:
    """Nodes that lead to the output, in order, and the names of all that they read."""
    used, kept = {output}, []
    for node in reversed(nodes):
        if used.intersection(node.outputs):
            used.update(node.inputs)
            kept.append(node)
    return kept[::-1], used


def _shapes(source: Source) -> dict[str, Shape]:
    """Shapes that the file states or that follow from its inputs."""
    try:
        graph = onnx.shape_inference.infer_shapes(source.model, data_prop=True).graph
    except Exception:
        graph = source.graph  # some shapes stay unknown; nodes that need them say so
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: shape for value in values if (shape := _shape_of(value)) is not None}


def _shape_of(value: Proto) -> Shape | None:
    """Sizes of a tensor: numbers, symbols, None for those that are unknown."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.dim_value > 0 else dim.dim_param or None for dim in value.type.tensor_type.shape.dim)


def _attribute_in(attribute: Proto) -> Any:
    """Value of an attribute as Python keeps it: numbers, text, tuples of them, arrays."""
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if isinstance(value, str | int | float):
        return value
    return tuple(each.decode() if isinstance(each, bytes) else each for each in value)


def _node_out(node: Node) -> Proto:
    """A node as ONNX keeps it."""
    tensor = onnx.numpy_helper.from_array
    attributes = {key: tensor(value) if isinstance(value, np.ndarray) else value for key, value in node.attributes.items()}
    return onnx.helper.make_node(node.op_type, node.inputs, node.outputs, node.name, **attributes)

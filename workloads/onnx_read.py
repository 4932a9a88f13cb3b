"""Read an ONNX file, refuse what is broken or unsafe, and hand over a model with its nodes in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path, PureWindowsPath
from typing import Any

import onnx

from workloads.errors import WorkloadError

# The protobuf classes of onnx carry no types that mypy can follow here.
Proto = Any

ATTRIBUTE_GRAPH = 5  # AttributeProto.GRAPH
ATTRIBUTE_TENSOR = 4  # AttributeProto.TENSOR
EXTERNAL = 1  # TensorProto.EXTERNAL
ONNX_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class Source:
    """A model that was read: functions inlined, nodes in topological order; weights stay as they lie in the file."""

    path: Path
    model: Proto
    sha256: str
    opsets: dict[str, int]
    n_stored: int

    @property
    def graph(self) -> Proto:
        """The main graph."""
        return self.model.graph

    def opset(self, domain: str) -> int:
        """Version of an operator set; that of ai.onnx under either of its names."""
        if domain in ONNX_DOMAINS:
            return max((self.opsets.get(name, 0) for name in ONNX_DOMAINS), default=0) or int(onnx.defs.onnx_opset_version())
        return self.opsets.get(domain, 1)


def read_onnx(path: Path) -> Source:
    """Read a model without its external data.

    Raises WorkloadError when the file is missing, truncated or no ONNX, when external data would be
    read from outside the model's folder, or when edges dangle or form a cycle.
    """
    return parse_onnx(path, _read_bytes(path))


def parse_onnx(path: Path, data: bytes) -> Source:
    """Read a model from its bytes; `path` is what messages and the result call it. Raises WorkloadError as `read_onnx` does."""
    with damage_reported(path):
        model = _parse(path, data)
        _check_external(path, model)
        n_stored = count_stored(model)
        if model.functions:
            model = _inline_functions(path, model)
        given = {value.name for value in model.graph.input} | _initializer_names(model.graph)
        _order_graph(path, model.graph, given)
        opsets = {entry.domain: entry.version for entry in model.opset_import}
    return Source(path, model, hashlib.sha256(data).hexdigest(), opsets, n_stored)


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Report whatever a damaged file makes go wrong as a WorkloadError: a file may break any rule of its format."""
    try:
        yield
    except WorkloadError:
        raise
    except Exception as error:
        raise WorkloadError(f"{path}: the model is damaged ({type(error).__name__}: {error}); export or download it again") from error


def label(node: Proto) -> str:
    """How messages name a node: its name (or first output) and its type."""
    name = node.name or next((out for out in node.output if out), "")
    return f"node {name!r} ({node.op_type})"


def subgraphs(node: Proto) -> Iterator[Proto]:
    """Graphs held by a node's attributes: branches and loop bodies."""
    for attribute in node.attribute:
        if attribute.type == ATTRIBUTE_GRAPH:
            yield attribute.g
        yield from attribute.graphs


def walk_graphs(graph: Proto) -> Iterator[Proto]:
    """A graph and all graphs below it."""
    yield graph
    for node in graph.node:
        for sub in subgraphs(node):
            yield from walk_graphs(sub)


def count_stored(model: Proto) -> int:
    """Values that the file stores, over all branches, bodies and functions.

    Elements of initializers and Constant nodes, and of ConstantOfShape nodes whose shape is an initializer
    (networks shipped without their values): the column `weights_total` of onnx_models.csv.
    """
    total = sum(_stored_in_nodes(function.node, {}) for function in model.functions)
    for graph in walk_graphs(model.graph):
        stored = {tensor.name: tensor for tensor in graph.initializer}
        total += sum(prod(tensor.dims) for tensor in graph.initializer)
        total += sum(prod(sparse.dims) for sparse in graph.sparse_initializer)
        total += _stored_in_nodes(graph.node, stored)
    return total


def _stored_in_nodes(nodes: Proto, stored: dict[str, Proto]) -> int:
    """Elements made by Constant nodes, and by ConstantOfShape nodes with a stored shape."""
    total = 0
    for node in nodes:
        if node.op_type == "Constant":
            total += sum(_n_attribute_elements(attribute) for attribute in node.attribute)
        elif node.op_type == "ConstantOfShape" and node.input and node.input[0] in stored:
            total += _n_generated(stored[node.input[0]])
    return total


def _n_generated(shape: Proto) -> int:
    """Elements of a tensor whose shape is this stored vector; 0 when the vector lies in another file."""
    if shape.data_location == EXTERNAL:
        return 0
    return int(prod(int(extent) for extent in onnx.numpy_helper.to_array(shape)))


def _n_attribute_elements(attribute: Proto) -> int:
    """Elements of the value of a Constant node."""
    if attribute.type == ATTRIBUTE_TENSOR:
        return int(prod(attribute.t.dims))
    if attribute.name == "sparse_value":
        return int(prod(attribute.sparse_tensor.dims))
    return max(1, len(attribute.ints), len(attribute.floats), len(attribute.strings))


def _read_bytes(path: Path) -> bytes:
    """Bytes of the file, or an error that says why there are none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise WorkloadError(f"{path}: no such file; give the path of an .onnx file or the name of a network of the zoo") from None
    except OSError as error:
        raise WorkloadError(f"{path}: cannot be read ({error.strerror}); give the path of an .onnx file") from None


def _parse(path: Path, data: bytes) -> Proto:
    """Parse the protobuf and refuse what is not a whole model."""
    hint = "the file is truncated or not ONNX; export or download it again"
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        raise WorkloadError(f"{path}: not a readable ONNX model ({error}): {hint}") from None
    if not model.ir_version or not model.HasField("graph"):
        raise WorkloadError(f"{path}: has no graph of an ONNX model: {hint}")
    if not model.graph.node:
        raise WorkloadError(f"{path}: the graph has no nodes: there is nothing to run; {hint}")
    if not model.opset_import:
        raise WorkloadError(f"{path}: names no operator set (opset_import): {hint}")
    if not model.graph.output:
        raise WorkloadError(f"{path}: the graph has no outputs: {hint}")
    return model


def _inline_functions(path: Path, model: Proto) -> Proto:
    """Replace calls of the model's own functions by their bodies."""
    from onnx.inliner import inline_local_functions  # noqa: PLC0415  (few models have functions)

    try:
        return inline_local_functions(model)
    except Exception as error:
        raise WorkloadError(f"{path}: its functions cannot be inlined ({error}); export it with inlined functions") from None


def _tensors(model: Proto) -> Iterator[Proto]:
    """Every tensor stored in the model: initializers and attributes, in all graphs and functions."""
    nodes = [node for function in model.functions for node in function.node]
    for graph in walk_graphs(model.graph):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield sparse.values
            yield sparse.indices
        nodes.extend(graph.node)
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == ATTRIBUTE_TENSOR:
                yield attribute.t
            yield from attribute.tensors


def _check_external(path: Path, model: Proto) -> None:
    """Refuse external data outside the model's folder, before any of it is opened."""
    folder = path.parent.resolve()
    for tensor in _tensors(model):
        if tensor.data_location != EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        windows = PureWindowsPath(location)
        escapes = not location or windows.drive or windows.root or ".." in windows.parts or Path(location).is_absolute()
        if escapes or not (folder / location).resolve().is_relative_to(folder):
            raise WorkloadError(
                f"{path}: tensor {tensor.name!r} keeps its data in {location!r}, outside the model's folder: refused; "
                "save the model with its data file beside it (a relative location without '..')"
            )


def _initializer_names(graph: Proto) -> set[str]:
    """Names of stored tensors of one graph."""
    return {tensor.name for tensor in graph.initializer} | {sparse.values.name for sparse in graph.sparse_initializer}


def _order_graph(path: Path, graph: Proto, given: set[str]) -> None:
    """Check every edge of a graph and those below it, and put its nodes in topological order in place."""
    maker = _makers(path, graph)
    known = given | maker.keys()
    for node in graph.node:
        for name in _reads(node):
            if name not in known:
                raise WorkloadError(f"{path}: {label(node)} reads {name!r}, which nothing makes: a dangling edge; export the model again")
    for value in graph.output:
        if value.name not in known:
            raise WorkloadError(f"{path}: graph output {value.name!r} is made by no node; export the model again")
    order = _topological(path, graph.node, maker)
    if order != list(range(len(order))):
        nodes = [onnx.NodeProto.FromString(graph.node[index].SerializeToString()) for index in order]
        del graph.node[:]
        graph.node.extend(nodes)
    for node in graph.node:
        for sub in subgraphs(node):
            inner = {value.name for value in sub.input} | _initializer_names(sub)
            _order_graph(path, sub, known | inner)


def _makers(path: Path, graph: Proto) -> dict[str, int]:
    """Tensor name → index of the node that makes it, each made once."""
    maker: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in node.output:
            if name and maker.setdefault(name, index) != index:
                other = label(graph.node[maker[name]])
                raise WorkloadError(f"{path}: tensor {name!r} is made twice, by {other} and by {label(node)}; export the model again")
    return maker


def _reads(node: Proto) -> Iterator[str]:
    """Names of this scope that a node reads, those read only inside its subgraphs included."""
    yield from (name for name in node.input if name)
    for sub in subgraphs(node):
        own = {value.name for value in sub.input} | _initializer_names(sub)
        own.update(name for inner in sub.node for name in inner.output)
        for inner in sub.node:
            yield from (name for name in _reads(inner) if name not in own)
        yield from (value.name for value in sub.output if value.name not in own)


def _topological(path: Path, nodes: Proto, maker: dict[str, int]) -> list[int]:
    """Order of the nodes in which every tensor is made before it is read, as close to the file's as can be."""
    waits = [{maker[name] for name in _reads(node) if name in maker} for node in nodes]
    if all(all(source < index for source in sources) for index, sources in enumerate(waits)):
        return list(range(len(waits)))
    order: list[int] = []
    state = [0] * len(waits)  # 0 not seen, 1 being visited, 2 done
    for start in range(len(waits)):
        stack = [start]
        while stack:
            index = stack[-1]
            if state[index] == 0:
                state[index] = 1
                pending = sorted((source for source in waits[index] if state[source] != 2), reverse=True)
                if any(state[source] == 1 for source in pending):
                    raise WorkloadError(f"{path}: {label(nodes[index])} lies on a cycle: its input depends on its own output; export again")
                stack.extend(pending)
            else:
                stack.pop()
                if state[index] == 1:
                    state[index] = 2
                    order.append(index)
    return order

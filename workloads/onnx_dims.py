"""Choose an extent for every axis of a model's inputs: what the file fixes, what was asked for, else a default."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workloads.errors import WorkloadError, suggest
from workloads.graph import TensorKind
from workloads.onnx_facts import FLOAT, INDEX_TYPES, Fact
from workloads.onnx_read import Source

# assumed: usual sizes where neither the file nor the user says (224: ImageNet crops; 48 x 320: text lines of
# PP-OCR; 16000: one second of 16 kHz sound; 64 tokens; 100 frames: one second at a 10 ms hop).
N_TOKENS, N_PIXELS, N_SAMPLES, N_FRAMES = 64, 224, 16000, 100
LINE_HEIGHT, LINE_WIDTH = 48, 320
TALLEST_LINE = 64

_BATCH = re.compile(r"batch|^(n|b|bs)$", re.IGNORECASE)
_TOKENS = re.compile(r"seq|len|tok|word|past|ctx|context|node|edge|atom|memory|num_", re.IGNORECASE)
_FRAMES = re.compile(r"frame|time|^t$", re.IGNORECASE)
_SOUND = re.compile(r"audio|wav|sample|signal|speech|pcm|sound", re.IGNORECASE)
_HEIGHT = re.compile(r"height|^h$", re.IGNORECASE)
_WIDTH = re.compile(r"width|^w$", re.IGNORECASE)
_STATE = re.compile(r"past_|cache", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of one input: a fixed extent, a name, or neither."""

    input: str
    index: int
    size: int | None
    symbol: str

    @property
    def key(self) -> str:
        """How a user names the axis when it has no name of its own: input.index."""
        return f"{self.input}.{self.index}"


@dataclass(frozen=True, slots=True)
class Port:
    """A model input: its axes and element type."""

    name: str
    dtype: int
    axes: tuple[Axis, ...]
    is_sequence: bool = False

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def is_number(self) -> bool:
        """Whether it is one whole number, whose value can be asked for by name."""
        return self.dtype in INDEX_TYPES and all(axis.size == 1 for axis in self.axes)


@dataclass
class Inputs:
    """The inputs of a model with every extent chosen; `defaulted` are the axes that nobody asked for."""

    facts: list[Fact]
    batch: int
    dims: dict[str, int]
    notes: list[str] = field(default_factory=list)
    defaulted: list[Axis] = field(default_factory=list)
    batch_factor: int = 1


def read_ports(source: Source) -> list[Port]:
    """Inputs of the main graph that are no initializers."""
    stored = {tensor.name for tensor in source.graph.initializer} | {s.values.name for s in source.graph.sparse_initializer}
    return [_port(value) for value in source.graph.input if value.name not in stored]


def _port(value: Any) -> Port:
    """One input; an optional is read as present, a sequence as one tensor, anything else as a number."""
    kind, is_sequence = value.type, False
    while kind.HasField("optional_type") or kind.HasField("sequence_type"):
        is_sequence = is_sequence or kind.HasField("sequence_type")
        kind = kind.sequence_type.elem_type if kind.HasField("sequence_type") else kind.optional_type.elem_type
    if not kind.HasField("tensor_type"):
        return Port(value.name, FLOAT, ())
    tensor = kind.tensor_type
    dims = tensor.shape.dim if tensor.HasField("shape") else ()
    axes = tuple(Axis(value.name, i, dim.dim_value if dim.dim_value > 0 else None, _symbol(dim.dim_param)) for i, dim in enumerate(dims))
    return Port(value.name, tensor.elem_type or FLOAT, axes, is_sequence)


def _symbol(text: str) -> str:
    """Name of an axis; what exporters write for "no name" is none."""
    return "" if text in ("?", "None", "*", "-1") else text


def choose_inputs(source: Source, ports: list[Port], given: Mapping[str, int], defaults: Mapping[str, int]) -> Inputs:
    """Fix every axis.

    `given` maps names to extents: a symbol of the file, `batch`, `input.axis` for an axis without name, or
    an input that is one whole number (its value). `defaults` overrides default extents by axis key.
    Raises WorkloadError for a name the model does not have or an extent out of range.
    """
    path = str(source.path)
    _check_names(path, ports, given)
    chooser = _Chooser(path, ports, dict(given), defaults)
    facts = []
    for port in ports:
        shape = tuple(chooser.extent(port, axis) for axis in port.axes)
        fact = Fact(port.name, shape, port.dtype, kind=_kind(port))
        if port.is_number and port.name in given:
            fact.value, fact.stored = np.full(shape, given[port.name], dtype=np.int64), True
        if port.is_sequence:
            chooser.notes.append(f"input {port.name!r} is a sequence: taken as one tensor of shape {shape}")
            fact = Fact(port.name, (), port.dtype, items=[fact])
        facts.append(fact)
    batch = given.get("batch", chooser.batch or _fixed_lead(ports) or 1)
    dims = {**chooser.symbols, **{key: value for key, value in given.items() if key != "batch"}, "batch": batch}
    return Inputs(facts, batch, dims, chooser.notes, chooser.defaulted, chooser.batch_factor)


def dims_of_shapes(path: str, ports: list[Port], shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """The names to give to `choose_inputs` so that inputs get these shapes; of two extents for one symbol the greater.

    Raises WorkloadError when an input is not in the model or has another rank.
    """
    port_of = {port.name: port for port in ports}
    dims: dict[str, int] = {}
    for name, shape in shapes.items():
        port = port_of.get(name)
        if port is None:
            raise WorkloadError(f"{path}: input {name!r} is not in the model; {suggest(name, port_of)}")
        if port.rank != len(shape):
            raise WorkloadError(f"{path}: input {name!r} has {port.rank} axes; shape {tuple(shape)} has {len(shape)}")
        for axis, extent in zip(port.axes, shape, strict=True):
            if axis.size is None and axis.symbol:
                dims[axis.symbol] = max(dims.get(axis.symbol, 0), extent)
            elif axis.size != extent:
                dims[axis.key] = extent
    return dims


def _fixed_lead(ports: list[Port]) -> int | None:
    """Fixed leading extent of the first input that has axes; None where it is dynamic or a plain vector."""
    first = next((port for port in ports if port.axes), None)
    if first is None or (first.rank == 1 and first.axes[0].size != 1):
        return None
    return first.axes[0].size


def _kind(port: Port) -> TensorKind:
    """What an input is for."""
    if port.dtype in INDEX_TYPES:
        return TensorKind.INDEX
    return TensorKind.STATE if _STATE.search(port.name) else TensorKind.INPUT


def _check_names(path: str, ports: list[Port], given: Mapping[str, int]) -> None:
    """Refuse dimensions that the model does not have, and extents below one."""
    symbols = {axis.symbol for axis in _axes(ports) if axis.symbol and axis.size is None}
    unnamed = {axis.key for axis in _axes(ports) if axis.size is None and not axis.symbol}
    numbers = {port.name for port in ports if port.is_number}
    known = {"batch", *symbols, *(axis.key for axis in _axes(ports)), *numbers}
    for name, value in given.items():
        if name not in known:
            raise WorkloadError(f"{path}: dimension {name!r} is not in the model; {suggest(name, {'batch', *symbols, *unnamed, *numbers})}")
        least = 0 if "past" in name.lower() or name in numbers else 1
        if value < least:
            raise WorkloadError(f"{path}: dimension {name} = {value} is out of range; choose {least} or more")


def _axes(ports: list[Port]) -> Iterator[Axis]:
    """Every axis of every input."""
    return (axis for port in ports for axis in port.axes)


class _Chooser:
    """Gives axes their extents one by one, and remembers what it gave to a name."""

    def __init__(self, path: str, ports: list[Port], given: dict[str, int], defaults: Mapping[str, int]) -> None:
        self.path, self.given, self.defaults = path, given, defaults
        self.names = {axis.symbol for axis in _axes(ports) if axis.symbol}
        self.batch_symbols, self.batch_keys = _batch_axes(ports, asked="batch" in given)
        self.symbols: dict[str, int] = {}
        self.notes: list[str] = []
        self.defaulted: list[Axis] = []
        self.batch: int | None = None
        self.batch_factor = 1
        self.fixed_batch = self._fixed_batch(ports)
        for axis in _axes(ports):
            if axis.symbol and axis.size is None and axis.key in given:
                self.symbols.setdefault(axis.symbol, given[axis.key])

    def _fixed_batch(self, ports: list[Port]) -> set[str]:
        """Keys of the fixed leading axes that have to change when a batch is asked for that the file does not have."""
        wanted = self.given.get("batch")
        if wanted is None or self.batch_symbols or self.batch_keys:
            return set()
        lead = _fixed_lead(ports)
        if lead == wanted or (lead is None and wanted == 1):
            return set()
        if lead != 1:
            have = "it has no batch axis" if lead is None else f"its leading dimension is fixed to {lead}"
            raise WorkloadError(f"{self.path}: batch = {wanted} cannot be set: {have}; leave --batch out or export with a dynamic one")
        self.batch_factor = wanted
        keys = {port.axes[0].key for port in ports if port.rank >= 2 and port.axes[0].size == 1}
        states = {port.axes[1].key for port in ports if port.rank == 3 and port.axes[0].size != 1 and port.axes[1].size == 1}
        return (keys or {port.axes[0].key for port in ports if port.axes}) | states

    def extent(self, port: Port, axis: Axis) -> int:
        """Extent of one axis: asked for by place or name, fixed, the batch, or a default."""
        if axis.key in self.given:
            return self.given[axis.key]
        if axis.key in self.fixed_batch:
            return self.given["batch"]
        if axis.size is not None:
            return axis.size
        symbol = axis.symbol
        if symbol in self.given:
            value = self.given[symbol]
        elif symbol and symbol in self.symbols:
            return self.symbols[symbol]
        elif symbol in self.batch_symbols or axis.key in self.batch_keys:
            value = self._batch_extent(axis)
        else:
            computed = _evaluate(symbol, {**self.symbols, **self.given}, self.names)
            value = computed if computed is not None else self._default(port, axis)
        if symbol:
            self.symbols[symbol] = value
        return value

    def _batch_extent(self, axis: Axis) -> int:
        """The batch that was asked for, else one."""
        if "batch" not in self.given and self.batch is None:
            self.notes.append(f"dimension {axis.symbol or axis.key!r} was not given: batch taken as 1")
        self.batch = self.given.get("batch", 1)
        return self.batch

    def _default(self, port: Port, axis: Axis) -> int:
        """A usual extent, with a note."""
        value = self.defaults.get(axis.key) or default_extent(port, axis)
        self.defaulted.append(axis)
        self.notes.append(f"dimension {axis.symbol or axis.key!r} was not given: taken as {value}")
        return value


def _batch_axes(ports: list[Port], *, asked: bool) -> tuple[set[str], set[str]]:
    """Names and keys of the dynamic axes that are the batch.

    An axis called batch; else the dynamic leading axis of every input of two axes or more, unless its name
    says tokens or frames (then only that of the first input, if a batch was `asked` for and nothing else can
    be it); an unnamed middle axis of a recurrent state.
    """
    dynamic = [axis for axis in _axes(ports) if axis.size is None]
    leading = [port.axes[0] for port in ports if port.rank >= 2 and port.axes[0].size is None]
    named = {axis.symbol for axis in dynamic if axis.symbol and _BATCH.search(axis.symbol)}
    plain = [axis for axis in leading if not _is_length(axis.symbol)]
    symbols = named | {axis.symbol for axis in plain if axis.symbol and not named}
    keys = {axis.key for axis in plain if not axis.symbol}
    for port in ports:
        if port.rank == 3 and port.axes[1].size is None and not port.axes[1].symbol and port.axes[0].size and port.axes[2].size:
            keys.add(port.axes[1].key)
        if port.rank == 1 and port.axes[0].size is None and not port.axes[0].symbol and (symbols or keys):
            keys.add(port.axes[0].key)
    if asked and not symbols and not keys:
        first = next((port.axes[0] for port in ports if port.axes), None)
        if first is not None and first.size is None:
            return ({first.symbol}, set()) if first.symbol else (set(), {first.key})
    return symbols, keys


def _is_length(symbol: str) -> bool:
    """Whether a name says tokens, frames or samples rather than batch."""
    return bool(symbol) and any(pattern.search(symbol) for pattern in (_TOKENS, _FRAMES, _SOUND))


def default_extent(port: Port, axis: Axis) -> int:
    """A usual extent for a dynamic axis, by its name, then by the form of its input."""
    rules: list[tuple[Callable[[str], Any], int]] = [
        (_SOUND.search, N_SAMPLES),
        (_TOKENS.search, N_TOKENS),
        (_FRAMES.search, N_FRAMES),
    ]
    for matches, extent in rules:
        if axis.symbol and matches(axis.symbol):
            return extent
    if port.rank == 4 and port.dtype not in INDEX_TYPES:
        return _image_extent(port, axis)
    if port.rank == 2 and axis.index == 1 and port.dtype not in INDEX_TYPES:
        return N_SAMPLES
    if port.rank == 3 and port.dtype not in INDEX_TYPES and _SOUND.search(port.name) and axis.index == 2:
        return N_SAMPLES
    return 1 if axis.index == 0 and port.rank >= 2 else N_TOKENS


def _image_extent(port: Port, axis: Axis) -> int:
    """Channels 3; height and width of a text line where the other one says so, else of a photograph."""
    last = port.axes[3].size
    spatial = (1, 2) if last in (1, 3, 4) and port.axes[1].size not in (1, 3, 4) else (2, 3)
    if axis.index not in spatial:
        return 1 if axis.index == 0 else 3
    other = port.axes[spatial[0] if axis.index == spatial[1] else spatial[1]].size
    if axis.index == spatial[1] and other is not None:
        return LINE_WIDTH if other <= TALLEST_LINE else other
    if axis.index == spatial[0] and other is not None:
        return LINE_HEIGHT if other >= LINE_WIDTH and other % LINE_WIDTH == 0 else other
    return N_PIXELS


def alternatives(port_of: Mapping[str, Port], defaulted: list[Axis]) -> Iterator[dict[str, int]]:
    """Other default extents to try, one after the other, when a graph cannot run with the usual ones."""
    images = [axis for axis in defaulted if port_of[axis.input].rank == 4 and axis.index in (2, 3)]
    if images:
        for height, width in ((LINE_HEIGHT, LINE_WIDTH), (32, LINE_WIDTH), (640, 640), (256, 256)):
            yield {axis.key: height if axis.index == 2 else width for axis in images}
    for extent in (N_SAMPLES, 512, 256, 128, N_TOKENS, 1):
        yield {axis.key: extent for axis in defaulted if axis not in images}


def _evaluate(text: str, known: Mapping[str, int], names: set[str]) -> int | None:
    """Value of an axis name that is a formula of others, such as `past + 1`; None for a plain name."""
    if not text:
        return None
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return None
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if not isinstance(tree, ast.BinOp) or not used or not used <= names | known.keys():
        return None
    return _formula(tree, known)


def _formula(tree: ast.expr, known: Mapping[str, int]) -> int | None:
    """Sums, differences, products and quotients of names and whole numbers; None for anything else."""
    if isinstance(tree, ast.Constant) and isinstance(tree.value, int):
        return tree.value
    if isinstance(tree, ast.Name):
        return known.get(tree.id, N_TOKENS)
    rule = _ARITHMETIC.get(type(tree.op)) if isinstance(tree, ast.BinOp) else None
    if rule is None or not isinstance(tree, ast.BinOp):
        return None
    left, right = _formula(tree.left, known), _formula(tree.right, known)
    return None if left is None or right is None else rule(left, right)


_ARITHMETIC: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: max(a - b, 0),
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a // max(b, 1),
    ast.FloorDiv: lambda a, b: a // max(b, 1),
}

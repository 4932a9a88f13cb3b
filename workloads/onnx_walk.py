"""Walk an ONNX graph in order: shapes are inferred, constants folded, views resolved, branches and loops inlined."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from workloads.errors import WorkloadError
from workloads.onnx_control import CONTROL
from workloads.onnx_facts import BOOL, FLOAT, INT64, N_SMALL, Array, Fact, Shape, ShapeError, Step, words
from workloads.onnx_fold import evaluate, small_value
from workloads.onnx_read import ONNX_DOMAINS, Source, label
from workloads.onnx_shapes import Guess, Place, Stated, output_guesses, schema_of
from workloads.onnx_views import FREE_RULES

# Results that differ at each run, even from constant inputs.
_RANDOM = words("RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial")
# Ops that rearrange or recode a stored tensor: the result takes its place instead of being stored beside it.
_RECODING = words("Transpose Cast CastLike QuantizeLinear DequantizeLinear")


@dataclass
class Walk:
    """What a walk found: the steps that run, the node types that cost nothing, and what was assumed."""

    source: Source
    batch_factor: int = 1
    symbols: Mapping[str, int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    free: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    step_names: set[str] = field(default_factory=set)

    def run(self, inputs: Sequence[Fact]) -> list[Fact]:
        """Walk the main graph and return its outputs. Raises ShapeError when shapes do not fit together."""
        self.names.update(fact.name for fact in inputs)
        return self.graph(self.source.graph, ChainMap({fact.name: fact for fact in inputs}), "", 1)

    def note(self, text: str) -> None:
        """Keep a remark, once."""
        if text not in self.notes:
            self.notes.append(text)

    # -- graphs -----------------------------------------------------------------------------------

    def graph(self, graph: Any, scope: ChainMap[str, Fact], prefix: str, repeat: int) -> list[Fact]:
        """Walk one graph in its scope and return its outputs."""
        folder = str(self.source.path.parent)
        for tensor in graph.initializer:
            scope[tensor.name] = self.stored(prefix + tensor.name, tuple(tensor.dims), tensor.data_type, small_value(tensor, folder))
        for sparse in graph.sparse_initializer:
            name = sparse.values.name
            scope[name] = self.stored(prefix + name, tuple(sparse.dims), sparse.values.data_type, None)
        stated = _stated_shapes(graph, self.symbols) if self.batch_factor == 1 else _nothing_stated
        for node in graph.node:
            self._node(node, scope, Place(prefix, repeat, stated))
        return [scope[value.name] for value in graph.output]

    def _node(self, node: Any, scope: ChainMap[str, Fact], place: Place) -> None:
        """Walk one node; a node that lacks what its definition asks for is named."""
        try:
            self._visit(node, scope, place)
        except WorkloadError:
            raise
        except Exception as error:
            raise ShapeError(f"{label(node)} cannot be read ({type(error).__name__}: {error})") from None

    def _visit(self, node: Any, scope: ChainMap[str, Fact], place: Place) -> None:
        """Control flow first, then what costs nothing, then what is known before the run, then what runs."""
        standard = node.domain in ONNX_DOMAINS
        control = CONTROL.get(node.op_type) if standard else None
        if control is not None:
            control(self, node, scope, place)
            return
        inputs = [scope[name] if name else None for name in node.input]
        special = FREE_RULES.get(node.op_type) if standard else None
        facts: Sequence[Fact | None] | None = special(self, node, inputs, place) if special is not None else None
        if facts is not None:
            self.free[node.op_type] += 1
        elif self._is_known(node, inputs):
            facts = self._fold(node, inputs, place)
        else:
            facts = self._execute(node, inputs, place)
        for name, fact in zip(node.output, facts, strict=False):
            if name and fact is not None:
                scope[name] = fact

    def _is_known(self, node: Any, inputs: Sequence[Fact | None]) -> bool:
        """Whether the result is the same at every run, so that it can be stored before the first."""
        present = [fact for fact in inputs if fact is not None]
        return bool(present) and all(fact.stored for fact in present) and node.op_type not in _RANDOM

    def _fold(self, node: Any, inputs: Sequence[Fact | None], place: Place) -> list[Fact]:
        """Compute a node before the run: its value when small, its shape in any case."""
        self.free[node.op_type] += 1
        opset = self.source.opset(node.domain)
        guesses = output_guesses(node, inputs, opset, place.stated)
        values: Sequence[Array | None] = [None] * len(node.output)
        if all(fact is None or fact.value is not None for fact in inputs) and all(prod(guess.shape) <= N_SMALL for guess in guesses):
            values = evaluate(node, [None if fact is None else fact.value for fact in inputs], opset) or values
        first = next(fact for fact in inputs if fact is not None)
        assumed = any(fact is not None and fact.assumed for fact in inputs)
        facts = []
        for name, guess, value in zip(node.output, guesses, values, strict=False):
            shape = guess.shape if value is None else value.shape
            fact = self.stored(place.prefix + name, shape, guess.dtype, value)
            fact.assumed = assumed or (guess.assumed and value is None)
            if node.op_type in _RECODING and first.n_elements == fact.n_elements > 1:
                fact.view_of = first.base
            facts.append(fact)
        return facts

    def _execute(self, node: Any, inputs: Sequence[Fact | None], place: Place) -> list[Fact | None]:
        """Keep a node as a step that runs."""
        opset = self.source.opset(node.domain)
        guesses = output_guesses(node, inputs, opset, place.stated)
        outputs: list[Fact | None] = []
        for name, guess in zip(node.output, guesses, strict=True):
            if name and guess.assumed and not any(fact is not None and fact.assumed for fact in inputs):
                why = "depends on run-time values" if schema_of(node.op_type, opset, node.domain) else "is not known"
                self.note(f"{label(node)}: the shape of {name!r} {why}; taken as {guess.shape}")
            unique = self._unique(place.prefix + name) if name else ""
            outputs.append(Fact(unique, guess.shape, guess.dtype, assumed=guess.assumed, repeat=place.repeat) if name else None)
        domain = "" if node.domain in ONNX_DOMAINS else node.domain
        step = Step(self.step_name(node, place.prefix), node.op_type, node, list(inputs), outputs, domain, place.repeat)
        step.members.append(node.op_type)
        self.steps.append(step)
        return outputs

    def join(self, node: Any, items: Sequence[Fact], axis: int, scope: ChainMap[str, Fact], place: Place, *, new_axis: bool) -> None:
        """Keep the joining of a sequence's tensors as a step; a new axis stacks them."""
        shape: list[int] = list(items[0].shape) if items else [1]
        axis %= len(shape) + new_axis
        if new_axis:
            shape.insert(axis, len(items))
        else:
            shape[axis] = sum(item.shape[axis] for item in items) if items else 1
        out = Fact(self._unique(place.prefix + node.output[0]), tuple(shape), items[0].dtype if items else FLOAT, repeat=place.repeat)
        step = Step(self.step_name(node, place.prefix), node.op_type, node, list(items), [out], "", place.repeat)
        step.members.append(node.op_type)
        self.steps.append(step)
        scope[node.output[0]] = out

    # -- facts ------------------------------------------------------------------------------------

    def _unique(self, name: str) -> str:
        """Return a tensor name no other tensor has."""
        unique, i = name, 2
        while unique in self.names:
            unique, i = f"{name}#{i}", i + 1
        self.names.add(unique)
        return unique

    def step_name(self, node: Any, prefix: str) -> str:
        """Return an op name no other op has: the node's, or its type and position."""
        stem = prefix + (node.name or f"{node.op_type}_{len(self.steps)}")
        unique, i = stem, 2
        while unique in self.step_names:
            unique, i = f"{stem}#{i}", i + 1
        self.step_names.add(unique)
        return unique

    def stored(self, name: str, shape: Shape, dtype: int, value: Array | None) -> Fact:
        """Return a tensor that is known before the run."""
        return Fact(self._unique(name), shape, dtype, stored=True, value=value)

    def constant(self, name: str, value: Array, *, assumed: bool = False) -> Fact:
        """Return a small known value."""
        dtype = {"i": INT64, "u": INT64, "b": BOOL}.get(value.dtype.kind, FLOAT)
        fact = self.stored(name, value.shape, dtype, value)
        fact.assumed = assumed
        return fact


def _nothing_stated(_name: str) -> Guess | None:
    """What a file states does not hold for another batch than its own."""
    return None


def _stated_shapes(graph: Any, symbols: Mapping[str, int]) -> Stated:
    """Look up the shapes that a file states for tensors inside the graph, with its dimensions filled in."""
    infos: dict[str, Any] = {}

    def stated(name: str) -> Guess | None:
        if not infos:
            infos.update({value.name: value.type for value in (*graph.value_info, *graph.output)})
        proto = infos.get(name)
        if proto is None or not proto.HasField("tensor_type") or not proto.tensor_type.HasField("shape"):
            return None
        dims = [dim.dim_value if dim.HasField("dim_value") else symbols.get(dim.dim_param, -1) for dim in proto.tensor_type.shape.dim]
        return None if any(extent < 0 for extent in dims) else Guess(tuple(dims), proto.tensor_type.elem_type or FLOAT)

    return stated

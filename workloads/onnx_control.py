"""Control flow and sequences: branches and loop bodies are inlined, sequences are bookkeeping."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workloads.onnx_facts import BOOL, INT64, Fact, Shape, attribute_of, view
from workloads.onnx_read import label
from workloads.onnx_shapes import Place

if TYPE_CHECKING:
    from workloads.onnx_walk import Walk

Scope = ChainMap[str, Fact]

# A trip count beyond this is a way to say "until the condition fails".
N_MAX_TRIPS = 1_000_000


def _if(walk: Walk, node: Any, scope: Scope, place: Place) -> None:
    """Inline the branch that a known condition takes, else the first with a note."""
    condition = scope[node.input[0]]
    taken = True
    if condition.value is not None and condition.value.size:
        taken = bool(condition.value.reshape(-1)[0])
    else:
        walk.note(f"{label(node)}: its condition depends on run-time values; the then-branch is priced")
    branch = attribute_of(node, "then_branch" if taken else "else_branch")
    prefix = walk.step_name(node, place.prefix) + "/"
    _bind(node, scope, walk.graph(branch, scope.new_child(), prefix, place.repeat))


def _bind(node: Any, scope: Scope, facts: list[Fact]) -> None:
    """Give a control node's outputs their names in the outer scope."""
    for name, fact in zip(node.output, facts, strict=False):
        if name:
            scope[name] = fact


def _carried(fact: Fact, name: str) -> Fact:
    """A variable at the head of a loop body: its shape is known, its value changes."""
    if fact.items is not None:
        return fact
    head = view(fact, name, fact.shape)
    if fact.stored:
        return Fact(name, fact.shape, fact.dtype)
    head.value = None
    return head


def _loop(walk: Walk, node: Any, scope: Scope, place: Place) -> None:
    """Inline a Loop body once; every tensor and op in it counts as often as the loop turns."""
    limit: Fact | None = scope[node.input[0]] if node.input and node.input[0] else None
    carried: list[Fact | None] = [scope[name] if name else None for name in list(node.input)[2:]]
    values = limit.ints() if limit is not None else None
    trips = max(values[0], 1) if values and values[0] <= N_MAX_TRIPS else 1
    if not values or values[0] > N_MAX_TRIPS:
        walk.note(f"{label(node)}: its number of turns depends on run-time values; priced as one turn")
    body = attribute_of(node, "body")
    prefix = walk.step_name(node, place.prefix) + "/"
    inner = scope.new_child()
    names = [value.name for value in body.input]
    for name, fact in zip(names[:2], (Fact(prefix + "turn", (), INT64), Fact(prefix + "go_on", (), BOOL)), strict=False):
        inner[name] = fact
    for name, start in zip(names[2:], carried, strict=False):
        if start is not None:
            inner[name] = start if trips == 1 else _carried(start, prefix + name)
    results = walk.graph(body, inner, prefix, place.repeat * trips)[1:]
    finals = results[: len(carried)]
    stacked = [_stack(fact, trips, 0) for fact in results[len(carried) :]]
    _bind(node, scope, finals + stacked)


def _scan(walk: Walk, node: Any, scope: Scope, place: Place) -> None:
    """Inline a Scan body once, counted as often as the scanned axis is long."""
    facts = [scope[name] for name in node.input if name]
    body = attribute_of(node, "body")
    n_scanned = int(attribute_of(node, "num_scan_inputs", 1))
    n_states = len(body.input) - n_scanned
    states, scanned = facts[len(facts) - n_scanned - n_states : len(facts) - n_scanned], facts[len(facts) - n_scanned :]
    in_axes = attribute_of(node, "scan_input_axes") or [0] * n_scanned
    out_axes = attribute_of(node, "scan_output_axes") or [0] * (len(body.output) - n_states)
    trips = max(1, scanned[0].shape[in_axes[0]]) if scanned[0].shape else 1
    prefix = walk.step_name(node, place.prefix) + "/"
    inner = scope.new_child()
    for value, fact in zip(body.input, states, strict=False):
        inner[value.name] = _carried(fact, prefix + value.name)
    for value, fact, axis in zip(list(body.input)[n_states:], scanned, in_axes, strict=False):
        inner[value.name] = _slice_of(fact, prefix + value.name, axis)
    results = walk.graph(body, inner, prefix, place.repeat * trips)
    stacked = [_stack(fact, trips, axis) for fact, axis in zip(results[n_states:], out_axes, strict=False)]
    _bind(node, scope, results[:n_states] + stacked)


def _slice_of(fact: Fact, name: str, axis: int) -> Fact:
    """One turn's part of a scanned tensor."""
    rest = tuple(extent for i, extent in enumerate(fact.shape) if i != axis % max(len(fact.shape), 1))
    return replace(fact, name=name, shape=rest, value=None, view_of=fact.base, type_proto=None, data_proto=None)


def _stack(fact: Fact, trips: int, axis: int) -> Fact:
    """What a body makes at each turn, joined along a new axis."""
    place = axis % (len(fact.shape) + 1)
    shape: Shape = (*fact.shape[:place], trips, *fact.shape[place:])
    return replace(fact, shape=shape, value=None, view_of=fact.base, type_proto=None, data_proto=None)


def _sequence_construct(walk: Walk, node: Any, scope: Scope, place: Place) -> None:
    """A sequence of tensors: nothing moves."""
    walk.free[node.op_type] += 1
    items = [scope[name] for name in node.input if name]
    scope[node.output[0]] = Fact(place.prefix + node.output[0], (), items=items)


def _sequence_insert(walk: Walk, node: Any, scope: Scope, place: Place) -> None:
    """One tensor more in a sequence, at its end or at a place."""
    walk.free[node.op_type] += 1
    items = list(scope[node.input[0]].items or [])
    where = scope[node.input[2]].ints() if len(node.input) > 2 and node.input[2] else None
    items.insert(where[0] if where else len(items), scope[node.input[1]])
    scope[node.output[0]] = Fact(place.prefix + node.output[0], (), items=items)


def _sequence_at(walk: Walk, node: Any, scope: Scope, place: Place) -> None:
    """One tensor of a sequence: a view; the first where the place is not known."""
    walk.free[node.op_type] += 1
    items = scope[node.input[0]].items or [Fact(place.prefix + node.output[0], (1,), assumed=True)]
    where = scope[node.input[1]].ints()
    index = where[0] if where and -len(items) <= where[0] < len(items) else 0
    scope[node.output[0]] = items[index]


def _sequence_length(walk: Walk, node: Any, scope: Scope, place: Place) -> None:
    """How many tensors a sequence has: known before the run."""
    walk.free[node.op_type] += 1
    length = np.array(len(scope[node.input[0]].items or []), dtype=np.int64)
    scope[node.output[0]] = walk.constant(place.prefix + node.output[0], length)


def _sequence_erase(walk: Walk, node: Any, scope: Scope, place: Place) -> None:
    """One tensor less in a sequence: the last, or that at a place."""
    walk.free[node.op_type] += 1
    items = list(scope[node.input[0]].items or [])
    where = scope[node.input[1]].ints() if len(node.input) > 1 and node.input[1] else None
    if items:
        items.pop(where[0] if where and -len(items) <= where[0] < len(items) else -1)
    scope[node.output[0]] = Fact(place.prefix + node.output[0], (), items=items)


def _sequence_map(walk: Walk, node: Any, scope: Scope, place: Place) -> None:
    """Inline the body once for the first items of the sequences, counted as often as they are long."""
    facts = [scope[name] for name in node.input]
    turns = max(1, len(facts[0].items or []))
    prefix = walk.step_name(node, place.prefix) + "/"
    inner = scope.new_child()
    for value, fact in zip(attribute_of(node, "body").input, facts, strict=False):
        inner[value.name] = (fact.items or [Fact(prefix + value.name, ())])[0] if fact is facts[0] or fact.items else fact
    results = walk.graph(attribute_of(node, "body"), inner, prefix, place.repeat * turns)
    _bind(node, scope, [Fact(prefix + fact.name, (), items=[fact] * turns) for fact in results])


def _split_to_sequence(walk: Walk, node: Any, scope: Scope, place: Place) -> None:
    """Parts of a tensor as a sequence: views."""
    walk.free[node.op_type] += 1
    x = scope[node.input[0]]
    axis = attribute_of(node, "axis", 0) % max(len(x.shape), 1)
    sizes = scope[node.input[1]].ints() if len(node.input) > 1 and node.input[1] else None
    extent = x.shape[axis] if x.shape else 1
    if sizes is None:
        sizes = [1] * extent
    elif len(sizes) == 1:
        sizes = [min(sizes[0], extent - start) for start in range(0, extent, max(sizes[0], 1))]
    keep = attribute_of(node, "keepdims", 1) or len(node.input) > 1
    items = [replace(x, shape=_part(x.shape, axis, size if keep else None), value=None, view_of=x.base, type_proto=None) for size in sizes]
    scope[node.output[0]] = Fact(place.prefix + node.output[0], (), items=items)


def _part(shape: Shape, axis: int, size: int | None) -> Shape:
    """A shape with another extent on one axis, or without that axis."""
    return (*shape[:axis], *(() if size is None else (size,)), *shape[axis + 1 :])


def _concat_from_sequence(walk: Walk, node: Any, scope: Scope, place: Place) -> None:
    """Join the tensors of a sequence: a Concat or a stack, priced as movement."""
    items = scope[node.input[0]].items or []
    axis = attribute_of(node, "axis", 0)
    walk.join(node, items, axis, scope, place, new_axis=bool(attribute_of(node, "new_axis", 0)))


CONTROL: Mapping[str, Callable[[Any, Any, Scope, Place], None]] = {
    "ConcatFromSequence": _concat_from_sequence,
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
    "SequenceAt": _sequence_at,
    "SequenceConstruct": _sequence_construct,
    "SequenceEmpty": _sequence_construct,
    "SequenceErase": _sequence_erase,
    "SequenceInsert": _sequence_insert,
    "SequenceLength": _sequence_length,
    "SequenceMap": _sequence_map,
    "SplitToSequence": _split_to_sequence,
}

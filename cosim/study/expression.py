"""Conditions over levels, such as `cim.rows % 32 == 0 and power_of_two(npu.rows)`: read once, then functions of the levels' values.

Names are axis names (`axis('odd name')` for one that is no Python name). Arithmetic, comparisons, and, or, not, `in`, and the functions of
FUNCTIONS are all there is. A text with a unit, "0.8 V", is its SI value, as a level and in a condition.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from hw_models.units import UNITS, parse_quantity
from workloads.errors import SpecError, suggest

Term = Callable[[Sequence[Any]], Any]


def _power_of_two(value: float) -> bool:
    return value > 0 and float(math.log2(value)).is_integer()


def _divides(part: float, whole: float) -> bool:
    return part != 0 and whole % part == 0


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "power_of_two": _power_of_two,
    "divides": _divides,
    "log2": math.log2,
    "min": min,
    "max": max,
    "abs": abs,
}
_BINARY: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


_UNARY: Mapping[type[ast.AST], Callable[[Any], Any]] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}


@cache
def value_of(level: Any) -> Any:
    """Return what a level means in a condition: a text with a unit is its SI value, all else is itself."""
    if isinstance(level, str) and level[:1].isdigit():
        for unit in UNITS:
            try:
                return parse_quantity(level, unit)
            except ValueError:
                continue
    return level


@dataclass(frozen=True, eq=False)
class Expression:
    """A condition that was read: its text, the names in it in order, and a function of their values in that order."""

    text: str
    names: tuple[str, ...]
    function: Term

    def holds(self, values: Sequence[Any]) -> bool:
        """Whether it holds for the values of its names; raises SpecError where they do not go together."""
        try:
            return bool(self.function(values))
        except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
            given = ", ".join(f"{name} = {value!r}" for name, value in zip(self.names, values, strict=True))
            raise SpecError(f"condition {self.text!r} makes no sense with {given}: {error}") from None


def read_expression(text: str, known: Iterable[str]) -> Expression:
    """Read a condition over the known names; raises SpecError that says what cannot be read, or the nearest name."""
    reader = _Reader(text, tuple(known))
    try:
        tree = ast.parse(str(text).strip(), mode="eval")
    except SyntaxError as error:
        raise SpecError(f"condition {text!r} cannot be read: {error.msg}") from None
    function = reader.term(tree.body)
    if not reader.names:
        raise SpecError(f"condition {text!r} names no axis; {suggest('', reader.known)}")
    return Expression(str(text), tuple(reader.names), function)


class _Reader:
    """Turns the tree of a condition into nested functions, and collects its names."""

    def __init__(self, text: str, known: tuple[str, ...]) -> None:
        self.text, self.known = text, known
        self.names: list[str] = []

    def term(self, node: ast.AST) -> Term:
        """Return the function of one node."""
        for kinds, read in self._readers:
            if isinstance(node, kinds):
                return read(node)
        raise SpecError(f"condition {self.text!r}: {ast.unparse(node)!r} is not understood; use names of axes, numbers and comparisons")

    @property
    def _readers(self) -> tuple[tuple[Any, Callable[[Any], Term]], ...]:
        return (
            (ast.Constant, _constant),
            (ast.Name | ast.Attribute, lambda node: self._axis(_dotted(node))),
            (ast.BinOp, lambda node: _both(self._operator(node, node.op), self.term(node.left), self.term(node.right))),
            (ast.BoolOp, lambda node: _many([self.term(one) for one in node.values], all if isinstance(node.op, ast.And) else any)),
            (ast.Compare, self._chain),
            (ast.UnaryOp, lambda node: _one(_UNARY[type(node.op)], self.term(node.operand))),
            (ast.List | ast.Tuple | ast.Set, lambda node: _many([self.term(one) for one in node.elts], list)),
            (ast.Call, self._call),
        )

    def _axis(self, name: str) -> Term:
        if name not in self.known:
            raise SpecError(f"condition {self.text!r}: there is no axis {name!r}; {suggest(name, self.known)}")
        if name not in self.names:
            self.names.append(name)
        place = self.names.index(name)
        return lambda values: values[place]

    def _operator(self, node: ast.AST, sign: ast.AST) -> Callable[[Any, Any], Any]:
        if type(sign) not in _BINARY:
            raise SpecError(f"condition {self.text!r}: {ast.unparse(node)!r} is not understood; use + - * / // % ** and comparisons")
        return _BINARY[type(sign)]

    def _chain(self, node: ast.Compare) -> Term:
        terms = [self.term(one) for one in (node.left, *node.comparators)]
        pairs = [_both(self._operator(node, op), a, b) for op, (a, b) in zip(node.ops, pairwise(terms), strict=True)]
        return _many(pairs, all)

    def _call(self, node: ast.Call) -> Term:
        name, arguments = ast.unparse(node.func), node.args
        if name == "axis" and len(arguments) == 1 and isinstance(arguments[0], ast.Constant):
            return self._axis(str(arguments[0].value))
        if name not in FUNCTIONS or node.keywords:
            raise SpecError(f"condition {self.text!r}: function {name!r} is not known; {suggest(name, [*FUNCTIONS, 'axis'])}")
        function, terms = FUNCTIONS[name], [self.term(one) for one in arguments]
        return lambda values: function(*(term(values) for term in terms))


def _constant(node: ast.Constant) -> Term:
    constant = value_of(node.value)
    return lambda _: constant


def _one(function: Callable[[Any], Any], inner: Term) -> Term:
    return lambda values: function(inner(values))


def _both(function: Callable[[Any, Any], Any], left: Term, right: Term) -> Term:
    return lambda values: function(left(values), right(values))


def _many(terms: list[Term], of: Callable[[Iterable[Any]], Any]) -> Term:
    return lambda values: of(term(values) for term in terms)


def _dotted(node: ast.AST) -> str:
    """Return the name that attributes of attributes spell."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ast.unparse(node)

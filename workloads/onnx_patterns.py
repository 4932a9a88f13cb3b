"""Recognize norms and activations that an exporter wrote out as arithmetic, and make each one op again.

A pattern is a small graph of op types over one activation `X`; the same pattern object stands for the same tensor
wherever it appears. Operands of commutative ops may come in either order. The steps inside a match may be read by
nothing outside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import permutations

from workloads.onnx_facts import Fact, Step
from workloads.onnx_flow import Flow

_COMMUTATIVE = frozenset(("Add", "Mul"))


@dataclass(frozen=True, eq=False)
class Leaf:
    """An operand of a pattern: any activation, or a stored number with this value (None: any stored tensor)."""

    stored: bool = False
    value: float | None = None


@dataclass(frozen=True, eq=False)
class Made:
    """The result of one of several op types on operands; further inputs of the node do not matter."""

    op_types: frozenset[str]
    operands: tuple[Leaf | Made, ...]


Pattern = Leaf | Made


@dataclass
class _Match:
    """What each pattern object stands for, and the steps that were found."""

    facts: dict[int, Fact] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def copy(self) -> _Match:
        """Return an independent copy, to try an alternative on."""
        return _Match(dict(self.facts), list(self.steps))


def made(op_types: str, *operands: Pattern) -> Made:
    """Pattern of an op; alternatives are separated by spaces."""
    return Made(frozenset(op_types.split()), operands)


X = Leaf()
STORED = Leaf(stored=True)


def number(value: float) -> Leaf:
    """A stored number with this value."""
    return Leaf(stored=True, value=value)


def _any() -> Leaf:
    """A stored tensor of any value, one for each place."""
    return Leaf(stored=True)


def _layer_norms() -> Iterator[tuple[str, Made]]:
    """(x - mean) / sqrt(mean((x - mean)^2) + eps), Ba et al. 2016 (arXiv:1607.06450), equations 3 and 4."""
    centered = made("Sub", X, made("ReduceMean", X))
    again = made("Sub", X, made("ReduceMean", X))
    for other in (centered, again):
        for square in (made("Pow", other, number(2.0)), made("Mul", other, other)):
            spread = made("Sqrt", made("Add", made("ReduceMean", square), _any()))
            yield "LayerNormalization", made("Div", centered, spread)
            yield "LayerNormalization", made("Mul", centered, made("Reciprocal", spread))
            yield "LayerNormalization", made("Mul", centered, made("Div", _any(), spread))
            inverse = made("Pow", made("Add", made("ReduceMean", square), _any()), number(-0.5))
            yield "LayerNormalization", made("Mul", centered, inverse)


def _rms_norms() -> Iterator[tuple[str, Made]]:
    """Root mean square norm: x / sqrt(mean(x^2) + eps), Zhang and Sennrich 2019 (arXiv:1910.07467), equation 4."""
    for square in (made("Pow", X, number(2.0)), made("Mul", X, X)):
        spread = made("Sqrt", made("Add", made("ReduceMean", square), _any()))
        yield "RMSNormalization", made("Div", X, spread)
        yield "RMSNormalization", made("Mul", X, made("Reciprocal", spread))
        yield "RMSNormalization", made("Mul", X, made("Div", _any(), spread))


def _gelus() -> Iterator[tuple[str, Made]]:
    """x/2 (1 + erf(x / sqrt 2)), its tanh form and x sigmoid(1.702 x): Hendrycks and Gimpel 2016 (arXiv:1606.08415)."""
    error = made("Erf", made("Div Mul", X, _any()))
    cube = (made("Pow", X, number(3.0)), made("Mul", X, made("Mul", X, X)), made("Mul", X, made("Pow", X, number(2.0))))
    series = [made("Add", X, made("Mul", _any(), power)) for power in cube]
    # c (x + a x^3) as written, or c x (1 + a x^2)
    arguments = [made("Mul", _any(), each) for each in series]
    factor = made("Add", _any(), made("Mul", _any(), made("Mul", X, X)))
    arguments += [made("Mul", made("Mul", X, _any()), factor), made("Mul", _any(), made("Mul", X, factor))]
    for gate in (error, *(made("Tanh", argument) for argument in arguments)):
        one_plus = made("Add", gate, _any())
        yield "Gelu", made("Mul", made("Mul Div", X, _any()), one_plus)
        yield "Gelu", made("Mul Div", made("Mul", X, one_plus), _any())
        yield "Gelu", made("Mul", X, made("Mul Div", one_plus, _any()))
        yield "Gelu", made("Mul", X, made("Add", made("Mul", gate, _any()), _any()))
    yield "Gelu", made("Mul", X, made("Sigmoid", made("Mul", X, _any())))


def _gated() -> Iterator[tuple[str, Made]]:
    """Silu x sigmoid(x) (arXiv:1710.05941), HardSwish x relu6(x + 3) / 6 (1905.02244, 5.2), Mish x tanh(softplus(x)) (1908.08681)."""
    yield "Silu", made("Mul", X, made("Sigmoid", X))
    yield "Mish", made("Mul", X, made("Tanh", made("Softplus", X)))
    yield "HardSwish", made("Mul", X, made("HardSigmoid", X))
    shifted = made("Clip", made("Add", X, _any()))
    yield "HardSwish", made("Div Mul", made("Mul", X, shifted), _any())
    yield "HardSwish", made("Mul", X, made("Div Mul", shifted, _any()))
    yield "HardSigmoid", made("Div Mul", shifted, _any())


def _softmaxes() -> Iterator[tuple[str, Made]]:
    """exp(x - max x) / sum(exp(x - max x))."""
    power = made("Exp", made("Sub", X, made("ReduceMax", X)))
    yield "Softmax", made("Div", power, made("ReduceSum", power))


def _by_sink() -> dict[str, list[tuple[str, Made]]]:
    """Patterns by the type of their last op, in the order in which they are tried: the largest first."""
    table: dict[str, list[tuple[str, Made]]] = {}
    for family in (_layer_norms, _rms_norms, _gelus, _gated, _softmaxes):
        for name, pattern in family():
            for op_type in pattern.op_types:
                table.setdefault(op_type, []).append((name, pattern))
    return table


_PATTERNS: Mapping[str, list[tuple[str, Made]]] = _by_sink()
# A HardSigmoid written out must not hide the HardSwish that reads it.
_SECOND = frozenset(("HardSigmoid",))


def merge_patterns(flow: Flow) -> None:
    """Replace every match by one step; scale and shift of a norm join it where nothing else reads it."""
    for second in (False, True):
        for step in list(flow):
            for name, pattern in _PATTERNS.get(step.op_type, ()):
                if (name in _SECOND) == second and not step.domain and _merge(flow, step, name, pattern):
                    break


def _merge(flow: Flow, sink: Step, name: str, pattern: Made) -> bool:
    """Try one pattern at one step."""
    match = _find(flow, pattern, sink.out, _Match())
    if match is None or id(X) not in match.facts:
        return False
    steps = list({id(step): step for step in match.steps}.values())
    inner = [step for step in steps if step is not sink]
    for step in inner:
        if flow.is_output(step.out) or any(all(reader is not other for other in steps) for reader in flow.readers(step.out)):
            return False
    members = [op_type for step in steps for op_type in step.members]
    flow.replace(sink, inner, [match.facts[id(X)]], name, members)
    if name.endswith("Normalization"):
        _take_affine(flow, sink)
    return True


def _find(flow: Flow, pattern: Pattern, fact: Fact, match: _Match) -> _Match | None:
    """Match a pattern against a tensor and what made it."""
    bound = match.facts.get(id(pattern))
    if bound is not None:
        return match if bound is fact or (bound.base is fact.base and bound.shape == fact.shape) else None
    if isinstance(pattern, Leaf):
        return _bind(pattern, fact, match) if _fits(pattern, fact) else None
    step = flow.maker(fact)
    if step is None or step.op_type not in pattern.op_types or step.domain or fact.view_of is not None:
        return None
    operands = [operand for operand in step.inputs[: len(pattern.operands)] if operand is not None]
    if len(operands) < len(pattern.operands):
        return None
    orders = permutations(operands) if step.op_type in _COMMUTATIVE and len(operands) == 2 else iter([tuple(operands)])
    for order in orders:
        trial: _Match | None = match.copy()
        for part, operand in zip(pattern.operands, order, strict=True):
            trial = _find(flow, part, operand, trial) if trial is not None else None
        if trial is not None:
            trial.steps.append(step)
            return _bind(pattern, fact, trial)
    return None


def _bind(pattern: Pattern, fact: Fact, match: _Match) -> _Match:
    """Remember what a pattern object stands for."""
    match.facts[id(pattern)] = fact
    return match


def _fits(leaf: Leaf, fact: Fact) -> bool:
    """Whether a tensor can be an operand: an activation, or a stored number of the right value."""
    if fact.stored != leaf.stored:
        return False
    if leaf.value is None:
        return True
    return fact.value is not None and fact.value.size == 1 and abs(float(fact.value.reshape(-1)[0]) - leaf.value) < 1e-6


def _take_affine(flow: Flow, norm: Step) -> None:
    """Let a norm take the stored scale and then the stored shift that are applied to its result."""
    for op_type in ("Mul", "Add"):
        reader = flow.only_reader(norm.out)
        if reader is None or reader.op_type != op_type or reader.domain or len(reader.present) != 2:
            continue
        stored = [fact for fact in reader.present if fact.stored]
        if len(stored) != 1 or reader.out.shape != norm.out.shape:
            continue
        norm.members.extend(reader.members)
        flow.absorb(norm, reader, stored)

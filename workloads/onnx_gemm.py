"""Lower nodes that multiply and accumulate to grouped GEMMs, with the operands they store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from workloads.graph import Gemm, OpKind
from workloads.onnx_facts import Fact, Shape, ShapeError, Step, loose_broadcast
from workloads.ops import conv_gemm, vector_ops

# Scalar operations per hidden unit and step beside the MACs: sigmoid and tanh at 5 each, and the gate products.
_RNN_GATES: Mapping[str, int] = {"LSTM": 4, "GRU": 3, "RNN": 1}
RECURRENT = frozenset(_RNN_GATES)
_RNN_VECTOR_OPS: Mapping[str, int] = {"LSTM": 3 * 5 + 2 * 5 + 4, "GRU": 2 * 5 + 5 + 5, "RNN": 5 + 1}


@dataclass
class Priced:
    """What an op costs before it gets its tensors' names; `n_read` counts stored elements, None all of them."""

    kind: OpKind
    inputs: list[Fact]
    weights: list[Fact] = field(default_factory=list)
    gemm: Gemm | None = None
    n_vector_ops: int = 0
    n_read: int | None = None


def split_operands(facts: Sequence[Fact | None]) -> tuple[list[Fact], list[Fact]]:
    """Activations and stored tensors among the inputs; single stored numbers are immediate operands and left out."""
    inputs: list[Fact] = []
    weights: list[Fact] = []
    for fact in facts:
        if fact is None or (fact.stored and fact.n_elements <= 1):
            continue
        for part in fact.items if fact.items is not None else [fact]:
            target = weights if part.stored else inputs
            if all(part.base is not other.base for other in target):
                target.append(part)
    return inputs, weights


def conv(step: Step, x_at: int = 0, w_at: int = 1, bias_at: int | None = 2) -> Priced:
    """Convolution: groups x (N OH OW, Cin/groups KH KW, Cout/groups)."""
    x, w, out = step.need(x_at), step.need(w_at), step.result
    if len(w.shape) < 3:
        raise ShapeError(f"node {step.name!r} ({step.op_type}): weight of shape {w.shape} is no convolution kernel")
    groups = int(step.attr("group", 1))
    if step.op_type.startswith("Nhwc"):
        n, out_channels, pixels = out.shape[0], w.shape[0], prod(out.shape[1:-1])
        gemm = Gemm(groups, n * pixels, prod(w.shape[1:]), out_channels // groups)
    else:
        _check_extent(step, x, x.shape[1], w, w.shape[1] * groups)
        gemm = conv_gemm(out.shape[0], w.shape[1] * groups, w.shape[0], prod(w.shape[2:]), prod(out.shape[2:]), groups)
    bias = None if bias_at is None else step.input(bias_at)
    summand = step.input(3) if step.op_type == "FusedConv" else None
    return _with_operands(x, w, [bias, summand], gemm, out.n_elements)


def _check_extent(step: Step, x: Fact, n_x: int, w: Fact, n_w: int) -> None:
    """Refuse operands whose channels differ, which ONNX's inference lets pass; a guessed shape is given the benefit."""
    if n_x != n_w and not x.assumed and not w.assumed:
        shapes = f"{x.shape}, {w.shape}"
        raise ShapeError(f"node {step.name!r} ({step.op_type}) cannot take inputs of shape {shapes}: {n_x} channels meet {n_w}")


def conv_integer(step: Step) -> Priced:
    """Convolution of integers; zero points that are known are immediate, others are read."""
    return _with_zero_points(conv(step, 0, 1, None), step)


def _with_zero_points(priced: Priced, step: Step) -> Priced:
    """Add the zero points of an integer product, inputs 2 and 3, where they are computed at run time."""
    priced.inputs += split_operands([step.input(2), step.input(3)])[0]
    return priced


def qlinear_conv(step: Step) -> Priced:
    """Quantized convolution: x, w and bias at 0, 3 and 8."""
    return conv(step, 0, 3, 8)


def conv_transpose(step: Step) -> Priced:
    """Transposed convolution: each input pixel spreads over its kernel, Hin Win Cin Cout/groups KH KW."""
    x, w = step.need(0), step.need(1)
    groups = int(step.attr("group", 1))
    gemm = Gemm(groups, x.shape[0] * prod(x.shape[2:]), x.shape[1] // groups, w.shape[1] * prod(w.shape[2:]))
    return _with_operands(x, w, [step.input(2)], gemm, step.result.n_elements)


def causal_conv(step: Step) -> Priced:
    """Depthwise causal convolution over time: x [batch, channels, length], w [channels, 1, taps]."""
    x, w = step.need(0), step.need(1)
    batch, channels, length = x.shape
    gemm = Gemm(channels, batch * length, w.shape[-1], 1)
    return _with_operands(x, w, [step.input(2), step.input(3)], gemm, 0)


def deform_conv(step: Step) -> Priced:
    """Deformable convolution: a convolution whose taps are bilinear samples (4 products and sums a tap)."""
    priced = conv(step, 0, 1, 3)
    for fact in (step.need(2), step.input(4)):
        if fact is not None:
            (priced.weights if fact.stored else priced.inputs).append(fact)
    if priced.gemm:
        priced.n_vector_ops += 8 * priced.gemm.groups * priced.gemm.m * priced.gemm.k
    return priced


def _with_operands(x: Fact, w: Fact, extras: Sequence[Fact | None], gemm: Gemm, n_out: int) -> Priced:
    """Attach operands: a stored B is a weight, another one makes the product dynamic; a running bias costs an add."""
    inputs, weights = split_operands([fact for fact in extras if fact is not None and fact.base is not w.base])
    n_vector = n_out * len(inputs)
    if w.stored:
        return Priced(OpKind.MATMUL, _unique([x, *inputs]) if not x.stored else inputs, [w, *weights], gemm, n_vector)
    gemm = Gemm(gemm.groups, gemm.m, gemm.k, gemm.n, dynamic=True)
    return Priced(OpKind.MATMUL, [x, w, *inputs], weights, gemm, n_vector)


def _unique(facts: list[Fact]) -> list[Fact]:
    """Each tensor once."""
    return list({id(fact.base): fact for fact in facts}.values())


def gemm(step: Step, a_at: int = 0, b_at: int = 1, c_at: int = 2) -> Priced:
    """Fully connected layer: A[m, k] B[k, n] + C, either operand transposed on request."""
    a, b, c = step.need(a_at), step.need(b_at), step.input(c_at)
    a_shape = _two_axes(a.shape)
    m, k = a_shape[::-1] if step.attr("transA", 0) else a_shape
    b_shape = _two_axes(b.shape)
    n, k_of_b = b_shape if step.attr("transB", 0) else b_shape[::-1]
    _check_extent(step, a, k, b, k_of_b)
    if a.stored and not b.stored:  # stored A: the transposed product has it on the right
        return _with_operands(b, a, [c], Gemm(1, n, k, m), m * n)
    return _with_operands(a, b, [c], Gemm(1, m, k, n), m * n)


def _two_axes(shape: Shape) -> Shape:
    """A matrix of at least two axes, the leading ones joined."""
    return (prod(shape[:-1]), shape[-1]) if shape else (1, 1)


def matmul(step: Step, a_at: int = 0, b_at: int = 1) -> Priced:
    """Matrix product with batch axes.

    A stored operand is read once for all rows: groups are its own batch axes, m all rows of the other
    operand. Two activations: one group for each product of the (broadcast) batch of B.
    """
    a, b = step.need(a_at), step.need(b_at)
    a_shape, b_shape = _matrix(a.shape, left=True), _matrix(b.shape, left=False)
    if step.attr("transA", 0):
        a_shape = (*a_shape[:-2], a_shape[-1], a_shape[-2])
    if step.attr("transB", 0):
        b_shape = (*b_shape[:-2], b_shape[-1], b_shape[-2])
    batch = prod(loose_broadcast(a_shape[:-2], b_shape[:-2]))
    rows, k, n = a_shape[-2], a_shape[-1], b_shape[-1]
    if a.stored and not b.stored:
        groups = prod(a_shape[:-2])
        return _with_operands(b, a, [], Gemm(groups, batch // groups * n, k, rows), 0)
    groups = prod(b_shape[:-2])
    return _with_operands(a, b, [], Gemm(groups, batch // groups * rows, k, n), 0)


def _matrix(shape: Shape, *, left: bool) -> Shape:
    """A vector as a row on the left and a column on the right; anything else as it is."""
    if len(shape) == 1:
        return (1, shape[0]) if left else (shape[0], 1)
    return shape or (1, 1)


def qlinear_matmul(step: Step) -> Priced:
    """Quantized matrix product: operands at 0 and 3."""
    return matmul(step, 0, 3)


def qgemm(step: Step) -> Priced:
    """Quantized fully connected layer: A, B and C at 0, 3 and 6."""
    return gemm(step, 0, 3, 6)


def matmul_integer(step: Step) -> Priced:
    """Product of integers; the contrib form that returns floats also has a bias at 6."""
    priced = _with_zero_points(matmul(step), step)
    if step.op_type == "MatMulIntegerToFloat":
        priced.weights += split_operands([step.input(6)])[1]
    return priced


def matmul_nbits(step: Step) -> Priced:
    """Product with packed weights: A [..., K], B stored as N x K values of few bits."""
    a, b = step.need(0), step.need(1)
    k, n = int(step.attr("K")), int(step.attr("N"))
    weights = [b, *split_operands([step.input(2)])[1]]
    return Priced(OpKind.MATMUL, [a], weights, Gemm(1, a.n_elements // max(k, 1), k, n))


def recurrent(step: Step) -> Priced:
    """LSTM, GRU or RNN: seq batch dirs gates hidden (input + hidden) MACs; X and the state form one operand."""
    op_type = "LSTM" if step.op_type == "DynamicQuantizeLSTM" else step.op_type
    x, w, r = step.need(0), step.need(1), step.need(2)
    gates = _RNN_GATES[op_type]
    hidden = int(step.attr("hidden_size", 0)) or min(r.shape[1:])
    dirs = w.shape[0]
    n_rows = prod(x.shape[:2])
    product = Gemm(dirs, n_rows, x.shape[2] + hidden, gates * hidden)
    n_vector = _RNN_VECTOR_OPS[op_type] * dirs * n_rows * hidden
    inputs, weights = split_operands([x, w, r, *step.inputs[3:]])
    return Priced(OpKind.MATMUL, inputs, weights, product, n_vector)


def einsum(step: Step) -> Priced:
    """Sum of products over indices: MACs are the product of all index extents.

    Indices of both operands and the result are groups, of both but not the result k, of one of them m or n.
    """
    facts = step.present
    terms, result = _einsum_terms(str(step.attr("equation", "")), [fact.shape for fact in facts])
    extents = _index_extents(terms, [fact.shape for fact in facts])
    if len(facts) == 1:
        kind = OpKind.MOVE if set(terms[0]) == set(result) else OpKind.REDUCE
        return Priced(kind, facts, n_vector_ops=0 if kind is OpKind.MOVE else facts[0].n_elements)
    if len(facts) > 2:
        inputs, weights = split_operands(facts)
        n_result = prod(extents[i] for i in set(result))
        return Priced(OpKind.MATMUL, inputs, weights, Gemm(1, n_result, prod(extents.values()) // max(n_result, 1), 1))
    (a, b), (left, right) = facts, (set(terms[0]), set(terms[1]))
    if a.stored and not b.stored:
        (a, b), (left, right) = (b, a), (right, left)
    both = left & right
    groups = prod(extents[i] for i in both & set(result))
    k = prod(extents[i] for i in both - set(result))
    m, n = (prod(extents[i] for i in side - both) for side in (left, right))
    return _with_operands(a, b, [], Gemm(groups, m, k, n), 0)


def _einsum_terms(equation: str, shapes: list[Shape]) -> tuple[list[str], str]:
    """Indices of each operand and of the result; an ellipsis becomes upper-case placeholders."""
    left, _, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    ranks = [len(shape) - len(term.replace("...", "")) for term, shape in zip(terms, shapes, strict=False) if "..." in term]
    dots = "".join(chr(0x391 + i) for i in range(max(ranks, default=0)))  # Greek letters never clash with indices
    full = [_spell(term, dots, len(shape)) for term, shape in zip(terms, shapes, strict=False)]
    if "->" not in equation:
        once = sorted(i for i in set(left) if i.isalpha() and left.count(i) == 1)
        return full, dots + "".join(once)
    return full, right.replace("...", dots)


def _spell(term: str, dots: str, rank: int) -> str:
    """A term with its ellipsis written out, aligned at the last axis."""
    if "..." not in term:
        return term
    n_dots = rank - len(term) + 3
    return term.replace("...", dots[len(dots) - n_dots :])


def _index_extents(terms: list[str], shapes: list[Shape]) -> dict[str, int]:
    """Extent of each index; the greater where one side broadcasts."""
    extents: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=False):
        for index, extent in zip(term, shape, strict=False):
            extents[index] = max(extents.get(index, 1), extent)
    return extents


def add_activation(priced: Priced, step: Step) -> None:
    """Cost of the activation that a contrib op carries in its attributes."""
    name = str(step.attr("activation", ""))
    if name:
        priced.n_vector_ops += vector_ops(name, step.result.n_elements)


MATMUL_RULES: Mapping[str, Callable[[Step], Priced]] = {
    "CausalConvWithState": causal_conv,
    "Conv": conv,
    "ConvInteger": conv_integer,
    "ConvTranspose": conv_transpose,
    "DeformConv": deform_conv,
    "DynamicQuantizeLSTM": recurrent,
    "DynamicQuantizeMatMul": matmul,
    "Einsum": einsum,
    "FusedConv": conv,
    "FusedGemm": gemm,
    "FusedMatMul": matmul,
    "GRU": recurrent,
    "Gemm": gemm,
    "LSTM": recurrent,
    "MatMul": matmul,
    "MatMulBnb4": matmul_nbits,
    "MatMulFpQ4": matmul_nbits,
    "MatMulInteger": matmul_integer,
    "MatMulIntegerToFloat": matmul_integer,
    "MatMulNBits": matmul_nbits,
    "NhwcConv": conv,
    "NhwcFusedConv": conv,
    "QGemm": qgemm,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "RNN": recurrent,
    "TransposeMatMul": matmul,
}

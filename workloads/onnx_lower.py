"""Turn the steps of a walked graph into the ops and tensors of a workload."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod

from workloads.errors import WorkloadError
from workloads.graph import Gemm, Op, OpKind, Tensor, TensorKind
from workloads.onnx_attention import attention_pieces
from workloads.onnx_contrib import CANONICAL
from workloads.onnx_facts import INDEX_TYPES, Fact, ShapeError, Step, words
from workloads.onnx_gemm import MATMUL_RULES, RECURRENT, Priced, add_activation, split_operands
from workloads.ops import NORM_OPS_PER_ELEMENT, SOFTMAX_OPS_PER_ELEMENT, SPECIAL, is_known, kind_of, vector_ops

# Ops of the standard that `workloads.ops` does not list, because no network of the zoo has them.
_MORE_KINDS: Mapping[str, OpKind] = {
    **dict.fromkeys(words("MaxRoiPool RoiAlign"), OpKind.POOL),
    **dict.fromkeys(words("Unique Det NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss"), OpKind.REDUCE),
    **dict.fromkeys(words("GroupNorm SkipGroupNorm LpNormalization"), OpKind.NORM),
    **dict.fromkeys(
        words(
            "Acos Acosh Asin Asinh Atan Atanh Celu Cosh Sinh Tan Shrink Binarizer BitwiseAnd BitwiseNot BitwiseOr BitwiseXor "
            "CumProd STFT DFT MelWeightMatrix HannWindow HammingWindow BlackmanWindow ImageScaler QLinearWhere"
        ),
        OpKind.ELEMENTWISE,
    ),
    **dict.fromkeys(
        words(
            "AffineGrid Bernoulli BitCast CastLike CenterCropPad Col2Im ConcatFromSequence ConstantOfShape EyeLike GridSample Identity "
            "MaxUnpool Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reshape Squeeze TensorScatter "
            "Unsqueeze"
        ),
        OpKind.MOVE,
    ),
}
# Look-ups read the elements they return and not the whole table.
_LOOKUPS = frozenset(("Gather", "GatherElements", "GatherND", "Compress"))
# Leading inputs that carry data; the others say where, how far or how many.
_N_DATA: Mapping[str, int] = {
    **dict.fromkeys(words("ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum"), 1),
    **dict.fromkeys(words("CenterCropPad CumSum Expand OneHot Pad ReduceSumSquare Resize Slice Split Tile TopK Trilu Upsample"), 1),
    "NonMaxSuppression": 2,
}
# assumed: a fast Fourier transform of n points takes 5 n log2(n) real operations (radix-2 butterflies).
_FFT_OPS = 5
# Samples that one result of an interpolation reads, per resized axis.
_TAPS: Mapping[str, int] = {"nearest": 0, "linear": 2, "bilinear": 2, "cubic": 4, "bicubic": 4}


def canonical_type(step: Step) -> str:
    """The standard op type that a step costs like."""
    return CANONICAL.get(step.op_type, step.op_type)


def step_kind(step: Step) -> OpKind:
    """How a device sees a step."""
    if step.op_type in MATMUL_RULES:
        return OpKind.MATMUL
    op_type = canonical_type(step)
    return kind_of(op_type) if is_known(op_type) else _MORE_KINDS.get(op_type, OpKind.MOVE)


class Lowering:
    """Collects ops, tensors and coverage of one graph."""

    def __init__(self, inputs: list[Fact]) -> None:
        self.ops: list[Op] = []
        self.tensors: dict[str, Tensor] = {}
        self.costed: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()
        self.notes: list[str] = []
        for fact in inputs:
            self.declare(fact)

    def declare(self, fact: Fact, *, number: bool = False) -> str:
        """Declare the tensor that holds a fact's elements, once, and return its name.

        `number` says that it holds data even where its type is an integer: sums of integer products.
        """
        base = fact.base
        if base.name not in self.tensors:
            kind = base.kind
            if kind is None:
                index = base.dtype in INDEX_TYPES and not number
                kind = TensorKind.INDEX if index else TensorKind.ACTIVATION
            if base.stored and base.kind is None:
                kind = TensorKind.WEIGHT
            shape = (base.repeat, *base.shape) if base.repeat > 1 else base.shape
            self.tensors[base.name] = Tensor(base.name, shape, kind, 32 if kind is TensorKind.INDEX else 8)
        return base.name

    def lower(self, step: Step, used: Callable[[Fact], bool]) -> None:
        """Append the op or ops of one step; `used` says whether a fact is read by anything."""
        pieces = attention_pieces(step)
        outputs = [fact for fact in step.outputs if fact is not None]
        read = [fact for fact in outputs if used(fact)] or outputs[:1]
        if pieces is None:
            self._count(step, step_kind(step))
            self._emit(step, step.op_type, price(step), read, step.name)
            return
        self._count(step, OpKind.MATMUL)
        for i, piece in enumerate(pieces):
            last = i + 1 == len(pieces)
            self._emit(step, piece.op_type, piece.priced, read if last else [piece.output], step.name if last else f"{step.name}/{i}")

    def _count(self, step: Step, kind: OpKind) -> None:
        """Count the source nodes of a step, and note a type that has no rule."""
        for op_type in step.members:
            (self.moved if kind is OpKind.MOVE else self.costed)[op_type] += 1
        op_type = canonical_type(step)
        if not is_known(op_type) and op_type not in _MORE_KINDS and step.op_type not in MATMUL_RULES and kind is OpKind.MOVE:
            self.notes.append(f"warning: node {step.name!r} of type {step.op_type!r} is not known; priced as data movement")
        if op_type in RECURRENT and (n_steps := step.need(0).shape[0]) > 1:
            self.notes.append(
                f"node {step.name!r} of type {step.op_type!r}: {n_steps} steps are priced as one product; that each waits for the one "
                "before is not modeled, so its latency is a lower bound"
            )

    def _emit(self, step: Step, op_type: str, priced: Priced, outputs: list[Fact], name: str) -> None:
        """Append one op."""
        n_vector = (priced.n_vector_ops + (step.n_fused_vector_ops if name == step.name else 0)) * step.repeat
        weights = [self.declare(fact) for fact in _distinct([*priced.weights, *(step.extra_weights if name == step.name else [])])]
        n_weights = sum(self.tensors[weight].n_elements for weight in weights)
        if priced.n_read is not None:
            n_weights = priced.n_read * step.repeat
        fused = tuple(step.fused) if name == step.name else ()
        canonical = CANONICAL.get(op_type, op_type)
        self.ops.append(
            Op(
                name=name,
                op_type=op_type,
                kind=priced.kind,
                inputs=tuple(self.declare(fact) for fact in priced.inputs),
                outputs=tuple(self.declare(fact, number=priced.kind is OpKind.MATMUL) for fact in outputs),
                weights=tuple(weights),
                gemm=_repeated(priced.gemm, step.repeat),
                n_vector_ops=n_vector,
                n_weight_elements=n_weights,
                special=canonical in SPECIAL or bool(SPECIAL.intersection(fused)) or canonical in ("LSTM", "GRU", "RNN"),
                fused=fused,
            )
        )


def _distinct(facts: list[Fact]) -> list[Fact]:
    """Each stored tensor once."""
    return list({id(fact.base): fact for fact in facts}.values())


def _repeated(gemm: Gemm | None, n_repeats: int) -> Gemm | None:
    """The product of all turns of a loop: more rows of stored weights, more groups of two activations."""
    if gemm is None or n_repeats == 1:
        return gemm
    return replace(gemm, groups=gemm.groups * n_repeats) if gemm.dynamic else replace(gemm, m=gemm.m * n_repeats)


def price(step: Step) -> Priced:
    """Cost of a step. Raises ShapeError when an input or attribute that its type needs is missing."""
    try:
        return _price(step)
    except WorkloadError:
        raise
    except Exception as error:
        raise ShapeError(f"node {step.name!r} ({step.op_type}) cannot be priced ({type(error).__name__}: {error})") from None


def _price(step: Step) -> Priced:
    """Cost of a step by its kind."""
    rule = MATMUL_RULES.get(step.op_type)
    if rule is not None:
        priced = rule(step)
        add_activation(priced, step)
        return priced
    kind = step_kind(step)
    inputs, weights = split_operands(_operands(step))
    priced = Priced(kind, inputs, weights)
    op_type = canonical_type(step)
    n_in = step.present[0].n_elements if step.present else 0
    if kind is OpKind.ELEMENTWISE:
        priced.n_vector_ops = _elementwise_ops(step, op_type)
    elif kind is OpKind.POOL:
        priced.n_vector_ops = _pool_ops(step, op_type, n_in)
    elif kind is OpKind.SOFTMAX:
        priced.n_vector_ops = SOFTMAX_OPS_PER_ELEMENT * n_in
    elif kind is OpKind.NORM:
        priced.n_vector_ops = NORM_OPS_PER_ELEMENT * (step.result.n_elements if op_type == "LayerNormalization" else n_in)
    elif kind is OpKind.REDUCE:
        priced.n_vector_ops = n_in
    elif op_type in ("Resize", "Upsample", "GridSample"):
        priced.n_vector_ops = _interpolation_ops(step)
    elif op_type in _LOOKUPS and step.present and step.present[0].stored:
        priced.n_read = step.result.n_elements
    if step.op_type == "EmbedLayerNormalization":
        priced.n_read = sum(step.result.n_elements if len(fact.shape) == 2 else fact.n_elements for fact in weights)
    return priced


def _operands(step: Step) -> list[Fact | None]:
    """Inputs that carry data: stored bounds, axes and sizes are part of the instruction."""
    n_data = _N_DATA.get(step.op_type, len(step.inputs))
    return [fact for i, fact in enumerate(step.inputs) if i < n_data or (fact is not None and not fact.stored)]


def _elementwise_ops(step: Step, op_type: str) -> int:
    """Scalar operations of an element-wise op; of a sum over several inputs one less than there are inputs."""
    n_out = step.result.n_elements
    if op_type in ("Sum", "Max", "Min", "Mean"):
        return max(len(step.present) - 1, 1) * n_out
    if op_type in ("STFT", "DFT"):
        axis = step.result.shape[-2] if len(step.result.shape) > 1 else n_out
        return _FFT_OPS * n_out * max(int(axis).bit_length(), 1)
    return vector_ops(op_type, n_out)


def _pool_ops(step: Step, op_type: str, n_in: int) -> int:
    """Scalar operations of a pool: one for each element of each window."""
    if op_type.startswith("Global"):
        return n_in
    kernel = step.attr("kernel_shape")
    if kernel is not None:
        return step.result.n_elements * prod(int(extent) for extent in kernel)
    taps = 4 * max(int(step.attr("sampling_ratio", 0)), 1) ** 2 if op_type == "RoiAlign" else 1
    return step.result.n_elements * taps


def _interpolation_ops(step: Step) -> int:
    """Two scalar operations for each sample that a result mixes; none when the nearest is copied."""
    x, out = step.need(0), step.result
    taps = _TAPS.get(str(step.attr("mode", "nearest")), 2)
    if step.op_type == "GridSample":
        return 2 * out.n_elements * int(taps ** max(len(x.shape) - 2, 1))
    n_resized = sum(1 for a, b in zip(x.shape, out.shape, strict=False) if a != b)
    return 2 * out.n_elements * int(taps**n_resized) if taps and n_resized else 0

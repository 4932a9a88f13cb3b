"""What is computed: tensors, ops and the graph they form. Knows no hardware."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from math import prod

from workloads.errors import WorkloadError


class OpKind(IntEnum):
    """How a device sees an op; the integer goes into kernels."""

    MATMUL = 0  # convolution, fully connected layer, matrix product: a grouped GEMM
    POOL = 1  # windowed maximum or mean
    ELEMENTWISE = 2  # add, multiply, activation, affine batch norm
    SOFTMAX = 3  # softmax and log-softmax
    NORM = 4  # layer, group, instance and local response normalization
    REDUCE = 5  # sum, mean, maximum along axes, arg-maximum, top-k
    MOVE = 6  # concat, transpose, slice, gather, pad, cast, resize; and every op not known


class TensorKind(IntEnum):
    """What a tensor is for; decides its bits and where it may live."""

    WEIGHT = 0  # constant during inference: weights, biases, tables
    ACTIVATION = 1  # made by an op
    INPUT = 2  # given from outside at each inference
    STATE = 3  # kept between inferences: key and value caches
    INDEX = 4  # integers that address others: token ids, positions


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named array. `shape` counts elements, `bits` is the width of one element."""

    name: str
    shape: tuple[int, ...]
    kind: TensorKind = TensorKind.ACTIVATION
    bits: int = 8

    @property
    def n_elements(self) -> int:
        """Number of elements; 1 for a scalar."""
        return prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Bytes when packed without gaps: ceil(elements * bits / 8)."""
        return -(-self.n_elements * self.bits // 8)


@dataclass(frozen=True, slots=True)
class Gemm:
    """`groups` independent products A[m, k] B[k, n], the form every MAC op is lowered to.

    A convolution is (groups, N*OH*OW, Cin/groups*KH*KW, Cout/groups); padded taps are counted.
    `dynamic` says that B is an activation (attention) and not a stored weight.
    """

    groups: int
    m: int
    k: int
    n: int
    dynamic: bool = False

    @property
    def n_macs(self) -> int:
        """Multiply-accumulates: groups * m * k * n."""
        return self.groups * self.m * self.k * self.n


@dataclass(frozen=True, slots=True)
class Op:
    """One operation after folding. `inputs[0]` is A of a GEMM, `inputs[1]` its B when dynamic.

    `n_vector_ops` counts scalar operations beside the MACs (folded activations included);
    `special` says that some of them are exponentials, roots or divisions.
    `n_weight_elements` counts stored elements that are read: a look-up reads rows, not its table.
    """

    name: str
    op_type: str
    kind: OpKind
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[str, ...] = ()
    gemm: Gemm | None = None
    n_vector_ops: int = 0
    n_weight_elements: int = 0
    special: bool = False
    fused: tuple[str, ...] = ()

    @property
    def n_macs(self) -> int:
        """Multiply-accumulates of the op."""
        return self.gemm.n_macs if self.gemm else 0


@dataclass(frozen=True, slots=True)
class Coverage:
    """Op type → count of graph nodes: priced as themselves, priced as movement, or no run-time work."""

    costed: Mapping[str, int] = field(default_factory=dict)
    data_movement: Mapping[str, int] = field(default_factory=dict)
    free: Mapping[str, int] = field(default_factory=dict)

    @property
    def n_nodes(self) -> int:
        """All nodes of the source graph."""
        return sum(sum(part.values()) for part in (self.costed, self.data_movement, self.free))


@dataclass(frozen=True, slots=True)
class Edge:
    """`src` and `dst` are op indices; `tensor` travels between them."""

    src: int
    dst: int
    tensor: str


@dataclass(frozen=True)
class Workload:
    """A directed acyclic graph of ops in topological order.

    `n_params` counts trainable values (batch-norm scale and shift included, running statistics not);
    `dims` are the values chosen for named dimensions; `notes` say what was assumed while reading; `own_bits` says that bits were chosen
    tensor by tensor, and stay.
    """

    name: str
    tensors: Mapping[str, Tensor]
    ops: tuple[Op, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    n_params: int
    batch: int = 1
    coverage: Coverage = field(default_factory=Coverage)
    dims: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    source: str = ""
    own_bits: bool = False

    def __post_init__(self) -> None:
        """Refuse a graph with unknown tensors, two producers of one tensor, or ops out of order."""
        made: set[str] = set()
        produced = {name for op in self.ops for name in op.outputs}
        for op in self.ops:
            for name in (*op.inputs, *op.weights, *op.outputs):
                if name not in self.tensors:
                    raise WorkloadError(f"{self.name}: op {op.name!r} names tensor {name!r}, which is not declared")
            for name in op.inputs:
                if name in produced and name not in made:
                    raise WorkloadError(f"{self.name}: op {op.name!r} reads {name!r} before it is made: cycle or wrong order")
            for name in op.outputs:
                if name in made:
                    raise WorkloadError(f"{self.name}: tensor {name!r} is made twice, the second time by {op.name!r}")
                made.add(name)

    @property
    def n_macs(self) -> int:
        """Multiply-accumulates of one inference of the whole batch."""
        return sum(op.n_macs for op in self.ops)

    @cached_property
    def weight_tensors(self) -> tuple[Tensor, ...]:
        """Every stored tensor that some op reads, once each, in order of first use."""
        names = dict.fromkeys(name for op in self.ops for name in op.weights)
        return tuple(self.tensors[name] for name in names)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all stored tensors."""
        return sum(tensor.n_bytes for tensor in self.weight_tensors)

    @cached_property
    def producer(self) -> Mapping[str, int]:
        """Tensor name → index of the op that makes it."""
        return {name: index for index, op in enumerate(self.ops) for name in op.outputs}

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """One edge for each tensor and reading op, ordered by (dst, position among its inputs)."""
        return tuple(
            Edge(self.producer[name], dst, name)
            for dst, op in enumerate(self.ops)
            for name in dict.fromkeys(op.inputs)
            if name in self.producer
        )

    def with_bits(self, weight_bits: int, activation_bits: int) -> Workload:
        """Return the same graph at other precisions; index tensors, and all where bits are its own, keep theirs."""
        for what, bits in (("weight bits", weight_bits), ("activation bits", activation_bits)):
            if not 1 <= bits <= 32:
                raise WorkloadError(f"{what}: {bits} is out of range; choose 1 to 32")
        if self.own_bits:
            return self
        new_bits = {TensorKind.WEIGHT: weight_bits, TensorKind.INDEX: None}
        tensors = {
            name: tensor if tensor.kind is TensorKind.INDEX else replace(tensor, bits=new_bits.get(tensor.kind) or activation_bits)
            for name, tensor in self.tensors.items()
        }
        return replace(self, tensors=tensors)

    def op_types(self) -> Counter[str]:
        """How many ops of each type are left after folding."""
        return Counter(op.op_type for op in self.ops)

    def __iter__(self) -> Iterator[Op]:
        """Iterate over ops in topological order."""
        return iter(self.ops)

"""Build a workload layer by layer; what the zoo's families are written with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from workloads.errors import WorkloadError
from workloads.graph import Coverage, Gemm, Op, OpKind, Tensor, TensorKind, Workload
from workloads.ops import (
    NORM_OPS_PER_ELEMENT,
    SOFTMAX_OPS_PER_ELEMENT,
    SPECIAL,
    conv_gemm,
    conv_out,
    kind_of,
    vector_ops,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor as the next layer sees it: its name, and a shape that may be a view of the stored one."""

    name: str
    shape: tuple[int, ...]

    def view(self, *shape: int) -> Value:
        """Return the same elements under another shape; costs nothing at run time."""
        if prod(shape) != prod(self.shape):
            raise WorkloadError(f"{self.name}: {self.shape} cannot be viewed as {shape}: {prod(self.shape)} != {prod(shape)} elements")
        return Value(self.name, shape)


class GraphBuilder:
    """Collect ops in the order of the calls; shapes are batch first, channels second.

    Batch norms are folded (their scale and shift are counted as parameters), activations ride on the
    op that feeds them, and reshapes are views: the coverage says so.
    """

    def __init__(self, name: str, batch: int = 1) -> None:
        """Start an empty graph."""
        self.name, self.batch = name, batch
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []
        self.inputs: list[str] = []
        self.n_params = 0
        self._positive(batch=batch)
        self._costed: Counter[str] = Counter()
        self._moved: Counter[str] = Counter()
        self._free: Counter[str] = Counter()

    def input(self, name: str, *shape: int, kind: TensorKind = TensorKind.INPUT) -> Value:
        """Declare a tensor that comes from outside; the batch axis is part of `shape`."""
        if name in self.tensors:
            raise WorkloadError(f"{self.name}: two tensors are named {name!r}")
        self._positive(**{f"{name} axis {axis}": size for axis, size in enumerate(shape)})
        bits = 32 if kind is TensorKind.INDEX else 8
        self.tensors[name] = Tensor(name, shape, kind, bits)
        self.inputs.append(name)
        return Value(name, shape)

    def weight(self, name: str, *shape: int, trainable: bool = True) -> str:
        """Declare a stored tensor once and return its name; a second call shares it (tied weights)."""
        if name not in self.tensors:
            self._positive(**{f"{name} axis {axis}": size for axis, size in enumerate(shape)})
            self.tensors[name] = Tensor(name, shape, TensorKind.WEIGHT)
            self.n_params += prod(shape) if trainable else 0
        elif self.tensors[name].shape != shape:
            raise WorkloadError(f"{self.name}: {name!r} has shape {self.tensors[name].shape} and cannot be shared as {shape}")
        return name

    def conv2d(
        self,
        x: Value,
        out_channels: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        pad: int | str = 0,
        *,
        groups: int = 1,
        bias: bool = False,
        norm: bool = False,
        act: str = "",
        name: str = "",
    ) -> Value:
        """Two-dimensional convolution, with folded batch norm and activation on request.

        `pad` is the padding of each side, or "same": output = ceil(input / stride).
        """
        n, c, h, w = x.shape
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        self._positive(channels=out_channels, kernel=min(kh, kw), stride=stride, groups=groups)
        if pad == "same":
            oh, ow = -(-h // stride), -(-w // stride)
        else:
            oh, ow = conv_out(h, kh, stride, 2 * int(pad)), conv_out(w, kw, stride, 2 * int(pad))
        if c % groups or out_channels % groups or min(oh, ow) < 1:
            raise WorkloadError(
                f"{self.name}: a {kh}x{kw} convolution of {c} channels of {h}x{w} pixels to {out_channels} channels in {groups} groups "
                "has no result; choose a larger image or a group count that divides both channel counts"
            )
        name = name or self._fresh("conv")
        weights = self._layer_weights(name, (out_channels, c // groups, kh, kw), bias=bias, norm=norm)
        gemm = conv_gemm(n, c, out_channels, kh * kw, oh * ow, groups)
        return self._emit(name, "Conv", (x,), (n, out_channels, oh, ow), weights=weights, gemm=gemm, act=act)

    def linear(
        self,
        x: Value,
        out_features: int,
        *,
        bias: bool = True,
        norm: bool = False,
        act: str = "",
        name: str = "",
        weight: str = "",
    ) -> Value:
        """Fully connected layer over the last axis; `weight` names a shared table of (out_features, k) to reuse."""
        *lead, k = x.shape
        self._positive(features=out_features)
        name = name or self._fresh("linear")
        weights = self._layer_weights(name, (out_features, k), bias=bias, norm=norm, shared=weight)
        gemm = Gemm(1, prod(lead), k, out_features)
        return self._emit(name, "Gemm", (x,), (*lead, out_features), weights=weights, gemm=gemm, act=act)

    def matmul(self, a: Value, b: Value, *extra: Value, gemm: Gemm, shape: tuple[int, ...], act: str = "", name: str = "") -> Value:
        """Product of two activations; the caller states the GEMM and the result's shape.

        `extra` are further inputs that continue operand B (new keys or values beside a cache).
        """
        return self._emit(name or self._fresh("matmul"), "MatMul", (a, b, *extra), shape, gemm=gemm, act=act)

    def expert_linear(self, x: Value, gemm: Gemm, experts: int, *, act: str = "", name: str = "", weight: str = "") -> Value:
        """Fully connected layers of `gemm.groups` of the `experts` that are stored; only those used are read.

        x is (groups * m, k) and the result (groups * m, n). Raises WorkloadError when more experts are used than stored.
        """
        name = name or self._fresh("experts")
        if gemm.groups > experts:
            raise WorkloadError(f"{self.name}: {name!r} uses {gemm.groups} experts of {experts}")
        table = self.weight(weight or f"{name}.weight", experts, gemm.n, gemm.k)
        shape = (gemm.groups * gemm.m, gemm.n)
        return self._emit(name, "Gemm", (x,), shape, weights=[table], gemm=gemm, n_weight_elements=gemm.groups * gemm.k * gemm.n, act=act)

    def elementwise(self, op_type: str, *xs: Value, name: str = "") -> Value:
        """Element-wise op on equal or broadcast shapes; the result has the first one's shape."""
        shape = xs[0].shape
        return self._emit(name or self._fresh(op_type.lower()), op_type, xs, shape, n_vector=vector_ops(op_type, prod(shape)))

    def add(self, a: Value, b: Value, *, act: str = "", name: str = "") -> Value:
        """Element-wise sum, with a folded activation on request."""
        n_vector = vector_ops("Add", prod(a.shape))
        return self._emit(name or self._fresh("add"), "Add", (a, b), a.shape, n_vector=n_vector, act=act)

    def batch_norm(self, x: Value, *, act: str = "", name: str = "") -> Value:
        """Batch norm that no convolution precedes (pre-activation networks): scale and shift of each channel at run time."""
        name = name or self._fresh("batchnorm")
        weights = [self.weight(f"{name}.scale", x.shape[1]), self.weight(f"{name}.shift", x.shape[1])]
        n_vector = vector_ops("BatchNormalization", prod(x.shape))
        return self._emit(name, "BatchNormalization", (x,), x.shape, weights=weights, n_vector=n_vector, act=act)

    def affine(self, x: Value, *, act: str = "", name: str = "") -> Value:
        """Multiply by a trained coefficient and add a trained bias, one of each a channel (LeNet's subsampling layers)."""
        name = name or self._fresh("affine")
        weights = [self.weight(f"{name}.scale", x.shape[1]), self.weight(f"{name}.shift", x.shape[1])]
        return self._emit(name, "Mul", (x,), x.shape, weights=weights, n_vector=2 * prod(x.shape), act=act)

    def add_table(self, x: Value, rows: int, *, name: str = "") -> Value:
        """Add consecutive rows of a stored table to x (batch, length, width): learned positions. Reads length * width elements."""
        length, width = x.shape[-2:]
        if length > rows:
            raise WorkloadError(f"{self.name}: {length} positions asked of a table of {rows}; choose {rows} or fewer")
        name = name or self._fresh("positions")
        table = self.weight(f"{name}.weight", rows, width)
        n_vector = vector_ops("Add", prod(x.shape))
        return self._emit(name, "Add", (x,), x.shape, weights=[table], n_vector=n_vector, n_weight_elements=length * width)

    def pool(self, op_type: str, x: Value, kernel: int, stride: int, pad: int = 0, *, ceil: bool = False, name: str = "") -> Value:
        """Windowed MaxPool or AveragePool; `ceil` adds a last window that starts inside the image but reaches beyond it."""
        n, c, h, w = x.shape
        self._positive(kernel=kernel, stride=stride)
        oh, ow = (_pool_out(size, kernel, stride, pad, ceil=ceil) for size in (h, w))
        if min(oh, ow) < 1:
            raise WorkloadError(f"{self.name}: a {kernel}x{kernel} pool of {h}x{w} pixels has no result; choose a larger image")
        n_vector = n * c * oh * ow * kernel * kernel
        return self._emit(name or self._fresh("pool"), op_type, (x,), (n, c, oh, ow), n_vector=n_vector)

    def adaptive_pool(self, x: Value, height: int, width: int, name: str = "") -> Value:
        """Mean over windows floor(i*in/out) .. ceil((i+1)*in/out) of each axis; nothing at all when the size is right already."""
        n, c, h, w = x.shape
        if (h, w) == (height, width):
            return x
        taps = n * c * _adaptive_taps(h, height) * _adaptive_taps(w, width)
        return self._emit(name or self._fresh("adaptive"), "AveragePool", (x,), (n, c, height, width), n_vector=taps)

    def global_pool(self, x: Value, name: str = "") -> Value:
        """Mean over all pixels: (n, c, h, w) to (n, c)."""
        n, c = x.shape[:2]
        return self._emit(name or self._fresh("gap"), "GlobalAveragePool", (x,), (n, c), n_vector=prod(x.shape))

    def reduce(self, op_type: str, x: Value, shape: tuple[int, ...], name: str = "") -> Value:
        """Reduction to `shape` at one operation an input element: ReduceSum, ArgMax, TopK."""
        return self._emit(name or self._fresh(op_type.lower()), op_type, (x,), shape, n_vector=prod(x.shape))

    def squared_distance(self, x: Value, classes: int, name: str = "") -> Value:
        """Squared Euclidean distance of x (n, k) to one fixed code a class: subtract, square, sum. Not a MAC by the convention."""
        n, k = x.shape
        name = name or self._fresh("distance")
        codes = self.weight(f"{name}.codes", classes, k, trainable=False)
        return self._emit(name, "ReduceSumSquare", (x,), (n, classes), weights=[codes], n_vector=3 * n * k * classes)

    def softmax(self, x: Value, name: str = "") -> Value:
        """Softmax over the last axis."""
        n_vector = SOFTMAX_OPS_PER_ELEMENT * prod(x.shape)
        return self._emit(name or self._fresh("softmax"), "Softmax", (x,), x.shape, n_vector=n_vector)

    def norm(self, x: Value, op_type: str = "LayerNormalization", *, scale: bool = True, bias: bool = True, name: str = "") -> Value:
        """Layer, RMS or local response normalization; with scale and shift over the last axis unless told not to."""
        name = name or self._fresh("norm")
        weights = [self.weight(f"{name}.scale", x.shape[-1])] if scale else []
        if scale and bias:
            weights.append(self.weight(f"{name}.shift", x.shape[-1]))
        return self._emit(name, op_type, (x,), x.shape, weights=weights, n_vector=NORM_OPS_PER_ELEMENT * prod(x.shape))

    def embedding(self, ids: Value, rows: int, width: int, *, name: str = "", table: str = "") -> Value:
        """Look up `width` values a token in a table of `rows`; only the rows asked for are read."""
        name = name or self._fresh("embedding")
        table = table or self.weight(f"{name}.weight", rows, width)
        shape = (*ids.shape, width)
        return self._emit(name, "Gather", (ids,), shape, weights=[table], n_weight_elements=prod(shape))

    def move(self, op_type: str, xs: tuple[Value, ...], shape: tuple[int, ...], *, weights: Sequence[str] = (), name: str = "") -> Value:
        """Concat, transpose, slice, pad: every element of the result is read and written once, stored `weights` among them."""
        return self._emit(name or self._fresh(op_type.lower()), op_type, xs, shape, weights=list(weights))

    def free(self, op_type: str, count: int = 1) -> None:
        """Note a node of the published graph that does nothing at run time."""
        self._free[op_type] += count

    def build(self, *outputs: Value, dims: dict[str, int] | None = None, source: str = "", notes: tuple[str, ...] = ()) -> Workload:
        """Finish the graph."""
        return Workload(
            name=self.name,
            tensors=self.tensors,
            ops=tuple(self.ops),
            inputs=tuple(self.inputs),
            outputs=tuple(value.name for value in outputs),
            n_params=self.n_params,
            batch=self.batch,
            coverage=Coverage(dict(self._costed), dict(self._moved), dict(self._free)),
            dims={"batch": self.batch, **(dims or {})},
            notes=notes,
            source=source,
        )

    def _positive(self, **sizes: int) -> None:
        """Refuse sizes that are not whole numbers of 1 or more."""
        for what, size in sizes.items():
            if not isinstance(size, int) or size < 1:
                raise WorkloadError(f"{self.name}: {what} {size} is out of range; choose a whole number of 1 or more")

    def _layer_weights(self, name: str, shape: tuple[int, ...], *, bias: bool, norm: bool, shared: str = "") -> list[str]:
        """Declare weights of `shape` with a bias; a folded batch norm needs the bias, and trains a scale and a shift."""
        weights = [self.weight(shared or f"{name}.weight", *shape)]
        if bias or norm:
            weights.append(self.weight(f"{name}.bias", shape[0], trainable=bias))
        if norm:
            self.n_params += 2 * shape[0]
            self._free["BatchNormalization"] += 1
        return weights

    def _fresh(self, stem: str) -> str:
        """Return an unused op name."""
        return f"{stem}_{len(self.ops)}"

    def _emit(
        self,
        name: str,
        op_type: str,
        xs: tuple[Value, ...],
        shape: tuple[int, ...],
        *,
        weights: list[str] | None = None,
        gemm: Gemm | None = None,
        n_vector: int = 0,
        n_weight_elements: int | None = None,
        act: str = "",
    ) -> Value:
        """Append one op and return its result."""
        out = f"{name}:0"
        if out in self.tensors:
            raise WorkloadError(f"{self.name}: two layers are named {name!r}")
        self.tensors[out] = Tensor(out, shape)
        stored = weights or []
        if n_weight_elements is None:
            n_weight_elements = sum(self.tensors[w].n_elements for w in stored)
        kind = kind_of(op_type)
        (self._moved if kind is OpKind.MOVE else self._costed)[op_type] += 1
        if act:
            self._costed[act] += 1
        self.ops.append(
            Op(
                name=name,
                op_type=op_type,
                kind=kind,
                inputs=tuple(x.name for x in xs),
                outputs=(out,),
                weights=tuple(stored),
                gemm=gemm,
                n_vector_ops=n_vector + (vector_ops(act, prod(shape)) if act else 0),
                n_weight_elements=n_weight_elements,
                special=op_type in SPECIAL or act in SPECIAL,
                fused=(act,) if act else (),
            )
        )
        return Value(out, shape)


def _pool_out(size: int, kernel: int, stride: int, pad: int, *, ceil: bool) -> int:
    """Output extent of a pool; in ceil mode windows that would start in the right padding are dropped."""
    if not ceil:
        return conv_out(size, kernel, stride, 2 * pad)
    out = conv_out(size + stride - 1, kernel, stride, 2 * pad)
    return out - 1 if (out - 1) * stride >= size + pad else out


def _adaptive_taps(size: int, out: int) -> int:
    """Sum of the window lengths of an adaptive pool along one axis."""
    return sum(-(-(i + 1) * size // out) - i * size // out for i in range(out))

"""How many multiply-accumulates and vector operations an op takes, by op type.

MAC conventions are those of the published tables in `cosim/validation/data/networks.csv`: a convolution
counts every tap, padded ones too; biases, norms, activations, softmax, pooling and look-ups count none.
"""

from __future__ import annotations

from collections.abc import Mapping

from workloads.graph import Gemm, OpKind

# Scalar operations per output element of element-wise op types; anything absent costs 1.
# assumed: a table look-up or short polynomial (4 to 8 operations) stands for each transcendental.
VECTOR_OPS_PER_ELEMENT: Mapping[str, int] = {
    "BatchNormalization": 2,
    "Clip": 2,
    "Cos": 8,
    "Div": 4,
    "Elu": 5,
    "Erf": 8,
    "Exp": 4,
    "Gelu": 10,
    "HardSigmoid": 4,
    "HardSwish": 5,
    "LeakyRelu": 2,
    "Log": 4,
    "Mish": 10,
    "Pow": 4,
    "PRelu": 2,
    "Reciprocal": 4,
    "RotaryEmbedding": 3,
    "Selu": 5,
    "Sigmoid": 5,
    "Silu": 6,
    "Sin": 8,
    "Softplus": 5,
    "Sqrt": 4,
    "Tanh": 5,
}

# Op types whose result needs an exponential, logarithm, root or division unit.
_SPECIAL = (
    "Cos Div Elu Erf Exp Gelu Log Mish Pow Reciprocal Selu Sigmoid Silu Sin Softplus Sqrt Tanh "
    "Softmax LogSoftmax LayerNormalization InstanceNormalization GroupNormalization "
    "RMSNormalization SimplifiedLayerNormalization LRN MeanVarianceNormalization LpNormalization"
)
SPECIAL = frozenset(_SPECIAL.split())

# Activations that fold into the op that makes their input.
_FOLDABLE = "Relu LeakyRelu PRelu Clip Sigmoid Tanh HardSwish HardSigmoid Gelu Silu Elu Selu Mish Softplus"
FOLDABLE = frozenset(_FOLDABLE.split())

# Scalar operations per input element. assumed: passes of the textbook algorithms
# (softmax: maximum, subtract, exponential at 4, sum, divide at 4; layer norm: mean, variance, scale, shift).
SOFTMAX_OPS_PER_ELEMENT = 11
NORM_OPS_PER_ELEMENT = 8


def vector_ops(op_type: str, n_elements: int) -> int:
    """Scalar operations of an element-wise op over `n_elements` results."""
    return VECTOR_OPS_PER_ELEMENT.get(op_type, 1) * n_elements


def conv_gemm(batch: int, in_channels: int, out_channels: int, kernel: int, out_pixels: int, groups: int = 1) -> Gemm:
    """Lower a convolution to a grouped GEMM; `kernel` and `out_pixels` are products over the spatial axes."""
    return Gemm(groups, batch * out_pixels, in_channels // groups * kernel, out_channels // groups)


def conv_out(size: int, kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1) -> int:
    """Output extent of one axis; `pad` is the sum of both sides: floor((i + p - d(k-1) - 1) / s) + 1."""
    return (size + pad - dilation * (kernel - 1) - 1) // stride + 1


def kind_of(op_type: str) -> OpKind:
    """Kind of an op type by its ONNX name; what is not known is data movement."""
    return _KIND_OF_TYPE.get(op_type, OpKind.MOVE)


_TYPES_OF_KIND: Mapping[OpKind, str] = {
    OpKind.MATMUL: "Conv ConvTranspose ConvInteger QLinearConv Gemm MatMul MatMulInteger QLinearMatMul Einsum LSTM GRU RNN",
    OpKind.POOL: "MaxPool AveragePool GlobalAveragePool GlobalMaxPool LpPool GlobalLpPool",
    OpKind.ELEMENTWISE: (
        "Add Sub Mul Div Sum Mean Max Min Pow Abs Neg Sign Floor Ceil Round Mod Sqrt Exp Log Reciprocal Sin Cos Erf "
        "Relu LeakyRelu PRelu Clip Sigmoid Tanh HardSwish HardSigmoid Gelu Silu Elu Selu Mish Softplus Softsign "
        "BatchNormalization And Or Not Xor Equal Greater GreaterOrEqual Less LessOrEqual Where IsNaN IsInf BitShift "
        "QuantizeLinear DequantizeLinear DynamicQuantizeLinear CumSum ThresholdedRelu RotaryEmbedding"
    ),
    OpKind.SOFTMAX: "Softmax LogSoftmax Hardmax",
    OpKind.NORM: (
        "LayerNormalization InstanceNormalization GroupNormalization RMSNormalization "
        "SimplifiedLayerNormalization LRN MeanVarianceNormalization LpNormalization"
    ),
    OpKind.REDUCE: (
        "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum "
        "ReduceLogSumExp ArgMax ArgMin TopK NonMaxSuppression NonZero"
    ),
    OpKind.MOVE: (
        "Concat Split Slice Transpose Gather GatherElements GatherND Scatter ScatterElements ScatterND Pad Tile Expand "
        "Cast Resize Upsample DepthToSpace SpaceToDepth ReverseSequence OneHot Compress Trilu"
    ),
}
_KIND_OF_TYPE: Mapping[str, OpKind] = {name: kind for kind, names in _TYPES_OF_KIND.items() for name in names.split()}


def is_known(op_type: str) -> bool:
    """Whether the op type has its own rule here (as opposed to being priced as data movement)."""
    return op_type in _KIND_OF_TYPE

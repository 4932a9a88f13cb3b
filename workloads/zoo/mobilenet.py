"""MobileNet v1 and v2: depthwise separable convolutions, at several width multipliers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workloads.builder import GraphBuilder, Value
from workloads.registry import network

if TYPE_CHECKING:
    from workloads.graph import Workload

_V1 = "Howard et al., MobileNets (arXiv:1704.04861), table 1"
_V2 = "Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, CVPR 2018 (arXiv:1801.04381), table 2"
_MLPERF_TINY = "Banbury et al., MLPerf Tiny Benchmark, NeurIPS 2021 (arXiv:2106.07597)"

# Output channels and stride of the 13 depthwise separable blocks of v1 (table 1).
V1_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
# Expansion t, output channels c, repeats n and first stride s of v2 (table 2).
V2_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def make_divisible(size: float, divisor: int = 8) -> int:
    """Round to a multiple of `divisor`, but never by more than a tenth downwards (footnote of the authors' code)."""
    rounded = max(divisor, int(size + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * size else rounded


def mobilenet_v1(
    name: str,
    batch: int = 1,
    height: int = 224,
    width: int = 224,
    classes: int = 1000,
    *,
    multiplier: float,
    bias: bool = False,
) -> Workload:
    """3x3 stem of stride 2, 13 depthwise separable blocks, global mean, one linear layer; batch norm and ReLU throughout.

    `bias` keeps a bias in every convolution beside its batch norm, as MLPerf Tiny trains it.
    """
    b = GraphBuilder(name, batch)
    x = b.input("image", batch, 3, height, width)
    x = b.conv2d(x, make_divisible(32 * multiplier), 3, 2, 1, bias=bias, norm=True, act="Relu")
    for channels, stride in V1_BLOCKS:
        x = b.conv2d(x, x.shape[1], 3, stride, 1, groups=x.shape[1], bias=bias, norm=True, act="Relu")
        x = b.conv2d(x, make_divisible(channels * multiplier), 1, bias=bias, norm=True, act="Relu")
    x = b.linear(b.global_pool(x), classes)
    return b.build(x, dims={"height": height, "width": width, "classes": classes})


for _percent in (25, 50, 75, 100, 125):
    network(f"mobilenetv1_{_percent:03d}", title=f"MobileNet v1 x {_percent / 100:g}", paper=_V1, multiplier=_percent / 100)(mobilenet_v1)
network(
    "mlperf_tiny_mobilenet_vww",
    title="MLPerf Tiny visual wake words: MobileNet v1 x 0.25",
    paper=_MLPERF_TINY,
    dims={"height": 96, "width": 96, "classes": 2},
    multiplier=0.25,
    bias=True,
)(mobilenet_v1)


def mobilenet_v2(
    name: str, batch: int = 1, height: int = 224, width: int = 224, classes: int = 1000, *, multiplier: float = 1.0
) -> Workload:
    """Stem of stride 2, 17 inverted residuals, 1x1 convolution to 1280 channels, global mean, one linear layer.

    The multiplier scales every width; that of the last convolution only when it is above 1 (section 5).
    """
    b = GraphBuilder(name, batch)
    x = b.input("image", batch, 3, height, width)
    x = b.conv2d(x, make_divisible(32 * multiplier), 3, 2, 1, norm=True, act="Clip")
    for expansion, channels, repeats, first_stride in V2_STAGES:
        for repeat in range(repeats):
            x = _inverted_residual(b, x, make_divisible(channels * multiplier), 1 if repeat else first_stride, expansion)
    x = b.conv2d(x, make_divisible(1280 * max(1.0, multiplier)), 1, norm=True, act="Clip")
    x = b.global_pool(x)
    b.free("Dropout")
    return b.build(b.linear(x, classes), dims={"height": height, "width": width, "classes": classes})


def _inverted_residual(b: GraphBuilder, x: Value, channels: int, stride: int, expansion: int) -> Value:
    """1x1 up by `expansion`, 3x3 depthwise, linear 1x1 down; added to the input where the shapes agree."""
    inner = x.shape[1] * expansion
    y = x if expansion == 1 else b.conv2d(x, inner, 1, norm=True, act="Clip")
    y = b.conv2d(y, inner, 3, stride, 1, groups=inner, norm=True, act="Clip")
    y = b.conv2d(y, channels, 1, norm=True)
    return b.add(x, y) if (stride, channels) == (1, x.shape[1]) else y


network("mobilenet_v2", title="MobileNet v2", paper=_V2, aliases=("mobilenetv2_100",))(mobilenet_v2)
for _short, _percent in (("x0_35", 35), ("x0_5", 50), ("x0_75", 75), ("x1_4", 140)):
    network(
        f"mobilenet_v2_{_short}",
        title=f"MobileNet v2 x {_percent / 100:g}",
        paper=_V2,
        aliases=(f"mobilenetv2_{_percent:03d}",),
        multiplier=_percent / 100,
    )(mobilenet_v2)

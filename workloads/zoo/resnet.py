"""Residual networks for ImageNet: ResNet (v1.5), ResNeXt, Wide ResNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workloads.builder import GraphBuilder, Value
from workloads.registry import network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workloads.graph import Workload

_RESNET = "He, Zhang, Ren, Sun, Deep residual learning for image recognition, CVPR 2016 (arXiv:1512.03385), table 1"
_RESNEXT = "Xie et al., Aggregated residual transformations for deep neural networks, CVPR 2017 (arXiv:1611.05431), table 1"
_WIDE = "Zagoruyko, Komodakis, Wide residual networks, BMVC 2016 (arXiv:1605.07146), table 8"

BASIC_DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECK_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def resnet(
    name: str,
    batch: int = 1,
    height: int = 224,
    width: int = 224,
    classes: int = 1000,
    *,
    depths: Sequence[int],
    bottleneck: bool,
    groups: int = 1,
    group_width: int = 64,
) -> Workload:
    """7x7 stem, four stages of widths 64 to 512 (times 4 with bottlenecks), global mean, one linear layer.

    The inner width of a bottleneck is width * group_width / 64 * groups. Version 1.5: the stride sits in
    the 3x3 convolution of a bottleneck; the shortcut that changes shape is a strided 1x1 convolution.
    """
    b = GraphBuilder(name, batch)
    x = b.input("image", batch, 3, height, width)
    x = b.pool("MaxPool", b.conv2d(x, 64, 7, 2, 3, norm=True, act="Relu"), 3, 2, 1)
    for stage, depth in enumerate(depths):
        channels = 64 << stage
        for block in range(depth):
            stride = 2 if stage and not block else 1
            if bottleneck:
                x = _bottleneck(b, x, channels * group_width * groups // 64, channels * 4, stride, groups)
            else:
                x = _basic(b, x, channels, stride)
    b.free("Flatten")
    x = b.linear(b.global_pool(x), classes)
    return b.build(x, dims={"height": height, "width": width, "classes": classes})


def _basic(b: GraphBuilder, x: Value, channels: int, stride: int) -> Value:
    """Two 3x3 convolutions."""
    y = b.conv2d(x, channels, 3, stride, 1, norm=True, act="Relu")
    y = b.conv2d(y, channels, 3, 1, 1, norm=True)
    return b.add(y, _shortcut(b, x, channels, stride), act="Relu")


def _bottleneck(b: GraphBuilder, x: Value, inner: int, outer: int, stride: int, groups: int) -> Value:
    """1x1 to the inner width, 3x3 in groups with the stride, 1x1 to the outer width."""
    y = b.conv2d(x, inner, 1, norm=True, act="Relu")
    y = b.conv2d(y, inner, 3, stride, 1, groups=groups, norm=True, act="Relu")
    y = b.conv2d(y, outer, 1, norm=True)
    return b.add(y, _shortcut(b, x, outer, stride), act="Relu")


def _shortcut(b: GraphBuilder, x: Value, channels: int, stride: int) -> Value:
    """The input itself, or a strided 1x1 convolution where the shape changes (option B)."""
    return x if (x.shape[1], stride) == (channels, 1) else b.conv2d(x, channels, 1, stride, norm=True)


for _n, _depths in BASIC_DEPTHS.items():
    network(f"resnet{_n}", title=f"ResNet-{_n}", paper=_RESNET, depths=_depths, bottleneck=False)(resnet)
for _n, _depths in BOTTLENECK_DEPTHS.items():
    network(f"resnet{_n}", title=f"ResNet-{_n} v1.5", paper=_RESNET, depths=_depths, bottleneck=True)(resnet)
for _n, _groups, _width in ((50, 32, 4), (101, 32, 8), (101, 64, 4)):
    network(
        f"resnext{_n}_{_groups}x{_width}d",
        title=f"ResNeXt-{_n}, {_groups} groups of width {_width}",
        paper=_RESNEXT,
        depths=BOTTLENECK_DEPTHS[_n],
        bottleneck=True,
        groups=_groups,
        group_width=_width,
    )(resnet)
for _n in (50, 101):
    network(
        f"wide_resnet{_n}_2",
        title=f"Wide ResNet-{_n}-2: inner widths doubled",
        paper=_WIDE,
        depths=BOTTLENECK_DEPTHS[_n],
        bottleneck=True,
        group_width=128,
    )(resnet)

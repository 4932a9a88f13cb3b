"""Residual networks for 32x32 images: the CIFAR-10 family of He et al. and the MLPerf Tiny ResNet-8."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workloads.builder import GraphBuilder, Value
from workloads.registry import network

if TYPE_CHECKING:
    from workloads.graph import Workload

_RESNET = "He, Zhang, Ren, Sun, Deep residual learning for image recognition, CVPR 2016 (arXiv:1512.03385), section 4.2"
_MLPERF_TINY = "Banbury et al., MLPerf Tiny Benchmark, NeurIPS 2021 (arXiv:2106.07597)"

# Depth 6n + 2 for n blocks a stage (table 6).
DEPTHS = (20, 32, 44, 56, 110, 1202)


def resnet_cifar(name: str, batch: int = 1, height: int = 32, width: int = 32, classes: int = 10, *, blocks: int) -> Workload:
    """3x3 stem, three stages of `blocks` basic blocks with widths 16, 32, 64, global mean, one linear layer.

    Shortcuts are option A, without parameters: where the shape changes the input is subsampled
    (Slice) and its channels are padded with zeros (Pad), both data movement.
    """
    b = GraphBuilder(name, batch)
    x = b.conv2d(b.input("image", batch, 3, height, width), 16, 3, 1, 1, norm=True, act="Relu")
    for stage, channels in enumerate((16, 32, 64)):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = b.conv2d(x, channels, 3, stride, 1, norm=True, act="Relu")
            y = b.conv2d(y, channels, 3, 1, 1, norm=True)
            x = b.add(y, x if stride == 1 else _option_a(b, x, y), act="Relu")
    x = b.linear(b.global_pool(x), classes)
    return b.build(x, dims={"height": height, "width": width, "classes": classes})


def _option_a(b: GraphBuilder, x: Value, like: Value) -> Value:
    """Every second pixel, zeros in the new channels."""
    n, _, h, w = like.shape
    x = b.move("Slice", (x,), (n, x.shape[1], h, w))
    return b.move("Pad", (x,), like.shape)


for _depth in DEPTHS:
    network(f"resnet{_depth}_cifar", title=f"ResNet-{_depth} for CIFAR-10", paper=_RESNET, blocks=(_depth - 2) // 6)(resnet_cifar)


@network("mlperf_tiny_resnet8_cifar", title="MLPerf Tiny image classification: ResNet-8", paper=_MLPERF_TINY)
def resnet8(name: str, batch: int = 1, height: int = 32, width: int = 32, classes: int = 10) -> Workload:
    """One block a stage; convolutions keep their biases beside the batch norm; plain strided 1x1 shortcuts in stages 2 and 3."""
    b = GraphBuilder(name, batch)
    x = b.conv2d(b.input("image", batch, 3, height, width), 16, 3, 1, "same", bias=True, norm=True, act="Relu")
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        y = b.conv2d(x, channels, 3, stride, "same", bias=True, norm=True, act="Relu")
        y = b.conv2d(y, channels, 3, 1, "same", bias=True, norm=True)
        shortcut = x if stride == 1 else b.conv2d(x, channels, 1, stride, "same", bias=True)
        x = b.add(y, shortcut, act="Relu")
    b.free("Flatten")
    x = b.softmax(b.linear(b.global_pool(x), classes))
    return b.build(x, dims={"height": height, "width": width, "classes": classes})

"""AlexNet: the one-tower form of 2014 and the two-tower form of 2012."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workloads.builder import GraphBuilder, Value
from workloads.registry import network

if TYPE_CHECKING:
    from workloads.graph import Workload

_ONE_TOWER = "Krizhevsky, One weird trick for parallelizing convolutional neural networks (arXiv:1404.5997), as in torchvision"
_TWO_TOWERS = "Krizhevsky, Sutskever, Hinton, ImageNet classification with deep convolutional neural networks, NIPS 2012"


@network("alexnet", title="AlexNet, one tower", paper=_ONE_TOWER)
def alexnet(name: str, batch: int = 1, height: int = 224, width: int = 224, classes: int = 1000) -> Workload:
    """Five convolutions and three fully connected layers; the features are pooled to 6x6 at any image size."""
    b = GraphBuilder(name, batch)
    x = b.input("image", batch, 3, height, width)
    x = b.pool("MaxPool", b.conv2d(x, 64, 11, 4, 2, bias=True, act="Relu"), 3, 2)
    x = b.pool("MaxPool", b.conv2d(x, 192, 5, 1, 2, bias=True, act="Relu"), 3, 2)
    for channels in (384, 256, 256):
        x = b.conv2d(x, channels, 3, 1, 1, bias=True, act="Relu")
    x = b.adaptive_pool(b.pool("MaxPool", x, 3, 2), 6, 6)
    return b.build(_classifier(b, x, classes), dims={"height": height, "width": width, "classes": classes})


@network("alexnet_caffe_grouped", title="AlexNet, 2012 layer shapes: convolutions 2, 4, 5 in two groups", paper=_TWO_TOWERS)
def alexnet_grouped(name: str, batch: int = 1, height: int = 227, width: int = 227, classes: int = 1000) -> Workload:
    """Pool, then local response normalization, after convolutions 1 and 2 (the order of the Caffe reference net)."""
    b = GraphBuilder(name, batch)
    x = b.input("image", batch, 3, height, width)
    x = b.pool("MaxPool", b.conv2d(x, 96, 11, 4, bias=True, act="Relu"), 3, 2)
    x = b.norm(x, "LRN", scale=False)
    x = b.pool("MaxPool", b.conv2d(x, 256, 5, 1, 2, groups=2, bias=True, act="Relu"), 3, 2)
    x = b.norm(x, "LRN", scale=False)
    for channels, groups in ((384, 1), (384, 2), (256, 2)):
        x = b.conv2d(x, channels, 3, 1, 1, groups=groups, bias=True, act="Relu")
    x = b.pool("MaxPool", x, 3, 2)
    return b.build(_classifier(b, x, classes), dims={"height": height, "width": width, "classes": classes})


def _classifier(b: GraphBuilder, x: Value, classes: int) -> Value:
    """4096-4096-classes over all features."""
    b.free("Flatten")
    x = x.view(b.batch, x.shape[1] * x.shape[2] * x.shape[3])
    for _ in range(2):
        b.free("Dropout")
        x = b.linear(x, 4096, act="Relu")
    return b.linear(x, classes)

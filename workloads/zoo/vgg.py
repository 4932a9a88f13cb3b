"""VGG: 3x3 convolutions in stages that halve the image; configurations A to E and the CIFAR-10 net of NeuroSim."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workloads.builder import GraphBuilder, Value
from workloads.registry import network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workloads.graph import Workload

_PAPER = "Simonyan, Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015 (arXiv:1409.1556), table 1"
_NEUROSIM = "Peng et al., DNN+NeuroSim V2.0, IEEE TCAD 40 (2021) 2306 (arXiv:2003.06471)"

# Convolutions in each of the five stages; widths 64, 128, 256, 512, 512.
DEPTHS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)


def vgg(
    name: str, batch: int = 1, height: int = 224, width: int = 224, classes: int = 1000, *, depths: Sequence[int], norm: bool = False
) -> Workload:
    """Stages of 3x3 convolutions with ReLU, each closed by a 2x2 max pool; 4096-4096-classes on features pooled to 7x7."""
    b = GraphBuilder(name, batch)
    x = _stages(b, b.input("image", batch, 3, height, width), depths, WIDTHS, bias=True, norm=norm)
    x = b.adaptive_pool(x, 7, 7)
    b.free("Flatten")
    x = x.view(batch, 512 * 7 * 7)
    for _ in range(2):
        x = b.linear(x, 4096, act="Relu")
        b.free("Dropout")
    return b.build(b.linear(x, classes), dims={"height": height, "width": width, "classes": classes})


for _name, _depths in DEPTHS.items():
    _title = f"VGG, {sum(_depths) + 3} layers"
    network(_name, title=_title, paper=_PAPER, depths=_depths)(vgg)
    network(f"{_name}_bn", title=f"{_title}, batch norm after each convolution", paper=_PAPER, depths=_depths, norm=True)(vgg)


@network("vgg8", title="VGG-8 of NeuroSim for CIFAR-10", paper=_NEUROSIM)
def vgg8(name: str, batch: int = 1, height: int = 32, width: int = 32, classes: int = 10) -> Workload:
    """Widths 128, 256, 512, two convolutions each, then 1024-classes; no biases (the quantized layers train none)."""
    b = GraphBuilder(name, batch)
    x = _stages(b, b.input("image", batch, 3, height, width), (2, 2, 2), (128, 256, 512), bias=False, norm=False)
    b.free("Flatten")
    x = b.linear(x.view(batch, x.shape[1] * x.shape[2] * x.shape[3]), 1024, bias=False, act="Relu")
    return b.build(b.linear(x, classes, bias=False), dims={"height": height, "width": width, "classes": classes})


def _stages(b: GraphBuilder, x: Value, depths: Sequence[int], widths: Sequence[int], *, bias: bool, norm: bool) -> Value:
    """3x3 convolutions of padding 1; a 2x2 max pool closes each stage."""
    for depth, channels in zip(depths, widths, strict=True):
        for _ in range(depth):
            x = b.conv2d(x, channels, 3, 1, 1, bias=bias, norm=norm, act="Relu")
        x = b.pool("MaxPool", x, 2, 2)
    return x

"""LeNet-5: the dense form used today, the original with its partial connections, and a smaller one to train in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workloads.builder import GraphBuilder, Value
from workloads.registry import network

if TYPE_CHECKING:
    from workloads.graph import Workload

_PAPER = "LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, Proc. IEEE 86 (1998) 2278"


@network("lenet5", title="LeNet-5, dense form", paper=_PAPER, aliases=("lenet",))
def lenet5(name: str, batch: int = 1, height: int = 32, width: int = 32, classes: int = 10) -> Workload:
    """Conv 6@5x5, mean pool, conv 16@5x5, mean pool, 120-84-classes with tanh.

    An image of 28x28 (MNIST as it is) is padded by 2 in the first convolution, so its counts equal those of 32x32.
    """
    b = GraphBuilder(name, batch)
    x = b.input("image", batch, 1, height, width)
    x = b.conv2d(x, 6, 5, pad=2 if (height, width) == (28, 28) else 0, bias=True, act="Tanh")
    x = b.pool("AveragePool", x, 2, 2)
    x = b.conv2d(x, 16, 5, bias=True, act="Tanh")
    x = b.pool("AveragePool", x, 2, 2)
    b.free("Flatten")
    x = x.view(batch, x.shape[1] * x.shape[2] * x.shape[3])
    for size in (120, 84):
        x = b.linear(x, size, act="Tanh")
    return b.build(b.linear(x, classes), dims={"height": height, "width": width, "classes": classes})


@network("cnn_small", title="Two convolutions and two fully connected layers for MNIST", paper=_PAPER)
def cnn_small(name: str, batch: int = 1, height: int = 28, width: int = 28, classes: int = 10) -> Workload:
    """Conv 8@5x5, max pool, conv 16@5x5, max pool, 64-classes with ReLU; both convolutions padded by 2.

    Layers as in `cosim.training.networks`, after LeNet-5: channels, sizes and activations are a choice made here.
    """
    b = GraphBuilder(name, batch)
    x = b.input("image", batch, 1, height, width)
    for channels in (8, 16):
        x = b.pool("MaxPool", b.conv2d(x, channels, 5, pad=2, bias=True, act="Relu"), 2, 2)
    b.free("Flatten")
    x = b.linear(x.view(batch, x.shape[1] * x.shape[2] * x.shape[3]), 64, act="Relu")
    return b.build(b.linear(x, classes), dims={"height": height, "width": width, "classes": classes})


@network("lenet5_1998", title="LeNet-5 as published: partial connections, trained subsampling, RBF output", paper=_PAPER)
def lenet5_1998(name: str, batch: int = 1) -> Workload:
    """The network of section II.B; C3 joins 16 maps to 6 over the 60 links of table I.

    C3 is three grouped convolutions: 6 maps of 3 neighbors, 9 maps of 4, 1 map of all 6. The RBF output
    (84 squared differences a class, fixed codes) has no MACs and no trained values.
    """
    b = GraphBuilder(name, batch)
    x = b.input("image", batch, 1, 32, 32)
    x = b.conv2d(x, 6, 5, bias=True, act="Tanh", name="C1")
    x = b.affine(b.pool("AveragePool", x, 2, 2), act="Tanh", name="S2")
    parts = [_c3_part(b, x, maps, links) for maps, links in ((6, 3), (9, 4), (1, 6))]
    x = b.move("Concat", tuple(parts), (batch, 16, 10, 10), name="C3")
    x = b.affine(b.pool("AveragePool", x, 2, 2), act="Tanh", name="S4")
    x = b.conv2d(x, 120, 5, bias=True, act="Tanh", name="C5")
    x = b.linear(x.view(batch, 120), 84, act="Tanh", name="F6")
    return b.build(b.squared_distance(x, 10, name="RBF"))


def _c3_part(b: GraphBuilder, x: Value, maps: int, links: int) -> Value:
    """`maps` output maps, each over its own `links` input maps: a grouped convolution on gathered channels."""
    gathered = b.move("Gather", (x,), (b.batch, maps * links, *x.shape[2:]), name=f"C3_gather_{links}")
    return b.conv2d(gathered, maps, 5, groups=maps, bias=True, act="Tanh", name=f"C3_{links}")

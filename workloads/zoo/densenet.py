"""DenseNet: every layer reads the features of all layers before it in its block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workloads.builder import GraphBuilder, Value
from workloads.registry import network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workloads.graph import Workload

_PAPER = "Huang, Liu, van der Maaten, Weinberger, Densely connected convolutional networks, CVPR 2017 (arXiv:1608.06993), table 1"

# Depth → (growth rate, stem channels, layers in each of the four blocks).
DEPTHS = {
    121: (32, 64, (6, 12, 24, 16)),
    161: (48, 96, (6, 12, 36, 24)),
    169: (32, 64, (6, 12, 32, 32)),
    201: (32, 64, (6, 12, 48, 32)),
    264: (32, 64, (6, 12, 64, 48)),
}


def densenet(
    name: str,
    batch: int = 1,
    height: int = 224,
    width: int = 224,
    classes: int = 1000,
    *,
    growth: int,
    stem: int,
    depths: Sequence[int],
) -> Workload:
    """7x7 stem, four dense blocks joined by transitions that halve channels and image, global mean, one linear layer.

    Batch norms before a convolution that reads concatenated features cannot be folded: they run as scale, shift and ReLU.
    """
    b = GraphBuilder(name, batch)
    x = b.input("image", batch, 3, height, width)
    x = b.pool("MaxPool", b.conv2d(x, stem, 7, 2, 3, norm=True, act="Relu"), 3, 2, 1)
    for block, depth in enumerate(depths):
        x = _dense_block(b, x, growth, depth)
        x = b.batch_norm(x, act="Relu")
        if block + 1 < len(depths):
            x = b.pool("AveragePool", b.conv2d(x, x.shape[1] // 2, 1), 2, 2)
    x = b.global_pool(x)
    b.free("Flatten")
    return b.build(b.linear(x, classes), dims={"height": height, "width": width, "classes": classes})


def _dense_block(b: GraphBuilder, x: Value, growth: int, depth: int) -> Value:
    """Layers of norm, ReLU, 1x1 to 4 * growth, 3x3 to growth, each on the concatenation of all before."""
    features = [x]
    for _ in range(depth):
        x = _concat(b, features)
        y = b.conv2d(b.batch_norm(x, act="Relu"), 4 * growth, 1, norm=True, act="Relu")
        features.append(b.conv2d(y, growth, 3, 1, 1))
    return _concat(b, features)


def _concat(b: GraphBuilder, features: list[Value]) -> Value:
    """Join along the channels; one part alone is itself."""
    if len(features) == 1:
        return features[0]
    n, _, h, w = features[0].shape
    return b.move("Concat", tuple(features), (n, sum(part.shape[1] for part in features), h, w))


for _depth, (_growth, _stem, _depths) in DEPTHS.items():
    network(f"densenet{_depth}", title=f"DenseNet-{_depth}", paper=_PAPER, growth=_growth, stem=_stem, depths=_depths)(densenet)

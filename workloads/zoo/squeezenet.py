"""SqueezeNet: fire modules that squeeze to few channels and expand by 1x1 and 3x3 convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workloads.builder import GraphBuilder, Value
from workloads.registry import network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workloads.graph import Workload

_PAPER = "Iandola et al., SqueezeNet (arXiv:1602.07360), table 1; 1.1 as in the authors' repository"

# Squeeze width of fire modules 2 to 9; each expands to 4 + 4 times as many channels.
SQUEEZE = (16, 16, 32, 32, 48, 48, 64, 64)


def squeezenet(
    name: str,
    batch: int = 1,
    height: int = 224,
    width: int = 224,
    classes: int = 1000,
    *,
    stem: tuple[int, int],
    pool_before: Sequence[int],
) -> Workload:
    """Stem of (channels, kernel) with stride 2, eight fire modules with a max pool before some, 1x1 classifier, global mean."""
    b = GraphBuilder(name, batch)
    x = b.conv2d(b.input("image", batch, 3, height, width), stem[0], stem[1], 2, bias=True, act="Relu")
    for fire, squeeze in enumerate(SQUEEZE, start=2):
        if fire in pool_before:
            x = b.pool("MaxPool", x, 3, 2, ceil=True)
        x = _fire(b, x, squeeze)
    b.free("Dropout")
    x = b.global_pool(b.conv2d(x, classes, 1, bias=True, act="Relu"))
    b.free("Flatten")
    return b.build(x, dims={"height": height, "width": width, "classes": classes})


def _fire(b: GraphBuilder, x: Value, squeeze: int) -> Value:
    """1x1 squeeze, then 1x1 and 3x3 expansions side by side."""
    x = b.conv2d(x, squeeze, 1, bias=True, act="Relu")
    parts = (b.conv2d(x, 4 * squeeze, 1, bias=True, act="Relu"), b.conv2d(x, 4 * squeeze, 3, 1, 1, bias=True, act="Relu"))
    return b.move("Concat", parts, (x.shape[0], 8 * squeeze, *x.shape[2:]))


network("squeezenet1_0", title="SqueezeNet 1.0", paper=_PAPER, stem=(96, 7), pool_before=(2, 5, 9))(squeezenet)
network("squeezenet1_1", title="SqueezeNet 1.1", paper=_PAPER, stem=(64, 3), pool_before=(2, 4, 6))(squeezenet)

"""DS-CNN for keyword spotting: one convolution and four depthwise separable blocks on a spectrogram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workloads.builder import GraphBuilder
from workloads.registry import network

if TYPE_CHECKING:
    from workloads.graph import Workload

_PAPER = (
    "Zhang, Suda, Lai, Chandra, Hello Edge: keyword spotting on microcontrollers (arXiv:1711.07128), as in MLPerf Tiny (arXiv:2106.07597)"
)


@network("mlperf_tiny_dscnn_kws", title="MLPerf Tiny keyword spotting: DS-CNN", paper=_PAPER, aliases=("dscnn_kws",))
def dscnn(name: str, batch: int = 1, height: int = 49, width: int = 10, classes: int = 12) -> Workload:
    """64 filters of 10x4 with stride 2, then 4 x (depthwise 3x3, pointwise 64); biases stay beside the batch norms.

    `height` counts frames (30 ms windows every 20 ms), `width` mel-frequency coefficients.
    """
    b = GraphBuilder(name, batch)
    x = b.input("spectrogram", batch, 1, height, width)
    x = b.conv2d(x, 64, (10, 4), 2, "same", bias=True, norm=True, act="Relu")
    b.free("Dropout")
    for _ in range(4):
        x = b.conv2d(x, 64, 3, 1, "same", groups=64, bias=True, norm=True, act="Relu")
        x = b.conv2d(x, 64, 1, bias=True, norm=True, act="Relu")
    b.free("Dropout")
    x = b.global_pool(x)
    b.free("Flatten")
    x = b.softmax(b.linear(x, classes))
    return b.build(x, dims={"height": height, "width": width, "classes": classes})

"""Multilayer perceptrons, the MLPerf Tiny autoencoder among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workloads.builder import GraphBuilder, Value
from workloads.errors import WorkloadError
from workloads.registry import network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workloads.graph import Workload

_BACKPROP = "Rumelhart, Hinton, Williams, Nature 323 (1986) 533"
_MNIST = "LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86 (1998) 2278"
_MLPERF_TINY = "Banbury et al., MLPerf Tiny Benchmark, NeurIPS 2021 (arXiv:2106.07597)"


@network("mlp", title="Multilayer perceptron of any size", paper=_BACKPROP)
def mlp(name: str, batch: int = 1, inputs: int = 784, hidden: int = 128, layers: int = 2, outputs: int = 10) -> Workload:
    """`layers` hidden layers of `hidden` units with ReLU, then a linear output layer; biases everywhere."""
    if layers < 1:
        raise WorkloadError(f"{name}: layers {layers} is out of range; choose 1 or more")
    return _perceptron(
        name, batch, [inputs, *[hidden] * layers, outputs], {"inputs": inputs, "hidden": hidden, "layers": layers, "outputs": outputs}
    )


@network("mlp_digits", title="64-32-10 for 8x8 digits", paper=_BACKPROP, sizes=(64, 32, 10))
@network("mlp_mnist", title="784-64-10 for MNIST", paper=_MNIST, sizes=(784, 64, 10))
def fixed_mlp(name: str, batch: int = 1, *, sizes: Sequence[int]) -> Workload:
    """Perceptron of given layer sizes, input and output included."""
    return _perceptron(name, batch, sizes, {})


@network("mlperf_tiny_autoencoder_ad", title="MLPerf Tiny anomaly detection: 640-128x4-8-128x4-640", paper=_MLPERF_TINY)
def autoencoder(name: str, batch: int = 1) -> Workload:
    """Dense autoencoder over 5 frames of 128 mel bands; every hidden layer has bias, batch norm and ReLU."""
    b = GraphBuilder(name, batch)
    x = b.input("input", batch, 640)
    for size in (128,) * 4 + (8,) + (128,) * 4:
        x = b.linear(x, size, norm=True, act="Relu")
    return b.build(b.linear(x, 640))


def _perceptron(name: str, batch: int, sizes: Sequence[int], dims: dict[str, int]) -> Workload:
    """Chain of fully connected layers; all but the last with ReLU."""
    b = GraphBuilder(name, batch)
    x: Value = b.input("input", batch, sizes[0])
    for size in sizes[1:-1]:
        x = b.linear(x, size, act="Relu")
    return b.build(b.linear(x, sizes[-1]), dims=dims)

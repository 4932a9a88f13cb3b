"""Networks that can be trained, by name: how each is built, the data it is meant for, and how raw inputs are scaled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from cosim.training.data import DIGITS, MNIST
from cosim.training.group_conv import group_conv, lifting_conv, max_over_turns, norm_over_turns
from cosim.training.network import Network
from workloads.errors import WorkloadError, suggest
from workloads.program import Ints, Program
from workloads.program_builder import ProgramBuilder

Build = Callable[[ProgramBuilder], str]
Scaling = tuple[float, float, float]

IMAGE, MNIST_PIXELS, DIGITS_PIXELS = (1, 28, 28), 784, 64
# (full, mean, std) of x = (raw / full - mean) / std, where it is not that of the data set.
PLAIN: Scaling = (255.0, 0.0, 1.0)

_LENET = "LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, Proc. IEEE 86 (1998) 2278"
_BACKPROP = "Rumelhart, Hinton, Williams, Nature 323 (1986) 533"
_RESNET = "He, Zhang, Ren, Sun, Deep residual learning for image recognition (arXiv:1512.03385), figure 2 and section 3.3, option B"
_DSCNN = (
    "Zhang, Suda, Lai, Chandra, Hello Edge: keyword spotting on microcontrollers (arXiv:1711.07128), as in MLPerf Tiny (arXiv:2106.07597)"
)

_GROUP = "Cohen, Welling, Group equivariant convolutional networks (arXiv:1602.07576), sections 6 and 8.1"


@dataclass(frozen=True)
class Trainable:
    """One name: what it is, its source, the data set it is trained on unless told otherwise, and (full, mean, std) of raw inputs."""

    name: str
    title: str
    paper: str
    data: str
    scaling: Scaling
    input_shape: tuple[int, ...]
    layers: Build

    def build(self, rng: np.random.Generator) -> Program:
        """The network with initial weights drawn from `rng`."""
        builder = ProgramBuilder(self.name, self.input_shape, rng)
        return builder.build(self.layers(builder))

    def ties(self) -> Mapping[str, Ints]:
        """Index of each array of weights that is made of fewer numbers: array = shared[index], shared a vector; the others are free."""
        builder = ProgramBuilder(self.name, self.input_shape, np.random.default_rng(0))
        self.layers(builder)
        return builder.ties

    def start(self, rng: np.random.Generator) -> Network:
        """The same with its scaling, in real numbers."""
        return Network(self.build(rng), self.scaling)


def trainable(name: str) -> Trainable:
    """The entry of a name; WorkloadError with the nearest name where there is none."""
    if name not in TRAINABLE:
        raise WorkloadError(f"network {name!r} cannot be trained here; {suggest(name, TRAINABLE)}")
    return TRAINABLE[name]


def _cnn_small(b: ProgramBuilder) -> str:
    """Conv 1-8 5x5 and 8-16 5x5, each padded by 2, with ReLU and max pool 2, then 784-64-10: 54,314 parameters."""
    x = b.input
    for channels in (8, 16):
        x = b.max_pool(b.relu(b.conv(x, channels, 5, pads=2)), 2)
    return _perceptron(b, b.flatten(x), 64, 10)


def _lenet5(b: ProgramBuilder) -> str:
    """Conv 6@5x5 padded by 2 and 16@5x5 with ReLU and max pool 2, then 400-120-84-10: 61,706 parameters."""
    x = b.max_pool(b.relu(b.conv(b.input, 6, 5, pads=2)), 2)
    x = b.max_pool(b.relu(b.conv(x, 16, 5)), 2)
    return _perceptron(b, b.flatten(x), 120, 84, 10)


def _perceptron(b: ProgramBuilder, x: str, *features: int) -> str:
    """Fully connected layers with ReLU between them."""
    for n in features[:-1]:
        x = b.relu(b.linear(x, n))
    return b.linear(x, features[-1])


def _resnet_small(b: ProgramBuilder) -> str:
    """Conv 16@3x3, max pool 2, residual blocks of 16, 32 and 64 channels (the last two halve the image), global mean, 64-10."""
    x = b.max_pool(_normed(b, b.input, 16, 3, pads=1), 2)
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        y = _normed(b, x, channels, 3, stride=stride, pads=1)
        y = b.batch_norm(b.conv(y, channels, 3, pads=1, bias=False))
        if stride > 1:
            x = b.batch_norm(b.conv(x, channels, 1, stride=stride, bias=False))
        x = b.relu(b.add(y, x))
    return b.linear(b.flatten(b.global_pool(x)), 10)


def _ds_cnn(b: ProgramBuilder) -> str:
    """Conv 32@10x4 with stride 2, then 4 x (depthwise 3x3, pointwise 32), global mean, 32-10; padded so that 28x28 gives 14x14.

    Half the 64 channels of the published network; no bias before a batch norm, whose shift does the same; no dropout.
    """
    n = 32
    x = _normed(b, b.input, n, (10, 4), stride=2, pads=(4, 1, 4, 1))
    for _ in range(4):
        x = _normed(b, x, n, 3, pads=1, groups=n)
        x = _normed(b, x, n, 1)
    return b.linear(b.flatten(b.global_pool(x)), 10)


def _p4_cnn(b: ProgramBuilder) -> str:
    """Lift to 8 maps of 4 turns by 5x5, group convolutions to 8 by 5x5 and to 16 by 3x3, max over turns, global mean, 16-10.

    11,474 numbers are shared; a turned image gives the same answer. Fewer layers than the published P4CNN.
    """
    x = b.max_pool(b.relu(norm_over_turns(b, lifting_conv(b, b.input, 8, 5))), 2)
    x = b.max_pool(b.relu(norm_over_turns(b, group_conv(b, x, 8, 5))), 2)
    x = max_over_turns(b, b.relu(norm_over_turns(b, group_conv(b, x, 16, 3))))
    return b.linear(b.flatten(b.global_pool(x)), 10)


def _p4_twin(b: ProgramBuilder) -> str:
    """The same layers as plain convolutions of twice as many maps (16, 16, 30): 11,616 parameters."""
    x = b.input
    for _ in range(2):
        x = b.max_pool(b.relu(b.batch_norm(b.conv(x, 16, 5, pads=2))), 2)
    x = b.relu(b.batch_norm(b.conv(x, 30, 3, pads=1)))
    return b.linear(b.flatten(b.global_pool(x)), 10)


def _normed(
    b: ProgramBuilder,
    x: str,
    channels: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    pads: int | tuple[int, int, int, int] = 0,
    groups: int = 1,
) -> str:
    """Convolution without bias, batch norm, ReLU."""
    return b.relu(b.batch_norm(b.conv(x, channels, kernel, stride=stride, pads=pads, groups=groups, bias=False)))


_ENTRIES = (
    Trainable("p4_cnn", "Group-equivariant network: sees no quarter turns", _GROUP, "mnist5k_rotated", MNIST, IMAGE, _p4_cnn),
    Trainable("p4_twin", "Plain twin of p4_cnn with as many parameters", _GROUP, "mnist5k_rotated", MNIST, IMAGE, _p4_twin),
    Trainable("cnn_small", "Two convolutions and two fully connected layers", _LENET, "mnist5k", MNIST, IMAGE, _cnn_small),
    Trainable("ds_cnn", "DS-CNN of keyword spotting, 32 channels, for 28x28", _DSCNN, "mnist5k", MNIST, IMAGE, _ds_cnn),
    Trainable("lenet5", "LeNet-5, dense form, with ReLU and max pool", _LENET, "mnist5k", MNIST, IMAGE, _lenet5),
    Trainable("mlp_digits", "64-32-10", _BACKPROP, "digits8x8", DIGITS, (DIGITS_PIXELS,), lambda b: _perceptron(b, b.input, 32, 10)),
    Trainable("mlp_mnist", "784-64-10", _BACKPROP, "mnist5k", PLAIN, (MNIST_PIXELS,), lambda b: _perceptron(b, b.input, 64, 10)),
    Trainable("resnet_small", "Residual network of three blocks", _RESNET, "mnist5k", MNIST, IMAGE, _resnet_small),
)
TRAINABLE: Mapping[str, Trainable] = MappingProxyType({entry.name: entry for entry in _ENTRIES})

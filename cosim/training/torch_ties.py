"""Weights that are gathered from fewer numbers: what is trained are the shared ones, so that symmetries of filters survive training.

Imported inside functions only, so that everything else works without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cosim.training.torch_net import TorchNet
from workloads.errors import WorkloadError

Ints = NDArray[np.int64]


class Gathered(nn.Module):
    """w = shared[index] in the shape of the index; its gradient adds up over all places that share a number (Cohen, Welling 2016)."""

    def __init__(self, index: Ints) -> None:
        super().__init__()
        self.shape = index.shape
        flat = index.reshape(-1)
        self.places = torch.from_numpy(flat.copy())
        self.first = torch.from_numpy(np.unique(flat, return_index=True)[1])

    def forward(self, shared: Tensor) -> Tensor:
        """Shared numbers [m] to weights."""
        return shared.index_select(0, self.places).reshape(self.shape)

    def right_inverse(self, weights: Tensor) -> Tensor:
        """Weights to shared numbers: those at the first place of each."""
        return weights.reshape(-1).index_select(0, self.first)


def tie(net: TorchNet, ties: Mapping[str, Ints]) -> TorchNet:
    """Share weights and biases by the indices of `Trainable.ties`; steps of rows are shared as biases are, else rounding would break it.

    Raises WorkloadError where an index does not fit its weights or misses a number.
    """
    for module in net.layers():
        for name, stored in (("weight", module.layer.weight), ("bias", module.layer.bias), ("weight_step", module.layer.bias)):
            held = getattr(module, name)
            if stored is not None and stored in ties and held is not None:
                _check(stored, ties[stored], tuple(held.shape))
                parametrize.register_parametrization(module, name, Gathered(ties[stored]))
    return net


def keep_ties(module: nn.Module, name: str, value: Tensor) -> None:
    """Write changed weights back where they are shared; others were changed in place."""
    if parametrize.is_parametrized(module, name):
        setattr(module, name, value)


def _check(name: str, index: Ints, shape: tuple[Any, ...]) -> None:
    """Refuse an index that is none."""
    if index.shape != shape or not np.array_equal(np.unique(index), np.arange(int(index.max()) + 1)):
        raise WorkloadError(
            f"{name}: ties of shape {index.shape} do not fit {shape}; give each place a number of 0 ... m - 1, none left out"
        )

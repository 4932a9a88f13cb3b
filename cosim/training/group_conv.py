"""Convolutions over the group p4 of shifts and quarter turns, written as plain convolutions with shared filters.

A turned input shifts the 4 maps of each channel by one and turns them (Cohen, Welling, arXiv:1602.07576). Channel c at turn r is map
4 c + r; filters of maps are gathered from fewer numbers, so that an array or any other device sees an ordinary convolution.
"""

from __future__ import annotations

import numpy as np

from workloads.program import Ints
from workloads.program_builder import ProgramBuilder

TURNS = 4


def lifting_conv(b: ProgramBuilder, x: str, channels: int, kernel: int) -> str:
    """From an image to maps of 4 turns: (x * f_r)(c) with f_r the filter turned r times (equation 10); kernel is odd, the size is kept."""
    n_in = b.shape(x)[0]
    base = np.arange(channels * n_in * kernel**2).reshape(channels, n_in, kernel, kernel)
    turned = np.stack([np.rot90(base, r, axes=(-2, -1)) for r in range(TURNS)], axis=1)
    return _tied(b, x, channels, turned.reshape(channels * TURNS, n_in, kernel, kernel))


def group_conv(b: ProgramBuilder, x: str, channels: int, kernel: int) -> str:
    """From maps of 4 turns to maps of 4 turns: at turn r, input turn s meets the filter of turn s - r, turned r times (equation 11)."""
    n_in = b.shape(x)[0] // TURNS
    base = np.arange(channels * n_in * TURNS * kernel**2).reshape(channels, n_in, TURNS, kernel, kernel)
    turned = np.stack([np.rot90(np.roll(base, r, axis=2), r, axes=(-2, -1)) for r in range(TURNS)], axis=1)
    return _tied(b, x, channels, turned.reshape(channels * TURNS, n_in * TURNS, kernel, kernel))


def norm_over_turns(b: ProgramBuilder, x: str) -> str:
    """Batch norm with one mean, variance, scale and shift for the 4 maps of each channel, as its place and turn must not matter."""
    n, rows, columns = b.shape(x)
    return b.reshape(b.batch_norm(b.reshape(x, n // TURNS, TURNS * rows, columns)), n, rows, columns)


def max_over_turns(b: ProgramBuilder, x: str) -> str:
    """Largest of the 4 maps of each channel: what is left turns with the input and does nothing else."""
    n, *size = b.shape(x)
    return b.reduce_max(b.reshape(x, n // TURNS, TURNS, *size), 1)


def _tied(b: ProgramBuilder, x: str, channels: int, index: Ints) -> str:
    """Convolution that keeps the size, with filters gathered by an index and one bias a channel."""
    out = b.conv(x, channels * TURNS, index.shape[-1], pads=index.shape[-1] // 2)
    name = out.partition(":")[0]
    b.tie(f"{name}.weight", np.ascontiguousarray(index))
    b.tie(f"{name}.bias", np.repeat(np.arange(channels), TURNS))
    return out

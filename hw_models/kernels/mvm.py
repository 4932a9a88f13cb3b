"""Matrix-vector products as a compute array does them: sums of one column over one group of rows, converted, shifted, added.

Axes: v vector, g group of rows that work at once, p pass over input bits, i bit within a pass, h word of 64 rows, q plane of cell
bits, b block of `BLOCK` columns, c column within it. A converter turns a sum s into the code floor(a s + o), held in [0, top].
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels._jit import kernel

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

BLOCK = 64  # columns side by side in memory, whose sums stay in registers
WORD = 64  # rows of a packed word
TABLE_ROWS = 16  # rows of a group are padded to a multiple of this: four tables of four rows


@kernel
def pack_bits(values: Ints, starts: Ints, packed: Words) -> None:
    """Pack bit j of row starts[g] + 64 h + r of values [v, k] >= 0 into bit r of packed[v, g, j, h]; group g ends at starts[g + 1]."""
    n_vectors, n_groups, n_bits, n_words = packed.shape
    rows = np.zeros(WORD, dtype=np.uint64)
    for v in range(n_vectors):
        for g in range(n_groups):
            for h in range(n_words):
                first = starts[g] + WORD * h
                n_rows = min(WORD, starts[g + 1] - first)
                rows[:] = 0
                for r in range(n_rows):
                    rows[r] = values[v, first + r]
                for j in range(n_bits):
                    word = np.uint64(0)
                    for r in range(WORD):
                        word |= ((rows[r] >> np.uint64(j)) & np.uint64(1)) << np.uint64(r)
                    packed[v, g, j, h] = word


@kernel
def add_noise(sums: Floats, noise: Singles, adc_std: Floats, read_std: float, v: int, g: int, p: int, b: int) -> None:
    """Add z sqrt(adc_std[b, g, c]^2 + read_std^2) to each sum, z = noise[v, g, p, b, c] drawn from N(0, 1)."""
    for c in range(BLOCK):
        sums[c] += noise[v, g, p, b, c] * sqrt(adc_std[b, g, c] * adc_std[b, g, c] + read_std * read_std)


@kernel
def convert(sums: Floats, gain: Floats, offset: Floats, weight: float, top: float, v: int, g: int, b: int, out: Floats) -> None:
    """Add weight * code to out[v, b, c], code = floor(a s + o) in [0, top]; weight * (a s + o) without a converter (top < 0)."""
    if top >= 0:
        for c in range(BLOCK):
            out[v, b, c] += weight * np.floor(min(max(sums[c] * gain[b, g, c] + offset[b, g, c], 0.0), top))
    else:
        for c in range(BLOCK):
            out[v, b, c] += weight * (sums[c] * gain[b, g, c] + offset[b, g, c])


@kernel
def bit_mvm(
    inputs: Words,
    cells: Words,
    coefficients: Ints,
    weights: Floats,
    gain: Floats,
    offset: Floats,
    noise: Singles,
    adc_std: Floats,
    read_std: Floats,
    top: float,
    out: Floats,
) -> None:
    """Products with cells of whole levels, their bits packed: s_c = sum_i 2^i sum_q coefficient_q popcount(x_i & w_qc).

    inputs [v, g, bits of all passes, h], cells [b, g, q, h, c], coefficients [q] = +-2^bit, weights [p], gain and offset [b, g, c],
    noise [v, g, p, b, c] or empty, read_std [v, g, p]; out [v, b, c] is added to.
    """
    n_vectors, n_groups, n_bits, n_words = inputs.shape
    pass_bits = n_bits // weights.size
    sums, counts = np.zeros(BLOCK, dtype=np.float64), np.zeros(BLOCK, dtype=np.int64)
    for b in range(cells.shape[0]):
        for v in range(n_vectors):
            for g in range(n_groups):
                for p in range(weights.size):
                    counts[:] = 0
                    for i in range(pass_bits):
                        for q in range(coefficients.size):
                            coefficient = coefficients[q] << i
                            for h in range(n_words):
                                x = inputs[v, g, p * pass_bits + i, h]
                                for c in range(BLOCK):  # bits set in a word, in the form that compilers know as one instruction
                                    w = cells[b, g, q, h, c] & x
                                    w = w - ((w >> np.uint64(1)) & np.uint64(0x5555555555555555))
                                    w = (w & np.uint64(0x3333333333333333)) + ((w >> np.uint64(2)) & np.uint64(0x3333333333333333))
                                    w = (w + (w >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
                                    counts[c] += coefficient * np.int64((w * np.uint64(0x0101010101010101)) >> np.uint64(56))
                    if noise.shape[0] > 0:
                        for c in range(BLOCK):
                            sums[c] = counts[c]
                        add_noise(sums, noise, adc_std, read_std[v, g, p], v, g, p, b)
                        convert(sums, gain, offset, weights[p], top, v, g, b, out)
                    else:  # apart, so that sums stay in registers
                        for c in range(BLOCK):
                            sums[c] = counts[c]
                        convert(sums, gain, offset, weights[p], top, v, g, b, out)


@kernel
def table_mvm(
    inputs: Words,
    levels: Floats,
    weights: Floats,
    gain: Floats,
    offset: Floats,
    noise: Singles,
    adc_std: Floats,
    read_std: Floats,
    top: float,
    out: Floats,
) -> None:
    """Products with cells of any level [b, g, row, c], through tables of the sums of all subsets of four rows.

    Other arguments as in `bit_mvm`; rows are padded with zeros to a multiple of `TABLE_ROWS`. Sums of one input bit are float32;
    levels on a grid on which these are exact (`functional_map.on_grid`) leave the order of additions without effect.
    """
    n_vectors, n_groups, n_bits, _ = inputs.shape
    pass_bits = n_bits // weights.size
    tables = np.zeros((4, 16, BLOCK), dtype=np.float32)  # four at a time, so that they stay in the first cache
    parts = np.zeros((n_vectors, n_bits, BLOCK), dtype=np.float32)
    sums = np.zeros(BLOCK, dtype=np.float64)
    four = np.uint64(15)
    for b in range(levels.shape[0]):
        for g in range(n_groups):
            parts[:] = 0
            for first in range(0, levels.shape[2], TABLE_ROWS):
                for t in range(4):
                    for r in range(4):
                        for subset in range(1 << r):
                            for c in range(BLOCK):
                                level = np.float32(levels[b, g, first + 4 * t + r, c])
                                tables[t, subset + (1 << r), c] = tables[t, subset, c] + level
                h, shift = first // WORD, np.uint64(first % WORD)
                for v in range(n_vectors):
                    for j in range(n_bits):
                        word = inputs[v, g, j, h] >> shift
                        i0, i1 = np.int64(word & four), np.int64((word >> np.uint64(4)) & four)
                        i2, i3 = np.int64((word >> np.uint64(8)) & four), np.int64((word >> np.uint64(12)) & four)
                        for c in range(BLOCK):
                            parts[v, j, c] += (tables[0, i0, c] + tables[1, i1, c]) + (tables[2, i2, c] + tables[3, i3, c])
            for v in range(n_vectors):
                for p in range(weights.size):
                    sums[:] = 0
                    for i in range(pass_bits):
                        for c in range(BLOCK):
                            sums[c] += np.float64(parts[v, p * pass_bits + i, c]) * (1 << i)
                    if noise.shape[0] > 0:
                        add_noise(sums, noise, adc_std, read_std[v, g, p], v, g, p, b)
                    convert(sums, gain, offset, weights[p], top, v, g, b, out)

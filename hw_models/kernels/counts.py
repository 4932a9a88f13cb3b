"""Bits counted and converted at once, for training: codes of columns of whole cells, with what a learned step of the codes needs.

Axes as in `hw_models.kernels.mvm`: v vector, g group of rows that work at once, p pass, i bit within a pass, h word of 64 rows, q plane
of cell bits, b block of `BLOCK` columns, c column within it. Sums fit a byte after `low` has been taken from them; the code is
the number of thresholds that a sum reaches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels._jit import inlined, kernel
from hw_models.kernels.mvm import BLOCK, WORD

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Codes = NDArray[np.int32]


@inlined
def ones(w: np.uint64) -> np.int64:
    """Bits set in a word, in the form that compilers know as one instruction (Hacker's Delight, 2nd ed., figure 5-2)."""
    w = w - ((w >> np.uint64(1)) & np.uint64(0x5555555555555555))
    w = (w & np.uint64(0x3333333333333333)) + ((w >> np.uint64(2)) & np.uint64(0x3333333333333333))
    w = (w + (w >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((w * np.uint64(0x0101010101010101)) >> np.uint64(56))


@kernel
def pack_inputs(values: Bytes, starts: Ints, packed: Words) -> None:
    """Pack bit j of row starts[g] + 64 h + r of bytes [v, k] into bit r of packed[v, g, j, h], j < 8; group g ends at starts[g + 1].

    Eight bytes are a matrix of bits that three exchanges of blocks transpose (Hacker's Delight, 2nd ed., section 7-3).
    """
    n_vectors, n_groups, n_bits, n_words = packed.shape
    m1, m2, m3 = np.uint64(0x00AA00AA00AA00AA), np.uint64(0x0000CCCC0000CCCC), np.uint64(0x00000000F0F0F0F0)
    for v in range(n_vectors):
        for g in range(n_groups):
            for h in range(n_words):
                for j in range(n_bits):
                    packed[v, g, j, h] = 0
                first = starts[g] + WORD * h
                n_rows = min(WORD, starts[g + 1] - first)
                for r in range(0, n_rows, 8):
                    word = np.uint64(0)
                    for i in range(min(8, n_rows - r)):
                        word |= np.uint64(values[v, first + r + i]) << np.uint64(8 * i)
                    if word == 0:
                        continue
                    t = (word ^ (word >> np.uint64(7))) & m1
                    word = word ^ t ^ (t << np.uint64(7))
                    t = (word ^ (word >> np.uint64(14))) & m2
                    word = word ^ t ^ (t << np.uint64(14))
                    t = (word ^ (word >> np.uint64(28))) & m3
                    word = word ^ t ^ (t << np.uint64(28))
                    for j in range(n_bits):
                        packed[v, g, j, h] |= ((word >> np.uint64(8 * j)) & np.uint64(255)) << np.uint64(r)


@kernel
def pack_cells(stored: Bytes, device: Ints, bit: Ints, starts: Ints, packed: Words) -> None:
    """Pack bit `bit[s, q]` of stored[device[s, q], k, n] for column s n_outputs + n into packed[b, g, q, h, c]."""
    n_groups, n_words, n_outputs = packed.shape[1], packed.shape[3], stored.shape[2]
    words = np.zeros(n_outputs, dtype=np.uint64)
    for s in range(device.shape[0]):
        for q in range(device.shape[1]):
            d, shift = device[s, q], np.uint64(bit[s, q])
            for g in range(n_groups):
                for h in range(n_words):
                    first = starts[g] + WORD * h
                    words[:] = 0
                    for r in range(min(WORD, starts[g + 1] - first)):
                        for n in range(n_outputs):
                            words[n] |= ((np.uint64(stored[d, first + r, n]) >> shift) & np.uint64(1)) << np.uint64(r)
                    for n in range(n_outputs):
                        column = s * n_outputs + n
                        packed[column // BLOCK, g, q, h, column % BLOCK] = words[n]


@inlined
def sum_passes(inputs: Words, cells: Words, coefficients: Ints, n_passes: int, low: int, counts: Ints, u: Bytes) -> None:
    """Sums less `low`, held in 0 ... 255, of all passes of one group: u[p BLOCK + c] of inputs [bits, h] and cells [q, h, c]."""
    n_bits, n_words = inputs.shape
    pass_bits = n_bits // n_passes
    is_plain = low == 0 and n_words <= 2 and pass_bits == 1 and coefficients.size == 1 and coefficients[0] == 1
    for p in range(n_passes):
        x0 = inputs[p * pass_bits, 0]
        x1 = inputs[p * pass_bits, 1] if n_words > 1 else np.uint64(0)
        if is_plain and x0 | x1 == 0:
            u[p * BLOCK : (p + 1) * BLOCK] = 0
        elif is_plain:  # sums stay in registers
            second = min(1, n_words - 1)
            for c in range(BLOCK):
                u[p * BLOCK + c] = min(ones(cells[0, 0, c] & x0) + ones(cells[0, second, c] & x1), np.int64(255))
        else:
            counts[:] = -low
            for i in range(pass_bits):
                for q in range(coefficients.size):
                    coefficient = coefficients[q] << i
                    for h in range(n_words):
                        x0 = inputs[p * pass_bits + i, h]
                        if x0 != 0:
                            for c in range(BLOCK):
                                counts[c] += coefficient * ones(cells[q, h, c] & x0)
            for c in range(BLOCK):
                u[p * BLOCK + c] = min(max(counts[c], np.int64(0)), np.int64(255))


@kernel
def count_codes(
    inputs: Words,
    cells: Words,
    coefficients: Ints,
    weights: Codes,
    thresholds: Bytes,
    low: int,
    inside: Ints,
    skips: bool,
    codes: Codes,
    sums: Codes,
) -> None:
    """Sums over groups and passes: codes[v, b, c] of the codes, sums[v, b, c] of the column sums strictly between inside[0] and inside[1].

    inputs [v, g, bits of all passes, h], cells [b, g, q, h, c]; coefficients [q], weights [p] as in `mvm.bit_mvm`. u = sum - low,
    held in 0 ... 255, has the code number of thresholds <= u; inside in units of u. With `skips` groups without any input add nothing.
    """
    n_vectors, n_groups, n_bits, n_words = inputs.shape
    n_passes = weights.size
    counts = np.zeros(BLOCK, dtype=np.int64)
    u, code = np.zeros(n_passes * BLOCK, dtype=np.uint8), np.zeros(n_passes * BLOCK, dtype=np.uint8)
    all_codes, all_sums = np.zeros(n_passes * BLOCK, dtype=np.int16), np.zeros(n_passes * BLOCK, dtype=np.int16)
    above, below, base = np.uint8(max(inside[0], 0)), np.uint8(min(max(inside[1], 0), 255)), np.uint8(-low)
    for b in range(cells.shape[0]):
        for v in range(n_vectors):
            all_codes[:] = 0
            all_sums[:] = 0
            n_used = 0
            for g in range(n_groups):
                used = np.uint64(0)
                for j in range(n_bits):
                    for h in range(n_words):
                        used |= inputs[v, g, j, h]
                if skips and used == 0:
                    continue
                n_used += 1
                sum_passes(inputs[v, g], cells[b, g], coefficients, n_passes, low, counts, u)
                code[:] = 0
                for t in range(thresholds.size):
                    threshold = thresholds[t]
                    for i in range(u.size):
                        code[i] += u[i] >= threshold
                for i in range(u.size):
                    all_codes[i] += code[i]
                    all_sums[i] += u[i] if above < u[i] < below else base
            for p in range(n_passes):
                for c in range(BLOCK):
                    codes[v, b, c] += weights[p] * all_codes[p * BLOCK + c]
                    sums[v, b, c] += weights[p] * (all_sums[p * BLOCK + c] + n_used * low)

"""Packing, counting and converting against the same in plain numpy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.kernels.counts import count_codes, ones, pack_cells, pack_inputs


def bits_of(words, n_rows):
    """[..., h] -> [..., row]."""
    rows = np.arange(n_rows)
    return ((words[..., rows // 64] >> (rows % 64).astype(np.uint64)) & np.uint64(1)).astype(np.int64)


def test_ones_of_words():
    with np.errstate(over="ignore"):
        assert [int(ones(np.uint64(w))) for w in (0, 1, 0xFF00FF, 2**64 - 1)] == [0, 1, 16, 64]


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 70), st.integers(1, 8), st.integers(0, 99))
def test_packed_inputs_hold_each_bit_in_its_place(n_rows, n_bits, seed):
    values = np.random.default_rng(seed).integers(0, 2**n_bits, (2, n_rows + 5)).astype(np.uint8)
    starts = np.array([0, n_rows, n_rows + 5])
    packed = np.empty((2, 2, n_bits, 2), dtype=np.uint64)
    pack_inputs(values, starts, packed)
    for j in range(n_bits):
        np.testing.assert_array_equal(bits_of(packed[:, 0, j], n_rows), (values[:, :n_rows] >> j) & 1)
        np.testing.assert_array_equal(bits_of(packed[:, 1, j], 128)[:, :5], (values[:, n_rows:] >> j) & 1)
        assert bits_of(packed[:, 1, j], 128)[:, 5:].sum() == 0


def case(seed, low, n_words, coefficients, pass_bits):
    """Random bits of 2 vectors, 2 groups and 2 passes, two slices of 40 outputs."""
    rng = np.random.default_rng(seed)
    n_rows, q = 64 * n_words, len(coefficients)
    x = rng.integers(0, 2, (2, 2, 2 * pass_bits, n_rows))
    x[1, 1] = 0  # a group without any input
    stored = rng.integers(0, 2 ** (2 * q), (1, 2 * n_rows, 40)).astype(np.uint8)
    bit = np.arange(2 * q).reshape(2, q)
    cells = np.zeros((2, 2, q, n_words, 64), dtype=np.uint64)
    pack_cells(stored, np.zeros((2, q), dtype=np.int64), bit, np.array([0, n_rows, 2 * n_rows]), cells)
    words = np.zeros((2, 2, 2 * pass_bits, n_words), dtype=np.uint64)
    for r in range(n_rows):
        words[..., r // 64] |= x[..., r].astype(np.uint64) << np.uint64(r % 64)
    w = (stored[0].astype(np.int64).reshape(2, n_rows, 1, 1, 40) >> bit[:, :, None]) & 1  # group, row, slice, plane, output
    w = (w * np.array(coefficients)[:, None]).sum(axis=3).reshape(2, n_rows, 80)
    drive = (x.reshape(2, 2, 2, pass_bits, n_rows) << np.arange(pass_bits)[:, None]).sum(axis=3)
    sums = np.einsum("vgpr,grc->vgpc", drive, w)
    return words, cells, sums


@settings(max_examples=12, deadline=None)
@given(st.sampled_from([(0, [1], 1), (0, [1, 2], 1), (0, [1], 2), (-60, [1, -1], 1)]), st.integers(1, 3), st.integers(0, 99))
def test_codes_count_the_thresholds_that_sums_reach(kind, n_words, seed):
    low, coefficients, pass_bits = kind
    words, cells, sums = case(seed, low, n_words, coefficients, pass_bits)
    u = np.clip(sums - low, 0, 255)
    thresholds, inside = np.array([20, 33, 57], dtype=np.uint8), np.array([10, 50])
    weights = np.array([1, 4], dtype=np.int32)
    code = (u[..., None] >= thresholds).sum(axis=-1)
    kept = np.where((u > inside[0]) & (u < inside[1]), u + low, 0)
    codes, read = (np.zeros((2, 2, 64), dtype=np.int32) for _ in range(2))
    with np.errstate(over="ignore"):
        count_codes(words, cells, np.array(coefficients), weights, thresholds, low, inside, low == 0, codes, read)
    np.testing.assert_array_equal(codes.reshape(2, -1)[:, :80], np.einsum("vgpc,p->vc", code, weights))
    np.testing.assert_array_equal(read.reshape(2, -1)[:, :80], np.einsum("vgpc,p->vc", kept, weights))

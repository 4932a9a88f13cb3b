"""Kernels of counting against loops over single bits, and their edges by hand: full words, clipped sums, groups without input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.kernels.counts import count_codes, ones, pack_cells, pack_inputs
from hw_models.kernels.mvm import BLOCK, pack_bits


def packed_cells(bits):
    """Cells [g, row, c] of one plane and one block, as words."""
    bits = np.asarray(bits)
    groups, rows, columns = bits.shape
    cells = np.zeros((1, groups, 1, -(-rows // 64), BLOCK), dtype=np.uint64)
    for g, r, c in np.argwhere(bits):
        cells[0, g, 0, r // 64, c] |= np.uint64(1) << np.uint64(r % 64)
    assert columns <= BLOCK
    return cells


def packed_inputs(values, n_bits, rows):
    """Bytes [v, rows of all groups] as words, each group of `rows`."""
    values = np.asarray(values, dtype=np.uint8)
    starts = np.arange(0, values.shape[1] + 1, rows)
    packed = np.empty((values.shape[0], starts.size - 1, n_bits, -(-rows // 64)), dtype=np.uint64)
    pack_inputs(values, starts, packed)
    return packed


def counted(inputs, cells, thresholds, *, low=0, inside=(0, 256), skips=True, coefficients=(1,), weights=(1,)):
    codes, sums = (np.zeros((inputs.shape[0], cells.shape[0], BLOCK), dtype=np.int32) for _ in range(2))
    given_weights = np.array(weights, dtype=np.int32)
    limits = np.array(thresholds, dtype=np.uint8)
    with np.errstate(over="ignore"):
        count_codes(inputs, cells, np.array(coefficients), given_weights, limits, low, np.array(inside), skips, codes, sums)
    return codes[:, 0], sums[:, 0]


@given(st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_ones_are_those_of_the_binary_number(word):
    with np.errstate(over="ignore"):
        assert int(ones(np.uint64(word))) == bin(word).count("1")


@given(st.integers(1, 130), st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_bytes_are_packed_as_whole_numbers_are(n_rows, seed):
    values = np.random.default_rng(seed).integers(0, 256, (2, n_rows))
    starts, shape = np.array([0, n_rows]), (2, 1, 8, -(-n_rows // 64))
    fast, plain = (np.full(shape, 7, dtype=np.uint64) for _ in range(2))  # what was there before goes
    pack_inputs(values.astype(np.uint8), starts, fast)
    pack_bits(values, starts, plain)
    np.testing.assert_array_equal(fast, plain)


def test_one_byte_by_hand():
    """Row 9 holds 5: bits 0 and 2 of word 0 at place 9."""
    values = np.zeros((1, 10), dtype=np.uint8)
    values[0, 9] = 5
    assert packed_inputs(values, 4, 10)[0, 0, :, 0].tolist() == [512, 0, 512, 0]


def test_cells_of_many_columns_lie_in_blocks():
    """Slices of 40 outputs: output 30 of slice 1 is column 70, place 6 of the second block."""
    stored = np.zeros((1, 3, 40), dtype=np.uint8)
    stored[0, 2, 30] = 2  # bit 1, which is slice 1
    packed = np.zeros((2, 1, 1, 1, BLOCK), dtype=np.uint64)
    pack_cells(stored, np.zeros((2, 1), dtype=np.int64), np.array([[0], [1]]), np.array([0, 3]), packed)
    assert np.argwhere(packed).tolist() == [[1, 0, 0, 0, 6]]
    assert packed[1, 0, 0, 0, 6] == 4


def test_cells_of_both_devices_of_a_pair():
    stored = np.array([[[1], [0]], [[0], [1]]], dtype=np.uint8)  # device, row, output
    packed = np.zeros((1, 1, 2, 1, BLOCK), dtype=np.uint64)
    pack_cells(stored, np.array([[0, 1]]), np.array([[0, 0]]), np.array([0, 2]), packed)
    assert packed[0, 0, :, 0, 0].tolist() == [1, 2]


@pytest.mark.parametrize("rows", [64, 65, 128, 192])
def test_full_words_count_all_their_rows(rows):
    codes, sums = counted(packed_inputs(np.ones((1, rows)), 1, rows), packed_cells(np.ones((1, rows, 1))), [rows])
    assert (codes[0, 0], sums[0, 0]) == (1, rows)
    assert codes[0, 1:].sum() == 0


def test_sums_beyond_a_byte_are_held_at_its_largest():
    """300 rows sum to 300: held at 255, which reaches 255 and is not strictly inside 0 ... 255."""
    inputs, cells = packed_inputs(np.ones((1, 300)), 1, 300), packed_cells(np.ones((1, 300, 1)))
    codes, sums = counted(inputs, cells, [255], inside=(0, 255))
    assert (codes[0, 0], sums[0, 0]) == (1, 0)


def test_only_sums_strictly_between_the_limits_are_told():
    """Columns of 0 ... 5 cells under inputs of one: inside 1 ... 4 are 2 and 3."""
    cells = packed_cells(np.tri(6, 5, -1, dtype=int).T[None])
    codes, sums = counted(packed_inputs(np.ones((1, 5)), 1, 5), cells, [1, 3], inside=(1, 4))
    assert codes[0, :6].tolist() == [0, 1, 1, 2, 2, 2]
    assert sums[0, :6].tolist() == [0, 0, 2, 3, 0, 0]


def test_a_group_without_input_adds_the_code_of_zero_where_sums_have_signs():
    """Low -4: a sum of 0 is u = 4, which reaches a threshold of 3; where groups are skipped it adds nothing."""
    inputs, cells = packed_inputs([[1, 0]], 1, 1), packed_cells([[[1]], [[1]]])
    codes, sums = counted(inputs, cells, [3], low=-4, skips=False)
    assert (codes[0, 0], sums[0, 0]) == (2, 1)
    codes, sums = counted(inputs, cells, [3], low=-4, skips=True)
    assert (codes[0, 0], sums[0, 0]) == (1, 1)


def test_passes_count_by_their_weights_and_bits_of_a_pass_by_two():
    """Input 13 is 1101: passes of one bit add 1 + 4 + 8; passes of two bits hold 1 and 3, counted 1 and 4."""
    cells = packed_cells([[[1]]])
    one_bit = counted(packed_inputs([[13]], 4, 1), cells, [1], weights=(1, 2, 4, 8))
    two_bits = counted(packed_inputs([[13]], 4, 1), cells, [1, 2, 3], weights=(1, 4))
    assert [found[0, 0] for found in (*one_bit, *two_bits)] == [13, 13, 13, 13]


def test_a_coarse_code_of_two_bits_a_pass_by_hand():
    """The same passes 1 and 3 with a single threshold of 2: only the second reaches it."""
    codes, sums = counted(packed_inputs([[13]], 4, 1), packed_cells([[[1]]]), [2], weights=(1, 4))
    assert (codes[0, 0], sums[0, 0]) == (4, 13)


@given(st.integers(1, 20), st.integers(1, 3), st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_any_thresholds_against_single_bits(rows, groups, thresholds, seed):
    rng = np.random.default_rng(seed)
    x, w = rng.integers(0, 4, (2, rows * groups)), rng.integers(0, 2, (groups, rows, 3))
    codes, sums = counted(packed_inputs(x, 2, rows), packed_cells(w), thresholds, weights=(1, 2))
    for v, c in np.ndindex(2, 3):
        code = total = 0
        for g in range(groups):
            for p in range(2):
                s = sum(int(x[v, g * rows + r] >> p & 1) * int(w[g, r, c]) for r in range(rows))
                code += 2**p * sum(s >= t for t in thresholds)
                total += 2**p * s
        assert (codes[v, c], sums[v, c]) == (code, total)

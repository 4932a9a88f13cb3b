"""The fast product against the functional macro, its slope to the step by hand and by differences, and what it refuses."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training.exact_product import ExactProduct, programmed_product, zero_codes
from hw_models.catalog import build_part_device
from hw_models.cim.functional import ProgrammedArray
from workloads.errors import SimulationError

JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}
PART = build_part_device("cim_macro/ref_bitserial").spec
ENCODINGS = {
    "pair, codes subtracted": ("differential", "digital"), "pair": ("differential", "analog"), "rows": ("differential_rows", "analog"),
    "sign": ("magnitude", "analog"), "offset": ("offset", "analog"),
}  # fmt: skip


def macro(n_bits=3, **change):
    return PART.model_copy(update={"adc": PART.adc.model_copy(update={"n_bits": n_bits}), **change})


@settings(max_examples=15 if JIT_OFF else 120, deadline=None)
@given(
    st.sampled_from(list(ENCODINGS.values())), st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.integers(2, 6),
    st.integers(1, 8), st.sampled_from([8, 33, 64, 100, 128, 256]), st.floats(0.5, 20) | st.sampled_from([1.0, 2.0]), st.integers(0, 99),
)  # fmt: skip
def test_it_equals_the_functional_macro(how, cell_bits, pass_bits, adc_bits, weight_bits, activation_bits, rows, step, seed):
    encoding, subtraction = how
    change = {"encoding": encoding, "subtraction": subtraction, "bits_per_cell": cell_bits, "input_bits_per_pass": pass_bits}
    spec = macro(adc_bits, rows=rows, **change)
    rng, k = np.random.default_rng(seed), 30 if JIT_OFF else 150
    x, w = rng.integers(0, 2**activation_bits, (2, k)), rng.integers(1 - 2 ** (weight_bits - 1), 2 ** (weight_bits - 1), (k, 3))
    found = ExactProduct.of(spec, (k, 3), weight_bits, activation_bits).multiply(x, w, step)
    expected = programmed_product(ProgrammedArray.program(spec, w, weight_bits), x, activation_bits, step)
    np.testing.assert_allclose(found.out, expected.out, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(found.to_step, expected.to_step, rtol=1e-9, atol=1e-6)


def test_shipped_rows_and_bits_take_the_kernel_and_wide_ranges_the_functional_macro():
    for rows, n_bits, step in ((64, 3, 1.0), (128, 2, 5.6), (256, 3, 4.5), (128, 1, 11.0), (256, 4, 256 / 15)):
        read = ExactProduct.of(macro(n_bits, rows=rows), (784, 64), 4, 8).codes(step)
        assert read is not None or (rows, n_bits) == (256, 4)
    assert ExactProduct.of(macro(2, rows=1024), (1024, 4), 4, 8).codes(300.0) is None


def test_whole_steps_give_whole_products_bit_for_bit():
    rng = np.random.default_rng(0)
    x, w = rng.integers(0, 256, (4, 300)).astype(np.uint8), rng.integers(-7, 8, (300, 10))
    found = ExactProduct.of(PART, (300, 10), 4, 8).multiply(x, w, 1.0, slope=False)
    np.testing.assert_array_equal(found.out, ProgrammedArray.program(PART, w, 4).multiply(x, 8))
    assert found.to_step is None


def test_the_slope_to_the_step_by_hand():
    """5 cells of weight 1 driven by bit 0, 3 of weight -2 by bit 1, step 2, 2 bits: counts 5 and 3 are read as 3 and 2, halves up.

    Slice 0, plus: 2.5 is below the largest code, so the slope is 3 - 2.5. Slice 1, minus, pass 1: 2 - 1.5.
    """
    x = np.r_[np.full(5, 1), np.full(3, 2)][None]
    w = np.r_[np.full(5, 1), np.full(3, -2)][:, None]
    found = ExactProduct.of(macro(2), (8, 1), 4, 8).multiply(x, w, 2.0, inside=True)
    assert found.out[0, 0] == 2 * 3 - 2 * 2 * 2 * 2
    assert found.to_step[0, 0] == pytest.approx(0.5 - 2 * 2 * 0.5)
    assert found.inside[0, 0] == 1


def test_a_clipped_count_pulls_with_the_largest_code():
    x, w = np.ones((1, 8), dtype=int), np.ones((8, 1), dtype=int)
    found = ExactProduct.of(macro(2), (8, 1), 4, 8).multiply(x, w, 2.0, inside=True)  # 8 / 2 is above 3
    assert (found.out[0, 0], found.to_step[0, 0], found.inside[0, 0]) == (6, 3, 0)


def test_zero_stands_for_what_sums_of_either_sign_need():
    assert zero_codes(PART) == 0
    assert zero_codes(macro(3, subtraction="analog")) == -4
    assert zero_codes(macro(1, subtraction="analog")) == -0.5


def test_cells_that_err_go_through_the_functional_macro():
    rng = np.random.default_rng(0)
    spec = macro(cell=PART.cell.model_copy(update={"programming_sigma": 0.1}))
    x, w = rng.integers(0, 256, (3, 40)), rng.integers(-7, 8, (40, 4))
    array = ProgrammedArray.program(spec, w, 4, rng)
    found = programmed_product(array, x, 8, 3.0)
    assert array.range.step.tolist() == [3.0] * 6
    np.testing.assert_allclose(found.out, array.multiply(x, 8))
    ideal = ExactProduct.of(spec, (40, 4), 4, 8).multiply(x, w, 3.0)
    assert np.abs(found.out - ideal.out).max() > 0
    sums, read = array.column_sums(x, 8), array.range.read(array.column_sums(x, 8))
    slope = np.where(sums / 3 < 7, (read - sums) / 3, read / 3)
    slope[sums <= 0] = 0
    np.testing.assert_allclose(found.to_step, np.einsum("vgpsn,p,s->vn", slope, 2.0 ** np.arange(8), [1, -1, 2, -2, 4, -4]), atol=1e-9)


@pytest.mark.parametrize(("step", "x", "w", "message"), [
    (0.0, np.ones((1, 2), int), np.ones((2, 1), int), "a step is a number above 0"),
    (float("nan"), np.ones((1, 2), int), np.ones((2, 1), int), "a step is a number above 0"),
    (1.0, np.ones((1, 3), int), np.ones((2, 1), int), "does not meet 2 rows"),
    (1.0, np.full((1, 2), 256), np.ones((2, 1), int), "256 is outside 0 ... 255"),
    (1.0, np.ones((1, 2), int), np.full((2, 1), 8), "8 is outside -7 ... 7"),
    (1.0, np.ones((1, 2), int), np.ones((2, 1)), "float64 \\(2, 1\\); give whole numbers"),
])  # fmt: skip
def test_what_it_refuses(step, x, w, message):
    with pytest.raises(SimulationError, match=message):
        ExactProduct.of(PART, (2, 1), 4, 8).multiply(x, w, step)


def test_macros_without_converters_and_shares_of_signed_sums_are_refused():
    digital = build_part_device("cim_macro/digital_22nm_256x256").spec
    with pytest.raises(SimulationError, match="no adc"):
        ExactProduct.of(digital, (2, 1), 4, 8)
    with pytest.raises(SimulationError, match="only digital subtraction"):
        ExactProduct.of(macro(subtraction="analog"), (2, 1), 4, 8).multiply(np.ones((1, 2), int), np.ones((2, 1), int), 1.0, inside=True)

"""Whole weights and inputs: ranges by hand, steps of least squared error, and the laws that rounding keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cosim.training.quantize import first_input_step, input_range, mse_step, round_inputs, round_weights, weight_top
from workloads.errors import SimulationError

VALUES = st.floats(-8, 8, width=32).filter(lambda value: value == 0 or abs(value) > 1e-6)
ROWS = hnp.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 6)), elements=VALUES)
BITS = st.integers(2, 6)
FEW = settings(max_examples=25, deadline=None)


@pytest.mark.parametrize(("bits", "top"), [(2, 1), (3, 3), (4, 7), (8, 127), (16, 32767)])
def test_the_largest_weight_leaves_out_the_most_negative_code(bits, top):
    assert weight_top(bits) == top


@pytest.mark.parametrize("bits", [-1, 0, 1, 17])
def test_weights_of_one_bit_or_too_many_are_refused(bits):
    with pytest.raises(SimulationError, match=rf"weight_bits {bits}: symmetric weights take 2 to 16 bits"):
        weight_top(bits)


@pytest.mark.parametrize(
    ("bits", "signed", "ends"),
    [(1, False, (0, 1)), (4, False, (0, 15)), (16, False, (0, 65535)), (2, True, (-1, 1)), (4, True, (-7, 7)), (8, True, (-127, 127))],
)
def test_inputs_run_from_zero_or_to_both_sides(bits, signed, ends):
    assert input_range(bits, signed=signed) == ends


@pytest.mark.parametrize(("bits", "signed", "fewest"), [(0, False, 1), (17, False, 1), (1, True, 2), (17, True, 2)])
def test_bits_that_inputs_cannot_have_say_what_would_do(bits, signed, fewest):
    with pytest.raises(SimulationError, match=rf"activation_bits {bits}: choose {fewest} to 16"):
        input_range(bits, signed=signed)


def test_weights_round_to_the_nearest_level_halves_to_even_and_stop_at_the_ends():
    rows = np.array([[0.5, 1.5, -0.5, -1.5, 9.0, -9.0], [0.5, 1.5, -0.5, -1.5, 9.0, -9.0]])
    whole = round_weights(rows, np.array([1.0, 0.5]), 3)
    assert whole.tolist() == [[0, 2, 0, -2, 3, -3], [1, 3, -1, -3, 3, -3]]
    assert whole.dtype == np.int64


def test_inputs_round_in_any_shape_and_lose_their_sign_where_they_have_none():
    x = np.array([[[-1.0, 0.24]], [[0.26, 99.0]]])
    assert round_inputs(x, 0.5, 2, signed=False).tolist() == [[[0, 0]], [[1, 3]]]
    assert round_inputs(x, 0.5, 2, signed=True).tolist() == [[[-1, 0]], [[1, 1]]]


def test_one_bit_tells_whether_an_input_is_above_half_a_step():
    assert round_inputs(np.array([-3.0, 0.4, 0.6, 5.0]), 1.0, 1, signed=False).tolist() == [0, 0, 1, 1]


def test_weights_that_lie_on_levels_keep_their_step():
    """Levels -3 ... 3 of step 0.25, the largest among them: the whole range is the only one that loses nothing."""
    rows = 0.25 * np.array([[3.0, -2.0, 1.0, 0.0, 2.0, -1.0]])
    assert mse_step(rows, 3) == pytest.approx([0.25])


def test_ternary_weights_of_one_outlier_take_a_step_below_it():
    """With one 1 and n of 0.4, step s < 0.8 gives (1 - s)^2 + n (0.4 - s)^2, least at (1 + 0.4 n) / (1 + n); steps are 0.02 apart."""
    n = 9
    (step,) = mse_step(np.array([[1.0, *[0.4] * n]]), 2)
    assert step == pytest.approx((1 + 0.4 * n) / (1 + n), abs=0.0101)


def test_a_row_of_zeros_has_step_one_and_stays_zero_beside_others():
    rows = np.array([[0.0, 0.0], [0.7, -0.7]])
    step = mse_step(rows, 4)
    assert step[0] == 1.0
    assert step[1] == pytest.approx(0.1)
    assert round_weights(rows, step, 4).tolist() == [[0, 0], [7, -7]]


@FEW
@given(ROWS, BITS)
def test_no_step_of_the_grid_has_less_error(rows, bits):
    """Written out number by number, the error of each of the 41 steps is at least that of the one chosen."""
    top = 2 ** (bits - 1) - 1
    for row, step in zip(rows.tolist(), mse_step(rows, bits).tolist(), strict=True):
        most = max(abs(w) for w in row)
        if most == 0:
            assert step == 1.0
            continue
        errors = []
        for i in range(41):
            s = most / top * (0.2 + 0.02 * i)
            errors.append(sum((w - s * max(-top, min(top, round(w / s)))) ** 2 for w in row))
        mine = sum((w - step * max(-top, min(top, round(w / step)))) ** 2 for w in row)
        assert mine <= min(errors) * (1 + 1e-6) + 1e-12 * most**2


@FEW
@given(ROWS, BITS, st.integers(-4, 4))
def test_steps_scale_with_the_weights_by_powers_of_two(rows, bits, power):
    step = mse_step(rows, bits)
    zero = np.abs(rows).max(axis=1) == 0
    np.testing.assert_array_equal(mse_step(rows * 2.0**power, bits), np.where(zero, 1.0, step * 2.0**power))


@FEW
@given(ROWS, BITS)
def test_rounding_is_odd_bounded_and_changes_nothing_the_second_time(rows, bits):
    step = mse_step(rows, bits)
    whole = round_weights(rows, step, bits)
    np.testing.assert_array_equal(round_weights(-rows, step, bits), -whole)
    assert np.abs(whole).max() <= weight_top(bits)
    np.testing.assert_array_equal(round_weights(whole * step[:, None], step, bits), whole)


@FEW
@given(hnp.arrays(np.float64, 5, elements=VALUES), st.sampled_from([0.125, 0.5, 3.0]), BITS, st.booleans())
def test_inputs_inside_the_range_are_off_by_half_a_step_at_most_and_keep_their_order(x, step, bits, signed):
    low, high = input_range(bits, signed=signed)
    x = np.sort(x)
    whole = round_inputs(x, step, bits, signed=signed)
    assert np.all(np.diff(whole) >= 0)
    inside = (x / step >= low) & (x / step <= high)
    assert np.all(np.abs(x - whole * step)[inside] <= step / 2 + 1e-12)
    assert set(whole[x / step > high]) <= {high}
    assert set(whole[x / step < low]) <= {low}


def test_first_steps_of_inputs_leave_zeros_out_of_count():
    """1 ... 4 and any number of zeros: the quantile is that of 1 ... 4."""
    few, many = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0] * 500 + [1.0, 2.0, 3.0, 4.0])
    assert first_input_step(few, 8) == first_input_step(many, 8) == (pytest.approx((3 + 0.9985) / 255), False)
    assert first_input_step(-many, 3) == (pytest.approx(3.9985 / 3), True)
    assert first_input_step(-many, 1) == (pytest.approx(3.9985), False)
    assert first_input_step(np.zeros(3), 4) == (1 / 15, False)

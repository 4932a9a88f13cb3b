"""Laws of products through converters: linear in nothing, but bounded, exact where codes suffice, and with slopes of differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training.exact_product import ExactProduct, learned_range, programmed_product, zero_codes
from hw_models.catalog import build_part_device
from hw_models.cim.functional import ProgrammedArray
from workloads.errors import SimulationError

PART = build_part_device("cim_macro/ref_bitserial").spec


def macro(n_bits=3, **change):
    return PART.model_copy(update={"adc": PART.adc.model_copy(update={"n_bits": n_bits}), **change})


def whole(seed, k=12, n=2, weight_bits=3, activation_bits=4):
    rng = np.random.default_rng(seed)
    top = 2 ** (weight_bits - 1) - 1
    return rng.integers(0, 2**activation_bits, (3, k)), rng.integers(-top, top + 1, (k, n))


def product(spec, x, w, step, weight_bits=3, activation_bits=4, **kwargs):
    return ExactProduct.of(spec, w.shape, weight_bits, activation_bits).multiply(x, w, step, **kwargs)


def loops(x, w, step, n_bits, rows, weight_bits=3, activation_bits=4):
    """Pairs of cells of one bit, converted one by one: bits of inputs, bits of magnitudes, plus minus minus, group after group."""
    y = np.zeros((x.shape[0], w.shape[1]))
    for v, n in np.ndindex(y.shape):
        for first in range(0, x.shape[1], rows):
            group = range(first, min(first + rows, x.shape[1]))
            for p in range(activation_bits):
                for s in range(weight_bits - 1):
                    for sign in (1, -1):
                        total = sum((int(x[v, r]) >> p & 1) * (max(sign * int(w[r, n]), 0) >> s & 1) for r in group)
                        code = min(int(np.floor(total / step + 0.5)), 2**n_bits - 1)
                        y[v, n] += sign * 2**p * 2**s * step * code
    return y


@given(st.integers(0, 99), st.integers(1, 3), st.sampled_from([1.0, 1.5, 2.0, 3.0]), st.sampled_from([4, 5, 16]))
@settings(max_examples=8, deadline=None)
def test_it_is_what_loops_over_single_cells_give(seed, n_bits, step, rows):
    x, w = whole(seed)
    found = product(macro(n_bits, rows=rows), x, w, step, slope=False)
    np.testing.assert_allclose(found.out, loops(x, w, step, n_bits, rows), atol=1e-9)


@given(st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_codes_that_reach_every_sum_multiply_exactly(seed):
    """12 rows of one bit sum to at most 12, below the 15 of 4 bits; every code is then its sum, and the slope to the step is 0."""
    x, w = whole(seed)
    found = product(macro(4, rows=16), x, w, 1.0, inside=True)
    np.testing.assert_array_equal(found.out, x @ w)
    np.testing.assert_allclose(found.to_step, 0, atol=1e-9)
    counted = x.astype(float) @ np.abs(w)
    assert (found.inside[counted > 0] == 1).all()


@given(st.integers(0, 99), st.integers(1, 3), st.floats(0.6, 5))
@settings(max_examples=10, deadline=None)
def test_weights_of_the_other_sign_give_outputs_of_the_other_sign(seed, n_bits, step):
    x, w = whole(seed)
    plus, minus = (product(macro(n_bits, rows=16), x, sign * w, step, inside=True) for sign in (1, -1))
    np.testing.assert_allclose(plus.out, -minus.out)
    np.testing.assert_allclose(plus.to_step, -minus.to_step)
    np.testing.assert_allclose(plus.inside, minus.inside)


@given(st.integers(0, 99), st.floats(0.6, 5))
@settings(max_examples=10, deadline=None)
def test_the_share_inside_lies_between_nothing_and_all(seed, step):
    x, w = whole(seed)
    share = product(macro(1, rows=16), x, w, step, inside=True).inside
    assert ((share >= 0) & (share <= 1 + 1e-12)).all()


def test_an_output_that_counts_nothing_is_wholly_inside():
    found = product(macro(1, rows=16), np.zeros((1, 4), dtype=int), np.ones((4, 2), dtype=int), 2.0, inside=True)
    assert found.inside.tolist() == [[1, 1]]
    assert found.out.tolist() == [[0, 0]]


def test_where_codes_stay_the_slope_adds_the_error_of_reading_over_the_step():
    """dy/ds of s * codes is the codes; LSQ takes from it what lies inside, sum / s: 3 cells at 1.9 are code 2."""
    x, w = np.ones((1, 3), dtype=int), np.ones((3, 1), dtype=int)
    at, above = (product(macro(3, rows=16), x, w, step) for step in (1.9, 1.901))
    assert (above.out - at.out)[0, 0] / 0.001 == pytest.approx(2.0)
    assert at.to_step[0, 0] == pytest.approx(2.0 - 3 / 1.9)


@pytest.mark.parametrize("change", [{}, {"subtraction": "analog"}, {"encoding": "offset", "subtraction": "analog"}])
def test_one_vector_alone_is_what_it_is_among_others(change):
    x, w = whole(5)
    spec = macro(2, rows=16, **change)
    together = product(spec, x, w, 2.0).out
    alone = np.concatenate([product(spec, x[v : v + 1], w, 2.0).out for v in range(len(x))])
    np.testing.assert_array_equal(together, alone)


def test_slopes_of_cells_with_errors_are_left_out_where_not_asked_for():
    x, w = whole(1)
    array = ProgrammedArray.program(macro(2, rows=16), w, 3)
    found = programmed_product(array, x, 4, 2.0, slope=False)
    assert (found.to_step, found.inside) == (None, None)
    np.testing.assert_allclose(found.out, product(macro(2, rows=16), x, w, 2.0, slope=False).out)


@pytest.mark.parametrize("step", [0.0, -1.0, float("inf"), float("nan")])
def test_a_step_has_to_be_a_number_above_0(step):
    with pytest.raises(SimulationError, match="a step is a number above 0, in units of one cell"):
        learned_range(PART, step, 1)


def test_a_range_has_one_step_for_all_slices_and_its_zero():
    used = learned_range(macro(2, subtraction="analog"), 3.0, 2)
    assert (used.zero.tolist(), used.step.tolist(), used.top) == ([-6, -6], [3, 3], 3)
    assert zero_codes(macro(2, subtraction="analog")) == -2


@pytest.mark.parametrize(("bits", "per_pass", "n_bits"), [(8, 1, 8), (7, 2, 8), (3, 3, 3), (4, 3, 6)])
def test_inputs_are_filled_up_to_whole_passes(bits, per_pass, n_bits):
    made = ExactProduct.of(macro(input_bits_per_pass=per_pass), (4, 1), 3, bits)
    assert made.n_bits == n_bits
    assert made.pass_weights.tolist() == [2**i for i in range(0, n_bits, per_pass)]

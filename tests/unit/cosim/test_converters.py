"""Ranges of converters without resolution or clipping, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.training.converters import FINE_BITS, lsb_ratio, relaxed
from hw_models.catalog import resolve_part
from hw_models.cim.functional_adc import AdcRange
from hw_models.cim.spec import CimMacroSpec

DATA = {key: value for key, value in resolve_part("cim_macro/ref_bitserial").data.items() if key != "kind"}
SPEC = CimMacroSpec.model_validate(DATA)  # 128 rows of one bit: sums 0 ... 128
USED = AdcRange(2, np.array([4.0, 0.0]), np.array([2.0, 1.0]))  # 4, 6, 8, 10 and 0, 1, 2, 3


def seen(found, values):
    """By the first slice."""
    return found.read(np.asarray(values, dtype=np.float64)[:, None, None].repeat(2, axis=1))[:, 0, 0]


def test_nothing_off_changes_nothing():
    assert relaxed(SPEC, USED, ()) is USED


def test_without_resolution_values_between_the_ends_come_through_and_others_are_cut():
    fine = relaxed(SPEC, USED, {"adc_resolution"})
    assert fine.n_bits == 2 + FINE_BITS
    np.testing.assert_allclose(seen(fine, [5.3, 3.0, 11.0]), [5.3, 4.0, 10.0], atol=2 * 3 / 2**13)
    np.testing.assert_allclose(fine.zero + fine.step * fine.top, USED.zero + USED.step * USED.top)


def test_without_clipping_all_sums_are_read_at_the_same_steps():
    endless = relaxed(SPEC, USED, {"adc_clipping"})
    np.testing.assert_array_equal(endless.step, USED.step)
    np.testing.assert_array_equal(seen(endless, [5.2, 4.9, -7.0, 0.0, 101.0, 511.0]), [6.0, 4.0, -6.0, 0.0, 102.0, 512.0])


def test_without_both_everything_comes_through():
    free = relaxed(SPEC, USED, {"adc_clipping", "adc_resolution"})
    values = np.linspace(-500, 500, 37)
    np.testing.assert_allclose(seen(free, values), values, atol=2e-3)


def test_errors_in_steps_keep_their_size():
    fine = relaxed(SPEC, USED, {"adc_resolution"})
    assert lsb_ratio(USED, fine) * fine.step[0] == pytest.approx(USED.step[0])
    assert lsb_ratio(USED, fine) == pytest.approx((2.0**14 - 1) / 3)

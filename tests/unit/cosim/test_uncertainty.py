"""Intervals: what moves together adds up, what is independent adds in squares, what is common cancels."""

from math import hypot, log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.simulation.uncertainty import Exposure, ratio_interval
from hw_models.cost import Spread

DRAM, ADC = Spread("dram.energy", 2.0), Spread("cim.adc", 3.0)


def exposure(*parts):
    result = Exposure()
    for amount, spreads in parts:
        result.add(amount, spreads)
    return result


def test_a_total_without_spread_is_certain():
    assert exposure((5.0, ())).interval() == (5.0, 5.0)


def test_one_factor_scales_the_whole_amount_up_and_down():
    assert exposure((4.0, (DRAM,))).interval() == (2.0, 8.0)


def test_amounts_under_one_name_move_together():
    assert exposure((1.0, (DRAM,)), (3.0, (DRAM,))).interval() == (2.0, 8.0)


def test_independent_names_add_in_squares():
    low, high = exposure((4.0, (DRAM,)), (3.0, (ADC,))).interval()
    assert high - 7.0 == pytest.approx(hypot(4.0, 6.0))
    assert 7.0 - low == pytest.approx(hypot(2.0, 2.0))


def test_the_low_end_is_never_negative():
    names = [(1.0, (Spread(f"s{i}", 1e6),)) for i in range(4)]
    part = exposure(*names)
    part.total = 1.0
    assert part.interval()[0] == 0.0


def test_a_common_cause_cancels_in_a_ratio():
    a, b = exposure((4.0, (DRAM,))), exposure((2.0, (DRAM,)))
    assert ratio_interval(b, a) == pytest.approx((0.5, 0.5))


def test_a_cause_of_one_side_only_widens_the_ratio_by_its_factor():
    a, b = exposure((4.0, ())), exposure((2.0, (DRAM,)))
    assert ratio_interval(b, a) == pytest.approx((0.25, 1.0))


def test_partly_common_causes_cancel_partly():
    a, b = exposure((2.0, (DRAM,)), (2.0, ())), exposure((4.0, (DRAM,)))
    low, high = ratio_interval(b, a)
    assert high == pytest.approx(2.0 / 1.5)
    assert low == pytest.approx(1.5 / 2.0)


def test_a_small_factor_does_not_widen_to_a_large_one_of_the_same_name():
    """9 J that a law moves by 1.1 and 1 J that it moves by 3: 10 J stay within 12 or so, not within 10 * 3."""
    sure, unsure = Spread("law", 1.1), Spread("law", 3.0)
    for parts in (((9.0, (sure,)), (1.0, (unsure,))), ((1.0, (unsure,)), (9.0, (sure,)))):
        low, high = exposure(*parts).interval()
        assert high == pytest.approx(10 + 1.0 * 2 + 9.0 * log(1.1) / log(3.0) * 2)
        assert 11.5 < high < 14
        assert low > 7.5


def test_each_side_of_a_ratio_moves_by_its_own_factor():
    a, b = exposure((1.0, (Spread("law", 1.2),))), exposure((1.0, (Spread("law", 3.0),)))
    assert ratio_interval(b, a) == pytest.approx((1.2 / 3.0, 3.0 / 1.2))


def test_a_ratio_to_nothing_is_unknown():
    assert ratio_interval(exposure((1.0, ())), Exposure()) == (0.0, float("inf"))


def test_the_ranking_names_the_largest_deviation_first():
    ranked = exposure((8.0, (DRAM,)), (1.0, (ADC,))).ranked()
    assert [name for name, *_ in ranked] == ["dram.energy", "cim.adc"]
    assert ranked[0][1:] == (2.0, pytest.approx(8 / 9))


def test_further_spreads_of_an_amount_do_not_change_the_total():
    part = exposure((4.0, (DRAM,)))
    part.expose(4.0, (ADC,))
    assert part.total == 4.0
    assert part.interval()[1] == pytest.approx(4.0 + sqrt(4.0**2 + 8.0**2))


amounts = st.lists(st.tuples(st.floats(0, 1e3), st.sampled_from([(), (DRAM,), (ADC,), (DRAM, ADC)])), min_size=1, max_size=8)


@given(amounts)
def test_an_interval_holds_its_total_and_scales_with_it(parts):
    one, two = exposure(*parts), exposure(*[(2 * amount, spreads) for amount, spreads in parts])
    low, high = one.interval()
    assert low <= one.total <= high
    assert two.interval() == pytest.approx((2 * low, 2 * high))


@given(amounts.filter(lambda parts: sum(amount for amount, _ in parts) > 1e-6))
def test_a_chip_against_itself_is_one_without_doubt(parts):
    part = exposure(*parts)
    assert ratio_interval(part, part) == pytest.approx((1.0, 1.0))


def test_a_product_moves_by_the_power_of_what_moves_its_factors():
    """What doubles energy and latency alike makes their product four times as large, and never nothing."""
    product = Exposure(10.0, in_logs=True)
    product.expose(20.0, (DRAM,))
    assert product.interval() == pytest.approx((2.5, 40.0))


def test_a_product_of_nothing_is_nothing():
    assert Exposure(0.0, in_logs=True).interval() == (0.0, 0.0)

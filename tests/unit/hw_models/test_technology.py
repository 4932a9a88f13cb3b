"""Technology scaling: published ratios come back, laws that disagree span the interval."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models import technology as tech
from workloads.errors import SpecError

NM = 1e-9
SCALES = [
    tech.scale_logic_energy,
    tech.scale_delay,
    tech.scale_area,
    tech.scale_wire_energy,
    lambda a, b: tech.scale_sram_energy(32768, a, b),
]
nodes = st.floats(5.0, 180.0).map(lambda n: n * NM)


def test_polynomial_from_45_to_7_nm_takes_18_times_less_energy():
    """Stillmaker & Baas HP fits, 1.0 V to 0.7 V: energy 0.0555, the `derived_at_vdd` row of the reference table."""
    law = tech.polynomial_energy()
    assert 2.718281828 ** (law.log_at(7 * NM) - law.log_at(45 * NM)) == pytest.approx(0.0555, rel=2e-3)


def test_logic_energy_from_45_to_7_nm_lies_between_the_two_laws():
    """Polynomial 0.0555; Jouppi's eight ops 0.23 ... 0.48, geometric mean 0.348."""
    scaled = tech.scale_logic_energy(45 * NM, 7 * NM)
    assert scaled.value == pytest.approx(sqrt(0.0555 * 0.348), rel=5e-3)
    assert scaled.factor == pytest.approx(sqrt(0.348 / 0.0555), rel=5e-3)
    assert not scaled.extrapolated


@pytest.mark.parametrize(("start", "end", "published"), [(65, 45, 0.66), (45, 32, 0.46), (45, 16, 0.19), (45, 7, 0.059), (130, 65, 0.23)])
def test_area_interval_holds_the_published_matrix_entry(start, end, published):
    scaled = tech.scale_area(start * NM, end * NM)
    assert scaled.value / scaled.factor * 0.93 <= published <= scaled.value * scaled.factor * 1.07  # entries carry two digits


def test_delay_from_45_to_7_nm_is_near_the_polynomial_quarter():
    scaled = tech.scale_delay(45 * NM, 7 * NM)
    assert scaled.value / scaled.factor <= 0.2591 <= scaled.value * scaled.factor * 1.001


def test_large_sram_shrinks_in_energy_more_than_small_ones():
    """Jouppi et al., Table 2, 45 to 7 nm: 1 MB 0.14, 32 KB 0.425, 8 KB 0.75."""
    big, middle, small = (tech.scale_sram_energy(size, 45 * NM, 7 * NM).value for size in (2**20, 2**15, 2**13))
    assert big < middle < small
    assert tech.scale_sram_energy(2**20, 45 * NM, 7 * NM).value == pytest.approx(sqrt(0.14 * 0.0555), rel=5e-3)


@pytest.mark.parametrize("scale", SCALES)
@settings(max_examples=50)
@given(node=nodes)
def test_staying_at_a_node_changes_nothing(scale, node):
    assert scale(node, node) == tech.Scaled(1.0, 1.0, extrapolated=False)


@pytest.mark.parametrize("scale", SCALES)
@settings(max_examples=50)
@given(a=nodes, b=nodes, c=nodes)
def test_two_steps_equal_one_and_never_know_more(scale, a, b, c):
    first, second, whole = scale(a, b), scale(b, c), scale(a, c)
    assert first.value * second.value == pytest.approx(whole.value, rel=1e-9)
    assert first.factor * second.factor >= whole.factor * (1 - 1e-9)


@pytest.mark.parametrize("scale", SCALES)
@settings(max_examples=50)
@given(a=nodes, b=nodes)
def test_a_smaller_node_never_costs_more(scale, a, b):
    smaller, larger = sorted((a, b))
    assert scale(larger, smaller).value <= 1 + 1e-12


def test_a_law_used_outside_its_points_says_so():
    assert tech.scale_logic_energy(65 * NM, 45 * NM).extrapolated  # Jouppi's ratios start at 45 nm
    assert tech.scale_logic_energy(7 * NM, 5 * NM).extrapolated
    assert not tech.scale_logic_energy(28 * NM, 16 * NM).extrapolated


@pytest.mark.parametrize("node", [3 * NM, 250 * NM])
def test_nodes_beyond_the_range_are_refused(node):
    with pytest.raises(SpecError, match="5 nm to 180 nm"):
        tech.scale_logic_energy(45 * NM, node)
    with pytest.raises(SpecError, match="nm"):
        tech.op_energy("int add", 8, node)


@pytest.mark.parametrize(
    ("op", "bits", "at_45_pj", "at_7_pj"),
    [("int add", 8, 0.03, 0.007), ("int add", 32, 0.1, 0.03), ("int mult", 8, 0.2, 0.07), ("int mult", 32, 3.1, 1.48),
     ("fp add", 16, 0.4, 0.16), ("fp mult", 16, 1.1, 0.34), ("fp add", 32, 0.9, 0.38), ("fp_mult", 32, 3.7, 1.31)],
)  # fmt: skip
def test_ops_cost_what_horowitz_and_jouppi_print(op, bits, at_45_pj, at_7_pj):
    assert tech.op_energy(op, bits, 45 * NM).value == pytest.approx(at_45_pj * 1e-12)
    assert tech.op_energy(op, bits, 7 * NM).value == pytest.approx(at_7_pj * 1e-12)
    between = tech.op_energy(op, bits, 28 * NM)
    assert at_7_pj < between.value * 1e12 < at_45_pj


def test_bf16_costs_what_jouppi_prints_and_less_than_fp16_everywhere():
    assert tech.op_energy("bf16 mult", 16, 7 * NM).value == pytest.approx(0.21e-12)
    assert tech.op_energy("bfloat16 add", 16, 7 * NM).value == pytest.approx(0.11e-12)
    assert tech.op_energy("bf16 mult", 16, 45 * NM).value < tech.op_energy("fp mult", 16, 45 * NM).value


def test_multiplier_grows_with_the_product_of_the_widths():
    """Horowitz: 8 bit 0.2 pJ, 32 bit 3.1 pJ: 16 times the partial products, 15.5 times the energy."""
    narrow, wide = tech.op_energy("int mult", 8, 45 * NM).value, tech.op_energy("int mult", 16, 45 * NM).value
    assert wide / narrow == pytest.approx(4, rel=0.03)


def test_mac_of_4_by_16_bits_costs_one_of_8_by_8():
    """Both have 64 partial products."""
    assert tech.mac_energy(4, 16, 32, 28 * NM).value == pytest.approx(tech.mac_energy(8, 8, 32, 28 * NM).value)


def test_int8_mac_with_32_bit_accumulator_at_45_nm_is_multiply_plus_add():
    mac = tech.mac_energy(8, 8, 32, 45 * NM)
    assert mac.value == pytest.approx(0.2e-12 + 0.1e-12)
    assert tech.ADD_TABLE_FACTOR < mac.factor < tech.MULTIPLY_TABLE_FACTOR
    floating = tech.mac_energy(16, 16, 32, 45 * NM, floating=True)
    assert floating.value == pytest.approx(1.1e-12 + 0.9e-12)


def test_int8_mac_area_at_45_nm_is_the_sum_printed_beside_the_energies():
    assert tech.mac_area(8, 8, 32, 45 * NM).value == pytest.approx((282 + 137) * 1e-12)
    assert tech.mac_area(16, 16, 32, 45 * NM, floating=True).value == pytest.approx((1640 + 4184) * 1e-12)


@pytest.mark.parametrize(
    ("op", "bits", "message"),
    [("int ad", 8, "did you mean 'int add'"), ("fp mult", 8, "16 and 32"), ("bf16 mult", 32, "16 bits"), ("int mult", 0, "1 to 128")],
)
def test_ops_and_widths_that_are_not_there_are_refused(op, bits, message):
    with pytest.raises(SpecError, match=message):
        tech.op_energy(op, bits, 28 * NM)


@settings(max_examples=50)
@given(a=nodes, b=nodes, bits=st.integers(1, 64))
def test_an_op_never_costs_more_at_a_smaller_node_and_its_factor_is_at_least_the_tables(a, b, bits):
    smaller, larger = sorted((a, b))
    for op in ("int add", "int mult"):
        assert tech.op_energy(op, bits, smaller).value <= tech.op_energy(op, bits, larger).value * (1 + 1e-9)
        assert tech.op_energy(op, bits, smaller).factor >= tech.ADD_TABLE_FACTOR - 1e-12


def test_wires_hardly_scale():
    """0.24, 0.20, 0.15 pJ/bit/mm at 40, 28, 10 nm."""
    for node, published in ((40, 0.24), (28, 0.20), (10, 0.15)):
        assert tech.wire_energy(node * NM).value == pytest.approx(published * 1e-9)
    assert tech.wire_energy(7 * NM).value > 0.5 * tech.wire_energy(40 * NM).value


def test_single_figures_at_their_own_node():
    assert tech.instruction_energy(45 * NM).value == pytest.approx(70e-12)
    flip_flop_j = 3 * 0.7e-15 * 0.9**2 * tech.scale_logic_energy(28 * NM, 45 * NM).value
    assert tech.register_energy(16, 45 * NM).value == pytest.approx(16 * (0.009e-12 * flip_flop_j) ** 0.5)
    assert tech.logic_leakage(28 * NM).factor == 3.0
    assert tech.logic_leakage(28 * NM).value == pytest.approx(25e3)  # 25 mW/mm2


def test_supplies_are_nominal_and_do_not_fall_below_that_of_7_nm():
    assert tech.supply_v(45 * NM) == pytest.approx(1.0)
    assert tech.supply_v(180 * NM) == pytest.approx(1.8)
    assert tech.supply_v(5 * NM) == pytest.approx(0.7)


def test_half_the_supply_takes_a_quarter_of_the_energy_and_more_than_twice_the_time():
    assert tech.energy_at_voltage(0.5, 1.0) == pytest.approx(0.25)
    assert tech.delay_at_voltage(1.0, 1.0) == 1.0
    assert tech.delay_at_voltage(0.5, 1.0) == pytest.approx(0.5 * (0.65 / 0.15) ** 1.3)
    with pytest.raises(SpecError, match="threshold"):
        tech.delay_at_voltage(0.3, 1.0)


def test_independent_factors_multiply_in_squares_and_sums_weigh_them():
    a, b = tech.Scaled(2.0, 2.0), tech.Scaled(3.0, 2.0)
    assert a.times(b).value == 6.0
    assert a.times(b).factor == pytest.approx(2.0 ** sqrt(2))
    assert a.times(5.0) == tech.Scaled(10.0, 2.0)
    assert a.plus(tech.Scaled(2.0, 1.0)).factor == pytest.approx(1.5)
    assert [spread.factor for spread in a.spreads("x")] == [2.0]
    assert tech.Scaled(1.0, 1.0).spreads("x") == ()


@pytest.mark.parametrize("node_nm", [7, 22, 45])
def test_nodes_between_the_tables_need_no_note(node_nm):
    assert tech.node_note(node_nm * NM) == ""


@pytest.mark.parametrize("node_nm", [5, 65, 130])
def test_nodes_outside_the_tables_are_flagged_by_name(node_nm):
    assert f"at {node_nm} nm are extrapolated from tables of 45 and 7 nm" in tech.node_note(node_nm * NM)

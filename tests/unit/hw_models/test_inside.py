"""Laws inside one macro, each by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.catalog import resolve_part
from hw_models.cim.cell import CellSpec
from hw_models.cim.converter import AdcSpec
from hw_models.cim.inside import PulseArray, idle_factor, magnitude_planes, serial_outputs
from hw_models.cim.logic import LogicSpec
from workloads.errors import SpecError

CELL = {
    "kind": "sram", "node": "28 nm", "max_bits": 1, "area": "0.5 um2", "bitline_cap": "2 fF", "wordline_cap": "1 fF",
    "read_time": "1 ns", "write_energy": "1 fJ", "write_time": "1 ns",
}  # fmt: skip
ADC = {
    "type": "flash", "n_bits": 2, "node": "28 nm", "supply": "1 V", "energy_per_level": "10 fJ", "time_fixed": "1 ns", "area_base": "1 um2",
}  # fmt: skip
GATE = {"node": "28 nm", "supply": "1 V", "gate_cap": "1 fF", "gate_area": "1 um2", "gate_delay": "10 ps"}


def array(**changes: object) -> PulseArray:
    """Four rows of eight cells with two flash ADCs of two bits, at the node and supply of all its parts: no scaling to think of."""
    given = {
        "node_m": 28e-9, "supply_v": 1.0, "rows": 4, "cols": 8, "n_adcs": 2, "input_bits": 2, "cell": CellSpec.model_validate(CELL),
        "adc": AdcSpec.model_validate(ADC), "logic": LogicSpec.model_validate(GATE), "row_gates": 1.0, "col_gates": 1.0,
    }  # fmt: skip
    return PulseArray(**(given | changes))  # type: ignore[arg-type]  # a mix of types by keyword


def test_a_full_scale_input_is_three_pulses_of_two_bits_and_each_drives_all_rows() -> None:
    """4 rows x 3 pulses x 8 cells x 1 fF x 1 V^2 = 96 fJ."""
    assert array().n_pulses == 3
    assert array().rows_j == pytest.approx(96e-15)


def test_the_largest_sum_discharges_every_bit_line_and_counts_all_comparators() -> None:
    """8 lines x 4 cells x 2 fF = 64 fJ; to count 3 comparators takes a full adder (6 fF) at each of 2 ADCs: 12 fJ."""
    assert array().sums_j == pytest.approx(76e-15)


def test_comparators_pulse_logic_and_registers_switch_whatever_the_data() -> None:
    """2 ADCs x 3 x 10 fJ = 60; gates: 4 rows x 3 pulses + 8 columns + 3 x (4 rows x 2 bits + 2 ADCs x 2 bits) = 56 fF."""
    assert array().fixed_j == pytest.approx(116e-15)
    assert array().parts_j(np.array([0.0]))[0] == pytest.approx([116e-15, 0.0, 0.0])


def test_word_lines_follow_the_operand_and_bit_lines_the_product() -> None:
    """A mean product of 1/3 has mean operands of sqrt(1/3)."""
    fixed, rows, sums = array().parts_j(np.array([1.0]))[0]
    assert (fixed, rows, sums) == pytest.approx((116e-15, 96e-15 * 3**-0.5, 76e-15 / 3))


def test_a_lower_supply_costs_its_square_at_the_nodes_of_the_parts() -> None:
    assert array(supply_v=0.5).parts_j(np.array([3.0])) == pytest.approx(array().parts_j(np.array([3.0])) / 4)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 3), st.floats(0, 3))
def test_a_larger_code_never_costs_less(one: float, other: float) -> None:
    low, high = sorted((one, other))
    spent = array().parts_j(np.array([low, high])).sum(axis=1)
    assert spent[0] <= spent[1] * (1 + 1e-12)


@pytest.mark.parametrize("code", [-0.1, 3.1])
def test_a_code_that_the_converter_does_not_have_is_refused(code: float) -> None:
    with pytest.raises(SpecError, match="must lie in 0 to 3"):
        array().parts_j(np.array([code]))


def test_shipped_parts_make_a_pass_of_sinangils_macro_within_a_factor_of_two() -> None:
    """3.36 pJ at code 0 and 7.80 pJ at code 15, 0.8 V: Sinangil et al., JSSC 56(1) 2021, Fig. 13a; nothing is fitted."""
    parts = {"cell": "cell/sram_8t_22nm", "adc": "converter/flash_4b_28nm", "logic": "cell/nand2_28nm"}
    kinds = {"cell": CellSpec, "adc": AdcSpec, "logic": LogicSpec}
    made = {name: kinds[name].model_validate(resolve_part(part).data) for name, part in parts.items()}
    size = {"node_m": 7e-9, "supply_v": 0.8, "rows": 64, "cols": 64, "n_adcs": 16, "input_bits": 4, "row_gates": 10.0, "col_gates": 10.0}
    spent = array(**made, **size).parts_j(np.array([0.0, 15.0])).sum(axis=1)
    assert 0.5 < spent[0] / 3.36e-12 < 2
    assert 0.5 < spent[1] / 7.80e-12 < 2


@pytest.mark.parametrize(("weight_bits", "outputs"), [(1, 16), (2, 14), (7, 9), (8, 8), (14, 6), (15, 5), (16, 5)])
def test_a_sum_of_128_takes_its_bits_and_seven_columns_more(weight_bits: int, outputs: int) -> None:
    """Colonnade: floor(128 / (b + 7)) sums in 128 columns."""
    assert serial_outputs(128, weight_bits, 128) == outputs


def test_columns_left_over_are_paid_by_the_others() -> None:
    """5 sums of 22 columns leave 18 of 128 idle; 16 sums of 8 leave none."""
    assert idle_factor(128, 15, 128) == pytest.approx(128 / 110)
    assert idle_factor(128, 1, 128) == 1.0


@given(st.integers(1, 57), st.sampled_from([2, 16, 128]))
def test_idle_columns_never_make_a_sum_cheaper(weight_bits: int, n: int) -> None:
    assert idle_factor(64, weight_bits, n) >= 1


@pytest.mark.parametrize("weight_bits", [0, 122])
def test_a_sum_that_does_not_fit_is_refused(weight_bits: int) -> None:
    with pytest.raises(SpecError, match=f"weight_bits {weight_bits}"):
        serial_outputs(128, weight_bits, 128)


def test_a_sign_costs_no_plane() -> None:
    """-7 to 7 is three planes of -1, 0, 1; one bit still takes one."""
    assert [magnitude_planes(bits) for bits in (1, 2, 4, 8)] == [1, 1, 3, 7]
    with pytest.raises(SpecError, match="at least 1"):
        magnitude_planes(0)

"""Converters of a compute array: laws of energy, time and area against the figures that their sources print."""

from math import exp, log, sqrt

import pytest
from pydantic import ValidationError

from hw_models.catalog import list_parts, resolve_part
from hw_models.cim.converter import AdcSpec, DacSpec, lossless_adc_bits
from hw_models.cim.logic import LogicSpec, place_value_adders, tree_adders, tree_delay_gates


def adc(name="sar_8b_28nm", **change):
    return AdcSpec.model_validate(resolve_part(f"converter/{name}").data | change)


def dac(name="row_driver_28nm", **change):
    return DacSpec.model_validate(resolve_part(f"converter/{name}").data | change)


def test_the_zigzag_law_costs_701_fj_2084_um2_and_5_ns_at_eight_bits():
    """ZigZag-IMC: (100 fF b + 0.001 fF 4^b) V^2 gives 701 fJ at 0.9 V; 10^(-0.0369 b + 1.206) 2^b um2 gives 2084 um2."""
    assert adc().conversion_j == pytest.approx(701e-15, rel=1e-3)
    assert adc().area_m2 == pytest.approx(2084e-12, rel=2e-3)
    assert adc().conversion_s(256) == pytest.approx(8 * (0.00653 * 256 + 0.640) * 1e-9, rel=1e-3)


@pytest.mark.parametrize("bits", [1, 4, 6, 8, 10])
def test_the_neurosim_law_is_power_times_time(bits):
    """NeuroSim SarADC.cpp, 22 nm LSTP: (0.538 b + 4.3753) uW for (b + 1) ns."""
    part = adc("sar_neurosim_22nm", n_bits=bits)
    assert part.conversion_s(256) == pytest.approx((bits + 1) * 1e-9)
    assert part.conversion_j == pytest.approx((0.538 * bits + 4.3753) * 1e-6 * (bits + 1) * 1e-9, rel=1e-6)


@pytest.mark.parametrize("bits", [6, 8])
def test_the_neurosim_law_of_130_nm_is_power_times_one_nanosecond_a_bit(bits):
    part = adc("neuron_neurram_130nm", n_bits=bits)
    assert part.conversion_j == pytest.approx((8.4483 * bits + 65.243) * 1e-6 * (bits + 1) * 1e-9, rel=1e-5)


def test_the_isaac_adc_follows_its_published_table():
    """hwcomponents isaac.py: pJ and um2 by bits; at 1.28 GS/s it draws the 2 mW of ISCA 2016, Table I."""
    published = {4: (0.79, 361), 5: (0.99, 477), 6: (1.20, 627), 7: (1.42, 845), 8: (1.667, 1200), 9: (1.97, 1828), 10: (2.38, 3002)}
    for bits, (energy_pj, area_um2) in published.items():
        part = adc("sar_isaac_32nm", n_bits=bits)
        assert part.conversion_j == pytest.approx(energy_pj * 1e-12, rel=0.06)
        assert part.area_m2 == pytest.approx(area_um2 * 1e-12, rel=0.21)
    assert adc("sar_isaac_32nm").conversion_j * 1.28e9 == pytest.approx(2e-3, rel=0.1)


def test_the_range_of_the_nominal_law_is_the_spread_of_the_tools():
    """1.645 standard deviations in log of four sources about the nominal law, one 8-bit conversion at 28 nm and 0.9 V."""
    neurosim_j = sqrt(0.0782e-12 * 0.1614e-12)  # between the rows of 22 and 32 nm
    sources_j = (neurosim_j, adc().conversion_j, 1.331e-12, 1.667e-12 * 28 / 32)
    logs = [log(source_j / adc().conversion_j) for source_j in sources_j]
    factor = exp(1.645 * sqrt(sum(x * x for x in logs) / len(logs)))
    assert adc().factor("energy_per_bit") == pytest.approx(factor, rel=0.05)


def test_a_flash_has_a_comparator_for_each_level_and_a_ramp_a_step():
    assert adc("flash_4b_28nm").conversion_j == pytest.approx(15 * 1.63e-15)
    assert adc("flash_4b_28nm", n_bits=6).conversion_j == pytest.approx(63 * 1.63e-15)
    assert adc("tdc_timely_65nm").conversion_j == pytest.approx(0.145e-12, rel=1e-3)  # hwcomponents timely.py
    assert adc("tdc_timely_65nm").conversion_s(1) == pytest.approx(255 * 50e-12)
    assert adc("sense_amp_28nm").conversion_j == pytest.approx(1.63e-15)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("sense_amp_28nm", {"n_bits": 3}, "a sense amplifier decides 1 bit; got n_bits 3"),
        ("sar_8b_28nm", {"n_bits": 0}, "greater than or equal to 1"),
        ("sar_8b_28nm", {"energy_per_bit": "0 fJ", "energy_per_unit_cap": "0 fJ"}, "a conversion costs no energy"),
        ("sar_8b_28nm", {"time_per_bit": "0 ns", "time_per_bit_row": "0 ns"}, "a conversion takes no time"),
        ("sar_8b_28nm", {"area_growth": 0.5}, "greater than or equal to 1"),
        ("sar_8b_28nm", {"type": "abacus"}, "Input should be 'sar'"),
    ],
)
def test_what_no_adc_can_be_is_refused_with_the_reason(name, change, message):
    with pytest.raises(ValidationError, match=message):
        adc(name, **change)


def test_a_dac_costs_by_the_bit_or_doubles_with_each():
    """ZigZag-IMC: 50 fF b V^2 = 40.5 fJ a bit at 0.9 V; ISAAC's driver 0.41667 pJ, twice as much with each more bit."""
    assert dac("row_dac_28nm", n_bits=4).drive_j == pytest.approx(4 * 40.5e-15)
    assert dac("row_dac_28nm", n_bits=4).drive_s == pytest.approx(6e-9)  # MNSIM: (b + 2) ns
    assert dac("row_driver_isaac_32nm").drive_j == pytest.approx(0.41667e-12)
    assert dac("row_driver_isaac_32nm", n_bits=3).drive_j == pytest.approx(4 * 0.41667e-12)
    for bits, area_um2 in {1: 0.166, 2: 0.332, 4: 1.328, 8: 21.248}.items():  # MNSIM DAC.py
        assert dac("row_dac_28nm", n_bits=bits).area_m2 == pytest.approx(area_um2 * 1e-12)


def test_a_one_bit_driver_costs_no_more_than_its_row():
    assert dac().drive_j == 0


def test_only_pulse_drivers_count_pulses():
    """hwcomponents neurram.py: an n-bit slice takes 2^n - 1 integration steps."""
    assert [dac("pulse_driver_130nm").n_pulses(bits) for bits in (1, 2, 4)] == [1, 3, 15]
    assert dac("row_dac_28nm").n_pulses(4) == 1


@pytest.mark.parametrize("rows", [1, 2, 3, 64, 128, 255, 256])
@pytest.mark.parametrize("input_bits", [1, 2, 4])
@pytest.mark.parametrize("cell_bits", [1, 2, 3])
def test_a_lossless_adc_has_as_many_codes_as_there_are_column_sums(rows, input_bits, cell_bits):
    n_sums = rows * (2**input_bits - 1) * (2**cell_bits - 1) + 1
    bits = lossless_adc_bits(rows, input_bits, cell_bits)
    assert 2**bits >= n_sums > 2 ** (bits - 1)


def test_isaac_needs_nine_bits_without_its_encoding():
    """ISCA 2016: 128 rows, 1-bit inputs, 2-bit cells: 9 bits; the encoding of weights saves one of them."""
    assert lossless_adc_bits(128, 1, 2) == 9


def test_an_adder_tree_of_four_ones_takes_three_half_steps():
    # two 1-bit adders and one 2-bit adder sum four bits: 4 full adders; 4 (1 + 1) - (1 + 2 + 1) = 4
    assert tree_adders(4, 1) == 4
    # eight 4-bit numbers: 4 adders of 4, 2 of 5, 1 of 6 bits = 32; 8 * 5 - (4 + 3 + 1) = 32
    assert tree_adders(8, 4) == 32
    assert tree_adders(1, 4) == 0
    for levels in range(1, 9):
        for bits in (1, 4, 8):
            by_hand = sum((2 ** (levels - 1 - level)) * (bits + level) for level in range(levels))
            assert tree_adders(2**levels, bits) == by_hand


def test_place_values_and_the_delay_of_a_tree_follow_zigzag():
    assert place_value_adders(1, 8) == 0
    assert place_value_adders(4, 8) == 8 * 3 + 4 * 1.5
    # (l - 1) 2 T_xor + T_xor + 2 T_nand + (w + l - 2) 2 T_nand with l = 3, w = 4: 9.6 + 4.4 + 10 gate delays
    assert tree_delay_gates(8, 4) == pytest.approx(24.0)
    assert tree_delay_gates(1, 4) == 0


def test_a_full_adder_of_the_shipped_gate_takes_4_2_ff():
    """ZigZag-IMC: (3 C_nand + 2 C_xor) = 4.2 fF at 0.7 fF a NAND2; 4.79 um2."""
    from hw_models.cim.logic import ADDER_AREA, ADDER_CAP

    gate = LogicSpec.model_validate(resolve_part("cell/nand2_28nm").data)
    assert ADDER_CAP * gate.gate_cap_f == pytest.approx(4.2e-15)
    assert ADDER_AREA * gate.gate_area_m2 == pytest.approx(4.79e-12, rel=1e-3)
    assert gate.gate_j == pytest.approx(0.7e-15 * 0.81)


@pytest.mark.parametrize("name", [name for name in list_parts() if name.startswith("converter/")])
def test_every_shipped_converter_can_be_read(name):
    data = resolve_part(name).data
    cls = DacSpec if data.get("type") in {"voltage", "pulse"} else AdcSpec
    assert cls.model_validate(data).area_m2 > 0

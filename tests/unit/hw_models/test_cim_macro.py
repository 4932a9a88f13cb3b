"""Compute-in-memory macros as a device: hand calculations with the numbers written out, published parts, refusals."""

import re

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.testing import sample_ops
from hw_models.catalog import list_chips, load_chip, resolve_part
from hw_models.cim import physics
from hw_models.cim.macro import COMPONENTS, LIMITS, CimMacro, CimMacroSpec
from hw_models.memory.sram import sram_access
from hw_models.registry import device_class
from hw_models.technology import scale_logic_energy, supply_v, wire_energy
from workloads.graph import OpKind
from workloads.optable import COLUMNS, OpTable

PARTS = ("sram_charge_22nm_256x256", "reram_22nm_256x256", "digital_22nm_256x256", "isaac_ima_32nm", "neurram_130nm")
NAMES = [name for name, _ in COMPONENTS]

# A macro of 4 x 8 cells whose parts all live at 28 nm and 1 V, so that nothing is scaled.
SMALL = {
    "n_macros": 4, "rows": 4, "cols": 8, "node": "28 nm", "supply": "1 V", "domain": "charge",
    "cell": {
        "kind": "sram", "node": "28 nm", "max_bits": 1, "area": "0.5 um2", "bitline_cap": "1 fF", "wordline_cap": "0.5 fF",
        "unit_cap": "2 fF", "read_time": "2 ns", "write_energy": "1 fJ", "write_time": "1 ns", "v_min": "0.6 V", "leakage": "10 pW",
    },
    "dac": {"node": "28 nm", "supply": "1 V", "energy_per_bit": "3 fJ", "time_fixed": "1 ns", "area_base": "0.1 um2", "area_growth": 2.0},
    "adc": {
        "type": "sar", "n_bits": 4, "node": "28 nm", "supply": "1 V", "energy_per_bit": "10 fJ", "time_per_bit": "1 ns",
        "area_base": "10 um2", "area_growth": 2.0,
    },
    "n_adcs": 2, "settle": "1 ns", "pipelined": False,
    "logic": {"node": "28 nm", "supply": "1 V", "gate_cap": "1 fF", "gate_area": "0.6 um2", "gate_delay": "50 ps"},
    "vector": {"n_lanes": 2, "bits": 16, "multiplier_bits": 0}, "clock": "1 GHz", "link_bits": 64, "accumulator_bits": 8,
    "input_buffer": "1 KiB", "output_buffer": "1 KiB", "buffer_bits": 64, "input_density": 0.25, "weight_density": 0.5,
    "row_gates": 10, "col_gates": 5, "control_energy_share": 0.2, "control_area_share": 0.2, "launch": "100 ns",
}  # fmt: skip


def spec(**change):
    """The small macro with some keys changed; a dict changes keys of the nested part."""
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in SMALL.items()}
    for key, value in change.items():
        if value is None:
            data.pop(key, None)
        elif isinstance(value, dict) and isinstance(data.get(key), dict):
            data[key] |= value
        else:
            data[key] = value
    return CimMacroSpec.model_validate(data)


def part(name, **change):
    data = resolve_part(f"cim_macro/{name}").data | change
    assert data.pop("kind") == "cim_macro"
    return CimMacroSpec.model_validate(data)


def matmul(m, k, n, groups=1, bits=8, n_vector_ops=0, dynamic=0):
    return dict.fromkeys(COLUMNS, 0) | {
        "kind": int(OpKind.MATMUL), "groups": groups, "m": m, "k": k, "n": n, "dynamic": dynamic, "n_vector_ops": n_vector_ops,
        "weight_elements": groups * k * n, "input_elements": groups * m * k, "output_elements": groups * m * n,
        "weight_bits": bits, "activation_bits": bits,
    }  # fmt: skip


def table(*rows):
    columns = {name: np.array([row[name] for row in rows], dtype=np.int64) for name in COLUMNS}
    return OpTable(**columns, row_of_op=np.arange(len(rows)), n_repeats=np.ones(len(rows), dtype=np.int64))


def cost(macro, *rows):
    return CimMacro.costs([macro], table(*rows))


def energies(macro, row):
    return dict(zip(NAMES, cost(macro, row).energy_j[0, 0].tolist(), strict=True))


# 3 vectors of 6 inputs, 2 outputs, 2-bit weights and inputs: two row tiles (4 + 2 rows), 2 slices, 4 of 8 columns.
OP = matmul(3, 6, 2, bits=2, n_vector_ops=10)


def test_driver_energy_by_hand():
    # 3 vectors * 2 bit passes * 6 rows = 36 drives, a quarter of them ones:
    # 8 cells * 0.5 fF * (1 V)^2 = 4 fJ of word line and 3 fJ of driver
    assert energies(spec(), OP)["driver"] == pytest.approx(36 * 0.25 * (4e-15 + 3e-15))


def test_cell_energy_by_hand():
    # 6 events * 6 rows * 4 columns = 144 cells; a quarter driven, half of them holding a one: 2 fF * (1 V)^2
    # lines: 6 events * 2 row tiles * 4 columns = 48, of 4 cells * 1 fF, moved by 1/8 of 1 V
    assert energies(spec(), OP)["cell"] == pytest.approx(144 * 0.25 * 0.5 * 2e-15 + 48 * 4e-15 * 0.125)


def test_adc_energy_by_hand():
    # 6 events * 2 row tiles * 2 outputs * 2 slices = 48 conversions of 4 bits at 10 fJ a bit
    assert energies(spec(), OP)["adc"] == pytest.approx(48 * 40e-15)


def test_digital_energy_by_hand():
    # each conversion is added to an 8-bit sum: 8 adders of 6 and flip-flops of 3 gates of 1 fF
    assert energies(spec(), OP)["digital"] == pytest.approx(48 * 8 * 9e-15)


def test_vector_energy_by_hand():
    # 10 operations of the op, and 6 outputs * (2 row tiles - 1) sums; 16 bits of adder and register
    assert energies(spec(), OP)["vector"] == pytest.approx((10 + 6) * 16 * 9e-15)


def test_buffer_energy_by_hand():
    # 18 inputs of 2 bits are 4.5 bytes: 5 in, 4.5 read by the array; 36 bits latched at 3 gates; 2 bytes of outputs in and out
    sram = sram_access(1024, 64, 28e-9, "lstp")
    expected_j = (5 * sram.write_j + 4.5 * sram.read_j + 2 * (sram.read_j + sram.write_j)) / 8 + 36 * 3e-15
    assert energies(spec(), OP)["buffer"] == pytest.approx(expected_j)


def test_interconnect_energy_by_hand():
    # four macros in a square: to one of them and back is half of the edge; 36 bits in, 6 outputs * 2 tiles * 8 bits back
    macro = spec()
    edge_m = (4 * sum(physics.macro_areas_m2(macro).values())) ** 0.5
    at_1_v = wire_energy(28e-9).value * (1 / supply_v(28e-9)) ** 2
    assert energies(macro, OP)["interconnect"] == pytest.approx((36 + 96) * edge_m / 2 * at_1_v)


def test_control_takes_its_share_of_the_total():
    found = energies(spec(), OP)
    assert found["control"] == pytest.approx(0.2 * sum(found.values()))


def test_latency_by_hand():
    # a pass: 1 ns driver + max(2 ns cell, 1 ns settling) + ceil(4 columns / 2 ADCs) * 4 ns + 1 ns add = 12 ns, 6 of them
    found = cost(spec(), OP)
    assert found.latency_s[0, 0] == pytest.approx(100e-9 + 1e-9 + 6 * 12e-9)
    assert found.fixed_s[0, 0] == pytest.approx(101e-9)
    assert LIMITS[found.limit[0, 0]] == "adc"
    # pipelined: 8 ns of conversion hide the rest, which remains once
    assert cost(spec(pipelined=True), OP).latency_s[0, 0] == pytest.approx(101e-9 + (12 - 8) * 1e-9 + 6 * 8e-9)


def test_programming_by_hand():
    # two tiles one after another (macros_per_write 1), the fuller of 4 rows at 1 ns; 24 cells of 1 fJ
    found = cost(spec(), OP)
    assert found.program_s[0, 0] == pytest.approx(2 * 4 * 1e-9)
    assert found.program_j[0, 0] == pytest.approx(24e-15)
    assert cost(spec(macros_per_write=2), OP).program_s[0, 0] == pytest.approx(4e-9)
    assert cost(spec(cells_per_write=1), OP).program_s[0, 0] == pytest.approx(2 * 4 * 4 * 1e-9)


def test_area_by_hand():
    parts = CimMacro("cim", spec()).area_parts_m2
    assert parts["cells"] == pytest.approx(4 * 32 * 0.5e-12)
    assert parts["driver"] == pytest.approx(4 * (4 * 0.2e-12 + (4 * 10 + 8 * 5) * 0.6e-12))
    assert parts["adc"] == pytest.approx(4 * 2 * 160e-12)
    # 4 rows * 8 bits and 8 sums * 8 bits in flip-flops of 6 gates, an 8-bit adder of 7.8 gates behind each of 2 ADCs
    assert parts["digital"] == pytest.approx(4 * ((32 + 64) * 6 + 2 * 8 * 7.8) * 0.6e-12)
    assert parts["control"] == pytest.approx(0.2 / 0.8 * (parts["cells"] + parts["driver"] + parts["adc"] + parts["digital"]))
    assert parts["vector"] == pytest.approx(2 * 16 * 13.8 * 0.6e-12)
    assert parts["buffer"] == pytest.approx(2 * sram_access(1024, 64, 28e-9, "lstp").area_m2)


def test_adders_of_the_tree_take_area_at_its_nodes():
    # four macros meet in three adders with registers as wide as the tree: 64 bits of 13.8 gates
    parts = CimMacro("cim", spec(sums_in_tree=True)).area_parts_m2
    assert parts["interconnect"] == pytest.approx(3 * 64 * 13.8 * 0.6e-12)
    assert CimMacro("cim", spec()).area_parts_m2["interconnect"] == 0


def test_an_op_with_more_tiles_than_macros_goes_in_rounds():
    # 36 inputs make 9 row tiles: three rounds on four macros, one on nine
    row = matmul(1, 36, 2, bits=2)
    few, many = cost(spec(link_bits=4096), row), cost(spec(link_bits=4096, n_macros=9), row)
    assert few.n_arrays[0, 0] == many.n_arrays[0, 0] == 9
    assert few.latency_s[0, 0] - few.fixed_s[0, 0] == pytest.approx(3 * (many.latency_s[0, 0] - many.fixed_s[0, 0]))


def test_macros_kept_free_hold_no_weights_that_stay():
    macro = CimMacro("cim", spec(scratch_macros=3))
    assert (macro.n_arrays, macro.scratch_arrays) == (1, 3)
    assert cost(macro.spec, OP).latency_s[0, 0] == cost(spec(), OP).latency_s[0, 0]  # two tiles on three scratch macros


def test_copies_of_the_weights_share_the_vectors_when_asked():
    row = matmul(8, 4, 2, bits=2)
    one, four = cost(spec(), row), cost(spec(max_duplication=4), row)
    assert (one.n_arrays[0, 0], four.n_arrays[0, 0]) == (1, 4)
    assert one.latency_s[0, 0] - one.fixed_s[0, 0] == pytest.approx(4 * (four.latency_s[0, 0] - four.fixed_s[0, 0]))
    assert four.program_j[0, 0] == pytest.approx(4 * one.program_j[0, 0])


def test_depthwise_groups_share_an_array_along_the_diagonal():
    # 3 x 3 filters of 8 bits on 256 x 256: min(256 // 9, 256 // 8) = 28 groups an array
    row = matmul(49, 9, 1, groups=100)
    found = cost(part("sram_charge_22nm_256x256", n_macros=8), row)
    assert found.n_arrays[0, 0] == 4  # 28 + 28 + 28 + 16
    # the rectangle that the packs span is written: 72 cells a group times its pack
    assert found.program_j[0, 0] == pytest.approx(72 * (3 * 28**2 + 16**2) * 1.6e-15)


def test_groups_too_large_to_share_take_arrays_of_their_own():
    assert cost(spec(), matmul(1, 3, 2, groups=5, bits=2)).n_arrays[0, 0] == 5  # 3 of 4 rows: no second group fits


def test_differential_columns_slice_the_magnitude_and_convert_their_difference():
    differential = spec(encoding="differential")
    found = cost(differential, OP)
    assert found.compute_weight_bits[0, 0] == 2  # one slice and the sign
    # 6 events * 2 row tiles * 2 outputs * 1 slice, on 4 columns; one of two devices is empty: half the density
    assert energies(differential, OP)["adc"] == pytest.approx(24 * 40e-15)
    assert energies(differential, OP)["cell"] == pytest.approx(144 * 0.25 * 0.25 * 2e-15 + 48 * 4e-15 * 0.0625)


def test_differential_rows_take_two_rows_an_input():
    found = cost(spec(encoding="differential_rows"), OP)
    assert found.n_arrays[0, 0] == 3  # 12 rows in arrays of 4
    assert energies(spec(encoding="differential_rows"), OP)["driver"] == pytest.approx(2 * energies(spec(), OP)["driver"])


def test_slicing_says_at_which_bits_it_computes():
    row = matmul(1, 4, 1) | {"weight_bits": 7, "activation_bits": 5}
    found = cost(spec(bits_per_cell=2, cell={"max_bits": 2}, input_bits_per_pass=2, dac={"n_bits": 2}), row)
    assert found.compute_weight_bits[0, 0] == 8
    assert found.compute_activation_bits[0, 0] == 6


def test_pulses_repeat_what_a_level_does_once():
    bits, pulses = ({"n_bits": 2, "type": kind} for kind in ("voltage", "pulse"))
    row = matmul(1, 4, 2, bits=2)
    once, thrice = (energies(spec(input_bits_per_pass=2, dac=dac | {"energy_per_bit": "0 fJ"}), row) for dac in (bits, pulses))
    for name in ("driver", "cell"):
        assert thrice[name] == pytest.approx(3 * once[name])
    assert thrice["adc"] == once["adc"]
    slow, fast = (cost(spec(input_bits_per_pass=2, dac=dac), row) for dac in (pulses, bits))
    assert slow.latency_s[0, 0] - fast.latency_s[0, 0] == pytest.approx(2 * 2e-9)  # 3 * 2 ns instead of 2 ns on the line


def test_an_integrating_converter_pays_for_each_pulse():
    row = matmul(1, 4, 2, bits=2)
    macro = {"input_bits_per_pass": 2, "dac": {"n_bits": 2, "type": "pulse"}}
    with_pulses = energies(spec(**macro, adc={"energy_per_pulse": "4 fJ"}), row)["adc"]
    assert with_pulses == pytest.approx(4 * (40e-15 + 0.25 * 3 * 4e-15))


def test_a_digital_macro_has_trees_and_no_converter():
    macro = spec(domain="digital", adc=None, n_adcs=None, tree_bits=2)
    found = energies(macro, OP)
    assert found["adc"] == 0
    # 6 events * 2 outputs: trees over 4 and 2 rows of 2 bits, 4 * 3 - (2 + 3) and 2 * 3 - (2 + 2 + 1) full adders of 6 gates
    # (the shorter tile goes through a tree as deep as the full one's), and 2 sums of 8 bits in 9 gates
    assert found["digital"] == pytest.approx(12 * ((7 + 1) * 6e-15 + 2 * 8 * 9e-15))
    # cells: 144 gates of 2 fF, no line
    assert found["cell"] == pytest.approx(144 * 0.25 * 0.5 * 2e-15)
    # 1 ns driver + (1 + tree of 4 inputs of 2 bits: 4.8 + 4.4 + 4) gates of 50 ps = 1.71 ns, and 1 ns to add
    assert cost(macro, OP).latency_s[0, 0] == pytest.approx(101e-9 + 6 * (1e-9 + 14.2 * 50e-12 + 1e-9))


def test_only_products_with_stored_weights_run():
    other = dict.fromkeys(COLUMNS, 0) | {"kind": int(OpKind.SOFTMAX), "input_elements": 8, "output_elements": 8, "activation_bits": 8}
    found = cost(spec(), OP, OP | {"dynamic": 1}, other)
    assert found.supported.tolist() == [[True, False, False]]
    assert np.isinf(found.latency_s[0, 1:]).all()
    assert not found.energy_j[0, 1:].any()
    assert not found.n_bytes[0, 1:].any()


def test_bytes_at_the_port_are_packed_weights_inputs_once_and_outputs():
    assert cost(spec(), OP).n_bytes[0, 0].tolist() == [3, 5, 2]  # 12, 18 and 6 elements of 2 bits


def test_a_batch_of_specs_equals_its_members():
    specs = [part(name, n_macros=16) for name in PARTS] + [spec()]
    ops = table(OP, matmul(49, 300, 70), matmul(49, 9, 1, groups=50))
    together = CimMacro.costs(specs, ops)
    for i, macro in enumerate(specs):
        alone = CimMacro.costs([macro], ops)
        np.testing.assert_array_equal(together.energy_j[i], alone.energy_j[0])
        np.testing.assert_array_equal(together.latency_s[i], alone.latency_s[0])
        assert together.components[i] == alone.components[0]
    assert CimMacro.costs([], ops).latency_s.shape == (0, 3)


@pytest.mark.parametrize("name", PARTS)
def test_no_op_is_faster_than_the_peak(name):
    macro = part(name)
    found = cost(macro, matmul(1000, macro.rows * 2, macro.cols * 2), matmul(1000, macro.rows // macro.row_devices, 8))
    macs = np.array([1000 * macro.rows * 2 * macro.cols * 2, 1000 * (macro.rows // macro.row_devices) * 8])
    rates = macs / (found.latency_s[0] - found.fixed_s[0])
    assert (rates <= CimMacro("cim", macro).peak_macs_per_s(8, 8) * (1 + 1e-9)).all()


def test_the_peak_is_reached_when_one_array_is_full():
    # 4 x 8 cells, 8-bit weights: one output of 4 inputs; 8 passes of 1 + 2 + ceil(8 / 2) * 4 + 1 ns
    one = spec(n_macros=1, link_bits=4096)
    assert CimMacro("cim", one).peak_macs_per_s(8, 8) == pytest.approx(4 / (8 * 20e-9))
    found = cost(one, matmul(1000, 4, 1))
    assert 4000 / (found.latency_s[0, 0] - found.fixed_s[0, 0]) == pytest.approx(4 / (8 * 20e-9))


# --- scaling ----------------------------------------------------------------------------------------------------


def test_energy_goes_with_the_square_of_the_supply_and_time_with_the_alpha_power_law():
    low, high = (energies(spec(supply=v), OP) for v in ("0.8 V", "1 V"))
    for name in ("driver", "cell", "adc", "digital", "vector", "interconnect"):
        assert low[name] == pytest.approx(0.64 * high[name]), name
    assert low["buffer"] < high["buffer"]  # only its registers: SRAM keeps the supply of its node
    slow, fast = (physics.adc_s(macro, physics.factors(macro)) for macro in (spec(supply="0.8 V"), spec()))
    assert slow / fast == pytest.approx(0.8 / 0.45**1.3 * 0.65**1.3)


def test_a_converter_of_another_node_is_moved_by_the_node_law_with_its_uncertainty():
    nominal = supply_v(22e-9)
    macro = spec(node="22 nm", supply=f"{nominal} V", adc={"supply": f"{supply_v(28e-9)} V"})
    law = scale_logic_energy(28e-9, 22e-9)
    assert energies(macro, OP)["adc"] == pytest.approx(48 * 40e-15 * law.value)
    spreads = {s.name: s.factor for s in CimMacro.costs([macro], table(OP)).components[0][NAMES.index("adc")].spreads}
    assert spreads["technology.logic"] == pytest.approx(law.factor)


def test_what_is_not_moved_has_no_scaling_spread():
    for component in CimMacro.costs([spec()], table(OP)).components[0]:
        assert "technology.logic" not in {s.name for s in component.spreads}, component.name


# --- what the numbers rest on -----------------------------------------------------------------------------------


def test_the_spread_of_converters_is_carried_under_one_name():
    components = CimMacro.costs([part("sram_charge_22nm_256x256")], table(OP)).components[0]
    spreads = {c.name: {s.name: s.factor for s in c.spreads} for c in components}
    assert spreads["adc"]["cim.adc"] == 5.5
    assert spreads["driver"]["cim.input_density"] == spreads["cell"]["cim.input_density"] == 2
    assert spreads["control"]["cim.control"] == 3
    assert spreads["buffer"]["technology.sram"] > 1
    assert spreads["interconnect"]["technology.wire"] == wire_energy(22e-9).factor > 1.9  # published wires differ by 2
    assert spreads["digital"]["cim.logic"] == spreads["vector"]["cim.logic"] == 1.5
    assumed = {c.name for c in components if c.assumed}
    assert assumed == {"driver", "cell", "control"}  # value statistics and control are assumptions, the rest has sources


def test_categories_tell_conversion_from_computing():
    categories = dict(COMPONENTS)
    assert {name for name, category in categories.items() if category == "convert"} == {"driver", "adc"}
    assert (categories["buffer"], categories["interconnect"], categories["cell"]) == ("memory", "link", "compute")


def test_latency_is_as_uncertain_as_its_least_known_stage():
    found = CimMacro.costs([part("sram_charge_22nm_256x256"), part("digital_22nm_256x256"), spec()], table(OP)).latency_spreads
    assert {s.name for s in found[0]} == {"cim.latency", "technology.delay"}
    assert 1.5 < {s.name: s.factor for s in found[1]}["cim.latency"] < 2  # the assumed driver time at 2, the tree's gates at 1.5
    assert found[2] == ()


def test_a_stage_that_another_hides_does_not_widen_the_latency():
    """32 conversions of 0.68 ns, sure within 1.2, hide a read of 10 ns that may take 20; a converter each shows it."""
    shared = load_chip("edge_cim_soc").devices["cim"].spec
    alone = shared.model_copy(update={"n_adcs": shared.cols})
    hidden, shown = ({s.name: s.factor for s in row}["cim.latency"] for row in CimMacro.costs([shared, alone], table(OP)).latency_spreads)
    assert hidden == pytest.approx(1.2)
    assert shown == pytest.approx(2, rel=0.05)


def test_standby_power_is_leakage_and_only_volatile_cells_have_their_own():
    sram, reram = (CimMacro("cim", part(name)) for name in ("sram_charge_22nm_256x256", "reram_22nm_256x256"))
    assert physics.leakages_w(sram.spec)["cells"] == pytest.approx(256 * 256 * 28.6e-12)
    assert physics.leakages_w(reram.spec)["cells"] == 0
    assert sram.idle_w == pytest.approx(sum(physics.leakages_w(sram.spec).values()))
    assert sram.idle_assumed
    assert {s.name for s in sram.idle_spreads} == {"technology.leakage", "cim.cell.leakage"}


# --- published macros: predictions from components, tuned to nothing --------------------------------------------


@pytest.mark.parametrize("name", PARTS)
def test_area_parts_add_up(name):
    macro = CimMacro("cim", part(name))
    assert sum(macro.area_parts_m2.values()) == pytest.approx(macro.area_m2)
    assert macro.area_m2 > 0
    assert device_class("cim_macro") is CimMacro


def test_the_converters_of_an_isaac_unit_dominate_and_draw_their_published_power():
    """ISCA 2016, Table I: ADC 16 mW of the 24 mW of an IMA, drivers 4, arrays 2.4, shift-and-add 0.2 mW."""
    macro = part("isaac_ima_32nm")
    row = matmul(1000, 1024, 16, bits=16)  # all 8 arrays in full use
    found = cost(macro, row)
    assert found.n_arrays[0, 0] == 8
    seconds = found.latency_s[0, 0] - found.fixed_s[0, 0]
    assert seconds == pytest.approx(1000 * 16 * 100e-9)  # ISCA 2016: 16 passes of 100 ns
    power_w = {name: energy_j / seconds for name, energy_j in energies(macro, row).items()}
    assert power_w["adc"] == pytest.approx(16e-3, rel=0.1)
    assert power_w["adc"] > 0.5 * sum(power_w.values())
    assert power_w["driver"] < 4e-3  # the published figure counts every driver as switching
    assert power_w["cell"] < 2.4e-3
    areas = CimMacro("cim", macro).area_parts_m2
    assert areas["adc"] == pytest.approx(0.0096e-6, rel=0.01)
    assert areas["cells"] == pytest.approx(0.0002e-6, rel=0.01)
    assert areas["driver"] == pytest.approx(0.00017e-6, rel=0.01)


def test_adc_deficits_of_the_shipped_macros():
    """ISAAC's encoding saves its missing bit; 64 rows of 2-bit cells take 8 bits and a sign; a digital macro loses nothing."""
    deficits = {name: part(name).adc_deficit_bits for name in PARTS}
    assert deficits["isaac_ima_32nm"] == 1
    assert deficits["sram_charge_22nm_256x256"] == 1  # 256 rows of single bits have 257 sums
    assert deficits["reram_22nm_256x256"] == 1
    assert deficits["digital_22nm_256x256"] == 0
    # 128 pairs of rows, 15 input levels, 7 cell levels: 14 bits and a sign for an 8-bit neuron
    assert part("neurram_130nm").lossless_adc_bits == 15


@pytest.mark.parametrize("name", PARTS)
def test_efficiency_is_of_a_possible_order(name):
    """Between the 0.1 of the first 130 nm chips and the 200 TOPS/W of the best 8-bit macros: a check of units, not of accuracy."""
    macro = part(name)
    row = matmul(1000, macro.rows // macro.row_devices, 16)
    found = cost(macro, row)
    ops_per_joule = 2 * 1000 * (macro.rows // macro.row_devices) * 16 / found.energy_j[0, 0].sum()
    assert 1e11 < ops_per_joule < 2e14


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 0}, "greater than or equal to 1"),
        ({"n_macros": 0}, "greater than or equal to 1"),
        ({"rows_active": 5}, "rows_active 5 is more than the 4 rows there are"),
        ({"bits_per_cell": 2}, "bits_per_cell 2 is more than the 1 that this sram cell can hold (cell.max_bits)"),
        ({"supply": "0.5 V"}, "supply 0.5 V is below the 0.6 V that this sram cell needs (cell.v_min)"),
        ({"supply": "0.3 V", "cell": {"v_min": None}}, "supply 0.3 V is not above the threshold of 0.35 V"),
        ({"adc": {"n_bits": 0}}, "greater than or equal to 1"),
        ({"cell": {"r_lrs": "10 kohm", "r_hrs": "1 kohm"}}, "it must be at least 1"),
        ({"adc": None}, "a charge macro needs an adc"),
        ({"n_adcs": 9}, "n_adcs between 1 and its 8 columns; got 9"),
        ({"input_bits_per_pass": 2}, "input_bits_per_pass 2 is more than the 1 bits of the dac"),
        ({"domain": "digital"}, "a digital macro has adder trees and no adc"),
        ({"domain": "digital", "adc": None, "n_adcs": None, "encoding": "differential"}, "a digital macro holds 1 bit in a cell"),
        ({"domain": "digital", "adc": None, "n_adcs": None, "tree_bits": 3}, "tree_bits 3 does not divide the 8 columns"),
        ({"tree_bits": 2}, "tree_bits 2 belongs to digital macros"),
        ({"domain": "resistive"}, "a resistive macro needs cell.r_lrs, cell.r_hrs and cell.read_voltage, or cell.read_energy"),
        ({"cell": {"unit_cap": "0 fF"}}, "a charge macro needs cell.unit_cap"),
        ({"rows": 1, "encoding": "differential_rows"}, "needs at least 2 rows"),
        ({"scratch_macros": 4}, "scratch_macros 4 leaves none of 4 macros"),
        ({"node": "1 um"}, "technology scaling covers 5 nm to 180 nm"),
        ({"input_density": 1.5}, "less than or equal to 1"),
        ({"control_energy_share": 1}, "less than 1"),
        ({"clock": "1 GB"}, "'GB' is a unit of B"),
        ({"color": "blue"}, "Extra inputs are not permitted"),
    ],
)
def test_what_no_macro_can_be_is_refused_with_the_reason(change, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        spec(**change)


def devices_with_arrays():
    """Every shipped chip's devices that compute in memory."""
    return [device for chip in map(load_chip, list_chips()) for device in chip.devices.values() if isinstance(device, CimMacro)]


def test_weights_biased_by_half_their_range_store_half_of_full_scale():
    """With `offset` a weight of zero is stored as half; magnitudes near zero belong to pairs of devices."""
    offset = [device.spec for device in devices_with_arrays() if device.spec.encoding == "offset"]
    assert offset
    assert {spec.weight_density for spec in offset} == {0.5}


def test_the_twins_run_at_one_supply():
    """The digital twin is priced at the nominal supply of its node, so the arrays are: a lower one alone saves (0.8 / 0.9)^2."""
    chip = load_chip("edge_cim_soc")
    assert chip.devices["cim"].spec.supply_v == pytest.approx(supply_v(chip.spec.node_m))


def test_cells_of_neurram_conduct_for_their_pulse_only():
    """10 ns of an integration step of 270 ns, at conductances of 1 to 40 uS."""
    macro = part("neurram_130nm")
    assert macro.cell.driven_j("resistive", 1.8, 1.0) == pytest.approx(0.5**2 * 40e-6 * 10e-9)
    driver_s = physics.activation_s(macro, physics.factors(macro)) - 15 * 270e-9  # 2^4 - 1 steps
    assert 0 <= driver_s < 1e-9


class TestNotes:
    def test_an_adc_that_loses_nothing_is_not_spoken_of(self):
        assert CimMacro("cim", spec(adc={"n_bits": 4})).notes == ()

    def test_an_adc_that_loses_bits_says_how_many(self):
        """Four rows of one-bit cells and one-bit inputs sum to 0 ... 4, which takes ceil(log2 5) = 3 bits."""
        (note,) = CimMacro("cim", spec(adc={"n_bits": 2})).notes
        assert note.startswith("cim: 2-bit ADCs read sums of 4 rows that need 3 bits")
        assert "output_snr_db says what 1 bit less cost each op" in note


def test_writing_weights_is_as_uncertain_as_its_pulses():
    cell = {"assumed": {"n_write_pulses": "guess"}, "ranges": {"n_write_pulses": 2.5, "write_energy": 3.0}}
    macro = CimMacro("cim", spec(cell=cell))
    assert {spread.name: spread.factor for spread in macro.program_spreads} == {
        "cim.cell.write_energy": 3.0,
        "cim.cell.n_write_pulses": 2.5,
    }
    assert macro.program_assumed
    assert not CimMacro("cim", spec()).program_assumed


class TestOutputSnr:
    def test_products_of_analog_macros_have_one_and_nothing_else_has(self):
        ops = sample_ops()
        analog = CimMacro.costs([part("sram_charge_22nm_256x256"), part("neurram_130nm")], ops)
        products = (ops.n_macs > 0) & (ops.dynamic == 0)
        assert (np.isnan(analog.output_snr_db) == ~products).all()
        assert np.isfinite(analog.output_snr_db[1, products & (ops.k > 1)]).all()  # 8 of 15 bits
        assert np.isnan(CimMacro.costs([part("digital_22nm_256x256")], ops).output_snr_db).all()

    def test_fewer_adc_bits_cost_signal(self):
        ops = sample_ops()
        spec_ = part("sram_charge_22nm_256x256")
        coarse = spec_.model_copy(update={"adc": spec_.adc.model_copy(update={"n_bits": 4})})
        snr_db = CimMacro.costs([coarse, spec_], ops).output_snr_db
        long = (ops.n_macs > 0) & (ops.dynamic == 0) & (ops.k > 500)
        assert (snr_db[0, long] < snr_db[1, long]).all()

"""Laws that hold for every compute-in-memory macro, whatever its numbers are."""

from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.catalog import resolve_part
from hw_models.cim.converter import lossless_adc_bits
from hw_models.cim.macro import COMPONENTS, CimMacro, CimMacroSpec
from workloads.graph import OpKind
from workloads.optable import COLUMNS, OpTable

DRIVER, CELL, ADC, DIGITAL, BUFFER, INTERCONNECT, VECTOR, CONTROL = range(len(COMPONENTS))
ANALOG = ("sram_charge_22nm_256x256", "reram_22nm_256x256", "isaac_ima_32nm", "neurram_130nm")
ALL = (*ANALOG, "digital_22nm_256x256")
law = settings(max_examples=40, deadline=None)


@cache
def resolved(name):
    data = resolve_part(f"cim_macro/{name}").data
    data.pop("kind")
    return data


def part(name, **change):
    data = dict(resolved(name))
    for key, value in change.items():
        data[key] = {**data[key], **value} if isinstance(value, dict) else value
    return CimMacroSpec.model_validate(data)


def table(*ops):
    rows = []
    for groups, m, k, n, weight_bits, activation_bits in ops:
        values = {
            "kind": int(OpKind.MATMUL), "groups": groups, "m": m, "k": k, "n": n, "n_vector_ops": groups * m * n,
            "weight_elements": groups * k * n, "input_elements": groups * m * k, "output_elements": groups * m * n,
            "weight_bits": weight_bits, "activation_bits": activation_bits,
        }  # fmt: skip
        rows.append([values.get(name, 0) for name in COLUMNS])
    columns = dict(zip(COLUMNS, np.array(rows, dtype=np.int64).T.copy(), strict=True))
    return OpTable(**columns, row_of_op=np.arange(len(rows)), n_repeats=np.ones(len(rows), dtype=np.int64))


def cost(op, *specs):
    return CimMacro.costs(specs, table(op))


def busy(found):
    return (found.latency_s - found.fixed_s)[:, 0]


OPS = st.tuples(
    st.just(1), st.integers(1, 400), st.integers(1, 1500), st.integers(1, 300), st.integers(1, 8), st.integers(1, 8)
)  # groups, m, k, n, weight bits, activation bits
GROUPED = st.tuples(st.integers(2, 200), st.integers(1, 100), st.integers(1, 60), st.integers(1, 20), st.integers(1, 8), st.integers(1, 8))
ANY_OP = st.one_of(OPS, GROUPED)
ANY_PART = st.sampled_from(ALL)
ANALOG_PART = st.sampled_from(ANALOG)


@law
@given(ANY_PART, ANY_OP)
def test_costs_are_physical(name, op):
    found = cost(op, part(name))
    assert found.supported.all()
    assert (found.energy_j >= 0).all()
    assert np.isfinite(found.energy_j).all()
    assert (busy(found) > 0).all()
    assert (found.fixed_s >= 0).all()
    assert (found.n_arrays >= 1).all()
    assert (found.compute_weight_bits >= op[4]).all()
    assert (found.compute_activation_bits >= op[5]).all()


@law
@given(ANALOG_PART, ANY_OP, st.integers(1, 11))
def test_energy_and_time_and_area_grow_with_adc_bits(name, op, bits):
    less, more = (part(name, adc={"n_bits": b}) for b in (bits, bits + 1))
    found = cost(op, less, more)
    assert found.energy_j[1, 0, ADC] > found.energy_j[0, 0, ADC]
    assert found.energy_j[1, 0].sum() > found.energy_j[0, 0].sum()
    assert found.latency_s[1, 0] >= found.latency_s[0, 0] * (1 - 1e-12)
    assert CimMacro("b", more).area_m2 >= CimMacro("a", less).area_m2


@law
@given(ANY_PART, st.integers(1, 64), st.integers(1, 64), st.integers(1, 500))
def test_taller_arrays_cost_more_for_an_op_that_fits_either(name, k, m, extra):
    """Longer column lines, and slower converters where the line is their capacitor."""
    rows = 128
    op = (1, m, k, 4, 8, 8)
    short, tall = part(name, rows=rows, rows_active=64), part(name, rows=rows + extra, rows_active=64)
    found = cost(op, short, tall)
    assert found.energy_j[1, 0, CELL] >= found.energy_j[0, 0, CELL] * (1 - 1e-12)
    assert found.energy_j[1, 0].sum() >= found.energy_j[0, 0].sum() * (1 - 1e-12)
    assert found.latency_s[1, 0] >= found.latency_s[0, 0] * (1 - 1e-12)
    assert CimMacro("t", tall).area_m2 > CimMacro("s", short).area_m2


@law
@given(ANY_PART, OPS)
def test_more_rows_at_once_never_take_longer_nor_more_conversions(name, op):
    found = cost(op, *(part(name, rows_active=rows) for rows in (128, 64, 32)))
    if name in ANALOG:  # an adder tree over more rows is slower by itself
        assert (np.diff(busy(found)) >= -1e-15).all()
    assert (np.diff(found.energy_j[:, 0, ADC]) >= 0).all()


@law
@given(ANALOG_PART, ANY_OP, st.integers(1, 64))
def test_sharing_converters_trades_area_for_latency(name, op, n_adcs):
    few, many = part(name, n_adcs=n_adcs), part(name, n_adcs=2 * n_adcs)
    found = cost(op, few, many)
    assert found.latency_s[1, 0] <= found.latency_s[0, 0] * (1 + 1e-12)
    assert CimMacro("m", many).area_m2 > CimMacro("f", few).area_m2
    np.testing.assert_allclose(found.energy_j[0, 0, :BUFFER], found.energy_j[1, 0, :BUFFER])  # as many conversions either way


@law
@given(st.sampled_from(["sram_charge_22nm_256x256", "reram_22nm_256x256", "digital_22nm_256x256"]), OPS, st.sampled_from([2, 4, 8]))
def test_halving_the_bits_of_a_pass_doubles_the_passes(name, op, bits):
    op = (*op[:5], 8)
    dac = {"n_bits": 8, "energy_per_bit": "0 J"}
    whole, half = (part(name, dac=dac, input_bits_per_pass=b, link_bits=10**6, clock="100 GHz") for b in (bits, bits // 2))
    found = cost(op, whole, half)
    if name != "digital_22nm_256x256":  # wider digital passes have wider trees
        np.testing.assert_allclose(busy(found)[1], 2 * busy(found)[0], rtol=1e-9)
        np.testing.assert_allclose(found.energy_j[1, 0, ADC], 2 * found.energy_j[0, 0, ADC])
    np.testing.assert_allclose(found.energy_j[1, 0, DRIVER], 2 * found.energy_j[0, 0, DRIVER])
    np.testing.assert_allclose(found.energy_j[1, 0, CELL], 2 * found.energy_j[0, 0, CELL])


@law
@given(ANY_PART, ANY_OP, st.integers(1, 300), st.integers(1, 300))
def test_more_macros_are_never_slower(name, op, n_macros, more):
    found = cost(op, part(name, n_macros=n_macros), part(name, n_macros=n_macros + more))
    assert found.latency_s[1, 0] <= found.latency_s[0, 0] * (1 + 1e-12)
    assert found.n_arrays[1, 0] == found.n_arrays[0, 0]
    np.testing.assert_array_equal(found.energy_j[0, 0, :BUFFER], found.energy_j[1, 0, :BUFFER])


@law
@given(ANY_PART, ANY_OP, st.integers(1, 300), st.integers(2, 8))
def test_copies_are_never_slower_and_never_more_than_the_macros(name, op, n_macros, copies):
    found = cost(op, part(name, n_macros=n_macros), part(name, n_macros=n_macros, max_duplication=copies))
    assert found.latency_s[1, 0] <= found.latency_s[0, 0] * (1 + 1e-12)
    assert found.n_arrays[1, 0] <= max(n_macros, found.n_arrays[0, 0])
    np.testing.assert_array_equal(found.energy_j[0], found.energy_j[1])


@law
@given(ANY_PART, ANY_OP)
def test_rows_that_never_toggle_cost_no_driver_and_no_cell_energy(name, op):
    found = cost(op, part(name, input_density=0.0), part(name))
    assert found.energy_j[0, 0, DRIVER] == 0
    assert found.energy_j[0, 0, CELL] == 0
    if name in ANALOG:  # converters cannot know that nothing will come
        assert found.energy_j[0, 0, ADC] > 0


@law
@given(ANY_PART, ANY_OP, st.floats(0, 1), st.floats(0, 1))
def test_energy_grows_with_toggling_and_stored_values(name, op, one, other):
    low, high = sorted((one, other))
    inputs = cost(op, part(name, input_density=low), part(name, input_density=high)).energy_j[:, 0]
    weights = cost(op, part(name, weight_density=low), part(name, weight_density=high)).energy_j[:, 0]
    for energies in (inputs, weights):
        assert (energies[1] >= energies[0] * (1 - 1e-12)).all()


@law
@given(ANY_PART, ANY_OP)
def test_work_doubles_with_the_vectors(name, op):
    twice = (op[0], 2 * op[1], *op[2:])
    once, both = cost(op, part(name)), cost(twice, part(name))
    counted = [DRIVER, CELL, ADC, DIGITAL, VECTOR]
    np.testing.assert_allclose(both.energy_j[0, 0, counted], 2 * once.energy_j[0, 0, counted])
    np.testing.assert_allclose(busy(both), 2 * busy(once))
    assert both.program_j[0, 0] == once.program_j[0, 0]


@law
@given(ANY_PART, ANY_OP)
def test_arrays_hold_the_weights_they_are_said_to(name, op):
    """No fewer arrays than cells divided by an array; a group that fits an array never takes more than one."""
    macro = part(name)
    groups, _, k, n, weight_bits, _ = op
    sliced = max(1, weight_bits - macro.sign_bits)
    slices = -(-sliced // (macro.bits_per_cell * macro.tree_bits)) * macro.tree_bits
    rows, cols = k * macro.row_devices, n * slices * macro.col_devices
    arrays = int(cost(op, macro).n_arrays[0, 0])
    assert arrays * macro.rows * macro.cols >= groups * rows * cols
    if rows <= macro.rows and cols <= macro.cols:
        assert arrays <= groups
    else:
        assert arrays == groups * -(-rows // macro.rows) * -(-cols // macro.cols)


@law
@given(st.integers(1, 12), st.integers(1, 3), st.integers(1, 3), st.data())
def test_a_lossless_adc_tells_all_column_sums_apart(rows, input_bits, cell_bits, data):
    """Exhaustive over random columns: the largest sum fits the code, and one bit less would not hold all sums."""
    inputs = data.draw(st.lists(st.integers(0, 2**input_bits - 1), min_size=rows, max_size=rows))
    cells = data.draw(st.lists(st.integers(0, 2**cell_bits - 1), min_size=rows, max_size=rows))
    bits = lossless_adc_bits(rows, input_bits, cell_bits)
    assert sum(i * c for i, c in zip(inputs, cells, strict=True)) < 2**bits
    assert rows * (2**input_bits - 1) * (2**cell_bits - 1) >= 2 ** (bits - 1)


@law
@given(ANALOG_PART, st.integers(1, 256), st.integers(1, 16))
def test_the_deficit_vanishes_at_lossless_bits(name, active, bits):
    macro = part(name, rows_active=min(active, 128), adc={"n_bits": bits})
    assert macro.adc_deficit_bits == max(0, macro.lossless_adc_bits - bits)
    assert part(name, adc={"n_bits": 16}).adc_deficit_bits == 0

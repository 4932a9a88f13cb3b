"""Energy of products by their values: a twin that visits every vector, pass, row and cell; the device's own table; limits by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.catalog import resolve_part
from hw_models.cim import physics
from hw_models.cim.macro import COMPONENTS, CimMacro
from hw_models.cim.spec import CimMacroSpec
from hw_models.cim.statistics import Histogram, macro_statistics, with_statistics
from hw_models.cim.value_energy import density_energy_j, energy_per_mvm_j, trace_energy_j
from workloads.errors import WorkloadError
from workloads.graph import OpKind
from workloads.optable import COLUMNS, OpTable

DAC_4B = {"input_bits_per_pass": 4, "dac": resolve_part("converter/row_dac_28nm").data}
SMALL = {"rows": 6, "cols": 16, "rows_active": 4, "n_accumulators": 4}
MACROS = {
    "charge": ("sram_charge_22nm_256x256", SMALL | {"n_adcs": 4}),
    "resistive": ("reram_22nm_256x256", SMALL | {"n_adcs": 4}),
    "resistive, voltages": ("reram_22nm_256x256", SMALL | {"n_adcs": 4} | DAC_4B),
    "resistive, published read energy": ("isaac_ima_32nm", SMALL),
    "pulses, row pairs": ("neurram_130nm", SMALL | {"n_adcs": 16}),
    "digital": ("digital_22nm_256x256", SMALL),
}
NAMES = list(MACROS)


def macro(name):
    part, change = MACROS[name]
    data = resolve_part(f"cim_macro/{part}").data | change
    data.pop("kind")
    return CimMacroSpec.model_validate(data)


def data(seed, vectors=3, k=7, n=2):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (vectors, k)) * (rng.random((vectors, k)) < 0.6), rng.integers(-127, 128, (k, n))


def naive_trace(spec, x, w):
    """(driver, cell, column, adc) in J a vector, one event at a time, from the laws of cell, DAC and ADC themselves."""
    scaled, top_in, top = physics.factors(spec), 2**spec.input_bits_per_pass - 1, 2**spec.bits_per_cell - 1
    length = np.sqrt(physics.area_factor(spec.cell.node_m, spec.node_m))
    pulses = spec.dac.n_pulses(spec.input_bits_per_pass)
    squares = spec.domain == "resistive" and spec.dac.type == "voltage"
    table = []  # rows of device levels
    for k in range(w.shape[0]):
        plus, minus = [], []
        for value in (int(v) for v in w[k]):
            if spec.encoding == "offset":
                code = [value % 256 if spec.domain == "digital" else value + 128]
                bits = 8
            else:
                code, bits = [max(value, 0), max(-value, 0)], 7
            for i in range(-(-bits // spec.bits_per_cell)):
                levels = [(c >> (i * spec.bits_per_cell)) % (top + 1) / top for c in code]
                plus += levels if spec.encoding == "differential" else levels[:1]
                minus += levels[1:] if spec.encoding == "differential_rows" else []
        table += [plus, minus] if spec.encoding == "differential_rows" else [plus]
    rows, cols = len(table), len(table[0])
    active = spec.n_rows_active
    groups = [
        range(a, min(a + active, t + spec.rows, rows))
        for t in range(0, rows, spec.rows)
        for a in range(t, min(t + spec.rows, rows), active)
    ]
    out = np.zeros(4)
    for vector in x:
        for p in range(8 // spec.input_bits_per_pass):
            drive = [(int(v) >> (p * spec.input_bits_per_pass)) % (top_in + 1) / top_in for v in vector for _ in range(spec.row_devices)]
            for group in groups:
                for r in group:
                    wire_j = pulses * length * spec.cell.row_j(spec.supply_v, spec.cols)
                    out[0] += drive[r] * (wire_j + spec.dac.drive_j * scaled.dac_energy.value) * -(-cols // spec.cols)
                    for c in range(cols):
                        amount = drive[r] ** 2 if squares else drive[r] * pulses
                        out[1] += amount * spec.cell.driven_j(spec.domain, spec.supply_v, table[r][c])
                for c in range(cols):
                    swing = sum(drive[r] * table[r][c] for r in group) / len(group)
                    out[2] += pulses * length * spec.cell.column_j(spec.domain, spec.supply_v, spec.rows, swing)
                    if spec.adc:
                        level = sum(drive[r] for r in group) / len(group)
                        each = spec.adc.conversion_j + level * pulses * spec.adc.energy_per_pulse_j
                        out[3] += each * scaled.adc_energy.value / spec.col_devices
    return out / len(x)


def parts(energy):
    return [energy.driver_j, energy.cell_j, energy.column_j, energy.adc_j]


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_is_the_sum_over_every_vector_pass_row_and_cell(name):
    spec, (x, w) = macro(name), data(1)
    assert parts(trace_energy_j(spec, x, w)) == pytest.approx(naive_trace(spec, x, w), rel=1e-10)


@pytest.mark.parametrize("name", NAMES)
@given(st.integers(0, 255), st.integers(-127, 127))
@settings(max_examples=10, deadline=None)
def test_a_histogram_of_one_value_is_exact(name, x, w):
    spec = macro(name)
    trace = trace_energy_j(spec, np.full((2, 7), x), np.full((7, 3), w))
    ours = energy_per_mvm_j(spec, Histogram.from_array([x]), Histogram.from_array([w]), 7, 3)
    assert parts(ours) == pytest.approx(parts(trace), rel=1e-9, abs=1e-30)


@pytest.mark.parametrize("name", NAMES)
def test_independent_values_leave_only_the_error_of_sampling(name):
    rng = np.random.default_rng(3)
    x, w = (
        rng.binomial(255, 0.2, (300, 200)) * (rng.random((300, 200)) < 0.5),
        np.clip(rng.normal(0, 30, (200, 16)).round(), -127, 127).astype(int),
    )
    trace = trace_energy_j(macro(name), x, w)
    ours = energy_per_mvm_j(macro(name), Histogram.from_array(x), Histogram.from_array(w), 200, 16)
    assert ours.value_j == pytest.approx(trace.value_j, rel=0.01)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "resistive, voltages"])
def test_the_cost_table_of_the_device_with_these_statistics_gives_the_same_energy(name):
    spec, inputs, weights = macro(name), Histogram.relu_half_gaussian(8, 60.0), Histogram.gaussian(8, 25.0)
    known = with_statistics(spec, macro_statistics(spec, inputs, weights))
    sizes = {"m": 5, "k": 7, "n": 2, "groups": 1, "weight_bits": 8, "activation_bits": 8, "kind": int(OpKind.MATMUL), "weight_elements": 14}
    columns = {column: np.array([sizes.get(column, 0)], dtype=np.int64) for column in COLUMNS}
    table = OpTable(**columns, row_of_op=np.zeros(1, dtype=np.int64), n_repeats=np.ones(1, dtype=np.int64))
    energy = dict(zip([c for c, _ in COMPONENTS], CimMacro.costs([known], table).energy_j[0, 0], strict=True))
    ours = energy_per_mvm_j(spec, inputs, weights, 7, 2)
    assert energy["driver"] == pytest.approx(5 * ours.driver_j)
    assert energy["cell"] == pytest.approx(5 * (ours.cell_j + ours.column_j))
    assert energy["adc"] == pytest.approx(5 * ours.adc_j)


def test_a_resistor_spends_by_the_square_of_a_voltage_and_in_proportion_to_pulses():
    half = Histogram.from_array([0x77])  # both 4-bit passes at 7/15 of full scale
    full, one = Histogram.from_array([0xFF]), Histogram.from_array([64])
    voltages, pulses = macro("resistive, voltages"), macro("pulses, row pairs")
    for spec, power in ((voltages, 2), (pulses, 1)):
        ratio = energy_per_mvm_j(spec, half, one, 4, 2).cell_j / energy_per_mvm_j(spec, full, one, 4, 2).cell_j
        assert ratio == pytest.approx((7 / 15) ** power)


def test_one_cell_by_hand():
    # One 1-bit pass of eight drives row and cell; the weight 1 in offset code is 129: two of eight cells hold a one.
    spec = macro("charge")
    energy = energy_per_mvm_j(spec, Histogram.from_array([4]), Histogram.from_array([1]), 1, 1)
    assert energy.cell_j == pytest.approx(2 * 2e-15 * 0.8**2)
    assert energy.driver_j == pytest.approx(16 * 0.35e-15 * 0.8**2)
    assert energy.column_j == pytest.approx(2 * 6 * 0.35e-15 * 0.8**2)
    assert energy.total_j == pytest.approx(energy.value_j + energy.adc_j)


def test_zero_inputs_cost_only_conversions():
    for name in NAMES:
        energy = energy_per_mvm_j(macro(name), Histogram.uniform(0, 0), Histogram.gaussian(8, 20.0), 7, 3)
        assert energy.value_j == 0
        assert (energy.adc_j > 0) == (macro(name).adc is not None)


@given(st.floats(5, 100), st.floats(1.1, 3))
@settings(max_examples=30, deadline=None)
def test_larger_activations_cost_more(sigma, more):
    spec, weights = macro("resistive"), Histogram.gaussian(8, 30.0)
    low, high = (energy_per_mvm_j(spec, Histogram.relu_half_gaussian(8, s), weights, 7, 3) for s in (sigma, more * sigma))
    assert low.driver_j < high.driver_j
    assert low.cell_j < high.cell_j


def test_fixed_densities_are_those_of_the_macro_unless_given():
    spec = macro("charge")
    assert density_energy_j(spec, 7, 3) == density_energy_j(spec, 7, 3, 8, 8, spec.input_density, spec.weight_density)
    uniform = energy_per_mvm_j(spec, Histogram.uniform(0, 255), Histogram.uniform(-128, 127), 7, 3)
    assert parts(density_energy_j(spec, 7, 3, 8, 8, 0.5, 0.5)) == pytest.approx(parts(uniform))


def test_shapes_that_do_not_meet_are_refused():
    with pytest.raises(WorkloadError, match=r"\[n_vectors, K\] and \[K, N\]"):
        trace_energy_j(macro("charge"), np.zeros((2, 3), int), np.zeros((4, 2), int))
    with pytest.raises(WorkloadError, match="at least one of each"):
        energy_per_mvm_j(macro("charge"), Histogram.uniform(0, 1), Histogram.uniform(0, 1), 0, 3)

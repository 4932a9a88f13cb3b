"""Closed-form output errors: against a plain numpy circuit, against the functional macro, and by hand where that is possible."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.cim.error import CAUSES, output_error, output_snr_db
from hw_models.cim.error_adc import Sums, nodes, range_of, respond
from hw_models.cim.error_data import input_digits, input_histogram, weight_digits, weight_histogram
from hw_models.cim.functional import ProgrammedArray
from hw_models.cim.functional_adc import AdcRange, fixed_range
from hw_models.cim.spec import CimMacroSpec
from hw_models.cim.statistics import Histogram
from workloads.errors import SpecError

# All costs are placeholders: only rows, columns, bits and errors bear on what is computed.
MACRO = {
    "n_macros": 1, "rows": 64, "cols": 256, "node": "28 nm", "supply": "1 V", "domain": "charge",
    "cell": {
        "kind": "sram", "node": "28 nm", "max_bits": 4, "area": "0.5 um2", "bitline_cap": "1 fF", "wordline_cap": "0.5 fF",
        "unit_cap": "2 fF", "read_time": "2 ns", "write_energy": "1 fJ", "write_time": "1 ns",
    },
    "dac": {"n_bits": 4, "node": "28 nm", "supply": "1 V", "energy_per_bit": "3 fJ", "area_base": "0.1 um2"},
    "adc": {
        "type": "sar", "n_bits": 12, "node": "28 nm", "supply": "1 V", "energy_per_bit": "10 fJ", "time_per_bit": "1 ns",
        "area_base": "10 um2", "range": "granular",
    },
    "n_adcs": 32, "logic": {"node": "28 nm", "supply": "1 V", "gate_cap": "1 fF", "gate_area": "0.6 um2", "gate_delay": "50 ps"},
    "vector": {"n_lanes": 2}, "clock": "1 GHz", "link_bits": 64, "accumulator_bits": 32, "input_buffer": "1 KiB",
    "output_buffer": "1 KiB", "buffer_bits": 64, "input_density": 0.2, "weight_density": 0.5, "row_gates": 10, "col_gates": 5,
    "control_energy_share": 0.2, "control_area_share": 0.2,
}  # fmt: skip
RESISTORS = {"r_lrs": "20 kohm", "r_hrs": "400 kohm", "read_voltage": "0.2 V"}
JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}
compiled = pytest.mark.skipif(JIT_OFF, reason="thousands of outputs of the functional macro take minutes in plain Python")
WORTH_COMPARING_DB = 60.0  # above, errors are so rare that a few thousand outputs hold none


def macro(**change):
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in MACRO.items()}
    for key, value in change.items():
        data[key] = data[key] | value if isinstance(value, dict) else value
    return CimMacroSpec.model_validate(data)


def draw(histogram, shape, rng):
    return rng.choice(histogram.values, p=histogram.probabilities, size=shape)


def snr_db(signal, error):
    return min(WORTH_COMPARING_DB, 10 * np.log10(signal / max(error, 1e-12 * signal)))


# --- the twin: the circuit in plain numpy, one pass, slice and group of rows after another -------------------------------


def circuit(spec, x, w, weight_bits, activation_bits):
    """Outputs [v, n] of ideal cells and a converter of full or granular range."""
    signed, cell_bits, in_bits, n_bits = spec.encoding != "offset", spec.bits_per_cell, spec.input_bits_per_pass, spec.adc.n_bits
    rows = spec.rows // (2 if spec.encoding == "differential_rows" else 1)
    offset = 0 if signed else 2 ** (weight_bits - 1)
    stored, sign = (np.abs(w), np.sign(w)) if signed else (w + offset, 1)
    largest = rows * (2**in_bits - 1) * (2**cell_bits - 1)
    half = 2 ** (n_bits - 1)
    levels = (half - 1 if signed else 2**n_bits - 1) if spec.adc.range == "full" else 1
    step = largest / levels if spec.adc.range == "full" else 1.0
    out = np.zeros((x.shape[0], w.shape[1]))
    for first in range(0, x.shape[1], rows):
        for p in range(-(-activation_bits // in_bits)):
            drive = (x[:, first : first + rows] >> (p * in_bits)) % 2**in_bits
            for s in range(-(-(weight_bits - signed) // cell_bits)):
                level = sign * ((stored >> (s * cell_bits)) % 2**cell_bits)
                code = np.floor(drive @ level[first : first + rows] / step + 0.5)
                code = np.clip(code, -half if signed else 0, half - 1 if signed else 2**n_bits - 1)
                out += step * code * 2.0 ** (p * in_bits + s * cell_bits)
    return out - offset * x.sum(axis=1, keepdims=True)


JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}
SHAPES = ((64, 200, 1, 1, 8, 8), (128, 128, 2, 1, 4, 8), (256, 600, 1, 2, 8, 4), (32, 147, 2, 2, 6, 6))
TWINS = [
    (encoding, kind, bits, shape)
    for encoding in ("offset", "differential", "magnitude", "differential_rows")
    for kind in ("full", "granular")
    for bits in (3, 5, 6, 8)
    for shape in SHAPES
]


def twin_gap_db(encoding, kind, bits, shape):
    """Closed form less Monte Carlo."""
    rows, k, cell_bits, in_bits, weight_bits, activation_bits = shape
    spec = macro(rows=rows, encoding=encoding, bits_per_cell=cell_bits, input_bits_per_pass=in_bits, adc={"n_bits": bits, "range": kind})
    rng = np.random.default_rng(7)
    w, x = draw(weight_histogram(spec, weight_bits), (k, 48), rng), draw(input_histogram(spec, activation_bits), (64, k), rng)
    budget = output_error(spec, k, weight_bits, activation_bits)
    error = np.mean((circuit(spec, x, w, weight_bits, activation_bits) - x @ w) ** 2)
    return snr_db(budget.signal[0], budget.total[0]) - snr_db(budget.signal[0], error)


def test_the_closed_form_meets_a_monte_carlo_of_the_circuit():
    """128 macros, -12 to 60 dB. The largest gaps are above 40 dB, where single sums beyond the range decide."""
    gaps = np.abs([twin_gap_db(*one) for one in TWINS])
    assert np.median(gaps) < 0.3
    assert np.quantile(gaps, 0.9) < 1.5
    assert gaps.max() < 6


# --- against the macro that computes -------------------------------------------------------------------------------------


def functional_gap_db(spec, k, weight_bits, activation_bits, n_draws=3):
    rng = np.random.default_rng(3)
    inputs, weights, errors = input_histogram(spec, activation_bits), weight_histogram(spec, weight_bits), []
    for _ in range(n_draws):
        w, x = draw(weights, (k, 24), rng), draw(inputs, (48, k), rng)
        array = ProgrammedArray.program(spec, w, weight_bits, rng)
        if array.range is None:
            array.calibrate(draw(inputs, (24, k), rng), activation_bits)
        errors.append(np.mean((array.multiply(x, activation_bits, rng) - x @ w) ** 2))
    budget = output_error(spec, k, weight_bits, activation_bits)
    return snr_db(budget.signal[0], budget.total[0]) - snr_db(budget.signal[0], np.mean(errors))


NOISES = {
    "programming": {"cell": {"programming_sigma": 0.1}},
    "read": {"cell": {"read_sigma": 0.05}},
    "noise": {"adc": {"noise_lsb": 0.7}},
    "offset": {"adc": {"offset_lsb": 1.0}},
    "gain": {"adc": {"gain_sigma": 0.03}},
    "stuck": {"cell": {"stuck_on": 0.003, "stuck_off": 0.01}},
}


@compiled
@pytest.mark.skipif(JIT_OFF, reason="millions of cells: the macro is tested without compiler on small ones in test_cim_functional")
@pytest.mark.parametrize("encoding", ["offset", "differential"])
@pytest.mark.parametrize("name", NOISES)
def test_each_cause_is_what_the_functional_macro_shows(name, encoding):
    change = {"adc": {"n_bits": 9}} | {key: dict(value) for key, value in NOISES[name].items()}
    change["adc"] = {"n_bits": 9, **change["adc"]}
    gaps = [
        functional_gap_db(macro(encoding=encoding, rows=128, n_adcs=256, bits_per_cell=b, input_bits_per_pass=i, **change), 300, wb, ab, 6)
        for b, i, wb, ab in ((1, 1, 8, 8), (2, 1, 4, 8), (2, 2, 6, 6))
    ]
    assert np.median(np.abs(gaps)) < 1.5
    assert np.max(np.abs(gaps)) < 4.5


@compiled
@pytest.mark.skipif(JIT_OFF, reason="millions of cells: the macro is tested without compiler on small ones in test_cim_functional")
@pytest.mark.parametrize("encoding", ["offset", "differential", "differential_rows"])
def test_calibrated_ranges_are_those_of_the_functional_macro(encoding):
    gaps = [
        functional_gap_db(macro(encoding=encoding, rows=128, bits_per_cell=b, adc={"n_bits": n, "range": "calibrated"}), 300, wb, 8)
        for b, n, wb in ((1, 4, 8), (1, 5, 8), (2, 4, 4), (2, 5, 4))
    ]
    assert np.median(np.abs(gaps)) < 1.5
    assert np.max(np.abs(gaps)) < 7


@compiled
@pytest.mark.skipif(JIT_OFF, reason="millions of cells: the macro is tested without compiler on small ones in test_cim_functional")
def test_ir_drop_has_the_size_that_nodes_solved_one_by_one_give():
    """A closed form on equal cells against nodes solved one by one for the cells there are."""
    for encoding in ("offset", "differential"):
        spec = macro(
            domain="resistive", rows=64, cols=48, encoding=encoding, bits_per_cell=2, cell=RESISTORS | {"wire_ohm": "2 ohm"},
            adc={"range": "full", "n_bits": 10},
        )  # fmt: skip
        assert abs(functional_gap_db(spec, 64, 5, 6, n_draws=2)) < 4


# --- by hand -------------------------------------------------------------------------------------------------------------


def test_a_lossless_converter_and_ideal_cells_lose_nothing():
    budget = output_error(macro(), [9, 64, 1000], [8, 4, 2], 8)
    assert (budget.total == 0).all()
    assert np.isinf(budget.output_snr_db).all()
    assert np.isinf(output_snr_db(macro(domain="digital", adc=None, n_adcs=0), 64, 8, 8)).all()


def test_the_signal_is_k_times_the_variance_of_a_product():
    """Inputs 0 or 2, weights -1 or 1, both even: E[x^2] E[w^2] = 2, and mean weights are 0."""
    inputs, weights = Histogram.from_counts([0, 2], [1, 1]), Histogram.from_counts([-1, 1], [1, 1])
    budget = output_error(macro(), [1, 50], 4, 4, inputs=inputs, weights=weights)
    assert budget.signal == pytest.approx([2, 100])


def test_read_noise_of_wide_sums_adds_up_over_passes_and_slices():
    """Noise of many steps passes whole: k sigma^2 top^2 sum_p 4^p E[x_p^2] sum_s 4^s, all rows driven by ones in every pass."""
    spec = macro(cell={"read_sigma": 0.5}, rows=1000, adc={"n_bits": 12})
    inputs, weights = Histogram.from_counts([3], [1]), Histogram.uniform(-2, 1)
    budget = output_error(spec, 1000, 2, 2, inputs=inputs, weights=weights)
    assert budget.read[0] == pytest.approx(1000 * 0.25 * (1 + 4) * (1 + 4), rel=0.03)


def test_programming_errors_are_the_same_in_all_passes():
    """As above, but k sigma^2 x^2 sum_s 4^s: passes of an input add in amplitude, 9 in place of 1 + 4."""
    spec = macro(cell={"programming_sigma": 0.5}, rows=1000, adc={"n_bits": 12})
    inputs, weights = Histogram.from_counts([3], [1]), Histogram.uniform(-2, 1)
    budget = output_error(spec, 1000, 2, 2, inputs=inputs, weights=weights)
    assert budget.programming[0] == pytest.approx(1000 * 0.25 * 9 * (1 + 4), rel=0.03)


def test_noise_below_half_a_step_is_rounded_away():
    """Sums are whole and so are codes: a tenth of a step is 5 sigma from the next code."""
    quiet, loud = (output_error(macro(adc={"noise_lsb": lsb}), 64, 8, 8).converter[0] for lsb in (0.1, 1.0))
    assert quiet < 1e-3 * loud


def test_the_error_of_a_dead_column_is_the_signal():
    """A step so wide that no sum reaches half of it: every code is 0, and the output is short of all of itself."""
    spec = macro(rows=1024, encoding="differential", adc={"range": "full", "n_bits": 3})
    assert output_snr_db(spec, 64, 8, 8)[0] == pytest.approx(0.0, abs=0.1)


def test_stuck_cells_of_a_digital_macro_are_seen():
    """One 1-bit slice, weights evenly on both levels, all cells stuck at level 0."""
    spec = macro(domain="digital", adc=None, n_adcs=0, cell={"stuck_off": 1.0})
    inputs, weights = Histogram.from_counts([1], [1]), Histogram.uniform(-1, 0)
    budget = output_error(spec, 10, 1, 1, inputs=inputs, weights=weights)
    assert budget.stuck[0] == pytest.approx(10 * 0.25 + 25)  # level lost in half of 10 cells: mean 5, variance 10 / 4


def test_a_named_part_gives_the_programming_error():
    plain, noisy = (output_error(macro(cell={"noise": name}, bits_per_cell=2), 64, 8, 8) for name in (None, "pcm_like"))
    assert plain.programming[0] == 0 < noisy.programming[0]


def test_what_no_number_can_be_is_refused():
    for k, bits in ((0, 8), (8, 0), (8, 33)):
        with pytest.raises(SpecError, match="k must be 1 or more and bits 1 to 32"):
            output_error(macro(), k, bits, 8)
    with pytest.raises(SpecError, match=r"inputs: values 0 ... 300 leave 0 ... 255"):
        output_error(macro(), 8, 8, 8, inputs=Histogram.uniform(0, 300))
    with pytest.raises(SpecError, match=r"weights: values -9 ... 7 leave -8 ... 7"):
        output_error(macro(), 8, 4, 8, weights=Histogram.uniform(-9, 7))


# --- laws ----------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    encoding=st.sampled_from(["offset", "differential", "differential_rows", "magnitude"]),
    kind=st.sampled_from(["full", "granular", "calibrated"]),
    bits=st.integers(1, 10),
    k=st.integers(1, 5000),
    weight_bits=st.integers(1, 12),
    activation_bits=st.integers(1, 12),
)
def test_errors_are_never_negative_and_equal_products_are_equal(encoding, kind, bits, k, weight_bits, activation_bits):
    spec = macro(encoding=encoding, adc={"n_bits": bits, "range": kind, "noise_lsb": 0.2})
    budget = output_error(spec, [k, k], weight_bits, activation_bits)
    parts = np.array([getattr(budget, cause) for cause in CAUSES])
    assert (parts >= 0).all()
    assert np.isfinite(parts).all()
    assert (parts[:, 0] == parts[:, 1]).all()
    assert (budget.output_snr_db > -np.inf).all()


@pytest.mark.parametrize("kind", ["granular", "calibrated"])
def test_each_bit_of_a_converter_helps_until_nothing_is_lost(kind):
    found = output_snr_db(macro(adc={"n_bits": 3, "range": kind}, rows=256), 1000, 8, 8)[0]
    for bits in range(4, 10):
        better = output_snr_db(macro(adc={"n_bits": bits, "range": kind}, rows=256), 1000, 8, 8)[0]
        assert better > found or np.isinf(better)
        found = better
    assert np.isinf(found)


def test_a_full_range_gains_six_db_a_bit_once_sums_reach_over_steps():
    found = [output_snr_db(macro(adc={"n_bits": bits, "range": "full"}, rows=1000, bits_per_cell=4), 4000, 8, 8)[0] for bits in (10, 11)]
    assert found[1] - found[0] == pytest.approx(6.02, abs=2.5)


def test_more_noise_is_more_error_cause_by_cause():
    for cell, adc, cause in (
        ("programming_sigma", None, "programming"),
        ("read_sigma", None, "read"),
        ("stuck_off", None, "stuck"),
        (None, "noise_lsb", "converter"),
        (None, "gain_sigma", "converter"),
    ):
        found = [
            getattr(output_error(macro(cell={cell: x} if cell else {}, adc={adc: x} if adc else {}), 64, 8, 8), cause)[0]
            for x in (0.0, 0.1, 0.2)
        ]
        assert found[0] == 0
        assert found[1] < found[2]


# --- parts of the model --------------------------------------------------------------------------------------------------


def sums(mean, std, low, high):
    shape = (1, 1, 1)
    return Sums(*(np.full(shape, float(value)) for value in (mean, std, 0.0, 0.0, low, high)))


def test_a_whole_step_over_wide_sums_has_a_twelfth_of_its_square_less_a_twelfth():
    """Step 5: errors -2 ... 2 equally often, mean square (25 - 1) / 12 = 2."""
    answer = respond(sums(500, 40, 0, 1000), AdcRange(10, np.zeros(1), np.full(1, 5.0)), np.zeros((1, 1, 1)))
    assert answer.square[0, 0, 0] == pytest.approx(2, rel=0.1)
    assert abs(answer.mean[0, 0, 0]) < 0.1
    assert answer.clipped[0, 0, 0] == 0


def test_clipping_at_the_mean_loses_half_of_the_variance():
    """Codes up to the mean of a normal sum: E[max(s - mean, 0)^2] = sigma^2 / 2, and the error follows -s / 2."""
    answer = respond(sums(127, 6, 0, 1000), AdcRange(7, np.zeros(1), np.ones(1)), np.zeros((1, 1, 1)))
    assert answer.clipped[0, 0, 0] == pytest.approx(18, rel=0.02)
    assert answer.slope[0, 0, 0] == pytest.approx(-0.5, abs=0.01)


def test_probabilities_of_a_sum_keep_its_moments():
    values, shares = nodes(sums(20.3, 4.0, 0, 64))
    mean = (values * shares).sum()
    assert shares.sum() == pytest.approx(1)
    assert mean == pytest.approx(20.3, abs=0.01)
    assert ((values - mean) ** 2 * shares).sum() == pytest.approx(16 + 1 / 12, rel=0.01)  # rounding adds a twelfth


def test_a_calibrated_range_of_enough_bits_is_granular_and_fewer_cover_the_sums():
    spec = macro(adc={"range": "calibrated", "n_bits": 7})
    lossless = range_of(spec, sums(20, 3, 0, 64), np.ones(1))
    assert (lossless.zero[0], lossless.step[0]) == (0, 1)
    few = range_of(macro(adc={"range": "calibrated", "n_bits": 3}), sums(30, 6, 0, 64), np.ones(1))
    assert few.step[0] == pytest.approx(0.586 * 6, rel=0.2)  # Max 1960, table II: 8 levels, 0.586 sigma
    full = fixed_range(macro(adc={"n_bits": 3}), 3, "full", 1)
    assert few.step[0] < full.step[0]


def test_default_inputs_drive_rows_as_the_macro_says():
    for density in (0.05, 0.2, 0.4):
        spec = macro(input_density=density)
        x = input_digits(spec, input_histogram(spec, 8), 8)
        assert x.mean.mean() == pytest.approx(density)
    assert input_histogram(macro(input_density=1.0), 8).probabilities[0] == 0  # the most that the family can do


def test_digits_make_up_the_number_again():
    spec = macro(encoding="differential", bits_per_cell=2)
    weights = weight_histogram(spec, 7)
    w = weight_digits(spec, weights, 7)
    assert w.units.tolist() == [1, 4, 16]
    assert w.units @ w.product @ w.units == pytest.approx(weights.mean_square)
    assert w.units @ w.mean == pytest.approx(weights.mean, abs=1e-12)
    assert w.device_shares.sum(axis=1) == pytest.approx(1)
    assert 2 * w.device_square == pytest.approx(w.square)


def test_wide_numbers_are_sampled():
    """24-bit inputs have 16 million values; 1024 of them tell the digits."""
    spec = macro(input_density=0.3)
    inputs = input_histogram(spec, 24)
    assert inputs.values.size <= 1025
    assert input_digits(spec, inputs, 24).mean[:8] == pytest.approx(0.33, abs=0.05)

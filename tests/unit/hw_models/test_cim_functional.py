"""The macro computes: against integer products, a naive twin written from the circuit, and what chance does by hand calculation."""

import os
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.cim.functional import ProgrammedArray, normal_steps
from hw_models.cim.functional_adc import fixed_range, largest_sum
from hw_models.cim.parasitics import Wires, column_currents, effective_conductance
from hw_models.cim.spec import CimMacroSpec
from workloads.errors import CosimError, SimulationError

JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}
law = settings(max_examples=15 if JIT_OFF else 60, deadline=None)
ENCODINGS = ("offset", "differential", "differential_rows", "magnitude")

# All costs are placeholders: only rows, columns, bits and errors bear on what is computed.
MACRO = {
    "n_macros": 1, "rows": 8, "cols": 16, "node": "28 nm", "supply": "1 V", "domain": "charge",
    "cell": {
        "kind": "sram", "node": "28 nm", "max_bits": 4, "area": "0.5 um2", "bitline_cap": "1 fF", "wordline_cap": "0.5 fF",
        "unit_cap": "2 fF", "read_time": "2 ns", "write_energy": "1 fJ", "write_time": "1 ns",
    },
    "dac": {"n_bits": 4, "node": "28 nm", "supply": "1 V", "energy_per_bit": "3 fJ", "area_base": "0.1 um2"},
    "adc": {
        "type": "sar", "n_bits": 12, "node": "28 nm", "supply": "1 V", "energy_per_bit": "10 fJ", "time_per_bit": "1 ns",
        "area_base": "10 um2", "range": "granular",
    },
    "n_adcs": 4, "logic": {"node": "28 nm", "supply": "1 V", "gate_cap": "1 fF", "gate_area": "0.6 um2", "gate_delay": "50 ps"},
    "vector": {"n_lanes": 2}, "clock": "1 GHz", "link_bits": 64, "accumulator_bits": 32, "input_buffer": "1 KiB",
    "output_buffer": "1 KiB", "buffer_bits": 64, "input_density": 0.5, "weight_density": 0.5, "row_gates": 10, "col_gates": 5,
    "control_energy_share": 0.2, "control_area_share": 0.2,
}  # fmt: skip
DIGITAL = {"domain": "digital", "adc": None, "n_adcs": 0}


def macro(**change):
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in MACRO.items()}
    for key, value in change.items():
        data[key] = data[key] | value if isinstance(value, dict) else value
    return CimMacroSpec.model_validate(data)


def problem(seed, spec, v, k, n, weight_bits, activation_bits, signed=False):
    """Inputs and weights over their whole ranges."""
    rng = np.random.default_rng(seed)
    low, high = -(2 ** (weight_bits - 1)), 2 ** (weight_bits - 1) - 1
    if spec.encoding != "offset":
        high = 2 ** max(1, weight_bits - 1) - 1
        low = -high
    weights = rng.integers(low, high + 1, (k, n))
    first = -(2 ** (activation_bits - 1)) if signed else 0
    return rng.integers(first, first + 2**activation_bits, (v, k)), weights


# --- the twin: one scalar at a time, from the story of the circuit -----------------------------------------------------


def twin(spec, x, w, weight_bits, activation_bits, zero, step, signed=False, errors=None):
    """Products [v, n]: zero and step of each slice; errors(slice, k, n) is what a pair of cells adds to a level."""
    two, half = spec.encoding != "offset", 2 ** (weight_bits - 1)
    n_slices = -(-max(1, weight_bits - two) // spec.bits_per_cell)
    pairs = spec.rows // spec.row_devices
    together = max(1, spec.n_rows_active // spec.row_devices)
    in_half = 2 ** (activation_bits - 1)
    if not signed:
        phases, shift = [(1, x)], 0
    elif spec.input_phases == 2:
        phases, shift = [(1, np.maximum(x, 0)), (-1, np.maximum(-x, 0))], 0
    else:
        phases, shift = [(1, x + in_half)], in_half
    out = np.zeros((x.shape[0], w.shape[1]))
    for v, n in np.ndindex(out.shape):
        total = 0.0
        for sign, values in phases:
            for first_bit in range(0, activation_bits, spec.input_bits_per_pass):
                for s in range(n_slices):
                    sums = {}
                    for k in range(x.shape[1]):
                        drive = (int(values[v, k]) >> first_bit) % 2**spec.input_bits_per_pass
                        stored = abs(int(w[k, n])) if two else int(w[k, n]) + half
                        level = (stored >> (s * spec.bits_per_cell)) % 2**spec.bits_per_cell
                        level = -level if two and w[k, n] < 0 else level
                        where = (k // pairs, k % pairs // together)
                        sums[where] = sums.get(where, 0) + drive * (level + (errors(s, k, n) if errors else 0))
                    for column in sums.values():
                        code = np.floor(column * (1 / step[s]) + (0.5 - zero[s] * (1 / step[s])))
                        code = min(max(code, 0), 2**spec.adc.n_bits - 1)
                        total += sign * (zero[s] + step[s] * code) * 2**first_bit * 2 ** (s * spec.bits_per_cell)
            total -= 0 if two else sign * half * int(values[v].sum())
        out[v, n] = total - shift * int(w[:, n].sum())
    return out


# --- nothing lost, nothing changed -------------------------------------------------------------------------------------


@law
@given(
    st.sampled_from(ENCODINGS), st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(1, 70),
    st.integers(1, 70), st.booleans(), st.integers(1, 2), st.integers(0, 99), st.booleans(),
)  # fmt: skip
def test_lossless_converters_give_the_integer_product(
    encoding, cell_bits, pass_bits, weight_bits, activation_bits, rows, active, signed, phases, seed, calibrated
):
    change = {"encoding": encoding, "bits_per_cell": cell_bits, "input_bits_per_pass": pass_bits, "input_phases": phases}
    rows = max(rows, 2)
    spec = macro(rows=rows, rows_active=min(rows, active), **change)
    spec = macro(
        rows=rows, rows_active=min(rows, active), **change,
        adc={"n_bits": spec.lossless_adc_bits, "range": "calibrated" if calibrated else "granular"},
    )  # fmt: skip
    x, w = problem(seed, spec, 2, 30 if JIT_OFF else 150, 3, weight_bits, activation_bits, signed)
    array = ProgrammedArray.program(spec, w, weight_bits)
    found = array.multiply(x, activation_bits, signed=signed)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, x @ w)
    np.testing.assert_array_equal(array.multiply(x, activation_bits, signed=signed, lossless=True), x @ w)
    np.testing.assert_array_equal(array.effective_weights, w)


@law
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 4), st.integers(1, 20), st.booleans(), st.integers(0, 99))
def test_adder_trees_give_the_integer_product(weight_bits, activation_bits, pass_bits, rows, signed, seed):
    spec = macro(rows=rows, input_bits_per_pass=pass_bits, **DIGITAL)
    x, w = problem(seed, spec, 2, 33, 3, weight_bits, activation_bits, signed)
    array = ProgrammedArray.program(spec, w, weight_bits, np.random.default_rng(seed))
    np.testing.assert_array_equal(array.multiply(x, activation_bits, np.random.default_rng(1), signed=signed), x @ w)


def test_one_bit_less_than_lossless_loses_the_full_column():
    """8 rows of ones driven by ones sum to 8: 4 bits read it, 3 bits read 7."""
    x, w = np.ones((1, 8), dtype=int), np.full((8, 1), -1)
    spec = macro(adc={"n_bits": 4})
    assert spec.lossless_adc_bits == 4
    assert ProgrammedArray.program(spec, w, 1).multiply(x, 1)[0, 0] == -8  # stored as 0
    assert ProgrammedArray.program(macro(adc={"n_bits": 4}), np.zeros((8, 1)), 1).multiply(x, 1)[0, 0] == 8 - 8
    assert ProgrammedArray.program(macro(adc={"n_bits": 3}), np.zeros((8, 1)), 1).multiply(x, 1)[0, 0] == 7 - 8


def test_a_sign_takes_a_bit_of_the_converter():
    """Sums of 8 signed single bits are -8 ... 8: 17 values, 5 bits; the most negative code of 4 bits is -8, the largest 7."""
    assert macro(encoding="differential").lossless_adc_bits == 5
    x = np.ones((1, 8), dtype=int)
    for sign, read in ((1, 7), (-1, -8)):
        array = ProgrammedArray.program(macro(encoding="differential", adc={"n_bits": 4}), np.full((8, 1), sign), 2)
        assert array.multiply(x, 1)[0, 0] == read


# --- converters that lose ----------------------------------------------------------------------------------------------


@law
@given(
    st.sampled_from(ENCODINGS), st.sampled_from(("full", "granular")), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3),
    st.integers(1, 5), st.integers(1, 5), st.integers(2, 9), st.integers(1, 9), st.booleans(), st.integers(1, 2), st.integers(0, 99),
)  # fmt: skip
def test_the_twin_agrees_bit_for_bit(
    encoding, kind, adc_bits, cell_bits, pass_bits, weight_bits, activation_bits, rows, active, signed, phases, seed
):
    spec = macro(
        rows=rows, rows_active=min(rows, active), encoding=encoding, bits_per_cell=cell_bits, input_bits_per_pass=pass_bits,
        input_phases=phases, adc={"n_bits": adc_bits, "range": kind},
    )  # fmt: skip
    x, w = problem(seed, spec, 2, 11, 2, weight_bits, activation_bits, signed)
    array = ProgrammedArray.program(spec, w, weight_bits)
    expected = twin(spec, x, w, weight_bits, activation_bits, array.range.zero, array.range.step, signed)
    found = array.multiply(x, activation_bits, signed=signed)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)
    if kind == "granular":
        np.testing.assert_array_equal(found, expected)


@law
@given(st.sampled_from(ENCODINGS), st.integers(1, 3), st.integers(1, 3), st.integers(3, 9), st.integers(0, 99))
def test_the_twin_agrees_on_cells_that_err(encoding, cell_bits, pass_bits, rows, seed):
    spec = macro(
        rows=rows, encoding=encoding, bits_per_cell=cell_bits, input_bits_per_pass=pass_bits, adc={"n_bits": 4},
        cell={"programming_sigma": 0.1},
    )  # fmt: skip
    x, w = problem(seed, spec, 2, 11, 2, 4, 4)
    array, ideal = (ProgrammedArray.program(spec, w, 4, rng) for rng in (np.random.default_rng(seed), None))
    wrong = array.levels - ideal.levels
    assert np.abs(wrong).max() > 0
    expected = twin(spec, x, w, 4, 4, array.range.zero, array.range.step, errors=lambda s, k, n: wrong[k, s, n])
    np.testing.assert_allclose(array.multiply(x, 4), expected, rtol=1e-12)


@pytest.mark.parametrize(("kind", "encoding", "bits", "zero", "step"), [
    ("full", "offset", 3, 0, 8 / 7),  # 8 rows of single bits sum to 0 ... 8
    ("granular", "offset", 3, 0, 1),
    ("full", "differential", 3, -4 * 8 / 3, 8 / 3),  # codes -4 ... 3, the largest stands for 8
    ("granular", "differential", 3, -4, 1),
    ("full", "magnitude", 1, -8, 16),  # one bit tells the sign
    ("granular", "magnitude", 1, -1, 2),
])  # fmt: skip
def test_ranges_by_hand(kind, encoding, bits, zero, step):
    spec = macro(encoding=encoding)
    found = fixed_range(spec, bits, kind, 2)
    assert largest_sum(spec) == 8
    assert found.zero == pytest.approx([zero, zero])
    assert found.step == pytest.approx([step, step])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("per", ["slice", "layer"])
def test_a_calibrated_range_reads_its_samples_no_worse_than_a_fixed_one(encoding, per):
    change = {"rows": 64, "encoding": encoding, "bits_per_cell": 2}
    x, w = problem(3, macro(**change), 8, 64, 4, 5, 4)
    errors = {}
    for kind in ("full", "granular", "calibrated"):
        array = ProgrammedArray.program(macro(**change, adc={"n_bits": 4, "range": kind}), w, 5)
        if kind == "calibrated":
            assert array.calibrate(x, 4, per=per) is array.range
            assert per == "slice" or np.ptp(array.range.step) == 0
        sums = array.column_sums(x, 4)
        errors[kind] = ((array.range.read(sums) - sums) ** 2).sum()
    assert errors["calibrated"] <= min(errors["full"], errors["granular"]) * (1 + 1e-9)
    assert errors["calibrated"] < 0.9 * errors["full"]  # sums crowd in the middle of what is possible


def test_column_sums_shifted_and_added_are_the_product():
    spec = macro(encoding="differential", bits_per_cell=2, input_bits_per_pass=2)
    x, w = problem(5, spec, 3, 20, 4, 5, 4)
    sums = ProgrammedArray.program(spec, w, 5).column_sums(x, 4)
    assert sums.shape == (3, 3, 2, 2, 4)  # three groups of 8 rows, two passes, two slices
    np.testing.assert_array_equal(np.einsum("vgpsn,p,s->vn", sums, [1, 4], [1, 4]), x @ w)


# --- chance ------------------------------------------------------------------------------------------------------------


def draws(spec, k, n, v=1):
    """What k inputs of 1 give with 2-bit weights of 0, which cells that err miss."""
    array = ProgrammedArray.program(spec, np.zeros((k, n)), 2, np.random.default_rng(0))
    return array.multiply(np.ones((v, k)), 1, np.random.default_rng(1), lossless=True)


def test_programming_errors_add_in_squares():
    """Two slices of weights 1 and 2 over 8 cells each: sigma sqrt(8 (1 + 4)); 1500 draws know a deviation within 2 %."""
    spread = draws(macro(cols=4096, cell={"programming_sigma": 0.05}), 8, 1500).std()
    assert spread == pytest.approx(0.05 * np.sqrt(8 * 5), rel=0.08)


def test_sums_of_cells_that_err_are_exact():
    """Levels lie on a grid on which single precision adds without rounding: the product is that of the levels, bit for bit."""
    spec = macro(rows=128, bits_per_cell=2, cell={"programming_sigma": 0.05})
    x, w = problem(2, spec, 3, 300, 4, 8, 8)
    array = ProgrammedArray.program(spec, w, 8, np.random.default_rng(0))
    np.testing.assert_array_equal(array.multiply(x, 8, lossless=True), x @ array.effective_weights)
    off = array.levels - ProgrammedArray.program(spec, w, 8).levels
    assert off.std() == pytest.approx(0.05 * 3, rel=0.05)
    assert (off * 2**15 == np.rint(off * 2**15)).all()  # 128 levels of 1.5 on average add up to less than 256: 2^(8 - 23)


def test_a_differential_pair_errs_twice_and_a_signed_cell_once():
    for encoding, devices in (("differential", 2), ("differential_rows", 2), ("magnitude", 1)):
        spec = macro(rows=16, cols=4096, encoding=encoding, cell={"programming_sigma": 0.05})
        assert draws(spec, 8, 1500).std() == pytest.approx(0.05 * np.sqrt(8 * devices), rel=0.08)


def test_read_noise_is_drawn_in_each_pass():
    """Drives of 8 rows at full scale: sigma sqrt(8 (1 + 4)) over two slices, different for every vector; none without generator."""
    spec = macro(cell={"read_sigma": 0.05})
    assert draws(spec, 8, 50, v=30).std() == pytest.approx(0.05 * np.sqrt(8 * 5), rel=0.08)
    array = ProgrammedArray.program(spec, np.zeros((8, 1)), 2, np.random.default_rng(0))
    assert array.multiply(np.ones((1, 8)), 1, lossless=True).tolist() == [[0]]


def test_read_noise_grows_with_the_square_of_the_drive():
    """One row driven at 3 by a 2-bit pass gives three times the deviation of a drive at 1."""
    spec = macro(input_bits_per_pass=2, cell={"read_sigma": 0.05})
    array = ProgrammedArray.program(spec, np.full((1, 1500), -1), 1)
    spread = [array.multiply([[drive]], 2, np.random.default_rng(4), lossless=True).std() for drive in (1, 3)]
    assert spread[1] == pytest.approx(3 * spread[0], rel=1e-6)
    assert spread[0] == pytest.approx(0.05, rel=0.08)


def test_converter_noise_is_in_its_own_steps():
    """128 ones read with noise of 3 codes, granular: 3 units, and 1/12 for rounding."""
    spec = macro(rows=256, adc={"noise_lsb": 3.0, "n_bits": 9})
    array = ProgrammedArray.program(spec, np.zeros((128, 50)), 1)
    found = array.multiply(np.ones((30, 128)), 1, np.random.default_rng(2))
    assert found.std() == pytest.approx(np.sqrt(9 + 1 / 12), rel=0.05)


def test_columns_of_one_converter_share_its_offset_and_gain():
    """4 converters take 16 columns in turn: outputs 4 apart err alike, neighbors do not."""
    spec = macro(adc={"offset_lsb": 5.0, "gain_sigma": 0.02})
    array = ProgrammedArray.program(spec, np.zeros((8, 16)), 1, np.random.default_rng(0))
    assert array.offset.shape == (1, 1, 16)
    np.testing.assert_array_equal(array.offset[0, 0, :4], array.offset[0, 0, 4:8])
    np.testing.assert_array_equal(array.gain[0, 0, :4], array.gain[0, 0, 4:8])
    assert np.unique(array.offset).size == 4
    assert np.unique(ProgrammedArray.program(spec, np.zeros((16, 32)), 1, np.random.default_rng(0)).offset).size == 16


def test_stuck_cells_hold_full_or_zero():
    x = np.ones((1, 8), dtype=int)
    on = ProgrammedArray.program(macro(cell={"stuck_on": 1.0}), np.full((8, 2), -8), 4, np.random.default_rng(0))
    off = ProgrammedArray.program(macro(cell={"stuck_off": 1.0}), np.full((8, 2), 7), 4, np.random.default_rng(0))
    assert on.multiply(x, 1).tolist() == [[56, 56]]
    assert off.multiply(x, 1).tolist() == [[-64, -64]]
    some = ProgrammedArray.program(macro(cell={"stuck_on": 0.1, "stuck_off": 0.2}), np.full((200, 16), 5), 4, np.random.default_rng(0))
    high = np.array([(13 >> s) & 1 for s in range(4)])[:, None]  # 5 + 8
    assert np.mean(some.levels > high) == pytest.approx(0.1 * 0.25, abs=0.01)
    assert np.mean(some.levels < high) == pytest.approx(0.2 * 0.75, abs=0.01)
    assert some.multiply(np.ones((1, 200)), 1).dtype == np.int64  # a broken cell still holds a whole level


def test_perturbed_conductances_come_back_as_levels():
    """Halved conductances at an on/off ratio of 11: level 0 sits at g_max / 11 and comes out at -(1/2) of that."""
    cell = {"r_lrs": "1 kohm", "r_hrs": "11 kohm"}
    w = np.array([[-1], [0]])
    array = ProgrammedArray.program(macro(cell=cell), w, 1, np.random.default_rng(0), perturb=lambda g, rng: g / 2)
    off = 1 / 10  # of a level step: g_off / (g_on - g_off)
    assert array.levels[:, 0, 0] == pytest.approx([-off / 2, (1 + off) / 2 - off])
    kept = ProgrammedArray.program(macro(cell=cell), w, 1, np.random.default_rng(0), perturb=lambda g, rng: g)
    assert kept.levels[:, 0, 0] == pytest.approx([0, 1])


def test_same_seed_same_result():
    spec = macro(adc={"n_bits": 5, "noise_lsb": 0.5, "offset_lsb": 0.5}, cell={"programming_sigma": 0.05, "read_sigma": 0.05})
    x, w = problem(1, spec, 4, 20, 5, 4, 4)

    def run(seed):
        array = ProgrammedArray.program(spec, w, 4, np.random.default_rng(seed))
        return array.multiply(x, 4, np.random.default_rng(seed)).tobytes()

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_steps_of_the_normal_law():
    """65536 quantiles: mean 0, variance 1, and every decile where it belongs."""
    steps = normal_steps()
    assert steps.size == 65536
    assert steps.astype(float).mean() == pytest.approx(0, abs=1e-7)
    assert steps.astype(float).var() == pytest.approx(1, abs=1e-6)
    deciles = [NormalDist().inv_cdf(i / 10) for i in range(1, 10)]
    assert np.quantile(steps, np.arange(0.1, 1, 0.1)) == pytest.approx(deciles, abs=1e-3)


# --- wires -------------------------------------------------------------------------------------------------------------

RESISTIVE = {
    "domain": "resistive",
    "cell": {"kind": "reram", "r_lrs": "5 kohm", "r_hrs": "50 kohm", "read_voltage": "0.2 V", "wire_ohm": "2 ohm"},
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_wires_take_what_a_solve_of_the_crossbar_takes(encoding):
    """Currents of the two arrays that 10 inputs fill, from `column_currents` with the cells laid out by hand."""
    spec = macro(encoding=encoding, bits_per_cell=2, rows=16 if encoding == "differential_rows" else 8, cols=64, **RESISTIVE)
    x, w = problem(0, spec, 1, 10, 3, 4, 1)
    array = ProgrammedArray.program(spec, w, 4)
    unit = (1 / 5e3 - 1 / 50e3) / 3
    expected = np.zeros(3)
    for first in (0, 8):
        drive, part = x[:, first : first + 8], w[first : first + 8]
        magnitude = part + 8 if encoding == "offset" else np.abs(part)
        slices = np.stack([magnitude & 3, magnitude >> 2], axis=-1)[..., : array.layout.n_slices]  # k, n, s
        plus, minus = slices * (part[..., None] >= 0), slices * (part[..., None] < 0)
        if encoding == "differential":
            cells = np.stack([plus, minus], axis=-1).reshape(len(part), -1)
            seen = column_currents(1 / 50e3 + unit * cells, drive, Wires(2, 2)).reshape(3, -1, 2)
            sums = (seen[..., 0] - seen[..., 1]) / unit
        elif encoding == "differential_rows":
            cells = np.stack([plus, minus], axis=1).reshape(2 * len(part), -1)
            volts = np.stack([drive[0], -drive[0]], axis=1).reshape(1, -1)
            sums = column_currents(1 / 50e3 + unit * cells, volts, Wires(2, 2)).reshape(3, -1) / unit
        else:
            cells = slices.reshape(len(part), -1)
            g = 1 / 50e3 + unit * cells
            kept = effective_conductance(g, Wires(2, 2)) / g
            signed = cells if encoding == "offset" else (plus - minus).reshape(len(part), -1)
            sums = (drive[0] @ (signed * kept)).reshape(3, -1)
        expected += sums @ array.layout.slice_weights - (8 * drive.sum() if encoding == "offset" else 0)
    assert array.multiply(x, 1, lossless=True)[0] == pytest.approx(expected, abs=1e-3)  # levels lie on a grid of about 1e-6
    assert np.abs(expected - (x @ w)[0]).max() > 0.01
    free = ProgrammedArray.program(spec, w, 4, ir_drop="none")
    np.testing.assert_array_equal(free.multiply(x, 1, lossless=True), x @ w)


def test_the_estimate_of_the_drop_is_near_the_solution():
    spec = macro(encoding="differential", rows=32, cols=64, **RESISTIVE)
    _, w = problem(0, spec, 1, 32, 8, 5, 1)
    errors = [np.abs(ProgrammedArray.program(spec, w, 5, ir_drop=how).effective_weights - w).mean() for how in ("solved", "estimated")]
    assert errors[1] == pytest.approx(errors[0], rel=0.2)


# --- refusals ----------------------------------------------------------------------------------------------------------

ONES = np.ones((2, 3), dtype=int)


@pytest.mark.parametrize(("call", "says"), [
    (lambda: ProgrammedArray.program(macro(), ONES * 0.5, 4), "weights: 0.5 is not a whole number"),
    (lambda: ProgrammedArray.program(macro(), ONES * np.nan, 4), "weights: nan is not a whole number"),
    (lambda: ProgrammedArray.program(macro(), ONES * 8, 4), "weights: 8 is outside -8 ... 7"),
    (lambda: ProgrammedArray.program(macro(encoding="differential"), ONES * -8, 4), "weights: -8 is outside -7 ... 7"),
    (lambda: ProgrammedArray.program(macro(), ONES, 4, np.random.default_rng(0), t_s=1.0), "name a model in cell.noise"),
    (lambda: ProgrammedArray.program(macro(), ONES, 4, ir_drop="some"), "choose solved, estimated, none"),
    (lambda: ProgrammedArray.program(macro(), ONES, 0), "weight_bits 0 is out of range"),
    (lambda: ProgrammedArray.program(macro(), ONES[0], 4), "weights: shape (3,) is not a matrix"),
    (lambda: ProgrammedArray.program(macro(), ONES, 4).multiply(-ONES.T[:, :2], 4), "inputs: -1 is outside 0 ... 15; give signed=True"),
    (lambda: ProgrammedArray.program(macro(), ONES, 4).multiply(ONES.T * 16, 4), "inputs: 16 is outside 0 ... 15"),
    (lambda: ProgrammedArray.program(macro(), ONES, 4).multiply(ONES.T * 8, 4, signed=True), "inputs: 8 is outside -8 ... 7"),
    (lambda: ProgrammedArray.program(macro(), ONES, 4).multiply(ONES, 4), "inputs: 3 values a vector meet weights of 2 rows"),
    (lambda: ProgrammedArray.program(macro(), ONES, 4).multiply(ONES.T, 33), "activation_bits 33 is out of range"),
    (lambda: ProgrammedArray.program(macro(), ONES, 4).multiply(np.array([["a", "b"]]), 4), "are no numbers of an array"),
    (lambda: ProgrammedArray.program(macro(adc={"range": "calibrated", "n_bits": 2}), ONES, 4).multiply(ONES.T, 4), "call calibrate"),
    (lambda: ProgrammedArray.program(macro(**DIGITAL), ONES, 4).calibrate(ONES.T, 4), "has no adc"),
    (lambda: ProgrammedArray.program(macro(), ONES, 4).calibrate(ONES.T, 4, per="column"), "choose slice or layer"),
])  # fmt: skip
def test_refusals_say_what_was_given_and_what_would_do(call, says):
    with pytest.raises(SimulationError) as error:
        call()
    assert says in str(error.value)
    assert isinstance(error.value, CosimError)


@pytest.mark.parametrize(("change", "says"), [
    ({"bits_per_cell": 5}, "more than the 4 that this sram cell can hold"),
    ({"adc": {"n_bits": 0}}, "greater than or equal to 1"),
])  # fmt: skip
def test_no_macro_has_such_cells_or_converters(change, says):
    with pytest.raises(ValueError, match=says):
        macro(**change)


def test_cells_that_name_a_model_drift_by_it():
    """A day at a PCM exponent of 0.05 to 0.06 leaves (86420 / 20)^-nu of a full level: about 0.63 (global compensation factor 1.526)."""
    weights = np.random.default_rng(0).integers(-7, 8, (64, 16))
    spec = macro(encoding="differential", cell={"noise": "pcm_like"})
    fresh, day = (ProgrammedArray.program(spec, weights, 4, np.random.default_rng(1), t_s=t_s).effective_weights for t_s in (0.0, 86400.0))
    kept = np.abs(np.asarray(day)).mean() / np.abs(np.asarray(fresh)).mean()
    assert 0.5 < kept < 0.8
    again = ProgrammedArray.program(spec, weights, 4, np.random.default_rng(1), t_s=86400.0).effective_weights
    assert np.array_equal(day, again)

"""Pairs of columns that are converted one by one: against a numpy twin of the definition, by hand, and in energy and time."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.catalog import build_part_device, resolve_part
from hw_models.cim.datasheet import datasheet, mvm_of
from hw_models.cim.error import output_error
from hw_models.cim.error_data import weight_digits
from hw_models.cim.functional import ProgrammedArray
from hw_models.cim.functional_map import map_weights
from hw_models.cim.macro import CimMacro
from hw_models.cim.noise import load_noise
from hw_models.cim.spec import CimMacroSpec
from hw_models.cim.spec_pass import turns
from hw_models.cim.statistics import Histogram
from hw_models.cim.value_energy import density_energy_j

JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}
PART = build_part_device("cim_macro/ref_bitserial").spec


def macro(rows=128, n_bits=3, kind="granular", **change):
    return PART.model_copy(update={"rows": rows, "adc": PART.adc.model_copy(update={"n_bits": n_bits, "range": kind}), **change})


def twin(x, w, rows, n_bits, step):
    """Each bit of the input, slice, sign and block of rows is digitized: round(count / step), clipped to 0 ... 2^b - 1."""
    y = np.zeros((x.shape[0], w.shape[1]))
    for first in range(0, x.shape[1], rows):
        for p in range(8):
            drive = (x[:, first : first + rows] >> p) & 1
            for s in range(3):
                for sign in (1, -1):
                    count = drive @ ((np.maximum(sign * w[first : first + rows], 0) >> s) & 1)
                    y += sign * 2.0 ** (p + s) * step * np.clip(np.round(count / step), 0, 2**n_bits - 1)
    return y


@settings(max_examples=10 if JIT_OFF else 60, deadline=None)
@given(st.sampled_from([16, 64, 128, 256]), st.integers(2, 6), st.sampled_from(["granular", "full"]), st.integers(0, 99))
def test_the_macro_is_the_twin_of_the_definition(rows, n_bits, kind, seed):
    """numpy rounds halves to even, the macro upward: with rows a power of two and 2 bits or more they never differ."""
    rng = np.random.default_rng(seed)
    k = 40 if JIT_OFF else 300
    x, w = rng.integers(0, 256, (2, k)), rng.integers(-7, 8, (k, 3))
    step = 1.0 if kind == "granular" else rows / (2**n_bits - 1)
    found = ProgrammedArray.program(macro(rows, n_bits, kind), w, 4).multiply(x, 8)
    if kind == "granular":
        np.testing.assert_array_equal(found, twin(x, w, rows, n_bits, step))
    else:
        np.testing.assert_allclose(found, twin(x, w, rows, n_bits, step), rtol=1e-12, atol=1e-9)


def test_one_bit_of_full_range_is_where_halves_round_apart():
    """A count of half the rows is half a step: the macro reads 1, rounding to even 0."""
    x, w = np.r_[np.ones(4), np.zeros(4)].astype(int)[None], np.ones((8, 1), dtype=int)
    assert ProgrammedArray.program(macro(8, 1, "full"), w, 4).multiply(x, 8)[0, 0] == 8
    assert twin(x, w, 8, 1, 8.0)[0, 0] == 0


def test_lossless_codes_give_the_integer_product():
    rng = np.random.default_rng(0)
    spec = macro(16, 5)
    assert spec.lossless_adc_bits == 5  # 0 ... 16 is 17 values, and no sign
    x, w = rng.integers(0, 256, (3, 40)), rng.integers(-7, 8, (40, 5))
    np.testing.assert_array_equal(ProgrammedArray.program(spec, w, 4).multiply(x, 8), x @ w)


def test_columns_of_a_pair_are_neighbors_that_count_plus_and_minus():
    levels, layout = map_weights(PART, np.array([[5], [-6]]), 4)
    assert layout.slice_weights.tolist() == [1, -1, 2, -2, 4, -4]
    assert not layout.signed
    assert [device[:, :, 0].tolist() for device in levels] == [[[1, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 1]]]


def test_only_pairs_of_columns_can_be_subtracted_behind_the_adc():
    data = resolve_part("cim_macro/ref_bitserial").data
    data.pop("kind")
    assert CimMacroSpec.model_validate(data).subtraction == "digital"
    with pytest.raises(ValueError, match="needs pairs of columns; encoding is offset, choose differential"):
        CimMacroSpec.model_validate(data | {"encoding": "offset"})


def test_a_pair_takes_two_conversions():
    digital, analog = macro(), macro(subtraction="analog")
    assert turns(digital) == 2 * turns(analog) == 8  # 384 columns at 48 converters
    found, other = (density_energy_j(spec, 128, 64, 4, 8) for spec in (digital, analog))
    assert found.adc_j == pytest.approx(2 * other.adc_j)
    assert (found.driver_j, found.cell_j, found.column_j) == (other.driver_j, other.cell_j, other.column_j)
    costs = [CimMacro.costs([spec], mvm_of(spec, 4, 8).table()) for spec in (digital, analog)]
    adc, logic = ([float(cost.energy_j[0, 0, i]) for cost in costs] for i in (2, 3))
    assert adc[0] == pytest.approx(found.adc_j)
    assert (adc[0] / adc[1], logic[0] / logic[1]) == (pytest.approx(2), pytest.approx(2))
    assert costs[0].latency_s[0, 0] > costs[1].latency_s[0, 0]


def test_its_data_sheet_counts_both_columns():
    sheet, analog = (datasheet(CimMacro("m", spec), weight_bits=4) for spec in (PART, macro(subtraction="analog")))
    assert sheet["lossless_adc_bits"] == 8
    assert sheet["silicon_energy_j"]["cell"] == pytest.approx(2 * analog["silicon_energy_j"]["cell"])
    assert sheet["mvm"]["n"] == 64


def test_digits_of_weights_by_hand():
    """Weights 3 and -2: slice 0 is 1 in the plus column of one, slice 1 in the plus of one and in the minus of the other."""
    digits = weight_digits(PART, Histogram.from_counts([-2, 3], [0.5, 0.5]), 3)
    assert digits.units.tolist() == [1, -1, 2, -2]
    assert digits.mean.tolist() == [0.5, 0, 0.5, 0.5]
    assert digits.mean @ digits.units == pytest.approx(0.5)


@pytest.mark.skipif(JIT_OFF, reason="thousands of outputs of the functional macro take minutes in plain Python")
@pytest.mark.parametrize(("n_bits", "kind", "cell"), [
    (3, "granular", {}), (4, "full", {}), (2, "granular", {}), (6, "granular", {"programming_sigma": 0.05}),
    (6, "granular", {"read_sigma": 0.1}), (7, "full", {"stuck_on": 0.01}),
])  # fmt: skip
def test_the_closed_form_meets_the_macro_that_computes(n_bits, kind, cell):
    spec = macro(64, n_bits, kind, cell=PART.cell.model_copy(update=cell))
    rng = np.random.default_rng(3)
    inputs, weights = Histogram.from_counts(np.arange(256), np.r_[200.0, np.ones(255)]), Histogram.uniform(-7, 7)
    errors = []
    for _ in range(3):
        w, x = rng.integers(-7, 8, (200, 24)), rng.choice(inputs.values, p=inputs.probabilities, size=(64, 200))
        array = ProgrammedArray.program(spec, w, 4, rng)
        errors.append(np.mean((array.multiply(x, 8, rng) - x @ w) ** 2))
    expected = output_error(spec, 200, 4, 8, inputs=inputs, weights=weights)
    assert 10 * np.log10(expected.total[0] / np.mean(errors)) == pytest.approx(0, abs=1.5)


def test_cells_that_are_on_can_err_in_proportion_to_their_level():
    """`normal_proportional` at `programming` s multiplies each ON cell by 1 + s z and leaves the others at 0."""
    w = np.full((400, 20), 5)
    array = ProgrammedArray.program(
        PART, w, 4, np.random.default_rng(0), perturb=load_noise("normal_proportional", programming=0.1).perturb()
    )
    on = array.levels[:, [0, 4]]
    assert (array.levels[:, [1, 2, 3, 5]] == 0).all()
    assert on.mean() == pytest.approx(1, abs=0.003)
    assert on.std() == pytest.approx(0.1, rel=0.03)

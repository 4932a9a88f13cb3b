"""Histograms, number encodings and slices, by hand and against enumeration of every value."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.catalog import resolve_part
from hw_models.cim import physics
from hw_models.cim import statistics as s
from hw_models.cim.spec import CimMacroSpec
from hw_models.cim.statistics import Histogram
from workloads.errors import SpecError, WorkloadError

SIGNED = ("offset", "twos_complement", "differential", "magnitude", "xnor", "zero_gated")


def macro(name, **change):
    data = resolve_part(f"cim_macro/{name}").data | change
    data.pop("kind")
    return CimMacroSpec.model_validate(data)


# --- histograms -------------------------------------------------------------------------------------------------


def test_a_histogram_counts_a_tensor():
    h = Histogram.from_array(np.array([[3, 0, 0], [-1, 3, 0]]))
    assert h.values.tolist() == [-1, 0, 3]
    assert h.probabilities.tolist() == pytest.approx([1 / 6, 3 / 6, 2 / 6])
    assert h.mean == pytest.approx(5 / 6)
    assert h.mean_square == pytest.approx(19 / 6)


def test_counts_may_come_in_any_order_with_equal_values_in_them():
    h = Histogram.from_counts([5, 2, 5], [1, 2, 1])
    assert h.values.tolist() == [2, 5]
    assert h.probabilities.tolist() == [0.5, 0.5]


def test_families_have_the_moments_of_their_distribution():
    gauss, half = Histogram.gaussian(8, 20.0), Histogram.relu_half_gaussian(8, 40.0)
    assert gauss.mean == pytest.approx(0, abs=1e-12)
    assert gauss.mean_square == pytest.approx(400, rel=0.001)  # + 1/12 of rounding
    assert half.mean == pytest.approx(40 / np.sqrt(2 * np.pi), rel=0.001)
    assert half.probabilities[0] == pytest.approx(0.5 + 0.5 * 0.009973, rel=1e-3)  # half of them below 0, and those that round to it
    uniform = Histogram.uniform(-2, 1)
    assert (uniform.mean, uniform.mean_square) == (-0.5, 1.5)


def test_zeros_dilute_and_add_up():
    h = Histogram.uniform(0, 3).with_zeros(0.2)
    assert h.probabilities.tolist() == pytest.approx([0.4, 0.2, 0.2, 0.2])
    assert Histogram.uniform(1, 2).with_zeros(1.0).mean == 0


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"), [(7, 3, 1, 1), (224, 7, 2, 3), (14, 3, 2, 1), (56, 1, 2, 0), (5, 3, 1, 0)]
)
def test_padding_is_counted_pixel_by_pixel(size, kernel, stride, padding):
    image = np.pad(np.ones((size, size)), padding)
    windows = np.lib.stride_tricks.sliding_window_view(image, (kernel, kernel))[::stride, ::stride]
    assert s.padding_share(size, kernel, stride, padding) == pytest.approx(1 - windows.mean())


def test_a_seventh_of_a_small_map_is_padding():
    # 3 x 3 over 7 pixels padded by 1: of 21 taps in a line 2 lie outside.
    assert s.padding_share(7, 3, 1, 1) == pytest.approx(1 - (19 / 21) ** 2)


# --- encodings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "codes", "bits"),
    [
        ("offset", [[5, 8, 10]], 4),
        ("twos_complement", [[13, 0, 2]], 4),
        ("differential", [[0, 0, 2], [3, 0, 0]], 3),
        ("magnitude", [[3, 0, 2]], 3),
        ("xnor", [[10, 16, 20], [21, 15, 11]], 5),
        ("zero_gated", [[10, 0, 20], [21, 0, 11]], 5),
    ],
)
def test_minus_3_and_0_and_2_in_4_bits(encoding, codes, bits):
    found, n_bits = s.encode_values([-3, 0, 2], encoding, 4)
    assert found.tolist() == codes
    assert n_bits == bits


def test_every_encoding_says_the_value():
    x = np.arange(-7, 8)

    def codes(name):
        return s.encode_values(x, name, 4)[0]

    assert (codes("offset")[0] - 8 == x).all()
    assert ((codes("twos_complement")[0] ^ 8) - 8 == x).all()
    assert (codes("differential")[0] - codes("differential")[1] == x).all()
    assert (codes("magnitude")[0] * np.sign(x) == x).all()
    weights = np.array([1, 1, 2, 4, 8])  # the last two bits weigh the same, so that 0 can be said
    for name in ("xnor", "zero_gated"):
        plus, minus = ((codes(name)[part][:, None] >> np.arange(5)) & 1 for part in (0, 1))
        assert ((plus - minus) @ weights == 2 * x).all()


def test_one_of_two_xnor_devices_is_always_on_and_none_of_gated_zeros():
    h = Histogram.gaussian(4, 2.0)
    p_zero = h.probabilities[h.values == 0][0]
    for encoding, on in (("xnor", 1.0), ("zero_gated", 1 - p_zero)):
        parts = s.encode(h, encoding, 4).parts
        means = [[one.mean_level for one in s.slices(part, 5, 1)] for part in parts]
        assert np.sum(means, axis=0) == pytest.approx(on)


def test_two_devices_share_a_signed_value_so_each_holds_half_of_its_magnitude():
    h = Histogram.gaussian(8, 30.0)
    plus, minus = s.encode(h, "differential", 8).parts
    (whole,) = s.encode(h, "magnitude", 8).parts
    assert plus.mean == pytest.approx(minus.mean)
    assert plus.mean + minus.mean == pytest.approx(whole.mean)


@given(st.sampled_from(SIGNED), st.lists(st.integers(-31, 31), min_size=1, max_size=30), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_slices_of_a_histogram_are_those_of_its_values(encoding, values, width):
    codes, n_bits = s.encode_values(values, encoding, 6)
    found = s.encode(Histogram.from_array(values), encoding, 6)
    assert found.n_bits == n_bits
    for part, row in zip(found.parts, codes, strict=True):
        for i, one in enumerate(s.slices(part, n_bits, width)):
            level = np.array([(int(code) // 2 ** (i * width)) % 2**width for code in row]) / (2**width - 1)
            assert one.mean_level == pytest.approx(level.mean())
            assert one.mean_square == pytest.approx((level**2).mean())
            assert one.p_nonzero == pytest.approx((level > 0).mean())
            assert one.p_toggle == pytest.approx((level[:, None] != level[None, :]).mean())


def test_a_slice_that_fills_its_cell_in_part_uses_part_of_the_range():
    low, high = s.slices(Histogram.uniform(0, 7), 3, 2)
    assert low.mean_level == pytest.approx(0.5)
    assert high.mean_level == pytest.approx(0.5 / 3)  # one bit of a cell of two
    assert high.mean_square == pytest.approx(0.5 / 9)
    assert (low.p_toggle, high.p_toggle) == (0.75, 0.5)


# --- what a macro sees ------------------------------------------------------------------------------------------


def test_uniform_bits_are_half_ones_and_toggle_half_the_time():
    found = s.macro_statistics(macro("sram_charge_22nm_256x256"), Histogram.uniform(0, 255), Histogram.uniform(-128, 127))
    assert (found.n_passes, found.n_slices) == (8, 8)
    assert found.input_level == pytest.approx(0.5)
    assert found.input_square == pytest.approx(0.5)
    assert found.stored_level == pytest.approx(0.5)
    assert found.product_level == pytest.approx(0.25)


def test_differential_slices_by_hand():
    # Weights +-1 in 8 bits: 7 bits in cells of 2: 4 slices, the lowest at 1/3 in one of two devices.
    found = s.macro_statistics(macro("reram_22nm_256x256"), Histogram.uniform(1, 1), Histogram.from_array([-1, 1]))
    assert found.n_slices == 4
    assert found.stored_level == pytest.approx(1 / 3 / 4 / 2)
    assert found.weight_level == pytest.approx(1 / 3 / 4)
    assert found.input_level == pytest.approx(1 / 8)


def test_statistics_replace_the_assumed_densities_of_a_macro():
    for name in ("sram_charge_22nm_256x256", "reram_22nm_256x256", "digital_22nm_256x256", "neurram_130nm"):
        spec = macro(name)
        found = s.macro_statistics(spec, Histogram.relu_half_gaussian(8, 60.0), Histogram.gaussian(8, 30.0))
        known = s.with_statistics(spec, found)
        assert known.input_density == found.input_level
        assert physics.stored_density(known) == pytest.approx(found.stored_level)


def test_weights_in_twos_complement_have_ones_above_where_they_are_negative():
    spec = macro("digital_22nm_256x256")
    assert s.weight_encoding_of(spec) == "twos_complement"
    assert s.macro_statistics(spec, Histogram.uniform(1, 1), Histogram.uniform(-1, -1)).stored_level == 1
    assert s.macro_statistics(spec, Histogram.uniform(1, 1), Histogram.uniform(1, 1)).stored_level == 1 / 8
    # 6 bits fill a readout of 4 columns and half of another; the rest holds 0.
    assert s.macro_statistics(spec, Histogram.uniform(1, 1), Histogram.uniform(-1, -1), weight_bits=6).stored_level == 6 / 8


def test_a_phase_without_a_part_is_silent():
    spec = macro("sram_charge_22nm_256x256", input_phases=2)
    signed = s.macro_statistics(spec, Histogram.uniform(-3, 3), Histogram.uniform(0, 0), input_encoding="differential")
    unsigned = s.macro_statistics(spec, Histogram.uniform(0, 255), Histogram.uniform(0, 0))
    assert signed.n_passes == unsigned.n_passes == 16
    assert unsigned.input_level == pytest.approx(0.25)
    # bits 0 and 1 of 1, 2, 3 in either phase: 4 ones in 7 values, in each of two phases of 8 passes
    assert signed.input_level == pytest.approx(2 * 4 / 7 / 16)


def test_passes_without_a_driven_row_need_no_conversion():
    spec = macro("sram_charge_22nm_256x256")
    found = s.macro_statistics(spec, Histogram.from_counts([0, 1], [3, 1]), Histogram.uniform(0, 0))
    assert found.conversion_share(1) == pytest.approx(1 / 4 / 8)
    assert found.conversion_share(2) == pytest.approx((1 - 9 / 16) / 8)
    assert found.input_nonzero == pytest.approx(1 / 32)
    assert s.macro_statistics(spec, Histogram.uniform(255, 255), Histogram.uniform(0, 0)).conversion_share(1) == 1


def test_a_voltage_of_several_bits_has_a_mean_square_below_its_mean():
    data = {"input_bits_per_pass": 4, "dac": resolve_part("converter/row_dac_28nm").data}
    found = s.macro_statistics(macro("reram_22nm_256x256", **data), Histogram.uniform(0, 255), Histogram.uniform(0, 0))
    assert found.n_passes == 2
    assert found.input_level == pytest.approx(0.5)
    assert found.input_square == pytest.approx(sum(k * k for k in range(16)) / 16 / 225)


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Histogram.from_array([0.5]), "quantize the tensor first"),
        (lambda: Histogram.from_array([]), "nothing to count"),
        (lambda: Histogram.from_counts([1, 2], [1]), "nothing to count"),
        (lambda: Histogram.from_counts([1, 2], [2, -1]), "0 or more"),
        (lambda: Histogram(np.array([2, 1]), np.array([0.5, 0.5])), "must increase"),
        (lambda: Histogram(np.array([1, 2]), np.array([0.5, 0.6])), "add up to 1.1"),
        (lambda: Histogram(np.array([1]), np.array([0.5, 0.5])), "one probability to each value"),
        (lambda: Histogram.gaussian(8, 0.0), "sigma above 0"),
        (lambda: Histogram.uniform(3, 2), "nothing to count"),
        (lambda: Histogram.uniform(0, 1).with_zeros(1.5), "not between 0 and 1"),
        (lambda: s.padding_share(2, 5, 1, 0), "does not fit"),
        (lambda: s.encode_values([-1], "unsigned", 8), "0 to 255"),
        (lambda: s.encode_values([128], "offset", 8), "-128 to 127"),
        (lambda: s.encode_values([-128], "differential", 8), "-127 to 127"),
        (lambda: s.encode_values([0], "offest", 8), "did you mean 'offset'"),
        (lambda: s.slices(Histogram.uniform(0, 8), 3, 1), "no numbers of 3 bits"),
    ],
)
def test_what_no_tensor_holds_is_refused(make, message):
    with pytest.raises(WorkloadError, match=re.escape(message)):
        make()


def test_encodings_that_the_macro_has_no_devices_or_phases_for_are_refused():
    spec, one = macro("sram_charge_22nm_256x256"), Histogram.uniform(-1, 1)
    with pytest.raises(SpecError, match="2 phases and the macro has input_phases 1"):
        s.macro_statistics(spec, one, one, input_encoding="differential")
    with pytest.raises(SpecError, match="2 devices a slice"):
        s.macro_statistics(spec, Histogram.uniform(0, 1), one, weight_encoding="xnor")
    with pytest.raises(SpecError, match="bits_per_slice"):
        s.slice_codes([1], 4, 0)

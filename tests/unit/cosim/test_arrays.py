"""The exact path: whole numbers through the arrays of a part, each cause with its switch."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from cosim.training.arrays import OnArrays, array_causes, model_of, without
from cosim.training.deploy import causes_of, deploy, quantized
from cosim.training.engines import Digital
from cosim.training.hardware import CAUSES, Hardware
from cosim.training.network import Network, Steps
from cosim.training.samples import thinned
from hw_models.catalog import resolve_part
from hw_models.cim.noise import load_noise
from hw_models.cim.spec import CimMacroSpec
from workloads.errors import SimulationError
from workloads.program import Node, Program
from workloads.program_builder import ProgramBuilder

JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}
slow_without_jit = pytest.mark.skipif(JIT_OFF, reason="many vectors")
YEAR_S = 365.25 * 86400


def perceptron(*widths):
    b = ProgramBuilder("p", (widths[0],), np.random.default_rng(1))
    x = b.input
    for n in widths[1:-1]:
        x = b.relu(b.linear(x, n))
    return Network(b.build(b.linear(x, widths[-1])))


X = np.random.default_rng(0).random((4, 6), dtype=np.float32)
FLOAT = perceptron(6, 5, 3)
WHOLE = quantized(FLOAT, 3, 2, X)


def part(name="ref_bitserial", cell=None, adc=None, **changes):
    data = {key: value for key, value in resolve_part(f"cim_macro/{name}").data.items() if key != "kind"}
    nested = {"cell": {**data["cell"], **(cell or {})}}
    if data.get("adc"):
        nested["adc"] = {**data["adc"], **(adc or {})}
    return CimMacroSpec.model_validate(data | nested | changes)


def outputs(hardware, network=WHOLE, seed=0, rng=0, samples=X):
    return OnArrays(network, hardware, seed, samples).outputs(X, np.random.default_rng(rng))


def digital(network=WHOLE, off=()):
    return Digital(network, frozenset(off)).outputs(X, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["ref_bitserial", "sram_charge_22nm_256x256", "reram_22nm_256x256", "neurram_130nm"])
@pytest.mark.parametrize("kind", ["granular", "calibrated"])
def test_full_adc_resolution_equals_the_integer_network_bit_for_bit(name, kind):
    spec = part(name)
    lossless = part(name, adc={"n_bits": min(16, spec.lossless_adc_bits), "range": kind})
    np.testing.assert_array_equal(outputs(Hardware("h", lossless)), digital())


def test_adder_trees_equal_the_integer_network_bit_for_bit():
    hardware = Hardware("h", part("digital_22nm_256x256"))
    np.testing.assert_array_equal(outputs(hardware), digital())
    assert array_causes(hardware) == ()


def test_signed_inputs_and_convolutions_of_groups_go_through_arrays():
    b = ProgramBuilder("c", (2, 3, 3), np.random.default_rng(2))
    network = Network(b.build(b.conv(b.relu(b.conv(b.input, 4, 2, groups=2)), 2, 1)))
    x = np.random.default_rng(3).standard_normal((1, 2, 3, 3)).astype(np.float32)
    whole = quantized(network, 3, 3, x)
    assert [whole.steps_of(layer).signed for layer in whole.program.layers] == [True, False]
    assert whole.program.layers[0].groups == 2
    spec = part("sram_charge_22nm_256x256", adc={"n_bits": 12, "range": "granular"})
    chip = OnArrays(whole, Hardware("h", spec), 0, x)
    np.testing.assert_array_equal(chip.outputs(x, np.random.default_rng(0)), Digital(whole).outputs(x, np.random.default_rng(0)))


def test_a_product_by_hand_with_a_clipping_converter():
    """Weights 1 in three rows, inputs 1: a sum of 3 is cut to 1 by one bit of granular range."""
    nodes = (Node("fc", "Gemm", ("x", "w"), ("y",), {"transB": 1}),)
    program = Program("p", "x", (3,), "y", nodes, {"w": np.array([[1, 1, 1], [1, -1, 0]], np.float32)})
    network = Network(program, weight_bits=2, activation_bits=1, steps={"fc": Steps(np.array([1.0, 0.5]), 2.0)})
    chip = OnArrays(network, Hardware("h", part(adc={"n_bits": 1})), 0)
    found = chip.outputs(np.array([[2, 2, 2], [2, 0, 0], [0, 0, 0]], np.float32), np.random.default_rng(0))
    np.testing.assert_array_equal(found, [[2.0, 0.0], [2.0, 1.0], [0.0, 0.0]])


def test_a_learned_step_is_that_of_the_network():
    spec = part(adc={"n_bits": 3})
    steps = {name: replace(one, adc=5.0) for name, one in WHOLE.steps.items()}
    chip = OnArrays(replace(WHOLE, steps=steps), Hardware("h", spec), 0)
    chip.outputs(X, np.random.default_rng(0))
    for ranges in chip.ranges.values():
        assert all(one is not None and set(one.step) == {5.0} and set(one.zero) == {0.0} for one in ranges)


def test_a_calibrated_range_loses_no_more_than_the_fixed_ones_and_needs_samples():
    def error(kind):
        return np.square(outputs(Hardware("h", part(adc={"n_bits": 3, "range": kind}))) - digital()).mean()

    assert error("calibrated") <= min(error("full"), error("granular"))
    with pytest.raises(SimulationError, match="needs training inputs"):
        OnArrays(WHOLE, Hardware("h", part(adc={"range": "calibrated"})), 0).outputs(X, np.random.default_rng(0))


def test_placed_ranges_can_be_given_to_another_chip():
    hardware = Hardware("h", part(cell={"programming_sigma": 0.1}, adc={"range": "calibrated"}))
    first = OnArrays(WHOLE, hardware, 0, X)
    first.outputs(X, np.random.default_rng(0))
    again = OnArrays(WHOLE, hardware, 0, None, first.ranges).outputs(X, np.random.default_rng(0))
    np.testing.assert_array_equal(again, first.outputs(X, np.random.default_rng(0)))


@pytest.mark.parametrize("kind", ["full", "granular"])
def test_a_converter_without_either_cause_is_none(kind):
    spec = part(adc={"n_bits": 1, "range": kind})
    whole = digital()
    off = Hardware("h", spec, off=frozenset({"adc_resolution", "adc_clipping"}))
    assert causes_of(WHOLE, off) == ("weight_bits", "dac")
    fine = OnArrays(WHOLE, off, 0).outputs(X, np.random.default_rng(0))
    assert np.abs(fine - whole).max() < 2e-3 * np.abs(whole).max()
    full_clips, granular_rounds = (
        np.abs(outputs(Hardware("h", spec, off=frozenset({cause}))) - whole).max() for cause in ("adc_resolution", "adc_clipping")
    )
    assert (full_clips < 2e-3 * np.abs(whole).max()) == (kind == "full")
    assert (granular_rounds == 0) == (kind == "granular")


def test_rounding_that_is_off_is_put_right_digitally():
    """A lossless converter and no rounding: what is left of whole numbers is the float network."""
    spec = part(adc={"n_bits": 8, "range": "granular"})
    off = Hardware("h", spec, off=frozenset({"weight_bits", "dac"}))
    np.testing.assert_allclose(outputs(off), digital(FLOAT), rtol=1e-4, atol=1e-5)
    one = Hardware("h", spec, off=frozenset({"weight_bits"}))
    np.testing.assert_allclose(outputs(one), digital(WHOLE, {"weight_bits"}), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("cause", "cell", "adc"),
    [
        ("cells", {"stuck_on": 0.3}, {}),
        ("cells", {}, {"gain_sigma": 0.1, "offset_lsb": 1.0}),
        ("programming", {"programming_sigma": 0.6}, {}),
        ("read", {"read_sigma": 0.1}, {}),
        ("read", {}, {"noise_lsb": 1.0}),
    ],
)
def test_a_cause_acts_alone_and_not_when_it_is_off(cause, cell, adc):
    spec = part(cell=cell, adc={"n_bits": 8, "range": "granular", **adc})
    hardware = Hardware("h", spec)
    assert array_causes(hardware) == (cause,)
    assert not np.array_equal(outputs(hardware), digital())
    np.testing.assert_array_equal(outputs(hardware.without([cause])), digital())
    assert OnArrays(WHOLE, hardware, 0).is_fresh == (cause == "read")


def test_wires_take_their_share_and_none_when_off():
    spec = part(
        "reram_22nm_256x256", cell={"wire_ohm": "2 kohm"}, adc={"range": "granular", "n_bits": 12}, rows=4, cols=16, rows_active=4, n_adcs=8
    )
    hardware = Hardware("h", spec)
    assert "ir_drop" in array_causes(hardware)
    assert not np.array_equal(outputs(hardware), digital())
    np.testing.assert_array_equal(outputs(hardware.without(["ir_drop"])), digital())


def test_read_noise_of_cells_is_drawn_each_pass_and_programming_once():
    hardware = Hardware("h", part("hermes_vlsi_2021_14nm", adc={"range": "granular", "n_bits": 16}), t_s=3600.0)
    assert isinstance(model_of(hardware), type(load_noise("hermes_pcm_2")))
    chip = OnArrays(WHOLE, hardware, 5, X)
    one, two, same = (chip.outputs(X, np.random.default_rng(k)) for k in (1, 2, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, two)
    quiet = OnArrays(WHOLE, hardware.without(["read"]), 5, X)
    np.testing.assert_array_equal(quiet.outputs(X, np.random.default_rng(1)), quiet.outputs(X, np.random.default_rng(2)))
    other = OnArrays(WHOLE, hardware.without(["read"]), 6, X)
    assert not np.array_equal(quiet.outputs(X, np.random.default_rng(1)), other.outputs(X, np.random.default_rng(1)))


@slow_without_jit
def test_compensation_multiplies_by_what_drift_took():
    """PCM pairs lose about half in a year; measured through the converters, the factor comes near the ideal one."""
    x = np.random.default_rng(0).random((24, 64), dtype=np.float32)
    network = quantized(perceptron(64, 16, 10), 4, 4, x)
    spec = part("reram_22nm_256x256", adc={"range": "granular", "n_bits": 14})
    hardware = Hardware("h", spec, load_noise("pcm_like"), t_s=YEAR_S)
    factors = OnArrays(network, hardware, 1, x).factors
    assert all(1.5 < factor < 2.6 for factor in factors.values())
    assert set(OnArrays(network, replace(hardware, compensation=False), 1, x).factors.values()) == {1.0}
    assert set(OnArrays(network, hardware.without(["drift"]), 1, x).factors.values()) == {1.0}

    def error(found):
        rng = np.random.default_rng(0)
        return np.square(OnArrays(network, found, 0, x).outputs(x, rng) - Digital(network).outputs(x, rng)).mean()

    assert error(hardware) < 0.5 * error(replace(hardware, compensation=False))


def test_all_causes_off_equals_the_float_network_exactly():
    hardware = Hardware("h", part("hermes_vlsi_2021_14nm"), t_s=YEAR_S)
    found = deploy(WHOLE, hardware.without(CAUSES), 0).outputs(X, np.random.default_rng(0))
    np.testing.assert_array_equal(found, digital(FLOAT))


def test_real_numbers_are_refused():
    with pytest.raises(SimulationError, match=r"layer .*: arrays take whole weights and inputs; give weight_bits and activation_bits"):
        OnArrays(FLOAT, Hardware("h", part()), 0)
    with pytest.raises(SimulationError, match="plain: has no arrays"):
        OnArrays(WHOLE, Hardware("plain"), 0).outputs(X, np.random.default_rng(0))


def test_a_spec_without_causes_keeps_the_rest():
    spec = part(cell={"programming_sigma": 0.1, "stuck_off": 0.1, "read_sigma": 0.2}, adc={"noise_lsb": 0.5, "gain_sigma": 0.1})
    assert without(spec, set()) == spec
    quiet = without(spec, set(CAUSES))
    assert (quiet.cell.programming_sigma, quiet.cell.stuck_off, quiet.cell.read_sigma) == (0.0, 0.0, 0.0)
    assert quiet.adc is not None
    assert (quiet.adc.noise_lsb, quiet.adc.gain_sigma, quiet.adc.n_bits) == (0.0, 0.0, spec.adc.n_bits if spec.adc else 0)


def test_thinned_vectors_are_spread_over_all():
    np.testing.assert_array_equal(thinned(np.arange(10), 4), [0, 3, 6, 9])
    np.testing.assert_array_equal(thinned(np.arange(3), 4), [0, 1, 2])
    assert len(thinned(np.arange(10), 0)) == 1

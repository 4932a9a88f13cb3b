"""Accuracy over chips and passes, and what takes it."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace

import numpy as np
import pytest

from cosim.training.accuracy import Score, Trial, as_inputs, measure, over_time, probabilities_of
from cosim.training.accuracy_causes import Loss, loss_by_cause, warnings_of
from cosim.training.deploy import causes_of, quantized
from cosim.training.hardware import CAUSES, Hardware
from cosim.training.network import Network
from hw_models.catalog import build_part_device, resolve_part
from hw_models.cim.noise import load_noise
from hw_models.cim.spec import CimMacroSpec
from workloads.errors import SimulationError, WorkloadError
from workloads.program import Node, Program

JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}
slow_without_jit = pytest.mark.skipif(JIT_OFF, reason="many vectors through arrays")
YEAR_S = 365.25 * 86400
RNG = np.random.default_rng(0)
CENTERS = RNG.random((4, 8))
LABELS = np.tile(np.arange(4), 15)
RAW = (CENTERS[LABELS] + 0.15 * RNG.standard_normal((60, 8))).clip(0, 1).astype(np.float32)


def nearest_center():
    """The classifier of least distance: 2 x c - c^2 for each center c."""
    weights = {"w": (2 * CENTERS).astype(np.float32), "b": -(CENTERS**2).sum(axis=1).astype(np.float32)}
    return Network(Program("centers", "x", (8,), "y", (Node("fc", "Gemm", ("x", "w", "b"), ("y",), {"transB": 1}),), weights))


FLOAT = nearest_center()
WHOLE = quantized(FLOAT, 3, 3, RAW)


def macro(n_bits=2, kind="full"):
    data = {key: value for key, value in resolve_part("cim_macro/ref_bitserial").data.items() if key != "kind"}
    return CimMacroSpec.model_validate(data | {"adc": {**data["adc"], "n_bits": n_bits, "range": kind}})


def trial(hardware, network=FLOAT, **more):
    return Trial(network, RAW, LABELS, hardware, RAW, **more)


def test_a_score_is_the_mean_and_the_spread_over_seeds():
    assert Score((90.0, 94.0)).as_dict() == {"mean": 92.0, "std": pytest.approx(8**0.5), "per_seed": [90.0, 94.0]}
    assert Score((90.0,)).std == 0.0


def test_without_hardware_float_control_and_chip_are_one():
    result = measure(trial(Hardware("ideal")))
    assert result.accuracy == result.control == result.float_score
    assert result.accuracy.mean > 80
    assert result.trial.n_reads == 2  # float network and chip; the control is the float network
    (rest,) = loss_by_cause(result)
    assert (rest.cause, rest.points) == ("interaction", 0.0)


def test_the_control_is_the_rounded_network_and_all_causes_off_the_float_one():
    hardware = Hardware("h", macro())
    whole = measure(trial(Hardware("digital"), WHOLE))
    assert whole.accuracy == whole.control
    off = measure(trial(hardware.without(CAUSES), WHOLE))
    assert off.accuracy == off.float_score
    only_rounded = measure(trial(hardware.without(set(CAUSES) - {"weight_bits", "dac"}), WHOLE))
    assert only_rounded.accuracy == only_rounded.control


@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize(
    ("network", "hardware"),
    [
        (FLOAT, Hardware("g", sigma=0.5)),
        (WHOLE, Hardware("pcm", noise=load_noise("pcm_like"), t_s=YEAR_S)),
        pytest.param(WHOLE, Hardware("adc", macro(2, "full")), marks=slow_without_jit),
    ],
    ids=["sigma", "pcm", "arrays"],
)
def test_causes_sum_to_the_drop(network, hardware, passes):
    result = measure(trial(hardware, network, seeds=(0, 1), n_draws=2, passes=passes))
    losses = loss_by_cause(result)
    drop = result.float_score.mean - result.accuracy.mean
    assert sum(loss.points for loss in losses) == pytest.approx(drop, abs=1e-9)
    names = [loss.cause for loss in losses]
    assert names[: -1 if passes == 1 else -2] == list(causes_of(network, hardware))
    assert ("ensemble" in names) == (passes > 1)


def test_the_same_seeds_give_the_same_numbers_and_others_others():
    hardware = Hardware("g", sigma=0.5)
    one, two, other = (measure(trial(hardware, seeds=seeds)) for seeds in ((1, 2), (1, 2), (3, 4)))
    np.testing.assert_array_equal(one.probabilities, two.probabilities)
    assert not np.array_equal(one.probabilities, other.probabilities)


def test_programming_is_shared_by_the_passes_of_a_chip_and_redrawn_is_not():
    result = measure(trial(Hardware("g", sigma=0.5), passes=3))
    for k in (1, 2):
        np.testing.assert_array_equal(result.probabilities[:, :, k], result.probabilities[:, :, 0])
    assert result.redrawn is not None
    assert not np.array_equal(result.redrawn[:, :, 1], result.redrawn[:, :, 0])
    assert result.probabilities.shape == (3, 8, 3, 60, 4)
    assert result.redrawn_score is not None
    assert result.redrawn_score.mean > result.single.mean  # an ensemble of three chips beats one
    assert measure(trial(Hardware("g", sigma=0.5), passes=3), redraw=False).redrawn is None


def test_draws_are_eight_without_arrays_one_on_them_and_one_without_chance():
    assert trial(Hardware("g", sigma=0.1)).draws == 8
    assert trial(Hardware("g", sigma=0.1), n_draws=3).draws == 3
    assert trial(Hardware("h", macro()), WHOLE).draws == 1
    assert not trial(Hardware("h", macro()), WHOLE).is_chance
    assert trial(Hardware("h", macro()), WHOLE, path="surrogate").is_chance


def test_more_noise_does_not_help():
    """Accuracy falls with sigma beyond what chips differ by."""
    means = [measure(trial(Hardware("g", sigma=sigma))).accuracy.mean for sigma in (0.0, 0.3, 1.0, 4.0)]
    assert all(later <= earlier + 1.0 for earlier, later in itertools.pairwise(means))
    assert means[-1] < means[0] - 20


@slow_without_jit
def test_full_range_with_128_rows_and_4_bits_names_the_range():
    """Sums of 8 rows reach a few of 128: codes of 8.5 each leave nothing."""
    hardware = Hardware("ref_bitserial", macro(4, "full"))
    one = trial(hardware, WHOLE)
    (warning,) = warnings_of(one, loss_by_cause(measure(one)))
    assert warning["parameter"] == "adc.range: full with 4 bits on 128 rows"
    assert warning["cause"] == "adc_resolution"
    assert warning["loss_points"] > 10
    assert "calibrated" in warning["advice"]
    fine = trial(Hardware("fine", macro(8, "granular")), WHOLE)
    assert warnings_of(fine, loss_by_cause(measure(fine))) == []


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_a_parameter_and_a_way_out(cause):
    plain = (Hardware("pcm", noise=load_noise("pcm_like")), Hardware("g", sigma=0.1))
    for hardware in (Hardware("h", macro()), *(() if cause.startswith("adc") else plain)):
        (found,) = warnings_of(trial(hardware, WHOLE), (Loss(cause, 5.0, 0.1),))
        assert found["parameter"]
        assert found["advice"]
    assert warnings_of(trial(Hardware("h", macro()), WHOLE), (Loss(cause, 5.0, 4.0), Loss(cause, 0.5, 0.0))) == []


def test_what_the_range_is_decides_the_advice():
    def parameter(kind, cause, network=WHOLE):
        return warnings_of(trial(Hardware("h", macro(2, kind)), network), (Loss(cause, 5.0, 0.1),))[0]["parameter"]

    assert parameter("granular", "adc_clipping") == "adc.range: granular with 2 bits on 128 rows"
    assert parameter("calibrated", "adc_clipping") == "adc.n_bits: 2 with range calibrated on 128 rows"
    learned = replace(WHOLE, steps={"fc": replace(WHOLE.steps["fc"], adc=2.0)})
    assert parameter("full", "adc_resolution", learned) == "adc.n_bits: 2 with range learned on 128 rows"


def test_over_time_every_row_is_a_time_of_the_same_chips():
    rows = over_time(trial(Hardware("pcm", noise=load_noise("pcm_like"), t_s=YEAR_S), n_draws=2), (None, 1.0, YEAR_S))
    assert [row["time_s"] for row in rows] == [None, 1.0, YEAR_S]
    assert rows[0]["compensated"] == rows[0]["uncompensated"]
    assert rows[2]["compensated"] != rows[2]["uncompensated"]


def test_outputs_that_are_probabilities_are_left_so():
    p = np.array([[0.25, 0.75], [1.0, 0.0]])
    np.testing.assert_array_equal(probabilities_of(p), p)
    np.testing.assert_allclose(probabilities_of(np.array([[0.0, np.log(3.0)]])), [[0.25, 0.75]])


def test_raw_inputs_are_scaled_and_shaped():
    network = replace(FLOAT, scaling=(2.0, 0.5, 0.25))
    np.testing.assert_allclose(as_inputs(network, np.full((3, 2, 4), 2.0)), np.full((3, 8), 2.0))
    with pytest.raises(WorkloadError, match=r"data of shape \[9\] does not fit centers, which takes \[8\]"):
        as_inputs(network, np.zeros((3, 9)))


def test_bad_questions_are_refused():
    for seeds in ((), (-1,), (1, 1)):
        with pytest.raises(SimulationError, match="give different whole numbers of 0 or more"):
            trial(Hardware("h"), seeds=seeds)
    for counts in ({"passes": 0}, {"n_draws": 0}):
        with pytest.raises(SimulationError, match="choose 1 or more"):
            trial(Hardware("h"), **counts)
    with pytest.raises(WorkloadError, match="60 inputs and 59 labels"):
        Trial(FLOAT, RAW, LABELS[1:], Hardware("h"))
    with pytest.raises(WorkloadError, match="do not tell labels 0 to 7 apart"):
        measure(Trial(FLOAT, RAW, LABELS + (LABELS == 3) * 4, Hardware("h")))


def test_steps_that_a_network_has_stay_and_missing_ones_are_found():
    assert quantized(WHOLE, 8, 8, RAW).weight_bits == 3
    np.testing.assert_array_equal(quantized(WHOLE, 8, 8, RAW).steps["fc"].weight, WHOLE.steps["fc"].weight)
    only_weights = quantized(FLOAT, 3, None, RAW)
    assert (only_weights.steps["fc"].input, only_weights.activation_bits) == (None, None)
    assert causes_of(only_weights, Hardware("h")) == ("weight_bits",)
    reach = WHOLE.steps["fc"].input * 7
    assert reach == pytest.approx(np.quantile(RAW, 0.9995), rel=1e-5)


def test_a_part_of_the_catalog_serves_as_hardware():
    spec = build_part_device("cim_macro/hermes_vlsi_2021_14nm").spec
    assert causes_of(WHOLE, Hardware("hermes", spec, t_s=1.0)) == (
        "weight_bits", "programming", "read", "drift", "dac", "adc_resolution", "adc_clipping"
    )  # fmt: skip

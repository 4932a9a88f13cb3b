"""What `cosim accuracy` asks and answers: bits, scaling, times and steps of a question; losses, fallback and notes of an answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosim.training.accuracy import AccuracyResult
from cosim.training.accuracy_causes import Loss
from cosim.training.accuracy_energy import Joules
from cosim.training.adaround import adaround
from cosim.training.assess import TIMES_S, Answer, Question, assess, split_sizes
from cosim.training.data import Dataset, Scale
from cosim.training.hardware import CAUSES, Hardware
from cosim.training.hardware_choice import Chosen
from cosim.training.network import Network
from hw_models.catalog import build_part_device
from hw_models.cim.noise import load_noise
from workloads.errors import SimulationError, WorkloadError
from workloads.program import Node, Program

N = 30  # of each of two classes; the last five are test
LABELS = np.repeat(np.arange(2), N)
INPUTS = np.stack([LABELS, 1 - LABELS], axis=1).astype(np.float32) * 4 + np.linspace(0, 1, 2 * N, dtype=np.float32)[:, None]
IS_TEST = np.tile(np.arange(N) >= N - 5, 2)
DATA = Dataset("two", INPUTS, LABELS, 2, IS_TEST, Scale(4.0, 0.5, 0.25), 7)
W = np.array([[-1.0, 1.0], [1.0, -1.0]], dtype=np.float32)
REAL = Network(Program("fc", "x", (2,), "y", (Node("fc", "Gemm", ("x", "w"), ("y",), {"transB": 1}),), {"w": W}), (2.0, 0.0, 1.0))
MACRO = build_part_device("cim_macro/ref_bitserial").spec
PRICES = Joules(2.0, 8.0, "cpu")
IDEAL, NOISY = Hardware("ideal"), Hardware("g", sigma=0.3)
CELLS = Hardware("cells", noise=load_noise("pcm_like"))


def question(hardware=NOISY, network=REAL, **more):
    return Question("net.npz", network, DATA, "a chip", Chosen(hardware), **{"seeds": (0,), "n_draws": 2, **more})


@pytest.mark.parametrize(
    ("hardware", "asked", "found"),
    [
        (NOISY, (None, None), (None, None)),  # weights that meet noise stay real
        (NOISY, (4, None), (4, None)),
        (CELLS, (None, 3), (None, 3)),
        (IDEAL, (None, None), (8, 8)),  # digital units and arrays take whole numbers
        (Hardware("m", MACRO), (None, 6), (8, 6)),
        (Hardware("m", MACRO, CELLS.noise), (None, None), (8, 8)),
    ],
)
def test_bits_are_those_asked_for_or_eight_where_whole_numbers_are_needed(hardware, asked, found):
    network = question(hardware, weight_bits=asked[0], activation_bits=asked[1]).trial.network
    assert (network.weight_bits, network.activation_bits) == found
    assert (network.steps_of(network.program.layers[0]).weight is not None) == (found[0] is not None)


def test_rounding_that_is_learned_is_that_of_adaround_and_leaves_trained_bits_alone():
    found = question(weight_bits=2, rounding="adaround").trial.network
    wanted = adaround(REAL, REAL.scaled(INPUTS[~IS_TEST]), 2)
    layer = found.program.layers[0]
    np.testing.assert_array_equal(found.whole_matrix(layer), wanted.whole_matrix(layer))
    nearest = question(weight_bits=2).trial.network
    assert set(np.unique(nearest.whole_matrix(layer))) <= {-1, 0, 1}
    assert question(IDEAL, replace(REAL, weight_bits=4), rounding="adaround").trial.network.weight_bits == 4


def test_a_network_keeps_the_bits_it_was_trained_for():
    trained = replace(REAL, weight_bits=4, activation_bits=5)
    assert question(IDEAL, trained).trial.network.weight_bits == 4
    assert question(NOISY, trained, weight_bits=4).trial.network.activation_bits == 5
    for key, own in (("weight_bits", 4), ("activation_bits", 5)):
        with pytest.raises(SimulationError, match=rf"{key} 8: net\.npz was trained for {own}; leave the option out"):
            _ = question(NOISY, trained, **{key: 8}).trial


@pytest.mark.parametrize(
    ("inputs", "scaling"),
    [("network", (2.0, 0.0, 1.0)), ("raw", (1.0, 0.0, 1.0)), ("unit", (4.0, 0.0, 1.0)), ("standard", (4.0, 0.5, 0.25))],
)
def test_raw_values_are_scaled_as_asked(inputs, scaling):
    assert question(inputs=inputs).trial.network.scaling == scaling


def test_a_trial_is_on_test_inputs_and_places_steps_on_the_others():
    trial = question(n_draws=3, passes=2, path="surrogate").trial
    np.testing.assert_array_equal(trial.x, INPUTS[IS_TEST])
    np.testing.assert_array_equal(trial.samples, INPUTS[~IS_TEST])
    assert (trial.n_draws, trial.passes, trial.path, trial.n_reads) == (3, 2, "surrogate", 0)


def test_data_of_another_shape_are_refused():
    with pytest.raises(WorkloadError, match=r"fc takes inputs of shape \[2\]; two has \[3\]"):
        _ = replace(question(), dataset=replace(DATA, inputs=np.zeros((2 * N, 3), dtype=np.float32))).data


@pytest.mark.parametrize(
    ("hardware", "times_s"),
    [
        (CELLS, ()),
        (replace(CELLS, t_s=0.5), (0.5,)),
        (replace(CELLS, t_s=60.0), (1.0, 60.0)),
        (replace(CELLS, t_s=1e9), (*TIMES_S, 1e9)),
        (replace(NOISY, t_s=60.0), ()),  # nothing changes
        (Hardware("m", MACRO, t_s=60.0), ()),
        (Hardware("m", MACRO, CELLS.noise, t_s=2.0), (1.0, 2.0)),
    ],
)
def test_a_curve_has_the_marks_before_the_time_asked_for_and_that_one(hardware, times_s):
    assert question(hardware).times_s == times_s


@pytest.mark.parametrize(
    ("hardware", "more"),
    [(IDEAL, {}), (NOISY, {}), (NOISY, {"seeds": (0, 1), "passes": 2}), (replace(CELLS, t_s=60.0), {"n_draws": 1, "passes": 2})],
    ids=["ideal", "noise", "passes", "time"],
)
def test_as_many_steps_are_told_as_were_announced(hardware, more):
    asked, told = question(hardware, **more), []
    assess(asked, told.append)
    assert len(told) == asked.n_steps


@pytest.mark.parametrize("coverage", [0.0, -0.1, 1.01, float("nan")])
def test_a_coverage_is_a_share(coverage):
    with pytest.raises(SimulationError, match=f"coverage {coverage}: choose a share above 0, up to 1"):
        assess(question(coverage=coverage))


def test_sizes_of_a_split_are_those_of_its_seed():
    """Ten of 60 are test; a tenth of 25 of each class, rounded to even, is validation."""
    assert split_sizes(DATA) == {"seed": 7, "n_train": 46, "n_val": 4, "n_test": 10}


def answer(hardware=NOISY, probabilities=None, joules=PRICES, losses=(), control=None, **more):
    """Four test inputs of classes 0, 0, 1, 1 on two chips; the control tells the last one wrong."""
    labels = np.array([0, 0, 1, 1])
    asked = question(hardware, **more)
    trial = replace(asked.trial, x=INPUTS[:4], labels=labels)
    found = np.array(
        [[[[[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]]], [[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]]]]]
        if probabilities is None
        else probabilities
    )
    control = np.array([0, 0, 1, 0]) if control is None else control
    return Answer(asked, AccuracyResult(trial, found, None, labels, control), losses, joules, ())


def test_the_fallback_by_hand():
    """At 0.65 both chips send their second input, whose 0.6 is less sure, to the digital unit, which tells it right."""
    rows = {round(row["threshold"], 9): row for row in answer().fallback_rows()}
    assert rows[0.0] == {"threshold": 0.0, "share_sent": 0.0, "accuracy": 87.5, "energy_j": 2.0}
    assert rows[0.65] == {"threshold": 0.65, "share_sent": 0.25, "accuracy": 100.0, "energy_j": 2.0 + 8.0 / 4}
    assert rows[1.05] == {"threshold": 1.05, "share_sent": 1.0, "accuracy": 75.0, "energy_j": 10.0}


@pytest.mark.parametrize(
    ("hardware", "joules"),
    [(NOISY, Joules(2.0)), (NOISY, Joules(None, 8.0)), (IDEAL, Joules(8.0, 8.0, "cpu"))],
    ids=["alone", "free", "ideal"],
)
def test_there_is_no_fallback_without_two_prices_or_two_devices(hardware, joules):
    assert answer(hardware, joules=joules).fallback_rows() == []


def test_losses_of_causes_that_do_not_act_are_zero():
    found = answer(losses=(Loss("programming", 12.0, 1.0), Loss("interaction", 0.5, 1.0))).loss_points()
    assert list(found) == [*CAUSES, "interaction"]
    assert {cause: points for cause, points in found.items() if points} == {"programming": 12.0, "interaction": 0.5}


def test_drop_energy_and_headlines_by_hand():
    found = answer(passes=3)
    assert found.result.accuracy.mean == 87.5
    assert found.drop_points == 75.0 - 87.5
    assert found.energy_j == 6.0
    assert answer(joules=Joules(None)).energy_j is None
    summary = found.summary()
    assert (summary["energy_j"], summary["energy_digital_j"], summary["digital_unit"]) == (6.0, 8.0, "cpu")
    assert (summary["chip"], summary["noise"], summary["path"], summary["redrawn"]) == ("a chip", "g", "exact", None)
    assert summary["provenance"]["network_source"] == "net.npz"
    assert summary["provenance"]["split_seed"] == 7


def test_how_sure_it_is_is_the_mean_over_chips():
    """Half coverage keeps 0.9 and 0.8, both right on both chips; all of it 3 of 4 and 4 of 4."""
    assert answer(coverage=0.5).summary()["accuracy_at_coverage"] == 100.0
    assert answer(coverage=1.0).summary()["accuracy_at_coverage"] == 87.5


def test_notes_say_what_has_no_effect():
    assert answer().notes == []
    assert answer(joules=Joules(None, note="no energy: why")).notes == ["no energy: why"]
    assert answer(IDEAL).notes == ["a chip has no compute-in-memory arrays: all products run digitally"]
    (still,) = answer(replace(NOISY, t_s=60.0)).notes
    assert still == "cells of g do not change with time as far as their part says (cell.noise): --time has no effect"
    onnx = answer()
    for inputs, n in (("network", 1), ("unit", 0)):
        assert len(replace(onnx, question=replace(onnx.question, source="net.onnx", inputs=inputs)).notes) == n

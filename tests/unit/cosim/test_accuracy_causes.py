"""Points lost by cause: parts, interaction and standard errors by hand, on answers that are written down."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training.accuracy_causes import WARN_POINTS, Loss, loss_by_cause, warnings_of
from cosim.training.hardware import Hardware
from cosim.training.network import Network
from hw_models.catalog import build_part_device
from workloads.program import Program

REAL = Network(Program("empty", "x", (1,), "x", (), {}))
NOISY = Hardware("g", sigma=0.1)  # one cause acts: programming
MACRO = build_part_device("cim_macro/ref_bitserial").spec


class Trial:
    """Stands for a trial whose chips tell inputs right as written in `alone` [chip, n] when one cause acts."""

    def __init__(self, alone, passes=1, chance=True):
        self.network, self.hardware, self.passes, self.is_chance = REAL, NOISY, passes, chance
        self.alone, self.asked = alone, []

    def on(self, hardware):
        self.asked.append(hardware)
        return self

    def chips(self):
        return [(0, draw) for draw in range(len(self.alone))]

    def deployed(self, seed, draw):
        return draw

    def outputs(self, deployed, rng):
        return self.alone[deployed]

    def correct(self, outputs):
        return np.asarray(outputs, dtype=bool)


def result(trial, right_float, right, averaged=None):
    probabilities = None if averaged is None else np.asarray(averaged, dtype=float)[None, :, None]
    return SimpleNamespace(
        trial=trial, right_float=np.array(right_float, dtype=bool), right=np.array(right, dtype=bool), probabilities=probabilities
    )


def test_parts_interaction_and_errors_by_hand():
    """Two chips, four inputs that the float network tells right. Together 62.5 points are lost, by the one cause alone 37.5.

    Part by input: 0, 0, 1/2, 1, of variance 0.171875; by chip: 1/4, 1/2, of which the mean is off by 1/8.
    Interaction by input: 0, 1/2, 1/2, 0.
    """
    trial = Trial([[1, 1, 1, 0], [1, 1, 0, 0]])
    part, rest = loss_by_cause(result(trial, [1, 1, 1, 1], [[1, 1, 0, 0], [1, 0, 0, 0]]))
    assert (part.cause, part.points) == ("programming", pytest.approx(37.5))
    assert part.standard_error == pytest.approx(100 * (0.171875 / 4 + 1 / 64) ** 0.5)
    assert (rest.cause, rest.points) == ("interaction", pytest.approx(25.0))
    assert rest.standard_error == pytest.approx(100 * (1 / 64 + 2 / 64) ** 0.5)
    assert trial.asked == [NOISY.only("programming")]


def test_inputs_that_errors_put_right_count_against_the_loss():
    (part, rest) = loss_by_cause(result(Trial([[1, 0, 1, 1]]), [1, 1, 0, 0], [[1, 0, 1, 1]]))
    assert part.points == -25.0  # one lost, two won
    assert rest.points == 0.0


def test_one_chip_has_no_error_between_chips():
    """Changes 1, 0, 0, 0 of one chip: deviation sqrt(3) / 4 over sqrt(4)."""
    part, _ = loss_by_cause(result(Trial([[0, 1, 1, 1]]), [1, 1, 1, 1], [[0, 1, 1, 1]]))
    assert part.standard_error == pytest.approx(100 * 3**0.5 / 8)


def test_chips_that_do_not_differ_are_tried_once():
    trial = Trial([[1, 1], [1, 1], [1, 1]], chance=False)
    seen = []
    trial.deployed = lambda seed, draw: seen.append(draw) or draw
    loss_by_cause(result(trial, [1, 1], [[1, 0]]))
    assert seen == [0]


def test_what_averaging_wins_is_a_part_of_its_own():
    """One pass tells half right, the mean of both all: 50 points won, so that parts still sum to what the average loses, nothing."""
    losses = loss_by_cause(result(Trial([[1, 0]], passes=2), [1, 1], [[1, 0]], averaged=[[1, 1]]))
    assert [(loss.cause, loss.points) for loss in losses] == [("programming", 50.0), ("interaction", 0.0), ("ensemble", -50.0)]


def test_each_step_is_told_before_it_is_taken():
    told = []
    loss_by_cause(result(Trial([[1, 0]]), [1, 1], [[1, 0]]), told.append)
    assert told == ["programming alone"]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_parts_always_sum_to_the_drop(n_chips, n, seed):
    rng = np.random.default_rng(seed)
    alone, right, float_ = rng.integers(2, size=(n_chips, n)), rng.integers(2, size=(n_chips, n)), rng.integers(2, size=n)
    losses = loss_by_cause(result(Trial(alone.tolist()), float_, right))
    assert sum(loss.points for loss in losses) == pytest.approx(100 * (float_.mean() - right.mean()), abs=1e-9)
    assert all(loss.standard_error >= 0 for loss in losses)


def test_a_loss_is_resolved_beyond_two_standard_errors():
    assert Loss("read", 2.1, 1.0).is_resolved
    assert not Loss("read", 2.0, 1.0).is_resolved
    assert Loss("read", -2.1, 1.0).is_resolved
    assert Loss("read", 2.0, 1.0).as_dict() == {"points": 2.0, "standard_error": 1.0, "resolved": False}


def test_warnings_are_of_causes_that_take_a_point_or_more_the_worst_first():
    trial = SimpleNamespace(network=REAL, hardware=Hardware("m", MACRO))
    losses = (
        Loss("read", 3.0, 0.1),
        Loss("drift", 9.0, 5.0),  # within noise
        Loss("cells", WARN_POINTS, 0.1),
        Loss("programming", WARN_POINTS - 0.01, 0.1),
        Loss("dac", -4.0, 0.1),  # a gain
        Loss("ir_drop", 5.0, 0.1),
        Loss("interaction", 50.0, 0.1),
        Loss("ensemble", 50.0, 0.1),
    )
    assert [(one["cause"], one["loss_points"]) for one in warnings_of(trial, losses)] == [("ir_drop", 5.0), ("read", 3.0), ("cells", 1.0)]


@pytest.mark.parametrize(
    ("hardware", "cause", "parameter", "advice"),
    [
        (NOISY, "programming", "noise", "train with this noise"),
        (Hardware("m", MACRO), "programming", "cell.programming_sigma", "verify pulses"),
        (Hardware("m", MACRO), "read", "cell.read_sigma, adc.noise_lsb", "--passes"),
        (NOISY, "read", "noise", "--passes"),
        (Hardware("m", MACRO, compensation=False), "drift", "cell.programming_sigma", "switch compensation on"),
        (Hardware("m", MACRO), "drift", "cell.programming_sigma", "program again earlier"),
        (Hardware("m", MACRO), "weight_bits", "weight_bits", "cosim train"),
        (Hardware("m", MACRO), "dac", "activation_bits", "--activation-bits"),
    ],
)
def test_a_warning_names_the_parameter_and_the_way_out(hardware, cause, parameter, advice):
    (found,) = warnings_of(SimpleNamespace(network=REAL, hardware=hardware), (Loss(cause, 9.0, 0.1),))
    assert found["parameter"] == parameter
    assert advice in found["advice"]

"""Confidence of an ensemble: figures worked out by hand, and laws that hold for any probabilities."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training.uncertainty import Ensemble, fallback, softmax
from workloads.errors import SimulationError


def two_classes(confidences, right):
    """One pass over two classes: class 0 is predicted with each confidence, and is the label where `right` says so."""
    c = np.asarray(confidences, dtype=float)
    return Ensemble(np.stack([c, 1 - c], axis=1)[None], np.where(right, 0, 1))


BY_HAND = two_classes([0.95, 0.85, 0.75, 0.65], [True, True, False, True])


@st.composite
def ensembles(draw):
    """Any passes over any samples, coarse enough that confidences often are equal."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 30)), draw(st.integers(2, 5)))
    logits = np.round(rng.normal(scale=draw(st.floats(0.1, 4)), size=shape), draw(st.integers(0, 3)))
    return Ensemble.of_logits(logits, rng.integers(0, shape[2], shape[1]))


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_softmax_of_large_numbers_does_not_overflow():
    assert softmax([[1000.0, 1000.0 + math.log(3)]])[0] == pytest.approx([0.25, 0.75])


def test_the_mean_over_passes_decides():
    both = Ensemble(np.array([[[0.6, 0.4, 0.0]], [[0.1, 0.5, 0.4]]]), np.array([1]))
    assert both.mean[0] == pytest.approx([0.35, 0.45, 0.2])
    assert both.predictions.tolist() == [1]
    assert both.accuracy == 1
    assert both.groups(1)[0].accuracy == 0
    assert both.confidence == pytest.approx([0.45])


def test_accuracy_of_the_most_confident():
    assert BY_HAND.accuracy == 0.75
    assert [BY_HAND.accuracy_at_coverage(c) for c in (0.25, 0.5, 0.75, 1)] == pytest.approx([1, 1, 2 / 3, 3 / 4])
    assert BY_HAND.accuracy_at_coverage(0.51) == pytest.approx(2 / 3)  # half a sample more is one more
    assert BY_HAND.risk_coverage.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert BY_HAND.risk_coverage.risk == pytest.approx([0, 0, 1 / 3, 1 / 4])


def test_nine_tenths_of_450_are_405_samples():
    confident = two_classes(np.linspace(0.99, 0.51, 450), np.arange(450) < 405)
    assert confident.accuracy_at_coverage(0.9) == 1
    assert confident.accuracy_at_coverage(406 / 450) < 1


def test_equally_confident_samples_share_the_last_places():
    # The first is sure; of the two at 0.7 one is right: the second place is right in half of the orders.
    tied = two_classes([0.9, 0.7, 0.7], [True, True, False])
    assert tied.accuracy_at_coverage(2 / 3) == pytest.approx((1 + 0.5) / 2)


def test_calibration_error_by_hand():
    # Each sample is alone in its bin: |1 - .95|, |1 - .85|, |0 - .75|, |1 - .65|, a quarter each.
    assert BY_HAND.calibration_error() == pytest.approx((0.05 + 0.15 + 0.75 + 0.35) / 4)
    # One bin: accuracy .75 against the mean confidence .8.
    assert BY_HAND.calibration_error(1) == pytest.approx(0.05)


def test_bins_are_open_below_and_closed_above():
    edges = two_classes([0.5, 0.7, 0.7 + 1e-9, 1.0], [True] * 4)
    assert [one.n for one in edges.bins()] == [0, 0, 0, 0, 1, 0, 1, 1, 0, 1]
    empty = edges.bins()[0]
    assert math.isnan(empty.accuracy)
    assert (empty.low, empty.high) == (0.0, 0.1)


def test_abstention_and_the_threshold_of_a_coverage():
    assert BY_HAND.threshold_for(0.5) == 0.85
    assert BY_HAND.abstain(0.85)[1:] == (0.5, 1.0)
    assert BY_HAND.abstain(0.0)[1:] == (1.0, 0.75)
    nobody = BY_HAND.abstain(1.0)
    assert nobody.coverage == 0
    assert math.isnan(nobody.accuracy)


def test_mutual_information_by_hand():
    # Two sure passes that contradict each other disagree about ln 2; two that are torn alike about nothing.
    p = np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])
    assert Ensemble(p, np.array([0, 0])).mutual_information == pytest.approx([math.log(2), 0])


def test_fallback_by_hand():
    digital = np.where([True, True, True, False], BY_HAND.labels, 1 - BY_HAND.labels)
    table = fallback(BY_HAND, digital, analog_pass_j=1.0, digital_j=10.0, thresholds=[0.0, 0.7, 0.8, 2.0])
    # Sent: none; the fourth, which digital gets wrong; the third too, which it gets right; all.
    assert table.n_sent.tolist() == [0, 1, 2, 4]
    assert table.accuracy.tolist() == [0.75, 0.5, 0.75, 0.75]
    assert table.energy_j.tolist() == [4.0, 14.0, 24.0, 44.0]
    assert table.share_sent.tolist() == [0, 0.25, 0.5, 1]
    assert table.energy_per_sample_j.tolist() == [1.0, 3.5, 6.0, 11.0]


def test_each_pass_is_paid_for():
    four = Ensemble(np.repeat(BY_HAND.probabilities, 4, axis=0), BY_HAND.labels)
    assert fallback(four, four.labels, 2.0, 0.0, [0.0]).energy_j.tolist() == [4 * 4 * 2.0]


# --- laws --------------------------------------------------------------------------------------------------------------


@given(ensembles())
@settings(max_examples=60, deadline=None)
def test_risk_at_full_coverage_is_the_error_and_errors_stay_in_their_ranges(one):
    assert one.risk_coverage.risk[-1] == pytest.approx(1 - one.accuracy)
    assert one.accuracy_at_coverage(1) == pytest.approx(one.accuracy)
    assert 0 <= one.calibration_error() <= 1
    assert abs(one.accuracy - one.confidence.mean()) <= one.calibration_error() + 1e-12  # the triangle inequality
    assert sum(each.n for each in one.bins()) == one.n
    assert (one.mutual_information <= math.log(min(one.n_passes, one.mean.shape[1])) + 1e-9).all()


@given(ensembles(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_samples_and_of_passes_does_not_matter(one, random):
    rows, passes = list(range(one.n)), list(range(one.n_passes))
    random.shuffle(rows)
    other = Ensemble(one.probabilities[:, rows], one.labels[rows])
    assert np.allclose(other.risk_coverage.risk, one.risk_coverage.risk)
    assert other.calibration_error() == pytest.approx(one.calibration_error())
    random.shuffle(passes)
    assert np.allclose(Ensemble(one.probabilities[passes], one.labels).mean, one.mean)


@given(st.lists(st.tuples(st.sampled_from([0.6, 0.7, 0.8]), st.booleans()), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_ties_count_as_the_mean_over_all_orders(samples):
    one = two_classes(*zip(*samples, strict=True))
    orders = []
    for order in permutations(range(one.n)):
        ranked = sorted(order, key=lambda i: -samples[i][0])  # a stable sort keeps the order of equals
        orders.append(np.cumsum([not samples[i][1] for i in ranked]) / np.arange(1, one.n + 1))
    assert np.allclose(one.risk_coverage.risk, np.mean(orders, axis=0))


@given(ensembles(), st.floats(0.01, 1))
@settings(max_examples=60, deadline=None)
def test_the_threshold_of_a_coverage_answers_at_least_that_share_and_none_above_it_does(one, coverage):
    threshold = one.threshold_for(coverage)
    assert one.abstain(threshold).coverage >= coverage - 1e-9
    assert one.abstain(np.nextafter(threshold, 2)).coverage < coverage


@given(ensembles(), st.lists(st.floats(0, 1.5), min_size=1, max_size=20), st.floats(0, 1e-6), st.floats(0, 1e-6))
@settings(max_examples=60, deadline=None)
def test_more_is_sent_and_paid_for_at_a_higher_threshold(one, thresholds, pass_j, digital_j):
    digital = np.roll(one.labels, 1)
    table = fallback(one, digital, pass_j, digital_j, sorted(thresholds))
    assert (np.diff(table.n_sent) >= 0).all()
    assert (np.diff(table.energy_j) >= 0).all()
    for at, n_sent, accuracy in zip(table.threshold, table.n_sent, table.accuracy, strict=True):
        sent = one.confidence < at
        assert n_sent == sent.sum()
        assert accuracy == pytest.approx(np.where(sent, digital == one.labels, one.correct).mean())


@given(ensembles())
@settings(max_examples=30, deadline=None)
def test_the_whole_curve_goes_from_analog_alone_to_digital_alone(one):
    table = fallback(one, one.labels, 1e-9, 1e-8)
    assert (table.share_sent[0], table.share_sent[-1]) == (0, 1)
    assert (table.accuracy[0], table.accuracy[-1]) == (one.accuracy, 1)
    assert (np.diff(table.accuracy) >= 0).all()  # a digital network that is always right never makes it worse
    assert table.threshold.size == np.unique(one.confidence).size + 2


def test_groups_are_successive_passes():
    p = softmax(np.random.default_rng(0).normal(size=(5, 3, 2)))
    pairs = Ensemble(p, np.zeros(3, dtype=np.int64)).groups(2)
    assert [np.array_equal(pair.probabilities, p[i : i + 2]) for pair, i in zip(pairs, (0, 2), strict=True)] == [True, True]


@pytest.mark.parametrize(
    ("p", "labels", "words"),
    [
        (np.ones((2, 3)), [0, 0], "give \\[passes, n, classes\\]"),
        (np.full((1, 2, 2), 0.5), [0], "labels \\(1,\\)"),
        (np.zeros((1, 0, 2)), [], "give \\[passes"),
        (np.full((1, 2, 2), 0.5), [0, 2], "labels run from 0 to 2, the network has 2 classes"),
        (np.full((1, 1, 2), 0.7), [0], "use softmax on logits"),
        (np.array([[[1.5, -0.5]]]), [0], "use softmax on logits"),
        (np.full((1, 1, 2), np.nan), [0], "use softmax on logits"),
    ],
)
def test_what_is_no_ensemble_is_refused(p, labels, words):
    with pytest.raises(SimulationError, match=words):
        Ensemble(p, np.array(labels, dtype=np.int64))


def test_bad_requests_are_refused():
    for coverage in (0, 1.1, math.nan):
        with pytest.raises(SimulationError, match="is not in"):
            BY_HAND.accuracy_at_coverage(coverage)
    with pytest.raises(SimulationError, match="groups of 2 passes asked for, there are 1"):
        BY_HAND.groups(2)
    with pytest.raises(SimulationError, match="digital predictions for 4 samples"):
        fallback(BY_HAND, [0], 1.0, 1.0)
    with pytest.raises(SimulationError, match="give joules"):
        fallback(BY_HAND, BY_HAND.labels, -1.0, 1.0)

"""What a network that computes with noise knows about its own errors: several passes as an ensemble, and when to ask another device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workloads.errors import SimulationError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_BINS = 10  # of the calibration error, as Guo et al. plot it and as the anchors of this project count
_ROUNDING = 1e-9  # of shares times counts: 0.9 of 450 is 405, not 406


class Bin(NamedTuple):
    """Samples whose confidence lies in (low, high]: how many, their mean confidence, and the share of them that is right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


class Abstention(NamedTuple):
    """What is answered at a threshold: the share of samples, and how many of those are right (nan where none is answered)."""

    threshold: float
    coverage: float
    accuracy: float


class RiskCoverage(NamedTuple):
    """Share of wrong answers among the k most confident samples, k = 1 .. n, against k / n."""

    coverage: Floats
    risk: Floats


def softmax(logits: ArrayLike) -> Floats:
    """Return exp(z_i) / sum_j exp(z_j) over the last axis."""
    z = np.asarray(logits, dtype=np.float64)
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Class probabilities [passes, n, classes] of passes of one network over the same samples, and the right classes [n].

    The prediction is the class of the largest mean probability (the first of equal ones), the confidence that mean (Lakshminarayanan,
    Pritzel, Blundell, Simple and scalable predictive uncertainty estimation using deep ensembles, NeurIPS 2017, section 2.4).

    Raises
    ------
    SimulationError
        Shapes that do not belong together, no sample, labels that are no class, or rows that are no probabilities.
    """

    probabilities: Floats
    labels: Ints

    def __post_init__(self) -> None:
        p, y = self.probabilities, self.labels
        if p.ndim != 3 or y.shape != p.shape[1:2] or p.size == 0:
            raise SimulationError(f"ensemble: probabilities {p.shape} with labels {y.shape}; give [passes, n, classes] and [n]")
        if not (y.min() >= 0 and y.max() < p.shape[2]):
            raise SimulationError(f"ensemble: labels run from {y.min()} to {y.max()}, the network has {p.shape[2]} classes")
        if not (np.isfinite(p).all() and p.min() >= 0 and np.allclose(p.sum(axis=2), 1.0, rtol=0, atol=1e-4)):
            raise SimulationError("ensemble: each row of probabilities has to be at least 0 and add up to 1; use softmax on logits")

    @classmethod
    def of_logits(cls, logits: ArrayLike, labels: ArrayLike) -> Ensemble:
        """Return the ensemble of raw outputs [passes, n, classes]."""
        return cls(softmax(logits), np.asarray(labels, dtype=np.int64))

    @property
    def n_passes(self) -> int:
        """Number of passes."""
        return len(self.probabilities)

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.labels)

    def groups(self, n_passes: int) -> tuple[Ensemble, ...]:
        """Return ensembles of `n_passes` successive passes each; passes that fill none are left out.

        Raises
        ------
        SimulationError
            Where there are not that many passes.
        """
        if not 1 <= n_passes <= self.n_passes:
            raise SimulationError(f"ensemble: groups of {n_passes} passes asked for, there are {self.n_passes}")
        starts = range(0, self.n_passes - n_passes + 1, n_passes)
        return tuple(Ensemble(self.probabilities[start : start + n_passes], self.labels) for start in starts)

    @cached_property
    def mean(self) -> Floats:
        """Mean probabilities [n, classes]."""
        return np.asarray(self.probabilities.mean(axis=0), dtype=np.float64)

    @cached_property
    def predictions(self) -> Ints:
        """Predicted class [n]."""
        return np.asarray(self.mean.argmax(axis=1), dtype=np.int64)

    @cached_property
    def confidence(self) -> Floats:
        """Largest mean probability [n]."""
        return np.asarray(self.mean.max(axis=1), dtype=np.float64)

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each prediction is right [n]."""
        return np.asarray(self.predictions == self.labels)

    @property
    def accuracy(self) -> float:
        """Share of right predictions, 0 to 1."""
        return float(self.correct.mean())

    @cached_property
    def risk_coverage(self) -> RiskCoverage:
        """Risk of the k most confident samples, k = 1 .. n (Geifman, El-Yaniv, Selective classification for DNNs, NeurIPS 2017, section 2).

        Of samples that are equally confident, each counts with their mean: the expectation over all orders of them.
        """
        levels, group = np.unique(-self.confidence, return_inverse=True)
        n_group = np.bincount(group, minlength=levels.size)
        share = np.bincount(group, weights=self.correct, minlength=levels.size) / n_group
        n_answered = np.arange(1, self.n + 1)
        return RiskCoverage(n_answered / self.n, 1.0 - np.cumsum(np.repeat(share, n_group)) / n_answered)

    def accuracy_at_coverage(self, coverage: float) -> float:
        """Share of right ones among the ceil(coverage * n) most confident samples, 0 to 1; equal confidence as in `risk_coverage`."""
        return 1.0 - float(self.risk_coverage.risk[self._n_answered(coverage) - 1])

    def threshold_for(self, coverage: float) -> float:
        """Return the largest confidence at which at least this share is answered; choose it on validation data, use it on test data."""
        return float(np.sort(self.confidence)[self.n - self._n_answered(coverage)])

    def _n_answered(self, coverage: float) -> int:
        if not 0 < coverage <= 1:
            raise SimulationError(f"coverage {coverage!r} is not in (0, 1]; give a share such as 0.9")
        return max(1, math.ceil(coverage * self.n - _ROUNDING))

    def abstain(self, threshold: float) -> Abstention:
        """Answer where the confidence is at least a threshold: share that is answered, and accuracy on it."""
        answered = self.confidence >= threshold
        return Abstention(threshold, float(answered.mean()), float(self.correct[answered].mean()) if answered.any() else math.nan)

    def bins(self, n_bins: int = N_BINS) -> tuple[Bin, ...]:
        """Return confidence and accuracy in equal bins (i / n, (i + 1) / n] of confidence; 0 is in the first, an empty bin holds nan."""
        place = np.clip(np.ceil(self.confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
        found = []
        for i in range(n_bins):
            own = place == i
            means = (float(values[own].mean()) if own.any() else math.nan for values in (self.confidence, self.correct))
            found.append(Bin(i / n_bins, (i + 1) / n_bins, int(own.sum()), *means))
        return tuple(found)

    def calibration_error(self, n_bins: int = N_BINS) -> float:
        """Expected calibration error, 0 to 1.

        Equation: sum over bins of n_bin / n * |accuracy - mean confidence| (Guo, Pleiss, Sun, Weinberger, On calibration of modern neural
        networks, ICML 2017, eq. 3).
        """
        return sum(one.n / self.n * abs(one.accuracy - one.confidence) for one in self.bins(n_bins) if one.n)

    @cached_property
    def mutual_information(self) -> Floats:
        """What the passes disagree about, in nats [n]: H(mean over passes) - mean over passes of H.

        The part of the entropy that the noise of the weights causes; 0 with one pass (Houlsby et al., arXiv:1112.5745).
        """
        return np.asarray(np.maximum(_entropy(self.mean) - _entropy(self.probabilities).mean(axis=0), 0.0), dtype=np.float64)


def _entropy(p: Floats) -> Floats:
    """- sum p ln p over the last axis, in nats."""
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Fallback:
    """Asking a digital device where the analog one is not sure, one entry a threshold: samples sent, accuracy, joules of all samples."""

    threshold: Floats
    n_sent: Ints
    accuracy: Floats
    energy_j: Floats
    n: int

    @property
    def share_sent(self) -> Floats:
        """Share of samples that the digital device answers, 0 to 1."""
        return np.asarray(self.n_sent / self.n, dtype=np.float64)

    @property
    def energy_per_sample_j(self) -> Floats:
        """Joules of a sample in the mean, both devices charged."""
        return np.asarray(self.energy_j / self.n, dtype=np.float64)


def fallback(
    ensemble: Ensemble, digital_predictions: ArrayLike, analog_pass_j: float, digital_j: float, thresholds: ArrayLike | None = None
) -> Fallback:
    """Send the samples whose confidence is below a threshold to a digital network (a cascade: Viola and Jones, CVPR 2001, section 4).

    Equation: energy = n * passes * E_analog + n_sent * E_digital: every sample pays for all analog passes, those that are sent for the
    digital one too.

    Parameters
    ----------
    ensemble
        The analog passes.
    digital_predictions
        Class [n] that the digital network gives.
    analog_pass_j, digital_j
        Joules of one sample: one analog pass, one digital inference.
    thresholds
        Ascending or not; by default 0 (none is sent), each confidence that occurs, and infinity (all are).

    Raises
    ------
    SimulationError
        Predictions of another length, or energy that is negative or not finite.
    """
    digital = np.asarray(digital_predictions)
    if digital.shape != ensemble.labels.shape:
        raise SimulationError(f"fallback: {digital.shape} digital predictions for {ensemble.n} samples; give one a sample")
    if not all(math.isfinite(energy_j) and energy_j >= 0 for energy_j in (analog_pass_j, digital_j)):
        raise SimulationError(f"fallback: energy of {analog_pass_j} J a pass and {digital_j} J digital; give joules of at least 0")
    levels = np.unique(ensemble.confidence)
    at = np.concatenate([[0.0], levels, [np.inf]]) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    order = np.argsort(ensemble.confidence, kind="stable")
    n_sent = np.searchsorted(ensemble.confidence[order], at, side="left")
    gained = (digital == ensemble.labels).astype(np.int64) - ensemble.correct
    n_right = ensemble.correct.sum() + np.concatenate([[0], np.cumsum(gained[order])])[n_sent]
    energy_j = ensemble.n * ensemble.n_passes * analog_pass_j + n_sent * digital_j
    return Fallback(at, n_sent.astype(np.int64), n_right / ensemble.n, np.asarray(energy_j, dtype=np.float64), ensemble.n)

"""What `cosim accuracy` finds out: accuracy of a network on hardware by data set, its causes of loss, its uncertainty and its joules."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from cosim.provenance import model_version
from cosim.training.accuracy import AccuracyResult, Tell, Trial, measure, over_time
from cosim.training.accuracy_causes import Loss, loss_by_cause, warnings_of
from cosim.training.accuracy_energy import Joules, joules_of
from cosim.training.adaround import adaround
from cosim.training.arrays import model_of
from cosim.training.data import Dataset, fitted, split
from cosim.training.deploy import DEFAULT_BITS, Path, causes_of, quantized
from cosim.training.hardware import CAUSES, Hardware
from cosim.training.hardware_choice import Chosen
from cosim.training.network import Network
from cosim.training.samples import thinned
from cosim.training.surrogate import MAX_SAMPLES
from cosim.training.uncertainty import Ensemble, fallback
from workloads.errors import SimulationError

Floats = NDArray[np.float64]
Inputs = Literal["network", "raw", "unit", "standard"]

TIMES_S = (1.0, 60.0, 3600.0, 86400.0, 30 * 86400.0, 365.25 * 86400.0)  # marks of a curve over time
THRESHOLDS = tuple(np.linspace(0.0, 1.0, 21))  # confidences below which an input goes to the digital unit


@final
@dataclass(frozen=True, eq=False)
class Question:
    """A network, data and hardware; `source` is how the network was named, `chip` how the hardware was.

    weight_bits, activation_bits None: those of the network, or 8 where products run on arrays or digitally on a chip. `inputs` says how raw
    values become inputs: as the network was saved, as they are, over their full scale, or with mean and deviation of the data as well.
    `rounding`: of real weights that get bits here.
    """

    source: str
    network: Network
    dataset: Dataset
    chip: str
    chosen: Chosen
    weight_bits: int | None = None
    activation_bits: int | None = None
    inputs: Inputs = "network"
    seeds: tuple[int, ...] = (0, 1, 2)
    n_draws: int | None = None
    passes: int = 1
    coverage: float = 0.9
    path: Path = "exact"
    rounding: Literal["nearest", "adaround"] = "nearest"

    @cached_property
    def data(self) -> Dataset:
        """The data in the shape of the network."""
        return fitted(self.dataset, self.network.program.input_shape, self.network.program.name)

    @cached_property
    def trial(self) -> Trial:
        """The network made ready for its hardware, and what it is tried on."""
        network, data = self._scaled(), self.data
        training = data.inputs[~data.is_test]
        wanted = self._bits()
        if wanted != (None, None):
            if self.rounding == "adaround" and network.weight_bits is None and wanted[0] is not None:
                network = adaround(network, network.scaled(training), wanted[0])
            network = quantized(network, *wanted, network.scaled(thinned(training, MAX_SAMPLES)))
        x, labels = data.inputs[data.is_test], data.labels[data.is_test]
        return Trial(network, x, labels, self.hardware, training, self.seeds, self.n_draws, self.passes, self.path)

    @property
    def hardware(self) -> Hardware:
        """What products run on."""
        return self.chosen.hardware

    @property
    def times_s(self) -> tuple[float | None, ...]:
        """When accuracy is looked at besides the time asked for; none where nothing changes with time."""
        end_s = self.hardware.t_s
        changes = self.hardware.noise is not None or model_of(self.hardware) is not None
        return () if end_s is None or not changes else (*(t_s for t_s in TIMES_S if t_s < end_s), end_s)

    @property
    def n_steps(self) -> int:
        """Steps that `assess` tells of."""
        trial = self.trial
        n_chips = len(trial.chips()) if trial.is_chance else 1
        anew = n_chips * self.passes if self.passes > 1 and trial.is_chance else 0
        return 2 + n_chips + anew + len(causes_of(trial.network, trial.hardware)) + 2 * len(self.times_s)

    def _scaled(self) -> Network:
        """The network with the scaling of its inputs."""
        if self.inputs == "network":
            return self.network
        full, mean, std = self.dataset.scale
        scaling = {"raw": (1.0, 0.0, 1.0), "unit": (full, 0.0, 1.0), "standard": (full, mean, std)}[self.inputs]
        return replace(self.network, scaling=scaling)

    def _bits(self) -> tuple[int | None, int | None]:
        """Bits that weights and activations have to have; SimulationError where the network was made for others."""
        for name, asked, own in (
            ("weight_bits", self.weight_bits, self.network.weight_bits),
            ("activation_bits", self.activation_bits, self.network.activation_bits),
        ):
            if asked is not None and own is not None and asked != own:
                raise SimulationError(f"{name} {asked}: {self.source} was trained for {own}; leave the option out")
        if self.hardware.sigma > 0 or (self.hardware.noise is not None and self.hardware.macro is None):
            return self.weight_bits, self.activation_bits
        own_w, own_a = self.network.weight_bits, self.network.activation_bits
        return self.weight_bits or own_w or DEFAULT_BITS, self.activation_bits or own_a or DEFAULT_BITS


@final
@dataclass(frozen=True, eq=False)
class Answer:
    """What was found."""

    question: Question
    result: AccuracyResult
    losses: tuple[Loss, ...]
    joules: Joules
    times: Sequence[dict[str, Any]]

    @property
    def network(self) -> Network:
        """The network as it ran."""
        return self.question.trial.network

    @property
    def drop_points(self) -> float:
        """Points below the digital control."""
        return self.result.control.mean - self.result.accuracy.mean

    @cached_property
    def ensembles(self) -> tuple[Ensemble, ...]:
        """The passes of each chip."""
        p = self.result.probabilities
        return tuple(Ensemble(chip, self.result.trial.labels) for chip in p.reshape(-1, *p.shape[2:]))

    @property
    def energy_j(self) -> float | None:
        """Dynamic joules of one answer: all passes."""
        return None if self.joules.pass_j is None else self.joules.pass_j * self.question.passes

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """Parameters that destroy accuracy."""
        return warnings_of(self.result.trial, self.losses)

    @property
    def notes(self) -> list[str]:
        """What a reader should know."""
        hardware = self.question.hardware
        found = [self.joules.note] if self.joules.note else []
        if hardware.is_ideal:
            found.append(f"{self.question.chip} has no compute-in-memory arrays: all products run digitally")
        elif hardware.t_s is not None and not self.question.times_s:
            found.append(f"cells of {hardware.name} do not change with time as far as their part says (cell.noise): --time has no effect")
        if self.question.source.endswith(".onnx") and self.question.inputs == "network":
            found.append(f"{self.question.source} does not say how its inputs are scaled: raw values go in (--inputs changes that)")
        return found

    def loss_points(self) -> dict[str, float]:
        """Points of each cause, 0 where one does not act; they sum to float - accuracy."""
        return {**dict.fromkeys(CAUSES, 0.0), **{loss.cause: loss.points for loss in self.losses}}

    def fallback_rows(self) -> list[dict[str, float]]:
        """Share sent to the digital unit, accuracy and joules of an answer against the threshold; mean over chips."""
        pass_j, digital_j = self.joules.pass_j, self.joules.digital_j
        if pass_j is None or digital_j is None or self.question.hardware.is_ideal:
            return []
        control = self.result.control_predictions
        found = [fallback(one, control, pass_j, digital_j, np.array([*THRESHOLDS, np.inf])) for one in self.ensembles]
        return [
            {
                "threshold": float(min(found[0].threshold[i], 1.0 + THRESHOLDS[1])),
                "share_sent": float(np.mean([one.share_sent[i] for one in found])),
                "accuracy": 100 * float(np.mean([one.accuracy[i] for one in found])),
                "energy_j": float(np.mean([one.energy_per_sample_j[i] for one in found])),
            }
            for i in range(len(found[0].threshold))
        ]

    def summary(self) -> dict[str, Any]:
        """The contract of `cosim accuracy --json`; accuracies are percentages, losses points, ece a share."""
        asked, result, hardware = self.question, self.result, self.question.hardware
        return {
            "network": self.network.program.name,
            "data": asked.data.name,
            "split": split_sizes(asked.data),
            "chip": asked.chip,
            "noise": hardware.name,
            "weight_bits": self.network.weight_bits,
            "activation_bits": self.network.activation_bits,
            "path": asked.path if hardware.macro else "exact",
            "seeds": list(asked.seeds),
            "n_draws": result.trial.draws,
            "accuracy": result.accuracy.as_dict(),
            "control": result.control.as_dict(),
            "float": result.float_score.as_dict(),
            "drop_points": self.drop_points,
            "time_s": hardware.t_s,
            "compensation": hardware.compensation,
            "passes": asked.passes,
            "coverage": asked.coverage,
            **_sureness(self.ensembles, asked.coverage),
            "single_pass": result.single.as_dict(),
            "redrawn": self._redrawn(),
            "energy_j": self.energy_j,
            "energy_digital_j": self.joules.digital_j,
            "digital_unit": self.joules.unit,
            "loss_by_cause": self.loss_points(),
            "loss_standard_error": {loss.cause: loss.standard_error for loss in self.losses},
            "warnings": self.warnings,
            "over_time": list(self.times),
            "fallback": self.fallback_rows(),
            "notes": self.notes,
            "provenance": {
                "cosim": version("cosim"),
                "model_version": model_version(),
                "python": platform.python_version(),
                "numpy": np.__version__,
                "network_source": asked.source,
                "seeds": list(asked.seeds),
                "split_seed": asked.data.split_seed,
                "test_set_reads": result.trial.n_reads,
            },
        }

    def _redrawn(self) -> dict[str, Any] | None:
        """Passes that are programmed anew each, as other tools count."""
        found, reached = self.result.redrawn, self.result.redrawn_score
        if found is None or reached is None:
            return None
        chips = [Ensemble(chip, self.result.trial.labels) for chip in found.reshape(-1, *found.shape[2:])]
        return {"accuracy": reached.as_dict(), **_sureness(chips, self.question.coverage)}


def _sureness(chips: Sequence[Ensemble], coverage: float) -> dict[str, float]:
    """Calibration error and accuracy at a coverage, mean over chips."""
    return {
        "ece": float(np.mean([one.calibration_error() for one in chips])),
        "accuracy_at_coverage": 100 * float(np.mean([one.accuracy_at_coverage(coverage) for one in chips])),
    }


def split_sizes(data: Dataset) -> dict[str, int]:
    """Sizes of training, validation and test set."""
    parts = split(data, data.split_seed)
    return {
        "seed": data.split_seed,
        "n_train": int(parts.train.size),
        "n_val": int(parts.validation.size),
        "n_test": int(parts.test.size),
    }


def assess(question: Question, tell: Tell = lambda _: None) -> Answer:
    """Measure, find the causes, look at all times and price; the progress is told step by step."""
    if not 0 < question.coverage <= 1:
        raise SimulationError(f"coverage {question.coverage}: choose a share above 0, up to 1")
    trial = question.trial
    bits = trial.network.weight_bits or DEFAULT_BITS, trial.network.activation_bits or DEFAULT_BITS
    joules = joules_of(trial.network.program, question.chosen, *bits)
    result = measure(trial, tell=tell)
    losses = loss_by_cause(result, tell)
    times = over_time(trial, question.times_s, tell)
    return Answer(question, result, losses, joules, times)

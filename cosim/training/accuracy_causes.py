"""Points of accuracy that each cause takes alone, and what they take together beyond that, so that the parts sum to the drop.

part(c) = float - accuracy with c alone; interaction = (float - accuracy) - sum of the parts, on the same chips and test inputs. The
standard error of a part is that of the mean over test inputs of what changed, and of the mean over chips, added in quadrature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cosim.training.accuracy import AccuracyResult, Bools, Tell, Trial
from cosim.training.cells import PASSES, generator
from cosim.training.deploy import causes_of
from cosim.training.hardware import CAUSES
from hw_models.cim.spec import CimMacroSpec

Floats = NDArray[np.float64]

WARN_POINTS = 1.0  # points that a cause must take alone, beyond two standard errors, for a warning; assumed


@final
@dataclass(frozen=True)
class Loss:
    """Points that a cause takes, with the standard error."""

    cause: str
    points: float
    standard_error: float

    @property
    def is_resolved(self) -> bool:
        """Whether it is more than twice its standard error."""
        return abs(self.points) > 2 * self.standard_error

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as `--json` has it."""
        return {"points": self.points, "standard_error": self.standard_error, "resolved": self.is_resolved}


def loss_by_cause(result: AccuracyResult, tell: Tell = lambda _: None) -> tuple[Loss, ...]:
    """Losses of all causes that act, and of their interaction; where passes are averaged, what that wins is the part `ensemble`."""
    trial = result.trial
    float_ = result.right_float.astype(np.float64)
    acting = causes_of(trial.network, trial.hardware)
    changed: dict[str, Floats] = {}
    for cause in acting:
        tell(f"{cause} alone")
        changed[cause] = float_ - _right_alone(trial.on(trial.hardware.only(cause)))
    total = float_ - result.right
    parts = [_loss(cause, changed[cause]) for cause in acting]
    rest = total.mean(axis=0) - sum((part.mean(axis=0) for part in changed.values()), start=np.zeros_like(float_))
    spread = np.sqrt(sum(_chip_error(part) ** 2 for part in (total, *changed.values())))
    error = float(np.hypot(_input_error(rest), spread))
    parts.append(Loss("interaction", 100 * float(rest.mean()), 100 * error))
    if trial.passes > 1:
        averaged = trial.correct(result.probabilities.mean(axis=2)).reshape(-1, float_.size)
        parts.append(_loss("ensemble", result.right.astype(np.float64) - averaged))
    return tuple(parts)


def _right_alone(trial: Trial) -> Bools:
    """Test inputs told right by chips on which one cause acts; [chip, n]."""
    return np.stack(
        [
            trial.correct(trial.outputs(trial.deployed(seed, draw), generator(seed, PASSES, draw, 0)))
            for seed, draw in trial.chips()[: None if trial.is_chance else 1]
        ]
    )


def _loss(cause: str, changed: Floats) -> Loss:
    """Of changes [chip, n], 1 where an input is lost and -1 where it is won."""
    error = float(np.hypot(_input_error(changed.mean(axis=0)), _chip_error(changed)))
    return Loss(cause, 100 * float(changed.mean()), 100 * error)


def _input_error(changed: Floats) -> float:
    """Standard error of a mean over inputs [n]."""
    return float(changed.std() / np.sqrt(changed.size))


def _chip_error(changed: Floats) -> float:
    """Standard error of a mean over chips [chip, n]."""
    n = changed.shape[0]
    return float(changed.mean(axis=1).std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0


def warnings_of(trial: Trial, losses: tuple[Loss, ...]) -> list[dict[str, Any]]:
    """The parameters that destroy accuracy, the worst first, each with what would do."""
    found = []
    for loss in losses:
        if loss.cause in CAUSES and loss.points >= WARN_POINTS and loss.is_resolved:
            parameter, advice = _advice(trial, loss.cause)
            found.append({"parameter": parameter, "cause": loss.cause, "loss_points": loss.points, "advice": advice})
    return sorted(found, key=lambda warning: -float(warning["loss_points"]))


def _advice(trial: Trial, cause: str) -> tuple[str, str]:
    """Parameter of the spec behind a cause, and the way out."""
    spec = trial.hardware.macro
    if spec is not None and spec.adc is not None and cause in {"adc_resolution", "adc_clipping"}:
        return _of_adc(trial, spec, cause)
    bits = f"{trial.network.weight_bits} bits of weights"
    fixed: Mapping[str, tuple[str, str]] = {
        "weight_bits": (
            "weight_bits",
            f"{bits} are too few without training for them: give more, or train with them (`cosim train`)",
        ),
        "dac": ("activation_bits", "inputs are too coarse: give --activation-bits more"),
        "cells": (
            "cell.stuck_on, cell.stuck_off, adc.gain_sigma, adc.offset_lsb",
            "spare columns, trimmed converters",
        ),
        "programming": (_of_cells(trial), "program with more verify pulses, spread weights over more cells, or train with this noise"),
        "read": ("cell.read_sigma, adc.noise_lsb" if spec else _of_cells(trial), "average passes (--passes), or train with this noise"),
        "drift": (
            _of_cells(trial),
            "program again earlier" if trial.hardware.compensation else "switch compensation on, or program again earlier",
        ),
        "ir_drop": ("cell.wire", "fewer rows or rows_active, wider wires, or cells of higher resistance"),
    }
    return fixed[cause]


def _of_cells(trial: Trial) -> str:
    """Where errors of cells are given."""
    spec = trial.hardware.macro
    if trial.hardware.sigma > 0 or trial.hardware.noise is not None or spec is None:
        return "noise"
    return "cell.noise" if spec.cell.noise else "cell.programming_sigma"


def _of_adc(trial: Trial, spec: CimMacroSpec, cause: str) -> tuple[str, str]:
    """Range of converters where it does not follow the sums, else their bits."""
    n_bits, kind = (spec.adc.n_bits, spec.adc.range) if spec.adc else (0, "full")
    rows = f"{spec.n_rows_active} rows"
    learned = any(trial.network.steps_of(layer).adc is not None for layer in trial.network.program.layers)
    more = f"more adc.n_bits ({spec.lossless_adc_bits} lose nothing), fewer rows_active, or `cosim train`, which learns the range"
    if kind == "full" and cause == "adc_resolution" and not learned:
        return (
            f"adc.range: full with {n_bits} bits on {rows}",
            f"codes are spread over sums that never come: adc.range: calibrated, {more}",
        )
    if kind == "granular" and cause == "adc_clipping" and not learned:
        return f"adc.range: granular with {n_bits} bits on {rows}", f"sums beyond the last code are cut: adc.range: calibrated, {more}"
    return f"adc.n_bits: {n_bits} with range {'learned' if learned else kind} on {rows}", more

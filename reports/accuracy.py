"""Accuracy of a network on a chip as a page: what it loses to what, how it fares over time, how far its answers can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cosim import __version__
from cosim.training.assess import Answer
from reports.accuracy_figures import Line, coverage_chart, fallback_chart, loss_chart, reliability_chart, time_chart
from reports.figures import Chart
from reports.html import environment
from reports.wording import quantity

NAMES: Mapping[str, str] = {
    "weight_bits": "weight bits",
    "cells": "cells and converters",
    "programming": "programming",
    "read": "read noise",
    "drift": "drift",
    "dac": "activation bits",
    "adc_resolution": "ADC resolution",
    "adc_clipping": "ADC clipping",
    "ir_drop": "IR drop",
    "interaction": "interaction",
    "ensemble": "averaged passes",
}


def accuracy_page(answer: Answer) -> str:
    """Return the page of one answer of `cosim accuracy`."""
    summary = answer.summary()
    return (
        environment()
        .get_template("accuracy.html.j2")
        .render(
            answer=summary,
            title=_title(answer),
            losses=[(NAMES[loss.cause], loss) for loss in answer.losses],
            charts=charts(answer),
            energy=None if answer.energy_j is None else quantity(answer.energy_j, "J"),
            digital=None if answer.joules.digital_j is None else quantity(answer.joules.digital_j, "J"),
            n_test=len(answer.result.trial.labels),
            provenance=summary["provenance"],
            provenance_line=__version__,
        )
    )


def _title(answer: Answer) -> str:
    """The page in one sentence."""
    name, hardware = answer.network.program.name, answer.question.hardware.name
    side = "below" if answer.drop_points >= 0 else "above"
    return f"{name} on {hardware}: {answer.result.accuracy.mean:.2f} %, {abs(answer.drop_points):.2f} points {side} its digital control"


def charts(answer: Answer) -> list[Chart]:
    """Loss by cause, accuracy over time, coverage, calibration, and what a digital fallback wins."""
    result = answer.result
    found: list[Chart] = []
    acting = {NAMES[loss.cause]: loss.points / 100 for loss in answer.losses}
    if len(acting) > 1:
        found.append(loss_chart(result.float_score.mean / 100, acting, result.accuracy.mean / 100))
    if len(answer.times) > 1:
        found.append(time_chart(time_lines(answer.times)))
    first = answer.ensembles[0]
    curve = first.risk_coverage
    found.append(coverage_chart([Line("one chip", curve.coverage, 1 - curve.risk)], answer.question.coverage))
    found.append(reliability_chart(first.bins(), first.calibration_error()))
    rows = answer.fallback_rows()
    if rows:
        columns = ([row[key] for row in rows] for key in ("threshold", "share_sent", "accuracy", "energy_j"))
        threshold, sent, right, energy_j = columns
        found.append(fallback_chart(threshold, sent, [percent / 100 for percent in right], energy_j))
    return found


def time_lines(times: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Accuracy against time, with and without compensation."""
    at = [row["time_s"] for row in times]

    def line(key: str, name: str, *, control: bool) -> Line:
        return Line(name, at, [row[key]["mean"] / 100 for row in times], [row[key]["std"] / 100 for row in times], control)

    return [line("compensated", "compensated", control=False), line("uncompensated", "not compensated", control=True)]

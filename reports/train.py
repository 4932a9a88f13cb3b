"""What a training run came to: accuracy on the hardware and without it, beside the control, and against weight noise."""

from __future__ import annotations

from cosim import __version__
from cosim.training.train import CURVE, TrainResult
from reports.accuracy_figures import Line, noise_chart
from reports.figures import Chart
from reports.html import environment

NAMES = {"aware": "trained for the hardware", "control": "control", "float": "float network"}


def train_page(result: TrainResult) -> str:
    """Return the page of a run."""
    job = result.job
    kinds = (*job.kinds, "float")
    return (
        environment()
        .get_template("train.html.j2")
        .render(
            summary=result.summary(),
            rows=[
                {"name": NAMES[kind], **{where: result.score(kind, where) for where in ("test", "digital", "validation")}} for kind in kinds
            ],
            runs=result.runs,
            chart=curve_chart(result),
            then=job.recipe.then,
            recipe={key: value for phase in ("first", "then") for key, value in _numbers(job.recipe.as_dict()[phase], phase).items()},
            sources=job.recipe.sources,
            provenance={key: value for key, value in result.summary()["provenance"].items() if key != "recipe"},
            provenance_line=__version__,
        )
    )


def curve_chart(result: TrainResult) -> Chart:
    """Draw accuracy on validation images against weight noise, mean and deviation over seeds."""
    lines = []
    for kind in (*result.job.kinds, "float"):
        curves = [run.curve[kind] for run in result.runs]
        mean = [sum(points) / len(points) for points in zip(*curves, strict=True)]
        spread = [
            (sum((point - middle) ** 2 for point in points) / max(1, len(points) - 1)) ** 0.5
            for points, middle in zip(zip(*curves, strict=True), mean, strict=True)
        ]
        lines.append(Line(NAMES[kind], CURVE, [m / 100 for m in mean], [s / 100 for s in spread], kind == "control"))
    return noise_chart(lines)


def _numbers(phase: dict[str, object], name: str) -> dict[str, object]:
    """Numbers of a phase that say something."""
    return {f"{name}: {key}": value for key, value in phase.items() if value not in (None, 0, 0.0)}

"""How the learned policy came to be: its learning curve, on a page and as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cosim import __version__
from cosim.scheduling.policy_weights import SHIPPED
from cosim.scheduling.train import Training
from cosim.scheduling.train_judge import Judgement
from reports.csv_files import text_of
from reports.figures import BLUE, MUTED, VERMILLION, Chart, Mark, frame, sheet, to_svg, value_axis
from reports.html import environment

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = (("one greedy roll-out", "greedy", BLUE), ("best of 8", "best_of_8", VERMILLION))


def training_page(training: Training) -> str:
    """Return the page of a training."""
    trained = training.trained
    return (
        environment()
        .get_template("training.html.j2")
        .render(
            first=training.curve[0],
            last=training.curve[-1],
            chart=curve_chart(training.curve),
            provenance={key: value for key, value in trained.provenance.items() if key not in {"curve", "recipe"}},
            recipe=trained.provenance.get("recipe", {}),
            provenance_line=__version__,
            shipped="cosim/scheduling/" + "/".join(SHIPPED.parts[-2:]),
            n_weights=sum(array.size for array in trained.weights),
            arrays={name: array.shape for name, array in trained.weights._asdict().items()},
        )
    )


def curve_csv(training: Training) -> str:
    """Return one row a point of the learning curve."""
    return text_of(("step", "greedy", "best_of_8"), ((point.step, point.greedy, point.best_of_8) for point in training.curve))


def curve_chart(curve: Sequence[Judgement], width_px: float = 1000) -> Chart:
    """Draw makespan over the portfolio's against the steps of training; below 1 the policy is better."""
    steps = [point.step for point in curve]
    values = [value for _, name, _ in _LINES for value in (getattr(point, name) for point in curve)]
    low, high = min([*values, 1.0]), max([*values, 1.0])
    with sheet(width_px, 340) as figure:
        axes = frame(figure, 64, 44, 76, 10)
        axes.set_xlim(0, max(steps) or 1)
        axes.set_ylim(low - 0.06 * (high - low) - 1e-3, high + 0.06 * (high - low) + 1e-3)
        axes.axhline(1.0, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
        marks = [mark for line in _LINES for mark in _draw_line(axes, curve, *line)]
        axes.annotate(
            "portfolio", (1, 1.0), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center", color=MUTED
        )
        axes.set_ylabel("makespan / portfolio's")
        axes.grid(visible=True, axis="y")
        axes.spines["left"].set_visible(True)
        value_axis(axes, float(max(steps) or 1), "", "steps", n=8)
        axes.set_xlabel("steps of training")
        svg = to_svg(figure, "learning", "Learning curve", [(axes, marks)])
    first, last = curve[0], curve[-1]
    title = f"One greedy roll-out: {first.greedy:.3f} of the portfolio's makespan before training, {last.greedy:.3f} after"
    caption = "Geometric means over random instances that are not trained on, the same at every point."
    return Chart(
        "learning", title, svg, caption, tuple((f"{label}: {getattr(last, name):.3f} at the end", color) for label, name, color in _LINES)
    )


def _draw_line(axes: Axes, curve: Sequence[Judgement], label: str, name: str, color: str) -> list[Mark]:
    values = [float(getattr(point, name)) for point in curve]
    steps = [point.step for point in curve]
    axes.plot(steps, values, color=color, linewidth=1.8, marker="o", markersize=4)
    return [
        Mark((step, value, step, value), f"step {step}: {label} {value:.4f}", name, str(step), value, pad_px=5)
        for step, value in zip(steps, values, strict=True)
    ]

"""What compression by energy came to: the front of energy and error beside that of magnitude pruning, and what is left of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from cosim.training.compress import CompressResult, Kind, Tried
from cosim.training.compress_summary import LayerRow, breakdown, layer_rows, summary
from reports.csv_files import text_of
from reports.figures import BLUE, INK, MUTED, VERMILLION, Chart, Mark, frame, scale, sheet, to_svg
from reports.html import environment
from reports.text import aligned
from reports.wording import percent, plural, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES: dict[Kind, str] = {"gates": "gates priced by this chip", "magnitude": "uniform bits and magnitude pruning", "dense": "dense, 8 bits"}


def compress_page(result: CompressResult) -> str:
    """Return the page of a compression."""
    provenance = summary(result)["provenance"]
    return (
        environment()
        .get_template("compress.html.j2")
        .render(
            summary=summary(result),
            title=headline(result),
            chart=front_chart(result),
            layers=layer_rows(result),
            parts=_parts(result),
            points=[(one, one.as_dict(result.control.accuracy)) for one in (*result.front("gates"), *result.front("magnitude"))],
            names=NAMES,
            recipe=provenance["recipe"],
            provenance={key: value for key, value in provenance.items() if key != "recipe"},
            provenance_line=provenance["cosim"],
        )
    )


def headline(result: CompressResult) -> str:
    """Say what was saved and what it cost."""
    ratio = result.energy_j("dense") / result.energy_j("gates")
    drop = result.test("dense").mean - result.test("gates").mean
    lost = f"{drop:.2f} points lost" if drop >= 0 else f"{-drop:.2f} points gained"
    return f"{ratio:.2f} times less energy, {lost}"


def compress_csv(result: CompressResult) -> str:
    """Return one row for each network that was tried and each seed."""
    rows = [
        (one.candidate.kind, one.candidate.name, seed, run.energy.products_j, 100 - run.accuracy, run.pruned, run.skipped.mean_bits)
        for one in (result.control, *result.tried)
        for seed, run in zip(result.job.seeds, one.runs, strict=True)
    ]
    return text_of(("kind", "name", "seed", "energy_j", "validation_error", "weights_pruned", "mean_bits"), rows)


def compress_table(result: CompressResult) -> str:
    """Return accuracy, energy and layers as text."""
    job, told = result.job, summary(result)
    given = f"{plural(len(job.seeds), 'seed')}, drop of at most {job.max_drop:g} points"
    head = f"{job.entry.name} on {job.chip.name}: {headline(result)} ({given})"
    rows = [("", "accuracy", "energy of products", "of all ops", "weights pruned", "mean bits")]
    for kind, runs in result.final.items():
        score = result.test(kind)
        total_j = sum(run.energy.total_j for run in runs) / len(runs)
        pruned = sum(run.pruned for run in runs) / len(runs)
        bits = sum(run.skipped.mean_bits for run in runs) / len(runs)
        name = NAMES[kind] if kind == "dense" else f"{NAMES[kind]}: {result.chosen[kind].name}"  # type: ignore[index]  # kinds are its keys
        accuracy = f"{score.mean:.2f} ± {score.std:.2f} %"
        rows.append((name, accuracy, quantity(result.energy_j(kind), "J"), quantity(total_j, "J"), percent(pruned), f"{bits:.2f}"))
    layers = [("layer", "rows", "columns", "weight bits", "input bits", "weights", "arrays", "energy", "dense")]
    layers += [_layer_cells(row) for row in layer_rows(result)]
    volumes = told["hypervolume"]
    notes = [f"Hypervolume of (energy, error): {volumes['ours']['mean']:.4f}, baseline {volumes['baseline']['mean']:.4f}."]
    notes += [
        f"No network tried by {NAMES[kind]} held the drop on validation images; the most accurate was taken."  # type: ignore[index]  # its keys
        for kind, held in result.within.items()
        if not held
    ]
    return "\n\n".join([head, aligned(rows, left=(0,)), aligned(layers, left=(0,)), "\n".join(notes)])


def _layer_cells(row: LayerRow) -> tuple[str, str, str, str, str, str, str, str, str]:
    """One layer in words."""
    return (
        row.name,
        f"{row.rows:.4g} of {row.dense_rows}",
        f"{row.columns:.4g} of {row.dense_columns}",
        f"{row.weight_bits:.3g}",
        f"{row.activation_bits:.3g}",
        f"{row.n_weights:.4g}",
        f"{row.n_arrays:.3g}",
        quantity(row.energy_j, "J"),
        quantity(row.dense_j, "J"),
    )


def _parts(result: CompressResult) -> list[tuple[str, float, float]]:
    """Component → joules of the dense network and of the compressed one, the largest first."""
    dense, ours = breakdown(result.final["dense"]), breakdown(result.final["gates"])
    return sorted(((name, energy_j, ours.get(name, 0.0)) for name, energy_j in dense.items()), key=lambda part: -part[1])


def front_chart(result: CompressResult, width_px: float = 1000) -> Chart:
    """Draw error on validation images against energy: both fronts as steps, all that was tried as dots."""
    kinds: tuple[tuple[Kind, str], ...] = (("magnitude", VERMILLION), ("gates", BLUE))
    every = [*result.tried, result.control]
    with sheet(width_px, 420) as figure:
        axes = frame(figure, 70, 46, 20, 12)
        _axes(axes, every)
        for kind, color in kinds:
            _draw(axes, result.of(kind), result.front(kind), color)
        chosen = {candidate.name for candidate in result.chosen.values()}
        for one in result.tried:
            if one.candidate.name in chosen:
                axes.plot([one.energy_j], [100 - one.accuracy], "o", color=INK, markersize=12, fillstyle="none", zorder=5)
        axes.plot([result.control.energy_j], [100 - result.control.accuracy], "s", color=MUTED, markersize=8)
        axes.axhline(100 - result.control.accuracy + result.job.max_drop, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
        svg = to_svg(figure, "front", "Front of energy and error", [(axes, [_mark(one, result) for one in every])])
    caption = "Means over seeds, validation images. Circles: chosen, and trained once more for the test. Dashed: the allowed drop."
    legend = tuple((NAMES[kind], color) for kind, color in reversed(kinds))
    return Chart("front", "Energy of the products against error", svg, caption, (*legend, (NAMES["dense"], MUTED)))


def _draw(axes: Axes, points: Sequence[Tried], front: Sequence[Tried], color: str) -> None:
    """All points of one kind, and its front as steps."""
    axes.plot([one.energy_j for one in points], [100 - one.accuracy for one in points], "o", color=color, markersize=5, alpha=0.45)
    if front:
        xs, ys = [one.energy_j for one in front], [100 - one.accuracy for one in front]
        axes.step([*xs, axes.get_xlim()[1]], [*ys, ys[-1]], where="post", color=color, linewidth=1.4)
        axes.plot(xs, ys, "o", color=color, markersize=7, zorder=4)


def _axes(axes: Axes, every: Sequence[Tried]) -> None:
    """Energy on a logarithmic axis, error from 0 to a little above the worst that is near the control."""
    energies = [one.energy_j for one in every]
    errors = sorted(100 - one.accuracy for one in every)
    axes.set_xscale("log")
    axes.set_xlim(min(energies) / 1.15, max(energies) * 1.15)
    axes.set_ylim(0, min(errors[-1] * 1.1, 4 * errors[0] + 4))
    factor, label = scale(max(energies), "J")
    _ticks_of(axes, min(energies), max(energies), factor)
    axes.set_xlabel(f"energy of convolutions and fully connected layers ({label})")
    axes.set_ylabel("error (%)")
    axes.grid(visible=True)
    axes.spines["left"].set_visible(True)


def _ticks_of(axes: Axes, low: float, high: float, factor: float) -> None:
    """Ticks at 1, 2 and 5 times powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter  # noqa: PLC0415  (matplotlib is slow to import)

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low > 4 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)))
    axes.xaxis.set_major_formatter(partial(_tick, factor))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _tick(factor: float, value: float, _position: int) -> str:
    """Word a tick in the unit of its axis."""
    return f"{value * factor:.4g}"


def _mark(one: Tried, result: CompressResult) -> Mark:
    """What a point says when it is pointed at."""
    told = one.as_dict(result.control.accuracy)
    text = f"{one.candidate.name}: {quantity(one.energy_j, 'J')}, error {told['error']:.2f} %, {percent(told['weights_pruned'])} pruned"
    error = 100 - one.accuracy
    return Mark((one.energy_j, error, one.energy_j, error), text, "compress_energy_j", one.candidate.name, one.energy_j, pad_px=7)

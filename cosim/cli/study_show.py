"""`cosim study show STUDY`: what varies, what is wanted, and what a sweep would do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cosim.cli.common import echo_json, warm_up_if_cold

if TYPE_CHECKING:
    from cosim.study.dry_run import DryRun
    from cosim.study.spec import Study

_WIDTH = 100  # of the levels of an axis in one line


@click.command("show")
@click.argument("study")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Also count points, rows and distinct costs, and time a few points.")
@click.option("--workers", type=click.IntRange(1), default=None, metavar="N", help="Processes of the estimate.  [default: all cores]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def command(study: str, *, is_dry_run: bool, workers: int | None, as_json: bool) -> None:
    """Print the axes, constraints and objectives of STUDY (a name or a YAML file); nothing is swept."""
    from cosim.study.study_file import load_study

    read = load_study(study)
    found = described(read)
    if is_dry_run:
        from cosim.study.dry_run import dry_run

        warm_up_if_cold(read.policy, study=True)
        found |= counted(dry_run(read), workers or len(os.sched_getaffinity(0)))
    if as_json:
        echo_json(found)
        return
    for line in _lines(found):
        click.echo(line)
    click.echo(f"Next: cosim sweep {study}" if is_dry_run else f"Next: cosim study show {study} --dry-run")


def described(study: Study) -> dict[str, Any]:
    """Return what a study says, as plain values; the contract of --json."""
    return {
        "study": study.name,
        "chips": list(study.chips),
        "workloads": [
            {"name": one.name, "source": one.source, "weight": one.weight, "bounds": [bound.text for bound in one.bounds]}
            for one in study.workloads
        ],
        "combine": study.combine,
        "fidelity": study.fidelity,
        "fidelities": dict(study.ladder),
        "policy": study.policy,
        "weight_bits": study.weight_bits,
        "activation_bits": study.activation_bits,
        "axes": [
            {"name": one.name, "kind": one.kind, "paths": list(one.paths or (one.name,)), "levels": list(one.levels)}
            for one in study.space.axes
        ],
        "constraints": [*(rule.text for rule in study.space.rules), *(one.text for one in study.known), *(["fits"] if study.fits else [])],
        "objectives": [{"name": one.name, "direction": one.direction, "unit": one.metric.unit} for one in study.objectives],
        "bounds": [one.text for one in study.bounds],
        "design": {"method": study.design.method, "n": study.design.n, "own": len(study.designs)},
        "replicates": study.replicates,
        "batch": study.batch,
        "seed": study.seed,
        "n_grid": study.space.size,
    }


def counted(found: DryRun, workers: int) -> dict[str, Any]:
    """Return what a dry run counted, as plain values; null for a grid that only a search can take."""
    size = found.size
    return {
        "n_feasible": found.n_feasible,
        "feasible_share": found.feasible_share,
        "n_points": size and size.n_points,
        "n_rows": size and size.n_rows,
        "n_cost_rows": size and size.n_cost_rows,
        "n_accuracies": size and size.times.n_accuracies,
        "point_s": size and size.times.point_s,
        "accuracy_s": size and size.times.accuracy_s,
        "cpu_s": size and size.cpu_s(),
        "workers": workers,
        "wall_s": size and size.wall_s(workers),
    }


def _lines(found: dict[str, Any]) -> Iterator[str]:
    nets = [one["name"] + (f" x{one['weight']:g}" if one["weight"] != 1 else "") for one in found["workloads"]]
    together = f" ({found['combine']})" if len(nets) > 1 else ""
    yield f"{found['study']}: {', '.join(nets)}{together} on {', '.join(found['chips'])}, {found['fidelity']}, {found['policy']}"
    width = max(len(axis["name"]) for axis in found["axes"])
    for axis in found["axes"]:
        levels = ", ".join("none" if level is None else str(level) for level in axis["levels"])
        shown = levels if len(levels) <= _WIDTH else f"{levels[:_WIDTH].rpartition(',')[0]}, ..."
        yield f"  {axis['name']:<{width}}  {axis['kind']:<11}  {len(axis['levels']):>3}  {shown}"
    yield f"constraints  {'; '.join(found['constraints']) or 'none'}"
    yield f"objectives   {', '.join(one['direction'] + ' ' + one['name'] for one in found['objectives'])}"
    bounds = [*found["bounds"], *(f"{bound} ({one['name']})" for one in found["workloads"] for bound in one["bounds"])]
    yield f"bounds       {'; '.join(bounds) or 'none'}"
    yield f"grid         {found['n_grid']:,} points"
    if "feasible_share" in found:
        yield from _counts(found)


def _counts(found: dict[str, Any]) -> Iterator[str]:
    if found["n_feasible"] is None:
        yield f"feasible     about {found['feasible_share']:.1%} of the grid, which is too large to list"
    else:
        yield f"feasible     {found['n_feasible']:,} points"
    if found["n_points"] is None:
        yield "sweep        none of the whole grid; give the study a design such as {method: sobol, n: 10000}, or search it: cosim optimise"
        return
    yield f"sweep        {found['n_points']:,} points ({found['design']['method']}), {found['n_rows']:,} rows"
    yield f"cost rows    {found['n_cost_rows']:,} distinct (op x device variant x bits)"
    if found["n_accuracies"]:
        yield f"accuracies   {found['n_accuracies']:,} distinct, {found['accuracy_s']:.2g} s each"
    each = f"{found['point_s'] * 1e6:,.0f} us a point"
    yield f"time         about {_duration(found['wall_s'])} with {found['workers']} workers on free cores ({each})"


def _duration(seconds: float) -> str:
    """Return seconds in the unit that suits them."""
    for size, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"

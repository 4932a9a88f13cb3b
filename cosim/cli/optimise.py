"""`cosim optimise STUDY`: search a study's space with few evaluations, keep all of them, and name the best."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cosim.cli.common import check_out_dir, check_out_file, echo_json, note, warm_up_if_cold, write_files

DEFAULT_BUDGET = 200
STOPPED = {
    "budget": "the budget of evaluations is used",
    "cost": "the cost left does not pay for another evaluation",
    "minutes": "the minutes are over",
    "patience": "too many evaluations without gain (patience)",
    "all points known": "all points known; every feasible point has a value at the highest fidelity",
}


@dataclass(frozen=True)
class Asked:
    """The options of a search."""

    sampler: str
    objectives: tuple[str, ...]
    seed: int | None
    workers: int
    warm: tuple[Path, ...]
    store: Path | None
    stop: dict[str, Any]
    progress: str | None


@click.command("optimise")
@click.argument("study")
@click.option("--budget", type=int, default=None, metavar="N", help=f"Evaluations in all.  [default: {DEFAULT_BUDGET}]")
@click.option("--cost", type=float, default=None, metavar="C", help="Cost in all, in the study's own numbers (fidelities).")
@click.option("--minutes", type=float, default=None, metavar="M", help="Wall time; what is suggested before does not depend on it.")
@click.option("--patience", type=int, default=None, metavar="K", help="Stop after K evaluations without gain.")
@click.option("--sampler", default="gp", show_default=True, metavar="S", help="gp, ga, nsga2, sa or random.")
@click.option("--objective", "objectives", multiple=True, metavar="O", help="In place of the study's: energy, edp, 'maximize accuracy'")
@click.option("--seed", type=click.IntRange(0), default=None, metavar="N", help="Seed of the search.  [default: the study's]")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Processes; the result is the same.")
@click.option("--warm-start", "warm", type=click.Path(path_type=Path), multiple=True, metavar="STORE|CSV", help="What is known before.")
@click.option("--store", type=click.Path(path_type=Path), default=None, metavar="FILE", help="Keep rows here.  [default: OUT/<study>.db]")
@click.option("--out", "out_dir", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder for reports.")
@click.option("--progress", type=click.Choice(["jsonl"]), default=None, help="One JSON line an evaluation on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def command(study: str, out_dir: Path, *, as_json: bool, **options: Any) -> None:
    """Search STUDY (a name or a YAML file) for its best points; rows that its store holds are not computed again."""
    from cosim.study.study_file import load_study

    check_out_dir(out_dir)
    check_out_file("--store", options["store"])
    stop = {name: options.pop(name) for name in ("budget", "cost", "minutes", "patience")}
    if all(value is None for value in stop.values()):
        stop["budget"] = DEFAULT_BUDGET
    stop["evaluations"] = stop.pop("budget")
    asked = Asked(stop=stop, **options)
    read = load_study(study)
    warm_up_if_cold(read.policy, study=True)
    with _interruptible(asked.store or out_dir / f"{read.name}.db"):
        found, table = _search(read, asked, out_dir)
    files = _written(table, out_dir)
    if as_json:
        echo_json({**found, "files": files})
        return
    _tell(found, table, files)


@contextmanager
def _interruptible(store: Path) -> Iterator[None]:
    from cosim.study.failures import EngineError, StoreFullError

    try:
        yield
    except (EngineError, StoreFullError) as error:
        note(f"Error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        note(f"interrupted: all evaluations are in {store}; the same command takes them from there and goes on")
        raise


def _search(study: Any, asked: Asked, out_dir: Path) -> tuple[dict[str, Any], Any]:
    """Run the search; return what it found, and the table of its points."""
    from cosim.study.feasible import feasible_space
    from cosim.study.judge import ALL_COLUMNS, StudyJudge
    from cosim.study.objectives import read_objective
    from cosim.study.optimise import Search, Stop
    from cosim.study.samplers.base import SAMPLERS
    from cosim.study.scores import check_fidelity, wanted_of
    from cosim.study.store import Store
    from cosim.study.tables import search_table
    from cosim.study.warm import warm_start
    from workloads.errors import CosimError, suggest

    if asked.sampler not in SAMPLERS:
        raise CosimError(f"--sampler {asked.sampler}: is not known; {suggest(asked.sampler, SAMPLERS)}")
    for file in asked.warm:
        if not file.is_file():
            raise CosimError(f"--warm-start {file}: there is no such file; give a store or a .csv file")
    stop = Stop(**asked.stop)
    wanted = wanted_of(study, [read_objective(text) for text in asked.objectives] or None)
    costs = dict(study.ladder) or {study.fidelity: 1.0}
    for fidelity in costs:
        check_fidelity(wanted, fidelity)
    space = feasible_space(study)
    seed = study.seed if asked.seed is None else asked.seed
    path = asked.store or out_dir / f"{study.name}.db"
    with Store(path, ALL_COLUMNS, write=True) as store, StudyJudge(study, wanted, store, asked.workers) as judge:
        known = [one for file in asked.warm for one in warm_start(file, study, space, judge)]
        search = Search(space, wanted, costs, asked.sampler, seed, study.batch, study.designs, known)
        trials, running = [], search.trials(judge, stop)
        with _progress(study.name, asked) as tell:
            for trial in running:
                trials.append(trial)
                tell(trial, wanted)
        table = search_table(study, space, wanted, judge, trials, (asked.sampler, seed), known)
        counts = {"n_evaluated": judge.n_run, "n_from_store": judge.n_known, "n_warm": len(known)}
    return {**_summary(table, trials), "stopped": running.stopped, **counts, "store": str(path)}, table


def _summary(table: Any, trials: Sequence[Any]) -> dict[str, Any]:
    """Plain values; the contract of `cosim optimise --json`."""
    from cosim.provenance import model_version

    scores, objectives = table.scores, table.wanted.objectives
    best = {}
    for m, one in enumerate(objectives):
        i = scores.best(m)
        best[one.name] = None if i is None else _point(table, i)
    return {
        "study": table.study.name,
        "sampler": table.trace.sampler,
        "seed": table.trace.seed,
        "fidelity": table.fidelity,
        "objectives": [{"name": one.name, "direction": one.direction, "unit": one.metric.unit} for one in objectives],
        "bounds": [one.label for one in table.wanted.limits] + [one.text for one in table.study.known],
        "n_trials": len(trials),
        "cost": trials[-1].spent if trials else 0.0,
        "n_feasible": int(scores.feasible.sum()),
        "n_failed": int(scores.failed.sum()),
        "best": best,
        "front": [_point(table, i) for i in scores.front.tolist()],
        "model_version": model_version(),
    }


def _point(table: Any, i: int) -> dict[str, Any]:
    """Levels of a point, its objectives with their intervals where they are known, and where it comes from."""
    values = {}
    for m, one in enumerate(table.wanted.objectives):
        ends = table.interval(one.name)
        value = {"value": float(table.scores.objectives[i, m])}
        known = ends is not None and math.isfinite(ends[0][i]) and math.isfinite(ends[1][i])
        values[one.name] = {**value, "low": float(ends[0][i]), "high": float(ends[1][i])} if known else value
    return {"point": table.point(i), "values": values, "source": table.source(i)}


@contextmanager
def _progress(name: str, asked: Asked) -> Iterator[Any]:
    """A bar with the best so far and the time left, or a line of JSON an evaluation."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    if asked.progress == "jsonl":
        yield _json_line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True) if sys.stderr.isatty() else None
    with bar or nullcontext():
        task = bar.add_task(f"searching {name}", total=asked.stop["evaluations"]) if bar else None

        def tell(trial: Any, wanted: Any) -> None:
            if bar is not None and task is not None:
                bar.advance(task)
                if trial.is_gain:
                    shown = ", ".join(one.metric.show(v) for one, v in zip(wanted.objectives, trial.outcome.objectives, strict=True))
                    bar.update(task, description=f"searching {name}: {shown}")

        yield tell


def _json_line(trial: Any, wanted: Any) -> None:
    """One evaluation, written after its rows are in the store."""
    names = [one.name for one in wanted.objectives]
    values = [None if value != value else float(value) for value in trial.outcome.objectives]  # noqa: PLR0124  (NaN)
    line = {"trial": trial.index, "fidelity": trial.fidelity, "spent": trial.spent, **dict(zip(names, values, strict=True))}
    click.echo(json.dumps({**line, "gain": trial.is_gain, "error": trial.outcome.error or None}), err=True)


def _written(table: Any, out_dir: Path) -> list[str]:
    """The page, and the trials as a table."""
    from reports.study import study_files

    return write_files(out_dir, study_files(table))


def _tell(found: dict[str, Any], table: Any, files: Sequence[str]) -> None:
    from reports.study import study_text

    click.echo(study_text(table))
    click.echo(
        f"\n{found['n_trials']} evaluations with {found['sampler']} (seed {found['seed']}), cost {found['cost']:g}: "
        f"{found['n_evaluated']} computed, {found['n_from_store']} taken from the store"
    )
    click.echo(f"Stopped: {STOPPED[found['stopped']]}")
    click.echo(f"Written: {', '.join([*files, found['store']])}")
    click.echo(f"Next: cosim study export {found['store']} --format csv")

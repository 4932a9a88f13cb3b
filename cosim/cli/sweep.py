"""`cosim sweep STUDY`: compute all points of a study, keep every row, go on after whatever stops it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cosim.cli.common import check_out_dir, check_out_file, echo_json, note, warm_up_if_cold
from workloads.errors import CosimError

if TYPE_CHECKING:
    from cosim.study.chunks import Engine
    from cosim.study.progress import Count, Progress
    from cosim.study.spec import Study
    from cosim.study.sweep import Job, Options
    from cosim.study.table import StudyTable

_MOST_REASONS = 5


@dataclass(frozen=True)
class Asked:
    """Where a sweep computes and what it writes."""

    study: str
    workers: int
    engine: str
    scheduler: str | None
    store: Path | None
    out_dir: Path
    jsonl: bool


@click.command("sweep")
@click.argument("study")
@click.option(
    "--workers", type=click.IntRange(1), default=None, metavar="N", help="Processes; the result is the same.  [default: all cores]"
)
@click.option("--resume", is_flag=True, help="Go on with a store that holds rows of this study: compute those missing.")
@click.option("--retry-failed", is_flag=True, help="Go on, and compute rows again that failed.")
@click.option(
    "--shard", default=None, metavar="I/N", help="Part I of N, to Parquet files; `cosim study merge` makes one store of all parts."
)
@click.option("--engine", type=click.Choice(["pool", "dask"]), default="pool", show_default=True, help="Where points are computed.")
@click.option(
    "--scheduler", default=None, metavar="ADDRESS", help="Of a Dask scheduler, such as tcp://host:8786.  [default: one started here]"
)
@click.option("--limit", type=click.IntRange(1), default=None, metavar="N", help="Compute at most N points now.")
@click.option("--store", type=click.Path(path_type=Path), default=None, metavar="FILE", help="Keep rows here.  [default: OUT/<study>.db]")
@click.option(
    "--out", "out_dir", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder of stores and shards."
)
@click.option("--progress", type=click.Choice(["jsonl"]), default=None, help="One JSON line a commit on stderr: rows that are safe.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def command(study: str, *, out_dir: Path, as_json: bool, **given: Any) -> None:
    """Compute all points of STUDY (a name or a YAML file) and keep their rows; Ctrl-C and worse lose none that was counted."""
    from cosim.study.failures import EngineError, StoreFullError
    from cosim.study.study_file import load_study
    from cosim.study.sweep import Options, read_shard

    check_out_dir(out_dir)
    check_out_file("--store", given["store"])
    shard = None if given["shard"] is None else read_shard(given["shard"])
    options = Options(given["resume"], given["retry_failed"], given["limit"], shard)
    workers = given["workers"] or len(os.sched_getaffinity(0))
    asked = Asked(study, workers, given["engine"], given["scheduler"], given["store"], out_dir, given["progress"] == "jsonl")
    _check(asked, options)
    read = load_study(study)
    warm_up_if_cold(read.policy, study=True)
    try:
        found = _swept(read, asked, options)
    except (EngineError, StoreFullError) as error:
        note(f"Error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        note(f"interrupted: all rows counted are kept; go on with: {_again(asked, options)}")
        raise
    if as_json:
        echo_json(found)
    else:
        _tell(found)


def _check(asked: Asked, options: Options) -> None:
    if asked.scheduler is not None and asked.engine != "dask":
        raise CosimError(f"--scheduler {asked.scheduler}: belongs to --engine dask; add that")
    if options.shard is not None and asked.store is not None:
        raise CosimError(f"--store {asked.store}: a shard is written to Parquet files below --out, without a store; leave one of them out")


def _swept(study: Study, asked: Asked, options: Options) -> dict[str, Any]:
    """Sweep into a store or the files of a shard; return what was found, the contract of --json."""
    from cosim.study.judge import ALL_COLUMNS
    from cosim.study.shards import ShardWriter
    from cosim.study.store import Store
    from cosim.study.study_job import study_job
    from cosim.study.sweep import sweep

    job = study_job(study)
    start = partial(start_engine, asked.engine, job, asked.scheduler, asked.workers)
    progress = _progress(asked)
    if options.shard is not None:
        folder = asked.out_dir / f"{study.name}.shards"
        writer = ShardWriter(folder, job.distinct(), study.name, options.shard, ALL_COLUMNS, note)
        count = sweep(job, writer, start, options, progress)
        writer.finish()
        merging = f"cosim study merge {folder} --store {asked.out_dir / f'{study.name}.db'}"
        return {
            **_counted(study, job, count),
            "shard": f"{options.shard.index}/{options.shard.n}",
            "files": str(writer.folder),
            "next": merging,
        }
    path = asked.store or asked.out_dir / f"{study.name}.db"
    with Store(path, ALL_COLUMNS, write=True) as store:
        count = sweep(job, store, start, options, progress)
        failed, best = summary(study, job, store)
    left = count.total - count.stored
    following = f"cosim study export {path} --format csv" if not left else _again(asked, options)
    return {**_counted(study, job, count), "failed": failed, "best": best, "store": str(path), "next": following}


def start_engine(name: str, job: Job, scheduler: str | None, workers: int) -> Engine:
    """Start what computes points."""
    if name == "dask":
        from cosim.study.cluster import DaskEngine

        return DaskEngine(job.task, scheduler, workers)
    from cosim.study.pool import Pool

    return Pool(job.task, workers)


def _progress(asked: Asked) -> Progress:
    from cosim.study.progress import Bar, JsonLines, Silent

    if asked.jsonl:
        return JsonLines(sys.stderr)
    return Bar(sys.stderr) if sys.stderr.isatty() else Silent()


def _counted(study: Study, job: Job, count: Count) -> dict[str, Any]:
    return {
        "study": study.name,
        "fidelity": study.fidelity,
        "n_points": len(job.parts[0].codes),
        "n_rows": count.total,
        "n_stored": count.stored,
        "n_computed": count.acknowledged,
        "n_computed_failed": count.failed,
        "elapsed_s": count.elapsed_s,
    }


def summary(study: Study, job: Job, store: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return why points failed, most frequent first, and the best point by each objective."""
    from cosim.study.scores import wanted_of
    from cosim.study.tables import sweep_table

    table = sweep_table(study, job.task.space, wanted_of(study), store, job.parts[0].codes)
    return reasons(table.errors), best_of(table)


def best_of(table: StudyTable) -> dict[str, Any]:
    """Return the best point by each objective with its value and 90 % interval; None where no point keeps to all bounds."""
    best: dict[str, Any] = {}
    for m, one in enumerate(table.wanted.objectives):
        i = table.scores.best(m) if table.n else None
        if i is None:
            best[one.name] = None
            continue
        ends = table.interval(one.name)
        value = float(table.scores.objectives[i, m])
        interval = None if ends is None else [float(ends[0][i]), float(ends[1][i])]
        show = one.metric.show
        text = show(value) if interval is None else f"{show(value)} ({show(interval[0])} to {show(interval[1])})"
        best[one.name] = {"point": table.point(i), "value": value, "interval": interval, "unit": one.metric.unit, "text": text}
    return best


def reasons(errors: Sequence[str]) -> list[dict[str, Any]]:
    """Count errors that differ in nothing but numbers, the most frequent first, with the first text of each."""
    from cosim.study.failures import kind_of

    kinds = [kind_of(error) for error in errors]
    first: dict[str, str] = {}
    for kind, error in zip(kinds, errors, strict=True):
        first.setdefault(kind, error)
    return [{"reason": first[kind], "n": n} for kind, n in Counter(kind for kind in kinds if kind).most_common()]


def _again(asked: Asked, options: Options) -> str:
    """Return the command that goes on."""
    words = ["cosim sweep", asked.study, "--resume"]
    words += ["--shard", f"{options.shard.index}/{options.shard.n}"] if options.shard else []
    words += ["--store", str(asked.store)] if asked.store else []
    words += ["--out", str(asked.out_dir)] if asked.out_dir != Path("out") else []
    words += ["--engine", asked.engine] if asked.engine != "pool" else []
    words += ["--scheduler", asked.scheduler] if asked.scheduler else []
    return " ".join(words)


def _tell(found: dict[str, Any], say: Callable[[str], None] = click.echo) -> None:
    """Print the best points, failures by reason, and what comes next."""
    there = f"{found['n_stored']:,} of {found['n_rows']:,} rows there"
    say(f"{found['study']}: {found['n_points']:,} points, {there}, {found['n_computed']:,} new")
    tell_best(found.get("best", {}), say)
    failed = found.get("failed", [])
    if failed:
        say(f"{sum(one['n'] for one in failed):,} points failed:")
        for one in failed[:_MOST_REASONS]:
            say(f"  {one['n']:>7,}  {one['reason']}")
        if len(failed) > _MOST_REASONS:
            say(f"  {sum(one['n'] for one in failed[_MOST_REASONS:]):>7,}  for {len(failed) - _MOST_REASONS} other reasons")
    say(f"Written: {found.get('store') or found.get('files')}")
    say(f"Next: {found['next']}")


def tell_best(best: dict[str, Any], say: Callable[[str], None] = click.echo) -> None:
    """Print the best point by each objective."""
    for name, one in best.items():
        if one is None:
            say(f"best {name:<9} none keeps to all bounds")
            continue
        levels = ", ".join(f"{axis}={level}" for axis, level in one["point"].items())
        say(f"best {name:<9} {one['text']}  {levels}")

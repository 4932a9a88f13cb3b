"""`cosim study show|export|merge|best|report`: look at a study before its sweep, and at its rows after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cosim.cli.common import check_out_file, echo_json, note
from cosim.cli.study_show import command as show
from workloads.errors import StoreError

if TYPE_CHECKING:
    from cosim.study.export import Export
    from cosim.study.table import StudyTable


@click.group("study")
def command() -> None:
    """Look at a study before its sweep, and at its rows after it."""


command.add_command(show)

_STORE = click.option(
    "--store", type=click.Path(path_type=Path), default=None, metavar="FILE", help="Its store.  [default: OUT/<study>.db]"
)
_OUT = click.option("--out", "out_dir", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder of stores.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")


@command.command("export")
@click.argument("source", metavar="STORE|STUDY")
@click.option("--format", "form", type=click.Choice(["csv", "json", "parquet"]), default="csv", show_default=True, help="What to write.")
@click.option("--output", "-o", type=click.Path(path_type=Path), default=None, metavar="FILE", help="File to write.  [default: stdout]")
@_STORE
@_OUT
def export(source: str, form: str, output: Path | None, store: Path | None, out_dir: Path) -> None:
    """Write rows sorted by key: all of a store, or those of a study with a column for each of its axes.

    Equal sweeps give equal bytes, whatever computed them, on however many workers, interrupted or not.
    """
    from cosim.study.export import write_export

    check_out_file("--output", output)
    table = _export(source, store, out_dir)
    write_export(table, form, output)
    if output is not None:
        note(f"wrote {len(table.rows):,} rows to {output}")


def _export(source: str, store: Path | None, out_dir: Path) -> Export:
    from cosim.study.export import Export
    from cosim.study.judge import ALL_COLUMNS
    from cosim.study.store import Store
    from cosim.study.store_file import is_store
    from cosim.study.study_file import load_study
    from cosim.study.study_job import designs_of, study_job

    if is_store(Path(source)):
        with Store(source, ALL_COLUMNS) as opened:
            return Export(opened.read(), ALL_COLUMNS)
    study = load_study(source)
    with Store(store or out_dir / f"{study.name}.db", ALL_COLUMNS) as opened:
        job = study_job(study)
        return Export(opened.read(job.distinct()), ALL_COLUMNS, designs_of(job))


@command.command("merge")
@click.argument("shards", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--store", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Store to write to.")
@click.option("--partial", is_flag=True, help="Take what there is, though shards are missing.")
@_JSON
def merge(shards: tuple[Path, ...], store: Path, partial: bool, as_json: bool) -> None:
    """Make one store of the Parquet files of SHARDS (folders or files) that `cosim sweep --shard` has written."""
    from cosim.study.judge import ALL_COLUMNS
    from cosim.study.merge import merge as merge_shards
    from cosim.study.store import Store

    check_out_file("--store", store)
    is_new = not store.exists()
    opened = Store(store, ALL_COLUMNS, write=True)
    try:
        with opened:
            merged = merge_shards(shards, opened, partial=partial)
    except BaseException:
        if is_new:
            store.unlink(missing_ok=True)  # closed, its log is gone
        raise
    if as_json:
        echo_json({**vars(merged), "store": str(store)})
        return
    for one in merged.missing:
        note(one)
    click.echo(f"{merged.n_files:,} files, {merged.n_rows:,} rows, {merged.n_new:,} of them new to {store}")
    click.echo(f"Next: cosim study export {store} --format csv")


@command.command("best")
@click.argument("study")
@click.option("--objective", "objectives", multiple=True, metavar="O", help="In place of the study's: energy, edp, 'maximize accuracy'")
@_STORE
@_OUT
@_JSON
def best(study: str, objectives: tuple[str, ...], store: Path | None, out_dir: Path, as_json: bool) -> None:
    """Print the best point of STUDY by each objective among the rows of its store."""
    from cosim.cli.sweep import best_of, reasons, tell_best

    table = _table(study, objectives, store, out_dir)
    found = best_of(table)
    if as_json:
        echo_json({"study": table.study.name, "n_points": table.n, "best": found, "failed": reasons(table.errors)})
    else:
        tell_best(found)


@command.command("report")
@click.argument("study")
@click.option("--objective", "objectives", multiple=True, metavar="O", help="In place of the study's: energy, edp, 'maximize accuracy'")
@_STORE
@_OUT
@_JSON
def report(study: str, objectives: tuple[str, ...], store: Path | None, out_dir: Path, as_json: bool) -> None:
    """Write the page and the points of STUDY (OUT/<study>.html, OUT/<study>_points.csv) from the rows of its store."""
    from cosim.cli.common import check_out_dir, write_files
    from reports.study import study_files, study_text

    check_out_dir(out_dir)
    table = _table(study, objectives, store, out_dir)
    files = write_files(out_dir, study_files(table))
    if as_json:
        echo_json({"study": table.study.name, "fidelity": table.fidelity, "n_points": table.n, "files": files})
        return
    click.echo(study_text(table))
    click.echo(f"\nWritten: {', '.join(files)}")


def _table(source: str, objectives: tuple[str, ...], store: Path | None, out_dir: Path) -> StudyTable:
    """Return the points of a study's sweep that its store holds; raises StoreError where it holds none."""
    from cosim.cli.common import warm_up_if_cold
    from cosim.study.designs import points_of
    from cosim.study.feasible import feasible_space
    from cosim.study.judge import ALL_COLUMNS
    from cosim.study.objectives import read_objective
    from cosim.study.scores import check_fidelity, wanted_of
    from cosim.study.store import Store
    from cosim.study.study_file import load_study
    from cosim.study.tables import sweep_table

    study = load_study(source)
    wanted = wanted_of(study, [read_objective(text) for text in objectives] or None)
    check_fidelity(wanted, study.fidelity)
    path = store or out_dir / f"{study.name}.db"
    with Store(path, ALL_COLUMNS) as opened:
        warm_up_if_cold(study.policy, study=True)
        space = feasible_space(study)
        table = sweep_table(study, space, wanted, opened, points_of(study, space))
    if not table.n:
        raise StoreError(f"{path} holds no point of study {study.name!r} by these models; run cosim sweep {source} --store {path}")
    return table

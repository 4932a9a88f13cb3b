"""`cosim compress NET`: the network of least joules on a chip that loses at most so many points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cosim.cli.common import check_out_dir, echo_json, note, warm_up_if_cold, write_files
from cosim.cli.training_options import job_options, progress

_STAGES = "stages"


@click.command("compress")
@click.argument("network")
@click.option(
    "--chip", default="edge_cim_soc", show_default=True, metavar="C", help="A chip with compute-in-memory arrays, or a YAML file."
)
@click.option("--max-drop-points", type=float, required=True, metavar="X", help="Most points below the dense 8-bit control.")
@click.option("--epochs", type=click.IntRange(1), default=None, metavar="N", help="Epochs of tuning.  [default: the recipe's]")
@click.option("--quick", is_flag=True, help="A smaller grid and fewer epochs: a first look.")
@job_options
def command(network: str, out_dir: Path, *, as_json: bool, **options: Any) -> None:
    """Compress NETWORK for a chip, beside uniform bits with magnitude pruning; write networks (.npz, .onnx) and a page with the front."""
    from cosim.training.compress_summary import summary
    from reports.compress import compress_table

    check_out_dir(out_dir)
    result = _compress(network, out_dir, **options)
    files = _write(result, out_dir)
    if as_json:
        echo_json({**summary(result), "files": files})
        return
    click.echo(compress_table(result))
    click.echo("\nWritten: " + ", ".join(files))


def _compress(
    network: str,
    out_dir: Path,
    *,
    data: str | None,
    chip: str,
    max_drop_points: float,
    seeds: tuple[int, ...],
    split_seed: int,
    epochs: int | None,
    quick: bool,
    resume: bool,
) -> Any:
    """Build the job and run it with a bar."""
    from cosim.training.compress import CompressJob, compress
    from cosim.training.compress_stages import recipe_of
    from cosim.training.data import load_data
    from cosim.training.networks import trainable
    from cosim.training.torch_needed import need_torch
    from hw_models.catalog import load_chip

    need_torch("cosim compress")
    entry, built = trainable(network), load_chip(chip)
    recipe = recipe_of(quick=quick, tune=epochs)
    dataset = load_data(data or entry.data, split_seed)
    job = CompressJob(entry, dataset, built, max_drop_points, seeds, recipe, out_dir / _STAGES, resume)
    warm_up_if_cold()
    try:
        with progress(f"Compressing {entry.name} for {built.name}: {job.n_epochs} epochs in all", job.n_epochs) as tell:
            return compress(job, tell)
    except KeyboardInterrupt:
        note(f"interrupted: finished stages are in {job.folder}; the same command with --resume goes on")
        raise


def _write(result: Any, out_dir: Path) -> list[str]:
    """The compressed network of each seed as .npz and .onnx, then the page and the numbers."""
    from cosim.training.compress import provenance_of
    from cosim.training.network_file import save_network
    from cosim.training.skipping import rounded_program
    from reports.compress import compress_csv, compress_page
    from workloads.program_onnx import to_onnx

    paths, models = [], {}
    for seed, run in zip(result.job.seeds, result.final["gates"], strict=True):
        stem = f"{result.job.entry.name}_compressed_seed{seed}"
        save_network(run.network, out_dir / f"{stem}.npz", {**provenance_of(result.job), "seed": seed})
        paths.append(str(out_dir / f"{stem}.npz"))
        models[f"{stem}.onnx"] = to_onnx(rounded_program(run.network)).SerializeToString()
    return paths + write_files(out_dir, {**models, "compress.html": compress_page(result), "compress.csv": compress_csv(result)})

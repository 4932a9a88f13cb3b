"""`cosim train NET`: prepare a network for noisy, low-bit hardware, beside the control that was trained as long without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cosim.cli.common import check_out_dir, echo_json, note, warm_up_if_cold, write_files
from cosim.cli.training_options import job_options, percent, progress

_CHECKPOINTS = "checkpoints"


@click.command("train")
@click.argument("network")
@click.option("--chip", default="edge_cim_soc", show_default=True, metavar="C", help="A chip, or a compute-in-memory macro by name.")
@click.option("--epochs", type=click.IntRange(0), default=None, metavar="N", help="Epochs against the hardware.  [default: the recipe's]")
@click.option("--weight-bits", type=click.IntRange(2, 16), default=None, metavar="N", help="Bits of weights.  [default: real; 8 on arrays]")
@click.option(
    "--activation-bits", type=click.IntRange(1, 16), default=None, metavar="N", help="Bits of activations.  [default: real; 8 on arrays]"
)
@click.option(
    "--noise", default="chip", show_default=True, metavar="SIGMA|NAME|chip", help="Standard deviation, a model of cells, or the chip."
)
@click.option("--exact/--surrogate", "exact", default=False, help="How converters act in training.  [default: surrogate]")
@click.option("--no-control", is_flag=True, help="Leave out the control that trains without the hardware.")
@job_options
def command(network: str, out_dir: Path, *, as_json: bool, **options: Any) -> None:
    """Train NETWORK for its hardware; write the networks, a report, and checkpoints that a stopped run goes on from."""
    check_out_dir(out_dir)
    result = _train(network, out_dir, **options)
    files = _write(result, out_dir)
    summary = {**result.summary(), "checkpoint": files[0], "files": files}
    if as_json:
        echo_json(summary)
        return
    for line in _lines(result):
        click.echo(line)
    click.echo("\nWritten: " + ", ".join(files))
    click.echo(f"Next: cosim accuracy {files[0]} --data {result.job.dataset.name} --chip {result.job.chip}")


def _train(
    network: str,
    out_dir: Path,
    *,
    data: str | None,
    chip: str,
    epochs: int | None,
    seeds: tuple[int, ...],
    split_seed: int,
    weight_bits: int | None,
    activation_bits: int | None,
    noise: str,
    exact: bool,
    no_control: bool,
    resume: bool,
) -> Any:
    """Build the job, warm up what it needs and run it with a bar."""
    from cosim.training.data import load_data
    from cosim.training.hardware_choice import chosen
    from cosim.training.networks import trainable
    from cosim.training.torch_needed import need_torch
    from cosim.training.train import Job, recipe_for, train

    entry = trainable(network)
    hardware = chosen(chip, noise).hardware
    need_torch("cosim train")
    recipe = recipe_for(entry.name, hardware, weight_bits, activation_bits, epochs)
    job = Job(
        entry,
        load_data(data or entry.data, split_seed),
        hardware,
        recipe,
        chip,
        seeds,
        "exact" if exact else "surrogate",
        control=not no_control,
        folder=out_dir / _CHECKPOINTS,
        resume=resume,
    )
    if hardware.macro is not None:
        warm_up_if_cold()
    try:
        with progress(f"Training {entry.name} for {hardware.name}: {job.n_epochs} epochs in all", job.n_epochs) as tell:
            return train(job, tell)
    except KeyboardInterrupt:
        note(f"interrupted: finished epochs are in {job.folder}; the same command with --resume goes on")
        raise


def _write(result: Any, out_dir: Path) -> list[str]:
    """Networks of all seeds, the best on validation images first, then the report."""
    from cosim.training.network_file import save_network
    from reports.train import train_page

    best = sorted(result.runs, key=lambda run: -run.validation["aware"])
    paths = []
    for run in best:
        for kind in result.job.kinds:
            path = out_dir / f"{result.job.entry.name}_seed{run.seed}{'' if kind == 'aware' else '_control'}.npz"
            save_network(run.networks[kind], path, result.provenance(run.seed, kind))
            paths.append((kind, str(path)))
    paths.sort(key=lambda pair: pair[0] != "aware")
    return [path for _, path in paths] + write_files(out_dir, {"train.html": train_page(result)})


def _lines(result: Any) -> list[str]:
    """The table."""
    job, sizes = result.job, result.sizes
    then = job.recipe.then
    bits = f"{then.weight_bits or 'real'}-bit weights, {then.activation_bits or 'real'}-bit activations"
    text = [
        f"{job.entry.name} on {job.dataset.name} for {job.hardware.name}: {bits}",
        f"{sizes[0]} training, {sizes[1]} validation, {sizes[2]} test images; seeds {', '.join(map(str, job.seeds))}; "
        f"{then.epochs} epochs after {job.recipe.first.epochs}, {result.cpu_s:.1f} CPU s",
        "",
        f"{'accuracy on test images':<34}{'on the hardware':>20}{'computed digitally':>22}",
    ]
    names = {"aware": "trained for the hardware", "control": "control: as long, without it", "float": "float network"}
    text += [
        f"{names[kind]:<34}{percent(result.score(kind)):>20}{percent(result.score(kind, 'digital')):>22}" for kind in (*job.kinds, "float")
    ]
    if job.control:
        text += ["", f"gain over the control on the hardware: {result.gain:+.2f} points"]
    return text

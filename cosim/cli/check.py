"""`cosim check FILE`: read it as a run would, and say what is wrong and where."""

from __future__ import annotations

from pathlib import Path

import click

from workloads.errors import CosimError

# A file with one of these keys is meant as a chip, whatever it lacks of one.
_CHIP_KEYS = frozenset({"base", "devices", "memory", "links"})


@click.command("check")
@click.argument("file")
def command(file: str) -> None:
    """Check a chip or part (.yaml), or a network (.onnx); exit code 2 when it cannot be used."""
    path = Path(file)
    if path.suffix == ".onnx":
        from workloads.registry import load_workload

        workload = load_workload(path)
        for text in workload.notes:
            click.echo(f"note: {text}")
        click.echo(f"{file}: ok: {len(workload.ops)} ops, {workload.n_macs:,} MACs, {workload.n_params:,} parameters")
        return
    from hw_models.catalog import check_part, list_parts, load_chip, unsourced_numbers
    from hw_models.yaml_file import read_yaml

    if file in list_parts() or (path.suffix in {".yaml", ".yml"} and not _CHIP_KEYS & read_yaml(path).data.keys()):
        missing = check_part(file)
        what = "part"
    else:
        chip = load_chip(file)
        missing = unsourced_numbers(chip.description)
        what = f"chip of {len(chip.devices)} devices, {chip.area_m2 * 1e6:.1f} mm2"
    if missing:
        raise CosimError(f"{file}: numbers with neither source nor `assumed`: {', '.join(missing)}")
    click.echo(f"{file}: ok: {what}")

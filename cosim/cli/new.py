"""`cosim new FILE --from CHIP`: start a chip of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from cosim.cli.common import write_files
from workloads.errors import CosimError


@click.command("new")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "source", required=True, metavar="CHIP", help="Chip to start from: a catalog name or a YAML file.")
def command(file: Path, source: str) -> None:
    """Write FILE as a copy of a chip, comments and sources included, ready to edit."""
    from hw_models.catalog import chip_text, load_chip

    if file.suffix not in {".yaml", ".yml"}:
        raise CosimError(f"{file}: name a .yaml file")
    if file.exists():
        raise CosimError(f"{file}: exists already; choose another name or remove it first")
    load_chip(source)
    write_files(file.parent, {file.name: chip_text(source, file)})
    click.echo(f"{file} written from {source}. Edit it, then: cosim check {file}")

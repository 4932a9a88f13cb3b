"""`cosim calibrate MODEL`: fit a model's global constants on the shipped tables and write them as a part file."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("calibrate")
@click.argument("model", type=click.Choice(["cim"]))
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("out/cim_v1.csv"),
    show_default=True,
    help="File to write.",
)
def command(model: str, output: Path) -> None:
    """Fit the global constants of MODEL on the shipped tables and write them; the same bytes every time.

    `cim`: constants of compute-in-memory column passes from published macros, with intervals from papers left out of the fit.
    """
    from cosim.calibration.cim import fit_shipped, table_text
    from cosim.calibration.cim_table import read_rows

    click.echo(f"fitting {model}: once on all papers, then once without each of them", err=True)
    text = table_text(fit_shipped(), read_rows())
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(output.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(output)
    click.echo(f"wrote {output}")

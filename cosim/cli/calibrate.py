"""`cosim calibrate MODEL`: fit a model's global constants on the shipped tables, or knobs of one macro to its measurements."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource


@click.command("calibrate")
@click.argument("model", type=click.Choice(["cim"]))
@click.option("--knobs", default=None, help="At most 3 knobs of one macro to fit instead, such as adc,cell,supply; needs --measured.")
@click.option("--measured", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Its measurements, as in cim_macros.csv.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("out/cim_v1.csv"),
    show_default=True,
    help="File to write; out/cim_knobs.csv with --knobs.",
)
@click.pass_context
def command(context: click.Context, model: str, knobs: str | None, measured: Path | None, output: Path) -> None:
    """Fit the global constants of MODEL on the shipped tables and write them; the same bytes every time.

    `cim`: constants of compute-in-memory column passes from published macros, with intervals from papers left out of the fit. With
    --knobs those stay, and named components of one macro are scaled to what --measured says.
    """
    if knobs is None and measured is None:
        _write(_fit_all(model), output)
        return
    if knobs is None or measured is None:
        raise click.UsageError("--knobs and --measured belong together; give both or neither")
    if context.get_parameter_source("output") is ParameterSource.DEFAULT:
        output = output.with_name("cim_knobs.csv")
    _write(_fit_knobs(knobs, measured), output)


def _fit_all(model: str) -> str:
    from cosim.calibration.cim import fit_shipped, table_text
    from cosim.calibration.cim_table import read_rows

    click.echo(f"fitting {model}: once on all papers, then once without each of them", err=True)
    return table_text(fit_shipped(), read_rows())


def _fit_knobs(knobs: str, measured: Path) -> str:
    """Fit knobs and tell them."""
    from cosim.calibration.cim_knobs import fit_table, knobs_text

    done = fit_table(measured, [name.strip() for name in knobs.split(",")])
    for name, value in done.knobs.values.items():
        click.echo(f"{name:<10} {value:.4g}")
    click.echo(f"mean error {done.knobs.mean_error:.2%} of {len(done.knobs.ln_residuals)} points")
    return knobs_text(done)


def _write(text: str, output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(output.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(output)
    click.echo(f"wrote {output}")

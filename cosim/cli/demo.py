"""`cosim demo`: a first result within seconds of the install."""

from __future__ import annotations

from pathlib import Path

import click

from cosim.cli.run import run_and_report


@click.command("demo")
@click.option("--out", "out_dir", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder for the report.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def command(out_dir: Path, as_json: bool) -> None:
    """Run ResNet-18 on an edge chip with in-memory arrays, write its report, and suggest what to do next."""
    run_and_report(
        "resnet18",
        "edge_cim_soc",
        batch=1,
        dims=(),
        weight_bits=8,
        activation_bits=8,
        fidelity="event",
        policy="heft",
        seed=0,
        out_dir=out_dir,
        as_json=as_json,
        next_command="cosim compare resnet50 --chips edge_npu_soc,edge_cim_soc",
    )

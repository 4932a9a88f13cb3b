"""`cosim load WORKLOAD[@RATE] ... --chip CHIP`: inferences that arrive while others still run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cosim.cli.common import check_out_dir, echo_json, load_inputs, note, simulation_options, warm_up_if_cold, write_files
from workloads.errors import CosimError, suggest


@click.command("load")
@click.argument("workloads", nargs=-1, required=True, metavar="WORKLOAD[@RATE]...")
@click.option("--chip", required=True, metavar="CHIP", help="A chip of the catalog, or a YAML file.")
@click.option("--inferences", type=int, default=None, metavar="N", help="Of all streams together.  [default: 2000, or the whole trace]")
@click.option(
    "--order", default="fifo", show_default=True, metavar="ORDER", help="Of ready ops: fifo, priority or edf (earliest deadline)."
)
@click.option("--deadline", "deadlines", multiple=True, metavar="[NAME=]TIME", help="Of each inference from its arrival, such as 33ms.")
@click.option("--priority", "priorities", multiple=True, metavar="NAME=P", help="Of a stream, for --order priority; larger first.")
@click.option(
    "--trace-arrivals", type=click.Path(path_type=Path), default=None, metavar="FILE", help="CSV of arrivals: arrival_s, workload."
)
@click.option("--saturated", is_flag=True, help="All wait at time 0: largest throughput and pipeline interval.")
@click.option(
    "--in-flight", type=int, default=None, metavar="N", help="Inferences of a stream that may be on the chip at once.  [default: any]"
)
@click.option("--warmup", type=float, default=0.1, show_default=True, metavar="F", help="Share of inferences that is not counted.")
@click.option("--dvfs", multiple=True, metavar="DEV=F", help="Scale of a device's clock, at the lowest supply that allows it.")
@click.option("--gating", default=None, metavar="TIME,KEPT", help="A device idle for TIME keeps a fraction KEPT of its idle power.")
@simulation_options("portfolio")
def command(
    workloads: tuple[str, ...],
    chip: str,
    *,
    inferences: int | None,
    order: str,
    deadlines: tuple[str, ...],
    priorities: tuple[str, ...],
    trace_arrivals: Path | None,
    saturated: bool,
    in_flight: int | None,
    warmup: float,
    dvfs: tuple[str, ...],
    gating: str | None,
    batch: int | None,
    dims: tuple[tuple[str, int], ...],
    weight_bits: int,
    activation_bits: int,
    fidelity: str,
    policy: str,
    seed: int,
    out_dir: Path,
    as_json: bool,
) -> None:
    """Let inferences of one or several networks arrive on a chip; print throughput, latency percentiles, queues and energy.

    RATE is a mean rate of random arrivals (lenet5@200 is 200 a second) or the time from one to the next (lenet5@5ms).
    """
    from cosim.simulation.load import Load
    from hw_models.catalog import load_chip

    check_out_dir(out_dir)
    built = load_chip(chip)
    streams = _streams(workloads, batch, dims, deadlines, priorities, trace_arrivals)
    for text in dict.fromkeys(text for stream in streams for text in stream.workload.notes):
        note(f"note: {text}")
    warm_up_if_cold(policy)
    load = Load(
        chip=built,
        streams=streams,
        policy=policy,
        fidelity=fidelity,
        seed=seed,
        n_inferences=inferences,
        order=order,
        warmup=warmup,
        saturated=saturated,
        in_flight=in_flight,
        dvfs={name: _number("--dvfs", text) for name, text in (_pair("--dvfs", given) for given in dvfs)},
        gating=_gating(gating),
        weight_bits=weight_bits,
        activation_bits=activation_bits,
    )
    _report(load.run(note), out_dir, as_json=as_json)


def _report(result: Any, out_dir: Path, *, as_json: bool) -> None:
    """Write the files of a load, and print JSON or a table."""
    from cosim.plan import schedule_text
    from reports.load import load_files, load_table

    files = write_files(out_dir, {**load_files(result), "placement.json": schedule_text(result.schedule)})
    if as_json:
        echo_json({**result.summary(), "files": files})
        return
    click.echo(load_table(result))
    click.echo("\nWritten: " + ", ".join(files))


def _streams(
    workloads: tuple[str, ...],
    batch: int | None,
    dims: tuple[tuple[str, int], ...],
    deadlines: tuple[str, ...],
    priorities: tuple[str, ...],
    trace: Path | None,
) -> list[Any]:
    """Return a Stream for each workload; the second of a network goes by `NAME#2`."""
    from cosim.simulation.arrivals import Stream, read_trace
    from cosim.simulation.tenants import unique_names

    given = [_arrival(text) for text in workloads]
    networks = {name: load_inputs(name, batch, dims) for name in dict.fromkeys(name for name, _ in given)}
    names = unique_names([networks[name].name for name, _ in given])
    if trace is not None and any(rate for _, rate in given):
        raise CosimError(f"--trace-arrivals {trace}: a workload has a rate as well; give one of both")
    traces = read_trace(trace, names) if trace is not None else {}
    due = _by_name("--deadline", deadlines, names, _seconds)
    first = _by_name("--priority", priorities, names, _number)
    return [
        Stream(
            networks[source],
            **rate,
            arrivals_s=traces.get(name),
            deadline_s=due.get(name),
            priority=first.get(name, 0.0),
            name=name,
        )
        for name, (source, rate) in zip(names, given, strict=True)
    ]


def _arrival(text: str) -> tuple[str, dict[str, float]]:
    """Split `NAME@RATE`: a number (or number/s) is a rate, a time is a period; no @ (or none before a name's end) is neither."""
    name, sign, rate = text.rpartition("@")
    if not sign:
        return text, {}
    try:
        return name, {"rate_per_s": float(rate.removesuffix("/s"))}
    except ValueError:
        return name, {"period_s": _seconds(f"workload {text!r}: rate", rate)}


def _by_name(option: str, given: tuple[str, ...], names: list[str], read: Any) -> dict[str, float]:
    """Return name → value of options `NAME=VALUE`; a value without a name is for all."""
    found: dict[str, float] = {}
    for text in given:
        name, value = _pair(option, text) if "=" in text else ("", text)
        if name and name not in names:
            raise CosimError(f"{option} {text}: {name!r} is none of the load; {suggest(name, names)}")
        for one in [name] if name else names:
            found[one] = read(option, value)
    return found


def _pair(option: str, text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise CosimError(f"{option} {text}: write NAME=VALUE")
    return name, value


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise CosimError(f"{option}: {text!r} is not a number") from None


def _seconds(option: str, text: str) -> float:
    """Return a time written with its unit."""
    from hw_models.units import parse_quantity

    try:
        return parse_quantity(text, "s")
    except ValueError as error:
        raise CosimError(f"{option}: {error}") from None


def _gating(text: str | None) -> Any:
    """Return the gating of `TIME,KEPT`, such as 100us,0.1."""
    from cosim.simulation.power import Gating

    if text is None:
        return None
    after, sign, kept = text.partition(",")
    if not sign:
        raise CosimError(f"--gating {text}: write TIME,KEPT, such as 100us,0.1")
    return Gating(_seconds("--gating", after), _number("--gating", kept))

"""The `cosim` command: a click group whose commands are imported only when they are called."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module

import click

# Command → (module, one-line help), so that `cosim --help` imports none of them.
_COMMANDS = {
    "demo": ("demo", "Run one network end to end and show where to go next."),
    "run": ("run", "Simulate a network on a chip and write its energy report."),
    "compare": ("compare", "Put two or more chips side by side on one network."),
    "place": ("place", "Choose what runs where: makespan, energy, lower bound, gap; train the policy."),
    "load": ("load", "Let inferences arrive while others run: throughput, latency percentiles, queues."),
    "list": ("listing", "List chips, workloads, devices, parts or policies."),
    "show": ("show", "Print a chip, part or workload with the source of every number."),
    "check": ("check", "Check a chip, part or ONNX file and say what is wrong and where."),
    "new": ("new", "Write a new chip file that starts from an existing chip."),
    "warmup": ("warmup", "Compile the kernels once, with a progress bar."),
    "accuracy": ("accuracy", "Measure a network's accuracy on a chip, what costs it, and how sure it is."),
    "cim": ("cim", "Print energy, efficiency, time and area of one compute-in-memory macro."),
    "compress": ("compress", "Prune a network and choose its bits by the joules that they save on a chip."),
    "sweep": ("sweep", "Compute all points of a study, keep every row, go on after whatever stops it."),
    "optimise": ("optimise", "Search a study for its best points with few evaluations."),
    "study": ("study", "Look at a study before its sweep, and at its rows after it."),
    "calibrate": ("calibrate", "Fit a model's global constants on the shipped tables."),
    "train": ("train", "Prepare a network for noisy, low-bit hardware, beside a control."),
    "validate": ("validate", "Run a model against reference data and report its error."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and loads each on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order of a first session."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"cosim.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command when there is none of that name."""
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from workloads.errors import suggest

            ctx.fail(f"command {args[0]!r} is not known; {suggest(args[0], _COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cosim", message="%(prog)s %(version)s")
def cli() -> None:
    """Simulate neural networks on chips: latency, energy and area, and how far to trust them.

    Start with `cosim demo`, then `cosim run resnet50 --chip edge_cim_soc`.
    """


def main() -> None:
    """Run the command line; a user's mistake ends with one paragraph on stderr and exit code 2."""
    from workloads.errors import CosimError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without µ or ² shows a question mark
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        _stop("interrupted: nothing was half written", 130)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except CosimError as error:
        _stop(f"Error: {error}", 2)
    except KeyboardInterrupt:
        _stop("interrupted: nothing was half written", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _stop(f"Error: {error.filename or 'output'}: {error.strerror or error}", 2)


def _stop(message: str, code: int) -> None:
    click.echo(message, err=True)
    sys.exit(code)

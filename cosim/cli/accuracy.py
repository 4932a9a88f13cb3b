"""`cosim accuracy NET`: how accurate a network is on a chip, what costs it accuracy, and how far its answers can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cosim.cli.common import check_out_dir, echo_json, note, warm_up_if_cold, write_files
from cosim.cli.training_options import Seeds, percent, progress

_CAUSES = {
    "weight_bits": "weight bits",
    "dac": "activation bits (DAC)",
    "adc_resolution": "ADC resolution",
    "adc_clipping": "ADC clipping",
    "ir_drop": "IR drop",
    "read": "read noise",
}


class Duration(click.ParamType[float]):
    """A time with its unit."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        from hw_models.units import parse_quantity

        if isinstance(value, float):
            return value
        try:
            return parse_quantity(value, "s")
        except ValueError as error:
            self.fail(f"{error}; times of years are '1 year', '30 day', '24 h'", param, ctx)


@click.command("accuracy")
@click.argument("network")
@click.option("--data", default=None, metavar="D", help="A data set by name, an .npz file or a folder of images.  [default: the network's]")
@click.option("--chip", default="edge_cim_soc", show_default=True, metavar="C", help="A chip, or a compute-in-memory macro by name.")
@click.option("--time", "t_s", type=Duration(), default=None, help="Time since programming, such as '1 year'.  [default: as programmed]")
@click.option("--no-compensation", is_flag=True, help="Leave drift as it is.")
@click.option("--seeds", type=Seeds(), default="0,1,2", show_default=True, help="Seeds of the chips that are programmed.")
@click.option("--draws", "n_draws", type=click.IntRange(1), default=None, metavar="N", help="Chips a seed.  [default: 8; 1 on arrays]")
@click.option("--passes", type=click.IntRange(1), default=1, show_default=True, metavar="K", help="Passes whose answers are averaged.")
@click.option("--coverage", type=float, default=0.9, show_default=True, metavar="F", help="Share of inputs that is answered.")
@click.option("--exact/--surrogate", "exact", default=True, help="How arrays are computed.  [default: exact]")
@click.option(
    "--noise", default="chip", show_default=True, metavar="SIGMA|NAME|chip", help="Standard deviation, a model of cells, or the chip."
)
@click.option(
    "--weight-bits", type=click.IntRange(2, 16), default=None, metavar="N", help="Bits of weights.  [default: the network's, or 8]"
)
@click.option(
    "--rounding",
    type=click.Choice(["nearest", "adaround"]),
    default="nearest",
    show_default=True,
    help="How real weights get their bits: adaround learns it on training inputs (a minute).",
)
@click.option("--activation-bits", type=click.IntRange(1, 16), default=None, metavar="N", help="Of activations.  [default: as above]")
@click.option(
    "--inputs",
    type=click.Choice(["network", "raw", "unit", "standard"]),
    default="network",
    show_default=True,
    help="Raw values as the network was saved, as they are, over full scale, or normalized.",
)
@click.option("--split-seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Which inputs are the test set.")
@click.option("--out", "out_dir", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder for the report.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def command(network: str, out_dir: Path, *, as_json: bool, **options: Any) -> None:
    """Put NETWORK (a name, a checkpoint of `cosim train`, or an .onnx file) on a chip and measure its accuracy on the test set."""
    from reports.accuracy import accuracy_page

    check_out_dir(out_dir)
    question = question_of(network, **options)
    if question.hardware.macro is not None:
        warm_up_if_cold()
    answer = asked(question)
    files = write_files(out_dir, {"accuracy.html": accuracy_page(answer)})
    if as_json:
        echo_json({**answer.summary(), "files": files})
        return
    for line in lines(answer):
        click.echo(line)
    click.echo("\nWritten: " + ", ".join(files))


def question_of(
    network: str,
    *,
    data: str | None = None,
    chip: str,
    t_s: float | None = None,
    no_compensation: bool = False,
    noise: str = "chip",
    exact: bool = True,
    split_seed: int = 0,
    **more: Any,
) -> Any:
    """What is to be measured, from the words of the command."""
    from cosim.training.assess import Question
    from cosim.training.data import load_data
    from cosim.training.hardware_choice import chosen
    from cosim.training.network_file import load_any

    found = chosen(chip, noise, t_s=t_s, compensation=not no_compensation)
    loaded = load_any(network)
    dataset = load_data(data or _data_of(loaded.program.name), split_seed)
    return Question(network, loaded, dataset, chip, found, path="exact" if exact else "surrogate", **more)


def _data_of(name: str) -> str:
    """Data set that a network of this name is trained on."""
    from cosim.training.networks import TRAINABLE
    from workloads.errors import CosimError

    if name not in TRAINABLE:
        raise CosimError(f"network {name}: no data set goes with it; give --data")
    return TRAINABLE[name].data


def asked(question: Any) -> Any:
    """The answer, with a bar."""
    from cosim.training.assess import assess

    name = question.network.program.name
    with progress(f"{name} on {question.hardware.name}", question.n_steps) as tell:
        return assess(question, lambda text: tell(text, 1))


def lines(answer: Any) -> list[str]:
    """Accuracies, joules, losses, times and warnings as text."""
    for text in answer.notes:
        note(f"note: {text}")
    return [*_head(answer), *_losses(answer), *_sure(answer), *_times(answer), *_warnings(answer)]


def _head(answer: Any) -> list[str]:
    """What was measured, and the accuracies."""
    from hw_models.units import show

    asked_, result, network = answer.question, answer.result, answer.network
    when = "as programmed" if asked_.hardware.t_s is None else f"{_duration(asked_.hardware.t_s)} after programming"
    bits = ", ".join(
        f"{f'{n}-bit' if n else 'real'} {what}" for n, what in ((network.weight_bits, "weights"), (network.activation_bits, "activations"))
    )
    n_chips = result.trial.draws * len(asked_.seeds) if result.trial.is_chance else 1
    n_test = len(result.trial.labels)
    text = [
        f"{network.program.name} on {asked_.data.name} ({n_test} test inputs) for {asked_.hardware.name}",
        f"{bits}, {when}",
        f"mean over {n_chips} programmed chip{'s' if n_chips > 1 else ''}, spread over {len(asked_.seeds)} seeds, {asked_.passes} pass"
        f"{'es averaged' if asked_.passes > 1 else ''}",
        "",
        f"  {'on the hardware':<24}{percent(result.accuracy):>18}",
        f"  {'rounded, digital':<24}{percent(result.control):>18}",
        f"  {'float':<24}{percent(result.float_score):>18}",
    ]
    if asked_.passes > 1:
        text.insert(5, f"  {'one pass alone':<24}{percent(result.single):>18}")
    if answer.energy_j is not None:
        text += ["", f"energy of an answer: {show(answer.energy_j, 'J')} dynamic" + _digital(answer)]
    return text


def _digital(answer: Any) -> str:
    """What the digital unit would spend."""
    from hw_models.units import show

    joules = answer.joules
    return f"; {show(joules.digital_j, 'J')} on {joules.unit} alone" if joules.digital_j is not None else ""


def _losses(answer: Any) -> list[str]:
    """One line a cause that acts."""
    if len(answer.losses) <= 1 and not answer.drop_points:
        return []
    text = ["", f"{'points lost to':<26}{'alone':>8}  standard error"]
    for loss in answer.losses:
        name = _CAUSES.get(loss.cause, loss.cause)
        text.append(f"  {name:<24}{loss.points:8.2f}  {loss.standard_error:.2f}{'' if loss.is_resolved else '  within noise'}")
    total = answer.result.float_score.mean - answer.result.accuracy.mean
    return [*text, f"  {'float to hardware':<24}{total:8.2f}"]


def _sure(answer: Any) -> list[str]:
    """Calibration and coverage."""
    found = answer.summary()
    text = [
        "",
        f"calibration error {found['ece']:.3f}; {found['accuracy_at_coverage']:.2f} % right of the surest {found['coverage']:.0%}",
    ]
    if found["redrawn"]:
        anew = found["redrawn"]
        text.append(
            f"programmed anew for each pass: {anew['accuracy']['mean']:.2f} %, calibration error {anew['ece']:.3f}, "
            f"{anew['accuracy_at_coverage']:.2f} % right among the surest"
        )
    return text


def _times(answer: Any) -> list[str]:
    """Accuracy against time."""
    if not answer.times:
        return []
    text = ["", f"{'time':>12}{'compensated':>20}{'not compensated':>20}"]
    for row in answer.times:
        with_, without = (f"{row[key]['mean']:.2f} ± {row[key]['std']:.2f} %" for key in ("compensated", "uncompensated"))
        text.append(f"{_duration(row['time_s']):>12}{with_:>20}{without:>20}")
    return text


def _duration(seconds: float) -> str:
    """In the largest unit of which it is one or more."""
    units = {"year": 365.25 * 86400, "day": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0}
    name = next((name for name, size in units.items() if seconds >= size), "s")
    return f"{seconds / units[name]:.4g} {name}"


def _warnings(answer: Any) -> list[str]:
    """What destroys accuracy, and what would do."""
    found = answer.warnings
    return [""] * bool(found) + [f"warning: {one['parameter']} costs {one['loss_points']:.1f} points: {one['advice']}" for one in found]

"""Accuracy beside energy: what `--accuracy DATA` of `cosim run` and `cosim compare` measures and prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cosim.cli.accuracy import asked

Judge = Callable[[str], dict[str, Any]]


def judge_of(workload: str, data: str | None, weight_bits: int, activation_bits: int, seed: int) -> Judge | None:
    """Return the function (chip) -> accuracy, None where it was not asked for.

    Network and data are read here, before anything is simulated. Raises CosimError where no trained weights come with the workload.
    """
    if data is None:
        return None
    from cosim.training.assess import Question
    from cosim.training.data import fitted, load_data
    from cosim.training.hardware_choice import chosen
    from cosim.training.network_file import load_any
    from workloads.errors import CosimError

    try:
        network = load_any(workload)
    except CosimError as error:
        raise CosimError(f"--accuracy {data}: {error}") from None
    dataset = load_data(data)
    fitted(dataset, network.program.input_shape, network.program.name)
    own_w, own_a = network.weight_bits, network.activation_bits
    seeds = (seed, seed + 1, seed + 2)

    def judge(chip: str) -> dict[str, Any]:
        question = Question(
            workload, network, dataset, chip, chosen(chip), own_w or weight_bits, own_a or activation_bits, seeds=seeds
        )  # fmt: skip
        return brief(asked(question))

    return judge


def brief(answer: Any) -> dict[str, Any]:
    """What stands beside the energy of a run: mean, std and seeds of the accuracy, and what it is compared with."""
    found = answer.summary()
    kept = ("data", "split", "control", "float", "drop_points", "weight_bits", "activation_bits", "path", "loss_by_cause")
    return {**found["accuracy"], **{key: found[key] for key in (*kept, "warnings", "notes")}}


def accuracy_lines(accuracies: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line a chip, and the warnings."""
    first = next(iter(accuracies.values()))
    text = [f"Accuracy on {first['data']} ({first['split']['n_test']} test inputs)"]
    text.append(f"  {'':<24}{'on the chip':>18}{'digital':>10}{'float':>10}")
    for chip, found in accuracies.items():
        mean = f"{found['mean']:.2f} ± {found['std']:.2f} %"
        text.append(f"  {chip:<24}{mean:>18}{found['control']['mean']:>8.2f} %{found['float']['mean']:>8.2f} %")
        text += [f"  warning: {one['parameter']} costs {one['loss_points']:.1f} points: {one['advice']}" for one in found["warnings"]]
        text += [f"  note: {one}" for one in found["notes"]]
    return text

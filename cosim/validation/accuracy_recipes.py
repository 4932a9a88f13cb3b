"""What the five tables trained: the phases of each recipe.

Epochs, learning rates, noise, clip and bits of `cnn` and `mlp`, and the epochs with an ADC, are those of
`data/training/training_baselines.README.md`. Assumed, since it leaves them open: 20 + 3 epochs and all learning rates of `adc`; no clip
where weights are rounded; controls of uncertainty_anchor.csv without clip. What aihwkit trained on its own tile is trained as what it is
there, noise on each row and a clip, by gradient descent with its numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Any

from cosim.training.recipe import Phase
from cosim.validation.accuracy_cases import Case, Net, Reading
from workloads.errors import WorkloadError, suggest

NETWORKS: dict[Net, str] = {"cnn": "cnn_small", "mlp": "mlp_digits", "adc": "mlp_mnist"}
CLIP = 2.5
# Float network, and what recipes add to it, by net.
FIRST: dict[Net, Phase] = {"cnn": Phase(12, 1e-3), "mlp": Phase(40, 5e-3), "adc": Phase(20, 2e-3)}
MORE: dict[Net, Phase] = {"cnn": Phase(6, 5e-4), "mlp": Phase(30, 2e-3), "adc": Phase(3, 1e-3, weight_bits=4, activation_bits=8)}
STRESS_CNN_EPOCHS = 10
OTHER_TOOL = "aihwkit's own"
SGD_RATE, SGD_MOMENTUM = 0.05, 0.9
RECIPES = (OTHER_TOOL, "float", "control", "noise-aware", "post-training", "quantization-aware", "quantization- and noise-aware")


@dataclass(frozen=True)
class Made:
    """A network as it is trained: `first` from fresh weights, then `more` (None: nothing), then rounded to `round_bits` (None: not).

    `aware_epochs` more are trained through the converters of `adc`, at the learning rate of `more`. `momentum`: `more` is trained by
    stochastic gradient descent with it, not by Adam.
    """

    net: Net
    first: Phase
    more: Phase | None = None
    round_bits: int | None = None
    aware_epochs: int = 0
    adc: Reading | None = None
    momentum: float | None = None

    @property
    def words(self) -> str:
        """What decides its numbers."""
        parts = [self.net, changed(self.first), changed(self.more) if self.more else ""]
        parts += [
            f"round {self.round_bits}",
            f"aware {self.aware_epochs} {self.adc.label if self.adc else ''}",
            f"momentum {self.momentum}",
        ]
        return "; ".join(parts)

    @property
    def cost_s(self) -> float:
        """CPU seconds of its epochs, about, for remaining time; the first ones are shared."""
        return (self.more.epochs if self.more else 0) * EPOCH_S[self.net] + self.aware_epochs * AWARE_EPOCH_S


def changed(phase: Phase) -> str:
    """What of a phase is not as usual, in words."""
    values = ((field.name, getattr(phase, field.name), field.default) for field in fields(phase))
    return ", ".join(f"{name} {value!r}" for name, value, usual in values if value != usual)


# CPU seconds of an epoch, about: they only tell how long a run may take.
EPOCH_S: dict[Net, float] = {"cnn": 0.6, "mlp": 0.02, "adc": 0.1}
AWARE_EPOCH_S = 0.8


def made_of(case: Case) -> Made:
    """How the network of a number is trained; WorkloadError on a recipe that is not known."""
    first, more = FIRST[case.net], MORE[case.net]
    if case.file == "training_stress" and case.net == "cnn":
        first = replace(first, epochs=STRESS_CNN_EPOCHS)
    recipe, bits = _bits(case.recipe)
    if recipe == "float":
        return Made(case.net, first)
    base = Made(case.net, first, more)
    if case.net == "adc":
        aware = re.match(r"(\d+) epochs", recipe)
        return replace(base, aware_epochs=int(aware[1]), adc=case.reading) if aware else base
    if recipe.startswith("post-training"):
        return replace(base, more=None, round_bits=bits)
    changes = _changes(recipe, bits)
    if changes is not None:
        return replace(base, more=replace(more, **changes), momentum=SGD_MOMENTUM if recipe.startswith(OTHER_TOOL) else None)
    raise WorkloadError(f"{case.file}: recipe {case.recipe!r} is not known; {suggest(case.recipe, RECIPES)}")


def _changes(recipe: str, bits: int | None) -> dict[str, Any] | None:
    """What a recipe changes in the epochs that it adds; None where it is not known."""
    if recipe.startswith("control"):
        clip = re.search(r"clip=([\d.]+)", recipe)
        return {"clip_layer": (float(clip[1]) or None) if clip else None}
    if recipe.startswith("quantization"):
        return {"weight_bits": bits, "sigma": _noise(recipe)}
    if recipe.startswith("noise-aware"):
        return {"sigma": _noise(recipe), "clip_layer": CLIP}
    if recipe.startswith(OTHER_TOOL):
        return {"learning_rate": SGD_RATE, "sigma": _noise(recipe), "clip_layer": CLIP}
    return None


def _bits(recipe: str) -> tuple[str, int | None]:
    """A recipe without its weight bits, and these."""
    match = re.fullmatch(r"(.*), (\d+) bits", recipe)
    return (match[1], int(match[2])) if match else (recipe, None)


def _noise(recipe: str) -> float:
    """Standard deviation that a recipe names, 0 without."""
    match = re.search(r"(?:std=|add_normal=|noise-aware )(\d*\.\d+)", recipe)
    return float(match[1]) if match else 0.0

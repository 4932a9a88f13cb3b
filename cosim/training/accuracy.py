"""Accuracy of a network on hardware: over chips that are programmed anew, passes with fresh read noise, and beside the digital control.

A seed programs `n_draws` chips; a chip keeps its programming through all its passes, whose softmax is averaged. `redrawn` programs anew for
each pass, which silicon does not do and which other tools report. Accuracies are percentages of test inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cosim.training.cells import PASSES, generator
from cosim.training.deploy import Path, causes_of, deploy
from cosim.training.engines import Deployed, Digital
from cosim.training.hardware import CAUSES, Hardware
from cosim.training.network import Network
from cosim.training.samples import thinned
from cosim.training.surrogate import MAX_SAMPLES
from cosim.training.uncertainty import softmax
from workloads.errors import SimulationError, WorkloadError

Array = NDArray[Any]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Tell = Callable[[str], None]  # of each step, before it is taken

N_DRAWS = 8  # chips a seed of hardware whose errors are cheap to draw: the protocol of the anchors has 8 or more


@final
@dataclass(frozen=True)
class Score:
    """Percentages, one a seed."""

    per_seed: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.per_seed))

    @property
    def std(self) -> float:
        """Standard deviation over seeds, n - 1 in the denominator; 0 of one seed."""
        return float(np.std(self.per_seed, ddof=1)) if len(self.per_seed) > 1 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as `--json` has it."""
        return {"mean": self.mean, "std": self.std, "per_seed": list(self.per_seed)}


@final
@dataclass(frozen=True, eq=False)
class Trial:
    """A network that is ready for its hardware, test inputs and labels, and how often to try.

    x, samples: raw inputs [n, ...] of test and training set; `samples` place ranges and measure the surrogate. n_draws None: 8 where cells
    or noise are drawn without arrays, 1 on arrays. Raises WorkloadError where inputs do not fit the network, SimulationError on bad counts.
    """

    network: Network
    x: Array
    labels: Array
    hardware: Hardware
    samples: Array | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    n_draws: int | None = None
    passes: int = 1
    path: Path = "exact"
    _reads: list[str] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise SimulationError(f"seeds {self.seeds}: give different whole numbers of 0 or more")
        if self.passes < 1 or (self.n_draws is not None and self.n_draws < 1):
            raise SimulationError(f"passes {self.passes}, draws {self.n_draws}: choose 1 or more")
        if len(self.x) != len(self.labels) or not len(self.x):
            raise WorkloadError(f"data: {len(self.x)} inputs and {len(self.labels)} labels; give one label an input, and at least one")

    @cached_property
    def inputs(self) -> Array:
        """Test inputs as the program takes them."""
        return as_inputs(self.network, self.x)

    @cached_property
    def training(self) -> Array | None:
        """Training inputs as the program takes them, at most 500 of them."""
        return None if self.samples is None else as_inputs(self.network, thinned(self.samples, MAX_SAMPLES))

    @property
    def is_chance(self) -> bool:
        """Whether chips or passes differ; a surrogate's passes always do."""
        chance = {"cells", "programming", "drift", "read"} if self.path == "exact" else set(CAUSES) - {"weight_bits", "dac"}
        return bool(chance & set(causes_of(self.network, self.hardware)))

    @property
    def draws(self) -> int:
        """Chips a seed."""
        if not self.is_chance:
            return 1
        return self.n_draws or (1 if self.hardware.macro else N_DRAWS)

    @property
    def n_reads(self) -> int:
        """How often test inputs were put through the network up to now."""
        return len(self._reads)

    def on(self, hardware: Hardware) -> Trial:
        """The same on other hardware; reads of the test set are counted together."""
        return replace(self, hardware=hardware)

    def chips(self) -> list[tuple[int, int]]:
        """Seed and draw of each chip."""
        return [(seed, draw) for seed in self.seeds for draw in range(self.draws)]

    def deployed(self, seed: int, *place: int) -> Deployed:
        """One chip."""
        chip = int(np.random.SeedSequence([seed, *place]).generate_state(1, np.uint64)[0])
        return deploy(self.network, self.hardware, chip, self.training, self.path)

    def outputs(self, deployed: Deployed, rng: np.random.Generator) -> Floats:
        """Outputs [n, classes] of one pass over the test inputs."""
        self._reads.append(self.hardware.name)
        y = np.asarray(deployed.outputs(self.inputs, rng), dtype=np.float64)
        if y.ndim != 2 or int(np.max(self.labels)) >= y.shape[1] or int(np.min(self.labels)) < 0:
            raise WorkloadError(
                f"{self.network.program.name}: outputs {list(y.shape)} do not tell labels {np.min(self.labels)} to {np.max(self.labels)} "
                "apart; a classifier has one output a class"
            )
        return y

    def correct(self, outputs: Floats) -> Bools:
        """Which test inputs are told right; [n]."""
        return np.asarray(outputs.argmax(axis=-1) == self.labels)


@final
@dataclass(frozen=True, eq=False)
class AccuracyResult:
    """What was found: probabilities [seed, draw, pass, n, class] of a chip's passes and of passes programmed anew (None where not asked).

    float_predictions, control_predictions [n]: classes that the real network, and the rounded one without hardware, tell.
    """

    trial: Trial
    probabilities: Floats
    redrawn: Floats | None
    float_predictions: Ints
    control_predictions: Ints

    @property
    def accuracy(self) -> Score:
        """Of the mean softmax of all passes, mean over chips."""
        return score(self.trial, self.probabilities.mean(axis=2))

    @property
    def single(self) -> Score:
        """Of one pass, mean over passes and chips."""
        return score(self.trial, self.probabilities)

    @property
    def redrawn_score(self) -> Score | None:
        """Of the mean softmax of passes that are programmed anew."""
        return None if self.redrawn is None else score(self.trial, self.redrawn.mean(axis=2))

    @property
    def control(self) -> Score:
        """Of the rounded network without hardware."""
        return Score((100 * float((self.control_predictions == self.trial.labels).mean()),) * len(self.trial.seeds))

    @property
    def float_score(self) -> Score:
        """Of the network with real weights and inputs."""
        return Score((100 * float(self.right_float.mean()),) * len(self.trial.seeds))

    @property
    def right_float(self) -> Bools:
        """Test inputs that the real network tells right; [n]."""
        return np.asarray(self.float_predictions == self.trial.labels)

    @property
    def right(self) -> Bools:
        """Test inputs that each chip tells right by one pass, the first; [chip, n]."""
        first = self.probabilities[:, :, 0]
        return self.trial.correct(first.reshape(-1, *first.shape[2:]))


def as_inputs(network: Network, raw: Array) -> Array:
    """Raw inputs scaled and in the shape of the program; WorkloadError where they have another number of values."""
    shape = network.program.input_shape
    if int(np.prod(raw.shape[1:])) != int(np.prod(shape)):
        raise WorkloadError(
            f"data of shape {list(raw.shape[1:])} does not fit {network.program.name}, which takes {list(shape)}; choose other data"
        )
    return network.scaled(raw).reshape(len(raw), *shape)


def score(trial: Trial, probabilities: Floats) -> Score:
    """Percentages of probabilities [seed, ..., n, class], mean over what lies between."""
    right = trial.correct(probabilities)
    return Score(tuple(100 * float(seed.mean()) for seed in right))


def probabilities_of(outputs: Floats) -> Floats:
    """Softmax of outputs [n, classes], unless they are probabilities already: none below 0, rows of sum 1."""
    if outputs.min() >= 0 and np.allclose(outputs.sum(axis=1), 1.0, rtol=0, atol=1e-5):
        return outputs
    return softmax(outputs)


def real(network: Network) -> Network:
    """The network without any rounding."""
    return replace(network, weight_bits=None, activation_bits=None, layer_bits={}, layer_activation_bits={})


def measure(trial: Trial, *, redraw: bool = True, tell: Tell = lambda _: None) -> AccuracyResult:
    """Accuracy on all chips; `redraw` also programs anew for each pass where there is more than one and passes can differ."""
    tell("float network")
    found_float = trial.outputs(Digital(real(trial.network)), np.random.default_rng(0)).argmax(axis=1)
    tell("digital control")
    control = found_float
    if _rounds(trial):
        control = trial.outputs(Digital(trial.network), np.random.default_rng(0)).argmax(axis=1)
    if trial.is_chance:
        found = _by_seed(trial, [_passes(trial, seed, draw, tell) for seed, draw in trial.chips()])
    else:  # all chips are the same
        one = _passes(trial, *trial.chips()[0], tell)
        found = np.broadcast_to(one, (len(trial.seeds), 1, *one.shape))
    redrawn = None
    if redraw and trial.passes > 1 and trial.is_chance:
        redrawn = _by_seed(trial, [_anew(trial, seed, draw, tell) for seed, draw in trial.chips()])
    return AccuracyResult(trial, found, redrawn, found_float, control)


def _rounds(trial: Trial) -> bool:
    return bool({"weight_bits", "dac"} & set(causes_of(trial.network, Hardware("digital"))))


def _by_seed(trial: Trial, chips: Sequence[Floats]) -> Floats:
    """Chips in a row as [seed, draw, ...]."""
    stacked = np.stack(chips)
    return stacked.reshape(len(trial.seeds), trial.draws, *stacked.shape[1:])


def _passes(trial: Trial, seed: int, draw: int, tell: Tell) -> Floats:
    """Probabilities [pass, n, class] of one chip; the same in all passes where none differs."""
    tell(f"seed {seed}, chip {draw + 1}")
    deployed = trial.deployed(seed, draw)
    n = trial.passes if deployed.is_fresh else 1
    found = np.stack([probabilities_of(trial.outputs(deployed, generator(seed, PASSES, draw, k))) for k in range(n)])
    return np.broadcast_to(found, (trial.passes, *found.shape[1:]))


def _anew(trial: Trial, seed: int, draw: int, tell: Tell) -> Floats:
    """Probabilities [pass, n, class] of chips of one pass each."""
    found = []
    for k in range(trial.passes):
        tell(f"seed {seed}, chip {draw + 1}, programmed anew")
        found.append(probabilities_of(trial.outputs(trial.deployed(seed, draw, k + 1), generator(seed, PASSES, draw, k))))
    return np.stack(found)


def over_time(trial: Trial, times_s: Sequence[float | None], tell: Tell = lambda _: None) -> list[dict[str, Any]]:
    """Accuracy of one pass at times after programming (None: as programmed), with and without compensation."""
    rows = []
    for t_s in times_s:
        row: dict[str, Any] = {"time_s": t_s}
        for name, compensates in (("compensated", True), ("uncompensated", False)):
            tell(f"{name}, {'as programmed' if t_s is None else f'{t_s:g} s'}")
            at = replace(trial, hardware=replace(trial.hardware, t_s=t_s, compensation=compensates), passes=1)
            row[name] = score(at, _by_seed(at, [_passes(at, *chip, lambda _: None) for chip in at.chips()])).as_dict()
        rows.append(row)
    return rows

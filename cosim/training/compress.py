"""Compression by energy: from a float network to the one of least joules on a chip that loses at most so many points.

Each seed trains on training images a float network, the dense 8-bit control, one network under gates for each weight of the energy, and
the magnitude-pruned networks of uniform bits. Validation images decide, with the mean over seeds, which of each kind has the least
joules within the drop; that one alone is trained once more on training and validation images, its structure frozen, and meets the
test set, once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cosim.provenance import model_version
from cosim.training.accuracy import Score
from cosim.training.array_energy import WorkloadEnergy, cim_index, energy_on_arrays
from cosim.training.compress_stages import (
    CompressRecipe,
    Rows,
    float_network,
    gated,
    n_weights,
    percent_right,
    prior_of,
    rounded,
    tuned,
)
from cosim.training.data import Dataset, fitted, split
from cosim.training.fronts import front_of_two, hypervolume_of_two
from cosim.training.network import Network
from cosim.training.network_file import load_saved, save_network
from cosim.training.networks import Trainable
from cosim.training.samples import N_FIRST, thinned
from cosim.training.skipping import Skipped, pruned_share, skip
from cosim.training.torch_needed import need_torch
from hw_models.chip import Chip
from workloads.errors import SimulationError
from workloads.program_fold import fold_batch_norm

Tell = Callable[[str, int], None]
Kind = Literal["dense", "gates", "magnitude"]

DENSE_BITS = 8
_CHOICES = ("strengths", "baseline", "margin")  # of a recipe: which stages there are, not what is in them
WORST_ERROR = 10.0  # points of error above the control that the box of the hypervolume reaches to; assumed


@dataclass(frozen=True)
class CompressJob:
    """One network, data, chip, allowed drop in points, and recipe, for each seed. `folder` keeps what is done (None: nothing is kept)."""

    entry: Trainable
    dataset: Dataset
    chip: Chip
    max_drop: float
    seeds: tuple[int, ...] = (0, 1, 2)
    recipe: CompressRecipe = field(default_factory=CompressRecipe)
    folder: Path | None = None
    resume: bool = False

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All points that are tried: by gates, and by magnitude."""
        gates = tuple(Candidate("gates", f"gates {strength:g}", strength=strength) for strength in self.recipe.strengths)
        plain = (
            Candidate("magnitude", f"{w}/{a} bits, {share:.0%} pruned", share=share, bits=(w, a))
            for w, a, shares in self.recipe.baseline
            for share in shares
        )
        return (*gates, *plain)

    @property
    def n_epochs(self) -> int:
        """Epochs of all runs."""
        r = self.recipe
        each = r.shaping + r.tune
        return len(self.seeds) * (2 * r.first + each * (len(self.candidates) + 3) + r.tune)


@dataclass(frozen=True)
class Candidate:
    """One way to compress: gates at a weight of the energy, or uniform (weight, activation) bits and a share pruned."""

    kind: Kind
    name: str
    strength: float = 0.0
    share: float = 0.0
    bits: tuple[int, int] = (DENSE_BITS, DENSE_BITS)


DENSE = Candidate("dense", f"dense, {DENSE_BITS} bits")


@dataclass(frozen=True)
class Measured:
    """A network on the arrays: percentage right, what is left of it, and joules."""

    network: Network
    accuracy: float
    skipped: Skipped
    energy: WorkloadEnergy
    pruned: float


@dataclass(frozen=True)
class Tried:
    """One candidate, judged on validation images for each seed."""

    candidate: Candidate
    runs: tuple[Measured, ...]

    @property
    def accuracy(self) -> float:
        """Mean percentage."""
        return float(np.mean([run.accuracy for run in self.runs]))

    @property
    def energy_j(self) -> float:
        """Mean joules of all products."""
        return float(np.mean([run.energy.products_j for run in self.runs]))

    def as_dict(self, control: float) -> dict[str, Any]:
        """Plain data; error and drop in percent of validation images."""
        return {
            "name": self.candidate.name,
            "energy_j": self.energy_j,
            "error": 100 - self.accuracy,
            "drop": control - self.accuracy,
            "weights_pruned": float(np.mean([run.pruned for run in self.runs])),
            "mean_bits_remaining": float(np.mean([run.skipped.mean_bits for run in self.runs])),
            "per_seed": [{"energy_j": run.energy.products_j, "error": 100 - run.accuracy} for run in self.runs],
        }


@dataclass(frozen=True)
class CompressResult:
    """What was tried, what was chosen, and the final networks of each seed on the test set."""

    job: CompressJob
    control: Tried
    tried: tuple[Tried, ...]
    chosen: Mapping[str, Candidate]
    final: Mapping[str, tuple[Measured, ...]]
    float_test: Score
    sizes: tuple[int, int, int]
    within: Mapping[str, bool]
    cpu_s: float

    def test(self, kind: str) -> Score:
        """Percentages on test images."""
        return Score(tuple(run.accuracy for run in self.final[kind]))

    def energy_j(self, kind: str) -> float:
        """Mean joules of the products of the final networks."""
        return float(np.mean([run.energy.products_j for run in self.final[kind]]))

    def of(self, kind: Kind) -> tuple[Tried, ...]:
        """What was tried of one kind."""
        return tuple(one for one in self.tried if one.candidate.kind == kind)

    def front(self, kind: Kind) -> list[Tried]:
        """What no other of its kind beats in mean energy and mean error."""
        points = self.of(kind)
        return [points[i] for i in front_of_two([(one.energy_j, 100 - one.accuracy) for one in points])]

    def hypervolume(self, kind: Kind) -> Score:
        """Share of the box up to (energy of the dense network, error of the control + 10 points) that a kind dominates, each seed."""
        shares = []
        for s, control in enumerate(self.control.runs):
            worst = (1.0, 100 - control.accuracy + WORST_ERROR)
            reference_j = control.energy.products_j
            points = [(one.runs[s].energy.products_j / reference_j, 100 - one.runs[s].accuracy) for one in self.of(kind)]
            shares.append(hypervolume_of_two(points, worst) / (worst[0] * worst[1]))
        return Score(tuple(shares))


def compress(job: CompressJob, tell: Tell = lambda _, __: None) -> CompressResult:
    """Try, choose, and judge. CosimError where data do not fit, torch is missing, the chip has no arrays, or stored parts differ."""
    from cosim.training.torch_fit import one_thread  # noqa: PLC0415  # torch

    need_torch("cosim compress")
    if not np.isfinite(job.max_drop) or job.max_drop < 0:
        raise SimulationError(f"max-drop-points {job.max_drop}: give 0 or more points of accuracy")
    cim_index(job.chip)
    start = time.process_time()
    dataset = fitted(job.dataset, job.entry.input_shape, job.entry.name)
    with one_thread():
        seeds = [_Seed(job, dataset, seed, tell) for seed in job.seeds]
        control = Tried(DENSE, tuple(seed.tried(DENSE) for seed in seeds))
        tried = tuple(Tried(one, tuple(seed.tried(one) for seed in seeds)) for one in job.candidates)
        bound = control.accuracy - job.recipe.margin * job.max_drop
        found = {kind: choose([one for one in tried if one.candidate.kind == kind], bound) for kind in ("gates", "magnitude")}
        chosen = {kind: best.candidate for kind, best in found.items() if best is not None}
        final = {kind: tuple(seed.final(one) for seed in seeds) for kind, one in {"dense": DENSE, **chosen}.items()}
        float_test = Score(tuple(seed.float_test() for seed in seeds))
    within = {kind: best.accuracy >= bound for kind, best in found.items() if best is not None}
    rows = split(dataset, job.seeds[0])
    sizes = (rows.train.size, rows.validation.size, rows.test.size)
    return CompressResult(job, control, tried, chosen, final, float_test, sizes, within, time.process_time() - start)


def choose(tried: list[Tried], least_accuracy: float) -> Tried | None:
    """The least joules among those that are accurate enough; where none is, the most accurate."""
    good = [one for one in tried if one.accuracy >= least_accuracy]
    if good:
        return min(good, key=lambda one: one.energy_j)
    return max(tried, key=lambda one: one.accuracy, default=None)


class _Seed:
    """All stages of one seed; each is kept as a file, and read back where a stopped run goes on."""

    def __init__(self, job: CompressJob, dataset: Dataset, seed: int, tell: Tell) -> None:
        self.job, self.seed, self.tell, self.dataset = job, seed, tell, dataset
        self.rows = split(dataset, seed)
        self.both = np.sort(np.concatenate([self.rows.train, self.rows.validation]))
        program = fold_batch_norm(job.entry.build(np.random.default_rng(seed)))
        self.fresh = Network(program, job.entry.scaling)
        self._cache: dict[str, Network] = {}

    def data(self, rows: Any) -> Rows:
        """Scaled inputs and labels of some rows."""
        return Rows(self.fresh.scaled(self.dataset.inputs[rows]), self.dataset.labels[rows])

    def stage(self, name: str, epochs: int, make: Callable[[Callable[[], None]], Network]) -> Network:
        """A network by the name of its stage: from memory, from its file, or made."""
        if name in self._cache:
            return self._cache[name]
        label = f"seed {self.seed}, {name}"
        file = None if self.job.folder is None else self.job.folder / f"seed{self.seed}_{_file_name(name)}.npz"
        config = {"network": self.job.entry.name, "data": self.job.dataset.name, "split_seed": self.job.dataset.split_seed}
        recipe = {key: value for key, value in self.job.recipe.as_dict().items() if key not in _CHOICES}
        config |= {"chip": self.job.chip.digest, "stage": name, "seed": self.seed, "recipe": _plain(recipe)}
        if file is not None and self.job.resume and file.exists():
            saved = load_saved(file)
            if saved.provenance.get("config") == config:
                self.tell(label, epochs)
                self._cache[name] = saved.network
                return saved.network
        network = make(lambda: self.tell(label, 1))
        if file is not None:
            save_network(network, file, {"config": config})
        self._cache[name] = network
        return network

    def float_(self, part: str) -> Network:
        """The float network of training images (`tried`), or of validation images too (`final`)."""
        recipe = self.job.recipe
        rows = self.rows.train if part == "tried" else self.both
        return self.stage(f"{part} float", recipe.first, lambda tell: float_network(self.fresh, self.data(rows), recipe, self.seed, tell))

    def tried(self, candidate: Candidate) -> Measured:
        """A candidate from training images, judged on validation images."""
        network = self._compressed(candidate, "tried", self.data(self.rows.train))
        return self.measured(network, self.rows.validation, dense=candidate.kind == "dense")

    def final(self, candidate: Candidate) -> Measured:
        """The same with the validation images, judged on test images."""
        network = self._compressed(candidate, "final", self.data(self.both))
        return self.measured(network, self.rows.test, dense=candidate.kind == "dense")

    def _compressed(self, candidate: Candidate, part: str, rows: Rows) -> Network:
        """Gates decide on training images only; what they left is tuned."""
        recipe = self.job.recipe
        teacher = self.float_(part)
        epochs = recipe.shaping + recipe.tune
        keep = {"gates": recipe.keep, "magnitude": 1 - candidate.share, "dense": 1.0}[candidate.kind]
        n_keep = round(keep * n_weights(teacher)) if keep < 1 else None
        if candidate.kind == "gates":
            start, epochs = self.structure(candidate), recipe.tune
        else:
            start = rounded(teacher, *candidate.bits, thinned(rows.inputs, N_FIRST))

        def make(tell: Callable[[], None]) -> Network:
            return tuned(start, rows, recipe, epochs, self.seed, teacher, tell, n_keep=n_keep)

        return self.stage(f"{part} {candidate.name}", epochs, make)

    def structure(self, candidate: Candidate) -> Network:
        """What gates leave."""
        job, base = self.job, self.float_("tried")
        train = self.data(self.rows.train)

        def make(tell: Callable[[], None]) -> Network:
            prior = prior_of(job.chip, base, job.recipe, self.reference_j())
            return gated(base, train, job.recipe, prior, candidate.strength, self.seed, tell)

        return self.stage(f"structure {candidate.name}", job.recipe.shaping, make)

    def reference_j(self) -> float:
        """Joules of the dense 8-bit network."""
        dense = rounded(self.float_("tried"), DENSE_BITS, DENSE_BITS, thinned(self.data(self.rows.train).inputs, N_FIRST))
        return energy_on_arrays(self.job.chip, skip(dense, dense=True).workload).products_j

    def measured(self, network: Network, rows: Any, *, dense: bool) -> Measured:
        """Accuracy, what can be skipped, and joules."""
        left = skip(network, dense=dense)
        energy = energy_on_arrays(self.job.chip, left.workload)
        pruned = pruned_share(self.fresh, left)
        return Measured(left.network, percent_right(network, self.data(rows)), left, energy, pruned)

    def float_test(self) -> float:
        """Percentage of test images that the float network tells right."""
        return percent_right(self.float_("final"), self.data(self.rows.test))


def _file_name(name: str) -> str:
    """A stage's name without what file systems mind."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON gives them back."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def provenance_of(job: CompressJob) -> dict[str, Any]:
    """What the result was made from."""
    return {
        "cosim": version("cosim"),
        "torch": version("torch"),
        "model_version": model_version(),
        "chip": job.chip.digest,
        "data": job.dataset.name,
        "split_seed": job.dataset.split_seed,
        "seed": list(job.seeds),
        "recipe": job.recipe.as_dict(),
    }

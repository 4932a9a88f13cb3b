"""Training runs: float network, network prepared for its hardware, and the control that was trained as long without the hardware.

Protocol: a tenth of the training set is validation. Each seed trains on the rest and is judged there; then the recipe, frozen, trains once
more on training and validation images, and only this network meets the test set, once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cosim.provenance import model_version
from cosim.training.accuracy import N_DRAWS, Score, Trial, measure, real
from cosim.training.data import Dataset, fitted, split
from cosim.training.deploy import DEFAULT_BITS, quantized
from cosim.training.deploy import Path as Fidelity
from cosim.training.hardware import Hardware
from cosim.training.network import Network
from cosim.training.networks import Trainable
from cosim.training.recipe import Phase, Recipe
from cosim.training.recipe_file import Purpose, recipe
from cosim.training.samples import thinned
from cosim.training.surrogate import MAX_SAMPLES
from cosim.training.torch_needed import need_torch
from workloads.errors import StoreError

Array = NDArray[Any]
Tell = Callable[[str, int], None]  # what is being trained, epochs done since the last call
Kind = Literal["aware", "control"]

CURVE = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)  # weight noise that the report shows
CURVE_DRAWS = 4
_STAGE_SEEDS = {"float": 0, "aware": 1, "control": 1}  # the same batches for what was prepared and its control


@dataclass(frozen=True)
class Job:
    """One network, data, hardware and recipe, to be trained for each seed. `folder` keeps checkpoints (None: nothing is kept).

    `validate` trains without the validation images first; a frozen recipe that was judged on them before can do without.
    """

    entry: Trainable
    dataset: Dataset
    hardware: Hardware
    recipe: Recipe
    chip: str = ""
    seeds: tuple[int, ...] = (0, 1, 2)
    path: Fidelity = "surrogate"
    control: bool = True
    n_draws: int | None = None
    folder: Path | None = None
    resume: bool = False
    validate: bool = True

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What is prepared."""
        return ("aware", "control") if self.control else ("aware",)

    @property
    def n_epochs(self) -> int:
        """Epochs of all runs together."""
        return len(self.seeds) * (2 if self.validate else 1) * (self.recipe.first.epochs + len(self.kinds) * self.recipe.then.epochs)

    def config(self, seed: int, stage: str, n_rows: int) -> dict[str, Any]:
        """What decides the numbers of one stage, for comparison with a stored one."""
        return {
            "network": self.entry.name,
            "data": self.dataset.name,
            "split_seed": self.dataset.split_seed,
            "n_rows": n_rows,
            "hardware": hardware_dict(self.hardware),
            "path": self.path,
            "first": asdict(self.recipe.first),
            "then": asdict(self.recipe.then),
            "seed": seed,
            "stage": stage,
        }


@dataclass(frozen=True)
class SeedRun:
    """Networks of one seed by kind (`float` too), and their scores on validation images (of the first training) and test images.

    curve: percentages on validation images under Gaussian weight noise of `CURVE`.
    """

    seed: int
    networks: Mapping[str, Network]
    validation: Mapping[str, float]
    test: Mapping[str, float]
    digital: Mapping[str, float]
    curve: Mapping[str, tuple[float, ...]]
    n_test_reads: int


@dataclass(frozen=True)
class TrainResult:
    """All seeds of a job."""

    job: Job
    runs: tuple[SeedRun, ...]
    sizes: tuple[int, int, int]
    cpu_s: float

    def score(self, kind: str, where: Literal["validation", "test", "digital"] = "test") -> Score:
        """Percentages of one kind of network."""
        return Score(tuple(getattr(run, where)[kind] for run in self.runs))

    @property
    def gain(self) -> float | None:
        """Points above the control on the hardware, None without one."""
        return self.score("aware").mean - self.score("control").mean if self.job.control else None

    def on(self, hardware: Hardware) -> TrainResult:
        """The same networks, judged on test images on other hardware."""
        job = replace(self.job, hardware=hardware)
        dataset = fitted(job.dataset, job.entry.input_shape, job.entry.name)
        return replace(self, job=job, runs=tuple(_tested(run, job, dataset) for run in self.runs))

    def provenance(self, seed: int, kind: str) -> dict[str, Any]:
        """What a network of this run was made from."""
        job = self.job
        return {
            "cosim": version("cosim"),
            "torch": version("torch"),
            "model_version": model_version(),
            "kind": kind,
            "seed": seed,
            "data": job.dataset.name,
            "split_seed": job.dataset.split_seed,
            "hardware": job.hardware.name,
            "recipe": job.recipe.as_dict(),
        }

    def summary(self) -> dict[str, Any]:
        """The contract of `cosim train --json`; accuracies are percentages, means over chips and seeds."""
        job, (n_train, n_val, n_test) = self.job, self.sizes
        then = job.recipe.then
        control = {"control": self.score("control").as_dict()} if job.control else {"control": None}
        return {
            "network": job.entry.name,
            "data": job.dataset.name,
            "split": {"seed": job.dataset.split_seed, "n_train": n_train, "n_val": n_val, "n_test": n_test},
            "chip": job.chip,
            "noise": job.hardware.name,
            "weight_bits": then.weight_bits,
            "activation_bits": then.activation_bits,
            "path": job.path if job.hardware.macro else "exact",
            "seeds": list(job.seeds),
            "n_draws": 1 if job.hardware.is_ideal else job.n_draws or (1 if job.hardware.macro else N_DRAWS),
            "accuracy": self.score("aware").as_dict(),
            **control,
            "float": self.score("float", "digital").as_dict(),
            "digital": {kind: self.score(kind, "digital").as_dict() for kind in job.kinds},
            "gain_over_control": self.gain,
            "val_accuracy": self.score("aware", "validation").as_dict() if job.validate else None,
            "epochs": {"first": job.recipe.first.epochs, "then": then.epochs},
            "cpu_s": round(self.cpu_s, 2),
            "provenance": {
                **self.provenance(job.seeds[0], "aware"),
                "seed": list(job.seeds),
                "test_set_reads": sum(run.n_test_reads for run in self.runs),
            },
        }


def train(job: Job, tell: Tell = lambda _, __: None) -> TrainResult:
    """Train and judge every seed. CosimError where data do not fit, torch is missing, numbers run away, or checkpoints differ."""
    need_torch("cosim train")
    start = time.process_time()
    dataset = fitted(job.dataset, job.entry.input_shape, job.entry.name)
    if job.folder is not None:
        _make(job.folder)
    runs = tuple(_one_seed(job, dataset, seed, tell) for seed in job.seeds)
    rows = split(dataset, job.seeds[0])
    sizes = (rows.train.size, rows.validation.size, rows.test.size)
    return TrainResult(job, runs, sizes, time.process_time() - start)


def _one_seed(job: Job, dataset: Dataset, seed: int, tell: Tell) -> SeedRun:
    """Train without validation images and judge there; train with them and judge on the test set."""
    rows = split(dataset, seed)
    both = np.sort(np.concatenate([rows.train, rows.validation]))
    tried = networks_of(job, dataset, rows.train, seed, "tried", tell) if job.validate else {}
    validation = {kind: _judge(job, network, dataset, rows.train, rows.validation, seed)[0] for kind, network in tried.items()}
    curve = {kind: _curve(network, dataset, rows.validation, seed) for kind, network in tried.items()}
    networks = networks_of(job, dataset, both, seed, "final", tell)
    run = SeedRun(seed, networks, validation, {}, {}, curve, 0)
    return _tested(run, job, dataset)


def _tested(run: SeedRun, job: Job, dataset: Dataset) -> SeedRun:
    """The run with its scores on test images."""
    rows = split(dataset, run.seed)
    both = np.sort(np.concatenate([rows.train, rows.validation]))
    judged = {kind: _judge(job, network, dataset, both, rows.test, run.seed) for kind, network in run.networks.items()}
    return replace(
        run,
        test={kind: found[0] for kind, found in judged.items()},
        digital={kind: found[1] for kind, found in judged.items()},
        n_test_reads=sum(found[2] for found in judged.values()),
    )


def _judge(job: Job, network: Network, dataset: Dataset, seen: Array, rows: Array, seed: int) -> tuple[float, float, int]:
    """Percentages right on the hardware and without it, and how often the rows were read."""
    if job.hardware.macro is not None:
        then, samples = job.recipe.then, network.scaled(thinned(dataset.inputs[seen], MAX_SAMPLES))
        network = quantized(network, then.weight_bits or DEFAULT_BITS, then.activation_bits or DEFAULT_BITS, samples)
    trial = Trial(
        network, dataset.inputs[rows], dataset.labels[rows], job.hardware, dataset.inputs[seen], (seed,), job.n_draws, path=job.path
    )
    found = measure(trial, redraw=False)
    return found.accuracy.mean, found.control.mean, trial.n_reads


def _curve(network: Network, dataset: Dataset, rows: Array, seed: int) -> tuple[float, ...]:
    """Percentages right under more and more weight noise, whatever the hardware."""
    x, labels = dataset.inputs[rows], dataset.labels[rows]
    trials = (Trial(network, x, labels, Hardware("noise", sigma=sigma), seeds=(seed,), n_draws=CURVE_DRAWS) for sigma in CURVE)
    return tuple(measure(trial, redraw=False).accuracy.mean for trial in trials)


def networks_of(job: Job, dataset: Dataset, rows: Array, seed: int, name: str, tell: Tell) -> dict[str, Network]:
    """The float network of a seed, and what is made of it."""
    program = job.entry.build(np.random.default_rng(seed))
    fresh = Network(program, job.entry.scaling)
    base = _stage(job, fresh, job.recipe.first, dataset, rows, seed, f"{name}_float", tell)
    found = {"float": base}
    for kind in job.kinds:
        phase = job.recipe.then if kind == "aware" else job.recipe.control.then
        found[kind] = _stage(job, base, phase, dataset, rows, seed, f"{name}_{kind}", tell)
    return found


def _stage(job: Job, network: Network, phase: Phase, dataset: Dataset, rows: Array, seed: int, name: str, tell: Tell) -> Network:
    """One run of epochs from a network, or what is left of it after a stop."""
    from cosim.training import torch_checkpoint as store  # noqa: PLC0415  (torch)
    from cosim.training.torch_fit import Data, Progress, fit, one_thread, prepare  # noqa: PLC0415  (torch)

    kind = name.rpartition("_")[2]
    data = Data.of(network.scaled(dataset.inputs[rows]), dataset.labels[rows])
    config = job.config(seed, name, rows.size)
    file = job.folder / f"seed{seed}_{name}.pt" if job.folder is not None else None
    label = f"seed {seed}, {name.replace('_', ' ')}"

    def keep(progress: Progress, _: float) -> None:
        if file is not None:
            store.save(file, progress, config)
        tell(label, 1)

    with one_thread():
        start = store.load(file, config) if file is not None and job.resume else None
        tell(label, start.epoch if start else 0)
        net = prepare(network, data, phase, job.entry.ties(), _ranges(job, data.inputs.numpy()) if kind == "aware" else _as_it_is)
        errors = _errors(job) if kind == "aware" else None
        chance = int(np.random.SeedSequence([seed, _STAGE_SEEDS[kind]]).generate_state(1)[0])
        fit(net, data, phase, chance, teacher=real(network), errors=errors, start=start, on_epoch=keep)
    return net.trained()


def _as_it_is(network: Network) -> Network:
    return network


def _ranges(job: Job, inputs: Array) -> Callable[[Network], Network]:
    """What gives converters steps that learn: only the exact path tells their gradient."""
    from cosim.training.torch_ranges import with_first_ranges  # noqa: PLC0415  (torch)

    if job.hardware.macro is None or job.path != "exact":
        return _as_it_is
    return lambda network: with_first_ranges(network, job.hardware, inputs)


def _errors(job: Job) -> Any:
    """What disturbs the network that is prepared: Gaussian noise of the phase, or the cells and converters of a chip."""
    from cosim.training.torch_chip import ChipErrors  # noqa: PLC0415  (torch)

    if job.hardware.macro is None and job.hardware.noise is None:
        return None
    return ChipErrors(job.hardware, job.path)


def _make(folder: Path) -> None:
    """Make a folder for checkpoints."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made: {error.strerror or error}") from None


def hardware_dict(hardware: Hardware) -> dict[str, Any]:
    """Hardware as plain data."""
    parts = {"macro": hardware.macro, "noise": hardware.noise}
    plain = {key: None if part is None else part.model_dump(mode="json") for key, part in parts.items()}
    numbers = {key: getattr(hardware, key) for key in ("name", "sigma", "t_s", "compensation")}
    return {**plain, **numbers, "off": sorted(hardware.off)}


def recipe_for(network: str, hardware: Hardware, weight_bits: int | None, activation_bits: int | None, epochs: int | None = None) -> Recipe:
    """The shipped recipe for a network on this hardware: bits are 8 on arrays unless given, activations have as many as weights."""
    if hardware.macro is not None:
        weight_bits = weight_bits or DEFAULT_BITS
        activation_bits = activation_bits or DEFAULT_BITS
    purpose: Purpose = "chip" if hardware.macro is not None else "low_bit" if hardware.is_ideal else "noisy"
    found = recipe(network, purpose, sigma=hardware.sigma, weight_bits=weight_bits, activation_bits=activation_bits)
    return found if epochs is None else replace(found, then=replace(found.then, epochs=epochs))

"""Goals of the project for accuracy, by name: each trains what it judges with the recipes that ship, and says whether it is reached.

A goal gives value, its standard deviation and number of seeds, the control beside it, the target, and whether it is passed; `at_most`
goals are passed below their target. Targets are those of the project's issue on noise-aware training; numbers are percent or points of
the test set, which each network meets once, after its recipe was frozen on validation images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from cosim.training.accuracy import Score, Trial, as_inputs, measure, over_time
from cosim.training.adaround import adaround
from cosim.training.adc_aware import AdcAwareConfig, compare
from cosim.training.data import fitted, load_data, split
from cosim.training.deploy import quantized
from cosim.training.engines import Digital
from cosim.training.hardware import Hardware
from cosim.training.networks import trainable
from cosim.training.recipe import Recipe
from cosim.training.recipe_file import recipe
from cosim.training.samples import thinned
from cosim.training.train import Job, TrainResult, train
from cosim.training.uncertainty import Ensemble
from cosim.validation.accuracy_cases import Reading
from cosim.validation.accuracy_networks import arrays, held, rounded, sets
from cosim.validation.accuracy_surrogate import rows_of, share_within
from cosim.validation.compress_goals import NUMBERS, compressed
from hw_models.cim.noise import load_noise
from workloads.errors import WorkloadError, suggest

THREE, FIVE = (0, 1, 2), (0, 1, 2, 3, 4)
YEAR_S = 31_536_000.0  # 365 days, as in the tables
PASSES = 16
COVERAGE = 0.9


@dataclass(frozen=True)
class Found:
    """What a goal's run found: one number a seed, and those of the control."""

    values: tuple[float, ...]
    control: tuple[float, ...] = ()


@dataclass(frozen=True)
class Goal:
    """One line of the judged numbers: `run` trains and reads it."""

    title: str
    target: float
    run: Callable[[], Found]
    at_most: bool = False

    def reach(self) -> dict[str, Any]:
        """Value, std, n_seeds, control, target, passed."""
        found = self.run()
        value = Score(found.values)
        passed = value.mean <= self.target if self.at_most else value.mean >= self.target
        return {
            "title": self.title,
            "value": value.mean,
            "std": value.std,
            "n_seeds": len(found.values),
            "control": Score(found.control).mean if found.control else None,
            "target": self.target,
            "passed": bool(passed),
        }


def check_goals(names: Sequence[str]) -> None:
    """WorkloadError on a name that is no goal and not `all`."""
    for name in names:
        if name != "all" and name not in GOALS:
            raise WorkloadError(f"--goals {name}: is not known; {suggest(name, ['all', *GOALS])}")


def reach(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Run goals by name; `all` runs every one. WorkloadError, before any work, on a name that is not known."""
    check_goals(names)
    return {name: goal.reach() for name, goal in GOALS.items() if name in names or "all" in names}


# --- what several goals share: one training ------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def noisy(network: str, sigma: float, weight_bits: int | None = None) -> TrainResult:
    """Networks prepared for Gaussian weight noise, and their clipped control of as many epochs.

    Recipes with the same noise in training make the same networks: these are trained once.
    """
    hardware = Hardware(f"noise {sigma:g}", sigma=sigma)
    least = recipe(network, "noisy", sigma=sigma, weight_bits=weight_bits).then.training_sigma
    result = trained(network, least, weight_bits)
    return result if least == sigma else result.on(hardware)


@lru_cache(maxsize=16)
def trained(network: str, sigma: float, weight_bits: int | None) -> TrainResult:
    """Networks that saw this noise."""
    hardware = Hardware(f"noise {sigma:g}", sigma=sigma)
    return _train(network, hardware, recipe(network, "noisy", sigma=sigma, weight_bits=weight_bits))


@lru_cache(maxsize=4)
def low_bit(network: str, weight_bits: int | None) -> TrainResult:
    """Networks of few bits, or the float control of as many epochs."""
    return _train(network, Hardware("digital"), recipe(network, "low_bit", weight_bits=weight_bits), FIVE, control=False)


def _train(network: str, hardware: Hardware, how: Recipe, seeds: tuple[int, ...] = (), *, control: bool = True) -> TrainResult:
    """Recipes are frozen: they were chosen on validation images, on which nothing is trained here any more."""
    entry = trainable(network)
    seeds = seeds or (FIVE if network == "mlp_digits" else THREE)
    return train(Job(entry, load_data(entry.data), hardware, how, seeds=seeds, control=control, validate=False))


# --- one function a family -----------------------------------------------------------------------------------------------


def _noise(network: str, sigma: float, weight_bits: int | None = None) -> Found:
    """Accuracy under noise."""
    result = noisy(network, sigma, weight_bits)
    return Found(result.score("aware").per_seed, result.score("control").per_seed)


def _gain(network: str, sigma: float) -> Found:
    """Points above the clipped control."""
    result = _noise(network, sigma)
    return Found(tuple(a - b for a, b in zip(result.values, result.control, strict=True)), result.control)


def _ternary(network: str) -> Found:
    """Points lost to ternary weights."""
    few, control = low_bit(network, 2).score("aware").per_seed, low_bit(network, None).score("aware").per_seed
    return Found(tuple(b - a for a, b in zip(few, control, strict=True)), control)


def _pcm_low_bits() -> Found:
    """2-bit networks prepared for noise 0.2, after a year on pairs of PCM-like cells."""
    result = noisy("cnn_small", 0.2, 2)
    return Found(_pcm(result, "aware", "compensated"), _pcm(result, "control", "compensated"))


def _compensation() -> Found:
    """Points that drift compensation gives float networks after a year."""
    result = noisy("cnn_small", 0.2)
    with_it, without = (_pcm(result, "float", how) for how in ("compensated", "uncompensated"))
    return Found(tuple(a - b for a, b in zip(with_it, without, strict=True)), without)


def _pcm(result: TrainResult, kind: str, how: str) -> tuple[float, ...]:
    """Percent after a year, one a seed."""
    hardware = Hardware("pcm_like", noise=load_noise("pcm_like"), t_s=YEAR_S)
    return tuple(float(over_time(_trial(result, kind, place, hardware), [YEAR_S])[0][how]["mean"]) for place in range(len(result.runs)))


def _trial(result: TrainResult, kind: str, place: int, hardware: Hardware, passes: int = 1) -> Trial:
    """Test images on the network of one seed."""
    job, run = result.job, result.runs[place]
    dataset = fitted(job.dataset, job.entry.input_shape, job.entry.name)
    rows = split(dataset, run.seed)
    x, labels = dataset.inputs[rows.test], dataset.labels[rows.test]
    return Trial(run.networks[kind], x, labels, hardware, dataset.inputs[rows.train], (run.seed,), passes=passes)


Quantity = Literal["accuracy", "coverage", "ece"]


def _ensemble(sigma: float, quantity: Quantity) -> Found:
    """Softmax of 16 passes, all noise drawn anew for each, as the tables have it."""
    result = noisy("mlp_digits", sigma)
    places = range(len(result.runs))
    aware, control = (tuple(_of_ensemble(result, kind, sigma, i)[quantity] for i in places) for kind in ("aware", "control"))
    return Found(aware, control)


def _of_ensemble(result: TrainResult, kind: str, sigma: float, place: int) -> dict[str, float]:
    """Mean over chips of one seed."""
    trial = _trial(result, kind, place, Hardware(f"noise {sigma:g}", sigma=sigma), PASSES)
    redrawn = measure(trial).redrawn
    chips = [] if redrawn is None else [Ensemble(chip, trial.labels) for chip in redrawn[0]]
    return {
        "accuracy": 100 * float(np.mean([one.accuracy for one in chips])),
        "coverage": 100 * float(np.mean([one.accuracy_at_coverage(COVERAGE) for one in chips])),
        "ece": float(np.mean([one.calibration_error() for one in chips])),
    }


def _aware(rows: int, bits: int, beside: Literal["control", "calibrated"]) -> Found:
    """Accuracy of mlp_mnist trained through these converters; beside it digital networks of equal epochs, or a calibrated step alone."""
    name = f"{rows}x{bits}"
    of_seed = [adc_table(seed)[name] for seed in THREE]
    return Found(tuple(one["aware"] for one in of_seed), tuple(one[beside] for one in of_seed))


def _aware_gain(rows: int, bits: int) -> Found:
    """Points above a calibrated step without training."""
    found = _aware(rows, bits, "calibrated")
    return Found(tuple(a - b for a, b in zip(found.values, found.control, strict=True)), found.control)


@lru_cache(maxsize=3)
def adc_table(seed: int) -> dict[str, dict[str, float]]:
    """Test accuracies on the converters that are judged: unit step, calibrated only, ADC-aware, digital control of equal epochs."""
    entry = trainable("mlp_mnist")
    dataset = fitted(load_data(entry.data), entry.input_shape, entry.name)
    levels, test = dataset.inputs.astype(np.int64), dataset.is_test
    specs = {}
    for rows, bits in ADC_TARGETS:
        macro = arrays(Reading("adc", rows=rows, bits=bits)).macro
        if macro is not None:
            specs[f"{rows}x{bits}"] = macro
    return compare((levels[~test], dataset.labels[~test]), (levels[test], dataset.labels[test]), specs, AdcAwareConfig(), seed)


def _adaround() -> Found:
    """Points above nearest rounding at 2 bits, of float cnn_small networks."""
    result = noisy("cnn_small", 0.2)
    gains, nearest = [], []
    for place, run in enumerate(result.runs):
        trial = _trial(result, "float", place, Hardware("digital"))
        seen = as_inputs(run.networks["float"], result.job.dataset.inputs[split(result.job.dataset, run.seed).train])
        learned, plain = adaround(run.networks["float"], seen, 2, seed=run.seed), rounded(run.networks["float"], 2)
        right = [100 * float(trial.correct(trial.outputs(Digital(one), np.random.default_rng(0))).mean()) for one in (learned, plain)]
        gains.append(right[0] - right[1])
        nearest.append(right[1])
    return Found(tuple(gains), tuple(nearest))


def _turns() -> Found:
    """Combined standard errors by which the p4 network lies above its plain twin on rotated digits, after equal training."""
    kinds = [_plain(network).score("float", "digital") for network in ("p4_cnn", "p4_twin")]
    error = sum(one.std**2 / len(one.per_seed) for one in kinds) ** 0.5
    return Found(((kinds[0].mean - kinds[1].mean) / error,))


@lru_cache(maxsize=4)
def _plain(network: str) -> TrainResult:
    """Float networks."""
    how = recipe(network, "low_bit", epochs=0)
    return _train(network, Hardware("digital"), how, FIVE, control=False)


def _surrogate() -> Found:
    """Share of layers whose surrogate is within 20 % of the exact path on test images."""
    return Found((100 * share_within(rows_of()),))


# --- the goals -----------------------------------------------------------------------------------------------------------


def _gaussian() -> dict[str, Goal]:
    """Noise 0.2, 0.3 and 0.5, and what is gained over the clipped control."""
    levels = {"cnn_small": {0.2: 97.2, 0.3: 96.5, 0.5: 90.0}, "mlp_digits": {0.2: 95.5, 0.3: 93.0, 0.5: 82.0}}
    gains = {"cnn_small": {0.3: 1.5, 0.5: 6.0}, "mlp_digits": {0.2: 1.5, 0.3: 4.0}}
    found = {}
    for network, targets in levels.items():
        for sigma, target in targets.items():
            found[f"{network}_noise_{sigma:g}"] = Goal(f"{network}, weight noise {sigma:g}", target, partial(_noise, network, sigma))
        for sigma, target in gains[network].items():
            title = f"{network}, weight noise {sigma:g}, points above the clipped control"
            found[f"{network}_gain_{sigma:g}"] = Goal(title, target, partial(_gain, network, sigma))
    return found


def _few_bits() -> dict[str, Goal]:
    """Ternary weights, with noise and on cells too."""
    found = {
        f"{network}_ternary": Goal(f"{network}, ternary weights, points lost", 0.3, partial(_ternary, network), at_most=True)
        for network in ("cnn_small", "mlp_digits")
    }
    for sigma, target in {0.2: 96.8, 0.3: 95.8}.items():
        title, run = f"cnn_small, 2 bits, noise {sigma:g}", partial(_noise, "cnn_small", sigma, 2)
        found[f"cnn_small_2bit_noise_{sigma:g}"] = Goal(title, target, run)
    found["cnn_small_2bit_year"] = Goal("cnn_small, 2 bits, a year of PCM-like cells, compensated", 97.0, _pcm_low_bits)
    found["compensation"] = Goal("cnn_small, float, points of drift compensation after a year", 1.0, _compensation)
    return found


def _ensembles() -> dict[str, Goal]:
    """Sixteen passes."""
    targets: dict[float, dict[Quantity, float]] = {
        0.2: {"accuracy": 96.6, "coverage": 99.3, "ece": 0.03},
        0.3: {"accuracy": 96.3, "coverage": 99.2, "ece": 0.06},
    }
    return {
        f"ensemble_{quantity}_{sigma:g}": Goal(
            f"mlp_digits, 16 passes, noise {sigma:g}: {quantity}", target, partial(_ensemble, sigma, quantity), at_most=quantity == "ece"
        )
        for sigma, of in targets.items()
        for quantity, target in of.items()
    }


def _exact_integer() -> Found:
    """Largest difference between outputs of arrays whose converters lose nothing and those of the integer network; digits."""
    mine = sets("mlp")
    found = []
    for seed in THREE:
        network = quantized(mine.entry.start(np.random.default_rng(seed)), 4, 8, thinned(mine.train_inputs, N_SAMPLES))
        lossless = Reading("adc", rows=128, bits=8)
        analog, digital = held(network, lossless, seed), Digital(network)
        x, rng = thinned(mine.test_inputs, N_SAMPLES), np.random.default_rng(seed)
        found.append(float(np.abs(analog.outputs(x, rng) - digital.outputs(x, rng)).max()))
    return Found(tuple(found))


N_SAMPLES = 100
ADC_TARGETS = {(128, 3): 92.2, (128, 2): 90.0, (256, 3): 92.0, (128, 1): 77.0}


def _converters() -> dict[str, Goal]:
    """Trained through converters, and rounded without training."""
    found = {
        f"adc_aware_{rows}x{bits}": Goal(f"mlp_mnist, ADC-aware, {rows} rows, {bits} bits", target, partial(_aware, rows, bits, "control"))
        for (rows, bits), target in ADC_TARGETS.items()
    }
    title = "mlp_mnist, 128 rows, 2 bits, points of ADC-aware training above a calibrated step"
    found["adc_aware_gain_128x2"] = Goal(title, 3.0, partial(_aware_gain, 128, 2))
    title = "mlp_digits, largest difference of arrays with 8-bit converters from the integer network"
    found["exact_integer"] = Goal(title, 0.0, _exact_integer, at_most=True)
    found["adaround"] = Goal("cnn_small, 2 bits, points of AdaRound above nearest rounding", 2.0, _adaround)
    return found


def _compression() -> dict[str, Goal]:
    """One run of `cosim compress` for all."""
    return {
        name: Goal(title, target, partial(_of_summary, number), at_most=at_most)
        for name, (title, target, at_most, number) in NUMBERS.items()
    }


def _of_summary(number: Callable[[dict[str, Any]], float]) -> Found:
    return Found((number(compressed()),))


def _others() -> dict[str, Goal]:
    """Symmetry, and the surrogate."""
    return {
        "p4_above_twin": Goal("p4_cnn above p4_twin on rotated digits, in combined standard errors", 2.0, _turns),
        "surrogate": Goal("percent of layers whose surrogate is within 20 % of the exact path", 100.0, _surrogate),
    }


GOALS: Mapping[str, Goal] = MappingProxyType({**_gaussian(), **_few_bits(), **_ensembles(), **_converters(), **_others(), **_compression()})
CHEAP = ("exact_integer",)  # what trains nothing, and runs unless other goals are named

"""`cosim validate noise`: statistics of cells against moments that another implementation drew."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from math import floor, hypot, isfinite, log10, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from cosim.validation.noise_models import parse_model
from cosim.validation.tables import Row, read_table
from hw_models.cim.noise import DriftNoise
from hw_models.cim.noise_base import Floats, NoiseSpec
from workloads.errors import CosimError, SpecError, WorkloadError, suggest

DATA = Path(__file__).parent / "data" / "noise_models.csv"
COLUMNS = ("model", "quantity", "g_target_uS", "t_s", "mean", "se_mean", "std", "se_std")
MAX_SIGMA = 5.0  # target of the project
MAX_REL_DIFFERENCE = 0.005  # target of the project, for rows without standard errors
SEED = 20261
N_SAMPLES = 400_000
N_MATRICES, MATRIX = 4, (512, 512)
CLIP = 2.5  # matrices of the table: normal weights clipped at 2.5 standard deviations
MATRIX_QUANTITIES = ("matrix_error_after_global_compensation", "global_compensation_factor")
QUANTITIES = ("g_programmed", "drift_nu", "drift_factor", "g_read_only", "g_at_t", *MATRIX_QUANTITIES)
TIMELESS = frozenset({"g_programmed", "drift_nu"})


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and standard deviation with their standard errors."""

    mean: float
    se_mean: float
    std: float
    se_std: float


def validate_noise(path: Path | None = None) -> dict[str, Any]:
    """Compare mean and standard deviation of each row of a table with ours, in units of the standard error of the difference.

    sigma = max(0, |found - expected| - half a unit of the last digit that the column prints) / sqrt(se_table^2 + se_ours^2).
    max_sigma_unrounded leaves the allowance for printed digits out. A row without a standard error is compared by its mean, as a
    relative difference. Passed when something was compared, no row was refused,
    max_sigma <= 5 and max_rel_difference <= 0.5 %. Raises WorkloadError, with file and line, when the table cannot be read.
    """
    file = DATA if path is None else path
    _, table = read_table(file, COLUMNS)
    numbers = [_numbers(row, f"{file}:{line}") for line, row in enumerate(table, start=2)]
    digits = {column: max((_digits(row[column]) for row in table), default=1) for column in ("mean", "std")}
    rows = [_compare(row, given, digits, f"{file}:{line}") for line, (row, given) in enumerate(zip(table, numbers, strict=True), start=2)]
    compared = [row for row in rows if row["status"] == "ok"]
    max_sigma = max((row["sigma"] for row in compared if row["sigma"] is not None), default=0.0)
    unrounded = max((row["sigma_unrounded"] for row in compared if row["sigma_unrounded"] is not None), default=0.0)
    max_rel = max((row["rel_difference"] for row in compared if row["rel_difference"] is not None), default=0.0)
    n_refused = len(rows) - len(compared)
    return {
        "area": "noise",
        "n": len(compared),
        "metrics": {
            "max_sigma": max_sigma,
            "max_sigma_unrounded": unrounded,
            "max_rel_difference": max_rel,
            "n": len(compared),
            "n_refused": n_refused,
        },
        "rows": rows,
        "passed": bool(compared) and not n_refused and max_sigma <= MAX_SIGMA and max_rel <= MAX_REL_DIFFERENCE,
        "skipped_files": [],
    }


def _numbers(row: Row, where: str) -> dict[str, float | None]:
    """Numbers of a row; empty standard errors are 0."""
    given = {column: _number(row, column, where) for column in ("g_target_uS", "t_s", "mean", "se_mean", "std", "se_std")}
    if given["mean"] is None:
        raise WorkloadError(f"{where}: mean: is empty; a row has at least a mean to compare with")
    for column in ("se_mean", "se_std"):
        given[column] = given[column] or 0.0
    for column in ("se_mean", "std", "se_std"):
        if (given[column] or 0.0) < 0:
            raise WorkloadError(f"{where}: {column}: {row[column]!r} is below 0")
    return given


def _number(row: Row, column: str, where: str) -> float | None:
    """A finite number, or None where the cell is empty."""
    text = row[column].strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise WorkloadError(f"{where}: {column}: {text!r} is not a finite number")
    return value


def _digits(text: str) -> int:
    """Significant digits of a number as printed."""
    return len(text.strip().lower().partition("e")[0].lstrip("+-").replace(".", "").lstrip("0")) or 1


def _compare(row: Row, given: dict[str, float | None], digits: dict[str, int], where: str) -> dict[str, Any]:
    """One row of the result: what was found, expected, and how far apart, or why it was refused."""
    head = {"model": row["model"], "quantity": row["quantity"], "g_target_uS": given["g_target_uS"], "t_s": given["t_s"]}
    expected = {column: given[column] for column in ("mean", "se_mean", "std", "se_std")}
    blank: dict[str, Any] = dict.fromkeys(("found_mean", "found_se_mean", "found_std", "found_se_std"))
    blank |= dict.fromkeys(("sigma_mean", "sigma_std", "sigma", "sigma_unrounded", "rel_difference"))
    try:
        found = draw(row["model"], row["quantity"], given["g_target_uS"], given["t_s"])
    except CosimError as error:
        return {**head, "status": "refused", "reason": f"{where}: {error}", **expected, **blank}
    blank |= {"found_mean": found.mean, "found_se_mean": found.se_mean, "found_std": found.std, "found_se_std": found.se_std}
    mean, se_mean, std, se_std = (given[column] or 0.0 for column in ("mean", "se_mean", "std", "se_std"))
    if se_mean == 0 or se_std == 0 or given["std"] is None:
        off = abs(found.mean - mean)
        blank["rel_difference"] = off / abs(mean) if mean else float(off > 0)
    else:
        errors = hypot(found.se_mean, se_mean), hypot(found.se_std, se_std)
        blank["sigma_mean"] = _sigmas(found.mean, mean, digits["mean"], errors[0])
        blank["sigma_std"] = _sigmas(found.std, std, digits["std"], errors[1])
        blank["sigma_unrounded"] = max(abs(found.mean - mean) / errors[0], abs(found.std - std) / errors[1])
        blank["sigma"] = max(blank["sigma_mean"], blank["sigma_std"])
    return {**head, "status": "ok", "reason": "", **expected, **blank}


def _sigmas(found: float, expected: float, digits: int, error: float) -> float:
    """Difference beyond the rounding of the printed number, in standard errors."""
    half_unit = 0.5 * 10.0 ** (floor(log10(abs(expected))) - digits + 1) if expected else 0.0
    return max(0.0, abs(found - expected) - half_unit) / error


def draw(model: str, quantity: str, g_target_us: float | None, t_s: float | None) -> Moments:
    """Moments of a quantity of one model from our own samples, in microsiemens where it is a conductance; the same at each call.

    Raises SpecError or SimulationError on what is not known, lacking or out of range.
    """
    if quantity not in QUANTITIES:
        raise SpecError(f"quantity {quantity!r} is not known; {suggest(quantity, QUANTITIES)}")
    spec = parse_model(model)
    if t_s is None and quantity not in TIMELESS:
        raise SpecError(f"t_s: is empty; {quantity} is taken at a time after programming, in s")
    rng = np.random.default_rng([SEED, zlib.crc32(f"{model}|{quantity}|{g_target_us}|{t_s}".encode())])
    if quantity in MATRIX_QUANTITIES:
        return _matrix(spec, quantity, t_s or 0.0, rng)
    if g_target_us is None:
        raise SpecError(f"g_target_uS: is empty; {quantity} is that of cells with one target")
    return moments_of(_samples(spec, quantity, np.full(N_SAMPLES, g_target_us * 1e-6), t_s or 0.0, rng))


def _samples(spec: NoiseSpec, quantity: str, target: Floats, t_s: float, rng: np.random.Generator) -> Floats:
    """Samples of a quantity of single cells."""
    if quantity == "g_programmed":
        return spec.program(target, rng) * 1e6
    if quantity == "g_read_only":
        spec.targets(target)
        return spec.read(target, t_s, rng, target) * 1e6
    if quantity == "g_at_t":
        return spec.at_time(spec.program(target, rng), target, t_s, rng) * 1e6
    if not isinstance(spec, DriftNoise):
        raise SpecError(f"quantity {quantity!r}: the model has no drift exponent")
    nu = spec.drift_exponent(target, rng)
    return nu if quantity == "drift_nu" else spec.drift_factor(nu, t_s)


def _matrix(spec: NoiseSpec, quantity: str, t_s: float, rng: np.random.Generator) -> Moments:
    """Pairs of cells that hold W = clip(N, 2.5) / 2.5: error c W_t - W after the ideal factor c = mean|W| / mean|W_t|, or c."""
    errors, factors = [], []
    for _ in range(N_MATRICES):
        weights = np.clip(rng.standard_normal(MATRIX), -CLIP, CLIP) / CLIP
        held = spec.weights_at(weights, t_s, rng)
        factors.append(float(np.abs(weights).mean() / np.abs(held).mean()))
        errors.append((factors[-1] * held - weights).ravel())
    return moments_of(np.array(factors) if quantity == "global_compensation_factor" else np.concatenate(errors))


def moments_of(samples: Floats) -> Moments:
    """Mean, standard deviation and their standard errors: s / sqrt(n), and sqrt((m4 - s^4) / n) / (2 s)."""
    mean = float(samples.mean())
    square = (samples - mean) ** 2
    variance = float(square.mean())
    std = sqrt(variance)
    fourth = float((square * square).mean())
    se_std = sqrt(max(fourth - variance**2, 0.0) / samples.size) / (2 * std) if std > 0 else 0.0
    return Moments(mean, std / sqrt(samples.size), std, se_std)

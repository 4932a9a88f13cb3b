"""Statistics of analog cells by name: programming error, drift or relaxation, and read noise of PCM, ReRAM, SONOS, SRAM and generic cells.

The numbers of each device live with their sources in `parts/noise/`; a family here is a set of equations that several share.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, ValidationError, model_validator

from hw_models.cim.noise_base import Floats, Law, NoiseSpec, Scale, clipped_moments, folded_decay, normal_density
from hw_models.units import Amperes, Seconds, Siemens
from hw_models.yaml_file import read_yaml
from workloads.errors import SpecError, suggest

PARTS = Path(__file__).parents[1] / "parts" / "noise"
# Points of the integral over the programming error, -6 to 6 standard deviations.
_Z = np.linspace(-6.0, 6.0, 481)
_WEIGHT = normal_density(_Z) / normal_density(_Z).sum()
_MICROSIEMENS = 1e-6


class DriftNoise(NoiseSpec):
    """Phase-change cells: programming error, power-law drift, accumulated 1/f noise. r = g / g_max.

    sigma_p(r) = programming polynomial, for a `g_reference` of g_max; g(t) = g_p ((t + t0) / t0)^-nu with nu = |nu_mean(r) +
    nu_sigma(r) N|, r of the target and t from the end of programming; one read adds g(t) Q(r_p) sqrt(ln((t + t0 + t_read) /
    (2 t_read))) N, r_p as programmed, and what falls below 0 is 0. At another g_max noise in S at the same r scales with it, or not at all.
    Source: Nandakumar et al., ICECS 2019; Joshi et al., Nat. Commun. 11 (2020) 2473; as in IBM aihwkit 1.1.0.
    """

    kind: Literal["drift"]
    g_reference_siemens: Siemens = Field(gt=0)
    scales_with_g_max: bool = True
    programming_siemens: tuple[Siemens, ...] = Field(min_length=1)
    t0_s: Seconds = Field(gt=0)
    t_read_s: Seconds = Field(gt=0)
    nu_mean: Law
    nu_sigma: Law
    read_noise: Law
    drift_scale: Scale = 1.0

    @property
    def has_drift_exponent(self) -> bool:
        """Whether conductance falls with a power of time: it does."""
        return True

    def programming_sigma(self, g_target: Floats) -> Floats:
        """Standard deviation in S before clipping: polynomial in r, scaled by g_max / g_reference where noise scales; at least 0."""
        scale = self.programming_scale * (self.g_max_siemens / self.g_reference_siemens if self.scales_with_g_max else 1.0)
        polynomial = np.polynomial.polynomial.polyval(g_target / self.g_max_siemens, self.programming_siemens)
        return np.asarray(np.maximum(scale * polynomial, 0.0))

    def drift_exponent(self, g_target: ArrayLike, rng: np.random.Generator) -> Floats:
        """Exponent of each cell: drift_scale |nu_mean(r) + nu_sigma(r) N|."""
        level = self.targets(g_target) / self.g_max_siemens
        return np.asarray(self.drift_scale * np.abs(self.nu_mean(level) + self.nu_sigma(level) * rng.standard_normal(level.shape)))

    def drift_factor(self, nu: Floats, t_s: float) -> Floats:
        """Share of the conductance that is left at `t_s`: ((t + t0) / t0)^-nu."""
        self.check_time(t_s)
        return np.asarray(np.exp(-self._decades(t_s) * nu))

    def _decades(self, t_s: float) -> float:
        """Natural logarithm of (t + t0) / t0."""
        return float(np.log1p(t_s / self.t0_s))

    def drifted(self, g_prog: Floats, g_target: ArrayLike, t_s: float, rng: np.random.Generator, nu: Floats | None = None) -> Floats:
        """Conductance in S: g_p ((t + t0) / t0)^-nu; give the same `nu` to follow cells over time."""
        self.check_time(t_s)
        return np.asarray(g_prog * self.drift_factor(self.drift_exponent(g_target, rng) if nu is None else nu, t_s))

    def read_sigma(self, g_prog: Floats, t_s: float) -> Floats:
        """Standard deviation of one read at `t_s` relative to the conductance: Q(r_p) sqrt(ln((t + t0 + t_read) / (2 t_read)))."""
        self.check_time(t_s)
        scale = self.read_scale * (1.0 if self.scales_with_g_max else self.g_reference_siemens / self.g_max_siemens)
        growth = float(np.sqrt(np.log((t_s + self.t0_s + self.t_read_s) / (2 * self.t_read_s))))
        return np.asarray(scale * growth * np.maximum(self.read_noise(g_prog / self.g_max_siemens), 0.0))

    def read(self, g: Floats, t_s: float, rng: np.random.Generator, g_prog: Floats | None = None) -> Floats:
        """Conductance in S that one read sees: max(0, g (1 + read_sigma N))."""
        sigma = self.read_sigma(np.asarray(g if g_prog is None else g_prog), t_s)
        return np.asarray(np.maximum(g * (1 + sigma * rng.standard_normal(np.shape(g))), 0.0))

    def moments(self, level_fraction: ArrayLike, t_s: float | None = None) -> tuple[Floats, Floats]:
        """Mean and standard deviation as fractions of the range: a sum over the programming error, the rest in closed form."""
        target = self.levels(level_fraction)
        sigma = self.programming_sigma(target)
        if t_s is None:
            return self.as_fraction(*clipped_moments(target, sigma))
        self.check_time(t_s)
        programmed = np.maximum(target[..., None] + sigma[..., None] * _Z, 0.0)
        mean, spread = clipped_moments(np.ones_like(programmed), self.read_sigma(programmed, t_s))
        level, rate = target / self.g_max_siemens, self._decades(t_s) * self.drift_scale
        first = (programmed * mean) @ _WEIGHT * folded_decay(rate, self.nu_mean(level), self.nu_sigma(level))
        square = (programmed**2 * (mean**2 + spread**2)) @ _WEIGHT * folded_decay(2 * rate, self.nu_mean(level), self.nu_sigma(level))
        return self.as_fraction(first, np.sqrt(np.maximum(square - first**2, 0.0)))


class _SpreadInTime(NoiseSpec):
    """Cells whose total spread about the target was measured at a few times."""

    times_s: tuple[Seconds, ...] = Field(min_length=2)
    read_noise_siemens: Siemens = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _check_times(self) -> _SpreadInTime:
        """Refuse times out of order."""
        if any(later <= earlier for earlier, later in zip(self.times_s, self.times_s[1:], strict=False)):
            raise ValueError("times must rise")
        return self

    @abstractmethod
    def _sigmas(self, target: Floats) -> list[Floats]:
        """Standard deviation in S at each of the times."""

    def sigma_at(self, target: Floats, t_s: float) -> Floats:
        """Standard deviation in S at `t_s`: between the measured times linear in ln t, from time 0 on linear in t."""
        self.check_time(t_s, self.times_s[0], self.times_s[-1])
        sigmas = self._sigmas(target)
        k = max(min(int(np.searchsorted(self.times_s, t_s)), len(sigmas) - 1), 1)
        early, late = self.times_s[k - 1], self.times_s[k]
        share = (t_s - early) / (late - early) if self.times_s[0] == 0 else np.log(t_s / early) / np.log(late / early)
        return np.asarray((1 - share) * sigmas[k - 1] + share * sigmas[k])

    def read(self, g: Floats, t_s: float, rng: np.random.Generator, g_prog: Floats | None = None) -> Floats:
        """Conductance in S that one read sees: max(0, g + sigma_read N), a constant on top of the measured spread."""
        self.check_time(t_s)
        return np.asarray(np.maximum(g + self.read_scale * self.read_noise_siemens * rng.standard_normal(np.shape(g)), 0.0))

    def at_time(self, g_prog: Floats, g_target: ArrayLike, t_s: float, rng: np.random.Generator, nu: Floats | None = None) -> Floats:
        """Conductance in S at `t_s`; the measured spread has the noise of its own reads in it, so `read` is for further ones."""
        return self.drifted(g_prog, g_target, t_s, rng, nu)

    def moments(self, level_fraction: ArrayLike, t_s: float | None = None) -> tuple[Floats, Floats]:
        """Mean and standard deviation as fractions of the range, of a normal number clipped at 0."""
        target = self.levels(level_fraction)
        sigma = self.programming_sigma(target) if t_s is None else self.sigma_at(target, t_s)
        return self.as_fraction(*clipped_moments(target, sigma))


class RelaxingNoise(_SpreadInTime):
    """ReRAM that is programmed to its target with verify reads and relaxes: g(t) = max(0, g + sigma(r, t) N).

    sigma(r, t) = sum_k c_k(t) r^k at the measured times, in S for a g_max of `g_reference` and in proportion to g_max otherwise.
    Source: Wan et al., Nature 608 (2022) 504, fitted in IBM aihwkit inference/noise/reram.py.
    """

    kind: Literal["relaxing"]
    g_reference_siemens: Siemens = Field(gt=0)
    spread_siemens: tuple[tuple[Siemens, ...], ...]

    @model_validator(mode="after")
    def _check_spread(self) -> RelaxingNoise:
        """Refuse a time without a polynomial."""
        if len(self.spread_siemens) != len(self.times_s) or self.times_s[0] <= 0:
            raise ValueError("spread has one polynomial for each of the times, which are above 0")
        return self

    def programming_sigma(self, g_target: Floats) -> Floats:
        """Zero: the spread is counted from the target."""
        return np.zeros_like(g_target)

    def _sigmas(self, target: Floats) -> list[Floats]:
        """Standard deviation in S at each of the times; at least 0."""
        scale, level = self.programming_scale * self.g_max_siemens / self.g_reference_siemens, target / self.g_max_siemens
        return [np.maximum(scale * np.polynomial.polynomial.polyval(level, c), 0.0) for c in self.spread_siemens]

    def drifted(self, g_prog: Floats, g_target: ArrayLike, t_s: float, rng: np.random.Generator, nu: Floats | None = None) -> Floats:
        """Conductance in S: max(0, g_p + sigma(r, t) N); drawn anew at each time, trajectories were not published."""
        sigma = self.sigma_at(self.targets(g_target), t_s)
        return np.asarray(np.maximum(g_prog + sigma * rng.standard_normal(np.shape(g_prog)), 0.0))


class SaturatingNoise(_SpreadInTime):
    """SONOS flash cells: the spread of current saturates with it, sigma(I, t) = A(t) (1 - exp(-I / B(t))), and grows by the day.

    I = r I_max. A cell keeps its error of programming (time 0); later ones add what the variance has grown. The published drift of the
    mean is not modeled. Source: Agarwal et al., fitted in Sandia cross-sim 3.2.0 simulator/devices/custom/SONOS.py.
    """

    kind: Literal["saturating"]
    current_max_a: Amperes = Field(gt=0)
    amplitude_a: tuple[Amperes, ...]
    corner_a: tuple[Amperes, ...]

    @model_validator(mode="after")
    def _check_spread(self) -> SaturatingNoise:
        """Refuse a time without constants, and a corner of 0."""
        if {len(self.amplitude_a), len(self.corner_a)} != {len(self.times_s)} or min(self.corner_a) <= 0 or self.times_s[0] != 0:
            raise ValueError("amplitude and corner have one current for each of the times, the first of which is 0; corners are above 0")
        return self

    def programming_sigma(self, g_target: Floats) -> Floats:
        """Standard deviation in S before clipping: that of time 0."""
        return self._sigmas(g_target)[0]

    def _sigmas(self, target: Floats) -> list[Floats]:
        """Standard deviation in S at each of the times."""
        current = target / self.g_max_siemens * self.current_max_a
        unit = self.programming_scale * self.g_max_siemens / self.current_max_a
        return [unit * a * -np.expm1(-current / b) for a, b in zip(self.amplitude_a, self.corner_a, strict=True)]

    def drifted(self, g_prog: Floats, g_target: ArrayLike, t_s: float, rng: np.random.Generator, nu: Floats | None = None) -> Floats:
        """Conductance in S: max(0, g_p + sqrt(sigma(t)^2 - sigma(0)^2) N)."""
        target = self.targets(g_target)
        grown = np.sqrt(np.maximum(self.sigma_at(target, t_s) ** 2 - self.programming_sigma(target) ** 2, 0.0))
        return np.asarray(np.maximum(g_prog + grown * rng.standard_normal(np.shape(g_prog)), 0.0))


class SlidingNoise(NoiseSpec):
    """CMO/HfOx ReRAM: verified to an acceptance range, then a mean and a spread that move with ln t; clipped to g_min ... g_max.

    g_p = g + (a + b g) N; g(t) = g_p - shift ln t + (s0 + s1 ln t) N; a read adds q log10(g / uS) sqrt(ln((t + t_read) / (2 t_read))) N;
    t in s, from 1 s on. Source: Falcone et al. 2024/2025, fitted in IBM aihwkit inference/noise/reram.py.
    """

    kind: Literal["sliding"]
    acceptance: float
    acceptances: tuple[float, ...]
    programming_offset_siemens: tuple[Siemens, ...]
    programming_slope: tuple[float, ...]
    shift_siemens: Siemens
    spread_siemens: tuple[Siemens, Siemens]
    read_noise_siemens: Siemens
    t_read_s: Seconds = Field(gt=0)

    @model_validator(mode="after")
    def _check_acceptance(self) -> SlidingNoise:
        """Refuse an acceptance range that was not measured."""
        if not len(self.acceptances) == len(self.programming_offset_siemens) == len(self.programming_slope):
            raise ValueError("programming_offset and programming_slope have one number for each of the acceptances")
        if self.acceptance not in self.acceptances:
            raise ValueError(f"acceptance {self.acceptance:g} was not measured; choose {', '.join(f'{a:g}' for a in self.acceptances)}")
        return self

    def programming_sigma(self, g_target: Floats) -> Floats:
        """Standard deviation in S: a + b g."""
        k = self.acceptances.index(self.acceptance)
        return np.asarray(self.programming_scale * (self.programming_offset_siemens[k] + self.programming_slope[k] * g_target))

    def check_time(self, t_s: float, low_s: float = 1.0, high_s: float = np.inf) -> None:
        """Raise SimulationError on a time before 1 s, the first that was measured."""
        super().check_time(t_s, low_s, high_s)

    def _slide(self, t_s: float) -> tuple[float, float]:
        """Shift of the mean and standard deviation in S."""
        self.check_time(t_s)
        ln_t = float(np.log(t_s))
        return -self.shift_siemens * ln_t, self.spread_siemens[0] + self.spread_siemens[1] * ln_t

    def drifted(self, g_prog: Floats, g_target: ArrayLike, t_s: float, rng: np.random.Generator, nu: Floats | None = None) -> Floats:
        """Conductance in S, not yet clipped: g_p - shift ln t + (s0 + s1 ln t) N; drawn anew at each time."""
        shift, sigma = self._slide(t_s)
        return np.asarray(g_prog + shift + sigma * rng.standard_normal(np.shape(g_prog)))

    def read_sigma(self, g: Floats, t_s: float) -> Floats:
        """Standard deviation in S of one read; 0 at 1 uS and below."""
        self.check_time(t_s)
        growth = float(np.sqrt(np.log((t_s + self.t_read_s) / (2 * self.t_read_s))))
        return np.asarray(self.read_scale * self.read_noise_siemens * growth * np.log10(np.maximum(g / _MICROSIEMENS, 1.0)))

    def read(self, g: Floats, t_s: float, rng: np.random.Generator, g_prog: Floats | None = None) -> Floats:
        """Conductance in S that one read sees, clipped to g_min ... g_max."""
        seen = g + self.read_sigma(np.asarray(g), t_s) * rng.standard_normal(np.shape(g))
        return np.asarray(np.clip(seen, self.g_min_siemens, self.g_max_siemens))

    def moments(self, level_fraction: ArrayLike, t_s: float | None = None) -> tuple[Floats, Floats]:
        """Mean and standard deviation as fractions of the range: variances add, read noise taken at the mean; then clipped."""
        target = self.levels(level_fraction)
        sigma = self.programming_sigma(target)
        if t_s is None:
            return self.as_fraction(target, sigma)
        shift, spread = self._slide(t_s)
        mean = target + shift
        total = np.sqrt(sigma**2 + spread**2 + self.read_sigma(mean, t_s) ** 2)
        return self.as_fraction(*clipped_moments(mean, total, self.g_min_siemens, self.g_max_siemens))


class GenericNoise(NoiseSpec):
    """Errors of a simple shape, normal or uniform: standard deviation a g_max times 1 (independent), r (proportional), 1 / r (inverse).

    r is at least `min_level` in the inverse law. No drift; each read draws `read` with the same law and shape. Mismatch of SRAM cell
    currents and of unit capacitors is the proportional normal one. Source: the families of Sandia cross-sim 3.2.0 generic devices.
    """

    kind: Literal["generic"]
    distribution: Literal["normal", "uniform"] = "normal"
    law: Literal["independent", "proportional", "inverse"] = "proportional"
    programming: Scale = 0.0
    read_noise: Scale = 0.0
    min_level: float = Field(default=0.01, gt=0, le=1)

    def _shape(self, g: Floats) -> Floats:
        """Standard deviation in S for a = 1."""
        level = np.maximum(g / self.g_max_siemens, 0.0)
        if self.law == "independent":
            return np.full_like(level, self.g_max_siemens)
        return self.g_max_siemens * (level if self.law == "proportional" else 1 / np.maximum(level, self.min_level))

    def programming_sigma(self, g_target: Floats) -> Floats:
        """Standard deviation in S before clipping."""
        return self.programming_scale * self.programming * self._shape(g_target)

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
        """Numbers of mean 0 and variance 1."""
        return rng.standard_normal(shape) if self.distribution == "normal" else rng.uniform(-np.sqrt(3), np.sqrt(3), shape)

    def program(self, g_target: ArrayLike, rng: np.random.Generator) -> Floats:
        """Conductance in S after programming: max(0, g + sigma_p(g) X), X of the family's shape."""
        target = self.targets(g_target)
        return np.asarray(np.maximum(target + self.programming_sigma(target) * self._draw(target.shape, rng), 0.0))

    def drifted(self, g_prog: Floats, g_target: ArrayLike, t_s: float, rng: np.random.Generator, nu: Floats | None = None) -> Floats:
        """Conductance in S: as programmed."""
        self.check_time(t_s)
        return np.array(g_prog, dtype=np.float64)

    def read(self, g: Floats, t_s: float, rng: np.random.Generator, g_prog: Floats | None = None) -> Floats:
        """Conductance in S that one read sees: max(0, g + sigma_r(g) X)."""
        self.check_time(t_s)
        sigma = self.read_scale * self.read_noise * self._shape(np.asarray(g))
        return np.asarray(np.maximum(g + sigma * self._draw(np.shape(g), rng), 0.0))

    def moments(self, level_fraction: ArrayLike, t_s: float | None = None) -> tuple[Floats, Floats]:
        """Mean and standard deviation as fractions of the range: clipped programming error, plus the variance of a read at the target."""
        target = self.levels(level_fraction)
        sigma = self.programming_sigma(target)
        mean, spread = clipped_moments(target, sigma) if self.distribution == "normal" else _clipped_uniform(target, sigma)
        if t_s is not None:
            self.check_time(t_s)
            spread = np.hypot(spread, self.read_scale * self.read_noise * self._shape(target))
        return self.as_fraction(mean, spread)


def _clipped_uniform(mean: Floats, sigma: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of a uniform number clipped at 0: integrals of x and x^2 from max(0, low) to high over the width."""
    half = np.maximum(np.sqrt(3) * sigma, 1e-12 * np.maximum(mean, 1e-12))
    low, high = np.maximum(mean - half, 0.0), np.maximum(mean + half, 0.0)
    first = (high**2 - low**2) / (4 * half)
    return first, np.sqrt(np.maximum((high**3 - low**3) / (6 * half) - first**2, 0.0))


FAMILIES: dict[str, type[NoiseSpec]] = {
    "drift": DriftNoise, "relaxing": RelaxingNoise, "saturating": SaturatingNoise, "sliding": SlidingNoise, "generic": GenericNoise,
}  # fmt: skip


@cache
def list_noise() -> dict[str, Path]:
    """Shipped statistics by name."""
    return {path.stem: path for path in sorted(PARTS.glob("*.yaml"))}


def load_noise(name: str | Path, **changes: Any) -> NoiseSpec:
    """Statistics by catalog name (`pcm_like` or `noise/pcm_like`) or YAML path; `changes` replace keys as a file would write them.

    Raises SpecError with file, line and key.
    """
    parts = list_noise()
    text = str(name).removeprefix("noise/")
    path = parts.get(text, Path(name))
    if text not in parts and path.suffix not in {".yaml", ".yml"}:
        raise SpecError(f"noise {str(name)!r} is neither in the catalog nor a YAML file; {suggest(text, parts)}")
    document = read_yaml(path)
    kind = str(document.data.get("kind"))
    if kind not in FAMILIES:
        raise SpecError(f"{document.place('kind')}: kind: {kind!r} is no family of statistics; {suggest(kind, FAMILIES)}")
    try:
        return FAMILIES[kind].model_validate({**document.data, **changes})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        where = "" if key.partition(".")[0] in changes else f"{document.place(key)}: "
        given = first.get("input")
        got = f"; got {given!r}" if isinstance(given, str | int | float) else ""
        raise SpecError(f"{where}{key or text}: {message}{got}") from None

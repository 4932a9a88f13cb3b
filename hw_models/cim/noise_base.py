"""What all statistics of analog cells share: one interface in siemens and seconds, laws against the level, moments of clipped numbers.

A cell with target g is programmed (`program`), relaxes or drifts (`drifted`) and is read (`read`); `at_time` is the three
together for one read at one time. Everything that draws takes its generator.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from hw_models.specs import Spec
from hw_models.units import Siemens
from workloads.errors import SimulationError

Floats = NDArray[np.float64]
Scale = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# Smallest r = g / g_max in logarithms and powers. Source: IBM aihwkit inference/noise/pcm.py.
MIN_LEVEL = 1e-7


class Law(Spec):
    """A number against r = g / g_max: a logarithm or a power below `split`, a polynomial from there on.

    y = clip(a ln r + b, low, high) with `log` (a, b), or y = clip(a r^-b, low, high) with `power` (a, b); y = sum_k c_k r^k with
    `polynomial`, which holds everywhere where there is nothing else. `limits` are low and high.
    """

    log: tuple[float, float] | None = None
    power: tuple[float, float] | None = None
    limits: tuple[float, float] | None = None
    split: float | None = Field(default=None, gt=0)
    polynomial: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Law:
        """Refuse a law of which a part is missing or given twice."""
        has_curve = self.log is not None or self.power is not None
        if self.log is not None and self.power is not None:
            raise ValueError("log and power exclude each other; give one")
        if has_curve != (self.limits is not None):
            raise ValueError("limits belong to log or power; give both or neither")
        if self.limits is not None and self.limits[0] > self.limits[1]:
            raise ValueError(f"limits {self.limits[0]:g}, {self.limits[1]:g} are low and high, in this order")
        if not has_curve and not self.polynomial:
            raise ValueError("a law has a log, a power or a polynomial; none is given")
        if (has_curve and bool(self.polynomial)) != (self.split is not None):
            raise ValueError("split is where the polynomial takes over from log or power; give all of them or no split")
        return self

    def __call__(self, level: Floats) -> Floats:
        """Value at r = level, with r at least 1e-7 in the logarithm or power."""
        curve = self._curve(np.maximum(level, MIN_LEVEL))
        if not self.polynomial:
            return curve
        polynomial = np.polynomial.polynomial.polyval(level, self.polynomial)
        return np.asarray(polynomial if self.split is None else np.where(level < self.split, curve, polynomial), dtype=np.float64)

    def _curve(self, level: Floats) -> Floats:
        """The part below the split."""
        if self.log is not None:
            value = self.log[0] * np.log(level) + self.log[1]
        elif self.power is not None:
            value = self.power[0] * level ** -self.power[1]
        else:
            return np.zeros_like(level)
        return np.asarray(np.clip(value, *(self.limits or (None, None))), dtype=np.float64)


class NoiseSpec(Spec):
    """Statistics of one kind of cell; conductance runs from `g_min` to `g_max`.

    A cell that is no resistor is described by what it holds relative to its full level: current of an SRAM cell, capacitance.
    Raises SimulationError where a target is out of range or a time outside what was measured.
    """

    g_max_siemens: Siemens = Field(default=1.0, gt=0)
    g_min_siemens: Siemens = Field(default=0.0, ge=0)
    programming_scale: Scale = 1.0
    read_scale: Scale = 1.0

    @model_validator(mode="after")
    def _check_range(self) -> NoiseSpec:
        """Refuse a range of conductance without extent."""
        if self.g_min_siemens >= self.g_max_siemens:
            raise ValueError(f"g_min {self.g_min_siemens:g} S must be below g_max {self.g_max_siemens:g} S")
        return self

    @property
    def has_drift_exponent(self) -> bool:
        """Whether conductance falls with a power of time."""
        return False

    @abstractmethod
    def programming_sigma(self, g_target: Floats) -> Floats:
        """Standard deviation in S of the programmed conductance before it is clipped."""

    def program(self, g_target: ArrayLike, rng: np.random.Generator) -> Floats:
        """Conductance in S after programming: max(0, g + sigma_p(g) N), N normal."""
        target = self.targets(g_target)
        return np.asarray(np.maximum(target + self.programming_sigma(target) * rng.standard_normal(target.shape), 0.0))

    def drift_exponent(self, g_target: ArrayLike, rng: np.random.Generator) -> Floats:
        """Exponent nu of each cell; 0 where there is no power law of time."""
        return np.zeros(self.targets(g_target).shape)

    @abstractmethod
    def drifted(self, g_prog: Floats, g_target: ArrayLike, t_s: float, rng: np.random.Generator, nu: Floats | None = None) -> Floats:
        """Conductance in S at `t_s` after the end of programming, without read noise; `nu` are exponents drawn before."""

    def read(self, g: Floats, t_s: float, rng: np.random.Generator, g_prog: Floats | None = None) -> Floats:
        """Conductance in S that one read at `t_s` sees of cells at g; `g_prog` is what they were programmed to (default: g)."""
        self.check_time(t_s)
        return np.array(g, dtype=np.float64)

    def at_time(self, g_prog: Floats, g_target: ArrayLike, t_s: float, rng: np.random.Generator, nu: Floats | None = None) -> Floats:
        """Conductance in S seen by one read at `t_s`: drifted, then read."""
        return self.read(self.drifted(g_prog, g_target, t_s, rng, nu), t_s, rng, g_prog)

    @abstractmethod
    def moments(self, level_fraction: ArrayLike, t_s: float | None = None) -> tuple[Floats, Floats]:
        """Mean and standard deviation of (g(t) - g_min) / (g_max - g_min), as programmed when `t_s` is None."""

    def relative_sigma(self, level_fraction: ArrayLike, t_s: float | None = None) -> Floats:
        """Standard deviation of one cell at level r = (g - g_min) / (g_max - g_min), relative to the full level."""
        return self.moments(level_fraction, t_s)[1]

    def compensated_sigma(self, level_fraction: ArrayLike, t_s: float | None = None) -> tuple[float, float]:
        """Error of pairs of cells after one global factor: its root mean square in units of the largest weight, and the factor.

        A pair holds w = r on one cell and 0 on the other. c = mean(r) / mean(m(r) - m(0)), e^2 = mean(c^2 (s(r)^2 + s(0)^2) +
        (c (m(r) - m(0)) - r)^2), with m and s of `moments`. Raises SimulationError where all levels are 0.
        """
        levels = np.asarray(level_fraction, dtype=np.float64).ravel()
        if not levels.size or not levels.max() > 0:
            raise SimulationError("compensated_sigma: all levels are 0; one must be above")
        mean, sigma = self.moments(np.append(levels, 0.0), t_s)
        signal = mean[:-1] - mean[-1]
        factor = float(levels.mean() / signal.mean())
        square = factor**2 * (sigma[:-1] ** 2 + sigma[-1] ** 2) + (factor * signal - levels) ** 2
        return float(np.sqrt(square.mean())), factor

    def weights_at(self, weights: ArrayLike, t_s: float | None, rng: np.random.Generator) -> Floats:
        """Weights, largest |w| at the full level, that pairs of cells hold at `t_s`, or as programmed: (g+ - g-) / (g_max - g_min) max|w|.

        One cell of a pair holds max(0, w), the other max(0, -w). Raises SimulationError where all weights are 0.
        """
        given = np.asarray(weights, dtype=np.float64)
        largest = float(np.abs(given).max(initial=0.0))
        if not largest > 0:
            raise SimulationError("weights_at: all weights are 0; the largest is what fills a cell")
        pair = self.levels(np.maximum(np.stack([given, -given]) / largest, 0.0))
        held = self.program(pair, rng)
        if t_s is not None:
            held = self.at_time(held, pair, t_s, rng)
        return np.asarray((held[0] - held[1]) * (largest / (self.g_max_siemens - self.g_min_siemens)))

    def perturb(self, t_s: float | None = None) -> Callable[[Floats, np.random.Generator], Floats]:
        """Return the function (g / g_max, rng) -> g(t) / g_max that programs cells and reads them at `t_s`, or as programmed.

        Levels outside the range of the cell are taken as its ends.
        """

        def perturbed(level: Floats, rng: np.random.Generator) -> Floats:
            target = np.clip(np.asarray(level) * self.g_max_siemens, self.g_min_siemens, self.g_max_siemens)
            programmed = self.program(target, rng)
            found = programmed if t_s is None else self.at_time(programmed, target, t_s, rng)
            return np.asarray(found / self.g_max_siemens)

        return perturbed

    def targets(self, g_target: ArrayLike) -> Floats:
        """Targets in S as an array; raises SimulationError on one that the cell cannot hold."""
        target = np.asarray(g_target, dtype=np.float64)
        slack = 1e-9 * self.g_max_siemens
        wrong = ~((target >= self.g_min_siemens - slack) & (target <= self.g_max_siemens + slack))
        if wrong.any():
            first = float(target[wrong].flat[0]) if target.ndim else float(target)
            low, high = self.g_min_siemens * 1e6, self.g_max_siemens * 1e6
            raise SimulationError(f"g_target {first * 1e6:g} uS: the cell holds {low:g} to {high:g} uS")
        return target

    def levels(self, level_fraction: ArrayLike) -> Floats:
        """Targets in S of level fractions."""
        return self.targets(self.g_min_siemens + np.asarray(level_fraction, dtype=np.float64) * (self.g_max_siemens - self.g_min_siemens))

    def as_fraction(self, mean: Floats, sigma: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation in S as fractions of the range."""
        extent = self.g_max_siemens - self.g_min_siemens
        return (mean - self.g_min_siemens) / extent, sigma / extent

    def check_time(self, t_s: float, low_s: float = 0.0, high_s: float = np.inf) -> None:
        """Raise SimulationError on a time that is no number or was not measured."""
        if not low_s <= t_s <= high_s or not np.isfinite(t_s):
            upto = f" to {high_s:g} s" if np.isfinite(high_s) else " s or more"
            raise SimulationError(f"t_s {t_s:g}: the statistics hold for {low_s:g}{upto} after programming")


def clipped_moments(mean: Floats, sigma: Floats, low: float = 0.0, high: float = np.inf) -> tuple[Floats, Floats]:
    """Mean and standard deviation of a normal number clipped to low ... high.

    With a, b = (low - m) / s, (high - m) / s: E = low F(a) + high F(-b) + m P + s (f(a) - f(b)) and E2 = low^2 F(a) + high^2 F(-b) +
    (m^2 + s^2) P + 2 m s (f(a) - f(b)) + s^2 (a f(a) - b f(b)), P = F(b) - F(a); F and f are those of N(0, 1). Integration by parts.
    """
    from scipy.special import ndtr  # noqa: PLC0415  a tenth of a second that only closed forms should pay

    spread = np.maximum(sigma, np.finfo(np.float64).tiny)
    a = np.clip((low - mean) / spread, -40, 40)
    b = np.clip((high - mean) / spread, -40, 40)
    top = 0.0 if np.isinf(high) else high
    below, above = ndtr(a), ndtr(-b)
    inside = 1 - below - above
    fa, fb = normal_density(a), normal_density(b)
    first = low * below + top * above + mean * inside + sigma * (fa - fb)
    second = low**2 * below + top**2 * above + (mean**2 + sigma**2) * inside + 2 * mean * sigma * (fa - fb) + sigma**2 * (a * fa - b * fb)
    return first, np.sqrt(np.maximum(second - first**2, 0.0))


def normal_density(z: Floats) -> Floats:
    """Density of N(0, 1)."""
    return np.asarray(np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))


def folded_decay(rate: float, mean: Floats, sigma: Floats) -> Floats:
    """E[exp(-rate |X|)] of normal X: exp(h^2 / 2 - rate m) F(m/s - h) + exp(h^2 / 2 + rate m) F(-m/s - h), h = rate s.

    Completing the square on each side of 0.
    """
    from scipy.special import log_ndtr  # noqa: PLC0415  see above

    spread = np.maximum(sigma, 1e-12)
    h, x = rate * spread, mean / spread
    return np.asarray(np.exp(h * h / 2 - rate * mean + log_ndtr(x - h)) + np.exp(h * h / 2 + rate * mean + log_ndtr(-x - h)))

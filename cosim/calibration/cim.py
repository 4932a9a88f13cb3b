"""One global fit of the column-pass model: maximum a posteriori in log space, each paper with the same weight.

Minimized, for each kind on its own: sum over rows of rho((ln E_model - ln E_published) / S) / n_rows of the paper, plus
((constant - prior) / sd)^2 over its constants; rho(r) = ln(1 + r^2) of a Cauchy distribution, so that
a paper far from all others hardly moves the constants. What a row is judged by
never enters its own residual: `leave_one_out` fits anew without each paper, and the intervals come from those residuals alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import log

import numpy as np
from numpy.typing import NDArray

from cosim.calibration.cim_table import RefusedError, Row, kind_of, pass_input, read_rows, target, why_not_judged
from hw_models.cim.calibrated import PRIOR_LN, RANGED, raw_costs, read_priors
from hw_models.cim.pass_inputs import PassInput, as_array

Floats = NDArray[np.float64]
KINDS = ("sram", "envm", "digital")
PREFIXES = {"sram": ("s_", "scope_"), "envm": ("e_",), "digital": ("d_",), "latency": ("t_",)}
SCALE = 0.5  # assumed: scale of residuals in ln, a factor of 1.65: what papers differ by in what they include
LEVEL = 0.9


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows to fit: encoded inputs [n, inputs], ln of what they should give, paper of each row."""

    inputs: Floats
    ln_target: Floats
    paper: tuple[str, ...]
    row: tuple[int, ...]
    n_priors: tuple[int, ...]

    def without(self, paper: str) -> Sample:
        """Return the sample without one paper."""
        keep = [i for i, name in enumerate(self.paper) if name != paper]
        return self.take(keep)

    def take(self, keep: Sequence[int]) -> Sample:
        """Return the sample of some of its rows."""
        return Sample(
            self.inputs[list(keep)],
            self.ln_target[list(keep)],
            tuple(self.paper[i] for i in keep),
            tuple(self.row[i] for i in keep),
            tuple(self.n_priors[i] for i in keep),
        )

    @property
    def weights(self) -> Floats:
        """1 / rows of the paper."""
        return np.array([1.0 / self.paper.count(name) for name in self.paper])


def ln_pass_j(one: PassInput, tops_per_w: float) -> float:
    """Ln of the energy of a column pass in J that an efficiency in one-bit TOPS/W says: 2 n b_in b_w / y."""
    return log(2 * one.one_bit_products / (tops_per_w * 1e12))


def energy_sample(rows: Sequence[Row], kind: str) -> Sample:
    """Judged rows of a kind with their published energy."""
    found: list[tuple[PassInput, float, str, int]] = []
    for index, row in enumerate(rows):
        if kind_of(row) != kind or why_not_judged(row):
            continue
        try:
            published, one = target(row), pass_input(row)
        except RefusedError:
            continue
        if published is not None:
            found.append((one, ln_pass_j(one, published), row.text("paper"), index))
    return _sample(found)


def latency_sample(rows: Sequence[Row]) -> Sample:
    """Judged rows with a pass latency, their own hidden from the inputs."""
    found: list[tuple[PassInput, float, str, int]] = []
    for index, row in enumerate(rows):
        if why_not_judged(row) or kind_of(row) == "edram":
            continue
        try:
            published, one = row.number("pass_latency_ns"), pass_input(row, timed=False)
        except RefusedError:
            continue
        if published is not None:
            found.append((one, log(published * 1e-9), row.text("paper"), index))
    return _sample(found)


def _sample(found: Sequence[tuple[PassInput, float, str, int]]) -> Sample:
    return Sample(
        as_array([item[0] for item in found]),
        np.array([item[1] for item in found]),
        tuple(item[2] for item in found),
        tuple(item[3] for item in found),
        tuple(len(item[0].priors) for item in found),
    )


def ln_energy(inputs: Floats, constants: Floats) -> Floats:
    """Ln of the energy of each pass."""
    return np.asarray(np.log(raw_costs(inputs, constants)[0].sum(axis=1)))


def ln_latency(inputs: Floats, constants: Floats) -> Floats:
    """Ln of the time of each pass."""
    return np.asarray(np.log(raw_costs(inputs, constants)[1]))


Model = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True, slots=True)
class Space:
    """The constants of one kind as a vector near 0: (value - prior) / sd, of the logarithm where the law is log."""

    index: tuple[int, ...]
    base: tuple[float, ...]

    def constants(self, z: Floats) -> Floats:
        """Return all constants of the kernel with this kind's at z."""
        priors = read_priors()
        out = np.array(self.base)
        for place, step in zip(self.index, z, strict=True):
            prior = priors[place]
            out[place] = prior.value * np.exp(step * prior.sd) if prior.law == "log" else prior.value + step * prior.sd
        return out


def space(kind: str, base: Floats) -> Space:
    """Constants of a kind, or those of the latency, the others as in `base`."""
    names = [prior.name for prior in read_priors()]
    return Space(tuple(i for i, name in enumerate(names) if name.startswith(PREFIXES[kind])), tuple(base))


def fit(sample: Sample, where: Space, model: Model, start: Floats | None = None) -> Floats:
    """Most probable z of a kind given its sample."""
    from scipy.optimize import least_squares  # noqa: PLC0415  a third of a second that only a fit should pay

    root = np.sqrt(sample.weights)

    def residuals(z: Floats) -> Floats:
        r = (model(sample.inputs, where.constants(z)) - sample.ln_target) / SCALE
        robust = np.sign(r) * np.sqrt(np.log1p(r * r)) * root
        return np.concatenate([robust, z])

    z0 = np.zeros(len(where.index)) if start is None else start
    return np.asarray(least_squares(residuals, z0, max_nfev=30, xtol=1e-6, ftol=1e-6).x)


def leave_one_out(sample: Sample, where: Space, model: Model, start: Floats) -> Floats:
    """Ln of prediction over published for every row, by constants fitted without its paper; [n]."""
    out = np.zeros(len(sample.paper))
    for name in dict.fromkeys(sample.paper):
        z = fit(sample.without(name), where, model, start)
        mine = np.array([paper == name for paper in sample.paper])
        out[mine] = model(sample.inputs[mine], where.constants(z)) - sample.ln_target[mine]
    return out


@dataclass(frozen=True, slots=True)
class Fit:
    """A fit of everything: constants, and by target and kind the sample and its leave-one-paper-out errors in ln."""

    constants: Floats
    samples: dict[str, Sample]
    errors: dict[str, Floats]

    def half_ln(self, key: str) -> float:
        """90 % half-width in ln beyond what priors add: quantile over papers of the median |error| less that of its rows."""
        sample = self.samples[key]
        beyond = np.abs(self.errors[key]) - PRIOR_LN * np.array(sample.n_priors)
        papers = np.array(sample.paper)
        scores = [float(np.quantile(beyond[papers == name], 0.75)) for name in dict.fromkeys(sample.paper)]
        return max(0.0, float(np.quantile(scores, LEVEL)))


@cache
def fit_shipped() -> Fit:
    """Fit the shipped table; the same every time, so done once a process."""
    return fit_all(read_rows())


def fit_all(rows: Sequence[Row]) -> Fit:
    """Fit latency, then energy kind by kind; the scope shares are those of the SRAM papers, of which there are most."""
    constants = np.array([prior.value for prior in read_priors()])
    samples: dict[str, Sample] = {}
    errors: dict[str, Floats] = {}
    for kind in ("latency", *KINDS):
        sample, model = (latency_sample(rows), ln_latency) if kind == "latency" else (energy_sample(rows, kind), ln_energy)
        where = space(kind, constants)
        z = fit(sample, where, model)
        found = leave_one_out(sample, where, model, z)
        constants = where.constants(z)
        if kind != "latency":
            samples[f"energy.{kind}"], errors[f"energy.{kind}"] = sample, found
            continue
        for code, name in enumerate(KINDS):
            mine = np.flatnonzero(sample.inputs[:, 0] == code)
            samples[f"latency.{name}"], errors[f"latency.{name}"] = sample.take([int(i) for i in mine]), found[mine]
    return Fit(constants, samples, errors)


def table_text(done: Fit, rows: Sequence[Row]) -> str:
    """Part file of a fit: version, constants, half-widths and ranges of inputs, one line each."""
    lines = ["section,name,value,unit,source", "version,version,1,,fit of the shipped cim_macros.csv by `cosim calibrate cim`"]
    for prior, value in zip(read_priors(), done.constants, strict=True):
        moved = "prior kept" if value == prior.value else f"fitted from a prior of {prior.value:g}"
        lines.append(f"constant,{prior.name},{value:.6g},{prior.unit},{moved}")
    lines += [f"half_ln,{key},{done.half_ln(key):.4f},ln,90 % of leave-one-paper-out errors" for key in done.errors]
    for kind in KINDS:
        used = [pass_input(rows[i]) for i in done.samples[f"energy.{kind}"].row]
        columns = zip(*[(u.node_m * 1e9, u.supply_v, u.n, u.input_bits, u.weight_bits, u.adc_bits) for u in used], strict=True)
        for name, values in zip(RANGED, columns, strict=True):
            lines += [
                f"range,{kind}.{name}.{end},{value:.6g},,inputs of the fit" for end, value in (("min", min(values)), ("max", max(values)))
            ]
    return "\n".join(lines) + "\n"

"""A Gaussian process over level codes: a product of factors, and what single axes and pairs of them explain by themselves.

k(x, x') = s0 Π_i F_i + s1 e1(G) / n1 + s2 e2(G) / n2, with F_i the factor of axis i (surrogate.factors), G_i the same without its means
over levels (functional ANOVA), e1 and e2 the elementary symmetric sums over axes, n1 and n2 their mean on the diagonal, s the softmax of
(0, r1, r2). Times one scale, marginalized with an inverse-gamma prior (ν = 1): the fit maximizes a Student marginal likelihood and priors.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cosim.study.kernels import gp as kernels
from cosim.study.space import Codes
from cosim.study.surrogate.factors import Factors

Floats = NDArray[np.float64]

_EVALUATIONS = 40  # of the likelihood in one fit; the next fit goes on from where it ended
_LEAST_VARIANCE = 1e-14


@dataclass(frozen=True)
class Prior:
    """Normal priors of log t (mean log(3 / d)), of r1 and r2, and of the log of noise over signal variance.

    assumed: chosen on problems drawn with seeds that no benchmark has; docs/models/surrogate.md.
    """

    log_t_sd: float = 1.0
    r_mean: float = -1.0
    r_sd: float = 1.5
    noise_mean: float = float(np.log(1e-4))
    noise_sd: float = 2.5
    nu: float = 1.0


@dataclass(frozen=True)
class Tables:
    """Factors and centered factors [d, c, c], and shares of the three terms per unit of e1 and e2."""

    factor: Floats
    centered: Floats
    shares: Floats

    @property
    def diagonal(self) -> Floats:
        """[d, c] centered variance of each level."""
        return np.diagonal(self.centered, axis1=1, axis2=2)


@dataclass(frozen=True, eq=False)
class Likelihood:
    """Minus the log posterior of hyperparameters θ = (log t [d], r1, r2, log noise), for standardized y [n] at codes [n, d]."""

    codes: Codes
    y: Floats
    factors: Factors
    prior: Prior

    def start(self) -> Floats:
        """θ at which a first fit begins."""
        d = self.codes.shape[1]
        return np.concatenate([np.full(d, np.log(3.0 / d)), [self.prior.r_mean, self.prior.r_mean, np.log(1e-3)]])

    def tables(self, theta: Floats) -> Tables:
        """The tables at θ."""
        d = self.codes.shape[1]
        factor, _ = self.factors.tables(theta[:d])
        centered = self.factors.centered(factor)
        shares = _shares(*theta[d : d + 2])
        _, n1, n2 = self._norms(centered)
        return Tables(factor, centered, np.array([shares[0], shares[1] / n1, shares[2] / n2]))

    def _norms(self, centered: Floats) -> tuple[Floats, float, float]:
        """[d] mean variance of each axis, and n1, n2 (1 where there is nothing to divide)."""
        g = self.factors.mean_diagonal(centered)
        n1, n2 = float(g.sum()), float(0.5 * (g.sum() ** 2 - (g * g).sum()))
        return g, n1 if n1 > 1e-12 else 1.0, n2 if n2 > 1e-12 else 1.0

    def value(self, theta: Floats) -> tuple[float, Floats]:
        """Value and gradient."""
        d, n, nu = self.codes.shape[1], len(self.y), self.prior.nu
        factor, d_factor = self.factors.tables(theta[:d])
        centered, d_centered = self.factors.centered(factor), self.factors.centered(d_factor)
        (g, n1, n2), dg, shares = self._norms(centered), self.factors.mean_diagonal(d_centered), _shares(*theta[d : d + 2])
        noise = float(np.exp(theta[d + 2]))
        product, first, squares = kernels.cross_parts(self.codes, self.codes, factor, centered)
        second = 0.5 * (first * first - squares)
        upper = kernels.cholesky_rows(shares[0] * product + shares[1] / n1 * first + shares[2] / n2 * second + noise * np.eye(n))
        if np.isnan(upper[-1, -1]):
            return 1e10, np.zeros_like(theta)
        inverse = kernels.inverse_from_rows(upper)
        ones = inverse.sum(axis=1)
        alpha = inverse @ (self.y - (ones @ self.y) / ones.sum())
        q = float((self.y - (ones @ self.y) / ones.sum()) @ alpha)
        value = 0.5 * (n + nu) * np.log(q + nu) + np.log(np.diag(upper)).sum()
        weight = 0.5 * (inverse - (n + nu) / (q + nu) * np.outer(alpha, alpha))
        collected = kernels.table_gradient(self.codes, weight, product, first, self.factors.n_codes)
        terms = np.array([(weight * product).sum(), (weight * first).sum() / n1, (weight * second).sum() / n2])
        slope = (shares[0] * collected[0] / np.where(factor > 0, factor, 1.0) * d_factor).sum(axis=(1, 2))
        slope += ((shares[1] / n1 * collected[1] + shares[2] / n2 * (collected[2] - centered * collected[1])) * d_centered).sum(axis=(1, 2))
        slope -= shares[1] * terms[1] * dg / n1 + shares[2] * terms[2] * (g.sum() - g) * dg / n2
        of_shares = shares * (terms - shares @ terms)
        gradient = np.concatenate([slope, of_shares[1:], [noise * np.trace(weight)]])
        return self._with_prior(float(value), gradient, theta)

    def _with_prior(self, value: float, gradient: Floats, theta: Floats) -> tuple[float, Floats]:
        prior, d = self.prior, self.codes.shape[1]
        mean = np.concatenate([np.full(d, np.log(3.0 / d)), [prior.r_mean, prior.r_mean, prior.noise_mean]])
        sd = np.concatenate([np.full(d, prior.log_t_sd), [prior.r_sd, prior.r_sd, prior.noise_sd]])
        z = (theta - mean) / sd
        return value + 0.5 * float(z @ z), gradient + z / sd

    def best(self, theta: Floats) -> Floats:
        """θ after some steps of L-BFGS-B from θ."""
        from scipy.optimize import minimize  # noqa: PLC0415  (a fifth of a second)

        d = self.codes.shape[1]
        low = np.concatenate([np.full(d, -7.0), [-8.0, -8.0, np.log(1e-7)]])
        high = np.concatenate([np.full(d, 2.5), [8.0, 8.0, 0.0]])
        found = minimize(
            self.value,
            np.clip(theta, low, high),
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(low, high, strict=True)),
            options={"maxfun": _EVALUATIONS, "maxiter": _EVALUATIONS},
        )
        return np.asarray(found.x)


def _shares(r1: np.float64, r2: np.float64) -> Floats:
    """Softmax of (0, r1, r2)."""
    r = np.array([0.0, r1, r2])
    e = np.exp(r - r.max())
    return np.asarray(e / e.sum())


@dataclass(frozen=True, eq=False)
class FittedGP:
    """A posterior: `theta` its hyperparameters, `center` and `spread` what y was standardized by, `inflation` ≥ 1 a factor on its variance.

    upper, alpha, mean, scale2: Cholesky factor of the covariance with noise, weights of the data, constant mean, and scale, for kernels.
    """

    codes: Codes
    y: Floats
    factors: Factors
    theta: Floats
    tables: Tables
    center: float
    spread: float
    upper: Floats
    alpha: Floats
    mean: float
    scale2: float
    inflation: float = 1.0
    prior: Prior = field(default_factory=Prior)

    @property
    def noise(self) -> float:
        """Noise over signal variance."""
        return float(np.exp(self.theta[-1]))

    @property
    def noise_var(self) -> float:
        """Variance of the noise in the units of y."""
        return self.noise * self.scale2 * self.spread**2

    @property
    def moments(self) -> Floats:
        """Constant mean and scale of standardized values, as kernels take them."""
        return np.array([self.mean, self.scale2 * self.inflation])

    @property
    def parts(self) -> tuple[FittedGP, ...]:
        """The processes that a model is the sum of: this one."""
        return (self,)

    @property
    def weights(self) -> Floats:
        """[1, 2] of the part's mean and variance."""
        return np.ones((1, 2))

    @property
    def offset(self) -> float:
        """What is added to the part's mean."""
        return 0.0

    def standard_mean(self, codes: Codes) -> Floats:
        """Mean [m] of standardized values."""
        t = self.tables
        cross = kernels.combine(*kernels.cross_parts(self.codes, codes, t.factor, t.centered), t.shares)
        return np.asarray(self.mean + self.alpha @ cross)

    def standard(self, codes: Codes) -> tuple[Floats, Floats]:
        """Mean and variance [m] of standardized values without noise."""
        t = self.tables
        cross = kernels.combine(*kernels.cross_parts(self.codes, codes, t.factor, t.centered), t.shares)
        solved = kernels.solve_lower(self.upper, cross)
        g = t.diagonal[np.arange(codes.shape[1]), codes]
        first = g.sum(axis=1)
        own = t.shares[0] + t.shares[1] * first + t.shares[2] * 0.5 * (first * first - (g * g).sum(axis=1))
        var = self.scale2 * self.inflation * (own - (solved * solved).sum(axis=0))
        return self.mean + self.alpha @ cross, np.maximum(var, _LEAST_VARIANCE)

    def mean_var(self, codes: Codes) -> tuple[Floats, Floats]:
        """Mean and variance [m] in the units of y."""
        mean, var = self.standard(codes)
        return self.center + self.spread * mean, self.spread**2 * var

    def joint(self, codes: Codes) -> tuple[Floats, Floats]:
        """Mean [m] and covariance [m, m] in the units of y."""
        t = self.tables
        cross = kernels.combine(*kernels.cross_parts(self.codes, codes, t.factor, t.centered), t.shares)
        own = kernels.combine(*kernels.cross_parts(codes, codes, t.factor, t.centered), t.shares)
        solved = kernels.solve_lower(self.upper, cross)
        covariance = self.scale2 * self.inflation * (own - solved.T @ solved)
        return self.center + self.spread * (self.mean + self.alpha @ cross), self.spread**2 * covariance

    def believing(self, codes: Codes, level: Codes) -> FittedGP:
        """The posterior with pending points [m, d] at the values that it expects of them; their levels make no difference here."""
        del level
        return self.with_fantasies(codes, self.mean_var(codes)[0]) if len(codes) else self

    def with_fantasies(self, codes: Codes, y: Floats) -> FittedGP:
        """The posterior with further points, hyperparameters and standardization as they are."""
        more = np.concatenate([self.y, (y - self.center) / self.spread])
        made = _posterior(Likelihood(np.concatenate([self.codes, codes]), more, self.factors, self.prior), self.theta)
        return replace(made, center=self.center, spread=self.spread, inflation=self.inflation)


def fit(
    codes: Codes,
    y: Floats,
    n_levels: Codes,
    is_ordinal: NDArray[np.bool_],
    theta: Floats | None = None,
    *,
    steps: bool = True,
    prior: Prior | None = None,
) -> FittedGP:
    """Fit to y [n] at codes [n, d], hyperparameters from `theta` on (None: from the start); `steps` False keeps them."""
    center, spread = float(y.mean()), float(y.std()) or 1.0
    likelihood = Likelihood(np.ascontiguousarray(codes), (y - center) / spread, Factors(n_levels, is_ordinal), prior or Prior())
    theta = likelihood.start() if theta is None else theta
    if steps:
        theta = likelihood.best(theta)
    return replace(_posterior(likelihood, theta), center=center, spread=spread)


def _posterior(likelihood: Likelihood, theta: Floats) -> FittedGP:
    """Posterior at θ; noise grows until the covariance can be factored."""
    codes, y, nu = likelihood.codes, likelihood.y, likelihood.prior.nu
    tables = likelihood.tables(theta)
    covariance = kernels.combine(*kernels.cross_parts(codes, codes, tables.factor, tables.centered), tables.shares)
    noise = float(np.exp(theta[-1]))
    upper = kernels.cholesky_rows(covariance + noise * np.eye(len(y)))
    while np.isnan(upper[-1, -1]):
        noise *= 10.0
        upper = kernels.cholesky_rows(covariance + noise * np.eye(len(y)))
    both = kernels.solve_lower(upper, np.stack([np.ones(len(y)), y], axis=1))
    mean = float((both[:, 0] @ both[:, 1]) / (both[:, 0] @ both[:, 0]))
    z = both[:, 1] - mean * both[:, 0]
    alpha = kernels.solve_upper(upper, z[:, None])[:, 0]
    scale2 = float((z @ z + nu) / (len(y) + nu))
    return FittedGP(codes, y, likelihood.factors, theta, tables, 0.0, 1.0, upper, alpha, mean, scale2, prior=likelihood.prior)

"""Which points a sweep takes: the grid, random ones, a Latin hypercube or a Sobol sequence over the levels, after the user's own."""

from __future__ import annotations

import numpy as np

from cosim.study.space import Codes, Space
from cosim.study.spec import Study
from workloads.errors import SpecError

_ROUNDS = 60  # further draws that make up for points that break a rule or come twice


def points_of(study: Study, space: Space) -> Codes:
    """Codes [n, d] of a sweep in its order: the study's own designs first, each point once.

    Raises SpecError where there is none, or the grid is too large to list.
    """
    own = space.encode(study.designs) if study.designs else np.empty((0, len(space.axes)), dtype=np.int64)
    method, n = study.design.method, study.design.n
    if method == "grid":
        found = distinct(np.concatenate([own, space.listed]))[: (n + len(own)) if n else None]
    else:
        found = drawn(space, method, int(n or 0), np.random.default_rng(study.seed), own)
    if not len(found):
        raise SpecError(f"study {study.name!r}: no point keeps to all its constraints")
    return found


def distinct(codes: Codes) -> Codes:
    """Return each row once, where it came first."""
    _, first = np.unique(codes, axis=0, return_index=True)
    return codes[np.sort(first)]


def drawn(space: Space, method: str, n: int, rng: np.random.Generator, own: Codes) -> Codes:
    """Draw n distinct feasible points beside `own`; fewer where the space has no more.

    lhs: every axis cut in as many strata as are drawn, one draw in each (McKay, Beckman, Conover, Technometrics 21(2), 1979);
    sobol: scrambled Sobol points (Owen, J. Complexity 14(4), 1998). A point in [0, 1)^d stands for level floor(u levels).
    Draws that break a rule are left out and further ones taken, so strata hold for spaces without rules only.
    """
    found = own
    for _ in range(_ROUNDS):
        missing = n + len(own) - len(found)
        if missing <= 0:
            break
        fresh = space.random(rng, missing) if method == "random" else _spread(space, method, missing, rng)
        found = distinct(np.concatenate([found, fresh[space.feasible(fresh)]]))
    return found[: n + len(own)]


def _spread(space: Space, method: str, n: int, rng: np.random.Generator) -> Codes:
    from scipy.stats import qmc  # noqa: PLC0415  (half a second, for those who ask for it)

    if method == "lhs":
        unit = qmc.LatinHypercube(len(space.axes), rng=rng).random(n)
    else:
        unit = qmc.Sobol(len(space.axes), rng=rng).random_base2(max(0, (n - 1).bit_length()))[:n]
    return np.asarray(np.minimum((unit * space.n_levels).astype(np.int64), space.n_levels - 1), dtype=np.int64)

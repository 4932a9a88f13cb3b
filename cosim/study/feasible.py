"""A study's space with the constraints that need a chip to be built: area, and whether all fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cosim.study.evaluate import Evaluator
from cosim.study.objectives import Bound
from cosim.study.paths import is_run_field
from cosim.study.rows import OK
from cosim.study.rules import Measured
from cosim.study.space import Codes, Rule, Space
from cosim.study.spec import Study

Bools = NDArray[np.bool_]


class Builds(Protocol):
    """What knows a chip without running anything."""

    def area_m2(self, codes: Codes) -> NDArray[np.float64]:
        """Return [n] areas, NaN of a chip that cannot be built."""

    def fits(self, codes: Codes) -> Bools:
        """Return [n] whether chips can be built and every workload finds room on them."""


class Bounds:
    """Builds chips, and looks at the bound whether workloads find room: the cheapest rung that places weights and activations."""

    def __init__(self, study: Study) -> None:
        """Read the chips' files."""
        self.study, self.evaluator = study, Evaluator(study, "bound")

    def area_m2(self, codes: Codes) -> NDArray[np.float64]:
        """Return [n] areas, NaN of a chip that cannot be built."""
        return self.evaluator.area_m2(codes)

    def fits(self, codes: Codes) -> Bools:
        """Return [n] whether chips can be built and every workload finds room on them."""
        status = self.evaluator.evaluate(codes).status.reshape(-1, len(self.study.workloads))
        return np.asarray((status == OK).all(axis=1))


def feasible_space(study: Study, builds: Builds | None = None) -> Space:
    """Return the space of a study, all its declared constraints as rules."""
    builds = builds or Bounds(study)
    space, rules = study.space, list(study.space.rules)
    paths = [axis.paths or (axis.name,) for axis in space.axes]
    of_chip = tuple(i for i, set_ in enumerate(paths) if any(path == "chip" or not is_run_field(path) for path in set_))
    every = tuple(range(len(space.axes)))
    rules += [_remembered(space, bound.text, of_chip, _within(bound, builds)) for bound in study.known]
    if study.fits:
        rules.append(_remembered(space, "fits", every, builds.fits))
    return Space(space.axes, tuple(rules))


def _within(bound: Bound, builds: Builds) -> Callable[[Codes], Bools]:
    return lambda codes: bound.keeps(builds.area_m2(codes))


def _remembered(space: Space, text: str, axes: tuple[int, ...], function: Callable[[Codes], Bools]) -> Rule:
    """Return a rule that works out each combination of its axes' levels once."""
    known: dict[tuple[int, ...], bool] = {}
    places = list(axes)

    def keeps(codes: Codes) -> Bools:
        rows = [tuple(row) for row in codes[:, places].tolist()]
        missing = {row: i for i, row in enumerate(rows) if row not in known}
        if missing:
            found = function(codes[list(missing.values())])
            known.update(zip(missing, found.tolist(), strict=True))
        return np.array([known[row] for row in rows], dtype=np.bool_)

    return Measured(text, axes or tuple(range(len(space.axes))), keeps)

"""What a sampler is asked to do: a space, objectives, bounds on black-box values, and fidelities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.study.space import Codes, Space, axes_of
from workloads.errors import SpecError, suggest

Floats = NDArray[np.float64]
Values = float | Sequence[float] | Mapping[str, float]

_SIGNS = {"minimize": 1.0, "minimise": 1.0, "min": 1.0, "maximize": -1.0, "maximise": -1.0, "max": -1.0}
_SENSES = {"<=": 1.0, ">=": -1.0}


@dataclass(frozen=True)
class Goal:
    """An objective; `sign` times its value is minimized."""

    name: str
    sign: float


@dataclass(frozen=True)
class Bound:
    """A limit on a value that is only known once a point is told; it holds where sign · (value − limit) ≤ 0."""

    name: str
    sign: float
    limit: float


@dataclass(frozen=True, eq=False)
class Declared:
    """A rule made of a function of the point by names; only points that it finds true are asked."""

    function: Callable[[dict[str, Any]], bool]
    space: Space

    @property
    def text(self) -> str:
        """Return what a message calls it."""
        return getattr(self.function, "__name__", repr(self.function))

    def keeps(self, codes: Codes) -> NDArray[np.bool_]:
        """Return [n] whether the function finds each row of `codes` true."""
        return np.fromiter((bool(self.function(point)) for point in self.space.decode(codes)), np.bool_, len(codes))


@dataclass(frozen=True, eq=False)
class Problem:
    """A space with rules, objectives, black-box bounds, and fidelities from cheapest to dearest with their costs (none: one)."""

    space: Space
    goals: tuple[Goal, ...]
    bounds: tuple[Bound, ...]
    fidelities: tuple[str, ...]
    costs: tuple[float, ...]

    @property
    def top(self) -> int:
        """Index of the fidelity that is the truth."""
        return len(self.costs) - 1

    def fidelity_index(self, name: str | None) -> int:
        """Return the index of a fidelity, the truth's for None; raises SpecError for an unknown one."""
        if name is None:
            return self.top
        if name not in self.fidelities:
            known = suggest(str(name), self.fidelities) if self.fidelities else "the sampler was made without fidelities"
            raise SpecError(f"fidelity {name!r} is not known; {known}")
        return self.fidelities.index(name)

    def row(self, values: Values) -> tuple[Floats, Floats]:
        """Return (objectives to be minimized [m], violations of the bounds [c]); raises SpecError where one is missing."""
        names = [goal.name for goal in self.goals] + [bound.name for bound in self.bounds]
        if isinstance(values, Mapping):
            for name in names:
                if name not in values:
                    raise SpecError(f"the values told have no {name!r}; give all of {', '.join(dict.fromkeys(names))}")
            found = [float(values[name]) for name in names]
        else:
            found = [float(one) for one in np.ravel(values)]
            if len(found) != len(names):
                raise SpecError(f"{len(found)} values told where {len(names)} are due: {', '.join(names)}, in this order or by name")
        y = [goal.sign * value for goal, value in zip(self.goals, found, strict=False)]
        over = [bound.sign * (value - bound.limit) for bound, value in zip(self.bounds, found[len(y) :], strict=True)]
        return np.array(y), np.array(over)


def make_problem(space: Any, objectives: Any, fidelities: Any = None, constraints: Any = None) -> Problem:
    """Read a problem in any of the forms that `make_sampler` takes; raises SpecError for one that cannot be read."""
    base = space if isinstance(space, Space) else Space(axes_of(space))
    declared, bounds = _constraints(constraints)
    if declared:
        bare = replace(base, rules=())
        base = replace(base, rules=(*base.rules, *(Declared(one, bare) for one in declared)))
    names, costs = _ladder(fidelities)
    if names and "fidelity" in base.names:
        raise SpecError("an axis is called 'fidelity', which names the fidelity of a point; rename the axis")
    return Problem(base, _goals(objectives), bounds, names, costs)


def _goals(objectives: Any) -> tuple[Goal, ...]:
    if isinstance(objectives, str):
        objectives = [objectives]
    if not isinstance(objectives, Mapping):
        pairs: list[tuple[Any, Any]] = [(getattr(one, "name", one), getattr(one, "direction", "minimize")) for one in objectives]
    else:
        pairs = list(objectives.items())
    if not pairs:
        raise SpecError("no objective is given; name at least one")
    for name, way in pairs:
        if str(way) not in _SIGNS:
            raise SpecError(f"objective {name!r}: {way!r} is not a direction; choose minimize or maximize")
    return tuple(Goal(str(name), _SIGNS[str(way)]) for name, way in pairs)


def _ladder(fidelities: Any) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return names and costs in ascending order of cost; of two of equal cost the later is the dearer."""
    pairs = list(fidelities.items() if isinstance(fidelities, Mapping) else fidelities or ())
    for name, cost in pairs:
        if not (math.isfinite(cost) and cost > 0.0):
            raise SpecError(f"fidelity {name!r} costs {cost!r}; give a positive number")
    pairs.sort(key=lambda pair: float(pair[1]))
    return tuple(str(name) for name, _ in pairs), tuple(float(cost) for _, cost in pairs) or (1.0,)


def _constraints(constraints: Any) -> tuple[list[Callable[[dict[str, Any]], bool]], tuple[Bound, ...]]:
    """Split constraints into declared functions and black-box bounds."""
    if constraints is None:
        return [], ()
    if callable(constraints):
        constraints = [constraints]
    if isinstance(constraints, Mapping):
        constraints = [(name, *pair) for name, pair in constraints.items()]
    elif isinstance(constraints, tuple) and constraints and isinstance(constraints[0], str):
        constraints = [constraints]
    declared: list[Callable[[dict[str, Any]], bool]] = []
    bounds: list[Bound] = []
    for one in constraints:
        if isinstance(one, Mapping):
            bounds += _constraints(one)[1]
        elif callable(one):
            declared.append(one)
        else:
            bounds.append(_bound(one))
    return declared, tuple(bounds)


def _bound(given: Iterable[Any]) -> Bound:
    parts = list(given)
    if len(parts) != 3 or parts[1] not in _SENSES:
        raise SpecError(f"constraint {given!r} cannot be read; give a function of the point, or (name, '<=' or '>=', number)")
    return Bound(str(parts[0]), _SENSES[parts[1]], float(parts[2]))

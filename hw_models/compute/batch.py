"""What all digital devices share when they cost a table of ops: the op matrix, and which ops a spec takes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Annotated, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from hw_models import technology
from hw_models.cost import Component
from hw_models.specs import Spec
from hw_models.units import Meters
from workloads.errors import SpecError
from workloads.optable import COLUMNS, OpTable

# Names of `workloads.graph.OpKind`, in its order, as part files write them.
KindName = Literal["matmul", "pool", "elementwise", "softmax", "norm", "reduce", "move"]
ALL_KINDS: tuple[KindName, ...] = get_args(KindName)

SpecType = TypeVar("SpecType", bound=Spec)


def _known_node(node_m: float) -> float:
    """Turn a node that technology scaling does not cover into an error of the field."""
    try:
        technology.check_node(node_m)
    except SpecError as error:
        raise ValueError(str(error)) from None
    return node_m


Node = Annotated[Meters, AfterValidator(_known_node)]

# Technology answers the same questions for every spec of a sweep: ask once.
instruction_energy = cache(technology.instruction_energy)
logic_leakage = cache(technology.logic_leakage)
mac_area = cache(technology.mac_area)
mac_energy = cache(technology.mac_energy)
op_area = cache(technology.op_area)
op_energy = cache(technology.op_energy)
register_energy = cache(technology.register_energy)
scale_logic_energy = cache(technology.scale_logic_energy)


def op_matrix(ops: OpTable) -> NDArray[np.int64]:
    """Return the table as int64 [n_ops, 13], columns in the order of `workloads.optable.COLUMNS`."""
    return np.ascontiguousarray(np.stack([getattr(ops, name) for name in COLUMNS], axis=1))


def allowed(op_kinds: Sequence[tuple[KindName, ...]], has_special: Sequence[bool], ops: OpTable) -> NDArray[np.bool_]:
    """[n_specs, n_ops]: the spec names the op's kind, and has exponentials and roots where the op needs them."""
    flags = {names: [name in names for name in ALL_KINDS] for names in set(op_kinds)}
    kinds = np.array([flags[names] for names in op_kinds], dtype=np.bool_)
    special_ok = np.array(has_special, dtype=np.bool_)[:, None] | (ops.special == 0)[None, :]
    return np.ascontiguousarray(kinds[:, ops.kind] & special_ok)


def components_of_each(
    specs: Sequence[SpecType], key: Callable[[SpecType], Hashable], make: Callable[[SpecType], tuple[Component, ...]]
) -> list[tuple[Component, ...]]:
    """Make the components of each spec, once for specs with equal key and the very same notes: a sweep has few."""
    made: dict[Hashable, tuple[Component, ...]] = {}
    result = []
    for spec in specs:
        full_key = (key(spec), id(spec.sources), id(spec.assumed), id(spec.ranges))
        if full_key not in made:
            made[full_key] = make(spec)
        result.append(made[full_key])
    return result

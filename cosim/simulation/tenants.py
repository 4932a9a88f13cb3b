"""Networks that share a chip, as one graph: so weights of all of them reside side by side, and one policy places all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, count

import numpy as np
from numpy.typing import NDArray

from cosim.provenance import workload_digest
from workloads.errors import WorkloadError
from workloads.graph import Coverage, Op, Workload


@dataclass(frozen=True, eq=False)
class Tenants:
    """A disjoint union of networks.

    workload    all of them; one alone is left as it is, of several each name gets the network's in front
    networks    the distinct ones;  network_of[n_given] which of them each given one is
    first_op    [n_networks + 1] where the ops of each begin
    """

    workload: Workload
    networks: tuple[Workload, ...]
    network_of: tuple[int, ...]
    first_op: NDArray[np.int64]


def merge(workloads: Sequence[Workload]) -> Tenants:
    """Put networks into one graph; those that are equal share one copy, weights included.

    Raises WorkloadError for a network without ops, which would never end.
    """
    for one in workloads:
        if not one.ops:
            raise WorkloadError(
                f"{one.name}: no node does anything at run time, so there is nothing to simulate; choose a network with ops"
            )
    digests = [(one.name, workload_digest(one)) for one in workloads]
    distinct = list(dict.fromkeys(digests))
    networks = tuple(workloads[digests.index(digest)] for digest in distinct)
    first_op = np.cumsum([0, *(len(one.ops) for one in networks)]).astype(np.int64)
    whole = networks[0] if len(networks) == 1 else _union(networks)
    return Tenants(whole, networks, tuple(distinct.index(digest) for digest in digests), first_op)


def unique_names(names: Sequence[str]) -> list[str]:
    """Return the names, the second of its kind with `#2` behind it, and so on."""
    made: list[str] = []
    for name in names:
        candidates = chain([name], (f"{name}#{number}" for number in count(2)))
        made.append(next(text for text in candidates if text not in made))
    return made


def _union(networks: Sequence[Workload]) -> Workload:
    names = unique_names([one.name for one in networks])
    parts = [_prefixed(one, f"{name}/") for one, name in zip(networks, names, strict=True)]
    return Workload(
        name=" + ".join(names),
        tensors={name: tensor for part in parts for name, tensor in part.tensors.items()},
        ops=tuple(op for part in parts for op in part.ops),
        inputs=tuple(name for part in parts for name in part.inputs),
        outputs=tuple(name for part in parts for name in part.outputs),
        n_params=sum(part.n_params for part in parts),
        batch=max(part.batch for part in parts),
        coverage=_all_coverage([part.coverage for part in parts]),
        notes=tuple(f"{name}: {text}" for name, part in zip(names, parts, strict=True) for text in part.notes),
        source="; ".join(dict.fromkeys(part.source for part in parts if part.source)),
    )


def _prefixed(workload: Workload, prefix: str) -> Workload:
    """Return the network with all names of tensors and ops after a prefix."""

    def renamed(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(prefix + name for name in names)

    def op_of(op: Op) -> Op:
        return replace(op, name=prefix + op.name, inputs=renamed(op.inputs), outputs=renamed(op.outputs), weights=renamed(op.weights))

    return replace(
        workload,
        tensors={prefix + name: replace(tensor, name=prefix + tensor.name) for name, tensor in workload.tensors.items()},
        ops=tuple(op_of(op) for op in workload.ops),
        inputs=renamed(workload.inputs),
        outputs=renamed(workload.outputs),
    )


def _all_coverage(parts: Sequence[Coverage]) -> Coverage:
    totals = {name: Counter[str]() for name in ("costed", "data_movement", "free")}
    for part in parts:
        for name, total in totals.items():
            total.update(getattr(part, name))
    return Coverage(**totals)

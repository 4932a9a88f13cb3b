"""How each point of a study is run: chip, network, bits and policy, one by one for each distinct choice of these levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.study.networks import Layers
from cosim.study.paths import is_run_field
from cosim.study.spec import Study, StudyWorkload
from workloads.errors import SpecError

Ints = NDArray[np.int64]
Source = tuple[str, int | None, tuple[tuple[str, int], ...]]  # of a network: name or path, batch, dimensions


@dataclass(frozen=True, slots=True)
class RunFields:
    """What one choice of levels says: chip by index, network for a workload, bits, layers of their own, policy."""

    chip: int
    sources: tuple[Source, ...]
    weight_bits: int
    activation_bits: int
    weights: Layers
    activations: Layers
    policy: str


class RunAxes:
    """The axes of a study that set run fields."""

    def __init__(self, study: Study) -> None:
        """Find the axes; raises SpecError for networks that replace no workload."""
        self.study = study
        self.places = tuple(
            (i, tuple(path for path in axis.paths or (axis.name,) if is_run_field(path))) for i, axis in enumerate(study.space.axes)
        )
        self.places = tuple((i, paths) for i, paths in self.places if paths)
        self._known: dict[int, RunFields] = {}

    def numbers(self, codes: Ints) -> Ints:
        """Return [n] which choice of run fields each row of codes takes."""
        number = np.zeros(len(codes), dtype=np.int64)
        for i, _ in self.places:
            number = number * len(self.study.space.axes[i].levels) + codes[:, i]
        return number

    def fields(self, number: int) -> RunFields:
        """Return what a choice says."""
        if number not in self._known:
            self._known[number] = self._made(self._levels(number))
        return self._known[number]

    def _levels(self, number: int) -> dict[str, Any]:
        levels: dict[str, Any] = {}
        for i, paths in reversed(self.places):
            axis = self.study.space.axes[i]
            number, code = divmod(number, len(axis.levels))
            if axis.levels[code] is not None:
                levels = {**dict.fromkeys(paths, axis.levels[code]), **levels}
        return levels

    def _made(self, levels: Mapping[str, Any]) -> RunFields:
        study = self.study
        chip = study.chips.index(str(levels["chip"])) if "chip" in levels else 0
        return RunFields(
            chip=chip,
            sources=tuple(self._source(one, levels) for one in study.workloads),
            weight_bits=int(levels.get("weight_bits", study.weight_bits)),
            activation_bits=int(levels.get("activation_bits", study.activation_bits)),
            weights=_layers(levels, ".weight_bits"),
            activations=_layers(levels, ".activation_bits"),
            policy=str(levels.get("policy", study.policy)),
        )

    def _source(self, one: StudyWorkload, levels: Mapping[str, Any]) -> Source:
        source = str(levels["network"]) if "network" in levels and one.name == self._replaced else one.source
        batch = int(levels["batch"]) if "batch" in levels else one.batch
        return source, batch, tuple(sorted(one.dims.items()))

    @cached_property
    def _replaced(self) -> str:
        """Name of the workload that an axis `network` replaces: the one called so, the one that is among the levels, or the only one."""
        names = [one.name for one in self.study.workloads]
        axis = next(axis for axis in self.study.space.axes if "network" in (axis.paths or (axis.name,)))
        found = [one.name for one in self.study.workloads if one.name == "network" or one.source in axis.levels or one.name in axis.levels]
        if len(names) == 1 or len(found) == 1:
            return found[0] if found else names[0]
        raise SpecError(f"axis {axis.name!r} may replace any of {', '.join(names)}; call the workload that it varies `network`")


def _layers(levels: Mapping[str, Any], suffix: str) -> Layers:
    """Return (op, bits) of all `layers.<op><suffix>`."""
    found = [(path, bits) for path, bits in levels.items() if path.startswith("layers.") and path.endswith(suffix)]
    return tuple(sorted((path[len("layers.") : -len(suffix)], int(bits)) for path, bits in found))

"""Accuracy as a column of a study: measured once for each distinct pair of arrays and bits, however many chips share them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np

from cosim.provenance import model_version
from cosim.study.columns import COLUMNS
from cosim.study.paths import ChipFields
from cosim.study.rows import FAILED, OK, Rows
from cosim.study.space import Codes
from cosim.study.spec import AccuracySettings, Study
from cosim.study.variants import ChipVariants
from cosim.training.accuracy import Score, Trial, measure
from cosim.training.data import Dataset, fitted, load_data
from cosim.training.deploy import Path, quantized
from cosim.training.hardware import Hardware
from cosim.training.network import Network
from cosim.training.network_file import load_any
from cosim.training.samples import thinned
from cosim.training.surrogate import MAX_SAMPLES
from hw_models.cim.macro import CimMacro
from workloads.errors import CosimError, SpecError

ACCURACY_COLUMNS = ("accuracy_pct", "accuracy_low_pct", "accuracy_high_pct")
_Z90 = 1.6448536269514722  # two-sided 90 % of a normal distribution

Tell = Callable[[int, int], None]  # measured so far, of how many


@dataclass(frozen=True)
class _Case:
    """What decides an accuracy: network, bits, and the arrays of a chip (None: it computes digitally)."""

    workload: int
    weight_bits: int
    activation_bits: int
    arrays: tuple[int, int, int] | None  # chip, device, variant
    digest: bytes


class AccuracyEvaluator:
    """Accuracies of points. Raises SpecError where a network has no trained weights, or its bits vary layer by layer."""

    def __init__(self, study: Study) -> None:
        """Read networks and data; nothing is measured yet."""
        if study.accuracy is None:
            raise SpecError(f"study {study.name!r} names no data to measure accuracy on; add accuracy: {{data: digits8x8}}")
        for axis in study.space.axes:
            if any(path.startswith("layers.") or path == "network" for path in axis.paths):
                raise SpecError(f"axis {axis.name!r}: accuracy is measured for one network at uniform bits; leave the axis or accuracy out")
        self.study, self.settings = study, study.accuracy
        self._found: dict[_Case, Score | str] = {}

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """Networks with their trained weights."""
        found = []
        for one in self.study.workloads:
            try:
                found.append(load_any(one.source))
            except CosimError as error:
                raise SpecError(f"workload {one.name!r} has no accuracy: {error}") from None
        return tuple(found)

    @cached_property
    def data(self) -> tuple[Dataset, ...]:
        """The data in the shape of each network."""
        given = load_data(self.settings.data)
        return tuple(fitted(given, network.program.input_shape, network.program.name) for network in self.networks)

    @cached_property
    def chips(self) -> tuple[ChipVariants, ...]:
        """Every chip of the study."""
        return tuple(ChipVariants(source, self.study.space.axes) for source in self.study.chips)

    def keys(self, codes: Codes) -> list[str]:
        """Return the key of each point [n, d] and workload: equal where nothing that decides an accuracy differs."""
        return [self._key(case) for case in self._cases(codes)]

    def evaluate(self, codes: Codes, tell: Tell = lambda _a, _b: None) -> Rows:
        """Return one row a point and workload, with the accuracy columns alone, in the order of the keys."""
        cases = self._cases(codes)
        _ = self.data  # data that do not fit a network are a mistake of the study, not of its points
        missing = [case for case in dict.fromkeys(cases) if case not in self._found]
        for i, case in enumerate(missing):
            tell(i, len(missing))
            self._found[case] = self._measured(case)
        found = [self._found[case] for case in cases]
        names = (*COLUMNS, *ACCURACY_COLUMNS)
        values = np.full((len(cases), len(names)), np.nan)
        for i, (case, one) in enumerate(zip(cases, found, strict=True)):
            if isinstance(one, Score):
                values[i, len(COLUMNS) :] = interval_pct(one, self._n_inputs(case.workload))
        return Rows(
            [self._key(case) for case in cases],
            np.array([FAILED if isinstance(one, str) else OK for one in found], dtype=np.int8),
            [one if isinstance(one, str) else "" for one in found],
            values,
            np.array([case.workload for case in cases], dtype=np.int64),
            ["{}"] * len(cases),
        )

    def distinct(self, codes: Codes) -> Codes:
        """Return points that between them have every accuracy of the points given, one for each."""
        n = len(self.study.workloads)
        keys = self.keys(codes)
        first: dict[str, int] = {}
        for i, key in enumerate(keys):
            first.setdefault(key, i // n)
        return codes[sorted(set(first.values()))]

    def _cases(self, codes: Codes) -> list[_Case]:
        """What decides each row's accuracy."""
        of_chip = self._chip(codes)
        arrays = [self._arrays(chip, codes) for chip in range(len(self.chips))]
        weights, activations = self._bits("weight_bits", codes), self._bits("activation_bits", codes)
        return [
            _Case(w, weights[i], activations[i], *arrays[chip][i])
            for i, chip in enumerate(of_chip)
            for w in range(len(self.study.workloads))
        ]

    def _chip(self, codes: Codes) -> list[int]:
        places = [i for i, axis in enumerate(self.study.space.axes) if axis.paths == ("chip",)]
        if not places:
            return [0] * len(codes)
        levels = self.study.space.axes[places[0]].levels
        return [self.study.chips.index(str(levels[code])) for code in codes[:, places[0]].tolist()]

    def _bits(self, name: str, codes: Codes) -> list[int]:
        default = int(getattr(self.study, name))
        for i, axis in enumerate(self.study.space.axes):
            if axis.paths == (name,):
                return [default if axis.levels[c] is None else int(str(axis.levels[c])) for c in codes[:, i].tolist()]
        return [default] * len(codes)

    def _arrays(self, chip: int, codes: Codes) -> list[tuple[tuple[int, int, int] | None, bytes]]:
        """The arrays of each point on one chip, and what stands for them."""
        device = self._arrays_of_chip[chip]
        if device is None:
            return [(None, b"")] * len(codes)
        section = self.chips[chip].device_parts[device].section
        return [((chip, device, n), section.digest(n)) for n in section.variants(codes).tolist()]

    @cached_property
    def _arrays_of_chip(self) -> tuple[int | None, ...]:
        """Which device of each chip computes in memory: the first; None where none does."""
        found: list[int | None] = []
        for source in self.study.chips:
            kinds = [str(section["kind"]) for section in ChipFields(source).data["devices"].values()]
            found.append(kinds.index(CimMacro.kind) if CimMacro.kind in kinds else None)
        return tuple(found)

    def _key(self, case: _Case) -> str:
        one = self.study.workloads[case.workload]
        settings = self.settings
        told = [
            *("accuracy", one.source, settings.data, settings.path, settings.seeds, settings.passes, settings.n_inputs),
            *(case.weight_bits, case.activation_bits, case.digest.hex(), model_version()),
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]

    def _n_inputs(self, workload: int) -> int:
        n = int(self.data[workload].is_test.sum())
        return min(n, self.settings.n_inputs or n)

    def _measured(self, case: _Case) -> Score | str:
        """Measure one accuracy; a text says why there is none."""
        try:
            return measure(self._trial(case), redraw=False).accuracy
        except CosimError as error:
            return str(error)

    def _trial(self, case: _Case) -> Trial:
        network, data = self.networks[case.workload], self.data[case.workload]
        return trial_of(network, data, self._hardware(case), (case.weight_bits, case.activation_bits), self.settings)

    def _hardware(self, case: _Case) -> Hardware:
        if case.arrays is None:
            return Hardware("digital")
        chip, device, variant = case.arrays
        made: Any = self.chips[chip].device_parts[device].section.get(variant)
        if isinstance(made, CosimError):
            raise made
        return Hardware(self.chips[chip].name, macro=made.spec)


def trial_of(network: Network, data: Dataset, hardware: Hardware, bits: tuple[int, int], settings: AccuracySettings) -> Trial:
    """Return the network at bits (those that it was trained for, where it was) on hardware, ready to be tried."""
    wanted = (network.weight_bits or bits[0], network.activation_bits or bits[1])
    training = data.inputs[~data.is_test]
    ready = quantized(network, *wanted, network.scaled(thinned(training, MAX_SAMPLES)))
    rows = np.flatnonzero(data.is_test)
    if settings.n_inputs is not None:
        rows = thinned(rows, settings.n_inputs)
    path: Path = "exact" if settings.path == "exact" or hardware.macro is None else "surrogate"
    return Trial(ready, data.inputs[rows], data.labels[rows], hardware, training, settings.seeds, None, settings.passes, path)


def interval_pct(score: Score, n_inputs: int) -> tuple[float, float, float]:
    """Mean and 90 % interval in percent: deviation over seeds, and of so few test inputs, added in squares.

    var = s² / k + p (100 - p) / n for k seeds and n inputs (binomial), within 0 to 100.
    """
    p = score.mean
    width = _Z90 * sqrt(score.std**2 / len(score.per_seed) + p * (100.0 - p) / n_inputs)
    return p, max(0.0, p - width), min(100.0, p + width)

"""From level codes to result rows: what `Simulation.run` says of every point and workload of a study, thousands a second."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from cosim.simulation.run import FIDELITIES
from cosim.study.chip_points import ChipPoints
from cosim.study.columns import COLUMNS
from cosim.study.keys import policy_text, row_keys, run_digest
from cosim.study.plans import is_given
from cosim.study.rows import FAILED, OK, Rows
from cosim.study.run_fields import RunAxes, RunFields
from cosim.study.runner import Runner
from cosim.study.space import Codes
from cosim.study.spec import Study
from cosim.study.variants import ChipVariants
from workloads.errors import CosimError, SimulationError, suggest

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_AT_A_TIME = 4096  # points of a pass, so that their variants stay bounded
_MOST_BYTES = 256 * 2**20  # of cost rows that are kept between passes
_MOST_DEVICES = 1024  # that are kept as objects; their numbers are kept as long as their costs


class Evaluator:
    """Evaluates points of a study at one fidelity; made anew in each process, since all that it keeps can be made again.

    Raises SimulationError for a fidelity that is not known. `salt` goes into every key.
    """

    def __init__(self, study: Study, fidelity: str | None = None, salt: str = "") -> None:
        """Read the chips' files; networks are read when they are needed."""
        fidelity = fidelity or study.fidelity
        if fidelity not in FIDELITIES:
            raise SimulationError(f"fidelity {fidelity!r} is not known; {suggest(fidelity, FIDELITIES)}")
        self.study, self.salt = study, salt
        self.fidelity = "event" if fidelity == "simpy" else fidelity  # bit for bit the same
        self.runs = RunAxes(study)
        self.chips = tuple(ChipVariants(chip, study.space.axes) for chip in study.chips)
        self.runner = Runner(study, self.runs, self.chips, self.fidelity)
        self._digests: dict[tuple[int, int], bytes] = {}

    def keys(self, codes: Codes) -> list[str]:
        """Return the keys of points [n, d]: those of the first point for every workload, then of the next."""
        n_workloads = len(self.study.workloads)
        found: list[str] = [""] * (len(codes) * n_workloads)
        numbers = self.runs.numbers(codes)
        for chip, rows in self._by_chip(numbers):
            prefixes = ChipPoints(self.chips[chip]).digests(codes[rows])
            for w in range(n_workloads):
                runs = (self._run_digest(number, w) for number in numbers[rows].tolist())
                for row, key in zip(rows.tolist(), row_keys(prefixes, runs), strict=True):
                    found[row * n_workloads + w] = key
        return found

    def evaluate(self, codes: Codes) -> Rows:
        """Return the rows of points [n, d], in the order of the keys; a point that fails has rows that say why."""
        codes = np.ascontiguousarray(codes, dtype=np.int64)
        n, n_workloads = len(codes), len(self.study.workloads)
        values, errors = np.full((n, n_workloads, len(COLUMNS)), np.nan), [""] * (n * n_workloads)
        keys: list[str] = []
        for first in range(0, n, _AT_A_TIME):
            part = slice(first, min(first + _AT_A_TIME, n))
            with _no_search_for_cycles():
                for place, error in self._pass(codes[part], values[part]):
                    errors[first * n_workloads + place] = error
                keys += self.keys(codes[part])
            self._trim()
        status = np.array([FAILED if error else OK for error in errors], dtype=np.int8)
        designs = [text for text in self.designs(codes) for _ in range(n_workloads)]
        index = np.tile(np.arange(n_workloads, dtype=np.int64), n)
        return Rows(keys, status, errors, values.reshape(n * n_workloads, -1), index, designs)

    def designs(self, codes: Codes) -> list[str]:
        """Return the levels of each point as a JSON object."""
        names = [json.dumps(axis.name) for axis in self.study.space.axes]
        texts = [[f"{name}: {json.dumps(level)}" for level in axis.levels] for name, axis in zip(names, self.study.space.axes, strict=True)]
        columns = [[one[c] for c in codes[:, i].tolist()] for i, one in enumerate(texts)]
        return [f"{{{', '.join(row)}}}" for row in zip(*columns, strict=True)]

    def area_m2(self, codes: Codes) -> Floats:
        """Return the silicon area of each point; NaN where a section cannot be built."""
        found = np.full(len(codes), np.nan)
        for chip, rows in self._by_chip(self.runs.numbers(codes)):
            found[rows] = ChipPoints(self.chips[chip]).area_m2(codes[rows])
        return found

    def _by_chip(self, numbers: Ints) -> Iterator[tuple[int, Ints]]:
        """Yield each chip and the rows of the points on it."""
        distinct, place = np.unique(numbers, return_inverse=True)
        chip = np.array([self.runs.fields(number).chip for number in distinct.tolist()], dtype=np.int64)[place]
        for one in np.unique(chip).tolist():
            yield one, np.flatnonzero(chip == one)

    def _run_digest(self, number: int, w: int) -> bytes:
        if (number, w) not in self._digests:
            run = self.runs.fields(number)
            network = self.runner.network(run.sources[w])
            if isinstance(network, CosimError):
                digest = repr((run.sources[w], str(network))).encode()
            else:
                digest = network.digest(run.weight_bits, run.activation_bits, run.weights, run.activations)
            policy = self._policy_text(run, w)
            self._digests[(number, w)] = run_digest(digest, policy, self.fidelity, self.study.seed, self.salt)
        return self._digests[(number, w)]

    def _policy_text(self, run: RunFields, w: int) -> str:
        if not is_given(run.policy):
            return policy_text(run.policy)
        plan = self.runner.given(run, w)
        return f"plan {run.policy}: {plan}" if isinstance(plan, CosimError) else f"plan {plan.digest}"

    def _pass(self, codes: Codes, values: Floats) -> Iterator[tuple[int, str]]:
        """Fill in the values of some points [n, n_workloads, n_columns]; yield (place among their rows, error)."""
        n_workloads = values.shape[1]
        numbers = self.runs.numbers(codes)
        for chip, rows in self._by_chip(numbers):
            points, failed = ChipPoints(self.chips[chip]).rows(codes[rows])
            for place, error in failed.items():
                yield from ((int(rows[place]) * n_workloads + w, error) for w in range(n_workloads))
            good = np.setdiff1d(np.arange(len(rows)), np.array(list(failed), dtype=np.int64))
            for w in range(n_workloads):
                found = np.empty((len(good), values.shape[2]))
                for place, error in self.runner.run(chip, w, points[good], numbers[rows[good]], found):
                    yield int(rows[good[place]]) * n_workloads + w, error
                values[rows[good], w] = found

    def _trim(self) -> None:
        """Let go of variants and costs when they have become many; what is needed again is built again."""
        if self.runner.n_bytes > _MOST_BYTES:
            self.runner.forget()
            for chip in self.chips:
                chip.forget()
        elif max(len(chip.devices) for chip in self.chips) > _MOST_DEVICES:
            for chip in self.chips:
                chip.release()


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Keep the collector of cycles off for one pass, which builds thousands of objects and no cycle: each search would visit all."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

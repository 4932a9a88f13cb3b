"""Points of one chip for one workload: grouped by network, policy and which memories there are, then evaluated a group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosim.scheduling.base import make_policy
from cosim.simulation.run import FIDELITIES
from cosim.study.batch import BY_HEFT, ONE_FOR_ALL, Batch, Found
from cosim.study.cost_blocks import CostBlocks
from cosim.study.kernels.point_data import CAPACITY_BYTES, PARTS_OF_POINT
from cosim.study.networks import Layers, NetworkVariants
from cosim.study.plans import GivenPlan, given_plan, is_given
from cosim.study.refusals import refusal
from workloads.errors import CosimError
from workloads.registry import load_workload

if TYPE_CHECKING:
    from cosim.study.run_fields import RunAxes, RunFields, Source
    from cosim.study.spec import Study
    from cosim.study.variants import ChipVariants

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Errors = Iterator[tuple[int, str]]


class Runner:
    """Networks, costs and batches of a study, each made when it is first needed."""

    def __init__(self, study: Study, runs: RunAxes, chips: tuple[ChipVariants, ...], fidelity: str) -> None:
        """Start without any."""
        self.study, self.runs, self.chips, self.fidelity = study, runs, chips, fidelity
        self._networks: dict[Source, NetworkVariants | CosimError] = {}
        self._blocks: dict[tuple[int, Source], CostBlocks] = {}
        self._batches: dict[tuple[int, Source, bool, bool], Batch] = {}
        self._plans: dict[tuple[str, int, Source], GivenPlan | CosimError] = {}

    def network(self, source: Source) -> NetworkVariants | CosimError:
        """Return a network, or why there is none."""
        if source not in self._networks:
            name, batch, dims = source
            try:
                self._networks[source] = NetworkVariants(load_workload(name, batch, **dict(dims)))
            except CosimError as error:
                self._networks[source] = error
        return self._networks[source]

    def given(self, run: RunFields, w: int) -> GivenPlan | CosimError:
        """Return the plan that a policy such as "fixed:FILE" names, or why there is none."""
        source = run.sources[w]
        key, network = (run.policy, run.chip, source), self.network(source)
        if isinstance(network, CosimError):
            return network
        if key not in self._plans:
            bits = (self.study.weight_bits, self.study.activation_bits)
            try:
                self._plans[key] = given_plan(*key[:1], self.study.chips[run.chip], network.workload, bits, self.fidelity, self.study.seed)
            except CosimError as error:
                self._plans[key] = error
        return self._plans[key]

    @property
    def n_bytes(self) -> int:
        """Bytes of all costs that are kept."""
        return sum(blocks.n_bytes for blocks in self._blocks.values())

    def forget(self) -> None:
        """Let go of costs."""
        self._blocks.clear()
        self._batches.clear()

    def run(self, chip: int, w: int, rows: Ints, numbers: Ints, values: Floats) -> Errors:
        """Fill in values [n, n_columns] of points, by rows of their variants and numbers of their run fields; yield errors by place."""
        values[:] = np.nan
        distinct, place = np.unique(numbers, return_inverse=True)
        runs = [self.runs.fields(number) for number in distinct.tolist()]
        kinds = {key: i for i, key in enumerate(dict.fromkeys((run.sources[w], run.policy) for run in runs))}
        kind_of = np.array([kinds[(run.sources[w], run.policy)] for run in runs], dtype=np.int64)
        group = kind_of[place] * 4 + (rows[:, 2] >= 0) * 2 + (rows[:, 3] >= 0) if len(rows) else np.empty(0, np.int64)
        for one in np.unique(group).tolist():
            members = np.flatnonzero(group == one)
            source = list(kinds)[one // 4][0]
            network = self.network(source)
            if isinstance(network, CosimError):
                yield from ((int(i), str(network)) for i in members)
                continue
            batch = self._batch(chip, source, bool(one & 2), bool(one & 1))
            yield from self._group(batch, network, w, rows[members], [runs[i] for i in place[members]], members, values)

    def _batch(self, chip: int, source: Source, has_weights: bool, has_shared: bool) -> Batch:
        network = self.network(source)
        key = (chip, source, has_weights, has_shared)
        if key not in self._batches and isinstance(network, NetworkVariants):
            if key[:2] not in self._blocks:
                self._blocks[key[:2]] = CostBlocks(self.chips[chip], network)
            mode = FIDELITIES[self.fidelity]
            self._batches[key] = Batch(self._blocks[key[:2]], has_weights, has_shared, mode, bound=self.fidelity == "bound")
        return self._batches[key]

    def _group(
        self, batch: Batch, network: NetworkVariants, w: int, rows: Ints, runs: list[RunFields], places: Ints, values: Floats
    ) -> Errors:
        """Points of one network, policy and set of memories."""
        kinds = {(run.weight_bits, run.activation_bits, run.weights, run.activations): None for run in runs}
        works = {key: network.work(*key) for key in kinds}
        of_point = [works[(run.weight_bits, run.activation_bits, run.weights, run.activations)] for run in runs]
        bad = [i for i, work in enumerate(of_point) if isinstance(work, str)]
        yield from ((int(places[i]), str(of_point[i])) for i in bad)
        kept = np.setdiff1d(np.arange(len(runs)), np.array(bad, dtype=np.int64))
        if not kept.size:
            return
        points = self._points(batch, network, rows[kept], [runs[i] for i in kept], [of_point[i] for i in kept])
        failed = self._cost(batch, network, points)
        yield from ((int(places[kept[i]]), error) for i, error in failed.items())
        fine = np.setdiff1d(np.arange(len(kept)), np.array(list(failed), dtype=np.int64))
        if fine.size:
            yield from self._play(batch, runs[int(kept[fine[0]])], w, points[fine], places[kept[fine]], values)

    def _points(self, batch: Batch, network: NetworkVariants, rows: Ints, runs: list[RunFields], works: list[int | str]) -> Ints:
        """Lay points out as the kernel reads them: top, work, layout, devices, links, memories."""
        m = len(batch.blocks.chip.device_names)
        kinds: dict[tuple[int, Layers], int] = {}
        of_run = np.array([kinds.setdefault((run.activation_bits, run.activations), len(kinds)) for run in runs], dtype=np.int64)
        pairs, place = np.unique(np.stack([of_run, rows[:, 3]], axis=1), axis=0, return_inverse=True)
        capacity = batch.blocks.chip.memory_numbers.floats.data[:, CAPACITY_BYTES]
        bits = list(kinds)
        layouts = [network.layout(bits[kind][0], bits[kind][1], float(capacity[row]) if row >= 0 else -1.0) for kind, row in pairs.tolist()]
        memories = [column for column in (1, 2, 3) if rows[0, column] >= 0]
        head = np.stack([rows[:, 0], np.array(works, dtype=np.int64), np.array(layouts, dtype=np.int64)[place.ravel()]], axis=1)
        return np.ascontiguousarray(np.concatenate([head, rows[:, 4 : 4 + 2 * m], rows[:, memories]], axis=1))

    def _cost(self, batch: Batch, network: NetworkVariants, points: Ints) -> dict[int, str]:
        """Cost what the points need; return why some of them have no costs."""
        blocks, m = batch.blocks, len(batch.blocks.chip.device_names)
        columns_of = network.arrays().op_block
        works = np.unique(points[:, 1])
        failed: dict[int, str] = {}
        for work in works.tolist():
            members = np.flatnonzero(points[:, 1] == work)
            columns = np.unique(columns_of[work])
            devices = points[members, PARTS_OF_POINT : PARTS_OF_POINT + m]
            distinct = np.unique(devices)
            blocks.ensure(np.repeat(distinct, columns.size), np.tile(columns, distinct.size))
            lost = blocks.block_of[devices[:, :, np.newaxis], columns] == -2
            for i, d, c in np.argwhere(lost).tolist():
                failed.setdefault(int(members[i]), blocks.error(int(devices[i, d]), int(columns[c])))
        return failed

    def _play(self, batch: Batch, run: RunFields, w: int, points: Ints, places: Ints, values: Floats) -> Errors:
        """Evaluate points that all have costs."""
        try:
            found, unplanned = self._planned(batch, run, w, points)
        except CosimError as error:
            yield from ((int(i), str(error)) for i in places)
            return
        values[places] = found.values
        for i in np.flatnonzero(found.wrong).tolist():
            first, second = found.details[i].tolist()
            yield int(places[i]), str(refusal(batch.blocks, points[i], int(found.wrong[i]), first, second))
        for i, why in unplanned.items():
            values[places[i]] = np.nan
            yield int(places[i]), why

    def _planned(self, batch: Batch, run: RunFields, w: int, points: Ints) -> tuple[Found, dict[int, str]]:
        if is_given(run.policy):
            plan = self.given(run, w)
            if isinstance(plan, CosimError):
                raise plan
            return batch.run(points, ONE_FOR_ALL, plan.assignment[np.newaxis], plan.priority[np.newaxis]), {}
        policy = make_policy(run.policy)
        if run.policy == "heft" or self.fidelity == "bound":
            return batch.run(points, BY_HEFT), {}
        return batch.run_policy(points, policy, self.study.seed)

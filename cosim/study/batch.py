"""Points of one network on one chip at one policy: from rows of variants to rows of results, by the compiled kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosim.engine.tables import Tables
from cosim.scheduling.arrays import Arrays, arrays_of
from cosim.scheduling.instance import Instance
from cosim.simulation.kernels.residency import N_COSTS
from cosim.study.cost_blocks import CostBlocks
from cosim.study.kernels.point_data import N_RESULTS, PARTS, Chips, Scratch
from cosim.study.kernels.points import BY_HEFT, NONE_YET, ONE_EACH, ONE_FOR_ALL, evaluate_points
from cosim.study.seen import seen_instance
from workloads.errors import CosimError

if TYPE_CHECKING:
    from cosim.engine.problem import Mode
    from cosim.scheduling.base import Policy
    from cosim.scheduling.instance import Plan

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

__all__ = ["BY_HEFT", "ONE_FOR_ALL", "Batch", "Found"]


@dataclass(frozen=True, eq=False)
class Found:
    """Results [B, N_RESULTS] of points, what is wrong with each [B] (0: nothing), and details of that [B, 2]."""

    values: Floats
    wrong: Ints
    details: Floats


class Batch:
    """One network on one chip, whose memories are those of `roles` (backing, weights, shared: which are there), in one mode."""

    def __init__(self, blocks: CostBlocks, has_weights: bool, has_shared: bool, mode: Mode, *, bound: bool) -> None:
        """Lay out all that a point fills in."""
        self.blocks, self.bound = blocks, bound
        self.k = 1 + has_weights + has_shared
        store = int(has_weights)
        self.roles = np.array([store, self.k - 1 if has_shared else store], dtype=np.int64)
        network, names = blocks.network, blocks.chip.device_names
        n, m, e = len(network.workload.ops), len(names), network.edge_src.size
        self.instance = Instance(
            task_names=tuple(op.name for op in network.workload.ops),
            device_names=names,
            cost_s=np.zeros((n, m)),
            edge_src=network.edge_src,
            edge_dst=network.edge_dst,
            edge_bytes=np.zeros(e),
            bandwidth_bytes_per_s=np.ones((m, m)),
            latency_s=np.zeros((m, m)),
        )
        self.tables = _blank_tables(self.instance, self.k, mode)
        self.arrays: Arrays = arrays_of(self.instance)
        self.scratch = _scratch(self.tables, len(network.workload.weight_tensors))

    def run(self, points: Ints, how: int = BY_HEFT, planned: Ints | None = None, priorities: Floats | None = None) -> Found:
        """Evaluate points [B, ...] by HEFT, or by plans [1 or B, n] that are given."""
        size, n = len(points), self.instance.n_tasks
        found = Found(np.empty((size, N_RESULTS)), np.empty(size, np.int64), np.zeros((size, 2)))
        planned = np.empty((0, n), np.int64) if planned is None else np.ascontiguousarray(planned, np.int64)
        priorities = np.empty((0, n)) if priorities is None else np.ascontiguousarray(priorities, np.float64)
        scratch, chips, network = self._scratch(), self._chips(), self.blocks.network.arrays()
        evaluate_points(
            network, chips, points, planned, priorities, how, self.bound, scratch, self.arrays, found.values, found.wrong, found.details
        )
        return found

    def plan(self, point: Ints, policy: Policy, seed: int) -> tuple[Plan | None, Found]:
        """Return what a policy plans for one point, None where its tables cannot be filled in; raises as the policy does."""
        found = self.run(point[np.newaxis], NONE_YET)
        if found.wrong[0]:
            return None, found
        return policy.plan(self.seen(point), np.random.default_rng(seed)), found

    def run_policy(self, points: Ints, policy: Policy, seed: int) -> tuple[Found, dict[int, str]]:
        """Evaluate points, each planned by a policy on its own; also why a policy made no plan of some."""
        n = self.instance.n_tasks
        planned, priorities, failed = np.zeros((len(points), n), np.int64), np.zeros((len(points), n)), {}
        for b, point in enumerate(points):
            try:
                plan, _ = self.plan(point, policy, seed)
            except CosimError as error:
                failed[b] = str(error)
                continue
            if plan is not None:
                planned[b], priorities[b] = plan.assignment, plan.priority
        return self.run(points, ONE_EACH, planned, priorities), failed

    def seen(self, point: Ints) -> Instance:
        """Return what a policy sees of the point whose tables have just been filled in."""
        return seen_instance(self.instance, self.tables, self.scratch, self.arrays, self.blocks, point)

    def _chips(self) -> Chips:
        chip, blocks = self.blocks.chip, self.blocks
        devices, links, memories, top = chip.device_numbers, chip.link_numbers, chip.memory_numbers, chip.top_numbers
        first, name, log = chip.spreads.arrays
        return Chips(
            costs=blocks.costs.data,
            block_of=blocks.block_of,
            block_ints=blocks.ints.data,
            device_ints=devices.ints.data,
            device_floats=devices.floats.data,
            link_ints=links.ints.data,
            link_floats=links.floats.data,
            memory_ints=memories.ints.data,
            memory_floats=memories.floats.data,
            top_floats=top.floats.data,
            top_ints=top.ints.data[:, 0].copy(),
            roles=self.roles,
            spread_first=first,
            spread_name=name,
            spread_log=log,
        )

    def _scratch(self) -> Scratch:
        """Give the scratch room for as many components and names of spreads as there are by now."""
        n_parts, n_names = self.blocks.costs.data.shape[2] - PARTS, max(len(self.blocks.chip.spreads.name_of), 1)
        m, old = self.instance.n_devices, self.scratch
        if old.parts_j.shape[1] != n_parts + 1 or old.spread.shape[1] != n_names:
            self.scratch = old._replace(parts_j=np.zeros((m, n_parts + 1)), spread=np.zeros((4, n_names)))
        return self.scratch


def _blank_tables(instance: Instance, k: int, mode: Mode) -> Tables:
    """Tables of the right shapes and edges, whose numbers kernels fill in."""
    n, m, e = instance.n_tasks, instance.n_devices, instance.n_edges
    return Tables(
        fixed_s=np.zeros((n, m)),
        body_s=np.zeros((n, m)),
        read_bytes=np.zeros((n, m, k)),
        own_bytes=np.zeros((n, m, k)),
        write_bytes=np.zeros((n, m, k)),
        memory_bytes_per_s=np.ones(k),
        capacity_bytes_per_s=np.ones(k),
        link_bytes_per_s=np.ones(m),
        link_is_shared=True,
        edge_src=instance.edge_src,
        edge_dst=instance.edge_dst,
        edge_bytes=np.zeros(e),
        edge_memory=np.zeros(e, np.int64),
        latency_s=np.zeros((m, m)),
        edge_bytes_per_s=np.ones((m, m)),
        edges_are_input=True,
        mode=mode,
        task_names=instance.task_names,
    )


def _scratch(tables: Tables, n_weights: int) -> Scratch:
    n, m, k = tables.n_tasks, tables.n_devices, tables.n_memories
    ints, floats, n_out = tables.packed
    return Scratch(
        costs=np.zeros((n, m, N_COSTS)),
        launch_s=np.zeros(n * m),
        held=np.zeros(m, np.int64),
        rewritten=np.zeros(m, np.int64),
        first_access_s=np.zeros(k),
        array_device=np.zeros(n, np.int64),
        copies=np.ones(n, np.int64),
        pinned=np.zeros(n_weights, np.bool_),
        on_arrays=np.zeros(n_weights, np.bool_),
        saved_j=np.zeros(n),
        lost=np.zeros(2, np.int64),
        assignment=np.zeros(n, np.int64),
        priority=np.zeros(n),
        free=np.full(n, -1, np.int64),
        out=np.zeros(n_out),
        reads=np.zeros(n * k),
        cost_s=np.zeros(n),
        flow_bytes=np.zeros(n),
        busiest=np.zeros(n, np.int64),
        steps=np.zeros((2 * n + 2, 2), np.int64),
        steps_s=np.zeros(2 * n + 2),
        parts_j=np.zeros((m, 1)),
        moved=np.zeros((m + k, 2)),
        spread=np.zeros((4, 1)),
        edge_src=tables.edge_src,
        ints=ints.copy(),
        floats=floats.copy(),
    )

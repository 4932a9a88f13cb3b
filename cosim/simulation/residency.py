"""Where weights and activations live: on the arrays that compute with them, on the chip, or off it."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosim.simulation.costs import OpCosts
from hw_models.chip import Chip
from hw_models.memory.base import Memory
from workloads.errors import MappingError
from workloads.graph import TensorKind, Workload


@dataclass(frozen=True)
class Residency:
    """A standing plan of all memories, good for every inference.

    array_device[n_ops]  index of the device whose arrays hold the op's weights, -1 for none
    copies[n_ops]        how often they are held, so that as many input vectors run side by side
    pinned   weight tensors kept in the shared on-chip memory between inferences
    home     activation tensor → memory that it is written to and read from
    saved_j[n_ops]  energy that an op's resident weights save at each inference, against the best other device
    """

    array_device: tuple[int, ...]
    copies: tuple[int, ...]
    pinned: frozenset[str]
    home: Mapping[str, Memory]
    peak_shared_bytes: int
    saved_j: tuple[float, ...]

    def in_use(self, assignment: Sequence[int]) -> Residency:
        """Return what of the plan a placement uses: arrays of ops that run elsewhere stay empty."""
        used = [device if device == int(on) else -1 for device, on in zip(self.array_device, assignment, strict=True)]
        copies = [n if device >= 0 else 1 for n, device in zip(self.copies, used, strict=True)]
        saved = [joules if device >= 0 else 0.0 for joules, device in zip(self.saved_j, used, strict=True)]
        return replace(self, array_device=tuple(used), copies=tuple(copies), saved_j=tuple(saved))

    def resident_weights(self, workload: Workload) -> frozenset[str]:
        """Weight tensors that are not fetched from the weight store at each inference."""
        on_arrays = {name for op, device in zip(workload.ops, self.array_device, strict=True) if device >= 0 for name in op.weights}
        return frozenset(on_arrays | self.pinned)


def plan_residency(
    chip: Chip, workload: Workload, costs: OpCosts, assignment: Sequence[int] | None = None, keep: frozenset[str] = frozenset()
) -> Residency:
    """Choose homes greedily: arrays by joules saved an array (spare ones for copies), then activations, then pinned weights.

    With an `assignment` [n_ops], arrays go to the ops that run on them only, so that what others leave free serves for copies;
    weights in `keep` are pinned before others.
    Raises MappingError when weights or activations do not fit the memory that has to hold them.
    """
    array_device, saved_j = _fill_arrays(chip, workload, costs, assignment)
    copies = _duplicate(chip, workload, costs, array_device)
    on_arrays = {name for op, device in zip(workload.ops, array_device, strict=True) if device >= 0 for name in op.weights}
    capacity = chip.shared.capacity_bytes if chip.shared else 0.0
    in_shared, peak = place_activations(workload, capacity)
    pinned = _pin_weights(workload, on_arrays, capacity - peak, keep) if chip.spec.memory.pin_weights else set()
    home = {name: chip.shared if name in in_shared and chip.shared else chip.backing for name in workload.tensors}
    _check_capacity(chip, workload, on_arrays, in_shared)
    return Residency(tuple(array_device), tuple(copies), frozenset(pinned), home, peak, tuple(saved_j))


def _fill_arrays(chip: Chip, workload: Workload, costs: OpCosts, assignment: Sequence[int] | None) -> tuple[list[int], list[float]]:
    """Give arrays to the ops that save most energy an array, while arrays last."""
    placed, saved_j = [-1] * len(workload.ops), [0.0] * len(workload.ops)
    for index, device in enumerate(chip.devices.values()):
        free = device.n_arrays
        if free <= 0:
            continue
        gain = _joules_saved(chip, workload, costs, index)
        need = costs.n_arrays[:, index]
        worth = [i for i in np.argsort(-gain / np.maximum(need, 1), kind="stable") if gain[i] > 0 and need[i] > 0]
        for i in worth:
            if placed[i] < 0 and need[i] <= free and (assignment is None or assignment[i] == index):
                placed[i], free = index, free - int(need[i])
                saved_j[i] = float(gain[i])
    return placed, saved_j


def _duplicate(chip: Chip, workload: Workload, costs: OpCosts, array_device: list[int]) -> list[int]:
    """Spend spare arrays on copies of the ops where a copy saves most time an array (ISAAC, ISCA 2016, section V)."""
    copies = [1] * len(workload.ops)
    for index, device in enumerate(chip.devices.values()):
        mine = [i for i, d in enumerate(array_device) if d == index]
        need = {i: int(costs.n_arrays[i, index]) for i in mine}
        times = {i: (float(costs.latency_s[i, index] - costs.fixed_s[i, index]), float(costs.serial_s[i, index])) for i in mine}
        vectors = {i: gemm.m if (gemm := workload.ops[i].gemm) else 1 for i in mine}
        free = device.n_arrays - sum(need.values())
        queue = [(-_copy_saves_s(*times[i], 1) / need[i], i) for i in mine]
        heapq.heapify(queue)
        while queue:
            saved, i = heapq.heappop(queue)
            if saved == 0 or need[i] > free or copies[i] >= vectors[i]:
                continue
            copies[i] += 1
            free -= need[i]
            heapq.heappush(queue, (-_copy_saves_s(*times[i], copies[i]) / need[i], i))
    return copies


def _copy_saves_s(body_s: float, serial_s: float, copies: int) -> float:
    """Seconds that one more copy saves: max(serial, body / c) - max(serial, body / (c + 1))."""
    return max(serial_s, body_s / copies) - max(serial_s, body_s / (copies + 1))


def _joules_saved(chip: Chip, workload: Workload, costs: OpCosts, index: int) -> NDArray[np.float64]:
    """Joules an inference saved by resident weights on one device, against the best other device; [n_ops]."""
    fetch_j_per_byte = sum(chip.weights.energy_parts_j(1.0, 0.0).values())
    others = [d for d, device in enumerate(chip.devices.values()) if d != index and device.n_arrays == 0]
    energy = np.where(costs.supported, costs.device_energy_j + costs.n_bytes[:, :, 0] * fetch_j_per_byte, np.inf)
    best_other = energy[:, others].min(axis=1) if others else np.full(len(workload.ops), np.inf)
    reload_j = costs.device_energy_j[:, index] + costs.program_j[:, index] + costs.n_bytes[:, index, 0] * fetch_j_per_byte
    alternative = np.where(np.isfinite(best_other), best_other, reload_j)
    gain = np.asarray(alternative - costs.device_energy_j[:, index])
    gain[~costs.supported[:, index] | (costs.n_arrays[:, index] == 0)] = 0.0
    return gain


def place_activations(workload: Workload, capacity_bytes: float) -> tuple[set[str], int]:
    """Walk the ops in order and keep results on the chip while the live ones fit; return names and peak bytes."""
    last_use = {name: i for i, op in enumerate(workload.ops) for name in op.inputs}
    live: dict[str, int] = {}
    placed: set[str] = set()
    used = peak = 0
    for i, op in enumerate(workload.ops):
        for name in op.outputs:
            size = workload.tensors[name].n_bytes
            if name not in workload.outputs and used + size <= capacity_bytes:
                live[name] = size
                placed.add(name)
                used += size
        peak = max(peak, used)
        for name in {*op.inputs, *op.outputs}:
            if last_use.get(name, -1) <= i and name in live:
                used -= live.pop(name)
    return placed, peak


def _pin_weights(workload: Workload, on_arrays: set[str], capacity_bytes: float, keep: frozenset[str]) -> set[str]:
    """Keep weight tensors in what activations leave free of the shared memory, in order of use, those in `keep` first."""
    pinned: set[str] = set()
    for tensor in sorted(workload.weight_tensors, key=lambda one: one.name not in keep):
        if tensor.name not in on_arrays and tensor.n_bytes <= capacity_bytes:
            pinned.add(tensor.name)
            capacity_bytes -= tensor.n_bytes
    return pinned


def peak_outside_bytes(workload: Workload, in_shared: set[str]) -> int:
    """Largest sum of activations, inputs and caches that live in the backing store at one time."""
    n_bytes = {name: t.n_bytes for name, t in workload.tensors.items() if t.kind is not TensorKind.WEIGHT and name not in in_shared}
    last_use = {name: i for i, op in enumerate(workload.ops) for name in op.inputs if name not in workload.outputs}
    used = peak = sum(n_bytes.get(name, 0) for name in workload.inputs)
    for i, op in enumerate(workload.ops):
        used += sum(n_bytes.get(name, 0) for name in op.outputs)
        peak = max(peak, used)
        made_here = {name for name in op.inputs if name in workload.producer}
        used -= sum(n_bytes.get(name, 0) for name in made_here if last_use.get(name) == i)
    return peak


def _check_capacity(chip: Chip, workload: Workload, on_arrays: set[str], in_shared: set[str]) -> None:
    """Refuse a network whose stored weights or spilled activations exceed the memory that holds them."""
    stored = sum(t.n_bytes for t in workload.weight_tensors if t.name not in on_arrays)
    spilled = peak_outside_bytes(workload, in_shared)
    needs = {chip.weights.name: (chip.weights, stored, "weights")}
    if chip.backing is chip.weights:
        needs[chip.weights.name] = (chip.weights, stored + spilled, "weights and activations")
    else:
        needs[chip.backing.name] = (chip.backing, spilled, "activations")
    for name, (memory, n_bytes, what) in needs.items():
        if n_bytes > memory.capacity_bytes:
            raise too_large(workload.name, chip.name, what, n_bytes, name, memory.capacity_bytes)


def too_large(workload_name: str, chip_name: str, what: str, n_bytes: float, memory_name: str, capacity_bytes: float) -> MappingError:
    """Return the error of a network of which something does not fit the memory that has to hold it."""
    return MappingError(
        f"{workload_name} on {chip_name}: {what} need {n_bytes / 2**20:.1f} MiB but {memory_name} holds "
        f"{capacity_bytes / 2**20:.1f} MiB; choose fewer bits, a smaller network or a larger memory"
    )

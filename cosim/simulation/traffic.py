"""Bytes between devices and memories for each op on each device, and the time they take uncontended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosim.simulation.costs import OpCosts
from cosim.simulation.residency import Residency
from hw_models.chip import Chip
from hw_models.cost import INPUT, OUTPUT, WEIGHT
from hw_models.memory.base import Memory
from workloads.errors import MappingError
from workloads.graph import Op, Workload

Floats = NDArray[np.float64]
READ, WRITE = 0, 1


@dataclass(frozen=True)
class Traffic:
    """Who moves what.

    memories         the chip's memories, in the order of the axis below
    n_bytes          [n_ops, n_devices, n_memories, 2] read from and written to each memory, all inputs local
    own_bytes        the same without activations read: what no placement can avoid
    fixed_s, body_s  [n_ops, n_devices] time that overlaps with nothing, and time inside the device
    rewrites         [n_ops, n_devices] whether an op's weights do not stay, so that arrays are rewritten at each inference
    program_s        [n_ops, n_devices] the time of that
    """

    memories: tuple[Memory, ...]
    n_bytes: Floats
    own_bytes: Floats
    fixed_s: Floats
    body_s: Floats
    rewrites: NDArray[np.bool_]
    program_s: Floats
    link_bytes_per_s: Floats
    supported: NDArray[np.bool_]

    def memory_s(self, n_bytes: Floats) -> Floats:
        """Time each memory needs for [..., n_memories, 2] bytes at its sustained bandwidth."""
        bandwidth = np.array([memory.bandwidth_bytes_per_s for memory in self.memories])
        return np.asarray(n_bytes.sum(axis=-1) / bandwidth)

    def uncontended_s(self) -> Floats:
        """[n_ops, n_devices]: fixed part + the slowest of device, memories and link; inf where unsupported."""
        transfer_s = np.maximum(self.memory_s(self.n_bytes).max(axis=2), self.n_bytes.sum(axis=(2, 3)) / self.link_bytes_per_s)
        return np.where(self.supported, self.fixed_s + self.program_s + np.maximum(self.body_s, transfer_s), np.inf)


def plan_traffic(chip: Chip, workload: Workload, costs: OpCosts, residency: Residency) -> Traffic:
    """Split each operand's port traffic over the memories that serve it."""
    memories = tuple(chip.memories.values())
    index = {memory.name: i for i, memory in enumerate(memories)}
    shape = costs.supported.shape
    n_bytes = np.zeros((*shape, len(memories), 2))
    input_bytes = np.zeros_like(n_bytes)
    resident = np.array(residency.array_device, dtype=np.int64)[:, None] == np.arange(shape[1])
    for i, op in enumerate(workload.ops):
        port = costs.n_bytes[i]
        dynamic = op.gemm is not None and op.gemm.dynamic
        for memory, share in _weight_shares(op, workload, residency, chip, index).items():
            target = input_bytes if dynamic else n_bytes
            target[i, :, memory, READ] += np.where(resident[i], 0.0, port[:, WEIGHT] * share)
        for memory, share in _input_shares(op, workload, residency, index).items():
            input_bytes[i, :, memory, READ] += port[:, INPUT] * share
        for memory, share in _output_shares(op, workload, residency, index).items():
            n_bytes[i, :, memory, WRITE] += port[:, OUTPUT] * share
    spare = np.array([device.scratch_arrays for device in chip.devices.values()])
    holds = np.array([device.n_arrays > 0 for device in chip.devices.values()])
    reload = holds[None, :] & ~resident & (costs.n_arrays > 0)
    supported = costs.supported & ~(reload & (spare == 0))
    _refuse_homeless(chip, workload, costs, supported)
    return Traffic(
        memories=memories,
        n_bytes=n_bytes + input_bytes,
        own_bytes=n_bytes,
        fixed_s=costs.fixed_s + _first_access_s(n_bytes, memories),
        body_s=_body_s(chip, costs, residency, resident, reload),
        rewrites=reload,
        program_s=np.where(reload, costs.program_s, 0.0),
        link_bytes_per_s=np.array([link.bandwidth_bytes_per_s for link in chip.links.values()]),
        supported=supported,
    )


def _first_access_s(own_bytes: Floats, memories: tuple[Memory, ...]) -> Floats:
    """Time to the first byte of the slowest memory that an op reads weights from or writes results to, [n_ops, n_devices]."""
    first_s = np.array([memory.first_access_s for memory in memories])
    return np.asarray((first_s * (own_bytes.sum(axis=3) > 0)).max(axis=2, initial=0.0))


def _body_s(chip: Chip, costs: OpCosts, residency: Residency, resident: NDArray[np.bool_], reload: NDArray[np.bool_]) -> Floats:
    """Time inside the device beyond its fixed part: copies share the vectors, but not what they all wait for; reloads go in rounds.

    A device that holds weights prices an op that fits its arrays as if it had them all; rewritten, it has its scratch arrays only.
    """
    spare = np.array([device.scratch_arrays for device in chip.devices.values()])
    held = np.array([device.n_arrays for device in chip.devices.values()])
    copies = np.where(resident, np.array(residency.copies)[:, None], 1)
    rounds = np.where(reload & (spare > 0) & (costs.n_arrays <= held), np.ceil(costs.n_arrays / np.maximum(spare, 1)), 1.0)
    body_s = np.where(costs.supported, costs.latency_s - costs.fixed_s, 0.0)
    return np.asarray(np.maximum(costs.serial_s, body_s * rounds / copies))


def _refuse_homeless(chip: Chip, workload: Workload, costs: OpCosts, supported: NDArray[np.bool_]) -> None:
    """Refuse an op whose only devices hold weights, and have no array left for its own."""
    lost = np.flatnonzero(~supported.any(axis=1))
    if lost.size:
        i = int(lost[0])
        d = int(np.flatnonzero(costs.supported[i])[0])
        name, device = costs.device_names[d], list(chip.devices.values())[d]
        raise homeless(chip.name, workload, i, lost.size, costs.n_arrays[i, d], name, device.n_arrays)


def homeless(chip_name: str, workload: Workload, op: int, n_lost: int, n_arrays: float, device_name: str, n_held: int) -> MappingError:
    """Return the error of a network with ops whose weights find no arrays on the only device that runs them."""
    return MappingError(
        f"{workload.name} on {chip_name}: the weights of op {workload.ops[op].name!r} ({n_lost} such ops) need "
        f"{int(n_arrays)} arrays of {device_name}, whose {n_held} are taken by other ops, and no other device "
        f"runs it; choose fewer bits, more arrays, scratch arrays that are rewritten, or another device beside it"
    )


def _weight_shares(op: Op, workload: Workload, residency: Residency, chip: Chip, index: dict[str, int]) -> dict[int, float]:
    """Memory → share of operand B's traffic; a dynamic operand comes from where the activation lives."""
    if op.gemm is not None and op.gemm.dynamic:
        return {index[residency.home[op.inputs[min(1, len(op.inputs) - 1)]].name]: 1.0}
    sizes: dict[int, float] = {}
    for name in op.weights:
        pinned = chip.shared if name in residency.pinned else None
        memory = index[(pinned or chip.weights).name]
        sizes[memory] = sizes.get(memory, 0.0) + workload.tensors[name].n_bytes
    return normalized(sizes)


def _input_shares(op: Op, workload: Workload, residency: Residency, index: dict[str, int]) -> dict[int, float]:
    sizes: dict[int, float] = {}
    for name in stream_inputs(op):
        memory = index[residency.home[name].name]
        sizes[memory] = sizes.get(memory, 0.0) + workload.tensors[name].n_bytes
    return normalized(sizes)


def _output_shares(op: Op, workload: Workload, residency: Residency, index: dict[str, int]) -> dict[int, float]:
    sizes: dict[int, float] = {}
    for name in op.outputs:
        memory = index[residency.home[name].name]
        sizes[memory] = sizes.get(memory, 0.0) + workload.tensors[name].n_bytes
    return normalized(sizes)


def stream_inputs(op: Op) -> tuple[str, ...]:
    """Inputs that count in the input column: all but a dynamic operand B."""
    dynamic = op.gemm is not None and op.gemm.dynamic and len(op.inputs) > 1
    return (op.inputs[0], *op.inputs[2:]) if dynamic else op.inputs


def normalized(sizes: dict[int, float]) -> dict[int, float]:
    """Return bytes by memory as shares of their sum; equal shares where nothing has bytes."""
    total = sum(sizes.values())
    return {key: size / total for key, size in sizes.items()} if total else dict.fromkeys(sizes, 1.0 / max(1, len(sizes)))

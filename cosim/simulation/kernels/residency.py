"""Which weights stay on arrays, how often, and which in the shared memory: `cosim.simulation.residency`, compiled.

`costs` [n_ops, n_devices, N_COSTS] holds what the devices of one chip say of each op, in the columns below.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels._jit import kernel, part

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SUPPORTED, LATENCY_S, FIXED_S, SERIAL_S, DEVICE_J, PROGRAM_S, PROGRAM_J, N_ARRAYS, WEIGHT_BYTES, INPUT_BYTES, OUTPUT_BYTES = range(11)
N_COSTS = 11


@part
def joules_saved(costs: Floats, held: Ints, fetch_j_per_byte: float, op: int, index: int) -> float:
    """Joules an inference saved by resident weights of one op on one device, against the best device without arrays, or a reload."""
    row = costs[op]
    if row[index, SUPPORTED] == 0.0 or row[index, N_ARRAYS] == 0.0:
        return 0.0
    other_j = np.inf
    for d in range(held.size):
        if d != index and held[d] == 0 and row[d, SUPPORTED] > 0.0:
            energy_j = row[d, DEVICE_J] + row[d, WEIGHT_BYTES] * fetch_j_per_byte
            if energy_j < other_j:
                other_j = energy_j
    if other_j == np.inf:
        other_j = row[index, DEVICE_J] + row[index, PROGRAM_J] + row[index, WEIGHT_BYTES] * fetch_j_per_byte
    saved_j: float = other_j - row[index, DEVICE_J]
    return saved_j


@part
def sift(heap: Ints, size: int, key: Floats, place: int) -> None:
    """Let the entry at `place` sink to where no child has a smaller (key, index)."""
    op = heap[place]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        best = heap[child]
        if child + 1 < size:
            right = heap[child + 1]
            if key[right] < key[best] or (key[right] == key[best] and right < best):
                child += 1
                best = right
        if key[op] < key[best] or (key[op] == key[best] and op < best):
            break
        heap[place] = best
        place = child
    heap[place] = op


@kernel
def fill_arrays(costs: Floats, held: Ints, fetch_j_per_byte: float, assignment: Ints, array_device: Ints, saved_j: Floats) -> None:
    """Give arrays to the ops that save most energy an array, while arrays last; assignment[op] >= 0 keeps an op to that device."""
    n, m = costs.shape[0], costs.shape[1]
    array_device[:] = -1
    saved_j[:] = 0.0
    gain_j, rank, heap = np.empty(n), np.empty(n), np.empty(n, np.int64)
    for index in range(m):
        free, size = held[index], 0
        for op in range(n if free > 0 else 0):
            gain_j[op] = joules_saved(costs, held, fetch_j_per_byte, op, index)
            need = costs[op, index, N_ARRAYS]
            if gain_j[op] > 0.0 and need > 0.0:
                rank[op] = -gain_j[op] / (need if need > 1.0 else 1.0)
                heap[size] = op
                size += 1
        for place in range(size // 2 - 1, -1, -1):
            sift(heap, size, rank, place)
        while size > 0:
            op = heap[0]
            need = costs[op, index, N_ARRAYS]
            if need <= free and array_device[op] < 0 and (assignment[op] < 0 or assignment[op] == index):
                array_device[op], saved_j[op] = index, gain_j[op]
                free -= int(need)
            size -= 1
            heap[0] = heap[size]
            if size > 0:
                sift(heap, size, rank, 0)


@part
def copy_saves_s(body_s: float, serial_s: float, copies: int) -> float:
    """Seconds that one more copy saves: max(serial, body / c) - max(serial, body / (c + 1))."""
    now_s, then_s = body_s / copies, body_s / (copies + 1)
    return (now_s if now_s > serial_s else serial_s) - (then_s if then_s > serial_s else serial_s)


@kernel
def duplicate(costs: Floats, held: Ints, vectors: Ints, array_device: Ints, copies: Ints) -> None:
    """Spend spare arrays on copies of the ops where a copy saves most time an array (ISAAC, ISCA 2016, section V)."""
    n, m = costs.shape[0], costs.shape[1]
    copies[:] = 1
    heap, key = np.empty(n, np.int64), np.empty(n)
    for index in range(m):
        free, size = held[index], 0
        for op in range(n):
            if array_device[op] == index:
                row = costs[op, index]
                free -= int(row[N_ARRAYS])
                key[op] = -copy_saves_s(row[LATENCY_S] - row[FIXED_S], row[SERIAL_S], 1) / row[N_ARRAYS]
                heap[size] = op
                size += 1
        for place in range(size // 2 - 1, -1, -1):
            sift(heap, size, key, place)
        while size > 0:
            op = heap[0]
            row = costs[op, index]
            if key[op] == 0.0 or row[N_ARRAYS] > free or copies[op] >= vectors[op]:
                size -= 1
                heap[0] = heap[size]
            else:
                copies[op] += 1
                free -= int(row[N_ARRAYS])
                key[op] = -copy_saves_s(row[LATENCY_S] - row[FIXED_S], row[SERIAL_S], copies[op]) / row[N_ARRAYS]
            if size > 0:
                sift(heap, size, key, 0)


@kernel
def mark_arrays(array_device: Ints, weight_first: Ints, weight: Ints, on_arrays: Bools) -> None:
    """Mark the weight tensors that some op holds on arrays; those of op i are weight[weight_first[i]:weight_first[i + 1]]."""
    on_arrays[:] = False
    for op in range(array_device.size):
        if array_device[op] >= 0:
            for place in range(weight_first[op], weight_first[op + 1]):
                on_arrays[weight[place]] = True


@kernel
def pin_weights(weight_bytes: Floats, on_arrays: Bools, free_bytes: float, pinned: Bools) -> None:
    """Keep weight tensors in so many bytes, in order of use, those that come in as pinned first."""
    for keep in (True, False):
        for tensor in range(weight_bytes.size):
            if pinned[tensor] == keep:
                fits = not on_arrays[tensor] and weight_bytes[tensor] <= free_bytes
                pinned[tensor] = fits
                if fits:
                    free_bytes -= weight_bytes[tensor]

"""What each op costs and moves on each device, written where the engine reads it: `cosim.simulation.traffic`, compiled.

Memories stand in the order backing, weight store where it is one of its own, shared one if there is any.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosim.engine.kernels.simulate import Packed
from cosim.simulation.kernels.residency import (
    FIXED_S,
    INPUT_BYTES,
    LATENCY_S,
    N_ARRAYS,
    OUTPUT_BYTES,
    PROGRAM_S,
    SERIAL_S,
    SUPPORTED,
    WEIGHT_BYTES,
)
from hw_models.kernels._jit import kernel, part

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

OF_INPUT, OF_OUTPUT, OF_OPERAND = range(3)  # what a share of memories is of: inputs, outputs, a product's second activation
BACKING, SHARED = range(2)  # last axis of shares


class Weights(NamedTuple):
    """Weight tensors of op i: tensor[first[i]:first[i + 1]] into n_bytes [n_tensors]; `dynamic` [n_ops]: B is an activation."""

    first: Ints
    tensor: Ints
    n_bytes: Floats
    dynamic: Bools


class Stay(NamedTuple):
    """Where weights stay: device whose arrays hold an op's (-1: none), how often, which tensors are pinned, which are on arrays."""

    array_device: Ints
    copies: Ints
    pinned: Bools
    on_arrays: Bools


@part
def weight_shares(op: int, weights: Weights, pinned: Bools) -> tuple[float, float]:
    """Shares of an op's stored operand that come from the weight store and from the shared memory: by bytes, or equal without bytes."""
    stored, kept, n_stored, n_kept = 0.0, 0.0, 0, 0
    for place in range(weights.first[op], weights.first[op + 1]):
        tensor = weights.tensor[place]
        if pinned[tensor]:
            kept += weights.n_bytes[tensor]
            n_kept = 1
        else:
            stored += weights.n_bytes[tensor]
            n_stored = 1
    total = stored + kept
    if total > 0.0:
        return stored / total, kept / total
    each = 1.0 / max(1, n_stored + n_kept)
    return n_stored * each, n_kept * each


@part
def body_s(costs: Floats, op: int, d: int, reloads: bool, held: int, scratch: int, copies: int) -> float:
    """Time inside the device beyond its fixed part: copies share the vectors, but not what they all wait for; reloads go in rounds."""
    rounds, need = 1.0, costs[op, d, N_ARRAYS]
    if reloads and scratch > 0 and need <= held:
        rounds = math.ceil(need / max(scratch, 1))
    shared_s = (costs[op, d, LATENCY_S] - costs[op, d, FIXED_S]) * rounds / copies
    longest_s: float = max(costs[op, d, SERIAL_S], shared_s)
    return longest_s


@part
def move_bytes(
    costs: Floats,
    op: int,
    d: int,
    is_resident: bool,
    stored: float,
    kept: float,
    roles: Ints,
    shares: Floats,
    weights: Weights,
    tables: Packed,
) -> None:
    """Write the bytes of one op on one device: own ones, and for now inputs alone as read, into the engine's tables."""
    k, own, read, write = tables.memory_bytes_per_s.size, tables.own_bytes, tables.read_bytes, tables.write_bytes
    first, store, shared = (op * costs.shape[1] + d) * k, roles[0], roles[1]
    fetched = 0.0 if is_resident else costs[op, d, WEIGHT_BYTES]
    for place in range(first, first + k):
        own[place] = read[place] = write[place] = 0.0
    if weights.dynamic[op]:
        read[first] += fetched * shares[op, OF_OPERAND, BACKING]
        read[first + shared] += fetched * shares[op, OF_OPERAND, SHARED]
    else:
        own[first + store] += fetched * stored
        own[first + shared] += fetched * kept
    read[first] += costs[op, d, INPUT_BYTES] * shares[op, OF_INPUT, BACKING]
    read[first + shared] += costs[op, d, INPUT_BYTES] * shares[op, OF_INPUT, SHARED]
    write[first] += costs[op, d, OUTPUT_BYTES] * shares[op, OF_OUTPUT, BACKING]
    write[first + shared] += costs[op, d, OUTPUT_BYTES] * shares[op, OF_OUTPUT, SHARED]


@part
def settle_reads(first: int, first_access_s: Floats, own_only: bool, tables: Packed) -> float:
    """Add own bytes to what is read, or put them in its place; returns the longest first access of what no placement avoids."""
    access_s, own, read = 0.0, tables.own_bytes, tables.read_bytes
    for memory in range(first_access_s.size):
        place = first + memory
        read[place] = own[place] if own_only else own[place] + read[place]
        if own[place] + tables.write_bytes[place] > 0.0 and first_access_s[memory] > access_s:
            access_s = first_access_s[memory]
    return access_s


@kernel
def fill_tables(
    costs: Floats,
    held: Ints,
    scratch: Ints,
    first_access_s: Floats,
    roles: Ints,
    shares: Floats,
    weights: Weights,
    stay: Stay,
    own_only: bool,
    tables: Packed,
    launch_s: Floats,
    lost: Ints,
) -> None:
    """Write fixed and body times and bytes of every op on every device into the engine's tables.

    roles     [2] which memory keeps weights, and which is the shared one
    shares    [n_ops, 3, 2] of inputs, outputs and second activations: in the backing store, in the shared memory
    own_only  inputs are not read at all, as a bound has it;  launch_s [n_ops * n_devices] fixed times without programming
    lost      [2] receives the first op without a home (-1: none), and how many there are
    """
    m, k = costs.shape[1], first_access_s.size
    lost[0], lost[1] = -1, 0
    for op in range(costs.shape[0]):
        stored, kept = weight_shares(op, weights, stay.pinned)
        has_home = False
        for d in range(m):
            at, is_resident = op * m + d, stay.array_device[op] == d
            reloads = held[d] > 0 and not is_resident and costs[op, d, N_ARRAYS] > 0.0
            move_bytes(costs, op, d, is_resident, stored, kept, roles, shares, weights, tables)
            launch_s[at] = costs[op, d, FIXED_S] + settle_reads(at * k, first_access_s, own_only, tables)
            tables.fixed_s[at] = launch_s[at] + (costs[op, d, PROGRAM_S] if reloads else 0.0)
            tables.body_s[at] = np.inf
            if costs[op, d, SUPPORTED] > 0.0 and not (reloads and scratch[d] == 0):
                has_home = True
                tables.body_s[at] = body_s(costs, op, d, reloads, held[d], scratch[d], stay.copies[op] if is_resident else 1)
        if not has_home:
            lost[0] = op if lost[1] == 0 else lost[0]
            lost[1] += 1


@kernel
def uncontended_s(tables: Packed, cost_s: Floats) -> None:
    """[n_ops, n_devices] fixed part + the slowest of device, memories and link; infinite where a device cannot."""
    n, m, k = cost_s.shape[0], cost_s.shape[1], tables.memory_bytes_per_s.size
    for op in range(n):
        for d in range(m):
            at = op * m + d
            longest_s, total = 0.0, 0.0
            for memory in range(k):
                read, write = tables.read_bytes[at * k + memory], tables.write_bytes[at * k + memory]
                total = total + read + write
                longest_s = max(longest_s, (read + write) / tables.memory_bytes_per_s[memory])
            longest_s = max(tables.body_s[at], longest_s, total / tables.link_bytes_per_s[d])
            cost_s[op, d] = tables.fixed_s[at] + longest_s

"""Time, energy and traffic of ops on processors with vector or matrix instructions: one call for all specs and ops.

latency = launch + max(compute + vector, cache), with every quantity rounded up to what the machine issues:
a GEMM is cut into tiles, tiles go to units in waves, and rows, columns and depth of a tile fill whole blocks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels import opcolumns as op_
from hw_models.kernels._jit import kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Columns of the spec matrix. Those of the second group stand three times: at 8, 16 and 32 bits.
(
    UNITS,  # cores, streaming multiprocessors, vector contexts
    CLOCK_HZ,
    LAUNCH_S,
    EFFICIENCY,  # sustained share of the rounded-up peak
    SPECIAL_SLOWDOWN,  # cycles of an exponential, root or division step against an addition
    TILE_M,  # output tile that one unit works on
    TILE_N,
    REGISTER_M,  # output block whose sums stay in registers
    REGISTER_N,
    LOAD_BYTES,  # one load or store instruction moves at most
    L1_BYTES_PER_CYCLE,  # per unit
    L2_BYTES_PER_CYCLE,  # all units; infinite when there is no second level
    PORT_CAPACITY_BYTES,  # largest local memory: what re-reading at the port depends on
    INSTRUCTION_J,
    L1_J_PER_BYTE,
    L2_J_PER_BYTE,  # read there plus write to the first level; 0 when there is no second level
    FILL_J_PER_BYTE,  # write of a byte that comes in at the port
    CONTROL_FACTOR,  # movement and control, as a multiple of arithmetic energy
) = range(18)
(
    MACS,  # per cycle and unit; 0 when there is no such format
    BLOCK_M,  # rows, columns and depth that one MAC instruction takes
    BLOCK_N,
    BLOCK_K,
    MAC_J,
    LANES,  # vector results per cycle and unit
    LENGTH,  # vector results per instruction
    ALU_J,
) = range(18, 42, 3)
N_COLUMNS = 42

N_WIDTHS = 3
LIMIT_COMPUTE, LIMIT_VECTOR, LIMIT_LAUNCH, LIMIT_CACHE = range(4)
ENERGY_MAC, ENERGY_VECTOR, ENERGY_INSTRUCTION, ENERGY_CACHE, ENERGY_CONTROL = range(5)
_SUM_BYTES = 4
_SHRINKS = 3  # tiles of full, half and quarter side are tried


@kernel
def _ceil_div(a: int, b: int) -> int:
    """Quotient of two positive integers, rounded up."""
    return -(-a // b)


@kernel
def _width_index(spec: Floats, bits: int, needs_macs: bool) -> int:
    """Index of the narrowest width (8, 16, 32) that holds `bits` and has MACs if asked; -1 when there is none."""
    for w in range(N_WIDTHS):
        if (8 << w) >= bits and (not needs_macs or spec[MACS + w] > 0):
            return w
    return -1 if needs_macs else N_WIDTHS - 1


@kernel
def stationary_bytes(op: Ints, weight_bytes: float, input_bytes: float, usable_bytes: float) -> tuple[float, float]:
    """Bytes of B and A read through a local memory of which `usable_bytes` (C) hold what stays while the rest streams.

    The least sum of three loop orders, group by group: B stays in chunks, W + I ceil(W / C); A stays, I + W ceil(I / C);
    square blocks of 32-bit sums stay, I ceil(n / b) + W ceil(m / b) with b = floor(sqrt(C / 4)).
    """
    groups = op[op_.GROUPS]
    b_chunks = max(1.0, np.ceil(weight_bytes / groups / usable_bytes))
    a_chunks = max(1.0, np.ceil(input_bytes / groups / usable_bytes))
    side = max(1, int(np.sqrt(usable_bytes / _SUM_BYTES)))
    best = (weight_bytes, input_bytes * b_chunks)
    if weight_bytes * a_chunks + input_bytes < best[0] + best[1]:
        best = (weight_bytes * a_chunks, input_bytes)
    m_blocks, n_blocks = _ceil_div(op[op_.M], side), _ceil_div(op[op_.N], side)
    if weight_bytes * m_blocks + input_bytes * n_blocks < best[0] + best[1]:
        best = (weight_bytes * m_blocks, input_bytes * n_blocks)
    return best


@kernel
def _matrix_path(
    spec: Floats, op: Ints, w: int, operand_bytes: Floats, vector_s: float, l1_unit_s: float
) -> tuple[float, float, float, float, float]:
    """Best tiling on the matrix (or dot-product) instructions: (total_s, compute_s, cache_s, instructions, l2_bytes).

    compute = ceil(tiles / units) * rows * cols * depth / (MACs per cycle * clock * efficiency), rows, cols and
    depth rounded up to blocks; every tile streams its panels: l2_bytes = W m_tiles + I n_tiles + O.
    """
    groups, m, k, n = op[op_.GROUPS], op[op_.M], op[op_.K], op[op_.N]
    block_m, block_n, block_k = int(spec[BLOCK_M + w]), int(spec[BLOCK_N + w]), int(spec[BLOCK_K + w])
    n_units = int(spec[UNITS])
    depth = _ceil_div(k, block_k) * block_k
    rate = spec[MACS + w] * spec[CLOCK_HZ] * spec[EFFICIENCY]
    best = (np.inf, np.inf, 0.0, 0.0, 0.0)
    for shrink_m in range(_SHRINKS):
        m_tiles = _ceil_div(m, max(block_m, int(spec[TILE_M]) >> shrink_m))
        rows = _ceil_div(_ceil_div(m, m_tiles), block_m) * block_m
        for shrink_n in range(_SHRINKS):
            n_tiles = _ceil_div(n, max(block_n, int(spec[TILE_N]) >> shrink_n))
            cols = _ceil_div(_ceil_div(n, n_tiles), block_n) * block_n
            tiles = groups * m_tiles * n_tiles
            compute_s = _ceil_div(tiles, n_units) * float(rows * cols * depth) / rate
            l2_bytes = operand_bytes[0] * m_tiles + operand_bytes[1] * n_tiles + operand_bytes[2]
            l2_s = l2_bytes / (spec[L2_BYTES_PER_CYCLE] * spec[CLOCK_HZ])
            cache_s = max(l2_s, l1_unit_s / min(tiles, n_units))
            total_s = max(compute_s + vector_s, cache_s)
            if total_s < best[0]:
                instructions = tiles * (rows // block_m) * float(cols // block_n) * (depth // block_k)
                best = (total_s, compute_s, cache_s, instructions, l2_bytes)
    return best


@kernel
def _vector_path(
    spec: Floats, op: Ints, w: int, operand_bytes: Floats, vector_s: float, l1_unit_s: float
) -> tuple[float, float, float, float, float]:
    """The same GEMM on the vector lanes, one MAC a lane, lanes along the best of m, n, groups and k; work is split evenly.

    The format's MACs per cycle bound it too (16-bit products may take two multipliers). Padding is least for
    depthwise layers and products with one row, which leave a matrix instruction idle.
    """
    groups, m, k, n = op[op_.GROUPS], op[op_.M], op[op_.K], op[op_.N]
    lanes = int(spec[LENGTH + w])
    n_units = int(spec[UNITS])
    along_m = float(groups * n) * k * _ceil_div(m, lanes)
    along_n = float(groups * m) * k * _ceil_div(n, lanes)
    along_k = float(groups * m) * n * _ceil_div(k, lanes)
    along_groups = float(m * n) * k * _ceil_div(groups, lanes)
    instructions = min(along_m, along_n, along_k, along_groups)
    rate = min(spec[LANES + w], spec[MACS + w]) / lanes * spec[CLOCK_HZ] * spec[EFFICIENCY]
    compute_s = np.ceil(instructions / n_units) / rate
    l2_bytes = operand_bytes[0] + operand_bytes[1] + operand_bytes[2]
    l2_s = l2_bytes / (spec[L2_BYTES_PER_CYCLE] * spec[CLOCK_HZ])
    cache_s = max(l2_s, l1_unit_s / min(instructions, n_units))
    return max(float(compute_s) + vector_s, cache_s), float(compute_s), cache_s, instructions, l2_bytes


@kernel
def _register_bytes(spec: Floats, op: Ints) -> float:
    """Bytes between registers and the first level: A once per block of columns, B once per block of rows, sums once."""
    groups, m, k, n = op[op_.GROUPS], op[op_.M], op[op_.K], op[op_.N]
    a = float(groups * m * k) * _ceil_div(n, int(spec[REGISTER_N])) * op[op_.ACTIVATION_BITS]
    b = float(groups * k * n) * _ceil_div(m, int(spec[REGISTER_M])) * op[op_.WEIGHT_BITS]
    return float(a + b + float(groups * m * n) * op[op_.ACTIVATION_BITS]) / 8


@kernel
def _gemm(spec: Floats, op: Ints, w: int, operand_bytes: Floats, vector_s: float) -> tuple[float, float, float, float, float]:
    """Faster of the two paths: (compute_s, cache_s, instructions, l1_bytes, l2_bytes)."""
    l1_bytes = _register_bytes(spec, op)
    l1_unit_s = l1_bytes / (spec[L1_BYTES_PER_CYCLE] * spec[CLOCK_HZ])
    matrix = _matrix_path(spec, op, w, operand_bytes, vector_s, l1_unit_s)
    vector = _vector_path(spec, op, w, operand_bytes, vector_s, l1_unit_s)
    path = vector if vector[0] < matrix[0] else matrix
    return path[1], path[2], path[3], l1_bytes, path[4]


@kernel
def _limit(launch_s: float, compute_s: float, vector_s: float, cache_s: float) -> int:
    """Index of what sets the latency."""
    if launch_s > max(compute_s + vector_s, cache_s):
        return LIMIT_LAUNCH
    if cache_s > compute_s + vector_s:
        return LIMIT_CACHE
    return LIMIT_COMPUTE if compute_s >= vector_s else LIMIT_VECTOR


@kernel
def _cost_op(spec: Floats, op: Ints, w: int, energy_j: Floats, n_bytes: Floats) -> tuple[float, int]:
    """Fill energy and bytes of one op on one spec; return its latency and what limits it."""
    n_bytes[0] = np.ceil(op[op_.WEIGHT_ELEMENTS] * op[op_.WEIGHT_BITS] / 8)
    n_bytes[1] = np.ceil(op[op_.INPUT_ELEMENTS] * op[op_.ACTIVATION_BITS] / 8)
    n_bytes[2] = np.ceil(op[op_.OUTPUT_ELEMENTS] * op[op_.ACTIVATION_BITS] / 8)
    steps = float(op[op_.N_VECTOR_OPS])
    if op[op_.KIND] == op_.MOVE:
        steps = max(steps, float(op_.MOVE_OPS_PER_ELEMENT * op[op_.OUTPUT_ELEMENTS]))
    if op[op_.SPECIAL] > 0:
        steps *= spec[SPECIAL_SLOWDOWN]
    vector_s = np.ceil(steps / (spec[LANES + w] * spec[UNITS])) / (spec[CLOCK_HZ] * spec[EFFICIENCY])
    l1_bytes = n_bytes[0] + n_bytes[1] + n_bytes[2]
    l2_bytes = l1_bytes
    macs = float(op[op_.GROUPS] * op[op_.M]) * op[op_.K] * op[op_.N]
    if macs > 0:
        compute_s, cache_s, instructions, l1_bytes, l2_bytes = _gemm(spec, op, w, n_bytes, vector_s)
        usable = spec[PORT_CAPACITY_BYTES] / 2  # the other half receives the next chunk
        n_bytes[0], n_bytes[1] = stationary_bytes(op, n_bytes[0], n_bytes[1], usable)
    else:
        compute_s, instructions = 0.0, 0.0
        l1_s = l1_bytes / (spec[L1_BYTES_PER_CYCLE] * spec[UNITS])
        cache_s = max(l1_s, l2_bytes / spec[L2_BYTES_PER_CYCLE]) / spec[CLOCK_HZ]
    instructions += steps / spec[LENGTH + w] + l1_bytes / spec[LOAD_BYTES]
    energy_j[ENERGY_MAC] = macs * spec[MAC_J + w]
    energy_j[ENERGY_VECTOR] = steps * spec[ALU_J + w]
    energy_j[ENERGY_INSTRUCTION] = instructions * spec[INSTRUCTION_J]
    filled_bytes = n_bytes[0] + n_bytes[1] + n_bytes[2]
    energy_j[ENERGY_CACHE] = l1_bytes * spec[L1_J_PER_BYTE] + l2_bytes * spec[L2_J_PER_BYTE] + filled_bytes * spec[FILL_J_PER_BYTE]
    energy_j[ENERGY_CONTROL] = (energy_j[ENERGY_MAC] + energy_j[ENERGY_VECTOR]) * spec[CONTROL_FACTOR]
    latency_s = spec[LAUNCH_S] + max(compute_s + vector_s, cache_s)
    return latency_s, _limit(spec[LAUNCH_S], compute_s, vector_s, cache_s)


@kernel
def roofline_costs(specs: Floats, ops: Ints, allowed: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats, NDArray[np.int8], Ints]:
    """Cost `ops[n_ops, 13]` on `specs[n_specs, 42]` where `allowed`: (latency_s, energy_j, n_bytes, limit, width).

    latency_s is inf and width 0 where the op is not allowed or the device has no MACs wide enough;
    energy_j[..., 5] is mac, vector, instruction, cache, control; width is the bits computed at.
    """
    n_specs, n_ops = allowed.shape
    latency_s = np.full((n_specs, n_ops), np.inf)
    energy_j = np.zeros((n_specs, n_ops, 5))
    n_bytes = np.zeros((n_specs, n_ops, 3))
    limit = np.zeros((n_specs, n_ops), dtype=np.int8)
    width = np.zeros((n_specs, n_ops), dtype=np.int64)
    for s in range(n_specs):
        for o in range(n_ops):
            if not allowed[s, o]:
                continue
            has_macs = ops[o, op_.KIND] == op_.MATMUL
            bits = max(ops[o, op_.ACTIVATION_BITS], ops[o, op_.WEIGHT_BITS]) if has_macs else ops[o, op_.ACTIVATION_BITS]
            w = _width_index(specs[s], bits, has_macs)
            if w < 0:
                continue
            latency_s[s, o], limit[s, o] = _cost_op(specs[s], ops[o], w, energy_j[s, o], n_bytes[s, o])
            width[s, o] = 8 << w
    return latency_s, energy_j, n_bytes, limit, width
